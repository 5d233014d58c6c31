// A peer that misbehaves, on a raw connection: each MUST of RFC 9114 and RFC 9204 that names an error.
import assert from "node:assert/strict";
import { test } from "node:test";
import { H3_ERROR, Http3ConnectionError, Http3StreamError, type H3ErrorName } from "../../http3/errors.ts";
import {
  encodeFrame,
  encodeIdFrame,
  encodePriorityUpdate,
  encodePushPromise,
  FRAME,
} from "../../http3/frames.ts";
import { encodeVarint } from "../../http3/varint.ts";
import { noUnhandledRejections, turns, until } from "../integration/pair.ts";
import { bytes } from "./helpers.ts";
import { field, type RawPeer, rawPair, readAll, streamEnded, utf8 } from "./peers.ts";

noUnhandledRejections();
const timeout = 10_000;
const NONE = new Uint8Array(0);
const CONTROL = 0;
const PUSH = 1;
const ENCODER = 2;
const DECODER = 3;

type Attack = (peer: RawPeer) => Promise<unknown>;

/** What each of them does ends the connection with that code. */
const ATTACKS: readonly [H3ErrorName, "client" | "server", string, Attack][] = [
  // Streams.
  [
    "H3_STREAM_CREATION_ERROR",
    "client",
    "rfc9114#6.2.1 receipt of a second stream claiming to be a control stream MUST be treated as a connection error of type H3_STREAM_CREATION_ERROR",
    async (peer) => {
      await peer.settings();
      await peer.settings();
    },
  ],
  ...[ENCODER, DECODER].map((type): [H3ErrorName, "client", string, Attack] => [
    "H3_STREAM_CREATION_ERROR",
    "client",
    `rfc9204#4.2 Receipt of a second instance of either stream type MUST be treated as a connection error of type H3_STREAM_CREATION_ERROR: ${type}`,
    async (peer) => {
      await peer.uni(type);
      await peer.uni(type);
    },
  ]),
  [
    "H3_STREAM_CREATION_ERROR",
    "client",
    "rfc9114#6.2.2 if a server receives a client-initiated push stream, this MUST be treated as a connection error of type H3_STREAM_CREATION_ERROR",
    (peer) => peer.uni(PUSH, encodeVarint(0)),
  ],
  [
    "H3_ID_ERROR",
    "server",
    "rfc9114#4.6 A client MUST treat receipt of a push stream as a connection error of type H3_ID_ERROR when no MAX_PUSH_ID frame has been sent",
    (peer) => peer.uni(PUSH, encodeVarint(0)),
  ],
  [
    "H3_STREAM_CREATION_ERROR",
    "server",
    "rfc9114#6.1 Clients MUST treat receipt of a server-initiated bidirectional stream as a connection error of type H3_STREAM_CREATION_ERROR",
    (peer) => peer.request(peer.get()),
  ],
  ...[CONTROL, ENCODER, DECODER].flatMap((type): [H3ErrorName, "client" | "server", string, Attack][] => {
    const what =
      type === CONTROL
        ? "rfc9114#6.2.1 If either control stream is closed at any point, this MUST be treated as a connection error of type H3_CLOSED_CRITICAL_STREAM"
        : `rfc9204#4.2 Closure of either unidirectional stream type MUST be treated as a connection error of type H3_CLOSED_CRITICAL_STREAM: ${type}`;
    const open = (peer: RawPeer) => (type === CONTROL ? peer.settings() : peer.uni(type));
    return [
      [
        "H3_CLOSED_CRITICAL_STREAM",
        "client",
        `${what} (its end)`,
        async (peer) => (await open(peer)).close(),
      ],
      [
        "H3_CLOSED_CRITICAL_STREAM",
        "server",
        `${what} (a reset)`,
        async (peer) => {
          const stream = await open(peer);
          // Its type has to arrive first.
          await stream.drained();
          stream.cancelWrite(0x100);
        },
      ],
    ];
  }),
  [
    "H3_CLOSED_CRITICAL_STREAM",
    "client",
    "rfc9114#6.2.1 the receiver MUST NOT request that the sender close the control stream",
    async (peer) => {
      const stream = await peer.quic.acceptUniStream();
      stream.cancelRead(0x100);
    },
  ],
  // Frames and where they stand.
  [
    "H3_MISSING_SETTINGS",
    "client",
    "rfc9114#6.2.1 If the first frame of the control stream is any other frame type, this MUST be treated as a connection error of type H3_MISSING_SETTINGS",
    (peer) => peer.uni(CONTROL, encodeIdFrame(FRAME.GOAWAY, 0)),
  ],
  [
    "H3_FRAME_UNEXPECTED",
    "client",
    "rfc9114#7.2.4 If an endpoint receives a second SETTINGS frame on the control stream, the endpoint MUST respond with a connection error of type H3_FRAME_UNEXPECTED",
    async (peer) => (await peer.settings()).write(encodeFrame(FRAME.SETTINGS)),
  ],
  ...(
    [
      ["7.2.4", FRAME.SETTINGS, NONE],
      ["7.2.6", FRAME.GOAWAY, encodeVarint(0)],
      ["7.2.3", FRAME.CANCEL_PUSH, encodeVarint(0)],
      ["7.2.7", FRAME.MAX_PUSH_ID, encodeVarint(0)],
      ["7.2.5", FRAME.PUSH_PROMISE, encodeVarint(0)],
      ["7.2.8", 0x02, NONE],
      ["7.2.8", 0x06, NONE],
      ["7.2.8", 0x08, NONE],
      ["7.2.8", 0x09, NONE],
      ["4.1", FRAME.DATA, NONE],
    ] as const
  ).map(([section, type, payload]): [H3ErrorName, "client", string, Attack] => [
    "H3_FRAME_UNEXPECTED",
    "client",
    `rfc9114#${section} on a request stream MUST be a connection error of type H3_FRAME_UNEXPECTED: frame 0x${type.toString(16)}`,
    (peer) => peer.request(encodeFrame(type, payload)),
  ]),
  ...[FRAME.DATA, FRAME.HEADERS, FRAME.PUSH_PROMISE, 0x02, 0x06, 0x08, 0x09].map(
    (type): [H3ErrorName, "client", string, Attack] => [
      "H3_FRAME_UNEXPECTED",
      "client",
      `rfc9114#7 on a control stream MUST be a connection error of type H3_FRAME_UNEXPECTED: frame 0x${type.toString(16)}`,
      async (peer) => (await peer.settings()).write(encodeFrame(type, encodeVarint(0))),
    ],
  ),
  [
    "H3_FRAME_UNEXPECTED",
    "server",
    "rfc9114#7.2.7 A client MUST treat the receipt of a MAX_PUSH_ID frame as a connection error of type H3_FRAME_UNEXPECTED",
    async (peer) => (await peer.settings()).write(encodeIdFrame(FRAME.MAX_PUSH_ID, 1)),
  ],
  [
    "H3_FRAME_UNEXPECTED",
    "client",
    "rfc9114#4.1 Receipt of an invalid sequence of frames MUST be treated as a connection error of type H3_FRAME_UNEXPECTED: content after trailers",
    (peer) =>
      peer.request(peer.get(), peer.headers([field("x-a", "b")]), encodeFrame(FRAME.DATA, utf8("late"))),
  ],
  // Frames that are not what they say.
  [
    "H3_FRAME_ERROR",
    "client",
    "rfc9114#7.1 When a stream terminates cleanly, if the last frame on the stream was truncated, this MUST be treated as a connection error of type H3_FRAME_ERROR",
    async (peer) => (await peer.request(peer.get(), bytes("0005 6161"))).close(),
  ],
  [
    "H3_FRAME_ERROR",
    "client",
    "rfc9114#7.1 A frame payload that contains additional bytes after the identified fields MUST be treated as a connection error of type H3_FRAME_ERROR",
    async (peer) => (await peer.settings()).write(encodeFrame(FRAME.GOAWAY, bytes("0000"))),
  ],
  [
    "H3_FRAME_ERROR",
    "client",
    "rfc9114#7.1 a frame payload that terminates before the end of the identified fields MUST be treated as a connection error of type H3_FRAME_ERROR",
    async (peer) => (await peer.settings()).write(encodeFrame(FRAME.MAX_PUSH_ID, bytes("40"))),
  ],
  // Settings.
  [
    "H3_SETTINGS_ERROR",
    "client",
    "rfc9114#7.2.4.1 reserved settings of HTTP/2: their receipt MUST be treated as a connection error of type H3_SETTINGS_ERROR",
    (peer) => peer.uni(CONTROL, encodeFrame(FRAME.SETTINGS, bytes("0201"))),
  ],
  [
    "H3_SETTINGS_ERROR",
    "client",
    "rfc9114#7.2.4 The same setting identifier MUST NOT occur more than once in the SETTINGS frame",
    (peer) => peer.uni(CONTROL, encodeFrame(FRAME.SETTINGS, bytes("0601 0602"))),
  ],
  // Identifiers.
  [
    "H3_ID_ERROR",
    "server",
    "rfc9114#5.2 Receiving a GOAWAY containing a larger identifier than previously received MUST be treated as a connection error of type H3_ID_ERROR",
    async (peer) => {
      const control = await peer.settings();
      // A request keeps the connection, which would end when nothing is under way.
      await peer.quic.acceptStream();
      await control.write(encodeIdFrame(FRAME.GOAWAY, 4));
      await control.write(encodeIdFrame(FRAME.GOAWAY, 8));
    },
  ],
  [
    "H3_ID_ERROR",
    "server",
    "rfc9114#7.2.6 A client MUST treat receipt of a GOAWAY frame containing a stream ID of any other type as a connection error of type H3_ID_ERROR",
    async (peer) => (await peer.settings()).write(encodeIdFrame(FRAME.GOAWAY, 1)),
  ],
  [
    "H3_ID_ERROR",
    "client",
    "rfc9114#7.2.7 a MAX_PUSH_ID frame that contains a smaller value than previously received MUST be treated as a connection error of type H3_ID_ERROR",
    async (peer) => {
      const control = await peer.settings();
      await control.write(encodeIdFrame(FRAME.MAX_PUSH_ID, 5));
      await control.write(encodeIdFrame(FRAME.MAX_PUSH_ID, 4));
    },
  ],
  [
    "H3_ID_ERROR",
    "client",
    "rfc9114#7.2.3 If a server receives a CANCEL_PUSH frame for a push ID that has not yet been mentioned by a PUSH_PROMISE frame, this MUST be treated as a connection error of type H3_ID_ERROR",
    async (peer) => {
      const control = await peer.settings();
      await control.write(encodeIdFrame(FRAME.MAX_PUSH_ID, 5));
      await control.write(encodeIdFrame(FRAME.CANCEL_PUSH, 0));
    },
  ],
  [
    "H3_ID_ERROR",
    "server",
    "rfc9114#7.2.3 If a CANCEL_PUSH frame is received that references a push ID greater than currently allowed on the connection, this MUST be treated as a connection error of type H3_ID_ERROR",
    async (peer) => (await peer.settings()).write(encodeIdFrame(FRAME.CANCEL_PUSH, 0)),
  ],
  [
    "H3_ID_ERROR",
    "server",
    "rfc9114#7.2.5 A client MUST treat receipt of a PUSH_PROMISE frame that contains a larger push ID than the client has advertised as a connection error of H3_ID_ERROR",
    async (peer) => {
      const stream = await peer.quic.acceptStream();
      const section = peer.encoder.encode(0, [
        field(":method", "GET"),
        field(":scheme", "https"),
        field(":authority", "localhost"),
        field(":path", "/"),
      ]);
      await stream.write(encodePushPromise(0, section));
    },
  ],
  [
    "H3_ID_ERROR",
    "client",
    "rfc9218#7.2 PRIORITY_UPDATE for a push that was not promised MUST be treated as a connection error of type H3_ID_ERROR",
    async (peer) => (await peer.settings()).write(encodePriorityUpdate(FRAME.PRIORITY_UPDATE_PUSH, 0, "u=1")),
  ],
  // QPACK.
  [
    "QPACK_ENCODER_STREAM_ERROR",
    "client",
    "rfc9204#4.3.1 The decoder MUST treat a new dynamic table capacity value that exceeds this limit as a connection error of type QPACK_ENCODER_STREAM_ERROR",
    (peer) => peer.uni(ENCODER, bytes("3fe1ff03")),
  ],
  [
    "QPACK_ENCODER_STREAM_ERROR",
    "client",
    "rfc9204#3.1 When the decoder encounters an invalid static table index on the encoder stream, it MUST treat this as a connection error of type QPACK_ENCODER_STREAM_ERROR",
    (peer) => peer.uni(ENCODER, bytes("3fe11f ff7f00")),
  ],
  [
    "QPACK_ENCODER_STREAM_ERROR",
    "client",
    "rfc9204#2.2.3 If the decoder encounters a reference in an encoder instruction to a dynamic table entry that has been evicted, it MUST treat this as a connection error of type QPACK_ENCODER_STREAM_ERROR",
    (peer) => peer.uni(ENCODER, bytes("3fe11f 00")),
  ],
  [
    "QPACK_DECODER_STREAM_ERROR",
    "client",
    "rfc9204#4.4.3 An encoder that receives an Increment field equal to zero MUST treat this as a connection error of type QPACK_DECODER_STREAM_ERROR",
    (peer) => peer.uni(DECODER, bytes("00")),
  ],
  [
    "QPACK_DECODER_STREAM_ERROR",
    "server",
    "rfc9204#4.4.1 a Section Acknowledgment on a stream whose sections have all been acknowledged MUST be treated as a connection error of type QPACK_DECODER_STREAM_ERROR",
    (peer) => peer.uni(DECODER, bytes("84")),
  ],
  [
    "QPACK_DECOMPRESSION_FAILED",
    "client",
    "rfc9204#3.1 When the decoder encounters an invalid static table index in a field line representation, it MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED",
    (peer) => peer.request(encodeFrame(FRAME.HEADERS, bytes("0000 ff7f"))),
  ],
  [
    "QPACK_DECOMPRESSION_FAILED",
    "client",
    "rfc9204#4.5.1.1 If the decoder encounters a value of EncodedInsertCount that could not have been produced by a conformant encoder, it MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED",
    (peer) => peer.request(encodeFrame(FRAME.HEADERS, bytes("ff8001 00 80"))),
  ],
  [
    "QPACK_DECOMPRESSION_FAILED",
    "client",
    "rfc9204#2.1.2 If a decoder encounters more blocked streams than it promised to support, it MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED",
    async (peer) => {
      for (let i = 0; i < 3; i++) await peer.request(encodeFrame(FRAME.HEADERS, bytes("0200 80")));
    },
  ],
];

