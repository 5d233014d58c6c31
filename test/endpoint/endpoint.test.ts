import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TransportError } from "../../internal/protocol/errors.ts";
import { CONNECTION_REFUSED } from "../../internal/protocol/constants.ts";
import { cidGenerator } from "../../internal/path/cid-generator.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { Bench, CLIENT, longPacket, OTHER, shortPacket } from "./fake.ts";

const dcid = (n: number, length = 8) => new Uint8Array(length).fill(n);

describe("routing", () => {
  test("runs of datagrams for one connection arrive in one call", () => {
    const bench = new Bench();
    const a = bench.endpoint.dial({ remote: CLIENT }, 0, 0);
    const b = bench.endpoint.dial({ remote: CLIENT }, 0, 0);
    const A = shortPacket(a.cid);
    const B = shortPacket(b.cid);
    const noise = shortPacket(dcid(0xee));
    bench.receive([A, A, A, B, noise, B, B, A]);
    assert.deepEqual(a.runs, [
      [0, 3],
      [7, 8],
    ]);
    assert.deepEqual(b.runs, [
      [3, 4],
      [5, 7],
    ]);
    assert.deepEqual(bench.drops, ["unknown_connection_id"]);
    assert.equal(bench.endpoint.stats.datagramsReceived, 8);
    assert.equal(bench.endpoint.stats.bytesReceived, 800);
  });

  test("other lengths of connection IDs work, long headers too", () => {
    for (const length of [4, 8, 12, 20]) {
      const bench = new Bench({ cids: cidGenerator(length) });
      const connection = bench.endpoint.dial({ remote: CLIENT }, 0, 0);
      assert.equal(connection.cid.length, length);
      bench.receive([shortPacket(connection.cid), longPacket({ dcid: connection.cid, size: 200 })]);
      assert.deepEqual(connection.runs, [[0, 2]]);
    }
  });

  test("with zero-length connection IDs addresses decide", () => {
    const bench = new Bench({ cids: cidGenerator(0) });
    const a = bench.endpoint.dial({ remote: CLIENT }, 0, 0);
    const b = bench.endpoint.dial({ remote: OTHER }, 0, 0);
    const packet = shortPacket(new Uint8Array(0));
    bench.receive([packet, [packet, OTHER], longPacket({ dcid: new Uint8Array(0) })]);
    assert.deepEqual(a.runs, [
      [0, 1],
      [2, 3],
    ]);
    assert.deepEqual(b.runs, [[1, 2]]);
    assert.throws(() => bench.endpoint.dial({ remote: CLIENT }, 0, 0), /zero-length/);
    assert.throws(() => bench.endpoint.listen({}), /connection IDs/);
    a.isClosed = true;
    bench.receive([packet]);
    bench.receive([packet]);
    assert.deepEqual(bench.drops, ["unknown_connection_id"]);
    bench.endpoint.dial({ remote: CLIENT }, 0, 0);
  });

  test("a client's Initial makes a connection, its duplicates go there", () => {
    const bench = new Bench();
    bench.endpoint.listen({});
    const initial = longPacket({ dcid: dcid(3, 11), scid: dcid(4, 3) });
    bench.receive([initial, initial, [longPacket({ dcid: dcid(5) }), OTHER]]);
    const [first, second] = bench.made;
    assert.equal(bench.made.length, 2);
    assert.deepEqual(first!.initial?.originalDcid, dcid(3, 11));
    assert.deepEqual(first!.initial?.peerScid, dcid(4, 3));
    assert.deepEqual(first!.initial?.dcid, dcid(3, 11));
    // The token it brought is none of ours.
    assert.equal(first!.initial?.validated, false);
    assert.deepEqual(first!.runs, [[0, 2]]);
    assert.deepEqual(second!.runs, [[2, 3]]);
    bench.receive([longPacket({ dcid: dcid(3, 11), type: 2, size: 100 })]);
    assert.equal(first!.runs.length, 2);
    first!.host.removeCid(dcid(3, 11));
    bench.receive([longPacket({ dcid: dcid(3, 11), type: 2, size: 100 })]);
    assert.deepEqual(bench.drops, ["unknown_connection_id"]);
  });

  test("what is no QUIC is dropped under its name", () => {
    const bench = new Bench({ statelessResetKey: null });
    const zero = makeAddress("192.0.2.9", 0);
    bench.receive([
      [longPacket(), zero],
      new Uint8Array(0),
      shortPacket(dcid(1), 20),
      new Uint8Array([0xc0, 0, 0, 0, 1, 200, 1, 2]),
      longPacket(),
    ]);
    assert.deepEqual(bench.drops, [
      "invalid_source",
      "invalid_header",
      "invalid_header",
      "invalid_header",
      "not_listening",
    ]);
    bench.trace.length = 0;
    bench.endpoint.listen({});
    const fixedBit = longPacket();
    fixedBit[0]! &= 0xbf;
    const badLength = longPacket();
    badLength[22] = 0x7f;
    bench.receive([
      // rfc9000#14.1 MUST discard an Initial packet in a datagram smaller than 1200 bytes
      longPacket({ size: 1199 }),
      // rfc9000#7.2 MUST be at least 8 bytes in length
      longPacket({ dcid: dcid(1, 7) }),
      fixedBit,
      badLength,
      longPacket({ type: 1 }),
      longPacket({ type: 2 }),
      longPacket({ dcid: dcid(1, 21) }),
    ]);
    assert.deepEqual(bench.drops, [
      "initial_too_small",
      "invalid_header",
      "invalid_header",
      "invalid_header",
      "unknown_connection_id",
      "unknown_connection_id",
      "invalid_header",
    ]);
    assert.equal(bench.endpoint.stats.dropped.invalid_header, 7);
    assert.equal(bench.made.length, 0);
    assert.equal(bench.transmit().datagrams.length, 0);
  });

  test("an Initial that does not authenticate leaves nothing behind", () => {
    const bench = new Bench();
    bench.endpoint.listen({});
    bench.authenticates = false;
    bench.receive([longPacket(), longPacket()]);
    assert.deepEqual(bench.drops, ["decryption_failed", "decryption_failed"]);
    assert.ok(bench.made[0]!.disposed);
    assert.equal(bench.endpoint.connectionCount, 0);
    assert.equal(bench.endpoint.handshakeCount, 0);
    bench.authenticates = true;
    bench.receive([longPacket()]);
    assert.equal(bench.endpoint.connectionCount, 1);
  });

  test("a defect while accepting stops nobody else", () => {
    const bench = new Bench();
    bench.endpoint.listen({});
    bench.throwOnAccept = true;
    bench.receive([longPacket()]);
    assert.deepEqual(bench.drops, ["connection_error"]);
    bench.throwOnAccept = false;
    bench.receive([longPacket()]);
    assert.equal(bench.endpoint.connectionCount, 1);
  });

  test("noise of every kind neither throws nor makes state", () => {
    const bench = new Bench({ tracer: null });
    bench.endpoint.listen({});
    bench.authenticates = false;
    const bytes = new Uint8Array(1500);
    for (let i = 0; i < 3000; i++) {
      bench.random(bytes.subarray(0, 40));
      bench.receive([bytes.slice(0, (i * 37) % 1500)], i);
      bench.transmit(i);
    }
    assert.equal(bench.endpoint.connectionCount, 0);
  });
});

