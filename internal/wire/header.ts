// Packet headers: the version-independent part (rfc8999), long and short headers (rfc9000#17), version 2's types
// (rfc9369#3.2), Version Negotiation, Retry and stateless reset.

import {
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_RETRY,
  PACKET_VERSION_NEGOTIATION,
  PACKET_ZERO_RTT,
  VERSION_2,
  VERSION_NEGOTIATION,
  type PacketType,
} from "../protocol/constants.ts";
import { MAX_CONNECTION_ID_LENGTH, MIN_STATELESS_RESET } from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";
import { writePacketNumber } from "./packet-number.ts";
import { Reader, TOO_BIG, writeVarint, writeVarintFixed } from "./varint.ts";

/** The header form bit, rfc8999#5. */
export const LONG_HEADER = 0x80;
/** The fixed bit, rfc9000#17.2; greased under rfc9287. */
export const FIXED_BIT = 0x40;
export const KEY_PHASE_BIT = 0x04;
export const SPIN_BIT = 0x20;
/** Reserved bits under header protection. */
export const LONG_RESERVED = 0x0c;
export const SHORT_RESERVED = 0x18;
/** Bytes of the Retry Integrity Tag, rfc9001#5.8. */
export const RETRY_TAG_LENGTH = 16;

export function isLongHeader(firstByte: number): boolean {
  return (firstByte & LONG_HEADER) !== 0;
}

/** v1's order of long header types to version 2's bits and back, rfc9369#3.2. */
const V2_BITS: readonly number[] = [0b01, 0b10, 0b11, 0b00];
const V2_TYPES = [PACKET_RETRY, PACKET_INITIAL, PACKET_ZERO_RTT, PACKET_HANDSHAKE] as const;

function typeOfBits(version: number, bits: number): PacketType {
  return version === VERSION_2 ? V2_TYPES[bits]! : (bits as PacketType);
}

function bitsOfType(version: number, type: PacketType): number {
  return version === VERSION_2 ? V2_BITS[type]! : type;
}

/** A parsed long header. Reused: offsets into the buffer it was parsed from. */
export class LongHeader {
  type: PacketType = PACKET_INITIAL;
  version = 0;
  dcidOffset = 0;
  dcidLength = 0;
  scidOffset = 0;
  scidLength = 0;
  tokenOffset = 0;
  tokenLength = 0;
  /** Where the (protected) packet number begins; for Retry, where the integrity tag does; for VN, the versions. */
  pnOffset = 0;
  /** Value of the Length field: packet number, payload and tag. */
  length = 0;
  /** End of this packet; what follows in the datagram is another one. */
  packetEnd = 0;
}

const reader = new Reader(new Uint8Array(0));

/**
 * Parses what every version has: form, version, connection IDs (rfc8999#5.1), of any length a byte can say. Fills
 * version, CID and offset fields, not the type.
 *
 * rfc9000#17.2.1 version-specific rules for the connection ID MUST NOT influence a decision about whether to send a
 * Version Negotiation packet: that decision needs no more than this.
 * @returns false where the bytes do not hold it.
 */
export function parseInvariants(buf: Uint8Array, start: number, end: number, out: LongHeader): boolean {
  const r = reader;
  if (start >= end || (buf[start]! & LONG_HEADER) === 0) return false;
  r.reset(buf, start + 1, end);
  out.version = r.u32();
  out.dcidLength = r.u8();
  out.dcidOffset = r.pos;
  r.skip(out.dcidLength);
  out.scidLength = r.u8();
  out.scidOffset = r.pos;
  r.skip(out.scidLength);
  if (r.failed) return false;
  out.pnOffset = r.pos;
  out.tokenOffset = out.tokenLength = out.length = 0;
  out.packetEnd = end;
  return true;
}

/**
 * Parses a long header of version 1 or 2, or a Version Negotiation packet, at `start`. Any other version is read as
 * if it were 1: the caller looks at `version`. It looks at the fixed bit too, which may be greased (rfc9287#3).
 * @returns false where it is not well-formed; the rest of the datagram is lost then.
 */
