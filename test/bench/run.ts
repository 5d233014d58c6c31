// npm run bench -- --help
// Every scenario takes turns between ours and what it is measured against, within one run, in processes of their own.

import { writeFileSync } from "node:fs";
import { chart } from "./chart.ts";
import { HELP, type Options, parseOptions, UsageError } from "./options.ts";
import { peer, PEER_NAMES } from "./peers/index.ts";
import { notes, table } from "./report.ts";
import { readRows, type Stamped, stamper, writeResults } from "./results.ts";
import type { Scenario } from "./scenario.ts";
import { connections } from "./scenarios/connections.ts";
import { floor } from "./scenarios/floor.ts";
import { overHttp } from "./scenarios/http.ts";
import { inMemory } from "./scenarios/in-memory.ts";
import { againstPeers } from "./scenarios/peers.ts";
import { tracing } from "./scenarios/tracing.ts";
import { portable, transfer } from "./scenarios/transfer.ts";

const SCENARIOS: readonly Scenario[] = [
  transfer,
  portable,
  ...againstPeers,
  ...overHttp,
  connections,
  floor,
  inMemory,
  tracing,
];

function chosen({ scenarios, peers }: Options): Scenario[] {
  for (const name of peers ?? []) {
    if (peer(name) !== undefined) continue;
    throw new UsageError(`No peer is called ${name}. There are: ${PEER_NAMES.join(", ")}, ours:KEY=VALUE`);
  }
  const named = (scenarios ?? SCENARIOS.map(({ name }) => name)).map((name) => {
    const scenario = SCENARIOS.find((each) => each.name === name || each.also?.includes(name));
    if (scenario !== undefined) return scenario;
    const names = SCENARIOS.map((each) => each.name).join(", ");
    throw new UsageError(`No scenario is called ${name}. There are: ${names}`);
  });
  return [...new Set(named)];
}

/** What is there so far is written after each scenario: measuring everything takes long. */
function write(options: Options, rows: readonly Stamped[]): void {
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
  if (options.svg !== null) writeFileSync(options.svg, chart(rows));
  if (options.results !== null) writeResults(options.results, rows);
}

async function measure(options: Options, scenarios: readonly Scenario[]): Promise<Stamped[]> {
  // Processes inherit it; `ours:KEY=VALUE` has the last word for its own.
  Object.assign(process.env, options.environment);
  const rows: Stamped[] = [];
  for (const scenario of scenarios) {
    console.log(`${scenario.name}: ${scenario.about}`);
    const stamp = stamper();
    try {
      rows.push(
        ...stamp(await scenario.run({ ...options, log: (text: string) => console.log(`  ${text}`) })),
      );
      write(options, rows);
    } catch (error) {
      console.error(`${scenario.name} failed: ${(error as Error).stack ?? String(error)}`);
      process.exitCode = 1;
    }
  }
  return rows;
}

async function main(options: Options): Promise<void> {
  if (options.help) return console.log(HELP);
  if (options.list) {
    for (const { name, about } of SCENARIOS) console.log(`${name.padEnd(18)} ${about}`);
    return;
  }
  const scenarios = chosen(options);
  const rows = options.from.length > 0 ? options.from.flatMap(readRows) : await measure(options, scenarios);
  if (options.from.length > 0) write(options, rows);
  if (rows.length === 0) return console.log("Nothing was measured.");
  console.log(`\n${table(rows)}\n`);
  for (const note of notes(rows)) console.log(note);
}

try {
  await main(parseOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
