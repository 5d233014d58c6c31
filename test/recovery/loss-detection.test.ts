import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ECT_0, NOT_ECT } from "../../internal/protocol/batch.ts";
import { APPLICATION, HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { MAX_SENT_PACKETS } from "../../internal/protocol/limits.ts";
import { seededInt } from "../path/seeded.ts";
import { ackOf, Harness } from "./harness.ts";

describe("loss", () => {
  // rfc9002#6.1.1 kPacketThreshold is 3
  test("by packet threshold, with a timer for the rest", () => {
    const h = new Harness();
    for (let i = 0; i < 6; i++) h.send(0);
    h.ack(100, [4]);
    assert.deepEqual(h.take(), { acked: ["2:4"], lost: ["2:0", "2:1"] });
    // rfc9002#6.1.2 if packets sent prior to the largest acknowledged packet cannot yet be declared lost, then a timer
    // SHOULD be set for the remaining time: 9/8 of the round trip.
    assert.equal(h.recovery.timer.at, 112.5);
    h.recovery.onTimeout(112.4);
    assert.deepEqual(h.take().lost, []);
    h.recovery.onTimeout(112.5);
    assert.deepEqual(h.take().lost, ["2:2", "2:3"]);
    assert.equal(h.recovery.bytesInFlight, 1200);
    assert.equal(h.recovery.lostPackets, 4);
  });

  test("the loss timer, firing on its exact time, never fires for nothing", () => {
    const int = seededInt(7);
    for (let i = 0; i < 500; i++) {
      const h = new Harness();
      const t = int(1e9) / 977;
      h.send(t);
      h.send(t);
      h.ack(t + int(1e6) / 7919, [1]);
      h.recovery.onTimeout(h.recovery.timer.at);
      assert.deepEqual(h.take().lost, ["2:0"], `round ${i}`);
    }
  });

  test("shown to be spurious by a late ACK", () => {
    const h = new Harness();
    for (let i = 0; i < 5; i++) h.send(0);
    h.ack(100, [4]);
    h.ack(101, [[0, 4]]);
    assert.equal(h.recovery.spuriousLosses, 2);
    h.ack(102, [[0, 4]]);
    assert.equal(h.recovery.spuriousLosses, 2);
  });

  test("of ACKs alone is no loss", () => {
    const h = new Harness();
    h.send(0, APPLICATION, { eliciting: false });
    for (let i = 0; i < 4; i++) h.send(0);
    h.ack(100, [[1, 4]]);
    assert.equal(h.recovery.lostPackets, 0);
    assert.equal(h.controller.ssthresh, Infinity);
    assert.equal(h.recovery.sent(APPLICATION).outstanding, 0);
  });

  test("every packet has one fate and the bytes add up, whatever comes", () => {
    for (let seed = 1; seed <= 25; seed++) {
      const int = seededInt(seed);
      const h = new Harness("client", { seed });
      const settled = new Map<string, string>();
      const live = new Set<number>();
      let now = 0;
      for (let step = 0; step < 400; step++) {
        now += int(20);
        const what = int(3);
        if (what < 2) {
          live.add(h.send(now));
        } else if (what === 2) {
          const numbers = [...live].filter(() => int(3) > 0).sort((a, b) => b - a);
          if (numbers.length > 0) h.ack(now, numbers as [number, ...number[]]);
        }
        const { acked, lost } = h.take();
        for (const [fate, list] of [
          ["acked", acked],
          ["lost", lost],
        ] as const) {
          for (const key of list) {
            assert.equal(
              settled.get(key),
              undefined,
              `seed ${seed} ${key} ${fate} after ${settled.get(key)}`,
            );
            settled.set(key, fate);
            live.delete(Number(key.slice(2)));
          }
        }
        assert.equal(h.recovery.bytesInFlight, 1200 * live.size, `seed ${seed} step ${step}`);
        assert.equal(h.recovery.sent(APPLICATION).outstanding, live.size, `seed ${seed}`);
      }
    }
  });

  test("memory is bounded although nothing is acknowledged and ACKs go on leaving", () => {
    const h = new Harness();
    h.send(0);
    for (let i = 0; i < MAX_SENT_PACKETS + 100; i++)
      h.send(1, APPLICATION, { eliciting: false, record: false });
    assert.ok(h.recovery.sent(APPLICATION).span <= MAX_SENT_PACKETS);
    assert.deepEqual(h.take().lost, ["2:0"]);
    assert.equal(h.recovery.bytesInFlight, 0);
  });

  test("an ACK of everything again and again costs nothing once it is settled", () => {
    const h = new Harness();
    let high = -1;
    const ranges: [number, number][] = [];
    for (let i = 0; i < 50_000; i++) {
      const pn = h.send(0, APPLICATION, { record: false });
      if (ranges[0] === undefined || pn > high + 1) ranges.unshift([pn, pn]);
      else ranges[0][1] = pn;
      high = pn;
    }
    // The oldest is left out: what is behind it must not be walked each time.
    ranges.at(-1)![0] = 1;
    const ack = ackOf(...ranges);
    h.recovery.onAck(APPLICATION, ack, 0, 10);
    const start = process.cpuUsage().user;
    for (let i = 0; i < 20_000; i++) h.recovery.onAck(APPLICATION, ack, 0, 10);
    assert.ok(process.cpuUsage().user - start < 1e6);
  });
});

describe("round-trip samples", () => {
  // rfc9002#5.1 MUST NOT be generated on an ACK frame that does not newly acknowledge at least one ack-eliciting packet.
  test("need the largest newly acknowledged and something ack-eliciting", () => {
    const h = new Harness();
    h.send(0);
    h.send(0, APPLICATION, { eliciting: false });
    h.ack(50, [1]);
    assert.equal(h.rtt.hasSample, false);
    h.ack(60, [[0, 1]]);
    assert.equal(h.rtt.hasSample, false);
    h.send(60);
    h.ack(90, [[0, 2]]);
    assert.equal(h.rtt.latest, 30);
  });

  test("delay: none for Initial, whole before confirmation, capped after", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    h.ack(100, [0], INITIAL, 50);
    h.send(100, INITIAL);
    h.ack(300, [1], INITIAL, 80);
    assert.equal(h.rtt.smoothed, 112.5);
    h.send(300, HANDSHAKE);
    h.ack(500, [0], HANDSHAKE, 80);
    assert.equal(h.rtt.smoothed, 112.5 * 0.875 + 120 / 8);
    // rfc9002#5.3 MUST use the lesser of the acknowledgment delay and the peer's max_ack_delay after the handshake is
    // confirmed.
    h.recovery.timer.setHandshakeConfirmed(500);
    const before = h.rtt.smoothed;
    h.send(500);
    h.ack(700, [0], APPLICATION, 80);
    assert.ok(Math.abs(h.rtt.smoothed - (before * 0.875 + 175 / 8)) < 1e-9);
  });
});

