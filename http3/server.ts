// The HTTP/3 server.

import { EventEmitter } from "node:events";
import type { createSecureServer as createHttp2Server } from "node:http2";
import {
  type Config,
  type Connection,
  InvalidOptionError,
  type Listener,
  type SniIdentity,
  type TlsOptions,
  Transport,
  type TransportOptions,
} from "../src/index.ts";
import { altSvc, type AltSvcOptions } from "./alt-svc.ts";
import { attach, type AttachableServer } from "./attach.ts";
import { Http3ServerRequest } from "./compat/request.ts";
import { Http3ServerResponse } from "./compat/response.ts";
import { Http3Connection } from "./connection.ts";
import { Http3StateError, isNormalEnd } from "./errors.ts";
import { answer, type FetchHandler, serveFetch } from "./fetch-handler.ts";
import type { IncomingMessage, ServerResponse } from "node:http";
import { checkConfig, H3_ALPN, type Http3Options } from "./options.ts";
import type { ServerStream } from "./request-stream.ts";

/** What a (req, res) handler gets: node:http's objects, and the stream beneath. */
export type NodeRequest = IncomingMessage & Pick<Http3ServerRequest, "stream" | "authority" | "scheme">;
export type NodeResponse = ServerResponse & Pick<Http3ServerResponse, "stream" | "setTrailer">;
/** A handler as node:http and node:http2 have it: a function, a connect or express app, what koa's `callback()` gives. */
export type NodeHandler = (request: NodeRequest, response: NodeResponse) => unknown;
/** A handler beneath both: it answers by `stream.respond`, `write` and `end`. What it throws is answered with 500. */
export type StreamHandler = (stream: ServerStream) => unknown;

/**
 * Options of {@link Server}: those of TLS (`key`, `cert`, `SNICallback` …; ALPN is `h3` where nothing is said), those of
 * HTTP/3, and one handler.
 */
export interface ServerOptions extends Http3Options, TlsOptions {
  /** Answers requests with fetch's Request and Response. */
  readonly fetch?: FetchHandler;
  /** Answers requests as node:http does. */
  readonly handler?: NodeHandler;
  /** Answers requests at the level of streams. */
  readonly stream?: StreamHandler;
  /**
   * Takes CONNECT requests, also extended ones (rfc9220, where `enableConnectProtocol` lets them in), in place of the
   * handler. Without it they are answered with 501.
   */
  readonly connect?: StreamHandler;
  /** Settings of the connections. */
  readonly config?: Config;
  /** Settings of the socket; or a transport of yours, which the server then does not close. */
  readonly transport?: TransportOptions | Transport;
}

/** rfc9110#9.2.1 */
const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

type Events = {
  listening: [];
  close: [];
  connection: [connection: Http3Connection];
  request: [request: NodeRequest, response: NodeResponse];
  stream: [stream: ServerStream];
  error: [error: unknown];
  /** What a handler threw, or a response's body failed with. */
  handlerError: [error: unknown, stream: ServerStream];
};

/**
 * An HTTP/3 server, quic-go's `http3.Server`. Give it one handler: `fetch`, `handler` (req, res) or `stream`.
 *
 * Events: `listening`, `connection`, `stream`, `request`, `handlerError`, `error`, `close`.
 *
 * @example
 * import { Server } from "quic-ts/http3";
 * import { selfSigned } from "quic-ts";
 * const server = new Server({
 *   ...selfSigned(),
 *   fetch: (request) => new Response(`you asked for ${new URL(request.url).pathname}\n`),
 * });
 * await server.listen(4433);
 * await server.close();
 */
export class Server extends EventEmitter<Events> implements AsyncDisposable {
  readonly #options: ServerOptions;
  readonly #connections = new Set<Http3Connection>();
  readonly #listeners = new Set<Listener>();
  #own: { transport: Transport; listener: Listener } | null = null;
  #opening: Promise<void> | null = null;
  #closed: Promise<void> | null = null;
  #shuttingDown = false;

