import assert from "node:assert/strict";
import { test } from "node:test";
import { figure, notes, table } from "./report.ts";
import { row } from "./rows.ts";

test("A ratio is ours / theirs, and larger is better whatever the unit", () => {
  const more = row({ scenario: "s", peer: "p", unit: "MB/s", better: "larger", ours: [300], theirs: [200] });
  assert.equal(more.ratio, 1.5);
  const less = row({ scenario: "s", peer: "p", unit: "µs", better: "smaller", ours: [2], theirs: [3] });
  assert.equal(less.ratio, 1.5);
});

test("A row has medians, spread and runs, and survives JSON", () => {
  const made = row({
    scenario: "download",
    peer: "quic-go",
    unit: "MB/s",
    better: "larger",
    ours: [10, 30, 20],
    theirs: [5, 10, 20],
    cpuPerGB: { ours: { client: 1, server: 2, both: 3 }, theirs: null },
  });
  const read = JSON.parse(JSON.stringify(made)) as typeof made;
  assert.deepEqual(read, made);
  assert.equal(read.ours.median, 20);
  assert.deepEqual([read.ours.min, read.ours.max], [10, 30]);
  assert.deepEqual(
    [read.ours.spread, read.theirs!.spread],
    [
      [10, 30],
      [5, 20],
    ],
  );
  assert.equal(read.theirs!.median, 10);
  assert.equal(read.ratio, 2);
  assert.equal(read.runs, 3);
  // The pairs' ratios are 2, 3 and 1.
  assert.ok(read.ratioInterval!.low < 1 && read.ratioInterval!.high > 3);
});

test("A figure that stands alone has no ratio", () => {
  const made = row({ scenario: "in-memory", unit: "µs", better: "smaller", ours: [1, 2] });
  assert.equal(made.peer, "none");
  assert.deepEqual([made.theirs, made.ratio, made.ratioInterval], [null, null, null]);
});

test("Pairs that were compared more finely decide ratio and interval", () => {
  const made = row({
    scenario: "s",
    peer: "p",
    unit: "µs",
    better: "smaller",
    ours: [1, 1],
    theirs: [1, 1],
    pairs: [1.2, 1.2],
  });
  assert.ok(Math.abs(made.ratio! - 1.2) < 1e-12);
  assert.ok(Math.abs(made.ratioInterval!.low - 1.2) < 1e-12);
});

test("The table leaves empty columns out and shows spreads", () => {
  const text = table([
    row({ scenario: "a", peer: "b", unit: "MB/s", better: "larger", ours: [1, 2, 3], theirs: [2, 2, 2] }),
  ]);
  assert.match(text, /^\| scenario \| peer \| unit \| ours +\| theirs +\| ratio \[95 %\] +\| runs \|\n/);
  assert.match(text, /2\.00 \(1\.00–3\.00\)/);
  assert.doesNotMatch(text, /CPU|RSS/);
});

test("Figures have three digits", () => {
  assert.deepEqual([0.1234, 1.234, 12.34, 123.4, 12345.6, NaN].map(figure), [
    "0.123",
    "1.23",
    "12.3",
    "123",
    "12,346",
    "–",
  ]);
});

test("A note stands once, with its rows", () => {
  const one = (scenario: string) =>
    row({ scenario, peer: "p", unit: "x", better: "larger", ours: [1], notes: ["n"] });
  assert.deepEqual(notes([one("a"), one("b")]), ["a/p, b/p: n"]);
});

test("CPU per GB is compared turned round: larger is better for us", () => {
  const cost = (both: number) => ({ client: both / 2, server: both / 2, both });
  const made = row({
    scenario: "download",
    peer: "p",
    unit: "MB/s",
    better: "larger",
    ours: [1],
    theirs: [1],
    cpuPerGB: { ours: cost(2), theirs: cost(3) },
  });
  assert.equal(made.cpuRatio, 1.5);
  assert.match(table([made]), /\| 1\.50 +\|/);
  assert.equal(row({ scenario: "s", unit: "x", better: "larger", ours: [1] }).cpuRatio, null);
});
