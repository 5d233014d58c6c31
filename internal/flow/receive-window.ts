// How much the peer may send: rfc9000#4.1, with a window that grows while the application keeps up (as quic-go's does).

import { WINDOW_UPDATE_FRACTION } from "../protocol/limits.ts";
import { WIDE } from "../protocol/wide.ts";

/** A receive window, of a stream or of the connection. Offsets and sizes in bytes. */
export class ReceiveWindow {
  /** What the peer was told: it may send up to this offset. */
  limit = WIDE;
  /** Bytes between what was consumed and the next limit. */
  size: number;
  /** What it grows to. */
  max: number;
  /** Highest offset received (stream) or sum of those (connection). */
  received = WIDE;
  /** Consumed by the application, or given up for it. */
  consumed = WIDE;
  #epochStart = WIDE;
  #epochOffset = WIDE;

  constructor(initial: number, max: number) {
    this.limit = initial;
    this.size = initial;
    this.max = max;
    this.received = this.consumed = this.#epochStart = this.#epochOffset = 0;
  }

  /** Data arrives for the first time: what the growth is measured from. */
  begin(now: number): void {
    this.#epochStart = now;
  }

  /** Whether `total` bytes received would break the limit. */
  exceeds(total: number): boolean {
    return total > this.limit;
  }

  /** The application took `n` bytes. True when the peer should hear of a new limit. */
  consume(n: number): boolean {
    this.consumed += n;
    return this.updateDue;
  }

  /** Enough of the window is consumed: late enough to be rare, early enough that the sender does not stall. */
  get updateDue(): boolean {
    return this.limit - this.consumed <= this.size * (1 - WINDOW_UPDATE_FRACTION);
  }

  /**
   * The next limit. Where half of a window or more was consumed in less than four round trips' share, the window
   * doubles: the path carries more than it allows.
   * @returns whether the window grew.
   */
  advance(now: number, rtt: number): boolean {
    let grew = false;
    const inEpoch = this.consumed - this.#epochOffset;
    if (inEpoch >= this.size / 2) {
      if (rtt > 0 && this.size < this.max && now - this.#epochStart < 4 * (inEpoch / this.size) * rtt) {
        this.size = Math.min(2 * this.size, this.max);
        grew = true;
      }
      this.#epochStart = now;
      this.#epochOffset = this.consumed;
    }
    this.limit = Math.max(this.limit, this.consumed + this.size);
    return grew;
  }

  /** The connection's window is kept larger than any stream's. */
  ensure(size: number): void {
    if (size > this.size) this.size = Math.min(size, this.max);
  }
}
