import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ECN_CE, ECT_0, ECT_1 } from "../../internal/protocol/batch.ts";
import { APPLICATION, HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { MAX_ACK_RANGES } from "../../internal/protocol/limits.ts";
import { ReceivedPackets } from "../../internal/recovery/received-packets.ts";
import { seededInt } from "../path/seeded.ts";

function rangesOf(received: ReceivedPackets): number[][] {
  return Array.from({ length: received.rangeCount }, (_, i) => [
    received.ranges[2 * i]!,
    received.ranges[2 * i + 1]!,
  ]);
}

function rangesOfSet(numbers: ReadonlySet<number>): number[][] {
  const out: number[][] = [];
  for (const pn of [...numbers].sort((a, b) => b - a)) {
    const last = out.at(-1);
    if (last !== undefined && last[0] === pn + 1) last[0] = pn;
    else out.push([pn, pn]);
  }
  return out;
}

describe("received packet numbers", () => {
  // rfc9000#12.3 a receiver MUST discard a newly unprotected packet unless it is certain that it has not processed
  // another packet with the same packet number from the same packet number space.
  test("do what a Set would, within bounds", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const int = seededInt(seed);
      const received = new ReceivedPackets(APPLICATION);
      const model = new Set<number>();
      const processed = new Set<number>();
      let floor = 0;
      let top = 0;
      const spread = seed % 3 === 0 ? 4 : 40;
      for (let step = 0; step < 800; step++) {
        const at = `seed ${seed} step ${step}`;
        // Some old, most ahead; in half of the seeds gaps everywhere.
        const pn = int(4) === 0 ? Math.max(0, top - int(5 * spread)) : top + int(seed % 2 === 0 ? spread : 2);
        assert.equal(received.isDuplicate(pn), pn < floor || processed.has(pn), at);
        if (!received.isDuplicate(pn)) {
          processed.add(pn);
          model.add(pn);
          received.onReceived(pn, true, 0, step);
          if (pn >= top) top = pn + 1;
          const ranges = rangesOfSet(model);
          if (ranges.length > MAX_ACK_RANGES) {
            const [low, high] = ranges.at(-1)!;
            for (let n = low!; n <= high!; n++) model.delete(n);
            floor = high! + 1;
          }
        }
        if (int(25) === 0) {
          received.onAckSent();
          const largest = Math.max(0, received.largest - int(spread));
          received.onAckOfAck(largest);
          const ranges = rangesOfSet(model);
          while (ranges.length > 1 && ranges.at(-1)![1]! <= largest) {
            const [low, high] = ranges.pop()!;
            for (let n = low!; n <= high!; n++) model.delete(n);
            floor = high! + 1;
          }
        }
        assert.deepEqual(rangesOf(received), rangesOfSet(model), at);
        assert.ok(received.rangeCount <= MAX_ACK_RANGES, at);
        assert.equal(received.largest, Math.max(-1, ...model), at);
      }
    }
  });

  // rfc9000#13.2.3 a receiver limits the number of ACK Ranges it remembers.
  test("with gaps everywhere forget the oldest and take nothing below again", () => {
    const received = new ReceivedPackets(APPLICATION);
    for (let i = 0; i < 1000; i++) received.onReceived(2 * i, true, 0, 0);
    assert.equal(received.rangeCount, MAX_ACK_RANGES);
    assert.equal(received.isDuplicate(1), true);
    assert.equal(received.isDuplicate(1997), false);
    assert.equal(received.isDuplicate(2 * (1000 - MAX_ACK_RANGES) - 1), false);
    assert.equal(received.isDuplicate(2 * (1000 - MAX_ACK_RANGES) - 3), true);
  });

  // rfc9000#13.2.4 the receiver can stop acknowledging packets less than or equal to the Largest Acknowledged.
  test("told and known to be told are dropped, but not what came late and was in no ACK", () => {
    const received = new ReceivedPackets(APPLICATION);
    for (const pn of [0, 1, 5, 10]) received.onReceived(pn, true, 0, 0);
    received.onAckSent();
    received.onReceived(7, true, 0, 0);
    received.onAckOfAck(10);
    // rfc9000#13.2.1 ack-eliciting packets MUST be acknowledged at least once.
    assert.deepEqual(rangesOf(received), [
      [10, 10],
      [7, 7],
    ]);
    assert.equal(received.isDuplicate(6), false);
    assert.equal(received.isDuplicate(4), true);
  });
});

