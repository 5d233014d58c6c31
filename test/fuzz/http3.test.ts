import assert from "node:assert/strict";
import { test } from "node:test";
import { needsVectors } from "../vectors.ts";
import { fuzz } from "./harness.ts";
import { HTTP3_TARGETS } from "./http3-targets.ts";

const MS = Number(process.env.QUIC_TS_FUZZ_MS ?? 600);
const SEED = Number(process.env.QUIC_TS_FUZZ_SEED ?? 1);

for (const target of HTTP3_TARGETS) {
  test(`fuzz: ${target.name}`, (context) => {
    const { inputs, slowestMs } = fuzz(target, SEED, MS);
    context.diagnostic(`${inputs} inputs, slowest ${slowestMs.toFixed(2)} ms, seed ${SEED}`);
    assert.ok(inputs > 0);
  });
}

test("the other implementations' corpora are there", needsVectors("fuzz"), () => {
  const sizes = Object.fromEntries(HTTP3_TARGETS.map((target) => [target.name, target.corpus().length]));
  assert.ok(sizes["qpack sections"]! > 490, JSON.stringify(sizes));
  assert.ok(sizes["h3 frames"]! > 100, JSON.stringify(sizes));
  assert.ok(sizes["h3 settings"]! > 10, JSON.stringify(sizes));
});
