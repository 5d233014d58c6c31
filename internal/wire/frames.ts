// Parsing frames (rfc9000#19, rfc9221#4) by a visitor: no objects per frame, every malformed input a TransportError
// with the RFC's code.

import * as c from "../protocol/constants.ts";
import { clipCode, TransportError } from "../protocol/errors.ts";
import { MAX_ACK_RANGES_READ, MAX_CONNECTION_ID_LENGTH, MAX_STREAM_COUNT } from "../protocol/limits.ts";
import { Reader, TOO_BIG } from "./varint.ts";

/** What `parseFrames` says of a payload. */
export const ACK_ELICITING = 1;
/** Only PATH_CHALLENGE, PATH_RESPONSE, NEW_CONNECTION_ID and PADDING: rfc9000#9.1. */
export const PROBING_ONLY = 2;

/** An ACK frame in a reused object, valid during `onAck`. */
export class AckFrame {
  largest = 0;
  /** ACK Delay as it stands, not scaled by the exponent. */
  delay = 0;
  rangeCount = 0;
  /** Pairs [smallest, largest], the highest range first. */
  ranges = new Float64Array(64);
  ecn = false;
  ect0 = 0;
  ect1 = 0;
  ce = 0;
}

/** What frames do. Every `buf` is the packet; copy what must outlive the call. */
export interface FrameVisitor {
  onPadding(count: number): void;
  onPing(): void;
  onAck(ack: AckFrame): void;
  /** `errorCode` is clipped to 2^53−1, `errorCodeBig` exact. */
  onResetStream(streamId: number, errorCode: number, errorCodeBig: bigint, finalSize: number): void;
  onStopSending(streamId: number, errorCode: number, errorCodeBig: bigint): void;
  onCrypto(offset: number, buf: Uint8Array, start: number, length: number): void;
  onNewToken(buf: Uint8Array, start: number, length: number): void;
  onStream(id: number, offset: number, fin: boolean, buf: Uint8Array, start: number, length: number): void;
  /** Limits above 2^53−1 arrive as Infinity: they clip. */
  onMaxData(max: number): void;
  onMaxStreamData(streamId: number, max: number): void;
  onMaxStreams(bidi: boolean, max: number): void;
  onDataBlocked(limit: number): void;
  onStreamDataBlocked(streamId: number, limit: number): void;
  onStreamsBlocked(bidi: boolean, limit: number): void;
  onNewConnectionId(
    sequence: number,
    retirePriorTo: number,
    buf: Uint8Array,
    cidStart: number,
    cidLength: number,
    tokenStart: number,
  ): void;
  onRetireConnectionId(sequence: number): void;
  onPathChallenge(buf: Uint8Array, start: number): void;
  onPathResponse(buf: Uint8Array, start: number): void;
  onConnectionClose(
    errorCode: number,
    errorCodeBig: bigint,
    frameType: number,
    reason: Uint8Array,
    application: boolean,
  ): void;
  onHandshakeDone(): void;
  onDatagram(buf: Uint8Array, start: number, length: number): void;
}

/** Which packets may carry a frame, rfc9000#12.4 table 3: bit by packet type. */
const I = 1 << c.PACKET_INITIAL;
const H = 1 << c.PACKET_HANDSHAKE;
const Z = 1 << c.PACKET_ZERO_RTT;
const O = 1 << c.PACKET_ONE_RTT;
const ALLOWED = new Uint8Array(0x32);
for (let type = c.FRAME_RESET_STREAM; type <= c.FRAME_PATH_RESPONSE; type++) ALLOWED[type] = Z | O;
ALLOWED[c.FRAME_PADDING] = ALLOWED[c.FRAME_PING] = I | H | Z | O;
ALLOWED[c.FRAME_ACK] = ALLOWED[c.FRAME_ACK_ECN] = I | H | O;
ALLOWED[c.FRAME_CRYPTO] = I | H | O;
ALLOWED[c.FRAME_NEW_TOKEN] = O;
ALLOWED[c.FRAME_RETIRE_CONNECTION_ID] = Z | O;
ALLOWED[c.FRAME_PATH_RESPONSE] = O;
ALLOWED[c.FRAME_CONNECTION_CLOSE] = I | H | Z | O;
ALLOWED[c.FRAME_CONNECTION_CLOSE_APP] = Z | O;
ALLOWED[c.FRAME_HANDSHAKE_DONE] = O;
ALLOWED[c.FRAME_DATAGRAM] = ALLOWED[c.FRAME_DATAGRAM_LEN] = Z | O;

const reader = new Reader(new Uint8Array(0));
const ack = new AckFrame();

