// The frames of HTTP/3: their types, where each may stand, their payloads. rfc9114#7

import { Http3ConnectionError } from "./errors.ts";
import { encodeVarint, varintLength, VarintReader, writeVarint } from "./varint.ts";

/** Frame types. */
export const FRAME = {
  DATA: 0x00,
  HEADERS: 0x01,
  CANCEL_PUSH: 0x03,
  SETTINGS: 0x04,
  PUSH_PROMISE: 0x05,
  GOAWAY: 0x07,
  /** rfc9412#2 */
  ORIGIN: 0x0c,
  MAX_PUSH_ID: 0x0d,
  /** rfc9218#7.2, for a request stream and for a push. */
  PRIORITY_UPDATE: 0xf0700,
  PRIORITY_UPDATE_PUSH: 0xf0701,
} as const;

/** Types of HTTP/2's frames that HTTP/3 has no use for: PRIORITY, PING, WINDOW_UPDATE, CONTINUATION. rfc9114#11.2.1 */
const HTTP2_TYPES = new Set([0x02, 0x06, 0x08, 0x09]);

const NAMES = new Map<number, string>(Object.entries(FRAME).map(([name, type]) => [type, name]));

/** A frame type's name, for people. */
export function frameName(type: number): string {
  return NAMES.get(type) ?? `frame 0x${type.toString(16)}`;
}

/** The streams that carry frames. */
export type FrameStream = "control" | "request" | "push";

/** Which side an endpoint is. */
export type Role = "client" | "server";

/** What to do with a frame: take it, skip it, or close the connection with an error. */
export type Placement = "take" | "skip" | "H3_FRAME_UNEXPECTED" | "H3_MISSING_SETTINGS";

/**
 * Where frames may stand: the table of rfc9114#7, and what extensions add.
 *
 * @param type - the frame's type
 * @param stream - the kind of stream it came on
 * @param receiver - the side that received it
 * @param first - whether it is the first frame of that stream
 */
