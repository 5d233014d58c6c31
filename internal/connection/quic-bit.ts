// The second bit of packets, unpredictable where the peer takes that: rfc9287.

import { NO_BYTES, smallBytes } from "../protocol/small-bytes.ts";
import { FIXED_BIT } from "../wire/header.ts";
import type { Core } from "./core.ts";

export class QuicBit {
  readonly #core: Core;
  /** Unpredictable bits, and how many are left of them. */
  #bits = NO_BYTES;
  #left = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * rfc9287#3.1 Endpoints that receive the grease_quic_bit transport parameter from a peer SHOULD set the QUIC Bit to an
   * unpredictable value. An endpoint MUST NOT set the QUIC Bit to 0 without knowing whether the peer supports the
   * extension: not before the handshake has authenticated the parameter.
   */
  grease(buf: Uint8Array, start: number): void {
    const core = this.#core;
    if (core.peerParameters?.greaseQuicBit !== true) return;
    if (this.#left === 0) {
      if (this.#bits === NO_BYTES) this.#bits = smallBytes(16);
      core.config.random(this.#bits);
      this.#left = 8 * this.#bits.length;
    }
    const at = --this.#left;
    if ((this.#bits[at >> 3]! & (1 << (at & 7))) === 0) buf[start]! &= ~FIXED_BIT;
  }
}
