import assert from "node:assert/strict";
import { test } from "node:test";
import { needsVectors } from "../vectors.ts";
import { fuzz, mutate, Prng } from "./harness.ts";
import { WIRE_TARGETS } from "./wire-targets.ts";

const MS = Number(process.env.QUIC_TS_FUZZ_MS ?? 600);
const SEED = Number(process.env.QUIC_TS_FUZZ_SEED ?? 1);

for (const target of WIRE_TARGETS) {
  test(`fuzz: ${target.name}`, (context) => {
    const { inputs, slowestMs } = fuzz(target, SEED, MS);
    context.diagnostic(`${inputs} inputs, slowest ${slowestMs.toFixed(2)} ms, seed ${SEED}`);
    assert.ok(inputs > 0);
  });
}

test("the other implementations' corpora are there", needsVectors("fuzz"), () => {
  const sizes = Object.fromEntries(WIRE_TARGETS.map((target) => [target.name, target.corpus().length]));
  assert.ok(sizes["frames"]! > 80, JSON.stringify(sizes));
  assert.ok(sizes["long headers"]! > 1000, JSON.stringify(sizes));
  assert.ok(sizes["transport parameters"]! > 10, JSON.stringify(sizes));
});

test("a seed gives the same inputs again", () => {
  const run = (seed: number) => {
    const prng = new Prng(seed);
    const base = prng.bytes(40);
    return Array.from({ length: 50 }, () => [...mutate(prng, base, [base])]);
  };
  assert.deepEqual(run(7), run(7));
  assert.notDeepEqual(run(7), run(8));
});
