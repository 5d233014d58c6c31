// A request and its response on their stream, at the level of sections and content: beneath fetch and (req, res).

import type { Duplex } from "node:stream";
import { type Stream, StreamClosedError, StreamError } from "../src/index.ts";
import type { Http3Connection } from "./connection.ts";
import { H3_ERROR, Http3ConnectionError, Http3StateError, Http3StreamError } from "./errors.ts";
import type { Role } from "./frames.ts";
import { INTERIM_RESPONSES } from "./limits.ts";
import { contentLengthOf, requestSection, responseSection, type RequestToSend } from "./message-build.ts";
import { checkRequest, checkResponse, type RequestHead, type ResponseHead } from "./message-head.ts";
import { splitCookies } from "./fields.ts";
import { MessageReader, type ReaderOwner } from "./message-reader.ts";
import { MessageWriter, type WriterOwner } from "./message-writer.ts";
import { RequestDatagrams } from "./datagrams.ts";
import { duplexOf } from "./duplex.ts";
import { ResponsePriority } from "./priorities.ts";
import { parsePriority, type Priority, type PriorityParameters } from "./priority.ts";
import type { PushRequest, ServerPush } from "./push-server.ts";
import type { Field } from "./qpack/field.ts";
import type { QpackStreams } from "./qpack-streams.ts";
import { remoteError, tooLarge } from "./stream-errors.ts";
import type { StreamHost } from "./stream-host.ts";
import type { Trace } from "./trace.ts";
import { reservedFrame } from "./uni-streams.ts";

/** What both ends of a request stream have. */
export abstract class MessageStream implements ReaderOwner, WriterOwner {
  readonly stream: Stream;
  /** @internal */
  readonly host: StreamHost;
  /** @internal Its place among the connection's streams. */
  slot = -1;
  protected readonly reader: MessageReader;
  protected readonly writer: MessageWriter;
  #aborter: AbortController | null = null;
  #resetCounted = false;
  #readAt: number | null = null;
  #wroteAt: number | null = null;
  #whenOver: (() => void)[] | null = null;
  #datagrams: RequestDatagrams | null = null;
  /** Whether the application knows what datagrams of this request are for. */
  #knowsDatagrams = false;

  /** @internal */
  constructor(stream: Stream, host: StreamHost) {
    this.stream = stream;
    this.host = host;
    this.reader = new MessageReader(stream.receiving, "request", this);
    this.writer = new MessageWriter(stream.sending, this);
  }

  /** The QUIC stream's ID. */
  get id(): number {
    return this.stream.id;
  }

  get connection(): Http3Connection {
    return this.host.connection;
  }

