// Handlers in the shape of fetch: a Request comes, a Response goes.

import type { ConnectionState } from "../src/index.ts";
import { bodyOf, sendContent } from "./body.ts";
import type { Http3Connection } from "./connection.ts";
import { H3_ERROR, Http3Error, Http3StateError } from "./errors.ts";
import { fieldsOf, headersOf, httpDate, pairsOf, valueOf, wantBody } from "./headers.ts";
import type { Priority } from "./priority.ts";
import type { ServerPush } from "./push-server.ts";
import type { Field } from "./qpack/field.ts";
import type { ServerStream } from "./request-stream.ts";

/** Thrown to be answered with 425, see {@link RequestContext.mustNotBeEarly}. */
export class TooEarlyError extends Http3StateError {
  constructor() {
    super("the request may be a copy of one that came before: it is answered with 425");
  }
}

/** What is known about a request beside the Request. */
export class RequestContext {
  /** The request stream beneath; who takes it over answers it all by itself, and returns nothing. */
  readonly stream: ServerStream;
  #responseTrailers: Headers | null = null;
  #trailers: Promise<Headers> | null = null;
  #resolveTrailers: () => void = () => {};
  #rejectTrailers: (error: unknown) => void = () => {};
  /** How the request's body ended, once it has. */
  #ended: { readonly error?: unknown } | null = null;

  /** @internal */
  constructor(stream: ServerStream) {
    this.stream = stream;
  }

  /** Trailers of the response: what is there when its body has ended is sent. */
  get responseTrailers(): Headers {
    return (this.#responseTrailers ??= new Headers());
  }

  /** @internal */
  get trailersToSend(): readonly Field[] {
    return this.#responseTrailers === null ? [] : fieldsOf(this.#responseTrailers);
  }

  /** Resolves with the request's trailers when its body was read to the end; rejects where it broke off. */
  get trailers(): Promise<Headers> {
    if (this.#trailers === null) {
      this.#trailers = new Promise((resolve, reject) => {
        this.#resolveTrailers = () => resolve(headersOf(this.stream.trailers ?? []));
        this.#rejectTrailers = reject;
      });
      // Nobody has to look at it.
      this.#trailers.catch(() => {});
      if (this.#ended !== null) this.#bodyEnded(this.#ended);
    }
    return this.#trailers;
  }

  #bodyEnded(how: { readonly error?: unknown }): void {
    this.#ended = how;
    if ("error" in how) this.#rejectTrailers(how.error);
    else this.#resolveTrailers();
  }

  get connection(): Http3Connection {
    return this.stream.connection;
  }

  /** The client's address, as `192.0.2.1:443` or `[2001:db8::1]:443`. */
  get remoteAddress(): string {
    return this.connection.quic.remoteAddress;
  }

  get localAddress(): string {
    return this.connection.quic.localAddress;
  }

  /** What TLS has negotiated: cipher, server name, the client's certificates … */
  get tls(): ConnectionState {
    return this.connection.quic.connectionState();
  }

  /**
   * Whether the request came in 0-RTT of a client whose handshake is not complete: it may be a copy of one that was answered
   * already. Methods that are not safe get here only when it is.
   */
  get early(): boolean {
    return this.stream.early;
  }

  /**
   * For what must not be done twice: answers 425 (Too Early) where the request may be a copy, also where an intermediary says
   * so by `Early-Data: 1`; clients then send it again. rfc8470#5.2
   *
   * @throws {TooEarlyError}, which is for nobody to catch
   */
  mustNotBeEarly(): void {
    // rfc8470#5.1, rfc8470#5.2
    if (this.early || valueOf(this.stream.request.fields, "early-data") === "1") throw new TooEarlyError();
  }

  /** What the client said about the response's priority, rfc9218. It may change. */
  get priority(): Priority {
    return this.stream.priority;
  }

  /** Sends an interim response (1xx) before the final one. rfc9110#15.2 */
  informational(status: number, headers?: HeadersInit): Promise<void> {
    return this.stream.informational(status, fieldsOf(new Headers(headers)));
  }

  /**
   * Sends 103 Early Hints, rfc8297: what the client can fetch while the response is made.
   *
   * @param links - values of Link fields, as `</style.css>; rel=preload; as=style`
   */
  earlyHints(...links: readonly string[]): Promise<void> {
    return this.stream.informational(
      103,
      links.map((value) => ({ name: "link", value })),
    );
  }

  /**
   * Pushes the response to a request that the client has not made (rfc9114#4.6). Await it before what refers to it is sent.
   *
   * @param path - path and query on the same origin; or with the fields of the request
   * @returns false where the client takes no pushes, or no more for now: most take none
   * @throws {Http3StateError} where the response has ended; what the body fails with ends the push alone
   */
  async push(path: string | { path: string; headers?: HeadersInit }, response: Response): Promise<boolean> {
    const { headers, ...request } = typeof path === "string" ? { path } : { ...path };
    const push = await this.stream.push({ ...request, fields: fieldsOf(new Headers(headers)) });
    if (push === null) {
      void response.body?.cancel().catch(() => {});
      return false;
    }
    sendPush(push, response).catch(() => push.cancel());
    return true;
  }

  /** @internal */
  bodyRead(): void {
    this.#bodyEnded({});
  }

  /** @internal */
  bodyFailed(error: unknown): void {
    this.#bodyEnded({ error });
  }
}

