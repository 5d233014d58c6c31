// The Huffman code of HPACK, rfc7541#B, which QPACK uses unchanged.
//
// The code is canonical: codes of a length are consecutive in the order of their symbols, and longer codes follow
// shorter ones. So the lengths are the whole of it. Encoding looks codes up by symbol. Decoding looks up the next ten
// bits, which hold every symbol that text is made of; what is longer is found by comparing with each length's first code.

/** Bits of each symbol's code; the last is EOS. */
// prettier-ignore
const LENGTHS = Uint8Array.of(
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
);
const EOS = 256;
const SHORTEST = 5;
const LONGEST = 30;

const CODES = new Uint32Array(EOS + 1);
/** Symbols in the order of their codes. */
const SYMBOLS = new Uint16Array(EOS + 1);
/** By length: one past its last code, left-aligned in 32 bits. */
const ENDS = new Float64Array(LONGEST + 1);
/** By length: its first code, and where its symbols begin in SYMBOLS. */
const FIRST_CODE = new Uint32Array(LONGEST + 1);
const FIRST_SYMBOL = new Uint16Array(LONGEST + 1);

const FAST_BITS = 10;
/** By the next ten bits: `length << 8 | symbol`; 0 where the code is longer. */
const FAST = new Uint16Array(1 << FAST_BITS);

let code = 0;
let symbols = 0;
for (let length = SHORTEST; length <= LONGEST; length++) {
  FIRST_CODE[length] = code;
  FIRST_SYMBOL[length] = symbols;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    if (LENGTHS[symbol] !== length) continue;
    CODES[symbol] = code;
    SYMBOLS[symbols++] = symbol;
    if (length <= FAST_BITS) {
      const spare = FAST_BITS - length;
      FAST.fill((length << 8) | symbol, code << spare, (code + 1) << spare);
    }
    code++;
  }
  ENDS[length] = code * 2 ** (32 - length);
  code *= 2;
}

/**
 * How many bytes a string of bytes has in the Huffman code, padding included.
 *
 * @returns NaN where a char is no byte
 */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char > 0xff) return Number.NaN;
    bits += LENGTHS[char]!;
  }
  return (bits + 7) >>> 3;
}

/**
 * Writes a string of bytes in the Huffman code at `at`.
 *
 * @returns the position after it
 */
export function huffmanEncode(text: string, out: Uint8Array, at: number): number {
  let pending = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    const length = LENGTHS[symbol]!;
    const value = CODES[symbol]!;
    // Seven bits may be pending, and thirty come: more than 32, so that long codes go in two halves.
    if (length > 24) {
      pending = (pending << (length - 16)) | (value >>> 16);
      bits += length - 16;
      while (bits >= 8) out[at++] = pending >>> (bits -= 8);
      pending = (pending << 16) | (value & 0xffff);
      bits += 16;
    } else {
      pending = (pending << length) | value;
      bits += length;
    }
    while (bits >= 8) out[at++] = pending >>> (bits -= 8);
  }
  // rfc7541#5.2 the most significant bits of the code of EOS pad the last byte: ones.
  if (bits > 0) out[at++] = (pending << (8 - bits)) | (0xff >>> bits);
  return at;
}

/** The 32 bits from bit `position` on; ones beyond `end`. */
function window32(bytes: Uint8Array, position: number, end: number): number {
  let at = position >>> 3;
  const shift = position & 7;
  let value = 0;
  for (let i = 0; i < 4; i++, at++) value = (value << 8) | (at < end ? bytes[at]! : 0xff);
  if (shift > 0) value = (value << shift) | ((at < end ? bytes[at]! : 0xff) >>> (8 - shift));
  return value >>> 0;
}

/** The most bytes `length` bytes of Huffman code can stand for. */
export function huffmanMaxDecoded(length: number): number {
  return Math.floor((length * 8) / SHORTEST);
}

/**
 * Decodes the Huffman code in `bytes` from `start` to `end` into `out`, which has room for {@link huffmanMaxDecoded}.
 *
 * @returns the number of bytes written, or -1 where the code is broken: EOS within, or wrong padding
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number, out: Uint8Array): number {
  let at = start;
  let written = 0;
  let pending = 0;
  let bits = 0;
  for (;;) {
    while (bits < 24 && at < end) {
      pending = (pending << 8) | bytes[at++]!;
      bits += 8;
    }
    if (bits === 0) return written;
    const next =
      bits >= FAST_BITS
        ? (pending >>> (bits - FAST_BITS)) & ((1 << FAST_BITS) - 1)
        : ((pending << (FAST_BITS - bits)) | ((1 << (FAST_BITS - bits)) - 1)) & ((1 << FAST_BITS) - 1);
    const fast = FAST[next]!;
    let length = fast >>> 8;
    if (fast !== 0 && length <= bits) {
      out[written++] = fast;
      bits -= length;
      continue;
    }
    // Above ten bits, or the end.
    const position = at * 8 - bits;
    const left = end * 8 - position;
    const window = window32(bytes, position, end);
    if (left < 8 && window === 0xffffffff) return written;
    length = fast !== 0 ? length : FAST_BITS + 1;
    while (length < LONGEST && window >= ENDS[length]!) length++;
    // rfc7541#5.2 A padding strictly longer than 7 bits MUST be treated as a decoding error. A padding not
    // corresponding to the most significant bits of the code for the EOS symbol MUST be treated as a decoding error.
    if (length > left) return -1;
    const symbol = SYMBOLS[FIRST_SYMBOL[length]! + ((window >>> (32 - length)) - FIRST_CODE[length]!)]!;
    // rfc7541#5.2 A Huffman-encoded string literal containing the EOS symbol MUST be treated as a decoding error.
    if (symbol === EOS) return -1;
    out[written++] = symbol;
    at = (position + length) >>> 3;
    bits = 0;
    const partial = (position + length) & 7;
    if (partial !== 0) {
      pending = bytes[at++]! & (0xff >>> partial);
      bits = 8 - partial;
    }
  }
}
