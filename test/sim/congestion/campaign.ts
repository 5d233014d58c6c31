// Congestion controllers on many paths, against what theory says of them:
// `npm run campaign -- congestion [--short] [--only PART,PART] [--results]`. The last writes tables and plots to
// test/bench/results; parts are grid-RATE-RTT (Mbit/s and ms), sharing, trouble, plots.
import { CONTROLLER_NAMES } from "../../../internal/congestion/controllers.ts";
import type { Pool } from "../pool.ts";
import { CampaignReport, type CampaignOptions, type Totals } from "../report.ts";
import { congestionParts, type CongestionJob } from "./cells.ts";
import { bars } from "./plot.ts";

/** What the short form runs. */
const SHORT = ["grid-10-10", "grid-10-100", "sharing", "trouble"];
const TITLE = `# Congestion controllers in the simulator

\`npm run campaign -- congestion --results\`

Goodput is in percent of the link's rate. It is judged by what headers leave of that, 96.5 %: 80 % of it for BBR where 1 %
is lost, in the second half of the run and in the whole, Startup included.
`;

export async function congestionCampaign(
  pool: Pool,
  { short, only, results }: CampaignOptions,
): Promise<Totals> {
  const report = new CampaignReport("congestion.md", TITLE, results);
  const totals: Totals = { runs: 0, datagrams: 0, failures: [] };
  const named = only?.split(",") ?? null;
  const parts = new Map(
    congestionParts(short)
      .filter(({ name }) => (name === "plots" ? results : true))
      .filter(({ name }) => (named === null ? !short || SHORT.includes(name) : named.includes(name)))
      .map((part) => [part.name, part]),
  );
  const jobs = [...parts.values()].flatMap(({ name, cells }) =>
    cells.map((_, cell): CongestionJob => ({ part: name, cell, short })),
  );
  let checks = 0;
  let rows: { label: string; values: readonly number[] }[] = [];
  await pool.each("congestion", jobs, (result, { part, cell }) => {
    const { columns, cells } = parts.get(part)!;
    if (cell === 0 && columns.length > 0) {
      report.say(`\n| ${columns.join(" | ")} |`);
      report.say(`|${" --- |".repeat(columns.length)}`);
    }
    for (const line of result.lines) report.say(line);
    for (const failure of result.failures) {
      report.say(`  FAILED: ${failure}`);
      totals.failures.push(`${failure} (npm run campaign -- congestion --only ${part})`);
    }
    checks += result.checks;
    totals.runs += result.runs;
    totals.datagrams += result.datagrams;
    if (result.bar !== null) rows.push(result.bar);
    const { plot } = result;
    if (plot !== null) report.plot(plot.file, () => plot.svg);
    if (cell < cells.length - 1) return;
    report.part(part);
    if (rows.length > 0) {
      const [, rate, rtt] = part.split("-");
      const title = `Goodput of one flow over ${rate} Mbit/s and ${rtt} ms, second half of the run`;
      report.plot(`congestion-${part}.svg`, () => bars(title, CONTROLLER_NAMES, rows));
    }
    rows = [];
  });
  console.log(`\n${checks} assertions`);
  return totals;
}
