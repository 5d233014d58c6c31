// How fast the network delivers: draft-ietf-ccwg-bbr, "Delivery Rate Samples". Bytes, ms. What is remembered of each
// packet lies in columns beside the other things that recovery knows of it, so that measuring allocates nothing.

import { WIDE } from "../protocol/wide.ts";

/** `flags` of a packet in `SendSnapshots`. */
const TAKEN = 1;
const APP_LIMITED = 2;

/** The state of delivery when each packet was sent, by the slot of the packet. */
export class SendSnapshots {
  readonly delivered: Float64Array;
  readonly deliveredTime: Float64Array;
  readonly firstSendTime: Float64Array;
  readonly inFlight: Float64Array;
  readonly lost: Float64Array;
  /** 0: no snapshot was taken. */
  readonly flags: Uint8Array;

  constructor(size: number) {
    const memory = new ArrayBuffer(size * 41);
    this.delivered = new Float64Array(memory, 0, size);
    this.deliveredTime = new Float64Array(memory, 8 * size, size);
    this.firstSendTime = new Float64Array(memory, 16 * size, size);
    this.inFlight = new Float64Array(memory, 24 * size, size);
    this.lost = new Float64Array(memory, 32 * size, size);
    this.flags = new Uint8Array(memory, 40 * size, size);
  }

  /** Slot `to` becomes what slot `from` of `other` is. */
  copy(to: number, other: SendSnapshots, from: number): void {
    this.delivered[to] = other.delivered[from]!;
    this.deliveredTime[to] = other.deliveredTime[from]!;
    this.firstSendTime[to] = other.firstSendTime[from]!;
    this.inFlight[to] = other.inFlight[from]!;
    this.lost[to] = other.lost[from]!;
    this.flags[to] = other.flags[from]!;
  }
}

/** What one ACK says of the rate, by the newest packet it acknowledges. A reused object: copy what you keep. */
export interface RateSample {
  /** Whether a packet was acknowledged that a snapshot was taken of. The rest has no meaning without. */
  hasData: boolean;
  /** Bytes per ms, 0 where the interval was too short to tell. */
  deliveryRate: number;
  /** Whether the application, not the network, may have made the rate. */
  isAppLimited: boolean;
  /** Bytes delivered in the interval, and by the time the packet was sent. */
  delivered: number;
  priorDelivered: number;
  /** Bytes in flight when the packet had been sent. */
  txInFlight: number;
  /** Bytes declared lost since the packet was sent. */
  lost: number;
}

/** One packet that was declared lost. A reused object. */
export interface LostPacket {
  number: number;
  bytes: number;
  sentTime: number;
  /** Whether a snapshot was taken of it. The rest has no meaning without. */
  hasData: boolean;
  isAppLimited: boolean;
  txInFlight: number;
  /** Bytes declared lost since it was sent, with it. */
  lost: number;
}

/**
 * Measures the delivery rate of one connection, as draft-ietf-ccwg-bbr has it: bytes and ms. A congestion controller that
 * wants it makes one and shows it as `rate`; recovery feeds it before it calls the controller, which reads `sample` in
 * `onPacketsAcked`, `lostPacket` in `onPacketLost`, and calls `markAppLimited` where there is nothing to send.
 *
 * @example
 * const rate = new DeliveryRate();
 * assert.equal(rate.delivered, 0);
 */
export class DeliveryRate {
  /** Bytes delivered and lost so far. */
  delivered = WIDE;
  lost = WIDE;
  /** Samples are limited by the application until more than so many bytes are delivered; 0: they are not. */
  appLimited = 0;
  readonly sample: RateSample = {
    hasData: false,
    deliveryRate: 0,
    isAppLimited: false,
    delivered: 0,
    priorDelivered: 0,
    txInFlight: 0,
    lost: 0,
  };
  readonly lostPacket: LostPacket = {
    number: 0,
    bytes: 0,
    sentTime: 0,
    hasData: false,
    isAppLimited: false,
    txInFlight: 0,
    lost: 0,
  };

