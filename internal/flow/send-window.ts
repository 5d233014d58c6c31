// How much we may send: rfc9000#4.1.

import { WIDE } from "../protocol/wide.ts";

/** The peer's limit for a stream, the connection, or a count of streams. */
export class SendWindow {
  limit = WIDE;
  used = WIDE;
  /** The limit at which a BLOCKED frame was sent last, so that there is one for each limit: rfc9000#4.1 */
  #blockedAt = WIDE;

  constructor() {
    this.limit = this.used = 0;
    this.#blockedAt = -1;
  }

  get available(): number {
    return this.limit - this.used;
  }

  /** rfc9000#4.1 a sender MUST ignore limits that do not increase. True where this one does. */
  raise(limit: number): boolean {
    // rfc9000#13.3 A receiver MUST accept packets containing an outdated frame, such as a MAX_DATA frame carrying a
    // smaller maximum data value than one found in an older packet.
    // rfc9000#4.1 A sender MUST ignore any MAX_STREAM_DATA or MAX_DATA frames that do not increase flow control
    // limits.
    if (limit <= this.limit) return false;
    this.limit = limit;
    return true;
  }

  /** Whether a BLOCKED frame is due for the current limit; asked once per limit. */
  blockedDue(): boolean {
    if (this.available > 0 || this.#blockedAt === this.limit) return false;
    this.#blockedAt = this.limit;
    return true;
  }

  /** The BLOCKED frame for `limit` was lost. True where it is due again: rfc9000#13.3 only while blocked on that limit. */
  blockedLost(limit: number): boolean {
    return limit === this.limit && this.available <= 0;
  }
}
