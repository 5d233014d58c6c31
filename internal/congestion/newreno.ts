// NewReno as rfc9002#7 has it.

import type { AckedBatch, CongestionController, CongestionControllerFactory } from "./controller.ts";

/** rfc9002#7.3.2 kLossReductionFactor */
const LOSS_REDUCTION = 0.5;
/** Pacing gain: slow start doubles per round, so it must leave faster than cwnd/srtt. rfc9002#7.7 suggests 1.25. */
const PACING_GAIN = 1.25;
const PACING_GAIN_SLOW_START = 2;
/** So close to the window, in datagrams, it counts as used: what is missing may not have filled a packet or a burst. */
const UTILIZED_SLACK = 3;

class NewReno implements CongestionController {
  readonly name = "newreno";
  cwnd: number;
  ssthresh = Infinity;
  #maxDatagramSize: number;
  recoveryStart = -Infinity;
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
    if (batch.largestSentTime <= this.recoveryStart) return;
    this.#inRecovery = false;
    // rfc9002#7.8 when the window is underutilized it SHOULD NOT be increased.
    if (this.#appLimited && !this.#wasUtilized(batch.priorInFlight)) return;
    if (this.cwnd < this.ssthresh) {
      // rfc9002#7.3.1 the congestion window increases by the number of bytes acknowledged.
      this.cwnd += batch.bytesAfterRecovery;
      return;
    }
    // rfc9002#7.3.3 MUST limit the increase to the congestion window to at most one maximum datagram size for each
    // congestion window that is acknowledged.
    this.#acked += batch.bytesAfterRecovery;
    if (this.#acked >= this.cwnd) {
      this.#acked -= this.cwnd;
      this.cwnd += this.#maxDatagramSize;
    }
  }

  /**
   * An application that just ran out of data may still have filled the window. In slow start half of it will do, since
   * the other half may have been acknowledged by the frame before.
   */
  #wasUtilized(inFlight: number): boolean {
    if (this.cwnd < this.ssthresh && inFlight > this.cwnd / 2) return true;
    return inFlight >= this.cwnd - UTILIZED_SLACK * this.#maxDatagramSize;
  }

  onPacketsLost(now: number, _bytes: number, largestSentTime: number): void {
    this.#congestionEvent(now, largestSentTime);
  }

  onEcnCe(now: number, sentTime: number): void {
    this.#congestionEvent(now, sentTime);
  }

  /** rfc9002#7.3.2: once per recovery period. */
  #congestionEvent(now: number, sentTime: number): void {
    // rfc9000#13.3 Upon detecting losses, a sender MUST take appropriate congestion control action.
    // rfc9002#7.3.2 The congestion window MUST be set to the reduced value of the slow start threshold before exiting
    // the recovery period.
    // rfc9002#7.3.1 The sender MUST exit slow start and enter a recovery period when a packet is lost or when the
    // ECN-CE count reported by its peer increases.
    // A sender that is already in a recovery period stays in it and does not reenter it.
    if (sentTime <= this.recoveryStart) return;
    this.recoveryStart = now;
    this.#inRecovery = true;
    this.#acked = 0;
    // rfc9002#7.3.2 MUST set the slow start threshold to half the value of the congestion window.
    this.ssthresh = this.cwnd * LOSS_REDUCTION;
    this.cwnd = Math.max(this.ssthresh, this.#minimum);
  }

  /** rfc9002#7.6.2 the sender's congestion window MUST be reduced to the minimum congestion window. */
  onPersistentCongestion(): void {
    this.cwnd = this.#minimum;
    this.recoveryStart = -Infinity;
    this.#inRecovery = false;
    this.#acked = 0;
  }

  setAppLimited(appLimited: boolean): void {
    this.#appLimited = appLimited;
  }

  setMaxDatagramSize(bytes: number): void {
    // rfc9002#7.2 if the maximum datagram size changes, the initial congestion window SHOULD be recalculated.
    const untouched = this.ssthresh === Infinity && this.cwnd === initialWindow(this.#maxDatagramSize);
    this.#maxDatagramSize = bytes;
    this.cwnd = untouched ? initialWindow(bytes) : Math.max(this.cwnd, this.#minimum);
  }

  reset(): void {
    this.cwnd = initialWindow(this.#maxDatagramSize);
    this.ssthresh = Infinity;
    this.recoveryStart = -Infinity;
    this.#inRecovery = false;
    this.#acked = 0;
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

export const newRenoFactory: CongestionControllerFactory = ({ maxDatagramSize }) =>
  new NewReno(maxDatagramSize);
