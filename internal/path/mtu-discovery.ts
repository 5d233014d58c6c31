// How large datagrams may be on one path: DPLPMTUD, rfc8899 and rfc9000#14.3. Probes of a size are sent among the rest; one
// that arrives raises the size, those that are lost bound the search.

import { MIN_DATAGRAM_SIZE, MTU_PROBES, MTU_RAISE_TIMER, MTU_SEARCH_STEP } from "../protocol/limits.ts";

/** rfc8899#5.2; "base" until the peer has confirmed the handshake. */
export type MtuState = "off" | "base" | "searching" | "complete";

/** How to search. */
export interface MtuSearch {
  /** So many lost probes of a size say that it does not arrive: rfc8899#5.1.2 MAX_PROBES. */
  readonly probes: number;
  /** Bytes that are not worth another probe. */
  readonly step: number;
  /** After so many ms the search is done again: rfc8899#5.1.1 PMTU_RAISE_TIMER. */
  readonly raiseInterval: number;
}

export const MTU_SEARCH: MtuSearch = {
  probes: MTU_PROBES,
  step: MTU_SEARCH_STEP,
  raiseInterval: MTU_RAISE_TIMER,
};

/** The search on one path. Sizes are bytes of UDP payload. */
export class MtuDiscovery {
  #state: MtuState = "off";
  /** rfc8899#5.1.2 MAX_PLPMTU: what we were told, and the peer takes. */
  #ceiling: number;
  /** The largest size that has arrived, and the largest that has not been found too large. */
  #low: number;
  #high: number;
  /** Probe on its way, 0 for none. */
  #inFlight = 0;
  /** Probes of one size that were lost in a row: rfc8899#5.1.2 PROBE_COUNT. */
  #lost = 0;
  /** Nothing is known yet: the ceiling is the best guess. */
  #first = true;
  #raiseAt = Infinity;
  readonly #how: MtuSearch;

  /** @param base what is taken to arrive: rfc8899#5.1.2 BASE_PLPMTU. */
  constructor(base: number, ceiling: number, how = MTU_SEARCH) {
    this.#how = how;
    this.#low = base;
    this.#ceiling = this.#high = ceiling;
  }

  get state(): MtuState {
    return this.#state;
  }

  // rfc9000#14 UDP datagrams MUST NOT be fragmented at the IP layer. In IPv4 [IPv4], the Don't Fragment (DF) bit MUST be set if
  // possible, to prevent fragmentation on the path: the native socket does, node:dgram has no way to.
  /** rfc9000#14.3 an endpoint SHOULD use DPLPMTUD; only a socket that sets DF makes it sound (rfc9000#14). */
  enable(): void {
    if (this.#state === "off") this.#state = "base";
  }

  /** The handshake is confirmed: rfc9000#14.3 probing before would be of no use. */
  start(): void {
    if (this.#state === "base") this.#search();
  }

  /**
   * rfc9000#18.2 the peer's max_udp_payload_size: rfc9000#14.3 an endpoint MUST NOT send larger datagrams than that.
   */
  limit(bytes: number): void {
    this.#ceiling = Math.min(this.#ceiling, bytes);
    this.#high = Math.min(this.#high, bytes);
    this.#low = Math.min(this.#low, bytes);
  }

  /** The size of the probe that is due, 0 for none. */
  probeDue(now: number): number {
    if (this.#inFlight !== 0) return 0;
    if (this.#state === "complete" && now >= this.#raiseAt) {
      // rfc8899#5.1.1 PMTU_RAISE_TIMER: paths change, and what was lost was lost for other reasons.
      this.#high = this.#ceiling;
      this.#first = true;
      this.#search();
    }
    return this.#state === "searching" ? this.#candidate() : 0;
  }

  #search(): void {
    this.#lost = 0;
    this.#state = this.#isDone() ? "complete" : "searching";
  }

  #isDone(): boolean {
    return this.#high - this.#low < (this.#first ? 1 : this.#how.step);
  }

  /** The ceiling first: it is what most paths carry. Then halves of what is left. */
  #candidate(): number {
    return this.#first ? this.#high : this.#low + Math.ceil((this.#high - this.#low) / 2);
  }

  onProbeSent(bytes: number): void {
    this.#inFlight = bytes;
  }

  /** A probe arrived. True where datagrams may be larger now: `size` says how large. */
  onProbeAcked(bytes: number, now: number): boolean {
    // One of before a black hole tells nothing any more.
    if (bytes !== this.#inFlight) return false;
    this.#inFlight = 0;
    if (this.#state !== "searching" || bytes <= this.#low || bytes > this.#high) return false;
    this.#low = bytes;
    this.#next(now);
    return true;
  }

  /**
   * A probe was lost. rfc9000#14.4 Loss of a QUIC packet that is carried in a PMTU probe is therefore not a reliable indication
   * of congestion.
   */
  onProbeLost(bytes: number, now: number): void {
    if (bytes !== this.#inFlight) return;
    this.#inFlight = 0;
    if (this.#state !== "searching" || bytes > this.#high || bytes <= this.#low) return;
    // rfc8899#5.1.2 MAX_PROBES: the loss of one may be anything's fault.
    if (++this.#lost < this.#how.probes) return;
    this.#high = bytes - 1;
    this.#next(now);
  }

  #next(now: number): void {
    this.#first = false;
    this.#search();
    if (this.#state === "complete") this.#raiseAt = now + this.#how.raiseInterval;
  }

  get size(): number {
    return this.#low;
  }

  /**
   * rfc8899#4.3 datagrams of the size in use do not arrive any more: back to what every path carries, and search anew
   * (rfc8899#5.2). It may have been an outage of all, so that the ceiling is tried again.
   */
  onBlackHole(): void {
    // rfc9000#14 QUIC MUST NOT be used if the network path cannot support a maximum datagram size of at least 1200 bytes: nothing
    // smaller is tried.
    this.#low = Math.min(MIN_DATAGRAM_SIZE, this.#ceiling);
    this.#high = this.#ceiling;
    this.#first = true;
    this.#inFlight = 0;
    if (this.#state !== "off" && this.#state !== "base") this.#search();
  }
}
