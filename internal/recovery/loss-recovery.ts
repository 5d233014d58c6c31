// Loss detection and congestion events over the three packet number spaces: rfc9002#6, rfc9002#7, appendices A and B.
// Its timer and its probes are parts of their own. How the connection uses it:
//
//   pn = peekPacketNumber(space); sent(space).begin(pn); … addRecord(…) …    then either rollback(), or
//   usePacketNumber(space); onPacketSent(space, …)      for every packet that leaves, ACKs alone too
//   onAck(space, ack, delay, now)         every ACK frame; what was acknowledged or lost goes to `fate` by record
//   timer.at / onTimeout(now)             one timer for loss by time and PTO. A PTO hands the oldest records to
//                                         fate.onRecordLost and sets probes.due(space): so many packets leave past
//                                         congestion control and pacer, ack-eliciting, with those records or a PING
//   may a packet with data leave?         probes.due(space) > 0, or bytesInFlight + size ≤ cwnd, not sent(space).isFull
//   timer.setHandshakeKeys, .setHandshakeConfirmed, .setAmplificationBlocked, .setPeerMaxAckDelay
//                                         what the PTO's rules depend on; discardSpace when keys go
//   onRetry, resetZeroRtt (0-RTT was refused), onNewPath (migration)
//   ecn.mark                              how to mark what leaves

import { emptyBatch, type CongestionController } from "../congestion/controller.ts";
import type { DeliveryRate } from "../congestion/delivery-rate.ts";
import { ECT_0, ECT_1, NOT_ECT } from "../protocol/batch.ts";
import { APPLICATION, INITIAL, type Role, type Space } from "../protocol/constants.ts";
import type { RandomSource } from "../protocol/random.ts";
import type { Tracer } from "../protocol/tracer.ts";
import type { AckFrame } from "../wire/frames.ts";
import type { EcnCounters } from "./ecn-counts.ts";
import { EcnValidation } from "./ecn-validation.ts";
import { BigPackets } from "./big-packets.ts";
import { LossCounts } from "./loss-counts.ts";
import { LossSpan } from "./loss-span.ts";
import { LossTimer } from "./loss-timer.ts";
import { type FrameFate, PacketFate } from "./packet-fate.ts";
import { Probes } from "./probes.ts";
import { RecoveryTrace, type LossTrigger } from "./recovery-trace.ts";
import { Reordering } from "./reordering.ts";
import { GRANULARITY, type RttEstimator } from "./rtt.ts";
import { ACK_ELICITING, IN_FLIGHT, MTU_PROBE, OLD_PATH, type SentPackets } from "./sent-packets.ts";
import { DISCARDED_SPACE, SpaceState, type Spaces } from "./space-state.ts";