for (const [error, role, name, attack] of ATTACKS) {
  test(`${name} (by a ${role})`, { timeout }, async () => {
    await using raw = await rawPair(role, { ours: { qpackBlockedStreams: 2 } });
    const asking =
      role === "server"
        ? raw.ours
            .request({ method: "GET", scheme: "https", authority: "localhost", path: "/" })
            .then((stream) => stream.response())
            .catch((thrown: unknown) => thrown)
        : Promise.resolve(null);
    void (async () => {
      // The application reads what it gets.
      for await (const request of raw.ours.incomingRequests()) readAll(request).catch(() => {});
    })().catch(() => {});
    await attack(raw.peer).catch((thrown: unknown) => {
      // The other side may be faster than the attack.
      if (raw.ours.failure === null) throw thrown;
    });
    await raw.peer.closedWith(error);
    const failure = await raw.ours.closed;
    assert.ok(failure instanceof Http3ConnectionError);
    assert.equal(failure.errorCode, H3_ERROR[error]);
    assert.equal(failure.remote, false);
    const told = await asking;
    if (told !== null) assert.ok(told instanceof Http3ConnectionError, String(told));
    assert.equal(raw.ours.activeRequests, 0, "streams are left");
  });
}

/** What each of them does ends its stream alone, both ways. rfc9114#4.1.2 */
const MALFORMED: readonly [string, (peer: RawPeer) => Uint8Array[], boolean?][] = [
  [
    "no :path",
    (peer) => [peer.headers([field(":method", "GET"), field(":scheme", "https"), field(":authority", "a")])],
  ],
  ["two :path", (peer) => [peer.get("/", field(":path", "/"))]],
  [
    "a pseudo-header field after another field",
    (peer) => [peer.headers([field("a", "b"), field(":method", "GET")])],
  ],
  ["capitals", (peer) => [peer.get("/", field("X-Capital", "1"))]],
  ["a connection-specific field", (peer) => [peer.get("/", field("connection", "close"))]],
  ["TE that is not trailers", (peer) => [peer.get("/", field("te", "gzip"))]],
  ["a line break in a value", (peer) => [peer.get("/", field("x-a", "b\r\nc: d"))]],
  ["Host and :authority that differ", (peer) => [peer.get("/", field("host", "elsewhere"))]],
  [":status in a request", (peer) => [peer.get("/", field(":status", "200"))]],
  [
    ":protocol that was not agreed upon",
    (peer) => [
      peer.headers([
        field(":method", "CONNECT"),
        field(":scheme", "https"),
        field(":authority", "a"),
        field(":path", "/"),
        field(":protocol", "websocket"),
      ]),
    ],
  ],
];

