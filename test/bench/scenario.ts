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
  /** One line of progress. */
  log(text: string): void;
}

export interface Scenario {
  readonly name: string;
  /** One line: what is measured and how. */
  readonly about: string;
  run(context: Context): Promise<Row[]>;
}
