// The controller of one connection, whichever it is at the moment: changed on request, and replaced when it fails. What
// it says is checked here, once after each event, so that those who ask on the hot path read plain fields.

import { MAX_DATAGRAM_SPACING, MIN_DATAGRAM_SPACING_RTT } from "../protocol/limits.ts";
import type {
  AckedBatch,
  CongestionController,
  CongestionControllerFactory,
  CongestionControllerOptions,
} from "./controller.ts";
import { CONTROLLER_FACTORIES } from "./controllers.ts";
import { DeliveryRate } from "./delivery-rate.ts";
import { cubicFactory } from "./cubic.ts";
import { initialWindow } from "./window.ts";

/** Told when a controller fails: its name, and why. */
export type OnControllerFailure = (name: string, reason: string) => void;

export class CongestionControl implements CongestionController {
  #inner: CongestionController;
  readonly #options: CongestionControllerOptions;
  readonly #onFailure: OnControllerFailure;
  #maxDatagramSize: number;
  #appLimited = false;
  /** Somebody else's: its rate is not taken for granted. */
  #foreign = false;
  cwnd: number;
  sendQuantum: number;
  rate: DeliveryRate | undefined;
  /** The last controller that failed, and why. */
  failure: { readonly name: string; readonly reason: string } | null = null;

  constructor(
    factory: CongestionControllerFactory,
    options: CongestionControllerOptions,
    onFailure: OnControllerFailure,
  ) {
    this.#options = options;
    this.#onFailure = onFailure;
    this.#maxDatagramSize = options.maxDatagramSize;
    this.cwnd = this.sendQuantum = initialWindow(options.maxDatagramSize);
    this.#inner = cubicFactory(options);
    this.#adopt(factory, options);
  }

  /** Another controller takes over where this one stands. */
  replace(factory: CongestionControllerFactory): void {
    this.#adopt(factory, this.#takeover());
  }

  /** What a successor starts with: the window as it is, and slow start only where this was in its first. */
  #takeover(): CongestionControllerOptions {
    const cwnd = this.cwnd;
    let ssthresh = cwnd;
    try {
      const { state } = this.#inner;
      // Where the application has not filled the window yet, no slow start is over.
      const starts = state.endsWith("slow_start") || state === "startup" || state === "application_limited";
      if (starts && this.#inner.ssthresh === Infinity) ssthresh = Infinity;
    } catch {
      // It is being replaced because it throws.
    }
    return { ...this.#options, maxDatagramSize: this.#maxDatagramSize, previous: { cwnd, ssthresh } };
  }

  #adopt(factory: CongestionControllerFactory, options: CongestionControllerOptions): void {
    let made: CongestionController | null = null;
    try {
      this.#foreign = !CONTROLLER_FACTORIES.includes(factory);
      this.#inner = made = factory(options);
      this.rate = made.rate;
      if (made.rate !== undefined && !(made.rate instanceof DeliveryRate))
        throw new Error("rate is no DeliveryRate");
      this.#inner.setAppLimited(this.#appLimited);
      this.#check();
      this.#checkRate(this.#inner.pacingRate(100), 100);
    } catch (error) {
      this.#instead(options, made, error);
    }
  }

  /** Reads what the controller says after an event. @throws {Error} where that is no window. */
  #check(): void {
    const inner = this.#inner;
    const { cwnd, recoveryStart, sendQuantum } = inner;
    checkNumber("cwnd", cwnd);
    if (typeof recoveryStart !== "number" || Number.isNaN(recoveryStart)) {
      throw new Error(`recoveryStart is ${String(recoveryStart)}`);
    }
    // rfc9002#7.2 kMinimumWindow. Below it a connection could stand still for ever.
    this.cwnd = Math.max(cwnd, 2 * this.#maxDatagramSize);
    if (sendQuantum === undefined) this.sendQuantum = initialWindow(this.#maxDatagramSize);
    else {
      checkNumber("sendQuantum", sendQuantum);
      this.sendQuantum = Math.max(sendQuantum, this.#maxDatagramSize);
    }
  }

  /** @throws {Error} where a datagram would wait for so long that the connection stood still. */
  #checkRate(rate: number, smoothedRtt: number): void {
    checkNumber("pacingRate()", rate);
    if (!this.#foreign) return;
    const least =
      this.#maxDatagramSize / (MAX_DATAGRAM_SPACING * Math.max(smoothedRtt, MIN_DATAGRAM_SPACING_RTT));
    if (rate < least) {
      throw new Error(
        `pacingRate() is ${rate} bytes per ms, a datagram in more than ${MAX_DATAGRAM_SPACING} round trips`,
      );
    }
  }

  /** The default one, Cubic, goes on with the last window that made sense. */
  #fail(error: unknown): void {
    this.#instead(this.#takeover(), this.#inner, error);
  }

  #instead(options: CongestionControllerOptions, failed: CongestionController | null, error: unknown): void {
    const name = describe(() => failed?.name ?? "");
    this.#inner = cubicFactory(options);
    this.#foreign = false;
    this.rate = undefined;
    this.#inner.setAppLimited(this.#appLimited);
    this.#check();
    const reason = describe(() => (error instanceof Error ? error.message : error));
    this.failure = { name, reason };
    this.#onFailure(name, reason);
  }

