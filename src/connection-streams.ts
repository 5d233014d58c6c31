// What the streams of a connection share.

import type { QuicError } from "../internal/protocol/errors.ts";
import type { StreamOwner } from "./receive-stream.ts";

/** The owner of a connection's streams; those of 0-RTT that was refused have one of their own, which tells them. */
export class ConnectionStreams implements StreamOwner {
  failure: QuicError | null = null;
  starved: Set<{ wake(): void }> | null = null;
  readonly #connection: { flushSoon(): void };
  readonly #core: { readonly events: { watchBlocked(): void } };

  constructor(connection: { flushSoon(): void }, core: { readonly events: { watchBlocked(): void } }) {
    this.#connection = connection;
    this.#core = core;
  }

  flush(): void {
    this.#connection.flushSoon();
  }

  watchBlocked(): void {
    this.#core.events.watchBlocked();
  }
}
