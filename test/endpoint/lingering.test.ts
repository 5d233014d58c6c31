// What stays of connections that have ended: rfc9000#10.2.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ApplicationError } from "../../internal/protocol/errors.ts";
import { Bench, CLIENT, OTHER, type FakeConnection, shortPacket } from "./fake.ts";

const BYE = new Uint8Array(31).fill(0xbe);
const error = new ApplicationError(0n, "", false);

function ended(bench: Bench, packet: Uint8Array | null, budget = Infinity): FakeConnection {
  bench.endpoint.dial({ remote: CLIENT }, 0, 0);
  const connection = bench.made.at(-1)!;
  connection.emit({ type: "closed", error });
  connection.leaves = { until: 1000, packet, budget, remote: CLIENT, local: null };
  return connection;
}

describe("connections that have ended", () => {
  test("are let go when their owner has heard of it; their routes stay", () => {
    const bench = new Bench();
    const connection = ended(bench, BYE);
    bench.receive([]);
    assert.equal(connection.disposed, false, "nobody knows yet");
    while (bench.endpoint.pollEvent() !== null);
    bench.receive([]);
    assert.equal(connection.disposed, true);
    // The connection gives its connection IDs back as it is disposed of.
    connection.host.removeCid(connection.cid);
    assert.equal(bench.endpoint.connectionCount, 1);
    bench.receive([shortPacket(connection.cid)]);
    assert.deepEqual(connection.runs, [], "it is gone");
    assert.deepEqual(bench.drops, [], "but not a stranger's packet");
  });

  test("say the same again to the 1st, 2nd, 4th, 8th … datagram", () => {
    // rfc9000#10.2.1 endpoints MAY send the exact same packet in response to any received packet.
    const bench = new Bench();
    const connection = ended(bench, BYE);
    while (bench.endpoint.pollEvent() !== null);
    bench.receive([]);
    const answered: number[] = [];
    for (let n = 1; n <= 20; n++) {
      bench.receive([[shortPacket(connection.cid), OTHER]], n);
      const { datagrams, remotes } = bench.transmit(n);
      if (datagrams.length === 0) continue;
      answered.push(n);
      assert.deepEqual(datagrams, [BYE]);
      assert.deepEqual(remotes, [CLIENT], "where the connection's path was, whoever asks");
    }
    assert.deepEqual(answered, [1, 2, 4, 8, 16]);
  });

  test("send an address that is not validated three times what came from it, and nothing for what came from others", () => {
    // rfc9000#8.1 an endpoint MUST limit the amount of data it sends to the unvalidated address to three times …
    const bench = new Bench();
    const connection = ended(bench, new Uint8Array(200), 0);
    while (bench.endpoint.pollEvent() !== null);
    bench.receive([]);
    bench.receive([[shortPacket(connection.cid, 60), OTHER]]);
    assert.deepEqual(bench.transmit().datagrams, []);
    bench.receive([[shortPacket(connection.cid, 60), CLIENT]]);
    assert.deepEqual(bench.transmit().datagrams, [], "60 bytes allow 180");
    bench.receive([[shortPacket(connection.cid, 60), CLIENT]]);
    assert.equal(bench.transmit().datagrams.length, 1, "120 allow 360");
  });

  test("are silent where the peer ended them", () => {
    // rfc9000#10.2.2 an endpoint in the draining state MUST NOT send any packets.
    const bench = new Bench();
    const connection = ended(bench, null);
    while (bench.endpoint.pollEvent() !== null);
    for (let n = 0; n < 20; n++) bench.receive([shortPacket(connection.cid)], n);
    assert.deepEqual(bench.transmit(20).datagrams, []);
  });

  test("are forgotten after their time", () => {
    const bench = new Bench();
    const connection = ended(bench, BYE);
    while (bench.endpoint.pollEvent() !== null);
    bench.receive([]);
    assert.equal(bench.endpoint.nextTimeout(), 1000);
    bench.endpoint.handleTimeout(1000, 0);
    assert.equal(bench.endpoint.connectionCount, 0);
    assert.equal(bench.endpoint.nextTimeout(), Infinity);
    bench.receive([shortPacket(connection.cid)], 1001);
    assert.deepEqual(bench.drops, ["unknown_connection_id"]);
  });

  test("stay themselves while they must still listen", () => {
    const bench = new Bench();
    const connection = ended(bench, BYE);
    const { leaves } = connection;
    connection.leaves = null;
    while (bench.endpoint.pollEvent() !== null);
    bench.receive([shortPacket(connection.cid)]);
    assert.deepEqual(connection.runs, [[0, 1]]);
    connection.leaves = leaves;
    bench.receive([shortPacket(connection.cid)]);
    bench.receive([shortPacket(connection.cid)]);
    assert.equal(connection.disposed, true);
    assert.equal(connection.runs.length, 2);
  });
});
