/** How many streams of one direction the peer may open: rfc9000#4.6. Counts over the connection's life. */
export class PeerStreamLimit {
  readonly #concurrent: number;
  /** What the peer was told. */
  limit: number;
  /** What it will be told. */
  next: number;
  opened = 0;

  constructor(concurrent: number) {
    this.#concurrent = concurrent;
    this.limit = this.next = concurrent;
  }

  /**
   * One of them is over: another may be opened. True where the peer should hear of it: when it has little credit left,
   * or a good part of the limit came free; telling it each time would cost a frame per stream.
   */
  onClosed(): boolean {
    this.next++;
    return this.limit - this.opened <= this.#concurrent / 2 || this.next - this.limit > this.#concurrent / 4;
  }
}
