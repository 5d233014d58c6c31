// CUBIC, RFC 9438, with HyStart++ in its first slow start. Windows in bytes, times in ms.

import type { AckedBatch, CongestionControllerFactory } from "./controller.ts";
import { WindowController } from "./window.ts";

/** rfc9438#4.6 SHOULD be set to 0.7 */
const BETA = 0.7;
/** rfc9438#5.1 C, segments per second cubed. */
const C = 0.4;
/** rfc9438#4.3 the additive factor with which AIMD(α, β) is as fast as Reno. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

class Cubic extends WindowController {
  readonly name = "cubic";
  /** W_max, 0 where it is undefined: after a slow start without loss, and after persistent congestion. */
  #wMax = 0;
  /** cwnd_prior: the window when ssthresh was set last. */
  #prior = 0;
  /** K, ms. */
  #k = 0;
  /** t_epoch, −1 while congestion avoidance has not begun. */
  #epoch = -1;
  /** W_est */
  #reno = 0;
  /** The last ACK that counted, and whether time since then does not. */
  #countedAt = 0;
  #paused = false;

  readonly #undo = { wMax: 0, prior: 0, k: 0, epoch: -1, reno: 0 };

  protected increase(batch: AckedBatch): void {
    const { now } = batch;
    if (this.#epoch < 0) this.#startEpoch(now);
    else if (this.#paused) {
      // rfc9438#4.2 The elapsed time t MUST NOT include periods during which cwnd has not been updated due to
      // application-limited behavior.
      this.#epoch += now - this.#countedAt;
    }
    this.#paused = false;
    this.#countedAt = now;

    const acked = batch.bytesAfterRecovery;
    // rfc9438#4.3 Once W_est has grown to reach the cwnd at the time of most recently setting ssthresh, SHOULD set
    // α_cubic to 1.
    const alpha = this.#reno >= this.#prior ? 1 : ALPHA;
    this.#reno += (alpha * this.maxDatagramSize * acked) / this.cwnd;

    const t = now - this.#epoch;
    if (this.#window(t) < this.#reno) {
      // rfc9438#4.3 the Reno-friendly region: cwnd SHOULD be set to W_est. It does not shrink by that.
      this.cwnd = Math.max(this.cwnd, this.#reno);
      return;
    }
    // rfc9438#4.2 target = W_cubic(t + RTT), at least cwnd and at most 1.5 cwnd.
    const target = Math.min(this.#window(t + batch.smoothedRtt), 1.5 * this.cwnd);
    // rfc9438#4.4, rfc9438#4.5 cwnd MUST be incremented by (target - cwnd) / cwnd for each segment acknowledged.
    if (target > this.cwnd) this.cwnd += ((target - this.cwnd) * Math.min(acked, this.cwnd)) / this.cwnd;
  }

  /** rfc9438#4.2 W_cubic(t) = C (t − K)³ + W_max */
  #window(t: number): number {
    const seconds = (t - this.#k) / 1000;
    return this.#wMax + C * this.maxDatagramSize * seconds * seconds * seconds;
  }

  #startEpoch(now: number): void {
    this.#epoch = now;
    this.#reno = this.cwnd;
    if (this.#wMax > this.cwnd) {
      // rfc9438#4.2 K = ∛((W_max − cwnd_epoch) / C)
      this.#k = 1000 * Math.cbrt((this.#wMax - this.cwnd) / (C * this.maxDatagramSize));
      return;
    }
    // rfc9438#4.8, rfc9438#4.10 after a timeout, or a slow start that ended without loss: K is 0 and W_max is the window
    // at the beginning of this stage.
    this.#k = 0;
    if (this.#prior === 0) this.#prior = this.cwnd;
    this.#wMax = this.cwnd;
  }

  protected reduced(): number {
    // rfc9438#4.7 fast convergence: a flow that did not get back to where it was releases more, for new flows.
    this.#wMax = this.cwnd < this.#wMax ? (this.cwnd * (1 + BETA)) / 2 : this.cwnd;
    this.#prior = this.cwnd;
    this.#epoch = -1;
    // rfc9438#4.6 MUST reduce cwnd and ssthresh immediately upon entering loss recovery. ssthresh is at least two
    // segments.
    return Math.max(this.cwnd * BETA, this.minimum);
  }

  protected override onUnderused(): void {
    this.#paused = true;
  }

  protected save(): void {
    const undo = this.#undo;
    undo.wMax = this.#wMax;
    undo.prior = this.#prior;
    undo.k = this.#k;
    undo.epoch = this.#epoch;
    undo.reno = this.#reno;
  }

  protected restore(): void {
    const undo = this.#undo;
    this.#wMax = undo.wMax;
    this.#prior = undo.prior;
    this.#k = undo.k;
    this.#epoch = undo.epoch;
    this.#reno = undo.reno;
  }

  override onPersistentCongestion(): void {
    const prior = this.#prior;
    super.onPersistentCongestion();
    this.#prior = prior;
  }

  protected clear(): void {
    this.#wMax = this.#k = this.#reno = this.#prior = 0;
    this.#epoch = -1;
    this.#paused = false;
  }
}

export const cubicFactory: CongestionControllerFactory = (options) => new Cubic(options);