for (const [what, make] of MALFORMED) {
  test(
    `rfc9114#4.1.2 Malformed requests MUST be treated as a stream error of type H3_MESSAGE_ERROR: ${what}`,
    { timeout },
    async () => {
      await using raw = await rawPair("client");
      await raw.peer.settings();
      const stream = await raw.peer.request(...make(raw.peer));
      await streamEnded("H3_MESSAGE_ERROR", () => readAll(stream));
      // The next one is served.
      const good = await raw.peer.request(raw.peer.get());
      const accepted = await raw.ours.acceptRequest();
      assert.equal(accepted.id, good.id);
      assert.equal(raw.ours.failure, null);
    },
  );
}

test(
  "rfc9114#4.1.2 content that is not as long as Content-Length says is malformed",
  { timeout },
  async () => {
    await using raw = await rawPair("client");
    for (const [length, content] of [
      ["3", "four"],
      ["5", "four"],
    ] as const) {
      const stream = await raw.peer.request(
        raw.peer.get("/", field("content-length", length)),
        encodeFrame(FRAME.DATA, utf8(content)),
      );
      stream.close();
      const request = await raw.ours.acceptRequest();
      await assert.rejects(
        readAll(request),
        (error) => error instanceof Http3StreamError && error.errorCode === H3_ERROR.H3_MESSAGE_ERROR,
      );
      await streamEnded("H3_MESSAGE_ERROR", () => readAll(stream));
    }
    assert.equal(raw.ours.failure, null);
  },
);

