// Every handshake and transfer of the simulator with many seeds: `npm run campaign -- connections [--short] [--seed N]
// [--only TEXT]`.
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
import type { Pool } from "./pool.ts";
import type { Totals } from "./report.ts";
import { replayed, type Scenario } from "./scenario.ts";

export interface ConnectionsJob {
  readonly name: string;
  readonly short: boolean;
  /** The only seed to run. */
  readonly seed: number | null;
}

export interface ConnectionsRow {
  readonly name: string;
  readonly runs: number;
  readonly failures: readonly { readonly seed: number; readonly message: string }[];
  readonly datagrams: number;
  readonly seconds: number;
}

interface Case {
  readonly name: string;
  readonly seeds: number;
  readonly make: (seed: number) => Scenario;
  readonly body: (scenario: Scenario) => void;
}

/** Done-when counts; the short form keeps every combination with fewer seeds. */
function handshakeSeeds(loss: HandshakeLoss, short: boolean): number {
  if (loss === "none") return 1;
  if (loss === "30 %") return short ? 5 : 100;
  return short ? 1 : 3;
}

function cases(short: boolean): Case[] {
  const bytes = short ? 1_000_000 : 10_000_000;
  return [
    ...HANDSHAKE_KINDS.flatMap((kind) =>
      LOSSES.flatMap((loss) =>
        SIDES.map((side): Case => ({
          name: `handshake: ${kind}, ${loss} lost, ${side}`,
          seeds: handshakeSeeds(loss, short),
          make: (seed) => handshakeScenario(kind, seed),
          body: (scenario) => handshakeCase(scenario, loss, side),
        })),
      ),
    ),
    ...TRANSFERS.flatMap(({ name, link }) =>
      (["client", "server"] as const).map((sender): Case => ({
        name: `${bytes / 1e6} MB from the ${sender}: ${name}`,
        seeds: short ? 1 : 3,
        make: (seed) => transferScenario(link, seed),
        body: (scenario) => transferCase(scenario, bytes, sender),
      })),
    ),
  ];
}

/** All seeds of one case, each twice: the replay leaves the same trace. */
export function runConnections({ name, short, seed: only }: ConnectionsJob): ConnectionsRow {
  const { seeds, make, body } = cases(short).find((each) => each.name === name)!;
  const failures: { seed: number; message: string }[] = [];
  const begun = performance.now();
  let datagrams = 0;
  const list = only !== null ? [only] : Array.from({ length: seeds }, (_, i) => i + 1);
  for (const seed of list) {
    try {
      datagrams += replayed(() => make(seed), body).net.datagrams;
    } catch (error) {
      failures.push({ seed, message: error instanceof Error ? error.message : String(error) });
    }
  }
  return { name, runs: list.length, failures, datagrams, seconds: (performance.now() - begun) / 1000 };
}

export async function connectionsCampaign(
  pool: Pool,
  {
    short,
    only,
    seed,
  }: { readonly short: boolean; readonly only: string | null; readonly seed: number | null },
): Promise<Totals> {
  const totals: Totals = { runs: 0, datagrams: 0, failures: [] };
  const wanted = cases(short).filter(({ name }) => only === null || name.includes(only));
  await pool.each(
    "connections",
    wanted.map(({ name }) => ({ name, short, seed })),
    ({ name, runs, failures, datagrams, seconds }) => {
      const state = failures.length === 0 ? "ok" : `${failures.length} FAILED`;
      console.log(
        `${name.padEnd(52)} ${String(runs).padStart(4)} runs  ${state.padEnd(10)} ` +
          `${String(datagrams).padStart(8)} datagrams  ${seconds.toFixed(1).padStart(6)} s`,
      );
      totals.runs += runs;
      totals.datagrams += datagrams;
      for (const { seed: at, message } of failures) {
        totals.failures.push(
          `${name} (npm run campaign -- connections --only "${name}" --seed ${at})\n${message}`,
        );
      }
    },
  );
  return totals;
}
