// Packages from npm, in folders outside of the project's own node_modules.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

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

/**
 * Installs `packages` (`name@version`) in a folder of their own, once. Returns why they cannot be had, or null.
 */
export async function npmInstall(folder: string, packages: readonly string[]): Promise<string | null> {
  const done = join(folder, "complete");
  const wanted = packages.join(" ");
  if (existsSync(done) && readFileSync(done, "utf8") === wanted) return null;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const args = ["install", "--no-audit", "--no-fund", "--no-save", ...packages];
  const { code, output } = await run("npm", args, folder);
  if (code === null) return "no npm";
  if (code !== 0) return `npm install failed: ${lastLine(output)}`;
  writeFileSync(done, wanted);
  return null;
}
