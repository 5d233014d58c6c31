// HTTP datagrams and capsules, rfc9297, over real sockets; and peers that misuse them.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CAPSULE_PROTOCOL,
  CapsuleStream,
  type ClientStream,
  H3_ERROR,
  type Http3Options,
  Http3StateError,
  Http3StreamError,
  MalformedMessageError,
  saysCapsules,
  type ServerStream,
} from "../../http3/index.ts";
import { CAPSULE, encodeCapsule, encodeDatagram } from "../../http3/capsules.ts";
import { encodeFrame, FRAME } from "../../http3/frames.ts";
import { EARLY_DATAGRAMS, REQUEST_DATAGRAMS } from "../../http3/limits.ts";
import type { TraceEvent } from "../../src/index.ts";
import { until } from "../integration/pair.ts";
import { bytes, text } from "./helpers.ts";
import { field, http3Pair, type Http3Pair, rawPair, type RawPeer, streamEnded, utf8 } from "./peers.ts";

const timeout = 10_000;
const config = { enableDatagrams: true };
const quic = { serverConfig: config, clientConfig: config };
const OURS: Http3Options = { datagrams: true, enableConnectProtocol: true };

const CONNECT = {
  method: "CONNECT",
  protocol: "test",
  scheme: "https",
  authority: "localhost",
  path: "/",
  fields: [CAPSULE_PROTOCOL],
};

const connectHead = (peer: RawPeer, ...more: ReturnType<typeof field>[]): Uint8Array =>
  peer.headers([
    field(":method", "CONNECT"),
    field(":protocol", "test"),
    field(":scheme", "https"),
    field(":authority", "localhost"),
    field(":path", "/"),
    ...more,
  ]);

/** A tunnel that both sides have agreed on. */
async function tunnel(pair: Http3Pair): Promise<{ near: ClientStream; far: ServerStream }> {
  const accepted = pair.server.acceptRequest();
  const near = await pair.client.request(CONNECT);
  const far = await accepted;
  await far.respond(200, [CAPSULE_PROTOCOL]);
  await near.response();
  await pair.server.settings;
  return { near, far };
}

test("datagrams go both ways, each with its request", { timeout }, async () => {
  await using pair = await http3Pair({ client: { datagrams: true }, server: OURS, quic });
  const one = await tunnel(pair);
  const two = await tunnel(pair);
  assert.ok(one.near.datagrams.available && one.far.datagrams.available);
  for (const [i, { near, far }] of [two, one].entries()) {
    assert.equal(near.datagrams.send(utf8(`to ${i}`)), "queued");
    assert.equal(text((await far.datagrams.receive())!), `to ${i}`);
    far.datagrams.send(utf8(`from ${i}`));
    assert.equal(text((await near.datagrams.receive())!), `from ${i}`);
  }
  // An empty one is one, and the largest fits.
  one.near.datagrams.send(new Uint8Array(0));
  assert.equal((await one.far.datagrams.receive())!.length, 0);
  const { maxSize } = one.near.datagrams;
  one.near.datagrams.send(new Uint8Array(maxSize));
  assert.equal((await one.far.datagrams.receive())!.length, maxSize);
  // The end of the stream is the end of its datagrams.
  const waiting = one.far.datagrams.receive();
  await one.near.end();
  assert.equal(await one.far.read(), null);
  assert.equal(await waiting, null);
  assert.throws(() => one.near.datagrams.send(utf8("late")), Http3StateError);
});

test(
  "rfc9297#2.1.1 nothing is sent where one side has not said SETTINGS_H3_DATAGRAM",
  { timeout },
  async () => {
    for (const [client, server] of [
      [{}, OURS],
      [{ datagrams: true }, { enableConnectProtocol: true }],
    ] as const) {
      await using pair = await http3Pair({ client, server, quic });
      const { near, far } = await tunnel(pair);
      assert.equal(near.datagrams.available, false);
      assert.throws(() => near.datagrams.send(utf8("x")), Http3StateError);
      // The capsules carry them all the same.
      const sending = new CapsuleStream(near);
      const receiving = new CapsuleStream(far);
      await sending.sendDatagram(utf8("by capsule"));
      void receiving.read().catch(() => {});
      assert.equal(text((await far.datagrams.receive())!), "by capsule");
    }
  },
);

test(
  "rfc9297#2.1 datagrams that cannot be read end the connection with H3_DATAGRAM_ERROR",
  { timeout },
  async () => {
    for (const hex of ["", "c0", "40", "d000000000000000", "ffffffffffffffff"]) {
      await using raw = await rawPair("client", { ours: OURS, quic });
      await raw.peer.settings({ h3Datagram: true });
      raw.peer.quic.sendDatagram(bytes(hex));
      await raw.peer.closedWith("H3_DATAGRAM_ERROR");
    }
  },
);

