// Randomness in small pieces: a call into OpenSSL costs more than the bytes, and a handshake draws a dozen times.

import { randomFillSync } from "node:crypto";

const pool = new Uint8Array(4096);
let used = pool.length;

/** Fills `out` with random bytes, which nobody else got or gets. */
export function random(out: Uint8Array): void {
  if (out.length > pool.length >> 3) {
    randomFillSync(out);
    return;
  }
  if (used + out.length > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  for (let i = 0; i < out.length; i++) {
    out[i] = pool[used]!;
    // What was given away may be a key.
    pool[used++] = 0;
  }
}
