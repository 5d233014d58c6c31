// Connection IDs of both sides: rfc9000#5.1, rfc9000#19.15, rfc9000#19.16.

import { bytesEqual, constantTimeEqual } from "../protocol/bytes.ts";
import {
  CONNECTION_ID_LIMIT_ERROR,
  FRAME_NEW_CONNECTION_ID,
  FRAME_RETIRE_CONNECTION_ID,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import {
  ACTIVE_CONNECTION_ID_LIMIT,
  MAX_PENDING_RETIREMENTS,
  MAX_REMEMBERED_RETIREMENTS,
  MAX_RETIRED_CONNECTION_IDS,
  MIN_STATELESS_RESET,
  RETIRED_CONNECTION_ID_TIME,
} from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";
import { NO_BYTES, smallCopy } from "../protocol/small-bytes.ts";
import {
  REC_NEW_CONNECTION_ID,
  REC_RETIRE_CONNECTION_ID,
  type RecordSink,
} from "../recovery/sent-packets.ts";
import { newConnectionIdLength, writeNewConnectionId, writeNumberFrame } from "../wire/frame-writers.ts";
import { varintLength } from "../wire/varint.ts";
import { type CidRefusal, newCidError, retireError } from "./cid-errors.ts";
import { type CidGenerator, cidGenerator } from "./cid-generator.ts";
import { RESET_TOKEN_LENGTH, type ResetTokenSource } from "./reset-token.ts";

export { type CidGenerator, cidGenerator };

/** Tells the owner which connection IDs route here. */
export interface LocalCidHost {
  addCid(cid: Uint8Array): void;
  removeCid(cid: Uint8Array): void;
}

export interface LocalCidsOptions {
  readonly generator: CidGenerator;
  readonly random: RandomSource;
  readonly resetToken: ResetTokenSource;
  readonly host: LocalCidHost;
  /** At a server the client's first DCID: its Initials come there until the client has ours. */
  readonly original?: Uint8Array | null;
  /** Most connection IDs to issue, whatever the peer allows. */
  readonly limit?: number;
}

interface LocalCid {
  readonly sequence: number;
  readonly cid: Uint8Array;
  readonly token: Uint8Array;
  /** Its NEW_CONNECTION_ID frame is due. */
  due: boolean;
}

interface RetiredCid {
  readonly cid: Uint8Array;
  readonly until: number;
}

/** The connection IDs the peer may send to. */
export class LocalCids {
  /** Bytes of each: where the packet number of a short header begins. */
  readonly length: number;
  /** Sequence 0, our SCID in long headers. */
  readonly handshakeCid: Uint8Array;
  readonly #generator: CidGenerator;
  readonly #random: RandomSource;
  readonly #resetToken: ResetTokenSource;
  readonly #host: LocalCidHost;
  readonly #limit: number;
  /** rfc9000#18.2 active_connection_id_limit: 2 where the peer says nothing. */
  #peerLimit = 2;
  #nextSequence = 0;
  /** What lies below it the peer has been told to retire. */
  #retirePriorTo = 0;
  /** Sequence numbers the peer can know: that of the handshake, and of frames that left. */
  #told = 0;
  #active: LocalCid[] = [];
  #retired: RetiredCid[] = [];
  #original: Uint8Array | null;
  #due = 0;
  /** Hears of those that the peer retires. */
  onRetired: ((sequence: number, cid: Uint8Array) => void) | null = null;

  constructor(options: LocalCidsOptions) {
    this.#generator = options.generator;
    this.#random = options.random;
    this.#resetToken = options.resetToken;
    this.#host = options.host;
    this.#limit = options.limit ?? ACTIVE_CONNECTION_ID_LIMIT;
    this.length = options.generator.length;
    this.#original = options.original ?? null;
    if (this.#original !== null) this.#host.addCid(this.#original);
    this.handshakeCid = this.#issueOne(false).cid;
  }

  /** The reset token of sequence 0, for the server's transport parameters. rfc9000#18.2 */
  get handshakeResetToken(): Uint8Array {
    return this.#resetTokenOfHandshake;
  }
  #resetTokenOfHandshake: Uint8Array = NO_BYTES;

  /** How many the peer may use now. */
  get activeCount(): number {
    return this.#active.length;
  }

  /** rfc9000#5.1.1 an endpoint MUST NOT provide more connection IDs than the peer's limit. */
  setPeerLimit(limit: number): void {
    this.#peerLimit = limit;
  }

  /** rfc9000#5.1.1 an endpoint SHOULD ensure that its peer has a sufficient number of available connection IDs. */
  issue(now: number): void {
    this.#forget(now);
    if (this.length === 0) return;
    let valid = this.#active.length;
    for (const entry of this.#active) if (entry.sequence < this.#retirePriorTo) valid--;
    for (; valid < Math.min(this.#peerLimit, this.#limit); valid++) this.#issueOne(true);
  }

  /** rfc9000#5.1.1 If the preferred_address transport parameter is sent, the sequence number of the supplied connection ID is 1. */
  issuePreferred(): { connectionId: Uint8Array; statelessResetToken: Uint8Array } {
    const { cid, token, sequence } = this.#issueOne(false);
    this.#told = sequence;
    return { connectionId: cid, statelessResetToken: token };
  }

  /** Those that the peer may use, and has not been asked to retire. */
  get values(): Uint8Array[] {
    return this.#active.map(({ cid }) => cid);
  }

  /**
   * Has the peer use new ones. rfc9000#5.1.2 An endpoint can cause its peer to retire connection IDs by sending a
   * NEW_CONNECTION_ID frame with an increased Retire Prior To field.
   * @returns false where it is still at it, or there are none.
   */
  renew(now: number): boolean {
    // rfc9000#5.1.1 one MAY exceed the peer's limit for as long as it takes to retire the excess: once, not again and again.
    if (this.length === 0 || this.#active.some(({ sequence }) => sequence < this.#retirePriorTo))
      return false;
    this.#retirePriorTo = this.#nextSequence;
    this.issue(now);
    return true;
  }

  /** Ours of that number, null where the peer has retired it. */
  bytesOf(sequence: number): Uint8Array | null {
    for (const entry of this.#active) if (entry.sequence === sequence) return entry.cid;
    return null;
  }

  /** How many more the peer takes. rfc9000#5.1.1 */
  get left(): number {
    return this.length === 0 ? 0 : Math.max(0, this.#peerLimit - this.#active.length);
  }

  /**
   * Issues one of the application's choice, which routes to no other connection.
   * @param retire where the peer holds as many as it takes, have it retire the oldest.
   * @returns its sequence number, or why not.
   */
  provide(cid: Uint8Array, token: Uint8Array | null, retire: boolean): number | CidRefusal {
    if (this.length === 0 || cid.length !== this.length) return "length";
    const oldest = this.#active.reduce((least, { sequence }) => Math.min(least, sequence), Infinity);
    if (oldest < this.#retirePriorTo) return "retiring";
    if (this.left === 0) {
      if (!retire) return "limit";
      // rfc9000#5.1.1 one MAY exceed the peer's limit if the frame also requires the retirement of any excess.
      this.#retirePriorTo = oldest + 1;
    }
    return this.#issueOne(true, cid, token).sequence;
  }

  /**
   * The peer's RETIRE_CONNECTION_ID. `usedSequence` is the connection ID that the packet with the frame was sent to.
   * The retired one goes on routing for a while: packets sent to it may still be on their way.
   */
  onRetire(sequence: number, usedSequence: number, now: number): void {
    // rfc9000#5.1.1 When an endpoint issues a connection ID, it MUST accept packets that carry this connection ID for
    // the duration of the connection or until its peer invalidates the …
    // rfc9000#19.16 receipt of a RETIRE_CONNECTION_ID frame containing a sequence number greater than any previously
    // sent to the peer MUST be treated as a connection error of type PROTOCOL_VIOLATION.
    // Sent, not issued: a peer that guesses the next ones would have us make new ones as fast as it can write frames.
    if (sequence > this.#told) throw retireError("of a connection ID that was never issued");
    // rfc9000#19.16 an endpoint cannot send this frame if its peer provided it with a zero-length connection ID.
    if (this.length === 0) throw retireError("of a zero-length connection ID");
    // rfc9000#19.16 the sequence number MUST NOT refer to the Destination Connection ID field of the packet in which
    // the frame is contained.
    if (sequence === usedSequence) throw retireError("of the connection ID that its packet was sent to");
    const at = this.#active.findIndex((entry) => entry.sequence === sequence);
    if (at < 0) return;
    const [entry] = this.#active.splice(at, 1);
    if (entry!.due) {
      entry!.due = false;
      this.#due--;
    }
    this.#retired.push({ cid: entry!.cid, until: now + RETIRED_CONNECTION_ID_TIME });
    this.onRetired?.(sequence, entry!.cid);
    // rfc9000#5.1.1 an endpoint SHOULD supply a new connection ID when the peer retires a connection ID.
    this.issue(now);
  }

  /** The sequence number of the connection ID at `buf[offset, +length)`; -1 for one that is not active (any more). */
  sequenceOf(buf: Uint8Array, offset: number): number {
    const length = this.length;
    for (const entry of this.#active) {
      const cid = entry.cid;
      let i = 0;
      while (i < length && cid[i] === buf[offset + i]) i++;
      if (i === length) return entry.sequence;
    }
    return -1;
  }

  /**
   * The client uses our connection ID by now. Copies of its first packets may still be on their way, and would begin a
   * connection that nobody wants if nothing were known of them.
   */
  retireOriginal(now: number): void {
    if (this.#original === null) return;
    this.#retired = this.#retired.concat({ cid: this.#original, until: now + RETIRED_CONNECTION_ID_TIME });
    this.#original = null;
  }

  get hasFrames(): boolean {
    return this.#due > 0;
  }

  writeFrames(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    if (this.#due === 0) return pos;
    for (const entry of this.#active) {
      if (!entry.due) continue;
      // rfc9000#19.15 The value in the Retire Prior To field MUST be less than or equal to the value in the Sequence Number
      // field.
      const retire = Math.min(this.#retirePriorTo, entry.sequence);
      if (pos + newConnectionIdLength(entry.sequence, retire, entry.cid.length) > limit) break;
      pos = writeNewConnectionId(buf, pos, entry.sequence, retire, entry.cid, entry.token);
      records.addRecord(REC_NEW_CONNECTION_ID, entry.sequence, 0, 0);
      if (entry.sequence > this.#told) this.#told = entry.sequence;
      entry.due = false;
      this.#due--;
    }
    return pos;
  }

  /** rfc9000#13.3 NEW_CONNECTION_ID frames are retransmitted if the packet containing them is lost. */
  onLost(sequence: number): void {
    const entry = this.#active.find((candidate) => candidate.sequence === sequence);
    if (entry === undefined || entry.due) return;
    entry.due = true;
    this.#due++;
  }

  /** The connection is gone: nothing routes to it any more. */
  removeAll(): void {
    if (this.#original !== null) this.#host.removeCid(this.#original);
    this.#original = null;
    for (const entry of this.#active) this.#host.removeCid(entry.cid);
    for (const entry of this.#retired) this.#host.removeCid(entry.cid);
    this.#active = [];
    this.#retired = [];
    this.#due = 0;
  }

  #issueOne(due: boolean, given?: Uint8Array, givenToken: Uint8Array | null = null): LocalCid {
    // rfc9000#5.1 As a trivial example, this means the same connection ID MUST NOT be issued more than once on the
    // same connection.
    const drawn = given ?? this.#generator.generate(this.#random);
    const { cid, token } = packed(drawn, givenToken ?? this.#resetToken(drawn));
    const entry: LocalCid = { sequence: this.#nextSequence++, cid, token, due };
    if (entry.sequence === 0) this.#resetTokenOfHandshake = entry.token;
    // Not pushed: an array that grows has room for 17, and connections are many.
    this.#active = this.#active.concat(entry);
    if (due) this.#due++;
    this.#host.addCid(cid);
    return entry;
  }

  #forget(now: number): void {
    while (this.#retired.length > 0) {
      if (this.#retired.length <= MAX_RETIRED_CONNECTION_IDS && this.#retired[0]!.until > now) return;
      this.#host.removeCid(this.#retired.shift()!.cid);
    }
  }
}

/** Copies that cost little: connections have eight such pairs. */
function packed(cid: Uint8Array, token: Uint8Array): { cid: Uint8Array; token: Uint8Array } {
  return { cid: smallCopy(cid), token: smallCopy(token) };
}

/** Tells the owner which stateless reset tokens end this connection. */
export interface RemoteCidHost {
  addResetToken(token: Uint8Array): void;
  removeResetToken(token: Uint8Array): void;
}

export interface RemoteCidsOptions {
  /** The peer's SCID at a server; the random first DCID at a client until the server's is known. */
  readonly initial: Uint8Array;
  readonly host: RemoteCidHost;
  /** Our active_connection_id_limit. */
  readonly limit?: number;
}

interface RemoteCid {
  readonly sequence: number;
  readonly cid: Uint8Array;
  token: Uint8Array | null;
  used: boolean;
}

/** The connection IDs the peer gave us to send to. */
export class RemoteCids {
  /** The DCID of what we send. */
  current: Uint8Array;
  currentSequence = 0;
  readonly #host: RemoteCidHost;
  readonly #limit: number;
  #active: RemoteCid[];
  /** Highest Retire Prior To so far. */
  #retirePriorTo = 0;
  /** RETIRE_CONNECTION_ID frames that are due (true) or on their way (false), until acknowledged. */
  #retiring: Map<number, boolean> | null = null;
  #due = 0;
  /** Sequence numbers we retired on our own at or above #retirePriorTo: their frames may come again. */
  #ownRetired: number[] = [];
  /** Hears of those that are given back, by our own wish or the peer's. */
  onRetired: ((sequence: number, cid: Uint8Array) => void) | null = null;

  constructor(options: RemoteCidsOptions) {
    this.#host = options.host;
    this.#limit = options.limit ?? ACTIVE_CONNECTION_ID_LIMIT;
    this.current = options.initial;
    this.#active = [{ sequence: 0, cid: options.initial, token: null, used: true }];
  }

  /** How many we hold, the one in use included. */
  get activeCount(): number {
    return this.#active.length;
  }

  /** Whether the peer chose to have none. */
  get isZeroLength(): boolean {
    return this.current.length === 0;
  }

  /**
   * The DCID changes during the handshake: rfc9000#7.2 to the Source Connection ID of the first Initial or Retry packet
   * that the client gets from the server.
   */
  setInitial(cid: Uint8Array): void {
    this.current = cid;
    this.#active[0] = { sequence: 0, cid, token: this.#active[0]!.token, used: true };
  }

  /** stateless_reset_token of the server's transport parameters: belongs to sequence 0. */
  setInitialResetToken(token: Uint8Array): void {
    const first = this.#active.find((entry) => entry.sequence === 0);
    if (first === undefined) return;
    first.token = token;
    this.#host.addResetToken(token);
  }

  /** rfc9000#5.1.1 the connection ID of the preferred_address transport parameter has sequence number 1. */
  onPreferredAddress(cid: Uint8Array, token: Uint8Array): void {
    this.#add(1, cid, token);
  }

  onNewConnectionId(sequence: number, retirePriorTo: number, cid: Uint8Array, token: Uint8Array): void {
    // rfc9000#19.15 an endpoint that is sending packets with a zero-length Destination Connection ID MUST treat
    // receipt of a NEW_CONNECTION_ID frame as a connection error of type PROTOCOL_VIOLATION.
    if (this.isZeroLength) throw newCidError("although the peer chose a zero-length connection ID");
    this.#add(sequence, cid, token);
    if (retirePriorTo > this.#retirePriorTo) {
      // rfc9000#19.15 a receiver MUST ignore any Retire Prior To fields that do not increase the largest received.
      this.#retirePriorTo = retirePriorTo;
      this.#ownRetired = this.#ownRetired.filter((own) => own >= retirePriorTo);
      this.#retireBelow(retirePriorTo);
    }
    // rfc9000#5.1.1 after processing a NEW_CONNECTION_ID frame and adding and retiring active connection IDs, if the
    // number of active connection IDs exceeds the value advertised in its active_connection_id_limit, an endpoint MUST
    // close the connection with an error of type CONNECTION_ID_LIMIT_ERROR.
    if (this.#active.length > this.#limit) {
      throw new TransportError(
        CONNECTION_ID_LIMIT_ERROR,
        "more connection IDs than active_connection_id_limit",
        {
          frameType: FRAME_NEW_CONNECTION_ID,
        },
      );
    }
  }

  #add(sequence: number, cid: Uint8Array, token: Uint8Array): void {
    for (const entry of this.#active) {
      const sameCid = bytesEqual(entry.cid, cid);
      if (entry.sequence === sequence) {
        // rfc9000#19.15 transmission errors, timeouts, and retransmissions might cause the same frame to come twice;
        // if a sequence number is used for different connection IDs, or the token differs: PROTOCOL_VIOLATION.
        const sameToken = entry.token !== null && constantTimeEqual(entry.token, token);
        if (sameCid && sameToken) return;
        throw newCidError("that contradicts an earlier one");
      }
      if (sameCid) throw newCidError("that repeats a connection ID under another sequence number");
    }
    if (sequence < this.#retirePriorTo) {
      // rfc9000#19.15 an endpoint that receives a NEW_CONNECTION_ID frame with a sequence number smaller than the
      // Retire Prior To field of a previously received NEW_CONNECTION_ID frame MUST send a RETIRE_CONNECTION_ID.
      this.#queueRetire(sequence);
      return;
    }
    if (this.#ownRetired.includes(sequence)) return;
    this.#active = this.#active.concat({ sequence, ...packed(cid, token), used: false });
  }

  /** rfc9000#5.1.2 the endpoint MUST stop using the corresponding connection IDs and retire them. */
  #retireBelow(sequence: number): void {
    const gone = this.#active.filter((entry) => entry.sequence < sequence);
    if (gone.length === 0) return;
    this.#active = this.#active.filter((entry) => entry.sequence >= sequence);
    for (const entry of gone) this.#drop(entry);
    if (this.currentSequence < sequence) this.#use(this.#unused());
  }

  /**
   * Starts using another connection ID, and retires the one in use: rfc9000#9.5 an endpoint MUST NOT reuse a connection
   * ID when sending to more than one destination address. False where the peer gave no other.
   */
  rotate(): boolean {
    const next = this.#unused();
    if (next === undefined) return false;
    const at = this.#active.findIndex((entry) => entry.sequence === this.currentSequence);
    this.#forget(at);
    this.#use(next);
    return true;
  }

  /** The peer's connection ID of that number, null where it is gone. */
  bytesOf(sequence: number): Uint8Array | null {
    for (const entry of this.#active) if (entry.sequence === sequence) return entry.cid;
    return null;
  }

  /**
   * Sets one aside for a path of its own: rfc9000#9.5 an endpoint MUST NOT reuse a connection ID when sending from more than
   * one local address, or to more than one destination address. Gives its number, −1 where the peer gave no other.
   */
  take(): number {
    const next = this.#unused();
    if (next === undefined) return -1;
    this.#mark(next);
    return next.sequence;
  }

  /** The one that was taken is the one to use; what was in use is still valid. False where the peer has retired it. */
  switchTo(sequence: number): boolean {
    const entry = this.#active.find((each) => each.sequence === sequence);
    if (entry === undefined) return false;
    this.current = entry.cid;
    this.currentSequence = sequence;
    return true;
  }

  /**
   * Gives the one of that number back, in use or not. False where there is no such, or no other to go on with, or where a path
   * besides the active one uses it.
   */
  retire(sequence: number): boolean {
    if (this.isZeroLength) return false;
    if (sequence === this.currentSequence) return this.rotate();
    const at = this.#active.findIndex((entry) => entry.sequence === sequence);
    if (at < 0 || this.#active[at]!.used) return false;
    this.#forget(at);
    return true;
  }

  /** One that was taken is not needed any more. */
  release(sequence: number): void {
    const at = this.#active.findIndex((entry) => entry.sequence === sequence);
    if (at < 0 || sequence === this.currentSequence) return;
    this.#forget(at);
  }

  #forget(at: number): void {
    const [old] = this.#active.splice(at, 1);
    if (this.#ownRetired.length >= MAX_REMEMBERED_RETIREMENTS) this.#ownRetired.shift();
    this.#ownRetired.push(old!.sequence);
    this.#drop(old!);
  }

  #unused(): RemoteCid | undefined {
    let best: RemoteCid | undefined;
    for (const entry of this.#active) {
      if (!entry.used && (best === undefined || entry.sequence < best.sequence)) best = entry;
    }
    return best;
  }

  #use(entry: RemoteCid | undefined): void {
    // The frame that retires the last one brings another: its sequence number is not below its Retire Prior To.
    if (entry === undefined) throw newCidError("that retires every connection ID");
    this.#mark(entry);
    this.current = entry.cid;
    this.currentSequence = entry.sequence;
  }

  #mark(entry: RemoteCid): void {
    entry.used = true;
    // rfc9000#10.3.1 an endpoint MUST NOT check for any stateless reset tokens associated with connection IDs it has
    // not used or for connection IDs that have been retired.
    if (entry.token !== null) this.#host.addResetToken(entry.token);
  }

  #drop(entry: RemoteCid): void {
    if (entry.used && entry.token !== null) this.#host.removeResetToken(entry.token);
    this.#queueRetire(entry.sequence);
    this.onRetired?.(entry.sequence, entry.cid);
  }

  #queueRetire(sequence: number): void {
    // rfc9000#5.1.2 An endpoint MUST NOT forget a connection ID without retiring it, though it MAY choose to treat
    // having connection IDs in need of retirement that exceed this limit …
    const retiring = (this.#retiring ??= new Map());
    if (retiring.has(sequence)) return;
    // rfc9000#5.1.2 an endpoint SHOULD limit the number of connection IDs it has retired locally for which
    // RETIRE_CONNECTION_ID frames have not yet been acknowledged; beyond it, CONNECTION_ID_LIMIT_ERROR.
    if (retiring.size >= MAX_PENDING_RETIREMENTS) {
      throw new TransportError(CONNECTION_ID_LIMIT_ERROR, "too many connection IDs to retire at once", {
        frameType: FRAME_NEW_CONNECTION_ID,
      });
    }
    retiring.set(sequence, true);
    this.#due++;
  }

  get hasFrames(): boolean {
    return this.#due > 0;
  }

  writeFrames(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    if (this.#due === 0 || this.#retiring === null) return pos;
    for (const [sequence, due] of this.#retiring) {
      if (!due) continue;
      if (pos + 1 + varintLength(sequence) > limit) break;
      pos = writeNumberFrame(buf, pos, FRAME_RETIRE_CONNECTION_ID, sequence);
      records.addRecord(REC_RETIRE_CONNECTION_ID, sequence, 0, 0);
      this.#retiring.set(sequence, false);
      this.#due--;
    }
    return pos;
  }

  onAcked(sequence: number): void {
    if (this.#retiring?.get(sequence) === true) this.#due--;
    this.#retiring?.delete(sequence);
  }

  /** rfc9000#13.3 RETIRE_CONNECTION_ID frames are retransmitted if the packet containing them is lost. */
  onLost(sequence: number): void {
    if (this.#retiring?.get(sequence) !== false) return;
    this.#retiring.set(sequence, true);
    this.#due++;
  }

  /**
   * Whether the datagram that ends at `end` ends in the token of a connection ID in use: for datagrams that reached the
   * connection and did not open. rfc9000#10.3.1 the comparison MUST be performed when the first packet in an incoming
   * datagram cannot be decrypted, and without leaking information about the value of the token.
   */
  isStatelessReset(buf: Uint8Array, start: number, end: number): boolean {
    if (end - start < MIN_STATELESS_RESET) return false;
    let found = false;
    for (const entry of this.#active) {
      if (!entry.used || entry.token === null) continue;
      let difference = 0;
      for (let i = 0; i < RESET_TOKEN_LENGTH; i++) {
        difference |= entry.token[i]! ^ buf[end - RESET_TOKEN_LENGTH + i]!;
      }
      if (difference === 0) found = true;
    }
    return found;
  }

  /** The token in use, null where the peer gave none: to be registered anew when the peer's address changes. */
  get currentResetToken(): Uint8Array | null {
    return this.#active.find((entry) => entry.sequence === this.currentSequence)?.token ?? null;
  }

  /** The connection is gone: no token ends it any more. */
  removeAll(): void {
    for (const entry of this.#active) {
      if (entry.used && entry.token !== null) this.#host.removeResetToken(entry.token);
      entry.token = null;
    }
  }
}
