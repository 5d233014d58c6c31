// Request streams as the peer allows them.

import { type Connection, type Stream, StreamLimitReachedError } from "../src/index.ts";

/** Opens request streams; those that wait for the peer to allow another can be told that it is for nothing. */
export class StreamOpener {
  readonly #quic: Connection;
  readonly #waiting = new Set<AbortController>();

  constructor(quic: Connection) {
    this.#quic = quic;
  }

  /** @throws what `stop` was given; the signal's reason; the connection's error */
  async open(signal: AbortSignal | undefined): Promise<Stream> {
    try {
      signal?.throwIfAborted();
      return this.#quic.tryOpenStream();
    } catch (error) {
      if (!(error instanceof StreamLimitReachedError)) throw error;
    }
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
