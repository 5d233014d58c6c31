// SHA-256 by libcrypto's own functions for it, which need no context, no look-up of an algorithm and no object of node's:
// half of what HMAC() costs, a tenth of crypto.createHash. They are of an older kind; where they are gone, the newer are
// used.

import type { LibCrypto } from "../ffi/libcrypto.ts";
import type { RunningHash } from "./provider.ts";

const BLOCK = 64;
const DIGEST = 32;
/** sizeof(SHA256_CTX). */
const STATE = 112;

// In the scratch memory, where nobody else's data is during these calls.
const CONTEXT = 10_240;
const PAD = 10_496;
const OUT = 10_752;
const DATA = 0;
const MOST = 8192;

export class FfiSha256 {
  readonly #lib: LibCrypto;

  constructor(lib: LibCrypto) {
    this.#lib = lib;
  }

  /** Where input of HMAC goes: at most MOST bytes. */
  static readonly DATA = DATA;
  static readonly MOST = MOST;

  /** The first `outLength` bytes of HMAC over the `length` bytes at DATA, rfc2104#2, of a key of at most a block. */
  hmac(key: Uint8Array, length: number, outLength = DIGEST): Uint8Array {
    const { scratch, scratchAddress: base, sha256 } = this.#lib;
    const { init, update, final } = sha256!;
    for (let i = 0; i < BLOCK; i++) scratch[PAD + i] = (i < key.length ? key[i]! : 0) ^ 0x36;
    let ok = init(base + CONTEXT) & update(base + CONTEXT, base + PAD, BLOCK);
    ok &= update(base + CONTEXT, base + DATA, length) & final(base + OUT, base + CONTEXT);
    for (let i = 0; i < BLOCK; i++) scratch[PAD + i]! ^= 0x36 ^ 0x5c;
    ok &= init(base + CONTEXT) & update(base + CONTEXT, base + PAD, BLOCK);
    ok &= update(base + CONTEXT, base + OUT, DIGEST) & final(base + OUT, base + CONTEXT);
    // Not a piece of a slab: most of them live for a moment, and would lie between those that stay.
    const out = new Uint8Array(outLength);
    for (let i = 0; i < outLength; i++) out[i] = scratch[OUT + i]!;
    scratch.fill(0, CONTEXT, OUT + DIGEST);
    if (ok !== 1) throw this.#lib.failure("SHA-256");
    return out;
  }

  running(): RunningHash {
    return new Running(this.#lib, null);
  }
}

/** A hash in progress: its state is memory of ours, in C only while something is added. */
class Running implements RunningHash {
  readonly #lib: LibCrypto;
  readonly #state = new Uint8Array(STATE);

  constructor(lib: LibCrypto, from: Uint8Array | null) {
    this.#lib = lib;
    if (from !== null) {
      this.#state.set(from);
      return;
    }
    this.#with((context) => lib.sha256!.init(context));
  }

  update(data: Uint8Array): void {
    const { scratch, scratchAddress, sha256 } = this.#lib;
    this.#with((context) => {
      let ok = 1;
      for (let at = 0; at < data.length; at += MOST) {
        const n = Math.min(MOST, data.length - at);
        scratch.set(n === data.length ? data : data.subarray(at, at + n), DATA);
        ok &= sha256!.update(context, scratchAddress + DATA, n);
      }
      return ok;
    });
  }

  digest(): Uint8Array {
    const { scratch, scratchAddress, sha256 } = this.#lib;
    scratch.set(this.#state, CONTEXT);
    const ok = sha256!.final(scratchAddress + OUT, scratchAddress + CONTEXT);
    const out = scratch.slice(OUT, OUT + DIGEST);
    scratch.fill(0, CONTEXT, OUT + DIGEST);
    if (ok !== 1) throw this.#lib.failure("SHA-256");
    return out;
  }

  clone(): RunningHash {
    return new Running(this.#lib, this.#state);
  }

  #with(step: (context: number) => number): void {
    const { scratch, scratchAddress } = this.#lib;
    scratch.set(this.#state, CONTEXT);
    const ok = step(scratchAddress + CONTEXT);
    this.#state.set(scratch.subarray(CONTEXT, CONTEXT + STATE));
    if (ok !== 1) throw this.#lib.failure("SHA-256");
  }
}
