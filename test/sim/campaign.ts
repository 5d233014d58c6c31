// The campaigns of the simulator: `npm run campaign [-- NAME …] [--short] [--only TEXT] [--seed N] [--results]`.
//   connections   every handshake and transfer with many seeds: connections.ts
//   congestion    controllers on many paths, against theory: congestion/campaign.ts
//   paths         the network changes under connections: paths/campaign.ts
//   soak          a thousand connections for minutes: soak/soak.ts
// Without a name: the first three. The exit code tells whether all held; each failure is printed with its seed.
import { parseArgs } from "node:util";
import { congestionCampaign } from "./congestion/campaign.ts";
import { connectionsCampaign } from "./connections.ts";
import { pathsCampaign } from "./paths/campaign.ts";
import { Pool } from "./pool.ts";
import type { CampaignOptions, Totals } from "./report.ts";
import { soakCampaign } from "./soak/soak.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: "boolean", default: false },
    /** The only seed to run. */
    seed: { type: "string" },
    /** What is in the names of the cases that run; of congestion: its parts, with commas. */
    only: { type: "string" },
    /** Of the campaigns about congestion and paths: writes the tables and plots to test/bench/results. */
    results: { type: "boolean", default: false },
  },
});

const CAMPAIGNS: Readonly<Record<string, (pool: Pool, options: CampaignOptions) => Promise<Totals>>> = {
  connections: connectionsCampaign,
  congestion: congestionCampaign,
  paths: pathsCampaign,
};

const { short, only = null, results } = values;
const seed = values.seed === undefined ? null : Number(values.seed);

async function run(names: readonly string[]): Promise<boolean> {
  const pool = new Pool();
  const all: Totals = { runs: 0, datagrams: 0, failures: [] };
  const begun = performance.now();
  const say = (what: string, { runs, datagrams, failures }: Totals, since: number, cpu: number): void => {
    const seconds = `${((performance.now() - since) / 1000).toFixed(0)} s`;
    console.log(
      `\n${what}: ${runs} runs, ${failures.length} failures, ${datagrams} datagrams, ${seconds} ` +
        `(${cpu.toFixed(0)} s of processor time)\n`,
    );
  };
  for (const name of names) {
    const [from, cpu] = [performance.now(), pool.cpu];
    const totals = await CAMPAIGNS[name]!(pool, { short, only, seed, results });
    say(name, totals, from, pool.cpu - cpu);
    all.runs += totals.runs;
    all.datagrams += totals.datagrams;
    all.failures.push(...totals.failures);
  }
  for (const failure of all.failures) console.log(`FAILED: ${failure}\n`);
  if (names.length > 1) say("all", all, begun, pool.cpu);
  pool.close();
  return all.failures.length === 0 && all.runs > 0;
}

const names = positionals.length > 0 ? positionals : Object.keys(CAMPAIGNS);
const unknown = names.find((name) => name !== "soak" && CAMPAIGNS[name] === undefined);
if (unknown !== undefined) {
  console.error(`no campaign of the name ${unknown}: ${Object.keys(CAMPAIGNS).join(", ")}, soak`);
  process.exitCode = 2;
} else {
  const others = names.filter((name) => name !== "soak");
  const held = others.length === 0 || (await run(others));
  const soaked = !names.includes("soak") || soakCampaign({ short, seed });
  process.exitCode = held && soaked ? 0 : 1;
}
