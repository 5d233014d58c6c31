// Which space the loss detection timer is for: rfc9002#6.2.1 and appendix A.8.

import { APPLICATION, INITIAL, type Space } from "../protocol/constants.ts";
import { MAX_PTO } from "../protocol/limits.ts";
import type { SpaceState } from "./space-state.ts";

export type Spaces = readonly [SpaceState, SpaceState, SpaceState];

/** rfc9002#6.2.1 when a PTO timer expires, the PTO backoff MUST be increased. */
export function backedOff(pto: number, count: number): number {
  return Math.min(pto * 2 ** count, MAX_PTO);
}

/** The space with the earliest loss by time, −1 for none. */
export function lossSpace(spaces: Spaces): Space | -1 {
  let best: Space | -1 = -1;
  let bestAt = Infinity;
  for (let space: Space = INITIAL; space <= APPLICATION; space++) {
    const { lossTime } = spaces[space as Space];
    if (lossTime < bestAt) {
      bestAt = lossTime;
      best = space as Space;
    }
  }
  return best;
}

/**
 * The space whose PTO is the earliest, −1 for none.
 * @param pto without backoff and max_ack_delay; `count` of expirations since the last ACK
 */
export function ptoSpace(
  spaces: Spaces,
  pto: number,
  maxAckDelay: number,
  count: number,
  confirmed: boolean,
): Space | -1 {
  // rfc9002#6.2.1 When ack-eliciting packets in multiple packet number spaces are in flight, the timer MUST be set
  // to the earlier value of the Initial and Handshake packet number spaces.
  // rfc9000#8.1 Specifically, the client MUST send an Initial packet in a UDP datagram that contains at least 1200
  // bytes if it does not have Handshake keys, and otherwise send a …
  let best: Space | -1 = -1;
  let bestAt = Infinity;
  for (let space: Space = INITIAL; space <= APPLICATION; space++) {
    const state = spaces[space as Space];
    if (state.sent.elicitingInFlight === 0) continue;
    // rfc9002#6.2.1 an endpoint MUST NOT set its PTO timer for the Application Data packet number space until the
    // handshake is confirmed.
    if (space === APPLICATION && !confirmed) continue;
    const at = state.lastElicitingSent + backedOff(pto + (space === APPLICATION ? maxAckDelay : 0), count);
    if (at < bestAt) {
      bestAt = at;
      best = space as Space;
    }
  }
  return best;
}
