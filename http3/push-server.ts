// Server push, rfc9114#4.6: promised on a request's stream, fulfilled on a stream of its own.

import { type Connection, type SendStream, StreamError, StreamLimitReachedError } from "../src/index.ts";
import { H3_ERROR, Http3StateError, Http3StreamError } from "./errors.ts";
import { encodeIdFrame, encodePushPromise, FRAME } from "./frames.ts";
import { contentLengthOf, requestSection, responseSection } from "./message-build.ts";
import { checkRequest, type RequestHead } from "./message-head.ts";
import { MessageWriter, type WriterOwner } from "./message-writer.ts";
import { parsePriority, priorityOf, type Priority, type PriorityParameters } from "./priority.ts";
import { ServerPushes } from "./pushes.ts";
import type { Field } from "./qpack/field.ts";
import type { QpackStreams } from "./qpack-streams.ts";
import { remoteError } from "./stream-errors.ts";
import type { StreamHost } from "./stream-host.ts";
import { STREAM_TYPE } from "./streams.ts";
import { join } from "./tlv.ts";
import type { Trace } from "./trace.ts";
import { encodeVarint } from "./varint.ts";

/** A request that is answered without having been made. */
export interface PushRequest {
  /** Path and query. */
  readonly path: string;
  /** Safe and cacheable: default GET. */
  readonly method?: "GET" | "HEAD";
  readonly fields?: readonly Field[];
}

/** What the pusher asks of its connection. @internal */
export type PusherHost = Pick<StreamHost, "qpack" | "trace" | "peerSettings" | "translate">;

/** The request that a push goes with. @internal */
export interface PushParent {
  readonly id: number;
  readonly request: RequestHead;
  readonly priority: Priority;
  readonly writeEnded: boolean;
  readonly isTunnel: boolean;
  promise(frame: Uint8Array): Promise<void>;
}

/** A response that this server pushes: `respond`, then `write` and `end`, as on a request's stream. */
export class ServerPush implements WriterOwner {
  readonly pushId: number;
  readonly request: RequestHead;
  readonly stream: SendStream;
  readonly #pusher: Pusher;
  readonly #writer: MessageWriter;
  readonly #parent: Priority;
  #client: PriorityParameters | null;

  /** @internal */
  constructor(pushId: number, request: RequestHead, stream: SendStream, parent: Priority, pusher: Pusher) {
    this.pushId = pushId;
    this.request = request;
    this.stream = stream;
    this.#pusher = pusher;
    this.#parent = parent;
    this.#writer = new MessageWriter(stream, this);
    const field = request.fields.find(({ name }) => name === "priority");
    this.#client = field === undefined ? null : parsePriority(field.value);
    this.#schedule();
    // The client stops reading perhaps while nothing is being written.
    stream.context.addEventListener("abort", () => {
      const { reason } = stream.context as { reason: unknown };
      if (reason instanceof StreamError) this.abort(this.onWriteError(reason) as Http3StreamError);
    });
  }

