// How much memory a Node process has in use: V8's heap after a collection, and what malloc has handed out, which holds
// ArrayBuffers and OpenSSL's contexts. glibc tells (mallinfo2), where koffi can ask it.

import { createRequire } from "node:module";
import process from "node:process";

interface Mallinfo {
  readonly uordblks: number;
  readonly hblkhd: number;
}

interface KoffiStructs {
  struct(name: string, fields: Record<string, string>): unknown;
  load(path: null): { func(name: string, result: unknown, args: readonly unknown[]): () => Mallinfo };
}

const FIELDS = [
  "arena",
  "ordblks",
  "smblks",
  "hblks",
  "hblkhd",
  "usmblks",
  "fsmblks",
  "uordblks",
  "fordblks",
];
let ask: (() => Mallinfo) | null | undefined;

function mallinfo(): number | null {
  if (ask === undefined) {
    ask = null;
    try {
      const koffi = createRequire(import.meta.url)("koffi") as KoffiStructs;
      const fields = [...FIELDS, "keepcost"].map((name) => [name, "size_t"] as const);
      ask = koffi.load(null).func("mallinfo2", koffi.struct("Mallinfo2", Object.fromEntries(fields)), []);
    } catch {
      // No koffi, or another C library.
    }
  }
  if (ask === null) return null;
  const { uordblks, hblkhd } = ask();
  return Number(uordblks) + Number(hblkhd);
}

/** Bytes in use after a collection, where `--expose-gc` allows one. */
export function memoryInUse(): { heap: number; external: number; malloc: number | null } {
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 3; i++) gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed, external, malloc: mallinfo() };
}
