// Attacks on the keys of a connection: updates too early, too often, and never.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { KEY_USE } from "../../internal/handshake/protection.ts";
import {
  AEAD_LIMIT_REACHED,
  APPLICATION,
  HANDSHAKE,
  KEY_UPDATE_ERROR,
} from "../../internal/protocol/constants.ts";
import { HASTY_KEY_UPDATE_PACKETS, MAX_HASTY_KEY_UPDATES } from "../../internal/protocol/limits.ts";
import { Bench } from "./bench.ts";
import { counted } from "./counted.ts";
import { frame, ping, RunawayKeys } from "./peer.ts";

for (const role of ["client", "server"] as const) {
  describe(`keys of a hostile ${role}`, () => {
    // rfc9001#6.2 An endpoint MAY treat such consecutive key updates as a connection error of type KEY_UPDATE_ERROR.
    test("two updates without waiting for the first to be acknowledged", () => {
      const bench = new Bench(role).connect();
      const { peer } = bench;
      const runaway = new RunawayKeys(peer.secrets!);
      runaway.update();
      const first = peer.packet(APPLICATION, ping(), { keys: runaway.keys });
      runaway.update();
      const second = peer.packet(APPLICATION, ping(), { keys: runaway.keys });
      peer.out.push(first, second);
      bench.assertClosed(KEY_UPDATE_ERROR, "two updates at once");
    });

    // rfc9001#6.4 An endpoint that successfully removes protection with old keys when newer keys were used for packets
    // with lower packet numbers MUST treat this as a connection error of type KEY_UPDATE_ERROR.
    test("old keys for higher packet numbers than new ones", () => {
      const bench = new Bench(role).connect();
      const { peer } = bench;
      const old = new RunawayKeys(peer.secrets!);
      const fresh = new RunawayKeys(peer.secrets!);
      fresh.update();
      peer.send(APPLICATION, ping(), { number: 60, keys: fresh.keys });
      // Late ones are none of that.
      peer.send(APPLICATION, ping(), { number: 55, keys: old.keys });
      bench.settle();
      // With a higher number than any of the new keys: the victim does not even try.
      peer.send(APPLICATION, ping(), { number: 70, keys: old.keys });
      bench.settle();
      assert.deepEqual(bench.drops, ["decryption_failed"]);
      assert.equal(bench.connection.close.state, "open");
      peer.send(APPLICATION, ping(), { number: 54, keys: fresh.keys });
      bench.assertClosed(KEY_UPDATE_ERROR, "old keys");
    });

    test("a phase that flips under the same keys is nobody's", () => {
      const bench = new Bench(role).connect();
      const { peer } = bench;
      const work = bench.connection.stats.keyUpdates;
      for (let i = 0; i < 500; i++) {
        peer.send(APPLICATION, ping(), { firstByte: 0x04 });
        if (i % 20 === 19) bench.settle();
      }
      bench.settle();
      assert.equal(bench.drops.length, 500);
      assert.equal(bench.connection.stats.keyUpdates, work);
      bench.assertOpen("flipped phases");
    });

    // Storms: each update is answered, and none waits for three PTO.
    test("update after update: new keys are made a bounded number of times", () => {
      const { provider, counts } = counted();
      const bench = new Bench(role, {}, { provider }).connect();
      const { peer } = bench;
      const before = counts.aeads;
      const runaway = new RunawayKeys(peer.secrets!);
      let sent = 0;
      while (bench.localError === null && sent < 1000) {
        runaway.update();
        // Two packets: the victim's ACK leaves at once, so that the next update is not too early but only too soon.
        for (let k = 0; k < 2; k++) peer.send(APPLICATION, ping(), { keys: runaway.keys });
        peer.protection.onAckSent();
        sent++;
        bench.now += 1;
        bench.settle();
      }
      // Three keys for each update: read, write, and the next read key.
      assert.ok(sent > MAX_HASTY_KEY_UPDATES && sent <= MAX_HASTY_KEY_UPDATES + 3, `${sent} updates`);
      assert.ok(counts.aeads - before <= 3 * (sent + 2), `${counts.aeads - before} keys`);
      assert.equal((bench.localError as { errorCode: number }).errorCode, KEY_UPDATE_ERROR);
      bench.assertNeighbour("a storm of updates");
    });

    test("updates that are some packets apart go on for ever: a peer in a hurry", () => {
      const bench = new Bench(role).connect();
      const { peer } = bench;
      const runaway = new RunawayKeys(peer.secrets!);
      for (let i = 0; i < 2 * MAX_HASTY_KEY_UPDATES; i++) {
        runaway.update();
        for (let k = 0; k <= HASTY_KEY_UPDATE_PACKETS; k++)
          peer.send(APPLICATION, ping(), { keys: runaway.keys });
        peer.protection.onAckSent();
        bench.now += 1;
        bench.settle();
      }
      assert.equal(bench.connection.close.state, "open", String(bench.localError));
      assert.equal(bench.connection.stats.keyUpdates, 2 * MAX_HASTY_KEY_UPDATES);
      bench.assertNeighbour("hurry");
    });

    // rfc9001#6.6 exceeds the integrity limit for the selected AEAD: the endpoint MUST immediately close
    test("forged packets up to the integrity limit", () => {
      const keyUse = { ...KEY_USE, integrity: [200, 200] } as const;
      const bench = new Bench(role, {}, { keyUse }).connect();
      const { peer } = bench;
      for (let i = 0; i < 201; i++) {
        const forged = peer.packet(APPLICATION, ping());
        forged[forged.length - 1]! ^= 1;
        peer.out.push(forged);
        if (i === 199) {
          bench.settle();
          assert.equal(bench.connection.close.state, "open");
        }
      }
      bench.assertClosed(AEAD_LIMIT_REACHED, "the integrity limit");
    });

    // rfc9001#6.6 an endpoint MUST stop using those keys: a peer that answers no update cannot have more of them
    test("a peer that acknowledges nothing under new keys", () => {
      const limit = 300;
      const keyUse = { ...KEY_USE, confidentiality: [limit, limit], firstUpdate: 50 } as const;
      const bench = new Bench(role, {}, { keyUse }).connect();
      const { peer } = bench;
      const { connection } = bench;
      connection.ping();
      bench.settle();
      // From here on it hears nothing; it goes on with the old keys, and what it says keeps the victim talking.
      peer.receive = () => {};
      const old = new RunawayKeys(peer.secrets!);
      for (let i = 0; i < 3000 && bench.localError === null; i++) {
        peer.send(APPLICATION, ping(), { keys: old.keys });
        if (i % 2 === 0) {
          bench.now += 1;
          bench.settle();
        }
      }
      assert.ok(bench.localError !== null, "the keys would be used up");
      assert.equal((bench.localError as { errorCode: number }).errorCode, AEAD_LIMIT_REACHED);
      bench.assertNeighbour("a peer without updates");
    });
  });
}

// rfc9001#6.1 An endpoint MUST NOT initiate a key update prior to having confirmed the handshake
test("a client that updates keys together with its Finished", () => {
  const bench = new Bench("client", { sendsCrypto: (level) => level !== HANDSHAKE });
  bench.settle();
  const { peer } = bench;
  const runaway = new RunawayKeys(peer.secrets!);
  runaway.update();
  const early = peer.packet(APPLICATION, ping(), { keys: runaway.keys });
  // 1-RTT packets wait for the handshake, and come after it.
  const finished = frame((buf) =>
    peer.crypto.writeFrames(HANDSHAKE, buf, 0, buf.length, { addRecord() {} } as never),
  );
  peer.out.push(early);
  peer.send(HANDSHAKE, finished);
  bench.settle();
  const { close } = peer;
  assert.ok(close !== undefined, "it is told");
  assert.equal(close.errorCode, KEY_UPDATE_ERROR);
  bench.assertNeighbour("an update before the handshake is confirmed");
});
