// Fuzzes longer than the test suite does:
//   npx tsx test/fuzz/run.ts [--seconds 60] [--seed 1] [part of a target's name …]
import { parseArgs } from "node:util";
import { fuzz } from "./harness.ts";
import { HTTP3_TARGETS } from "./http3-targets.ts";
import { WIRE_TARGETS } from "./wire-targets.ts";

const { values, positionals } = parseArgs({
  options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } },
  allowPositionals: true,
});
const targets = [...WIRE_TARGETS, ...HTTP3_TARGETS].filter(
  (target) => positionals.length === 0 || positionals.some((part) => target.name.includes(part)),
);
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
for (const target of targets) {
  const { inputs, slowestMs } = fuzz(target, seed, (1000 * Number(values.seconds)) / targets.length);
  console.log(`${target.name}: ${inputs} inputs, slowest ${slowestMs.toFixed(2)} ms, seed ${seed}`);
}
