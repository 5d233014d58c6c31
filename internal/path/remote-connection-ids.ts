// Connection IDs that the peer issued, for us to send to: rfc9000#5.1.2. NEW_CONNECTION_ID (rfc9000#19.15) comes in,
// RETIRE_CONNECTION_ID (rfc9000#19.16) goes out; their stateless reset tokens count while they are in use (rfc9000#10.3.1).

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
  MIN_STATELESS_RESET,
} from "../protocol/limits.ts";
import { smallCopy } from "../protocol/small-bytes.ts";
import { REC_RETIRE_CONNECTION_ID, type RecordSink } from "../recovery/sent-packets.ts";
import { writeNumberFrame } from "../wire/frame-writers.ts";
import { varintLength } from "../wire/varint.ts";
import { newCidError } from "./cid-errors.ts";
import { RESET_TOKEN_LENGTH } from "./reset-token.ts";

/** Tells the owner which stateless reset tokens end this connection. */
export interface RemoteCidHost {
  addResetToken(token: Uint8Array): void;
  removeResetToken(token: Uint8Array): void;
  /** `current` is another, and the path the same. */
  currentChanged?(): void;
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
    const entry: RemoteCid = { sequence, cid: smallCopy(cid), token: smallCopy(token), used: false };
    this.#active = this.#active.concat(entry);
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
    this.#host.currentChanged?.();
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
