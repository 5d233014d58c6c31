// What tracing costs: nothing when off, and little enough when on.
//
// Off: the same transfer in memory through three compiled copies of the tree, in one process, in turns: the tree as it
// is, the same again (the control: what this method cannot tell apart), and one without trace hooks (strip-tracing.ts
// says what that is). An alternation is three fresh processes, so that the luck of one JIT does not decide, and V8
// compiles on the main thread at set points (--predictable), so that there is less of that luck: without, the same tree
// differs from itself by 10 % within one process.
// On: qlog of both ends to files, as fast as it goes, and over a link of 100 Mbit/s in real time.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildTree, type Variant } from "../build/tree.ts";
import { runOurs } from "../child.ts";
import { type Row, row } from "../rows.ts";
import { median, ratioInterval } from "../statistics.ts";
import type { Context, Scenario } from "../scenario.ts";

const PROGRAMS = join(import.meta.dirname, "..", "tracing", "programs.ts");
const ALTERNATIONS = 20;
/** Bytes of a slice: about 10 ms. */
const SLICE = "10e6";
const VARIANTS: readonly Variant[] = ["plain", "control", "no-hooks"];

async function off(context: Context): Promise<Row[]> {
  const trees = VARIANTS.map((variant) => buildTree(variant));
  const runs = context.runs ?? (context.quick ? 4 : ALTERNATIONS);
  const costs: number[][] = VARIANTS.map(() => []);
  const ratios: number[][] = VARIANTS.map(() => []);
  for (let i = 0; i < runs; i++) {
    const cost: number[][] = VARIANTS.map(() => []);
    const ratio: number[][] = VARIANTS.map(() => []);
    // Whichever is loaded first may have it better or worse: each is first, second and third once.
    for (let turn = 0; turn < VARIANTS.length; turn++) {
      const order = VARIANTS.map((_, k) => (k + turn) % VARIANTS.length);
      if (i % 2 === 1) order.reverse();
      const folders = order.map((k) => trees[k]!.folder).join(",");
      const args = ["hooks", folders, SLICE, context.quick ? "20" : "30"];
      const slices = await runOurs<number[][]>(PROGRAMS, args, ["--predictable"]);
      const plain = slices[order.indexOf(0)]!;
      order.forEach((k, at) => {
        cost[k]!.push(median(slices[at]!));
        // Slice beside slice: whatever slows the machine down slows both.
        ratio[k]!.push(median(slices[at]!.map((each, n) => each / plain[n]!)));
      });
    }
    VARIANTS.forEach((_, k) => {
      costs[k]!.push(median(cost[k]!));
      ratios[k]!.push(ratioInterval(ratio[k]!).mean);
    });
    const show = VARIANTS.map((name, k) => `${name} ${costs[k]!.at(-1)!.toFixed(3)}`).join(", ");
    context.log(`tracing off ${i + 1}/${runs}: ${show}; ratio ${ratios[2]!.at(-1)!.toFixed(3)}`);
  }
  const against = (k: number, peer: string, note: string): Row =>
    row({
      scenario: "tracing-off",
      peer,
      unit: "µs CPU/packet, both ends",
      better: "smaller",
      ours: costs[0]!,
      theirs: costs[k]!,
      pairs: ratios[k]!,
      notes: [note],
    });
  return [
    against(2, "no hooks", `the peer is this tree compiled without its ${trees[2]!.removed} trace hooks`),
    against(1, "control", "the peer is the same tree again: this is the error of the method"),
  ];
}

async function unpaced(context: Context, folder: string): Promise<Row> {
  const runs = context.runs ?? (context.quick ? 2 : 5);
  const bytes = context.quick ? "100e6" : "200e6";
  const on: number[] = [];
  const without: number[] = [];
  for (let i = 0; i < runs; i++) {
    on.push(await runOurs<number>(PROGRAMS, ["cost", "core", join(folder, `cost-${i}`), bytes]));
    without.push(await runOurs<number>(PROGRAMS, ["cost", "off", "-", bytes]));
    context.log(
      `qlog unpaced ${i + 1}/${runs}: ${on.at(-1)!.toFixed(2)}, off ${without.at(-1)!.toFixed(2)} µs/packet`,
    );
  }
  return row({
    scenario: "tracing-qlog-unpaced",
    peer: "off",
    unit: "µs CPU/packet, both ends",
    better: "smaller",
    ours: on,
    theirs: without,
    notes: ["qlog level core of both ends to two files; no encryption, no sockets"],
  });
}

async function link(context: Context, folder: string): Promise<Row> {
  const runs = context.runs ?? (context.quick ? 1 : 5);
  const ms = context.quick ? "2000" : "4000";
  type Result = { bytesPerSecond: number; load: number };
  const on: Result[] = [];
  const without: Result[] = [];
  for (let i = 0; i < runs; i++) {
    on.push(await runOurs<Result>(PROGRAMS, ["link", "core", join(folder, `link-${i}`), ms]));
    without.push(await runOurs<Result>(PROGRAMS, ["link", "off", "-", ms]));
    const show = ({ bytesPerSecond, load }: Result): string =>
      `${((bytesPerSecond * 8) / 1e6).toFixed(1)} Mbit/s at ${(100 * load).toFixed(0)} % of a core`;
    context.log(`qlog on a link ${i + 1}/${runs}: ${show(on.at(-1)!)}, off ${show(without.at(-1)!)}`);
  }
  const megabits = (list: readonly Result[]): number[] =>
    list.map(({ bytesPerSecond }) => (bytesPerSecond * 8) / 1e6);
  return row({
    scenario: "tracing-qlog-100mbit",
    peer: "off",
    unit: "Mbit/s",
    better: "larger",
    ours: megabits(on),
    theirs: megabits(without),
    notes: ["qlog level core of both ends to two files, a link of 100 Mbit/s in real time"],
  });
}

export const tracing: Scenario = {
  name: "tracing",
  also: ["tracing-off", "tracing-qlog-unpaced", "tracing-qlog-100mbit"],
  about: "tracing off against a tree without trace hooks; qlog (core) against off, unpaced and at 100 Mbit/s",
  async run(context) {
    const folder = mkdtempSync(join(tmpdir(), "quic-bench-"));
    try {
      return [...(await off(context)), await unpaced(context, folder), await link(context, folder)];
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
