import assert from "node:assert/strict";
import { test } from "node:test";
import { H3_ERROR, h3ErrorName, isReserved, meaningOf } from "../../http3/errors.ts";
import * as frames from "../../http3/frames.ts";
import { FrameReader, type FrameReaderOptions } from "../../http3/frame-reader.ts";
import { CONTROL_FRAME_SIZE, IDLE_FRAMES, SETTINGS_FRAME_SIZE } from "../../http3/limits.ts";
import { encodeVarint, TOO_BIG, VarintReader, varintLength } from "../../http3/varint.ts";
import { Prng } from "../fuzz/harness.ts";
import { bytes, concat, connectionError, hex, streamError, text } from "./helpers.ts";

const { FRAME, encodeFrame, placement } = frames;

/** What a reader says of bytes in pieces of a size: frames as `type:payload`, DATA put together. */
function read(input: Uint8Array, options: FrameReaderOptions, size = input.length || 1): string[] {
  const reader = new FrameReader(options);
  const said: string[] = [];
  let data: string | null = null;
  const flush = () => {
    if (data !== null) said.push(`data:${data}`);
    data = null;
  };
  for (let at = 0; at < input.length; at += size) {
    reader.push(input.slice(at, at + size));
    for (let event = reader.next(); event !== null; event = reader.next()) {
      if (event === "data") {
        data = (data ?? "") + text(reader.payload);
        if (reader.left === 0) flush();
      } else {
        said.push(`${event}:${reader.type.toString(16)}:${hex(reader.payload)}`);
        if (event === "takeover") {
          said.push(hex(reader.rest()));
          return said;
        }
      }
    }
  }
  reader.end();
  return said;
}

/** The payload of a whole frame. */
function payloadOf(frame: Uint8Array): Uint8Array {
  const reader = new VarintReader(frame);
  reader.next();
  assert.equal(reader.next(), reader.left);
  return reader.rest();
}

const request: FrameReaderOptions = { stream: "request", receiver: "server" };
const response: FrameReaderOptions = { stream: "request", receiver: "client" };
const pushed: FrameReaderOptions = { stream: "push", receiver: "client" };
const toServer: FrameReaderOptions = { stream: "control", receiver: "server" };
const toClient: FrameReaderOptions = { stream: "control", receiver: "client" };

const HEADERS = encodeFrame(FRAME.HEADERS, bytes("0000d1"));
const DATA = encodeFrame(FRAME.DATA, Buffer.from("hello"));
const SETTINGS = encodeFrame(FRAME.SETTINGS);
/** 0x21 and 0x40, with payloads. */
const GREASE = concat(encodeFrame(0x21, bytes("0102030405")), encodeFrame(0x40));

test("varints of every size", () => {
  const prng = new Prng(9114);
  const edges = [0, 63, 64, 16383, 16384, 2 ** 30 - 1, 2 ** 30, 2 ** 32, 2 ** 53 - 1];
  for (let i = 0; i < 2000; i++) {
    const value = i < edges.length ? edges[i]! : Number(prng.varint() & ((1n << 53n) - 1n));
    const encoded = encodeVarint(value);
    assert.equal(encoded.length, varintLength(value));
    const reader = new VarintReader(encoded);
    assert.equal(reader.next(), value);
    assert.equal(reader.left, 0);
    assert.equal(new VarintReader(encoded.subarray(0, -1)).next(), -1);
  }
  assert.equal(new VarintReader(bytes("c020000000000000")).next(), TOO_BIG);
  assert.equal(new VarintReader(bytes("ffffffffffffffff")).next(), TOO_BIG);
});

test("frames in pieces of any size", () => {
  const whole = concat(HEADERS, GREASE, DATA, encodeFrame(FRAME.DATA), DATA, GREASE, HEADERS);
  const expected = ["frame:1:0000d1", "data:hello", "data:", "data:hello", "frame:1:0000d1"];
  for (let size = 1; size <= whole.length; size++) assert.deepEqual(read(whole, request, size), expected);
});

