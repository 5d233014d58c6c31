// Limits and windows as they travel, turns, and what thousands of streams leave behind.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SEND_BUFFER_PER_CONNECTION, SEND_BUFFER_PER_STREAM } from "../../internal/protocol/limits.ts";
import type { RecordSink } from "../../internal/recovery/sent-packets.ts";
import { content, frames, LIMITS, pair, readAll, settle, Side } from "./harness.ts";

const WINDOW = LIMITS.initialStreamWindow;
const named = (side: Side, type: string) => frames(side.packets()).filter(([name]) => name === type);

describe("window updates", () => {
  test("leave when half was consumed, and grow", () => {
    const { client, server } = pair();
    const { send } = client.map.open(true)!;
    send!.write(content(0, 0, WINDOW), false);
    for (const packet of client.packets()) server.receive(packet);
    const recv = server.opened[0]!.recv!;
    recv.readInto(new Uint8Array(WINDOW / 2 - 1));
    assert.ok(!server.map.hasControl);
    recv.readInto(new Uint8Array(1));
    assert.deepEqual(frames(server.packets()), [["max_stream_data", 0, WINDOW / 2 + 2 * WINDOW]]);
  });

  // rfc9000#13.3 … when the packet containing the most recently sent MAX_STREAM_DATA frame for a stream is lost
  test("lost ones are sent again with the value that holds, and only if no later one left", () => {
    const server = new Side("server");
    server.smoothedRtt = 0;
    const update = () => {
      const { limit } = server.map.get(0)!.recv!.window;
      const from = server.map.get(0)!.recv!.window.received;
      server.stream(0, from, new Uint8Array(limit - from));
      readAll(server.map.get(0)!);
      return server.packet()!;
    };
    server.stream(0, 0, new Uint8Array(1));
    const first = update();
    const second = update();
    server.lost(first);
    assert.equal(server.packet(), null);
    server.lost(second);
    assert.deepEqual(frames([server.packet()!]), frames([second]));
    // rfc9000#3.3 The receiver only sends MAX_STREAM_DATA frames in the "Recv" state.
    const third = update();
    server.stream(0, server.map.get(0)!.recv!.window.received, new Uint8Array(0), true);
    server.lost(third);
    assert.ok(frames(server.packets()).every(([type]) => type === "max_data"));
  });

  test("one stream's window pulls the connection's along", () => {
    const side = new Side("server");
    for (let i = 0; i < 20; i++) {
      const { window } = side.map.get(0)?.recv ?? { window: { limit: WINDOW, received: 0 } };
      const n = Math.min(
        window.limit - window.received,
        side.map.connectionWindow.limit - side.map.connectionWindow.received,
      );
      side.stream(0, window.received, new Uint8Array(n));
      readAll(side.map.get(0)!);
      side.packets();
    }
    assert.equal(side.map.get(0)!.recv!.window.size, LIMITS.maxStreamWindow);
    assert.ok(side.map.connectionWindow.size >= 1.5 * LIMITS.maxStreamWindow);
  });
});

// rfc9000#4.1 A sender SHOULD send a STREAM_DATA_BLOCKED or DATA_BLOCKED frame to indicate …
describe("blocked", () => {
  test("on a stream's limit: said once for each limit", () => {
    const client = new Side("client");
    const { send } = client.map.open(true)!;
    send!.write(content(0, 0, 2 * WINDOW), false);
    assert.deepEqual(named(client, "stream_data_blocked"), [["stream_data_blocked", 0, WINDOW]]);
    send!.write(content(0, 0, 10), false);
    assert.deepEqual(frames(client.packets()), []);
    client.map.onMaxStreamData(0, WINDOW + 100);
    assert.deepEqual(named(client, "stream_data_blocked"), [["stream_data_blocked", 0, WINDOW + 100]]);
    client.map.onMaxStreamData(0, WINDOW);
    assert.deepEqual(frames(client.packets()), []);
  });

  test("on the connection's limit: said once, also where the limit was reached before the write", () => {
    for (const last of [0, 1, 7, 600]) {
      const client = new Side("client");
      for (let i = 0; i < 2; i++) client.map.open(true)!.send!.write(content(0, 0, WINDOW), false);
      if (last > 0) client.map.open(true)!.send!.write(content(0, 0, last), false);
      const blocked = named(client, "data_blocked");
      assert.equal(blocked.length, last > 0 ? 1 : 0);
      client.map.open(true)!.send!.write(content(0, 0, 5), false);
      assert.equal(named(client, "data_blocked").length, last > 0 ? 0 : 1);
      client.map.onMaxData(3 * WINDOW);
      assert.ok(client.map.hasData);
      assert.equal(named(client, "data_blocked").length, 0);
    }
  });

  test("never sends beyond either limit", () => {
    const client = new Side("client");
    for (let i = 0; i < 5; i++) client.map.open(true)!.send!.write(content(0, 0, 60_000), false);
    const sent = frames(client.packets()).filter(([type]) => type === "stream");
    assert.equal(
      sent.reduce((sum, call) => sum + (call[4] as string).length / 2, 0),
      LIMITS.initialConnectionWindow,
    );
  });
});

