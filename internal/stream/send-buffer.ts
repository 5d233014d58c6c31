// Bytes written and not acknowledged: kept in blocks, read by range when they are sent or sent again.

import { MIN_OWNED_CHUNK } from "../protocol/limits.ts";
import { WIDE } from "../protocol/wide.ts";
import { BLOCK, giveBlock, takeBlock } from "./block-pool.ts";
import { copyBytes } from "./copy.ts";
import { RangeSet } from "./range-set.ts";

interface Block {
  readonly start: number;
  bytes: Uint8Array;
  /** Bytes in use; the rest of a block of ours takes the next writes. */
  length: number;
  readonly ours: boolean;
}

export class SendBuffer {
  #blocks: Block[] = [];
  #head = 0;
  /** Everything below was acknowledged. */
  base = WIDE;
  /** One past the last byte written. */
  end = WIDE;
  readonly #acked = new RangeSet();
  /** Block that was read last: sequential sending finds its block at once. */
  #cursor = 0;

  constructor() {
    this.base = this.end = 0;
  }

  /** Bytes held. */
  get size(): number {
    return this.end - this.base;
  }

  /** Appends `length` bytes of `data` from `from`, copying them unless `owned` and worth it. */
  append(data: Uint8Array, from: number, length: number, owned: boolean): void {
    if (owned && length >= MIN_OWNED_CHUNK) {
      this.#blocks.push({ start: this.end, bytes: data.subarray(from, from + length), length, ours: false });
      this.end += length;
      return;
    }
    let left = length;
    let at = from;
    while (left > 0) {
      let block = this.#blocks[this.#blocks.length - 1];
      if (block === undefined || !block.ours || block.length === block.bytes.length) {
        // Small messages get small blocks; a bulk write fills whole ones.
        const size = left >= BLOCK ? BLOCK : Math.min(BLOCK, Math.max(left, this.size === 0 ? 0 : 4096));
        block = { start: this.end, bytes: takeBlock(size), length: 0, ours: true };
        this.#blocks.push(block);
      }
      const n = Math.min(left, block.bytes.length - block.length);
      block.bytes.set(at === 0 && n === data.length ? data : data.subarray(at, at + n), block.length);
      block.length += n;
      this.end += n;
      at += n;
      left -= n;
    }
  }

  /** Copies [offset, offset + length) to `buf` at `pos`. */
  copyTo(buf: Uint8Array, pos: number, offset: number, length: number): void {
    // rfc9000#2.2 The data at a given offset MUST NOT change if it is sent multiple times; an endpoint MAY treat
    // receipt of different data at the same offset within a stream as a …
    let i = this.#find(offset);
    while (length > 0) {
      const block = this.#blocks[i++]!;
      const from = offset - block.start;
      const n = Math.min(length, block.length - from);
      copyBytes(buf, pos, block.bytes, from, n);
      pos += n;
      offset += n;
      length -= n;
    }
  }

  #find(offset: number): number {
    let i = Math.max(this.#cursor, this.#head);
    const blocks = this.#blocks;
    if (i >= blocks.length || blocks[i]!.start > offset) {
      let low = this.#head;
      let high = blocks.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (blocks[middle]!.start <= offset) low = middle;
        else high = middle - 1;
      }
      i = low;
    }
    while (offset >= blocks[i]!.start + blocks[i]!.length) i++;
    this.#cursor = i;
    return i;
  }

  /** [offset, offset + length) was acknowledged; blocks that are no longer needed go. */
  acked(offset: number, length: number): void {
    const end = offset + length;
    if (end <= this.base) return;
    if (offset <= this.base && this.#acked.isEmpty) this.base = end;
    else {
      this.#acked.add(Math.max(offset, this.base), end);
      if (this.#acked.start(0) > this.base) return;
      this.base = this.#acked.end(0);
      this.#acked.remove(0, this.base);
    }
    const blocks = this.#blocks;
    while (this.#head < blocks.length) {
      const block = blocks[this.#head]!;
      if (block.start + block.length > this.base) break;
      // The last block of ours goes too: a settled stream holds no memory, and the next write gets a new one.
      if (block.ours) giveBlock(block.bytes);
      block.bytes = EMPTY;
      block.length = 0;
      this.#head++;
    }
    if (this.#head > 32 && this.#head * 2 > blocks.length) {
      this.#blocks = blocks.slice(this.#head);
      this.#cursor = Math.max(0, this.#cursor - this.#head);
      this.#head = 0;
    }
  }

  /** Adds to `set` what of [offset, offset + length) was not acknowledged. */
  addUnacked(set: RangeSet, offset: number, length: number): void {
    const end = offset + length;
    const acked = this.#acked;
    let at = Math.max(offset, this.base);
    for (let i = acked.firstEndingFrom(at + 1); i < acked.count && at < end; i++) {
      set.add(at, Math.min(end, acked.start(i)));
      at = Math.max(at, acked.end(i));
    }
    set.add(at, end);
  }

  /** Forgets what lies at `end` and behind it. */
  truncate(end: number): void {
    if (end <= this.base) {
      this.end = Math.max(end, this.base);
      this.clear();
      return;
    }
    while (this.#blocks.length > this.#head && this.#blocks[this.#blocks.length - 1]!.start >= end) {
      const { bytes, ours } = this.#blocks.pop()!;
      if (ours) giveBlock(bytes);
    }
    const last = this.#blocks[this.#blocks.length - 1]!;
    last.length = Math.min(last.length, end - last.start);
    this.#acked.remove(end, Infinity);
    this.#cursor = this.#head;
    this.end = end;
  }

  /** Forgets everything. */
  clear(): void {
    for (const { bytes, ours } of this.#blocks) if (ours) giveBlock(bytes);
    this.#blocks = [];
    this.#head = this.#cursor = 0;
    this.#acked.clear();
    this.base = this.end;
  }
}

const EMPTY = new Uint8Array(0);