  #deliveredTime = 0;
  #firstSendTime = 0;
  // Of the newest packet acknowledged by the ACK at hand.
  #sendElapsed = 0;
  #ackElapsed = 0;
  #priorLost = 0;

  constructor() {
    this.delivered = this.lost = 0;
  }

  /** OnPacketSent: a packet leaves, `inFlight` with it. */
  onSent(at: SendSnapshots, slot: number, now: number, bytes: number, inFlight: number): void {
    if (inFlight <= bytes) this.#firstSendTime = this.#deliveredTime = now;
    at.firstSendTime[slot] = this.#firstSendTime;
    at.deliveredTime[slot] = this.#deliveredTime;
    at.delivered[slot] = this.delivered;
    at.inFlight[slot] = inFlight;
    at.lost[slot] = this.lost;
    at.flags[slot] = this.appLimited === 0 ? TAKEN : TAKEN | APP_LIMITED;
  }

  /** InitRateSample: an ACK begins. */
  begin(): void {
    this.sample.hasData = false;
    this.sample.deliveryRate = 0;
  }

  /** UpdateRateSample: one packet is newly acknowledged; they come in the order in which they were sent. */
  onAcked(at: SendSnapshots, slot: number, now: number, sentTime: number, bytes: number): void {
    this.delivered += bytes;
    this.#deliveredTime = now;
    const flags = at.flags[slot]!;
    if (flags === 0) return;
    const { sample } = this;
    // The newest packet tells most. Of packets sent at once the later one comes later.
    if (sample.hasData && sentTime < this.#firstSendTime) return;
    sample.hasData = true;
    sample.isAppLimited = (flags & APP_LIMITED) !== 0;
    sample.priorDelivered = at.delivered[slot]!;
    sample.txInFlight = at.inFlight[slot]!;
    this.#priorLost = at.lost[slot]!;
    this.#sendElapsed = sentTime - at.firstSendTime[slot]!;
    this.#ackElapsed = now - at.deliveredTime[slot]!;
    this.#firstSendTime = sentTime;
  }

  /** GenerateRateSample: all of the ACK is known, its losses too. @param minRtt of the connection, ms */
  finish(minRtt: number): void {
    // The bubble is acknowledged and gone.
    if (this.appLimited !== 0 && this.delivered > this.appLimited) this.appLimited = 0;
    const { sample } = this;
    if (!sample.hasData) return;
    sample.delivered = this.delivered - sample.priorDelivered;
    sample.lost = this.lost - this.#priorLost;
    // Nothing is delivered faster than it was sent: ACKs that come compressed do not count.
    const interval = Math.max(this.#sendElapsed, this.#ackElapsed);
    // Shorter than the shortest round trip: no reliable sample.
    if (interval >= minRtt && interval > 0) sample.deliveryRate = sample.delivered / interval;
  }

  /** One packet is declared lost: `lostPacket` tells of it. */
  onLost(at: SendSnapshots, slot: number, number: number, sentTime: number, bytes: number): void {
    this.lost += bytes;
    const { lostPacket } = this;
    const flags = at.flags[slot]!;
    lostPacket.number = number;
    lostPacket.bytes = bytes;
    lostPacket.sentTime = sentTime;
    lostPacket.hasData = flags !== 0;
    lostPacket.isAppLimited = (flags & APP_LIMITED) !== 0;
    lostPacket.txInFlight = at.inFlight[slot]!;
    lostPacket.lost = this.lost - at.lost[slot]!;
  }

  /** Packets that met congestion without being lost count as lost bytes: their marks are as good a signal. */
  onMarked(bytes: number): void {
    this.lost += bytes;
    if (this.sample.hasData) this.sample.lost = this.lost - this.#priorLost;
  }

  /** MarkConnectionAppLimited: what is sent from now on tells of the application, until this is delivered. */
  markAppLimited(inFlight: number): void {
    this.appLimited = Math.max(this.delivered + inFlight, 1);
  }
}
