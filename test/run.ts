// The main test command: every test/**/*.test.ts with node:test through tsx, each file in a process of its own.
// `npm test -- PART…` runs the files whose path contains one of the parts.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const parts = process.argv.slice(2);
const files = (readdirSync(import.meta.dirname, { recursive: true }) as string[])
  .filter((name) => name.endsWith(".test.ts") && !name.includes("node_modules") && !name.includes(".cache"))
  .map((name) => join("test", name))
  .filter((name) => parts.length === 0 || parts.some((part) => name.includes(part)))
  .sort();

if (files.length === 0) {
  console.error(`No test file matches ${parts.join(", ")}`);
  process.exit(1);
}
// One line a file would drown the failures: the spec reporter prints them again at the end.
const result = spawnSync(
  process.execPath,
  ["--import", "tsx", "--test", "--test-concurrency=2", "--test-reporter=spec", ...files],
  { stdio: "inherit", cwd: join(import.meta.dirname, "..") },
);
process.exit(result.status ?? 1);
