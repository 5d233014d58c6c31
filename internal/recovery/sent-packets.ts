// What was sent in one packet number space and is not settled: a ring over typed arrays, indexed by packet number,
// and a second ring with what the ACK or loss of each packet needs. No objects per packet. What is outstanding is
// linked in order, so that ACKs and losses cost what they settle, however far the numbers spread.

import { SendSnapshots } from "../congestion/delivery-rate.ts";
import { MAX_SENT_PACKETS, RESERVED_SENT_PACKETS } from "../protocol/limits.ts";

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
/** a: stream ID, b: reliable size. */
export const REC_RESET_STREAM = 9;
/** a: stream ID. */
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
/** a: sequence number, b: the delay asked for, ms. */
export const REC_ACK_FREQUENCY = 22;
/** a: bytes of the datagram, b: number of the path. */
export const REC_MTU_PROBE = 21;

/** Whoever writes frames adds what it wants to hear about. */
export interface RecordSink {
  addRecord(kind: number, a: number, b: number, c: number): void;
}

/** Flags of a packet. */
export const SENT = 1;
export const ACK_ELICITING = 2;
export const IN_FLIGHT = 4;
/** Its records were handed out for a probe: whoever writes frames has them to send again. */
export const PROBED = 8;
/** Acknowledged. Only within the window, and not outstanding any more. */
export const ACKED = 16;
/** Sent on a path that was left, or is not in use yet: counts for nothing on the one that is. */
export const OLD_PATH = 32;
/** A probe for the path's MTU: its loss is no sign of congestion, rfc9000#14.4. */
export const MTU_PROBE = 64;

const ELICITING_IN_FLIGHT = ACK_ELICITING | IN_FLIGHT;
/** Enough for a handshake: most connections of a busy server are idle, and each has three of these. */
const INITIAL_CAPACITY = 8;

export class SentPackets implements RecordSink {
  // Capacities are powers of two, so that an index is a mask away; `&` is exact on numbers beyond 2^32 as well.
  #mask = -1;
  #time = NUMBERS;
  #firstRecord = NUMBERS;
  /** The outstanding packets before and after, −1 for none. */
  #before = NUMBERS;
  #after = NUMBERS;
  #bytes = INTEGERS;
  #recordCount = INTEGERS;
  #flags = BYTES;
  #ecn = BYTES;

  /** For rates of delivery, by slot; null where nobody measures them. */
  snapshots: SendSnapshots | null = null;

  #recordMask = -1;
  #a = NUMBERS;
  #b = NUMBERS;
  #c = NUMBERS;
  #kind = BYTES;
  #recordsFrom = 0;
  #recordsTo = 0;

  /** Lowest outstanding number, −1 for none. */
  first = -1;
  #last = -1;
  /** One past the highest number sent. */
  next = 0;
  /** Packets that are neither acknowledged nor lost. */
  outstanding = 0;
  /** Of those, ack-eliciting and in flight ones. */
  elicitingInFlight = 0;

  #building = -1;

  /** Numbers from the lowest outstanding one on: what the ring must hold. */
  get span(): number {
    return this.first < 0 ? 0 : this.next - this.first;
  }

  /** Whether packets with data must wait. Stops: memory by a peer that never acknowledges. */
  get isFull(): boolean {
    return this.span >= MAX_SENT_PACKETS - RESERVED_SENT_PACKETS;
  }

  /** Whether even ACKs have filled the reserve: the oldest packet has to go. */
  get isOverfull(): boolean {
    return this.span >= MAX_SENT_PACKETS - 2;
  }