export function placement(type: number, stream: FrameStream, receiver: Role, first: boolean): Placement {
  // rfc9114#7.2.8 These frame types MUST NOT be sent, and their receipt MUST be treated as a connection error of type
  // H3_FRAME_UNEXPECTED.
  if (HTTP2_TYPES.has(type)) return "H3_FRAME_UNEXPECTED";
  if (stream === "control") {
    // rfc9114#6.2.1 If the first frame of the control stream is any other frame type, this MUST be treated as a
    // connection error of type H3_MISSING_SETTINGS. An unknown type is one, rfc9114#9.
    if (first) return type === FRAME.SETTINGS ? "take" : "H3_MISSING_SETTINGS";
    switch (type) {
      case FRAME.CANCEL_PUSH:
      case FRAME.GOAWAY:
        return "take";
      // rfc9114#7.2.4 If an endpoint receives a second SETTINGS frame on the control stream, the endpoint MUST respond
      // with a connection error of type H3_FRAME_UNEXPECTED.
      case FRAME.SETTINGS:
      // rfc9114#7.2.1 If a DATA frame is received on a control stream, the recipient MUST respond with a connection error
      // of type H3_FRAME_UNEXPECTED.
      case FRAME.DATA:
      // rfc9114#7.2.2 If a HEADERS frame is received on a control stream, the recipient MUST respond with a connection
      // error of type H3_FRAME_UNEXPECTED.
      case FRAME.HEADERS:
      // rfc9114#7.2.5 If a PUSH_PROMISE frame is received on the control stream, the client MUST respond with a connection
      // error of type H3_FRAME_UNEXPECTED.
      case FRAME.PUSH_PROMISE:
        return "H3_FRAME_UNEXPECTED";
      // rfc9114#7.2.7 A server MUST NOT send a MAX_PUSH_ID frame. A client MUST treat the receipt of a MAX_PUSH_ID frame
      // as a connection error of type H3_FRAME_UNEXPECTED.
      case FRAME.MAX_PUSH_ID:
      // rfc9218#7.2 Servers MUST NOT send PRIORITY_UPDATE frames of either type. If a client receives a PRIORITY_UPDATE
      // frame, this MUST be treated as a connection error of type H3_FRAME_UNEXPECTED.
      case FRAME.PRIORITY_UPDATE:
      case FRAME.PRIORITY_UPDATE_PUSH:
        return receiver === "server" ? "take" : "H3_FRAME_UNEXPECTED";
      case FRAME.ORIGIN:
        return receiver === "client" ? "take" : "skip";
      default:
        return "skip";
    }
  }
  switch (type) {
    case FRAME.DATA:
    case FRAME.HEADERS:
      return "take";
    case FRAME.PUSH_PROMISE:
      // rfc9114#7.2.5 A client MUST NOT send a PUSH_PROMISE frame. A server MUST treat the receipt of a PUSH_PROMISE frame
      // as a connection error of type H3_FRAME_UNEXPECTED.
      // rfc9114#4.1 a pushed response that includes PUSH_PROMISE frames MUST be treated as a connection error of type
      // H3_FRAME_UNEXPECTED.
      return stream === "request" && receiver === "client" ? "take" : "H3_FRAME_UNEXPECTED";
    // rfc9114#7.2.3 Receiving a CANCEL_PUSH frame on a stream other than the control stream MUST be treated as a
    // connection error of type H3_FRAME_UNEXPECTED.
    case FRAME.CANCEL_PUSH:
    // rfc9114#7.2.4 If an endpoint receives a SETTINGS frame on a different stream, the endpoint MUST respond with a
    // connection error of type H3_FRAME_UNEXPECTED.
    case FRAME.SETTINGS:
    // rfc9114#7.2.6 A client MUST treat a GOAWAY frame on a stream other than the control stream as a connection error of
    // type H3_FRAME_UNEXPECTED.
    case FRAME.GOAWAY:
    // rfc9114#7.2.7 Receipt of a MAX_PUSH_ID frame on any other stream MUST be treated as a connection error of type
    // H3_FRAME_UNEXPECTED.
    case FRAME.MAX_PUSH_ID:
    // rfc9218#7.2 Receiving a PRIORITY_UPDATE frame on a stream other than the client control stream MUST be treated as a
    // connection error of type H3_FRAME_UNEXPECTED.
    case FRAME.PRIORITY_UPDATE:
    case FRAME.PRIORITY_UPDATE_PUSH:
      return "H3_FRAME_UNEXPECTED";
    // rfc8336#2.1: an ORIGIN frame elsewhere is ignored, as frames of unknown types are, reserved ones among them.
    // rfc9114#7.2.8 Endpoints MUST NOT consider these frames to have any meaning upon receipt.
    // rfc9114#9 Implementations MUST ignore unknown or unsupported values in all extensible protocol elements.
    default:
      return "skip";
  }
}

function frameError(type: number, message: string): Http3ConnectionError {
  return new Http3ConnectionError("H3_FRAME_ERROR", `${frameName(type)}: ${message}`);
}

/** The type and length that begin a frame. */
export function frameHeader(type: number, length: number): Uint8Array {
  const out = Buffer.allocUnsafe(varintLength(type) + varintLength(length));
  writeVarint(out, writeVarint(out, 0, type), length);
  return out;
}

/** A whole frame of the parts of its payload. */
export function encodeFrame(type: number, ...payload: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of payload) length += part.length;
  // From Node's pool: most are small, and copied into the stream at once.
  const out = Buffer.allocUnsafe(varintLength(type) + varintLength(length) + length);
  let at = writeVarint(out, writeVarint(out, 0, type), length);
  for (const part of payload) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A GOAWAY, MAX_PUSH_ID or CANCEL_PUSH frame. */
export function encodeIdFrame(type: number, id: number): Uint8Array {
  return encodeFrame(type, encodeVarint(id));
}

/** The largest identifier for a GOAWAY that refuses nothing yet: 2^62−4 of a server, 2^62−1 of a client. rfc9114#5.2 */
export function encodeFinalWarning(role: Role): Uint8Array {
  const id = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, role === "server" ? 0xfc : 0xff);
  return encodeFrame(FRAME.GOAWAY, id);
}

/**
 * The one identifier of a GOAWAY, MAX_PUSH_ID or CANCEL_PUSH frame; infinite where it is 2^53 or more.
 *
 * rfc9114#7.1 Each frame's payload MUST contain exactly the fields identified in its description. A frame payload that
 * contains additional bytes after the identified fields or a frame payload that
 * terminates before the end of the identified fields MUST be treated as a connection error of type H3_FRAME_ERROR.
 */