test("DATA is passed through, not copied and not held", () => {
  const reader = new FrameReader(request);
  const piece = concat(
    encodeFrame(FRAME.HEADERS),
    encodeFrame(FRAME.DATA, new Uint8Array(1000)).subarray(0, 400),
  );
  reader.push(piece);
  assert.equal(reader.next(), "frame");
  assert.equal(reader.next(), "data");
  assert.equal(reader.payload.buffer, piece.buffer);
  assert.equal(reader.payload.length + reader.left, 1000);
  assert.equal(reader.next(), null);
  // A length without end is a tunnel's.
  const tunnel = new FrameReader(request);
  tunnel.push(bytes("00 ffffffffffffffff 010203"));
  assert.equal(tunnel.next(), "data");
  assert.equal(tunnel.payload.length, 3);
  assert.equal(tunnel.left, Infinity);
});

test("reading can stop between frames and go on later", () => {
  const reader = new FrameReader(request);
  reader.push(concat(HEADERS, DATA));
  assert.equal(reader.next(), "frame");
  // More is pushed before the rest was read.
  reader.push(HEADERS);
  assert.equal(reader.next(), "data");
  assert.equal(reader.next(), "frame");
  assert.equal(reader.next(), null);
  reader.end();
});

test("where frames may stand", () => {
  // rfc9114#7, table 1; T takes, S skips, U is H3_FRAME_UNEXPECTED. Client: control, request, push. Server: control, request.
  const table: readonly [number, string][] = [
    [FRAME.DATA, "UTT UT"],
    [FRAME.HEADERS, "UTT UT"],
    [FRAME.CANCEL_PUSH, "TUU TU"],
    [FRAME.SETTINGS, "UUU UU"],
    [FRAME.PUSH_PROMISE, "UTU UU"],
    [FRAME.GOAWAY, "TUU TU"],
    [FRAME.MAX_PUSH_ID, "UUU TU"],
    [FRAME.ORIGIN, "TSS SS"],
    [FRAME.PRIORITY_UPDATE, "UUU TU"],
    [FRAME.PRIORITY_UPDATE_PUSH, "UUU TU"],
    // HTTP/2's PRIORITY, PING, WINDOW_UPDATE, CONTINUATION.
    [0x02, "UUU UU"],
    [0x06, "UUU UU"],
    [0x08, "UUU UU"],
    [0x09, "UUU UU"],
    // Reserved and unknown.
    [0x21, "SSS SS"],
    [0x1f * 1000 + 0x21, "SSS SS"],
    [0x0a, "SSS SS"],
    [TOO_BIG, "SSS SS"],
  ];
  for (const [type, row] of table) {
    const letters = (["client", "server"] as const).map((receiver) =>
      (["control", "request", "push"] as const)
        .slice(0, receiver === "client" ? 3 : 2)
        .map(
          (stream) => ({ take: "T", skip: "S" })[placement(type, stream, receiver, false) as "take"] ?? "U",
        )
        .join(""),
    );
    assert.equal(letters.join(" "), row, frames.frameName(type));
  }
});

test("rfc9114#7.2.1 If a DATA frame is received on a control stream, the recipient MUST respond with a connection error of type H3_FRAME_UNEXPECTED", () => {
  connectionError("H3_FRAME_UNEXPECTED", () => read(concat(SETTINGS, DATA), toServer));
  connectionError("H3_FRAME_UNEXPECTED", () => read(concat(SETTINGS, DATA), toClient));
});

test("rfc9114#7.2.2 If a HEADERS frame is received on a control stream, the recipient MUST respond with a connection error of type H3_FRAME_UNEXPECTED", () => {
  connectionError("H3_FRAME_UNEXPECTED", () => read(concat(SETTINGS, HEADERS), toServer));
});

test("rfc9114#7.2.3 Receiving a CANCEL_PUSH frame on a stream other than the control stream MUST be treated as a connection error of type H3_FRAME_UNEXPECTED", () => {
  const frame = frames.encodeIdFrame(FRAME.CANCEL_PUSH, 0);
  for (const options of [request, response, pushed])
    connectionError("H3_FRAME_UNEXPECTED", () => read(frame, options));
});