test("rfc9297#2 a datagram for a request that knows none aborts it, and no other", { timeout }, async () => {
  await using raw = await rawPair("client", { ours: OURS, quic });
  const { peer } = raw;
  await peer.settings({ h3Datagram: true });
  const other = await peer.request(connectHead(peer));
  const known = await raw.ours.acceptRequest();
  const stream = await peer.request(peer.get());
  await raw.ours.acceptRequest();
  peer.quic.sendDatagram(encodeDatagram(stream.id, utf8("x")));
  await streamEnded("H3_DATAGRAM_ERROR", () => stream.readMany());
  // Extended CONNECT may know them until its answer is sent.
  peer.quic.sendDatagram(encodeDatagram(other.id, utf8("before")));
  assert.equal(text((await known.datagrams.receive())!), "before");
  await known.respond(200);
  const unknowing = await peer.request(connectHead(peer));
  await (await raw.ours.acceptRequest()).respond(200);
  peer.quic.sendDatagram(encodeDatagram(unknowing.id, utf8("x")));
  await streamEnded("H3_DATAGRAM_ERROR", async () => {
    for (;;) await unknowing.readMany();
  });
  assert.equal(raw.ours.failure, null);
});

test(
  "rfc9297#2.1 datagrams for streams that are over, or that never were, are dropped",
  { timeout },
  async () => {
    await using raw = await rawPair("client", { ours: OURS, quic });
    const { peer } = raw;
    await peer.settings({ h3Datagram: true });
    const stream = await peer.request(connectHead(peer));
    const request = await raw.ours.acceptRequest();
    stream.close();
    assert.equal(await request.read(), null);
    peer.quic.sendDatagram(encodeDatagram(stream.id, utf8("late")));
    // Of those before the stream, the newest are kept, and no more than the limit.
    for (let i = 0; i < 10 * EARLY_DATAGRAMS; i++) {
      while (peer.quic.sendDatagram(encodeDatagram(4, utf8(String(i)))) === "queue_full")
        await peer.quic.datagramQueue.ready();
      if (i % 50 === 49) await until(() => peer.quic.datagramQueue.sendLength === 0, "the queue");
    }
    await until(() => {
      const { sent, acked, lost } = peer.quic.datagramQueue.stats();
      return acked + lost === sent && raw.ours.quic.datagramQueue.receiveLength === 0;
    }, "all were looked at");
    await peer.request(connectHead(peer));
    const next = await raw.ours.acceptRequest();
    assert.equal(next.id, 4);
    const { length } = next.datagrams;
    assert.ok(length > 0 && length <= EARLY_DATAGRAMS, String(length));
    assert.equal(request.datagrams.length, 0);
    assert.equal(raw.ours.failure, null);
  },
);

test(
  "datagrams that nobody takes are bounded: the oldest go, and other requests go on",
  { timeout },
  async () => {
    await using pair = await http3Pair({ client: { datagrams: true }, server: OURS, quic });
    const { near, far } = await tunnel(pair);
    const { datagrams } = far;
    let sent = 0;
    while (datagrams.dropped < 1000) {
      await pair.client.quic.datagramQueue.ready();
      near.datagrams.send(utf8(String(sent++)));
      if (sent % 100 === 0) await until(() => pair.client.quic.datagramQueue.sendLength === 0, "the queue");
      assert.ok(datagrams.length <= REQUEST_DATAGRAMS);
    }
    assert.ok(Number(text(datagrams.tryReceive()!)) >= 1000, "the oldest are gone");
    const other = await tunnel(pair);
    other.near.datagrams.send(utf8("hello"));
    assert.equal(text((await other.far.datagrams.receive())!), "hello");
  },
);

test("capsules go both ways; datagrams among them, unknown ones are skipped", { timeout }, async () => {
  await using pair = await http3Pair({ server: OURS });
  const { near, far } = await tunnel(pair);
  const here = new CapsuleStream(near, { types: [0x1234] });
  const there = new CapsuleStream(far, { types: [0x1234, 0x20] });
  await here.write(0x1234, utf8("a"), utf8("b"));
  // rfc9297#3.2 Endpoints which receive a Capsule with an unknown Capsule Type MUST silently drop that Capsule.
  await near.write(encodeCapsule(0x77777, new Uint8Array(100_000)));
  await here.sendDatagram(utf8("d"));
  await here.write(0x20);
  assert.deepEqual(await there.read(), { type: 0x1234, value: utf8("ab") });
  assert.deepEqual(await there.read(), { type: 0x20, value: new Uint8Array(0) });
  assert.equal(text((await far.datagrams.receive())!), "d");
  await near.end();
  assert.equal(await there.read(), null);
});

