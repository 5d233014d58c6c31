import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_REMEMBERED_LOSSES, MAX_SENT_PACKETS } from "../../internal/protocol/limits.ts";
import { LostPackets } from "../../internal/recovery/lost-packets.ts";
import { IN_FLIGHT, SentPackets, REC_PING, REC_STREAM, SENT } from "../../internal/recovery/sent-packets.ts";
import { seededInt } from "../path/seeded.ts";

test("an unfinished packet is rolled back with its records", () => {
  const sent = new SentPackets();
  sent.begin(0);
  sent.addRecord(REC_STREAM, 4, 0, 100);
  sent.rollback();
  assert.equal(sent.outstanding, 0);
  assert.equal(sent.first, -1);
  sent.begin(0);
  sent.addRecord(REC_PING, 1, 2, 3);
  sent.finish(5, 50, true, true, 0);
  const seen: number[][] = [];
  sent.records(0, (...record) => seen.push(record));
  assert.deepEqual(seen, [[REC_PING, 1, 2, 3]]);
  assert.equal(sent.time(0), 5);
  assert.equal(sent.bytes(0), 50);
});

test("the ring does what a Map would, numbers beyond 2^32 included", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const int = seededInt(seed);
    const sent = new SentPackets();
    const model = new Map<number, { time: number; bytes: number; inFlight: boolean; records: number[][] }>();
    const ackedModel = new Set<number>();
    let pn = seed % 2 === 0 ? 0 : 2 ** 32 - 50;
    for (let step = 0; step < 1500; step++) {
      const at = `seed ${seed} step ${step}`;
      const what = int(10);
      if (what < 6) {
        if (int(20) === 0) pn += 1 + int(3); // skipped on purpose
        sent.begin(pn);
        const records = Array.from({ length: int(6) }, (_, k) => [int(20), pn, k, int(1000)]);
        for (const [kind, a, b, c] of records) sent.addRecord(kind!, a!, b!, c!);
        if (int(10) === 0) sent.rollback();
        else {
          const inFlight = int(4) > 0;
          sent.finish(step, 100 + int(1000), inFlight, inFlight, 0);
          model.set(pn, { time: step, bytes: sent.bytes(pn), inFlight, records });
          pn++;
        }
      } else if (model.size > 0) {
        const numbers = [...model.keys()];
        // Bursts of settlements from either end, and single ones anywhere.
        const from = what === 6 ? 0 : int(numbers.length);
        for (const number of numbers.slice(from, from + 1 + int(what === 6 ? 40 : 3))) {
          if (int(2) === 0) {
            sent.acknowledge(number);
            ackedModel.add(number);
          } else sent.forget(number);
          model.delete(number);
        }
      }
      assert.equal(sent.outstanding, model.size, at);
      assert.equal(sent.elicitingInFlight, [...model.values()].filter((p) => p.inFlight).length, at);
    }
    const walked: number[] = [];
    for (let number = sent.first; number >= 0; number = sent.after(number)) walked.push(number);
    assert.deepEqual(walked, [...model.keys()], `seed ${seed}`);
    for (const [number, packet] of model) {
      assert.equal(sent.flags(number) & SENT, SENT);
      assert.equal((sent.flags(number) & IN_FLIGHT) !== 0, packet.inFlight);
      assert.equal(sent.time(number), packet.time, `seed ${seed}`);
      assert.equal(sent.bytes(number), packet.bytes, `seed ${seed}`);
      const records: number[][] = [];
      sent.records(number, (...record) => records.push(record));
      assert.deepEqual(records, packet.records, `seed ${seed}`);
    }
    for (let k = 1; k < walked.length; k++) {
      const between = [...ackedModel].some((n) => n > walked[k - 1]! && n < walked[k]!);
      assert.equal(sent.ackedBetween(walked[k - 1]!, walked[k]!), between, `seed ${seed}`);
    }
    sent.clear();
    assert.equal(sent.first, -1);
    assert.equal(sent.flags(walked[0] ?? 0), 0);
  }
});

test("a packet that is being written keeps its records when all before it are settled and the ring grows", () => {
  const sent = new SentPackets();
  sent.begin(0);
  sent.addRecord(REC_PING, 0, 0, 0);
  sent.finish(0, 50, true, true, 0);
  sent.begin(1);
  sent.addRecord(REC_STREAM, 1000, 0, 0);
  sent.acknowledge(0);
  for (let k = 1; k < 300; k++) sent.addRecord(REC_STREAM, 1000 + k, 0, 0);
  sent.finish(0, 50, true, true, 0);
  const seen: number[] = [];
  sent.records(1, (_kind, a) => seen.push(a));
  assert.deepEqual(
    seen,
    Array.from({ length: 300 }, (_, k) => 1000 + k),
  );
});

test("says when it is full, with a reserve for ACKs", () => {
  const sent = new SentPackets();
  let pn = 0;
  while (!sent.isFull) {
    sent.begin(pn++);
    sent.finish(0, 1, true, true, 0);
  }
  assert.ok(pn < MAX_SENT_PACKETS);
  assert.equal(sent.isOverfull, false);
  while (!sent.isOverfull) {
    sent.begin(pn++);
    sent.finish(0, 1, false, false, 0);
  }
  assert.ok(pn <= MAX_SENT_PACKETS);
  sent.forget(0);
  assert.equal(sent.isOverfull, false);
});

test("lost packets are remembered in bounds, counted once, and expire", () => {
  const lost = new LostPackets();
  const seen: string[] = [];
  const sink = {
    onSpurious: (...args: unknown[]) => void seen.push(args.join()),
  };
  for (let pn = 0; pn < MAX_REMEMBERED_LOSSES + 10; pn++) lost.add(2 * pn, pn, pn - 1, pn % 2 === 0);
  // The first ten are forgotten: 20, 22, … are left.
  assert.equal(lost.takeAcked(Float64Array.of(40, 44, 0, 23), 2, sink), 2 + 3);
  assert.equal(lost.takeAcked(Float64Array.of(40, 44, 0, 23), 2, sink), 0);
  // Number, when it was sent, when it was declared lost, whether by time.
  assert.deepEqual(seen, [
    "20,9,10,true",
    "22,10,11,false",
    "40,19,20,true",
    "42,20,21,false",
    "44,21,22,true",
  ]);
  lost.expire(14);
  assert.equal(lost.takeAcked(Float64Array.of(0, 29), 1, sink), 1);
  lost.clear();
  assert.equal(lost.takeAcked(Float64Array.of(0, 1e6), 1, sink), 0);
});