  /** @throws {InvalidOptionError} where there is more than one handler, or ALPN without h3 */
  constructor(options: ServerOptions = {}) {
    super();
    const handlers = [options.fetch, options.handler, options.stream].filter((one) => one !== undefined);
    if (handlers.length > 1 || handlers.some((one) => typeof one !== "function")) {
      throw new InvalidOptionError("fetch", "one function: give one of fetch, handler and stream");
    }
    if (options.ALPNProtocols?.includes(H3_ALPN) === false) {
      throw new InvalidOptionError(
        "ALPNProtocols",
        'the name "h3" has to be among them; leave it out for the default',
      );
    }
    checkConfig(options.config);
    this.#options = options;
  }

  /**
   * Opens a socket and serves whoever comes. As `server.listen` of node:http: `listen(port, host, backlog, callback)` or
   * `listen({ port, host })`, all optional; port 443 is HTTP's, 0 (the default) any.
   *
   * @returns a promise for the moment it listens; where a callback or a listener for `error` is given it may be ignored
   * @throws {SocketError} where the socket cannot be opened; {@link InvalidOptionError} for TLS options
   */
  listen(...args: readonly unknown[]): Promise<void> {
    const callback = args.find((one) => typeof one === "function") as (() => void) | undefined;
    const [first, second] = args;
    const { port, host } =
      typeof first === "object" && first !== null
        ? (first as { port?: number; host?: string })
        : {
            ...(first === undefined || typeof first === "function" ? {} : { port: Number(first) }),
            ...(typeof second === "string" ? { host: second } : {}),
          };
    if (callback !== undefined) this.once("listening", callback);
    const opening = this.#open(port, host);
    opening.catch((error: unknown) => {
      if (this.listenerCount("error") > 0) this.emit("error", error);
    });
    // As in node:http, where nobody looks at a promise: with a callback a failure without a listener is not silent.
    if (callback !== undefined && this.listenerCount("error") > 0) opening.catch(() => {});
    return opening;
  }

  async #open(port?: number, host?: string): Promise<void> {
    if (this.#closed !== null) throw new Http3StateError("the server was closed; make another one");
    if (this.#opening !== null) throw new Http3StateError("the server listens already; make another one");
    const given = this.#options.transport;
    const transport =
      given instanceof Transport
        ? given
        : new Transport({
            ...given,
            ...(port === undefined ? {} : { port }),
            ...(host === undefined ? {} : { address: host }),
          });
    const { promise, settle } = deferred();
    this.#opening = promise;
    try {
      const { config } = this.#options;
      const listener = await (config?.earlyData === true
        ? transport.listenEarly(this.tlsOptions, config)
        : transport.listen(this.tlsOptions, config));
      this.#own = { transport, listener };
      void this.serve(listener).catch((error: unknown) => {
        if (this.listenerCount("error") > 0) this.emit("error", error);
      });
    } catch (error) {
      this.#opening = null;
      if (given !== transport) await transport.close();
      throw error;
    } finally {
      settle();
    }
    this.emit("listening");
  }

  /** The TLS options with which it listens: for listeners of your own. */
  get tlsOptions(): TlsOptions {
    const options = this.#options;
    const tls = { ...options, ALPNProtocols: options.ALPNProtocols ?? [H3_ALPN] };
    if (options.config?.earlyData !== true) return tls;
    // rfc9114#7.2.4.2 If 0-RTT data is accepted by the server, its SETTINGS frame MUST NOT reduce any limits or alter any
    // values that might be violated by the client with its 0-RTT data: sessions of a server with other settings are others.
    const others = [...(options.settings ?? [])].sort(([a], [b]) => a - b);
    const { maxHeaderListSize, qpackMaxTableCapacity, qpackBlockedStreams, enableConnectProtocol } = options;
    const settings = [
      maxHeaderListSize,
      qpackMaxTableCapacity,
      qpackBlockedStreams,
      enableConnectProtocol,
      others,
    ];
    return { ...tls, sessionIdContext: `${tls.sessionIdContext ?? ""} h3 ${JSON.stringify(settings)}` };
  }

  /** Where it listens, as `server.address()` of node:net; null before. */
  address(): { address: string; port: number; family: string } | null {
    return this.#own?.listener.address() ?? null;
  }

  get listening(): boolean {
    return this.#own !== null && this.#closed === null && !this.#shuttingDown;
  }

  /** The connections that are open. */
  get connections(): ReadonlySet<Http3Connection> {
    return this.#connections;
  }

  /** Serves the connections of a listener of yours until that is closed, or the server shuts down. */
  async serve(listener: Listener): Promise<void> {
    this.#listeners.add(listener);
    try {
      for await (const connection of listener) this.#take(connection);
    } finally {
      this.#listeners.delete(listener);
    }
  }

  /**
   * Serves one connection that was accepted, as where several protocols share a listener: its ALPN has to be `h3`.
   * Resolves when it has ended. Never rejects.
   */
  async serveConnection(connection: Connection): Promise<void> {
    await this.#take(connection)?.closed;
  }

  #take(quic: Connection): Http3Connection | null {
    if (quic.connectionState().alpnProtocol !== H3_ALPN) {
      // Another protocol of the same listener, which nobody here speaks.
      quic.closeWithError(0, "no HTTP/3");
      return null;
    }
    const connection = new Http3Connection(quic, this.#options);
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
    this.emit("connection", connection);
    if (this.#shuttingDown) void connection.shutdown().catch(() => {});
    void this.#serveRequests(connection);
    return connection;
  }

  async #serveRequests(connection: Http3Connection): Promise<void> {
    try {
      for (;;) this.#serveRequest(connection.tryAcceptRequest() ?? (await connection.acceptRequest()));
    } catch (error) {
      // How it ended stands in `closed`; only a defect is news.
      if (error !== connection.failure && !isNormalEnd(error)) this.#handlerFailed(error, null);
    }
  }

  #serveRequest(stream: ServerStream): void {
    this.emit("stream", stream);
    // rfc8470#3: a copy of a request that changes nothing does no harm; others wait until it is sure that they are none.
    if (stream.early && !SAFE.has(stream.request.method)) {
      stream.connection.quic.handshakeComplete.then(
        () => this.#dispatch(stream),
        () => {},
      );
    } else this.#dispatch(stream);
  }