function encodingError(frameType: number, reason: string): TransportError {
  return new TransportError(c.FRAME_ENCODING_ERROR, reason, { frameType });
}

/**
 * Visits every frame of the payload `buf[start, end)`.
 * @returns ACK_ELICITING | PROBING_ONLY as they apply.
 * @throws {TransportError} FRAME_ENCODING_ERROR or PROTOCOL_VIOLATION for malformed input, and whatever the visitor
 * throws.
 */
export function parseFrames(
  buf: Uint8Array,
  start: number,
  end: number,
  packetType: c.PacketType,
  visitor: FrameVisitor,
): number {
  // rfc9000#12.4 an endpoint MUST treat receipt of a packet containing no frames as a connection error of type
  // PROTOCOL_VIOLATION.
  if (start >= end) throw new TransportError(c.PROTOCOL_VIOLATION, "packet without frames");
  const r = reader;
  const bit = 1 << packetType;
  let eliciting = 0;
  let probing = PROBING_ONLY;
  let pos = start;
  while (pos < end) {
    let type = buf[pos]!;
    if (type === c.FRAME_PADDING) {
      const from = pos;
      while (pos < end && buf[pos] === 0) pos++;
      visitor.onPadding(pos - from);
      continue;
    }
    r.reset(buf, pos, end);
    type = r.varint();
    // rfc9000#12.4 the frame type MUST use the shortest possible encoding: receipt of a longer one MAY be treated as
    // a connection error of type PROTOCOL_VIOLATION. No known type needs more than one byte.
    if (r.failed) throw encodingError(0, "frame type is cut off");
    if (type >= ALLOWED.length || ALLOWED[type] === 0) {
      // rfc9000#12.4 an endpoint MUST treat the receipt of a frame of unknown type as FRAME_ENCODING_ERROR.
      throw encodingError(type === TOO_BIG ? 0 : type, "unknown frame type");
    }
    if (r.pos !== pos + 1) {
      throw new TransportError(c.PROTOCOL_VIOLATION, "frame type is not in its shortest form", {
        frameType: type,
      });
    }
    // rfc9000#12.4 an endpoint MUST treat receipt of a frame in a packet type that is not permitted as a connection
    // error of type PROTOCOL_VIOLATION.
    if ((ALLOWED[type]! & bit) === 0) {
      throw new TransportError(
        c.PROTOCOL_VIOLATION,
        `frame 0x${type.toString(16)} in a ${c.PACKET_TYPE_NAMES[packetType]} packet`,
        { frameType: type },
      );
    }
    if (type >= c.FRAME_STREAM && type < c.FRAME_MAX_DATA) {
      eliciting = ACK_ELICITING;
      probing = 0;
      pos = parseStream(buf, end, type, visitor);
      continue;
    }
    if (type !== c.FRAME_ACK && type !== c.FRAME_ACK_ECN && !isClose(type)) eliciting = ACK_ELICITING;
    if (
      type !== c.FRAME_PATH_CHALLENGE &&
      type !== c.FRAME_PATH_RESPONSE &&
      type !== c.FRAME_NEW_CONNECTION_ID
    ) {
      probing = 0;
    }
    parseOther(buf, type, visitor);
    pos = r.pos;
  }
  return eliciting | probing;
}

function isClose(type: number): boolean {
  return type === c.FRAME_CONNECTION_CLOSE || type === c.FRAME_CONNECTION_CLOSE_APP;
}

/** rfc9000#19.8 */
function parseStream(buf: Uint8Array, end: number, type: number, visitor: FrameVisitor): number {
  const r = reader;
  const id = r.varint();
  const offset = (type & 0x04) !== 0 ? r.varint() : 0;
  const length = (type & 0x02) !== 0 ? r.varint() : end - r.pos;
  if (r.failed || !(length <= end - r.pos)) throw encodingError(type, "STREAM frame is cut off");
  const id_ = streamId(id, type);
  checkEnd(offset, length, type);
  const start = r.pos;
  const next = start + length;
  visitor.onStream(id_, offset, (type & 0x01) !== 0, buf, start, length);
  return next;
}

/**
 * rfc9000#19.8 the largest offset delivered on a stream cannot exceed 2^62−1: receipt MUST be treated as
 * FRAME_ENCODING_ERROR or FLOW_CONTROL_ERROR. No window of ours reaches 2^53, so what exceeds that exceeds a limit too.
 */
function checkEnd(offset: number, length: number, type: number): void {
  if (offset + length > Number.MAX_SAFE_INTEGER) {
    throw new TransportError(
      type === c.FRAME_CRYPTO ? c.FRAME_ENCODING_ERROR : c.FLOW_CONTROL_ERROR,
      "offset is beyond any limit",
      { frameType: type },
    );
  }
}

