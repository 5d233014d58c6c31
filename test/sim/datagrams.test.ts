// Datagrams over a simulated network: rfc9221.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConnectionConfig } from "../../internal/connection/config.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import { DATAGRAM_RECEIVE_QUEUE, DATAGRAM_SEND_QUEUE } from "../../internal/protocol/limits.ts";
import type { LinkOptions } from "./network.ts";
import { replayed, Scenario, type ScenarioOptions } from "./scenario.ts";

const ON: Partial<ConnectionConfig> = { maxDatagramFrameSize: 65535 };

function scenario(options: Partial<ScenarioOptions> = {}): Scenario {
  return new Scenario({ seed: 9, nullAead: true, client: ON, server: ON, ...options });
}

const numbered = (i: number, length = 100): Uint8Array => {
  const data = new Uint8Array(length);
  new DataView(data.buffer).setUint32(0, i);
  return data;
};
const numberOf = (data: Uint8Array): number => new DataView(data.buffer, data.byteOffset).getUint32(0);

function taken(connection: Connection): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let next = connection.datagrams.receive(); next !== null; next = connection.datagrams.receive()) {
    all.push(next);
  }
  return all;
}

/** Sends and lets it leave. */
function send(s: Scenario, from: Connection, data: Uint8Array, options = {}): number {
  return from.datagrams.send(data, options, s.net.now);
}

