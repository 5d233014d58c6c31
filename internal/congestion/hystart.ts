// HyStart++: leaves the first slow start when the round trips grow, before packets are lost. RFC 9406.

import type { Space } from "../protocol/constants.ts";
import type { AckedBatch } from "./controller.ts";

/** rfc9406#4.3 MIN_RTT_THRESH and MAX_RTT_THRESH, ms */
const MIN_RTT_THRESH = 4;
const MAX_RTT_THRESH = 16;
/** MIN_RTT_DIVISOR */
const MIN_RTT_DIVISOR = 8;
/** N_RTT_SAMPLE */
const N_RTT_SAMPLE = 8;
/** CSS_GROWTH_DIVISOR */
const CSS_GROWTH_DIVISOR = 4;
/** CSS_ROUNDS */
const CSS_ROUNDS = 5;
/** L, in datagrams, for senders that do not pace. */
const UNPACED_LIMIT = 8;

/** The first slow start of one connection: standard, then conservative (CSS), then over. */
export class HyStart {
  /** In conservative slow start. */
  conservative = false;
  /** Slow start is to end. */
  done = false;
  readonly #paced: boolean;
  #space: Space | -1 = -1;
  /** rfc9406#4.2 a round ends when the packet that would have been next at its start is acknowledged. */
  #windowEnd = 0;
  #lastRoundMin = Infinity;
  #currentRoundMin = Infinity;
  #samples = 0;
  #cssBaseline = Infinity;
  #cssRounds = 0;

  constructor(paced: boolean) {
    this.#paced = paced;
  }

  /** Bytes by which the window grows for `bytes` acknowledged. */
  growth(bytes: number, maxDatagramSize: number): number {
    const counted = this.#paced ? bytes : Math.min(bytes, UNPACED_LIMIT * maxDatagramSize);
    return this.conservative ? counted / CSS_GROWTH_DIVISOR : counted;
  }

  onAck(batch: AckedBatch): void {
    // Numbers of different spaces do not compare: a round in a new one begins with its first ACK.
    if (batch.space !== this.#space) {
      this.#space = batch.space;
      this.#startRound(batch.nextNumber);
    } else if (batch.largestAcked >= this.#windowEnd) {
      if (this.conservative && ++this.#cssRounds >= CSS_ROUNDS) {
        // rfc9406#4.2 If CSS_ROUNDS rounds are complete, enter congestion avoidance.
        this.done = true;
        return;
      }
      this.#startRound(batch.nextNumber);
    }
    if (!batch.hasRttSample) return;
    this.#currentRoundMin = Math.min(this.#currentRoundMin, batch.latestRtt);
    if (++this.#samples < N_RTT_SAMPLE) return;
    if (this.conservative) {
      // rfc9406#4.2 a round trip below the baseline: the increase was no queue of ours. Resume standard slow start.
      if (this.#currentRoundMin >= this.#cssBaseline) return;
      this.#cssBaseline = Infinity;
      this.conservative = false;
      return;
    }
    if (this.#lastRoundMin === Infinity) return;
    // rfc9406#4.2 RttThresh = max(MIN_RTT_THRESH, min(lastRoundMinRTT / MIN_RTT_DIVISOR, MAX_RTT_THRESH))
    const threshold = Math.max(
      MIN_RTT_THRESH,
      Math.min(this.#lastRoundMin / MIN_RTT_DIVISOR, MAX_RTT_THRESH),
    );
    if (this.#currentRoundMin < this.#lastRoundMin + threshold) return;
    this.#cssBaseline = this.#currentRoundMin;
    this.conservative = true;
    // rfc9406#4.2 If the transition into CSS happens in the middle of a round, that partial round counts.
    this.#cssRounds = 0;
  }

  #startRound(nextNumber: number): void {
    this.#windowEnd = nextNumber;
    this.#lastRoundMin = this.#currentRoundMin;
    this.#currentRoundMin = Infinity;
    this.#samples = 0;
  }

  reset(): void {
    this.conservative = this.done = false;
    this.#space = -1;
    this.#lastRoundMin = this.#currentRoundMin = this.#cssBaseline = Infinity;
    this.#samples = this.#cssRounds = 0;
  }
}
