// Parsing frames (rfc9000#19, rfc9221#4) by a visitor: no objects per frame, every malformed input a TransportError
// with the RFC's code.

import * as c from "../protocol/constants.ts";
import { clipCode, TransportError } from "../protocol/errors.ts";
import { MAX_ACK_RANGES_READ, MAX_CONNECTION_ID_LENGTH, MAX_STREAM_COUNT } from "../protocol/limits.ts";
import { MAX_VARINT_BIG, Reader, TOO_BIG, varintBigAt } from "./varint.ts";

/** What `parseFrames` says of a payload: something other than ACK, PADDING and CONNECTION_CLOSE, rfc9000#13.2. */
export const ACK_ELICITING = 1;
/** Only PATH_CHALLENGE, PATH_RESPONSE, NEW_CONNECTION_ID and PADDING: rfc9000#9.1. */
export const PROBING_ONLY = 2;

/** An ACK frame in a reused object, valid during `onAck`. */
export class AckFrame {
  largest = 0;
  /** ACK Delay as it stands, not scaled by the exponent; clipped to 2^53−1, as the ECN counts are. */
  delay = 0;
  rangeCount = 0;
  /** Pairs [smallest, largest], the highest range first. */
  ranges = new Float64Array(64);
  ecn = false;
  ect0 = 0;
  ect1 = 0;
  ce = 0;
}

/**
 * What frames do. Every `buf` is the packet; copy what must outlive the call. Which role may send a frame, whether its
 * stream or connection ID exists and whether DATAGRAM was negotiated is for the visitor to know.
 */
export interface FrameVisitor {
  onPadding(count: number): void;
  onPing(): void;
  onAck(ack: AckFrame): void;
  /** `errorCode` is clipped to 2^53−1, `errorCodeBig` exact. */
  /** RESET_STREAM, and RESET_STREAM_AT with what arrives all the same: 0 for the former. */
  onResetStream(
    streamId: number,
    errorCode: number,
    errorCodeBig: bigint,
    finalSize: number,
    reliableSize: number,
  ): void;
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
  /** ack-frequency#4; µs. Numbers above 2^53−1 arrive as Infinity. */
  onAckFrequency(sequence: number, threshold: number, maxDelay: number, reordering: number): void;
  /** ack-frequency#5 */
  onImmediateAck(): void;
  /** `frameLength` counts type and length as well: rfc9221#3 limits that. */
  onDatagram(buf: Uint8Array, start: number, length: number, frameLength: number): void;
}

/** Which packets may carry a frame, rfc9000#12.4 table 3: bit by packet type. */
const I = 1 << c.PACKET_INITIAL;
const H = 1 << c.PACKET_HANDSHAKE;
const Z = 1 << c.PACKET_ZERO_RTT;
const O = 1 << c.PACKET_ONE_RTT;
const ALLOWED = new Uint8Array(0x32);
// rfc9000#12.5 a server MAY treat RETIRE_CONNECTION_ID in 0-RTT as an error; table 3 allows it, so it is taken.
for (let type = c.FRAME_RESET_STREAM; type <= c.FRAME_PATH_RESPONSE; type++) ALLOWED[type] = Z | O;
ALLOWED[c.FRAME_PADDING] = ALLOWED[c.FRAME_PING] = I | H | Z | O;
ALLOWED[c.FRAME_ACK] = ALLOWED[c.FRAME_ACK_ECN] = I | H | O;
// rfc9001#8.3 A server MUST treat receipt of a CRYPTO frame in a 0-RTT packet as a connection error of type
// PROTOCOL_VIOLATION.
ALLOWED[c.FRAME_CRYPTO] = I | H | O;
ALLOWED[c.FRAME_NEW_TOKEN] = O;
ALLOWED[c.FRAME_PATH_RESPONSE] = O;
// rfc9000#12.5 CONNECTION_CLOSE frames signaling application errors MUST only appear in the application data space.
ALLOWED[c.FRAME_CONNECTION_CLOSE] = I | H | Z | O;
ALLOWED[c.FRAME_CONNECTION_CLOSE_APP] = Z | O;
ALLOWED[c.FRAME_HANDSHAKE_DONE] = O;
// ack-frequency#3 ACK_FREQUENCY and IMMEDIATE_ACK frames cannot be sent in 0-RTT packets.
ALLOWED[c.FRAME_IMMEDIATE_ACK] = O;
// reliable-stream-reset#4 RESET_STREAM_AT frames MUST only be sent in the application data packet number space.
ALLOWED[c.FRAME_RESET_STREAM_AT] = Z | O;
ALLOWED[c.FRAME_DATAGRAM] = ALLOWED[c.FRAME_DATAGRAM_LEN] = Z | O;