describe("ACKs as the peer asks for them", () => {
  /** Which of these packets are acknowledged at once, an ACK leaving each time. */
  const told = (received: ReceivedPackets, numbers: readonly number[]): number[] =>
    numbers.filter((pn) => {
      received.onReceived(pn, true, 0, 0);
      if (!received.shouldAckNow(0)) return false;
      received.onAckSent();
      return true;
    });

  // ack-frequency#6.2.1, the two tables
  test("the draft's examples of reordering thresholds", () => {
    const three = new ReceivedPackets(APPLICATION);
    three.onFrequency(0, 1000, 25, 3);
    assert.deepEqual(told(three, [0, 1, 3, 4, 5, 8, 9, 10]), [5, 9, 10]);
    const five = new ReceivedPackets(APPLICATION);
    five.onFrequency(0, 1000, 25, 5);
    assert.deepEqual(told(five, [0, 1, 3, 5, 6, 7, 8, 9]), [7, 9]);
    // What the peer takes for lost by now is told at once.
    assert.deepEqual(told(five, [4, 2]), [4, 2]);
  });

  test("a reordering threshold of 0: none for what comes out of order", () => {
    const received = new ReceivedPackets(APPLICATION);
    received.onFrequency(0, 10, 25, 0);
    assert.deepEqual(told(received, [5, 9, 2, 7]), []);
  });

  test("after more than the threshold, or the delay", () => {
    const received = new ReceivedPackets(APPLICATION);
    received.onFrequency(3, 4, 7, 1);
    assert.deepEqual(told(received, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), [4, 9]);
    received.onReceived(10, true, 0, 100);
    assert.equal(received.ackDeadline, 107);
    received.onAckSent();
    // ack-frequency#4 A receiving endpoint MUST ignore a received ACK_FREQUENCY frame unless the Sequence Number value in the
    // frame is greater than the largest processed value.
    received.onFrequency(3, 0, 1, 1);
    received.onFrequency(2, 0, 1, 1);
    assert.deepEqual(told(received, [11]), []);
    received.onAckSent();
    received.onFrequency(4, 0, 1, 1);
    assert.deepEqual(told(received, [12, 13]), [12, 13]);
    received.onReceived(14, true, 0, 0);
    received.onAckSent();
    received.onFrequency(5, 100, 25, 1);
    received.onReceived(15, true, 0, 0);
    assert.equal(received.shouldAckNow(0), false);
    received.ackAtOnce(0);
    assert.equal(received.shouldAckNow(0), true);
  });

  // ack-frequency#6.3
  test("CE is told at once where it begins", () => {
    const received = new ReceivedPackets(APPLICATION);
    received.onFrequency(0, 10, 25, 1);
    const at = (pn: number, ecn: number) => {
      received.onReceived(pn, true, ecn, 0);
      const now = received.shouldAckNow(0);
      if (now) received.onAckSent();
      return now;
    };
    assert.deepEqual(
      [at(0, 2), at(1, ECN_CE), at(2, ECN_CE), at(3, 2), at(4, ECN_CE)],
      [false, true, false, false, true],
    );
  });
});

describe("the time of an ACK", () => {
  test("is at once in Initial and Handshake", () => {
    // rfc9000#13.2.1 an endpoint MUST acknowledge all ack-eliciting Initial and Handshake packets immediately.
    for (const space of [INITIAL, HANDSHAKE] as const) {
      const received = new ReceivedPackets(space);
      received.onReceived(0, true, 0, 100);
      assert.equal(received.shouldAckNow(100), true);
      assert.equal(received.ackDelayRaw(500), 0);
    }
  });

  test("is max_ack_delay after the first, or with the second", () => {
    const received = new ReceivedPackets(APPLICATION);
    received.onReceived(0, true, 0, 100);
    assert.equal(received.shouldAckNow(100), false);
    assert.equal(received.ackDeadline, 125);
    assert.equal(received.shouldAckNow(125), true);
    // rfc9000#13.2.2 a receiver SHOULD send an ACK frame after receiving at least two ack-eliciting packets.
    received.onReceived(1, true, 0, 110);
    assert.equal(received.shouldAckNow(110), true);
    // rfc9000#13.2.5: from the largest's arrival, in units of 8 µs.
    assert.equal(received.ackDelayRaw(114), 500);
    received.onAckSent();
    assert.equal(received.ackDeadline, Infinity);
    assert.equal(received.hasAckToSend, false);
  });

  test("never comes for packets that elicit none", () => {
    const received = new ReceivedPackets(APPLICATION);
    // rfc9000#13.2.1 an endpoint MUST NOT send a non-ack-eliciting packet in response to a non-ack-eliciting packet,
    // even if there are packet gaps that precede the received packet.
    for (const pn of [0, 1, 5, 3]) received.onReceived(pn, false, pn === 5 ? ECN_CE : 0, 1);
    assert.equal(received.shouldAckNow(1e6), false);
    assert.equal(received.ackDeadline, Infinity);
    assert.equal(received.hasAckToSend, true);
  });

  // rfc9000#13.2.1 SHOULD generate and send an ACK frame without delay when it receives an ack-eliciting packet either
  // less than another one that has been received, or with missing packets between.
  test("is at once after a gap and for what fills it", () => {
    const received = new ReceivedPackets(APPLICATION);
    received.onReceived(3, true, 0, 0);
    assert.equal(received.shouldAckNow(0), false);
    received.onAckSent();
    received.onReceived(5, true, 0, 0);
    assert.equal(received.shouldAckNow(0), true);
    received.onAckSent();
    received.onReceived(6, true, 0, 0);
    assert.equal(received.shouldAckNow(0), false);
    received.onAckSent();
    received.onReceived(4, true, 0, 0);
    assert.equal(received.shouldAckNow(0), true);
    received.onAckSent();
    // The gap is in front of a packet that elicits nothing; the next one that does is behind it.
    received.onReceived(8, false, 0, 0);
    assert.equal(received.shouldAckNow(0), false);
    received.onReceived(9, true, 0, 0);
    assert.equal(received.shouldAckNow(0), true);
  });

  test("is at once for CE, and the marks are counted", () => {
    const received = new ReceivedPackets(APPLICATION);
    assert.equal(received.ecnCounts, null);
    received.onReceived(0, true, ECT_0, 0);
    assert.equal(received.shouldAckNow(0), false);
    received.onAckSent();
    received.onReceived(1, true, ECN_CE, 0);
    // rfc9000#13.2.1 packets marked with the ECN-CE codepoint SHOULD be acknowledged immediately.
    assert.equal(received.shouldAckNow(0), true);
    received.onReceived(2, false, ECT_1, 0);
    // rfc9000#13.4.1 an endpoint maintains counts of ECT(0), ECT(1) and ECN-CE.
    assert.deepEqual(received.ecnCounts, { ect0: 1, ect1: 1, ce: 1 });
  });
});
