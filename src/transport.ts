// A Transport owns one UDP socket and demultiplexes it by connection ID into a listener and any number of dialed
// connections.

import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import type { ConnectionConfig } from "../internal/connection/config.ts";
import type { ConnectionEvent } from "../internal/connection/events.ts";
import { Endpoint } from "../internal/endpoint/endpoint.ts";
import { connections } from "../internal/endpoint/factory.ts";
import type { EndpointStats } from "../internal/endpoint/endpoint.ts";
import type { ClientInitial } from "../internal/endpoint/types.ts";
import type { CryptoProvider } from "../internal/crypto/provider.ts";
import type { Address } from "../internal/protocol/address.ts";
import { Bag } from "../internal/protocol/bag.ts";
import { CONNECTION_REFUSED } from "../internal/protocol/constants.ts";
import { InvalidOptionError, TransportError } from "../internal/protocol/errors.ts";
import type { Tracer, TracerSource } from "../internal/protocol/tracer.ts";
import { openSocket } from "../internal/udp/open.ts";
import type { PacketConn } from "../internal/udp/packet-conn.ts";
import type { SocketControls } from "../internal/udp/socket-controls.ts";
import { type Accepting, acceptor } from "./accepting.ts";
import { resolveAdmission } from "./admission.ts";
import { generatorOf } from "./connection-ids.ts";
import { type Config, onSocket, resolveConfig } from "./config.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOwner } from "./connection-state.ts";
import { type Dialing, dialTarget } from "./dialing.ts";
import { Driver, monotonicNow } from "./driver.ts";
import type { Guest } from "./foreign-sockets.ts";
import { ListenerIdentities } from "./identities.ts";
import { Listener, ListenerBusyError } from "./listener.ts";
import { type Decide, decider } from "./incoming.ts";
import { keyLogOf } from "./keylog.ts";
import { resolveHost, type Target } from "./resolve.ts";
import { random } from "./random.ts";
import { debug, environmentQlog, safeEndpointTracer } from "./tracing.ts";
import {
  type Authorization,
  checkTlsOptions,
  providerOf,
  type TlsOptions,
  verifierOf,
} from "./tls-options.ts";
import type { SessionKeeper } from "./sessions.ts";
import { ticketOptionsOf } from "./tickets.ts";
import type { TokenKeeper } from "./token-store.ts";
import { SocketError, TransportClosedError } from "./transport-errors.ts";
import { checkTransportOptions, type DialOptions, type TransportOptions } from "./transport-options.ts";

/** In place of the application's object of a connection that is over for it; its core may linger to answer the peer. */
const OVER = Symbol("over");