test("capsules are in the trace, with what was skipped and without what they hold", { timeout }, async () => {
  const traced: Record<"client" | "server", unknown[]> = { client: [], server: [] };
  const tracer = (role: "client" | "server") => ({
    record(event: TraceEvent) {
      if (event.name !== "application_event" || !event.event.startsWith("http:")) return;
      traced[role].push([event.event, event.data]);
    },
  });
  const quic = { serverConfig: { tracer: tracer("server") }, clientConfig: { tracer: tracer("client") } };
  await using pair = await http3Pair({ server: OURS, quic });
  const { near, far } = await tunnel(pair);
  const [here, there] = [new CapsuleStream(near), new CapsuleStream(far)];
  await here.write(0x1234, utf8("ab"), utf8("c"));
  await here.sendDatagram(utf8("d"));
  await near.end();
  assert.equal(await there.read(), null);
  const capsules = [
    { capsule_type: "unknown", capsule_type_value: 0x1234, raw: { payload_length: 3 } },
    { capsule_type: "datagram", raw: { payload_length: 1 } },
  ];
  const as = (name: string) => capsules.map((capsule) => [name, { stream_id: near.id, capsule }]);
  assert.deepEqual(traced.client, as("http:capsule_created"));
  assert.deepEqual(traced.server, as("http:capsule_parsed"));
});

test("rfc9297#3.3 a stream that ends within a capsule is malformed", { timeout }, async () => {
  await using raw = await rawPair("client", { ours: OURS, quic });
  const { peer } = raw;
  await peer.settings();
  for (const broken of [bytes("00"), bytes("0005616263")]) {
    const stream = await peer.request(connectHead(peer), encodeFrame(FRAME.DATA, broken));
    const request = await raw.ours.acceptRequest();
    await request.respond(200, [CAPSULE_PROTOCOL]);
    stream.close();
    await assert.rejects(new CapsuleStream(request).read(), MalformedMessageError);
    await streamEnded("H3_MESSAGE_ERROR", async () => {
      for (;;) await stream.readMany();
    });
  }
  // One that would take too much memory is refused; a datagram that would is dropped.
  const stream = await peer.request(
    connectHead(peer),
    encodeFrame(
      FRAME.DATA,
      encodeCapsule(CAPSULE.DATAGRAM, new Uint8Array(2000)),
      encodeCapsule(0x20, new Uint8Array(2000)),
    ),
  );
  const request = await raw.ours.acceptRequest();
  await request.respond(200);
  await assert.rejects(
    new CapsuleStream(request, { types: [0x20], maxSize: 1000 }).read(),
    (error) => error instanceof Http3StreamError && error.errorCode === H3_ERROR.H3_EXCESSIVE_LOAD,
  );
  await streamEnded("H3_EXCESSIVE_LOAD", async () => {
    for (;;) await stream.readMany();
  });
  assert.equal(raw.ours.failure, null);
});

test("rfc9297#3.2 a head that has content beside capsules is malformed", { timeout }, async () => {
  await using raw = await rawPair("client", { ours: OURS, quic });
  const { peer } = raw;
  await peer.settings();
  for (const more of [field("content-length", "5"), field("content-type", "text/plain")]) {
    const stream = await peer.request(connectHead(peer, CAPSULE_PROTOCOL, more));
    const request = await raw.ours.acceptRequest();
    assert.throws(() => new CapsuleStream(request), MalformedMessageError);
    await streamEnded("H3_MESSAGE_ERROR", () => stream.readMany());
  }
  await using client = await rawPair("server", {});
  await client.peer.settings({ enableConnectProtocol: true });
  for (const status of ["204", "205", "206"]) {
    const stream = await client.ours.request(CONNECT);
    const far = await client.peer.quic.acceptStream();
    await far.write(client.peer.headers([field(":status", status), CAPSULE_PROTOCOL]));
    await stream.response();
    assert.throws(() => new CapsuleStream(stream), MalformedMessageError);
  }
});

test("rfc9297#3.4 Capsule-Protocol is a Boolean, and nothing where it is anything else", () => {
  const says = (...values: string[]) => saysCapsules(values.map((value) => field("capsule-protocol", value)));
  assert.equal(says("?1"), true);
  assert.equal(says("?1; unknown=5"), true);
  for (const value of ["?0", "1", '"?1"', "true", "", "?1, ?1"]) assert.equal(says(value), false, value);
  assert.equal(says("?1", "?1"), false);
  assert.equal(says(), false);
});
