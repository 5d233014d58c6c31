// Clients that wait for the application's word: kept within bounds, admitted, refused, forgotten.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "../../internal/connection/connection.ts";
import type { EndpointOptions } from "../../internal/endpoint/types.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { CONNECTION_REFUSED } from "../../internal/protocol/constants.ts";
import {
  ApplicationError,
  HandshakeTimeoutError,
  TlsAlertError,
  TransportError,
} from "../../internal/protocol/errors.ts";
import { MAX_PARKED_BYTES, MAX_PARKED_DATAGRAMS, MAX_REASON_PHRASE } from "../../internal/protocol/limits.ts";
import { Bench, CLIENT, longPacket, OTHER } from "./fake.ts";
import { Node, WALL, Wire } from "./real.ts";

const dcid = (n: number) => new Uint8Array(8).fill(n);
const from = (n: number) => makeAddress(`10.0.${(n >> 8) & 255}.${n & 255}`, 5000);
const hello = (n: number) => longPacket({ dcid: Uint8Array.of(n >> 8, n, 3, 4, 5, 6, 7, 8) });
const DENIED = new TransportError(CONNECTION_REFUSED, "no");

function asking(options: Partial<EndpointOptions> = {}): Bench {
  const bench = new Bench(options);
  bench.endpoint.listen({}, { ask: 1000 });
  return bench;
}

/** The one client that waits. */
function incoming(bench: Bench) {
  const next = bench.endpoint.pollIncoming();
  assert.ok(next !== null);
  assert.equal(bench.endpoint.pollIncoming(), null);
  return next;
}

describe("parking", () => {
  test("nothing is made before the answer; then the connection gets all that came", () => {
    const bench = asking();
    const first = longPacket({ dcid: dcid(1) });
    bench.receive([first, first]);
    bench.receive([[first, OTHER]]);
    assert.equal(bench.made.length, 0);
    assert.equal(bench.endpoint.connectionCount, 0);
    assert.equal(bench.endpoint.handshakeCount, 1);
    assert.equal(bench.endpoint.pollEvent(), null);
    const { id, initial } = incoming(bench);
    assert.deepEqual(initial.dcid, dcid(1));
    assert.deepEqual([initial.remote, initial.validated], [CLIENT, false]);
    assert.equal(bench.endpoint.admit(id, null, 5, 0), true);
    assert.equal(bench.made.length, 1);
    assert.deepEqual(bench.made[0]!.runs, [[0, 3]]);
    assert.equal(bench.endpoint.handshakeCount, 1);
    bench.receive([first]);
    assert.equal(bench.made[0]!.runs.length, 2, "and what comes later");
    assert.deepEqual(bench.drops, []);
  });

  test("what is kept of one client is bounded in datagrams and bytes", () => {
    const bench = asking();
    for (let n = 0; n < 30; n++) bench.receive([hello(1)]);
    assert.equal(bench.endpoint.stats.dropped.queue_overflow, 30 - MAX_PARKED_DATAGRAMS);
    const large = asking();
    const size = 6000;
    for (let n = 0; n < 10; n++) large.receive([longPacket({ size })]);
    const room = Math.floor(MAX_PARKED_BYTES / size);
    assert.equal(large.endpoint.stats.dropped.queue_overflow, 10 - room);
    large.endpoint.admit(incoming(large).id, null, 0, 0);
    assert.deepEqual(large.made[0]!.runs, [[0, room]]);
  });

  test("those that wait are handshakes in flight: the limits hold for them", () => {
    const bench = asking({ maxHandshakes: 20, maxUnvalidatedHandshakes: 10 });
    for (let n = 0; n < 1000; n++) bench.receive([[hello(n), from(n)]]);
    assert.equal(bench.endpoint.handshakeCount, 10);
    assert.equal(bench.endpoint.stats.dropped.address_unvalidated, 990);
    let asked = 0;
    for (let next = bench.endpoint.pollIncoming(); next !== null; next = bench.endpoint.pollIncoming()) {
      bench.endpoint.admit(next.id, DENIED, 0, 0);
      asked++;
    }
    assert.equal(asked, 10);
    assert.equal(bench.endpoint.handshakeCount, 0);
    const few = asking({ maxConnections: 2 });
    for (let n = 0; n < 3; n++) few.receive([hello(n)]);
    assert.equal(few.endpoint.stats.dropped.server_busy, 1);
  });

  test("answers that come twice, late, or to nobody change nothing", () => {
    const bench = asking();
    bench.receive([hello(1)]);
    const { id } = incoming(bench);
    assert.equal(bench.endpoint.admit(id + 1, null, 0, 0), false);
    assert.equal(bench.endpoint.admit(id, null, 0, 0), true);
    assert.equal(bench.endpoint.admit(id, null, 0, 0), false);
    assert.equal(bench.endpoint.admit(id, DENIED, 0, 0), false);
    assert.equal(bench.made.length, 1);
    assert.equal(bench.endpoint.stats.connectionsRefused, 0);
  });

  test("who has waited too long is forgotten in silence", () => {
    const bench = asking();
    bench.receive([hello(1), hello(1)], 100);
    bench.receive([hello(2)], 300);
    assert.equal(bench.endpoint.nextTimeout(), 1100);
    bench.endpoint.handleTimeout(1099, 0);
    assert.equal(bench.endpoint.handshakeCount, 2);
    bench.endpoint.handleTimeout(1100, 0);
    assert.equal(bench.endpoint.handshakeCount, 1);
    assert.equal(bench.endpoint.nextTimeout(), 1300);
    assert.equal(bench.transmit().datagrams.length, 0);
    assert.deepEqual(bench.drops, ["application_refused", "application_refused"]);
    // The one that is left is announced, the other no more.
    const { id } = incoming(bench);
    assert.equal(bench.endpoint.admit(id, null, 1200, 0), true);
    assert.equal(bench.endpoint.nextTimeout(), Infinity);
    assert.equal(bench.endpoint.admit(id - 1, null, 1200, 0), false);
  });

  test("a listener that stops, and an endpoint that ends, refuse those that wait", () => {
    const stops: [(bench: Bench) => void, number][] = [
      [(bench) => bench.endpoint.stopListening(), 2],
      [(bench) => bench.endpoint.closeAll(new TransportError(CONNECTION_REFUSED, "going"), 0), 2],
      // What says nothing to peers that have no connection is not said.
      [(bench) => bench.endpoint.closeAll(new ApplicationError(7n, "", false), 0), 0],
      [(bench) => bench.endpoint.dispose(), 0],
    ];
    for (const [stop, answers] of stops) {
      const bench = asking();
      bench.receive([hello(1), hello(2)]);
      const id = bench.endpoint.pollIncoming()!.id;
      stop(bench);
      assert.equal(bench.endpoint.handshakeCount, 0);
      assert.equal(bench.endpoint.pollIncoming(), null);
      assert.equal(bench.endpoint.admit(id, null, 0, 0), false);
      assert.equal(bench.endpoint.nextTimeout(), Infinity);
      assert.equal(bench.endpoint.stats.statelessSent.connection_close, answers);
      assert.equal(bench.made.length, 0);
    }
  });

  test("noise that was admitted is found out as it is without asking", () => {
    const bench = asking();
    bench.authenticates = false;
    bench.receive([hello(1)]);
    bench.endpoint.admit(incoming(bench).id, null, 0, 0);
    assert.deepEqual(bench.drops, ["decryption_failed"]);
    assert.equal(bench.endpoint.connectionCount, 0);
    assert.equal(bench.endpoint.handshakeCount, 0);
  });

  test("a defect while the connection is made stops nobody else", () => {
    const bench = asking();
    bench.throwOnAccept = true;
    bench.receive([hello(1)]);
    assert.equal(bench.endpoint.admit(incoming(bench).id, null, 0, 0), true);
    assert.deepEqual(bench.drops, ["connection_error"]);
    assert.equal(bench.endpoint.handshakeCount, 0);
  });
});