describe("limits of a server", () => {
  test("handshakes in flight", () => {
    const bench = new Bench({ maxHandshakes: 2 });
    bench.endpoint.listen({});
    for (let n = 0; n < 3; n++) bench.receive([longPacket({ dcid: dcid(n + 1) })]);
    assert.equal(bench.made.length, 2);
    assert.deepEqual(bench.drops, ["server_busy"]);
    assert.equal(bench.transmit().datagrams.length, 1);
    bench.made[0]!.emit({ type: "handshake_complete" });
    while (bench.endpoint.pollEvent() !== null);
    bench.receive([longPacket({ dcid: dcid(9) })]);
    assert.equal(bench.made.length, 3);
    assert.equal(bench.endpoint.stats.connectionsRefused, 1);
  });

  test("connections, dialed ones as well", () => {
    const bench = new Bench({ maxConnections: 1 });
    bench.endpoint.listen({});
    bench.endpoint.dial({ remote: OTHER }, 0, 0);
    bench.receive([longPacket()]);
    assert.deepEqual(bench.drops, ["server_busy"]);
    assert.throws(() => bench.endpoint.dial({ remote: OTHER }, 0, 0), /as many connections/);
  });

  test("connections nobody accepts", () => {
    const bench = new Bench({ acceptQueue: 2 });
    bench.endpoint.listen({});
    for (let n = 0; n < 3; n++) bench.receive([longPacket({ dcid: dcid(n + 1) })]);
    for (const connection of bench.made) connection.emit({ type: "handshake_complete" });
    const accepted: unknown[] = [];
    for (let next = bench.endpoint.pollEvent(); next !== null; next = bench.endpoint.pollEvent()) {
      if (next.type === "accepted") accepted.push(next.connection);
    }
    assert.deepEqual(accepted, bench.made.slice(0, 2));
    const refused = bench.made[2]!.closedWith;
    assert.ok(refused instanceof TransportError && refused.errorCode === CONNECTION_REFUSED);
    bench.receive([longPacket({ dcid: dcid(7) })]);
    assert.deepEqual(bench.drops, ["server_busy"]);
    bench.endpoint.onAcceptTaken();
    bench.receive([longPacket({ dcid: dcid(7) })]);
    assert.equal(bench.made.length, 4);
  });

  test("after stopListening nobody new comes in, and who is in stays", () => {
    const bench = new Bench();
    bench.endpoint.listen({});
    assert.throws(() => bench.endpoint.listen({}), /listens already/);
    bench.receive([longPacket()]);
    bench.endpoint.stopListening();
    bench.receive([longPacket(), longPacket({ dcid: dcid(9) })]);
    assert.equal(bench.made.length, 1);
    assert.equal(bench.made[0]!.runs.length, 2);
    assert.deepEqual(bench.drops, ["not_listening"]);
  });
});

