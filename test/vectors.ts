// Where the independent test data lies. Tests that need it skip by name where it is absent.
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(
  process.env.QUIC_TS_VECTORS ?? join(import.meta.dirname, "..", "..", "shared", "vectors"),
);

/** The path of a vector file or folder, or null where it is absent. */
export function vectorPath(...parts: string[]): string | null {
  const path = join(ROOT, ...parts);
  return existsSync(path) ? path : null;
}

/** `{ skip: reason }` for `test()` where the vectors are absent, else `{}`. */
export function needsVectors(...parts: string[]): { skip?: string } {
  return vectorPath(...parts) === null ? { skip: `vectors absent: ${parts.join("/")}` } : {};
}

export function vectorJson<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(join(ROOT, ...parts), "utf8")) as T;
}

/** Every file under a vector folder, sorted, as [relative name, bytes]. */
export function* vectorFiles(...parts: string[]): Generator<[string, Uint8Array]> {
  const top = join(ROOT, ...parts);
  if (!existsSync(top)) return;
  const names = readdirSync(top, { recursive: true }) as string[];
  for (const name of names.sort()) {
    const path = join(top, name);
    if (statSync(path).isFile()) yield [name, new Uint8Array(readFileSync(path))];
  }
}
