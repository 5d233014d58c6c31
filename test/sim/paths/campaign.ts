// Connections whose network changes under them, with many seeds:
// `npm run campaign -- paths [--short] [--only TEXT] [--seed N] [--results]`. The last writes tables and plots to
// test/bench/results; TEXT is in the name of the parts or cases that run.
import { lines } from "../congestion/plot.ts";
import type { Pool } from "../pool.ts";
import { CampaignReport, type CampaignOptions, type Totals } from "../report.ts";
import { percent, type Part, type PathCase, type PathsJob, type PathsResult } from "./cases.ts";
import { PARTS } from "./parts.ts";

/** Of each case. */
const SEEDS = [1, 2, 3];
const TITLE = "# Paths that change, in the simulator\n\n`npm run campaign -- paths --results`\n";

/** Writes down what comes of the cases, in their order. */
class Tables {
  readonly report: CampaignReport;
  readonly totals: Totals = { runs: 0, datagrams: 0, failures: [] };
  #columns = "";
  #outcomes: PathsResult[] = [];
  #plotted: { name: string; points: PathsResult["goodput"] }[] = [];

  constructor(report: CampaignReport) {
    this.report = report;
  }

  add(result: PathsResult, { name, seed }: PathsJob): void {
    this.totals.runs++;
    this.totals.datagrams += result.datagrams;
    if (result.failure === null) this.#outcomes.push(result);
    else {
      console.log(`  FAILED: ${name}: ${result.failure}`);
      this.totals.failures.push(
        `${name} (npm run campaign -- paths --only "${name}" --seed ${seed})\n${result.failure}`,
      );
    }
  }

  /** All seeds of a case are there. */
  row(part: Part, { name, plotted }: PathCase): void {
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    if (outcomes.length === 0) return;
    const names = Object.keys(outcomes[0]!.figures);
    if (names.join() !== this.#columns) {
      this.#columns = names.join();
      this.report.say(`\n| ${part.title} | ${names.join(" | ")} |`);
      this.report.say(`| --- |${" --- |".repeat(names.length)}`);
    }
    const cells = names.map((each) =>
      cell(
        each,
        outcomes.map(({ figures }) => figures[each]!),
      ),
    );
    this.report.say(`| ${name} | ${cells.join(" | ")} |`);
    if (plotted === true)
      this.#plotted.push({ name: name.replace(/, data .*/, ""), points: outcomes[0]!.goodput });
  }

  /** All cases of a part are there. @param complete none of it was left out */
  end(part: Part, complete: boolean): void {
    const plotted = this.#plotted;
    this.#plotted = [];
    this.#columns = "";
    this.report.part(part.name);
    if (plotted.length === 0 || !complete) return;
    this.report.plot(`paths-${part.name}.svg`, () =>
      lines(
        `${part.title}: goodput, Mbit/s, over 100 ms`,
        plotted.map(({ name, points }) => ({ label: name, series: [{ name: "goodput", points }] })),
      ),
    );
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

export async function pathsCampaign(
  pool: Pool,
  { short, only, seed: single, results }: CampaignOptions,
): Promise<Totals> {
  const seeds = single !== null ? [single] : short ? SEEDS.slice(0, 1) : SEEDS;
  const wanted = (part: Part, { name, brief }: PathCase): boolean =>
    only === null ? !short || brief === true : part.name === only || name.includes(only);
  const entries = PARTS.flatMap((part) => {
    const cases = part.cases.filter((each) => wanted(part, each));
    return cases.map((each, i) => ({
      part,
      each,
      twice: i === 0 || (!short && each.brief === true),
      last: i === cases.length - 1,
      complete: cases.length === part.cases.length,
    }));
  });
  const jobs = entries.flatMap(({ part, each: { name }, twice }) =>
    seeds.map((seed): PathsJob => ({ part: part.name, name, seed, twice: twice && seed === seeds[0] })),
  );
  const tables = new Tables(new CampaignReport("paths.md", TITLE, results));
  let done = 0;
  await pool.each("paths", jobs, (result, job) => {
    tables.add(result, job);
    if (++done % seeds.length !== 0) return;
    const { part, each, last, complete } = entries[done / seeds.length - 1]!;
    tables.row(part, each);
    if (last) tables.end(part, complete);
  });
  return tables.totals;
}
