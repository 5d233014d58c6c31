import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Fate, type Faults, inBlackhole, Link, type Line, seededRandom } from "./link.ts";

const packet = (size = 1000): Uint8Array => new Uint8Array(size);

function fates(faults: Faults, count: number, seed = 7): Fate[] {
  const link = new Link({}, faults, seededRandom(seed));
  return Array.from({ length: count }, (_, i) => {
    link.offer(packet(), i, i);
    return link.fate;
  });
}

function longestRun(list: readonly Fate[], fate: Fate): number {
  let longest = 0;
  let now = 0;
  for (const each of list) longest = Math.max(longest, (now = each === fate ? now + 1 : 0));
  return longest;
}

describe("a direction of the relay's path", () => {
  it("delays", () => {
    const link = new Link({ delayMs: 15 }, {}, seededRandom(1));
    assert.equal(link.offer(packet(), 100, 0), 115);
  });

  it("sends one packet after the other at the line's rate", () => {
    const line: Line = { delayMs: 15, bandwidthMbps: 10 };
    const link = new Link(line, {}, seededRandom(1));
    // 1,222 + 28 bytes at 10 Mbit/s take 1 ms.
    assert.deepEqual(
      [0, 0, 0, 10].map((now) => link.offer(packet(1222), now, now)),
      [16, 17, 18, 26],
    );
  });

  it("drops what finds the queue full: one on the line, the queue, no more", () => {
    const link = new Link({ bandwidthMbps: 10, queuePackets: 25 }, {}, seededRandom(1));
    const arrivals = Array.from({ length: 30 }, () => link.offer(packet(1222), 0, 0));
    assert.equal(arrivals.filter((at) => at >= 0).length, 26);
    assert.equal(link.stats.queueDropped, 4);
    assert.equal(link.fate, "queue");
    // A millisecond later one has left.
    assert.ok(link.offer(packet(1222), 1, 1) > 0);
    assert.equal(link.offer(packet(1222), 1, 1), -1);
  });

  it("drops what exceeds the MTU, headers included", () => {
    const link = new Link({ mtu: 1500 }, {}, seededRandom(1));
    assert.equal(link.offer(packet(1472), 5, 5), 5);
    assert.equal(link.offer(packet(1473), 5, 5), -1);
    assert.deepEqual([link.fate, link.stats.tooBig], ["mtu", 1]);
  });

  it("drops at the given rate, never more in a row than the burst", () => {
    const list = fates({ dropRate: 30, dropBurst: 3 }, 20_000);
    const rate = list.filter((fate) => fate === "random").length / list.length;
    assert.ok(rate > 0.27 && rate < 0.31, `rate ${rate}`);
    assert.equal(longestRun(list, "random"), 3);
    assert.deepEqual(list, fates({ dropRate: 30, dropBurst: 3 }, 20_000), "equal seeds, equal fates");
    assert.notDeepEqual(list, fates({ dropRate: 30, dropBurst: 3 }, 20_000, 8));
  });

  it("changes one byte within the first 50", () => {
    const link = new Link({}, { corruptRate: 100 }, seededRandom(3));
    const places = new Set<number>();
    for (let i = 0; i < 2000; i++) {
      const sent = packet();
      assert.ok(link.offer(sent, i, i) >= 0);
      const changed = [...sent.entries()].filter(([, byte]) => byte !== 0);
      assert.equal(changed.length, 1);
      places.add(changed[0]![0]);
    }
    assert.equal(Math.max(...places), 49);
    assert.equal(places.size, 50);
    const tiny = packet(1);
    link.offer(tiny, 0, 0);
    assert.notEqual(tiny[0], 0);
    assert.equal(longestRun(fates({ corruptRate: 50, corruptBurst: 2 }, 2000), "corrupted"), 2);
  });

  it("drops by list, counting from 1", () => {
    assert.deepEqual(fates({ droplist: [1, 3] }, 4), ["droplist", "delivered", "droplist", "delivered"]);
  });

  it("has blackholes, again and again or so many times", () => {
    const line: Line = { blackhole: { onMs: 5000, offMs: 2000 } };
    const at = [0, 4999, 5000, 6999, 7000, 11_999, 12_000];
    assert.deepEqual(
      at.map((ms) => inBlackhole(line, ms)),
      [false, false, true, true, false, false, true],
    );
    assert.equal(inBlackhole({ blackhole: { onMs: 5000, offMs: 2000, repeat: 1 } }, 12_500), false);
    const link = new Link(line, {}, seededRandom(1));
    assert.equal(link.offer(packet(), 105_500, 5500), -1);
    assert.equal(link.stats.blackholed, 1);
  });
});
