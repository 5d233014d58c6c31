// Writing frames, rfc9000#19. Each function writes at `pos` and returns the position behind; the caller has seen to
// the room, with the …Length functions where the size varies.

import * as c from "../protocol/constants.ts";
import { varintLength, writeVarint, writeVarintBig } from "./varint.ts";

/** `count` bytes of PADDING. */
export function writePadding(buf: Uint8Array, pos: number, count: number): number {
  buf.fill(c.FRAME_PADDING, pos, pos + count);
  return pos + count;
}

/** PING and HANDSHAKE_DONE: a type and nothing else. */
export function writeBareFrame(buf: Uint8Array, pos: number, type: number): number {
  buf[pos] = type;
  return pos + 1;
}

/** Bytes of a STREAM frame's header, its Length field included when `withLength`. */
export function streamHeaderLength(id: number, offset: number, length: number, withLength: boolean): number {
  return (
    1 + varintLength(id) + (offset > 0 ? varintLength(offset) : 0) + (withLength ? varintLength(length) : 0)
  );
}

/** The header of a STREAM frame; its data follow. Without a length it reaches to the end of the packet. */
export function writeStreamHeader(
  buf: Uint8Array,
  pos: number,
  id: number,
  offset: number,
  length: number,
  fin: boolean,
  withLength: boolean,
): number {
  buf[pos++] = c.FRAME_STREAM | (offset > 0 ? 0x04 : 0) | (withLength ? 0x02 : 0) | (fin ? 0x01 : 0);
  pos = writeVarint(buf, pos, id);
  if (offset > 0) pos = writeVarint(buf, pos, offset);
  if (withLength) pos = writeVarint(buf, pos, length);
  return pos;
}

export function cryptoHeaderLength(offset: number, length: number): number {
  return 1 + varintLength(offset) + varintLength(length);
}

export function writeCryptoHeader(buf: Uint8Array, pos: number, offset: number, length: number): number {
  buf[pos++] = c.FRAME_CRYPTO;
  pos = writeVarint(buf, pos, offset);
  return writeVarint(buf, pos, length);
}

/** ECN counts of an ACK frame. */
export interface EcnCounts {
  ect0: number;
  ect1: number;
  ce: number;
}

/**
 * An ACK frame with as many ranges as fit below `limit`, the highest first; nothing where not even one fits.
 * @param ranges pairs [smallest, largest], the highest range first, `rangeCount` of them.
 * @param delay already scaled by the exponent.
 */
export function writeAck(
  buf: Uint8Array,
  pos: number,
  limit: number,
  ranges: Float64Array,
  rangeCount: number,
  delay: number,
  ecn: EcnCounts | null,
): number {
  if (rangeCount === 0) return pos;
  const largest = ranges[1]!;
  const ecnLength = ecn === null ? 0 : varintLength(ecn.ect0) + varintLength(ecn.ect1) + varintLength(ecn.ce);
  const first = largest - ranges[0]!;
  let size = 1 + varintLength(largest) + varintLength(delay) + 2 + varintLength(first) + ecnLength;
  if (pos + size > limit) return pos;
  let count = 1;
  // Two bytes are set aside for the range count.
  const most = Math.min(rangeCount, 0x4000);
  for (; count < most; count++) {
    const gap = ranges[2 * count - 2]! - ranges[2 * count + 1]! - 2;
    const length = ranges[2 * count + 1]! - ranges[2 * count]!;
    const more = varintLength(gap) + varintLength(length);
    if (pos + size + more > limit) break;
    size += more;
  }
  buf[pos++] = ecn === null ? c.FRAME_ACK : c.FRAME_ACK_ECN;
  pos = writeVarint(buf, pos, largest);
  pos = writeVarint(buf, pos, delay);
  pos = writeVarint(buf, pos, count - 1);
  pos = writeVarint(buf, pos, first);
  for (let i = 1; i < count; i++) {
    pos = writeVarint(buf, pos, ranges[2 * i - 2]! - ranges[2 * i + 1]! - 2);
    pos = writeVarint(buf, pos, ranges[2 * i + 1]! - ranges[2 * i]!);
  }
  if (ecn !== null) {
    pos = writeVarint(buf, pos, ecn.ect0);
    pos = writeVarint(buf, pos, ecn.ect1);
    pos = writeVarint(buf, pos, ecn.ce);
  }
  return pos;
}

/** The most a RESET_STREAM frame takes, whatever its error code. */
export function resetStreamLength(id: number, finalSize: number): number {
  return 1 + varintLength(id) + 8 + varintLength(finalSize);
}

export function writeResetStream(
  buf: Uint8Array,
  pos: number,
  id: number,
  code: bigint,
  finalSize: number,
): number {
  buf[pos++] = c.FRAME_RESET_STREAM;
  pos = writeVarint(buf, pos, id);
  pos = writeVarintBig(buf, pos, code);
  return writeVarint(buf, pos, finalSize);
}

