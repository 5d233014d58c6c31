// Every way a frame can be malformed, and the code the RFC wants for it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex } from "../../internal/protocol/bytes.ts";
import * as c from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import { Recorder } from "./visitors.ts";

function fails(text: string, code: number, frameType: number, packet: c.PacketType = c.PACKET_ONE_RTT): void {
  const bytes = fromHex(text.replaceAll(" ", ""));
  assert.throws(
    () => parseFrames(bytes, 0, bytes.length, packet, new Recorder()),
    (error: unknown) => {
      assert.ok(error instanceof TransportError, `${text}: ${String(error)}`);
      assert.equal(error.errorCode, code, `${text}: ${error.message}`);
      assert.equal(error.frameType, frameType, text);
      assert.equal(error.remote, false);
      return true;
    },
  );
}

const TOKEN = "00".repeat(16);
/** One well-formed frame of each type, each of them with a length. */
const FRAMES: [number, string][] = [
  [c.FRAME_PADDING, "00"],
  [c.FRAME_PING, "01"],
  [c.FRAME_ACK, "02 0a 05 01 03 00 00"],
  [c.FRAME_ACK_ECN, "03 0a 05 01 03 00 00 01 02 03"],
  [c.FRAME_RESET_STREAM, "04 04 05 06"],
  [c.FRAME_STOP_SENDING, "05 04 05"],
  [c.FRAME_CRYPTO, "06 00 02 aabb"],
  [c.FRAME_NEW_TOKEN, "07 02 aabb"],
  [0x0a, "0a 04 02 aabb"],
  [0x0b, "0b 04 02 aabb"],
  [0x0e, "0e 04 01 02 aabb"],
  [0x0f, "0f 04 01 02 aabb"],
  [c.FRAME_MAX_DATA, "10 01"],
  [c.FRAME_MAX_STREAM_DATA, "11 01 01"],
  [c.FRAME_MAX_STREAMS_BIDI, "12 01"],
  [c.FRAME_MAX_STREAMS_UNI, "13 01"],
  [c.FRAME_DATA_BLOCKED, "14 01"],
  [c.FRAME_STREAM_DATA_BLOCKED, "15 01 01"],
  [c.FRAME_STREAMS_BLOCKED_BIDI, "16 01"],
  [c.FRAME_STREAMS_BLOCKED_UNI, "17 01"],
  [c.FRAME_NEW_CONNECTION_ID, `18 01 00 04 aabbccdd ${TOKEN}`],
  [c.FRAME_RETIRE_CONNECTION_ID, "19 01"],
  [c.FRAME_PATH_CHALLENGE, "1a 0102030405060708"],
  [c.FRAME_PATH_RESPONSE, "1b 0102030405060708"],
  [c.FRAME_CONNECTION_CLOSE, "1c 01 02 02 6869"],
  [c.FRAME_CONNECTION_CLOSE_APP, "1d 01 02 6869"],
  [c.FRAME_HANDSHAKE_DONE, "1e"],
  [c.FRAME_DATAGRAM_LEN, "31 02 aabb"],
];

test("a packet without frames is a PROTOCOL_VIOLATION", () => {
  // rfc9000#12.4 MUST treat receipt of a packet containing no frames as a connection error of type PROTOCOL_VIOLATION
  fails("", c.PROTOCOL_VIOLATION, 0);
});

test("unknown frame types are a FRAME_ENCODING_ERROR", () => {
  // rfc9000#12.4 MUST treat the receipt of a frame of unknown type as a connection error of type FRAME_ENCODING_ERROR
  fails("21", c.FRAME_ENCODING_ERROR, 0x21);
  fails("25 00 00 00 00", c.FRAME_ENCODING_ERROR, 0x25);
  // reliable-stream-reset#4 a Reliable Size larger than the Final Size: FRAME_ENCODING_ERROR
  fails("24 00 00 05 06", c.FRAME_ENCODING_ERROR, 0x24);
  fails("24 00 00 05", c.FRAME_ENCODING_ERROR, 0x24);
  fails("2f", c.FRAME_ENCODING_ERROR, 0x2f);
  fails("32", c.FRAME_ENCODING_ERROR, 0x32);
  fails("40ae 00 00 00 00", c.FRAME_ENCODING_ERROR, 0xae);
  fails("40af 00 00 00", c.FRAME_ENCODING_ERROR, 0xaf);
  fails("40af 00 00 00 00", c.PROTOCOL_VIOLATION, 0xaf, c.PACKET_ZERO_RTT);
  fails("1f", c.PROTOCOL_VIOLATION, 0x1f, c.PACKET_HANDSHAKE);
  fails("80010000", c.FRAME_ENCODING_ERROR, 0x10000);
  fails("ffffffffffffffff", c.FRAME_ENCODING_ERROR, 0);
  fails("01 21", c.FRAME_ENCODING_ERROR, 0x21);
  // In every packet type, whatever else is wrong.
  for (const packet of [c.PACKET_INITIAL, c.PACKET_HANDSHAKE, c.PACKET_ZERO_RTT] as const) {
    fails("21", c.FRAME_ENCODING_ERROR, 0x21, packet);
  }
});