  #schedule(): void {
    const { priority } = this;
    this.stream.setPriority(priority);
    this.trace?.priority({ push_id: this.pushId }, priority);
  }

  /**
   * What the client said by PRIORITY_UPDATE, else the promise's Priority field, else after what was asked for: rfc9218#10 a
   * server that is too simple could easily push at too high a priority and block client requests.
   */
  get priority(): Priority {
    const { urgency, incremental } = this.#parent;
    return priorityOf(this.#client, { urgency: Math.min(7, urgency + 1), incremental });
  }

  /** @internal */
  reprioritize(parameters: PriorityParameters): void {
    this.#client = parameters;
    this.#schedule();
  }

  /** Sends an interim response. */
  informational(status: number, fields: readonly Field[] = []): Promise<void> {
    return this.#writer.head(responseSection(status, fields), false);
  }

  /** Sends the final response's head. */
  async respond(status: number, fields: readonly Field[] = []): Promise<void> {
    if (!(status >= 200)) throw new Http3StateError(`${status} is no final status`);
    const section = responseSection(status, fields);
    const content = this.request.method !== "HEAD" && status !== 204 && status !== 304;
    await this.#writer.head(section, true, contentLengthOf(section), content);
  }

  /** Sends a part of the content; see MessageStream.write. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.data(bytes);
  }

  /** Ends the response, after trailers where some are given. */
  end(trailers: readonly Field[] = []): Promise<void> {
    return this.#writer.end(trailers);
  }

  /** Whether nothing more can be sent: ended, cancelled by either side. */
  get writeEnded(): boolean {
    return this.#writer.over;
  }

  /** Aborted when the client does not want it, or it is over. */
  get signal(): AbortSignal {
    return this.stream.context;
  }

  /** @internal Calls back once when `signal` is aborted. */
  whenGone(callback: (error: unknown) => void): void {
    const { signal } = this;
    if (signal.aborted) callback(signal.reason);
    else signal.addEventListener("abort", () => callback(signal.reason), { once: true });
  }

  /**
   * Gives the promise up. rfc9114#7.2.3 Regardless of whether a push stream has been opened, a server SHOULD send a
   * CANCEL_PUSH frame when it determines that promise will not be fulfilled.
   */
  cancel(): void {
    if (this.#writer.over) return;
    this.#pusher.say(encodeIdFrame(FRAME.CANCEL_PUSH, this.pushId));
    this.abort(new Http3StreamError("H3_REQUEST_CANCELLED", "the push was cancelled"));
  }

  /** @internal */
  abort(error: Http3StreamError): void {
    if (!this.#writer.over) this.#writer.reset(H3_ERROR.H3_REQUEST_CANCELLED, error);
  }

  // What its writer asks for.

  get qpack(): QpackStreams {
    return this.#pusher.host.qpack;
  }

  get trace(): Trace | null {
    return this.#pusher.host.trace;
  }

  get peerMaxFieldSectionSize(): number {
    return this.#pusher.host.peerSettings.maxFieldSectionSize;
  }

  onWriteError(error: unknown): unknown {
    if (!(error instanceof StreamError)) return this.#pusher.host.translate(error);
    if (!error.remote) return this.#writer.error ?? error;
    return remoteError(error, "stopped reading");
  }

  onWriteEnd(): void {
    this.#pusher.done(this.pushId);
  }
}

/** A server's pushes. What is kept is bounded by the streams that the client lets it open. */
export class Pusher {
  readonly ids = new ServerPushes();
  readonly host: PusherHost;
  /** Sends a frame on the control stream. */
  readonly say: (frame: Uint8Array) => void;
  readonly #quic: Connection;
  readonly #pushes = new Map<number, ServerPush>();
  #idle: (() => void)[] = [];

  constructor(host: PusherHost, quic: Connection, say: (frame: Uint8Array) => void) {
    this.host = host;
    this.say = say;
    this.#quic = quic;
  }

  /** Pushes under way. */
  get size(): number {
    return this.#pushes.size;
  }

  /** @throws {Http3StateError}, {InvalidFieldError} */
  async push(parent: PushParent, request: PushRequest): Promise<ServerPush | null> {
    const { method = "GET", path, fields = [] } = request;
    if (parent.isTunnel || parent.writeEnded) {
      throw new Http3StateError("a push is promised while its request is being answered");
    }
    // rfc9114#4.6 The server MUST include a value in the :authority pseudo-header field for which the server is authoritative:
    // that of the request.
    const { scheme, authority } = parent.request;
    const section = requestSection({ method, scheme, authority, path, fields });
    if (!["GET", "HEAD"].includes(method) || (checkRequest(section).contentLength ?? 0) > 0) {
      throw new Http3StateError("what can be pushed is safe, cacheable and without content: GET or HEAD");
    }
    if (!this.ids.available) return null;
    let stream: SendStream;
    try {
      stream = this.#quic.tryOpenUniStream();
    } catch (error) {
      // Without a stream there is nothing to promise.
      if (error instanceof StreamLimitReachedError) return null;
      throw this.host.translate(error);
    }
    const pushId = this.ids.take()!;
    const push = new ServerPush(pushId, checkRequest(section), stream, parent.priority, this);
    this.#pushes.set(pushId, push);
    try {
      // rfc9114#4.6 The server SHOULD send PUSH_PROMISE frames prior to sending HEADERS or DATA frames that reference the
      // promised responses.
      this.host.trace?.pushPromise("created", parent.id, pushId, section);
      const promised = parent.promise(encodePushPromise(pushId, this.host.qpack.encode(parent.id, section)));
      stream.tryWrite(join(encodeVarint(STREAM_TYPE.PUSH), encodeVarint(pushId)));
      await promised;
      return push;
    } catch (error) {
      push.abort(new Http3StreamError("H3_REQUEST_CANCELLED", "the push could not be promised"));
      throw error;
    }
  }

  /** The client said CANCEL_PUSH. rfc9114#7.2.3 If the push stream is open, the server SHOULD abruptly terminate that stream. */
  cancelled(pushId: number): void {
    const push = this.#pushes.get(pushId);
    push?.abort(
      new Http3StreamError("H3_REQUEST_CANCELLED", "the client cancelled the push", { remote: true }),
    );
  }

  /** The client said GOAWAY: rfc9114#5.2 those pushes will not be accepted. */
  goaway(pushId: number): void {
    this.ids.stop();
    for (const id of [...this.#pushes.keys()]) if (id >= pushId) this.cancelled(id);
  }

  reprioritize(pushId: number, parameters: PriorityParameters): void {
    this.#pushes.get(pushId)?.reprioritize(parameters);
  }

  done(pushId: number): void {
    this.#pushes.delete(pushId);
    if (this.#pushes.size === 0) for (const wake of this.#idle.splice(0)) wake();
  }

  /** Resolves when none is under way. */
  idle(): Promise<void> {
    return this.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** The connection is over. */
  end(): void {
    this.ids.stop();
    this.#pushes.clear();
    for (const wake of this.#idle.splice(0)) wake();
  }
}