describe("stream counts", () => {
  // rfc9000#4.6 unable to open a new stream due to the peer's limits SHOULD send a STREAMS_BLOCKED frame
  test("open stops at the limit and says so once", () => {
    const client = new Side("client", { ...LIMITS, maxIncomingStreams: 2 });
    assert.deepEqual([client.map.open(true)!.id, client.map.open(true)!.id], [0, 4]);
    assert.equal(client.map.open(true), null);
    assert.equal(client.map.open(true), null);
    assert.deepEqual(frames(client.packets()), [["streams_blocked", true, 2]]);
    // rfc9000#4.6 MAX_STREAMS frames that do not increase the stream limit MUST be ignored.
    client.map.onMaxStreams(true, 1);
    assert.equal(client.map.available(true), 0);
    client.map.onMaxStreams(true, 3);
    assert.equal(client.map.open(true)!.id, 8);
    assert.equal(client.map.open(true), null);
    client.map.onMaxStreams(true, 9);
    assert.deepEqual(frames(client.packets()), []);
  });

  test("nothing opens before the peer's parameters, what was opened gets its limit with them", () => {
    const client = new Side("client", LIMITS, null);
    assert.equal(client.map.open(true), null);
    assert.equal(client.packet(), null);
  });

  test("what is owed is announced as the peer comes near its limit, closed streams or not", () => {
    const server = new Side("server", { ...LIMITS, maxIncomingStreams: 100 });
    for (let i = 0; i < 10; i++) {
      server.map.onResetStream(4 * i, 0n, 0);
      server.map.get(4 * i)!.send!.reset(0n);
      server.acked(server.packet()!);
    }
    assert.equal(server.map.size, 0);
    assert.deepEqual(named(server, "max_streams"), []);
    server.stream(4 * 49, 0, new Uint8Array(1));
    assert.deepEqual(named(server, "max_streams"), [["max_streams", true, 110]]);
  });

  test("10,000 streams one after another: nothing is kept, every credit comes back", () => {
    const { client, server } = pair();
    for (let i = 0; i < 5000; i++) {
      for (const bidi of [true, false]) {
        const stream = client.map.open(bidi);
        assert.ok(stream, `no credit for ${i}`);
        stream.send!.write(content(stream.id, 0, 32), false);
        stream.send!.finish();
      }
      settle(client, server);
      for (const stream of server.opened) {
        readAll(stream);
        stream.send?.finish();
      }
      server.opened = [];
      server.readable.clear();
      client.writable.clear();
      server.writable.clear();
      client.readable.clear();
      settle(client, server);
    }
    assert.equal(client.map.size + server.map.size, 0);
    assert.equal(server.map.connectionWindow.consumed, 10_000 * 32);
    // Late frames for any of them open nothing.
    server.stream(0, 0, new Uint8Array(1));
    server.map.onResetStream(4 * 4999 + 2, 1n, 99);
    assert.equal(server.opened.length + server.map.size, 0);
  });
});

describe("turns", () => {
  test("1,999 small streams fill packets in the order of their opening", () => {
    const limits = { ...LIMITS, maxIncomingStreams: 1999 };
    const { client, server } = pair(limits);
    for (let i = 0; i < 1999; i++) {
      const { send } = client.map.open(true)!;
      send!.write(content(4 * i, 0, 32), false);
      send!.finish();
    }
    const packets = client.packets();
    assert.ok(packets.length <= Math.ceil((1999 * 38) / 1150), `${packets.length} packets`);
    for (const packet of packets) server.receive(packet);
    assert.deepEqual(
      server.opened.map(({ id }) => id),
      Array.from({ length: 1999 }, (_, i) => 4 * i),
    );
    // Each takes its size; only where the end of a packet cut a frame in two, more was to be expected.
    const larger = server.opened.filter(({ recv }) => recv!.memory !== 32);
    assert.ok(larger.length < packets.length, `${larger.length}`);
    for (const { recv } of larger) assert.ok(recv!.memory <= 2048);
    for (const stream of server.opened) assert.deepEqual(readAll(stream), content(stream.id, 0, 32));
  });

  test("large streams take a frame each in turn", () => {
    const client = new Side("client");
    for (let i = 0; i < 4; i++) client.map.open(true)!.send!.write(content(0, 0, 20_000), false);
    const order = frames(client.packets(1200, 12)).map((call) => call[1]);
    assert.deepEqual(order, [0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12]);
  });

  test("what was lost goes before anything new", () => {
    const client = new Side("client");
    for (let i = 0; i < 3; i++) client.map.open(true)!.send!.write(content(0, 0, 20_000), false);
    const sent = client.packets(1200, 6);
    client.lost(sent[2]!);
    client.lost(sent[4]!);
    const again = frames(client.packets(1200, 2));
    assert.deepEqual(
      again.slice(0, 2).map((call) => [call[1], call[2]]),
      [
        [8, 0],
        [4, frames([sent[4]!])[0]![2]],
      ],
    );
  });
});

