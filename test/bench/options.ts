// The command line.

import { parseArgs } from "node:util";

export class UsageError extends Error {}

export interface Options {
  /** Null: every scenario. */
  readonly scenarios: readonly string[] | null;
  readonly peers: readonly string[] | null;
  readonly runs: number | null;
  readonly megabytes: number | null;
  readonly seconds: number | null;
  readonly quick: boolean;
  readonly json: string | null;
  readonly svg: string | null;
  /** Name of the files in test/bench/results. */
  readonly results: string | null;
  /** Rows measured before, shown or written again without measuring. */
  readonly from: readonly string[];
  readonly list: boolean;
  readonly help: boolean;
  /** What the switches mean to processes of ours. */
  readonly environment: Readonly<Record<string, string>>;
  /** What ours has to say of itself then: a fast path that was asked for and silently stepped aside is no result. */
  readonly expect: Readonly<Record<string, string>>;
}

export const HELP = `npm run bench -- [options]
  --scenario a,b     these alone (--list names them)
  --peers a,b        quic-go, deno, currentspace (@currentspace/http3), http2 (node:http2);
                     ours:KEY=VALUE+KEY=VALUE is ours with other environment variables, ours:null without encryption
  --runs N           measurements of each side, in turns
  --quick            short ones, for a first look
  --megabytes N      bytes of bulk transfers, in 10^6
  --seconds N        seconds of what goes by time
  --json FILE        an array of rows, one for each scenario and peer
  --svg FILE         a chart of the ratios
  --results NAME     table, rows and chart into test/bench/results/NAME.{md,json,svg}
  --from a.json,b.json  shows rows measured before in place of measuring
  --crypto ffi|node|null  AEAD of ours; null encrypts nothing, for seeing what encryption costs
  --udp native|dgram      socket of ours
  --gso on|off  --gro on|off  --ffi on|off   fast paths of ours
  --busy-poll on|off      whether ours waits awake where answers come soon
`;

const ON_OFF = ["on", "off"];

function positive(name: string, text: string | undefined, whole: boolean): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value) && (!whole || Number.isInteger(value)))) {
    throw new UsageError(`--${name} is a ${whole ? "whole number from 1" : "number above 0"}, not ${text}`);
  }
  return value;
}

function oneOf(name: string, text: string | undefined, choices: readonly string[]): string | null {
  if (text === undefined) return null;
  if (!choices.includes(text)) throw new UsageError(`--${name} is ${choices.join(" or ")}, not ${text}`);
  return text;
}

const list = (text: string | undefined): string[] | null => text?.split(",").filter(Boolean) ?? null;

/** Reads the arguments behind the program's name. @throws {UsageError} */
export function parseOptions(args: readonly string[]): Options {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        scenario: text,
        peers: text,
        runs: text,
        megabytes: text,
        seconds: text,
        json: text,
        svg: text,
        results: text,
        from: text,
        crypto: text,
        udp: text,
        gso: text,
        gro: text,
        ffi: text,
        "busy-poll": text,
        quick: flag,
        list: flag,
        help: flag,
      },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.results !== undefined && !/^[\w.-]+$/.test(values.results)) {
    throw new UsageError("--results is a name without folders");
  }
  const environment: Record<string, string> = {};
  const expect: Record<string, string> = {};
  const crypto = oneOf("crypto", values.crypto, ["ffi", "node", "null"]);
  if (crypto === "ffi") expect["crypto"] = "openssl";
  if (crypto === "node") environment["QUIC_TS_CRYPTO"] = expect["crypto"] = "node";
  if (crypto === "null") {
    environment["QUIC_TS_BENCH_NULL"] = "1";
    expect["crypto"] = "null";
  }
  const udp = oneOf("udp", values.udp, ["native", "dgram"]);
  if (udp !== null) environment["QUIC_TS_UDP"] = expect["kind"] = udp;
  for (const name of ["gso", "gro", "ffi"] as const) {
    const choice = oneOf(name, values[name], ON_OFF);
    if (choice === "off") environment[`QUIC_TS_${name.toUpperCase()}`] = "0";
    // FFI is seen by what builds on it.
    if (choice !== null && name !== "ffi") expect[name] = String(choice === "on");
  }
  const busyPoll = oneOf("busy-poll", values["busy-poll"], ON_OFF);
  if (busyPoll === "off") environment["QUIC_TS_BENCH_BUSY_POLL"] = "0";
  if (busyPoll !== null) expect["busyPoll"] = String(busyPoll === "on");
  return {
    scenarios: list(values.scenario),
    peers: list(values.peers),
    runs: positive("runs", values.runs, true),
    megabytes: positive("megabytes", values.megabytes, false),
    seconds: positive("seconds", values.seconds, false),
    quick: values.quick,
    json: values.json ?? null,
    svg: values.svg ?? null,
    results: values.results ?? null,
    from: list(values.from) ?? [],
    list: values.list,
    help: values.help,
    environment,
    expect,
  };
}
