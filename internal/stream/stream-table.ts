// Streams by ID: open addressing in two arrays. A Map that is filled and emptied all the time is replaced again and again
// from within, and its old tables, once they are old, keep everything alive that was in them: all streams of a busy
// connection would live until the next full collection.

import type { Stream } from "./stream.ts";

const SMALLEST = 16;

export class StreamTable {
  #ids = NO_IDS;
  #streams: (Stream | null)[] = NO_STREAMS;
  /** Capacity − 1; the capacity is a power of two. */
  #mask = -1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    if (this.#size === 0) return undefined;
    const mask = this.#mask;
    for (let at = slot(id) & mask; ; at = (at + 1) & mask) {
      const stream = this.#streams[at]!;
      if (stream === null) return undefined;
      if (this.#ids[at] === id) return stream;
    }
  }

  /** `id` is not in the table. */
  add(id: number, stream: Stream): void {
    // At most half full: a search ends soon.
    if (2 * (this.#size + 1) > this.#streams.length) this.#grow();
    const mask = this.#mask;
    let at = slot(id) & mask;
    while (this.#streams[at] !== null) at = (at + 1) & mask;
    this.#ids[at] = id;
    this.#streams[at] = stream;
    this.#size++;
  }

  delete(id: number): void {
    if (this.#size === 0) return;
    const mask = this.#mask;
    const streams = this.#streams;
    let hole = slot(id) & mask;
    while (this.#ids[hole] !== id || streams[hole] === null) {
      if (streams[hole] === null) return;
      hole = (hole + 1) & mask;
    }
    streams[hole] = null;
    this.#size--;
    // What lies behind the hole and could have been put there, or before, moves up, so that searches find it.
    for (let at = (hole + 1) & mask; streams[at] !== null; at = (at + 1) & mask) {
      const home = slot(this.#ids[at]!) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      this.#ids[hole] = this.#ids[at]!;
      streams[hole] = streams[at]!;
      streams[at] = null;
      hole = at;
    }
  }

  /** All of them, in no order. */
  values(): Stream[] {
    return this.#streams.filter((stream) => stream !== null);
  }

  #grow(): void {
    const capacity = Math.max(SMALLEST, 2 * this.#streams.length);
    const ids = this.#ids;
    const streams = this.#streams;
    this.#ids = new Float64Array(capacity);
    this.#streams = new Array<Stream | null>(capacity).fill(null);
    this.#mask = capacity - 1;
    this.#size = 0;
    streams.forEach((stream, i) => {
      if (stream !== null) this.add(ids[i]!, stream);
    });
  }
}

const NO_IDS = new Float64Array(0);
const NO_STREAMS: (Stream | null)[] = [];

/** Where the search for `id` begins. IDs of a kind are four apart, and a peer may choose which ones it uses. */
function slot(id: number): number {
  return Math.imul((id >>> 0) ^ Math.floor(id / 2 ** 32), 0x9e3779b1) >>> 7;
}
