// What campaigns say: a table for people, plots, and the files under test/bench/results that keep them.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface CampaignOptions {
  readonly short: boolean;
  readonly only: string | null;
  /** The only seed to run. */
  readonly seed: number | null;
  /** Tables and plots are kept. */
  readonly results: boolean;
}

export interface Totals {
  runs: number;
  datagrams: number;
  readonly failures: string[];
}

const FOLDER = join(import.meta.dirname, "../bench/results");

export class CampaignReport {
  /** Whether anything is written. */
  readonly #saving: boolean;
  readonly #file: string;
  readonly #title: string;
  #lines: string[] = [];

  /** @param file of the tables, and its first lines */
  constructor(file: string, title: string, saving: boolean) {
    this.#file = join(FOLDER, file);
    this.#title = title;
    this.#saving = saving;
    if (saving) mkdirSync(FOLDER, { recursive: true });
  }

  say(line: string): void {
    console.log(line);
    this.#lines.push(line);
  }

  /** What was said since the last one is part `name` of the campaign: it takes the place of what that said before. */
  part(name: string): void {
    const lines = this.#lines;
    this.#lines = [];
    if (!this.#saving || lines.length === 0) return;
    const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
    const old = existsSync(this.#file) ? readFileSync(this.#file, "utf8") : this.#title;
    const part = `${begin}\n${lines.join("\n")}\n${end}`;
    const from = old.indexOf(begin);
    const to = old.indexOf(end);
    const after = from < 0 ? `${old}\n${part}\n` : old.slice(0, from) + part + old.slice(to + end.length);
    writeFileSync(this.#file, after);
  }

  /** Keeps a plot. It is drawn only then. */
  plot(file: string, draw: () => string): void {
    if (this.#saving) writeFileSync(join(FOLDER, file), draw());
  }
}
