// Hostile doings about paths, connection IDs and ECN counts: tolerated within bounds, or the connection's end with the right
// code. rfc9000#9.3, rfc9000#5.1, rfc9000#13.4
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { initialWindow } from "../../internal/congestion/window.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { RxBatch } from "../../internal/protocol/batch.ts";
import * as c from "../../internal/protocol/constants.ts";
import { MAX_PATHS, RETIRED_CONNECTION_ID_TIME } from "../../internal/protocol/limits.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import { WALL } from "../endpoint/real.ts";
import { Bench } from "./bench.ts";
import { frame, ping } from "./peer.ts";

const { APPLICATION } = c;
const ELSEWHERE = makeAddress("198.51.100.99", 4000);

const number = (type: number, value: number) => frame((buf) => w.writeNumberFrame(buf, 0, type, value));
const newCid = (sequence: number, retire: number, byte: number) =>
  frame((buf) => {
    const cid = new Uint8Array(8).fill(byte);
    return w.writeNewConnectionId(buf, 0, sequence, retire, cid, new Uint8Array(16).fill(byte));
  });
const response = (fill: number) =>
  frame((buf) => w.writePathFrame(buf, 0, c.FRAME_PATH_RESPONSE, new Uint8Array(8).fill(fill)));

/** A 1-RTT packet of the peer's, from another address. */
function from(bench: Bench, address: Address, payload: Uint8Array): void {
  const batch = new RxBatch(65536, 4);
  batch.push(bench.peer.packet(APPLICATION, payload), address);
  bench.victim.endpoint.receive(batch, bench.now, WALL);
}

describe("PATH_RESPONSE without a challenge of ours", () => {
  test("guesses while an address is validated prove nothing, and the connection goes back", () => {
    const bench = new Bench("client").connect();
    const { connection } = bench;
    const home = connection.remote.key;
    // A "migration" to an address that does not get what is sent there.
    from(bench, ELSEWHERE, ping());
    assert.equal(connection.remote.key, ELSEWHERE.key);
    const path = connection.paths.active;
    assert.equal(path.validation.state, "running");
    for (let i = 0; i < 256; i++) {
      from(bench, ELSEWHERE, response(i));
      if (i % 16 === 0) bench.settle();
    }
    assert.ok(!path.validated);
    // rfc9000#8.1 … rfc9000#9.3.1 three times what came from there, no more.
    assert.ok(path.bytesSent <= 3 * path.bytesReceived, `${path.bytesSent} for ${path.bytesReceived}`);
    bench.run(10_000);
    // rfc9000#9.3.2 the endpoint MUST revert to using the last validated peer address
    assert.equal(connection.remote.key, home);
    bench.assertOpen("guessed answers");
  });
});

describe("rebinding storms", () => {
  test("a packet from each of a thousand addresses: so many paths, and three times their bytes at most", () => {
    const bench = new Bench("client").connect();
    const { connection } = bench;
    const before = { ...connection.stats };
    for (let i = 0; i < 1000; i++) {
      from(bench, makeAddress(`198.51.${i >> 8}.${i & 255}`, 1024 + i), ping());
      bench.settle();
      assert.ok(connection.paths.all.length <= MAX_PATHS);
      bench.now += 1;
    }
    const sent = connection.stats.bytesSent - before.bytesSent;
    const received = connection.stats.bytesReceived - before.bytesReceived;
    assert.ok(sent <= 3 * received + 20 * 1252, `${sent} for ${received}`);
    bench.run(20_000);
    assert.equal(connection.paths.all.length, 1);
    bench.assertOpen("a storm");
  });
});

describe("retired connection IDs", () => {
  test("of ours: packets to one are taken for a while, then they are nobody's; the others go on", () => {
    const bench = new Bench("client").connect();
    const { connection, peer } = bench;
    const old = peer.dcid;
    const next = [...peer.issued.values()][0]!;
    const retire = () => number(c.FRAME_RETIRE_CONNECTION_ID, 0);
    peer.send(APPLICATION, retire(), { dcid: next });
    bench.run(10);
    const received = () => connection.stats.packetsReceived;
    let before = received();
    peer.send(APPLICATION, ping(), { dcid: old });
    bench.run(10);
    assert.equal(received(), before + 1, "it was on its way, for all we know");
    bench.run(RETIRED_CONNECTION_ID_TIME + 1000);
    // What goes is looked at when something else is retired.
    peer.send(APPLICATION, number(c.FRAME_RETIRE_CONNECTION_ID, 2), { dcid: next });
    bench.run(10);
    before = received();
    for (let i = 0; i < 50; i++) peer.send(APPLICATION, ping(), { dcid: old });
    bench.run(100);
    assert.equal(received(), before, "nobody's");
    peer.send(APPLICATION, ping(), { dcid: next });
    bench.run(10);
    assert.equal(received(), before + 1);
    peer.dcid = next;
    bench.assertOpen("a retired connection ID is used");
  });

  test("of the peer's: one that comes again is retired again, and never used", () => {
    for (const role of ["client", "server"] as const) {
      const bench = new Bench(role).connect();
      const { connection, peer } = bench;
      for (const [sequence, retire] of [
        [1, 0],
        [2, 2],
        [3, 2],
      ] as const) {
        peer.send(APPLICATION, newCid(sequence, retire, sequence));
      }
      bench.run(100);
      assert.equal(connection.remoteCids.currentSequence, 2);
      const told = () => peer.frames.filter((each) => each.type === "retire_connection_id").length;
      assert.equal(told(), 2, "0 and 1");
      // The same, and under another number the same bytes of one that is long gone.
      peer.send(APPLICATION, newCid(1, 0, 1));
      bench.run(100);
      // rfc9000#19.15 … MUST send a corresponding RETIRE_CONNECTION_ID frame that retires the newly received connection ID
      assert.equal(told(), 3);
      assert.equal(connection.remoteCids.activeCount, 2);
      assert.equal(connection.remoteCids.bytesOf(1), null);
      bench.assertOpen("a retired one is issued again");
    }
  });
});

