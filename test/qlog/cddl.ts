// Validation by the `cddl` tool: not part of the main tests, which must not download anything.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const cache = join(import.meta.dirname, "../tools/.cache");

/** Path of a Debian program, unpacked where it is missing; null with the reason where it cannot be had. */
export function tool(name: string): { path: string; root: string } | string {
  const root = join(cache, name);
  const path = join(root, "usr/bin", name);
  if (existsSync(path)) return { path, root };
  const script = join(import.meta.dirname, "../tools/unpack-debian.sh");
  const result = spawnSync("bash", [script, root, "sid", name, `usr/bin/${name}`], { encoding: "utf8" });
  if (result.status === 0) return { path, root };
  return result.stdout.trim().split("\n").at(-1) ?? `exit code ${result.status}`;
}

/** Runs an unpacked program with its own loader and libraries, so that the system's may be older. */
export function runTool(
  { path, root }: { path: string; root: string },
  args: readonly string[],
): { status: number | null; stdout: string; stderr: string } {
  const loader = join(root, "lib64/ld-linux-x86-64.so.2");
  const libraries = [join(root, "usr/lib/x86_64-linux-gnu"), join(root, "lib/x86_64-linux-gnu")].join(":");
  const [command, all] = existsSync(loader)
    ? [loader, ["--library-path", libraries, path, ...args]]
    : [path, [...args]];
  return spawnSync(command, all, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
}
