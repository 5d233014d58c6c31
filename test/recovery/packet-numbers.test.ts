import assert from "node:assert/strict";
import { test } from "node:test";
import { APPLICATION, INITIAL, PROTOCOL_VIOLATION } from "../../internal/protocol/constants.ts";
import { SKIPPED_NUMBER_PERIOD } from "../../internal/protocol/limits.ts";
import { PacketNumbers } from "../../internal/recovery/packet-numbers.ts";
import { seeded } from "../path/seeded.ts";
import { Harness } from "./harness.ts";

test("numbers are skipped at random, ever more rarely, and never repeat", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const numbers = new PacketNumbers(seeded(seed));
    const skipped: number[] = [];
    let expected = 0;
    for (let i = 0; i < 20_000; i++) {
      const pn = numbers.peek();
      assert.equal(numbers.peek(), pn);
      for (; expected < pn; expected++) skipped.push(expected);
      numbers.use();
      expected++;
    }
    assert.ok(skipped.length >= 3 && skipped.length <= 20, `seed ${seed}: ${skipped.length}`);
    assert.ok(skipped[0]! <= SKIPPED_NUMBER_PERIOD, `seed ${seed}`);
    for (const pn of skipped) assert.equal(numbers.neverSent(pn + 5, Float64Array.of(pn - 1, pn + 5), 1), pn);
    // Ranges that leave all of them out are fine.
    const ranges: number[] = [];
    let high = expected - 1;
    for (const pn of [...skipped].reverse()) {
      ranges.push(pn + 1, high);
      high = pn - 1;
    }
    ranges.push(0, high);
    assert.equal(
      numbers.neverSent(expected - 1, Float64Array.from(ranges), ranges.length / 2),
      -1,
      `seed ${seed}`,
    );
  }
});

test("an ACK of what was never sent ends the connection and changes nothing", () => {
  const h = new Harness();
  h.send(0);
  // rfc9000#13.1 an acknowledgment for a packet it did not send: PROTOCOL_VIOLATION
  assert.throws(() => h.ack(10, [[0, 1]]), { errorCode: PROTOCOL_VIOLATION, frameType: 2 });
  assert.throws(() => h.ack(10, [0], INITIAL), { errorCode: PROTOCOL_VIOLATION });
  assert.deepEqual(h.take(), { acked: [], lost: [] });
});

test("an optimistic ACK of a skipped number ends the connection", () => {
  const h = new Harness();
  let last = -1;
  let skipped = -1;
  while (skipped < 0) {
    const pn = h.send(0, APPLICATION, { bytes: 1 });
    if (pn > last + 1) skipped = last + 1;
    last = pn;
  }
  // rfc9000#21.4 an endpoint can then immediately close the connection with PROTOCOL_VIOLATION.
  assert.throws(() => h.ack(10, [[0, last]]), { errorCode: PROTOCOL_VIOLATION });
  h.ack(10, [last, [0, skipped - 1]]);
  assert.equal(h.recovery.bytesInFlight, 0);
});
