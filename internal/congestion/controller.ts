// The interface of a congestion controller: rfc9002#7 leaves the algorithm open.

import { INITIAL, type Space } from "../protocol/constants.ts";
import type { RandomSource } from "../protocol/random.ts";
import type { DeliveryRate } from "./delivery-rate.ts";

/** What one ACK frame newly acknowledged of what was in flight. A reused object: copy what you keep. */
export interface AckedBatch {
  now: number;
  bytes: number;
  /** Of these, bytes sent after the controller's `recoveryStart`: rfc9002#7.3.2 the others do not grow the window. */
  bytesAfterRecovery: number;
  /** Send time of the newest packet among them. */
  largestSentTime: number;
  /** Bytes in flight before the ACK was processed. */
  priorInFlight: number;
  /** Bytes in flight now, without those that the ACK showed to be lost. */
  inFlight: number;
  /** The packet number space, and in it the highest number acknowledged so far and the next to be sent: for rounds. */
  space: Space;
  largestAcked: number;
  nextNumber: number;
  /** Whether `latestRtt` comes from this ACK. */
  hasRttSample: boolean;
  latestRtt: number;
  minRtt: number;
  smoothedRtt: number;
}

export function emptyBatch(): AckedBatch {
  return {
    now: 0,
    bytes: 0,
    bytesAfterRecovery: 0,
    largestSentTime: 0,
    priorInFlight: 0,
    inFlight: 0,
    space: INITIAL,
    largestAcked: -1,
    nextNumber: 0,
    hasRttSample: false,
    latestRtt: 0,
    minRtt: 0,
    smoothedRtt: 0,
  };
}

/**
 * Decides how many bytes may be in flight and how fast they leave. Bytes and ms. It is called synchronously, once per
 * event, and must not call back. What it says is read after each call. One that throws or says nonsense (a window or a
 * rate that is no positive, finite number, or a rate at which the connection would stand still) is replaced by Cubic,
 * and the connection tells so by a warning.
 */
export interface CongestionController {
  readonly name: string;
  /** Congestion window, bytes. Less than two datagrams counts as two: rfc9002#7.2. */
  readonly cwnd: number;
  /** Slow start threshold, Infinity for none yet. For traces, and for a controller that takes over. */
  readonly ssthresh: number;
  /** When the last recovery period began, −Infinity for never: packets sent until then belong to it. */
  readonly recoveryStart: number;
  /** "slow_start", "congestion_avoidance", "recovery", …: for traces. */
  readonly state: string;
  /** Bytes that may leave at once, default: an initial window (rfc9002#7.7). What two ticks of the timer need may always. */
  readonly sendQuantum?: number;
  /** For a controller that wants rates of delivery: they are measured by this, before the methods are called. */
  readonly rate?: DeliveryRate;
  /**
   * Bytes per ms the pacer spreads packets at, given the smoothed RTT. At least a datagram in four round trips, which
   * count as a second or more each. Where it is very large, the window alone decides.
   */
  pacingRate(smoothedRtt: number): number;
  /** @param inFlight with this packet */
  onPacketSent(now: number, bytes: number, inFlight: number): void;
  /** After `onPacketsLost`, where the same ACK causes both. */
  onPacketsAcked(batch: AckedBatch): void;
  /** One packet was declared lost: `rate.lostPacket`. Only where there is a `rate`; `onPacketsLost` follows. */
  onPacketLost?(now: number): void;
  /** Packets were declared lost; `largestSentTime` is the newest one's. */
  onPacketsLost(now: number, bytes: number, largestSentTime: number): void;
  /** Everything declared lost since `recoveryStart` arrived after all: the reaction to it may be undone (rfc9438#4.9.2). */
  onSpuriousLoss?(now: number): void;
  /** rfc9002#7.6: everything over a long period was lost. */
  onPersistentCongestion(now: number): void;
  /** The peer reported `count` more packets that met congestion, the newest of them sent then: rfc9002#7.1. */
  onEcnCe(now: number, sentTime: number, count: number): void;
  /** Whether the application, not the window, limits sending: the window must not grow, rfc9002#7.8. */
  setAppLimited(appLimited: boolean): void;
  /** rfc9000#9.4 a new path: everything as at the start. */
  reset(): void;
  setMaxDatagramSize(bytes: number): void;
}

/** What a controller is made with. */
export interface CongestionControllerOptions {
  /** Bytes of UDP payload. */
  readonly maxDatagramSize: number;
  /** For algorithms that draw lots. */
  readonly random?: RandomSource;
  /** False where the pacer is off: default true. */
  readonly paced?: boolean;
  /** Where the controller stood that this one replaces on a live connection. */
  readonly previous?: { readonly cwnd: number; readonly ssthresh: number };
}

/** Makes the controller of one connection. */
export type CongestionControllerFactory = (options: CongestionControllerOptions) => CongestionController;
