// 0-RTT that overtakes its Initial: kept within bounds, given to its connection, dropped by name. rfc9000#5.2.2
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { EndpointOptions, ListenPolicy } from "../../internal/endpoint/types.ts";
import {
  EARLY_QUEUE_TIME,
  MAX_EARLY_QUEUE_BYTES,
  MAX_EARLY_QUEUE_DATAGRAMS,
  MAX_EARLY_QUEUES,
} from "../../internal/protocol/limits.ts";
import { Bench, longPacket } from "./fake.ts";

const dcid = (n: number) => new Uint8Array(8).fill(n);
const early = (n: number, size = 300) => longPacket({ dcid: dcid(n), type: 1, size });
const initial = (n: number) => longPacket({ dcid: dcid(n) });

function server(options: Partial<EndpointOptions> = {}, policy?: ListenPolicy): Bench {
  const bench = new Bench(options);
  bench.earlyData = true;
  bench.endpoint.listen({}, policy);
  return bench;
}

describe("0-RTT ahead of its Initial", () => {
  test("reaches the connection behind the Initial, in order", () => {
    const bench = server();
    bench.receive([early(1), early(1), early(2)]);
    assert.equal(bench.made.length, 0);
    assert.equal(bench.endpoint.nextTimeout(), EARLY_QUEUE_TIME);
    bench.receive([initial(1)], 5);
    assert.equal(bench.made.length, 1);
    assert.deepEqual(bench.made[0]!.runs, [
      [0, 1],
      [0, 2],
    ]);
    assert.deepEqual(bench.drops, []);
    bench.endpoint.handleTimeout(EARLY_QUEUE_TIME, 0);
    assert.deepEqual(bench.drops, ["unknown_connection_id"]);
    assert.equal(bench.endpoint.nextTimeout(), Infinity);
  });

  test("is dropped where the Initial turns out to be noise, or is not let in", () => {
    let bench = server();
    bench.authenticates = false;
    bench.receive([early(1), initial(1)]);
    assert.deepEqual(bench.drops, ["decryption_failed"]);
    assert.equal(bench.made[0]!.runs.length, 1);
    // rfc9000#8.1.2 a client that has to prove its address begins anew.
    bench = server({ verifySourceAddress: () => true });
    bench.receive([early(1), initial(1)]);
    assert.deepEqual(bench.drops, ["address_unvalidated", "address_unvalidated"]);
    assert.equal(bench.endpoint.nextTimeout(), Infinity);
    bench = server({ isBlocked: () => true });
    bench.receive([early(1), initial(1)]);
    assert.deepEqual(bench.drops, ["blocked", "blocked"]);
    bench = server({ maxConnections: 0 });
    bench.receive([early(1), initial(1)]);
    assert.deepEqual(bench.drops, ["server_busy", "server_busy"]);
  });

  test("is bounded in clients, datagrams and bytes", () => {
    const bench = server();
    for (let i = 0; i <= MAX_EARLY_QUEUE_DATAGRAMS; i++) bench.receive([early(1)]);
    assert.deepEqual(bench.drops, ["queue_overflow"]);
    for (let i = 0; i * 1200 < MAX_EARLY_QUEUE_BYTES; i++) bench.receive([early(2, 1200)]);
    assert.deepEqual(bench.drops, ["queue_overflow", "queue_overflow"]);
    for (let n = 3; n <= MAX_EARLY_QUEUES + 1; n++) bench.receive([early(n)]);
    assert.equal(bench.drops.length, 3);
    assert.deepEqual(new Set(bench.drops), new Set(["queue_overflow"]));
    bench.receive([initial(1)]);
    assert.deepEqual(bench.made[0]!.runs[1], [0, MAX_EARLY_QUEUE_DATAGRAMS]);
  });

  test("is kept with a client that waits for the application", () => {
    const bench = server({}, { ask: 1000 });
    bench.receive([early(1), early(1), initial(1), early(1)]);
    const { id } = bench.endpoint.pollIncoming()!;
    assert.equal(bench.endpoint.nextTimeout(), 1000);
    bench.endpoint.admit(id, null, 0, 0);
    assert.deepEqual(bench.made[0]!.runs, [[0, 4]]);
    assert.deepEqual(bench.drops, []);
  });

  test("goes with the listener, and is nothing to a server that takes none", () => {
    const bench = server();
    bench.receive([early(1)]);
    bench.endpoint.stopListening();
    assert.deepEqual(bench.drops, ["unknown_connection_id"]);
    bench.receive([early(1)]);
    assert.deepEqual(bench.drops, ["unknown_connection_id", "not_listening"]);
    const plain = new Bench();
    plain.endpoint.listen({});
    plain.receive([early(1)]);
    assert.deepEqual(plain.drops, ["unknown_connection_id"]);
    assert.equal(plain.endpoint.nextTimeout(), Infinity);
  });
});