// One cursor for all: every parser takes the position behind its frame before it calls the visitor, which may itself
// parse other bytes (traces do).
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
    const type = buf[pos]!;
    if (type === c.FRAME_PADDING) {
      const from = pos;
      while (pos < end && buf[pos] === 0) pos++;
      visitor.onPadding(pos - from);
      continue;
    }
    r.reset(buf, pos + 1, end);
    // But for one no known type needs more than one byte: what has more is an error of some kind.
    if (type >= 0x40) {
      if (type !== 0x40 || pos + 1 >= end || buf[pos + 1] !== c.FRAME_ACK_FREQUENCY)
        throw longType(buf, pos, end);
      if (packetType !== c.PACKET_ONE_RTT) throw misplaced(c.FRAME_ACK_FREQUENCY, packetType);
      eliciting = ACK_ELICITING;
      probing = 0;
      pos = parseAckFrequency(visitor);
      continue;
    }
    // rfc9000#12.4 an endpoint MUST treat the receipt of a frame of unknown type as FRAME_ENCODING_ERROR.
    if (type >= ALLOWED.length || ALLOWED[type] === 0) throw encodingError(type, "unknown frame type");
    // rfc9000#12.4 an endpoint MUST treat receipt of a frame in a packet type that is not permitted as a connection
    // error of type PROTOCOL_VIOLATION.
    if ((ALLOWED[type]! & bit) === 0) {
      throw misplaced(type, packetType);
    }
    if (type >= c.FRAME_STREAM && type < c.FRAME_MAX_DATA) {
      eliciting = ACK_ELICITING;
      probing = 0;
      pos = parseStream(buf, end, type, visitor);
      continue;
    }
    // rfc9000#13.2 packets that contain frames other than ACK, PADDING and CONNECTION_CLOSE are ack-eliciting.
    if (type !== c.FRAME_ACK && type !== c.FRAME_ACK_ECN && !isClose(type)) eliciting = ACK_ELICITING;
    if (
      type !== c.FRAME_PATH_CHALLENGE &&
      type !== c.FRAME_PATH_RESPONSE &&
      type !== c.FRAME_NEW_CONNECTION_ID
    ) {
      probing = 0;
    }
    pos = parseOther(buf, type, visitor);
  }
  return eliciting | probing;
}

function misplaced(frameType: number, packetType: c.PacketType): TransportError {
  const where = `in a ${c.PACKET_TYPE_NAMES[packetType]} packet`;
  return new TransportError(c.PROTOCOL_VIOLATION, `frame 0x${frameType.toString(16)} ${where}`, {
    frameType,
  });
}

/** ack-frequency#4. The reader stands behind the first byte of its type. */
function parseAckFrequency(visitor: FrameVisitor): number {
  const r = reader;
  r.skip(1);
  const sequence = r.varint();
  const threshold = r.varint();
  const maxDelay = r.varint();
  const reordering = r.varint();
  const next = r.pos;
  if (r.failed) throw cutOff(c.FRAME_ACK_FREQUENCY);
  visitor.onAckFrequency(sequence, threshold, maxDelay, reordering);
  return next;
}

/** What is wrong with a frame type of more than one byte. */
function longType(buf: Uint8Array, pos: number, end: number): TransportError {
  const r = new Reader(buf, pos, end);
  const type = r.varint();
  if (r.failed) return encodingError(0, "frame type is cut off");
  if (type >= ALLOWED.length || ALLOWED[type] === 0) {
    return encodingError(type === TOO_BIG ? 0 : type, "unknown frame type");
  }
  // rfc9000#12.4 a frame type MUST use the shortest possible encoding. An endpoint MAY treat the receipt of a frame type
  // that uses a longer encoding than necessary as a connection error of type PROTOCOL_VIOLATION.
  return new TransportError(c.PROTOCOL_VIOLATION, "frame type is not in its shortest form", {
    frameType: type,
  });
}

function isClose(type: number): boolean {
  return type === c.FRAME_CONNECTION_CLOSE || type === c.FRAME_CONNECTION_CLOSE_APP;
}