test("frame types must be in their shortest form", () => {
  // rfc9000#12.4 MAY treat a frame type that uses a longer encoding than necessary as PROTOCOL_VIOLATION
  fails("4001", c.PROTOCOL_VIOLATION, 1);
  fails("80000001", c.PROTOCOL_VIOLATION, 1);
  fails("c000000000000001", c.PROTOCOL_VIOLATION, 1);
  fails("4000", c.PROTOCOL_VIOLATION, 0);
  fails("4008 04 aa", c.PROTOCOL_VIOLATION, 8);
  // Cut off within the type.
  fails("40", c.FRAME_ENCODING_ERROR, 0);
  fails("01 c00000", c.FRAME_ENCODING_ERROR, 0);
});

test("every frame cut off at every byte is a FRAME_ENCODING_ERROR", () => {
  // rfc9000#20.1 FRAME_ENCODING_ERROR: a frame that was badly formatted
  for (const [type, text] of FRAMES) {
    const bytes = text.replaceAll(" ", "");
    for (let end = 2; end < bytes.length; end += 2) {
      fails(bytes.slice(0, end), c.FRAME_ENCODING_ERROR, type);
      fails(`01${bytes.slice(0, end)}`, c.FRAME_ENCODING_ERROR, type);
    }
  }
  fails("08", c.FRAME_ENCODING_ERROR, 8);
  fails("0c 04", c.FRAME_ENCODING_ERROR, 0x0c);
});

test("frames in packets that may not carry them are a PROTOCOL_VIOLATION", () => {
  // rfc9000#12.4 table 3; MUST treat receipt of a frame in a packet type that is not permitted as PROTOCOL_VIOLATION
  // rfc9000#12.5 all other frame types MUST only be sent in the application data packet number space
  const everywhere = [c.FRAME_PADDING, c.FRAME_PING, c.FRAME_CONNECTION_CLOSE];
  const notInZeroRtt = [
    c.FRAME_ACK,
    c.FRAME_ACK_ECN,
    c.FRAME_CRYPTO,
    c.FRAME_NEW_TOKEN,
    c.FRAME_PATH_RESPONSE,
    c.FRAME_HANDSHAKE_DONE,
  ];
  const inHandshake = [...everywhere, c.FRAME_ACK, c.FRAME_ACK_ECN, c.FRAME_CRYPTO];
  for (const [type, text] of FRAMES) {
    for (const packet of [
      c.PACKET_INITIAL,
      c.PACKET_HANDSHAKE,
      c.PACKET_ZERO_RTT,
      c.PACKET_ONE_RTT,
    ] as const) {
      const allowed =
        packet === c.PACKET_ONE_RTT ||
        (packet === c.PACKET_ZERO_RTT ? !notInZeroRtt.includes(type) : inHandshake.includes(type));
      const bytes = fromHex(text.replaceAll(" ", ""));
      if (allowed) parseFrames(bytes, 0, bytes.length, packet, new Recorder());
      else fails(text, c.PROTOCOL_VIOLATION, type, packet);
    }
    // rfc9000#12.4 Version Negotiation and Retry packets do not contain frames
    if (type !== c.FRAME_PADDING) fails(text, c.PROTOCOL_VIOLATION, type, c.PACKET_RETRY);
  }
  fails("08 04 aa", c.PROTOCOL_VIOLATION, 8, c.PACKET_INITIAL);
  fails("30 aa", c.PROTOCOL_VIOLATION, c.FRAME_DATAGRAM, c.PACKET_HANDSHAKE);
});

