// DATAGRAM frames, rfc9221: one bounded queue each way, and nothing is sent twice.

import { DATAGRAM_URGENCY } from "../protocol/limits.ts";
import type { DatagramDropReason } from "../protocol/tracer.ts";
import { WIDE } from "../protocol/wide.ts";
import { REC_DATAGRAM, type RecordSink } from "../recovery/sent-packets.ts";
import { writeDatagram } from "../wire/frame-writers.ts";
import { varintLength } from "../wire/varint.ts";
import type { Core } from "./core.ts";

/** Bounds of a queue of datagrams, and which of them goes when it is full. */
export interface DatagramQueueLimits {
  /** Datagrams. */
  readonly count: number;
  /** Bytes of them. A single datagram is taken whatever its size. */
  readonly bytes: number;
  /** "newest": what comes is not taken. "oldest": what waits longest makes room. */
  readonly drop: "newest" | "oldest";
}

/** What became of a datagram that was sent with `watched`. */
export type DatagramOutcome = "acked" | "lost" | DatagramDropReason;

export interface DatagramSendOptions {
  /** 0 to 7, 0 first. Those up to DATAGRAM_URGENCY go before stream data, the others after it. */
  readonly urgency?: number;
  /** Monotonic ms after which it is not worth sending any more. */
  readonly expiresAt?: number;
  /** An event says what became of it. */
  readonly watched?: boolean;
}

/** Counters of one connection's datagrams. */
export interface DatagramCounters {
  sent: number;
  bytesSent: number;
  received: number;
  bytesReceived: number;
  /** The peer's transport has taken them; its application may still not get them (rfc9221#5.2). */
  acked: number;
  lost: number;
  /** Never sent, or never given to the application. */
  dropped: Record<DatagramDropReason, number>;
}

interface Queued {
  readonly data: Uint8Array;
  readonly urgency: number;
  readonly expiresAt: number;
  readonly id: number;
  readonly watched: boolean;
}

/** First byte, packet number at its longest, and tag. */
const PACKET_OVERHEAD = 1 + 4 + 16;
/** What 0-RTT packets have besides: version, lengths of both connection IDs, and of the packet. */
const LONG_OVERHEAD = 4 + 1 + 1 + 4;

/** The datagrams of one connection. */
export class Datagrams {
  readonly #core: Core;
  /** By urgency, then by age. */
  #sending: Queued[] = NOTHING;
  #sendHead = 0;
  #sendBytes = 0;
  #received: Uint8Array[] = NO_BYTES;
  #receivedHead = 0;
  #receivedBytes = 0;
  #early: WeakSet<Uint8Array> | null = null;
  #nextId = 0;
  /** The peer's max_datagram_frame_size: at a client in 0-RTT what it said the last time (rfc9221#3). */
  peerLimit = 0;
  #wasFull = false;
  readonly counters: DatagramCounters = {
    sent: 0,
    bytesSent: WIDE,
    received: 0,
    bytesReceived: WIDE,
    acked: 0,
    lost: 0,
    dropped: { send_queue_full: 0, receive_queue_full: 0, expired: 0, too_large: 0, purged: 0 },
  };

  constructor(core: Core) {
    this.#core = core;
    this.counters.bytesSent = this.counters.bytesReceived = 0;
  }

  // Sending

  /** Whether the peer takes datagrams. False until its transport parameters are known. */
  get supported(): boolean {
    return this.peerLimit > 0;
  }

  /**
   * Bytes of the largest datagram that fits now: the peer's limit and the path's, of which the second may change. Negative
   * where not even an empty one does.
   */
  get maxSize(): number {
    const core = this.#core;
    // rfc9221#3 An endpoint MUST NOT send DATAGRAM frames that are larger than the max_datagram_frame_size value it has
    // received from its peer.
    let packet = core.paths.active.mtu - PACKET_OVERHEAD - core.remoteCids.current.length;
    if (core.role === "client" && core.early) packet -= LONG_OVERHEAD + core.localCids.handshakeCid.length;
    const room = Math.min(this.peerLimit, packet);
    return room - 1 - varintLength(Math.max(0, room - 2));
  }

  get sendCount(): number {
    return this.#sending.length - this.#sendHead;
  }

  get sendBytes(): number {
    return this.#sendBytes;
  }

