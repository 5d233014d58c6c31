// Capsules and HTTP datagrams, rfc9297.

import { Http3ConnectionError, Http3StreamError, MalformedMessageError } from "./errors.ts";
import { encodeFrame } from "./frames.ts";
import { CAPSULE_SIZE, IDLE_FRAMES } from "./limits.ts";
import { Gathering, join, NOTHING, TypeLength } from "./tlv.ts";
import { TOO_BIG, VarintReader, varintLength, writeVarint } from "./varint.ts";

/** Types of capsules. */
export const CAPSULE = {
  /** rfc9297#3.5 */
  DATAGRAM: 0x00,
} as const;

/** A whole capsule of the parts of its value. rfc9297#3.2 */
export function encodeCapsule(type: number, ...value: readonly Uint8Array[]): Uint8Array {
  // It has the layout of a frame.
  return encodeFrame(type, ...value);
}

/**
 * Reads capsules from a data stream that comes in pieces. Those that are wanted are gathered whole; others are skipped
 * without being held: rfc9297#3.2 Endpoints which receive a Capsule with an unknown Capsule Type MUST silently
 * drop that Capsule and skip over it to parse the next Capsule.
 *
 * `push` a piece, then `next` until it is false.
 */
export class CapsuleReader {
  readonly #wanted: (type: number) => boolean;
  readonly #maxSize: number;
  #piece: Uint8Array = NOTHING;
  #at = 0;
  readonly #header = new TypeLength();
  readonly #gathering = new Gathering();
  #state: "header" | "value" | "skip" = "header";
  #left = 0;
  #idle = 0;
  /** Told of the header of each capsule, of those that are skipped as well. */
  onHeader: ((type: number, length: number) => void) | null = null;
  /** The type of the capsule that came. */
  type = 0;
  /** Its value; valid until the next call. */
  value: Uint8Array = NOTHING;

  /**
   * @param wanted - whether a type is known
   * @param maxSize - bytes of a value that are gathered; default 65,536
   */
  constructor(wanted: (type: number) => boolean, maxSize: number = CAPSULE_SIZE) {
    this.#wanted = wanted;
    this.#maxSize = maxSize;
  }

  push(piece: Uint8Array): void {
    this.#piece = join(this.#piece.subarray(this.#at), piece);
    this.#at = 0;
  }

  /**
   * Whether a wanted capsule is whole; it is in `type` and `value`.
   *
   * @throws {Http3StreamError} H3_EXCESSIVE_LOAD where a wanted capsule, datagrams aside, is too large
   */
  next(): boolean {
    for (;;) {
      if (this.#state === "header" && !this.#readHeader()) return false;
      const end = Math.min(this.#piece.length, this.#at + this.#left);
      const part = this.#piece.subarray(this.#at, end);
      this.#at = end;
      this.#left -= part.length;
      const wanted = this.#state === "value";
      if (this.#left > 0) {
        // The piece is the caller's again after this: what is kept is copied.
        if (wanted) this.#gathering.add(part, this.#left);
        return false;
      }
      this.#state = "header";
      if (!wanted) continue;
      this.value = this.#gathering.finish(part);
      return true;
    }
  }

  #readHeader(): boolean {
    const at = this.#header.read(this.#piece, this.#at, null);
    this.#at = at < 0 ? this.#piece.length : at;
    if (at < 0) return false;
    this.type = this.#header.type;
    this.#left = this.#header.length;
    this.onHeader?.(this.type, this.#left);
    const wanted = this.#wanted(this.type);
    if (!wanted && ++this.#idle > IDLE_FRAMES) {
      throw new Http3StreamError("H3_EXCESSIVE_LOAD", `${IDLE_FRAMES} unknown capsules in a row`);
    }
    if (wanted) this.#idle = 0;
    this.#state = wanted ? "value" : "skip";
    if (wanted && this.#left > this.#maxSize) {
      // rfc9297#3.5: a datagram that is too large to be of use is dropped without being held.
      if (this.type !== CAPSULE.DATAGRAM) {
        throw new Http3StreamError("H3_EXCESSIVE_LOAD", `a capsule of ${this.#left} bytes`);
      }
      this.#state = "skip";
    }
    return true;
  }

  /**
   * The stream ended cleanly.
   *
   * rfc9297#3.3 If the receive side of a stream carrying capsules is terminated cleanly, and the last capsule on the stream
   * was truncated, this MUST be treated as if the message were malformed or incomplete.
   *
   * @throws {MalformedMessageError}
   */
  end(): void {
    if (this.#state !== "header" || this.#header.begun) {
      throw new MalformedMessageError("capsule", "the stream ended within a capsule");
    }
  }
}

/** The largest quarter stream ID. rfc9297#2.1 */
const MAX_QUARTER = 2 ** 60 - 1;

/** An HTTP datagram as the payload of a QUIC datagram. rfc9297#2.1 */
export function encodeDatagram(streamId: number, payload: Uint8Array): Uint8Array {
  const quarter = streamId / 4;
  const out = new Uint8Array(varintLength(quarter) + payload.length);
  out.set(payload, writeVarint(out, 0, quarter));
  return out;
}

/**
 * Reads a QUIC datagram's payload; the HTTP datagram's is not copied.
 *
 * @throws {Http3ConnectionError} H3_DATAGRAM_ERROR
 */
export function decodeDatagram(bytes: Uint8Array): { streamId: number; payload: Uint8Array } {
  const reader = new VarintReader(bytes);
  const quarter = reader.next();
  // rfc9297#2.1 Receipt of a QUIC DATAGRAM frame whose payload is too short to allow parsing the Quarter Stream ID field
  // MUST be treated as an HTTP/3 connection error of type H3_DATAGRAM_ERROR.
  if (quarter < 0)
    throw new Http3ConnectionError("H3_DATAGRAM_ERROR", "a datagram ends before its stream ID does");
  // rfc9297#2.1 the largest legal value of Quarter Stream ID is 2^60-1. Receipt of an HTTP/3 Datagram that includes a larger
  // value MUST be treated as an HTTP/3 connection error of type H3_DATAGRAM_ERROR. Its two top bits tell: 2^60 takes
  // eight bytes, of which the first has 0x10 or 0x20 set.
  if (quarter > MAX_QUARTER && (quarter !== TOO_BIG || (bytes[0]! & 0x30) !== 0)) {
    throw new Http3ConnectionError("H3_DATAGRAM_ERROR", "a datagram for a stream beyond the last");
  }
  return { streamId: quarter * 4, payload: reader.rest() };
}
