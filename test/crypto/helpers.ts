// What the crypto tests share.
import { ffiProvider } from "../../internal/crypto/ffi.ts";
import { nobleProvider } from "../../internal/crypto/noble.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import type { CryptoProvider } from "../../internal/crypto/provider.ts";
import { fromHex } from "../../internal/protocol/bytes.ts";
import { vectorJson } from "../vectors.ts";

/** Those that must agree in everything; the one over libcrypto where it can be had. */
export const FFI: CryptoProvider | null = ffiProvider();
export const REAL: readonly CryptoProvider[] = [
  nodeProvider(),
  nobleProvider(),
  ...(FFI === null ? [] : [FFI]),
];

export interface WycheproofCase {
  readonly tcId: number;
  readonly comment?: string;
  readonly flags: readonly string[];
  readonly result: "valid" | "invalid" | "acceptable";
  readonly [field: string]: unknown;
}

export interface WycheproofGroup {
  readonly tests: readonly WycheproofCase[];
  readonly [field: string]: unknown;
}

export function wycheproof(name: string): readonly WycheproofGroup[] {
  return vectorJson<{ testGroups: WycheproofGroup[] }>("wycheproof", `${name}_test.json`).testGroups;
}

export function hex(value: unknown): Uint8Array {
  return fromHex(value as string);
}

/** A random source that gives exactly these bytes, over and over. */
export function bytesSource(bytes: Uint8Array): (out: Uint8Array) => void {
  let at = 0;
  return (out) => {
    for (let i = 0; i < out.length; i++) out[i] = bytes[at++ % bytes.length]!;
  };
}

/** A deterministic random source: mulberry32. */
export function seeded(seed: number): (out: Uint8Array) => void {
  let state = seed >>> 0;
  return (out) => {
    for (let i = 0; i < out.length; i++) {
      state = (state + 0x6d2b79f5) >>> 0;
      let x = Math.imul(state ^ (state >>> 15), state | 1);
      x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
      out[i] = (x ^ (x >>> 14)) >>> 0;
    }
  };
}

export function take(random: (out: Uint8Array) => void, n: number): Uint8Array {
  const out = new Uint8Array(n);
  random(out);
  return out;
}

/** Left-padded or stripped of leading zeros to `length`. */
export function fit(bytes: Uint8Array, length: number): Uint8Array {
  let from = 0;
  while (bytes.length - from > length && bytes[from] === 0) from++;
  const out = new Uint8Array(length);
  out.set(bytes.subarray(from), length - (bytes.length - from));
  return out;
}