  /** Whether `bytes` more would make the send queue refuse or drop something. */
  isFull(bytes: number): boolean {
    const { count, bytes: most } = this.#core.config.datagramSendQueue;
    return this.sendCount >= count || (this.sendCount > 0 && this.#sendBytes + bytes > most);
  }

  /**
   * Queues a copy of `data`, which is no larger than `maxSize`.
   * @returns its number, for `datagram_settled` events; −1 where the queue is full and what comes is not taken.
   */
  send(data: Uint8Array, options: DatagramSendOptions, now: number): number {
    const { drop } = this.#core.config.datagramSendQueue;
    if (this.isFull(data.length)) this.#dropExpired(now);
    while (this.isFull(data.length)) {
      if (drop === "newest") {
        this.#wasFull = true;
        this.#drop("send_queue_full", data.length, false);
        return -1;
      }
      // The least urgent ones make room, the oldest of them first.
      this.#removeAt(this.#oldestOfLeast(), "send_queue_full");
    }
    const id = this.#nextId++;
    const queued: Queued = {
      data: data.slice(),
      urgency: options.urgency ?? DATAGRAM_URGENCY,
      expiresAt: options.expiresAt ?? Infinity,
      id,
      watched: options.watched === true,
    };
    if (this.#sending === NOTHING) this.#sending = [];
    let at = this.#sending.length;
    while (at > this.#sendHead && this.#sending[at - 1]!.urgency > queued.urgency) at--;
    if (at === this.#sending.length) this.#sending.push(queued);
    else this.#sending.splice(at, 0, queued);
    this.#sendBytes += data.length;
    this.#core.wake();
    return id;
  }

  #oldestOfLeast(): number {
    let at = this.#sending.length - 1;
    const { urgency } = this.#sending[at]!;
    while (at > this.#sendHead && this.#sending[at - 1]!.urgency === urgency) at--;
    return at;
  }

  #dropExpired(now: number): void {
    // The first is the last to go: the queue closes up behind it.
    const first = this.#sendHead;
    for (let at = this.#sending.length - 1; at >= first; at--) {
      if (this.#sending[at]!.expiresAt <= now) this.#removeAt(at, "expired");
    }
  }

  /** Takes those for which `unwanted` holds out of the send queue. Returns how many. */
  purge(unwanted: (data: Uint8Array) => boolean): number {
    const before = this.sendCount;
    const first = this.#sendHead;
    for (let at = this.#sending.length - 1; at >= first; at--) {
      if (unwanted(this.#sending[at]!.data)) this.#removeAt(at, "purged");
    }
    this.#told();
    return before - this.sendCount;
  }

  #removeAt(at: number, reason: DatagramDropReason): void {
    const queued = this.#sending[at]!;
    if (at === this.#sendHead) this.#shift();
    else {
      this.#sending.splice(at, 1);
      this.#sendBytes -= queued.data.length;
    }
    this.#drop(reason, queued.data.length, false);
    if (queued.watched) this.#settle(queued.id, reason);
    // Events leave with a verb, and this may not be within one.
    this.#core.wake();
  }

  #shift(): void {
    const queued = this.#sending[this.#sendHead]!;
    this.#sendBytes -= queued.data.length;
    this.#sendHead++;
    // What was sent is not held on to for long.
    if (this.#sendHead === this.#sending.length) {
      this.#sending.length = this.#sendHead = 0;
    } else if (this.#sendHead >= 64 && 2 * this.#sendHead >= this.#sending.length) {
      this.#sending.splice(0, this.#sendHead);
      this.#sendHead = 0;
    }
  }

  get hasFrames(): boolean {
    return this.#sendHead < this.#sending.length;
  }

  /** Whether the first of the queue goes before stream data. */
  get isUrgent(): boolean {
    return this.hasFrames && this.#sending[this.#sendHead]!.urgency <= DATAGRAM_URGENCY;
  }

  /**
   * Writes datagrams in the queue's order as long as they fit.
   * @param urgent only those that go before stream data.
   */
  write(
    buf: Uint8Array,
    pos: number,
    end: number,
    urgent: boolean,
    records: RecordSink,
    now: number,
  ): number {
    // rfc9221#5 The DATAGRAM frame SHOULD be sent as soon as possible and MAY be coalesced with other frames.
    while (urgent ? this.isUrgent : this.hasFrames) {
      const { data, expiresAt, id, watched } = this.#sending[this.#sendHead]!;
      const { length } = data;
      if (expiresAt <= now) {
        this.#removeAt(this.#sendHead, "expired");
        continue;
      }
      if (length > this.maxSize) {
        // rfc9221#5 DATAGRAM frames cannot be fragmented: the path carries less than when it was queued, or the peer that
        // refused 0-RTT takes less.
        this.#removeAt(this.#sendHead, "too_large");
        continue;
      }
      if (pos + 1 + varintLength(length) + length > end) break;
      pos = writeDatagram(buf, pos, data);
      records.addRecord(REC_DATAGRAM, id, length, watched ? 1 : 0);
      this.counters.sent++;
      this.counters.bytesSent += length;
      this.#shift();
    }
    this.#told();
    return pos;
  }

  /** Has an event say when the queue, which is full, has room again. */
  tellWhenWritable(): void {
    this.#wasFull = true;
  }

  /** Who was refused hears that there is room again. */
  #told(): void {
    if (!this.#wasFull || this.isFull(0)) return;
    this.#wasFull = false;
    this.#core.events.push({ type: "datagrams_writable" });
  }

  onAcked(id: number, watched: boolean): void {
    this.counters.acked++;
    if (watched) this.#settle(id, "acked");
  }

  onLost(id: number, watched: boolean): void {
    this.counters.lost++;
    if (watched) this.#settle(id, "lost");
  }

  #settle(id: number, outcome: DatagramOutcome): void {
    this.#core.events.push({ type: "datagram_settled", id, outcome });
  }

  // Receiving

  get receivedCount(): number {
    return this.#received.length - this.#receivedHead;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Whether what comes next finds no room. */
  get receiveFull(): boolean {
    const { count, bytes } = this.#core.config.datagramReceiveQueue;
    return this.receivedCount >= count || this.#receivedBytes >= bytes;
  }

  /** A DATAGRAM frame's data. */
  onDatagram(buf: Uint8Array, start: number, length: number): void {
    const { count, bytes, drop } = this.#core.config.datagramReceiveQueue;
    this.counters.received++;
    this.counters.bytesReceived += length;
    // rfc9221#5.3 they MAY be dropped by the receiver if the receiver cannot process them.
    while (this.receivedCount >= count || (this.receivedCount > 0 && this.#receivedBytes + length > bytes)) {
      if (drop === "newest" || this.receivedCount === 0) {
        this.#drop("receive_queue_full", length, true);
        return;
      }
      this.#drop("receive_queue_full", this.receive()!.length, true);
    }
    if (this.#received === NO_BYTES) this.#received = [];
    const data = buf.slice(start, start + length);
    if (this.#core.early) (this.#early ??= new WeakSet()).add(data);
    this.#received.push(data);
    this.#receivedBytes += length;
    this.#core.events.push(READABLE);
  }

  /** Whether a datagram that was received came in 0-RTT, so that it may be a copy of an old one: rfc9001#9.2. */
  isEarly(data: Uint8Array): boolean {
    return this.#early?.has(data) === true;
  }

  /** The next datagram without taking it, null where none waits. */
  peek(): Uint8Array | null {
    return this.#received[this.#receivedHead] ?? null;
  }

  /** The next datagram, null where none waits. The caller owns it. */
  receive(): Uint8Array | null {
    const data = this.#received[this.#receivedHead];
    if (data === undefined) return null;
    this.#receivedHead++;
    this.#receivedBytes -= data.length;
    if (this.#receivedHead === this.#received.length) this.#received.length = this.#receivedHead = 0;
    else if (this.#receivedHead >= 64 && 2 * this.#receivedHead >= this.#received.length) {
      this.#received.splice(0, this.#receivedHead);
      this.#receivedHead = 0;
    }
    return data;
  }

  #drop(reason: DatagramDropReason, length: number, received: boolean): void {
    this.counters.dropped[reason]++;
    const core = this.#core;
    if (core.tracer === null) return;
    core.tracer.record({ name: "datagram_dropped", time: core.now, reason, length, received });
  }
}

const READABLE = { type: "datagrams_readable" } as const;
/** Of connections without datagrams. */
const NOTHING: Queued[] = [];
const NO_BYTES: Uint8Array[] = [];
