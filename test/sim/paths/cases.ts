// What a case of the campaign is: one ride by seed, what must hold of it, and the figures that it leaves.
import type { Ride } from "./ride.ts";

/** By the name of a column: a part of the link's rate where that begins with "goodput", otherwise a number. */
export type Figures = Readonly<Record<string, number>>;

export interface Outcome {
  readonly ride: Ride;
  readonly figures: Figures;
}

export interface PathCase {
  readonly name: string;
  /** Throws, with the seed in the message, where something does not hold. */
  readonly run: (seed: number) => Outcome;
  /** Whether its goodput over time is part of the plot. */
  readonly plotted?: boolean;
  /** Whether it is part of the short form. */
  readonly brief?: boolean;
}

/** One case with one seed. */
export interface PathsJob {
  readonly part: string;
  readonly name: string;
  readonly seed: number;
  /** A seed is all there is to a run: its replay leaves the same trace. */
  readonly twice: boolean;
}

export interface PathsResult {
  readonly figures: Figures;
  /** Mbit/s over time, of what is plotted. */
  readonly goodput: readonly (readonly [number, number])[];
  readonly datagrams: number;
  /** What did not hold; there are no figures then. */
  readonly failure: string | null;
}

export interface Part {
  readonly name: string;
  readonly title: string;
  readonly cases: readonly PathCase[];
}

export const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
