// A request and its response on their stream, at the level of sections and content: beneath fetch and (req, res).

import { type Stream, StreamClosedError, StreamError } from "../src/index.ts";
import type { Http3Connection } from "./connection.ts";
import { H3_ERROR, Http3ConnectionError, Http3StateError, Http3StreamError } from "./errors.ts";
import type { Role } from "./frames.ts";
import { INTERIM_RESPONSES } from "./limits.ts";
import { requestSection, responseSection, type RequestToSend } from "./message-build.ts";
import { checkRequest, checkResponse, type RequestHead, type ResponseHead } from "./message-head.ts";
import { parseContentLength, splitCookies } from "./fields.ts";
import { MessageReader, type ReaderOwner } from "./message-reader.ts";
import { MessageWriter, type WriterOwner } from "./message-writer.ts";
import { parsePriority, priorityOf, type Priority, type PriorityParameters } from "./priority.ts";
import type { Field } from "./qpack/field.ts";
import type { QpackStreams } from "./qpack-streams.ts";
import type { Settings } from "./settings.ts";

/** What a stream asks of its connection. @internal */
export interface StreamHost {
  readonly connection: Http3Connection;
  readonly role: Role;
  readonly qpack: QpackStreams;
  readonly maxFieldSectionSize: number;
  readonly takeover: ReadonlySet<number> | null;
  readonly peerSettings: Settings;
  /** Ends the connection for what the peer did. */
  fail(error: Http3ConnectionError): void;
  /** What to tell of an error of QUIC's. */
  translate(error: unknown): unknown;
  /** The peer gave a stream up before it was over. */
  onPeerReset(stream: MessageStream): void;
  /** Both sides of it are over. */
  onStreamOver(stream: MessageStream): void;
  onPushPromise(stream: MessageStream, pushId: number, fields: readonly Field[]): void;
  onTakeover(stream: MessageStream, type: number, rest: Uint8Array): void;
}

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
  protected abstract readonly isTunnel: boolean;

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
    const callbacks = this.#whenOver;
    this.#whenOver = null;
    if (callbacks !== null) for (const callback of callbacks) callback();
  }
}

/** A stream that the peer ended early. */
function remoteError(error: StreamError, what: "reset" | "stopped reading"): Http3StreamError {
  return new Http3StreamError(
    error.errorCode,
    what === "reset" ? "the peer reset the stream" : "the peer stopped reading the stream",
    { remote: true, cause: error },
  );
}

function contentLengthOf(fields: readonly Field[]): number | null {
  for (const { name, value } of fields) if (name === "content-length") return parseContentLength(value);
  return null;
}

/** A request that this client sends. */
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
    return this.writer.head(head, true, tunnel ? null : contentLengthOf(section));
  }

  protected override get isTunnel(): boolean {
    return this.request.method === "CONNECT";
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
        head = checkResponse(section);
      } catch (error) {
        throw this.#refuse(error as Http3StreamError);
      }
      if (this.reader.sequence.responseHead(head, this.request.method)) {
        this.#response = head;
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
  #fromField: PriorityParameters | null = null;
  #fromFrame: PriorityParameters | null = null;
  /** @internal When it was opened, ms. */
  readonly openedAt: number = performance.now();

  /** The request's head. */
  get request(): RequestHead {
    if (this.#request === null) throw new Http3StateError("the request's head has not come");
    return this.#request;
  }

  protected override get isTunnel(): boolean {
    return this.#request?.method === "CONNECT";
  }

  /**
   * Whether it came in 0-RTT of a client whose handshake is not complete: it may be a copy of a request that was answered
   * already. rfc8470
   */
  get early(): boolean {
    return this.stream.early && !this.connection.quic.connectionState().handshakeComplete;
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
      if (lines.length > 0) this.#fromField = parsePriority(lines.join(", "));
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

  /** The priority that the client gave the response: by its Priority field, or later by a frame. rfc9218#4 */
  get priority(): Priority {
    // rfc9218#7.2: what the frame says replaces what the field said.
    return priorityOf(this.#fromFrame ?? this.#fromField);
  }

  /** @internal A PRIORITY_UPDATE frame. */
  reprioritize(parameters: PriorityParameters): void {
    this.#fromFrame = parameters;
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
      const tunnel = method === "CONNECT" && status < 300;
      // rfc9110#6.4.1
      const content = method !== "HEAD" && status !== 204 && status !== 304;
      return this.writer.head(section, status >= 200, tunnel ? null : contentLengthOf(section), content);
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

function tooLarge(error: unknown): boolean {
  return error instanceof Http3StreamError && error.errorCode === H3_ERROR.H3_EXCESSIVE_LOAD;
}
