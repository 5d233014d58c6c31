import assert from "node:assert/strict";
import { test } from "node:test";
import { median, ratioInterval, spread } from "./statistics.ts";

test("The median is the middle value, or the mean of the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
  const values = [2, 1];
  median(values);
  assert.deepEqual(values, [2, 1], "the list was sorted in place");
});

test("The spread is the smallest and the largest value", () => {
  assert.deepEqual(spread([3, 1, 2]), { min: 1, max: 3 });
});

test("The interval of a ratio is symmetric in ratio and inverse", () => {
  const there = ratioInterval([1.1, 1.2, 1.3]);
  const back = ratioInterval([1 / 1.1, 1 / 1.2, 1 / 1.3]);
  assert.ok(Math.abs(there.mean * back.mean - 1) < 1e-12);
  assert.ok(Math.abs(there.low * back.high - 1) < 1e-12);
  // By hand: logs 0.09531, 0.18232, 0.26236; mean 0.18000, standard error 0.04823, t(2) = 4.303.
  assert.ok(Math.abs(there.mean - 1.1972) < 1e-3);
  assert.ok(Math.abs(there.low - 0.9728) < 1e-3);
  assert.ok(Math.abs(there.high - 1.4734) < 1e-3);
});

test("One ratio has no interval", () => {
  const { mean, low, high } = ratioInterval([2]);
  assert.ok(Math.abs(mean - 2) < 1e-12);
  assert.deepEqual([low, high], [0, Infinity]);
});

test("The interval holds the true ratio in about 95 of 100 experiments", () => {
  let state = 12345;
  const uniform = (): number => (state = (Math.imul(state, 48271) >>> 0) % 2147483647) / 2147483647;
  const normal = (): number =>
    Math.sqrt(-2 * Math.log(uniform() || 1e-9)) * Math.cos(2 * Math.PI * uniform());
  let held = 0;
  for (let i = 0; i < 1000; i++) {
    const { low, high } = ratioInterval(Array.from({ length: 10 }, () => Math.exp(0.1 + 0.05 * normal())));
    if (low <= Math.exp(0.1) && Math.exp(0.1) <= high) held++;
  }
  assert.ok(held > 920 && held < 975, `${held} of 1000`);
});
