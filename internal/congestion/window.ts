// What NewReno and Cubic have in common: slow start, recovery periods, undo of spurious reductions, application limits.

import type { AckedBatch, CongestionController, CongestionControllerOptions } from "./controller.ts";
import { HyStart } from "./hystart.ts";

/** Pacing gain: slow start doubles per round, so it must leave faster than cwnd/srtt. rfc9002#7.7 suggests 1.25. */
const PACING_GAIN = 1.25;
const PACING_GAIN_SLOW_START = 2;
/** So close to the window, in datagrams, it counts as used: what is missing may not have filled a packet or a burst. */
const UTILIZED_SLACK = 3;

/** rfc9002#7.2: ten times the maximum datagram size, limited to the larger of 14,720 bytes or twice that size. */
export function initialWindow(maxDatagramSize: number): number {
  return Math.min(10 * maxDatagramSize, Math.max(14_720, 2 * maxDatagramSize));
}

/** A controller that reacts to losses by its window. */
export abstract class WindowController implements CongestionController {
  abstract readonly name: string;
  cwnd: number;
  ssthresh = Infinity;
  recoveryStart = -Infinity;
  protected maxDatagramSize: number;
  readonly #hystart: HyStart;
  #inRecovery = false;
  #appLimited = false;

  /** What the last reduction is undone to. */
  #canUndo = false;
  #undoCwnd = 0;
  #undoSsthresh = Infinity;
  #undoRecoveryStart = -Infinity;

  constructor({ maxDatagramSize, paced, previous }: CongestionControllerOptions) {
    this.maxDatagramSize = maxDatagramSize;
    this.#hystart = new HyStart(paced !== false);
    this.cwnd = initialWindow(maxDatagramSize);
    if (previous === undefined) return;
    this.cwnd = Math.max(previous.cwnd, this.minimum);
    this.ssthresh = previous.ssthresh;
  }

  /** Congestion avoidance: the window grows by what was acknowledged. */
  protected abstract increase(batch: AckedBatch): void;
  /** A congestion event: the new slow start threshold. `cwnd` is still the window before. */
  protected abstract reduced(): number;
  /** Remembers and restores the algorithm's own state for a loss that proves spurious. */
  protected abstract save(): void;
  protected abstract restore(): void;
  /** The algorithm's own state as at the start. */
  protected abstract clear(): void;
  /** The window is not in full use: time that passes does not count. */
  protected onUnderused(): void {}

  get state(): string {
    if (this.#inRecovery) return "recovery";
    if (this.#appLimited) return "application_limited";
    if (this.cwnd >= this.ssthresh) return "congestion_avoidance";
    return this.#isConservative ? "conservative_slow_start" : "slow_start";
  }

  /** rfc9406#4.3 HyStart++ is for the initial slow start alone. */
  get #isConservative(): boolean {
    return this.ssthresh === Infinity && this.#hystart.conservative;
  }

  pacingRate(smoothedRtt: number): number {
    const doubles = this.cwnd < this.ssthresh && !this.#isConservative;
    return ((doubles ? PACING_GAIN_SLOW_START : PACING_GAIN) * this.cwnd) / smoothedRtt;
  }

  onPacketSent(_now: number, bytes: number, inFlight: number): void {
    // The first packet after silence.
    if (this.#appLimited && inFlight <= bytes) this.onUnderused();
  }

  onPacketsAcked(batch: AckedBatch): void {
    // rfc9002#7.3.2 a recovery period ends when a packet sent during it is acknowledged.
    if (batch.largestSentTime <= this.recoveryStart) return;
    this.#inRecovery = false;
    // rfc9002#7.8 when the window is underutilized it SHOULD NOT be increased.
    if (!this.#wasUtilized(batch.priorInFlight)) {
      this.onUnderused();
      return;
    }
    if (this.cwnd < this.ssthresh) this.#slowStart(batch);
    else this.increase(batch);
  }

  #slowStart(batch: AckedBatch): void {
    // rfc9002#7.3.1 the congestion window increases by the number of bytes acknowledged.
    if (this.ssthresh < Infinity) {
      this.cwnd = Math.min(this.cwnd + batch.bytesAfterRecovery, this.ssthresh);
      return;
    }
    this.#hystart.onAck(batch);
    this.cwnd += this.#hystart.growth(batch.bytesAfterRecovery, this.maxDatagramSize);
    // rfc9406#4.2 enter congestion avoidance by setting the ssthresh to the current cwnd.
    if (this.#hystart.done) this.ssthresh = this.cwnd;
  }

  /**
   * An application that just ran out of data may still have filled the window. In slow start half of it will do, since
   * the other half may have been acknowledged by the frame before. So it will where there is data: that may wait for the
   * pacer; but where the window stays half empty it is the machine that limits, and a larger one would mean nothing.
   */
  #wasUtilized(inFlight: number): boolean {
    if ((!this.#appLimited || this.cwnd < this.ssthresh) && inFlight > this.cwnd / 2) return true;
    return inFlight >= this.cwnd - UTILIZED_SLACK * this.maxDatagramSize;
  }

  onPacketsLost(now: number, _bytes: number, largestSentTime: number): void {
    if (largestSentTime <= this.recoveryStart) return;
    this.#canUndo = true;
    this.#undoCwnd = this.cwnd;
    this.#undoSsthresh = this.ssthresh;
    this.#undoRecoveryStart = this.recoveryStart;
    this.save();
    this.#congestionEvent(now, largestSentTime);
  }

  onEcnCe(now: number, sentTime: number, _count: number): void {
    // A mark is no loss that may turn out to be none.
    this.#canUndo = false;
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
    this.ssthresh = this.reduced();
    this.cwnd = Math.max(this.ssthresh, this.minimum);
  }

  /** rfc9438#4.9.2, and as good for NewReno: what is restored is what would be there without the spurious loss. */
  onSpuriousLoss(): void {
    if (!this.#canUndo) return;
    this.#canUndo = false;
    // A window that is larger again stays.
    if (this.cwnd >= this.#undoCwnd) return;
    this.cwnd = this.#undoCwnd;
    this.ssthresh = this.#undoSsthresh;
    this.recoveryStart = this.#undoRecoveryStart;
    this.#inRecovery = false;
    this.restore();
  }

  /** rfc9002#7.6.2 the sender's congestion window MUST be reduced to the minimum congestion window. */
  onPersistentCongestion(): void {
    this.cwnd = this.minimum;
    this.recoveryStart = -Infinity;
    this.#inRecovery = false;
    this.#canUndo = false;
    this.clear();
  }

  setAppLimited(appLimited: boolean): void {
    this.#appLimited = appLimited;
  }

  setMaxDatagramSize(bytes: number): void {
    // rfc9002#7.2 if the maximum datagram size changes, the initial congestion window SHOULD be recalculated.
    const untouched = this.ssthresh === Infinity && this.cwnd === initialWindow(this.maxDatagramSize);
    this.maxDatagramSize = bytes;
    this.cwnd = untouched ? initialWindow(bytes) : Math.max(this.cwnd, this.minimum);
  }

  reset(): void {
    this.cwnd = initialWindow(this.maxDatagramSize);
    this.ssthresh = Infinity;
    this.recoveryStart = -Infinity;
    this.#inRecovery = false;
    this.#canUndo = false;
    this.#hystart.reset();
    this.clear();
  }

  /** rfc9002#7.2 kMinimumWindow */
  protected get minimum(): number {
    return 2 * this.maxDatagramSize;
  }
}
