// Blocks of stream data that go round: a transfer needs one for every 64 KiB, each way, and what is allocated and
// collected at that rate costs a fifth of the time. Only blocks that nobody outside has seen come back.

import { MAX_POOLED_BLOCKS } from "../protocol/limits.ts";

/** Bytes of a block that is pooled. */
export const BLOCK = 65_536;

const free: Uint8Array[] = [];

/** A block, with whatever was in it before where it was used. */
export function takeBlock(): Uint8Array {
  return free.pop() ?? new Uint8Array(new ArrayBuffer(BLOCK));
}

/** `bytes` is not needed any more, and no part of it is anybody's. Others than whole blocks are left to the collector. */
export function giveBlock(bytes: Uint8Array): void {
  if (bytes.length === BLOCK && free.length < MAX_POOLED_BLOCKS) free.push(bytes);
}
