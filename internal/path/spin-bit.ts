// The latency spin bit, rfc9000#17.4: whoever watches a path may measure its round trips, if both ends let them.

import type { Role } from "../protocol/constants.ts";
import { SPIN_DISABLED_OF } from "../protocol/limits.ts";
import { drawInt, type RandomSource } from "../protocol/random.ts";

/** "on": observers may measure. "greased": a bit without meaning, drawn for each path. "off": always 0. */
export type SpinMode = "on" | "off" | "greased";

/** The bit of one path. */
export class SpinBit {
  readonly #role: Role;
  #mode: SpinMode;
  readonly #random: RandomSource;
  #enabled = false;
  value = false;

  constructor(role: Role, mode: SpinMode, random: RandomSource) {
    this.#role = role;
    this.#mode = mode;
    this.#random = random;
    this.reset();
  }

  setMode(mode: SpinMode): void {
    this.#mode = mode;
    this.reset();
  }

  /** rfc9000#17.4 An endpoint resets the spin value for a network path to 0 when changing the connection ID being used on it. */
  reset(): void {
    // rfc9000#17.4 Implementations MUST allow administrators of clients and servers to disable the spin bit either globally or on
    // a per-connection basis.
    // rfc9000#17.4 An endpoint that does not support this feature MUST disable it; administrators can, for all connections or one.
    if (this.#mode === "off") {
      this.#enabled = this.value = false;
      return;
    }
    // rfc9000#17.4 Even when the spin bit is not disabled by the administrator, endpoints MUST disable their use of the spin bit
    // for a random selection of at least one in every 16 network paths, or for one in every 16 connection IDs.
    this.#enabled = this.#mode === "on" && drawInt(this.#random, SPIN_DISABLED_OF) !== 0;
    // rfc9000#17.4 When the spin bit is disabled, endpoints MAY set the spin bit to any value and MUST ignore any incoming value.
    // rfc9000#17.4 when it is disabled, it is RECOMMENDED that endpoints set the spin bit to a random value.
    this.value = !this.#enabled && drawInt(this.#random, 2) === 1;
  }

  /** A 1-RTT packet came with the highest number so far. */
  onReceived(spin: boolean): void {
    // rfc9000#17.4 If the endpoint is a server, it sets the spin value to the value it received; a client to the inverse.
    if (this.#enabled) this.value = this.#role === "server" ? spin : !spin;
  }
}
