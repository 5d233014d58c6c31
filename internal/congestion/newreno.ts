// NewReno as rfc9002#7 has it.

import type { AckedBatch, CongestionController, CongestionControllerFactory } from "./controller.ts";

/** rfc9002#7.3.2 kLossReductionFactor */
const LOSS_REDUCTION = 0.5;
/** Pacing gain: slow start doubles per round, so it must leave faster than cwnd/srtt. rfc9002#7.7 suggests 1.25. */
const PACING_GAIN = 1.25;
const PACING_GAIN_SLOW_START = 2;

class NewReno implements CongestionController {
  readonly name = "newreno";
  cwnd: number;
  ssthresh = Infinity;
  #maxDatagramSize: number;
  #recoveryStart = -Infinity;
  #inRecovery = false;
  #acked = 0;
  #appLimited = false;

  constructor(maxDatagramSize: number) {
    this.#maxDatagramSize = maxDatagramSize;
    this.cwnd = initialWindow(maxDatagramSize);
  }

  get state(): string {
    if (this.#inRecovery) return "recovery";
    if (this.#appLimited) return "application_limited";
    return this.cwnd < this.ssthresh ? "slow_start" : "congestion_avoidance";
  }

  pacingRate(smoothedRtt: number): number {
    return ((this.cwnd < this.ssthresh ? PACING_GAIN_SLOW_START : PACING_GAIN) * this.cwnd) / smoothedRtt;
  }

  onPacketSent(): void {}

  onPacketsAcked(batch: AckedBatch): void {
    // rfc9002#7.3.2 a recovery period ends when a packet sent during it is acknowledged.
    if (batch.largestSentTime <= this.#recoveryStart) return;
    this.#inRecovery = false;
    // rfc9002#7.8 when the window is underutilized it SHOULD NOT be increased.
    if (this.#appLimited) return;
    if (this.cwnd < this.ssthresh) {
      this.cwnd += batch.bytes;
      return;
    }
    // rfc9002#7.3.3 at most one maximum datagram size for each congestion window that is acknowledged.
    this.#acked += batch.bytes;
    if (this.#acked >= this.cwnd) {
      this.#acked -= this.cwnd;
      this.cwnd += this.#maxDatagramSize;
    }
  }

  onPacketsLost(now: number, _bytes: number, largestSentTime: number): void {
    this.#congestionEvent(now, largestSentTime);
  }

  onEcnCe(now: number, sentTime: number): void {
    this.#congestionEvent(now, sentTime);
  }

  /** rfc9002#7.3.2: once per recovery period. */
  #congestionEvent(now: number, sentTime: number): void {
    if (sentTime <= this.#recoveryStart) return;
    this.#recoveryStart = now;
    this.#inRecovery = true;
    this.#acked = 0;
    this.ssthresh = Math.max(this.cwnd * LOSS_REDUCTION, this.#minimum);
    this.cwnd = this.ssthresh;
  }

  /** rfc9002#7.6.2 the sender's congestion window MUST be reduced to the minimum congestion window. */
  onPersistentCongestion(): void {
    this.cwnd = this.#minimum;
    this.#recoveryStart = -Infinity;
    this.#inRecovery = false;
    this.#acked = 0;
  }

  setAppLimited(appLimited: boolean): void {
    this.#appLimited = appLimited;
  }

  setMaxDatagramSize(bytes: number): void {
    this.#maxDatagramSize = bytes;
    this.cwnd = Math.max(this.cwnd, this.#minimum);
  }

  /** rfc9002#7.2 kMinimumWindow */
  get #minimum(): number {
    return 2 * this.#maxDatagramSize;
  }
}

/** rfc9002#7.2: ten times the maximum datagram size, limited to the larger of 14,720 bytes or twice that size. */
export function initialWindow(maxDatagramSize: number): number {
  return Math.min(10 * maxDatagramSize, Math.max(14_720, 2 * maxDatagramSize));
}

export const newRenoFactory: CongestionControllerFactory = ({ maxDatagramSize }) => new NewReno(maxDatagramSize);
