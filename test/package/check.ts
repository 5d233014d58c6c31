// What a user gets: the packed tarball, linted, type-checked by its consumers' rules, imported and required.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "./pack.ts";

const root = join(import.meta.dirname, "..", "..");
const shell = process.platform === "win32";
const run = (command: string, args: string[], cwd = root) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], shell });

const work = mkdtempSync(join(tmpdir(), "quic-ts-package-"));
try {
  const tarball = pack(work);

  console.log(run("npx", ["publint", "run", tarball, "--strict"]).trim());
  // The package is ESM alone; CommonJS reaches it by require(esm), which every supported Node has. attw knows that
  // under its own rule name.
  console.log(
    run("npx", ["attw", tarball, "--ignore-rules", "cjs-resolves-to-esm", "--profile", "node16"]).trim(),
  );

  writeFileSync(
    join(work, "package.json"),
    JSON.stringify({ name: "consumer", private: true, version: "1.0.0" }),
  );
  run("npm", ["install", "--no-audit", "--no-fund", "--omit=dev", tarball], work);
  const probe =
    "const names = Object.keys(q); if (!names.includes('Transport') || !names.includes('dialAddr')) throw new Error('exports missing: ' + names);";
  writeFileSync(
    join(work, "esm.mjs"),
    `import * as q from "quic-ts"; import * as s from "quic-ts/sansio"; ${probe} if (Object.keys(s).length === 0) throw new Error("sansio is empty"); console.log("import: ok,", names.length, "names");`,
  );
  writeFileSync(
    join(work, "cjs.cjs"),
    `const q = require("quic-ts"); require("quic-ts/sansio"); ${probe} console.log("require: ok,", names.length, "names");`,
  );
  console.log(run(process.execPath, ["esm.mjs"], work).trim());
  console.log(run(process.execPath, ["cjs.cjs"], work).trim());
  console.log(run("npx", ["--no-install", "quic-ts", "--version"], work).trim());
} finally {
  rmSync(work, { recursive: true, force: true });
}
