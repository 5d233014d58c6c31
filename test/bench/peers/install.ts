// Installing and building what peers need, into the cache.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { lastLine, npmInstall, run } from "../../tools/npm.ts";
import { CACHE } from "../build/tree.ts";

export { run };

/** A package from npm, in a folder of its own in the cache. Returns why it cannot be had, or null. */
export function installPackage(name: string, version: string): Promise<string | null> {
  return npmInstall(packageFolder(name), [`${name}@${version}`]);
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