/** Packets whose loss says nothing about congestion on this path. */
const NOT_CONGESTION = OLD_PATH | MTU_PROBE;
/** Packets that come back within one reading of the clock have a round trip, if a short one. */
const MIN_SAMPLE = 0.001;

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
  readonly #rtt: RttEstimator;
  readonly #controller: CongestionController;
  readonly #trace: RecoveryTrace | null;
  readonly #spaces: Spaces;
  readonly #fate: PacketFate;
  /** When loss by time or a PTO is due. */
  readonly timer: LossTimer;
  /** What a PTO sends. */
  readonly probes: Probes;
  bytesInFlight = 0;
  readonly losses = new LossCounts();
  spuriousLosses = 0;
  readonly ecn: EcnValidation;
  readonly big = new BigPackets();

  readonly #batch = emptyBatch();
  /** What measures rates of delivery for the controller, where it wants them. */
  #rate: DeliveryRate | null = null;
  readonly #reordering = new Reordering();
  readonly #span = new LossSpan();

  constructor(options: RecoveryOptions) {
    this.#rtt = options.rtt;
    this.#controller = options.controller;
    this.#trace =
      options.tracer === null ? null : new RecoveryTrace(options.tracer, options.controller, options.rtt);
    this.ecn = new EcnValidation(options.tracer);
    // The handshake's few packets are no place for optimistic ACKs, nor for gaps that cost the peer a range.
    this.#spaces = [new SpaceState(null), new SpaceState(null), new SpaceState(options.random)];
    this.#fate = new PacketFate(options.fate);
    this.timer = new LossTimer(this.#spaces, options.role, options.rtt, this.#trace);
    this.probes = new Probes(this.#spaces, this.#fate);
  }

  get lostPackets(): number {
    return this.losses.packets;
  }

  sent(space: Space): SentPackets {
    return this.#spaces[space].sent;
  }

  largestAcked(space: Space): number {
    return this.#spaces[space].largestAcked;
  }

  /** Marks sent and reported, for traces and for the connection's ECN state. */
  /** Packets by which one may be overtaken before it counts as lost. */
  get packetThreshold(): number {
    return this.#reordering.packetThreshold;
  }

  ecnCounters(space: Space): EcnCounters {
    return this.#spaces[space].ecn;
  }

  /** The next packet's number; it is used up by `usePacketNumber`. */
  peekPacketNumber(space: Space): number {
    return this.#spaces[space].numbers.peek();
  }

  usePacketNumber(space: Space): void {
    this.#spaces[space].numbers.use();
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
    const { sent } = state;
    sent.finish(now, bytes, eliciting, inFlight, ecn);
    state.ecn.onSent(ecn);
    if (sent.isOverfull) this.#evictOldest(space, now);
    // rfc9000#9.4 a sender can make exceptions for probe packets: on a path that is not in use they count for nothing.
    if (!inFlight && eliciting) sent.setFlag(sent.next - 1, OLD_PATH);
    if (!inFlight) return;
    this.bytesInFlight += bytes;
    this.#controller.onPacketSent(now, bytes, this.bytesInFlight);
    const rate = this.#measured();
    const { snapshots } = sent;
    if (rate !== null && snapshots !== null) {
      rate.onSent(snapshots, sent.slot(sent.next - 1), now, bytes, this.bytesInFlight);
    }
    if (!eliciting) return;
    state.lastElicitingSent = now;
    if (ecn !== NOT_ECT) this.ecn.onSent(now);
    if (state.probes > 0) state.probes--;
    // rfc9002#6.2.1 a sender SHOULD restart its PTO timer every time an ack-eliciting packet is sent.
    this.timer.set(now);
  }

  /** A peer that acknowledges nothing while ACKs go on leaving: what is oldest counts as lost, so that memory is bounded. */
  #evictOldest(space: Space, now: number): void {
    const { sent } = this.#spaces[space];
    this.#fate.space = space;
    this.#lose(space, sent.first, now, "time_threshold");
  }

  /**
   * An ACK frame. What is outstanding is walked in order beside the ranges: it costs what is newly acknowledged or
   * about to be lost, and a hostile frame no more than the packets outstanding and the bytes it took.
   * @param ackDelay ms, as the peer says
   * @throws {TransportError} PROTOCOL_VIOLATION for packets never sent.
   */
  onAck(space: Space, ack: AckFrame, ackDelay: number, now: number): void {
    const state = this.#spaces[space];
    if (state.discarded) return;
    state.numbers.check(ack);
    const { sent } = state;
    const { ranges, rangeCount } = ack;
    const rate = this.#measured();
    rate?.begin();
    const batch = this.#batch;
    batch.bytes = batch.bytesAfterRecovery = 0;
    batch.largestSentTime = 0;
    batch.priorInFlight = this.bytesInFlight;
    const { recoveryStart } = this.#controller;
    const numbers: number[] | null = this.#trace === null ? null : [];
    let newlyAcked = 0;
    let elicitingAcked = false;
    let largestNewly = -1;
    let largestTime = 0;
    let acked0 = 0;
    let acked1 = 0;
    this.#fate.space = space;
    let range = rangeCount - 1;
    let pn = sent.first;
    while (pn >= 0) {
      while (range >= 0 && ranges[2 * range + 1]! < pn) range--;
      if (range < 0) break;
      const after = sent.after(pn);
      if (pn >= ranges[2 * range]!) {
        const flags = sent.flags(pn);
        const time = sent.time(pn);
        newlyAcked++;
        largestNewly = pn;
        largestTime = time;
        if ((flags & (ACK_ELICITING | OLD_PATH)) === ACK_ELICITING) elicitingAcked = true;
        if (space === APPLICATION) this.big.onAcked(pn, sent.bytes(pn));
        // rfc9000#9.4 packets sent on the old path MUST NOT contribute to congestion control for the new path.
        if ((flags & (IN_FLIGHT | OLD_PATH)) === IN_FLIGHT) {
          const bytes = sent.bytes(pn);
          this.bytesInFlight -= bytes;
          batch.bytes += bytes;
          if (time > recoveryStart) batch.bytesAfterRecovery += bytes;
          batch.largestSentTime = time;
          if (rate !== null) rate.onAcked(sent.snapshots!, sent.slot(pn), now, time, bytes);
        }
        const ecn = sent.ecn(pn);
        if (ecn === ECT_0) acked0++;
        else if (ecn === ECT_1) acked1++;
        if (numbers !== null) numbers.push(pn);
        this.#fate.acked(sent, pn);
        // … nor to its RTT estimation: neither as the newest nor as what the peer answered.
        if ((flags & OLD_PATH) !== 0) largestNewly = -1;
        sent.acknowledge(pn);
      }
      pn = after;
    }
    this.#onLateAck(state, space, ack, now);
    const newLargest = ack.largest > state.largestAcked;
    if (newLargest) state.largestAcked = ack.largest;
    if (newlyAcked === 0) return;
    if (largestTime > state.newestAckedTime) state.newestAckedTime = largestTime;
    if (this.#trace !== null && numbers !== null) this.#trace.acked(now, space, numbers);

    // rfc9002#5.1 an RTT sample only where the largest acknowledged packet number is newly acknowledged and at least
    // one of the newly acknowledged packets was ack-eliciting.
    batch.hasRttSample = largestNewly === ack.largest && elicitingAcked;
    if (batch.hasRttSample) {
      // rfc9002#5.3 MAY ignore the acknowledgment delay for Initial packets; SHOULD ignore the peer's max_ack_delay
      // until the handshake is confirmed; MUST use the lesser of the two after that.
      let delay = space === INITIAL ? 0 : ackDelay;
      if (this.timer.handshakeConfirmed) delay = Math.min(delay, this.timer.peerMaxAckDelay);
      this.#rtt.update(Math.max(now - largestTime, MIN_SAMPLE), delay, now);
    }
    const congested = this.ecn.onAck(state.ecn, ack, acked0, acked1, newLargest, now);
    // rfc9002#7.1 a response when the peer-reported ECN-CE count increases.
    if (congested > 0) this.#controller.onEcnCe(now, largestTime, congested);
    this.#detectLost(space, now);
    if (batch.bytes > 0) {
      batch.now = now;
      batch.inFlight = this.bytesInFlight;
      batch.space = space;
      batch.largestAcked = state.largestAcked;
      batch.nextNumber = sent.next;
      batch.latestRtt = this.#rtt.latest;
      batch.minRtt = this.#rtt.min;
      batch.smoothedRtt = this.#rtt.smoothed;
      rate?.finish(this.#rtt.min);
      this.#controller.onPacketsAcked(batch);
    }
    this.timer.onAck(space, now);
    this.#traceAll(now);
  }

  /** Packets declared lost that arrived after all: rfc9002#6.1. */
  #onLateAck(state: SpaceState, space: Space, ack: AckFrame, now: number): void {
    const reordering = this.#reordering;
    reordering.begin(state.largestAcked, now, Math.max(this.#rtt.smoothed, this.#rtt.latest));
    const spurious = state.lost.takeAcked(ack.ranges, ack.rangeCount, reordering);
    if (spurious === 0) return;
    this.spuriousLosses += spurious;
    if (this.#trace !== null) this.#trace.spurious(now, space, spurious);
    if (!reordering.takeUndo()) return;
    this.#controller.onSpuriousLoss?.(now);
    if (this.#trace !== null) this.#trace.state(now, "spurious_loss");
  }

  /** The present controller's. Where that is another, or another's: what was sent before has no snapshot. */
  #measured(): DeliveryRate | null {
    const rate = this.#controller.rate ?? null;
    if (rate !== this.#rate) {
      this.#rate = rate;
      for (const { sent, discarded } of this.#spaces) if (!discarded) sent.keepSnapshots(rate !== null);
    }
    return rate;
  }

  /** rfc9002#6.1, appendix A.10. */
  #detectLost(space: Space, now: number): void {
    // rfc9002#7.4 Endpoints MUST NOT ignore the loss of packets that were sent after the earliest acknowledged packet
    // in a given packet number space.
    const state = this.#spaces[space];
    const { sent, largestAcked } = state;
    state.lossTime = Infinity;
    if (largestAcked < 0) return;
    // rfc9002#6.1.2 max(kTimeThreshold * max(smoothed_rtt, latest_rtt), kGranularity)
    const { packetThreshold, timeThreshold } = this.#reordering;
    const delay = Math.max(timeThreshold * Math.max(this.#rtt.smoothed, this.#rtt.latest), GRANULARITY);
    // rfc9002#7.6.2 a prior RTT sample existed when the two packets were sent, and none of the packets sent between
    // them, across all packet number spaces, are acknowledged.
    let since = this.#rtt.hasSample ? this.#rtt.firstSampleAt : Infinity;
    for (let other = 0; other < 3; other++) {
      if (other !== space) since = Math.max(since, this.#spaces[other]!.newestAckedTime);
    }
    this.#span.begin(since);
    let lostPackets = 0;
    let lostBytes = 0;
    let largestLostTime = 0;
    this.#fate.space = space;
    let pn = sent.first;
    while (pn >= 0 && pn < largestAcked) {
      const time = sent.time(pn);
      const flags = sent.flags(pn);
      // One more where a number was left out between: nobody can acknowledge that.
      const { lastSkipped } = state.numbers;
      const threshold = packetThreshold + (lastSkipped > pn && lastSkipped < largestAcked ? 1 : 0);
      const byTime = time + delay <= now;
      if (!byTime && largestAcked - pn < threshold) {
        // rfc9002#6.1.2 a timer SHOULD be set for the remaining time. Both thresholds grow with the number: whatever
        // comes after this packet is not lost either.
        state.lossTime = time + delay;
        break;
      }
      this.#span.add(sent, pn, (flags & (ACK_ELICITING | NOT_CONGESTION)) === ACK_ELICITING);
      if ((flags & (IN_FLIGHT | NOT_CONGESTION)) === IN_FLIGHT) {
        lostPackets++;
        lostBytes += sent.bytes(pn);
        largestLostTime = time;
      }
      const after = sent.after(pn);
      this.#lose(space, pn, now, byTime ? "time_threshold" : "reordering_threshold");
      pn = after;
    }
    // A late ACK tells of a spurious loss for some round trips.
    state.lost.expire(now - 3 * this.timer.pto(space));
    if (lostPackets > 0) this.#onLost(lostPackets, lostBytes, largestLostTime, now);
  }

  #onLost(packets: number, bytes: number, largestSentTime: number, now: number): void {
    const { recoveryStart } = this.#controller;
    this.#controller.onPacketsLost(now, bytes, largestSentTime);
    if (this.#controller.recoveryStart === recoveryStart) this.#reordering.continueEpisode(packets);
    else this.#reordering.startEpisode(packets, now);
    // rfc9002#7.6.1 with max_ack_delay irrespective of the packet number space.
    if (!this.#span.isPersistent(this.timer.pto(APPLICATION))) return;
    this.#controller.onPersistentCongestion(now);
    this.#reordering.endEpisode();
    // rfc9002#5.2 endpoints SHOULD set the min_rtt to the newest RTT sample after persistent congestion.
    this.#rtt.min = this.#rtt.latest;
    if (this.#trace !== null) this.#trace.state(now, "persistent_congestion");
  }

  /** One packet is lost: out of flight, its records to whoever sends them again. */
  #lose(space: Space, pn: number, now: number, trigger: LossTrigger): void {
    const state = this.#spaces[space];
    const { sent } = state;
    const flags = sent.flags(pn);
    if ((flags & (IN_FLIGHT | OLD_PATH)) === IN_FLIGHT) {
      const bytes = sent.bytes(pn);
      this.bytesInFlight -= bytes;
      const rate = (flags & MTU_PROBE) === 0 ? this.#measured() : null;
      rate?.onLost(sent.snapshots!, sent.slot(pn), pn, sent.time(pn), bytes);
      if (rate !== null) this.#controller.onPacketLost?.(now);
    }
    // rfc9002#6.1 a packet is declared lost if it is unacknowledged, in flight, …: ACKs alone are just forgotten.
    if ((flags & (IN_FLIGHT | ACK_ELICITING)) !== 0) {
      this.losses.add(sent.bytes(pn), (flags & OLD_PATH) !== 0);
      if (space === APPLICATION && (flags & NOT_CONGESTION) === 0) this.big.onLost(pn, sent.bytes(pn));
      const time = sent.time(pn);
      if ((flags & OLD_PATH) === 0 && sent.ecn(pn) !== NOT_ECT) this.ecn.onLost(time, now);
      if ((flags & OLD_PATH) === 0) state.lost.add(pn, now, time, trigger === "time_threshold");
      if (this.#trace !== null) this.#trace.lost(now, space, pn, trigger);
    }
    this.#fate.lost(sent, pn);
    sent.forget(pn);
  }

  /** Loss by time, or a probe timeout: appendix A.9. Nothing when it is not due. */
  onTimeout(now: number): void {
    const { timer } = this;
    if (now < timer.at) return;
    const space = timer.lossSpace();
    if (space >= 0) {
      if (this.#trace !== null) this.#trace.timerExpired(now, "loss_timeout");
      this.#detectLost(space as Space, now);
      timer.set(now);
      this.#traceAll(now);
      return;
    }
    if (this.#trace !== null) this.#trace.timerExpired(now, "pto");
    this.probes.onPto(timer.probeSpace());
    // rfc9002#6.2.1 when a PTO timer expires, the PTO backoff MUST be increased.
    timer.ptoCount++;
    this.ecn.onTimeout(timer.ptoCount, now);
    timer.setAfterPto(now);
    this.#traceAll(now);
  }

  // Ends of things

  /** rfc9002#6.4 all recovery state of a space whose keys are gone MUST be discarded, and leaves the bytes in flight. */
  discardSpace(space: Space, now: number): void {
    // rfc9002#6.4 The sender MUST discard all recovery state associated with those packets and MUST remove them from
    // the count of bytes in flight.
    const state = this.#spaces[space];
    if (state.discarded) return;
    this.bytesInFlight -= state.drop();
    this.#spaces[space] = DISCARDED_SPACE;
    // rfc9002#6.2.2 when Initial or Handshake keys are discarded, the PTO and loss detection timers MUST be reset.
    this.timer.ptoCount = 0;
    this.timer.set(now);
    this.#traceAll(now);
  }

  /**
   * Everything in Initial is sent again, and in 0-RTT. rfc9002#6.3 clients that receive a Retry packet reset congestion
   * control and loss recovery state. rfc9000#17.2.5.3 they MUST NOT reset the packet number.
   */
  onRetry(now: number): void {
    this.#sendAgain(INITIAL, now);
    this.#sendAgain(APPLICATION, now);
    this.#controller.reset();
  }

  /** rfc9002#6.4 when 0-RTT is rejected, the state of all of its packets is discarded; their numbers stay used. */
  resetZeroRtt(now: number): void {
    this.#sendAgain(APPLICATION, now);
    this.#spaces[APPLICATION].numbers.forbidSoFar();
  }

  #sendAgain(space: Space, now: number): void {
    const state = this.#spaces[space];
    const { sent } = state;
    this.#fate.space = space;
    for (let pn = sent.first; pn >= 0; pn = sent.after(pn)) this.#fate.lost(sent, pn);
    this.bytesInFlight -= state.drop();
    this.timer.ptoCount = 0;
    this.timer.set(now);
  }

  /**
   * rfc9000#9.4 on a new path an endpoint MUST immediately reset the congestion controller and round-trip time
   * estimator, and packets sent on the old path MUST NOT contribute to them.
   */
  onNewPath(now: number): void {
    const { sent } = this.#spaces[APPLICATION];
    for (let pn = sent.first; pn >= 0; pn = sent.after(pn)) {
      const flags = sent.flags(pn);
      if ((flags & OLD_PATH) !== 0) continue;
      // Out of flight, yet still to be acknowledged or lost, and a reason for a PTO.
      if ((flags & IN_FLIGHT) !== 0) this.bytesInFlight -= sent.bytes(pn);
      sent.setFlag(pn, OLD_PATH);
    }
    this.#rtt.reset();
    this.#controller.reset();
    this.#reordering.reset();
    this.#spaces[APPLICATION].lost.clear();
    this.timer.ptoCount = 0;
    if (this.ecn.state !== "off") this.ecn.start(now);
    this.timer.set(now);
    this.#traceAll(now);
  }

  #traceAll(now: number): void {
    if (this.#trace === null) return;
    this.#trace.state(now);
    this.#trace.metrics(now, this.bytesInFlight, this.timer.ptoCount);
  }
}