describe("parking with real connections", () => {
  function waiting(options: Partial<EndpointOptions> = {}) {
    const server = new Node(makeAddress("192.0.2.10", 443), 1, options);
    const client = new Node(makeAddress("198.51.100.20", 50000), 2);
    const wire = new Wire(server, client);
    const listening = server.listen({}, {}, { ask: 5000 });
    const dialed = client.dial(server, wire.now);
    wire.run(700);
    const next = server.endpoint.pollIncoming();
    assert.ok(next !== null && server.endpoint.pollIncoming() === null, "repetitions are of the same client");
    const admit = (decision: Parameters<typeof server.endpoint.admit>[1]) => {
      const awaited = server.endpoint.admit(next.id, decision, wire.now, WALL);
      wire.run(300);
      return awaited;
    };
    return { server, client, wire, dialed, next, admit, listening };
  }

  function errorOf(node: Node, connection: Connection): unknown {
    for (const each of node.events) {
      if (each.type === "connection" && each.connection === connection && each.event.type === "closed") {
        return each.event.error;
      }
    }
    return null;
  }

  test("another configuration for one client", () => {
    const it = waiting();
    const config = it.server.config({ maxIncomingStreams: 3 });
    assert.equal(it.admit({ options: { ...it.listening, config } }), true);
    assert.ok(it.dialed.handshakeConfirmed);
    assert.equal(it.dialed.peerParameters!.initialMaxStreamsBidi, 3);
  });

  test("behind a Retry", () => {
    const it = waiting({ verifySourceAddress: () => true });
    assert.equal(it.next.initial.validated, true);
    it.admit(null);
    assert.ok(it.dialed.handshakeConfirmed);
  });

  test("a refusal's code, and its words, cut where they are too many", () => {
    const long = "é".repeat(MAX_REASON_PHRASE);
    for (const refusal of [
      DENIED,
      new TlsAlertError("access_denied", "not you"),
      new TransportError(2, long),
    ]) {
      const it = waiting();
      assert.equal(it.admit(refusal), true);
      const error = errorOf(it.client, it.dialed);
      assert.ok(error instanceof TransportError && error.remote, String(error));
      assert.equal(error.errorCode, refusal.errorCode);
      assert.equal(error.frameType, refusal.frameType);
      if (refusal.reason === long) assert.match(error.reason, /^é{256}$/);
      else assert.equal(error.reason, refusal.reason);
      assert.equal(it.server.endpoint.stats.connectionsRefused, 1);
      assert.equal(it.server.endpoint.connectionCount, 0);
    }
  });

  test("no answer ends as a server that does not answer does", () => {
    const it = waiting();
    it.wire.run(30_000);
    assert.ok(errorOf(it.client, it.dialed) instanceof HandshakeTimeoutError);
    assert.equal(it.admit(null), false);
    assert.equal(it.server.endpoint.handshakeCount, 0);
  });
});
