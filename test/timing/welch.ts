// Does the time of a comparison tell where the first difference is? Two classes of inputs, measured in turns that a
// seeded coin decides, compared by Welch's t, as dudect does.

export interface Comparison {
  /** Calls of one sample: their times add up to what the clock can tell. */
  readonly calls: number;
  /** Samples of both classes together. */
  readonly samples: number;
  readonly random: () => number;
}

export interface Outcome {
  /** Of the means; dudect takes 4.5 for a hint and 10 for certain. */
  readonly t: number;
  /** Mean of the second class over that of the first. */
  readonly ratio: number;
}

/** Times `run(input)` for inputs of two classes. */
export function compare<T>(
  inputs: readonly [T, T],
  run: (input: T) => unknown,
  options: Comparison,
): Outcome {
  const { calls, samples, random } = options;
  const times: [number[], number[]] = [[], []];
  let kept: unknown;
  const once = (which: 0 | 1) => {
    const input = inputs[which];
    const begun = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) kept = run(input);
    return Number(process.hrtime.bigint() - begun);
  };
  for (let i = 0; i < 20; i++) once((i & 1) as 0 | 1);
  for (let i = 0; i < samples; i++) {
    // A pair at a time, in an order nobody can foresee: what drifts (clock, caches, neighbours) meets both classes.
    const first = random() < 0.5 ? 0 : 1;
    times[first].push(once(first));
    const second = (1 - first) as 0 | 1;
    times[second].push(once(second));
  }
  void kept;
  const [a, b] = times.map((list) => moments(cropped(list))) as [Moments, Moments];
  const error = Math.sqrt(a.variance / a.count + b.variance / b.count);
  return { t: error === 0 ? 0 : (b.mean - a.mean) / error, ratio: b.mean / a.mean };
}

/** The slowest tenth was interrupted by something else. */
function cropped(times: number[]): number[] {
  return times.sort((x, y) => x - y).slice(0, Math.ceil(times.length * 0.9));
}

interface Moments {
  readonly count: number;
  readonly mean: number;
  readonly variance: number;
}

function moments(values: readonly number[]): Moments {
  const count = values.length;
  let mean = 0;
  for (const value of values) mean += value / count;
  let variance = 0;
  for (const value of values) variance += (value - mean) ** 2 / (count - 1);
  return { count, mean, variance };
}