/** One UDP socket, a listener and dialed connections. */
export class Transport implements AsyncDisposable {
  readonly #options: TransportOptions;
  readonly #endpoint: Endpoint;
  readonly #connections = new Bag<Connection>();
  #socket: PacketConn | null = null;
  #driver: Driver | null = null;
  #opening: Promise<void> | null = null;
  #listener: Listener | null = null;
  /** Asked about clients that come, where there are hooks for it. */
  #decide: Decide | null = null;
  #closed: Promise<void> | null = null;
  #failure: unknown = undefined;
  readonly #tracer: Tracer | null;
  #refed = true;
  /** As others' sockets know it. */
  #guest: Guest | null = null;
  /** What connections ask of it. */
  readonly #owner: ConnectionOwner = {
    flushSoon: () => this.#driver!.flushSoon(),
    flushWhole: () => this.#driver!.flushWhole(),
    flushNow: () => this.#driver!.flushNow(),
    pump: () => this.#driver!.pump(),
    describeSocket: () => this.#socket!.describe(),
    localAddress: () => this.#socket!.address().key,
    attach: (transport) => this.#attach(transport),
    forget: (connection) => {
      this.#connections.delete(connection);
      connection.core.application = OVER;
    },
  };

  /** What dialing asks of it. */
  readonly #dialing: Dialing = {
    open: () => this.open(),
    checkOpen: () => {
      if (this.#closed !== null) throw new TransportClosedError(this.#failure);
    },
    onSocket: (config) => this.#onSocket(config),
    resolve: (host, family, signal) =>
      resolveHost(host, this.#family() || (family ?? 0), this.#options.lookup, signal),
    begin: (attempt, tls, provider, authorization, sessions, tokens) => {
      const core = this.#endpoint.dial(attempt, monotonicNow(), Date.now());
      const connection = this.#adopt(core, tls, provider, authorization, sessions, tokens);
      this.#driver!.pump();
      this.#driver!.flushSoon();
      return connection;
    },
  };

  /** @throws {InvalidOptionError} naming the option. The socket is opened by the first `listen`, `dial` or `open`. */
  constructor(options: TransportOptions = {}) {
    checkTransportOptions(options);
    this.#options = options;
    this.#tracer = safeEndpointTracer(options.tracer);
    const cids = generatorOf(options);
    this.#endpoint = new Endpoint(
      {
        random,
        statelessResetKey: options.statelessResetKey ?? randomBytes(32),
        ...resolveAdmission(options),
        ...(cids === undefined ? {} : { cids }),
        disableVersionNegotiation: options.disableVersionNegotiationPackets ?? false,
        tracer: this.#tracer,
      },
      connections,
    );
    this.#endpoint.sendsResets = options.disableStatelessReset !== true;
  }

  /** While true new clients are refused (rfc9000#5.2.2, `stats().busyRefusals`); the tracer hears of each change. */
  get busy(): boolean {
    return this.#endpoint.busy;
  }

  set busy(busy: boolean) {
    if (busy === this.#endpoint.busy) return;
    debug("new clients are %s", busy ? "refused" : "let in");
    this.#endpoint.busy = busy;
    this.#tracer?.record({ name: "server_busy", time: monotonicNow(), busy });
  }

  /**
   * Lets packets of our connections come to and leave from the socket of `other` as well: a server does so for the socket of
   * its `preferredAddress`. The connection IDs of both have to have one length. `connection.addPath` does it by itself.
   * @throws {SocketError}, {TransportClosedError}.
   */
  async attach(other: Transport): Promise<void> {
    await this.#attach(other);
  }

  async #attach(other: Transport): Promise<Address> {
    await this.open();
    await other.open();
    const driver = this.#driver!;
    this.#guest ??= { endpoint: this.#endpoint, receive: (batch) => driver.takeForeign(batch) };
    const { shared } = other.#driver!;
    const local = shared.admit(this.#guest);
    driver.foreign.add(local, shared);
    return local;
  }

  /**
   * Has the peers of all connections use new connection IDs of ours (rfc9000#5.1.2), as after `QuicLbGenerator.rotate`.
   * @returns how many connections do so; the others have not finished with the last time, or their handshake.
   */
  renewConnectionIds(): number {
    const now = monotonicNow();
    let count = 0;
    for (const connection of this.#connections.toArray())
      if (connection.core.renewConnectionIds(now)) count++;
    this.#driver?.flushSoon();
    return count;
  }

  /** Whether packets of unknown connections are answered with stateless resets (rfc9000#10.3). */
  get sendsResets(): boolean {
    return this.#endpoint.sendsResets;
  }

  set sendsResets(resets: boolean) {
    this.#endpoint.sendsResets = resets;
  }

  /** Opens the socket. `listen` and `dial` do it by themselves. @throws {SocketError} */
  async open(): Promise<void> {
    if (this.#closed !== null) throw new TransportClosedError(this.#failure);
    this.#opening ??= this.#bind();
    try {
      await this.#opening;
    } catch (error) {
      this.#opening = null;
      throw error;
    }
  }

  async #bind(): Promise<void> {
    const options = this.#options;
    let socket = options.socket;
    if (socket === undefined) {
      let address = options.address;
      if (address !== undefined && isIP(address) === 0) {
        address = (await resolveHost(address, 0, options.lookup))[0]!;
      }
      try {
        socket = await openSocket({ ...options, ...(address === undefined ? {} : { address }) });
      } catch (error) {
        throw new SocketError(options.address ?? "::", options.port ?? 0, error);
      }
    }
    if (this.#closed !== null) {
      await socket.close();
      throw new TransportClosedError();
    }
    this.#socket = socket;
    if (!this.#refed) socket.unref();
    this.#driver = new Driver(
      this.#endpoint,
      socket,
      {
        onConnectionEvent: (core, event) => this.#onEvent(core, event),
        onAccepted: (core) => this.#onAccepted(core),
        onIncoming: (id, initial) => void this.#onIncoming(id, initial),
        onSocketFailed: (error) => this.#fail(error),
      },
      options.busyPoll,
    );
    socket.start(this.#driver);
  }

  #onSocket(config: ConnectionConfig): ConnectionConfig {
    return this.#socket === null ? config : onSocket(config, this.#socket.describe());
  }

  /** The local address. @throws {TransportClosedError} before the socket is open. */
  address(): { address: string; port: number; family: string } {
    if (this.#socket === null) throw new TransportClosedError(this.#failure);
    const { ip, port, family } = this.#socket.address();
    return { address: ip, port, family: family === 6 ? "IPv6" : "IPv4" };
  }

  /**
   * Multicast, broadcast, hop limits and flow labels of the open socket.
   * @throws {TransportClosedError} before the socket is open, and after; {InvalidOptionError} where `socket` is your own and
   * has none.
   *
   * @example
   * const transport = new Transport({ port: 4433 });
   * await transport.open();
   * transport.socketControls().setTTL(32);
   */
  socketControls(): SocketControls {
    if (this.#socket === null || this.#closed !== null) throw new TransportClosedError(this.#failure);
    const controls = this.#socket.controls?.();
    if (controls === undefined) throw new InvalidOptionError("socket", "one that has `controls`");
    return controls;
  }

  /**
   * Accepts connections on this transport's socket. One listener at a time.
   * @throws {InvalidOptionError} for options that cannot work, before anything is opened; {SocketError};
   * {ListenerBusyError}.
   */
  listen(tls: TlsOptions, config: Config = {}): Promise<Listener> {
    return this.#listen(tls, config, false);
  }

  /**
   * As `listen`, but gives connections as soon as they can be written to, half a round trip into the handshake: what a
   * server says first reaches the client with the handshake (0.5-RTT), and with `earlyData` so do answers to 0-RTT.
   * `handshakeComplete` of the connection tells when it is complete. Before that nothing proves that the client is there, nor,
   * with `requestCert`, who it is: send nothing that is for its eyes alone (rfc8446#2.3).
   * @throws as `listen`.
   *
   * @example
   * const transport = new Transport({ port: 4433 });
   * const tls = { ...selfSigned(), ALPNProtocols: ["echo"] };
   * const listener = await transport.listenEarly(tls, { earlyData: true });
   */
  listenEarly(tls: TlsOptions, config: Config = {}): Promise<Listener> {
    return this.#listen(tls, config, true);
  }

  async #listen(tls: TlsOptions, config: Config, early: boolean): Promise<Listener> {
    checkTlsOptions(tls, "server");
    const provider = providerOf(tls);
    const keyLog = keyLogOf(tls);
    const identities = new ListenerIdentities(tls, provider);
    let qlog: TracerSource | null = null;
    const resolve = (own: Config) => this.#onSocket(resolveConfig(own, provider, keyLog !== null, qlog));
    let resolved = resolve(config);
    const verifier = verifierOf(tls, provider, "client");
    const tickets = ticketOptionsOf(tls, provider);
    if (this.#listener !== null) throw new ListenerBusyError();
    const listener = new Listener(
      () => this.address(),
      () => this.#endpoint.onAcceptTaken(),
      async () => {
        this.#listener = null;
        this.#endpoint.stopListening();
        // Clients about whom a hook has not decided are told.
        this.#driver?.flushSoon();
        tickets?.keys.dispose();
      },
      tickets?.keys ?? null,
      identities,
    );
    this.#listener = listener;
    try {
      qlog = await environmentQlog();
      await this.open();
      resolved = resolve(config);
      if (this.#closed !== null) throw new TransportClosedError(this.#failure);
    } catch (error) {
      this.#listener = null;
      throw error;
    }
    const effective = keyLog === null ? tls : { ...tls, keylog: keyLog };
    this.#traceListening();
    const server = acceptor({ tls: effective, config, resolved, identities, verifier, tickets });
    this.#decide = decider(config, this.#options, resolve, server);
    this.#endpoint.listen(server(null, undefined), {
      ask: this.#decide === null ? null : resolved.handshakeTimeout,
      early,
    });
    return listener;
  }

  #traceListening(): void {
    const { ip, port, family } = this.#socket!.address();
    debug("listening on %s port %d", ip, port);
    this.#tracer?.record({
      name: "server_listening",
      time: monotonicNow(),
      local: family === 6 ? `[${ip}]:${port}` : `${ip}:${port}`,
    });
  }

  /**
   * Opens a connection from this transport's socket and resolves when its handshake is complete. A host with several
   * addresses is raced (Happy Eyeballs, rfc8305).
   * @param target `"host:port"`, `"[ipv6]:port"` or `{ host, port }`.
   * @throws {InvalidOptionError}, {ResolveError}, {SocketError}, or the error that ended the handshake.
   */
  dial(target: Target, tls: TlsOptions, config: Config = {}, options: DialOptions = {}): Promise<Connection> {
    return dialTarget(this.#dialing, target, tls, config, options, false);
  }

  /**
   * As `dial`, but where a session of this server's is at hand that allows 0-RTT, the connection can be used at once, and what is
   * written goes out with the first packets (rfc9001#4.6); else it resolves when the handshake is complete.
   * 0-RTT data can be copied by anybody on the way and sent to the server again: send what does no harm when done twice, as a
   * GET (rfc8446#2.3). The server may refuse it: then calls reject with `Error0RTTRejected`, and `nextConnection()` goes on.
   * With 0-RTT a host's first address alone is tried. Streams keep to the limits that the server had last time.
   * @throws as `dial`.
   *
   * @example
   * const transport = new Transport();
   * const tls = { ALPNProtocols: ["echo"], ca };
   * const conn = await transport.dialEarly("localhost:4433", tls);
   * const stream = await conn.openStream();
   * await stream.write(new TextEncoder().encode("hello"));
   * await conn.handshakeComplete;
   * console.log(conn.connectionState().used0RTT);
   */
  dialEarly(
    target: Target,
    tls: TlsOptions,
    config: Config = {},
    options: DialOptions = {},
  ): Promise<Connection> {
    return dialTarget(this.#dialing, target, tls, config, options, true);
  }

  /** What a socket bound to one family can reach. */
  #family(): 0 | 4 | 6 {
    const local = this.#socket!.address();
    if (local.family === 4) return 4;
    return this.#options.ipv6Only === true || local.ip !== "::" ? 6 : 0;
  }

  #adopt(
    core: CoreConnection,
    tls: TlsOptions,
    provider: CryptoProvider,
    authorization: Authorization,
    sessions: SessionKeeper | null,
    tokens: TokenKeeper | null,
  ): Connection {
    const connection = new Connection(core, this.#owner, tls, provider, authorization, sessions, tokens);
    core.application = connection;
    this.#connections.add(connection);
    return connection;
  }

  /** The application's object of a connection; one that is being accepted gets it with its first event. */
  #connectionOf(core: CoreConnection): Connection | null {
    const known = core.application;
    if (known instanceof Connection) return known;
    if (core.role === "client" || core.userData === undefined || known === OVER) return null;
    const { tls, authorization, replayFilter, userContext } = core.userData as Accepting;
    const connection = this.#adopt(core, tls, providerOf(tls), authorization, null, null);
    connection.userContext = userContext;
    connection.replayFilter = replayFilter;
    return connection;
  }

  #onEvent(core: CoreConnection, event: ConnectionEvent): void {
    if (debug.enabled) describe(core, event);
    this.#connectionOf(core)?.handle(event);
  }

  async #onIncoming(id: number, initial: ClientInitial): Promise<void> {
    const decision = await this.#decide!(initial);
    this.#endpoint.admit(id, decision, monotonicNow(), Date.now());
    this.#driver!.pump();
    this.#driver!.flushSoon();
  }

  #onAccepted(core: CoreConnection): void {
    const connection = this.#connectionOf(core);
    if (connection === null) return;
    if (this.#listener === null) connection.refuse("the listener was closed");
    else this.#listener.push(connection);
  }

  #fail(error: Error): void {
    this.#failure = error;
    const failure = new TransportClosedError(error);
    this.#listener?.fail(failure);
    this.#listener = null;
    // Nothing can be sent any more: what connections tell their users is the socket's error, not a normal end.
    this.#endpoint.closeAll(failure, monotonicNow());
    this.#driver?.pump();
    void this.close();
  }

  /** Counters of the endpoint: datagrams, bytes, drops by reason. */
  stats(): EndpointStats {
    return this.#endpoint.stats;
  }

  /** Whether the open socket keeps the process alive (it does by default). */
  ref(): void {
    this.#refed = true;
    this.#socket?.ref();
  }

  unref(): void {
    this.#refed = false;
    this.#socket?.unref();
  }

  /** Closes the listener, every connection (code 0), and the socket unless it is yours. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#shut();
    return this.#closed;
  }

  async #shut(): Promise<void> {
    await this.#opening?.catch(() => {});
    await this.#listener?.close();
    for (const connection of this.#connections.toArray()) {
      if (connection.core.handshakeComplete || connection.role === "client") connection.closeWithError(0, "");
      else connection.refuse("the server is going away");
    }
    // Those that nobody has heard of yet.
    this.#endpoint.closeAll(
      new TransportError(CONNECTION_REFUSED, "the server is going away"),
      monotonicNow(),
    );
    // CONNECTION_CLOSE is to leave before the socket goes.
    await this.#driver?.flushAll();
    this.#driver?.stop();
    this.#endpoint.dispose();
    if (this.#options.socket === undefined) await this.#socket?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** One line for the main events of a connection's life. */
function describe(core: CoreConnection, event: ConnectionEvent): void {
  if (event.type === "closed") {
    debug("%s connection with %s ended: %s", core.role, core.remote.key, event.error.message);
  } else if (event.type === "handshake_complete" || event.type === "handshake_confirmed") {
    debug("%s connection with %s: %s", core.role, core.remote.key, event.type.replace("_", " "));
  } else if (event.type === "path_changed") debug("%s connection moved to %s", core.role, event.remote);
}
