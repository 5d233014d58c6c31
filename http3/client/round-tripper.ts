// The HTTP/3 client beneath fetch: one request, one response.

import { Http3StateError } from "../errors.ts";
import type { Http3Connection } from "../connection.ts";
import { fieldsOf, headersOf } from "../headers.ts";
import { RESPONSE_TIMEOUT } from "../limits.ts";
import { serializePriority, type Priority } from "../priority.ts";
import { type Answer, type Outgoing, send } from "./exchange.ts";
import { ConnectionPool, type Place, placeOf, type PoolOptions } from "./pool.ts";
import { type Http3Response, responseOf } from "./response.ts";

/** Options of {@link RoundTripper}: those of its connections, and how long a server may take. Times in ms. */
export interface RoundTripperOptions extends PoolOptions {
  /** Until a response's head is there. Default 300,000; 0 for ever. */
  readonly headersTimeout?: number;
  /** Between two parts of a response's body. Default 300,000; 0 for ever. */
  readonly bodyTimeout?: number;
}

/** Options of one request. */
export interface RoundTripOptions {
  /** Aborts the request, or its response's body; beside the signal that the Request has. */
  readonly signal?: AbortSignal;
  /** What the server is told of the response's priority, rfc9218#4. Default urgency 3, not incremental: nothing is said. */
  readonly priority?: Priority;
  /** Trailer fields of the request; a function is called when the body was sent. */
  readonly trailers?: HeadersInit | (() => HeadersInit);
  /** Gets interim responses: 103 Early Hints, 102 … */
  readonly onInformational?: (status: number, headers: Headers) => void;
  /** Fails where there is no open connection to the origin, in place of making one. */
  readonly onlyCachedConnection?: boolean;
  /** Where the origin is served, when that is not what its URL says; it has to have the origin's certificate. */
  readonly alternative?: { readonly host?: string; readonly port: number };
}

/**
 * Makes HTTP/3 requests, quic-go's `http3.Transport`: one connection for each origin, shared by its requests. It follows no
 * redirects, keeps no cookies and decodes no content: `createFetch` does as fetch does.
 *
 * A request whose connection turns out to be gone is sent again once where that is safe: where the server has not
 * processed it, or where its method can be repeated, and its body has not been read.
 *
 * @example
 * import { RoundTripper } from "quic-ts/http3";
 * const client = new RoundTripper({ tls: { ca } });
 * const response = await client.roundTrip(new Request("https://localhost:4433/"));
 * console.log(response.status, await response.text());
 * await client.close();
 */
export class RoundTripper implements AsyncDisposable {
  readonly #options: RoundTripperOptions;
  readonly #pool: ConnectionPool;

  constructor(options: RoundTripperOptions = {}) {
    this.#options = options;
    this.#pool = new ConnectionPool(options);
  }

  /**
   * Sends a request and resolves with its response when the head of that has come.
   *
   * @throws {Http3StateError} for a scheme other than https, without a cached connection where that is demanded, and
   * after `close`; what dialing throws; the signal's reason; {Http3TimeoutError}; {Http3StreamError} and
   * {Http3ConnectionError} where the server or the connection failed
   */
  async roundTrip(request: Request, options: RoundTripOptions = {}): Promise<Http3Response> {
    const url = new URL(request.url);
    const { onInformational, trailers, priority } = options;
    const signal =
      options.signal === undefined ? request.signal : AbortSignal.any([request.signal, options.signal]);
    const fields = fieldsOf(request.headers).filter(({ name }) => name !== "host");
    const value = priority === undefined ? "" : serializePriority(priority);
    if (value !== "") fields.push({ name: "priority", value });
    const answer = await this.exchange(
      {
        method: request.method,
        scheme: url.protocol.slice(0, -1),
        // rfc9114#4.3.1 Clients that generate HTTP/3 requests directly SHOULD use the :authority pseudo-header field instead
        // of the Host header field.
        authority: request.headers.get("host") ?? url.host,
        path: url.pathname + url.search,
        fields,
        body: request.body as Outgoing["body"],
        ...(trailers === undefined
          ? {}
          : {
              trailers: () => fieldsOf(new Headers(typeof trailers === "function" ? trailers() : trailers)),
            }),
      },
      url,
      {
        ...options,
        signal,
        ...(onInformational === undefined
          ? {}
          : { onInterim: ({ status, fields }) => onInformational(status, headersOf(fields)) }),
      },
    );
    const { bodyTimeout = RESPONSE_TIMEOUT } = this.#options;
    return responseOf(answer, request.url, bodyTimeout, signal);
  }

  /** @internal The same at the level of fields. */
  async exchange(
    request: Outgoing,
    url: URL,
    options: Pick<RoundTripOptions, "alternative" | "onlyCachedConnection"> & {
      signal?: AbortSignal;
      headersTimeout?: number;
      onInterim?: (head: Answer["head"]) => void;
    },
  ): Promise<Answer> {
    // rfc9114#3.1.2 Prior to making requests for an origin whose scheme is not "https", the client MUST ensure the server is
    // willing to serve that scheme: there is no way to here, and no such requests.
    if (url.protocol !== "https:") throw new Http3StateError(`HTTP/3 is for https, not ${url.protocol}`);
    if (options.onlyCachedConnection === true && this.#pool.cached(url.origin) === null) {
      throw new Http3StateError(`there is no connection to ${url.origin}`);
    }
    return send(this.#pool, url.origin, withAlternative(placeOf(url), options.alternative), request, {
      signal: options.signal,
      headersTimeout: options.headersTimeout ?? this.#options.headersTimeout ?? RESPONSE_TIMEOUT,
      onInterim: options.onInterim,
    });
  }

  /**
   * Makes a connection to an origin before there is a request, or gives the one there is.
   *
   * @throws what dialing throws; the signal's reason
   */
  async connect(
    origin: string | URL,
    options: Pick<RoundTripOptions, "alternative" | "signal"> = {},
  ): Promise<Http3Connection> {
    this.#pool.use();
    try {
      return await this.connectQuietly(origin, options);
    } finally {
      this.#pool.release();
    }
  }

  /** @internal The same without keeping the process for it. */
  connectQuietly(
    origin: string | URL,
    options: Pick<RoundTripOptions, "alternative" | "signal"> = {},
  ): Promise<Http3Connection> {
    const url = new URL(origin);
    return this.#pool.get(url.origin, withAlternative(placeOf(url), options.alternative), options.signal);
  }

  /** Whether a request to that origin would not have to wait for a connection. */
  hasConnection(origin: string | URL): boolean {
    return this.#pool.cached(new URL(origin).origin) !== null;
  }

  /** The connections that are open. */
  get connections(): ReadonlySet<Http3Connection> {
    return this.#pool.connections;
  }

  /** Closes the connections on which nothing is under way. */
  closeIdleConnections(): void {
    this.#pool.closeIdle();
  }

  /**
   * Takes no more requests, and closes when those under way are done.
   *
   * @param options.signal - ends the wait: what is left is closed at once, and the call rejects with the reason
   */
  shutdown(options?: { signal?: AbortSignal }): Promise<void> {
    return this.#pool.shutdown(options);
  }

  /** Closes all connections at once, with the requests under way. As often as you like. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** rfc9114#3.1.1: wherever the alternative is, it has to be who the origin is. */
function withAlternative(place: Place, alternative: RoundTripOptions["alternative"]): Place {
  if (alternative === undefined) return place;
  return { host: alternative.host || place.host, port: alternative.port, servername: place.servername };
}
