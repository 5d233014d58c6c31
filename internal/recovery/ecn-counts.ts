// What we marked and what the peer says arrived marked, in one space: rfc9000#13.4.2.
// rfc9000#19.3 QUIC implementations MUST properly handle both types, and, if they have enabled ECN for packets
// they send, they SHOULD use the information in the ECN section to …

import { ECT_0, ECT_1 } from "../protocol/batch.ts";
import type { AckFrame } from "../wire/frames.ts";

/** The path or the peer does not report marks as it must. */
export const ECN_FAILED = -1;
/** Nothing new, or nothing that counts. */
export const ECN_NOTHING = 0;
/** More packets met congestion. */
export const ECN_CONGESTED = 1;

/** Counts per space; the connection decides what a failure means for marking. */
export class EcnCounters {
  /** Packets sent with these marks. */
  sentEct0 = 0;
  sentEct1 = 0;
  /** The highest counts reported. */
  ect0 = 0;
  ect1 = 0;
  ce = 0;

  onSent(ecn: number): void {
    if (ecn === ECT_0) this.sentEct0++;
    else if (ecn === ECT_1) this.sentEct1++;
  }

  /**
   * @param acked0 newly acknowledged packets that were sent with ECT(0)
   * @param acked1 the same for ECT(1)
   * @param newLargest whether the frame increased the largest acknowledged number
   */
  onAck(ack: AckFrame, acked0: number, acked1: number, newLargest: boolean): number {
    // rfc9000#13.4.2.1 an endpoint MUST NOT fail ECN validation as a result of processing an ACK frame that does not
    // increase the largest acknowledged packet number.
    if (!newLargest) return ECN_NOTHING;
    if (!ack.ecn) {
      // rfc9000#13.4.2.1 if an ACK frame newly acknowledges a packet that was sent with either ECT(0) or ECT(1), ECN
      // validation fails if the corresponding ECN counts are not present.
      return acked0 + acked1 > 0 ? ECN_FAILED : ECN_NOTHING;
    }
    // Counts about packets we never marked tell nothing.
    if (this.sentEct0 + this.sentEct1 === 0) return ECN_NOTHING;
    const more0 = ack.ect0 - this.ect0;
    const more1 = ack.ect1 - this.ect1;
    const moreCe = ack.ce - this.ce;
    if (
      // Counts only grow.
      more0 < 0 ||
      more1 < 0 ||
      moreCe < 0 ||
      // rfc9000#13.4.2.1 validation also fails if the sum of the increase in ECT(0) and ECN-CE counts is less than the
      // number of newly acknowledged packets that were originally sent with an ECT(0) marking.
      more0 + moreCe < acked0 ||
      more1 + moreCe < acked1 ||
      // rfc9000#13.4.2.1 validation can fail if the total count for either exceeds the number of packets sent so.
      ack.ect0 > this.sentEct0 ||
      ack.ect1 > this.sentEct1 ||
      ack.ect0 + ack.ect1 + ack.ce > this.sentEct0 + this.sentEct1
    ) {
      return ECN_FAILED;
    }
    this.ect0 = ack.ect0;
    this.ect1 = ack.ect1;
    this.ce = ack.ce;
    return moreCe > 0 ? ECN_CONGESTED : ECN_NOTHING;
  }
}
