// SETTINGS, the control stream and the other unidirectional streams.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkPushId,
  ControlStreamReader,
  type ControlEvent,
  type PushIds,
} from "../../http3/control-stream.ts";
import {
  encodeFinalWarning,
  encodeFrame,
  encodeIdFrame,
  encodeOrigin,
  encodePriorityUpdate,
  FRAME,
  type Role,
} from "../../http3/frames.ts";
import {
  checkRemembered,
  compatible,
  decodeSettings,
  DEFAULT_SETTINGS,
  encodeSettings,
  type Settings,
} from "../../http3/settings.ts";
import { checkBidirectional, PeerUniStreams, STREAM_TYPE } from "../../http3/streams.ts";
import { bytes, concat, connectionError, hex } from "./helpers.ts";

const SETTINGS = encodeSettings({});

/** What a control stream says, in pieces of three bytes. */
function events(receiver: Role, frames: readonly Uint8Array[], pushes?: PushIds): ControlEvent[] {
  const reader = new ControlStreamReader(receiver, pushes);
  const all = concat(SETTINGS, ...frames);
  const said: ControlEvent[] = [];
  for (let at = 0; at < all.length; at += 3) {
    reader.push(all.slice(at, at + 3));
    for (let event = reader.next(); event !== null; event = reader.next()) said.push(event);
  }
  assert.equal(said.shift()?.kind, "settings");
  return said;
}

const id = encodeIdFrame;

test("settings come back; defaults are not sent", () => {
  const settings: Settings = {
    maxFieldSectionSize: 65536,
    qpackMaxTableCapacity: 4096,
    qpackBlockedStreams: 100,
    enableConnectProtocol: true,
    h3Datagram: true,
    others: new Map([[0x2b603742, 1]]),
  };
  const frame = encodeSettings(settings, { n: 3, value: 77 });
  const { others, ...named } = decodeSettings(frame.subarray(2));
  const { others: _others, ...expected } = settings;
  assert.deepEqual(named, expected);
  // Reserved ones are unknown ones: they mean nothing.
  assert.deepEqual(
    [...others],
    [
      [0x2b603742, 1],
      [0x1f * 3 + 0x21, 77],
    ],
  );
  assert.equal(hex(encodeSettings({})), "0400");
  assert.equal(hex(encodeSettings(DEFAULT_SETTINGS)), "0400");
  assert.deepEqual(decodeSettings(bytes("")), DEFAULT_SETTINGS);
  assert.equal(decodeSettings(bytes("06 ffffffffffffffff")).maxFieldSectionSize, Infinity);
  assert.throws(() => encodeSettings({ others: new Map([[2, 1]]) }), RangeError);
  assert.throws(() => encodeSettings({ others: new Map([[1, 1]]) }), RangeError);
});

test("rfc9114#7.2.4.1 These reserved settings MUST NOT be sent, and their receipt MUST be treated as a connection error of type H3_SETTINGS_ERROR", () => {
  for (const setting of ["0001", "0201", "0300", "0401", "0500"]) {
    connectionError("H3_SETTINGS_ERROR", () => decodeSettings(bytes(setting)), setting);
  }
});

test("rfc9114#7.2.4 The same setting identifier MUST NOT occur more than once in the SETTINGS frame", () => {
  connectionError("H3_SETTINGS_ERROR", () => decodeSettings(bytes("0110 0110")));
  connectionError("H3_SETTINGS_ERROR", () => decodeSettings(bytes("2101 2102")));
  connectionError("H3_SETTINGS_ERROR", () => decodeSettings(bytes("0610 400611")), "in another encoding");
});

test("rfc9114#7.2.4 An implementation MUST ignore any parameter with an identifier it does not understand", () => {
  assert.equal(decodeSettings(bytes("2101 40403f 7fff00 0105")).qpackMaxTableCapacity, 5);
  // Identifiers that no number here can tell apart are ignored too.
  assert.equal(decodeSettings(bytes("ffffffffffffffff01 fffffffffffffffe01 0105")).qpackMaxTableCapacity, 5);
});

test("rfc9297#2.1.1 a value that is neither 0 nor 1: the receiver MUST terminate the connection with error H3_SETTINGS_ERROR", () => {
  connectionError("H3_SETTINGS_ERROR", () => decodeSettings(bytes("3302")));
  connectionError("H3_SETTINGS_ERROR", () => decodeSettings(bytes("0802")));
  assert.equal(decodeSettings(bytes("3300 0800")).h3Datagram, false);
});

test("settings that are cut short", () => {
  for (const cut of ["01", "0140", "40", "0105 06"])
    connectionError("H3_FRAME_ERROR", () => decodeSettings(bytes(cut)));
});

