// Received packet numbers of one space: duplicates, and what to acknowledge when. rfc9000#13.2

import { ECN_CE, ECT_0, ECT_1 } from "../protocol/batch.ts";
import { APPLICATION, type Space } from "../protocol/constants.ts";
import { ACK_DELAY_EXPONENT, ACK_ELICITING_THRESHOLD, MAX_ACK_DELAY, MAX_ACK_RANGES } from "../protocol/limits.ts";
import type { EcnCounts } from "../wire/frame-writers.ts";

/** Tracks one packet number space. */
export class ReceivedPackets {
  readonly #space: Space;
  /** Pairs [smallest, largest], the highest range first. */
  readonly ranges = new Float64Array(2 * (MAX_ACK_RANGES + 1));
  rangeCount = 0;
  /** Largest received, −1 for none. */
  largest = -1;
  #largestAt = 0;
  /** Below this everything counts as received: ranges that were forgotten. */
  #floor = 0;
  #elicitingSinceAck = 0;
  #ackNow = false;
  /** Something was received that the peer has not been told. */
  hasAckToSend = false;
  /** Monotonic ms when an ACK must leave, Infinity for none. */
  ackDeadline = Infinity;
  readonly #ecn: EcnCounts = { ect0: 0, ect1: 0, ce: 0 };
  #sawEcn = false;
  #maxAckDelay = MAX_ACK_DELAY;

  constructor(space: Space) {
    this.#space = space;
  }

  /** ECN counts for ACK frames, null while no marked packet came: rfc9000#13.4.1 */
  get ecnCounts(): EcnCounts | null {
    return this.#sawEcn ? this.#ecn : null;
  }

  /**
   * Whether `pn` was received before. A number so old that its range was forgotten counts as received:
   * rfc9000#12.3 a receiver MUST discard a packet unless it is certain that it has not processed its number.
   */
  isDuplicate(pn: number): boolean {
    if (pn > this.largest) return false;
    if (pn < this.#floor) return true;
    const { ranges } = this;
    for (let i = 0; i < this.rangeCount; i++) {
      if (pn > ranges[2 * i + 1]!) return false;
      if (pn >= ranges[2 * i]!) return true;
    }
    return false;
  }

  /** A packet was processed. */
  onReceived(pn: number, eliciting: boolean, ecn: number, now: number): void {
    const outOfOrder = this.largest >= 0 && (pn < this.largest || pn > this.largest + 1);
    this.#insert(pn);
    if (pn > this.largest) {
      this.largest = pn;
      this.#largestAt = now;
    }
    if (ecn !== 0) {
      this.#sawEcn = true;
      if (ecn === ECT_0) this.#ecn.ect0++;
      else if (ecn === ECT_1) this.#ecn.ect1++;
      else this.#ecn.ce++;
    }
    this.hasAckToSend = true;
    // rfc9000#13.2.1 an endpoint MUST NOT send a non-ack-eliciting packet in response to one.
    if (!eliciting) return;
    this.#elicitingSinceAck++;
    if (
      // rfc9000#13.2.1 an endpoint MUST acknowledge all ack-eliciting Initial and Handshake packets immediately.
      this.#space !== APPLICATION ||
      // rfc9000#13.2.1 SHOULD generate and send an ACK immediately for reordered packets and after a gap.
      outOfOrder ||
      // rfc9000#13.2.1 packets marked CE SHOULD be acknowledged immediately.
      ecn === ECN_CE ||
      // rfc9000#13.2.2 SHOULD send an ACK after receiving at least two ack-eliciting packets.
      this.#elicitingSinceAck >= ACK_ELICITING_THRESHOLD
    ) {
      this.#ackNow = true;
      this.ackDeadline = now;
    } else if (this.ackDeadline === Infinity) this.ackDeadline = now + this.#maxAckDelay;
  }

  #insert(pn: number): void {
    const { ranges } = this;
    let at = 0;
    while (at < this.rangeCount && pn < ranges[2 * at]! - 1) at++;
    if (at < this.rangeCount && pn <= ranges[2 * at + 1]! + 1) {
      if (pn === ranges[2 * at]! - 1) {
        ranges[2 * at] = pn;
        // Touches the next lower range now?
        if (at + 1 < this.rangeCount && ranges[2 * at + 3]! === pn - 1) {
          ranges[2 * at] = ranges[2 * at + 2]!;
          this.#remove(at + 1);
        }
      } else if (pn === ranges[2 * at + 1]! + 1) {
        ranges[2 * at + 1] = pn;
        if (at > 0 && ranges[2 * at - 2]! === pn + 1) {
          ranges[2 * at - 2] = ranges[2 * at]!;
          this.#remove(at);
        }
      }
      return;
    }
    ranges.copyWithin(2 * at + 2, 2 * at, 2 * this.rangeCount);
    ranges[2 * at] = ranges[2 * at + 1] = pn;
    this.rangeCount++;
    if (this.rangeCount > MAX_ACK_RANGES) {
      // rfc9000#13.2.3 a receiver limits the number of ACK ranges it remembers: the oldest go.
      this.rangeCount--;
      this.#floor = ranges[2 * this.rangeCount + 1]! + 1;
    }
  }

  #remove(at: number): void {
    this.ranges.copyWithin(2 * at, 2 * at + 2, 2 * this.rangeCount);
    this.rangeCount--;
  }

  /** Whether an ACK is due by count or by time. */
  shouldAckNow(now: number): boolean {
    return this.#ackNow || this.ackDeadline <= now;
  }

  /** The ACK Delay field for an ACK sent now, rfc9000#13.2.5: 0 below the application space. */
  ackDelayRaw(now: number): number {
    if (this.#space !== APPLICATION) return 0;
    return Math.max(0, Math.floor(((now - this.#largestAt) * 1000) / 2 ** ACK_DELAY_EXPONENT));
  }

  /** An ACK frame with all of this was written. */
  onAckSent(): void {
    this.#elicitingSinceAck = 0;
    this.#ackNow = false;
    this.hasAckToSend = false;
    this.ackDeadline = Infinity;
  }

  /** The peer has seen our ACK up to `largest`: older ranges need no more telling, rfc9000#13.2.4. */
  onAckOfAck(largest: number): void {
    const { ranges } = this;
    // The highest range always stays, so that every ACK has something to say.
    while (this.rangeCount > 1 && ranges[2 * this.rangeCount - 1]! <= largest) {
      this.rangeCount--;
      this.#floor = Math.max(this.#floor, ranges[2 * this.rangeCount + 1]! + 1);
    }
  }
}
