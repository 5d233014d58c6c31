// Variable-length integers, rfc9000#16, over Numbers: exact to 2^53−1.

/**
 * What a varint above 2^53−1 reads as. Each use says what that means: limits clip (it compares greater than any
 * number), identifiers that large are an error, error codes are read again as a bigint.
 */
export const TOO_BIG = Infinity;

/** The largest value a varint can carry, rfc9000#16. */
export const MAX_VARINT_BIG = (1n << 62n) - 1n;

/** Bytes the shortest encoding of `value` takes. */
export function varintLength(value: number): 1 | 2 | 4 | 8 {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x40000000 ? 4 : 8;
}

/** Writes the shortest encoding at `pos`; returns the position behind it. */
export function writeVarint(buf: Uint8Array, pos: number, value: number): number {
  if (value < 0x40) {
    buf[pos] = value;
    return pos + 1;
  }
  if (value < 0x4000) {
    buf[pos] = 0x40 | (value >> 8);
    buf[pos + 1] = value;
    return pos + 2;
  }
  if (value < 0x40000000) {
    buf[pos] = 0x80 | (value >> 24);
    buf[pos + 1] = value >> 16;
    buf[pos + 2] = value >> 8;
    buf[pos + 3] = value;
    return pos + 4;
  }
  const high = Math.floor(value / 0x100000000);
  buf[pos] = 0xc0 | (high >>> 24);
  buf[pos + 1] = high >>> 16;
  buf[pos + 2] = high >>> 8;
  buf[pos + 3] = high;
  // A bitwise operator takes the low 32 bits of any integer.
  buf[pos + 4] = value >>> 24;
  buf[pos + 5] = value >>> 16;
  buf[pos + 6] = value >>> 8;
  buf[pos + 7] = value;
  return pos + 8;
}

/** Writes `value` in exactly `length` bytes (1, 2, 4 or 8), where it fits. */
export function writeVarintFixed(buf: Uint8Array, pos: number, value: number, length: number): number {
  const prefix = length === 1 ? 0 : length === 2 ? 0x40 : length === 4 ? 0x80 : 0xc0;
  let rest = value;
  for (let i = length - 1; i > 0; i--) {
    buf[pos + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  buf[pos] = prefix | rest;
  return pos + length;
}

/** Writes a bigint below 2^62. */
export function writeVarintBig(buf: Uint8Array, pos: number, value: bigint): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return writeVarint(buf, pos, Number(value));
  for (let i = 7; i >= 0; i--) {
    buf[pos + i] = Number(value & 0xffn);
    value >>= 8n;
  }
  buf[pos]! |= 0xc0;
  return pos + 8;
}

/** The 8-byte varint at `pos`, exact: for values that read as TOO_BIG. */
export function varintBigAt(buf: Uint8Array, pos: number): bigint {
  let value = BigInt(buf[pos]! & 0x3f);
  for (let i = 1; i < 8; i++) value = (value << 8n) | BigInt(buf[pos + i]!);
  return value;
}

/**
 * A cursor over bytes. Reading past the end sets `failed` and gives zeros, so that a parser checks once per element
 * instead of once per read.
 */
export class Reader {
  buf: Uint8Array;
  pos: number;
  end: number;
  failed = false;

  constructor(buf: Uint8Array, start = 0, end = buf.length) {
    this.buf = buf;
    this.pos = start;
    this.end = end;
  }

  reset(buf: Uint8Array, start: number, end: number): void {
    this.buf = buf;
    this.pos = start;
    this.end = end;
    this.failed = false;
  }

  get remaining(): number {
    return this.end - this.pos;
  }

  u8(): number {
    if (this.pos + 1 > this.end) return this.#fail();
    return this.buf[this.pos++]!;
  }

  u16(): number {
    if (this.pos + 2 > this.end) return this.#fail();
    const { buf, pos } = this;
    this.pos = pos + 2;
    return (buf[pos]! << 8) | buf[pos + 1]!;
  }

  u24(): number {
    if (this.pos + 3 > this.end) return this.#fail();
    const { buf, pos } = this;
    this.pos = pos + 3;
    return (buf[pos]! << 16) | (buf[pos + 1]! << 8) | buf[pos + 2]!;
  }

  u32(): number {
    if (this.pos + 4 > this.end) return this.#fail();
    const { buf, pos } = this;
    this.pos = pos + 4;
    return ((buf[pos]! << 24) | (buf[pos + 1]! << 16) | (buf[pos + 2]! << 8) | buf[pos + 3]!) >>> 0;
  }

  /** A varint as a Number, TOO_BIG above 2^53−1. Small enough to be inlined; most varints have one or two bytes. */
  varint(): number {
    const { buf, pos } = this;
    if (pos < this.end) {
      const first = buf[pos]!;
      if (first < 0x40) {
        this.pos = pos + 1;
        return first;
      }
    }
    return this.#longer();
  }

  #longer(): number {
    const { buf, pos, end } = this;
    if (pos + 2 > end) return this.#fail();
    const first = buf[pos]!;
    if (first < 0x80) {
      this.pos = pos + 2;
      return ((first & 0x3f) << 8) | buf[pos + 1]!;
    }
    if (pos + 4 > end) return this.#fail();
    const high = ((first & 0x3f) << 24) | (buf[pos + 1]! << 16) | (buf[pos + 2]! << 8) | buf[pos + 3]!;
    if (first < 0xc0) {
      this.pos = pos + 4;
      return high;
    }
    if (pos + 8 > end) return this.#fail();
    this.pos = pos + 8;
    if (high > 0x1fffff) return TOO_BIG;
    const low = ((buf[pos + 4]! << 24) | (buf[pos + 5]! << 16) | (buf[pos + 6]! << 8) | buf[pos + 7]!) >>> 0;
    return high * 0x100000000 + low;
  }

  /** A varint, exact. Off the hot path: error codes and identifiers. */
  varintBig(): bigint {
    const start = this.pos;
    const value = this.varint();
    return value === TOO_BIG ? varintBigAt(this.buf, start) : BigInt(value);
  }

  /** A view of the next `n` bytes. */
  bytes(n: number): Uint8Array {
    if (!(this.pos + n <= this.end)) {
      this.#fail();
      return EMPTY;
    }
    const start = this.pos;
    this.pos = start + n;
    return this.buf.subarray(start, this.pos);
  }

  skip(n: number): void {
    if (!(this.pos + n <= this.end)) this.#fail();
    else this.pos += n;
  }

  #fail(): 0 {
    this.failed = true;
    this.pos = this.end;
    return 0;
  }
}

const EMPTY = new Uint8Array(0);
