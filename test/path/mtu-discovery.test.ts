// The search for the largest datagram that arrives: rfc8899.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MtuDiscovery } from "../../internal/path/mtu-discovery.ts";
import { MTU_PROBES, MTU_RAISE_TIMER, MTU_SEARCH_STEP } from "../../internal/protocol/limits.ts";

function searching(base: number, ceiling: number): MtuDiscovery {
  const mtu = new MtuDiscovery(base, ceiling);
  mtu.enable();
  mtu.start();
  return mtu;
}

/** Probes over a path that carries `carried` until there is nothing to look for. Gives the number of probes. */
function search(mtu: MtuDiscovery, carried: number, now = 0): number {
  for (let probes = 0; ; probes++) {
    assert.ok(probes < 100, "the search ends");
    const size = mtu.probeDue(now);
    if (size === 0) return probes;
    mtu.onProbeSent(size);
    assert.equal(mtu.probeDue(now), 0, "one probe at a time");
    if (size <= carried) mtu.onProbeAcked(size, now);
    else mtu.onProbeLost(size, now);
  }
}

describe("DPLPMTUD", () => {
  test("does nothing before the handshake is confirmed, nor where it is off", () => {
    const mtu = new MtuDiscovery(1252, 1452);
    mtu.start();
    assert.deepEqual([mtu.state, mtu.probeDue(0)], ["off", 0]);
    mtu.enable();
    assert.deepEqual([mtu.state, mtu.probeDue(0)], ["base", 0]);
    mtu.start();
    assert.deepEqual([mtu.state, mtu.probeDue(0)], ["searching", 1452]);
  });

  test("a path that carries the ceiling is found with one probe", () => {
    const mtu = searching(1252, 1452);
    assert.equal(search(mtu, 1500), 1);
    assert.deepEqual([mtu.state, mtu.size], ["complete", 1452]);
  });

  test("any other is found to within a step", () => {
    for (const ceiling of [1300, 1452, 9000, 65527]) {
      for (const carried of [1200, 1252, 1253, 1300, 1452, 4000, 8952, 65507]) {
        const mtu = searching(1252, ceiling);
        const probes = search(mtu, carried);
        const most = Math.max(1252, Math.min(carried, ceiling));
        assert.ok(
          mtu.size <= most && mtu.size > most - MTU_SEARCH_STEP,
          `${ceiling}, ${carried}: ${mtu.size}`,
        );
        assert.ok(probes <= MTU_PROBES * 14, `${probes}`);
      }
    }
  });

  test("how it searches can be said", () => {
    const how = { probes: 1, step: 100, raiseInterval: 5000 };
    const mtu = new MtuDiscovery(1252, 1452, how);
    mtu.enable();
    mtu.start();
    // The ceiling, and the middle: less than a hundred bytes are left then.
    assert.equal(search(mtu, 1300, 10), 2);
    assert.deepEqual([mtu.state, mtu.size], ["complete", 1252]);
    assert.deepEqual([mtu.probeDue(5009), mtu.probeDue(5010)], [0, 1452]);
  });

  test("a size is given up after three losses in a row, not before", () => {
    const mtu = searching(1252, 1452);
    for (let i = 1; i <= MTU_PROBES; i++) {
      assert.equal(mtu.probeDue(0), 1452);
      mtu.onProbeSent(1452);
      mtu.onProbeLost(1452, 0);
    }
    assert.equal(mtu.probeDue(0), 1252 + Math.ceil((1451 - 1252) / 2));
  });

  test("is done again after the raise timer", () => {
    const mtu = searching(1252, 1452);
    search(mtu, 1280);
    assert.equal(mtu.probeDue(MTU_RAISE_TIMER - 1), 0);
    assert.equal(search(mtu, 1500, MTU_RAISE_TIMER), 1);
    assert.equal(mtu.size, 1452);
    assert.equal(mtu.probeDue(3 * MTU_RAISE_TIMER), 0, "the ceiling is reached");
  });

  // rfc9000#14.3 … max_udp_payload_size
  test("the peer's limit bounds the search", () => {
    const mtu = searching(1252, 9000);
    mtu.limit(1300);
    search(mtu, 9000);
    assert.equal(mtu.size, 1300);
    mtu.limit(1200);
    assert.equal(mtu.size, 1200);
    assert.equal(mtu.probeDue(MTU_RAISE_TIMER), 0);
  });

  test("a black hole: back to 1,200 bytes, and a new search; answers of before do not count", () => {
    const mtu = searching(1252, 1452);
    search(mtu, 1500);
    mtu.onBlackHole();
    assert.deepEqual([mtu.size, mtu.state], [1200, "searching"]);
    assert.equal(mtu.onProbeAcked(1452, 0), false);
    assert.equal(mtu.size, 1200);
    search(mtu, 1350);
    assert.ok(mtu.size <= 1350 && mtu.size > 1330);
  });
});
