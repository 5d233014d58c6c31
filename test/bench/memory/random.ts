import type { RandomSource } from "../../../internal/protocol/random.ts";

/** A seeded source (xorshift128+ on 32-bit halves): for benchmarks that must do the same work each time. */
export function seededRandom(seed: number): RandomSource {
  let a = seed | 0 || 1;
  let b = (seed * 0x9e3779b9) | 0 || 2;
  return (out) => {
    for (let i = 0; i < out.length; i++) {
      let t = a;
      a = b;
      t ^= t << 13;
      t ^= t >>> 17;
      t ^= b ^ (b >>> 5);
      b = t;
      out[i] = (a + b) & 0xff;
    }
  };
}