test("rfc9114#7.2.4.2 If a server accepts 0-RTT but then sends settings that are not compatible with the previously specified settings, this MUST be treated as a connection error of type H3_SETTINGS_ERROR", () => {
  const before: Settings = {
    ...DEFAULT_SETTINGS,
    maxFieldSectionSize: 1000,
    qpackMaxTableCapacity: 4096,
    qpackBlockedStreams: 10,
    enableConnectProtocol: true,
    h3Datagram: true,
  };
  checkRemembered(before, before);
  checkRemembered(before, { ...before, maxFieldSectionSize: Infinity, qpackBlockedStreams: 11 });
  for (const change of [
    { maxFieldSectionSize: 999 },
    { qpackBlockedStreams: 0 },
    { enableConnectProtocol: false },
    { h3Datagram: false },
  ]) {
    connectionError("H3_SETTINGS_ERROR", () => checkRemembered(before, { ...before, ...change }));
    // rfc9114#7.2.4.2 If the server cannot determine that the settings remembered by a client are compatible with its
    // current settings, it MUST NOT accept 0-RTT data.
    assert.equal(compatible(before, { ...before, ...change }), false);
  }
  // A setting that is omitted has its default.
  connectionError("H3_SETTINGS_ERROR", () => checkRemembered(before, decodeSettings(bytes("0110"))));
  assert.equal(compatible(before, before), true);
  assert.equal(compatible(before, { ...before, qpackMaxTableCapacity: 8192 }), false);
  assert.equal(compatible(DEFAULT_SETTINGS, before), false, "a field section may be limited now");
  assert.equal(compatible({ ...DEFAULT_SETTINGS, maxFieldSectionSize: 1000 }, before), true);
});

test("a client hears of GOAWAY, CANCEL_PUSH and ORIGIN", () => {
  const pushes = { max: 5, promised: () => true };
  assert.deepEqual(
    events(
      "client",
      [
        encodeFinalWarning("server"),
        id(FRAME.GOAWAY, 8),
        encodeFrame(0x21),
        id(FRAME.CANCEL_PUSH, 5),
        encodeOrigin(["https://a"]),
      ],
      pushes,
    ),
    [
      { kind: "goaway", id: Infinity },
      { kind: "goaway", id: 8 },
      { kind: "cancel-push", id: 5 },
      { kind: "origin", origins: ["https://a"] },
    ],
  );
});

test("a server hears of GOAWAY, MAX_PUSH_ID, CANCEL_PUSH and PRIORITY_UPDATE", () => {
  const pushes = { max: 9, promised: (push: number) => push === 3 };
  assert.deepEqual(
    events(
      "server",
      [
        id(FRAME.MAX_PUSH_ID, 9),
        id(FRAME.MAX_PUSH_ID, 9),
        id(FRAME.CANCEL_PUSH, 3),
        encodePriorityUpdate(FRAME.PRIORITY_UPDATE, 8, "u=2"),
        encodePriorityUpdate(FRAME.PRIORITY_UPDATE_PUSH, 3, ""),
        id(FRAME.GOAWAY, 3),
      ],
      pushes,
    ),
    [
      { kind: "max-push-id", id: 9 },
      { kind: "max-push-id", id: 9 },
      { kind: "cancel-push", id: 3 },
      { kind: "priority-update", target: "request", id: 8, value: "u=2" },
      { kind: "priority-update", target: "push", id: 3, value: "" },
      { kind: "goaway", id: 3 },
    ],
  );
});

test("rfc9114#5.2 Receiving a GOAWAY containing a larger identifier than previously received MUST be treated as a connection error of type H3_ID_ERROR", () => {
  connectionError("H3_ID_ERROR", () => events("client", [id(FRAME.GOAWAY, 8), id(FRAME.GOAWAY, 12)]));
  connectionError("H3_ID_ERROR", () => events("server", [id(FRAME.GOAWAY, 0), id(FRAME.GOAWAY, 1)]));
  assert.equal(events("client", [id(FRAME.GOAWAY, 8), id(FRAME.GOAWAY, 8), id(FRAME.GOAWAY, 4)]).length, 3);
});

test("rfc9114#7.2.6 A client MUST treat receipt of a GOAWAY frame containing a stream ID of any other type as a connection error of type H3_ID_ERROR", () => {
  for (const stream of [1, 2, 3, 4097])
    connectionError("H3_ID_ERROR", () => events("client", [id(FRAME.GOAWAY, stream)]));
  connectionError("H3_ID_ERROR", () => events("client", [encodeFinalWarning("client")]));
  // A server's is a push ID, and any number.
  assert.equal(events("server", [id(FRAME.GOAWAY, 3)]).length, 1);
});

test("rfc9114#7.2.7 receipt of a MAX_PUSH_ID frame that contains a smaller value than previously received MUST be treated as a connection error of type H3_ID_ERROR", () => {
  connectionError("H3_ID_ERROR", () =>
    events("server", [id(FRAME.MAX_PUSH_ID, 5), id(FRAME.MAX_PUSH_ID, 4)]),
  );
});

