// Ratios as an SVG: one bar for each row that has one, on a logarithmic scale around 1.

import type { Row } from "./rows.ts";

const WIDTH = 900;
const LABELS = 300;
const LINE = 22;
const PLOT = WIDTH - LABELS - 80;

const escape = (text: string): string => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** As much as there is room for. */
const shortened = (text: string): string => (text.length > 44 ? `${text.slice(0, 43)}…` : text);

/** The chart; larger than 1 is better for us. */
export function chart(rows: readonly Row[]): string {
  const shown = rows.filter((row): row is Row & { ratio: number } => row.ratio !== null && row.ratio > 0);
  const most = Math.max(2, ...shown.map(({ ratio }) => Math.max(ratio, 1 / ratio)));
  const x = (ratio: number): number => LABELS + PLOT / 2 + (Math.log(ratio) / Math.log(most)) * (PLOT / 2);
  const height = LINE * (shown.length + 2);
  const lines = [0.25, 0.5, 1, 2, 4, 8, 16]
    .filter((ratio) => ratio >= 1 / most && ratio <= most)
    .map(
      (ratio) =>
        `<line x1="${x(ratio).toFixed(1)}" x2="${x(ratio).toFixed(1)}" y1="${LINE}" y2="${height - 6}" stroke="${ratio === 1 ? "#333" : "#ddd"}"/>` +
        `<text x="${x(ratio).toFixed(1)}" y="14" text-anchor="middle">${ratio}</text>`,
    );
  const bars = shown.map(({ scenario, peer, ratio }, i) => {
    const y = LINE * (i + 1) + 5;
    const from = Math.min(x(1), x(ratio));
    const width = Math.max(1, Math.abs(x(ratio) - x(1)));
    return (
      `<text x="${LABELS - 8}" y="${y + 12}" text-anchor="end">${escape(shortened(`${scenario} / ${peer}`))}</text>` +
      `<rect x="${from.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${LINE - 8}" fill="${ratio >= 1 ? "#3a7d44" : "#b5533c"}"/>` +
      `<text x="${(ratio >= 1 ? x(ratio) + 5 : x(1) + 5).toFixed(1)}" y="${y + 12}">${ratio.toFixed(2)}</text>`
    );
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">` +
    `<title>ours / theirs, larger is better</title><rect width="100%" height="100%" fill="#fff"/>` +
    `${lines.join("")}${bars.join("")}</svg>\n`
  );
}