/** RESET_STREAM_AT, reliable-stream-reset#4. */
export function writeResetStreamAt(
  buf: Uint8Array,
  pos: number,
  id: number,
  code: bigint,
  finalSize: number,
  reliableSize: number,
): number {
  const type = pos;
  pos = writeResetStream(buf, pos, id, code, finalSize);
  buf[type] = c.FRAME_RESET_STREAM_AT;
  return writeVarint(buf, pos, reliableSize);
}

/** The most a STOP_SENDING frame takes, whatever its error code. */
export function stopSendingLength(id: number): number {
  return 1 + varintLength(id) + 8;
}

export function writeStopSending(buf: Uint8Array, pos: number, id: number, code: bigint): number {
  buf[pos++] = c.FRAME_STOP_SENDING;
  pos = writeVarint(buf, pos, id);
  return writeVarintBig(buf, pos, code);
}

export function newTokenLength(tokenLength: number): number {
  return 1 + varintLength(tokenLength) + tokenLength;
}

export function writeNewToken(buf: Uint8Array, pos: number, token: Uint8Array): number {
  buf[pos++] = c.FRAME_NEW_TOKEN;
  pos = writeVarint(buf, pos, token.length);
  buf.set(token, pos);
  return pos + token.length;
}

/** MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID: a type and one number. */
export function writeNumberFrame(buf: Uint8Array, pos: number, type: number, value: number): number {
  buf[pos++] = type;
  return writeVarint(buf, pos, value);
}

/** MAX_STREAM_DATA, STREAM_DATA_BLOCKED: a type, a stream ID and one number. */
export function writeStreamNumberFrame(
  buf: Uint8Array,
  pos: number,
  type: number,
  id: number,
  value: number,
): number {
  buf[pos++] = type;
  pos = writeVarint(buf, pos, id);
  return writeVarint(buf, pos, value);
}

export function newConnectionIdLength(sequence: number, retirePriorTo: number, cidLength: number): number {
  return 1 + varintLength(sequence) + varintLength(retirePriorTo) + 1 + cidLength + 16;
}

export function writeNewConnectionId(
  buf: Uint8Array,
  pos: number,
  sequence: number,
  retirePriorTo: number,
  cid: Uint8Array,
  token: Uint8Array,
): number {
  buf[pos++] = c.FRAME_NEW_CONNECTION_ID;
  pos = writeVarint(buf, pos, sequence);
  pos = writeVarint(buf, pos, retirePriorTo);
  buf[pos++] = cid.length;
  buf.set(cid, pos);
  buf.set(token, pos + cid.length);
  return pos + cid.length + 16;
}

/** The most an ACK_FREQUENCY frame takes. */
export const MAX_ACK_FREQUENCY = 2 + 4 * 8;

/** ack-frequency#4; `maxDelay` in µs. */
export function writeAckFrequency(
  buf: Uint8Array,
  pos: number,
  sequence: number,
  threshold: number,
  maxDelay: number,
  reordering: number,
): number {
  pos = writeVarint(buf, pos, c.FRAME_ACK_FREQUENCY);
  pos = writeVarint(buf, pos, sequence);
  pos = writeVarint(buf, pos, threshold);
  pos = writeVarint(buf, pos, maxDelay);
  return writeVarint(buf, pos, reordering);
}

/** PATH_CHALLENGE and PATH_RESPONSE. */
export function writePathFrame(buf: Uint8Array, pos: number, type: number, data: Uint8Array): number {
  buf[pos++] = type;
  buf.set(data, pos);
  return pos + 8;
}

/**
 * CONNECTION_CLOSE. The reason is cut to fit below `limit`, between characters; the rest takes 21 bytes at most.
 * @param frameType what caused it, 0 where unknown; the application's frame does not carry it.
 */
export function writeConnectionClose(
  buf: Uint8Array,
  pos: number,
  limit: number,
  application: boolean,
  errorCode: number | bigint,
  frameType: number,
  reason: Uint8Array,
): number {
  buf[pos++] = application ? c.FRAME_CONNECTION_CLOSE_APP : c.FRAME_CONNECTION_CLOSE;
  pos = writeVarintBig(buf, pos, BigInt(errorCode));
  if (!application) pos = writeVarint(buf, pos, frameType);
  let room = Math.max(0, Math.min(reason.length, limit - pos - 2, 0x3fff));
  // rfc9000#19.19 this SHOULD be a UTF-8 encoded string: bytes 10xxxxxx continue a character.
  if (room < reason.length) while (room > 0 && (reason[room]! & 0xc0) === 0x80) room--;
  pos = writeVarint(buf, pos, room);
  for (let i = 0; i < room; i++) buf[pos + i] = reason[i]!;
  return pos + room;
}

/** Bytes of a DATAGRAM frame around `length` bytes of data. */
export function datagramHeaderLength(length: number, withLength: boolean): number {
  return withLength ? 1 + varintLength(length) : 1;
}

/** DATAGRAM, rfc9221#4. Without a length it must be the last frame of its packet. */
export function writeDatagram(buf: Uint8Array, pos: number, data: Uint8Array, withLength = true): number {
  buf[pos++] = withLength ? c.FRAME_DATAGRAM_LEN : c.FRAME_DATAGRAM;
  if (withLength) pos = writeVarint(buf, pos, data.length);
  buf.set(data, pos);
  return pos + data.length;
}
