// BBR, version 3: draft-ietf-ccwg-bbr. A model of the path (bbr-path.ts) from rates of delivery (delivery-rate.ts), and
// here the state machine and what follows from it, with the draft's names in comments. Bytes and ms.

import { drawInt, type RandomSource } from "../protocol/random.ts";
import { BbrPath } from "./bbr-path.ts";
import { CRUISE, DOWN, DRAIN, PROBE_RTT, REFILL, STARTUP, UP, type BbrState } from "./bbr-states.ts";
import type { AckedBatch, CongestionController, CongestionControllerOptions } from "./controller.ts";
import type { CongestionControllerFactory } from "./controller.ts";
import { DeliveryRate } from "./delivery-rate.ts";
import { FullPipe } from "./full-pipe.ts";
import { inflightAtLoss, isTooMuchLoss, LOSS_THRESHOLD } from "./loss-tolerance.ts";
import { initialWindow } from "./window.ts";

const STARTUP_LOSS_RANGES = 6;
/** BBR.PacingMarginPercent */
const PACING_MARGIN = 0.99;
/** Of the rate, what is delivered at least where nothing but chance takes some. */
const AS_SENT = PACING_MARGIN - LOSS_THRESHOLD;
/** BBR.MinPipeCwnd and others, in datagrams. */
const MIN_PIPE = 4;
const DRAIN_ROUNDS = 3;
/** BBR.ProbeRTTDuration, ms */
const PROBE_RTT_DURATION = 200;
/** T_bbr, ms: uniformly between 2 s and 3 s. */
const PROBE_WAIT = 2000;
const PROBE_WAIT_SPREAD = 1000;
/** T_reno_bound, round trips */
const RENO_ROUNDS = 63;
const MAX_QUANTUM = 65_536;

/** What ACKs tell of with respect to the last probe for bandwidth. */
type AckPhase = "init" | "refilling" | "starting" | "feedback" | "stopping";

class Bbr implements CongestionController {
  readonly name = "bbr";
  readonly ssthresh = Infinity;
  cwnd: number;
  recoveryStart = -Infinity;
  readonly rate = new DeliveryRate();
  #path = new BbrPath(0, 0);
  #state: BbrState = STARTUP;
  readonly #random: RandomSource | null;
  #maxDatagramSize: number;
  #initialCwnd: number;
  /** Whether it took over from another, at a window that is no guess. */
  #takenOver: boolean;
  #pacingRate = 0;
  #quantum = 0;
  #started = false;

  readonly #pipe = new FullPipe();
  #drainStartRound = 0;

  #ackPhase: AckPhase = "init";
  #isProbeSample = false;
  #roundsSinceUp = 0;
  #probeWait = 0;
  #cycleStamp = 0;
  #upRounds = 0;
  #upAcked = 0;
  #upAckedPerIncrease = Infinity;
  #probeTooHigh = false;
  #probePrecautionary = false;

  #probeRttDone = 0;
  #probeRttRoundDone = false;

  #inRecovery = false;
  /** Losses of a new recovery period are coming in. */
  #entering = false;
  #priorCwnd = 0;
  #undoState: BbrState | null = null;
  /** Ranges of numbers lost in this round trip, and the last number. */
  #lossRanges = 0;
  #lastLost = -1;

  #idleRestart = false;
  #outOfData = false;
  /** C.next_send_time: until then the pacer would not have let more leave. */
  #nextSendTime = 0;
  #cwndLimited = false;
  #cwndLimitedBefore = false;

  constructor({ maxDatagramSize, random, previous }: CongestionControllerOptions) {
    this.#random = random ?? null;
    this.#maxDatagramSize = maxDatagramSize;
    this.#takenOver = previous !== undefined;
    this.cwnd = previous === undefined ? initialWindow(maxDatagramSize) : previous.cwnd;
    this.#initialCwnd = this.cwnd;
  }

  get state(): string {
    return this.#state.name;
  }

  get sendQuantum(): number {
    return this.#quantum > 0 ? this.#quantum : initialWindow(this.#maxDatagramSize);
  }