test(
  "rfc9114#4.1 a request stream that ends without a request: H3_REQUEST_INCOMPLETE",
  { timeout },
  async () => {
    await using raw = await rawPair("client");
    const stream = await raw.peer.quic.openStream();
    stream.close();
    await streamEnded("H3_REQUEST_INCOMPLETE", () => readAll(stream));
    assert.equal(raw.ours.failure, null);
    await until(() => raw.ours.activeRequests === 0, "the stream to be forgotten");
  },
);

test("responses that are malformed, missing, or twice end their stream alone", { timeout }, async () => {
  await using raw = await rawPair("server");
  const responses: [string, Uint8Array[], H3ErrorName][] = [
    ["no :status", [raw.peer.headers([field("a", "b")])], "H3_MESSAGE_ERROR"],
    ["101", [raw.peer.headers([field(":status", "101")])], "H3_MESSAGE_ERROR"],
    ["none", [], "H3_MESSAGE_ERROR"],
    ["interim alone", [raw.peer.headers([field(":status", "103")])], "H3_MESSAGE_ERROR"],
    // rfc9114#4.1 receipt of an additional HTTP response following a final HTTP response MUST be treated as malformed.
    [
      "two",
      [raw.peer.headers([field(":status", "200")]), raw.peer.headers([field(":status", "200")])],
      "H3_MESSAGE_ERROR",
    ],
    [
      "pseudo-header fields in trailers",
      [raw.peer.headers([field(":status", "200")]), raw.peer.headers([field(":path", "/")])],
      "H3_MESSAGE_ERROR",
    ],
    [
      "content in a 204",
      [raw.peer.headers([field(":status", "204")]), encodeFrame(FRAME.DATA, utf8("x"))],
      "H3_MESSAGE_ERROR",
    ],
    [
      "interim without end",
      Array.from({ length: 102 }, () => raw.peer.headers([field(":status", "103")])),
      "H3_EXCESSIVE_LOAD",
    ],
  ];
  for (const [what, parts, code] of responses) {
    const request = await raw.ours.request({
      method: "GET",
      scheme: "https",
      authority: "localhost",
      path: "/",
    });
    const stream = await raw.peer.quic.acceptStream();
    for (const part of parts) await stream.write(part);
    stream.close();
    await assert.rejects(
      async () => {
        await request.response();
        await readAll(request);
      },
      (error) => error instanceof Http3StreamError && error.errorCode === H3_ERROR[code],
      what,
    );
  }
  assert.equal(raw.ours.failure, null);
});