/** rfc9000#19.8. Returns the position behind the frame, as all these do. */
function parseStream(buf: Uint8Array, end: number, type: number, visitor: FrameVisitor): number {
  const r = reader;
  const id = r.varint();
  const offsetAt = r.pos;
  const offset = (type & 0x04) !== 0 ? r.varint() : 0;
  const length = (type & 0x02) !== 0 ? r.varint() : end - r.pos;
  if (r.failed || length > end - r.pos) throw cutOff(type);
  const start = r.pos;
  if (id === TOO_BIG) throw hugeStreamId(type);
  if (offset + length > Number.MAX_SAFE_INTEGER) throw hugeOffset(buf, offsetAt, offset, length, type);
  visitor.onStream(id, offset, (type & 0x01) !== 0, buf, start, length);
  return start + length;
}

function cutOff(type: number): TransportError {
  return encodingError(type, "frame is cut off");
}

/**
 * rfc9000#19.8 the largest offset delivered on a stream cannot exceed 2^62-1. Receipt of a frame that exceeds this limit
 * MUST be treated as FRAME_ENCODING_ERROR or FLOW_CONTROL_ERROR; rfc9000#19.6 FRAME_ENCODING_ERROR or
 * CRYPTO_BUFFER_EXCEEDED. No window of ours reaches 2^53, so what is beyond that and valid exceeds a limit of ours.
 */
function hugeOffset(
  buf: Uint8Array,
  offsetAt: number,
  offset: number,
  length: number,
  type: number,
): TransportError {
  const exact = offset === TOO_BIG ? varintBigAt(buf, offsetAt) : BigInt(offset);
  if (exact + BigInt(length) > MAX_VARINT_BIG) return encodingError(type, "offset is beyond 2^62-1");
  return new TransportError(
    type === c.FRAME_CRYPTO ? c.CRYPTO_BUFFER_EXCEEDED : c.FLOW_CONTROL_ERROR,
    "offset is beyond any limit",
    { frameType: type },
  );
}

/** Stream IDs above 2^53−1 would need 2^51 streams: beyond any limit of ours, rfc9000#4.6. */
function hugeStreamId(type: number): TransportError {
  return new TransportError(c.STREAM_LIMIT_ERROR, "stream ID is beyond any limit", { frameType: type });
}

function parseOther(buf: Uint8Array, type: number, visitor: FrameVisitor): number {
  const r = reader;
  switch (type) {
    case c.FRAME_PING: {
      const next = r.pos;
      visitor.onPing();
      return next;
    }
    case c.FRAME_ACK:
    case c.FRAME_ACK_ECN: {
      parseAck(type);
      const next = r.pos;
      visitor.onAck(ack);
      return next;
    }
    case c.FRAME_CRYPTO: {
      const offsetAt = r.pos;
      const offset = r.varint();
      const length = r.varint();
      const start = take(r, length, type);
      if (offset + length > Number.MAX_SAFE_INTEGER) throw hugeOffset(buf, offsetAt, offset, length, type);
      visitor.onCrypto(offset, buf, start, length);
      return start + length;
    }
    case c.FRAME_NEW_TOKEN: {
      const length = r.varint();
      const start = take(r, length, type);
      // rfc9000#19.7 a client MUST treat receipt of a NEW_TOKEN frame with an empty Token field as a connection error
      // of type FRAME_ENCODING_ERROR.
      if (length === 0) throw encodingError(type, "empty token");
      visitor.onNewToken(buf, start, length);
      return start + length;
    }
    case c.FRAME_NEW_CONNECTION_ID:
      return parseNewConnectionId(buf, type, visitor);
    case c.FRAME_PATH_CHALLENGE:
    case c.FRAME_PATH_RESPONSE: {
      const start = take(r, 8, type);
      if (type === c.FRAME_PATH_CHALLENGE) visitor.onPathChallenge(buf, start);
      else visitor.onPathResponse(buf, start);
      return start + 8;
    }
    case c.FRAME_CONNECTION_CLOSE:
    case c.FRAME_CONNECTION_CLOSE_APP: {
      const application = type === c.FRAME_CONNECTION_CLOSE_APP;
      const code = r.varintBig();
      const frameType = application ? 0 : clip(r.varint());
      const length = r.varint();
      const start = take(r, length, type);
      const reason = buf.subarray(start, start + length);
      visitor.onConnectionClose(clipCode(code), code, frameType, reason, application);
      return start + length;
    }
    case c.FRAME_IMMEDIATE_ACK: {
      const next = r.pos;
      visitor.onImmediateAck();
      return next;
    }
    case c.FRAME_HANDSHAKE_DONE: {
      const next = r.pos;
      visitor.onHandshakeDone();
      return next;
    }
    case c.FRAME_DATAGRAM:
    case c.FRAME_DATAGRAM_LEN: {
      // rfc9221#4 without the LEN bit the Datagram Data field extends to the end of the packet.
      const from = r.pos - 1;
      const length = type === c.FRAME_DATAGRAM_LEN ? r.varint() : r.remaining;
      const start = take(r, length, type);
      visitor.onDatagram(buf, start, length, start + length - from);
      return start + length;
    }
    case c.FRAME_RESET_STREAM:
    case c.FRAME_RESET_STREAM_AT:
    case c.FRAME_STOP_SENDING:
    case c.FRAME_MAX_STREAM_DATA:
    case c.FRAME_STREAM_DATA_BLOCKED:
      return parseStreamControl(type, visitor);
    default:
      return parseNumber(buf, type, visitor);
  }
}