  /** InitPacingRate: a window per round trip, times the gain; without a sample of that the round trip counts as 1 ms. */
  pacingRate(smoothedRtt: number): number {
    if (this.#pacingRate > 0) return this.#pacingRate;
    return (STARTUP.pacingGain * this.#initialCwnd) / (this.#takenOver ? smoothedRtt : 1);
  }

  get #minPipe(): number {
    return MIN_PIPE * this.#maxDatagramSize;
  }

  get #isProbeBw(): boolean {
    const state = this.#state;
    return state === DOWN || state === CRUISE || state === REFILL || state === UP;
  }

  /** Fully used at some time in the last round trip. */
  get #isCwndLimited(): boolean {
    return this.#cwndLimited || this.#cwndLimitedBefore;
  }

  // Events

  onPacketSent(now: number, bytes: number, inFlight: number): void {
    if (!this.#started) this.#start(now);
    const before = inFlight - bytes;
    // CheckIfApplicationLimited: there was nothing to send while window and pacer would have let it leave.
    if (this.#outOfData && now > this.#nextSendTime && before < this.cwnd) this.rate.markAppLimited(before);
    if (before <= 0 && this.rate.appLimited !== 0) this.#restartFromIdle(now);
    if (inFlight + this.#maxDatagramSize > this.cwnd) this.#cwndLimited = true;
    if (this.#pacingRate > 0) {
      this.#nextSendTime = Math.max(now, this.#nextSendTime) + bytes / this.#pacingRate;
    }
  }

  #start(now: number): void {
    this.#started = true;
    this.#path = new BbrPath(now, this.rate.delivered);
    this.#cycleStamp = now;
  }

  /** HandleRestartFromIdle */
  #restartFromIdle(now: number): void {
    this.#idleRestart = true;
    this.#path.restartAggregation(now);
    if (this.#isProbeBw) this.#setPacingRate(1);
    else if (this.#state === PROBE_RTT) this.#checkProbeRttDone(now);
  }

  onPacketsAcked(batch: AckedBatch): void {
    if (!this.#started) this.#start(batch.now);
    if (this.#pacingRate === 0 && batch.hasRttSample) {
      this.#pacingRate = (STARTUP.pacingGain * this.#initialCwnd) / batch.smoothedRtt;
    }
    if (this.rate.sample.hasData) this.#updateModelAndState(batch);
    else this.#path.updateMinRtt(batch);
    if (this.#inRecovery && batch.largestSentTime > this.recoveryStart) {
      this.#inRecovery = false;
      this.#restoreCwnd();
    }
    // UpdateControlParameters
    this.#setPacingRate(this.#state.pacingGain);
    this.#setSendQuantum();
    this.#setCwnd(batch.bytes);
  }

  /** UpdateModelAndState */
  #updateModelAndState(batch: AckedBatch): void {
    const path = this.#path;
    const { sample, delivered } = this.rate;
    path.updateLatest(sample, delivered);
    this.#updateCongestionSignals();
    path.updateAggregation(batch, this.cwnd, this.#pipe.reached);
    this.#pipe.check(sample, path.roundStart);
    this.#checkStartupDone();
    this.#checkDrainDone(batch);
    this.#updateCyclePhase(batch);
    path.updateMinRtt(batch);
    this.#checkProbeRtt(batch);
    path.advanceLatest(sample);
    path.boundBw();
  }

  onPacketLost(now: number): void {
    if (!this.#started) this.#start(now);
    const { lostPacket, delivered } = this.rate;
    if (lostPacket.sentTime > this.recoveryStart && !this.#entering) {
      this.#entering = true;
      this.#saveUponLoss();
    }
    if (lostPacket.number !== this.#lastLost + 1) this.#lossRanges++;
    this.#lastLost = lostPacket.number;
    this.#path.noteLoss(delivered);
    if (!this.#isProbeSample || !lostPacket.hasData) return;
    const { bytes, txInFlight, lost } = lostPacket;
    if (!this.#isTooMuch(lost, txInFlight)) return;
    this.#onInflightTooHigh(now, inflightAtLoss(lost, txInFlight, bytes), lostPacket.isAppLimited);
  }

  /** OnEnterFastRecovery, once per recovery period. */
  onPacketsLost(now: number, _bytes: number, largestSentTime: number): void {
    if (!this.#started) this.#start(now);
    this.#entering = false;
    if (largestSentTime <= this.recoveryStart) return;
    this.recoveryStart = now;
    this.#inRecovery = true;
  }

  /** HandleSpuriousLossDetection */
  onSpuriousLoss(): void {
    this.#inRecovery = false;
    this.#restoreCwnd();
    this.#pipe.reset(0);
    this.#path.restore();
    const undo = this.#undoState;
    this.#undoState = null;
    if (undo === STARTUP && this.#state !== STARTUP) {
      this.#pipe.reached = false;
      if (this.#state !== PROBE_RTT) this.#state = STARTUP;
    } else if (undo === UP && this.#state !== UP && this.#state !== PROBE_RTT) this.#startRefill();
  }

  /**
   * rfc9002#7.6.2 the window is the minimum one; the draft's RTO. It grows again by what is acknowledged, towards what the
   * model says: what was in flight before is nothing to return to at once.
   */
  onPersistentCongestion(now: number): void {
    if (!this.#started) this.#start(now);
    this.#path.save();
    this.cwnd = 2 * this.#maxDatagramSize;
    this.#priorCwnd = 0;
    this.#inRecovery = false;
    this.recoveryStart = -Infinity;
    this.#undoState = null;
  }

  /** The controller's response MUST treat any CE marks as congestion: they count as lost packets do, but never as chance. */
  onEcnCe(now: number, sentTime: number, count: number): void {
    if (!this.#started) this.#start(now);
    const { rate } = this;
    rate.onMarked(count * this.#maxDatagramSize);
    this.#path.noteMark(rate.delivered);
    if (sentTime > this.recoveryStart) {
      this.recoveryStart = now;
      this.#saveUponLoss();
      this.#inRecovery = true;
    }
    const { sample } = rate;
    if (!this.#isProbeSample || !sample.hasData || !this.#isTooMuch(sample.lost, sample.txInFlight)) return;
    this.#onInflightTooHigh(now, sample.txInFlight, sample.isAppLimited);
  }

  setAppLimited(appLimited: boolean): void {
    this.#outOfData = appLimited;
  }

  setMaxDatagramSize(bytes: number): void {
    const untouched = !this.#takenOver && this.cwnd === initialWindow(this.#maxDatagramSize);
    this.#maxDatagramSize = bytes;
    if (untouched) this.cwnd = this.#initialCwnd = initialWindow(bytes);
  }

  reset(): void {
    this.cwnd = this.#initialCwnd = initialWindow(this.#maxDatagramSize);
    this.recoveryStart = -Infinity;
    this.#state = STARTUP;
    this.#ackPhase = "init";
    this.#pacingRate = this.#quantum = this.#nextSendTime = this.#priorCwnd = this.#lossRanges = 0;
    this.#takenOver = this.#started = this.#pipe.reached = this.#isProbeSample = this.#inRecovery = false;
    this.#probeTooHigh = this.#probePrecautionary = this.#idleRestart = this.#entering = false;
    this.#cwndLimited = this.#cwndLimitedBefore = false;
    this.#upAckedPerIncrease = Infinity;
    this.#undoState = null;
    this.rate.appLimited = 0;
    this.#pipe.reset(0);
  }

  // Losses

  #isTooMuch(lost: number, txInFlight: number): boolean {
    return isTooMuchLoss(lost, txInFlight, this.#maxDatagramSize);
  }

  /** SaveStateUponLoss */
  #saveUponLoss(): void {
    this.#saveCwnd();
    this.#undoState = null;
    this.#path.save();
  }

  #saveCwnd(): void {
    const modulated = this.#inRecovery || this.#state === PROBE_RTT;
    this.#priorCwnd = modulated ? Math.max(this.#priorCwnd, this.cwnd) : this.cwnd;
  }

  #restoreCwnd(): void {
    this.cwnd = Math.max(this.cwnd, this.#priorCwnd);
  }

  /** HandleInflightTooHigh */
  #onInflightTooHigh(now: number, inflight: number, isAppLimited: boolean): void {
    this.#probeTooHigh = true;
    // Once per probe.
    this.#isProbeSample = false;
    if (!isAppLimited) this.#path.lowerLongTerm(inflight, this.#targetInflight);
    if (this.#state !== UP) return;
    this.#undoState = UP;
    this.#startDown(now);
  }

  /** UpdateCongestionSignals */
  #updateCongestionSignals(): void {
    const path = this.#path;
    const { sample, delivered } = this.rate;
    path.updateRound(sample, delivered);
    if (path.roundStart) {
      this.#roundsSinceUp++;
      this.#cwndLimitedBefore = this.#cwndLimited;
      this.#cwndLimited = false;
    }
    path.updateMaxBw(sample);
    if (!path.lossRoundStart) return;
    const isProbing = this.#state === STARTUP || this.#state === REFILL || this.#state === UP;
    if (path.lossInRound && !isProbing && this.#isCongested) path.adaptLowerBounds(this.cwnd);
    path.endLossRound();
  }

  /**
   * Whether losses of this round trip are congestion. The draft takes any for that while it does not probe, and goes down to
   * what arrived. But so few as it bears with while it probes, in a round trip that delivered what was sent, are chance:
   * where one in a hundred is lost at random, rate and window would shrink by that and by the pacing margin every round trip.
   * And what is delivered after ProbeRTT or a pause of the application is no measure of the path.
   */
  get #isCongested(): boolean {
    const { lost, txInFlight, isAppLimited } = this.rate.sample;
    const { bw, bwLatest, markInRound } = this.#path;
    if (markInRound || this.#isTooMuch(lost, txInFlight)) return true;
    return !isAppLimited && bwLatest < AS_SENT * bw;
  }

  // Startup and Drain

  /** CheckStartupDone */
  #checkStartupDone(): void {
    this.#checkStartupHighLoss();
    if (this.#state !== STARTUP || !this.#pipe.reached) return;
    // EnterDrain
    this.#state = DRAIN;
    this.#drainStartRound = this.#path.roundCount;
  }

  /** CheckStartupHighLoss */
  #checkStartupHighLoss(): void {
    const path = this.#path;
    if (!path.lossRoundStart) return;
    const ranges = this.#lossRanges;
    this.#lossRanges = 0;
    if (this.#state !== STARTUP || !this.#inRecovery || ranges < STARTUP_LOSS_RANGES) return;
    const { sample } = this.rate;
    if (!this.#isTooMuch(sample.lost, sample.txInFlight)) return;
    this.#undoState = STARTUP;
    this.#pipe.now = this.#pipe.reached = true;
    path.inflightLongTerm = Math.max(path.bdp(1), path.inflightLatest);
  }

  /** CheckDrainDone */
  #checkDrainDone({ now, inFlight }: AckedBatch): void {
    if (this.#state !== DRAIN) return;
    const path = this.#path;
    if (inFlight > this.#inflight(path.bdp(1)) && path.roundCount <= this.#drainStartRound + DRAIN_ROUNDS)
      return;
    this.#startDown(now);
  }

  // ProbeBW

  /** StartProbeBW_DOWN */
  #startDown(now: number): void {
    const path = this.#path;
    path.resetCongestionSignals();
    this.#upAckedPerIncrease = Infinity;
    // PickProbeWait
    const random = this.#random;
    this.#roundsSinceUp = random === null ? 0 : drawInt(random, 2);
    this.#probeWait =
      PROBE_WAIT + (random === null ? PROBE_WAIT_SPREAD / 2 : drawInt(random, PROBE_WAIT_SPREAD));
    this.#cycleStamp = now;
    this.#ackPhase = "stopping";
    path.startRound(this.rate.delivered);
    this.#state = DOWN;
  }

  /** StartProbeBW_REFILL */
  #startRefill(): void {
    this.#path.resetShortTerm();
    this.#upRounds = this.#upAcked = 0;
    this.#probePrecautionary = false;
    this.#ackPhase = "refilling";
    this.#path.startRound(this.rate.delivered);
    this.#state = REFILL;
  }

  /** StartProbeBW_UP */
  #startUp(): void {
    this.#ackPhase = "starting";
    this.#path.startRound(this.rate.delivered);
    this.#pipe.reset(this.rate.sample.deliveryRate);
    this.#state = UP;
    this.#raiseSlope();
  }

  /** UpdateProbeBWCyclePhase */
  #updateCyclePhase(batch: AckedBatch): void {
    if (!this.#pipe.reached || this.#adaptLongTerm(batch)) return;
    switch (this.#state) {
      case DOWN:
        if (!this.#probeIfTime(batch.now) && this.#isTimeToCruise(batch.inFlight)) this.#state = CRUISE;
        break;
      case CRUISE:
        this.#probeIfTime(batch.now);
        break;
      case REFILL:
        // One round trip long.
        if (!this.#path.roundStart) break;
        this.#isProbeSample = true;
        this.#startUp();
        break;
      case UP:
        if (!this.#isTimeToGoDown(batch.inFlight)) break;
        this.#probeTooHigh = false;
        this.#startDown(batch.now);
    }
  }

  /** IsTimeToProbeBW: by the clock, or as often as Reno would lose packets on a path like this one. */
  #probeIfTime(now: number): boolean {
    const renoRounds = Math.min(this.#targetInflight / this.#maxDatagramSize, RENO_ROUNDS);
    if (now <= this.#cycleStamp + this.#probeWait && this.#roundsSinceUp < renoRounds) return false;
    this.#startRefill();
    return true;
  }

  /** TargetInflight: the BDP, unless congestion cut the window. */
  get #targetInflight(): number {
    return Math.min(this.#path.bdp(1), this.cwnd);
  }

  /** IsTimeToCruise: there is headroom, and no queue. */
  #isTimeToCruise(inFlight: number): boolean {
    const path = this.#path;
    return (
      inFlight <= path.withHeadroom(this.#maxDatagramSize, this.#minPipe) &&
      inFlight <= this.#inflight(path.bdp(1, path.maxBw))
    );
  }

  /** IsTimeToGoDown */
  #isTimeToGoDown(inFlight: number): boolean {
    const { inflightLongTerm } = this.#path;
    if (this.#probeTooHigh && inFlight >= inflightLongTerm) {
      this.#probePrecautionary = true;
      return true;
    }
    // What limits the rate is inflight_longterm, which goes up meanwhile.
    if (this.#isCwndLimited && this.cwnd >= inflightLongTerm) this.#pipe.reset(this.rate.sample.deliveryRate);
    else if (this.#pipe.now) return true;
    return false;
  }

  /** RaiseInflightLongtermSlope: by 1, 2, 4, 8, … datagrams a round trip. */
  #raiseSlope(): void {
    const growth = 2 ** this.#upRounds;
    this.#upRounds = Math.min(this.#upRounds + 1, 30);
    this.#upAckedPerIncrease = Math.max(this.cwnd / growth, this.#maxDatagramSize);
  }

  /** ProbeInflightLongtermUpward */
  #probeUpward(acked: number): void {
    const path = this.#path;
    if (!this.#isCwndLimited || this.cwnd < path.inflightLongTerm) return;
    this.#upAcked += acked;
    if (this.#upAcked >= this.#upAckedPerIncrease) {
      const delta = Math.floor(this.#upAcked / this.#upAckedPerIncrease);
      this.#upAcked -= delta * this.#upAckedPerIncrease;
      path.inflightLongTerm += delta * this.#maxDatagramSize;
    }
    if (path.roundStart) this.#raiseSlope();
  }

  /** AdaptLongTermModel. Whether it changed the state. */
  #adaptLongTerm(batch: AckedBatch): boolean {
    const path = this.#path;
    const { sample } = this.rate;
    if (path.roundStart && this.#ackPhase === "starting") this.#ackPhase = "feedback";
    else if (path.roundStart && this.#ackPhase === "stopping") {
      this.#isProbeSample = false;
      this.#ackPhase = "init";
      if (this.#isProbeBw && !sample.isAppLimited) path.advanceMaxBw();
      // The careful probe did no harm: a bold one follows at once.
      if (this.#isProbeBw && this.#probePrecautionary && !this.#probeTooHigh) {
        this.#startRefill();
        return true;
      }
    }
    if (path.inflightLongTerm === Infinity || this.#isTooMuch(sample.lost, sample.txInFlight)) return false;
    path.inflightLongTerm = Math.max(path.inflightLongTerm, sample.txInFlight);
    if (this.#state === UP) this.#probeUpward(batch.bytes);
    return false;
  }

  // ProbeRTT

  /** CheckProbeRTT */
  #checkProbeRtt({ now, inFlight }: AckedBatch): void {
    const path = this.#path;
    if (this.#state !== PROBE_RTT && path.probeRttExpired && !this.#idleRestart) {
      this.#saveCwnd();
      this.#state = PROBE_RTT;
      this.#probeRttDone = 0;
      this.#ackPhase = "stopping";
      path.startRound(this.rate.delivered);
    }
    if (this.#state === PROBE_RTT) this.#handleProbeRtt(now, inFlight);
    if (this.rate.sample.delivered > 0) this.#idleRestart = false;
  }

  /** HandleProbeRTT */
  #handleProbeRtt(now: number, inFlight: number): void {
    const path = this.#path;
    // So little in flight tells nothing of the rate.
    this.rate.markAppLimited(inFlight);
    if (this.#probeRttDone === 0) {
      if (inFlight > this.#probeRttCwnd) return;
      this.#probeRttDone = now + PROBE_RTT_DURATION;
      this.#probeRttRoundDone = false;
      path.startRound(this.rate.delivered);
      return;
    }
    if (path.roundStart) this.#probeRttRoundDone = true;
    if (this.#probeRttRoundDone) this.#checkProbeRttDone(now);
  }

  /** CheckProbeRTTDone and ExitProbeRTT */
  #checkProbeRttDone(now: number): void {
    if (this.#probeRttDone === 0 || now <= this.#probeRttDone) return;
    this.#path.scheduleProbeRtt(now);
    this.#restoreCwnd();
    this.#path.resetShortTerm();
    if (!this.#pipe.reached) {
      this.#state = STARTUP;
      return;
    }
    this.#startDown(now);
    this.#state = CRUISE;
  }

  get #probeRttCwnd(): number {
    return Math.max(this.#path.bdp(PROBE_RTT.cwndGain), this.#minPipe);
  }

  // Control parameters

  /** SetPacingRateWithGain: until the pipe is full it only goes up. */
  #setPacingRate(gain: number): void {
    const rate = gain * this.#path.bw * PACING_MARGIN;
    if (rate > 0 && (this.#pipe.reached || rate > this.#pacingRate)) this.#pacingRate = rate;
  }

  /** SetSendQuantum: what leaves in 1 ms. */
  #setSendQuantum(): void {
    this.#quantum = Math.max(Math.min(this.#pacingRate, MAX_QUANTUM), 2 * this.#maxDatagramSize);
  }

  /** QuantizationBudget */
  #inflight(cap: number): number {
    const atLeast = Math.max(cap, this.#quantum, this.#minPipe);
    return this.#state === UP ? atLeast + 2 * this.#maxDatagramSize : atLeast;
  }

  /** SetCwnd */
  #setCwnd(acked: number): void {
    const path = this.#path;
    const isUnknown = path.minRtt === Infinity || path.bw === 0;
    // UpdateMaxInflight
    const target = isUnknown ? this.#initialCwnd : path.bdp(this.#state.cwndGain);
    const most = this.#inflight(target + path.extraAcked);
    if (this.#pipe.reached) this.cwnd = Math.min(this.cwnd + acked, most);
    else if (this.cwnd < most || this.rate.delivered < this.#initialCwnd) this.cwnd += acked;
    this.cwnd = Math.max(this.cwnd, this.#minPipe);
    if (this.#state === PROBE_RTT) this.cwnd = Math.min(this.cwnd, this.#probeRttCwnd);
    // BoundCwndForModel
    let cap = Infinity;
    if (this.#state === CRUISE || this.#state === PROBE_RTT)
      cap = path.withHeadroom(this.#maxDatagramSize, this.#minPipe);
    else if (this.#isProbeBw) cap = path.inflightLongTerm;
    cap = Math.max(Math.min(cap, path.inflightShortTerm), this.#minPipe);
    this.cwnd = Math.min(this.cwnd, cap);
  }
}

export const bbrFactory: CongestionControllerFactory = (options) => new Bbr(options);