test("ACK ranges below zero are a FRAME_ENCODING_ERROR", () => {
  // rfc9000#19.3.1 if any computed packet number is negative, MUST generate FRAME_ENCODING_ERROR
  fails("02 05 00 00 06", c.FRAME_ENCODING_ERROR, 2);
  fails("02 05 00 01 00 04 00", c.FRAME_ENCODING_ERROR, 2);
  fails("02 05 00 01 00 03 01", c.FRAME_ENCODING_ERROR, 2);
  fails("02 05 00 01 05 00 00", c.FRAME_ENCODING_ERROR, 2);
  fails("02 05 00 01 00 00 c020000000000000", c.FRAME_ENCODING_ERROR, 2);
  fails("03 05 00 01 00 ffffffffffffffff ffffffffffffffff 00 00 00", c.FRAME_ENCODING_ERROR, 3);
  const visitor = new Recorder();
  const edge = fromHex("0205000100" + "0300");
  parseFrames(edge, 0, edge.length, c.PACKET_ONE_RTT, visitor);
  assert.deepEqual(visitor.calls, [["ack", 5, 0, [5, 5, 0, 0], null]]);
});

test("ACK range counts that the frame cannot hold", () => {
  for (const count of ["03", "4100", "80010000", "bfffffff", "ffffffffffffffff"]) {
    fails(`02 05 00 ${count} 00 00 00`, c.FRAME_ENCODING_ERROR, 2);
  }
  // Announced and present, but more than any packet honestly carries.
  const ranges = "0000".repeat(40_000);
  fails(`02 bfffffff 00 80009c40 00 ${ranges}`, c.FRAME_ENCODING_ERROR, 2);
});

test("an acknowledgment of a number beyond 2^53", () => {
  // rfc9000#13.1 SHOULD treat receipt of an acknowledgment for a packet it did not send as PROTOCOL_VIOLATION
  fails("02 c020000000000000 00 00 00", c.PROTOCOL_VIOLATION, 2);
});

test("stream offsets beyond what exists", () => {
  // rfc9000#19.8 the largest offset cannot exceed 2^62-1: MUST be FRAME_ENCODING_ERROR or FLOW_CONTROL_ERROR
  fails("0e 04 ffffffffffffffff 01 aa", c.FRAME_ENCODING_ERROR, 0x0e);
  fails("0c 04 ffffffffffffffff aa", c.FRAME_ENCODING_ERROR, 0x0c);
  // Valid there, but beyond any window of ours: rfc9000#4.1
  fails("0e 04 ffffffffffffffff 00", c.FLOW_CONTROL_ERROR, 0x0e);
  fails("0e 04 fffffffffffffffe 01 aa", c.FLOW_CONTROL_ERROR, 0x0e);
  fails("0f 04 c01fffffffffffff 01 aa", c.FLOW_CONTROL_ERROR, 0x0f);
  // rfc9000#19.6 FRAME_ENCODING_ERROR or CRYPTO_BUFFER_EXCEEDED
  fails("06 ffffffffffffffff 01 aa", c.FRAME_ENCODING_ERROR, 6);
  fails("06 fffffffffffffffe 01 aa", c.CRYPTO_BUFFER_EXCEEDED, 6);
  fails("06 c01fffffffffffff 01 aa", c.CRYPTO_BUFFER_EXCEEDED, 6);
  // rfc9000#4.5 final sizes are subject to flow control like data
  fails("04 04 00 c020000000000000", c.FLOW_CONTROL_ERROR, 4);
});

test("lengths beyond the packet", () => {
  for (const length of ["03", "7fff", "bfffffff", "c01fffffffffffff", "ffffffffffffffff"]) {
    fails(`0a 04 ${length} aabb`, c.FRAME_ENCODING_ERROR, 0x0a);
    fails(`06 00 ${length} aabb`, c.FRAME_ENCODING_ERROR, 6);
    fails(`07 ${length} aabb`, c.FRAME_ENCODING_ERROR, 7);
    fails(`31 ${length} aabb`, c.FRAME_ENCODING_ERROR, 0x31);
    fails(`1c 00 00 ${length} 6869`, c.FRAME_ENCODING_ERROR, 0x1c);
    fails(`1d 00 ${length} 6869`, c.FRAME_ENCODING_ERROR, 0x1d);
  }
});

