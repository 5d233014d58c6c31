// Just enough of the packet format to watch a connection pass by: long headers, which carry everything until the
// handshake is done. Written apart from internal/wire on purpose: the harness does not judge the stack by itself.

/** Long header packet types, in the numbers of version 1 (rfc9000#17.2). */
export const INITIAL = 0;
export const ZERO_RTT = 1;
export const HANDSHAKE = 2;
export const RETRY = 3;
export const VERSION_NEGOTIATION = 4;

/** A long header packet inside a datagram. Offsets count from the datagram's start. */
export interface LongPacket {
  readonly type: number;
  readonly version: number;
  readonly dcid: Uint8Array;
  readonly scid: Uint8Array;
  readonly tokenLength: number;
  readonly start: number;
  /** Where the packet number begins (rfc9000#17.2: after the Length field). */
  readonly pnOffset: number;
  readonly end: number;
}

const VERSION_2 = 0x6b3343cf;

function varint(buf: Uint8Array, at: number): { value: number; next: number } | null {
  if (at >= buf.length) return null;
  const length = 1 << (buf[at]! >> 6);
  if (at + length > buf.length) return null;
  let value = buf[at]! & 0x3f;
  for (let i = 1; i < length; i++) value = value * 256 + buf[at + i]!;
  return { value, next: at + length };
}

/** Whether the datagram begins with a long header (rfc8999#5.1). */
export const startsLong = (buf: Uint8Array): boolean => buf.length > 6 && (buf[0]! & 0x80) !== 0;

/** The coalesced long header packets of a datagram (rfc9000#12.2), up to the first thing that is none. */
export function longPackets(buf: Uint8Array): LongPacket[] {
  const found: LongPacket[] = [];
  let start = 0;
  while (startsLong(buf.subarray(start))) {
    const version =
      ((buf[start + 1]! << 24) | (buf[start + 2]! << 16) | (buf[start + 3]! << 8) | buf[start + 4]!) >>> 0;
    const dcidAt = start + 6;
    const dcidLength = buf[start + 5]!;
    const scidAt = dcidAt + dcidLength + 1;
    if (scidAt > buf.length) break;
    const scidLength = buf[scidAt - 1]!;
    if (scidAt + scidLength > buf.length || dcidLength > 20 || scidLength > 20) break;
    const dcid = buf.slice(dcidAt, dcidAt + dcidLength);
    const scid = buf.slice(scidAt, scidAt + scidLength);
    let at = scidAt + scidLength;
    if (version === 0) {
      found.push({
        type: VERSION_NEGOTIATION,
        version,
        dcid,
        scid,
        tokenLength: 0,
        start,
        pnOffset: at,
        end: buf.length,
      });
      break;
    }
    // rfc9369#3.2: version 2 turns the type bits by one.
    const bits = (buf[start]! >> 4) & 3;
    const type = version === VERSION_2 ? (bits + 3) & 3 : bits;
    if (type === RETRY) {
      const tokenLength = buf.length - at - 16;
      found.push({ type, version, dcid, scid, tokenLength, start, pnOffset: at, end: buf.length });
      break;
    }
    let tokenLength = 0;
    if (type === INITIAL) {
      const token = varint(buf, at);
      if (token === null) break;
      tokenLength = token.value;
      at = token.next + tokenLength;
    }
    const length = varint(buf, at);
    if (length === null || length.next + length.value > buf.length) break;
    const end = length.next + length.value;
    found.push({ type, version, dcid, scid, tokenLength, start, pnOffset: length.next, end });
    start = end;
  }
  return found;
}
