// Push IDs, rfc9114#4.6: which may be used, which were, and for what.

import { checkPushId, type PushIds } from "./control-stream.ts";
import { Http3ConnectionError } from "./errors.ts";
import { FRAME } from "./frames.ts";
import type { Field } from "./qpack/field.ts";

interface Promised {
  /** The request's fields as they were promised first. */
  readonly fields: readonly Field[] | null;
  opened: boolean;
}

/**
 * A client's account of pushes. What is kept is bounded by the push IDs it allows: it allows more as it is done with
 * others.
 */
export class ClientPushes implements PushIds {
  #max = -1;
  readonly #pushes = new Map<number, Promised>();
  /** IDs below it are done with. */
  #done = 0;
  readonly #doneAbove = new Set<number>();

  /** The largest push ID allowed so far; -1 for none. */
  get max(): number {
    return this.#max;
  }

  /** The smallest push ID that is not done with. */
  get oldest(): number {
    return this.#done;
  }

  /** Whether a push's stream has come. */
  isOpen(id: number): boolean {
    return this.#pushes.get(id)?.opened === true;
  }

  /** Allows push IDs up to `max`, as a MAX_PUSH_ID frame will say; never fewer than before. */
  allow(max: number): void {
    if (max > this.#max) this.#max = max;
  }

  promised(id: number): boolean {
    return this.#isDone(id) || (this.#pushes.get(id)?.fields ?? null) !== null;
  }

  /**
   * A PUSH_PROMISE came.
   *
   * @returns whether the push is new; an ID that is done with is ignored
   * @throws {Http3ConnectionError} H3_ID_ERROR, H3_GENERAL_PROTOCOL_ERROR
   */
  promise(id: number, fields: readonly Field[]): boolean {
    checkPushId(FRAME.PUSH_PROMISE, id, this.#max);
    if (this.#isDone(id)) return false;
    const known = this.#pushes.get(id);
    const before = known?.fields ?? null;
    if (before === null) {
      this.#pushes.set(id, { fields, opened: known?.opened ?? false });
      return true;
    }
    // rfc9114#7.2.5 the decompressed request header sets MUST contain the same fields in the same order, and both the name
    // and the value in each field MUST be exact matches. If a client receives a push ID that has already been promised and
    // detects a mismatch, it MUST respond with a connection error of type H3_GENERAL_PROTOCOL_ERROR.
    // rfc9114#4.6 When the same push ID is promised on multiple request streams, the decompressed request field sections
    // MUST contain the same fields in the same order.
    const same =
      before.length === fields.length &&
      fields.every(({ name, value }, i) => name === before[i]!.name && value === before[i]!.value);
    if (!same) {
      throw new Http3ConnectionError("H3_GENERAL_PROTOCOL_ERROR", `push ${id} is promised with other fields`);
    }
    return false;
  }

  /**
   * A push stream's header came.
   *
   * @returns whether the push is wanted still
   * @throws {Http3ConnectionError} H3_ID_ERROR
   */
  open(id: number): boolean {
    checkPushId(FRAME.PUSH_PROMISE, id, this.#max);
    const known = this.#pushes.get(id);
    // rfc9114#6.2.2 Each push ID MUST only be used once in a push stream header. If a client detects that a push stream
    // header includes a push ID that was used in another push stream header, the client MUST treat this as a connection
    // error of type H3_ID_ERROR.
    if (known?.opened === true) {
      throw new Http3ConnectionError("H3_ID_ERROR", `a second stream for push ${id}`);
    }
    if (this.#isDone(id)) return false;
    if (known === undefined) this.#pushes.set(id, { fields: null, opened: true });
    else known.opened = true;
    return true;
  }

  /** A push was read to its end, cancelled or refused: it takes no more memory. */
  done(id: number): void {
    this.#pushes.delete(id);
    if (this.#isDone(id)) return;
    this.#doneAbove.add(id);
    while (this.#doneAbove.delete(this.#done)) this.#done++;
  }

  #isDone(id: number): boolean {
    return id < this.#done || this.#doneAbove.has(id);
  }
}

/** A server's account of pushes: it promises them in order. */
export class ServerPushes implements PushIds {
  #max = -1;
  #next = 0;
  #stopped = false;

  get max(): number {
    return this.#max;
  }

  promised(id: number): boolean {
    return id < this.#next;
  }

  /** The client said MAX_PUSH_ID. */
  allowed(max: number): void {
    this.#max = max;
  }

  /** Whether `take` has one to give. */
  get available(): boolean {
    return !this.#stopped && this.#next <= this.#max;
  }

  /** The client said GOAWAY: rfc9114#5.2 Endpoints MUST NOT promise new pushes after receipt of a GOAWAY frame. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * The next push ID, or null where there is none to be had.
   *
   * rfc9114#7.2.5 A server MUST NOT use a push ID that is larger than the client has provided in a MAX_PUSH_ID frame.
   */
  take(): number | null {
    return this.available ? this.#next++ : null;
  }
}