/** The start of the next `length` bytes, which are skipped; an error where they are not there. */
function take(r: Reader, length: number, type: number): number {
  if (r.failed || length > r.remaining) throw cutOff(type);
  const start = r.pos;
  r.skip(length);
  return start;
}

/** What is only compared or shown: values above 2^53−1 become that. */
function clip(value: number): number {
  return value === TOO_BIG ? Number.MAX_SAFE_INTEGER : value;
}

/** Frames that name a stream and carry nothing but numbers. */
function parseStreamControl(type: number, visitor: FrameVisitor): number {
  const r = reader;
  const id = r.varint();
  if (id === TOO_BIG) throw hugeStreamId(type);
  if (type === c.FRAME_MAX_STREAM_DATA || type === c.FRAME_STREAM_DATA_BLOCKED) {
    const value = r.varint();
    const next = r.pos;
    if (r.failed) throw cutOff(type);
    if (type === c.FRAME_MAX_STREAM_DATA) visitor.onMaxStreamData(id, value);
    else visitor.onStreamDataBlocked(id, value);
    return next;
  }
  const code = r.varintBig();
  const size = type === c.FRAME_STOP_SENDING ? 0 : r.varint();
  const reliable = type === c.FRAME_RESET_STREAM_AT ? r.varint() : 0;
  const next = r.pos;
  if (r.failed) throw cutOff(type);
  // rfc9000#4.5 a receiver SHOULD treat a final size beyond flow control as FLOW_CONTROL_ERROR: rfc9000#4.1.
  if (size === TOO_BIG) {
    throw new TransportError(c.FLOW_CONTROL_ERROR, "final size is beyond any limit", { frameType: type });
  }
  // reliable-stream-reset#4 If the Reliable Size is larger than the Final Size, the receiver MUST close the connection
  // with a connection error of type FRAME_ENCODING_ERROR.
  if (reliable > size) throw encodingError(type, "reliable size is larger than the final size");
  if (type === c.FRAME_STOP_SENDING) visitor.onStopSending(id, clipCode(code), code);
  else visitor.onResetStream(id, clipCode(code), code, size, reliable);
  return next;
}

/** Frames that are nothing but one number. */
function parseNumber(buf: Uint8Array, type: number, visitor: FrameVisitor): number {
  const r = reader;
  const at = r.pos;
  const value = r.varint();
  const next = r.pos;
  if (r.failed) throw cutOff(type);
  switch (type) {
    case c.FRAME_MAX_DATA:
      visitor.onMaxData(value);
      return next;
    case c.FRAME_DATA_BLOCKED:
      visitor.onDataBlocked(value);
      return next;
    case c.FRAME_RETIRE_CONNECTION_ID:
      // rfc9000#19.16 a sequence number greater than any previously sent to the peer MUST be treated as a connection
      // error of type PROTOCOL_VIOLATION: one that large never was.
      if (value === TOO_BIG) {
        throw new TransportError(c.PROTOCOL_VIOLATION, "retires a connection ID never issued", {
          frameType: type,
        });
      }
      visitor.onRetireConnectionId(value);
      return next;
  }
  // rfc9000#19.11 receipt of a frame that permits opening of a stream larger than this limit (2^60) MUST be treated as
  // a connection error of type FRAME_ENCODING_ERROR; rfc9000#19.14 likewise, or STREAM_LIMIT_ERROR.
  if (value === TOO_BIG && varintBigAt(buf, at) > BigInt(MAX_STREAM_COUNT)) {
    throw encodingError(type, "more than 2^60 streams");
  }
  const bidi = type === c.FRAME_MAX_STREAMS_BIDI || type === c.FRAME_STREAMS_BLOCKED_BIDI;
  if (type <= c.FRAME_MAX_STREAMS_UNI) visitor.onMaxStreams(bidi, value);
  else visitor.onStreamsBlocked(bidi, value);
  return next;
}

