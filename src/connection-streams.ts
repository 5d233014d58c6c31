// What the streams of a connection share.

import type { QuicError } from "../internal/protocol/errors.ts";
import type { ConnectionOwner } from "./connection-state.ts";
import type { StreamOwner } from "./receive-stream.ts";

/** The owner of a connection's streams; those of 0-RTT that was refused have one of their own, which tells them. */
export class ConnectionStreams implements StreamOwner {
  failure: QuicError | null = null;
  starved: Set<{ wake(): void }> | null = null;
  readonly #connection: Pick<ConnectionOwner, "flushSoon" | "flushWhole">;
  readonly #core: { readonly events: { watchBlocked(): void } };

  constructor(
    connection: Pick<ConnectionOwner, "flushSoon" | "flushWhole">,
    core: { readonly events: { watchBlocked(): void } },
  ) {
    this.#connection = connection;
    this.#core = core;
  }

  flush(): void {
    this.#connection.flushSoon();
  }

  flushWhole(): void {
    this.#connection.flushWhole();
  }

  watchBlocked(): void {
    this.#core.events.watchBlocked();
  }
}