export function parseLongHeader(buf: Uint8Array, start: number, end: number, out: LongHeader): boolean {
  if (end - start < 7 || !parseInvariants(buf, start, end, out)) return false;
  if (out.version === VERSION_NEGOTIATION) {
    out.type = PACKET_VERSION_NEGOTIATION;
    return true;
  }
  // rfc9000#17.2 endpoints that receive a version 1 long header with a value larger than 20 MUST drop the packet.
  if (out.dcidLength > MAX_CONNECTION_ID_LENGTH || out.scidLength > MAX_CONNECTION_ID_LENGTH) return false;
  out.type = typeOfBits(out.version, (buf[start]! >> 4) & 0x03);
  const r = reader;
  // rfc9000#17.2.5 The value in the Unused field is set to an arbitrary value by the server; a client MUST ignore
  // these bits.
  if (out.type === PACKET_RETRY) {
    // rfc9000#17.2.5 a Retry packet ends with its integrity tag; it has no length.
    out.tokenOffset = r.pos;
    out.tokenLength = end - r.pos - RETRY_TAG_LENGTH;
    out.pnOffset = end - RETRY_TAG_LENGTH;
    return out.tokenLength >= 0;
  }
  if (out.type === PACKET_INITIAL) {
    const length = r.varint();
    out.tokenOffset = r.pos;
    if (length === TOO_BIG) return false;
    out.tokenLength = length;
    r.skip(length);
  }
  const length = r.varint();
  if (r.failed || length === TOO_BIG || length > end - r.pos) return false;
  out.length = length;
  out.pnOffset = r.pos;
  out.packetEnd = r.pos + length;
  return true;
}

/** What every long header has behind its first byte, of whatever version: rfc8999#5.1. Returns the offset behind it. */
function writeVersionAndCids(
  buf: Uint8Array,
  pos: number,
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
): number {
  pos = writeU32(buf, pos, version);
  buf[pos++] = dcid.length;
  buf.set(dcid, pos);
  pos += dcid.length;
  buf[pos++] = scid.length;
  buf.set(scid, pos);
  return pos + scid.length;
}

/**
 * Writes a long header up to and including the packet number; `patchLength` fills its Length field when it is known.
 * @param token for Initial packets (may be empty), null otherwise.
 * @param lengthBytes of the Length field: 2 hold 16,383, 4 all a datagram can carry.
 * @returns the offset of the packet number.
 */
export function writeLongHeader(
  buf: Uint8Array,
  pos: number,
  type: PacketType,
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
  token: Uint8Array | null,
  pnLength: number,
  pn: number,
  lengthBytes: 2 | 4 = 2,
): number {
  // rfc9000#17.2 The value included prior to protection MUST be set to 0.
  buf[pos] = LONG_HEADER | FIXED_BIT | (bitsOfType(version, type) << 4) | (pnLength - 1);
  pos = writeVersionAndCids(buf, pos + 1, version, dcid, scid);
  if (token !== null) {
    pos = writeVarint(buf, pos, token.length);
    buf.set(token, pos);
    pos += token.length;
  }
  pos += lengthBytes;
  writePacketNumber(buf, pos, pn, pnLength);
  return pos;
}

/** Writes the Length field in front of the packet number of a long header: packet number, payload and tag. */
export function patchLength(buf: Uint8Array, pnOffset: number, length: number, lengthBytes: 2 | 4 = 2): void {
  if (lengthBytes === 2 && length > 0x3fff) throw new RangeError("a two-byte Length holds 16,383 at most");
  writeVarintFixed(buf, pnOffset - lengthBytes, length, lengthBytes);
}

/** Writes a short header up to and including the packet number; returns the offset of the packet number. */
export function writeShortHeader(
  buf: Uint8Array,
  pos: number,
  dcid: Uint8Array,
  keyPhase: number,
  spin: boolean,
  pnLength: number,
  pn: number,
): number {
  // rfc9000#17.3.1 The value included prior to protection MUST be set to 0.
  buf[pos] = FIXED_BIT | (spin ? SPIN_BIT : 0) | (keyPhase === 0 ? 0 : KEY_PHASE_BIT) | (pnLength - 1);
  pos++;
  for (let i = 0; i < dcid.length; i++) buf[pos + i] = dcid[i]!;
  pos += dcid.length;
  writePacketNumber(buf, pos, pn, pnLength);
  return pos;
}