describe("datagrams in the simulator", () => {
  it("arrive both ways, empty ones too, as large as maxSize says", () => {
    const s = scenario();
    const { client, server } = s.connect();
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      const most = from.datagrams.maxSize;
      assert.ok(most > 1200 && most < 1252, `${most}`);
      for (const length of [0, 1, 63, 64, most - 1, most]) {
        const data = new Uint8Array(length).fill(length);
        assert.ok(send(s, from, data) >= 0);
        // The caller may use its bytes again at once.
        data.fill(0xee);
      }
      s.run(500);
      assert.deepEqual(
        taken(to).map((data) => [data.length, data[0]]),
        [0, 1, 63, 64, most - 1, most].map((length) => [length, length === 0 ? undefined : length & 255]),
      );
      const { sent, acked, lost } = from.datagrams.counters;
      assert.deepEqual({ sent, acked, lost }, { sent: 6, acked: 6, lost: 0 });
    }
  });

  it("respect the peer's limit: rfc9221#3 MUST NOT send DATAGRAM frames larger than max_datagram_frame_size", () => {
    for (const [limit, most] of [
      [0, -2],
      [2, 0],
      [65, 63],
      [66, 63],
      [67, 64],
    ] as const) {
      const s = scenario({ server: { maxDatagramFrameSize: limit } });
      const { client, server } = s.connect();
      assert.equal(client.datagrams.supported, limit > 0);
      assert.ok(server.datagrams.supported);
      assert.equal(client.datagrams.maxSize, most, `limit ${limit}`);
      if (most < 0) continue;
      send(s, client, new Uint8Array(most));
      s.run(200);
      assert.equal(taken(server).length, 1);
      assert.equal(s.state(client).error, null);
    }
  });

  it("are not sent again, and what was lost is counted and told", () => {
    const lossy: LinkOptions = { delay: 20, loss: 0.2, reorder: 0.1, duplicate: 0.1 };
    const outcomes = new Map<number, string>();
    const s = replayed(
      () => scenario({ up: lossy, down: { delay: 20, loss: 0.1 }, traced: true }),
      (each) => {
        outcomes.clear();
        const { client, server } = each.connect();
        const { onEvent } = each.client;
        each.client.onEvent = (event) => {
          if (event.type === "connection" && event.event.type === "datagram_settled") {
            assert.ok(!outcomes.has(event.event.id) || outcomes.get(event.event.id) === "lost");
            outcomes.set(event.event.id, event.event.outcome);
          }
          onEvent(event);
        };
        for (let i = 0; i < 500; i++) {
          each.net.at(each.net.now + i, () => {
            send(each, client, numbered(i), { watched: true });
            each.net.flush(each.client);
          });
        }
        each.run(5000);
        const got = taken(server).map(numberOf);
        assert.equal(new Set(got).size, got.length, "a datagram arrived twice");
        const { counters } = client.datagrams;
        assert.equal(counters.sent, 500);
        assert.ok(got.length > 300 && got.length < 480, `${got.length} arrived`);
        // What is told as lost may have arrived with an ACK that was late; the reverse is a lie.
        assert.ok(counters.acked <= got.length, `${counters.acked} acknowledged, ${got.length} arrived`);
        assert.ok(counters.acked + counters.lost >= 495, `${counters.acked} + ${counters.lost}`);
        for (const [id, outcome] of outcomes) if (outcome === "acked") assert.ok(got.includes(id), `${id}`);
        assert.equal(outcomes.size, counters.acked + counters.lost);
      },
    );
    assert.ok(s.trace.client.some((event) => event.name === "packet_lost"));
  });

  it("wait for congestion control, and expire there: rfc9221#5.4", () => {
    // rfc9221#5.4 The sender MUST either delay sending the frame until the controller allows it or drop the frame without
    // sending it.
    const slow: LinkOptions = { delay: 50, rate: 100, queue: 20 };
    const s = scenario({ up: slow, down: slow, traced: true });
    const { client, server } = s.connect();
    let refused = 0;
    for (let i = 0; i < DATAGRAM_SEND_QUEUE.count + 100; i++) {
      if (send(s, client, numbered(i, 1000), { expiresAt: s.net.now + 500 }) < 0) refused++;
    }
    assert.equal(refused, 100);
    assert.equal(client.datagrams.counters.dropped.send_queue_full, 100);
    assert.ok(client.datagrams.isFull(0));
    let told = 0;
    const { onEvent } = s.client;
    s.client.onEvent = (event) => {
      if (event.type === "connection" && event.event.type === "datagrams_writable") told++;
      onEvent(event);
    };
    s.run(5000);
    const { counters } = client.datagrams;
    assert.ok(counters.dropped.expired > 300, `${counters.dropped.expired} expired`);
    assert.equal(counters.sent + counters.dropped.expired, DATAGRAM_SEND_QUEUE.count);
    assert.equal(client.datagrams.sendCount + client.datagrams.sendBytes, 0);
    assert.equal(told, 1);
    assert.ok(taken(server).length > 20);
    const reasons = s.trace.client.flatMap((event) =>
      event.name === "datagram_dropped" ? [event.reason] : [],
    );
    assert.deepEqual(new Set(reasons), new Set(["send_queue_full", "expired"]));
  });

  it("go by urgency, before and after stream data", () => {
    const slow: LinkOptions = { delay: 20, rate: 200 };
    const s = scenario({ up: slow, down: slow });
    const { client, server } = s.connect();
    const arrivals: string[] = [];
    const stream = s.open(client, 200_000, false)!;
    for (const urgency of [7, 3, 0, 5, 3]) send(s, client, numbered(urgency), { urgency });
    s.until(
      "all is there",
      () => {
        for (const data of taken(server)) arrivals.push(String(numberOf(data)));
        if (s.state(server).streams.get(stream.stream.id)?.finished === true && !arrivals.includes("stream"))
          arrivals.push("stream");
        return arrivals.length === 6;
      },
      60_000,
    );
    assert.deepEqual(arrivals.slice(0, 3), ["0", "3", "3"]);
    assert.deepEqual(arrivals.slice(3).sort(), ["5", "7", "stream"]);
    assert.ok(arrivals.indexOf("5") < arrivals.indexOf("7"));
  });

  it("drop the oldest of the least urgent where the queue says so, and purge by predicate", () => {
    const s = scenario({
      client: { ...ON, datagramSendQueue: { count: 3, bytes: 10_000, drop: "oldest" } },
    });
    const { client, server } = s.connect();
    for (const [i, urgency] of [
      [0, 3],
      [1, 5],
      [2, 5],
      [3, 3],
      [4, 3],
    ] as const) {
      assert.ok(send(s, client, numbered(i), { urgency }) >= 0);
    }
    assert.equal(client.datagrams.counters.dropped.send_queue_full, 2);
    assert.equal(
      client.datagrams.purge((data) => numberOf(data) === 3),
      1,
    );
    s.run(200);
    assert.deepEqual(taken(server).map(numberOf), [0, 4]);
    assert.equal(client.datagrams.counters.dropped.purged, 1);
    // What does not fit together is still taken alone.
    assert.ok(send(s, client, new Uint8Array(1100)) >= 0);
  });

  it("are dropped by name where nobody reads them, the newest or the oldest", () => {
    for (const drop of ["newest", "oldest"] as const) {
      const s = scenario({
        server: { ...ON, datagramReceiveQueue: { ...DATAGRAM_RECEIVE_QUEUE, count: 10, drop } },
      });
      const { client, server } = s.connect();
      for (let i = 0; i < 30; i++) send(s, client, numbered(i));
      s.run(500);
      const expected = Array.from({ length: 10 }, (_, i) => (drop === "newest" ? i : 20 + i));
      assert.deepEqual(taken(server).map(numberOf), expected);
      assert.equal(server.datagrams.counters.dropped.receive_queue_full, 20);
    }
  });

  it("do not fit any more when the path's MTU has shrunk: dropped as too_large", () => {
    const s = scenario();
    const { client, server } = s.connect();
    const most = client.datagrams.maxSize;
    send(s, client, numbered(1, most));
    send(s, client, numbered(2, 50));
    client.paths.active.mtu = 1210;
    s.run(200);
    assert.deepEqual(taken(server).map(numberOf), [2]);
    assert.equal(client.datagrams.counters.dropped.too_large, 1);
  });
});
