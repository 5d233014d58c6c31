// What the documents point to is there.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
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

/** The words of the sources below some folders, comments aside. */
function words(...folders: string[]): Set<string> {
  const found = new Set<string>();
  for (const folder of folders) {
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts")) continue;
      const code = readFileSync(join(root, folder, file), "utf8").replace(/\/\*[^]*?\*\/|\/\/.*$/gm, "");
      for (const word of code.match(/[\w$]+/g) ?? []) found.add(word);
    }
  }
  return found;
}

test("README.md: every name in the table of features is one of the API's, and its tests use it", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const [, table] = /## Features and their tests\n\n((?:\|.*\n)+)/.exec(readme)!;
  const rows = table!.split("\n").slice(2, -1);
  assert.ok(rows.length > 40, `${rows.length} rows`);
  const exported = readFileSync(join(root, "package.json"), "utf8");
  // Some of what is exported is declared below.
  const known = words("src", "http3", "qlog", "internal");
  for (const row of rows) {
    const [, feature, api, tests] = row.split("|").map((cell) => cell.trim());
    const links = [...tests!.matchAll(/\]\((test\/[^)]+)\)/g)].map((match) => match[1]!);
    assert.ok(links.length > 0, `${feature}: no test`);
    const text = links.map((link) => readFileSync(join(root, link), "utf8")).join("\n");
    const spans = [...api!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
    assert.ok(spans.length > 0, `${feature}: no API`);
    for (const span of spans) {
      if (span.startsWith("quic-ts/")) {
        assert.ok(exported.includes(`"./${span.slice(8)}"`), span);
        continue;
      }
      // What stands before the last dot is whose it is.
      const name = span.match(/[\w$]+/g)!.at(-1)!;
      assert.ok(known.has(name), `${feature}: there is no ${name}`);
      // Types and errors are met by other names.
      if (/^[a-z]/.test(name))
        assert.ok(new RegExp(`\\b${name}\\b`).test(text), `${feature}: no test of ${name}`);
    }
  }
});
