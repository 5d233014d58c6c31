// A request and its response on their stream, at the level of sections and content: beneath fetch and (req, res).

import type { Stream } from "../src/index.ts";
import { H3_ERROR, Http3StateError, Http3StreamError } from "./errors.ts";
import { linesOf, splitCookies } from "./fields.ts";
import { INTERIM_RESPONSES } from "./limits.ts";
import { contentLengthOf, requestSection, responseSection, type RequestToSend } from "./message-build.ts";
import { checkRequest, checkResponse, type RequestHead, type ResponseHead } from "./message-head.ts";
import type { Head } from "./message-reader.ts";
import { MessageStream } from "./message-stream.ts";
import { ResponsePriority } from "./priorities.ts";
import { parsePriority, type Priority, type PriorityParameters } from "./priority.ts";
import type { PushRequest, ServerPush } from "./push-server.ts";
import type { Field } from "./qpack/field.ts";
import { tooLarge } from "./stream-errors.ts";
import type { StreamHost } from "./stream-host.ts";

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
    this.grease();
    return this.writer.head(head, true, tunnel ? null : contentLengthOf(section));
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
      const found = this.reader.section();
      const section = found instanceof Promise ? await found : found;
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

  /**
   * @internal Reads the head: at once where it is there. False where it did not come to one; the stream is ended then.
   */
  receive(extendedConnect: boolean): boolean | Promise<boolean> {
    let section: Head | Promise<Head>;
    try {
      section = this.reader.section();
    } catch (error) {
      return this.#brokeOff(error);
    }
    if (!(section instanceof Promise)) return this.#received(section, extendedConnect);
    return section.then(
      (late) => this.#received(late, extendedConnect),
      (error: unknown) => this.#brokeOff(error),
    );
  }

  #brokeOff(error: unknown): false {
    if (tooLarge(error)) void this.#answerTooLarge();
    // rfc9114#4.1: there is not enough of a request for a response.
    else this.give(new Http3StreamError("H3_REQUEST_INCOMPLETE", "the request broke off", { cause: error }));
    return false;
  }

  #received(section: Head, extendedConnect: boolean): boolean {
    if (section === "too-large") {
      void this.#answerTooLarge();
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
      const priority = linesOf(head.fields, "priority");
      if (priority !== null) this.#priority.field = parsePriority(priority);
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
      if (status >= 200) this.grease();
      return this.writer.head(section, status >= 200, length, content);
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
