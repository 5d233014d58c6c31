// The interface of a congestion controller: rfc9002#7 leaves the algorithm open.

/** Acknowledged in-flight packets of one ACK frame. A reused object. */
export interface AckedBatch {
  now: number;
  bytes: number;
  /** Of these, bytes sent after the controller's `recoveryStart`: rfc9002#7.3.2 the others do not grow the window. */
  bytesAfterRecovery: number;
  /** Send time of the newest packet among them. */
  largestSentTime: number;
  /** Bytes in flight before the ACK was processed. */
  priorInFlight: number;
  latestRtt: number;
  minRtt: number;
  smoothedRtt: number;
}

/**
 * Decides how many bytes may be in flight and how fast they leave. Bytes and ms; called synchronously, must not throw
 * and must not call back.
 */
export interface CongestionController {
  readonly name: string;
  /** Congestion window, bytes. */
  readonly cwnd: number;
  readonly ssthresh: number;
  /** When the last recovery period began, −Infinity for never: packets sent until then belong to it. */
  readonly recoveryStart: number;
  /** "slow_start", "congestion_avoidance", "recovery", …: for traces. */
  readonly state: string;
  /** Bytes per ms the pacer spreads packets at, given the smoothed RTT. */
  pacingRate(smoothedRtt: number): number;
  onPacketSent(now: number, bytes: number): void;
  onPacketsAcked(batch: AckedBatch): void;
  /** Packets were declared lost; `largestSentTime` is the newest one's. */
  onPacketsLost(now: number, bytes: number, largestSentTime: number): void;
  /** rfc9002#7.6: everything over a long period was lost. */
  onPersistentCongestion(now: number): void;
  /** The peer reported ECN-CE on a packet sent then, rfc9002#7.1. */
  onEcnCe(now: number, sentTime: number): void;
  /** Whether the application, not the window, limits sending: the window must not grow, rfc9002#7.8. */
  setAppLimited(appLimited: boolean): void;
  /** rfc9000#9.4 a new path: everything as at the start. */
  reset(): void;
  setMaxDatagramSize(bytes: number): void;
}

/** Makes the controller of one path. */
export type CongestionControllerFactory = (options: { maxDatagramSize: number }) => CongestionController;
