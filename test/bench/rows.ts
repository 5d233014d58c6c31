// What a benchmark says: one row per scenario and peer. `--json` writes an array of these.

import { median, ratioInterval, spread } from "./statistics.ts";

/** Whether more of the unit is better (throughput) or less (times, costs). */
export type Better = "larger" | "smaller";

/** Measurements of one side, one per run. */
export interface Measured {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Both of them: smallest and largest. */
  readonly spread: readonly [number, number];
  readonly values: readonly number[];
}

/** CPU seconds per 10^9 bytes moved, by role. */
export interface CpuPerGB {
  readonly client: number;
  readonly server: number;
  readonly both: number;
}

/** Largest resident set, bytes, by role. */
export interface Rss {
  readonly client: number;
  readonly server: number;
}

export interface Side<T> {
  readonly ours: T | null;
  readonly theirs: T | null;
}

export interface Row {
  readonly scenario: string;
  /** Whom we are measured against; "none" where the figure stands alone. */
  readonly peer: string;
  readonly unit: string;
  readonly better: Better;
  readonly ours: Measured;
  readonly theirs: Measured | null;
  /** Ours / theirs (by medians, unless a scenario compares pairs), turned so that LARGER IS BETTER for us. */
  readonly ratio: number | null;
  /** 95 % confidence interval of the ratio over the runs' pairs, where there are at least two. */
  readonly ratioInterval: { readonly low: number; readonly high: number } | null;
  readonly cpuPerGB: Side<CpuPerGB>;
  /** Theirs / ours of both roles' CPU per GB: LARGER IS BETTER for us, as in `ratio`. */
  readonly cpuRatio: number | null;
  readonly rss: Side<Rss>;
  readonly runs: number;
  /** What else is to be known: fast paths in use, ciphers that could not be chosen. */
  readonly notes: readonly string[];
}

export function measured(values: readonly number[]): Measured {
  const { min, max } = spread(values);
  return { median: median(values), min, max, spread: [min, max], values };
}

export interface RowInput {
  readonly scenario: string;
  readonly peer?: string;
  readonly unit: string;
  readonly better: Better;
  readonly ours: readonly number[];
  readonly theirs?: readonly number[];
  /**
   * Ours / theirs of each pair of runs, LARGER IS BETTER, where a run compares more finely than its two figures; the
   * ratio is then their geometric mean.
   */
  readonly pairs?: readonly number[];
  readonly cpuPerGB?: Side<CpuPerGB>;
  readonly rss?: Side<Rss>;
  readonly notes?: readonly string[];
}

/** A row from both sides' runs, the i-th of ours beside the i-th of theirs. */
export function row(input: RowInput): Row {
  const { ours, theirs, better } = input;
  const nothing = { ours: null, theirs: null };
  const both = theirs !== undefined && theirs.length > 0;
  const over = (a: number, b: number): number => (better === "larger" ? a / b : b / a);
  const pairs =
    input.pairs ?? (both ? ours.slice(0, theirs.length).map((value, i) => over(value, theirs[i]!)) : []);
  const cpu = input.cpuPerGB ?? nothing;
  const interval = pairs.length < 2 ? null : ratioInterval(pairs);
  return {
    scenario: input.scenario,
    peer: input.peer ?? "none",
    unit: input.unit,
    better,
    ours: measured(ours),
    theirs: both ? measured(theirs) : null,
    ratio: !both
      ? null
      : input.pairs === undefined
        ? over(median(ours), median(theirs))
        : ratioInterval(pairs).mean,
    ratioInterval: interval === null ? null : { low: interval.low, high: interval.high },
    cpuPerGB: cpu,
    cpuRatio: cpu.ours === null || cpu.theirs === null ? null : cpu.theirs.both / cpu.ours.both,
    rss: input.rss ?? nothing,
    runs: ours.length,
    notes: input.notes ?? [],
  };
}