test("unknown frames, settings and streams are ignored", { timeout }, async () => {
  await using raw = await rawPair("client");
  await raw.peer.uni(
    CONTROL,
    encodeFrame(FRAME.SETTINGS, bytes("21 07 4abc 01")),
    encodeFrame(0x21, utf8("grease")),
    encodeFrame(0x4abcd, NONE),
  );
  const unknown = await raw.peer.uni(0x21, utf8("grease"));
  const other = await raw.peer.uni(0x3f, utf8("unknown"));
  // rfc9114#6.2 Recipients of unknown stream types MUST either abort reading of the stream or discard incoming data
  await until(() => unknown.context.aborted && other.context.aborted, "reading to be stopped");
  // rfc9114#6.2 A receiver MUST tolerate unidirectional streams being closed or reset prior to the stream header.
  const early = await raw.peer.quic.openUniStream();
  early.close();
  const stream = await raw.peer.request(
    encodeFrame(0x21, utf8("x")),
    raw.peer.get("/", field("content-length", "2")),
    encodeFrame(0x40, utf8("between")),
    encodeFrame(FRAME.DATA, utf8("ok")),
    encodeFrame(0x5f, utf8("after")),
  );
  stream.close();
  const request = await raw.ours.acceptRequest();
  assert.equal(Buffer.from(await readAll(request)).toString(), "ok");
  assert.equal(raw.ours.peerSettings?.others.get(0x21), 7);
  assert.equal(raw.ours.failure, null);
});

