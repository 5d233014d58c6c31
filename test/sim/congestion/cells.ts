// What the campaign about congestion runs, in cells that depend on nothing but their place: a path and what controllers
// make of it.
import { CONTROLLER_NAMES, type CongestionControllerName } from "../../../internal/congestion/controllers.ts";
import {
  bdp,
  Bench,
  DATAGRAM,
  jain,
  runFlows,
  type Bottleneck,
  type RunResult,
  type Sample,
} from "./path.ts";
import { lines, type Series } from "./plot.ts";

export interface CongestionJob {
  readonly part: string;
  readonly cell: number;
  readonly short: boolean;
}

export interface CongestionResult {
  /** Of the table. */
  readonly lines: readonly string[];
  /** Of the part's plot: goodput by controller. */
  readonly bar: { readonly label: string; readonly values: readonly number[] } | null;
  /** A plot of its own, by file name. */
  readonly plot: { readonly file: string; readonly svg: string } | null;
  readonly checks: number;
  readonly failures: readonly string[];
  readonly runs: number;
  readonly datagrams: number;
}

export interface CongestionPart {
  readonly name: string;
  /** The columns of its table. */
  readonly columns: readonly string[];
  readonly cells: readonly ((sheet: Sheet) => void)[];
}

/** What headers leave of the link to the application. */
const PAYLOAD = 0.965;
/** Of what is lost or late at random there are several runs. */
const SEEDS = [7, 8, 9] as const;
const SEED = SEEDS[0];
/** Mbit/s, ms */
export const RATES = [1, 10, 100];
export const RTTS = [10, 100, 300];

/** What a cell leaves. */
class Sheet {
  readonly lines: string[] = [];
  readonly failures: string[] = [];
  bar: CongestionResult["bar"] = null;
  plot: CongestionResult["plot"] = null;
  checks = 0;
  runs = 0;
  datagrams = 0;

  row(...cells: readonly string[]): void {
    this.lines.push(`| ${cells.join(" | ")} |`);
  }

  check(holds: boolean, what: string): void {
    this.checks++;
    if (!holds) this.failures.push(what);
  }

  alone(controller: CongestionControllerName, on: Bottleneck, ms: number, seed: number = SEED): RunResult {
    const result = runFlows(on, [{ controller }], ms, seed);
    this.count(result.datagrams);
    return result;
  }

