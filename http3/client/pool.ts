// A client's connections: one for each origin, made when it is needed, or shared where the server says so.

import {
  type Config,
  type Connection,
  Error0RTTRejected,
  type TlsOptions,
  Transport,
  type TransportOptions,
} from "../../src/index.ts";
import { Http3Connection } from "../connection.ts";
import { Http3StateError, Http3TimeoutError } from "../errors.ts";
import { PING_INTERVAL } from "../limits.ts";
import { Coalescing } from "./coalescing.ts";
import { checkConfig, H3_ALPN, type Http3Options } from "../options.ts";

/** Settings of a client's connections. */
export interface PoolOptions extends Http3Options {
  /** TLS: `ca`, `cert`, `key`, `rejectUnauthorized` …; ALPN is `h3`, and the server's name that of the origin. */
  readonly tls?: Omit<TlsOptions, "ALPNProtocols">;
  /** Settings of the QUIC connections: `maxIdleTimeout` says how long one is kept that nobody uses. */
  readonly config?: Config;
  /** Settings of the socket; or a transport of yours, which the client then does not close. */
  readonly transport?: TransportOptions | Transport;
  /**
   * Sends safe requests without a body (GET, HEAD, OPTIONS) in 0-RTT where a session of the server's allows it: they can be
   * copied on their way, and answered twice (rfc8470). Default false.
   */
  readonly earlyData?: boolean;
  /**
   * Uses a connection for the other origins that its server names in an ORIGIN frame (rfc9412), where its certificate holds for
   * them and their names resolve to its address. Never with certificates that are judged by options of yours
   * (`checkServerIdentity`, `verifyPeer`, `rejectUnauthorized: false`, `servername`). Default true.
   */
  readonly coalesce?: boolean;
  /** How long a connection may take to be made, ms. Default: `config.handshakeTimeout`, for each address of the host. */
  readonly connectTimeout?: number;
}

/** Where an origin is served. */
export interface Place {
  readonly host: string;
  readonly port: number;
  /** Whose certificate it has to have: the origin's host, wherever the server is. */
  readonly servername: string;
}

/** A connection that is open or being opened; how many wait for it. */
interface Entry {
  readonly opening: Promise<Http3Connection>;
  /** The same when its handshake is complete; or another, where 0-RTT was refused. */
  confirmed: Promise<Http3Connection> | null;
  readonly aborter: AbortController;
  connection: Http3Connection | null;
  waiting: number;
}

/** The place that a URL names itself. */
export function placeOf(url: URL): Place {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return { host, port: Number(url.port || 443), servername: host };
}

/** The connections of one client. Those that end, or take no more requests, are forgotten by themselves. */
export class ConnectionPool {
  readonly #options: PoolOptions;
  readonly #entries = new Map<string, Entry>();
  /** All that are open, also those that only finish what they have. */
  readonly #open = new Set<Http3Connection>();
  readonly #coalescing: Coalescing;
  #transport: Transport | null = null;
  #users = 0;
  #closed: Promise<void> | null = null;
  #stopped = false;

  constructor(options: PoolOptions) {
    checkConfig(options.config);
    const quiet = (options.config?.maxIdleTimeout ?? 0) || Infinity;
    this.#options = { pingInterval: Math.min(PING_INTERVAL, quiet / 2), ...options };
    this.#coalescing = new Coalescing(options);
  }

  /** Whether a connection was made for that origin, rather than for another one that it is shared with. */
  isOwn(origin: string, connection: Http3Connection): boolean {
    return this.#entries.get(origin)?.connection === connection;
  }

  /** The connections there are. */
  get connections(): ReadonlySet<Http3Connection> {
    return this.#open;
  }

  /**
   * The connection for an origin that could be used at once, or null.
   *
   * @param early - also one whose handshake is not complete
   */
  cached(origin: string, early = false): Http3Connection | null {
    const entry = this.#entries.get(origin);
    if (entry === undefined || (entry.confirmed !== null && !early)) return null;
    return entry.connection?.acceptsRequests === true ? entry.connection : null;
  }

