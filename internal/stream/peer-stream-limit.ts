import { MAX_STREAM_COUNT } from "../protocol/limits.ts";

/** How many streams of one direction the peer may open: rfc9000#4.6. Counts over the connection's life. */
export class PeerStreamLimit {
  #concurrent: number;
  /** So many streams that end are not replaced: fewer at a time are wanted than the peer was promised. */
  #excess = 0;
  /** What the peer was told. */
  limit: number;
  /** What it will be told. */
  next: number;
  opened = 0;

  constructor(concurrent: number) {
    this.#concurrent = concurrent;
    this.limit = this.next = Math.min(concurrent, MAX_STREAM_COUNT);
  }

  /**
   * Whether the peer should hear of what came free: when it has little credit left, or a good part of the limit came
   * free; telling it each time would cost a frame per stream.
   */
  get updateDue(): boolean {
    const owed = this.next - this.limit;
    return owed > 0 && (this.limit - this.opened <= this.#concurrent / 2 || owed > this.#concurrent / 4);
  }

  /** So many at a time from now on. True where the peer should hear of it. What it was promised it keeps: rfc9000#4.6. */
  setConcurrent(concurrent: number): boolean {
    const more = concurrent - this.#concurrent - this.#excess;
    this.#concurrent = concurrent;
    this.#excess = Math.max(0, -more);
    if (more <= 0) return false;
    this.next = Math.min(this.next + more, MAX_STREAM_COUNT);
    return true;
  }

  /** One of them is over: another may be opened. True where the peer should hear of it. */
  onClosed(): boolean {
    // rfc9000#4.6 An endpoint MUST NOT wait to receive this signal before advertising additional credit, since doing
    // so will mean that the peer will be blocked for at least an …
    // rfc9000#19.11 This value cannot exceed 2^60
    if (this.#excess > 0) this.#excess--;
    else if (this.next < MAX_STREAM_COUNT) this.next++;
    return this.updateDue;
  }
}
