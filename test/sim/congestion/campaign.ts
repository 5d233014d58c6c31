// Congestion controllers on many paths, against what theory says of them:
// `npm run campaign -- congestion [--short] [--only PART,PART] [--results]`. The last writes tables and plots to
// test/bench/results; parts are grid-RATE-RTT (Mbit/s and ms), sharing, trouble, plots.
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
import { CampaignReport } from "../report.ts";
import { bars, lines, type Series } from "./plot.ts";

export interface CampaignOptions {
  readonly short: boolean;
  readonly only: string | null;
  readonly results: boolean;
}

/** What headers leave of the link to the application. */
const PAYLOAD = 0.965;
const SEED = 7;
/** Mbit/s, ms */
const RATES = [1, 10, 100];
const RTTS = [10, 100, 300];
/** What the short form runs. */
const SHORT = ["grid-10-10", "grid-10-100", "sharing", "trouble"];

const failures: string[] = [];
let report: CampaignReport;
let checks = 0;
let datagrams = 0;

const say = (line: string): void => report.say(line);

function check(holds: boolean, what: string): void {
  checks++;
  if (holds) return;
  failures.push(what);
  say(`  FAILED: ${what}`);
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const describe = ({ rate, rtt, loss, queue }: Bottleneck): string =>
  `${rate} Mbit/s, ${rtt} ms, ${100 * loss} % lost, queue ${Math.round(queue)} (BDP ${bdp({ rate, rtt }).toFixed(0)})`;

function path(rate: number, rtt: number, loss: number, bdps: number): Bottleneck {
  return { rate, rtt, loss, queue: Math.max(bdps * bdp({ rate, rtt }), 10) };
}

function alone(controller: CongestionControllerName, on: Bottleneck, ms: number): RunResult {
  const result = runFlows(on, [{ controller }], ms, SEED);
  datagrams += result.datagrams;
  return result;
}

/** Steady goodput of Reno by the square root law, as a part of the link: Mathis et al. 1997. */
function mathis({ rate, rtt, loss }: Bottleneck): number {
  return Math.min(1, ((DATAGRAM * 8) / (rtt * 1000) / rate) * Math.sqrt(1.5 / loss));
}

/** One flow on each path of the grid. */
function grid(rate: number, rtt: number, short: boolean): void {
  const losses = short ? [0, 0.01] : [0, 0.01, 0.05];
  const queues = short ? [1] : [0.5, 1, 4];
  const rows: { label: string; values: number[] }[] = [];
  say("\n| path | controller | goodput | second half | queue ms, mean / 95 % | dropped by the queue |");
  say("| --- | --- | --- | --- | --- | --- |");
  for (const loss of losses) {
    const paths = queues.map((bdps) => [bdps, path(rate, rtt, loss, bdps)] as const);
    // Small ones are the same: ten datagrams.
    for (const [bdps, on] of paths.filter(([, { queue }], i) => queue !== paths[i - 1]?.[1].queue)) {
      const ms = short ? Math.max(5000, 40 * rtt) : Math.max(10_000, 60 * rtt);
      const results = new Map(CONTROLLER_NAMES.map((name) => [name, alone(name, on, ms)] as const));
      for (const [name, r] of results) {
        say(
          `| ${describe(on)} | ${name} | ${percent(r.utilization)} | ${percent(r.steadyUtilization)} | ` +
            `${r.queueMean.toFixed(1)} / ${r.queue95} | ${(100 * r.dropped).toFixed(2)} % |`,
        );
      }
      const values = [...results.values()].map((r) => r.steadyUtilization);
      rows.push({ label: `${100 * loss} % lost, queue ${Math.round(on.queue)} datagrams`, values });
      judge(on, bdps, results, ms);
    }
  }
  report.plot(`congestion-grid-${rate}-${rtt}.svg`, () =>
    bars(
      `Goodput of one flow over ${rate} Mbit/s and ${rtt} ms, second half of the run`,
      CONTROLLER_NAMES,
      rows,
    ),
  );
}

function judge(
  on: Bottleneck,
  bdps: number,
  results: ReadonlyMap<CongestionControllerName, RunResult>,
  ms: number,
): void {
  const where = describe(on);
  const steady = (name: CongestionControllerName): number => results.get(name)!.steadyUtilization / PAYLOAD;
  // What waits behind a hole when time is up is not counted: up to a round trip's worth, with the queue.
  const waiting = (name: CongestionControllerName): number =>
    (on.rtt + results.get(name)!.queue95) / (ms / 2);
  const size = bdp(on);
  if (on.loss === 0) {
    // A halved window of a queue of a BDP still fills the path; less queue, or a BDP that takes longer to grow back to
    // than the run lasts, leaves less.
    for (const name of CONTROLLER_NAMES) {
      check(
        steady(name) >= (bdps >= 1 ? 0.8 : 0.7),
        `${name} fills a path without loss: ${percent(steady(name))} of ${where}`,
      );
    }
    // rfc9438#5.1: at least as fast as Reno, and faster where the BDP is large.
    if (size >= 100) {
      const [cubic, reno] = [steady("cubic"), steady("newreno")];
      check(
        cubic >= 0.98 * reno - waiting("cubic"),
        `cubic ${percent(cubic)} is no less than newreno ${percent(reno)}: ${where}`,
      );
    }
  }
  if (on.loss === 0.01 && size >= 20) {
    check(
      steady("bbr") >= 0.8 - waiting("bbr"),
      `bbr ${percent(steady("bbr"))} in spite of random loss: ${where}`,
    );
  }
  const law = on.loss > 0 ? mathis(on) : 1;
  // So many losses that their average means something.
  const lost = ((law * on.rate * 125 * ms) / 2 / DATAGRAM) * on.loss;
  if (law < 0.5 && lost >= 20) {
    const reno = results.get("newreno")!.steadyUtilization;
    check(
      reno > 0.4 * law && reno < 2 * law,
      `newreno ${percent(reno)} is near the square root law's ${percent(law)}: ${where}`,
    );
    check(
      steady("cubic") >= 0.8 * steady("newreno"),
      `cubic is no slower than newreno with losses: ${where}`,
    );
  }
}

/** Two flows of one controller, the second two seconds later; and each controller against NewReno. */
function sharing(short: boolean): void {
  say("\n| flows | path | shares, second half | Jain | queue ms |");
  say("| --- | --- | --- | --- | --- |");
  const seconds = short ? 30 : 60;
  const run = (
    pair: readonly [CongestionControllerName, CongestionControllerName],
    on: Bottleneck,
  ): number[] => {
    const [a, b] = pair;
    const r = runFlows(on, [{ controller: a }, { controller: b, after: 2000 }], seconds * 1000, SEED);
    datagrams += r.datagrams;
    const shares = r.flows.map((flow) => flow.steady / on.rate);
    say(
      `| ${pair.join(", ")} | ${describe(on)} | ${shares.map(percent).join(", ")} | ${jain(shares).toFixed(3)} | ${r.queueMean.toFixed(0)} |`,
    );
    return shares;
  };
  for (const bdps of short ? [1] : [1, 2]) {
    const on = path(10, 40, 0, bdps);
    for (const name of CONTROLLER_NAMES) {
      const shares = run([name, name], on);
      check(
        jain(shares) >= 0.9,
        `two flows of ${name} share fairly: ${shares.map(percent).join(", ")} of ${describe(on)}`,
      );
      check(shares[0]! + shares[1]! >= 0.8, `two flows of ${name} fill the path: ${describe(on)}`);
    }
    for (const name of CONTROLLER_NAMES) {
      if (name === "newreno") continue;
      const shares = run(["newreno", name], on);
      for (const share of shares)
        check(share >= 0.1, `nobody starves, newreno against ${name}: ${shares.map(percent).join(", ")}`);
    }
  }
}

/** Reordering, bufferbloat, and a path that is gone for a while. */
function trouble(short: boolean): void {
  say("\n| trouble | controller | |");
  say("| --- | --- | --- |");
  const ms = short ? 10_000 : 30_000;
  const on = path(10, 100, 0, 1);
  for (const name of CONTROLLER_NAMES) {
    const inOrder = alone(name, on, ms).utilization;
    const reordered = alone(name, { ...on, reorder: 0.2 }, ms).utilization;
    say(
      `| 20 % reordered by up to half a round trip | ${name} | ${percent(reordered)}, in order ${percent(inOrder)} |`,
    );
    check(
      reordered >= 0.8 * inOrder,
      `${name} stands reordering: ${percent(reordered)}, in order ${percent(inOrder)}`,
    );
  }
  const bloat = new Map(
    CONTROLLER_NAMES.map((name) => [name, alone(name, path(10, 40, 0, 20), ms)] as const),
  );
  for (const [name, r] of bloat) {
    say(
      `| a queue of 20 BDP (800 ms) | ${name} | ${percent(r.steadyUtilization)}, ${r.queueMean.toFixed(0)} ms in the queue |`,
    );
    check(r.steadyUtilization >= 0.85, `${name} fills a path with a long queue`);
  }
  check(bloat.get("bbr")!.queueMean < 40, "bbr keeps the queue under a round trip");
  for (const name of CONTROLLER_NAMES) {
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
    datagrams += bench.scenario.net.datagrams;
    say(`| nothing passes for 4 s | ${name} | ${percent(share)} from 5 s later on |`);
    check(share >= 0.7, `${name} comes back after persistent congestion: ${percent(share)}`);
  }
}

/** Windows, queues and rates over time. */
function plots(): void {
  const paths: readonly [string, Bottleneck, number][] = [
    ["congestion-steady.svg", path(10, 40, 0, 1), 15],
    ["congestion-loss.svg", path(10, 40, 0.01, 1), 15],
    ["congestion-bufferbloat.svg", path(10, 40, 0, 10), 30],
  ];
  for (const [file, on, seconds] of paths) {
    const taken = CONTROLLER_NAMES.map((name) => {
      const samples: Sample[] = [];
      runFlows(on, [{ controller: name }], seconds * 1000, SEED, {
        every: 100,
        to: (_, s) => samples.push(s),
      });
      return { name, samples };
    });
    const series = (pick: (now: Sample, before: Sample | undefined) => number): Series[] =>
      taken.map(({ name, samples }) => ({
        name,
        points: samples.map((s, i) => [s.time / 1000, pick(s, samples[i - 1])] as const),
      }));
    const goodput = (now: Sample, before: Sample | undefined): number =>
      before === undefined ? 0 : (now.received - before.received) / 125 / (now.time - before.time);
    report.plot(file, () =>
      lines(describe(on), [
        { label: "congestion window, datagrams", series: series((s) => s.cwnd / DATAGRAM) },
        { label: "delay in the queue, ms", series: series((s) => s.queueDelay) },
        { label: "goodput, Mbit/s, over 100 ms", series: series(goodput) },
      ]),
    );
  }
  const flows: Sample[][] = [[], []];
  const on = path(10, 40, 0, 1);
  const pair = [{ controller: "bbr" }, { controller: "newreno", after: 5000 }] as const;
  runFlows(on, pair, 30_000, SEED, { every: 200, to: (i, s) => flows[i]!.push(s) });
  report.plot("congestion-cross.svg", () =>
    lines(`bbr, and newreno from 5 s on: ${describe(on)}`, [
      {
        label: "goodput, Mbit/s, over 200 ms",
        series: flows.map((samples, i) => ({
          name: pair[i]!.controller,
          points: samples
            .slice(1)
            .map(
              (s, k) =>
                [
                  s.time / 1000,
                  (s.received - samples[k]!.received) / 125 / (s.time - samples[k]!.time),
                ] as const,
            ),
        })),
      },
    ]),
  );
}

const TITLE = "# Congestion controllers in the simulator\n\n`npm run campaign -- congestion --results`\n";

/** Runs it; the exit code tells whether all held. */
export function congestionCampaign({ short, only, results }: CampaignOptions): void {
  const begun = performance.now();
  report = new CampaignReport("congestion.md", TITLE, results);
  const parts: [string, () => void][] = [
    ...RATES.flatMap((rate) =>
      RTTS.map((rtt): [string, () => void] => [`grid-${rate}-${rtt}`, () => grid(rate, rtt, short)]),
    ),
    ["sharing", () => sharing(short)],
    ["trouble", () => trouble(short)],
  ];
  for (const [name, part] of parts) {
    if (only === null ? short && !SHORT.includes(name) : !only.split(",").includes(name)) continue;
    report.part(name, part);
  }
  if (results && (only === null || only === "plots")) plots();
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  console.log(`\n${checks} assertions, ${failures.length} failures, ${datagrams} datagrams, ${seconds} s`);
  for (const failure of failures) console.log(`FAILED: ${failure}`);
  process.exitCode = failures.length > 0 || (checks === 0 && only !== "plots") ? 1 : 0;
}
