// What recovery keeps for each packet number space.

import type { RandomSource } from "../protocol/random.ts";
import { EcnCounters } from "./ecn-counts.ts";
import { LostPackets } from "./lost-packets.ts";
import { PacketNumbers } from "./packet-numbers.ts";
import { IN_FLIGHT, OLD_PATH, SentPackets } from "./sent-packets.ts";

export class SpaceState {
  readonly sent = new SentPackets();
  readonly lost = new LostPackets();
  readonly ecn = new EcnCounters();
  readonly numbers: PacketNumbers;
  largestAcked = -1;
  /** Send time of the newest acknowledged packet. */
  newestAckedTime = -Infinity;
  lossTime = Infinity;
  lastElicitingSent = 0;
  probes = 0;
  discarded = false;

  constructor(random: RandomSource | null) {
    this.numbers = new PacketNumbers(random);
  }

  /** Forgets what was sent. Returns how many bytes of it were in flight. */
  drop(): number {
    const { sent } = this;
    let inFlight = 0;
    for (let pn = sent.first; pn >= 0; pn = sent.after(pn)) {
      if ((sent.flags(pn) & (IN_FLIGHT | OLD_PATH)) === IN_FLIGHT) inFlight += sent.bytes(pn);
    }
    sent.clear();
    this.lost.clear();
    this.lossTime = Infinity;
    this.lastElicitingSent = 0;
    this.probes = 0;
    return inFlight;
  }
}

/** By packet number space. One array of a connection, which all parts of its recovery read. */
export type Spaces = [SpaceState, SpaceState, SpaceState];

/** In place of a space whose keys are gone, of every connection: nothing may be written to it. */
export const DISCARDED_SPACE: SpaceState = discardedSpace();

function discardedSpace(): SpaceState {
  const state = new SpaceState(null);
  state.discarded = true;
  state.sent.release();
  return Object.freeze(state);
}
