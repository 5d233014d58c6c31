/** Sorted, disjoint half-open ranges of offsets in a growing Float64Array. Small: tens of ranges at most in practice. */
export class RangeSet {
  #data = new Float64Array(16);
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

  /** Adds [start, end), joining what it touches. */
  add(start: number, end: number): void {
    if (start >= end) return;
    const data = this.#data;
    // First range that ends at or behind start; the common case is the last one or behind it.
    let at = this.#count;
    while (at > 0 && data[2 * at - 1]! >= start) at--;
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
    for (let i = 0; i < this.#count;) {
      const from = this.#data[2 * i]!;
      const to = this.#data[2 * i + 1]!;
      if (to <= start) i++;
      else if (from >= end) return;
      else if (from < start && to > end) {
        this.#open(i + 1);
        this.#data[2 * i + 1] = start;
        this.#data[2 * i + 2] = end;
        this.#data[2 * i + 3] = to;
        return;
      } else if (from < start) {
        this.#data[2 * i + 1] = start;
        i++;
      } else if (to > end) {
        this.#data[2 * i] = end;
        return;
      } else this.#close(i, i + 1);
    }
  }

  /** Whether any offset of [start, end) is in the set. */
  overlaps(start: number, end: number): boolean {
    for (let i = 0; i < this.#count; i++) {
      if (this.#data[2 * i]! >= end) return false;
      if (this.#data[2 * i + 1]! > start) return true;
    }
    return false;
  }

  clear(): void {
    this.#count = 0;
  }

  #open(at: number): void {
    if (2 * (this.#count + 1) > this.#data.length) {
      const grown = new Float64Array(2 * this.#data.length);
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