  #dispatch(stream: ServerStream): void {
    const { fetch, handler, stream: streamHandler, connect } = this.#options;
    if (stream.request.method === "CONNECT") {
      if (connect === undefined) void answer(stream, 501);
      else this.#run(connect, stream);
    } else if (fetch !== undefined) {
      void serveFetch(stream, fetch, (error) => this.#handlerFailed(error, stream));
    } else if (streamHandler !== undefined) this.#run(streamHandler, stream);
    else if (handler !== undefined || this.listenerCount("request") > 0) this.#serveNode(stream, handler);
    else if (this.listenerCount("stream") === 0) void answer(stream, 404);
  }

  /** A handler that may be asynchronous; what it fails with ends the stream. */
  #run(handler: StreamHandler, stream: ServerStream): void {
    const failed = (error: unknown) => {
      if (!stream.writeEnded) this.#handlerFailed(error, stream);
      void answer(stream, 500);
    };
    try {
      const result = handler(stream);
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #serveNode(stream: ServerStream, handler: NodeHandler | undefined): void {
    const request = new Http3ServerRequest(stream);
    const response = new Http3ServerResponse(stream, request);
    this.#run(() => {
      const [req, res] = [request as unknown as NodeRequest, response as unknown as NodeResponse];
      this.emit("request", req, res);
      return handler?.(req, res);
    }, stream);
  }

  #handlerFailed(error: unknown, stream: ServerStream | null): void {
    if (this.listenerCount("handlerError") > 0 && stream !== null) this.emit("handlerError", error, stream);
    else
      process.emitWarning(error instanceof Error ? error : new Error(String(error)), {
        code: "QUIC_TS_HTTP3_HANDLER",
      });
  }

  /** Replaces the certificate without a restart, see `Listener.setIdentity`. */
  setIdentity(identity: SniIdentity | readonly SniIdentity[]): void {
    for (const listener of this.#listeners) listener.setIdentity(identity);
  }

  /**
   * The value of an Alt-Svc field that sends clients of HTTP/1 and HTTP/2 here: see {@link altSvc}.
   *
   * @throws {Http3StateError} before it listens, where no port is given
   */
  altSvc(options: Partial<AltSvcOptions> = {}): string {
    const port = options.port ?? this.address()?.port;
    if (port === undefined) throw new Http3StateError("the server does not listen yet: which port?");
    return altSvc({ ...options, port });
  }

  /**
   * Listens beside a server of node:https, node:http2 or a framework: on the UDP port of the same number and address. Its
   * responses tell clients of it, and when it closes this one shuts down. Waits until that listens.
   *
   * @throws as `listen`; {TypeError} where the other one has no port
   *
   * @example
   * import { createServer } from "node:https";
   * import { Server } from "quic-ts/http3";
   * import { selfSigned } from "quic-ts";
   * const identity = selfSigned();
   * const other = createServer(identity, (_request, response) => response.end("over HTTP/1\n")).listen(0);
   * const server = new Server({ ...identity, fetch: () => new Response("over HTTP/3\n") });
   * await server.attach(other);
   * other.close();
   */
  attach(other: AttachableServer): Promise<void> {
    return attach(this, other);
  }

  /**
   * Stops gracefully: no new connections, GOAWAY on those there are, and when the requests under way are done they are
   * closed (rfc9114#5.2). Resolves when all is over.
   *
   * @param options.signal - ends the wait: what is left is closed at once, and the call rejects with the reason
   */
  async shutdown(options?: { signal?: AbortSignal }): Promise<void> {
    this.#shuttingDown = true;
    // A connection whose handshake is under way is refused; an open one goes on.
    const stopping = [...this.#listeners].map((listener) => listener.close());
    const downs = [...this.#connections].map((connection) => connection.shutdown(options));
    const results = await Promise.allSettled([...stopping, ...downs]);
    await this.close();
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined && options?.signal?.aborted === true) throw options.signal.reason;
  }

  /** Ends all connections at once, with the requests under way, and closes the socket. As often as you like. */
  close(callback?: (error?: Error) => void): Promise<void> {
    this.#closed ??= this.#close();
    if (callback !== undefined) void this.#closed.then(() => callback());
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#opening;
    const listeners = [...this.#listeners];
    for (const connection of this.#connections) connection.close();
    await Promise.all(listeners.map((listener) => listener.close()));
    await Promise.all([...this.#connections].map(({ closed }) => closed));
    if (this.#own !== null && this.#own.transport !== this.#options.transport)
      await this.#own.transport.close();
    this.emit("close");
  }

  /** Lets the process end while it listens, as in node:net. */
  unref(): this {
    this.#own?.transport.unref();
    return this;
  }

  ref(): this {
    this.#own?.transport.ref();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function deferred(): { promise: Promise<void>; settle: () => void } {
  let settle: () => void = () => {};
  const promise = new Promise<void>((resolve) => (settle = resolve));
  return { promise, settle };
}

/**
 * Makes a server with a (req, res) handler, as `http2.createSecureServer`: for connect, express, and frameworks that take
 * a `createServer`.
 *
 * @example
 * import { createServer } from "quic-ts/http3";
 * import { selfSigned } from "quic-ts";
 * const server = createServer(selfSigned(), (req, res) => {
 *   res.setHeader("content-type", "text/plain");
 *   res.end(`${req.method} ${req.url}\n`);
 * });
 * server.listen(4433, () => void server.close());
 */
export function createServer(options: ServerOptions = {}, handler?: NodeHandler): Server {
  return new Server(handler === undefined ? options : { ...options, handler });
}

/**
 * {@link createServer} with the types of node:http2's function of that name, for libraries that take one. What differs: the
 * server is a {@link Server}, and its requests and responses are node:http's in shape as well.
 *
 * @example
 * import { createSecureServer } from "quic-ts/http3";
 * import { selfSigned } from "quic-ts";
 * // With Hono: serve({ fetch: app.fetch, port: 443, createServer: createSecureServer, serverOptions: { key, cert } });
 * const server = createSecureServer(selfSigned(), (req, res) => res.end(req.url));
 * server.close();
 */
export const createSecureServer = createServer as unknown as typeof createHttp2Server;
