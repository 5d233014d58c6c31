// A rate limit: so many per second, and so many at once.

export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #at = -Infinity;

  constructor(perSecond: number, burst: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes one where there is one. A clock that stands still or goes back adds nothing. */
  take(now: number): boolean {
    if (!this.has(now)) return false;
    this.#tokens--;
    return true;
  }

  /** Whether there is one. */
  has(now: number): boolean {
    if (now > this.#at) {
      const elapsed = this.#at === -Infinity ? 0 : now - this.#at;
      this.#tokens = Math.min(this.#burst, this.#tokens + elapsed * this.#perMs);
      this.#at = now;
    }
    return this.#tokens >= 1;
  }
}
