import assert from "node:assert/strict";
import { test } from "node:test";
import { INITIAL_RTT, RttEstimator } from "../../internal/recovery/rtt.ts";

test("before a sample the PTO is about a second", () => {
  const rtt = new RttEstimator();
  // rfc9002#6.2.2 the initial RTT SHOULD be set to 333 milliseconds; handshakes start with a PTO of 1 second.
  assert.equal(rtt.smoothed, INITIAL_RTT);
  assert.equal(rtt.ptoBase, 999);
});

test("the first sample sets everything, delay or not", () => {
  const rtt = new RttEstimator();
  rtt.update(100, 40, 5);
  // rfc9002#5.2 min_rtt MUST be set to the latest_rtt on the first RTT sample.
  assert.deepEqual([rtt.min, rtt.smoothed, rtt.variance, rtt.firstSampleAt], [100, 100, 50, 5]);
});

test("later samples move the averages as rfc9002#5.3 has it", () => {
  const rtt = new RttEstimator();
  rtt.update(100, 0, 0);
  rtt.update(140, 20, 1);
  // adjusted 120: rttvar = 3/4·50 + 1/4·20, smoothed = 7/8·100 + 1/8·120
  assert.equal(rtt.variance, 42.5);
  assert.equal(rtt.smoothed, 102.5);
  // rfc9002#5.3 MUST NOT subtract the acknowledgment delay from the RTT sample if the resulting value is smaller than
  // the min_rtt.
  rtt.update(110, 20, 2);
  assert.equal(rtt.smoothed, 102.5 * 0.875 + 110 / 8);
  // rfc9002#5.2 min_rtt MUST be set to the lesser of min_rtt and latest_rtt.
  rtt.update(80, 0, 3);
  assert.equal(rtt.min, 80);
});

test("variance counts for at least the granularity", () => {
  const rtt = new RttEstimator();
  rtt.update(1, 0, 0);
  for (let i = 0; i < 100; i++) rtt.update(1, 0, i);
  assert.ok(Math.abs(rtt.ptoBase - 2) < 1e-9);
});
