// What BBR believes of the network path: rates, volumes and round trips on two time scales. draft-ietf-ccwg-bbr, "Updating
// Network Path Model Parameters". Names follow the draft; bytes and ms.

import type { AckedBatch } from "./controller.ts";
import type { RateSample } from "./delivery-rate.ts";
import { WindowedMax } from "./windowed-max.ts";

/** BBR.Beta: at most so far down per round trip with losses. */
const BETA = 0.7;
/** BBR.Headroom: part of inflight_longterm that is left to others. */
const HEADROOM = 0.15;
/** BBR.ExtraAckedFilterLen, round trips. */
const EXTRA_ACKED_ROUNDS = 10;
/** BBR.MinRTTFilterLen and BBR.ProbeRTTInterval, ms. */
const MIN_RTT_FILTER = 10_000;
const PROBE_RTT_INTERVAL = 5000;

/** What to go back to when losses prove spurious. */
interface Undo {
  bwShortTerm: number;
  inflightShortTerm: number;
  inflightLongTerm: number;
}

export class BbrPath {
  /** The most the path has delivered lately, and the most that is good to send at now. Bytes per ms. */
  maxBw = 0;
  bw = 0;
  #bwShortTerm = Infinity;
  inflightShortTerm = Infinity;
  inflightLongTerm = Infinity;
  /** ms, Infinity while there is no sample. */
  minRtt = Infinity;
  extraAcked = 0;

  // Packet-timed round trips.
  #nextRoundDelivered = 0;
  roundCount = 0;
  roundStart = false;

  // Losses, and what was delivered in the last round trip.
  lossInRound = false;
  /** Some of it was a CE mark. */
  markInRound = false;
  lossRoundStart = false;
  #lossRoundDelivered = 0;
  bwLatest = 0;
  inflightLatest = 0;

  // max_bw over this and the last ProbeBW cycle.
  #bwCycle = 0;
  #bwLastCycle = 0;

  readonly #extraAckedFilter = new WindowedMax();
  #extraAckedStart = 0;
  #extraAckedDelivered = 0;

  #minRttStamp = 0;
  #probeRttMin = Infinity;
  #probeRttStamp = 0;
  probeRttExpired = false;

  readonly #undo: Undo = { bwShortTerm: 0, inflightShortTerm: 0, inflightLongTerm: 0 };

  /** @param now of the first event; `delivered` so far */
  constructor(now: number, delivered: number) {
    this.#minRttStamp = this.#probeRttStamp = this.#extraAckedStart = now;
    this.#nextRoundDelivered = this.#lossRoundDelivered = delivered;
  }

  /** The estimated BDP times `gain`, at `bw`. */
  bdp(gain: number, bw = this.bw): number {
    return gain * bw * this.minRtt;
  }

  startRound(delivered: number): void {
    this.#nextRoundDelivered = delivered;
  }

  /** UpdateRound */
  updateRound(sample: RateSample, delivered: number): void {
    this.roundStart = sample.priorDelivered >= this.#nextRoundDelivered;
    if (!this.roundStart) return;
    this.startRound(delivered);
    this.roundCount++;
  }

  /** UpdateLatestDeliverySignals */
  updateLatest(sample: RateSample, delivered: number): void {
    this.bwLatest = Math.max(this.bwLatest, sample.deliveryRate);
    this.inflightLatest = Math.max(this.inflightLatest, sample.delivered);
    this.lossRoundStart = sample.priorDelivered >= this.#lossRoundDelivered;
    if (this.lossRoundStart) this.#lossRoundDelivered = delivered;
  }

  /** AdvanceLatestDeliverySignals */
  advanceLatest(sample: RateSample): void {
    if (!this.lossRoundStart) return;
    this.bwLatest = sample.deliveryRate;
    this.inflightLatest = sample.delivered;
  }

