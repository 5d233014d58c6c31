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
  /** Made with the first; an idle connection has none. */
  #readable: Set<Stream> | null = null;
  #writable: Set<Stream> | null = null;

  /** Positions in #events of those that are there once, −1 for none. */
  #pathAt = -1;
  #bidiAt = -1;
  #uniAt = -1;
  #closed = false;

  push(event: ConnectionEvent): void {
    // Frames that follow CONNECTION_CLOSE in its packet must not revive what its owner has forgotten.
    if (this.#closed) return;
    if (event.type === "closed") this.#closed = true;
    const at = this.#events.length;
    if (event.type === "path_changed") {
      if (this.#replaced(this.#pathAt, event)) return;
      this.#pathAt = at;
    } else if (event.type === "streams_available") {
      if (this.#replaced(event.bidi ? this.#bidiAt : this.#uniAt, event)) return;
      if (event.bidi) this.#bidiAt = at;
      else this.#uniAt = at;
    }
    this.#events.push(event);
  }

  #replaced(at: number, event: ConnectionEvent): boolean {
    if (at < this.#head) return false;
    this.#events[at] = event;
    return true;
  }

  readable(stream: Stream): void {
    (this.#readable ??= new Set()).add(stream);
  }

  writable(stream: Stream): void {
    (this.#writable ??= new Set()).add(stream);
  }

  get isEmpty(): boolean {
    if (this.#head !== this.#events.length) return false;
    return (this.#readable === null || this.#readable.size === 0) && (this.#writable?.size ?? 0) === 0;
  }

  /** Opened streams come before their data, everything about streams before the end of the connection. */
  poll(): ConnectionEvent | null {
    const head = this.#events[this.#head];
    if (head !== undefined && head.type !== "closed") return this.#shift();
    const readable = takeFirst(this.#readable);
    if (readable !== null) return { type: "stream_readable", stream: readable };
    const writable = takeFirst(this.#writable);
    if (writable !== null) return { type: "stream_writable", stream: writable };
    return head === undefined ? null : this.#shift();
  }

  #shift(): ConnectionEvent {
    const event = this.#events[this.#head++]!;
    if (this.#head === this.#events.length) {
      this.#events = [];
      this.#head = 0;
      this.#pathAt = this.#bidiAt = this.#uniAt = -1;
    }
    return event;
  }
}

function takeFirst(streams: Set<Stream> | null): Stream | null {
  if (streams === null) return null;
  for (const stream of streams) {
    streams.delete(stream);
    return stream;
  }
  return null;
}
