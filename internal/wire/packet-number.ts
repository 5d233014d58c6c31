// Packet number encoding, rfc9000#17.1, rfc9000#A.2, rfc9000#A.3.

/**
 * Bytes needed for `pn` so that the peer, who has everything up to `largestAcked` at least, decodes it right.
 * rfc9000#17.1 MUST use a packet number size able to represent more than twice as large a range as the difference.
 * @param largestAcked −1 where nothing was acknowledged yet.
 */
export function encodePacketNumberLength(pn: number, largestAcked: number): 1 | 2 | 3 | 4 {
  // rfc9000#17.1 Prior to receiving an acknowledgment for a packet number space, the full packet number MUST be
  // included; it is not to be truncated, as described below.
  const unacked = pn - largestAcked;
  // One bit more than the range, rfc9000#A.2.
  if (unacked < 0x80) return 1;
  if (unacked < 0x8000) return 2;
  if (unacked < 0x800000) return 3;
  return 4;
}

/** Writes the low `length` bytes of `pn`. */
export function writePacketNumber(buf: Uint8Array, pos: number, pn: number, length: number): number {
  let rest = pn >>> 0;
  for (let i = length - 1; i >= 0; i--) {
    buf[pos + i] = rest;
    rest >>>= 8;
  }
  return pos + length;
}

/**
 * The full packet number closest to the next expected one, rfc9000#A.3.
 * @param largest the largest number processed in this space, −1 for none.
 * @param bits of the truncated number: 8, 16, 24 or 32.
 */
export function decodePacketNumber(largest: number, truncated: number, bits: number): number {
  const expected = largest + 1;
  const window = bits < 32 ? 1 << bits : 2 ** 32;
  const half = window / 2;
  // The quotient is exact, and the remainder of two doubles takes ten times as long.
  const candidate = window * Math.floor(expected / window) + truncated;
  if (candidate <= expected - half && candidate < 2 ** 62 - window) return candidate + window;
  if (candidate > expected + half && candidate >= window) return candidate - window;
  return candidate;
}
