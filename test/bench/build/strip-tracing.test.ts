import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compile } from "./tree.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");

function stripped(text: string): string {
  return compile(text, "x.ts", { removed: 0 })
    .replace(/"use strict";|^;$/gm, "")
    .replace(/\s+/g, " ")
    .replace(/; ;/g, ";")
    .trim();
}

test("Hooks go with what stands in them", () => {
  assert.equal(stripped("a(); if (this.tracer !== null) { this.tracer.record(f()); } b();"), "a(); b();");
  assert.equal(stripped("{ a(); core.tracer?.record({ x: f() }); b(); }"), "{ a(); b(); }");
  assert.equal(stripped("if (core.tracer !== null && x > 0) y(); else z();"), "z();");
});

test("What follows a return because there is no tracer goes too", () => {
  assert.equal(
    stripped("function f() { a(); if (core.tracer === null) return; core.tracer.record(b()); }"),
    "function f() { a(); return; }",
  );
});

test("Locals that are null because there is no tracer count as absent, in their function alone", () => {
  assert.equal(
    stripped(
      "function f() { const n: number[] | null = this.#trace === null ? null : []; if (n !== null) n.push(1); }" +
        "function g(n) { if (n !== null) n.push(1); }",
    ),
    "function f() { const n = null; } function g(n) { if (n !== null) n.push(1); }",
  );
});

test("Calls of methods that only trace go, other conditions stay", () => {
  assert.equal(
    stripped("class A { #traceAll() {} m() { this.#traceAll(); if (this.x !== null) this.y(); } }"),
    "class A { #traceAll() { } m() { if (this.x !== null) this.y(); } }",
  );
});

test("The protocol has no hook that the transform does not know", () => {
  const folder = join(ROOT, "internal");
  let removed = 0;
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    const text = name.endsWith(".ts") ? readFileSync(join(folder, name), "utf8") : "";
    if (!/trace/i.test(text)) continue;
    const count = { removed: 0 };
    const code = compile(text, name, count);
    removed += count.removed;
    assert.doesNotMatch(code, /trace(r)? [!=]== null|tracer\?\./, name);
  }
  assert.ok(removed > 40, `${removed} hooks were found: has their form changed?`);
});