export function decodeId(type: number, payload: Uint8Array): number {
  const reader = new VarintReader(payload);
  const id = reader.next();
  // rfc9114#10.8 An implementation MUST ensure that the length of a frame exactly matches the length of the fields it
  // contains.
  if (id < 0) throw frameError(type, "ends before its identifier does");
  if (reader.left > 0) throw frameError(type, `has ${reader.left} bytes after its identifier`);
  return id;
}

/** The stream ID of a GOAWAY that a client received. */
export function decodeGoawayStream(payload: Uint8Array): number {
  const id = decodeId(FRAME.GOAWAY, payload);
  // rfc9114#7.2.6 A client MUST treat receipt of a GOAWAY frame containing a stream ID of any other type as a connection
  // error of type H3_ID_ERROR.
  if ((payload[payload.length - 1]! & 3) !== 0) {
    throw new Http3ConnectionError("H3_ID_ERROR", "GOAWAY: its stream is no request stream");
  }
  return id;
}

/** A PUSH_PROMISE frame. rfc9114#7.2.5 */
export function encodePushPromise(pushId: number, section: Uint8Array): Uint8Array {
  return encodeFrame(FRAME.PUSH_PROMISE, encodeVarint(pushId), section);
}

/** The payload of a PUSH_PROMISE frame; the section is not copied. */
export function decodePushPromise(payload: Uint8Array): { pushId: number; section: Uint8Array } {
  const reader = new VarintReader(payload);
  const pushId = reader.next();
  if (pushId < 0) throw frameError(FRAME.PUSH_PROMISE, "ends before its push ID does");
  return { pushId, section: reader.rest() };
}

/** A PRIORITY_UPDATE frame; `type` says whether `id` is a request stream's or a push's. rfc9218#7.2 */
export function encodePriorityUpdate(type: number, id: number, value: string): Uint8Array {
  return encodeFrame(type, encodeVarint(id), Buffer.from(value, "latin1"));
}

/** The payload of a PRIORITY_UPDATE frame that a server received. */
export function decodePriorityUpdate(type: number, payload: Uint8Array): { id: number; value: string } {
  const reader = new VarintReader(payload);
  const id = reader.next();
  if (id < 0) throw frameError(type, "ends before its element ID does");
  // rfc9218#7.2 If a server receives a PRIORITY_UPDATE (type=0xF0700) for a stream ID that is not a request stream, this
  // MUST be treated as a connection error of type H3_ID_ERROR.
  if (type === FRAME.PRIORITY_UPDATE && (payload[reader.position - 1]! & 3) !== 0) {
    throw new Http3ConnectionError("H3_ID_ERROR", "PRIORITY_UPDATE: its stream is no request stream");
  }
  return { id, value: Buffer.from(reader.rest()).toString("latin1") };
}

/** An ORIGIN frame. rfc9412#2.1 */
export function encodeOrigin(origins: readonly string[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const origin of origins) {
    parts.push(Uint8Array.of(origin.length >>> 8, origin.length & 0xff), Buffer.from(origin, "latin1"));
  }
  return encodeFrame(FRAME.ORIGIN, ...parts);
}

/** scheme "://" host [ ":" port ], as browsers serialise it. */
const ASCII_ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/(?:[a-z0-9._~!$&'()*+,;=%-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/;

/**
 * The origins of an ORIGIN frame that a client received.
 *
 * rfc8336#2.1 Each ASCII-Origin field MUST be parsed as an ASCII serialisation of an origin. If parsing fails, the field
 * MUST be ignored.
 */
export function decodeOrigin(payload: Uint8Array): string[] {
  const origins: string[] = [];
  for (let at = 0; at < payload.length;) {
    const length = payload.length - at < 2 ? Infinity : (payload[at]! << 8) | payload[at + 1]!;
    if (length > payload.length - at - 2) throw frameError(FRAME.ORIGIN, "ends before its last entry does");
    const origin = Buffer.from(payload.subarray(at + 2, at + 2 + length)).toString("latin1");
    if (ASCII_ORIGIN.test(origin)) origins.push(origin);
    at += 2 + length;
  }
  return origins;
}
