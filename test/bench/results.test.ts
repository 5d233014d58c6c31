import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { test } from "node:test";
import { chart } from "./chart.ts";
import { page, type Stamped, stamper } from "./results.ts";
import { row } from "./rows.ts";

const made = (scenario: string, ours: number, theirs: number): Stamped =>
  stamper()([
    row({
      scenario,
      peer: "<p>",
      unit: "MB/s",
      better: "larger",
      ours: [ours],
      theirs: [theirs],
      notes: ["a note"],
    }),
  ])[0]!;

test("The chart has a bar for each ratio, to the right where ours is ahead", () => {
  const svg = chart([made("ahead", 2, 1), made("behind", 1, 4)]);
  const bars = [...svg.matchAll(/<rect x="([\d.]+)" y="\d+" width="([\d.]+)"/g)].map((bar) =>
    bar.slice(1).map(Number),
  );
  assert.equal(bars.length, 2);
  const [[ahead, one], [behind, two]] = bars as [[number, number], [number, number]];
  // Logarithmic: a quarter is twice as far from 1 as two, and ends where that begins.
  assert.ok(Math.abs(two - 2 * one) < 0.2);
  assert.ok(Math.abs(behind + two - ahead) < 0.2);
  assert.doesNotMatch(svg, /<p>/);
});

test("The page says on what it was measured, and keeps what was written by hand", () => {
  const rows = [made("download", 3, 2)];
  const first = page("here", rows, "");
  assert.ok(first.includes(`Node ${process.version}`) && first.includes(rows[0]!.on.commit));
  assert.match(first, /\| download \|.*\| 1\.50/);
  assert.match(first, /- download\/<p>: a note/);
  const again = page("here", rows, `${first}\nWhy it is so.\n`);
  assert.ok(again.endsWith("\nWhy it is so.\n"));
  assert.equal(again.split("Why it is so.").length, 2);
});

test("A run measures two processes of each side and writes one row per scenario and peer", async () => {
  const folder = mkdtempSync(join(tmpdir(), "quic-bench-"));
  const file = join(folder, "rows.json");
  try {
    const args = ["--scenario", "download,rr-100", "--peers", "node:http2", "--runs", "1", "--json", file];
    const program = join(import.meta.dirname, "run.ts");
    await promisify(execFile)(
      process.execPath,
      ["--import", "tsx", program, ...args, "--megabytes", "20", "--seconds", "0.2"],
      { env: { ...process.env, NODE_TEST_CONTEXT: undefined } },
    );
    const rows = JSON.parse(readFileSync(file, "utf8")) as Stamped[];
    assert.deepEqual(
      rows.map(({ scenario, peer }) => `${scenario}/${peer}`),
      ["download/http2", "rr-100/http2"],
    );
    for (const { ours, theirs, ratio, rss, on } of rows) {
      assert.ok(ours.median > 0 && theirs!.median > 0);
      assert.ok(Math.abs(ratio! - ours.median / theirs!.median) < 1e-9);
      assert.ok(rss.ours!.server > 1e6 && rss.theirs!.client > 1e6);
      assert.equal(on.node, process.version);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
