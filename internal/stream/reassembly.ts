// Received bytes in order: rfc9000#2.2. Data is copied once, into blocks at its offset, so that memory is bounded by
// the flow control window itself whatever the order or size of the frames. Blocks are what zero-copy reads hand out.
//
// Blocks lie in cells, whose borders depend on the offset alone: [0, 2 Ki), then each as long as all before it, up to
// 64 KiB. A cell has one block at most. So the blocks of a stream never hold more than about twice the highest offset
// received, which flow control counts, and never are more than a few per window: frames of one byte buy nothing.

import { MAX_STREAM_GAPS, STREAM_GAP_SPACING } from "../protocol/limits.ts";
import { WIDE } from "../protocol/wide.ts";
import { BLOCK, giveBlock, isCarved, takeBlock } from "./block-pool.ts";
import { copyBytes } from "./copy.ts";
import { RangeSet } from "./range-set.ts";

const MIN_BLOCK = 2048;
const MAX_BLOCK = BLOCK;

class Block {
  readonly start: number = WIDE;
  /** Offsets up to here are the block's; less than its capacity once part of it was handed out. */
  end = WIDE;
  readonly bytes: Uint8Array;

  constructor(start: number, end: number) {
    this.start = start;
    this.end = end;
    this.bytes = takeBlock(end - start);
  }
}

/** Where the cell of `offset` begins. */
function cellStart(offset: number): number {
  if (offset >= MAX_BLOCK) return offset - (offset % MAX_BLOCK);
  // The highest power of two at or below the offset.
  return offset < MIN_BLOCK ? 0 : 1 << (31 - Math.clz32(offset));
}

/** Where the cell that begins at `start` ends. */
function cellEnd(start: number): number {
  return start + Math.min(MAX_BLOCK, Math.max(MIN_BLOCK, start));
}

export class Reassembly {
  #blocks: Block[] = [];
  /** Next offset to read. */
  read = WIDE;
  /** Everything below has arrived. */
  contiguous = WIDE;
  /** What arrived above `contiguous`. */
  readonly #beyond = new RangeSet();

  constructor() {
    this.read = this.contiguous = 0;
  }

  get available(): number {
    return this.contiguous - this.read;
  }

  /**
   * Stores data at `offset`. `finalSize` (Infinity while unknown) keeps the last block from being larger than needed.
   * Where data overlaps what arrived before, what came first stays: rfc9000#2.2 it MUST NOT change if it is sent again.
   * False where there would be more gaps than are kept; nothing is stored then.
   */
  insert(offset: number, buf: Uint8Array, start: number, length: number, finalSize: number): boolean {
    const end = offset + length;
    // Nothing in it, or nothing new. An empty frame ahead of a gap is one as well: it only carries the end.
    if (length === 0 || end <= this.contiguous) return true;
    if (offset < this.contiguous) {
      start += this.contiguous - offset;
      offset = this.contiguous;
    }
    const inOrder = offset === this.contiguous;
    if (!inOrder && this.#beyond.count >= MAX_STREAM_GAPS && this.#isFull(offset, end)) return false;
    const beyond = this.#beyond;
    if (beyond.isEmpty) {
      this.#store(offset, buf, start, end - offset, finalSize);
      if (inOrder) this.contiguous = end;
      else beyond.add(offset, end);
      return true;
    }
    let at = offset;
    for (let i = beyond.firstEndingFrom(offset + 1); i < beyond.count && at < end; i++) {
      const upTo = Math.min(end, beyond.start(i));
      if (upTo > at) this.#store(at, buf, start + at - offset, upTo - at, finalSize);
      at = Math.max(at, beyond.end(i));
    }
    if (at < end) this.#store(at, buf, start + at - offset, end - at, finalSize);
    beyond.add(offset, end);
    if (beyond.start(0) <= this.contiguous) {
      this.contiguous = beyond.end(0);
      beyond.remove(0, this.contiguous);
    }
    return true;
  }

  /** Whether [offset, end) would be one range too many. */
  #isFull(offset: number, end: number): boolean {
    const beyond = this.#beyond;
    if (beyond.overlaps(offset - 1, end + 1)) return false;
    const span = Math.max(end, beyond.end(beyond.count - 1)) - this.contiguous;
    return span < (beyond.count + 1) * STREAM_GAP_SPACING;
  }