  /**
   * The next part of the content that comes, not empty; null at its end. Nothing is read ahead of what is asked for but
   * a few chunks: the peer waits.
   *
   * @throws {Http3StreamError} where the peer gave up (`remote`), or sent what is malformed
   * @throws {Http3ConnectionError} where the connection ended
   */
  read(): Promise<Uint8Array | null> {
    return this.reader.read();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) yield chunk;
    } finally {
      this.stopReading();
    }
  }

  /** The trailer fields that came, once `read` gave null (empty where there were none); null before. */
  get trailers(): readonly Field[] | null {
    return this.reader.trailers;
  }

  /** Whether the message that comes was read to its end. */
  get readEnded(): boolean {
    return this.reader.ended;
  }

  /** Whether the message that goes out has begun: its (final) head was sent. */
  get headSent(): boolean {
    return this.writer.begun;
  }

  /** Whether nothing more can be sent: ended or given up. */
  get writeEnded(): boolean {
    return this.writer.over;
  }

  /**
   * Sends a part of the content. Resolves when the stream's buffer has taken it, which is when to go on.
   *
   * @throws {Http3StreamError} where the peer reads no more (`remote`) or the stream was cancelled
   * @throws {Http3StateError} before the head, after the end, where Content-Length said less
   */
  write(bytes: Uint8Array): Promise<void> {
    return this.writer.data(bytes);
  }

  /** Ends the message that goes out, after trailers where some are given. */
  end(trailers: readonly Field[] = []): Promise<void> {
    return this.writer.end(trailers);
  }

  /**
   * The content both ways as a Node stream: for tunnels, of which it is all there is. Destroying it before its end cancels
   * the stream.
   */
  toNodeStream(): Duplex {
    return duplexOf(this);
  }

  /**
   * The HTTP datagrams of this request (rfc9297). Asking for them says that the request's protocol knows them: where
   * nobody has by the time the response's head goes, the ones that come end the request, as they do at once with any
   * method but extended CONNECT.
   */
  get datagrams(): RequestDatagrams {
    this.#knowsDatagrams = true;
    return (this.#datagrams ??= new RequestDatagrams(this, this.host.datagrams));
  }

  /** @internal A datagram came. */
  onDatagram(payload: Uint8Array): void {
    // rfc9297#2.1 If a datagram is received after the corresponding stream's receive side is closed, the received datagrams
    // MUST be silently dropped.
    if (this.reader.over) return;
    if (!this.#knowsDatagrams && !this.mayKnowDatagrams) {
      // rfc9297#2 If an HTTP Datagram is received and it is associated with a request that has no known semantics for HTTP
      // Datagrams, the receiver MUST terminate the request; the request stream MUST be aborted with H3_DATAGRAM_ERROR.
      this.give(new Http3StreamError("H3_DATAGRAM_ERROR", "a datagram for a request that knows none"));
      return;
    }
    (this.#datagrams ??= new RequestDatagrams(this, this.host.datagrams)).deliver(payload);
  }

  /** One reserved frame for each connection, so that peers learn to skip them: rfc9114#7.2.8. Tunnels have only DATA. */
  protected grease(): void {
    if (!this.host.grease || this.isTunnel) return;
    this.host.grease = false;
    const frame = reservedFrame();
    this.trace?.sent(this.id, frame);
    this.writer.raw(frame).catch(() => {});
  }

  /** @internal Whether the application can still ask for datagrams that came. */
  protected abstract readonly mayKnowDatagrams: boolean;

  /** Resolves when the peer has acknowledged all that was sent. */
  async drained(): Promise<void> {
    try {
      await this.stream.drained();
    } catch (error) {
      throw this.onWriteError(error);
    }
  }

  /** Reads no more of what comes, where that has not ended. Default H3_NO_ERROR: not needed. */
  stopReading(code: number = H3_ERROR.H3_NO_ERROR): void {
    this.reader.cancel(code, new Http3StreamError(code, "reading was given up"));
  }

  /**
   * Takes the end of what comes where it is there already, and else reads no more of it: for a message whose rest does
   * not matter.
   */
  finishReading(code: number = H3_ERROR.H3_NO_ERROR): void {
    if (!this.reader.over) this.reader.finish(code, new Http3StreamError(code, "reading was given up"));
  }

  /**
   * @internal Whether the peer has made no progress since the last call though this side waits for it: to read more
   * (not in tunnels, where silence is normal), or to write more.
   */
  stalled(): boolean {
    const reading = this.isTunnel ? null : this.reader.waitsAt;
    const writing = this.writer.waitsAt;
    const still =
      (reading !== null && reading === this.#readAt) || (writing !== null && writing === this.#wroteAt);
    this.#readAt = reading;
    this.#wroteAt = writing;
    return still;
  }

  /** @internal */
  abstract readonly isTunnel: boolean;

  /** Ends what goes out before it is whole: the peer may answer all the same. Default H3_REQUEST_CANCELLED. */
  stopWriting(code: number = H3_ERROR.H3_REQUEST_CANCELLED): void {
    if (!this.writer.over) this.writer.reset(code, new Http3StreamError(code, "writing was given up"));
  }

  /** Gives both directions up. */
  cancel(code: number = H3_ERROR.H3_REQUEST_CANCELLED, reason = "it was cancelled"): void {
    this.give(new Http3StreamError(code, reason));
  }

  /** @internal Ends what is not over yet for `error`, which those who wait get. */
  give(error: Http3StreamError, code: number = error.errorCode): void {
    this.reader.cancel(code, error);
    if (!this.writer.ended) this.writer.reset(code, error);
  }

  /**
   * Aborted when the peer gives the stream up (`reason` is the error), or the connection ends before the message that
   * goes out is whole. Made when asked for.
   */
  get signal(): AbortSignal {
    if (this.#aborter === null) {
      const aborter = (this.#aborter = new AbortController());
      const { context } = this.stream;
      const onOver = () => {
        const { reason } = context as { reason: unknown };
        if (reason instanceof StreamClosedError) return;
        const told = this.writer.error ?? this.onWriteError(reason);
        this.peerStopped(told);
        aborter.abort(told);
      };
      if (context.aborted) onOver();
      else context.addEventListener("abort", onOver, { once: true });
    }
    return this.#aborter.signal;
  }

  // What its reader and writer ask for.

  get role(): Role {
    return this.host.role;
  }

  get qpack(): QpackStreams {
    return this.host.qpack;
  }

  get maxFieldSectionSize(): number {
    return this.host.maxFieldSectionSize;
  }

  get trace(): Trace | null {
    return this.host.trace;
  }

  get takeover(): ReadonlySet<number> | null {
    return this.host.takeover;
  }

  get peerMaxFieldSectionSize(): number {
    return this.host.peerSettings.maxFieldSectionSize;
  }

  onReadError(error: unknown): unknown {
    if (error instanceof Http3ConnectionError) {
      this.host.fail(error);
      return error;
    }
    if (error instanceof Http3StreamError) {
      // rfc9114#4.1.2 Malformed requests or responses that are detected MUST be treated as a stream error of type
      // H3_MESSAGE_ERROR.
      if (!this.writer.ended) this.writer.reset(error.errorCode, error);
      return error;
    }
    if (error instanceof StreamError && error.remote) {
      const told = remoteError(error, "reset");
      this.#countReset();
      this.peerReset(told);
      return told;
    }
    return this.host.translate(error);
  }

  onWriteError(error: unknown): unknown {
    if (!(error instanceof StreamError)) return this.host.translate(error);
    if (!error.remote) return this.writer.error ?? error;
    this.#countReset();
    return remoteError(error, "stopped reading");
  }

  #countReset(): void {
    if (this.#resetCounted) return;
    this.#resetCounted = true;
    this.host.onPeerReset(this);
  }

  onReadEnd(): void {
    this.#datagrams?.end();
    this.#settle();
  }

  onWriteEnd(): void {
    this.#settle();
  }

  onPushPromise(pushId: number, fields: readonly Field[]): void {
    this.host.onPushPromise(this, pushId, fields);
  }

  onTakeover(type: number, rest: Uint8Array): void {
    this.host.onTakeover(this, type, rest);
  }

  /** The peer reset what it was sending. */
  protected abstract peerReset(error: Http3StreamError): void;

  /** The peer reads no more, or the connection is over; where somebody listens for it. */
  protected peerStopped(_error: unknown): void {}

  #settle(): void {
    if (!this.reader.over || !this.writer.over) return;
    this.host.onStreamOver(this);
    this.forgotten();
  }

  /** @internal Calls back when both sides are over, or the connection is. */
  whenOver(callback: () => void): void {
    if (this.reader.over && this.writer.over) callback();
    else (this.#whenOver ??= []).push(callback);
  }

  /** @internal The connection has nothing to do with it any more. */
  forgotten(): void {
    this.#datagrams?.end();
    const callbacks = this.#whenOver;
    this.#whenOver = null;
    if (callbacks !== null) for (const callback of callbacks) callback();
  }
}

/**
 * A request that this client sends.
 *
 * rfc9114#4.1 A client MUST send only a single request on a given stream.
 */
export class ClientStream extends MessageStream {
  readonly request: RequestToSend;
  #response: ResponseHead | null = null;
  #interim = 0;

  /** @internal */
  constructor(stream: Stream, host: StreamHost, request: RequestToSend) {
    super(stream, host);
    this.request = request;
  }

  /** @internal */
  send(): Promise<void> {
    const section = requestSection(this.request);
    const head = splitCookies(section) as Field[];
    const tunnel = this.request.method === "CONNECT";
    const sent = this.writer.head(head, true, tunnel ? null : contentLengthOf(section));
    this.grease();
    return sent;
  }

  override get isTunnel(): boolean {
    return this.request.method === "CONNECT";
  }

  protected override get mayKnowDatagrams(): boolean {
    return this.request.protocol !== undefined && this.#response === null;
  }

  /** The response's head, once `response` resolved. */
  get responseHead(): ResponseHead | null {
    return this.#response;
  }

  /**
   * The head of the final response.
   *
   * @param onInterim - gets interim responses (1xx) that come before, rfc9114#4.1
   * @throws as {@link MessageStream.read}
   */
  async response(onInterim?: (head: ResponseHead) => void): Promise<ResponseHead> {
    if (this.#response !== null) return this.#response;
    for (;;) {
      const section = await this.reader.section();
      if (section === null) {
        throw this.#refuse(
          new Http3StreamError("H3_MESSAGE_ERROR", "the stream ended without a final response"),
        );
      }
      if (section === "too-large") {
        throw this.#refuse(
          new Http3StreamError("H3_EXCESSIVE_LOAD", "the response's header section is too large"),
        );
      }
      let head: ResponseHead;
      try {
        // rfc9114#4.1.2 Clients MUST NOT accept a malformed response.
        head = checkResponse(section);
      } catch (error) {
        throw this.#refuse(error as Http3StreamError);
      }
      if (this.reader.sequence.responseHead(head, this.request.method)) {
        this.#response = head;
        const { scheme, authority } = this.request;
        if (head.status === 421) this.connection.misdirected(scheme ?? "https", authority ?? "");
        return head;
      }
      if (++this.#interim > INTERIM_RESPONSES) {
        throw this.#refuse(new Http3StreamError("H3_EXCESSIVE_LOAD", `${this.#interim} interim responses`));
      }
      onInterim?.(head);
    }
  }

  #refuse(error: Http3StreamError): Http3StreamError {
    this.give(error);
    return error;
  }

  /** rfc9114#4.1: what is uploaded for a response that will not come is for nothing. */
  protected override peerReset(error: Http3StreamError): void {
    if (!this.writer.ended) this.writer.reset(H3_ERROR.H3_REQUEST_CANCELLED, error);
  }
}

/** A request that this server got. */
export class ServerStream extends MessageStream {
  #request: RequestHead | null = null;
  readonly #priority = new ResponsePriority();
  /** @internal When it was opened, ms. */
  readonly openedAt: number = performance.now();

  /** The request's head. */
  get request(): RequestHead {
    if (this.#request === null) throw new Http3StateError("the request's head has not come");
    return this.#request;
  }

  override get isTunnel(): boolean {
    return this.#request?.method === "CONNECT";
  }

  /**
   * Whether it came in 0-RTT of a client whose handshake is not complete: it may be a copy of a request that was answered
   * already. rfc8470
   */
  get early(): boolean {
    return this.stream.early && !this.connection.quic.connectionState().handshakeComplete;
  }

  protected override get mayKnowDatagrams(): boolean {
    return this.#request === null || (this.#request.protocol !== null && !this.headSent);
  }

  /** @internal Whether the head has come. */
  get hasRequest(): boolean {
    return this.#request !== null;
  }

  /** @internal Reads the head. Resolves to false where it did not come to one; the stream is ended then. */
  async receive(extendedConnect: boolean): Promise<boolean> {
    let section: Awaited<ReturnType<MessageReader["section"]>>;
    try {
      section = await this.reader.section();
    } catch (error) {
      if (tooLarge(error)) await this.#answerTooLarge();
      // rfc9114#4.1: there is not enough of a request for a response.
      else
        this.give(new Http3StreamError("H3_REQUEST_INCOMPLETE", "the request broke off", { cause: error }));
      return false;
    }
    if (section === "too-large") {
      await this.#answerTooLarge();
      return false;
    }
    if (section === null) {
      // A stream that an extension took over is its own.
      if (this.reader.trailers !== null) {
        // rfc9114#4.1 If a client-initiated stream terminates without enough of a message: H3_REQUEST_INCOMPLETE.
        this.give(new Http3StreamError("H3_REQUEST_INCOMPLETE", "the request has no head"));
      }
      return false;
    }
    try {
      const head = checkRequest(section, { extendedConnect });
      this.reader.sequence.requestHead(head);
      this.#request = head;
      const lines = head.fields.filter(({ name }) => name === "priority").map(({ value }) => value);
      if (lines.length > 0) this.#priority.field = parsePriority(lines.join(", "));
      this.#schedule();
      return true;
    } catch (error) {
      this.give(error as Http3StreamError);
      return false;
    }
  }

  /**
   * rfc9114#4.2.2 A server that receives a larger field section than it is willing to handle can send an HTTP 431
   * (Request Header Fields Too Large) status code.
   */
  async #answerTooLarge(): Promise<void> {
    try {
      await this.writer.head(
        [
          { name: ":status", value: "431" },
          { name: "content-length", value: "0" },
        ],
        true,
      );
      await this.writer.end();
    } catch {
      // Nobody is there to be told.
    }
    // rfc9114#4.1 The error code H3_NO_ERROR SHOULD be used when requesting that the client stop sending on the request
    // stream.
    this.stopReading();
  }

  /** A field section that is refused by its size alone is answered, not reset. */
  override onReadError(error: unknown): unknown {
    if (this.#request === null && tooLarge(error)) {
      this.reader.cancel(H3_ERROR.H3_NO_ERROR, error);
      return error;
    }
    return super.onReadError(error);
  }

  /**
   * The priority of the response: what the client said by its Priority field, or later by a frame, and over that what this
   * server said by `setPriority` or the response's own Priority field. rfc9218#4, rfc9218#8
   */
  get priority(): Priority {
    return this.#priority.of(this.isTunnel);
  }

  /** Says what matters more than what the client said; what is left out is the client's. */
  setPriority(priority: Partial<Priority>): void {
    this.#priority.server = { urgency: priority.urgency, incremental: priority.incremental };
    this.#schedule();
  }

  /** @internal A PRIORITY_UPDATE frame. */
  reprioritize(parameters: PriorityParameters): void {
    this.#priority.frame = parameters;
    this.#schedule();
  }

  /** rfc9218#10: the QUIC streams are sent in that order. */
  #schedule(): void {
    const { priority } = this;
    this.stream.setPriority(priority);
    this.trace?.priority({ stream_id: this.id }, priority);
  }

  /**
   * Promises a response to a request that the client has not made, rfc9114#4.6; before what refers to it is sent.
   *
   * @returns null where the client takes no pushes, or no more for now: most take none
   * @throws {Http3StateError} where the response has ended; {InvalidFieldError} for what cannot be sent
   */
  push(request: PushRequest): Promise<ServerPush | null> {
    return this.host.push(this, request);
  }

  /** @internal */
  promise(frame: Uint8Array): Promise<void> {
    return this.writer.raw(frame);
  }

  /** Sends an interim response: 100, 103 … rfc9114#4.1 */
  informational(status: number, fields: readonly Field[] = []): Promise<void> {
    if (!(status >= 100 && status < 200)) {
      return Promise.reject(
        new Http3StateError(`${status} is no interim status: those are 100 to 199, but not 101`),
      );
    }
    return this.#head(status, fields);
  }

  /** Sends the final response's head. What follows is `write` and `end`. */
  respond(status: number, fields: readonly Field[] = []): Promise<void> {
    if (!(status >= 200)) {
      return Promise.reject(new Http3StateError(`${status} is no final status: use informational() for 1xx`));
    }
    return this.#head(status, fields);
  }

  #head(status: number, fields: readonly Field[]): Promise<void> {
    try {
      const section = responseSection(status, fields);
      const { method } = this.request;
      const own = status >= 200 ? fields.find(({ name }) => name.toLowerCase() === "priority") : undefined;
      if (own !== undefined) {
        this.#priority.server = parsePriority(own.value);
        this.#schedule();
      }
      const tunnel = method === "CONNECT" && status < 300;
      // rfc9110#6.4.1
      const content = method !== "HEAD" && status !== 204 && status !== 304;
      const length = tunnel ? null : contentLengthOf(section);
      const sent = this.writer.head(section, status >= 200, length, content);
      if (status >= 200) this.grease();
      return sent;
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** The request is incomplete: its reader is told. Whether the response is still wanted is for STOP_SENDING to say. */
  protected override peerReset(): void {}

  /** rfc9114#4.1.1: a client that wants no response has cancelled its request; one that says H3_NO_ERROR may still send. */
  protected override peerStopped(error: unknown): void {
    if (!(error instanceof Http3StreamError) || error.errorCode === H3_ERROR.H3_NO_ERROR) return;
    this.give(error);
  }
}
