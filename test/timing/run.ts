// The long form: more samples than a test run has time for. Exits non-zero where a comparison tells what it compares.
import { compare } from "./welch.ts";
import { control, subjects } from "./subjects.ts";

const SAMPLES = 20_000;
const CALLS = 1000;
/** Beyond both a difference is real, and large enough to be of use to somebody. */
const CERTAIN = 10;
const OF_USE = 0.02;

let leaks = 0;
for (const subject of [control(), ...subjects()]) {
  const { inputs, run, weight, name } = subject;
  const calls = Math.max(1, Math.round(CALLS * weight));
  const { t, ratio } = compare(inputs, run, { calls, samples: SAMPLES, random: Math.random });
  const leaky = Math.abs(t) > CERTAIN && Math.abs(ratio - 1) > OF_USE;
  const expected = name === "public values";
  if (leaky !== expected) leaks++;
  const verdict = leaky ? (expected ? "differs, as it should" : "DIFFERS") : expected ? "NOT SEEN" : "same";
  console.log(`${verdict.padEnd(22)} t ${t.toFixed(1).padStart(8)}  last/first ${ratio.toFixed(4)}  ${name}`);
}
if (leaks > 0) process.exitCode = 1;
