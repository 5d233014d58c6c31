// What a connection tells its owner, polled after every verb.

import type { QuicError } from "../protocol/errors.ts";
import type { Stream } from "../stream/stream.ts";
import type { ClientSession } from "../tls/session.ts";
import type { PendingRequest } from "../tls/types.ts";

export type ConnectionEvent =
  | { readonly type: "handshake_complete" }
  | { readonly type: "handshake_confirmed" }
  | { readonly type: "pending"; readonly request: PendingRequest }
  /** The peer opened a stream. */
  | { readonly type: "stream_opened"; readonly stream: Stream }
  /** Data, FIN or a reset arrived. Once per stream until polled. */
  | { readonly type: "stream_readable"; readonly stream: Stream }
  /** Buffer space came back, everything was acknowledged, or the peer stopped reading. Once per stream until polled. */
  | { readonly type: "stream_writable"; readonly stream: Stream }
  /** The peer raised its stream limit. */
  | { readonly type: "streams_available"; readonly bidi: boolean }
  | { readonly type: "path_changed"; readonly remote: string }
  | { readonly type: "key_log"; readonly line: string }
  /** Client: the server gave a token for the next connection, rfc9000#8.1.3. */
  | { readonly type: "new_token"; readonly token: Uint8Array }
  /** Client: a ticket came. The session is a secret. */
  | { readonly type: "session_ticket"; readonly session: ClientSession }
  /** The connection is over for the application; it may linger to close properly. The last event. */
  | { readonly type: "closed"; readonly error: QuicError };

/**
 * A queue that never drops anything somebody waits for. What a peer can multiply is there once until polled: events of a
 * stream (sets of streams), credit, the latest address. Opened streams are bounded by the limit that we gave.
 */
export class EventQueue {
  #events: ConnectionEvent[] = [];
  #head = 0;
  readonly #readable = new Set<Stream>();
  readonly #writable = new Set<Stream>();

  /** Positions in #events of those that are there once. */
  readonly #single = new Map<string, number>();
  #closed = false;

  push(event: ConnectionEvent): void {
    // Frames that follow CONNECTION_CLOSE in its packet must not revive what its owner has forgotten.
    if (this.#closed) return;
    if (event.type === "closed") this.#closed = true;
    const key =
      event.type === "path_changed"
        ? "path"
        : event.type === "streams_available"
          ? `credit ${event.bidi}`
          : null;
    if (key !== null) {
      const at = this.#single.get(key);
      if (at !== undefined && at >= this.#head) {
        this.#events[at] = event;
        return;
      }
      this.#single.set(key, this.#events.length);
    }
    this.#events.push(event);
  }

  readable(stream: Stream): void {
    this.#readable.add(stream);
  }

  writable(stream: Stream): void {
    this.#writable.add(stream);
  }

  get isEmpty(): boolean {
    return this.#head === this.#events.length && this.#readable.size === 0 && this.#writable.size === 0;
  }

  /** Opened streams come before their data, everything about streams before the end of the connection. */
  poll(): ConnectionEvent | null {
    const head = this.#events[this.#head];
    if (head !== undefined && head.type !== "closed") return this.#shift();
    for (const stream of this.#readable) {
      this.#readable.delete(stream);
      return { type: "stream_readable", stream };
    }
    for (const stream of this.#writable) {
      this.#writable.delete(stream);
      return { type: "stream_writable", stream };
    }
    return head === undefined ? null : this.#shift();
  }

  #shift(): ConnectionEvent {
    const event = this.#events[this.#head++]!;
    if (this.#head === this.#events.length) {
      this.#events = [];
      this.#head = 0;
      this.#single.clear();
    }
    return event;
  }
}
