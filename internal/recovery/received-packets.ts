// Received packet numbers of one space: duplicates, and what to acknowledge when. rfc9000#13.2

import { ECN_CE, ECT_0, ECT_1 } from "../protocol/batch.ts";
import { APPLICATION, type Space } from "../protocol/constants.ts";
import {
  ACK_DELAY_EXPONENT,
  ACK_ELICITING_THRESHOLD,
  MAX_ACK_DELAY,
  MAX_ACK_RANGES,
} from "../protocol/limits.ts";
import type { EcnCounts } from "../wire/frame-writers.ts";

/** Without losses there is one. */
const INITIAL_RANGES = 4;

/** Tracks one packet number space. */
export class ReceivedPackets {
  readonly #space: Space;
  /** Pairs [smallest, largest], the highest range first. Replaced when it grows. */
  ranges = new Float64Array(2 * INITIAL_RANGES);
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
  #maxAckDelay: number;
  /** ack-frequency#4: more ack-eliciting packets than that are acknowledged at once. */
  #threshold: number;
  /** … and what comes out of order by so many; 1: any, 0: none. */
  #reordering = 1;
  #frequencySequence = -1;
  #largestTold = -1;
  #lastWasCe = false;
  /** Highest ack-eliciting number, −1 for none. */
  #largestEliciting = -1;
  /** Lowest number that no ACK frame of ours has told of yet. */
  #lowestUntold = Infinity;

  constructor(space: Space, maxAckDelay = MAX_ACK_DELAY, threshold = ACK_ELICITING_THRESHOLD) {
    this.#space = space;
    this.#maxAckDelay = maxAckDelay;
    this.#threshold = threshold - 1;
  }

  /** Ack-eliciting packets after which an ACK leaves at once, where the peer has not said when it wants them. */
  setThreshold(packets: number): void {
    if (this.#frequencySequence < 0) this.#threshold = packets - 1;
  }

  /**
   * The peer says when it wants ACKs. ack-frequency#4 A receiving endpoint MUST ignore a received ACK_FREQUENCY frame unless
   * the Sequence Number value in the frame is greater than the largest processed value.
   * @param maxDelay ms
   */
  onFrequency(sequence: number, threshold: number, maxDelay: number, reordering: number): void {
    if (sequence <= this.#frequencySequence) return;
    this.#frequencySequence = sequence;
    this.#threshold = threshold;
    this.#maxAckDelay = maxDelay;
    this.#reordering = reordering;
  }

  /** IMMEDIATE_ACK: ack-frequency#5 An endpoint SHOULD send a packet containing an ACK frame immediately. */
  ackAtOnce(now: number): void {
    this.#ackNow = true;
    this.ackDeadline = now;
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
    // rfc9000#13.2.3 A receiver MUST retain an ACK Range unless it can ensure that it will not subsequently accept
    // packets with numbers in that range.
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
    // rfc9000#13.4.1 Even if an endpoint does not set an ECT field in packets it sends, the endpoint MUST provide
    // feedback about ECN markings it receives, if these are accessible.
    const start = this.#insert(pn);
    if (pn < this.#lowestUntold) this.#lowestUntold = pn;
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
    // rfc9000#13.2.1 a packet number less than another ack-eliciting packet that has been received, or missing packets
    // between the highest ack-eliciting one and this.
    const previous = this.#largestEliciting;
    if (pn > previous) this.#largestEliciting = pn;
    const outOfOrder =
      this.#reordering === 1
        ? pn < previous || (previous >= 0 && start > previous)
        : this.#reordering > 1 && this.#isReordered(pn);
    const ce = ecn === ECN_CE;
    const newlyCe = ce && !this.#lastWasCe;
    this.#lastWasCe = ce;
    this.#elicitingSinceAck++;
    if (
      // rfc9000#13.2.1 an endpoint MUST acknowledge all ack-eliciting Initial and Handshake packets immediately.
      this.#space !== APPLICATION ||
      // rfc9000#13.2.1 SHOULD generate and send an ACK immediately for reordered packets and after a gap.
      outOfOrder ||
      // rfc9000#13.2.1 packets marked CE SHOULD be acknowledged immediately. ack-frequency#6.3 If the Ack-Eliciting Threshold is
      // larger than 1: where the previously received packet was not marked CE.
      (this.#threshold > 1 ? newlyCe : ce) ||
      // rfc9000#13.2.2 SHOULD send an ACK after receiving at least two ack-eliciting packets.
      this.#elicitingSinceAck > this.#threshold
    ) {
      this.#ackNow = true;
      this.ackDeadline = now;
    } else if (this.ackDeadline === Infinity) this.ackDeadline = now + this.#maxAckDelay;
  }

  /**
   * ack-frequency#6.2: the smallest missing packet that no ACK of ours has let the peer declare lost lies the threshold or more
   * below the largest; or `pn` is one that the peer has declared lost by now.
   */
  #isReordered(pn: number): boolean {
    const reported = this.#largestTold - this.#reordering;
    if (pn <= reported) return true;
    const { ranges } = this;
    let smallest = Infinity;
    for (let i = 1; i < this.rangeCount; i++) {
      // The gap above range `i`.
      const last = ranges[2 * i - 2]! - 1;
      if (last <= reported) break;
      smallest = Math.max(ranges[2 * i + 1]! + 1, reported + 1);
    }
    return this.#largestEliciting - smallest >= this.#reordering;
  }

  /** Returns the start of the range that `pn` is in now. */
  #insert(pn: number): number {
    let { ranges } = this;
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
      } else if (pn === ranges[2 * at + 1]! + 1) ranges[2 * at + 1] = pn;
      return ranges[2 * at]!;
    }
    if (2 * this.rangeCount === ranges.length) ranges = this.#grow();
    ranges.copyWithin(2 * at + 2, 2 * at, 2 * this.rangeCount);
    ranges[2 * at] = ranges[2 * at + 1] = pn;
    this.rangeCount++;
    if (this.rangeCount > MAX_ACK_RANGES) {
      // rfc9000#13.2.3 a receiver limits the number of ACK ranges it remembers: the oldest go, and with them a minimum
      // packet number increases, below which nothing is accepted any more.
      this.rangeCount--;
      this.#floor = ranges[2 * this.rangeCount + 1]! + 1;
    }
    return pn;
  }

