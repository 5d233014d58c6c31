// The package as it is published, of what `npm run build` has made.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");

/** Packs it into `folder`. Returns the tarball's path. */
export function pack(folder: string): string {
  const output = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    shell: process.platform === "win32",
  });
  // An array, or an object by package name: npm's versions differ.
  const packed = JSON.parse(output) as { filename: string }[] | Record<string, { filename: string }>;
  const [{ filename }] = Object.values(packed) as [{ filename: string }];
  return join(folder, filename);
}
