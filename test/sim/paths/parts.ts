// All parts of the campaign about paths, and how one case of them runs.
import type { Part, PathsJob, PathsResult } from "./cases.ts";
import { blackholes, ecn, mtu } from "./faults.ts";
import { migration, rebinding } from "./moving.ts";
import { bufferbloat, persistent, reordering } from "./pressure.ts";

export const PARTS: readonly Part[] = [
  rebinding,
  migration,
  blackholes,
  mtu,
  ecn,
  persistent,
  reordering,
  bufferbloat,
];

export function runPath({ part, name, seed, twice }: PathsJob): PathsResult {
  const { run, plotted } = PARTS.find((each) => each.name === part)!.cases.find(
    (each) => each.name === name,
  )!;
  try {
    const { ride, figures } = run(seed);
    const { net } = ride.s;
    if (twice && run(seed).ride.s.net.traceHash !== net.traceHash)
      throw new Error(`seed ${seed}: the replay is another trace`);
    const goodput = plotted === true ? ride.goodput() : [];
    return { figures, goodput, datagrams: net.datagrams, failure: null };
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error);
    return { figures: {}, goodput: [], datagrams: 0, failure };
  }
}