test("rfc9114#7.2.3 If a CANCEL_PUSH frame is received that references a push ID greater than currently allowed on the connection, this MUST be treated as a connection error of type H3_ID_ERROR", () => {
  connectionError("H3_ID_ERROR", () => events("client", [id(FRAME.CANCEL_PUSH, 0)]));
  connectionError("H3_ID_ERROR", () =>
    events("client", [id(FRAME.CANCEL_PUSH, 6)], { max: 5, promised: () => true }),
  );
  // If a server receives a CANCEL_PUSH frame for a push ID that has not yet been mentioned by a PUSH_PROMISE frame, this
  // MUST be treated as a connection error of type H3_ID_ERROR. rfc9114#7.2.3
  connectionError("H3_ID_ERROR", () =>
    events("server", [id(FRAME.CANCEL_PUSH, 2)], { max: 5, promised: () => false }),
  );
});

test("rfc9218#7.2 a PRIORITY_UPDATE with a push ID that is greater than the maximum push ID or that has not yet been promised MUST be treated as H3_ID_ERROR", () => {
  const update = (push: number) => encodePriorityUpdate(FRAME.PRIORITY_UPDATE_PUSH, push, "u=1");
  const pushes = { max: 5, promised: (push: number) => push < 2 };
  connectionError("H3_ID_ERROR", () => events("server", [update(6)], pushes));
  connectionError("H3_ID_ERROR", () => events("server", [update(2)], pushes));
  // rfc9218#7.2 for a stream ID that is not a request stream, this MUST be treated as a connection error of type H3_ID_ERROR
  for (const stream of [1, 2, 3]) {
    connectionError("H3_ID_ERROR", () =>
      events("server", [encodePriorityUpdate(FRAME.PRIORITY_UPDATE, stream, "")]),
    );
  }
});

test("rfc9114#4.6 A client MUST treat receipt of a push stream as H3_ID_ERROR when no MAX_PUSH_ID frame has been sent or when the push ID is greater than the maximum", () => {
  connectionError("H3_ID_ERROR", () => checkPushId(FRAME.PUSH_PROMISE, 0, -1));
  // rfc9114#7.2.5 A client MUST treat receipt of a PUSH_PROMISE frame that contains a larger push ID than the client has
  // advertised as a connection error of H3_ID_ERROR.
  connectionError("H3_ID_ERROR", () => checkPushId(FRAME.PUSH_PROMISE, 4, 3));
  checkPushId(FRAME.PUSH_PROMISE, 3, 3);
});

test("rfc9114#6.2.1 receipt of a second stream claiming to be a control stream MUST be treated as a connection error of type H3_STREAM_CREATION_ERROR", () => {
  // rfc9204#4.2 Receipt of a second instance of either stream type MUST be treated as H3_STREAM_CREATION_ERROR.
  for (const type of [STREAM_TYPE.CONTROL, STREAM_TYPE.QPACK_ENCODER, STREAM_TYPE.QPACK_DECODER]) {
    const streams = new PeerUniStreams("server");
    const kind = streams.opened(type);
    assert.ok(streams.has(kind));
    connectionError("H3_STREAM_CREATION_ERROR", () => streams.opened(type));
  }
});

test("rfc9114#6.2.2 if a server receives a client-initiated push stream, this MUST be treated as a connection error of type H3_STREAM_CREATION_ERROR", () => {
  connectionError("H3_STREAM_CREATION_ERROR", () => new PeerUniStreams("server").opened(STREAM_TYPE.PUSH));
  const client = new PeerUniStreams("client");
  assert.equal(client.opened(STREAM_TYPE.PUSH), "push");
  assert.equal(client.opened(STREAM_TYPE.PUSH), "push");
});

test("rfc9114#6.2 The recipient MUST NOT consider unknown stream types to be a connection error of any kind", () => {
  const streams = new PeerUniStreams("client");
  for (const type of [4, 0x21, 0x21, 0x54, Infinity]) assert.equal(streams.opened(type), "unknown");
  PeerUniStreams.closed("unknown");
  PeerUniStreams.closed("push");
});

test("rfc9114#6.2.1 If either control stream is closed at any point, this MUST be treated as a connection error of type H3_CLOSED_CRITICAL_STREAM", () => {
  // rfc9204#4.2 Closure of either unidirectional stream type MUST be treated as H3_CLOSED_CRITICAL_STREAM.
  for (const kind of ["control", "qpack-encoder", "qpack-decoder"] as const) {
    connectionError("H3_CLOSED_CRITICAL_STREAM", () => PeerUniStreams.closed(kind));
  }
});

test("rfc9114#6.1 Clients MUST treat receipt of a server-initiated bidirectional stream as a connection error of type H3_STREAM_CREATION_ERROR unless such an extension has been negotiated", () => {
  connectionError("H3_STREAM_CREATION_ERROR", () => checkBidirectional("client"));
  checkBidirectional("client", true);
  checkBidirectional("server");
});
