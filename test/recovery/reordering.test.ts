// Losses that were none: undone, and not made again.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { APPLICATION } from "../../internal/protocol/constants.ts";
import {
  MAX_PACKET_THRESHOLD,
  MAX_TIME_THRESHOLD,
  REORDERING_MEMORY,
} from "../../internal/protocol/limits.ts";
import { Reordering } from "../../internal/recovery/reordering.ts";
import { Harness } from "./harness.ts";

/** `count` packets sent at `now`; their numbers. */
function burst(h: Harness, now: number, count: number): number[] {
  return Array.from({ length: count }, () => h.send(now));
}

describe("a congestion event by spurious losses", () => {
  test("is undone when all of it has arrived, not before", () => {
    const h = new Harness("client", { trace: true });
    h.ack(50, [h.send(0)]);
    const [first, second, ...rest] = burst(h, 100, 6);
    const { cwnd, ssthresh } = h.controller;
    h.ack(150, [[rest[0]!, rest.at(-1)!]]);
    assert.deepEqual(h.take().lost, [`2:${first}`, `2:${second}`]);
    assert.ok(h.controller.cwnd < cwnd);
    h.ack(151, [[rest[0]!, rest.at(-1)!], first!]);
    assert.ok(h.controller.cwnd < cwnd, "one of two may be lost still");
    h.ack(152, [[first!, rest.at(-1)!]]);
    assert.deepEqual([h.controller.cwnd, h.controller.ssthresh], [cwnd, ssthresh]);
    assert.equal(h.recovery.spuriousLosses, 2);
    assert.ok(h.events.some((e) => e.name === "congestion_state_updated" && e.trigger === "spurious_loss"));
  });

  test("stays where a packet of it does not come", () => {
    const h = new Harness();
    h.ack(50, [h.send(0)]);
    const [first, , ...rest] = burst(h, 100, 6);
    h.ack(150, [[rest[0]!, rest.at(-1)!]]);
    const { cwnd } = h.controller;
    h.ack(151, [[rest[0]!, rest.at(-1)!], first!]);
    // Late for an earlier event does not count for this one.
    const more = burst(h, 160, 8);
    h.ack(210, [[more[4]!, more.at(-1)!]]);
    assert.ok(h.controller.cwnd < cwnd);
    const after = h.controller.cwnd;
    h.ack(211, [[more[0]!, more.at(-1)!], first! + 1]);
    assert.ok(h.controller.cwnd > after, "the second event is undone by its own packets");
    assert.ok(h.controller.cwnd <= cwnd + 1200);
  });

  test("stays after persistent congestion", () => {
    const h = new Harness();
    h.ack(50, [h.send(0)]);
    const first = h.send(60);
    for (let t = 100; t < 4000; t += 100) h.send(t);
    const last = h.send(4000);
    h.ack(4050, [last]);
    assert.ok(h.controller.cwnd <= 2 * 1200 + 1200);
    h.ack(4051, [[first, last]]);
    assert.ok(h.controller.cwnd <= 2 * 1200 + 1200);
  });
});

describe("the thresholds", () => {
  test("packets that came late by so many are waited for the next time", () => {
    const h = new Harness();
    h.ack(50, [h.send(0)]);
    const numbers = burst(h, 100, 10);
    // The first is overtaken by seven.
    h.ack(150, [[numbers[1]!, numbers[7]!]]);
    assert.deepEqual(h.take().lost, [`2:${numbers[0]}`]);
    h.ack(151, [[numbers[0]!, numbers[9]!]]);
    const again = burst(h, 200, 12);
    h.ack(250, [[again[1]!, again[7]!]]);
    assert.deepEqual(h.take().lost, []);
    // One more than it was, and it is lost as ever.
    h.ack(250, [[again[1]!, again[9]!]]);
    assert.deepEqual(h.take().lost, [`2:${again[0]}`]);
  });

  test("time, where time had declared it", () => {
    const h = new Harness();
    h.ack(100, [h.send(0)]);
    const [a, b] = burst(h, 200, 2);
    h.ack(300, [b!]);
    h.recovery.onTimeout(h.recovery.timer.at);
    assert.deepEqual(h.take().lost, [`2:${a}`]);
    // Half a round trip late.
    h.ack(350, [[a!, b!]]);
    const [c, d] = burst(h, 400, 2);
    h.ack(500, [d!]);
    const { smoothed, latest } = h.rtt;
    assert.equal(h.recovery.timer.at, 400 + (150 / 100) * Math.max(smoothed, latest));
    h.recovery.onTimeout(h.recovery.timer.at);
    assert.deepEqual(h.take().lost, [`2:${c}`]);
  });

  test("have bounds, and are forgotten by a new path and after episodes without any spurious loss", () => {
    const r = new Reordering();
    r.startEpisode(1, 0);
    r.begin(5000, 1000, 100);
    r.onSpurious(1, 0, 10, false);
    r.onSpurious(1, 0, 10, true);
    assert.deepEqual([r.packetThreshold, r.timeThreshold], [MAX_PACKET_THRESHOLD, MAX_TIME_THRESHOLD]);
    for (let i = 0; i < REORDERING_MEMORY; i++) r.startEpisode(1, 20 + i);
    assert.equal(r.packetThreshold, MAX_PACKET_THRESHOLD);
    r.startEpisode(1, 100);
    assert.deepEqual([r.packetThreshold, r.timeThreshold], [3, 9 / 8]);
    r.begin(50, 1000, 100);
    r.onSpurious(40, 0, 110, false);
    assert.equal(r.packetThreshold, 11);
    r.reset();
    assert.equal(r.packetThreshold, 3);
  });

  test("are not moved by packets of a path that was left", () => {
    const h = new Harness();
    h.ack(50, [h.send(0)]);
    const old = burst(h, 100, 8);
    h.recovery.onNewPath(120);
    h.ack(150, [[old[5]!, old[7]!]]);
    h.ack(160, [[old[0]!, old[7]!]]);
    const next = burst(h, 200, 4);
    h.ack(250, [next[3]!]);
    assert.deepEqual(h.take().lost.slice(-1), [`${APPLICATION}:${next[0]}`]);
  });
});
