// Writing frames, rfc9000#19. Each function writes at `pos` and returns the position behind; the caller has seen to
// the room, with the …Length functions where the size varies.

import * as c from "../protocol/constants.ts";
import { varintLength, writeVarint, writeVarintBig, writeVarintFixed } from "./varint.ts";

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
  for (; count < rangeCount; count++) {
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

export function writeStopSending(buf: Uint8Array, pos: number, id: number, code: bigint): number {
  buf[pos++] = c.FRAME_STOP_SENDING;
  pos = writeVarint(buf, pos, id);
  return writeVarintBig(buf, pos, code);
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

/** PATH_CHALLENGE and PATH_RESPONSE. */
export function writePathFrame(buf: Uint8Array, pos: number, type: number, data: Uint8Array): number {
  buf[pos++] = type;
  buf.set(data, pos);
  return pos + 8;
}

/** CONNECTION_CLOSE; the reason is cut to fit below `limit`. */
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
  const room = Math.max(0, Math.min(reason.length, limit - pos - 2));
  pos = room < 0x40 ? writeVarint(buf, pos, room) : writeVarintFixed(buf, pos, room, 2);
  buf.set(reason.subarray(0, room), pos);
  return pos + room;
}

/** DATAGRAM with a length, rfc9221#4. */
export function writeDatagram(buf: Uint8Array, pos: number, data: Uint8Array): number {
  buf[pos++] = c.FRAME_DATAGRAM_LEN;
  pos = writeVarint(buf, pos, data.length);
  buf.set(data, pos);
  return pos + data.length;
}
