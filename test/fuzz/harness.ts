// Fuzzing parsers: a target is fed its corpus, mutations of it and noise, for a time, from one seed.
// In the test suite each target gets QUIC_TS_FUZZ_MS (default 600) from a fixed seed; `npx tsx test/fuzz/run.ts` goes longer.
import { fromHex, toHex } from "../../internal/protocol/bytes.ts";

/** A deterministic generator (sfc32). */
export class Prng {
  #a = 0x9e3779b9;
  #b = 0x243f6a88;
  #c = 0xb7e15162;
  #d: number;

  constructor(seed: number) {
    this.#d = seed | 0;
    for (let i = 0; i < 12; i++) this.u32();
  }

  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** In [0, n). */
  int(n: number): number {
    return Math.floor((this.u32() / 2 ** 32) * n);
  }

  chance(oneIn: number): boolean {
    return this.int(oneIn) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.u32();
    return out;
  }

  /** A varint's value, near the edges of the encodings more often than not. Exact: up to 2^62−1. */
  varint(): bigint {
    const edge = this.pick([0n, 0n, 64n, 16384n, 1n << 30n, 1n << 53n, 1n << 60n, 1n << 62n]);
    const value = edge + BigInt(this.int(8)) - 4n;
    if (this.chance(3)) return BigInt(this.int(1 << this.int(31)));
    return value < 0n ? 0n : value > (1n << 62n) - 1n ? (1n << 62n) - 1n : value;
  }
}

export interface Target {
  readonly name: string;
  /** Inputs to start from. */
  corpus(): Uint8Array[];
  /** Throws where the parser breaks its promises; expected errors are caught within. */
  run(input: Uint8Array, prng: Prng): void;
  /** A fresh valid input, where the target can make one. */
  generate?(prng: Prng): Uint8Array;
}

const MAX_INPUT = 4096;
/** No single input may take longer: looked at again several times, the best counts, as a busy machine pauses anybody. */
const MAX_INPUT_MS = 100;
const LOOKS = 5;

const EDGES = ["00", "3f", "40", "7fff", "80", "bfffffff", "c0", "c020000000000000", "ffffffffffffffff"].map(
  fromHex,
);

/** One to a few random edits of `input`. */
export function mutate(prng: Prng, input: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  let out = input;
  for (let edits = 1 + prng.int(4); edits > 0; edits--) {
    const at = prng.int(out.length + 1);
    const copy = Uint8Array.from(out);
    switch (prng.int(8)) {
      case 0:
        if (at < copy.length) copy[at]! ^= 1 << prng.int(8);
        break;
      case 1:
        if (at < copy.length) copy[at] = prng.u32();
        break;
      case 2:
        if (at < copy.length) copy[at] = prng.int(0x34);
        break;
      case 3:
        out = out.slice(0, at);
        continue;
      case 4:
        out = join(out.subarray(0, at), out.subarray(Math.min(out.length, at + 1 + prng.int(8))));
        continue;
      case 5:
        out = join(out.subarray(0, at), prng.pick(EDGES), out.subarray(at));
        continue;
      case 6: {
        const other = prng.pick(corpus);
        const from = prng.int(other.length + 1);
        out = join(out.subarray(0, at), other.subarray(from, from + prng.int(64)), out.subarray(at));
        continue;
      }
      default:
        // Lengths lie: put one edge value over what stands there.
        copy.set(prng.pick(EDGES).subarray(0, copy.length - at), at);
    }
    out = copy;
  }
  return out.length > MAX_INPUT ? out.slice(0, MAX_INPUT) : out;
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

export interface FuzzResult {
  readonly inputs: number;
  readonly slowestMs: number;
}

/**
 * Runs a target: its whole corpus first, whatever it takes, then mutations and generated inputs until the time is over.
 * @throws with seed and input, to be run again.
 */
export function fuzz(target: Target, seed: number, milliseconds: number): FuzzResult {
  const prng = new Prng(seed);
  const corpus = target.corpus();
  if (corpus.length === 0) corpus.push(new Uint8Array(0));
  let inputs = 0;
  let slowestMs = 0;
  const one = (input: Uint8Array) => {
    const state = new Prng(seed + inputs);
    const begin = performance.now();
    // Targets may destroy what they are given.
    const attempt = () => target.run(Uint8Array.from(input), state);
    try {
      attempt();
      let took = performance.now() - begin;
      for (let again = 0; took > MAX_INPUT_MS; again++) {
        if (again === LOOKS) throw new Error(`took ${took.toFixed(0)} ms`);
        const start = performance.now();
        attempt();
        took = Math.min(took, performance.now() - start);
      }
      slowestMs = Math.max(slowestMs, took);
    } catch (error) {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw new Error(
        `${target.name}: seed ${seed}, input ${inputs}: ${message}\ninput (${input.length} bytes): ${toHex(input)}`,
        { cause: error },
      );
    }
    inputs++;
  };
  for (const input of corpus) one(input);
  const start = performance.now();
  while (performance.now() - start < milliseconds) {
    for (let i = 0; i < 50; i++) {
      const kind = prng.int(10);
      let input: Uint8Array;
      if (kind === 0) input = prng.bytes(prng.int(80));
      else if (kind <= 4 && target.generate !== undefined) input = target.generate(prng);
      else input = prng.pick(corpus);
      // Of the valid ones some go in as they are.
      if (!(kind <= 2)) input = mutate(prng, input, corpus);
      one(input);
    }
  }
  return { inputs, slowestMs };
}
