// A request as (req, res) handlers know it.

import { type IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { H3_ERROR, Http3StreamError } from "../errors.ts";
import { wantBody } from "../headers.ts";
import type { ServerStream } from "../request-stream.ts";
import { distinct, headersObject } from "./headers-object.ts";
import { Http3Socket } from "./socket.ts";

/** Where IncomingMessage keeps how many of its raw headers and trailers are whole; undefined where it has no such place. */
const [HEADERS_COUNT, TRAILERS_COUNT] = ["kHeadersCount", "kTrailersCount"].map((name) =>
  Object.getOwnPropertySymbols(new IncomingMessage(null as never)).find(
    ({ description }) => description === name,
  ),
);

/** IncomingMessage as it is without its types' fixed property list. */
const Incoming = IncomingMessage as unknown as new (socket: unknown) => Readable & {
  httpVersion: string;
  httpVersionMajor: number;
  httpVersionMinor: number;
  method: string;
  url: string;
  rawHeaders: string[];
  rawTrailers: string[];
  headers: IncomingHttpHeaders;
  trailers: NodeJS.Dict<string>;
  complete: boolean;
  aborted: boolean;
  [count: symbol]: unknown;
};

/**
 * A request, shaped like node:http2's Http2ServerRequest; and a real IncomingMessage, as frameworks ask for one. `host`
 * stands among its headers where the client sent `:authority`; pseudo-header fields do not.
 */
export class Http3ServerRequest extends Incoming {
  /** The request stream beneath. */
  readonly stream: ServerStream;
  /** Of `:authority`, or Host. */
  readonly authority: string;
  readonly scheme: string;
  #reading = false;
  #asked = false;

  /** @internal */
  constructor(stream: ServerStream) {
    super(Http3Socket.of(stream.connection));
    pin(this);
    this.stream = stream;
    const { method, path, authority, scheme, fields } = stream.request;
    this.httpVersion = "3.0";
    this.httpVersionMajor = 3;
    this.httpVersionMinor = 0;
    this.method = method;
    // CONNECT names where to, as in HTTP/1.
    this.url = path || authority;
    this.authority = authority;
    this.scheme = scheme;
    const raw = this.rawHeaders;
    if (authority !== "" && !fields.some(({ name }) => name === "host")) raw.push("host", authority);
    for (const { name, value } of fields) raw.push(name, value);
    // The fields by name, joined as node:http joins them. IncomingMessage keeps both.
    this.headers = headersObject(raw);
    this.trailers = {};
    if (HEADERS_COUNT !== undefined) this[HEADERS_COUNT] = raw.length;
  }

  get headersDistinct(): NodeJS.Dict<string[]> {
    return distinct(this.rawHeaders);
  }

  set headersDistinct(_headers: unknown) {}

  get trailersDistinct(): NodeJS.Dict<string[]> {
    return distinct(this.rawTrailers);
  }

  set trailersDistinct(_trailers: unknown) {}

  /** The client gave up. @internal */
  clientGone(reason: unknown): void {
    // What it had sent whole can still be read.
    if (this.complete || this.destroyed) return;
    // A client that reads no more may go on sending; one that reset tells the reader.
    if (reason instanceof Http3StreamError && reason.errorCode === H3_ERROR.H3_NO_ERROR) return;
    this.destroy(reason as Error);
  }

  override _read(): void {
    if (this.#reading) return;
    if (!this.#asked) wantBody(this.stream);
    this.#asked = true;
    // IncomingMessage is made so that nothing is read ahead before somebody reads.
    (this as unknown as { _readableState: { readingMore: boolean } })._readableState.readingMore = false;
    this.#reading = true;
    this.stream.read().then(
      (chunk) => {
        this.#reading = false;
        if (chunk !== null) {
          this.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
          return;
        }
        for (const { name, value } of this.stream.trailers ?? []) this.rawTrailers.push(name, value);
        if (this.rawTrailers.length > 0) {
          this.trailers = headersObject(this.rawTrailers) as NodeJS.Dict<string>;
          if (TRAILERS_COUNT !== undefined) this[TRAILERS_COUNT] = this.rawTrailers.length;
        }
        this.complete = true;
        this.push(null);
      },
      (error: unknown) => this.destroy(error as Error),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.readableEnded || !this.complete) {
      this.aborted = true;
      // As node:http: also a request that was answered unread is over.
      if (error !== null) this.emit("aborted");
    }
    this.stream.finishReading();
    // As node:http: who listens for no error is not brought down by a client that left.
    process.nextTick(done, error !== null && this.listenerCount("error") > 0 ? error : null);
  }

  /** The response is whole: what nobody reads of the request is not waited for. @internal */
  answered(): void {
    if (this.complete || this.destroyed || this.readableFlowing === true) return;
    this.destroy();
  }

  /** Calls `callback` when nothing happened on the connection for so long: QUIC's idle timeout ends it before. */
  setTimeout(_ms: number, _callback?: () => void): this {
    return this;
  }
}

/**
 * Frameworks put prototypes of their own (express: of IncomingMessage) in the place of an object's: what its class defines has
 * to stand on the object itself to stay. Each by its name, so that the engine gives all requests one shape: names in a loop
 * cost ten times as much. Accessors cost more still; IncomingMessage's own do, once they are told how much there is.
 */
function pin(request: Http3ServerRequest): void {
  const own = Http3ServerRequest.prototype;
  request.clientGone = own.clientGone;
  request._read = own._read;
  request._destroy = own._destroy;
  request.answered = own.answered;
  request.setTimeout = own.setTimeout;
}
