// NewReno as rfc9002#7 has it, with HyStart++ in its first slow start.

import type { AckedBatch, CongestionControllerFactory } from "./controller.ts";
import { WindowController } from "./window.ts";

/** rfc9002#7.3.2 kLossReductionFactor */
const LOSS_REDUCTION = 0.5;

class NewReno extends WindowController {
  readonly name = "newreno";
  /** Bytes acknowledged towards the next increase. */
  #acked = 0;
  #undoAcked = 0;

  protected increase(batch: AckedBatch): void {
    // rfc9002#7.3.3 MUST limit the increase to the congestion window to at most one maximum datagram size for each
    // congestion window that is acknowledged.
    this.#acked += batch.bytesAfterRecovery;
    if (this.#acked < this.cwnd) return;
    this.#acked -= this.cwnd;
    this.cwnd += this.maxDatagramSize;
  }

  protected reduced(): number {
    this.#acked = 0;
    // rfc9002#7.3.2 MUST set the slow start threshold to half the value of the congestion window.
    return this.cwnd * LOSS_REDUCTION;
  }

  protected save(): void {
    this.#undoAcked = this.#acked;
  }

  protected restore(): void {
    this.#acked = this.#undoAcked;
  }

  protected clear(): void {
    this.#acked = 0;
  }
}

export const newRenoFactory: CongestionControllerFactory = (options) => new NewReno(options);
