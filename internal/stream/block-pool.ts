// Blocks of stream data that go round: a transfer needs one for every 64 KiB, each way, and what is allocated and
// collected at that rate costs a fifth of the time. Only blocks that nobody outside has seen come back.

import { MAX_POOLED_BLOCKS } from "../protocol/limits.ts";

/** Bytes of the largest block. */
export const BLOCK = 65_536;

/** Small blocks are pieces of a slab: an ArrayBuffer costs more than what is in it. One piece keeps a slab, no more. */
const SLAB = 8192;
const SMALL = 1024;
let slab = new ArrayBuffer(SLAB);
let used = 0;

/** `length` zeros, at most SMALL, to be handed out as a copy alone: its buffer is others' as well. */
function carve(length: number): Uint8Array {
  if (used + length > SLAB) {
    slab = new ArrayBuffer(SLAB);
    used = 0;
  }
  const piece = new Uint8Array(slab, used, length);
  used += length;
  return piece;
}

/** Whether `bytes` is a piece of a slab. */
export function isCarved(bytes: Uint8Array): boolean {
  return bytes.length <= SMALL && bytes.buffer.byteLength === SLAB;
}

/** Sizes of pooled blocks are powers of two from SMALL on: blocks that are free, by the number of doublings. */
const free: Uint8Array[][] = [];
for (let size = SMALL; size <= BLOCK; size *= 2) free.push([]);

function sizeClass(length: number): number {
  return 32 - Math.clz32((length - 1) >>> 10);
}

/** A block of at least `length` bytes, with whatever was in it before where it was used. */
export function takeBlock(length: number): Uint8Array {
  if (length <= SMALL) return carve(length);
  const size = sizeClass(length);
  return free[size]!.pop() ?? new Uint8Array(new ArrayBuffer(SMALL << size));
}

/** `bytes` is not needed any more, and no part of it is anybody's. Others than pooled blocks are left to the collector. */
export function giveBlock(bytes: Uint8Array): void {
  if (bytes.length <= SMALL) return;
  const pool = free[sizeClass(bytes.length)]!;
  if (pool.length < MAX_POOLED_BLOCKS) pool.push(bytes);
}
