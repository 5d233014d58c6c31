// The endpoint with real connections.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  StatelessResetError,
  TransportError,
  VersionNegotiationError,
} from "../../internal/protocol/errors.ts";
import { VERSION_NEGOTIATION_PATIENCE } from "../../internal/protocol/limits.ts";
import { FORGERY_PATIENCE } from "../../internal/protocol/limits.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { CONNECTION_REFUSED, VERSION_1, VERSION_2 } from "../../internal/protocol/constants.ts";
import { cidGenerator } from "../../internal/path/cid-generator.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import { KEY } from "./fake.ts";
import { Node, Wire } from "./real.ts";

const SERVER = makeAddress("192.0.2.10", 443);
const CLIENT = makeAddress("198.51.100.20", 50000);

function pair(options: ConstructorParameters<typeof Node>[2] = {}, clientOptions = options) {
  const server = new Node(SERVER, 1, { statelessResetKey: KEY, ...options });
  const client = new Node(CLIENT, 2, clientOptions);
  return { server, client, wire: new Wire(server, client) };
}

function connected(options: ConstructorParameters<typeof Node>[2] = {}) {
  const bench = pair(options);
  bench.server.listen();
  const dialed = bench.client.dial(bench.server, bench.wire.now);
  bench.wire.run(100);
  assert.ok(dialed.handshakeConfirmed);
  const [accepted] = bench.server.accepted;
  return { ...bench, dialed, accepted: accepted! };
}

function closedWith(node: Node, connection: Connection): unknown {
  for (const each of node.events) {
    if (each.type === "connection" && each.connection === connection && each.event.type === "closed") {
      return each.event.error;
    }
  }
  return null;
}