  #grow(): Float64Array<ArrayBuffer> {
    const larger = new Float64Array(Math.min(2 * this.ranges.length, 2 * (MAX_ACK_RANGES + 1)));
    larger.set(this.ranges);
    return (this.ranges = larger);
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
    // rfc9000#13.2.5 An endpoint MUST NOT include delays that it does not control when populating the ACK Delay field
    // in an ACK frame.
    if (this.#space !== APPLICATION) return 0;
    return Math.max(0, Math.floor(((now - this.#largestAt) * 1000) / 2 ** ACK_DELAY_EXPONENT));
  }

  /** An ACK frame with all of this was written. */
  onAckSent(): void {
    this.#elicitingSinceAck = 0;
    this.#largestTold = this.largest;
    this.#ackNow = false;
    this.hasAckToSend = false;
    this.ackDeadline = Infinity;
    this.#lowestUntold = Infinity;
  }

  /** The peer has seen our ACK up to `largest`: older ranges need no more telling, rfc9000#13.2.4. */
  onAckOfAck(largest: number): void {
    // rfc9000#13.2.3 Receivers can discard all ACK Ranges, but they MUST retain the largest packet number that has
    // been successfully processed, as that is used to recover packet …
    const { ranges } = this;
    // The highest range always stays, so that every ACK has something to say; and so does what arrived late, below
    // `largest`, and was in no ACK yet: rfc9000#13.2.1 ack-eliciting packets MUST be acknowledged at least once.
    while (this.rangeCount > 1) {
      const high = ranges[2 * this.rangeCount - 1]!;
      if (high > largest || high >= this.#lowestUntold) return;
      this.rangeCount--;
      this.#floor = high + 1;
    }
  }
}

/** In place of a space whose keys are gone, of every connection: nothing is received in it. */
export const DISCARDED_RECEIVED: ReceivedPackets = Object.freeze(new ReceivedPackets(0)) as ReceivedPackets;