  #store(offset: number, buf: Uint8Array, start: number, length: number, finalSize: number): void {
    const blocks = this.#blocks;
    // In order the place is the last block or behind it.
    let i = blocks.length;
    while (i > 0 && blocks[i - 1]!.start > offset) i--;
    if (i > 0 && offset < blocks[i - 1]!.end) i--;
    while (length > 0) {
      let block = blocks[i];
      if (block === undefined || block.start > offset) {
        block = this.#makeBlock(offset, finalSize);
        blocks.splice(i, 0, block);
      }
      const n = Math.min(length, block.end - offset);
      copyBytes(block.bytes, offset - block.start, buf, start, n);
      offset += n;
      start += n;
      length -= n;
      i++;
    }
  }

  /** A block for the cell of `offset`, or for what is unread of it, up to the end of the stream. */
  #makeBlock(offset: number, finalSize: number): Block {
    const cell = cellStart(offset);
    const start = Math.max(cell, this.read);
    const end = Math.min(cellEnd(cell), finalSize);
    return new Block(start, end);
  }

  /** Copies up to `target.length` bytes out. */
  readInto(target: Uint8Array): number {
    // rfc9000#2.2 Endpoints MUST be able to deliver stream data to an application as an ordered byte stream.
    const total = this.copyOut(target, Math.min(target.length, this.available));
    this.#forget(total, true);
    return total;
  }

  /** Copies the first `length` available bytes without reading them. */
  copyOut(target: Uint8Array, length: number): number {
    let done = 0;
    for (const block of this.#blocks) {
      if (done === length) break;
      const from = this.read + done - block.start;
      const n = Math.min(length - done, block.end - this.read - done);
      if (n <= 0) continue;
      target.set(block.bytes.subarray(from, from + n), done);
      done += n;
    }
    return done;
  }

  /**
   * Hands out up to `maxBytes` in the blocks themselves: the caller's for good, never written again. Where that would
   * pin much more memory than it gives (under an eighth of the block), or the block holds later data, it is a copy.
   */
  readChunks(maxBytes: number): Uint8Array[] {
    const chunks: Uint8Array[] = [];
    let left = Math.min(maxBytes, this.available);
    while (left > 0) {
      const block = this.#blocks[0]!;
      const from = this.read - block.start;
      const n = Math.min(left, block.end - this.read);
      const upTo = this.read + n;
      const view = block.bytes.subarray(from, from + n);
      if (isCarved(block.bytes)) chunks.push(view.slice());
      else if (upTo === block.end) chunks.push(8 * n >= block.bytes.length ? own(block, view) : view.slice());
      else if (
        8 * n < block.bytes.length ||
        upTo < this.contiguous ||
        this.#beyond.overlaps(upTo, block.end)
      ) {
        chunks.push(view.slice());
      } else {
        chunks.push(own(block, view));
        // Later data of this range gets a block of its own.
        block.end = upTo;
      }
      this.#forget(n, false);
      left -= n;
    }
    return chunks;
  }

  /** Moves the read position; blocks behind it go, back to the pool where no part of them was handed out. */
  #forget(n: number, reuse: boolean): void {
    this.read += n;
    const blocks = this.#blocks;
    let gone = 0;
    while (gone < blocks.length && blocks[gone]!.end <= this.read) {
      if (reuse) giveBlock(blocks[gone]!.bytes);
      gone++;
    }
    if (gone > 0) blocks.splice(0, gone);
    // Everything was read: a stream that waits holds no memory, and what comes next lies where the cache is warm.
    if (blocks.length > 0 && this.read === this.contiguous && this.#beyond.isEmpty) this.#release();
  }

  #release(): void {
    for (const { bytes } of this.#blocks) giveBlock(bytes);
    this.#blocks.length = 0;
  }

  /** Bytes that have arrived, in whatever order. */
  get arrived(): number {
    let total = this.contiguous;
    for (let i = 0; i < this.#beyond.count; i++) total += this.#beyond.end(i) - this.#beyond.start(i);
    return total;
  }

  /** Bytes of memory held. */
  get memory(): number {
    let total = 0;
    for (const block of this.#blocks) total += block.bytes.length;
    return total;
  }

  clear(): void {
    this.#release();
    this.#beyond.clear();
    this.read = this.contiguous;
  }
}

/**
 * `view` is the caller's for good, and by its buffer the whole block: what another stream may have left behind the data
 * goes.
 */
function own(block: Block, view: Uint8Array): Uint8Array {
  const end = view.byteOffset - block.bytes.byteOffset + view.length;
  if (end < block.bytes.length) block.bytes.fill(0, end);
  return view;
}