describe("endpoints with real connections", () => {
  test("a handshake is accepted, closed, and leaves no route, timer or connection", () => {
    const { server, client, wire, dialed, accepted } = connected();
    assert.equal(server.accepted.length, 1);
    assert.equal(server.endpoint.handshakeCount, 0);
    assert.ok(accepted.handshakeConfirmed);
    dialed.closeWithError(7n, "bye", wire.now);
    wire.run(60_000);
    assert.ok(client.eventsOf(dialed).includes("closed"));
    assert.ok(server.eventsOf(accepted).includes("closed"));
    assert.equal(server.endpoint.connectionCount, 0);
    assert.equal(client.endpoint.connectionCount, 0);
    assert.equal(server.endpoint.nextTimeout(), Infinity);
    assert.equal(client.endpoint.nextTimeout(), Infinity);
    assert.ok(dialed.isClosed && accepted.isClosed);
  });

  test("many connections, both roles on both sides", () => {
    const { server, client, wire } = pair();
    server.listen();
    client.listen();
    for (let n = 0; n < 10; n++) {
      client.dial(server, wire.now);
      server.dial(client, wire.now);
    }
    wire.run(100);
    assert.equal(server.accepted.length, 10);
    assert.equal(client.accepted.length, 10);
    assert.equal(server.endpoint.connectionCount, 20);
    assert.deepEqual(server.drops, []);
  });

  test("connection IDs of every length", () => {
    for (const length of [0, 4, 8, 20]) {
      const bench = pair({}, { cids: cidGenerator(length) });
      bench.server.listen();
      const dialed = bench.client.dial(bench.server, bench.wire.now);
      bench.wire.run(100);
      assert.ok(dialed.handshakeConfirmed, `length ${length}`);
    }
  });

  // rfc9000#6.2 a client that supports no other version MUST abandon the current connection attempt
  test("without a version in common the client says so", () => {
    const { server, client, wire } = pair();
    server.listen();
    const dialed = client.dial(server, wire.now, { versions: [0x1a2a3a4a] });
    wire.run(VERSION_NEGOTIATION_PATIENCE);
    assert.ok(closedWith(client, dialed) instanceof VersionNegotiationError);
    assert.equal(server.endpoint.connectionCount, 0);
    assert.equal(server.endpoint.stats.statelessSent.version_negotiation, 1);
  });

  test("a refused client hears CONNECTION_REFUSED", () => {
    for (const version of [VERSION_1, VERSION_2]) {
      const { server, client, wire } = pair({ maxHandshakes: 0 });
      server.listen();
      const dialed = client.dial(server, wire.now, { versions: [version] });
      wire.run(FORGERY_PATIENCE);
      const error = closedWith(client, dialed);
      assert.ok(error instanceof TransportError, String(error));
      assert.equal(error.errorCode, CONNECTION_REFUSED);
      assert.ok(error.remote);
    }
  });

  // rfc9000#10.3 the peer will immediately end the connection
  test("a server that lost its state resets its clients", () => {
    const { server, client, wire, dialed } = connected();
    server.endpoint.dispose();
    dialed.ping();
    wire.run(1000);
    assert.ok(closedWith(client, dialed) instanceof StatelessResetError);
    assert.equal(client.endpoint.stats.statelessResetsReceived, 1);
    wire.run(60_000);
    assert.equal(client.endpoint.connectionCount, 0);
  });

  test("a stateless reset reaches a client without connection IDs, too", () => {
    const { server, client, wire } = pair({}, { cids: cidGenerator(0) });
    server.listen();
    const dialed = client.dial(server, wire.now);
    wire.run(100);
    server.endpoint.dispose();
    dialed.ping();
    wire.run(1000);
    assert.ok(closedWith(client, dialed) instanceof StatelessResetError);
  });

  // rfc9000#9.3 NAT rebinding: the server validates the new address and goes on
  // The sender must give an active path that is still limited a short datagram of its own (PathSet.nextWithFrames).
  test("a client whose port or address changes stays connected", () => {
    for (const moved of [makeAddress(CLIENT.ip, 50001), makeAddress("203.0.113.5", 50000)]) {
      const { server, client, wire, dialed, accepted } = connected();
      client.address = moved;
      dialed.ping();
      wire.run(1000);
      assert.equal(accepted.remote.key, moved.key);
      assert.ok(accepted.paths.active.validated);
      assert.ok(server.eventsOf(accepted).includes("path_changed"));
      dialed.ping();
      wire.run(1000);
      assert.equal(closedWith(client, dialed), null);
      assert.equal(closedWith(server, accepted), null);
      // A stateless reset finds the connection at its new address, and routes are gone at its end.
      dialed.closeWithError(0n, "", wire.now);
      wire.run(60_000);
      assert.equal(server.endpoint.connectionCount + client.endpoint.connectionCount, 0);
    }
  });

  test("a datagram replayed from a forged address moves nobody for long", () => {
    const { server, wire, dialed, accepted, client } = connected();
    const forged = new Node(makeAddress("203.0.113.66", 6666), 9);
    let copy: Uint8Array | null = null;
    wire.filter = (bytes, from) => {
      if (from === client && copy === null) copy = bytes;
      return from !== client;
    };
    dialed.ping();
    wire.run(1);
    assert.notEqual(copy, null);
    wire.filter = () => true;
    // Only the forger's copy arrives: the attack of rfc9000#9.3.3.
    const three = new Wire(server, client, forged);
    three.now = wire.now;
    const home = client.address;
    client.address = forged.address;
    forged.address = makeAddress("203.0.113.99", 1);
    three.filter = (_bytes, from, to) => !(from === server && to === client);
    dialed.ping();
    three.run(1);
    assert.equal(accepted.remote.key, "203.0.113.66:6666");
    client.address = home;
    three.filter = () => true;
    three.run(5000);
    assert.equal(accepted.remote.key, home.key);
    assert.equal(closedWith(server, accepted), null);
  });

  test("a corrupted first Initial costs nothing but itself", () => {
    const { server, client, wire } = pair();
    server.listen();
    let corrupt = 3;
    wire.filter = (bytes, from) => {
      if (from === client && corrupt-- > 0) bytes[bytes.length - 1]! ^= 1;
      return true;
    };
    const dialed = client.dial(server, wire.now);
    wire.settle();
    assert.equal(server.endpoint.connectionCount, 0);
    wire.run(8000);
    assert.ok(dialed.handshakeConfirmed);
  });
});
