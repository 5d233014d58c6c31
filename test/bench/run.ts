// npm run bench -- [--scenario a,b] [--peers a,b] [--runs N] [--quick] [--json FILE] [--svg FILE] [--list]
// Peers: quic-go, deno, currentspace, http2; ours:KEY=VALUE+KEY=VALUE is ours in another mode (QUIC_TS_UDP=dgram,
// QUIC_TS_CRYPTO=node, QUIC_TS_GSO=0, QUIC_TS_GRO=0), ours:null ours without packet encryption.
// Every scenario takes turns between ours and what it is measured against, within one run, in processes of their own.

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { notes, table } from "./report.ts";
import type { Row } from "./rows.ts";
import type { Scenario } from "./scenario.ts";
import { chart } from "./chart.ts";
import { connections } from "./scenarios/connections.ts";
import { floor } from "./scenarios/floor.ts";
import { inMemory } from "./scenarios/in-memory.ts";
import { againstPeers } from "./scenarios/peers.ts";
import { tracing } from "./scenarios/tracing.ts";
import { transfer } from "./scenarios/transfer.ts";

const SCENARIOS: readonly Scenario[] = [transfer, ...againstPeers, connections, floor, inMemory, tracing];

const { values } = parseArgs({
  options: {
    scenario: { type: "string" },
    peers: { type: "string" },
    runs: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    svg: { type: "string" },
    list: { type: "boolean", default: false },
  },
});

function stop(message: string): never {
  console.error(message);
  process.exit(2);
}

if (values.list) {
  for (const { name, about } of SCENARIOS) console.log(`${name.padEnd(12)} ${about}`);
  process.exit(0);
}
const runs = values.runs === undefined ? null : Number(values.runs);
if (runs !== null && !(Number.isInteger(runs) && runs > 0)) stop("--runs is a whole number from 1");
const names = values.scenario?.split(",") ?? SCENARIOS.map(({ name }) => name);
const chosen = names.map(
  (name) =>
    SCENARIOS.find((each) => each.name === name) ??
    stop(`No scenario is called ${name}. There are: ${SCENARIOS.map((each) => each.name).join(", ")}`),
);
const peers = values.peers?.split(",") ?? null;
const rows: Row[] = [];
for (const scenario of chosen) {
  console.log(`${scenario.name}: ${scenario.about}`);
  try {
    rows.push(
      ...(await scenario.run({ runs, peers, quick: values.quick, log: (text) => console.log(`  ${text}`) })),
    );
  } catch (error) {
    // What the other scenarios found is not lost with this one.
    console.error(`${scenario.name} failed:`, error);
    process.exitCode = 1;
  }
}
console.log(`\n${table(rows)}\n`);
for (const note of notes(rows)) console.log(note);
if (values.svg !== undefined) writeFileSync(values.svg, chart(rows));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
