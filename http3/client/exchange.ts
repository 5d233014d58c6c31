// One request and the head of its response, with one more try where that is safe.

import { Error0RTTRejected, QuicError } from "../../src/index.ts";
import { type Content, sendContent } from "../body.ts";
import {
  GoingAwayError,
  H3_ERROR,
  Http3ConnectionError,
  Http3StreamError,
  Http3TimeoutError,
} from "../errors.ts";
import type { Http3Connection } from "../connection.ts";
import { CONTINUE_TIMEOUT } from "../limits.ts";
import type { ResponseHead } from "../message-head.ts";
import type { Field } from "../qpack/field.ts";
import type { ClientStream } from "../request-stream.ts";
import type { ConnectionPool, Place } from "./pool.ts";

/** A request as it goes out. */
export interface Outgoing {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  /** Path and query. */
  readonly path: string;
  readonly fields: readonly Field[];
  /** Bytes can be sent again, a stream only as long as nobody has begun to read it. */
  readonly body: Uint8Array | Content | null;
  /** Asked for when the body was sent. */
  readonly trailers?: () => readonly Field[];
}

/** What a request is sent with. */
export interface ExchangeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Ms until the response's head is there, counted from when the request was sent. 0 for ever. */
  readonly headersTimeout: number;
  /** Gets interim responses. */
  readonly onInterim?: ((head: ResponseHead) => void) | undefined;
}

/** A response whose body has not been read. */
export interface Answer {
  readonly stream: ClientStream;
  readonly head: ResponseHead;
}

/** rfc9110#9.2.2: what can be done twice as well as once. */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** rfc9110#9.2.1: what changes nothing. */
const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/** Sends a request on the origin's connection; once more, on another one, where that cannot do it twice. */
export async function send(
  pool: ConnectionPool,
  origin: string,
  place: Place,
  request: Outgoing,
  options: ExchangeOptions,
): Promise<Answer> {
  const source = new Source(request.body);
  pool.use();
  try {
    for (let attempt = 0; ; attempt++) {
      // rfc9114#10.9 The anti-replay mitigations in [HTTP-REPLAY] MUST be applied when using HTTP/3 with 0-RTT: safe methods
      // alone, and nothing that failed so a second time.
      const early = attempt === 0 && request.body === null && SAFE.has(request.method);
      const connection = await pool.get(origin, place, options.signal, early);
      const wasEarly = early && !connection.quic.connectionState().handshakeComplete;
      try {
        const answer = await exchange(connection, request, source, options);
        if (answer.head.status === 425 && wasEarly) {
          // rfc8470#5.2: once more, when the handshake is complete.
          answer.stream.cancel();
          continue;
        }
        const misdirected = answer.head.status === 421 && !pool.isOwn(origin, connection);
        if (misdirected && attempt === 0 && source.replayable) {
          // rfc9110#15.5.20: once more, over a connection of the origin's own.
          answer.stream.cancel();
          continue;
        }
        // Until the body was read, or given up, somebody waits for it.
        pool.use();
        answer.stream.whenOver(() => pool.release());
        return answer;
      } catch (error) {
        if (attempt > 0 || options.signal?.aborted === true) throw error;
        if (!source.replayable || !maySendAgain(request.method, error)) throw error;
      }
    }
  } finally {
    pool.release();
  }
}

/**
 * Whether a request that failed so can be sent again.
 *
 * rfc9114#5.4 If a connection terminates without a GOAWAY frame, clients MUST assume that any request that was sent, whether
 * in whole or in part, might have been processed: those alone are sent again that can be done twice.
 */
function maySendAgain(method: string, error: unknown): boolean {
  // 0-RTT that was refused was not processed.
  if (error instanceof GoingAwayError || error instanceof Error0RTTRejected) return true;
  if (error instanceof Http3StreamError) return error.rejected;
  if (!IDEMPOTENT.has(method)) return false;
  // The connection went away beneath it: a server that restarted, a path that is gone.
  if (error instanceof Http3ConnectionError) return error.remote && error.errorCode === H3_ERROR.H3_NO_ERROR;
  return error instanceof QuicError && (error.remote || error.timeout);
}

