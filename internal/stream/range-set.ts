/**
 * Sorted, disjoint half-open ranges of offsets in a growing Float64Array. Positions are found by halving, so that a
 * peer that provokes many ranges buys little work with them. An empty set holds no memory.
 */
export class RangeSet {
  #data = EMPTY;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  start(i: number): number {
    return this.#data[2 * i]!;
  }

  end(i: number): number {
    return this.#data[2 * i + 1]!;
  }

  /** Index of the first range that ends at `offset` or behind it; `count` for none. */
  firstEndingFrom(offset: number): number {
    const data = this.#data;
    let high = this.#count;
    // What is added mostly comes at the end.
    if (high === 0 || data[2 * high - 1]! < offset) return high;
    let low = 0;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data[2 * middle + 1]! < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Adds [start, end), joining what it touches. */
  add(start: number, end: number): void {
    if (start >= end) return;
    const at = this.firstEndingFrom(start);
    const data = this.#data;
    let to = at;
    while (to < this.#count && data[2 * to]! <= end) to++;
    if (at === to) {
      this.#open(at);
      this.#data[2 * at] = start;
      this.#data[2 * at + 1] = end;
      return;
    }
    data[2 * at] = Math.min(data[2 * at]!, start);
    data[2 * at + 1] = Math.max(data[2 * to - 1]!, end);
    this.#close(at + 1, to);
  }

  /** Removes [start, end). */
  remove(start: number, end: number): void {
    if (start >= end) return;
    const from = this.firstEndingFrom(start + 1);
    let to = from;
    while (to < this.#count && this.#data[2 * to]! < end) to++;
    if (from === to) return;
    const first = this.#data[2 * from]!;
    const last = this.#data[2 * to - 1]!;
    if (first < start && last > end) {
      // What stays on both sides: one range becomes two, two or more lose what is between.
      if (to === from + 1) this.#open(to++);
      else this.#close(from + 1, to - 1);
      this.#data[2 * from + 1] = start;
      this.#data[2 * from + 2] = end;
      this.#data[2 * from + 3] = last;
    } else if (first < start) {
      this.#data[2 * from + 1] = start;
      this.#close(from + 1, to);
    } else if (last > end) {
      this.#data[2 * to - 2] = end;
      this.#close(from, to - 1);
    } else this.#close(from, to);
  }

  /** Whether any offset of [start, end) is in the set. */
  overlaps(start: number, end: number): boolean {
    const at = this.firstEndingFrom(start + 1);
    return at < this.#count && this.#data[2 * at]! < end;
  }

  clear(): void {
    this.#data = EMPTY;
    this.#count = 0;
  }

  #open(at: number): void {
    if (2 * (this.#count + 1) > this.#data.length) {
      const grown = new Float64Array(Math.max(8, 2 * this.#data.length));
      grown.set(this.#data);
      this.#data = grown;
    }
    this.#data.copyWithin(2 * at + 2, 2 * at, 2 * this.#count);
    this.#count++;
  }

  #close(from: number, to: number): void {
    if (from >= to) return;
    this.#data.copyWithin(2 * from, 2 * to, 2 * this.#count);
    this.#count -= to - from;
  }
}

const EMPTY = new Float64Array(0);
