// Persistent congestion: rfc9002#7.6.

import type { SentPackets } from "./sent-packets.ts";

/** rfc9002#7.6.1 kPersistentCongestionThreshold */
const PERSISTENT_CONGESTION_THRESHOLD = 3;

/** The longest time over which everything was lost, among the packets that one ACK or timer declares lost. */
export class LossSpan {
  #since = 0;
  #start = -1;
  #longest = 0;
  #previous = -1;

  /** @param since packets sent until then do not count */
  begin(since: number): void {
    this.#since = since;
    this.#start = this.#previous = -1;
    this.#longest = 0;
  }

  /** `pn` is lost too; in ascending order. `counts` for ack-eliciting packets of this path. */
  add(sent: SentPackets, pn: number, counts: boolean): void {
    // rfc9002#7.6.2 none of the packets sent between the send times of these two packets are acknowledged.
    if (this.#start >= 0 && sent.ackedBetween(this.#previous, pn)) this.#start = -1;
    this.#previous = pn;
    // rfc9002#7.6.2 these two packets MUST be ack-eliciting.
    const time = sent.time(pn);
    if (!counts || time <= this.#since) return;
    if (this.#start < 0) this.#start = time;
    if (time - this.#start > this.#longest) this.#longest = time - this.#start;
  }

  /** rfc9002#7.6.1 (smoothed_rtt + max(4*rttvar, kGranularity) + max_ack_delay) * kPersistentCongestionThreshold */
  isPersistent(pto: number): boolean {
    return this.#longest > pto * PERSISTENT_CONGESTION_THRESHOLD;
  }
}
