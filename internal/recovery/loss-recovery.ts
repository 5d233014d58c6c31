// Loss detection, probe timeouts and congestion events over the three packet number spaces: rfc9002#6, rfc9002#7,
// appendices A and B. How the connection uses it:
//
//   pn = peekPacketNumber(space); sent(space).begin(pn); … addRecord(…) …; usePacketNumber(space)
//   onPacketSent(space, pn, …)            every packet that leaves
//   onAck(space, ack, delay, now)         every ACK frame; what was acknowledged or lost goes to `fate` by record
//   timeout() / onTimeout(now)            loss timer and PTO; a PTO sets probesDue(space), whose packets bypass
//                                         congestion control and carry the oldest data again (prepareProbe)

import type { AckedBatch, CongestionController } from "../congestion/controller.ts";
import {
  APPLICATION,
  FRAME_ACK,
  HANDSHAKE,
  INITIAL,
  PROTOCOL_VIOLATION,
  SPACES,
  type Role,
  type Space,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { MAX_ACK_DELAY, MAX_PTO, SKIPPED_NUMBER_PERIOD } from "../protocol/limits.ts";
import { drawInt, type RandomSource } from "../protocol/random.ts";
import type { Tracer } from "../protocol/tracer.ts";
import type { AckFrame } from "../wire/frames.ts";
import { GRANULARITY, type RttEstimator } from "./rtt.ts";
import { ACK_ELICITING, IN_FLIGHT, LOST, PROBED, SENT, SentPackets } from "./sent-packets.ts";

/** rfc9002#6.1.1 kPacketThreshold */
const PACKET_THRESHOLD = 3;
/** rfc9002#6.1.2 kTimeThreshold */
const TIME_THRESHOLD = 9 / 8;
/** rfc9002#7.6.1 kPersistentCongestionThreshold */
const PERSISTENT_CONGESTION_THRESHOLD = 3;
/** rfc9002#6.2.4 a sender MUST send at least one and MAY send up to two probes per PTO. */
const PROBES = 2;

/** What became of what was sent. Called per record, synchronously. */
export interface FrameFate {
  onRecordAcked(space: Space, kind: number, a: number, b: number, c: number): void;
  onRecordLost(space: Space, kind: number, a: number, b: number, c: number): void;
}

class SpaceState {
  readonly sent = new SentPackets();
  largestAcked = -1;
  next = 0;
  /** A number left out on purpose; acknowledging it is a lie. */
  skipped = -1;
  skipAt = 0;
  skipPeriod = SKIPPED_NUMBER_PERIOD;
  lossTime = Infinity;
  lastElicitingSent = 0;
  probes = 0;
  discarded = false;
  ect0 = 0;
  ect1 = 0;
  ce = 0;
}

export interface RecoveryOptions {
  readonly role: Role;
  readonly rtt: RttEstimator;
  readonly controller: CongestionController;
  readonly random: RandomSource;
  readonly tracer: Tracer | null;
  readonly fate: FrameFate;
}

/** RFC 9002 for one connection. */
export class Recovery {
  readonly #role: Role;
  readonly #rtt: RttEstimator;
  readonly #controller: CongestionController;
  readonly #random: RandomSource;
  readonly #tracer: Tracer | null;
  readonly #fate: FrameFate;
  readonly #spaces = [new SpaceState(), new SpaceState(), new SpaceState()] as const;
  #peerMaxAckDelay = MAX_ACK_DELAY;
  #handshakeConfirmed = false;
  #hasHandshakeKeys = false;
  /** Server: always true. Client: an ACK in a Handshake packet, or confirmation. rfc9002#6.2.2.1 */
  #peerCompletedValidation: boolean;
  /** Server: amplification-limited, so that no timer may be armed: rfc9002#6.2.2.1 */
  #blocked = false;
  #timeout = Infinity;
  ptoCount = 0;
  bytesInFlight = 0;
  lostPackets = 0;
  spuriousLosses = 0;

  readonly #batch: AckedBatch = {
    now: 0,
    bytes: 0,
    largestSentTime: 0,
    priorInFlight: 0,
    latestRtt: 0,
    minRtt: 0,
    smoothedRtt: 0,
  };
  // Which space the record callbacks belong to; bound once so that no closure is made per packet.
  #callbackSpace: Space = INITIAL;
  readonly #acked = (kind: number, a: number, b: number, c: number): void =>
    this.#fate.onRecordAcked(this.#callbackSpace, kind, a, b, c);
  readonly #lost = (kind: number, a: number, b: number, c: number): void =>
    this.#fate.onRecordLost(this.#callbackSpace, kind, a, b, c);

  constructor(options: RecoveryOptions) {
    this.#role = options.role;
    this.#rtt = options.rtt;
    this.#controller = options.controller;
    this.#random = options.random;
    this.#tracer = options.tracer;
    this.#fate = options.fate;
    this.#peerCompletedValidation = options.role === "server";
    const app = this.#spaces[APPLICATION];
    app.skipAt = 1 + drawInt(this.#random, app.skipPeriod);
    for (const space of [INITIAL, HANDSHAKE] as const) this.#spaces[space].skipAt = Infinity;
  }

  sent(space: Space): SentPackets {
    return this.#spaces[space].sent;
  }

  largestAcked(space: Space): number {
    return this.#spaces[space].largestAcked;
  }

  /** The next packet's number; it is used up by `usePacketNumber`. */
  peekPacketNumber(space: Space): number {
    const state = this.#spaces[space];
    if (state.next === state.skipAt) {
      // rfc9000#21.4 an endpoint that skips packet numbers can detect a peer that acknowledges what it did not get.
      state.skipped = state.next++;
      state.skipPeriod = Math.min(2 * state.skipPeriod, 2 ** 20);
      state.skipAt = state.next + 1 + drawInt(this.#random, state.skipPeriod);
    }
    return state.next;
  }

  usePacketNumber(space: Space): void {
    this.#spaces[space].next++;
  }

  /** After `sent(space).begin(pn)` and its records: the packet leaves. */
  onPacketSent(
    space: Space,
    now: number,
    bytes: number,
    eliciting: boolean,
    inFlight: boolean,
    ecn: number,
  ): void {
    const state = this.#spaces[space];
    state.sent.finish(now, bytes, eliciting, inFlight, ecn);
    if (!inFlight) return;
    this.bytesInFlight += bytes;
    this.#controller.onPacketSent(now, bytes);
    if (!eliciting) return;
    state.lastElicitingSent = now;
    if (state.probes > 0) state.probes--;
    this.#setTimer(now);
  }

  /** rfc9002#6.2.1 the peer's max_ack_delay, for the application space once the handshake is confirmed. */
  setPeerMaxAckDelay(ms: number): void {
    this.#peerMaxAckDelay = ms;
  }

  setHandshakeKeys(has: boolean): void {
    this.#hasHandshakeKeys = has;
  }

  setHandshakeConfirmed(now: number): void {
    this.#handshakeConfirmed = true;
    this.#peerCompletedValidation = true;
    this.#setTimer(now);
  }

  /** Server: whether the anti-amplification limit stops it. rfc9002#6.2.2.1 the timer MUST NOT be armed then. */
  setAmplificationBlocked(blocked: boolean, now: number): void {
    if (blocked === this.#blocked) return;
    this.#blocked = blocked;
    this.#setTimer(now);
  }

  /** The PTO of `space` without backoff, rfc9002#6.2.1. */
  pto(space: Space): number {
    return this.#rtt.ptoBase + (space === APPLICATION ? this.#peerMaxAckDelay : 0);
  }

  /**
   * An ACK frame. Ranges are walked over what is outstanding, so that a hostile frame costs no more than that.
   * @throws {TransportError} PROTOCOL_VIOLATION for packets never sent.
   */
  onAck(space: Space, ack: AckFrame, ackDelay: number, now: number): void {
    const state = this.#spaces[space];
    if (state.discarded) return;
    // rfc9000#13.1 an endpoint SHOULD treat receipt of an acknowledgment for a packet it did not send as a connection
    // error of type PROTOCOL_VIOLATION.
    if (ack.largest >= state.next) this.#neverSent(ack.largest);
    if (state.skipped >= 0) this.#checkSkipped(state, ack);
    const { sent } = state;
    const batch = this.#batch;
    batch.bytes = 0;
    batch.largestSentTime = 0;
    batch.priorInFlight = this.bytesInFlight;
    let newlyAcked = 0;
    let elicitingAcked = false;
    let largestNewly = -1;
    let largestTime = 0;
    let largestEliciting = false;
    this.#callbackSpace = space;
    for (let i = 0; i < ack.rangeCount; i++) {
      const low = Math.max(ack.ranges[2 * i]!, sent.oldest);
      const high = Math.min(ack.ranges[2 * i + 1]!, sent.next - 1);
      if (high < sent.oldest) break;
      for (let pn = high; pn >= low; pn--) {
        const flags = sent.flags(pn);
        if (flags === 0) continue;
        if ((flags & LOST) !== 0) {
          this.spuriousLosses++;
          sent.remove(pn);
          continue;
        }
        newlyAcked++;
        const time = sent.time(pn);
        if (pn > largestNewly) {
          largestNewly = pn;
          largestTime = time;
          largestEliciting = (flags & ACK_ELICITING) !== 0;
        }
        if ((flags & ACK_ELICITING) !== 0) elicitingAcked = true;
        if ((flags & IN_FLIGHT) !== 0) {
          const bytes = sent.bytes(pn);
          this.bytesInFlight -= bytes;
          batch.bytes += bytes;
          if (time > batch.largestSentTime) batch.largestSentTime = time;
        }
        sent.records(pn, this.#acked);
        sent.remove(pn);
        if (sent.oldest > pn) break;
      }
    }
    if (ack.largest > state.largestAcked) state.largestAcked = ack.largest;
    if (newlyAcked === 0) return;

    // rfc9002#5.1 an RTT sample only where the largest acknowledged packet is newly acknowledged and at least one of
    // the newly acknowledged packets was ack-eliciting.
    if (largestNewly === ack.largest && (largestEliciting || elicitingAcked)) {
      // rfc9002#5.3 MAY ignore the delay for Initial packets, SHOULD ignore max_ack_delay until confirmed, MUST use
      // the lesser of the delay and max_ack_delay after that.
      let delay = space === INITIAL ? 0 : ackDelay;
      if (this.#handshakeConfirmed) delay = Math.min(delay, this.#peerMaxAckDelay);
      this.#rtt.update(Math.max(now - largestTime, 0.001), delay, now);
    }
    this.#onEcn(state, ack, largestTime, now);
    this.#detectLost(space, now);
    if (batch.bytes > 0) {
      batch.now = now;
      batch.latestRtt = this.#rtt.latest;
      batch.minRtt = this.#rtt.min;
      batch.smoothedRtt = this.#rtt.smoothed;
      this.#controller.onPacketsAcked(batch);
    }
    if (this.#role === "client" && space === HANDSHAKE) this.#peerCompletedValidation = true;
    // rfc9002#6.2.1 the PTO backoff is reset when an acknowledgment arrives, but a client does not reset it before
    // it knows that the server validated its address.
    if (this.#peerCompletedValidation) this.ptoCount = 0;
    this.#setTimer(now);
    if (this.#tracer !== null) this.#traceMetrics(now);
  }

  #neverSent(pn: number): never {
    throw new TransportError(PROTOCOL_VIOLATION, `acknowledges packet ${pn}, which was never sent`, {
      frameType: FRAME_ACK,
    });
  }

  #checkSkipped(state: SpaceState, ack: AckFrame): void {
    for (let i = 0; i < ack.rangeCount; i++) {
      if (state.skipped > ack.ranges[2 * i + 1]!) return;
      if (state.skipped >= ack.ranges[2 * i]!) this.#neverSent(state.skipped);
    }
  }

  /** Counts only grow (rfc9000#13.4.2.1); more CE is a congestion event, rfc9002#7.1. */
  #onEcn(state: SpaceState, ack: AckFrame, sentTime: number, now: number): void {
    if (!ack.ecn) return;
    if (ack.ce > state.ce) this.#controller.onEcnCe(now, sentTime);
    state.ect0 = Math.max(state.ect0, ack.ect0);
    state.ect1 = Math.max(state.ect1, ack.ect1);
    state.ce = Math.max(state.ce, ack.ce);
  }

  /** rfc9002#6.1, appendix A.10. */
  #detectLost(space: Space, now: number): void {
    const state = this.#spaces[space];
    const { sent, largestAcked } = state;
    state.lossTime = Infinity;
    if (largestAcked < 0) return;
    // rfc9002#6.1.2 max(kTimeThreshold * max(smoothed_rtt, latest_rtt), kGranularity)
    const delay = Math.max(TIME_THRESHOLD * Math.max(this.#rtt.smoothed, this.#rtt.latest), GRANULARITY);
    const lostBefore = now - delay;
    let lostBytes = 0;
    let lostCount = 0;
    let largestLostTime = 0;
    // Persistent congestion: the span of ack-eliciting packets lost with nothing acknowledged between them.
    let runStart = -1;
    let runEnd = -1;
    let longest = 0;
    this.#callbackSpace = space;
    // rfc9002#7.6.2 only packets sent after the first RTT sample count.
    const since = this.#rtt.hasSample ? this.#rtt.firstSampleAt : Infinity;
    let previous = -2;
    for (let pn = sent.oldest; pn <= largestAcked && pn < sent.next; pn++) {
      const flags = sent.flags(pn);
      if ((flags & SENT) === 0 || (flags & LOST) !== 0) continue;
      const time = sent.time(pn);
      const byTime = time <= lostBefore;
      if (!byTime && largestAcked - pn < PACKET_THRESHOLD) {
        // Sent in this order, so the first that is not lost has the earliest time.
        if (time + delay < state.lossTime) state.lossTime = time + delay;
        continue;
      }
      lostCount++;
      if ((flags & IN_FLIGHT) !== 0) {
        const bytes = sent.bytes(pn);
        this.bytesInFlight -= bytes;
        lostBytes += bytes;
        if (time > largestLostTime) largestLostTime = time;
      }
      if ((flags & ACK_ELICITING) !== 0 && time > since) {
        if (runStart < 0 || previous !== pn - 1) runStart = time;
        runEnd = time;
        if (runEnd - runStart > longest) longest = runEnd - runStart;
      }
      previous = pn;
      if (this.#tracer !== null) {
        const trigger = byTime ? "time_threshold" : "reordering_threshold";
        this.#tracer.record({ name: "packet_lost", time: now, space, number: pn, trigger });
      }
      sent.records(pn, this.#lost);
      sent.markLost(pn);
    }
    // A late ACK tells of a spurious loss for one more round trip or so.
    sent.forgetLost(now - 3 * this.pto(space));
    if (lostCount === 0) return;
    this.lostPackets += lostCount;
    if (lostBytes === 0) return;
    this.#controller.onPacketsLost(now, lostBytes, largestLostTime);
    // rfc9002#7.6.1 (smoothed_rtt + max(4*rttvar, kGranularity) + max_ack_delay) * kPersistentCongestionThreshold
    const period = (this.#rtt.ptoBase + this.#peerMaxAckDelay) * PERSISTENT_CONGESTION_THRESHOLD;
    if (longest > period) {
      this.#controller.onPersistentCongestion(now);
      // rfc9002#5.2 endpoints SHOULD set the min_rtt to the newest RTT sample after persistent congestion.
      this.#rtt.min = this.#rtt.latest;
      if (this.#tracer !== null) {
        this.#tracer.record({
          name: "congestion_state_updated",
          time: now,
          state: this.#controller.state,
          trigger: "persistent_congestion",
        });
      }
    }
  }

  // Timers, rfc9002#6.2.1 and appendix A.8

  timeout(): number {
    return this.#timeout;
  }

  #setTimer(now: number): void {
    this.#timeout = Infinity;
    for (const state of this.#spaces) if (state.lossTime < this.#timeout) this.#timeout = state.lossTime;
    if (this.#timeout !== Infinity) return;
    if (this.#blocked) return;
    const eliciting = this.#spaces.some((state) => state.sent.elicitingInFlight > 0);
    if (!eliciting && this.#peerCompletedValidation) return;
    const backoff = 2 ** Math.min(this.ptoCount, 30);
    if (!eliciting) {
      // rfc9002#6.2.2.1 the client MUST set the PTO timer even with nothing in flight until the server has validated
      // its address, or both sides may wait for each other.
      this.#timeout = now + Math.min(this.#rtt.ptoBase * backoff, MAX_PTO);
      return;
    }
    for (const space of SPACES) {
      const state = this.#spaces[space];
      if (state.sent.elicitingInFlight === 0) continue;
      // rfc9002#6.2.1 an endpoint MUST NOT set its PTO timer for the Application Data packet number space until the
      // handshake is confirmed.
      if (space === APPLICATION && !this.#handshakeConfirmed) continue;
      const at = state.lastElicitingSent + Math.min(this.pto(space) * backoff, MAX_PTO);
      if (at < this.#timeout) this.#timeout = at;
    }
    if (this.#timeout === Infinity && !this.#peerCompletedValidation) {
      this.#timeout = now + Math.min(this.#rtt.ptoBase * backoff, MAX_PTO);
    }
  }

  /** Loss by time, or a probe timeout. */
  onTimeout(now: number): void {
    if (now < this.#timeout) return;
    let lossSpace: Space | -1 = -1;
    for (const space of SPACES) {
      const { lossTime } = this.#spaces[space];
      if (lossTime < Infinity && (lossSpace < 0 || lossTime < this.#spaces[lossSpace as Space].lossTime)) {
        lossSpace = space;
      }
    }
    if (lossSpace >= 0) {
      this.#detectLost(lossSpace as Space, now);
      this.#setTimer(now);
      return;
    }
    this.ptoCount++;
    this.#probe(this.#probeSpace());
    if (this.#tracer !== null) {
      this.#tracer.record({ name: "timer_updated", time: now, timer: "pto", action: "expired", delta: 0 });
      this.#traceMetrics(now);
    }
    this.#setTimer(now);
    // What the timer was for is sent now; until then it must not fire again.
    if (this.#timeout <= now) this.#timeout = now + Math.min(this.#rtt.ptoBase * 2 ** this.ptoCount, MAX_PTO);
  }

  /** The space whose PTO is earliest; with nothing in flight, where the client can send: rfc9002#6.2.2.1 */
  #probeSpace(): Space {
    let best: Space | -1 = -1;
    let bestAt = Infinity;
    for (const space of SPACES) {
      const state = this.#spaces[space];
      if (state.sent.elicitingInFlight === 0) continue;
      if (space === APPLICATION && !this.#handshakeConfirmed) continue;
      const at = state.lastElicitingSent + this.pto(space);
      if (at < bestAt) {
        bestAt = at;
        best = space;
      }
    }
    if (best >= 0) return best as Space;
    // rfc9002#6.2.2.1 a client sends a Handshake packet if it has Handshake keys, an Initial otherwise.
    return this.#hasHandshakeKeys ? HANDSHAKE : INITIAL;
  }

  /** rfc9002#6.2.4: probes are ack-eliciting and carry new data or the oldest unacknowledged. */
  #probe(space: Space): void {
    this.#spaces[space].probes = PROBES;
    this.#prepareProbe(space);
    // rfc9002#6.2.4 when other spaces have data in flight, probes SHOULD be coalesced with them: they help at once
    // where a lost Handshake flight holds everything up.
    for (const other of [INITIAL, HANDSHAKE] as const) {
      const state = this.#spaces[other];
      if (other === space || state.discarded || state.sent.elicitingInFlight === 0) continue;
      state.probes = 1;
      this.#prepareProbe(other);
    }
  }

  /** Hands the oldest packets' records out for sending again, without declaring the packets lost. */
  #prepareProbe(space: Space): void {
    const { sent } = this.#spaces[space];
    this.#callbackSpace = space;
    let packets = 0;
    for (let pn = sent.oldest; pn < sent.next && packets < PROBES; pn++) {
      const flags = sent.flags(pn);
      if ((flags & (SENT | ACK_ELICITING)) !== (SENT | ACK_ELICITING)) continue;
      // What an earlier probe carried again travels in that probe now, which comes later in this walk.
      if ((flags & PROBED) !== 0 && space === APPLICATION) continue;
      packets++;
      sent.setFlag(pn, PROBED);
      sent.records(pn, this.#lost);
    }
  }

  /** Probe packets that `space` owes. They bypass congestion control and pacing. */
  probesDue(space: Space): number {
    return this.#spaces[space].probes;
  }

  /** rfc9002#6.4: keys of a space are gone, and with them everything about its packets. */
  discardSpace(space: Space, now: number): void {
    const state = this.#spaces[space];
    if (state.discarded) return;
    state.discarded = true;
    const { sent } = state;
    for (let pn = sent.oldest; pn < sent.next; pn++) {
      const flags = sent.flags(pn);
      if ((flags & SENT) !== 0 && (flags & LOST) === 0 && (flags & IN_FLIGHT) !== 0) this.bytesInFlight -= sent.bytes(pn);
    }
    sent.clear();
    state.lossTime = Infinity;
    state.probes = 0;
    // rfc9002#6.2.2 the PTO backoff and timer MUST be reset when Initial or Handshake keys are discarded.
    this.ptoCount = 0;
    this.#setTimer(now);
  }

  /**
   * A Retry or a restart: everything in Initial is sent again; packet numbers go on (rfc9000#17.2.5.3 a client MUST NOT
   * reset the packet number).
   */
  resetInitial(now: number): void {
    const { sent } = this.#spaces[INITIAL];
    this.#callbackSpace = INITIAL;
    for (let pn = sent.oldest; pn < sent.next; pn++) {
      const flags = sent.flags(pn);
      if ((flags & SENT) === 0) continue;
      if ((flags & IN_FLIGHT) !== 0) this.bytesInFlight -= sent.bytes(pn);
      sent.records(pn, this.#lost);
    }
    sent.clear();
    this.ptoCount = 0;
    this.#setTimer(now);
  }

  #traceMetrics(now: number): void {
    const rtt = this.#rtt;
    this.#tracer!.record({
      name: "recovery_metrics_updated",
      time: now,
      cwnd: this.#controller.cwnd,
      bytesInFlight: this.bytesInFlight,
      smoothedRtt: rtt.smoothed,
      latestRtt: rtt.latest,
      minRtt: rtt.min,
      rttVariance: rtt.variance,
      ssthresh: this.#controller.ssthresh,
      ptoCount: this.ptoCount,
      pacingRate: this.#controller.pacingRate(rtt.smoothed),
    });
  }
}
