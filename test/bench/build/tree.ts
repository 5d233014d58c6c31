// Benchmarks run compiled JavaScript, as users do: what tsx adds at run time is no part of the measurement. A variant is
// a copy of the tree under .cache, compiled file by file; files that did not change are not compiled again.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { type StripCount, stripTracing } from "./strip-tracing.ts";

/** `plain` is the tree as it is, `control` the same again, `no-hooks` has no trace hooks. */
export type Variant = "plain" | "control" | "no-hooks";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "..", "..", "..");
/** Where everything goes that is installed or built for benchmarks. */
export const CACHE = process.env["QUIC_TS_BENCH_CACHE"] ?? join(HERE, "..", ".cache");
const FOLDERS = ["internal", "src", "http3", "qlog", join("test", "bench")];

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
  isolatedModules: true,
};

function sources(): string[] {
  return FOLDERS.flatMap((folder) =>
    (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
      .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
      .filter((name) => !name.includes(".cache") && !name.includes("node_modules"))
      .map((name) => join(folder, name)),
  );
}

/** One file as JavaScript. */
export function compile(text: string, path: string, strip: StripCount | null): string {
  const { outputText } = ts.transpileModule(text, {
    fileName: path,
    compilerOptions: OPTIONS,
    ...(strip === null ? {} : { transformers: { before: [stripTracing(strip)] } }),
  });
  return outputText;
}

export interface Tree {
  /** Folder of the compiled tree, laid out as the repository is. */
  readonly folder: string;
  /** Trace hooks removed, for the variant without. */
  readonly removed: number;
}

/** Compiles what changed since the last time. */
export function buildTree(variant: Variant): Tree {
  const folder = join(CACHE, "build", variant);
  const manifestPath = join(folder, "manifest.json");
  const old = existsSync(manifestPath)
    ? (JSON.parse(readFileSync(manifestPath, "utf8")) as Record<string, { hash: string; removed: number }>)
    : {};
  const tools = createHash("sha256").update(ts.version);
  for (const file of ["strip-tracing.ts", "tree.ts"]) tools.update(readFileSync(join(HERE, file)));
  const salt = tools.digest("hex");
  const manifest: typeof old = {};
  let removed = 0;
  for (const path of sources()) {
    const text = readFileSync(join(ROOT, path), "utf8");
    const hash = createHash("sha256").update(salt).update(text).digest("hex");
    const out = join(folder, path.replace(/\.ts$/, ".js"));
    const known = old[path];
    if (known?.hash === hash && existsSync(out)) manifest[path] = known;
    else {
      // Hooks are the protocol's and the public API's; the tracers themselves stay whole.
      const strips = variant === "no-hooks" && /^(internal|src)[\\/]/.test(path);
      const count = { removed: 0 };
      const code = compile(text, path, strips ? count : null);
      mkdirSync(dirname(out), { recursive: true });
      writeFileSync(out, code);
      manifest[path] = { hash, removed: count.removed };
    }
    removed += manifest[path]!.removed;
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  writeFileSync(manifestPath, JSON.stringify(manifest));
  return { folder, removed };
}

/** Path of a file of the repository in a compiled tree. */
export function compiled(tree: Tree, file: string): string {
  return join(tree.folder, relative(ROOT, file).replace(/\.ts$/, ".js"));
}