describe("events", () => {
  test("accepted comes before the end of the handshake, and only at a server", () => {
    const bench = new Bench();
    bench.endpoint.listen({});
    bench.receive([longPacket()]);
    const server = bench.made[0]!;
    server.emit({ type: "key_log", line: "x" });
    server.emit({ type: "handshake_complete" });
    server.emit({ type: "handshake_confirmed" });
    const client = bench.endpoint.dial({ remote: OTHER }, 0, 0);
    client.emit({ type: "handshake_complete" });
    const seen: string[] = [];
    for (let next = bench.endpoint.pollEvent(); next !== null; next = bench.endpoint.pollEvent()) {
      const who = next.connection === server ? "server" : "client";
      seen.push(`${who} ${next.type === "accepted" ? "accepted" : next.event.type}`);
    }
    assert.deepEqual(seen, [
      "server key_log",
      "server accepted",
      "server handshake_complete",
      "server handshake_confirmed",
      "client handshake_complete",
    ]);
  });

  test("the last events of a connection outlive it", () => {
    const bench = new Bench();
    const connection = bench.endpoint.dial({ remote: OTHER }, 0, 0);
    connection.emit({ type: "handshake_confirmed" });
    bench.endpoint.closeAll(new TransportError(0, "done"), 5);
    assert.equal(bench.endpoint.connectionCount, 0);
    assert.notEqual(bench.endpoint.pollEvent(), null);
    assert.equal(bench.endpoint.pollEvent(), null);
  });
});

