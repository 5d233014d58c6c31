// Server push as a client takes it, rfc9114#4.6: off unless a handler is given.

import { type ReceiveStream, StreamError } from "../src/index.ts";
import { H3_ERROR, Http3ConnectionError, Http3Error, Http3StreamError } from "./errors.ts";
import { encodeIdFrame, encodePriorityUpdate, FRAME, type Role } from "./frames.ts";
import { INTERIM_RESPONSES, PROMISE_TIMEOUT, PUSHES } from "./limits.ts";
import { checkRequest, checkResponse, type RequestHead, type ResponseHead } from "./message-head.ts";
import { MessageReader, type ReaderOwner } from "./message-reader.ts";
import { type Priority, serializePriority } from "./priority.ts";
import { ClientPushes } from "./pushes.ts";
import type { Field } from "./qpack/field.ts";
import type { QpackStreams } from "./qpack-streams.ts";
import type { ClientStream } from "./request-stream.ts";
import { remoteError } from "./stream-errors.ts";
import type { StreamHost } from "./stream-host.ts";
import type { Trace } from "./trace.ts";
import { join } from "./tlv.ts";
import { VarintReader, varintSize } from "./varint.ts";

/** What pushes ask of their connection. @internal */
export type PushHost = Pick<
  StreamHost,
  "role" | "qpack" | "trace" | "maxFieldSectionSize" | "fail" | "translate" | "onPushResolved"
>;

/** Takes what a server pushes: reads the response, or cancels it. Until then it counts against `maxPushes`. */
export type PushHandler = (push: PushedResponse) => void;

/** rfc9110#9.2.1 and 9.2.3: safe, and cacheable. */
const PUSHABLE = new Set(["GET", "HEAD"]);

/** A response that the server sends without having been asked. */
export class PushedResponse implements ReaderOwner, AsyncIterable<Uint8Array> {
  readonly pushId: number;
  /** The request that the server answers. */
  readonly request: RequestHead;
  /** The request in whose answer it was promised. */
  readonly associated: ClientStream;
  readonly #host: PushHost;
  readonly #receiver: PushReceiver;
  #reader: MessageReader | null = null;
  #response: ResponseHead | null = null;
  #error: unknown = null;
  #over = false;
  #claimed = false;
  #waiting: (() => void)[] = [];

  /** @internal */
  constructor(
    pushId: number,
    request: RequestHead,
    associated: ClientStream,
    host: PushHost,
    receiver: PushReceiver,
  ) {
    this.pushId = pushId;
    this.request = request;
    this.associated = associated;
    this.#host = host;
    this.#receiver = receiver;
  }

