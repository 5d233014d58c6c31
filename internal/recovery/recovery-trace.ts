// What recovery tells a tracer. Exists only where there is one.

import type { CongestionController } from "../congestion/controller.ts";
import type { Space } from "../protocol/constants.ts";
import type { Tracer } from "../protocol/tracer.ts";
import type { RttEstimator } from "./rtt.ts";

export type RecoveryTimer = "loss_timeout" | "pto";
export type LossTrigger = "reordering_threshold" | "time_threshold";

export class RecoveryTrace {
  readonly #tracer: Tracer;
  readonly #controller: CongestionController;
  readonly #rtt: RttEstimator;
  #state: string;
  #timer: RecoveryTimer | null = null;

  constructor(tracer: Tracer, controller: CongestionController, rtt: RttEstimator) {
    this.#tracer = tracer;
    this.#controller = controller;
    this.#rtt = rtt;
    this.#state = controller.state;
  }

  acked(now: number, space: Space, numbers: readonly number[]): void {
    this.#tracer.record({ name: "packets_acked", time: now, space, numbers });
  }

  spurious(now: number, space: Space, count: number): void {
    this.#tracer.record({ name: "spurious_loss", time: now, space, count });
  }

  lost(now: number, space: Space, number: number, trigger: LossTrigger): void {
    this.#tracer.record({ name: "packet_lost", time: now, space, number, trigger });
  }

  /** The controller's state where it changed, or where a trigger says why. */
  state(now: number, trigger?: string): void {
    const { state } = this.#controller;
    if (state === this.#state && trigger === undefined) return;
    this.#state = state;
    const event = { name: "congestion_state_updated", time: now, state } as const;
    this.#tracer.record(trigger === undefined ? event : { ...event, trigger });
  }

  metrics(now: number, bytesInFlight: number, ptoCount: number): void {
    const rtt = this.#rtt;
    this.#tracer.record({
      name: "recovery_metrics_updated",
      time: now,
      cwnd: this.#controller.cwnd,
      bytesInFlight,
      smoothedRtt: rtt.smoothed,
      latestRtt: rtt.latest,
      minRtt: rtt.min,
      rttVariance: rtt.variance,
      ssthresh: this.#controller.ssthresh,
      ptoCount,
      pacingRate: this.#controller.pacingRate(rtt.smoothed),
    });
  }

  /** The one timer was set for `at`, as a timer of that kind. Infinity: it is not set. */
  timerSet(now: number, timer: RecoveryTimer, at: number): void {
    const was = this.#timer;
    this.#timer = at === Infinity ? null : timer;
    if (was !== null && was !== this.#timer) this.#record(now, was, "cancelled", 0);
    if (this.#timer !== null) this.#record(now, timer, "set", at - now);
  }

  timerExpired(now: number, timer: RecoveryTimer): void {
    this.#timer = null;
    this.#record(now, timer, "expired", 0);
  }

  #record(now: number, timer: RecoveryTimer, action: "set" | "expired" | "cancelled", delta: number): void {
    this.#tracer.record({ name: "timer_updated", time: now, timer, action, delta });
  }
}