test("rfc9114#7.2.4 If an endpoint receives a second SETTINGS frame on the control stream, or one on a different stream, the endpoint MUST respond with a connection error of type H3_FRAME_UNEXPECTED", () => {
  connectionError("H3_FRAME_UNEXPECTED", () => read(concat(SETTINGS, SETTINGS), toClient));
  for (const options of [request, response, pushed]) {
    connectionError("H3_FRAME_UNEXPECTED", () => read(SETTINGS, options));
  }
});

test("rfc9114#6.2.1 If the first frame of the control stream is any other frame type, this MUST be treated as a connection error of type H3_MISSING_SETTINGS", () => {
  for (const first of [frames.encodeIdFrame(FRAME.GOAWAY, 0), GREASE, DATA, encodeFrame(0x99)]) {
    connectionError("H3_MISSING_SETTINGS", () => read(concat(first, SETTINGS), toClient));
    connectionError("H3_MISSING_SETTINGS", () => read(concat(first, SETTINGS), toServer));
  }
  assert.deepEqual(read(concat(SETTINGS, GREASE), toServer), ["frame:4:"]);
});

test("rfc9114#7.2.5 A server MUST treat the receipt of a PUSH_PROMISE frame as a connection error of type H3_FRAME_UNEXPECTED; so the client on the control stream", () => {
  const promise = frames.encodePushPromise(0, bytes("0000d1"));
  connectionError("H3_FRAME_UNEXPECTED", () => read(promise, request));
  connectionError("H3_FRAME_UNEXPECTED", () => read(concat(SETTINGS, promise), toClient));
  // rfc9114#4.1 a pushed response that includes PUSH_PROMISE frames MUST be treated as H3_FRAME_UNEXPECTED.
  connectionError("H3_FRAME_UNEXPECTED", () => read(promise, pushed));
  assert.deepEqual(read(promise, response), ["frame:5:000000d1"]);
});

test("rfc9114#7.2.7 A client MUST treat the receipt of a MAX_PUSH_ID frame as H3_FRAME_UNEXPECTED; receipt on any other stream too", () => {
  const frame = frames.encodeIdFrame(FRAME.MAX_PUSH_ID, 1);
  connectionError("H3_FRAME_UNEXPECTED", () => read(concat(SETTINGS, frame), toClient));
  for (const options of [request, response, pushed])
    connectionError("H3_FRAME_UNEXPECTED", () => read(frame, options));
  assert.deepEqual(read(concat(SETTINGS, frame), toServer), ["frame:4:", "frame:d:01"]);
});

test("rfc9218#7.2 Receiving a PRIORITY_UPDATE frame on a stream other than the client control stream MUST be treated as H3_FRAME_UNEXPECTED", () => {
  for (const type of [FRAME.PRIORITY_UPDATE, FRAME.PRIORITY_UPDATE_PUSH]) {
    const frame = frames.encodePriorityUpdate(type, 0, "u=1");
    connectionError("H3_FRAME_UNEXPECTED", () => read(concat(SETTINGS, frame), toClient));
    for (const options of [request, response])
      connectionError("H3_FRAME_UNEXPECTED", () => read(frame, options));
  }
});

test("rfc9114#7.2.8 These frame types MUST NOT be sent, and their receipt MUST be treated as a connection error of type H3_FRAME_UNEXPECTED", () => {
  for (const type of [0x02, 0x06, 0x08, 0x09]) {
    connectionError("H3_FRAME_UNEXPECTED", () => read(encodeFrame(type), request));
    connectionError("H3_FRAME_UNEXPECTED", () => read(concat(SETTINGS, encodeFrame(type)), toServer));
  }
});

test("rfc9114#7.1 When a stream terminates cleanly, if the last frame on the stream was truncated, this MUST be treated as a connection error of type H3_FRAME_ERROR", () => {
  for (const frame of [HEADERS, DATA, GREASE]) {
    for (let length = 1; length < frame.length; length++) {
      // The first frame of GREASE is whole after seven bytes.
      if (frame === GREASE && length === 7) continue;
      connectionError(
        "H3_FRAME_ERROR",
        () => read(frame.subarray(0, length), request),
        `${hex(frame)} ${length}`,
      );
    }
  }
});

