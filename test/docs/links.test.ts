// What the documents point to is there.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../..");

for (const document of ["README.md", "test/integration/scenarios.md"]) {
  test(`${document}: every file it links to exists`, () => {
    const text = readFileSync(join(root, document), "utf8");
    const links = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map((match) => match[1]!);
    const local = links.filter((link) => !/^[a-z]+:/.test(link));
    assert.ok(local.length > 0, "it links to files");
    for (const link of local) assert.ok(existsSync(join(root, dirname(document), link)), link);
  });
}