  /** UpdateMaxBw: samples that the application limits count where they show that the estimate is too low. */
  updateMaxBw(sample: RateSample): void {
    const { deliveryRate } = sample;
    if (deliveryRate <= 0 || (deliveryRate < this.maxBw && sample.isAppLimited)) return;
    this.#bwCycle = Math.max(this.#bwCycle, deliveryRate);
    this.maxBw = Math.max(this.#bwCycle, this.#bwLastCycle);
  }

  /** AdvanceMaxBwFilter. A cycle without a sample changes nothing. */
  advanceMaxBw(): void {
    if (this.#bwCycle === 0) return;
    this.#bwLastCycle = this.#bwCycle;
    this.#bwCycle = 0;
    this.maxBw = this.#bwLastCycle;
  }

  /** BoundBWForModel */
  boundBw(): void {
    this.bw = Math.min(this.maxBw, this.#bwShortTerm);
  }

  /** UpdateACKAggregation: how much more was acknowledged than the rate explains. */
  updateAggregation(batch: AckedBatch, cwnd: number, fullBwReached: boolean): void {
    let expected = this.bw * (batch.now - this.#extraAckedStart);
    if (this.#extraAckedDelivered <= expected) {
      this.#extraAckedDelivered = 0;
      this.#extraAckedStart = batch.now;
      expected = 0;
    }
    this.#extraAckedDelivered += batch.bytes;
    const extra = Math.min(this.#extraAckedDelivered - expected, cwnd);
    const rounds = fullBwReached ? EXTRA_ACKED_ROUNDS : 1;
    this.extraAcked = this.#extraAckedFilter.update(extra, this.roundCount, rounds);
  }

  restartAggregation(now: number): void {
    this.#extraAckedStart = now;
  }

  /** UpdateMinRTT */
  updateMinRtt(batch: AckedBatch): void {
    const { now } = batch;
    // One that takes over knows what its predecessor measured.
    if (this.minRtt === Infinity && batch.minRtt > 0) this.minRtt = this.#probeRttMin = batch.minRtt;
    this.probeRttExpired = now > this.#probeRttStamp + PROBE_RTT_INTERVAL;
    if (batch.hasRttSample && (batch.latestRtt < this.#probeRttMin || this.probeRttExpired)) {
      this.#probeRttMin = batch.latestRtt;
      this.#probeRttStamp = now;
    }
    if (this.#probeRttMin < this.minRtt || now > this.#minRttStamp + MIN_RTT_FILTER) {
      this.minRtt = this.#probeRttMin;
      this.#minRttStamp = this.#probeRttStamp;
    }
  }

  /** The next ProbeRTT is an interval away. */
  scheduleProbeRtt(now: number): void {
    this.#probeRttStamp = now;
  }

  /** NoteLoss. */
  noteLoss(delivered: number): void {
    if (!this.lossInRound) this.#lossRoundDelivered = delivered;
    this.lossInRound = true;
  }

  noteMark(delivered: number): void {
    this.noteLoss(delivered);
    this.markInRound = true;
  }

  endLossRound(): void {
    this.lossInRound = this.markInRound = false;
  }

  /** InitLowerBounds and LossLowerBounds: once per round trip with losses, while not probing for bandwidth. */
  adaptLowerBounds(cwnd: number): void {
    if (this.#bwShortTerm === Infinity) this.#bwShortTerm = this.maxBw;
    if (this.inflightShortTerm === Infinity) this.inflightShortTerm = cwnd;
    this.#bwShortTerm = Math.max(this.bwLatest, BETA * this.#bwShortTerm);
    this.inflightShortTerm = Math.max(this.inflightLatest, BETA * this.inflightShortTerm);
  }

  resetCongestionSignals(): void {
    this.endLossRound();
    this.bwLatest = 0;
    this.inflightLatest = 0;
  }

  resetShortTerm(): void {
    this.#bwShortTerm = this.inflightShortTerm = Infinity;
  }

  /** HandleInflightTooHigh: `inflight` was too much, but it does not go down by more than Cubic would. */
  lowerLongTerm(inflight: number, target: number): void {
    this.inflightLongTerm = Math.max(inflight, BETA * target);
  }

  /** InflightWithHeadroom, at least `least`. */
  withHeadroom(maxDatagramSize: number, least: number): number {
    const { inflightLongTerm } = this;
    if (inflightLongTerm === Infinity) return Infinity;
    return Math.max(inflightLongTerm - Math.max(maxDatagramSize, HEADROOM * inflightLongTerm), least);
  }

  /** SaveStateUponLoss */
  save(): void {
    this.#undo.bwShortTerm = this.#bwShortTerm;
    this.#undo.inflightShortTerm = this.inflightShortTerm;
    this.#undo.inflightLongTerm = this.inflightLongTerm;
  }

  /** HandleSpuriousLossDetection */
  restore(): void {
    // A mark is never spurious.
    this.lossInRound = this.markInRound;
    this.#bwShortTerm = Math.max(this.#bwShortTerm, this.#undo.bwShortTerm);
    this.inflightShortTerm = Math.max(this.inflightShortTerm, this.#undo.inflightShortTerm);
    this.inflightLongTerm = Math.max(this.inflightLongTerm, this.#undo.inflightLongTerm);
  }
}
