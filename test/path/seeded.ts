// Reproducible bytes for tests: mulberry32. The seed goes into every failure message that needs it.
import type { RandomSource } from "../../internal/protocol/random.ts";

export function seeded(seed: number): RandomSource {
  let state = seed >>> 0;
  return (out) => {
    for (let i = 0; i < out.length; i++) {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      out[i] = (t ^ (t >>> 14)) & 0xff;
    }
  };
}

/** Uniform enough numbers in [0, n). */
export function seededInt(seed: number): (n: number) => number {
  const random = seeded(seed);
  const bytes = new Uint8Array(4);
  return (n) => {
    random(bytes);
    return (((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0) % n;
  };
}
