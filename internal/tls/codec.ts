// The TLS presentation language, rfc8446#3: numbers in network order and length-prefixed vectors.

import type { AlertName } from "../protocol/constants.ts";
import { TlsAlertError } from "../protocol/errors.ts";

/** The error that ends a handshake. */
export function alert(name: AlertName, reason: string): TlsAlertError {
  return new TlsAlertError(name, reason);
}

/**
 * Reads one structure. Whatever does not fit throws decode_error: rfc8446#6 peers which receive a message which cannot
 * be parsed according to the syntax MUST terminate the connection with a "decode_error" alert.
 */
export class Decoder {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #pos = 0;

  /** `what` names the structure in errors. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get remaining(): number {
    return this.#bytes.length - this.#pos;
  }

  u8(): number {
    if (this.remaining < 1) throw this.#cutOff();
    return this.#bytes[this.#pos++]!;
  }

  u16(): number {
    return this.u8() * 0x100 + this.u8();
  }

  u24(): number {
    return this.u16() * 0x100 + this.u8();
  }

  u32(): number {
    return this.u16() * 0x10000 + this.u16();
  }

  /** A view of the next `n` bytes. */
  bytes(n: number): Uint8Array {
    if (this.remaining < n) throw this.#cutOff();
    const start = this.#pos;
    this.#pos += n;
    return this.#bytes.subarray(start, this.#pos);
  }

  /** `opaque x<min..max>` with a length of `prefix` bytes. */
  opaque(prefix: 1 | 2 | 3, min: number, max = Infinity): Uint8Array {
    const length = prefix === 1 ? this.u8() : prefix === 2 ? this.u16() : this.u24();
    if (length < min || length > max) {
      throw alert("decode_error", `${this.#what}: a vector of ${length} bytes is out of range`);
    }
    return this.bytes(length);
  }

  /** The same, to be read further. */
  vector(prefix: 1 | 2 | 3, min: number, max = Infinity): Decoder {
    return new Decoder(this.opaque(prefix, min, max), this.#what);
  }

  /** A vector of 16-bit numbers, at least one. */
  u16s(prefix: 1 | 2): number[] {
    const list = this.vector(prefix, 2);
    const values: number[] = [];
    while (list.remaining > 0) values.push(list.u16());
    return values;
  }

  /** Ms since 1970, in 48 bits. */
  time(): number {
    return this.u16() * 2 ** 32 + this.u32();
  }

  /** A list of certificates, copied; more than `most` are none of ours. */
  certificates(most: number): Uint8Array[] {
    const list = this.vector(3, 0);
    const chain: Uint8Array[] = [];
    while (list.remaining > 0) chain.push(list.opaque(3, 1).slice());
    if (chain.length > most) throw alert("decode_error", `${this.#what}: ${chain.length} certificates`);
    return chain;
  }

  /** A reader of its own over what is left. */
  peek(): Decoder {
    return new Decoder(this.#bytes.subarray(this.#pos), this.#what);
  }

  /** Nothing may follow: rfc8446#4.2 trailing data is forbidden, "decode_error". */
  end(): void {
    if (this.remaining > 0) throw alert("decode_error", `${this.#what}: ${this.remaining} bytes left over`);
  }

  #cutOff(): TlsAlertError {
    return alert("decode_error", `${this.#what}: cut off`);
  }
}

/** Writes one structure; grows as needed. */
export class Encoder {
  #bytes: Uint8Array;
  #pos = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#pos++] = value;
  }

  u16(value: number): void {
    this.u8(value >>> 8);
    this.u8(value);
  }

  u24(value: number): void {
    this.u8(value >>> 16);
    this.u16(value);
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value);
  }

  /** Ms since 1970, in 48 bits. */
  time(value: number): void {
    this.u16(Math.floor(value / 2 ** 32));
    this.u32(value % 2 ** 32);
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length);
    this.#bytes.set(value, this.#pos);
    this.#pos += value.length;
  }

  opaque(prefix: 1 | 2 | 3, value: Uint8Array): void {
    this.vector(prefix, () => this.bytes(value));
  }

  u16s(prefix: 1 | 2, values: readonly number[]): void {
    this.vector(prefix, () => values.forEach((value) => this.u16(value)));
  }

  /** Writes what `content` writes, with its length in front. */
  vector(prefix: 1 | 2 | 3, content: () => void): void {
    const at = this.#pos;
    this.#room(prefix);
    this.#pos += prefix;
    content();
    const length = this.#pos - at - prefix;
    if (length >= 2 ** (8 * prefix)) throw alert("internal_error", "a TLS vector does not fit its length");
    for (let i = 0; i < prefix; i++) this.#bytes[at + i] = length >>> (8 * (prefix - 1 - i));
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#pos);
  }

  #room(n: number): void {
    if (this.#pos + n <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#pos + n));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** What `write` writes. */
export function encode(write: (out: Encoder) => void): Uint8Array {
  const out = new Encoder();
  write(out);
  return out.finish();
}