describe("persistent congestion", () => {
  /** rfc9002#7.6.3 in units of 100 ms, after a sample that makes the PTO two units. */
  function example(ackedInBetween: boolean): Harness {
    const h = new Harness("client", { trace: true });
    h.rtt.update(125, 0, 0);
    h.rtt.variance = 12.5;
    for (const t of [100, 200, 300, 400, 500, 600, 800]) h.send(t);
    h.send(1200);
    // A round trip like the others, so that the sample leaves the PTO where it was.
    if (ackedInBetween) h.ack(1325, [7, 3]);
    else h.ack(1325, [7]);
    return h;
  }

  test("is established by the RFC's example", () => {
    const h = example(false);
    // rfc9002#7.6.2 the sender's congestion window MUST be reduced to the minimum congestion window.
    // Appendix A.7 then lets the packet that was acknowledged grow it in slow start.
    assert.equal(h.controller.cwnd, 2400 + 1200);
    assert.equal(h.rtt.min, h.rtt.latest);
    assert.ok(
      h.events.some((e) => e.name === "congestion_state_updated" && e.trigger === "persistent_congestion"),
    );
  });

  test("is not where a packet in between was acknowledged", () => {
    const h = example(true);
    assert.equal(h.controller.cwnd, 6000);
  });

  test("is not before the first sample", () => {
    const h = new Harness();
    // rfc9002#7.6.2 a prior RTT sample existed when these two packets were sent.
    for (let t = 0; t <= 10_000; t += 1000) h.send(t);
    h.send(10_001);
    h.ack(10_002, [11]);
    assert.equal(h.controller.cwnd, 6000);
  });

  test("is not where another space's packet in between was acknowledged", () => {
    const h = new Harness("server", { confirmed: false });
    h.rtt.update(10, 0, 0);
    for (let t = 1; t < 1000; t += 100) h.send(t, APPLICATION);
    h.send(950, HANDSHAKE);
    h.ack(960, [0], HANDSHAKE);
    h.send(1000);
    h.ack(1010, [10]);
    // Half of what it had grown to by the Handshake packet.
    assert.equal(h.controller.cwnd, 6600);
  });
});

