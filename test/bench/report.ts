// Rows as a table for people.

import type { CpuPerGB, Measured, Rss, Row } from "./rows.ts";

/** Three significant digits, thousands separated. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

const withSpread = (side: Measured | null): string =>
  side === null
    ? ""
    : side.values.length === 1
      ? figure(side.median)
      : `${figure(side.median)} (${figure(side.min)}–${figure(side.max)})`;

const cpu = (side: CpuPerGB | null): string =>
  side === null ? "" : `${figure(side.client)} + ${figure(side.server)} = ${figure(side.both)}`;

const rss = (side: Rss | null): string =>
  side === null ? "" : `${figure(side.client / 1e6)} / ${figure(side.server / 1e6)}`;

const ratio = (row: Row): string => {
  if (row.ratio === null) return "";
  const { ratioInterval } = row;
  const interval =
    ratioInterval === null ? "" : ` [${ratioInterval.low.toFixed(3)}, ${ratioInterval.high.toFixed(3)}]`;
  return `${row.ratio.toFixed(ratioInterval === null ? 2 : 3)}${interval}`;
};

const HEAD = [
  "scenario",
  "peer",
  "unit",
  "ours",
  "theirs",
  "ratio [95 %]",
  "ours CPU s/GB c + s",
  "theirs",
  "CPU ratio",
  "ours RSS MB c/s",
  "theirs",
  "runs",
];

/** The cells of the table, without its head. */
export function cells(row: Row): string[] {
  return [
    row.scenario,
    row.peer,
    row.unit,
    withSpread(row.ours),
    withSpread(row.theirs),
    ratio(row),
    cpu(row.cpuPerGB.ours),
    cpu(row.cpuPerGB.theirs),
    row.cpuRatio === null ? "" : row.cpuRatio.toFixed(2),
    rss(row.rss.ours),
    rss(row.rss.theirs),
    String(row.runs),
  ];
}

/** A Markdown table, padded so that it reads in a terminal too. Columns that nothing fills are left out. */
export function table(rows: readonly Row[]): string {
  const body = rows.map(cells);
  const used = HEAD.map((_, i) => body.some((line) => line[i] !== ""));
  const lines = [HEAD, ...body].map((line) => line.filter((_, i) => used[i]));
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  const text = lines.map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`);
  text.splice(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`);
  return text.join("\n");
}

/** Every note once, with the rows it belongs to. */
export function notes(rows: readonly Row[]): string[] {
  const by = new Map<string, string[]>();
  for (const row of rows) {
    for (const note of row.notes) by.set(note, [...(by.get(note) ?? []), `${row.scenario}/${row.peer}`]);
  }
  return [...by].map(([note, where]) => {
    const names = [...new Set(where)];
    return `${names.length > 3 ? `${names.slice(0, 3).join(", ")}, …` : names.join(", ")}: ${note}`;
  });
}
