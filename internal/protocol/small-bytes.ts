// Little arrays that live as long as a connection: connection IDs, tokens, keys. An ArrayBuffer of their own would cost
// 300 bytes each, with what V8 and the C library keep of it, and an idle connection has two dozen of them.

import { SMALL_BYTES_SLAB } from "./limits.ts";

let slab = new ArrayBuffer(SMALL_BYTES_SLAB);
let used = 0;

/** Zeros, a piece of a slab that nobody else has or gets. One piece keeps the slab in memory, and no more than it. */
export function smallBytes(length: number): Uint8Array {
  if (length > SMALL_BYTES_SLAB >> 3) return new Uint8Array(length);
  if (used + length > SMALL_BYTES_SLAB) {
    slab = new ArrayBuffer(SMALL_BYTES_SLAB);
    used = 0;
  }
  const piece = new Uint8Array(slab, used, length);
  used += length;
  return piece;
}

/** A copy of `bytes` as such a piece. */
export function smallCopy(bytes: Uint8Array): Uint8Array {
  const piece = smallBytes(bytes.length);
  piece.set(bytes);
  return piece;
}

/** For what has no bytes (yet). */
export const NO_BYTES: Uint8Array = new Uint8Array(0);
