// Installing and building what peers need, into the cache.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CACHE } from "../build/tree.ts";

const TIMEOUT = 300_000;

/** Runs a build step. `code` is null where it could not be started. */
export function run(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIMEOUT,
      shell: process.platform === "win32",
    });
    let output = "";
    const take = (data: Buffer): void => void (output += data.toString());
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", (error) => resolve({ code: null, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

export const lastLine = (output: string): string => output.trim().split("\n").at(-1) ?? "";

/** A package from npm, in a folder of its own in the cache. Returns why it cannot be had, or null. */
export async function installPackage(name: string, version: string): Promise<string | null> {
  const folder = packageFolder(name);
  const done = join(folder, "complete");
  if (existsSync(done) && readFileSync(done, "utf8") === version) return null;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const args = ["install", "--no-audit", "--no-fund", "--no-save", `${name}@${version}`];
  const { code, output } = await run("npm", args, folder);
  if (code === null) return "no npm";
  if (code !== 0) return `npm install failed: ${lastLine(output)}`;
  writeFileSync(done, version);
  return null;
}

export function packageFolder(name: string): string {
  return join(CACHE, "npm", name.replace(/[^a-z0-9]+/gi, "-").replace(/^-/, ""));
}

/** Builds a Go program whose sources lie in `folder`; the binary's name changes with them. */
export async function buildGo(
  name: string,
  folder: string,
  files: readonly string[],
): Promise<{ binary: string; reason: string | null }> {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  for (const file of files) hash.update(readFileSync(join(folder, file)));
  mkdirSync(CACHE, { recursive: true });
  const suffix = process.platform === "win32" ? ".exe" : "";
  const binary = join(CACHE, `${name}-${hash.digest("hex").slice(0, 12)}${suffix}`);
  if (existsSync(binary)) return { binary, reason: null };
  const partial = `${binary}.partial`;
  const { code, output } = await run("go", ["build", "-trimpath", "-o", partial, "."], folder);
  if (code === null) return { binary, reason: "no Go toolchain" };
  if (code !== 0) return { binary, reason: `go build failed: ${lastLine(output)}` };
  renameSync(partial, binary);
  return { binary, reason: null };
}