  /**
   * The connection for an origin; a new one where there is none that takes requests. Several that ask at a time share it.
   *
   * rfc9114#3.1 Upon receiving a server certificate in the TLS handshake, the client MUST verify that the certificate is an
   * acceptable match for the URI's origin server: the handshake is with the origin's name, wherever the server is.
   * rfc9114#3.1 If the certificate cannot be verified with respect to the URI's origin server, the client MUST NOT consider
   * the server authoritative for that origin: the handshake fails then.
   * rfc9114#3.3 To use an existing connection for a new origin, clients MUST validate the certificate presented by the server
   * for the new origin server. If the certificate is not acceptable with regard to the new origin for any reason, the connection
   * MUST NOT be reused: `Coalescing` sees to that.
   *
   * @param early - may have one whose handshake is not complete: what is sent there can be copied
   * @throws what dialing throws; the signal's reason; {Http3StateError} after `close`
   */
  async get(origin: string, place: Place, signal?: AbortSignal, early = false): Promise<Http3Connection> {
    if (this.#stopped) throw new Http3StateError("the client was closed; make another one");
    signal?.throwIfAborted();
    const usable = this.cached(origin, early);
    if (usable !== null) return usable;
    let entry = this.#entries.get(origin);
    const shared = entry === undefined ? this.#coalescing.find(origin, place, this.#open) : null;
    if (shared !== null) {
      const found = await shared;
      signal?.throwIfAborted();
      if (this.#stopped) throw new Http3StateError("the client was closed; make another one");
      if (found !== null) return found;
      // Others may have waited for the same.
      entry = this.#entries.get(origin);
    }
    if (entry === undefined || (entry.connection !== null && entry.confirmed === null)) {
      entry = this.#start(origin, place);
    }
    const { aborter } = entry;
    const wanted = entry;
    // Where 0-RTT was refused meanwhile, the connection is another one.
    const opening = early
      ? entry.opening
      : entry.opening.then((first) => wanted.confirmed ?? wanted.connection ?? first);
    if (signal === undefined) {
      entry.waiting++;
      return opening;
    }
    entry.waiting++;
    let onAbort: () => void = () => {};
    try {
      return await Promise.race([
        opening,
        new Promise<never>((_, reject) => {
          onAbort = () => reject(signal.reason as Error);
          signal.addEventListener("abort", onAbort, { once: true });
        }),
      ]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      // Nobody is left who wants it.
      if (--entry.waiting === 0 && entry.connection === null) aborter.abort(signal.reason);
    }
  }

  #start(origin: string, place: Place): Entry {
    const aborter = new AbortController();
    const opening = this.#dial(place, aborter);
    const entry: Entry = { aborter, connection: null, confirmed: null, waiting: 0, opening };
    this.#entries.set(origin, entry);
    const forget = () => {
      if (this.#entries.get(origin) === entry) this.#entries.delete(origin);
    };
    entry.opening.then((connection) => {
      entry.connection = connection;
      void connection.closed.then(forget);
      if (connection.quic.connectionState().handshakeComplete) return;
      entry.confirmed = this.#confirm(entry, connection);
      // Who waits for it is told; the others are told by `closed`.
      entry.confirmed.catch(() => {}).finally(() => (entry.confirmed = null));
    }, forget);
    return entry;
  }

  /** rfc9001#4.6.2: where 0-RTT was refused, all begins anew on the same connection. */
  async #confirm(entry: Entry, early: Http3Connection): Promise<Http3Connection> {
    const { quic } = early;
    await quic.handshakeComplete;
    if (quic.connectionState().earlyData !== "rejected") return early;
    early.abandon(new Error0RTTRejected());
    this.#open.delete(early);
    return (entry.connection = this.#adopt(await quic.nextConnection()));
  }

  #adopt(quic: Connection): Http3Connection {
    const connection = new Http3Connection(quic, this.#options);
    this.#open.add(connection);
    void connection.closed.then(() => this.#open.delete(connection));
    if (this.#stopped) connection.close();
    return connection;
  }

  async #dial(place: Place, aborter: AbortController): Promise<Http3Connection> {
    const { connectTimeout } = this.#options;
    const timer =
      connectTimeout === undefined || connectTimeout === 0
        ? undefined
        : setTimeout(() => aborter.abort(tooLong(place, connectTimeout)), connectTimeout).unref();
    this.#transport ??= this.#makeTransport();
    let quic: Connection;
    try {
      // rfc9114#3.2 HTTP/3 clients MUST support a mechanism to indicate the target host to the server during the TLS handshake.
      // rfc9114#3.2 If the server is identified by a domain name ([DNS-TERMS]), clients MUST send the Server Name Indication
      // (SNI; [RFC6066]) TLS extension unless an alternative mechanism to indicate the target host is used.
      const tls: TlsOptions = {
        servername: place.servername,
        ...this.#options.tls,
        ALPNProtocols: [H3_ALPN],
      };
      const { config, earlyData } = this.#options;
      const options = { signal: aborter.signal };
      quic = await (earlyData === true
        ? this.#transport.dialEarly(place, tls, config, options)
        : this.#transport.dial(place, tls, config, options));
    } finally {
      clearTimeout(timer);
    }
    return this.#adopt(quic);
  }

  #makeTransport(): Transport {
    const given = this.#options.transport;
    if (given instanceof Transport) return given;
    const transport = new Transport(given);
    if (this.#users === 0) transport.unref();
    return transport;
  }

  /** Somebody waits for something: the process stays for it, and not for connections that nobody uses. */
  use(): void {
    if (this.#users++ === 0 && this.#transport !== this.#options.transport) this.#transport?.ref();
  }

  release(): void {
    if (--this.#users === 0 && this.#transport !== this.#options.transport) this.#transport?.unref();
  }

  /** Closes the connections on which nothing is under way. */
  closeIdle(): void {
    for (const connection of this.#open) if (connection.activeRequests === 0) connection.close();
  }

  /** Lets what is under way come to its end, then closes. */
  async shutdown(options?: { signal?: AbortSignal }): Promise<void> {
    this.#stopped = true;
    const results = await Promise.allSettled(
      [...this.#open].map((connection) => connection.shutdown(options)),
    );
    await this.close();
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined && options?.signal?.aborted === true) throw options.signal.reason;
  }

  /** Closes all connections at once, with what is under way. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#stopped = true;
    for (const { aborter } of this.#entries.values())
      aborter.abort(new Http3StateError("the client was closed"));
    for (const connection of this.#open) connection.close();
    await Promise.all([...this.#open].map(({ closed }) => closed));
    if (this.#transport !== null && this.#transport !== this.#options.transport)
      await this.#transport.close();
  }
}

function tooLong({ host, port }: Place, ms: number): Http3TimeoutError {
  const message = `no connection to ${host} port ${port} within ${ms} ms: is UDP let through?`;
  return new Http3TimeoutError("connectTimeout", message);
}