  get name(): string {
    return this.#text("name");
  }

  get state(): string {
    return this.#text("state");
  }

  #text(key: "name" | "state"): string {
    try {
      return String(this.#inner[key]);
    } catch (error) {
      this.#fail(error);
      return this.#inner[key];
    }
  }

  get ssthresh(): number {
    try {
      const { ssthresh } = this.#inner;
      return ssthresh > 0 ? ssthresh : Infinity;
    } catch (error) {
      this.#fail(error);
      return this.#inner.ssthresh;
    }
  }

  get recoveryStart(): number {
    try {
      return this.#inner.recoveryStart;
    } catch (error) {
      this.#fail(error);
      return this.#inner.recoveryStart;
    }
  }

  pacingRate(smoothedRtt: number): number {
    try {
      const rate = this.#inner.pacingRate(smoothedRtt);
      this.#checkRate(rate, smoothedRtt);
      return rate;
    } catch (error) {
      this.#fail(error);
      return this.#inner.pacingRate(smoothedRtt);
    }
  }

  onPacketSent(now: number, bytes: number, inFlight: number): void {
    try {
      this.#inner.onPacketSent(now, bytes, inFlight);
      this.#check();
    } catch (error) {
      this.#fail(error);
    }
  }

  onPacketsAcked(batch: AckedBatch): void {
    try {
      this.#inner.onPacketsAcked(batch);
      this.#check();
    } catch (error) {
      this.#fail(error);
    }
  }

  onPacketLost(now: number): void {
    try {
      this.#inner.onPacketLost?.(now);
    } catch (error) {
      this.#fail(error);
    }
  }

  onPacketsLost(now: number, bytes: number, largestSentTime: number): void {
    try {
      this.#inner.onPacketsLost(now, bytes, largestSentTime);
      this.#check();
    } catch (error) {
      this.#fail(error);
      // Losses are not forgotten because somebody's code failed on them.
      this.#inner.onPacketsLost(now, bytes, largestSentTime);
      this.#check();
    }
  }

  onSpuriousLoss(now: number): void {
    try {
      this.#inner.onSpuriousLoss?.(now);
      this.#check();
    } catch (error) {
      this.#fail(error);
    }
  }

  onPersistentCongestion(now: number): void {
    try {
      this.#inner.onPersistentCongestion(now);
      this.#check();
    } catch (error) {
      this.#fail(error);
      this.#inner.onPersistentCongestion(now);
      this.#check();
    }
  }

  onEcnCe(now: number, sentTime: number, count: number): void {
    try {
      this.#inner.onEcnCe(now, sentTime, count);
      this.#check();
    } catch (error) {
      this.#fail(error);
      this.#inner.onEcnCe(now, sentTime, count);
      this.#check();
    }
  }

  setAppLimited(appLimited: boolean): void {
    this.#appLimited = appLimited;
    try {
      this.#inner.setAppLimited(appLimited);
      this.#check();
    } catch (error) {
      this.#fail(error);
    }
  }

  reset(): void {
    try {
      this.#inner.reset();
      this.#check();
    } catch (error) {
      this.#fail(error);
      this.#inner.reset();
      this.#check();
    }
  }

  setMaxDatagramSize(bytes: number): void {
    this.#maxDatagramSize = bytes;
    try {
      this.#inner.setMaxDatagramSize(bytes);
      this.#check();
    } catch (error) {
      this.#fail(error);
    }
  }
}

function checkNumber(what: string, value: unknown): asserts value is number {
  if (typeof value !== "number" || !(value > 0 && value < Infinity)) {
    throw new Error(`${what} is ${String(value)}, which is no positive finite number`);
  }
}

/** As text, whatever a stranger's value does about it. */
function describe(value: () => unknown): string {
  try {
    return String(value());
  } catch {
    return "?";
  }
}
