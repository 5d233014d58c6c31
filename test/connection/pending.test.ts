// What a connection does while a hook of the application's takes its time, in virtual time.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection } from "../../internal/connection/connection.ts";
import { FORGERY_PATIENCE } from "../../internal/protocol/limits.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { CONNECTION_REFUSED } from "../../internal/protocol/constants.ts";
import { HandshakeTimeoutError, TlsAlertError, TransportError } from "../../internal/protocol/errors.ts";
import type { PendingRequest } from "../../internal/tls/types.ts";
import { identity, Node, WALL, Wire } from "../endpoint/real.ts";

/** A server that asks, and a client that has said hello and waits. */
function waiting(options: { handshakeTimeout?: number } = {}) {
  const server = new Node(makeAddress("192.0.2.10", 443), 1);
  const client = new Node(makeAddress("198.51.100.20", 50000), 2);
  const wire = new Wire(server, client);
  server.listen(options, { clientHello: "pending" });
  const dialed = client.dial(server, wire.now);
  wire.run(50);
  const asked = requestsOf(server);
  assert.equal(asked.length, 1);
  const [{ connection, request }] = asked as [(typeof asked)[0]];
  assert.equal(request.kind, "client_hello");
  const provide = (answer: Parameters<Connection["provide"]>[1], id = request.id) => {
    const awaited = connection.provide(id, answer, wire.now, WALL);
    wire.run(100);
    return awaited;
  };
  return { server, client, wire, dialed, connection, request, provide };
}

function requestsOf(node: Node): { connection: Connection; request: PendingRequest }[] {
  return node.events.flatMap((each) =>
    each.type === "connection" && each.event.type === "pending"
      ? [{ connection: each.connection, request: each.event.request }]
      : [],
  );
}

function errorOf(node: Node, connection: Connection): unknown {
  for (const each of node.events) {
    if (each.type === "connection" && each.connection === connection && each.event.type === "closed") {
      return each.event.error;
    }
  }
  return null;
}

test("a hook that takes its time: the client is acknowledged, asked about once, and served", () => {
  const it = waiting();
  it.wire.run(3000);
  assert.ok(!it.dialed.handshakeComplete);
  assert.equal(it.server.endpoint.handshakeCount, 1);
  assert.ok(it.dialed.statistics().packetsReceived > 0, "acknowledged meanwhile");
  assert.equal(it.provide(null), true);
  assert.ok(it.dialed.handshakeConfirmed);
  assert.equal(requestsOf(it.server).length, 1);
});

test("one that never answers ends with the handshake timeout; a late answer changes nothing", () => {
  const it = waiting({ handshakeTimeout: 2000 });
  it.wire.run(2100);
  assert.ok(errorOf(it.server, it.connection) instanceof HandshakeTimeoutError);
  assert.equal(it.server.endpoint.handshakeCount, 0);
  assert.equal(it.provide({ identity }), false);
  it.wire.run(60_000);
  assert.equal(it.server.endpoint.connectionCount, 0);
  assert.equal(it.provide({ identity }), false);
  assert.deepEqual(it.server.accepted, []);
});

test("an answer given twice, or to another request, changes nothing", () => {
  const it = waiting();
  assert.equal(it.provide(null, it.request.id + 1), false);
  assert.equal(it.provide(null, 0), false);
  assert.ok(!it.dialed.handshakeComplete);
  assert.equal(it.provide(null), true);
  assert.equal(it.provide(null), false);
  assert.equal(it.provide({ alpn: ["other"] }), false);
  assert.equal(it.provide(new TlsAlertError("access_denied", "too late")), false);
  assert.ok(it.dialed.handshakeConfirmed && it.connection.handshakeConfirmed);
  assert.equal(errorOf(it.server, it.connection), null);
});

test("an answer after the client went away changes nothing", () => {
  const it = waiting();
  it.dialed.closeWithError(0n, "", it.wire.now);
  it.wire.run(10);
  assert.equal(it.provide({ identity }), false);
  it.wire.run(60_000);
  assert.equal(it.server.endpoint.connectionCount, 0);
});

test("a refusal is what the client hears, and leaves nothing behind", () => {
  for (const refusal of [
    new TransportError(CONNECTION_REFUSED, "not today"),
    new TlsAlertError("access_denied", "not you"),
  ]) {
    const it = waiting();
    assert.equal(it.provide(refusal), true);
    // An Initial alone says so, which anybody could have sent.
    it.wire.run(FORGERY_PATIENCE);
    const error = errorOf(it.client, it.dialed);
    assert.ok(error instanceof TransportError && error.remote);
    assert.equal(error.errorCode, refusal.errorCode);
    assert.equal(error.reason, refusal.reason);
    assert.equal(errorOf(it.server, it.connection), refusal);
    it.wire.run(60_000);
    assert.equal(it.server.endpoint.connectionCount, 0);
    assert.equal(it.server.endpoint.nextTimeout(), Infinity);
  }
});

test("any question can be answered by a refusal", () => {
  const server = new Node(makeAddress("192.0.2.10", 443), 1);
  const client = new Node(makeAddress("198.51.100.20", 50000), 2);
  const wire = new Wire(server, client);
  server.listen({}, { identity: "pending" });
  const dialed = client.dial(server, wire.now);
  wire.run(50);
  const [{ connection, request }] = requestsOf(server) as [ReturnType<typeof requestsOf>[0]];
  connection.provide(request.id, new TlsAlertError("internal_error", ""), wire.now, WALL);
  wire.run(FORGERY_PATIENCE);
  const error = errorOf(client, dialed);
  assert.equal(error instanceof TransportError && error.alert, "internal_error");
});
