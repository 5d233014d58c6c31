// A peer that violates a MUST hears the RFC's error code, our side gets the typed error, and the neighbour lives on.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as c from "../../internal/protocol/constants.ts";
import { CRYPTO_BUFFER, FORGERY_PATIENCE } from "../../internal/protocol/limits.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import { Bench } from "./bench.ts";
import { bare, cryptoFrame, frame, ping, ScriptedPeer } from "./peer.ts";

const { INITIAL, HANDSHAKE, APPLICATION } = c;
const SMALL = {
  initialStreamWindow: 1000,
  maxStreamWindow: 1000,
  initialConnectionWindow: 1500,
  maxConnectionWindow: 1500,
  maxIncomingStreams: 4,
  maxIncomingUniStreams: 3,
};

function stream(id: number, offset: number, length: number, fin = false): Uint8Array {
  return frame((buf) => w.writeStreamHeader(buf, 0, id, offset, length, fin, true) + length);
}
const number = (type: number, value: number) => frame((buf) => w.writeNumberFrame(buf, 0, type, value));
const streamNumber = (type: number, id: number, value: number) =>
  frame((buf) => w.writeStreamNumberFrame(buf, 0, type, id, value));
const reset = (id: number, size: number) => frame((buf) => w.writeResetStream(buf, 0, id, 1n, size));
const resetAt = (id: number, size: number, reliable: number, code = 1n) =>
  frame((buf) => w.writeResetStreamAt(buf, 0, id, code, size, reliable));
const stop = (id: number) => frame((buf) => w.writeStopSending(buf, 0, id, 1n));
const newCid = (sequence: number, retire: number, byte: number, length = 8) =>
  frame((buf) =>
    w.writeNewConnectionId(
      buf,
      0,
      sequence,
      retire,
      new Uint8Array(length).fill(byte),
      new Uint8Array(16).fill(byte),
    ),
  );
const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

/** Name, the frames of one 1-RTT packet (or several), the code. */
type Case = readonly [string, Uint8Array | readonly Uint8Array[], number, ("client" | "server")?];

