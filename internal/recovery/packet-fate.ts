// What became of what was sent: the records of acknowledged and lost packets go to whoever wrote them, rfc9000#13.3.

import { INITIAL, type Space } from "../protocol/constants.ts";
import { PROBED, type SentPackets } from "./sent-packets.ts";

/** What became of what was sent. Called per record, synchronously. */
export interface FrameFate {
  onRecordAcked(space: Space, kind: number, a: number, b: number, c: number): void;
  onRecordLost(space: Space, kind: number, a: number, b: number, c: number): void;
  /** The packet is lost, and its records had been handed to onRecordLost for a probe. */
  onProbedRecordLost?(space: Space, kind: number, a: number, b: number, c: number): void;
}

/** Hands the records of a packet over. Its callbacks are bound once so that no closure is made per packet. */
export class PacketFate {
  readonly #fate: FrameFate;
  /** Which space the packets of the calls that follow are of. */
  space: Space = INITIAL;
  readonly #acked = (kind: number, a: number, b: number, c: number): void =>
    this.#fate.onRecordAcked(this.space, kind, a, b, c);
  readonly #lost = (kind: number, a: number, b: number, c: number): void =>
    this.#fate.onRecordLost(this.space, kind, a, b, c);
  readonly #probedLost = (kind: number, a: number, b: number, c: number): void =>
    this.#fate.onProbedRecordLost?.(this.space, kind, a, b, c);

  constructor(fate: FrameFate) {
    this.#fate = fate;
  }

  acked(sent: SentPackets, pn: number): void {
    sent.records(pn, this.#acked);
  }

  /** What a probe was to carry again is in the writers' hands already: it must not be sent twice more. */
  lost(sent: SentPackets, pn: number): void {
    sent.records(pn, (sent.flags(pn) & PROBED) === 0 ? this.#lost : this.#probedLost);
  }

  /** A probe carries them once more, whether lost or not. */
  probed(sent: SentPackets, pn: number): void {
    sent.setFlag(pn, PROBED);
    sent.records(pn, this.#lost);
  }
}
