// Unidirectional streams: their types, and what may be opened and closed. rfc9114#6.2, rfc9204#4.2

import { Http3ConnectionError } from "./errors.ts";
import type { Role } from "./frames.ts";

/** Types of unidirectional streams. */
export const STREAM_TYPE = {
  CONTROL: 0x00,
  PUSH: 0x01,
  QPACK_ENCODER: 0x02,
  QPACK_DECODER: 0x03,
} as const;

/** What a peer's unidirectional stream is for. */
export type UniStreamKind = "control" | "push" | "qpack-encoder" | "qpack-decoder" | "unknown";

const KINDS: readonly UniStreamKind[] = ["control", "push", "qpack-encoder", "qpack-decoder"];

/**
 * The unidirectional streams a peer has opened.
 *
 * Streams that end or are reset before their type has come are nothing here: rfc9114#6.2 A receiver MUST tolerate
 * unidirectional streams being closed or reset prior to the reception of the unidirectional stream header.
 */
export class PeerUniStreams {
  readonly #receiver: Role;
  readonly #seen = new Set<UniStreamKind>();

  /** @param receiver - our own side */
  constructor(receiver: Role) {
    this.#receiver = receiver;
  }

  /**
   * A stream's type was read.
   *
   * @returns `unknown` where its type is: reading it is to be aborted with H3_STREAM_CREATION_ERROR, or what comes
   *   is to be discarded. rfc9114#6.2 Recipients of unknown stream types MUST either abort reading of the stream or
   *   discard incoming data without further processing.
   * @throws {Http3ConnectionError} H3_STREAM_CREATION_ERROR
   */
  opened(type: number): UniStreamKind {
    // rfc9114#6.2 The recipient MUST NOT consider unknown stream types to be a connection error of any kind.
    // rfc9114#6.2.3 Endpoints MUST NOT consider these streams to have any meaning upon receipt: reserved types are unknown.
    // rfc9114#9 Implementations MUST discard data or abort reading on unidirectional streams that have unknown or
    // unsupported types.
    const kind = KINDS[type] ?? "unknown";
    if (kind === "unknown") return kind;
    if (kind === "push") {
      // rfc9114#6.2.2 if a server receives a client-initiated push stream, this MUST be treated as a connection error of
      // type H3_STREAM_CREATION_ERROR.
      if (this.#receiver === "server") throw creation("a client opened a push stream");
      return kind;
    }
    // rfc9114#6.2.1 receipt of a second stream claiming to be a control stream MUST be treated as a connection error of
    // type H3_STREAM_CREATION_ERROR.
    // rfc9204#4.2 Receipt of a second instance of either stream type MUST be treated as a connection error of type
    // H3_STREAM_CREATION_ERROR.
    // rfc9204#4.2 An endpoint MUST allow its peer to create an encoder stream and a decoder stream even if the
    // connection's settings prevent their use: nothing is asked here but whether there is one already.
    if (this.#seen.has(kind)) throw creation(`a second ${kind} stream`);
    this.#seen.add(kind);
    return kind;
  }

  /** Whether a stream of that kind was opened. */
  has(kind: UniStreamKind): boolean {
    return this.#seen.has(kind);
  }

  /**
   * A stream was closed or reset by its sender, or its reading was stopped by its receiver; the peer's stream or ours.
   *
   * @throws {Http3ConnectionError} H3_CLOSED_CRITICAL_STREAM
   */
  static closed(kind: UniStreamKind): void {
    // rfc9114#6.2.1 If either control stream is closed at any point, this MUST be treated as a connection error of type
    // H3_CLOSED_CRITICAL_STREAM.
    // rfc9204#4.2 Closure of either unidirectional stream type MUST be treated as a connection error of type
    // H3_CLOSED_CRITICAL_STREAM.
    if (kind === "unknown" || kind === "push") return;
    throw new Http3ConnectionError("H3_CLOSED_CRITICAL_STREAM", `the ${kind} stream was closed`);
  }
}

function creation(message: string): Http3ConnectionError {
  return new Http3ConnectionError("H3_STREAM_CREATION_ERROR", message);
}

/**
 * A peer opened a bidirectional stream.
 *
 * rfc9114#6.1 Clients MUST treat receipt of a server-initiated bidirectional stream as a connection error of type
 * H3_STREAM_CREATION_ERROR unless such an extension has been negotiated.
 *
 * @param negotiated - whether an extension that uses them is
 */
export function checkBidirectional(receiver: Role, negotiated = false): void {
  if (receiver === "client" && !negotiated) throw creation("the server opened a bidirectional stream");
}
