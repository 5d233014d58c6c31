// What a connection tells its owner, polled after every verb.

import type { QuicError } from "../protocol/errors.ts";
import type { Path } from "../path/path.ts";
import type { BlockedBy } from "../stream/send.ts";
import type { Stream } from "../stream/stream.ts";
import type { ClientSession } from "../tls/session.ts";
import type { PendingRequest } from "../tls/types.ts";
import type { DatagramOutcome } from "./datagrams.ts";

export type ConnectionEvent =
  | { readonly type: "handshake_complete" }
  | { readonly type: "handshake_confirmed" }
  /** Streams can be opened, and bytes leave, before the handshake is complete: 0-RTT at a client, 0.5-RTT at a server. */
  | { readonly type: "early_ready" }
  /** Client: the server refused 0-RTT. These streams are void; others begin anew. rfc9001#4.6.2 */
  | { readonly type: "early_data_rejected"; readonly streams: readonly Stream[] }
  | { readonly type: "pending"; readonly request: PendingRequest }
  /** The peer opened a stream. */
  | { readonly type: "stream_opened"; readonly stream: Stream }
  /** Data, FIN or a reset arrived. Once per stream until polled. */
  | { readonly type: "stream_readable"; readonly stream: Stream }
  /** Buffer space came back, everything was acknowledged, or the peer stopped reading. Once per stream until polled. */
  | { readonly type: "stream_writable"; readonly stream: Stream }
  /** The peer raised its stream limit. */
  | { readonly type: "streams_available"; readonly bidi: boolean }
  /** Written data has to wait, for the peer to raise a limit (`stream`: its own) or for room in the window. Where watched. */
  | { readonly type: "blocked"; readonly by: BlockedBy; readonly stream: Stream | null }
  /** Datagrams wait for the application. Once until polled. */
  | { readonly type: "datagrams_readable" }
  /** The send queue, which was full, has room again. */
  | { readonly type: "datagrams_writable" }
  /** What became of a datagram that is watched. */
  | { readonly type: "datagram_settled"; readonly id: number; readonly outcome: DatagramOutcome }
  | { readonly type: "path_changed"; readonly remote: string; readonly path: Path }
  /** A path that was probed works, or did not answer: at a server each address that the client comes from is. */
  | { readonly type: "path_validated"; readonly path: Path }
  | { readonly type: "path_failed"; readonly path: Path }
  /** One of ours that the peer retired, or one of the peer's that is given back: rfc9000#5.1.2. Where watched. */
  | {
      readonly type: "cid_retired";
      readonly ours: boolean;
      readonly sequence: number;
      readonly cid: Uint8Array;
    }
  /** Something of the application's failed, and the connection goes on without it. */
  | { readonly type: "warning"; readonly code: "QUIC_CONGESTION_CONTROL"; readonly message: string }
  | { readonly type: "key_log"; readonly line: string }
  /** Client: the server gave a token for the next connection, rfc9000#8.1.3. */
  | { readonly type: "new_token"; readonly token: Uint8Array }
  /** Client: a ticket came. The session is a secret. */
  | { readonly type: "session_ticket"; readonly session: ClientSession }
  /** The connection is over for the application; it may linger to close properly. The last event. */
  | { readonly type: "closed"; readonly error: QuicError };

/** Of connections without streams. */
const NONE: (Stream | null)[] = [];

/**
 * A queue that never drops anything somebody waits for. What a peer can multiply is there once until polled: events of a
 * stream (sets of streams), credit, the latest address. Opened streams are bounded by the limit that we gave.
 */
export class EventQueue {
  #events: ConnectionEvent[] = [];
  #head = 0;
  // Arrays, and marks at the streams: Sets that are filled and emptied all the time keep alive what was in them.
  #readable: (Stream | null)[] = NONE;
  #readableHead = 0;
  #writable: (Stream | null)[] = NONE;
  #writableHead = 0;

  /** Positions in #events of those that are there once, −1 for none. */
  #pathAt = -1;
  #bidiAt = -1;
  #uniAt = -1;
  #datagramsAt = -1;
  #closed = false;
  #watchesBlocked = false;

  /** From now on `blocked` events come. */
  watchBlocked(): void {
    this.#watchesBlocked = true;
  }

  blocked(by: BlockedBy, stream: Stream | null): void {
    if (this.#watchesBlocked) this.push({ type: "blocked", by, stream });
  }

  push(event: ConnectionEvent): void {
    // Frames that follow CONNECTION_CLOSE in its packet must not revive what its owner has forgotten.
    if (this.#closed) return;
    if (event.type === "closed") this.#closed = true;
    const at = this.#events.length;
    if (event.type === "path_changed") {
      if (this.#replaced(this.#pathAt, event)) return;
      this.#pathAt = at;
    } else if (event.type === "datagrams_readable") {
      if (this.#datagramsAt >= this.#head) return;
      this.#datagramsAt = at;
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
    if (stream.readableQueued) return;
    stream.readableQueued = true;
    if (this.#readable === NONE) this.#readable = [];
    this.#readable.push(stream);
  }

  writable(stream: Stream): void {
    if (stream.writableQueued) return;
    stream.writableQueued = true;
    if (this.#writable === NONE) this.#writable = [];
    this.#writable.push(stream);
  }

  get isEmpty(): boolean {
    return (
      this.#head === this.#events.length &&
      this.#readableHead === this.#readable.length &&
      this.#writableHead === this.#writable.length
    );
  }

  /** Opened streams come before their data, everything about streams before the end of the connection. */
  poll(): ConnectionEvent | null {
    const head = this.#events[this.#head];
    if (head !== undefined && head.type !== "closed") return this.#shift();
    if (this.#readableHead < this.#readable.length) {
      const stream = this.#readable[this.#readableHead]!;
      this.#readable[this.#readableHead++] = null;
      if (this.#readableHead === this.#readable.length) this.#readable.length = this.#readableHead = 0;
      stream.readableQueued = false;
      return { type: "stream_readable", stream };
    }
    if (this.#writableHead < this.#writable.length) {
      const stream = this.#writable[this.#writableHead]!;
      this.#writable[this.#writableHead++] = null;
      if (this.#writableHead === this.#writable.length) this.#writable.length = this.#writableHead = 0;
      stream.writableQueued = false;
      return { type: "stream_writable", stream };
    }
    return head === undefined ? null : this.#shift();
  }

  #shift(): ConnectionEvent {
    const event = this.#events[this.#head++]!;
    if (this.#head === this.#events.length) {
      this.#events = [];
      this.#head = 0;
      this.#pathAt = this.#bidiAt = this.#uniAt = this.#datagramsAt = -1;
    }
    return event;
  }
}
