// Whether sending faster still brings more: draft-ietf-ccwg-bbr, "Exiting Acceleration Based on Bandwidth Plateau".

import type { RateSample } from "./delivery-rate.ts";

const GROWTH = 1.25;
const ROUNDS = 3;

export class FullPipe {
  /** Full at some time of the connection's. */
  reached = false;
  /** Full since it was asked last. */
  now = false;
  #bw = 0;
  #rounds = 0;

  /** ResetFullBW: asks anew, with `bw` as what must grow. */
  reset(bw: number): void {
    this.#bw = bw;
    this.#rounds = 0;
    this.now = false;
  }

  /** CheckFullBWReached: three round trips, not limited by the application, in which the rate grew by less than a quarter. */
  check(sample: RateSample, roundStart: boolean): void {
    if (this.now || !roundStart || sample.isAppLimited) return;
    if (sample.deliveryRate >= this.#bw * GROWTH) {
      this.reset(sample.deliveryRate);
      return;
    }
    if (++this.#rounds >= ROUNDS) this.now = this.reached = true;
  }
}