const CASES: readonly Case[] = [
  [
    "rfc9000#12.4 an endpoint MUST treat receipt of a packet containing no frames as PROTOCOL_VIOLATION",
    new Uint8Array(0),
    c.PROTOCOL_VIOLATION,
  ],
  [
    "rfc9000#12.4 an endpoint MUST treat the receipt of a frame of unknown type as FRAME_ENCODING_ERROR",
    Uint8Array.of(0x21, 0, 0, 0),
    c.FRAME_ENCODING_ERROR,
  ],
  ["a truncated frame", Uint8Array.of(0x06, 0x00, 0x7f, 0xff), c.FRAME_ENCODING_ERROR],
  [
    "rfc9000#13.1 receipt of an acknowledgment for a packet it did not send: PROTOCOL_VIOLATION",
    frame((buf) => w.writeAck(buf, 0, 100, Float64Array.of(5000, 5000), 1, 0, null)),
    c.PROTOCOL_VIOLATION,
  ],
  [
    "ack-frequency#4 a delay below our min_ack_delay: PROTOCOL_VIOLATION",
    frame((buf) => w.writeAckFrequency(buf, 0, 0, 1, 999, 1)),
    c.PROTOCOL_VIOLATION,
  ],
  [
    "ack-frequency#4 a delay of 2^14 ms: PROTOCOL_VIOLATION",
    frame((buf) => w.writeAckFrequency(buf, 0, 0, 1, 1000 * 2 ** 14, 1)),
    c.PROTOCOL_VIOLATION,
  ],
  ["rfc9000#19.3.1 a negative packet number in ACK", Uint8Array.of(2, 1, 0, 0, 5), c.FRAME_ENCODING_ERROR],
  ["rfc9000#4.1 data beyond the stream limit", stream(0, 990, 20), c.FLOW_CONTROL_ERROR],
  [
    "rfc9000#4.1 data beyond the connection limit",
    [stream(0, 0, 900), stream(4, 0, 900)],
    c.FLOW_CONTROL_ERROR,
  ],
  ["rfc9000#4.5 a reset beyond the stream limit", reset(0, 5000), c.FLOW_CONTROL_ERROR],
  [
    "reliable-stream-reset#4 If an endpoint receives a RESET_STREAM_AT frame that violates either limit: FLOW_CONTROL_ERROR",
    resetAt(0, 5000, 10),
    c.FLOW_CONTROL_ERROR,
  ],
  [
    "reliable-stream-reset#4 If the Reliable Size is larger than the Final Size: FRAME_ENCODING_ERROR",
    resetAt(0, 10, 11),
    c.FRAME_ENCODING_ERROR,
  ],
  [
    "reliable-stream-reset#5.2 a code that changes: STREAM_STATE_ERROR",
    [resetAt(0, 100, 50, 1n), resetAt(0, 100, 40, 2n)],
    c.STREAM_STATE_ERROR,
  ],
  [
    "rfc9000#19.8 an end that exceeds 2^62-1",
    Uint8Array.of(0x0e, 0, ...new Uint8Array(8).fill(255), 1, 0),
    c.FRAME_ENCODING_ERROR,
  ],
  ["rfc9000#4.6 a bidirectional stream beyond the limit", stream(4 * 4, 0, 1), c.STREAM_LIMIT_ERROR],
  ["rfc9000#4.6 a unidirectional stream beyond the limit", stream(4 * 3 + 2, 0, 1), c.STREAM_LIMIT_ERROR],
  [
    "rfc9000#4.5 a final size that changes",
    [stream(0, 0, 10, true), stream(0, 0, 11, true)],
    c.FINAL_SIZE_ERROR,
  ],
  ["rfc9000#4.5 data behind the final size", [stream(0, 0, 10, true), stream(0, 20, 1)], c.FINAL_SIZE_ERROR],
  ["rfc9000#4.5 a reset below what came", [stream(0, 0, 10), reset(0, 5)], c.FINAL_SIZE_ERROR],
  ["rfc9000#4.5 FIN below what came", [stream(0, 0, 10), stream(0, 2, 2, true)], c.FINAL_SIZE_ERROR],
  ["rfc9000#19.8 STREAM on a stream of ours not opened", stream(1, 0, 1), c.STREAM_STATE_ERROR],
  ["rfc9000#19.8 STREAM on a send-only stream", stream(3, 0, 1), c.STREAM_STATE_ERROR],
  ["rfc9000#19.4 RESET_STREAM on a send-only stream", reset(3, 0), c.STREAM_STATE_ERROR],
  ["rfc9000#19.5 STOP_SENDING on a receive-only stream", stop(2), c.STREAM_STATE_ERROR],
  ["rfc9000#19.5 STOP_SENDING on a stream not created", stop(1), c.STREAM_STATE_ERROR],
  [
    "rfc9000#19.10 MAX_STREAM_DATA on a receive-only stream",
    streamNumber(c.FRAME_MAX_STREAM_DATA, 2, 9),
    c.STREAM_STATE_ERROR,
  ],
  [
    "rfc9000#19.10 MAX_STREAM_DATA on a stream not created",
    streamNumber(c.FRAME_MAX_STREAM_DATA, 1, 9),
    c.STREAM_STATE_ERROR,
  ],
  [
    "rfc9000#19.13 STREAM_DATA_BLOCKED on a send-only stream",
    streamNumber(c.FRAME_STREAM_DATA_BLOCKED, 3, 9),
    c.STREAM_STATE_ERROR,
  ],
  [
    "rfc9000#19.11 MAX_STREAMS above 2^60",
    number(c.FRAME_MAX_STREAMS_BIDI, 2 ** 60 + 512),
    c.FRAME_ENCODING_ERROR,
  ],
  [
    "rfc9000#19.14 STREAMS_BLOCKED above 2^60",
    number(c.FRAME_STREAMS_BLOCKED_UNI, 2 ** 60 + 512),
    c.FRAME_ENCODING_ERROR,
  ],
  ["rfc9000#7.5 CRYPTO too far ahead", cryptoFrame(CRYPTO_BUFFER, ping()), c.CRYPTO_BUFFER_EXCEEDED],
  [
    "rfc9000#5.1.1 more connection IDs than active_connection_id_limit",
    Array.from({ length: 20 }, (_, i) => newCid(i + 1, 0, i + 1)),
    c.CONNECTION_ID_LIMIT_ERROR,
  ],
  [
    "rfc9000#19.15 a sequence number used for another connection ID",
    [newCid(1, 0, 1), newCid(1, 0, 2)],
    c.PROTOCOL_VIOLATION,
  ],
  [
    "rfc9000#19.15 a connection ID under another sequence number",
    [newCid(1, 0, 1), newCid(2, 0, 1)],
    c.PROTOCOL_VIOLATION,
  ],
  ["rfc9000#19.15 Retire Prior To above the sequence", newCid(1, 2, 1), c.FRAME_ENCODING_ERROR],
  [
    "rfc9000#19.15 values less than 1 and greater than 20 are invalid and MUST be treated as FRAME_ENCODING_ERROR",
    newCid(1, 0, 1, 21),
    c.FRAME_ENCODING_ERROR,
  ],
  [
    "rfc9000#19.16 RETIRE_CONNECTION_ID of a number never sent",
    number(c.FRAME_RETIRE_CONNECTION_ID, 99),
    c.PROTOCOL_VIOLATION,
  ],
  [
    "rfc9000#19.16 RETIRE_CONNECTION_ID of the packet's own",
    number(c.FRAME_RETIRE_CONNECTION_ID, 0),
    c.PROTOCOL_VIOLATION,
  ],
  [
    "rfc9000#19.20 a server MUST treat receipt of a HANDSHAKE_DONE frame as PROTOCOL_VIOLATION",
    bare(c.FRAME_HANDSHAKE_DONE),
    c.PROTOCOL_VIOLATION,
    "client",
  ],
  [
    "rfc9000#19.7 a server MUST treat receipt of a NEW_TOKEN frame as PROTOCOL_VIOLATION",
    frame((buf) => w.writeNewToken(buf, 0, ping())),
    c.PROTOCOL_VIOLATION,
    "client",
  ],
  ["rfc9000#19.7 an empty token", Uint8Array.of(7, 0, 0, 0), c.FRAME_ENCODING_ERROR],
  [
    "rfc9221#3 DATAGRAM that was not negotiated",
    frame((buf) => w.writeDatagram(buf, 0, ping())),
    c.PROTOCOL_VIOLATION,
  ],
];