  /** Starts packet `pn`; numbers left out were skipped on purpose. */
  begin(pn: number): void {
    if (this.#mask < 0) this.#grow();
    if (this.first >= 0) {
      while (pn - this.first > this.#mask) this.#grow();
      for (let skipped = this.next; skipped < pn; skipped++) this.#flags[skipped & this.#mask] = 0;
    }
    const i = pn & this.#mask;
    this.#flags[i] = 0;
    this.#firstRecord[i] = this.#recordsTo;
    this.#recordCount[i] = 0;
    this.#building = pn;
  }

  /** Belongs to the packet that was begun. */
  addRecord(kind: number, a: number, b: number, c: number): void {
    if (this.#recordsTo - this.#recordsFrom > this.#recordMask) this.#growRecords();
    const i = this.#recordsTo++ & this.#recordMask;
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
    if (this.snapshots !== null) this.snapshots.flags[i] = 0;
    this.#before[i] = this.#last;
    this.#after[i] = -1;
    if (this.#last < 0) this.first = pn;
    else this.#after[this.#last & this.#mask] = pn;
    this.#last = pn;
    this.next = pn + 1;
    this.outstanding++;
    if (eliciting && inFlight) this.elicitingInFlight++;
    this.#building = -1;
  }

  /** The outstanding packet that was sent after `pn`, −1 for none. */
  after(pn: number): number {
    return this.#after[pn & this.#mask]!;
  }

  /** SENT and more for an outstanding packet, ACKED or 0 for another. */
  flags(pn: number): number {
    return this.first >= 0 && pn >= this.first && pn < this.next ? this.#flags[pn & this.#mask]! : 0;
  }

  /** Where `snapshots` has the packet. */
  slot(pn: number): number {
    return pn & this.#mask;
  }

  /** Starts to keep snapshots, without any of what is outstanding, or stops. */
  keepSnapshots(keep: boolean): void {
    this.snapshots = keep ? new SendSnapshots(this.#mask + 1) : null;
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

  /** The packet that has just left is of a kind. */
  markLast(flag: number): void {
    this.setFlag(this.next - 1, flag);
  }

  /** Calls `each` with every record of `pn`, in order. It must not add any. */
  records(pn: number, each: (kind: number, a: number, b: number, c: number) => void): void {
    const i = pn & this.#mask;
    const first = this.#firstRecord[i]!;
    const count = this.#recordCount[i]!;
    for (let k = 0; k < count; k++) {
      const at = (first + k) & this.#recordMask;
      each(this.#kind[at]!, this.#a[at]!, this.#b[at]!, this.#c[at]!);
    }
  }

  /** Whether one of the packets between two outstanding or just forgotten ones was acknowledged. */
  ackedBetween(low: number, high: number): boolean {
    for (let pn = low + 1; pn < high; pn++) if ((this.#flags[pn & this.#mask]! & ACKED) !== 0) return true;
    return false;
  }

  /** `pn`, which is outstanding, was acknowledged: nothing of it is kept. */
  acknowledge(pn: number): void {
    this.#settle(pn, ACKED);
  }

  /** `pn`, which is outstanding, was lost or does not matter any more. */
  forget(pn: number): void {
    this.#settle(pn, 0);
  }

  #settle(pn: number, flags: number): void {
    const i = pn & this.#mask;
    this.outstanding--;
    if ((this.#flags[i]! & ELICITING_IN_FLIGHT) === ELICITING_IN_FLIGHT) this.elicitingInFlight--;
    this.#flags[i] = flags;
    const before = this.#before[i]!;
    const after = this.#after[i]!;
    if (after < 0) this.#last = before;
    else this.#before[after & this.#mask] = before;
    if (before >= 0) this.#after[before & this.#mask] = after;
    else {
      this.first = after;
      this.#recordsFrom = after < 0 ? this.#recordsEnd() : this.#firstRecord[after & this.#mask]!;
    }
  }

  /** Forgets everything; numbers go on. */
  clear(): void {
    this.first = this.#last = -1;
    this.outstanding = this.elicitingInFlight = 0;
    this.#recordsFrom = this.#recordsEnd();
  }

  /** Where the records of settled packets end: a packet that is being written keeps its own. */
  #recordsEnd(): number {
    return this.#building < 0 ? this.#recordsTo : this.#firstRecord[this.#building & this.#mask]!;
  }

  /** One piece of memory for all columns: the objects around them are what an idle connection pays for. */
  #grow(): void {
    const old = this.#mask;
    const size = old < 0 ? INITIAL_CAPACITY : 2 * (old + 1);
    const mask = size - 1;
    const memory = new ArrayBuffer(size * 42);
    const move = <T extends Column>(from: T, to: T): T => {
      for (let pn = this.first; pn >= 0 && pn < this.next; pn++) to[pn & mask] = from[pn & old]!;
      return to;
    };
    this.#time = move(this.#time, new Float64Array(memory, 0, size));
    this.#firstRecord = move(this.#firstRecord, new Float64Array(memory, 8 * size, size));
    this.#before = move(this.#before, new Float64Array(memory, 16 * size, size));
    this.#after = move(this.#after, new Float64Array(memory, 24 * size, size));
    this.#bytes = move(this.#bytes, new Int32Array(memory, 32 * size, size));
    this.#recordCount = move(this.#recordCount, new Int32Array(memory, 36 * size, size));
    this.#flags = move(this.#flags, new Uint8Array(memory, 40 * size, size));
    this.#ecn = move(this.#ecn, new Uint8Array(memory, 41 * size, size));
    const { snapshots } = this;
    if (snapshots !== null) {
      this.snapshots = new SendSnapshots(size);
      for (let pn = this.first; pn >= 0 && pn < this.next; pn++) {
        this.snapshots.copy(pn & mask, snapshots, pn & old);
      }
    }
    this.#mask = mask;
  }

  #growRecords(): void {
    const old = this.#recordMask;
    const size = old < 0 ? 2 * INITIAL_CAPACITY : 2 * (old + 1);
    const mask = size - 1;
    const memory = new ArrayBuffer(size * 25);
    const move = <T extends Column>(from: T, to: T): T => {
      for (let i = this.#recordsFrom; i < this.#recordsTo; i++) to[i & mask] = from[i & old]!;
      return to;
    };
    this.#a = move(this.#a, new Float64Array(memory, 0, size));
    this.#b = move(this.#b, new Float64Array(memory, 8 * size, size));
    this.#c = move(this.#c, new Float64Array(memory, 16 * size, size));
    this.#kind = move(this.#kind, new Uint8Array(memory, 24 * size, size));
    this.#recordMask = mask;
  }

  /** Forgets all, memory included: the space is over. */
  release(): void {
    this.clear();
    this.#mask = this.#recordMask = -1;
    this.#recordsFrom = this.#recordsTo = 0;
    this.#time = this.#firstRecord = this.#before = this.#after = this.#a = this.#b = this.#c = NUMBERS;
    this.#bytes = this.#recordCount = INTEGERS;
    this.#flags = this.#ecn = this.#kind = BYTES;
    this.snapshots = null;
  }
}

type Column = Uint8Array | Int32Array | Float64Array;
const NUMBERS = new Float64Array(0);
const INTEGERS = new Int32Array(0);
const BYTES = new Uint8Array(0);
