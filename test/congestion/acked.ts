// ACKs for a controller without a connection around it.
import {
  emptyBatch,
  type AckedBatch,
  type CongestionController,
} from "../../internal/congestion/controller.ts";

/** `bytes` acknowledged that were sent at `sentAt`, a round trip of 10 ms later, of a window that was full. */
export function acked(bytes: number, sentAt: number, more: Partial<AckedBatch> = {}): AckedBatch {
  return {
    ...emptyBatch(),
    now: sentAt + 10,
    bytes,
    bytesAfterRecovery: bytes,
    largestSentTime: sentAt,
    priorInFlight: Infinity,
    hasRttSample: true,
    latestRtt: 10,
    minRtt: 10,
    smoothedRtt: 10,
    ...more,
  };
}

/**
 * A sender that fills the window on a path of constant round trip: each packet is acknowledged `rtt` after it was sent,
 * and packets are spread evenly.
 */
export class Path {
  readonly cc: CongestionController;
  readonly mtu: number;
  rtt: number;
  now = 0;
  #next = 0;
  #acked = -1;

  constructor(cc: CongestionController, mtu: number, rtt: number) {
    this.cc = cc;
    this.mtu = mtu;
    this.rtt = rtt;
  }

  /** One ACK for one packet. */
  ack(more: Partial<AckedBatch> = {}): void {
    const inFlight = this.cc.cwnd;
    this.now += (this.rtt * this.mtu) / this.cc.cwnd;
    this.#acked++;
    this.#next = this.#acked + Math.round(inFlight / this.mtu);
    this.cc.onPacketsAcked(
      acked(this.mtu, this.now - this.rtt, {
        now: this.now,
        priorInFlight: inFlight,
        largestAcked: this.#acked,
        nextNumber: this.#next,
        latestRtt: this.rtt,
        minRtt: this.rtt,
        smoothedRtt: this.rtt,
        ...more,
      }),
    );
  }

  /** An ACK, and ACKs for all that was sent by then: the next one after them begins another round. */
  round(): void {
    this.ack();
    for (const end = this.#next - 1; this.#acked < end;) this.ack();
  }

  until(time: number): void {
    while (this.now < time) this.ack();
  }

  /** A packet sent just now is lost, and what was sent before is acknowledged. */
  lose(): void {
    this.cc.onPacketsLost(this.now, this.mtu, this.now);
    this.now += this.rtt;
  }
}