describe("datagrams of a hostile peer", () => {
  for (const role of ["client", "server"] as const) {
    // rfc9221#3 an endpoint that receives a DATAGRAM frame that is larger than the value it sent in its
    // max_datagram_frame_size transport parameter MUST terminate the connection with an error of type
    // PROTOCOL_VIOLATION.
    test(`a ${role}'s DATAGRAM over max_datagram_frame_size`, () => {
      for (const withLength of [true, false]) {
        const limits = { maxDatagramFrameSize: withLength ? 103 : 101 };
        const bench = new Bench(role, {}, limits).connect();
        const datagram = (length: number) =>
          frame((buf) => w.writeDatagram(buf, 0, new Uint8Array(length), withLength));
        bench.peer.send(APPLICATION, datagram(100));
        bench.assertOpen("a frame as large as announced");
        assert.equal(bench.connection.datagrams.counters.received, 1);
        bench.peer.send(APPLICATION, datagram(101));
        bench.assertClosed(c.PROTOCOL_VIOLATION, "a byte more");
      }
    });
  }

  test("more than the queue holds are dropped by name, and the connection lives", () => {
    const queue = { count: 4, bytes: 1000, drop: "oldest" } as const;
    const bench = new Bench("client", {}, { maxDatagramFrameSize: 1000, datagramReceiveQueue: queue });
    bench.connect();
    for (let i = 0; i < 300; i++) {
      bench.peer.send(
        APPLICATION,
        frame((buf) => w.writeDatagram(buf, 0, new Uint8Array(300).fill(i))),
      );
    }
    bench.assertOpen("a flood of datagrams");
    const { datagrams } = bench.connection;
    assert.equal(datagrams.receivedCount, 3);
    assert.equal(datagrams.receivedBytes, 900);
    assert.equal(datagrams.counters.dropped.receive_queue_full, 297);
    assert.equal(datagrams.receive()![0], 297 & 255);
    const dropped = bench.victim.trace.filter((event) => event.name === "datagram_dropped");
    assert.ok(dropped.length === 297 && dropped.every((event) => event.reason === "receive_queue_full"));
  });
});

/** Short packets have no sample for header protection. */
const padded = (payload: Uint8Array) =>
  payload.length < 4 ? join(payload, new Uint8Array(4 - payload.length)) : payload;