/**
 * Answers a request. Undefined says that the handler has answered, or will, through `context.stream`. What it throws is
 * answered with 500, or resets the stream where the response has begun.
 */
export type FetchHandler = (
  request: Request,
  context: RequestContext,
) => Response | undefined | void | Promise<Response | undefined | void>;

/** The request as fetch has it. @throws where `Request` refuses it, as it does TRACE. */
export function requestOf(stream: ServerStream, context: RequestContext): Request {
  const { request } = stream;
  const init: RequestInit & { duplex: "half" } = {
    method: request.method,
    headers: pairsOf(request.fields),
    signal: stream.signal,
    duplex: "half",
  };
  if (request.method !== "GET" && request.method !== "HEAD" && request.contentLength !== 0) {
    let asked = false;
    const read = () => {
      if (!asked) wantBody(stream);
      asked = true;
      return stream.read();
    };
    init.body = bodyOf(read, {
      onEnd: () => context.bodyRead(),
      onError: (error) => context.bodyFailed(error),
      onCancel: () => stream.finishReading(),
    }) as NonNullable<RequestInit["body"]>;
  }
  return new Request(`${request.scheme}://${request.authority}${request.path}`, init);
}

/**
 * Runs a handler and sends what it answers.
 *
 * @param onError - told of what the handler, or a response's body, fails with
 */
export async function serveFetch(
  stream: ServerStream,
  handler: FetchHandler,
  onError: (error: unknown, stream: ServerStream) => void,
): Promise<void> {
  const context = new RequestContext(stream);
  let request: Request;
  try {
    request = requestOf(stream, context);
  } catch {
    // Methods and targets that Request refuses: TRACE, `*`.
    await answer(stream, 501);
    return;
  }
  try {
    const response = await handler(request, context);
    if (response === undefined) return;
    await sendResponse(stream, response, context);
  } catch (error) {
    // A client that leaves is no failure of the handler's.
    if (stream.writeEnded || (error instanceof Http3Error && error.remote)) {
      stream.finishReading();
      return;
    }
    if (error instanceof TooEarlyError) return answer(stream, 425);
    onError(error, stream);
    await answer(stream, 500);
  }
}

async function sendPush(push: ServerPush, response: Response): Promise<void> {
  const fields = fieldsOf(response.headers);
  if (!response.headers.has("date")) fields.push({ name: "date", value: httpDate() });
  await push.respond(response.status, fields);
  if (response.body !== null) await sendContent(response.body, push);
  await push.end();
}

async function sendResponse(
  stream: ServerStream,
  response: Response,
  context: RequestContext,
): Promise<void> {
  const { body, status } = response;
  // Response.error(), and what is no final status.
  if (!(status >= 200 && status <= 999))
    throw new TypeError(`a response with status ${status} cannot be sent`);
  const fields = fieldsOf(response.headers);
  // rfc9110#6.6.1 An origin server with a clock MUST generate a Date header field in all 2xx, 3xx and 4xx responses.
  if (!response.headers.has("date")) fields.push({ name: "date", value: httpDate() });
  if (
    body === null &&
    needsLength(stream.request.method, status) &&
    !response.headers.has("content-length")
  ) {
    fields.push({ name: "content-length", value: "0" });
  }
  try {
    await stream.respond(status, fields);
  } catch (error) {
    void body?.cancel(error).catch(() => {});
    throw error;
  }
  if (body !== null) {
    if (stream.request.method === "HEAD" || status === 204 || status === 304)
      void body.cancel().catch(() => {});
    else await sendContent(body, stream);
  }
  await stream.end(context.trailersToSend);
  // What the handler has not read by now, nobody will; who has its body reads on.
  stream.finishReading();
}

const needsLength = (method: string, status: number) => method !== "HEAD" && status !== 204 && status !== 304;

/** Ends a stream for a failure: with a response where none has begun, else with a reset. Never rejects. */
export async function answer(stream: ServerStream, status: number): Promise<void> {
  if (stream.headSent) {
    // rfc9114#4.1.1: truncation must not look like success.
    if (!stream.writeEnded) stream.cancel(H3_ERROR.H3_INTERNAL_ERROR, "the response could not be made");
    return;
  }
  try {
    await stream.respond(status, [
      { name: "content-length", value: "0" },
      { name: "date", value: httpDate() },
    ]);
    await stream.end();
  } catch {
    // The client has left.
  }
  stream.finishReading();
}
