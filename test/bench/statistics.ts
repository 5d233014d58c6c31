// What is said of a list of measurements.

/** The middle value; the mean of the two middle ones where there is an even number. NaN for none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

export interface Spread {
  readonly min: number;
  readonly max: number;
}

/** Smallest and largest. */
export function spread(values: readonly number[]): Spread {
  return { min: Math.min(...values), max: Math.max(...values) };
}

export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

// Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom; beyond, the normal distribution is near enough.
const T95 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/**
 * The geometric mean of ratios with its 95 % confidence interval: Student's t over their logarithms, since a ratio and
 * its inverse are to weigh the same.
 */
export function ratioInterval(ratios: readonly number[]): Interval {
  const n = ratios.length;
  const logs = ratios.map(Math.log);
  const mean = logs.reduce((sum, x) => sum + x, 0) / n;
  if (n < 2) return { mean: Math.exp(mean), low: 0, high: Infinity };
  const variance = logs.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1);
  const half = (T95[n - 2] ?? 1.96 + 2.5 / (n - 1)) * Math.sqrt(variance / n);
  return { mean: Math.exp(mean), low: Math.exp(mean - half), high: Math.exp(mean + half) };
}