describe("1-RTT frames of a hostile client", () => {
  for (const [name, frames, code, only] of CASES) {
    if (only === "server") continue;
    test(name, () => {
      const bench = new Bench("client", {}, SMALL).connect();
      for (const one of Array.isArray(frames) ? (frames as Uint8Array[]) : [frames as Uint8Array]) {
        bench.peer.send(APPLICATION, one.length === 0 ? one : padded(one));
      }
      bench.assertClosed(code, name);
    });
  }
});

describe("1-RTT frames of a hostile server", () => {
  // Those that name no stream say the same to a client.
  for (const [name, frames, code, only] of CASES) {
    if (
      only === "client" ||
      /stream|connection limit|reset|FIN|final size/i.test(name.replace(/MAX_STREAMS|STREAMS_BLOCKED/, ""))
    )
      continue;
    test(name, () => {
      const bench = new Bench("server", {}, SMALL).connect();
      for (const one of Array.isArray(frames) ? (frames as Uint8Array[]) : [frames as Uint8Array]) {
        bench.peer.send(APPLICATION, one.length === 0 ? one : padded(one));
      }
      bench.assertClosed(code, name);
    });
  }
});

describe("packets of a hostile peer", () => {
  for (const role of ["client", "server"] as const) {
    // rfc9000#17.2 MUST treat receipt of a packet that has a non-zero value for these bits … as PROTOCOL_VIOLATION
    // rfc9000#17.3.1 the value included prior to protection MUST be set to 0
    test(`reserved bits from a ${role}`, () => {
      const bench = new Bench(role).connect();
      bench.peer.send(APPLICATION, ping(), { firstByte: 0x18 });
      bench.assertClosed(c.PROTOCOL_VIOLATION, "reserved bits");
    });

    // rfc9001#6.2 an endpoint that receives an acknowledgment that is carried in a packet protected with old keys where
    // any acknowledged packet was protected with newer keys MAY treat that as a connection error of KEY_UPDATE_ERROR
    test(`new keys acknowledged under old ones by a ${role}`, () => {
      const bench = new Bench(role).connect();
      const { peer, connection } = bench;
      connection.ping();
      bench.run(50);
      if (!connection.updateKeys()) throw new Error("the victim cannot update its keys");
      const next = connection.recovery.peekPacketNumber(APPLICATION);
      const late = peer.packet(
        APPLICATION,
        frame((buf) => peer.writeAck(buf, 0, next, next)),
      );
      connection.ping();
      bench.settle();
      peer.out.push(late);
      bench.assertClosed(c.KEY_UPDATE_ERROR, "old keys");
    });
  }

  const wrongLevel: readonly [string, Uint8Array][] = [
    ["STREAM", stream(0, 0, 4)],
    ["HANDSHAKE_DONE", bare(c.FRAME_HANDSHAKE_DONE)],
    ["MAX_DATA", number(c.FRAME_MAX_DATA, 1000)],
    ["NEW_CONNECTION_ID", newCid(1, 0, 1)],
    ["PATH_CHALLENGE", frame((buf) => w.writePathFrame(buf, 0, c.FRAME_PATH_CHALLENGE, new Uint8Array(8)))],
    [
      "application CONNECTION_CLOSE",
      frame((buf) => w.writeConnectionClose(buf, 0, 99, true, 0, 0, new Uint8Array(0))),
    ],
    ["NEW_TOKEN", frame((buf) => w.writeNewToken(buf, 0, ping()))],
  ];
  for (const [name, bytes] of wrongLevel) {
    // rfc9000#12.4 an endpoint MUST treat receipt of a frame in a packet type that is not permitted as PROTOCOL_VIOLATION
    test(`${name} in a server's Initial packet`, () => {
      const bench = new Bench("server", { sendsCrypto: () => false });
      bench.settle();
      bench.peer.send(INITIAL, bytes);
      // Anybody can send that: an honest server's answer would refute it.
      bench.run(FORGERY_PATIENCE);
      bench.assertClosed(c.PROTOCOL_VIOLATION, name);
    });
    test(`${name} in a client's Handshake packet`, () => {
      const bench = new Bench("client", { sendsCrypto: (level) => level === INITIAL });
      bench.settle();
      bench.peer.send(HANDSHAKE, padded(bytes));
      bench.assertClosed(c.PROTOCOL_VIOLATION, name);
    });
  }

  // rfc9001#5.7 a server MUST NOT process incoming 1-RTT protected packets before the TLS handshake is complete
  test("1-RTT data ahead of the client's Finished waits", () => {
    const bench = new Bench("client", { sendsCrypto: (level) => level !== HANDSHAKE });
    bench.settle();
    bench.peer.send(APPLICATION, bare(c.FRAME_HANDSHAKE_DONE));
    bench.settle();
    if (bench.peer.close !== undefined) throw new Error("it was processed");
    bench.assertNeighbour("1-RTT before Finished");
  });
});