/** rfc9000#19.3 */
function parseAck(type: number): void {
  const r = reader;
  const largest = r.varint();
  const delay = r.varint();
  const count = r.varint();
  const first = r.varint();
  if (r.failed) throw cutOff(type);
  // rfc9000#19.3.1 if any computed packet number is negative, an endpoint MUST generate a connection error of type
  // FRAME_ENCODING_ERROR.
  if (first > largest) throw encodingError(type, "ACK range below zero");
  // rfc9000#13.1 an endpoint SHOULD treat receipt of an acknowledgment for a packet it did not send as a connection
  // error of type PROTOCOL_VIOLATION: a number above 2^53 never was.
  if (largest === TOO_BIG) {
    throw new TransportError(c.PROTOCOL_VIOLATION, "acknowledges a packet never sent", { frameType: type });
  }
  // Each further range takes two bytes at least: a larger count cannot be true.
  if (count > r.remaining / 2 || count >= MAX_ACK_RANGES_READ) throw cutOff(type);
  if (2 * (count + 1) > ack.ranges.length) {
    ack.ranges = new Float64Array(2 * Math.min(2 * (count + 1), MAX_ACK_RANGES_READ));
  }
  const { ranges } = ack;
  let low = largest - first;
  ranges[0] = low;
  ranges[1] = largest;
  for (let i = 1; i <= count; i++) {
    // rfc9000#19.3.1 largest = previous_smallest - gap - 2
    const high = low - r.varint() - 2;
    low = high - r.varint();
    if (r.failed) throw cutOff(type);
    if (low < 0) throw encodingError(type, "ACK range below zero");
    ranges[2 * i] = low;
    ranges[2 * i + 1] = high;
  }
  ack.largest = largest;
  ack.delay = clip(delay);
  ack.rangeCount = count + 1;
  ack.ecn = type === c.FRAME_ACK_ECN;
  ack.ect0 = ack.ect1 = ack.ce = 0;
  if (ack.ecn) {
    ack.ect0 = clip(r.varint());
    ack.ect1 = clip(r.varint());
    ack.ce = clip(r.varint());
    if (r.failed) throw cutOff(type);
  }
}

/** rfc9000#19.15 */
function parseNewConnectionId(buf: Uint8Array, type: number, visitor: FrameVisitor): number {
  const r = reader;
  const sequenceAt = r.pos;
  const sequence = r.varint();
  const retireAt = r.pos;
  const retirePriorTo = r.varint();
  const length = r.u8();
  if (r.failed) throw cutOff(type);
  // rfc9000#19.15 values less than 1 and greater than 20 are invalid and MUST be treated as FRAME_ENCODING_ERROR.
  if (length < 1 || length > MAX_CONNECTION_ID_LENGTH) throw encodingError(type, "connection ID length");
  const cid = take(r, length, type);
  const token = take(r, 16, type);
  // rfc9000#19.15 a value in the Retire Prior To field that is greater than that in the Sequence Number field MUST be
  // treated as a connection error of type FRAME_ENCODING_ERROR.
  if (
    retirePriorTo > sequence ||
    (retirePriorTo === TOO_BIG && varintBigAt(buf, retireAt) > varintBigAt(buf, sequenceAt))
  ) {
    throw encodingError(type, "retire_prior_to is larger than the sequence number");
  }
  // rfc9000#5.1.1 sequence numbers increase by 1 from 0: none honest comes here.
  if (sequence === TOO_BIG) {
    throw new TransportError(c.CONNECTION_ID_LIMIT_ERROR, "sequence number is beyond any limit", {
      frameType: type,
    });
  }
  visitor.onNewConnectionId(sequence, retirePriorTo, buf, cid, length, token);
  return token + 16;
}