/** rfc9000#17.2.1: the CIDs are swapped from the packet that is answered; `unusedBits` is random. */
export function encodeVersionNegotiation(
  dcid: Uint8Array,
  scid: Uint8Array,
  versions: readonly number[],
  unusedBits: number,
): Uint8Array {
  // rfc9000#17.2.1 The value for Source Connection ID MUST be copied from the Destination Connection ID of the
  // received packet, which is initially randomly selected by a client.
  // rfc9000#17.2.1 The Version field of a Version Negotiation packet MUST be set to 0x00000000.
  const out = new Uint8Array(7 + dcid.length + scid.length + 4 * versions.length);
  // rfc9000#17.2.1 the fixed bit SHOULD be set so that the packet can be told from other protocols.
  out[0] = LONG_HEADER | FIXED_BIT | (unusedBits & 0x3f);
  let pos = writeVersionAndCids(out, 1, VERSION_NEGOTIATION, dcid, scid);
  for (const version of versions) pos = writeU32(out, pos, version);
  return out;
}

/**
 * The versions a Version Negotiation packet lists. rfc8999#6 an endpoint MUST ignore a packet that contains no Supported
 * Version fields or contains a truncated Supported Version value: null then.
 */
export function parseVersionNegotiation(buf: Uint8Array, start: number, end: number): number[] | null {
  const header = new LongHeader();
  if (!parseInvariants(buf, start, end, header) || header.version !== VERSION_NEGOTIATION) return null;
  const length = end - header.pnOffset;
  if (length === 0 || length % 4 !== 0) return null;
  const r = new Reader(buf, header.pnOffset, end);
  const versions: number[] = [];
  while (r.remaining > 0) versions.push(r.u32());
  return versions;
}

/** A Retry packet without its integrity tag, rfc9000#17.2.5; the tag needs keys (rfc9001#5.8) and is appended to it. */
export function encodeRetry(
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
  token: Uint8Array,
  unusedBits: number,
): Uint8Array {
  const out = new Uint8Array(7 + dcid.length + scid.length + token.length);
  out[0] = LONG_HEADER | FIXED_BIT | (bitsOfType(version, PACKET_RETRY) << 4) | (unusedBits & 0x0f);
  const pos = writeVersionAndCids(out, 1, version, dcid, scid);
  out.set(token, pos);
  return out;
}

/** A Retry packet, in views of the buffer it was parsed from. */
export interface RetryPacket {
  version: number;
  dcid: Uint8Array;
  scid: Uint8Array;
  token: Uint8Array;
  /** To be verified over everything before it, rfc9001#5.8. */
  integrityTag: Uint8Array;
}

/**
 * The Retry packet that fills `buf[start, end)`, or null where it is none.
 * rfc9000#17.2.5.2 a client MUST discard a Retry packet with a zero-length Retry Token field.
 */
export function parseRetry(buf: Uint8Array, start: number, end: number): RetryPacket | null {
  const header = new LongHeader();
  if (!parseLongHeader(buf, start, end, header) || header.type !== PACKET_RETRY) return null;
  if (header.tokenLength === 0) return null;
  return {
    version: header.version,
    dcid: buf.subarray(header.dcidOffset, header.dcidOffset + header.dcidLength),
    scid: buf.subarray(header.scidOffset, header.scidOffset + header.scidLength),
    token: buf.subarray(header.tokenOffset, header.tokenOffset + header.tokenLength),
    integrityTag: buf.subarray(header.pnOffset, end),
  };
}

/**
 * A stateless reset of `size` bytes, rfc9000#10.3: looks like a short header packet with random bytes, ends in the token.
 * How large it may be for the packet it answers (rfc9000#10.3.3) is for the caller.
 */
export function encodeStatelessReset(token: Uint8Array, size: number, random: RandomSource): Uint8Array {
  const out = new Uint8Array(Math.max(size, MIN_STATELESS_RESET));
  random(out);
  out[0] = (out[0]! & 0x3f) | FIXED_BIT;
  out.set(token, out.length - token.length);
  return out;
}

function writeU32(buf: Uint8Array, pos: number, value: number): number {
  buf[pos] = value >>> 24;
  buf[pos + 1] = value >>> 16;
  buf[pos + 2] = value >>> 8;
  buf[pos + 3] = value;
  return pos + 4;
}
