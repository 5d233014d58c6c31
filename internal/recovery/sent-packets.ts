// What was sent in one packet number space and is not settled: a ring over typed arrays, indexed by packet number,
// and a second ring with what the ACK or loss of each packet needs. No objects per packet.

import { MAX_SENT_PACKETS } from "../protocol/limits.ts";

/** Kinds of records: what to do with (a, b, c) when the packet is acknowledged or lost. */
export const REC_PING = 0;
/** a: largest packet number acknowledged by the ACK frame we sent. */
export const REC_ACK = 1;
/** a: offset, b: length. */
export const REC_CRYPTO = 2;
/** a: stream ID, b: offset, c: length. */
export const REC_STREAM = 3;
/** The same, with FIN. */
export const REC_STREAM_FIN = 4;
export const REC_MAX_DATA = 5;
/** a: stream ID, b: value. */
export const REC_MAX_STREAM_DATA = 6;
export const REC_MAX_STREAMS_BIDI = 7;
export const REC_MAX_STREAMS_UNI = 8;
/** a: stream ID. */
export const REC_RESET_STREAM = 9;
export const REC_STOP_SENDING = 10;
/** a: sequence number. */
export const REC_NEW_CONNECTION_ID = 11;
export const REC_RETIRE_CONNECTION_ID = 12;
export const REC_HANDSHAKE_DONE = 13;
export const REC_NEW_TOKEN = 14;
export const REC_DATA_BLOCKED = 15;
export const REC_STREAM_DATA_BLOCKED = 16;
export const REC_STREAMS_BLOCKED_BIDI = 17;
export const REC_STREAMS_BLOCKED_UNI = 18;
export const REC_DATAGRAM = 19;
export const REC_PATH_CHALLENGE = 20;
export const REC_MTU_PROBE = 21;

/** Whoever writes frames adds what it wants to hear about. */
export interface RecordSink {
  addRecord(kind: number, a: number, b: number, c: number): void;
}

/** Flags of a packet. */
export const SENT = 1;
export const ACK_ELICITING = 2;
export const IN_FLIGHT = 4;
/** Declared lost; kept for a while so that a late ACK shows the loss to be spurious. */
export const LOST = 8;
/** Its records were handed out for a probe already. */
export const PROBED = 16;

const INITIAL_CAPACITY = 64;

export class SentPackets implements RecordSink {
  #capacity = INITIAL_CAPACITY;
  #mask = INITIAL_CAPACITY - 1;
  #flags = new Uint8Array(INITIAL_CAPACITY);
  #time = new Float64Array(INITIAL_CAPACITY);
  #bytes = new Int32Array(INITIAL_CAPACITY);
  #ecn = new Uint8Array(INITIAL_CAPACITY);
  #firstRecord = new Float64Array(INITIAL_CAPACITY);
  #recordCount = new Int32Array(INITIAL_CAPACITY);

  #recordCapacity = 4 * INITIAL_CAPACITY;
  #kind = new Uint8Array(4 * INITIAL_CAPACITY);
  #a = new Float64Array(4 * INITIAL_CAPACITY);
  #b = new Float64Array(4 * INITIAL_CAPACITY);
  #c = new Float64Array(4 * INITIAL_CAPACITY);
  #recordsFrom = 0;
  #recordsTo = 0;

  /** Lowest number that is still there. */
  oldest = 0;
  /** One past the highest number begun. */
  next = 0;
  /** Packets that are neither acknowledged nor lost. */
  outstanding = 0;
  /** Of those, ack-eliciting and in flight ones. */
  elicitingInFlight = 0;

  #building = -1;

  /** Whether another packet may be remembered. Stops: memory by a peer that never acknowledges. */
  get isFull(): boolean {
    return this.next - this.oldest >= MAX_SENT_PACKETS;
  }