test("stream IDs beyond 2^53", () => {
  // rfc9000#4.6 a stream ID exceeding the limit it has sent MUST be treated as STREAM_LIMIT_ERROR
  const id = "c020000000000000";
  fails(`0a ${id} 01 aa`, c.STREAM_LIMIT_ERROR, 0x0a);
  fails(`04 ${id} 00 00`, c.STREAM_LIMIT_ERROR, 4);
  fails(`05 ${id} 00`, c.STREAM_LIMIT_ERROR, 5);
  fails(`11 ${id} 00`, c.STREAM_LIMIT_ERROR, 0x11);
  fails(`15 ${id} 00`, c.STREAM_LIMIT_ERROR, 0x15);
});

test("more than 2^60 streams", () => {
  // rfc9000#19.11 MUST be treated as a connection error of type FRAME_ENCODING_ERROR
  // rfc9000#19.14 MUST be treated as a connection error of type STREAM_LIMIT_ERROR or FRAME_ENCODING_ERROR
  for (const type of [0x12, 0x13, 0x16, 0x17]) {
    fails(`${type.toString(16)} d000000000000001`, c.FRAME_ENCODING_ERROR, type);
    fails(`${type.toString(16)} ffffffffffffffff`, c.FRAME_ENCODING_ERROR, type);
  }
});

test("an empty NEW_TOKEN", () => {
  // rfc9000#19.7 MUST treat receipt of a NEW_TOKEN frame with an empty Token field as FRAME_ENCODING_ERROR
  fails("07 00", c.FRAME_ENCODING_ERROR, 7);
});

test("NEW_CONNECTION_ID with impossible fields", () => {
  // rfc9000#19.15 values less than 1 and greater than 20 are invalid and MUST be treated as FRAME_ENCODING_ERROR
  fails(`18 01 00 00 ${TOKEN}`, c.FRAME_ENCODING_ERROR, 0x18);
  fails(`18 01 00 15 ${"aa".repeat(21)} ${TOKEN}`, c.FRAME_ENCODING_ERROR, 0x18);
  fails(`18 01 00 ff ${"aa".repeat(255)} ${TOKEN}`, c.FRAME_ENCODING_ERROR, 0x18);
  // rfc9000#19.15 a Retire Prior To greater than the Sequence Number MUST be treated as FRAME_ENCODING_ERROR
  fails(`18 01 02 04 aabbccdd ${TOKEN}`, c.FRAME_ENCODING_ERROR, 0x18);
  fails(`18 01 ffffffffffffffff 04 aabbccdd ${TOKEN}`, c.FRAME_ENCODING_ERROR, 0x18);
  fails(`18 fffffffffffffffe ffffffffffffffff 04 aabbccdd ${TOKEN}`, c.FRAME_ENCODING_ERROR, 0x18);
  // Sequence numbers count up from 0 one by one: rfc9000#5.1.1
  fails(`18 ffffffffffffffff fffffffffffffffe 04 aabbccdd ${TOKEN}`, c.CONNECTION_ID_LIMIT_ERROR, 0x18);
  for (const length of [1, 20]) {
    const bytes = fromHex(`180100${length.toString(16).padStart(2, "0")}${"aa".repeat(length)}${TOKEN}`);
    parseFrames(bytes, 0, bytes.length, c.PACKET_ONE_RTT, new Recorder());
  }
});

test("RETIRE_CONNECTION_ID of a number never issued", () => {
  // rfc9000#19.16 greater than any previously sent to the peer MUST be treated as PROTOCOL_VIOLATION
  fails("19 ffffffffffffffff", c.PROTOCOL_VIOLATION, 0x19);
});

test("frames before the malformed one were delivered", () => {
  const bytes = fromHex("010a0401aa21");
  const visitor = new Recorder();
  assert.throws(() => parseFrames(bytes, 0, bytes.length, c.PACKET_ONE_RTT, visitor), TransportError);
  assert.deepEqual(visitor.calls, [["ping"], ["stream", 4, 0, false, "aa"]]);
});
