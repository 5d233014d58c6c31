// Blocks of stream data that go round: a transfer needs one for every 64 KiB, each way, and what is allocated and
// collected at that rate costs a fifth of the time. Only blocks that nobody outside has seen come back.

import { MAX_POOLED_BLOCKS } from "../protocol/limits.ts";

/** Bytes of a block that is pooled. */
export const BLOCK = 65_536;

const free: Uint8Array[] = [];

/** Small blocks are pieces of a slab: an ArrayBuffer costs more than what is in it. One piece keeps a slab, no more. */
const SLAB = 8192;
const SMALL = 1024;
let slab = new ArrayBuffer(SLAB);
let used = 0;

/** `length` zeros, to be handed out as a copy alone: its buffer is others' as well. */
export function carve(length: number): Uint8Array {
  if (length > SMALL) return new Uint8Array(length);
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

/** A block, with whatever was in it before where it was used. */
export function takeBlock(): Uint8Array {
  return free.pop() ?? new Uint8Array(new ArrayBuffer(BLOCK));
}

/** `bytes` is not needed any more, and no part of it is anybody's. Others than whole blocks are left to the collector. */
export function giveBlock(bytes: Uint8Array): void {
  if (bytes.length === BLOCK && free.length < MAX_POOLED_BLOCKS) free.push(bytes);
}
