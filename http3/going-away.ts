// How a connection comes to its end without losing requests: GOAWAY, ours and the peer's. rfc9114#5.2

import { setTimeout as delay } from "node:timers/promises";
import type { Connection } from "../src/index.ts";
import { GoingAwayError, H3_ERROR, Http3StreamError } from "./errors.ts";
import { encodeFinalWarning, encodeIdFrame, FRAME, type Role } from "./frames.ts";
import type { Pusher } from "./push-server.ts";
import type { StreamOpener } from "./stream-opener.ts";
import type { StreamSet } from "./stream-set.ts";

/** The smallest wait between the two GOAWAYs of a shutdown, ms. */
const LEAST_WARNING = 10;

/** What going away needs of its connection. */
export interface GoingAwayHost {
  readonly role: Role;
  readonly quic: Connection;
  readonly streams: StreamSet;
  readonly opener: StreamOpener;
  /** Of a server. */
  readonly pusher: Pusher | null;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<unknown>;
  /** The first request stream that has not come. */
  readonly nextStream: number;
  /** Sends a frame on the control stream. */
  say(frame: Uint8Array): void;
  /** Ends the connection at once. */
  close(): void;
}

/** What the two sides said of their going away. */
export class GoingAway {
  readonly #host: GoingAwayHost;
  /** Streams from this one on are rejected: what our GOAWAY said. */
  #refusing = Infinity;
  /** What the peer's GOAWAY said; -1 before. */
  #peer = -1;
  #shuttingDown = false;

  constructor(host: GoingAwayHost) {
    this.#host = host;
  }

  /** The peer said GOAWAY. */
  get byPeer(): boolean {
    return this.#peer >= 0;
  }

  /** One of the two: no new requests. */
  get begun(): boolean {
    return this.#peer >= 0 || this.#shuttingDown;
  }

  /** Whether our GOAWAY says that a request of that stream is rejected. */
  refuses(id: number): boolean {
    return id >= this.#refusing;
  }

  /** @throws {GoingAwayError} where there are to be no new requests */
  check(): void {
    if (this.begun) throw new GoingAwayError(this.byPeer);
  }

  /** The peer's GOAWAY. */
  heard(id: number): void {
    const { role, pusher, opener, streams } = this.#host;
    this.#peer = id;
    if (role === "server") {
      pusher!.goaway(id);
      return;
    }
    opener.stop(new GoingAwayError(true));
    for (const stream of streams.all()) {
      if (stream.id < id) continue;
      const error = new Http3StreamError("H3_REQUEST_REJECTED", "the server is going away", { remote: true });
      stream.give(error, H3_ERROR.H3_REQUEST_CANCELLED);
    }
    if (streams.size === 0) this.#closeSoon();
  }

  /** The last of the requests is over. */
  idle(): void {
    if (this.byPeer && this.#host.role === "client") this.#closeSoon();
  }

  #closeSoon(): void {
    void this.#host.quic.close({ code: H3_ERROR.H3_NO_ERROR }).catch(() => {});
  }

  /** Ends the connection when the requests under way are done; see the connection's. */
  async shutdown(signal: AbortSignal | undefined): Promise<void> {
    const { role, quic, streams, opener, pusher, closed } = this.#host;
    const begun = this.#shuttingDown;
    this.#shuttingDown = true;
    let aborted: () => void = () => {};
    const abort = new Promise<void>((resolve) => (aborted = resolve));
    signal?.addEventListener("abort", aborted, { once: true });
    try {
      if (!begun) {
        opener.stop(new GoingAwayError(false));
        this.#host.say(encodeFinalWarning(role));
        if (role === "server") {
          // What is on its way gets here before the second GOAWAY says which requests did.
          const wait = Math.max(LEAST_WARNING, 2 * quic.stats().smoothedRtt);
          await Promise.race([delay(wait), closed, abort]);
          // rfc9114#5.2 An endpoint MAY send multiple GOAWAY frames indicating different identifiers, but the identifier in
          // each frame MUST NOT be greater than the identifier in any previous frame: the first one was the greatest there is.
          this.#refusing = this.#host.nextStream;
          this.#host.say(encodeIdFrame(FRAME.GOAWAY, this.#refusing));
        }
      }
      if (streams.size > 0) await Promise.race([streams.idle(), closed, abort]);
      if (pusher !== null) await Promise.race([pusher.idle(), closed, abort]);
      if (signal?.aborted !== true) {
        await Promise.race([quic.close({ code: H3_ERROR.H3_NO_ERROR }).catch(() => {}), closed, abort]);
      }
      if (signal?.aborted === true) {
        this.#host.close();
        throw signal.reason;
      }
    } finally {
      signal?.removeEventListener("abort", aborted);
    }
  }
}
