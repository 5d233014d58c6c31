// Cuts the CRYPTO bytes of the current encryption level into handshake messages, rfc8446#4.

import {
  CRYPTO_BUFFER_EXCEEDED,
  INITIAL,
  LEVEL_NAMES,
  PROTOCOL_VIOLATION,
  type Level,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { MAX_TLS_MESSAGE, MAX_WAITING_TLS } from "../protocol/limits.ts";
import { alert } from "./codec.ts";

/** One handshake message. */
export interface HandshakeMessage {
  readonly type: number;
  readonly body: Uint8Array;
  /** With its header of type and length, as the transcript takes it. */
  readonly raw: Uint8Array;
}

const HEADER = 4;

export class MessageReader {
  /** The level TLS reads at. */
  level: Level = INITIAL;
  #buffer = new Uint8Array(0);
  #start = 0;
  #end = 0;

  /** In-order bytes of `level`. They are copied. */
  append(level: Level, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (level !== this.level) {
      // rfc9001#4.1.3 data from a previously installed encryption level MUST NOT extend past the end of previously
      // received data: PROTOCOL_VIOLATION. Of a level to come the connection keeps the data until TLS reads there.
      throw new TransportError(
        PROTOCOL_VIOLATION,
        `TLS data at the ${LEVEL_NAMES[level]} level while ${LEVEL_NAMES[this.level]} is current`,
        { frameType: 0x06 },
      );
    }
    const kept = this.#end - this.#start;
    // Only while the machine waits for an answer can complete messages pile up here. rfc9000#7.5 CRYPTO_BUFFER_EXCEEDED
    if (kept + bytes.length > MAX_WAITING_TLS) {
      throw new TransportError(CRYPTO_BUFFER_EXCEEDED, "too much TLS data waits to be processed", {
        frameType: 0x06,
      });
    }
    if (this.#end + bytes.length > this.#buffer.length) this.#grow(kept + bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /**
   * The next whole message, or null. `expect` is asked as soon as a header is there, so that nothing is gathered for a
   * message that would be refused; it throws.
   */
  next(expect: (type: number) => void): HandshakeMessage | null {
    const available = this.#end - this.#start;
    if (available === 0) return null;
    const at = this.#start;
    const buffer = this.#buffer;
    const type = buffer[at]!;
    expect(type);
    if (available < HEADER) return null;
    const length = buffer[at + 1]! * 0x10000 + buffer[at + 2]! * 0x100 + buffer[at + 3]!;
    if (length > MAX_TLS_MESSAGE) {
      throw alert("decode_error", `a handshake message of ${length} bytes is over the limit`);
    }
    if (available < HEADER + length) return null;
    this.#start += HEADER + length;
    // A copy: messages outlive the buffer (certificates, tickets), and the buffer moves.
    const raw = buffer.slice(at, this.#start);
    if (this.#start === this.#end) this.#start = this.#end = 0;
    return { type, body: raw.subarray(HEADER), raw };
  }

  /**
   * Goes on at the next level.
   * rfc8446#5.1 handshake messages MUST NOT span key changes; rfc9001#4.1.3 data from a previous encryption level that
   * TLS has not consumed MUST be treated as a connection error of type PROTOCOL_VIOLATION.
   */
  enter(level: Level): void {
    this.assertEmpty();
    this.level = level;
  }

  /** To be called before anything is sent with keys of the next level. */
  assertEmpty(): void {
    if (this.#end === this.#start) return;
    throw new TransportError(PROTOCOL_VIOLATION, "TLS data continues across a key change", {
      frameType: 0x06,
    });
  }

  clear(): void {
    this.#buffer = new Uint8Array(0);
    this.#start = this.#end = 0;
  }

  #grow(needed: number): void {
    const larger = needed > this.#buffer.length ? new Uint8Array(Math.max(1024, 2 * needed)) : this.#buffer;
    larger.set(this.#buffer.subarray(this.#start, this.#end));
    this.#buffer = larger;
    this.#end -= this.#start;
    this.#start = 0;
  }
}
