// The maximum of a stream of values over a sliding window in constant memory: Kathleen Nichols' algorithm, which keeps the
// best, the second best after it and the third best after that.

export class WindowedMax {
  #v0 = 0;
  #v1 = 0;
  #v2 = 0;
  #t0 = 0;
  #t1 = 0;
  #t2 = 0;

  get value(): number {
    return this.#v0;
  }

  reset(value: number, time: number): void {
    this.#v0 = this.#v1 = this.#v2 = value;
    this.#t0 = this.#t1 = this.#t2 = time;
  }

  /** A value at a time, in whatever unit `window` is in. Returns the maximum. */
  update(value: number, time: number, window: number): number {
    if (value >= this.#v0 || time - this.#t2 > window) {
      this.reset(value, time);
      return value;
    }
    if (value >= this.#v1) {
      this.#v1 = this.#v2 = value;
      this.#t1 = this.#t2 = time;
    } else if (value >= this.#v2) {
      this.#v2 = value;
      this.#t2 = time;
    }
    if (time - this.#t0 > window) {
      // The best is too old: the next ones move up, and the window may have passed the second best too.
      this.#shift(value, time);
      if (time - this.#t0 > window) this.#shift(value, time);
    } else if (this.#t1 === this.#t0 && time - this.#t0 > window / 4) {
      // A quarter of the window without a second best: take one from the second quarter.
      this.#v1 = this.#v2 = value;
      this.#t1 = this.#t2 = time;
    } else if (this.#t2 === this.#t1 && time - this.#t0 > window / 2) {
      this.#v2 = value;
      this.#t2 = time;
    }
    return this.#v0;
  }

  #shift(value: number, time: number): void {
    this.#v0 = this.#v1;
    this.#t0 = this.#t1;
    this.#v1 = this.#v2;
    this.#t1 = this.#t2;
    this.#v2 = value;
    this.#t2 = time;
  }
}