describe("send buffers", () => {
  test("a full stream refuses, and tells when a good part is free", () => {
    const client = new Side("client", { ...LIMITS, initialStreamWindow: 4e6, initialConnectionWindow: 8e6 });
    const stream = client.map.open(true)!;
    const { send } = stream;
    assert.equal(send!.write(new Uint8Array(SEND_BUFFER_PER_STREAM + 5), false), SEND_BUFFER_PER_STREAM);
    assert.equal(send!.capacity, 0);
    assert.equal(send!.write(new Uint8Array(5), false), 0);
    let freed = 0;
    for (const packet of client.packets()) {
      client.acked(packet);
      freed = send!.capacity;
      if (client.writable.size > 0) break;
    }
    assert.ok(client.writable.has(stream));
    assert.ok(freed >= SEND_BUFFER_PER_STREAM / 4 && freed <= SEND_BUFFER_PER_STREAM / 2, `${freed}`);
  });

  test("a writer hears of room when its data has left, before any of it is acknowledged", () => {
    const client = new Side("client", { ...LIMITS, initialStreamWindow: 4e6, initialConnectionWindow: 8e6 });
    const stream = client.map.open(true)!;
    const { send } = stream;
    send!.write(new Uint8Array(SEND_BUFFER_PER_STREAM + 1), false);
    let left = 0;
    while (!client.writable.has(stream)) {
      const packet = client.packet();
      assert.ok(packet !== null, "all has left, and nobody was told");
      left += packet.bytes.length;
    }
    assert.ok(left < SEND_BUFFER_PER_STREAM, `${left} bytes had to leave`);
    assert.ok(send!.capacity >= SEND_BUFFER_PER_STREAM / 4);
    // Told once.
    client.writable.clear();
    client.packets(1200, 10);
    assert.ok(!client.writable.has(stream));
  });

  test("a writer that others left no room hears when they leave some", () => {
    const client = new Side("client", { ...LIMITS, initialConnectionWindow: 1e8, initialStreamWindow: 2e6 });
    const full = SEND_BUFFER_PER_CONNECTION / SEND_BUFFER_PER_STREAM;
    const first = Array.from({ length: full }, () => client.map.open(true)!);
    for (const { send } of first)
      assert.equal(send!.write(new Uint8Array(2e6), true), SEND_BUFFER_PER_STREAM);
    const late = client.map.open(true)!;
    assert.equal(late.send!.write(new Uint8Array(10), false), 0);
    for (let i = 0; i < full / 4; i++) {
      assert.ok(!client.writable.has(late));
      first[i]!.send!.reset(0n);
    }
    assert.ok(client.writable.has(late));
    assert.equal(late.send!.write(new Uint8Array(10), false), 10);
  });
});

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

test("frames sent, received and acknowledged leave little garbage", () => {
  const limits = { ...LIMITS, initialStreamWindow: 2 ** 40, maxStreamWindow: 2 ** 40 };
  const all = { ...limits, initialConnectionWindow: 2 ** 40, maxConnectionWindow: 2 ** 40 };
  const client = new Side("client", all);
  const server = new Side("server", all);
  const { send } = client.map.open(true)!;
  const data = new Uint8Array(65536);
  const target = new Uint8Array(65536);
  const buf = new Uint8Array(1200);
  const last = { kind: 0, a: 0, b: 0, c: 0 };
  const sink: RecordSink = {
    addRecord(kind, a, b, c) {
      last.kind = kind;
      last.a = a;
      last.b = b;
      last.c = c;
    },
  };
  // Short frames of large writes, so that the blocks themselves hardly count.
  const turn = (i: number) => {
    if (!client.map.hasData) send!.write(data, true);
    const end = client.map.writeStreamFrames(buf, 0, 70, sink);
    server.map.onStream(0, last.b, false, buf, end - last.c, last.c);
    client.map.onRecordAcked(last.kind, last.a, last.b, last.c);
    if (i % 512 === 0) server.opened[0]!.recv!.readInto(target);
  };
  let i = 0;
  for (; i < 50_000; i++) turn(i);
  const rounds = 20_000;
  let least = Infinity;
  for (let attempt = 0; attempt < 8 && least > 40 * rounds; attempt++) {
    gc();
    const before = process.memoryUsage().heapUsed;
    for (const to = i + rounds; i < to; i++) turn(i);
    least = Math.min(least, process.memoryUsage().heapUsed - before);
  }
  assert.ok(least <= 90 * rounds, `${(least / rounds).toFixed(1)} bytes per frame`);
  if (process.env["QUIC_TS_SHOW"]) console.log(`${(least / rounds).toFixed(1)} bytes per frame`);
});