/** Stream IDs above 2^53−1 would need 2^51 streams: beyond any limit of ours, rfc9000#4.6. */
function streamId(id: number, type: number): number {
  if (id === TOO_BIG)
    throw new TransportError(c.STREAM_LIMIT_ERROR, "stream ID is beyond any limit", { frameType: type });
  return id;
}

function parseOther(buf: Uint8Array, type: number, visitor: FrameVisitor): void {
  const r = reader;
  switch (type) {
    case c.FRAME_PING:
      visitor.onPing();
      return;
    case c.FRAME_ACK:
    case c.FRAME_ACK_ECN: {
      parseAck(type);
      const next = r.pos;
      const { end } = r;
      visitor.onAck(ack);
      // The visitor may parse other bytes meanwhile (traces): the cursor is ours again.
      r.reset(buf, next, end);
      return;
    }
    case c.FRAME_CRYPTO: {
      const offset = r.varint();
      const length = r.varint();
      const start = take(r, length, type);
      checkEnd(offset, length, type);
      keep(buf, () => visitor.onCrypto(offset, buf, start, length));
      return;
    }
    case c.FRAME_NEW_TOKEN: {
      const length = r.varint();
      const start = take(r, length, type);
      // rfc9000#19.7 a client MUST treat receipt of a NEW_TOKEN frame with an empty Token as FRAME_ENCODING_ERROR.
      if (length === 0) throw encodingError(type, "empty token");
      visitor.onNewToken(buf, start, length);
      return;
    }
    case c.FRAME_NEW_CONNECTION_ID:
      parseNewConnectionId(buf, type, visitor);
      return;
    case c.FRAME_PATH_CHALLENGE:
    case c.FRAME_PATH_RESPONSE: {
      const start = take(r, 8, type);
      if (type === c.FRAME_PATH_CHALLENGE) visitor.onPathChallenge(buf, start);
      else visitor.onPathResponse(buf, start);
      return;
    }
    case c.FRAME_CONNECTION_CLOSE:
    case c.FRAME_CONNECTION_CLOSE_APP: {
      const code = r.varintBig();
      const frameType = type === c.FRAME_CONNECTION_CLOSE ? r.varint() : 0;
      const length = r.varint();
      const start = take(r, length, type);
      const application = type === c.FRAME_CONNECTION_CLOSE_APP;
      visitor.onConnectionClose(
        clipCode(code),
        code,
        frameType,
        buf.subarray(start, start + length),
        application,
      );
      return;
    }
    case c.FRAME_HANDSHAKE_DONE:
      visitor.onHandshakeDone();
      return;
    case c.FRAME_DATAGRAM:
    case c.FRAME_DATAGRAM_LEN: {
      const length = type === c.FRAME_DATAGRAM_LEN ? r.varint() : r.remaining;
      const start = take(r, length, type);
      visitor.onDatagram(buf, start, length);
      return;
    }
    default:
      parseNumbers(type, visitor);
  }
}

/** Runs `body`, which may parse with the shared cursor, and puts the cursor back. */
function keep(buf: Uint8Array, body: () => void): void {
  const { pos, end } = reader;
  body();
  reader.reset(buf, pos, end);
}

/** The start of the next `length` bytes, which are skipped; an error where they are not there. */
function take(r: Reader, length: number, type: number): number {
  if (r.failed || !(length <= r.remaining)) throw encodingError(type, "frame is cut off");
  const start = r.pos;
  r.skip(length);
  return start;
}

