// QUIC's variable-length integers (rfc9000#16), as HTTP/3's frames use them.

/** What a varint of 2^53 or more is read as: larger than any bound, equal to no type that is known. */
export const TOO_BIG = Infinity;

/** Bytes of the varint that begins with `first`. */
export function varintSize(first: number): number {
  return 1 << (first >>> 6);
}

/** Bytes a number takes as a varint. */
export function varintLength(value: number): number {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x40000000 ? 4 : 8;
}

/**
 * Writes a varint at `at`.
 *
 * @param value - an integer of 0 to 2^53−1
 * @returns the position after it
 */
export function writeVarint(out: Uint8Array, at: number, value: number): number {
  if (value < 0x40) out[at++] = value;
  else if (value < 0x4000) {
    out[at++] = 0x40 | (value >>> 8);
    out[at++] = value;
  } else {
    if (value < 0x40000000) out[at++] = 0x80 | (value >>> 24);
    else {
      const high = Math.floor(value / 2 ** 32);
      out[at++] = 0xc0 | (high >>> 24);
      out[at++] = high >>> 16;
      out[at++] = high >>> 8;
      out[at++] = high;
      out[at++] = value >>> 24;
    }
    out[at++] = value >>> 16;
    out[at++] = value >>> 8;
    out[at++] = value;
  }
  return at;
}

/** A varint of its own. */
export function encodeVarint(value: number): Uint8Array {
  const out = new Uint8Array(varintLength(value));
  writeVarint(out, 0, value);
  return out;
}

/** The varint at `at`, which is whole: exact, or {@link TOO_BIG}. */
export function readVarint(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  const size = varintSize(first);
  let value = first & 0x3f;
  for (let i = 1; i < size; i++) value = value * 256 + bytes[at + i]!;
  return value > Number.MAX_SAFE_INTEGER ? TOO_BIG : value;
}

/** Reads varints from bytes. */
export class VarintReader {
  readonly bytes: Uint8Array;
  position: number;

  constructor(bytes: Uint8Array, position = 0) {
    this.bytes = bytes;
    this.position = position;
  }

  get left(): number {
    return this.bytes.length - this.position;
  }

  /** The varint here: exact, or {@link TOO_BIG}; -1 where it is not whole. */
  next(): number {
    const { bytes, position } = this;
    if (position >= bytes.length) return -1;
    const first = bytes[position]!;
    const size = varintSize(first);
    if (bytes.length - position < size) return -1;
    this.position = position + size;
    return readVarint(bytes, position);
  }

  /** What is left, not copied. */
  rest(): Uint8Array {
    return this.bytes.subarray(this.position);
  }
}