describe("transport parameters of a hostile peer", () => {
  type Change = NonNullable<ConstructorParameters<typeof ScriptedPeer>[2]>["parameters"];
  const cases: readonly [string, "client" | "server", Change][] = [
    [
      "rfc9000#7.3 absence of initial_source_connection_id",
      "client",
      (p) => void delete p.initialSourceConnectionId,
    ],
    [
      "rfc9000#7.3 absence of initial_source_connection_id",
      "server",
      (p) => void delete p.initialSourceConnectionId,
    ],
    [
      "rfc9000#7.3 a mismatch of initial_source_connection_id",
      "client",
      (p) => void (p.initialSourceConnectionId = ping()),
    ],
    [
      "rfc9000#7.3 a mismatch of initial_source_connection_id",
      "server",
      (p) => void (p.initialSourceConnectionId = ping()),
    ],
    [
      "rfc9000#7.3 absence of original_destination_connection_id",
      "server",
      (p) => void delete p.originalDestinationConnectionId,
    ],
    [
      "rfc9000#7.3 a mismatch of original_destination_connection_id",
      "server",
      (p) => void (p.originalDestinationConnectionId = ping()),
    ],
    [
      "rfc9000#7.3 retry_source_connection_id without Retry",
      "server",
      (p) => void (p.retrySourceConnectionId = ping()),
    ],
    ["rfc9000#18.2 ack_delay_exponent above 20", "client", () => Uint8Array.of(0x0a, 1, 21)],
    ["rfc9000#18.2 max_udp_payload_size below 1200", "client", () => Uint8Array.of(0x03, 2, 0x44, 0)],
    ["rfc9000#18.2 active_connection_id_limit below 2", "server", () => Uint8Array.of(0x0e, 1, 1)],
    [
      "rfc9000#7.4 an endpoint MUST NOT send a parameter more than once",
      "server",
      () => Uint8Array.of(1, 1, 5, 1, 1, 5),
    ],
    [
      "rfc9000#18.2 a client MUST NOT include any server-only transport parameter",
      "client",
      () => Uint8Array.of(2, 16, ...new Uint8Array(16)),
    ],
    ["a truncated parameter", "client", () => Uint8Array.of(1, 9, 5)],
  ];
  for (const [name, role, parameters] of cases) {
    test(`${name}, ${role}`, () => {
      const bench = new Bench(role, { parameters });
      bench.assertClosed(c.TRANSPORT_PARAMETER_ERROR, name);
    });
  }
});

describe("odd but allowed", () => {
  for (const role of ["client", "server"] as const) {
    test(`tolerated from a ${role}`, () => {
      const bench = new Bench(role, {}, SMALL).connect();
      const { peer } = bench;
      // rfc9000#19.18 content that does not match a PATH_CHALLENGE: it MAY be a PROTOCOL_VIOLATION; late ones are common
      peer.send(
        APPLICATION,
        frame((buf) => w.writePathFrame(buf, 0, c.FRAME_PATH_RESPONSE, new Uint8Array(8).fill(9))),
      );
      // rfc9000#13.3 A receiver MUST accept packets containing an outdated frame
      peer.send(APPLICATION, join(number(c.FRAME_MAX_DATA, 1), number(c.FRAME_MAX_STREAMS_BIDI, 0)));
      // rfc9000#19.15 receipt of the same frame multiple times MUST NOT be treated as a connection error
      peer.send(APPLICATION, newCid(1, 0, 1));
      peer.send(APPLICATION, newCid(1, 0, 1));
      peer.send(APPLICATION, number(c.FRAME_DATA_BLOCKED, 5));
      bench.assertOpen("tolerated");
    });
  }
});
