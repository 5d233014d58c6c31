import { Http3ConnectionError } from "./errors.ts";
import { FrameReader } from "./frame-reader.ts";
import {
  decodeGoawayStream,
  decodeId,
  decodeOrigin,
  decodePriorityUpdate,
  FRAME,
  frameName,
  type Role,
} from "./frames.ts";
import { decodeSettings, type Settings } from "./settings.ts";

/** What a peer says on its control stream. Identifiers of 2^53 and more are infinite. */
export type ControlEvent =
  | { readonly kind: "settings"; readonly settings: Settings }
  /** Request streams (at a client) or pushes (at a server) from `id` on will not be served. rfc9114#5.2 */
  | { readonly kind: "goaway"; readonly id: number }
  /** At a server: pushes up to `id` may be promised. rfc9114#7.2.7 */
  | { readonly kind: "max-push-id"; readonly id: number }
  | { readonly kind: "cancel-push"; readonly id: number }
  /** At a server; `value` is to be read as a Priority field. rfc9218#7.2 */
  | {
      readonly kind: "priority-update";
      readonly target: "request" | "push";
      readonly id: number;
      readonly value: string;
    }
  /** At a client. rfc9412#2 */
  | { readonly kind: "origin"; readonly origins: readonly string[] };

/** What the push IDs on a control stream are measured by. */
export interface PushIds {
  /** The largest push ID allowed: what we said as a client, or heard as a server; -1 for none. */
  readonly max: number;
  /** At a server: whether a push was promised. */
  promised(id: number): boolean;
}

const NO_PUSHES: PushIds = { max: -1, promised: () => false };

/**
 * Reads the peer's control stream, and holds it to what it said before.
 *
 * rfc9114#7.2.4 a SETTINGS frame MUST be sent as the first frame of each control stream: the first event is `settings`.
 */
export class ControlStreamReader {
  readonly #reader: FrameReader;
  readonly #receiver: Role;
  readonly #pushes: PushIds;
  #goaway = Infinity;
  #maxPushId = -1;
  /** Told of each frame that is known, before it is looked into: for traces. */
  onFrame: ((type: number, payload: Uint8Array) => void) | null = null;

  /**
   * @param receiver - our own side
   * @param pushes - as it stands when asked; where nobody pushes it may be absent
   */
  constructor(receiver: Role, pushes: PushIds = NO_PUSHES) {
    this.#receiver = receiver;
    this.#pushes = pushes;
    this.#reader = new FrameReader({ stream: "control", receiver });
  }

  /** Gives the next piece, after `next` returned null. */
  push(piece: Uint8Array): void {
    this.#reader.push(piece);
  }

  /**
   * The next event, or null where more bytes are needed.
   *
   * @throws {Http3ConnectionError} for what the peer may not say
   */
  next(): ControlEvent | null {
    const { type, payload } = this.#reader.next() === null ? NOTHING : this.#reader;
    if (type >= 0) this.onFrame?.(type, payload);
    switch (type) {
      case -1:
        return null;
      case FRAME.SETTINGS:
        return { kind: "settings", settings: decodeSettings(payload) };
      case FRAME.GOAWAY:
        return this.#readGoaway(payload);
      case FRAME.MAX_PUSH_ID:
        return this.#readMaxPushId(payload);
      case FRAME.CANCEL_PUSH:
        return this.#readCancelPush(payload);
      case FRAME.ORIGIN:
        return { kind: "origin", origins: decodeOrigin(payload) };
      default: {
        const { id, value } = decodePriorityUpdate(type, payload);
        const target = type === FRAME.PRIORITY_UPDATE ? "request" : "push";
        // rfc9218#7.2 If a server receives a PRIORITY_UPDATE (type=0xF0701) with a push ID that is greater than the maximum
        // push ID or that has not yet been promised, this MUST be treated as a connection error of type H3_ID_ERROR.
        if (target === "push") this.#mustBePromised(type, id);
        return { kind: "priority-update", target, id, value };
      }
    }
  }

  #readGoaway(payload: Uint8Array): ControlEvent {
    const id = this.#receiver === "client" ? decodeGoawayStream(payload) : decodeId(FRAME.GOAWAY, payload);
    // rfc9114#5.2 Receiving a GOAWAY containing a larger identifier than previously received MUST be treated as a
    // connection error of type H3_ID_ERROR.
    if (id > this.#goaway) throw idError(`GOAWAY with ${id} after one with ${this.#goaway}`);
    this.#goaway = id;
    return { kind: "goaway", id };
  }

  #readMaxPushId(payload: Uint8Array): ControlEvent {
    const id = decodeId(FRAME.MAX_PUSH_ID, payload);
    // rfc9114#7.2.7 receipt of a MAX_PUSH_ID frame that contains a smaller value than previously received MUST be treated as
    // a connection error of type H3_ID_ERROR.
    if (id < this.#maxPushId) throw idError(`MAX_PUSH_ID with ${id} after one with ${this.#maxPushId}`);
    this.#maxPushId = id;
    return { kind: "max-push-id", id };
  }

  #readCancelPush(payload: Uint8Array): ControlEvent {
    const id = decodeId(FRAME.CANCEL_PUSH, payload);
    // rfc9114#7.2.3 If a server receives a CANCEL_PUSH frame for a push ID that has not yet been mentioned by a PUSH_PROMISE
    // frame, this MUST be treated as a connection error of type H3_ID_ERROR.
    if (this.#receiver === "server") this.#mustBePromised(FRAME.CANCEL_PUSH, id);
    else checkPushId(FRAME.CANCEL_PUSH, id, this.#pushes.max);
    return { kind: "cancel-push", id };
  }

  #mustBePromised(type: number, id: number): void {
    checkPushId(type, id, this.#pushes.max);
    if (!this.#pushes.promised(id))
      throw idError(`${frameName(type)} for push ${id}, which was not promised`);
  }
}

const NOTHING = { type: -1, payload: new Uint8Array(0) };

function idError(message: string): Http3ConnectionError {
  return new Http3ConnectionError("H3_ID_ERROR", message);
}

/**
 * A push ID that came in a PUSH_PROMISE, a CANCEL_PUSH or a push stream's header.
 *
 * rfc9114#7.2.3 If a CANCEL_PUSH frame is received that references a push ID greater than currently allowed on the
 * connection, this MUST be treated as a connection error of type H3_ID_ERROR.
 * rfc9114#7.2.5 A client MUST treat receipt of a PUSH_PROMISE frame that contains a larger push ID than the client has
 * advertised as a connection error of H3_ID_ERROR.
 * rfc9114#4.6 A client MUST treat receipt of a push stream as a connection error of type H3_ID_ERROR when no MAX_PUSH_ID
 * frame has been sent or when the stream references a push ID that is greater than the maximum push ID.
 *
 * @param type - the frame's type; for a push stream that of PUSH_PROMISE
 * @param max - the largest push ID allowed; -1 where none is
 */
export function checkPushId(type: number, id: number, max: number): void {
  if (id > max)
    throw idError(
      `${frameName(type)} for push ${id}, where ${max < 0 ? "none is" : `${max} is the last`} allowed`,
    );
}
