// What a scenario is to the runner.

import type { Row } from "./rows.ts";

/** What the command line asks for. */
export interface Context {
  /** Runs per side; null: as many as the scenario wants. */
  readonly runs: number | null;
  /** Whom to measure against; null: everybody. */
  readonly peers: readonly string[] | null;
  /** Short runs, for a first look. */
  readonly quick: boolean;
  /** Bulk transfers: 10^6 bytes; null: as many as the scenario wants. */
  readonly megabytes: number | null;
  /** What goes by time; null: as long as the scenario wants. */
  readonly seconds: number | null;
  /** What ours has to say of itself, by name in `Result.info`. */
  readonly expect: Readonly<Record<string, string>>;
  /** One line of progress. */
  log(text: string): void;
}

export interface Scenario {
  readonly name: string;
  /** Other names it is known by. */
  readonly also?: readonly string[];
  /** One line: what is measured and how. */
  readonly about: string;
  run(context: Context): Promise<Row[]>;
}

/** Throws where ours does not use what was asked for. */
export function assertExpected(
  info: { readonly [name: string]: unknown },
  expect: Readonly<Record<string, string>>,
): void {
  for (const [name, value] of Object.entries(expect)) {
    if (String(info[name]) === value) continue;
    throw new Error(`ours was to run with ${name} ${value}, but says ${String(info[name])}`);
  }
}
