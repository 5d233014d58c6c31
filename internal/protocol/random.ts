/**
 * Where randomness comes from: fills `out`. The core never draws any itself, so that a whole connection can be
 * replayed from a seed; outside of tests it is the platform's cryptographic source.
 */
export type RandomSource = (out: Uint8Array) => void;

/** A uniform integer in [0, n), n ≤ 2^32, by rejection (no modulo bias). */
export function drawInt(random: RandomSource, n: number): number {
  const bytes = new Uint8Array(4);
  const limit = 2 ** 32 - (2 ** 32 % n);
  for (;;) {
    random(bytes);
    const value = ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
    if (value < limit) return value % n;
  }
}

export function drawBytes(random: RandomSource, n: number): Uint8Array {
  const out = new Uint8Array(n);
  random(out);
  return out;
}
