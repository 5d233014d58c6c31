// When the peer is to acknowledge what we send: the ack-frequency draft, our side of it.

import { MAX_REQUESTED_ACK_THRESHOLD, MIN_ACK_DELAY } from "../protocol/limits.ts";
import { PACKET_THRESHOLD } from "../recovery/reordering.ts";
import { REC_ACK_FREQUENCY, type RecordSink } from "../recovery/sent-packets.ts";
import { MAX_ACK_FREQUENCY, writeAckFrequency } from "../wire/frame-writers.ts";
import type { Core } from "./core.ts";

/** Asks for ACKs by what the window and the round trip need. */
export class AckFrequency {
  readonly #core: Core;
  /** Monotonic ms of the next look at it. */
  #checkAt = 0;
  #sequence = -1;
  #due = false;
  #threshold = 1;
  /** ms */
  #delay = -1;
  /** Packets by which they may come out of order before we want to hear of it. */
  #reordering = PACKET_THRESHOLD;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Whether the peer has said that it does as it is asked. */
  get supported(): boolean {
    return this.#core.peerParameters?.minAckDelay !== undefined;
  }

  get hasFrames(): boolean {
    return this.#due;
  }

  /** Once in a round trip: whether other values would do better by far. */
  check(now: number): void {
    const core = this.#core;
    if (now < this.#checkAt || !core.config.ackFrequency || !core.rtt.hasSample || !this.supported) return;
    this.#checkAt = now + Math.max(core.rtt.smoothed, MIN_ACK_DELAY);
    const peer = core.peerParameters!;
    // ack-frequency#8.1 a value no larger than number of maximum-sized packets that fit into the current congestion window, and
    // no more than the estimated round trip time: a quarter of either.
    const packets = Math.floor(core.controller.cwnd / core.paths.active.mtu / 4);
    const threshold = Math.min(Math.max(packets, 1), MAX_REQUESTED_ACK_THRESHOLD);
    // ack-frequency#4 A value smaller than the min_ack_delay advertised by the peer is also invalid.
    const least = peer.minAckDelay! / 1000;
    const delay = Math.max(least, Math.min(core.rtt.smoothed / 4, peer.maxAckDelay));
    // ack-frequency#9 senders SHOULD implement adaptive packet threshold loss detection and communicate the increased Reordering
    // Threshold value to the receiver: nothing is declared lost earlier.
    const reordering = core.recovery.packetThreshold;
    if (
      reordering === this.#reordering &&
      !differs(threshold, this.#threshold) &&
      (this.#delay >= 0 ? !differs(delay, this.#delay) : threshold === 1)
    ) {
      return;
    }
    this.#threshold = threshold;
    this.#delay = delay;
    this.#reordering = reordering;
    this.#sequence++;
    this.#due = true;
  }

  write(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    if (!this.#due || pos + MAX_ACK_FREQUENCY > limit) return pos;
    this.#due = false;
    const delay = Math.ceil(1000 * this.#delay);
    pos = writeAckFrequency(buf, pos, this.#sequence, this.#threshold, delay, this.#reordering);
    records.addRecord(REC_ACK_FREQUENCY, this.#sequence, delay / 1000, 0);
    // ack-frequency#7 Until the packet carrying the ACK_FREQUENCY frame is acknowledged, the endpoint MUST use the greater of the
    // current max_ack_delay and the value that is in flight when computing the PTO period.
    this.#core.recovery.timer.raisePeerMaxAckDelay(delay / 1000);
    return pos;
  }

  onAcked(sequence: number, delay: number): void {
    if (sequence === this.#sequence) this.#core.recovery.timer.setPeerMaxAckDelay(delay);
  }

  /** ack-frequency#4 When an ACK_FREQUENCY frame is lost, the sender is encouraged to send another, unless a newer one left. */
  onLost(sequence: number): void {
    if (sequence === this.#sequence) this.#due = true;
  }
}

/** Not every change is worth a frame. */
function differs(a: number, b: number): boolean {
  return a > 1.5 * b || 1.5 * a < b;
}
