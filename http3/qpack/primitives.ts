// Prefixed integers and strings, rfc9204#4.1: reading from what may be incomplete, writing into a buffer that grows.

import { InvalidFieldError } from "../errors.ts";
import { huffmanDecode, huffmanEncode, huffmanLength, huffmanMaxDecoded } from "./huffman.ts";

/** The bytes end before the integer or string does. */
export const INCOMPLETE = -1;
/** An integer of more than 62 bits. */
export const INVALID = -2;

/** rfc9204#4.1.1 QPACK implementations MUST be able to decode integers up to and including 62 bits long. */
const MAX_INTEGER = 2 ** 62;
/** Bytes after the prefix that 62 bits can take. Stops: integers of endless zeros, rfc7541#5.1. */
const MAX_CONTINUATION = 9;

/** Where Huffman codes are decoded to; longer strings get a buffer of their own. */
const scratch = Buffer.allocUnsafeSlow(8192);

/** The bytes as a Buffer, for its fast `latin1`; no copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A position in bytes. Reading methods return INCOMPLETE or INVALID and then leave the position undefined. */
export class PrefixReader {
  bytes: Buffer;
  position: number;
  end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = asBuffer(bytes);
    this.position = start;
    this.end = end;
  }

  /**
   * The integer in the low `prefix` bits of the byte here and the bytes after it. rfc7541#5.1
   *
   * Values of 2^53 and more are approximate: too large for any use here, and every use compares with its bound.
   */
  integer(prefix: number): number {
    const { bytes, end } = this;
    let at = this.position;
    if (at >= end) return INCOMPLETE;
    const max = (1 << prefix) - 1;
    let value = bytes[at++]! & max;
    if (value === max) {
      let scale = 1;
      for (let i = 0; ; i++) {
        if (at >= end) return i >= MAX_CONTINUATION ? INVALID : INCOMPLETE;
        // rfc7541#5.1 Integer encodings that exceed implementation limits -- in value or octet length -- MUST be
        // treated as decoding errors.
        if (i === MAX_CONTINUATION) return INVALID;
        const byte = bytes[at++]!;
        value += (byte & 0x7f) * scale;
        if (value > MAX_INTEGER) return INVALID;
        if (byte < 0x80) break;
        scale *= 128;
      }
    }
    this.position = at;
    return value;
  }

  /** The string of `length` bytes here, which must be there; null where its Huffman code is broken. */
  text(length: number, huffman: boolean): string | null {
    const start = this.position;
    const end = (this.position += length);
    if (!huffman) return this.bytes.toString("latin1", start, end);
    const most = huffmanMaxDecoded(length);
    const out = most <= scratch.length ? scratch : Buffer.allocUnsafeSlow(most);
    const written = huffmanDecode(this.bytes, start, end, out);
    return written < 0 ? null : out.toString("latin1", 0, written);
  }
}

/** Bytes up to which a loop costs less than a call into the runtime. */
const SHORT = 24;

/** Bytes an integer can take. */
const INTEGER_ROOM = 2 + MAX_CONTINUATION;

const NO_BYTES = Buffer.alloc(0);
/** Bytes that a writer has as soon as it has any. */
const LEAST_ROOM = 64;

/** A buffer that grows from nothing, with the writers of QPACK's primitives. */
export class PrefixWriter {
  bytes: Buffer = NO_BYTES;
  position = 0;

  /** Makes room for `more` bytes after the position. */
  room(more: number): void {
    const needed = this.position + more;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.bytes.length, LEAST_ROOM));
    grown.set(this.bytes.subarray(0, this.position));
    this.bytes = grown;
  }

  /** An integer with a prefix of `prefix` bits; `first` has what the bits before it are. rfc7541#5.1 */
  integer(first: number, prefix: number, value: number): void {
    this.room(INTEGER_ROOM);
    const max = (1 << prefix) - 1;
    if (value < max) {
      this.bytes[this.position++] = first | value;
      return;
    }
    this.bytes[this.position++] = first | max;
    value -= max;
    while (value >= 128) {
      this.bytes[this.position++] = 0x80 | (value % 128);
      value = Math.floor(value / 128);
    }
    this.bytes[this.position++] = value;
  }

  /**
   * A string with an N-bit prefix; `first` has what the bits before it are. rfc9204#4.1.2
   *
   * `coded` is the string's {@link codedLength}.
   */
  text(first: number, prefix: number, text: string, coded: number): void {
    const length = text.length;
    if (coded < length) {
      this.integer(first | (1 << (prefix - 1)), prefix - 1, coded);
      this.room(coded);
      this.position = huffmanEncode(text, this.bytes, this.position);
      return;
    }
    this.integer(first, prefix - 1, length);
    this.room(length);
    if (length <= SHORT) {
      for (let i = 0; i < length; i++) this.bytes[this.position + i] = text.charCodeAt(i);
    } else this.bytes.write(text, this.position, length, "latin1");
    this.position += length;
  }

  /** A copy of what was written from `start` on. */
  copy(start = 0): Uint8Array {
    const out = Buffer.allocUnsafe(this.position - start);
    if (out.length > SHORT) out.set(this.bytes.subarray(start, this.position));
    else for (let i = 0; i < out.length; i++) out[i] = this.bytes[start + i]!;
    return out;
  }
}

/**
 * The length of a string in the Huffman code, or its own where `huffman` is false.
 *
 * @throws {InvalidFieldError} where a char is no byte
 */
export function codedLength(text: string, huffman: boolean): number {
  const coded = huffmanLength(text);
  if (Number.isNaN(coded)) {
    throw new InvalidFieldError(
      "a field has a char above U+00FF. Fields are strings of bytes: encode the text (Buffer.from(text).toString('latin1')).",
    );
  }
  return huffman ? coded : text.length;
}
