// How far packets may be overtaken before they count as lost. rfc9002#6.1 starts small; losses that prove spurious widen
// it: rfc9002#6.1.1 algorithms that increase the reordering threshold after spuriously detecting losses, such as RACK,
// have proven to be useful in deployed networks.

import { MAX_PACKET_THRESHOLD, MAX_TIME_THRESHOLD, REORDERING_MEMORY } from "../protocol/limits.ts";
import type { SpuriousLosses } from "./lost-packets.ts";

// rfc9002#6.1.1 implementations SHOULD NOT use a packet threshold less than 3.
/** rfc9002#6.1.1 kPacketThreshold */
export const PACKET_THRESHOLD = 3;
/** rfc9002#6.1.2 kTimeThreshold */
const TIME_THRESHOLD = 9 / 8;

/** Of one connection: reordering is the path's. */
export class Reordering implements SpuriousLosses {
  packetThreshold = PACKET_THRESHOLD;
  /** Of the larger of smoothed and latest RTT. */
  timeThreshold = TIME_THRESHOLD;
  /** Loss episodes since the last spurious loss. */
  #episodes = 0;
  /** Packets lost in the present episode (a recovery period of the controller's), and those that were not lost. */
  #lost = 0;
  #spurious = 0;
  #startedAt = 0;

  // What the late ACK looked like.
  #largestAcked = 0;
  #now = 0;
  #rtt = 1;

  /** An ACK frame came: `largestAcked` is the highest number acknowledged before it. */
  begin(largestAcked: number, now: number, rtt: number): void {
    this.#largestAcked = largestAcked;
    this.#now = now;
    this.#rtt = rtt;
  }

  onSpurious(pn: number, sentTime: number, lostAt: number, byTime: boolean): void {
    this.#episodes = 0;
    if (lostAt >= this.#startedAt) this.#spurious++;
    // Late by so much: a packet that is as late again is to be waited for.
    if (byTime) {
      const late = (this.#now - sentTime) / Math.max(this.#rtt, 1);
      if (late > this.timeThreshold) this.timeThreshold = Math.min(late, MAX_TIME_THRESHOLD);
    } else {
      const distance = this.#largestAcked - pn + 1;
      if (distance > this.packetThreshold) this.packetThreshold = Math.min(distance, MAX_PACKET_THRESHOLD);
    }
  }

  /** A congestion event by loss of `packets`. */
  startEpisode(packets: number, now: number): void {
    this.#startedAt = now;
    this.#lost = packets;
    this.#spurious = 0;
    // A path that does not reorder any more gets its quick loss detection back.
    if (++this.#episodes <= REORDERING_MEMORY) return;
    this.packetThreshold = PACKET_THRESHOLD;
    this.timeThreshold = TIME_THRESHOLD;
  }

  /** More losses in the same recovery period. */
  continueEpisode(packets: number): void {
    this.#lost += packets;
  }

  /** Whether all that the present episode lost has arrived. True once. */
  takeUndo(): boolean {
    if (this.#lost === 0 || this.#spurious < this.#lost) return false;
    this.#lost = this.#spurious = 0;
    return true;
  }

  /** What was lost is not to be undone. */
  endEpisode(): void {
    this.#lost = this.#spurious = 0;
  }

  /** A new path. */
  reset(): void {
    this.endEpisode();
    this.#episodes = 0;
    this.packetThreshold = PACKET_THRESHOLD;
    this.timeThreshold = TIME_THRESHOLD;
  }
}
