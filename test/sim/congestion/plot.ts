// Charts as SVG text: lines over time, and bars in groups.

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

const COLORS = ["#2f6db5", "#c4572e", "#3a7d44", "#8a4fa3"];
const WIDTH = 900;
const LEFT = 60;
const PLOT_HEIGHT = 220;

const escape = (text: string): string => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** A round number of which there are about five to `most`. */
function tick(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most / 5));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => most / step <= 6) ?? 10 * power;
}

function svg(title: string, height: number, body: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" ` +
    `font-size="11"><title>${escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>${body}</svg>\n`
  );
}

function legend(names: readonly string[]): string {
  return names
    .map((name, i) => {
      const x = WIDTH - 110 * (names.length - i);
      return (
        `<rect x="${x}" y="8" width="10" height="10" fill="${COLORS[i % COLORS.length]}"/>` +
        `<text x="${x + 14}" y="17">${escape(name)}</text>`
      );
    })
    .join("");
}

/** Panels one below the other over the same time in seconds. */
export function lines(
  title: string,
  panels: readonly { readonly label: string; readonly series: readonly Series[] }[],
): string {
  const names = panels[0]?.series.map(({ name }) => name) ?? [];
  let body = `<text x="${LEFT}" y="17" font-weight="bold">${escape(title)}</text>${legend(names)}`;
  panels.forEach(({ label, series }, panel) => {
    const top = 40 + panel * (PLOT_HEIGHT + 45);
    const all = series.flatMap(({ points }) => points);
    const lastX = Math.max(1, ...all.map(([x]) => x));
    const mostY = Math.max(1e-9, ...all.map(([, y]) => y)) * 1.05;
    const x = (value: number): string => (LEFT + (value / lastX) * (WIDTH - LEFT - 15)).toFixed(1);
    const y = (value: number): string => (top + PLOT_HEIGHT * (1 - value / mostY)).toFixed(1);
    body += `<text x="${LEFT}" y="${top - 6}">${escape(label)}</text>`;
    for (let value = 0; value <= mostY; value += tick(mostY)) {
      body +=
        `<line x1="${LEFT}" x2="${WIDTH - 15}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>` +
        `<text x="${LEFT - 5}" y="${y(value)}" text-anchor="end">${Number(value.toPrecision(3))}</text>`;
    }
    for (let value = 0; value <= lastX; value += tick(lastX)) {
      body += `<text x="${x(value)}" y="${top + PLOT_HEIGHT + 14}" text-anchor="middle">${Number(value.toPrecision(3))} s</text>`;
    }
    series.forEach(({ points }, i) => {
      const path = points.map(([px, py]) => `${x(px)},${y(py)}`).join(" ");
      body += `<polyline points="${path}" fill="none" stroke="${COLORS[i % COLORS.length]}" stroke-width="1.2"/>`;
    });
  });
  return svg(title, 40 + panels.length * (PLOT_HEIGHT + 45), body);
}

/** One group of bars for each row, values 0 … 1. */
export function bars(
  title: string,
  names: readonly string[],
  rows: readonly { readonly label: string; readonly values: readonly number[] }[],
): string {
  const line = 9 * names.length + 8;
  const left = 230;
  let body = `<text x="10" y="17" font-weight="bold">${escape(title)}</text>${legend(names)}`;
  const height = 34 + rows.length * line;
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const x = (left + share * (WIDTH - left - 15)).toFixed(1);
    body +=
      `<line x1="${x}" x2="${x}" y1="30" y2="${height}" stroke="#ddd"/>` +
      `<text x="${x}" y="28" text-anchor="middle">${100 * share} %</text>`;
  }
  rows.forEach(({ label, values }, row) => {
    const top = 34 + row * line;
    body += `<text x="${left - 6}" y="${top + line / 2}" text-anchor="end">${escape(label)}</text>`;
    values.forEach((value, i) => {
      const width = Math.max(0, Math.min(1, value)) * (WIDTH - left - 15);
      body += `<rect x="${left}" y="${top + 9 * i}" width="${width.toFixed(1)}" height="8" fill="${COLORS[i % COLORS.length]}"/>`;
    });
  });
  return svg(title, height + 6, body);
}
