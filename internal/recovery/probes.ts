// Probe packets: what a PTO sends (rfc9002#6.2.4), and in a handshake what leaves before there is one (rfc9002#6.2.3).

import { APPLICATION, HANDSHAKE, INITIAL, type Space } from "../protocol/constants.ts";
import { MAX_HANDSHAKE_SPEED_UPS } from "../protocol/limits.ts";
import type { PacketFate } from "./packet-fate.ts";
import { ACK_ELICITING, PROBED } from "./sent-packets.ts";
import type { Spaces } from "./space-state.ts";

/** rfc9002#6.2.4 a sender MUST send at least one and MAY send up to two probes per PTO. */
const MAX_PROBES = 2;

export class Probes {
  readonly #spaces: Spaces;
  readonly #fate: PacketFate;
  #speedUps = 0;
  /** The records that the fate gets now are for a probe: their packets are not lost. */
  probing = false;

  constructor(spaces: Spaces, fate: PacketFate) {
    this.#spaces = spaces;
    this.#fate = fate;
  }

  /** Probe packets that `space` owes. rfc9002#7.5 they MUST NOT be blocked by the congestion controller. */
  due(space: Space): number {
    return this.#spaces[space].probes;
  }

  /** rfc9002#6.2.4 when a PTO timer expires, a sender MUST send at least one ack-eliciting packet as a probe. */
  onPto(space: Space): void {
    if (this.#spaces[space].discarded) return;
    // rfc9002#6.2.4 All probe packets sent on a PTO MUST be ack-eliciting.
    // MAY send up to two; where there is no data, a PING in a single packet.
    this.#spaces[space].probes = Math.max(1, this.#carry(space, MAX_PROBES));
    // rfc9002#6.2.4 the sender SHOULD send ack-eliciting packets from other packet number spaces with in-flight data:
    // the peer might only have keys for one of them.
    for (let other: Space = INITIAL; other <= APPLICATION; other++) {
      const state = this.#spaces[other as Space];
      if (other === space || state.sent.elicitingInFlight === 0) continue;
      this.#carry(other as Space, 1);
      state.probes = 1;
    }
  }

  /**
   * Hands the records of the `packets` oldest packets of `space` to the fate as lost, so that probes carry them. The
   * packets are not lost: rfc9002#6.2 a PTO timer expiration MUST NOT cause prior unacknowledged packets to be marked as
   * lost. Each is handed out once; its copy is a packet of its own, which the next PTO finds. Returns how many there were.
   */
  #carry(space: Space, packets: number): number {
    const { sent } = this.#spaces[space];
    this.#fate.space = space;
    let found = 0;
    for (let pn = sent.first; pn >= 0 && found < packets; pn = sent.after(pn)) {
      if ((sent.flags(pn) & (ACK_ELICITING | PROBED)) !== ACK_ELICITING) continue;
      found++;
      this.probing = true;
      this.#fate.probed(sent, pn);
      this.probing = false;
    }
    return found;
  }

  /**
   * The peer sent handshake data again that is here already: what answered it was lost. rfc9002#6.2.3 an endpoint MAY,
   * for a limited number of times per connection, send unacknowledged CRYPTO data before the PTO expires.
   */
  speedUpHandshake(): void {
    if (this.#speedUps === MAX_HANDSHAKE_SPEED_UPS) return;
    this.#speedUps++;
    for (const space of [INITIAL, HANDSHAKE] as const) {
      const state = this.#spaces[space];
      if (state.discarded || state.sent.elicitingInFlight === 0) continue;
      state.probes = Math.max(state.probes, this.#carry(space, MAX_PROBES));
    }
  }
}
