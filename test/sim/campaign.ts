// Every handshake and transfer of the simulator with many seeds. `npm run campaign [-- --short] [--seed N] [--only TEXT]`
// prints a table and each failure with its seed; the exit code tells whether there were any. `npm run campaign --
// congestion` compares congestion controllers instead: congestion/campaign.ts; `-- paths` changes the network under
// connections: paths/campaign.ts; `-- soak` runs many of them for minutes: soak/soak.ts.
import { parseArgs } from "node:util";
import {
  HANDSHAKE_KINDS,
  handshakeCase,
  handshakeScenario,
  LOSSES,
  SIDES,
  transferCase,
  TRANSFERS,
  transferScenario,
  type HandshakeLoss,
} from "./cases.ts";
import { congestionCampaign } from "./congestion/campaign.ts";
import { pathsCampaign } from "./paths/campaign.ts";
import { soakCampaign } from "./soak/soak.ts";
import { replayed, type Scenario } from "./scenario.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: "boolean", default: false },
    /** The only seed to run. */
    seed: { type: "string" },
    only: { type: "string" },
    /** Of the campaigns about congestion and paths: writes the table and plots to test/bench/results. */
    results: { type: "boolean", default: false },
  },
});

interface Row {
  readonly name: string;
  readonly runs: number;
  readonly failures: readonly { readonly seed: number; readonly message: string }[];
  readonly slowest: number;
  readonly datagrams: number;
  readonly seconds: number;
}

const rows: Row[] = [];

function seedsOf(count: number): number[] {
  if (values.seed !== undefined) return [Number(values.seed)];
  return Array.from({ length: count }, (_, i) => i + 1);
}

function run(
  name: string,
  seeds: readonly number[],
  make: (seed: number) => Scenario,
  body: (s: Scenario) => void,
): void {
  if (values.only !== undefined && !name.includes(values.only)) return;
  const failures: { seed: number; message: string }[] = [];
  const started = performance.now();
  let slowest = 0;
  let datagrams = 0;
  for (const seed of seeds) {
    try {
      const scenario = replayed(
        () => make(seed),
        (each) => {
          body(each);
          slowest = Math.max(slowest, each.net.now - 1000);
        },
      );
      datagrams += scenario.net.datagrams;
    } catch (error) {
      failures.push({ seed, message: error instanceof Error ? error.message : String(error) });
    }
  }
  const seconds = (performance.now() - started) / 1000;
  rows.push({ name, runs: seeds.length, failures, slowest, datagrams, seconds });
  const state = failures.length === 0 ? "ok" : `${failures.length} FAILED`;
  console.log(
    `${name.padEnd(52)} ${String(seeds.length).padStart(4)} runs  ${state.padEnd(10)} ` +
      `${String(datagrams).padStart(8)} datagrams  ${seconds.toFixed(1).padStart(6)} s`,
  );
  for (const { seed, message } of failures) console.log(`    seed ${seed}: ${message.split("\n")[0]}`);
}

/** Done-when counts; the short form keeps every combination with fewer seeds. */
function handshakeSeeds(loss: HandshakeLoss): number {
  if (loss === "none") return 1;
  if (loss === "30 %") return values.short ? 5 : 100;
  return values.short ? 1 : 3;
}

function connections(): void {
  const started = performance.now();
  for (const kind of HANDSHAKE_KINDS) {
    for (const loss of LOSSES) {
      for (const side of SIDES) {
        run(
          `handshake: ${kind}, ${loss} lost, ${side}`,
          seedsOf(handshakeSeeds(loss)),
          (seed) => handshakeScenario(kind, seed),
          (scenario) => handshakeCase(scenario, loss, side),
        );
      }
    }
  }
  const bytes = values.short ? 1_000_000 : 10_000_000;
  for (const { name, link } of TRANSFERS) {
    for (const sender of ["client", "server"] as const) {
      run(
        `${bytes / 1e6} MB from the ${sender}: ${name}`,
        seedsOf(values.short ? 1 : 3),
        (seed) => transferScenario(link, seed),
        (scenario) => transferCase(scenario, bytes, sender),
      );
    }
  }

  const failed = rows.flatMap(({ name, failures }) =>
    failures.map(({ seed, message }) => ({ name, seed, message })),
  );
  const runs = rows.reduce((sum, row) => sum + row.runs, 0);
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `\n${rows.length} cases, ${runs} runs (each replayed), ${failed.length} failures, ${seconds.toFixed(0)} s`,
  );
  for (const { name, seed, message } of failed) {
    console.log(`\n${name}, seed ${seed} (npm run campaign -- --only "${name}" --seed ${seed})\n${message}`);
  }
  process.exitCode = failed.length === 0 && runs > 0 ? 0 : 1;
}

if (positionals[0] === "congestion") {
  const { short, only, results } = values;
  congestionCampaign({ short, only: only ?? null, results });
} else if (positionals[0] === "paths") {
  const { short, only, results, seed } = values;
  pathsCampaign({ short, only: only ?? null, results, seed: seed === undefined ? null : Number(seed) });
} else if (positionals[0] === "soak") {
  soakCampaign({ short: values.short, seed: values.seed === undefined ? null : Number(values.seed) });
} else connections();