  /**
   * The head of the final response; waits for the server to send it.
   *
   * @throws {Http3StreamError} where the push was cancelled by either side, or is malformed; the connection's error
   */
  async response(onInterim?: (head: ResponseHead) => void): Promise<ResponseHead> {
    this.#claim();
    if (this.#response !== null) return this.#response;
    const reader = await this.#begun();
    for (let interim = 0; ; interim++) {
      const section = await reader.section();
      try {
        if (section === null)
          throw new Http3StreamError("H3_MESSAGE_ERROR", "the push ended without a response");
        if (section === "too-large" || interim > INTERIM_RESPONSES) {
          throw new Http3StreamError("H3_EXCESSIVE_LOAD", "the pushed response's head is too large");
        }
        const head = checkResponse(section);
        if (reader.sequence.responseHead(head, this.request.method)) return (this.#response = head);
        onInterim?.(head);
      } catch (error) {
        reader.cancel((error as Http3Error).errorCode, error);
        throw error;
      }
    }
  }

  /** The next part of the content; null at its end. As `response`. */
  async read(): Promise<Uint8Array | null> {
    if (this.#response === null) await this.response();
    return this.#reader!.read();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) yield chunk;
    } finally {
      this.cancel();
    }
  }

  /** The trailer fields, once `read` gave null. */
  get trailers(): readonly Field[] | null {
    return this.#reader?.trailers ?? null;
  }

  /** Tells the server another priority of the response. rfc9218#7.2 */
  updatePriority(priority: Priority): void {
    if (this.#over) return;
    this.#receiver.say(
      encodePriorityUpdate(FRAME.PRIORITY_UPDATE_PUSH, this.pushId, serializePriority(priority)),
    );
  }

  /** Does not want it. */
  cancel(): void {
    if (this.#over) return;
    const error = new Http3StreamError("H3_REQUEST_CANCELLED", "the push was cancelled");
    if (this.#reader !== null) this.#reader.cancel(H3_ERROR.H3_REQUEST_CANCELLED, error);
    else {
      // rfc9114#7.2.3: before its stream has come; A client SHOULD NOT send a CANCEL_PUSH frame when it has already
      // received a corresponding push stream.
      this.#receiver.say(encodeIdFrame(FRAME.CANCEL_PUSH, this.pushId));
      this.fail(error);
    }
  }

  #claim(): void {
    if (this.#claimed) return;
    this.#claimed = true;
    this.#host.onPushResolved(this.pushId, "claimed");
  }

  /** @internal Its stream has come. */
  begin(stream: ReceiveStream, rest: Uint8Array): void {
    this.#reader = new MessageReader(stream, "push", this);
    this.#reader.unread(rest);
    this.#wake();
  }

  /** @internal It will not come. */
  fail(error: unknown): void {
    if (this.#over) return;
    this.#error = error;
    this.#finish();
  }

  async #begun(): Promise<MessageReader> {
    while (this.#reader === null) {
      if (this.#over) throw this.#error;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.#reader;
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#claimed) this.#host.onPushResolved(this.pushId, "abandoned");
    this.#receiver.done(this.pushId);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  // What its reader asks for.

  get role(): Role {
    return this.#host.role;
  }

  get qpack(): QpackStreams {
    return this.#host.qpack;
  }

  get maxFieldSectionSize(): number {
    return this.#host.maxFieldSectionSize;
  }

  get trace(): Trace | null {
    return this.#host.trace;
  }

  readonly takeover = null;

  onReadError(error: unknown): unknown {
    if (error instanceof Http3ConnectionError) this.#host.fail(error);
    if (error instanceof StreamError && error.remote) return remoteError(error, "reset");
    return this.#host.translate(error);
  }

  onReadEnd(): void {
    this.#finish();
  }

  /** rfc9114#4.1: there are none on push streams; their reader has refused it. */
  onPushPromise(): void {}

  onTakeover(): void {}
}

interface Unpromised {
  readonly stream: ReceiveStream;
  readonly rest: Uint8Array;
  readonly timer: NodeJS.Timeout;
}

/** A client's side of server push. Without a handler no push ID is ever allowed. */
export class PushReceiver {
  readonly ids = new ClientPushes();
  readonly #host: PushHost;
  /** Sends a frame on the control stream. */
  readonly say: (frame: Uint8Array) => void;
  readonly #handler: PushHandler | null;
  readonly #window: number;
  readonly #pushes = new Map<number, PushedResponse>();
  /** Push streams whose promise has not come: rfc9114#4.6. As many as push IDs are allowed. */
  readonly #unpromised = new Map<number, Unpromised>();

  constructor(
    host: PushHost,
    say: (frame: Uint8Array) => void,
    handler: PushHandler | undefined,
    window: number = PUSHES,
  ) {
    this.#host = host;
    this.say = say;
    this.#handler = handler ?? null;
    this.#window = window;
    if (this.#handler !== null) this.#allow();
  }

  /** rfc9114#7.2.7: from the oldest push that is not done, so that what is remembered is bounded. */
  #allow(): void {
    const max = this.ids.oldest + this.#window - 1;
    if (max <= this.ids.max) return;
    this.ids.allow(max);
    this.say(encodeIdFrame(FRAME.MAX_PUSH_ID, max));
  }

  /** A PUSH_PROMISE came on a request's stream. @throws {Http3ConnectionError} */
  promised(associated: ClientStream, pushId: number, fields: readonly Field[]): void {
    if (!this.ids.promise(pushId, fields)) return;
    let head: RequestHead;
    try {
      head = checkRequest(fields);
      mustBeGood(head, associated);
    } catch {
      // rfc9114#4.6 Clients SHOULD send a CANCEL_PUSH frame upon receipt of a PUSH_PROMISE frame carrying a request that is not
      // cacheable, is not known to be safe, that indicates the presence of request content, or for which it does not
      // consider the server authoritative. rfc9114#4.6 Any corresponding responses MUST NOT be used or cached.
      this.#refuse(pushId);
      return;
    }
    const push = new PushedResponse(pushId, head, associated, this.#host, this);
    this.#pushes.set(pushId, push);
    const waiting = this.#unpromised.get(pushId);
    if (waiting !== undefined) {
      this.#forget(pushId, waiting);
      push.begin(waiting.stream, waiting.rest);
    }
    try {
      this.#handler!(push);
    } catch (error) {
      push.cancel();
      throw error;
    }
  }

  #refuse(pushId: number): void {
    const waiting = this.#unpromised.get(pushId);
    if (waiting === undefined) this.say(encodeIdFrame(FRAME.CANCEL_PUSH, pushId));
    else {
      this.#forget(pushId, waiting);
      waiting.stream.cancelRead(H3_ERROR.H3_REQUEST_CANCELLED);
    }
    this.#host.onPushResolved(pushId, "abandoned");
    this.done(pushId);
  }

  #forget(pushId: number, { timer }: Unpromised): void {
    clearTimeout(timer);
    this.#unpromised.delete(pushId);
  }

  /**
   * A push stream came; `rest` is what was read beyond its type.
   *
   * @returns its push ID, or null where it ended before that
   * @throws {Http3ConnectionError} H3_ID_ERROR; errors of the stream's
   */
  async opened(stream: ReceiveStream, rest: Uint8Array): Promise<number | null> {
    let bytes = rest;
    // rfc9114#6.2.2 A client SHOULD NOT abort reading on a push stream prior to reading the push stream header.
    while (bytes.length === 0 || bytes.length < varintSize(bytes[0]!)) {
      const chunks = await stream.readMany({ maxBytes: 16384 });
      if (chunks.length === 0) return null;
      for (const chunk of chunks) bytes = join(bytes, chunk);
    }
    const reader = new VarintReader(bytes);
    const pushId = reader.next();
    if (!this.ids.open(pushId)) {
      // rfc9114#7.2.3 The client SHOULD abort reading the stream with an error code of H3_REQUEST_CANCELLED.
      stream.cancelRead(H3_ERROR.H3_REQUEST_CANCELLED);
      return pushId;
    }
    const push = this.#pushes.get(pushId);
    if (push !== undefined) {
      push.begin(stream, reader.rest());
      return pushId;
    }
    // rfc9114#4.6 Clients SHOULD abort reading and discard data already read from push streams if no corresponding PUSH_PROMISE
    // frame is processed in a reasonable amount of time.
    const timer = setTimeout(() => {
      this.#unpromised.delete(pushId);
      stream.cancelRead(H3_ERROR.H3_REQUEST_CANCELLED);
      this.done(pushId);
    }, PROMISE_TIMEOUT);
    timer.unref();
    this.#unpromised.set(pushId, { stream, rest: reader.rest(), timer });
    return pushId;
  }

  /** The server said CANCEL_PUSH; perhaps before the promise. rfc9114#7.2.3 */
  cancelled(pushId: number): void {
    const push = this.#pushes.get(pushId);
    const error = new Http3StreamError("H3_REQUEST_CANCELLED", "the server cancelled the push", {
      remote: true,
    });
    // What was received already can be read to its end: the frame has no direct effect on the state of existing push streams.
    if (push === undefined) {
      if (!this.#unpromised.has(pushId)) this.done(pushId);
    } else if (!this.ids.isOpen(pushId)) push.fail(error);
  }

  /** A push is over: its ID makes room for another. */
  done(pushId: number): void {
    this.#pushes.delete(pushId);
    this.ids.done(pushId);
    this.#allow();
  }

  /** The connection is over. */
  end(error: unknown): void {
    for (const { timer } of this.#unpromised.values()) clearTimeout(timer);
    this.#unpromised.clear();
    for (const push of [...this.#pushes.values()]) push.fail(error);
  }
}

/**
 * rfc9114#4.6 If the client has not yet validated the connection for the origin indicated by the pushed request, it MUST
 * perform the same verification process it would do before sending a request for that origin on the connection; see Section 3.3.
 * rfc9114#4.6 If this verification fails, the client MUST NOT consider the server authoritative for that origin: pushes for
 * the origin of the request are taken, whose certificate was verified, and no others.
 */
function mustBeGood(head: RequestHead, associated: ClientStream): void {
  const { scheme, authority } = associated.request;
  const good =
    PUSHABLE.has(head.method) &&
    (head.contentLength ?? 0) === 0 &&
    head.protocol === null &&
    head.scheme === scheme?.toLowerCase() &&
    head.authority.toLowerCase() === authority?.toLowerCase();
  if (!good) throw new Http3StreamError("H3_REQUEST_CANCELLED", "a promise that is not taken");
}
