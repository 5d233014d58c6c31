// A request as (req, res) handlers know it.

import { type IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { H3_ERROR, Http3StreamError } from "../errors.ts";
import { wantBody } from "../headers.ts";
import type { ServerStream } from "../request-stream.ts";
import { distinct, headersObject } from "./headers-object.ts";
import { Http3Socket } from "./socket.ts";

/** IncomingMessage as it is without its types' fixed property list. */
const Incoming = IncomingMessage as unknown as new (socket: unknown) => Readable & {
  httpVersion: string;
  httpVersionMajor: number;
  httpVersionMinor: number;
  method: string;
  url: string;
  rawHeaders: string[];
  rawTrailers: string[];
  complete: boolean;
  aborted: boolean;
};

/**
 * A request, shaped like node:http2's Http2ServerRequest; and a real IncomingMessage, as frameworks ask for one. `host`
 * stands among its headers where the client sent `:authority`; pseudo-header fields do not.
 */
export class Http3ServerRequest extends Incoming {
  readonly #stream: ServerStream;
  #reading = false;
  #asked = false;
  #headers: IncomingHttpHeaders | null = null;

  /** @internal */
  constructor(stream: ServerStream) {
    super(Http3Socket.of(stream.connection));
    // Frameworks put prototypes of their own between an object and its methods: these have to stay.
    Object.defineProperties(this, own);
    this.#stream = stream;
    const { request } = stream;
    this.httpVersion = "3.0";
    this.httpVersionMajor = 3;
    this.httpVersionMinor = 0;
    this.method = request.method;
    // CONNECT names where to, as in HTTP/1.
    this.url = request.path || request.authority;
    let host = false;
    for (const { name, value } of request.fields) {
      if (name === "host") host = true;
      this.rawHeaders.push(name, value);
    }
    if (!host && request.authority !== "") this.rawHeaders.unshift("host", request.authority);
    stream.signal.addEventListener("abort", () => this.#gone(stream.signal.reason), { once: true });
  }

  /** The request stream beneath. */
  get stream(): ServerStream {
    return this.#stream;
  }

  /** Of `:authority`, or Host. */
  get authority(): string {
    return this.#stream.request.authority;
  }

  get scheme(): string {
    return this.#stream.request.scheme;
  }

  /** The fields by name, joined as node:http joins them. */
  get headers(): IncomingHttpHeaders {
    return (this.#headers ??= headersObject(this.rawHeaders));
  }

  set headers(_headers: unknown) {}

  get headersDistinct(): NodeJS.Dict<string[]> {
    return distinct(this.rawHeaders);
  }

  set headersDistinct(_headers: unknown) {}

  /** Empty until the content was read to its end. */
  get trailers(): NodeJS.Dict<string> {
    return headersObject(this.rawTrailers) as NodeJS.Dict<string>;
  }

  set trailers(_trailers: unknown) {}

  get trailersDistinct(): NodeJS.Dict<string[]> {
    return distinct(this.rawTrailers);
  }

  set trailersDistinct(_trailers: unknown) {}

  /** The client gave up. */
  #gone(reason: unknown): void {
    // What it had sent whole can still be read.
    if (this.complete || this.destroyed) return;
    // A client that reads no more may go on sending; one that reset tells the reader.
    if (reason instanceof Http3StreamError && reason.errorCode === H3_ERROR.H3_NO_ERROR) return;
    this.destroy(reason as Error);
  }

  override _read(): void {
    if (this.#reading) return;
    if (!this.#asked) wantBody(this.#stream);
    this.#asked = true;
    // IncomingMessage is made so that nothing is read ahead before somebody reads.
    (this as unknown as { _readableState: { readingMore: boolean } })._readableState.readingMore = false;
    this.#reading = true;
    this.#stream.read().then(
      (chunk) => {
        this.#reading = false;
        if (chunk !== null) {
          this.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
          return;
        }
        for (const { name, value } of this.#stream.trailers ?? []) this.rawTrailers.push(name, value);
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
    this.#stream.finishReading();
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

const own = Object.getOwnPropertyDescriptors(Http3ServerRequest.prototype);
delete (own as { constructor?: unknown }).constructor;
