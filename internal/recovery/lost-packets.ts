// The last packets declared lost in one space, so that a late ACK shows a loss to be spurious: rfc9002#6.1.

import { MAX_REMEMBERED_LOSSES } from "../protocol/limits.ts";

const NONE = new Float64Array(0);

/** Who hears of losses that were none. */
export interface SpuriousLosses {
  /** `pn`, sent at `sentTime`, was declared lost at `lostAt`: by the time threshold or by the packet threshold. */
  onSpurious(pn: number, sentTime: number, lostAt: number, byTime: boolean): void;
}

/** Ascending numbers in a small ring: losses are declared in order. */
export class LostPackets {
  // Made with the first loss: most connections never have one.
  #numbers = NONE;
  #times = NONE;
  /** Negative where the time threshold declared it. */
  #sentTimes = NONE;
  #from = 0;
  #to = 0;

  /** `pn`, declared lost at `now`, is above every number added before. */
  add(pn: number, now: number, sentTime: number, byTime: boolean): void {
    if (this.#numbers.length === 0) {
      this.#numbers = new Float64Array(MAX_REMEMBERED_LOSSES);
      this.#times = new Float64Array(MAX_REMEMBERED_LOSSES);
      this.#sentTimes = new Float64Array(MAX_REMEMBERED_LOSSES);
    }
    if (this.#to - this.#from === MAX_REMEMBERED_LOSSES) this.#from++;
    const i = this.#to++ % MAX_REMEMBERED_LOSSES;
    this.#numbers[i] = pn;
    this.#times[i] = now;
    this.#sentTimes[i] = byTime ? -sentTime : sentTime;
  }

  /** Forgets losses declared before `time`. */
  expire(time: number): void {
    while (this.#from < this.#to && this.#times[this.#from % MAX_REMEMBERED_LOSSES]! < time) this.#from++;
  }

  /** How many of them `ranges` (pairs, the highest first) acknowledge; they are not counted again. */
  takeAcked(ranges: Float64Array, rangeCount: number, sink: SpuriousLosses): number {
    let kept = this.#from;
    let range = rangeCount - 1;
    for (let at = this.#from; at < this.#to; at++) {
      const from = at % MAX_REMEMBERED_LOSSES;
      const pn = this.#numbers[from]!;
      while (range >= 0 && ranges[2 * range + 1]! < pn) range--;
      if (range >= 0 && ranges[2 * range]! <= pn) {
        const sentTime = this.#sentTimes[from]!;
        sink.onSpurious(pn, Math.abs(sentTime), this.#times[from]!, sentTime < 0);
        continue;
      }
      const to = kept++ % MAX_REMEMBERED_LOSSES;
      if (to === from) continue;
      this.#numbers[to] = pn;
      this.#times[to] = this.#times[from]!;
      this.#sentTimes[to] = this.#sentTimes[from]!;
    }
    const taken = this.#to - kept;
    this.#to = kept;
    return taken;
  }

  clear(): void {
    this.#from = this.#to;
  }
}