  /** Starts packet `pn`; numbers left out were skipped on purpose. */
  begin(pn: number): void {
    if (this.oldest === this.next) this.oldest = this.next = pn;
    while (pn - this.oldest >= this.#capacity) this.#grow();
    for (let skipped = this.next; skipped < pn; skipped++) this.#flags[skipped & this.#mask] = 0;
    const i = pn & this.#mask;
    this.#flags[i] = 0;
    this.#firstRecord[i] = this.#recordsTo;
    this.#recordCount[i] = 0;
    this.#building = pn;
  }

  addRecord(kind: number, a: number, b: number, c: number): void {
    if (this.#recordsTo - this.#recordsFrom === this.#recordCapacity) this.#growRecords();
    const i = this.#recordsTo++ % this.#recordCapacity;
    this.#kind[i] = kind;
    this.#a[i] = a;
    this.#b[i] = b;
    this.#c[i] = c;
    this.#recordCount[this.#building & this.#mask]!++;
  }

  /** Gives up the packet that was begun; its records are forgotten. */
  rollback(): void {
    this.#recordsTo = this.#firstRecord[this.#building & this.#mask]!;
    this.#building = -1;
  }

  /** The packet leaves. */
  finish(now: number, bytes: number, eliciting: boolean, inFlight: boolean, ecn: number): void {
    const pn = this.#building;
    const i = pn & this.#mask;
    this.#flags[i] = SENT | (eliciting ? ACK_ELICITING : 0) | (inFlight ? IN_FLIGHT : 0);
    this.#time[i] = now;
    this.#bytes[i] = bytes;
    this.#ecn[i] = ecn;
    this.next = pn + 1;
    this.outstanding++;
    if (eliciting && inFlight) this.elicitingInFlight++;
    this.#building = -1;
  }

  /** 0 for a number that was never sent, is settled and forgotten, or was skipped. */
  flags(pn: number): number {
    return pn >= this.oldest && pn < this.next ? this.#flags[pn & this.#mask]! : 0;
  }

  time(pn: number): number {
    return this.#time[pn & this.#mask]!;
  }

  bytes(pn: number): number {
    return this.#bytes[pn & this.#mask]!;
  }

  ecn(pn: number): number {
    return this.#ecn[pn & this.#mask]!;
  }

  setFlag(pn: number, flag: number): void {
    this.#flags[pn & this.#mask]! |= flag;
  }

  /** Calls `each` with every record of `pn`, in order. */
  records(pn: number, each: (kind: number, a: number, b: number, c: number) => void): void {
    const i = pn & this.#mask;
    const first = this.#firstRecord[i]!;
    const count = this.#recordCount[i]!;
    for (let k = 0; k < count; k++) {
      const at = (first + k) % this.#recordCapacity;
      each(this.#kind[at]!, this.#a[at]!, this.#b[at]!, this.#c[at]!);
    }
  }

  /** Acknowledged: nothing is kept. */
  remove(pn: number): void {
    this.#settle(pn);
    this.#flags[pn & this.#mask] = 0;
    this.#trim();
  }

  /** Lost: out of the counts, remembered as LOST until `forgetLost`. */
  markLost(pn: number): void {
    this.#settle(pn);
    const i = pn & this.#mask;
    this.#flags[i] = LOST;
    this.#recordCount[i] = 0;
  }

  #settle(pn: number): void {
    const flags = this.#flags[pn & this.#mask]!;
    if ((flags & SENT) === 0) return;
    this.outstanding--;
    if ((flags & (ACK_ELICITING | IN_FLIGHT)) === (ACK_ELICITING | IN_FLIGHT)) this.elicitingInFlight--;
  }

  /** Forgets lost packets sent before `time`: an ACK for them would be too late to matter. */
  forgetLost(time: number): void {
    while (this.oldest < this.next) {
      const i = this.oldest & this.#mask;
      if ((this.#flags[i]! & LOST) === 0 || this.#time[i]! >= time) break;
      this.#flags[i] = 0;
      this.#trim();
    }
  }

  /** Forgets everything; numbers go on. */
  clear(): void {
    this.oldest = this.next;
    this.#recordsFrom = this.#recordsTo;
    this.outstanding = this.elicitingInFlight = 0;
  }

  /** Drops settled packets at the old end. */
  #trim(): void {
    while (this.oldest < this.next && this.#flags[this.oldest & this.#mask] === 0) this.oldest++;
    if (this.oldest === this.next) {
      this.#recordsFrom = this.#building >= 0 ? this.#firstRecord[this.#building & this.#mask]! : this.#recordsTo;
    } else this.#recordsFrom = this.#firstRecord[this.oldest & this.#mask]!;
  }

  #grow(): void {
    const capacity = 2 * this.#capacity;
    const mask = capacity - 1;
    const move = <T extends Uint8Array | Int32Array | Float64Array>(from: T, to: T): T => {
      for (let pn = this.oldest; pn < this.next; pn++) to[pn & mask] = from[pn & this.#mask]!;
      return to;
    };
    this.#flags = move(this.#flags, new Uint8Array(capacity));
    this.#time = move(this.#time, new Float64Array(capacity));
    this.#bytes = move(this.#bytes, new Int32Array(capacity));
    this.#ecn = move(this.#ecn, new Uint8Array(capacity));
    this.#firstRecord = move(this.#firstRecord, new Float64Array(capacity));
    this.#recordCount = move(this.#recordCount, new Int32Array(capacity));
    this.#capacity = capacity;
    this.#mask = mask;
  }

  #growRecords(): void {
    const capacity = 2 * this.#recordCapacity;
    const move = <T extends Uint8Array | Float64Array>(from: T, to: T): T => {
      for (let i = this.#recordsFrom; i < this.#recordsTo; i++) to[i % capacity] = from[i % this.#recordCapacity]!;
      return to;
    };
    this.#kind = move(this.#kind, new Uint8Array(capacity));
    this.#a = move(this.#a, new Float64Array(capacity));
    this.#b = move(this.#b, new Float64Array(capacity));
    this.#c = move(this.#c, new Float64Array(capacity));
    this.#recordCapacity = capacity;
  }
}
