// How often something may happen: so many at once, so many a second.

/** Counts events that cost the peer little and us something. */
export class Allowance {
  readonly #burst: number;
  readonly #perMs: number;
  #left: number;
  #at = performance.now();

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perMs = perSecond / 1000;
    this.#left = burst;
  }

  /** Takes one. False where there is none left. */
  take(): boolean {
    if (this.#left < 1) {
      const now = performance.now();
      this.#left = Math.min(this.#burst, this.#left + (now - this.#at) * this.#perMs);
      this.#at = now;
      if (this.#left < 1) return false;
    } else if (this.#left === this.#burst) this.#at = performance.now();
    this.#left--;
    return true;
  }
}