  count(datagrams: number): void {
    this.runs++;
    this.datagrams += datagrams;
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const describe = ({ rate, rtt, loss, queue }: Bottleneck): string =>
  `${rate} Mbit/s, ${rtt} ms, ${100 * loss} % lost, queue ${Math.round(queue)} (BDP ${bdp({ rate, rtt }).toFixed(0)})`;

function path(rate: number, rtt: number, loss: number, bdps: number): Bottleneck {
  return { rate, rtt, loss, queue: Math.max(bdps * bdp({ rate, rtt }), 10) };
}

/** The median of a figure over some runs. */
function median(results: readonly RunResult[], pick: (result: RunResult) => number): number {
  const sorted = results.map(pick).sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

/** The median, and the least and the most where they differ. */
function spread(
  results: readonly RunResult[],
  pick: (result: RunResult) => number,
  text: (value: number) => string,
): string {
  const values = results.map(pick);
  const [least, most] = [text(Math.min(...values)), text(Math.max(...values))];
  return least === most ? least : `${text(median(results, pick))} (${least} … ${most})`;
}

/** Steady goodput of Reno by the square root law, as a part of the link: Mathis et al. 1997. */
function mathis({ rate, rtt, loss }: Bottleneck): number {
  return Math.min(1, ((DATAGRAM * 8) / (rtt * 1000) / rate) * Math.sqrt(1.5 / loss));
}

/** One flow on each path of the grid. */
function grid(rate: number, rtt: number, short: boolean): CongestionPart {
  const losses = short ? [0, 0.01] : [0, 0.01, 0.05];
  const queues = short ? [1] : [0.5, 1, 4];
  const ms = short ? Math.max(5000, 40 * rtt) : Math.max(10_000, 60 * rtt);
  const cells = losses.flatMap((loss) =>
    queues
      .map((bdps) => ({ bdps, on: path(rate, rtt, loss, bdps) }))
      // Small ones are the same: ten datagrams.
      .filter(({ on }, i, all) => on.queue !== all[i - 1]?.on.queue)
      .map(({ bdps, on }) => (sheet: Sheet): void => {
        const seeds = loss > 0 && !short ? SEEDS : [SEED];
        const results = new Map(
          CONTROLLER_NAMES.map(
            (name) => [name, seeds.map((seed) => sheet.alone(name, on, ms, seed))] as const,
          ),
        );
        for (const [name, r] of results) {
          sheet.row(
            describe(on),
            name,
            spread(r, (each) => each.utilization, percent),
            spread(r, (each) => each.steadyUtilization, percent),
            `${median(r, (each) => each.queueMean).toFixed(1)} / ${median(r, (each) => each.queue95)}`,
            `${(100 * median(r, (each) => each.dropped)).toFixed(2)} %`,
          );
        }
        sheet.bar = {
          label: `${100 * loss} % lost, queue ${Math.round(on.queue)} datagrams`,
          values: [...results.values()].map((r) => median(r, (each) => each.steadyUtilization)),
        };
        seeds.forEach((_, i) =>
          judge(sheet, on, bdps, new Map([...results].map(([name, r]) => [name, r[i]!])), ms),
        );
      }),
  );
  return {
    name: `grid-${rate}-${rtt}`,
    columns: [
      "path",
      "controller",
      "goodput",
      "second half",
      "queue ms, mean / 95 %",
      "dropped by the queue",
    ],
    cells,
  };
}

function judge(
  sheet: Sheet,
  on: Bottleneck,
  bdps: number,
  results: ReadonlyMap<CongestionControllerName, RunResult>,
  ms: number,
): void {
  const where = describe(on);
  const steady = (name: CongestionControllerName): number => results.get(name)!.steadyUtilization / PAYLOAD;
  const size = bdp(on);
  if (on.loss === 0) {
    // A halved window of a queue of a BDP still fills the path; less queue, or a BDP that takes longer to grow back to
    // than the run lasts, leaves less.
    for (const name of CONTROLLER_NAMES) {
      sheet.check(
        steady(name) >= (bdps >= 1 ? 0.8 : 0.7),
        `${name} fills a path without loss: ${percent(steady(name))} of ${where}`,
      );
    }
    // rfc9438#5.1: at least as fast as Reno, and faster where the BDP is large.
    if (size >= 100) {
      for (const pick of [
        (r: RunResult): number => r.utilization,
        (r: RunResult): number => r.steadyUtilization,
      ]) {
        const [cubic, reno] = [pick(results.get("cubic")!), pick(results.get("newreno")!)];
        // Both fill it where a hundredth is all that lies between them.
        sheet.check(
          cubic >= 0.99 * reno,
          `cubic ${percent(cubic)} is no less than newreno ${percent(reno)}: ${where}`,
        );
      }
    }
  }
  if (on.loss === 0.01 && size >= 20) {
    // Startup included, which takes nine of sixty round trips on the largest paths.
    for (const share of [results.get("bbr")!.utilization / PAYLOAD, steady("bbr")])
      sheet.check(share >= 0.8, `bbr ${percent(share)} in spite of random loss: ${where}`);
  }
  const law = on.loss > 0 ? mathis(on) : 1;
  // So many losses that their average means something.
  const lost = ((law * on.rate * 125 * ms) / 2 / DATAGRAM) * on.loss;
  if (law < 0.5 && lost >= 20) {
    const reno = results.get("newreno")!.steadyUtilization;
    sheet.check(
      reno > 0.4 * law && reno < 2 * law,
      `newreno ${percent(reno)} is near the square root law's ${percent(law)}: ${where}`,
    );
    sheet.check(
      steady("cubic") >= 0.8 * steady("newreno"),
      `cubic is no slower than newreno with losses: ${where}`,
    );
  }
}

/** Two flows of one controller, the second two seconds later; and each controller against NewReno. */
function sharing(short: boolean): CongestionPart {
  const seconds = short ? 30 : 60;
  const run = (
    sheet: Sheet,
    pair: readonly [CongestionControllerName, CongestionControllerName],
    on: Bottleneck,
  ): number[] => {
    const [a, b] = pair;
    const r = runFlows(on, [{ controller: a }, { controller: b, after: 2000 }], seconds * 1000, SEED);
    sheet.count(r.datagrams);
    const shares = r.flows.map((flow) => flow.steady / on.rate);
    sheet.row(
      pair.join(", "),
      describe(on),
      shares.map(percent).join(", "),
      jain(shares).toFixed(3),
      r.queueMean.toFixed(0),
    );
    return shares;
  };
  const cells = (short ? [1] : [1, 2]).flatMap((bdps) => {
    const on = path(10, 40, 0, bdps);
    const equals = CONTROLLER_NAMES.map((name) => (sheet: Sheet): void => {
      const shares = run(sheet, [name, name], on);
      sheet.check(
        jain(shares) >= 0.9,
        `two flows of ${name} share fairly: ${shares.map(percent).join(", ")} of ${describe(on)}`,
      );
      sheet.check(shares[0]! + shares[1]! >= 0.8, `two flows of ${name} fill the path: ${describe(on)}`);
    });
    const others = CONTROLLER_NAMES.filter((name) => name !== "newreno");
    const crosses = others.map((name) => (sheet: Sheet): void => {
      const shares = run(sheet, ["newreno", name], on);
      for (const share of shares)
        sheet.check(
          share >= 0.1,
          `nobody starves, newreno against ${name}: ${shares.map(percent).join(", ")}`,
        );
    });
    return [...equals, ...crosses];
  });
  return { name: "sharing", columns: ["flows", "path", "shares, second half", "Jain", "queue ms"], cells };
}

/** Reordering, bufferbloat, and a path that is gone for a while. */
function trouble(short: boolean): CongestionPart {
  const ms = short ? 10_000 : 30_000;
  const on = path(10, 100, 0, 1);
  const reordering = CONTROLLER_NAMES.map((name) => (sheet: Sheet): void => {
    const inOrder = sheet.alone(name, on, ms).utilization;
    const reordered = (short ? [SEED] : SEEDS).map((seed) =>
      sheet.alone(name, { ...on, reorder: 0.2 }, ms, seed),
    );
    const text = `${spread(reordered, (each) => each.utilization, percent)}, in order ${percent(inOrder)}`;
    sheet.row("20 % reordered by up to half a round trip", name, text);
    for (const { utilization } of reordered)
      sheet.check(utilization >= 0.8 * inOrder, `${name} stands reordering: ${text}`);
  });
  const bloat = CONTROLLER_NAMES.map((name) => (sheet: Sheet): void => {
    const r = sheet.alone(name, path(10, 40, 0, 20), ms);
    sheet.row(
      "a queue of 20 BDP (800 ms)",
      name,
      `${percent(r.steadyUtilization)}, ${r.queueMean.toFixed(0)} ms in the queue`,
    );
    sheet.check(r.steadyUtilization >= 0.85, `${name} fills a path with a long queue`);
    if (name === "bbr") sheet.check(r.queueMean < 40, "bbr keeps the queue under a round trip");
  });
  const gone = CONTROLLER_NAMES.map((name) => (sheet: Sheet): void => {
    const bench = new Bench(path(10, 40, 0, 1), SEED);
    bench.start(name);
    bench.run(5000);
    bench.link.blackhole = true;
    bench.run(4000);
    bench.link.blackhole = false;
    // A probe timeout may have doubled to some seconds by then.
    bench.run(5000);
    const before = bench.received(0);
    bench.run(5000);
    const share = (bench.received(0) - before) / (5000 * 1250);
    sheet.count(bench.scenario.net.datagrams);
    sheet.row("nothing passes for 4 s", name, `${percent(share)} from 5 s later on`);
    sheet.check(share >= 0.7, `${name} comes back after persistent congestion: ${percent(share)}`);
  });
  return {
    name: "trouble",
    columns: ["trouble", "controller", ""],
    cells: [...reordering, ...bloat, ...gone],
  };
}

/** Windows, queues and rates over time. */
function plots(): CongestionPart {
  const goodput = (now: Sample, before: Sample | undefined): number =>
    before === undefined ? 0 : (now.received - before.received) / 125 / (now.time - before.time);
  const alone = (
    [
      ["congestion-steady.svg", path(10, 40, 0, 1), 15],
      ["congestion-loss.svg", path(10, 40, 0.01, 1), 15],
      ["congestion-bufferbloat.svg", path(10, 40, 0, 10), 30],
    ] as readonly [string, Bottleneck, number][]
  ).map(([file, on, seconds]) => (sheet: Sheet): void => {
    const taken = CONTROLLER_NAMES.map((name) => {
      const samples: Sample[] = [];
      const to = (_: number, sample: Sample): void => void samples.push(sample);
      sheet.count(runFlows(on, [{ controller: name }], seconds * 1000, SEED, { every: 100, to }).datagrams);
      return { name, samples };
    });
    const series = (pick: (now: Sample, before: Sample | undefined) => number): Series[] =>
      taken.map(({ name, samples }) => ({
        name,
        points: samples.map((s, i) => [s.time / 1000, pick(s, samples[i - 1])] as const),
      }));
    const svg = lines(describe(on), [
      { label: "congestion window, datagrams", series: series((s) => s.cwnd / DATAGRAM) },
      { label: "delay in the queue, ms", series: series((s) => s.queueDelay) },
      { label: "goodput, Mbit/s, over 100 ms", series: series(goodput) },
    ]);
    sheet.plot = { file, svg };
  });
  const cross = (sheet: Sheet): void => {
    const flows: Sample[][] = [[], []];
    const on = path(10, 40, 0, 1);
    const pair = [{ controller: "bbr" }, { controller: "newreno", after: 5000 }] as const;
    const to = (i: number, sample: Sample): void => void flows[i]!.push(sample);
    sheet.count(runFlows(on, pair, 30_000, SEED, { every: 200, to }).datagrams);
    const series = flows.map((samples, i) => ({
      name: pair[i]!.controller,
      points: samples.slice(1).map((s, k) => [s.time / 1000, goodput(s, samples[k])] as const),
    }));
    const svg = lines(`bbr, and newreno from 5 s on: ${describe(on)}`, [
      { label: "goodput, Mbit/s, over 200 ms", series },
    ]);
    sheet.plot = { file: "congestion-cross.svg", svg };
  };
  return { name: "plots", columns: [], cells: [...alone, cross] };
}

export function congestionParts(short: boolean): CongestionPart[] {
  return [
    ...RATES.flatMap((rate) => RTTS.map((rtt) => grid(rate, rtt, short))),
    sharing(short),
    trouble(short),
    plots(),
  ];
}

export function runCell({ part, cell, short }: CongestionJob): CongestionResult {
  const sheet = new Sheet();
  congestionParts(short).find(({ name }) => name === part)!.cells[cell]!(sheet);
  const { lines, bar, plot, checks, failures, runs, datagrams } = sheet;
  return { lines, bar, plot, checks, failures, runs, datagrams };
}