/** Frames that are nothing but numbers. */
function parseNumbers(type: number, visitor: FrameVisitor): void {
  const r = reader;
  const check = () => {
    if (r.failed) throw encodingError(type, "frame is cut off");
  };
  switch (type) {
    case c.FRAME_RESET_STREAM: {
      const id = r.varint();
      const code = r.varintBig();
      const size = r.varint();
      check();
      checkEnd(size, 0, type);
      visitor.onResetStream(streamId(id, type), clipCode(code), code, size);
      return;
    }
    case c.FRAME_STOP_SENDING: {
      const id = r.varint();
      const code = r.varintBig();
      check();
      visitor.onStopSending(streamId(id, type), clipCode(code), code);
      return;
    }
    case c.FRAME_MAX_STREAM_DATA:
    case c.FRAME_STREAM_DATA_BLOCKED: {
      const id = r.varint();
      const value = r.varint();
      check();
      if (type === c.FRAME_MAX_STREAM_DATA) visitor.onMaxStreamData(streamId(id, type), value);
      else visitor.onStreamDataBlocked(streamId(id, type), value);
      return;
    }
  }
  const value = r.varint();
  check();
  switch (type) {
    case c.FRAME_MAX_DATA:
      visitor.onMaxData(value);
      return;
    case c.FRAME_DATA_BLOCKED:
      visitor.onDataBlocked(value);
      return;
    case c.FRAME_MAX_STREAMS_BIDI:
    case c.FRAME_MAX_STREAMS_UNI:
    case c.FRAME_STREAMS_BLOCKED_BIDI:
    case c.FRAME_STREAMS_BLOCKED_UNI: {
      // rfc9000#19.11 receipt of a frame that permits opening of a stream larger than 2^60 MUST be treated as a
      // connection error of type FRAME_ENCODING_ERROR; rfc9000#19.14 likewise.
      if (value > MAX_STREAM_COUNT) throw encodingError(type, "more than 2^60 streams");
      const bidi = type === c.FRAME_MAX_STREAMS_BIDI || type === c.FRAME_STREAMS_BLOCKED_BIDI;
      if (type <= c.FRAME_MAX_STREAMS_UNI) visitor.onMaxStreams(bidi, value);
      else visitor.onStreamsBlocked(bidi, value);
      return;
    }
    case c.FRAME_RETIRE_CONNECTION_ID:
      // A sequence number that large was never issued: rfc9000#19.16 PROTOCOL_VIOLATION.
      if (value === TOO_BIG) {
        throw new TransportError(c.PROTOCOL_VIOLATION, "retires a connection ID never issued", {
          frameType: type,
        });
      }
      visitor.onRetireConnectionId(value);
      return;
  }
}

/** rfc9000#19.3 */
function parseAck(type: number): void {
  const r = reader;
  const largest = r.varint();
  const delay = r.varint();
  const count = r.varint();
  const first = r.varint();
  if (r.failed) throw encodingError(type, "ACK frame is cut off");
  // rfc9000#19.3.1 if any computed packet number is negative, an endpoint MUST generate FRAME_ENCODING_ERROR.
  if (first > largest) throw encodingError(type, "ACK range below zero");
  // A number above 2^53 was never sent, rfc9000#13.1; the frame as such is well-formed.
  if (largest === TOO_BIG) {
    throw new TransportError(c.PROTOCOL_VIOLATION, "acknowledges a packet never sent", { frameType: type });
  }
  // Each further range takes two bytes at least: a larger count cannot be true.
  if (count > r.remaining / 2 || count >= MAX_ACK_RANGES_READ)
    throw encodingError(type, "ACK frame is cut off");
  if (2 * (count + 1) > ack.ranges.length) ack.ranges = new Float64Array(4 * (count + 1));
  const { ranges } = ack;
  let low = largest - first;
  ranges[0] = low;
  ranges[1] = largest;
  for (let i = 1; i <= count; i++) {
    const gap = r.varint();
    const length = r.varint();
    const high = low - gap - 2;
    low = high - length;
    if (r.failed) throw encodingError(type, "ACK frame is cut off");
    if (!(low >= 0)) throw encodingError(type, "ACK range below zero");
    ranges[2 * i] = low;
    ranges[2 * i + 1] = high;
  }
  ack.largest = largest;
  ack.delay = delay;
  ack.rangeCount = count + 1;
  ack.ecn = type === c.FRAME_ACK_ECN;
  ack.ect0 = ack.ect1 = ack.ce = 0;
  if (ack.ecn) {
    ack.ect0 = r.varint();
    ack.ect1 = r.varint();
    ack.ce = r.varint();
    if (r.failed) throw encodingError(type, "ACK frame is cut off");
  }
}

/** rfc9000#19.15 */
function parseNewConnectionId(buf: Uint8Array, type: number, visitor: FrameVisitor): void {
  const r = reader;
  const sequence = r.varint();
  const retirePriorTo = r.varint();
  const length = r.u8();
  if (r.failed) throw encodingError(type, "frame is cut off");
  // rfc9000#19.15 values less than 1 and greater than 20 are invalid and MUST be treated as FRAME_ENCODING_ERROR.
  if (length < 1 || length > MAX_CONNECTION_ID_LENGTH) throw encodingError(type, "connection ID length");
  const cid = take(r, length, type);
  const token = take(r, 16, type);
  // rfc9000#19.15 a value in Retire Prior To greater than the Sequence Number MUST be treated as FRAME_ENCODING_ERROR.
  if (retirePriorTo > sequence)
    throw encodingError(type, "retire_prior_to is larger than the sequence number");
  if (sequence === TOO_BIG) {
    throw new TransportError(c.CONNECTION_ID_LIMIT_ERROR, "sequence number is beyond any limit", {
      frameType: type,
    });
  }
  visitor.onNewConnectionId(sequence, retirePriorTo, buf, cid, length, token);
}