test("rfc9114#7.1 A frame payload that contains additional bytes after the identified fields or that terminates before the end of the identified fields MUST be treated as H3_FRAME_ERROR", () => {
  for (const type of [FRAME.GOAWAY, FRAME.MAX_PUSH_ID, FRAME.CANCEL_PUSH]) {
    // rfc9114#10.8 An implementation MUST ensure that the length of a frame exactly matches the length of its fields.
    for (const payload of ["", "0000", "40", "c0000000000000", "c00000000000000000"]) {
      connectionError(
        "H3_FRAME_ERROR",
        () => {
          read(concat(SETTINGS, encodeFrame(type, bytes(payload))), toServer);
          frames.decodeId(type, bytes(payload));
        },
        `${type} ${payload}`,
      );
    }
    assert.equal(frames.decodeId(type, bytes("4001")), 1, "a long encoding is allowed");
  }
  connectionError("H3_FRAME_ERROR", () => frames.decodePushPromise(bytes("")));
  connectionError("H3_FRAME_ERROR", () => frames.decodePushPromise(bytes("80")));
  connectionError("H3_FRAME_ERROR", () => frames.decodePriorityUpdate(FRAME.PRIORITY_UPDATE, bytes("c0")));
  connectionError("H3_FRAME_ERROR", () => frames.decodeOrigin(bytes("00")));
  connectionError("H3_FRAME_ERROR", () => frames.decodeOrigin(bytes("000161 000261")));
});

test("payloads come back", () => {
  assert.deepEqual(frames.decodePushPromise(bytes("4321 0000d1")), {
    pushId: 0x321,
    section: bytes("0000d1"),
  });
  const update = frames.encodePriorityUpdate(FRAME.PRIORITY_UPDATE, 4, "u=1, i");
  assert.equal(hex(update), "800f0700" + "07" + "04" + Buffer.from("u=1, i").toString("hex"));
  assert.deepEqual(frames.decodePriorityUpdate(FRAME.PRIORITY_UPDATE, update.subarray(5)), {
    id: 4,
    value: "u=1, i",
  });
  const origins = ["https://example.com", "https://example.org:8443", "https://[2001:db8::1]"];
  const origin = frames.encodeOrigin(origins);
  assert.deepEqual(read(concat(SETTINGS, origin), toClient).length, 2);
  assert.deepEqual(frames.decodeOrigin(payloadOf(origin)), origins);
});

test("rfc8336#2.1 Each ASCII-Origin field MUST be parsed as an ASCII serialisation of an origin. If parsing fails, the field MUST be ignored", () => {
  const bad = [
    "",
    "null",
    "https://",
    "https://a/b",
    "HTTPS://a",
    "https://a b",
    "https://a:123456",
    "a",
    "https://\xe9",
  ];
  const payload = (list: readonly string[]) => payloadOf(frames.encodeOrigin(list));
  assert.deepEqual(frames.decodeOrigin(payload(["https://a", ...bad, "https://b"])), [
    "https://a",
    "https://b",
  ]);
  assert.deepEqual(frames.decodeOrigin(payload([])), []);
  // Elsewhere and at servers the frame is ignored.
  assert.deepEqual(read(concat(HEADERS, frames.encodeOrigin(["https://a"])), response), ["frame:1:0000d1"]);
  assert.deepEqual(read(concat(SETTINGS, frames.encodeOrigin(["https://a"])), toServer), ["frame:4:"]);
});