/** A request's body, and whether it is whole still. */
class Source {
  readonly body: Uint8Array | Content | null;
  #touched = false;

  constructor(body: Uint8Array | Content | null) {
    this.body = body;
  }

  get replayable(): boolean {
    return !this.#touched;
  }

  async sendOn(stream: ClientStream): Promise<void> {
    if (this.body === null) return;
    if (this.body instanceof Uint8Array) return stream.write(this.body);
    this.#touched = true;
    await sendContent(this.body, stream);
  }

  /** It will not be read. */
  cancel(reason: unknown): void {
    const { body } = this;
    if (body === null || body instanceof Uint8Array || this.#touched) return;
    this.#touched = true;
    if (body instanceof ReadableStream) void body.cancel(reason).catch(() => {});
    else void Promise.resolve(body[Symbol.asyncIterator]().return?.()).catch(() => {});
  }
}

async function exchange(
  connection: Http3Connection,
  request: Outgoing,
  source: Source,
  options: ExchangeOptions,
): Promise<Answer> {
  const { signal, headersTimeout } = options;
  const { method, scheme, authority, path, fields } = request;
  const stream = await connection.request(
    { method, scheme, authority, path, fields },
    signal === undefined ? {} : { signal },
  );
  /** Why it ended, where that is none of the stream's doing. */
  let failure: { error: unknown } | null = null;
  const stop = (error: unknown, reason: string) => {
    failure ??= { error };
    // rfc9114#4.1.1 Clients MUST NOT use the H3_REQUEST_REJECTED error code, except when a server has requested closure of
    // the request stream with this error code.
    stream.give(new Http3StreamError("H3_REQUEST_CANCELLED", reason, { cause: error }));
  };
  const onAbort = () => stop(signal!.reason, "the request was aborted");
  if (signal?.aborted === true) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  // The signal holds for the body as well: until the stream is over.
  if (signal !== undefined) stream.whenOver(() => signal.removeEventListener("abort", onAbort));
  const timer =
    headersTimeout === 0
      ? undefined
      : setTimeout(() => {
          const error = new Http3TimeoutError("headersTimeout", `no response within ${headersTimeout} ms`);
          stop(error, "the response took too long");
        }, headersTimeout);
  const gate = new Gate(expectsContinue(request));
  void upload(stream, request, source, gate).catch((error: unknown) => {
    // What the peer or the connection did is told by the response; what is left is the source's own failure.
    if (stream.writeEnded) return;
    stop(error, "the request's body failed");
  });
  try {
    const head = await stream.response((interim) => {
      if (interim.status === 100) gate.open(true);
      else options.onInterim?.(interim);
    });
    gate.open(false);
    return { stream, head };
  } catch (error) {
    gate.open(false);
    throw (failure as { error: unknown } | null)?.error ?? error;
  } finally {
    clearTimeout(timer);
  }
}

async function upload(stream: ClientStream, request: Outgoing, source: Source, gate: Gate): Promise<void> {
  if (!(await gate.passed)) {
    // rfc9110#10.1.1: the final response came, so that the body is not wanted.
    source.cancel(new Error("the server answered without the body"));
    stream.stopWriting();
    return;
  }
  await source.sendOn(stream);
  // rfc9114#4.1 After sending a request, a client MUST close the stream for sending. Unless using the CONNECT method (see
  // Section 4.4), clients MUST NOT make stream closure dependent on receiving a response to their request.
  await stream.end(request.trailers?.() ?? []);
}

const expectsContinue = ({ fields, body }: Outgoing) =>
  body !== null && fields.some(({ name, value }) => name === "expect" && /^100-continue$/i.test(value));

/** Holds the body back until the server says 100, or has said nothing for a while. rfc9110#10.1.1 */
class Gate {
  readonly passed: Promise<boolean> | true;
  #resolve: (pass: boolean) => void = () => {};
  #timer: NodeJS.Timeout | undefined;

  constructor(closed: boolean) {
    this.passed = !closed || new Promise((resolve) => (this.#resolve = resolve));
    if (closed) this.#timer = setTimeout(() => this.open(true), CONTINUE_TIMEOUT);
  }

  open(pass: boolean): void {
    clearTimeout(this.#timer);
    this.#resolve(pass);
  }
}