describe("connection IDs over active_connection_id_limit", () => {
  // rfc9000#5.1.1 … MUST close the connection with an error of type CONNECTION_ID_LIMIT_ERROR
  for (const [role, limit] of [
    ["client", 2],
    ["client", 8],
    ["server", 4],
  ] as const) {
    test(`the limit of ${limit} is taken, one more of a ${role} is not`, () => {
      const bench = new Bench(role, {}, { activeConnectionIdLimit: limit }).connect();
      for (let i = 1; i < limit; i++) bench.peer.send(APPLICATION, newCid(i, 0, i));
      bench.assertOpen("up to the limit");
      assert.equal(bench.connection.remoteCids.activeCount, limit);
      bench.peer.send(APPLICATION, newCid(limit, 0, limit));
      bench.assertClosed(c.CONNECTION_ID_LIMIT_ERROR, "one more");
    });
  }
});

describe("ECN counts of a peer that makes them up", () => {
  const honest = (marked: number) => ({ ect0: marked, ect1: 0, ce: 0 });
  for (const [name, lie] of [
    ["fewer than packets acknowledged", () => ({ ect0: 0, ect1: 0, ce: 0 })],
    ["more than packets sent", () => ({ ect0: 1e6, ect1: 0, ce: 0 })],
    ["more than packets sent, all of them congested", (marked) => ({ ect0: 0, ect1: 0, ce: marked + 1000 })],
    ["ECT(1) that was never sent", () => ({ ect0: 0, ect1: 1000, ce: 0 })],
  ] as [string, typeof honest][]) {
    // rfc9000#13.4.2.1 … rfc9000#13.4.2.2 If validation fails, then the endpoint MUST disable ECN.
    test(`${name}: marking ends, the connection does not`, () => {
      const bench = new Bench("client", { ecn: honest }).connect();
      const { connection } = bench;
      connection.ping();
      bench.run(50);
      assert.equal(connection.recovery.ecn.state, "capable");
      bench.peer.ecn = lie;
      connection.ping();
      bench.run(100);
      assert.equal(connection.recovery.ecn.state, "failed");
      assert.equal(connection.recovery.ecn.mark, 0);
      assert.equal(connection.recovery.ecn.congested, 0);
      bench.assertOpen(name);
    });
  }

  // rfc9000#13.4.2.1 these counts are those of what was sent: nothing shows that they are made up. rfc9002#7.1 So they slow the
  // sender down, and that is all.
  test("all marked congested: a small window, no error, and all that is sent arrives", () => {
    const congested = (marked: number) => ({ ect0: 0, ect1: 0, ce: marked });
    const bench = new Bench("client", { ecn: congested }).connect();
    const { connection, peer } = bench;
    const { ecn } = connection.recovery;
    const initial = initialWindow(connection.paths.active.mtu);
    const stream = connection.openStream(false)!;
    const bytes = new Uint8Array(100_000);
    let written = 0;
    for (let round = 0; round < 500 && connection.streams.size > 0; round++) {
      if (written < bytes.length) written += stream.send!.write(bytes.subarray(written), false);
      if (written === bytes.length) stream.send!.finish();
      connection.wake();
      bench.run(20);
    }
    assert.equal(written, bytes.length);
    assert.equal(connection.streams.size, 0, "all of it is acknowledged");
    assert.equal(ecn.state, "capable");
    const marked = peer.marked.reduce((sum, each) => sum + each);
    assert.ok(marked > 50 && ecn.congested > 50 && ecn.congested <= marked, `${ecn.congested} of ${marked}`);
    assert.ok(connection.controller.cwnd < initial, `${connection.controller.cwnd}`);
    bench.assertOpen("all congested");
  });
});
