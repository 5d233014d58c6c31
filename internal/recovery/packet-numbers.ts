// Our packet numbers in one space, rfc9000#12.3, with some left out on purpose: rfc9000#21.4.

import { FRAME_ACK, PROTOCOL_VIOLATION } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { MAX_SKIPPED_NUMBERS, SKIPPED_NUMBER_PERIOD } from "../protocol/limits.ts";
import { drawInt, type RandomSource } from "../protocol/random.ts";
import type { AckFrame } from "../wire/frames.ts";

/** Distances grow no further: a lie of this many packets is a window's worth at any speed. */
const MAX_PERIOD = 2 ** 20;

/** Numbers never repeat and never go back, whatever happens to the packets. */
export class PacketNumbers {
  /** One past the highest number used or skipped. */
  next = 0;
  /** The last number left out, −1 for none. */
  lastSkipped = -1;
  readonly #random: RandomSource | null;
  /** Made when a number is skipped: handshakes end before. */
  #skipped: Float64Array | null = null;
  #skippedCount = 0;
  /** Those below are nobody's to acknowledge. */
  #valid = 0;
  #skipAt = Infinity;
  #period = SKIPPED_NUMBER_PERIOD;

  /** @param random null: every number is used. */
  constructor(random: RandomSource | null) {
    this.#random = random;
    if (random !== null) this.#skipAt = 1 + drawInt(random, this.#period);
  }

  /** The next packet's number; the same until `use`. */
  peek(): number {
    if (this.next === this.#skipAt) {
      // rfc9000#21.4 an endpoint MAY skip packet numbers when sending packets to detect this behavior.
      this.lastSkipped = this.next++;
      this.#skipped ??= new Float64Array(MAX_SKIPPED_NUMBERS);
      this.#skipped[this.#skippedCount++ % MAX_SKIPPED_NUMBERS] = this.lastSkipped;
      this.#period = Math.min(2 * this.#period, MAX_PERIOD);
      this.#skipAt = this.next + 1 + drawInt(this.#random!, this.#period);
    }
    return this.next;
  }

  use(): void {
    this.next++;
  }

  /**
   * What was sent so far was refused as 0-RTT. rfc9001#4.6.2 a client SHOULD treat receipt of an acknowledgment for a
   * 0-RTT packet as a connection error of type PROTOCOL_VIOLATION.
   */
  forbidSoFar(): void {
    this.#valid = this.next;
  }

  /** @throws {TransportError} PROTOCOL_VIOLATION where `ack` is for a packet that was never sent, or refused. */
  check(ack: AckFrame): void {
    // rfc9000#13.1 an endpoint SHOULD treat receipt of an acknowledgment for a packet it did not send as a connection
    // error of type PROTOCOL_VIOLATION; rfc9000#21.4 the skipped numbers are such.
    const lie = this.neverSent(ack.largest, ack.ranges, ack.rangeCount);
    if (lie < 0) return;
    throw new TransportError(PROTOCOL_VIOLATION, `acknowledges packet ${lie}: never sent, or refused`, {
      frameType: FRAME_ACK,
    });
  }

  /** A number that `ranges` (pairs, the highest first) acknowledge and that was never sent; −1 where all is well. */
  neverSent(largest: number, ranges: Float64Array, rangeCount: number): number {
    if (largest >= this.next) return largest;
    if (rangeCount > 0 && ranges[2 * rangeCount - 2]! < this.#valid) return ranges[2 * rangeCount - 2]!;
    const count = Math.min(this.#skippedCount, MAX_SKIPPED_NUMBERS);
    // The newest first, as the ranges are.
    let range = 0;
    for (let k = 1; k <= count && range < rangeCount; k++) {
      const pn = this.#skipped![(this.#skippedCount - k) % MAX_SKIPPED_NUMBERS]!;
      while (range < rangeCount && ranges[2 * range]! > pn) range++;
      if (range < rangeCount && ranges[2 * range + 1]! >= pn) return pn;
    }
    return -1;
  }
}
