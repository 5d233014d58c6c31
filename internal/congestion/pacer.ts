// Spreads packets over the round trip: rfc9002#7.7, a leaky bucket.

import { PACING_TIMER_GRANULARITY } from "../protocol/limits.ts";
import type { CongestionController } from "./controller.ts";
import { initialWindow } from "./window.ts";

/** What may leave now, and when more may. */
export class Pacer {
  readonly #controller: CongestionController;
  readonly #rtt: { readonly smoothed: number };
  enabled: boolean;
  #maxDatagramSize: number;
  #tokens: number;
  #updatedAt = 0;

  constructor(
    controller: CongestionController,
    rtt: { readonly smoothed: number },
    maxDatagramSize: number,
    enabled: boolean,
  ) {
    this.#controller = controller;
    this.#rtt = rtt;
    this.enabled = enabled;
    this.#maxDatagramSize = maxDatagramSize;
    this.#tokens = initialWindow(maxDatagramSize);
  }

  /** Bytes per ms. */
  get rate(): number {
    return this.#controller.pacingRate(Math.max(this.#rtt.smoothed, 0.01));
  }

  /**
   * rfc9002#7.7 senders SHOULD limit bursts to the initial congestion window: the controller's quantum. Or what leaves
   * within two ticks of the timer where that is more: with less a timer of 1 ms would cap the rate.
   */
  get #burst(): number {
    const quantum = this.#controller.sendQuantum ?? initialWindow(this.#maxDatagramSize);
    return Math.max(quantum, 2 * PACING_TIMER_GRANULARITY * this.rate);
  }

  /** Bytes that may leave now. */
  budget(now: number): number {
    // rfc9002#7.7 Senders MUST either use pacing or limit such bursts.
    if (!this.enabled) return Infinity;
    if (now > this.#updatedAt) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#updatedAt) * this.rate);
      this.#updatedAt = now;
    }
    return this.#tokens;
  }

  /** When `bytes` may leave; with a batch's worth, so that a timer is worth its wake-up. */
  nextSendTime(now: number, bytes: number): number {
    if (!this.enabled) return now;
    const missing = bytes - this.budget(now);
    return missing <= 0 ? now : now + Math.max(missing / this.rate, PACING_TIMER_GRANULARITY);
  }

  onSent(bytes: number): void {
    this.#tokens -= bytes;
  }

  setMaxDatagramSize(bytes: number): void {
    this.#maxDatagramSize = bytes;
  }
}