test("frames larger than their limits are refused before they come", () => {
  streamError("H3_EXCESSIVE_LOAD", () => read(frames.frameHeader(FRAME.HEADERS, 65537), request));
  streamError("H3_EXCESSIVE_LOAD", () => read(bytes("01 ffffffffffffffff"), request));
  streamError("H3_EXCESSIVE_LOAD", () =>
    read(frames.frameHeader(FRAME.HEADERS, 101), { ...request, maxFieldSection: 100 }),
  );
  connectionError("H3_EXCESSIVE_LOAD", () =>
    read(frames.frameHeader(FRAME.SETTINGS, SETTINGS_FRAME_SIZE + 1), toServer),
  );
  connectionError("H3_EXCESSIVE_LOAD", () =>
    read(concat(SETTINGS, frames.frameHeader(FRAME.ORIGIN, CONTROL_FRAME_SIZE + 1)), toClient),
  );
  connectionError("H3_EXCESSIVE_LOAD", () =>
    read(concat(SETTINGS, frames.frameHeader(FRAME.PRIORITY_UPDATE, 2 ** 40)), toServer),
  );
  // What is skipped may have any length.
  const reader = new FrameReader(request);
  reader.push(bytes("21 ffffffffffffffff 01020304"));
  assert.equal(reader.next(), null);
});

test("a flood of frames that say nothing ends the connection", () => {
  for (const frame of [encodeFrame(FRAME.DATA), encodeFrame(0x21), encodeFrame(0x21, new Uint8Array(10))]) {
    const flood = concat(HEADERS, ...new Array<Uint8Array>(IDLE_FRAMES + 1).fill(frame));
    connectionError("H3_EXCESSIVE_LOAD", () => read(flood, request));
    assert.ok(
      read(concat(HEADERS, ...new Array<Uint8Array>(IDLE_FRAMES).fill(frame), DATA, frame), request).length >
        1,
    );
  }
});

test("memory follows what came, not what was announced", () => {
  const before = process.memoryUsage().arrayBuffers;
  const readers = Array.from({ length: 200 }, () => {
    const reader = new FrameReader(request);
    reader.push(concat(frames.frameHeader(FRAME.HEADERS, 65536), new Uint8Array(10)));
    assert.equal(reader.next(), null);
    return reader;
  });
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 200 * 4096, `${grown} bytes for ${readers.length} readers`);
});

test("an extension takes a stream over with its first frame, and no later", () => {
  const takeover = new Set([0x41]);
  const begin = bytes("4041 04 0102");
  for (const size of [1, 2, 3, 10]) {
    const said = read(begin, { ...request, takeover }, size);
    assert.equal(said[0], "takeover:41:");
    assert.ok("040102".startsWith(said[1]!));
  }
  assert.deepEqual(read(concat(HEADERS, bytes("4041 02 0102")), { ...request, takeover }), [
    "frame:1:0000d1",
  ]);
});

test("GOAWAY's largest identifiers", () => {
  // rfc9114#5.2: 2^62-4 for servers, 2^62-1 for clients.
  assert.equal(hex(frames.encodeFinalWarning("server")), "0708fffffffffffffffc");
  assert.equal(hex(frames.encodeFinalWarning("client")), "0708ffffffffffffffff");
  assert.equal(frames.decodeGoawayStream(bytes("fffffffffffffffc")), Infinity);
});

test("error codes have names and meanings", () => {
  assert.equal(h3ErrorName(0x0201), "QPACK_ENCODER_STREAM_ERROR");
  assert.equal(h3ErrorName(0x33), "H3_DATAGRAM_ERROR");
  assert.equal(h3ErrorName(0x21), "reserved 0x21");
  assert.equal(h3ErrorName(0x999), "0x999");
  assert.equal(new Set(Object.values(H3_ERROR)).size, Object.keys(H3_ERROR).length);
  // rfc9114#8 receipt of an unknown error code MUST be treated as equivalent to H3_NO_ERROR.
  assert.equal(meaningOf(0x999), H3_ERROR.H3_NO_ERROR);
  assert.equal(meaningOf(0x21), H3_ERROR.H3_NO_ERROR);
  assert.equal(meaningOf(0x010b), H3_ERROR.H3_REQUEST_REJECTED);
  assert.ok(
    isReserved(0x21) && isReserved(0x40) && !isReserved(0x22) && !isReserved(2) && !isReserved(TOO_BIG),
  );
});
