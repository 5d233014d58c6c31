// Connections whose network changes under them, with many seeds:
// `npm run campaign -- paths [--short] [--only TEXT] [--seed N] [--results]`. The last writes tables and plots to
// test/bench/results; TEXT is in the name of the parts or cases that run.
import { lines } from "../congestion/plot.ts";
import { CampaignReport } from "../report.ts";
import { percent, type Outcome, type Part, type PathCase } from "./cases.ts";
import { blackholes, ecn, mtu } from "./faults.ts";
import { migration, rebinding } from "./moving.ts";
import { bufferbloat, persistent, reordering } from "./pressure.ts";

export interface PathsOptions {
  readonly short: boolean;
  readonly only: string | null;
  /** The only seed to run. */
  readonly seed: number | null;
  readonly results: boolean;
}

const PARTS: readonly Part[] = [
  rebinding,
  migration,
  blackholes,
  mtu,
  ecn,
  persistent,
  reordering,
  bufferbloat,
];
/** Of each case. */
const SEEDS = 3;
const TITLE = "# Paths that change, in the simulator\n\n`npm run campaign -- paths --results`\n";

interface Failure {
  readonly part: string;
  readonly name: string;
  readonly seed: number;
  readonly message: string;
}

class PathsCampaign {
  readonly #options: PathsOptions;
  readonly #report: CampaignReport;
  readonly #seeds: readonly number[];
  readonly failures: Failure[] = [];
  runs = 0;
  datagrams = 0;

  constructor(options: PathsOptions) {
    this.#options = options;
    this.#report = new CampaignReport("paths.md", TITLE, options.results);
    const { seed, short } = options;
    this.#seeds = seed !== null ? [seed] : Array.from({ length: short ? 1 : SEEDS }, (_, i) => i + 1);
  }

  part(part: Part): void {
    const { only, short } = this.#options;
    const wanted = ({ name, brief }: PathCase): boolean =>
      only === null ? !short || brief === true : part.name === only || name.includes(only);
    const cases = part.cases.filter(wanted);
    if (cases.length === 0) return;
    this.#report.part(part.name, () => {
      const plotted: { name: string; points: [number, number][] }[] = [];
      let columns: string[] = [];
      for (const each of cases) {
        const outcomes = this.#case(part, each, each === cases[0] || (!short && each.brief === true));
        if (outcomes.length === 0) continue;
        const names = Object.keys(outcomes[0]!.figures);
        if (names.join() !== columns.join()) {
          columns = names;
          this.#report.say(`\n| ${part.title} | ${names.join(" | ")} |`);
          this.#report.say(`| --- |${" --- |".repeat(names.length)}`);
        }
        const cells = names.map((name) =>
          cell(
            name,
            outcomes.map(({ figures }) => figures[name]!),
          ),
        );
        this.#report.say(`| ${each.name} | ${cells.join(" | ")} |`);
        if (each.plotted === true)
          plotted.push({ name: each.name.replace(/, data .*/, ""), points: outcomes[0]!.ride.goodput() });
      }
      if (plotted.length === 0 || cases.length < part.cases.length) return;
      this.#report.plot(`paths-${part.name}.svg`, () =>
        lines(
          `${part.title}: goodput, Mbit/s, over 100 ms`,
          plotted.map(({ name, points }) => ({ label: name, series: [{ name: "goodput", points }] })),
        ),
      );
    });
  }

  /** @param twice a seed is all there is to a run: its replay leaves the same trace */
  #case(part: Part, each: PathCase, twice: boolean): Outcome[] {
    const outcomes: Outcome[] = [];
    for (const seed of this.#seeds) {
      this.runs++;
      try {
        const outcome = each.run(seed);
        const { net } = outcome.ride.s;
        this.datagrams += net.datagrams;
        outcomes.push(outcome);
        if (twice && seed === this.#seeds[0] && each.run(seed).ride.s.net.traceHash !== net.traceHash)
          throw new Error(`seed ${seed}: the replay is another trace`);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.failures.push({ part: part.name, name: each.name, seed, message });
        console.log(`  FAILED: ${each.name}: ${message}`);
      }
    }
    return outcomes;
  }
}

/** The median, and the least and the most where they differ. */
function cell(name: string, values: readonly number[]): string {
  const text = name.startsWith("goodput") ? percent : (value: number): string => value.toFixed(0);
  const sorted = [...values].sort((a, b) => a - b);
  const [least, most] = [text(sorted[0]!), text(sorted[sorted.length - 1]!)];
  const median = text(sorted[sorted.length >> 1]!);
  return least === most ? median : `${median} (${least} … ${most})`;
}

/** Runs it; the exit code tells whether all held. */
export function pathsCampaign(options: PathsOptions): void {
  const begun = performance.now();
  const campaign = new PathsCampaign(options);
  for (const part of PARTS) campaign.part(part);
  const { failures, runs, datagrams } = campaign;
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  console.log(`\n${runs} runs, ${failures.length} failures, ${datagrams} datagrams, ${seconds} s`);
  for (const { name, seed, message } of failures) {
    console.log(`\n${name} (npm run campaign -- paths --only "${name}" --seed ${seed})\n${message}`);
  }
  process.exitCode = failures.length > 0 || runs === 0 ? 1 : 0;
}