describe("timers", () => {
  test("the earliest of all connections, read again after each verb", () => {
    const bench = new Bench();
    const connections = [30, 10, 20].map((deadline) => {
      const connection = bench.endpoint.dial({ remote: OTHER }, 0, 0);
      connection.deadline = deadline;
      connection.host.timerChanged(connection);
      return connection;
    });
    assert.equal(bench.endpoint.nextTimeout(), 10);
    bench.endpoint.handleTimeout(9, 0);
    assert.deepEqual(
      connections.map((each) => each.timeouts.length),
      [0, 0, 0],
    );
    bench.endpoint.handleTimeout(20, 0);
    assert.deepEqual(
      connections.map((each) => each.timeouts.length),
      [0, 1, 1],
    );
    assert.equal(bench.endpoint.nextTimeout(), 30);
    connections[0]!.deadline = 5;
    bench.receive([shortPacket(connections[0]!.cid)]);
    assert.equal(bench.endpoint.nextTimeout(), 5);
    connections[0]!.isClosed = true;
    bench.endpoint.handleTimeout(6, 0);
    assert.equal(bench.endpoint.nextTimeout(), Infinity);
    assert.equal(bench.endpoint.connectionCount, 2);
  });

  test("one that stays due cannot hold the endpoint", () => {
    const bench = new Bench();
    const connection = bench.endpoint.dial({ remote: OTHER }, 0, 0);
    connection.handleTimeout = (now: number) => void connection.timeouts.push(now);
    connection.deadline = 1;
    connection.host.timerChanged(connection);
    bench.endpoint.handleTimeout(5, 0);
    assert.equal(connection.timeouts.length, 1);
    // Not at once again, or the owner's loop would spin.
    assert.equal(bench.endpoint.nextTimeout(), 6);
    bench.endpoint.handleTimeout(6, 0);
    assert.equal(connection.timeouts.length, 2);
  });
});

describe("transmitting", () => {
  test("turns are fair and batches are filled", () => {
    const bench = new Bench();
    const connections = [1, 2, 3].map(() => {
      const connection = bench.endpoint.dial({ remote: OTHER }, 0, 0);
      connection.toSend = 100;
      connection.host.wantTransmit(connection);
      connection.host.wantTransmit(connection);
      return connection;
    });
    assert.ok(bench.endpoint.wantsTransmit);
    let sent = 0;
    for (let batches = 0; ; batches++) {
      const { datagrams, more } = bench.transmit();
      sent += datagrams.length;
      const left = connections.map((each) => each.toSend);
      assert.ok(Math.max(...left) - Math.min(...left) <= 4, left.join(" "));
      if (!more) break;
      assert.ok(batches < 100);
    }
    assert.equal(sent, 300);
    assert.equal(bench.endpoint.stats.datagramsSent, 300);
    assert.equal(bench.endpoint.stats.bytesSent, 300 * 1200);
  });

  test("a connection that says more and writes nothing does not spin", () => {
    const bench = new Bench();
    const connection = bench.endpoint.dial({ remote: OTHER }, 0, 0);
    connection.toSend = 1;
    connection.size = 1e6;
    connection.host.wantTransmit(connection);
    assert.equal(bench.transmit().more, false);
  });

  test("dispose forgets everything", () => {
    const bench = new Bench();
    bench.endpoint.listen({});
    bench.receive([longPacket()]);
    const connection = bench.endpoint.dial({ remote: OTHER }, 0, 0);
    connection.toSend = 3;
    connection.host.wantTransmit(connection);
    bench.endpoint.dispose();
    assert.ok(bench.made.every((each) => each.disposed));
    assert.equal(bench.endpoint.connectionCount, 0);
    assert.equal(bench.endpoint.handshakeCount, 0);
    assert.equal(bench.endpoint.nextTimeout(), Infinity);
    assert.equal(bench.transmit().datagrams.length, 0);
    bench.receive([longPacket(), shortPacket(connection.cid)]);
    assert.equal(connection.runs.length, 0);
  });
});
