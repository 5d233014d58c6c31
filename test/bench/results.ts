// Rows with what they were measured on, as files that are committed.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { chart } from "./chart.ts";
import { notes, table } from "./report.ts";
import type { Row } from "./rows.ts";

/** What a figure was measured on. */
export interface Platform {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly system: string;
  readonly node: string;
  readonly openssl: string;
  readonly commit: string;
}

/** A row as it is written. */
export interface Stamped extends Row {
  readonly on: Platform;
  readonly date: string;
  /** Load average of the last minute when the scenario began: others may have used the machine too. */
  readonly load: number;
}

const FOLDER = join(import.meta.dirname, "results");
const BY_HAND = "<!-- what follows is written by hand and stays -->";

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, {
      cwd: import.meta.dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no").trim() !== "";
    return git("rev-parse", "--short", "HEAD").trim() + (changed ? " with changes" : "");
  } catch {
    return "unknown";
  }
}

export function platform(): Platform {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
    openssl: process.versions.openssl,
    commit: commit(),
  };
}

/** To be called before a scenario: the load is that of others then. */
export function stamper(): (rows: readonly Row[]) => Stamped[] {
  const load = Math.round(loadavg()[0]! * 100) / 100;
  const on = platform();
  return (rows) => rows.map((row) => ({ ...row, on, date: new Date().toISOString(), load }));
}

/** Reads what `--json` wrote. */
export function readRows(path: string): Stamped[] {
  const rows: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!Array.isArray(rows)) throw new Error(`${path} is no array of rows`);
  return rows as Stamped[];
}

/** The page for people. `old` is the page that is replaced: what was written below its mark by hand stays. */
export function page(name: string, rows: readonly Stamped[], old: string): string {
  const platforms = new Set(
    rows.map(
      ({ on }) =>
        `- ${on.cpu}, ${on.cores} cores, ${on.memoryGB} GB; ${on.system}; Node ${on.node}, OpenSSL ${on.openssl}; commit ${on.commit}`,
    ),
  );
  const loads = rows.map(({ load }) => load);
  const dates = rows.map(({ date }) => date.slice(0, 10)).sort();
  const kept = old.includes(BY_HAND) ? old.slice(old.indexOf(BY_HAND) + BY_HAND.length) : "\n";
  return `# Benchmark: ${name}

Made by \`npm run bench\`. Ratios are ours / theirs, turned so that larger is better for us; medians, with the smallest and
the largest of the runs. Client and server are processes of their own; ours and theirs take turns.

Measured from ${dates[0] ?? "?"} to ${dates.at(-1) ?? "?"}, load average before a scenario ${Math.min(...loads)} to ${Math.max(...loads)}, on

${[...platforms].join("\n")}

![ratios](${name}.svg)

${table(rows)}

${notes(rows)
  .map((note) => `- ${note}`)
  .join("\n")}

${BY_HAND}${kept}`;
}

/** Writes table, rows and chart. */
export function writeResults(name: string, rows: readonly Stamped[]): void {
  mkdirSync(FOLDER, { recursive: true });
  const path = join(FOLDER, name);
  const old = existsSync(`${path}.md`) ? readFileSync(`${path}.md`, "utf8") : "";
  writeFileSync(`${path}.md`, page(name, rows, old));
  writeFileSync(`${path}.json`, `${JSON.stringify(rows, null, 2)}\n`);
  writeFileSync(`${path}.svg`, chart(rows));
}
