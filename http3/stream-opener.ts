// Request streams as the peer allows them.

import { type Connection, type Stream, StreamLimitReachedError } from "../src/index.ts";

/** Opens request streams; those that wait for the peer to allow another can be told that it is for nothing. */
export class StreamOpener {
  readonly #quic: Connection;
  readonly #waiting = new Set<AbortController>();

  constructor(quic: Connection) {
    this.#quic = quic;
  }

  /**
   * Opens a stream: at once where the peer allows it.
   *
   * @throws what `stop` was given; the signal's reason; the connection's error
   */
  open(signal: AbortSignal | undefined): Stream | Promise<Stream> {
    signal?.throwIfAborted();
    try {
      return this.#quic.tryOpenStream();
    } catch (error) {
      if (!(error instanceof StreamLimitReachedError)) throw error;
    }
    return this.#wait(signal);
  }

  async #wait(signal: AbortSignal | undefined): Promise<Stream> {
    const aborter = new AbortController();
    this.#waiting.add(aborter);
    try {
      return await this.#quic.openStream({
        signal: signal === undefined ? aborter.signal : AbortSignal.any([signal, aborter.signal]),
      });
    } finally {
      this.#waiting.delete(aborter);
    }
  }

  /** Ends all waits. */
  stop(error: Error): void {
    for (const aborter of this.#waiting) aborter.abort(error);
  }
}