describe("ECN", () => {
  const withCounts = (ack: ReturnType<typeof ackOf>, ect0: number, ect1: number, ce: number) =>
    Object.assign(ack, { ecn: true, ect0, ect1, ce });

  test("more CE is a congestion event, once per round", () => {
    const h = new Harness();
    for (let i = 0; i < 4; i++) h.send(0, APPLICATION, { ecn: ECT_0 });
    h.recovery.onAck(APPLICATION, withCounts(ackOf([0, 1]), 1, 0, 1), 0, 10);
    assert.equal(h.controller.cwnd, 6000);
    h.recovery.onAck(APPLICATION, withCounts(ackOf([0, 2]), 1, 0, 2), 0, 11);
    assert.equal(h.controller.cwnd, 6000);
    assert.notEqual(h.recovery.ecn.state, "failed");
    assert.equal(h.recovery.ecnCounters(APPLICATION).ce, 2);
  });

  for (const [name, counts] of [
    ["counts are missing", null],
    ["the increase is less than what was newly acknowledged", [1, 0, 0]],
    ["there are marks that were never sent", [2, 1, 0]],
    ["there are more marks than packets", [5, 0, 0]],
  ] as const) {
    // rfc9000#13.4.2.1
    test(`validation fails where ${name}`, () => {
      const h = new Harness();
      for (let i = 0; i < 4; i++) h.send(0, APPLICATION, { ecn: ECT_0 });
      const ack = ackOf([0, 1]);
      if (counts !== null) withCounts(ack, counts[0], counts[1], counts[2]);
      h.recovery.onAck(APPLICATION, ack, 0, 10);
      assert.equal(h.recovery.ecn.state, "failed");
      assert.equal(h.controller.ssthresh, Infinity);
    });
  }

  test("a reordered ACK never fails validation", () => {
    const h = new Harness();
    for (let i = 0; i < 4; i++) h.send(0, APPLICATION, { ecn: ECT_0 });
    h.recovery.onAck(APPLICATION, withCounts(ackOf(2), 2, 0, 0), 0, 10);
    // rfc9000#13.4.2.1 MUST NOT fail ECN validation for an ACK that does not increase the largest acknowledged.
    h.recovery.onAck(APPLICATION, withCounts(ackOf(1), 1, 0, 0), 0, 11);
    assert.notEqual(h.recovery.ecn.state, "failed");
  });

  test("what is lost of an old path does not fail the test of a new one", () => {
    const h = new Harness();
    h.recovery.onAck(APPLICATION, withCounts(ackOf(h.send(0, APPLICATION, { ecn: ECT_0 })), 1, 0, 0), 0, 100);
    const old = Array.from({ length: 11 }, () => h.send(101, APPLICATION, { ecn: ECT_0 }));
    h.recovery.onNewPath(110);
    // The last one of the old path's comes: the others are lost when the time has come.
    h.recovery.onAck(APPLICATION, withCounts(ackOf(old.at(-1)!), 2, 0, 0), 0, 111);
    h.recovery.ecn.start(111);
    for (let i = 0; i < 10; i++) h.send(112, APPLICATION, { ecn: ECT_0 });
    assert.equal(h.recovery.ecn.state, "unknown");
    h.recovery.onTimeout(h.recovery.timer.at);
    assert.ok(h.take().lost.length >= 10);
    assert.equal(h.recovery.ecn.state, "unknown");
  });

  // rfc9000#13.4.2.2 Network routing and path elements can change mid-connection; an endpoint MUST disable ECN if validation later
  // fails.
  test("a path that begins to drop what is marked: sent without marks after three PTOs, tested anew, failed", () => {
    const h = new Harness();
    h.recovery.onAck(APPLICATION, withCounts(ackOf(h.send(0, APPLICATION, { ecn: ECT_0 })), 1, 0, 0), 0, 100);
    assert.equal(h.recovery.ecn.state, "capable");
    h.send(200, APPLICATION, { ecn: h.recovery.ecn.mark });
    let now = 200;
    for (let i = 0; i < 3; i++) {
      now = h.recovery.timer.at;
      h.recovery.onTimeout(now);
      if (h.recovery.ecn.mark !== NOT_ECT) h.send(now, APPLICATION, { ecn: ECT_0 });
    }
    assert.deepEqual([h.recovery.ecn.state, h.recovery.ecn.mark], ["unknown", NOT_ECT]);
    const heard = h.send(now, APPLICATION, { ecn: NOT_ECT });
    h.recovery.onAck(APPLICATION, withCounts(ackOf(heard), 1, 0, 0), 0, now + 100);
    assert.equal(h.recovery.ecn.state, "testing");
    for (let i = 0; i < 10; i++) h.send(now + 101, APPLICATION, { ecn: ECT_0 });
    const after = [0, 1, 2].map(() => h.send(now + 102, APPLICATION, { ecn: h.recovery.ecn.mark }));
    h.recovery.onAck(APPLICATION, withCounts(ackOf([after[0]!, after[2]!]), 1, 0, 0), 0, now + 200);
    h.recovery.onTimeout(h.recovery.timer.at);
    assert.equal(h.recovery.ecn.state, "failed");
  });

  test("counts about packets that were not marked mean nothing", () => {
    const h = new Harness();
    h.send(0);
    h.recovery.onAck(APPLICATION, withCounts(ackOf(0), 0, 0, 5), 0, 10);
    assert.equal(h.controller.ssthresh, Infinity);
    assert.notEqual(h.recovery.ecn.state, "failed");
  });
});
