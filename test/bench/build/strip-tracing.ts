// The tree without its trace hooks: a TypeScript transform that takes every test for a tracer for false and removes what
// follows from that. It goes by the house's own rule that a hook is `if (… tracer !== null) …` or `tracer?.…`, with
// `tracer` or `trace` as the name; what only hooks call (`#traceAll`, …) goes with them.

import ts from "typescript";

const NAMES = /^#?(tracer|trace)$/;
const HOOK_METHODS = /^#trace[A-Z]?/;

export interface StripCount {
  /** Hooks removed. */
  removed: number;
}

/** Makes the transform; `count` says afterwards how much there was to remove. */
export function stripTracing(count: StripCount): ts.TransformerFactory<ts.SourceFile> {
  return (context) => {
    const { factory } = context;
    /** Per function: locals that are null because there is no tracer. */
    const scopes: Set<string>[] = [new Set()];

    const nameOf = (node: ts.Expression): string | null => {
      const bare = ts.skipPartiallyEmittedExpressions(node);
      if (ts.isNonNullExpression(bare) || ts.isParenthesizedExpression(bare)) return nameOf(bare.expression);
      if (ts.isIdentifier(bare)) return bare.text;
      return ts.isPropertyAccessExpression(bare) ? bare.name.text : null;
    };
    const absent = (node: ts.Expression): boolean => {
      const name = nameOf(node);
      if (name === null) return false;
      return NAMES.test(name) || (ts.isIdentifier(node) && scopes.some((scope) => scope.has(name)));
    };
    const isNull = (node: ts.Node): boolean => node.kind === ts.SyntaxKind.NullKeyword;
    const known = (node: ts.Expression): boolean | null => {
      if (node.kind === ts.SyntaxKind.TrueKeyword) return true;
      return node.kind === ts.SyntaxKind.FalseKeyword ? false : null;
    };
    const truth = (value: boolean): ts.Expression => (value ? factory.createTrue() : factory.createFalse());

    const binary = (node: ts.BinaryExpression): ts.Expression => {
      const kind = node.operatorToken.kind;
      const equal = kind === ts.SyntaxKind.EqualsEqualsEqualsToken;
      if (equal || kind === ts.SyntaxKind.ExclamationEqualsEqualsToken) {
        if (!(isNull(node.right) && absent(node.left))) return node;
        count.removed++;
        return truth(equal);
      }
      const and = kind === ts.SyntaxKind.AmpersandAmpersandToken;
      if (!and && kind !== ts.SyntaxKind.BarBarToken) return node;
      const left = known(node.left);
      if (left === null) return node;
      return left === and ? node.right : truth(left);
    };

    const isHookCall = (node: ts.Expression): boolean => {
      if (!ts.isCallExpression(node)) return false;
      const callee = node.expression;
      if (!ts.isPropertyAccessExpression(callee)) return false;
      if (callee.questionDotToken !== undefined && absent(callee.expression)) return true;
      return ts.isPrivateIdentifier(callee.name) && HOOK_METHODS.test(callee.name.text);
    };

    const visit = (node: ts.Node): ts.Node | undefined => {
      const isFunction = ts.isFunctionLike(node);
      if (isFunction) scopes.push(new Set());
      const seen = ts.visitEachChild(node, visit, context);
      if (isFunction) scopes.pop();
      if (ts.isBinaryExpression(seen)) return binary(seen);
      if (ts.isConditionalExpression(seen)) {
        const value = known(seen.condition);
        return value === null ? seen : value ? seen.whenTrue : seen.whenFalse;
      }
      if (ts.isVariableDeclaration(seen) && ts.isVariableDeclaration(node)) {
        // `const numbers = tracer === null ? null : []` is null as well.
        const was = node.initializer;
        const is = seen.initializer;
        if (was !== is && is !== undefined && isNull(is) && ts.isIdentifier(seen.name)) {
          scopes.at(-1)!.add(seen.name.text);
        }
        return seen;
      }
      if (ts.isIfStatement(seen)) {
        const value = known(seen.expression);
        if (value === null) return seen;
        return value ? seen.thenStatement : (seen.elseStatement ?? factory.createEmptyStatement());
      }
      if (ts.isExpressionStatement(seen) && isHookCall(seen.expression)) {
        count.removed++;
        return factory.createEmptyStatement();
      }
      if (ts.isBlock(seen)) {
        const end = seen.statements.findIndex((statement) => ts.isReturnStatement(statement));
        const reached = end < 0 ? seen.statements : seen.statements.slice(0, end + 1);
        const kept = reached.filter((statement) => !ts.isEmptyStatement(statement));
        return kept.length === seen.statements.length ? seen : factory.updateBlock(seen, kept);
      }
      return seen;
    };
    return (file) => ts.visitNode(file, visit) as ts.SourceFile;
  };
}
