// Received bytes in order: rfc9000#2.2. Data is copied once, into blocks at its offset, so that memory is bounded by
// the flow control window itself whatever the order or size of the frames. Blocks are what zero-copy reads hand out.

import { MAX_STREAM_GAPS } from "../protocol/limits.ts";
import { RangeSet } from "./range-set.ts";

const MIN_BLOCK = 2048;
const MAX_BLOCK = 65536;

interface Block {
  readonly start: number;
  /** Offsets up to here are the block's; less than its capacity once part of it was handed out. */
  end: number;
  readonly bytes: Uint8Array;
}

export class Reassembly {
  #blocks: Block[] = [];
  /** Next offset to read. */
  read = 0;
  /** Everything below has arrived. */
  contiguous = 0;
  /** What arrived above `contiguous`. */
  readonly #beyond = new RangeSet();
  #nextBlock = MIN_BLOCK;

  get available(): number {
    return this.contiguous - this.read;
  }

  /**
   * Stores data at `offset`. `finalSize` (Infinity while unknown) keeps the last block from being larger than needed.
   * False where there would be more gaps than are kept; nothing is stored then.
   */
  insert(offset: number, buf: Uint8Array, start: number, length: number, finalSize: number): boolean {
    const end = offset + length;
    if (end <= this.contiguous) return true;
    if (offset < this.contiguous) {
      start += this.contiguous - offset;
      offset = this.contiguous;
    }
    const inOrder = offset === this.contiguous;
    if (!inOrder && this.#beyond.count >= MAX_STREAM_GAPS && !this.#beyond.overlaps(offset - 1, end + 1))
      return false;
    this.#store(offset, buf, start, end - offset, finalSize);
    if (inOrder && this.#beyond.isEmpty) {
      this.contiguous = end;
      return true;
    }
    this.#beyond.add(offset, end);
    if (this.#beyond.start(0) <= this.contiguous) {
      this.contiguous = this.#beyond.end(0);
      this.#beyond.remove(0, this.contiguous);
    }
    return true;
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
        block = this.#makeBlock(i, offset, length, finalSize);
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

  /** A block at `offset` that reaches no further than the next block or the end of the stream. */
  #makeBlock(i: number, offset: number, length: number, finalSize: number): Block {
    let size = Math.max(length, this.#nextBlock);
    size = Math.min(size, MAX_BLOCK, finalSize - offset);
    const next = this.#blocks[i];
    if (next !== undefined) size = Math.min(size, next.start - offset);
    if (this.#nextBlock < MAX_BLOCK) this.#nextBlock *= 2;
    return { start: offset, end: offset + size, bytes: new Uint8Array(size) };
  }

  /** Copies up to `target.length` bytes out. */
  readInto(target: Uint8Array): number {
    const total = this.copyOut(target, Math.min(target.length, this.available));
    this.skip(total);
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
      if (upTo === block.end) chunks.push(8 * n >= block.bytes.length ? view : view.slice());
      else if (
        8 * n < block.bytes.length ||
        upTo < this.contiguous ||
        this.#beyond.overlaps(upTo, block.end)
      ) {
        chunks.push(view.slice());
      } else {
        chunks.push(view);
        // Later data of this range gets a block of its own.
        block.end = upTo;
      }
      this.skip(n);
      left -= n;
    }
    return chunks;
  }

  /** Moves the read position; blocks behind it go. */
  skip(n: number): void {
    this.read += n;
    const blocks = this.#blocks;
    let gone = 0;
    while (gone < blocks.length && blocks[gone]!.end <= this.read) gone++;
    if (gone > 0) blocks.splice(0, gone);
  }

  /** Bytes of memory held. */
  get memory(): number {
    let total = 0;
    for (const block of this.#blocks) total += block.bytes.length;
    return total;
  }

  clear(): void {
    this.#blocks = [];
    this.#beyond.clear();
    this.read = this.contiguous;
  }
}

/** Small copies by hand: a subarray would cost more than they do. */
function copyBytes(to: Uint8Array, at: number, from: Uint8Array, start: number, n: number): void {
  if (n > 64) to.set(from.subarray(start, start + n), at);
  else for (let i = 0; i < n; i++) to[at + i] = from[start + i]!;
}
