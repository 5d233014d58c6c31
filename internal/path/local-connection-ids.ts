// Connection IDs that we issue, for the peer to send to: rfc9000#5.1.1. NEW_CONNECTION_ID (rfc9000#19.15) goes out,
// RETIRE_CONNECTION_ID (rfc9000#19.16) comes in; what is retired routes for a while longer.

import {
  ACTIVE_CONNECTION_ID_LIMIT,
  MAX_RETIRED_CONNECTION_IDS,
  RETIRED_CONNECTION_ID_TIME,
} from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";
import { NO_BYTES, smallCopy } from "../protocol/small-bytes.ts";
import { REC_NEW_CONNECTION_ID, type RecordSink } from "../recovery/sent-packets.ts";
import { newConnectionIdLength, writeNewConnectionId } from "../wire/frame-writers.ts";
import { type CidRefusal, retireError } from "./cid-errors.ts";
import type { CidGenerator } from "./cid-generator.ts";
import type { ResetTokenSource } from "./reset-token.ts";

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
    const cid = smallCopy(drawn);
    const token = smallCopy(givenToken ?? this.#resetToken(drawn));
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