test(
  "a section that waits for the encoder stream, and one that is cancelled meanwhile",
  { timeout },
  async () => {
    await using raw = await rawPair("client");
    await raw.peer.settings();
    const encoder = await raw.peer.uni(ENCODER);
    const decoding = (async () => {
      for (;;) {
        const stream = await raw.peer.quic.acceptUniStream();
        const chunks = await stream.readMany();
        if (chunks[0]![0] === DECODER) return { stream, first: chunks[0]!.subarray(1) };
      }
    })();
    // Required Insert Count 1, base 1, one indexed dynamic line, the rest literal or static.
    const rest = "d1 d7 50 09 6c6f63616c686f7374";
    const section = encodeFrame(FRAME.HEADERS, bytes(`0200 80 ${rest}`));
    const waiting = await raw.peer.request(section);
    const cancelled = await raw.peer.request(section);
    await until(() => raw.ours.compression.blocked === 2, "both to wait");
    cancelled.cancelWrite(H3_ERROR.H3_REQUEST_CANCELLED);
    cancelled.cancelRead(H3_ERROR.H3_REQUEST_CANCELLED);
    await turns(3);
    // Capacity 100; insert :path /waited by the static name 1.
    await encoder.write(bytes("3f45 c1 07 2f776169746564"));
    const request = await raw.ours.acceptRequest();
    assert.equal(request.id, waiting.id);
    assert.equal(request.request.path, "/waited");
    // rfc9204#2.2.2.1 the decoder MUST emit a Section Acknowledgment; rfc9204#2.2.2.2 and a Stream Cancellation.
    const { stream, first } = await decoding;
    let told = Buffer.from(first);
    const told2 = async () => {
      for (const chunk of await stream.readMany()) told = Buffer.concat([told, chunk]);
    };
    while (told.length < 1) await told2();
    assert.ok(told.includes(0x80 | waiting.id), told.toString("hex"));
    assert.equal(raw.ours.failure, null);
  },
);

test("floods: resets, control frames, streams that say nothing", { timeout: 30_000 }, async () => {
  const floods: [string, Attack][] = [
    [
      // CVE-2023-44487
      "resets",
      async (peer) => {
        const head = peer.get();
        for (;;) {
          const stream = await peer.request(head);
          stream.cancelWrite(H3_ERROR.H3_REQUEST_CANCELLED);
          stream.cancelRead(H3_ERROR.H3_REQUEST_CANCELLED);
        }
      },
    ],
    [
      "control frames",
      async (peer) => {
        const control = await peer.settings();
        for (;;) await control.write(encodePriorityUpdate(FRAME.PRIORITY_UPDATE, 0, "u=1"));
      },
    ],
    [
      "streams that say nothing",
      async (peer) => {
        for (;;) (await peer.uni(0x21)).close();
      },
    ],
  ];
  for (const [what, flood] of floods) {
    await using raw = await rawPair("client");
    void (async () => {
      try {
        for await (const request of raw.ours.incomingRequests()) void request.respond(200).catch(() => {});
      } catch {
        // It ends with the connection.
      }
    })();
    await assert.rejects(flood(raw.peer), what);
    await raw.peer.closedWith("H3_EXCESSIVE_LOAD");
  }
});
