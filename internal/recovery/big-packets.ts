// Whether packets that not every path carries still arrive: rfc8899#4.3 black hole detection.

import { BLACK_HOLE_LOSSES, BLACK_HOLE_TIMEOUTS, MIN_DATAGRAM_SIZE } from "../protocol/limits.ts";

/** Follows packets above 1,200 bytes, MTU probes aside, of the application space. */
export class BigPackets {
  /** The highest number of one that arrived. */
  #acked = -1;
  /** Lost ones since. */
  #lost = 0;

  onAcked(pn: number, bytes: number): void {
    if (bytes <= MIN_DATAGRAM_SIZE || pn < this.#acked) return;
    this.#acked = pn;
    this.#lost = 0;
  }

  /** What overtook it and arrived may have been small: only that makes its loss suspicious. */
  onLost(pn: number, bytes: number): void {
    if (bytes > MIN_DATAGRAM_SIZE && pn > this.#acked) this.#lost++;
  }

  /** @param timeouts PTOs in a row: nothing at all came back. */
  suspect(timeouts: number): boolean {
    return this.#lost >= BLACK_HOLE_LOSSES || timeouts >= BLACK_HOLE_TIMEOUTS;
  }

  /** Smaller packets are sent from now on. */
  clear(next: number): void {
    this.#acked = next - 1;
    this.#lost = 0;
  }
}
