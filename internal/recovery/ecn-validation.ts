// Whether packets are marked ECN-capable on the path in use: rfc9000#13.4.2 and its example, appendix A.4.
//
//   testing ── ten packets, or three PTOs ──> unknown ── a marked packet acknowledged as it must be ──> capable
//      └──────── counts that cannot be, or every marked packet lost ──> failed <───────────────────────────┘
//
// Where nothing is heard for three PTOs of a path that is capable, marks are in doubt: without them until something is
// acknowledged, and then a new test.

import { ECT_0, NOT_ECT } from "../protocol/batch.ts";
import { ECN_TEST_PACKETS, ECN_TEST_TIMEOUTS } from "../protocol/limits.ts";
import type { Tracer } from "../protocol/tracer.ts";
import type { AckFrame } from "../wire/frames.ts";
import { ECN_CONGESTED, ECN_FAILED, type EcnCounters } from "./ecn-counts.ts";

/** "off": it was not asked for, or the socket cannot. */
export type EcnState = "off" | "testing" | "unknown" | "capable" | "failed";

/** ECN towards the peer, on the path in use. */
export class EcnValidation {
  readonly #tracer: Tracer | null;
  #state: EcnState = "off";
  /** Marked packets of the test: those that want an ACK, and of these the lost ones. */
  #sent = 0;
  #lost = 0;
  #since = 0;
  #inDoubt = false;
  /** Packets that the peer saw marked with congestion, over all spaces and paths. */
  congested = 0;

  constructor(tracer: Tracer | null) {
    this.#tracer = tracer;
  }

  get state(): EcnState {
    return this.#state;
  }

  /** The mark of the next packets. */
  get mark(): number {
    return this.#state === "capable" || this.#state === "testing" ? ECT_0 : NOT_ECT;
  }

  /**
   * Begins anew: at the start, and on each new path. rfc9000#13.4.2 an endpoint validates ECN for each new connection and
   * when switching to a new path.
   */
  start(now: number): void {
    this.#sent = this.#lost = 0;
    this.#inDoubt = false;
    this.#since = now;
    this.#become("testing", now);
  }

  /** An ack-eliciting packet left with a mark. */
  onSent(now: number): void {
    if (this.#state !== "testing") return;
    // rfc9000#A.4 the endpoint sets ECT for the first ten packets, or for three times the PTO.
    if (++this.#sent === ECN_TEST_PACKETS) this.#become("unknown", now);
  }

  onTimeout(count: number, now: number): void {
    if (count < ECN_TEST_TIMEOUTS) return;
    // A path that drops what is marked must not hold up the handshake.
    if (this.#state === "testing") this.#become("unknown", now);
    // rfc9000#13.4.2.2 Network routing and path elements can change mid-connection: one that begins to drop it must not end the
    // connection either.
    else if (this.#state === "capable") {
      this.#inDoubt = true;
      this.#sent = Infinity;
      this.#become("unknown", now);
    }
  }

  /** A marked ack-eliciting packet is lost. Those of before the test tell nothing. */
  onLost(sentTime: number, now: number): void {
    if ((this.#state !== "testing" && this.#state !== "unknown") || sentTime < this.#since) return;
    this.#lost++;
    // rfc9000#13.4.2 monitors whether all packets sent with an ECT codepoint are eventually deemed lost.
    if (this.#state === "unknown" && this.#lost === this.#sent) this.#become("failed", now);
  }

  /**
   * An ACK frame that newly acknowledges something; `acked…` of it were sent with ECT(0), ECT(1).
   * @returns how many more packets met congestion.
   */
  onAck(
    counters: EcnCounters,
    ack: AckFrame,
    acked0: number,
    acked1: number,
    newLargest: boolean,
    now: number,
  ): number {
    if (this.#state === "off" || this.#state === "failed") return 0;
    const before = counters.ce;
    const verdict = counters.onAck(ack, acked0, acked1, newLargest);
    if (verdict === ECN_FAILED) {
      // rfc9000#13.4.2.2 Network routing and path elements can change mid-connection; an endpoint MUST disable ECN if validation
      // later fails.
      // rfc9000#13.4.2.2 If validation fails, then the endpoint MUST disable ECN.
      this.#become("failed", now);
      return 0;
    }
    if (newLargest && acked0 + acked1 > 0) this.#become("capable", now);
    else if (newLargest && this.#inDoubt) this.start(now);
    if (verdict !== ECN_CONGESTED) return 0;
    const more = counters.ce - before;
    this.congested += more;
    return more;
  }

  #become(state: EcnState, now: number): void {
    if (state === this.#state) return;
    this.#state = state;
    if (state === "capable") this.#inDoubt = false;
    if (state !== "off") this.#tracer?.record({ name: "ecn_state_updated", time: now, state });
  }
}
