// Connection settings as the application gives them, checked, with defaults from the limits file.

import { isIP } from "node:net";
import { connectionConfig, type ConnectionConfig } from "../internal/connection/config.ts";
import type { CongestionControllerFactory } from "../internal/congestion/controller.ts";
import {
  CONTROLLER_NAMES,
  controllerFactory,
  defaultController,
  type CongestionControllerName,
} from "../internal/congestion/controllers.ts";
import type { CryptoProvider } from "../internal/crypto/provider.ts";
import { InvalidOptionError } from "../internal/protocol/errors.ts";
import * as limits from "../internal/protocol/limits.ts";
import type { TracerSource } from "../internal/protocol/tracer.ts";
import type { SocketDescription } from "../internal/udp/packet-conn.ts";
import { checkEarlyData, type ReplayFilter } from "./early-data.ts";
import type { ClientInfo, ConfigAnswer } from "./incoming.ts";
import { datagramSettings, type DatagramQueues } from "./datagrams.ts";
import { safeTracer } from "./tracing.ts";
import type { TokenStore } from "./token-store.ts";
import { random } from "./random.ts";
import { checkVersions, type QuicVersion } from "./versions.ts";

/**
 * How the largest UDP payload that a path carries is looked for, where `maxPacketSize` is more than `initialPacketSize`.
 *
 * @example
 * // A link whose frames become smaller and larger often: looked at every minute.
 * const pathMTUSearch = { raiseInterval: 60_000, step: 100 };
 * const conn = await dialAddr("localhost:4433", { ca, ALPNProtocols: ["echo"] }, { maxPacketSize: 8952, pathMTUSearch });
 */
export interface PathMTUSearch {
  /** So many lost probes of a size say that it does not arrive (rfc8899#5.1.2 MAX_PROBES), 1 to 10. Default 3. */
  probes?: number;
  /** Bytes that are not worth another probe, 1 to 1,000. Default 20. */
  step?: number;
  /** Ms after which the search is done again (rfc8899#5.1.1 PMTU_RAISE_TIMER), 1,000 or more. Default 600,000. */
  raiseInterval?: number;
}

/** Settings of a connection, quic-go's names. Times in ms, sizes in bytes. */
export interface Config {
  /** Ends a connection on which nothing arrived for so long; the smaller of both sides' counts. Default 30,000; 0: never. */
  maxIdleTimeout?: number;
  /** Gives a handshake up. Default 10,000. */
  handshakeTimeout?: number;
  /** A PING after so much quiet, at most 20,000 and half of the idle timeout. Default 0: none. */
  keepAlivePeriod?: number;
  /** Receive window of a stream: start (512 KiB) and cap (6 MiB) of its auto-tuning. */
  initialStreamReceiveWindow?: number;
  maxStreamReceiveWindow?: number;
  /** Receive window of the connection: start (768 KiB) and cap (15 MiB). */
  initialConnectionReceiveWindow?: number;
  maxConnectionReceiveWindow?: number;
  /** Streams the peer may have open at a time. Default 100 each; 0: none. */
  maxIncomingStreams?: number;
  maxIncomingUniStreams?: number;
  /** UDP payload size of what we send at first, 1,200 to 65,527. Default 1,252; more needs a path that carries it. */
  initialPacketSize?: number;
  /**
   * The largest UDP payload to look for (DPLPMTUD, rfc8899), 1,200 to 65,527. Default 1,452. On paths with larger frames and
   * on loopback more is worth much: fewer packets for the same bytes. Without effect where the socket cannot forbid
   * fragmentation (`connectionState().socket.dontFragment`): there `initialPacketSize` stays.
   */
  maxPacketSize?: number;
  /**
   * The largest UDP payload to take, which the peer is told (max_udp_payload_size, rfc9000#18.2), 1,200 to 65,527. Default
   * 65,527: as large as the path carries.
   */
  maxPayloadSize?: number;
  /** Keep `initialPacketSize` (or less, where the peer takes less) instead of looking for the largest size. Default false. */
  disablePathMTUDiscovery?: boolean;
  /** How to look for it: rfc8899#5.1. */
  pathMTUSearch?: PathMTUSearch;
  /** Take datagrams (rfc9221), and tell the peer so. Default false. */
  enableDatagrams?: boolean;
  /** Bytes of the largest DATAGRAM frame to take where they are enabled, 1 to 65,535 (default). */
  maxDatagramFrameSize?: number;
  /** Bounds of the datagrams that wait. */
  datagramQueues?: DatagramQueues;
  /**
   * QUIC versions, the preferred one first (rfc9368). Default `[QuicVersion.v1, QuicVersion.v2]`. A client begins with
   * the first, and tells the others; a server that is given versions moves clients that can to the first of its own,
   * without a round trip, and one that is not leaves that to the client's order.
   */
  versions?: readonly QuicVersion[];
  /**
   * Client: the version of the first packets, where it is not the first of `versions`. With `versions: [v2, v1]` and
   * `originalVersion: v1` every server understands the first packets, and those that can go on with version 2. A reserved
   * version (`0x1a2a3a4a`, rfc9000#15) provokes Version Negotiation.
   */
  originalVersion?: number;
  /** Let the second bit of packets be unpredictable where the peer does the same (rfc9287). Default true. */
  greaseQuicBit?: boolean;
  /**
   * The spin bit (rfc9000#17.4). "on": whoever watches the path may measure round trips (but for one path in sixteen),
   * "greased" (default): a random bit for each path, "off": 0.
   */
  spinBit?: "on" | "off" | "greased";
  /**
   * Server: where clients should go on after the handshake (rfc9000#9.6), an address for each family. Packets for it have to
   * come to this transport's socket, or to one of a transport that was `attach`ed.
   */
  preferredAddress?: { ipv4?: { address: string; port: number }; ipv6?: { address: string; port: number } };
  /** Client: stay where the server was dialed, whatever it prefers. Default false. */
  ignorePreferredAddress?: boolean;
  /**
   * Ask the peer, where it can (ack-frequency draft), for as few acknowledgements as the window and the round trip need, instead
   * of one for every other packet: less work on both sides. What peers ask for is done in any case. Default false.
   */
  ackFrequency?: boolean;
  /** Packets after which an acknowledgement leaves at once, 1 to 100, where the peer does not ask. Default 2 (rfc9000#13.2.2). */
  ackElicitingThreshold?: number;
  /** Spread packets over time. Default true. */
  pacing?: boolean;
  /**
   * Mark what is sent as ECN-capable, so that routers can tell of congestion without losing packets (rfc9000#13.4). Given up
   * on paths that do not carry the marks. Default true; without effect on sockets that cannot (`connectionState().socket`).
   */
  ecn?: boolean;
  /**
   * How much may be in flight and how fast it leaves: "cubic" (the default; RFC 9438 with HyStart++), "newreno"
   * (RFC 9002), "bbr" (version 3, draft-ietf-ccwg-bbr), or a factory of your own. One that throws or says nonsense is
   * replaced by Cubic, with a process warning QUIC_CONGESTION_CONTROL. See also `Connection.setCongestionControl`.
   */
  congestionControl?: CongestionControllerName | CongestionControllerFactory;
  /** Tell the peer not to migrate. Default false. */
  disableActiveMigration?: boolean;
  /** Connection IDs of ours the peer may hold, 2 to 8. Default 4. */
  activeConnectionIdLimit?: number;
  /**
   * Client: where tokens of servers are kept, so that the next connection is spared a Retry (rfc9000#8.1.3). Default: one
   * store in memory for the process; null: none are kept.
   */
  tokenStore?: TokenStore | null;
  /**
   * Server: gives one client another configuration, in place of the whole one that `listen` got, or refuses it by throwing
   * (or answering with) `refuse()`; what else it throws refuses with CONNECTION_REFUSED. Asked when the client's first packet
   * has come and nothing is spent on it. May be asynchronous: meanwhile a few packets of the client's are kept, for
   * `handshakeTimeout` at most. quic-go's GetConfigForClient.
   *
   * @example
   * const listener = await listenAddr(4433, { ...selfSigned(), ALPNProtocols: ["echo"] }, {
   *   getConfigForClient({ remote }) {
   *     if (remote.ip === "192.0.2.1") throw refuse({ reason: "not from there" });
   *     return remote.ip === "127.0.0.1" ? { maxIdleTimeout: 300_000 } : null;
   *   },
   * });
   */
  getConfigForClient?: (client: ClientInfo) => ConfigAnswer | Promise<ConfigAnswer>;
  /**
   * Server: take 0-RTT data of clients that come back with a session (rfc9001#4.6). What comes early may be a copy of
   * packets that another server, or this one before a restart, has taken already (rfc8446#8): the streams say so
   * (`stream.early`), and what an application does for them must do no harm when done twice. Refused where the limits of
   * this configuration are lower than those the session remembers. Default false. For clients see `dialEarly`.
   */
  earlyData?: boolean;
  /**
   * Server, with `earlyData`: remembers which tickets were used for 0-RTT. Default: a `memoryReplayFilter` of the
   * listener's, which is enough for one server with ticket keys of its own; with `ticketKeys` it refuses 0-RTT in its
   * first 20 s, and servers that share the keys need a filter that they share as well.
   */
  replayFilter?: ReplayFilter;
  /** Receives every event of the connections; or a function that makes a tracer for each (`quic-ts/qlog` has some). */
  tracer?: TracerSource;
}

function number(name: keyof Config, value: number | undefined, min: number, max: number): void {
  if (value === undefined) return;
  if (typeof value !== "number" || !(value >= min && value <= max)) {
    throw new InvalidOptionError(name, `a number from ${min} to ${max}, not ${String(value)}`);
  }
}

/** Checks `config` and fills in the rest. @throws {InvalidOptionError} naming the option. */
export function resolveConfig(
  config: Config,
  provider: CryptoProvider,
  keyLog: boolean,
  qlog: TracerSource | null = null,
): ConnectionConfig {
  const big = 2 ** 40;
  number("maxIdleTimeout", config.maxIdleTimeout, 0, big);
  number("handshakeTimeout", config.handshakeTimeout, 1, big);
  number("keepAlivePeriod", config.keepAlivePeriod, 0, big);
  number("initialStreamReceiveWindow", config.initialStreamReceiveWindow, 1, big);
  number("maxStreamReceiveWindow", config.maxStreamReceiveWindow, 1, big);
  number("initialConnectionReceiveWindow", config.initialConnectionReceiveWindow, 1, big);
  number("maxConnectionReceiveWindow", config.maxConnectionReceiveWindow, 1, big);
  number("maxIncomingStreams", config.maxIncomingStreams, 0, limits.MAX_STREAM_COUNT);
  number("maxIncomingUniStreams", config.maxIncomingUniStreams, 0, limits.MAX_STREAM_COUNT);
  number("initialPacketSize", config.initialPacketSize, limits.MIN_DATAGRAM_SIZE, limits.MAX_DATAGRAM_SIZE);
  number("ackElicitingThreshold", config.ackElicitingThreshold, 1, 100);
  number("maxPacketSize", config.maxPacketSize, limits.MIN_DATAGRAM_SIZE, limits.MAX_DATAGRAM_SIZE);
  number("maxPayloadSize", config.maxPayloadSize, limits.MIN_DATAGRAM_SIZE, limits.MAX_DATAGRAM_SIZE);
  number("activeConnectionIdLimit", config.activeConnectionIdLimit, 2, 8);
  if (config.getConfigForClient !== undefined && typeof config.getConfigForClient !== "function") {
    throw new InvalidOptionError("getConfigForClient", "a function");
  }
  checkEarlyData(config);
  if (config.spinBit !== undefined && !["on", "off", "greased"].includes(config.spinBit)) {
    throw new InvalidOptionError("spinBit", '"on", "off" or "greased"');
  }
  const datagrams = datagramSettings(config);
  checkVersions(config.versions, config.originalVersion);
  const controller =
    config.congestionControl === undefined
      ? defaultController
      : requireController("congestionControl", config.congestionControl);
  const streamWindow = config.initialStreamReceiveWindow ?? limits.STREAM_WINDOW_INITIAL;
  const connectionWindow = config.initialConnectionReceiveWindow ?? limits.CONNECTION_WINDOW_INITIAL;
  return connectionConfig({
    provider,
    random,
    maxIdleTimeout: config.maxIdleTimeout ?? limits.IDLE_TIMEOUT,
    handshakeTimeout: config.handshakeTimeout ?? limits.HANDSHAKE_TIMEOUT,
    keepAlivePeriod: Math.min(config.keepAlivePeriod ?? 0, limits.MAX_KEEP_ALIVE),
    initialStreamWindow: streamWindow,
    maxStreamWindow: Math.max(streamWindow, config.maxStreamReceiveWindow ?? limits.STREAM_WINDOW_MAX),
    initialConnectionWindow: connectionWindow,
    maxConnectionWindow: Math.max(
      connectionWindow,
      config.maxConnectionReceiveWindow ?? limits.CONNECTION_WINDOW_MAX,
    ),
    maxIncomingStreams: config.maxIncomingStreams ?? limits.MAX_INCOMING_STREAMS,
    maxIncomingUniStreams: config.maxIncomingUniStreams ?? limits.MAX_INCOMING_UNI_STREAMS,
    datagramSize: config.initialPacketSize ?? limits.INITIAL_DATAGRAM_SIZE,
    maxDatagramSize: config.maxPacketSize ?? limits.DEFAULT_DATAGRAM_SIZE,
    ...(config.maxPayloadSize === undefined ? {} : { maxUdpPayloadSize: config.maxPayloadSize }),
    mtuDiscovery: config.disablePathMTUDiscovery !== true,
    mtuSearch: searchOf(config.pathMTUSearch),
    ...(config.versions === undefined ? {} : { versions: [...config.versions], honorVersionOrder: true }),
    ...(config.originalVersion === undefined ? {} : { originalVersion: config.originalVersion }),
    ...datagrams,
    spinBit: config.spinBit ?? "greased",
    greaseQuicBit: config.greaseQuicBit ?? true,
    pacing: config.pacing ?? true,
    ackFrequency: config.ackFrequency === true,
    ackElicitingThreshold: config.ackElicitingThreshold ?? limits.ACK_ELICITING_THRESHOLD,
    ecn: config.ecn ?? true,
    congestionControl: controller,
    preferredAddress: preferredOf(config.preferredAddress),
    followPreferredAddress: config.ignorePreferredAddress !== true,
    disableActiveMigration: config.disableActiveMigration ?? false,
    activeConnectionIdLimit: config.activeConnectionIdLimit ?? limits.ACTIVE_CONNECTION_ID_LIMIT,
    holdStreams: true,
    keyLog,
    tracer: safeTracer(config.tracer ?? null, qlog),
  });
}

function searchOf(given: PathMTUSearch = {}): ConnectionConfig["mtuSearch"] {
  const within = (name: keyof PathMTUSearch, byDefault: number, min: number, max: number): number => {
    const value = given[name] ?? byDefault;
    if (typeof value === "number" && value >= min && value <= max) return value;
    throw new InvalidOptionError(
      `pathMTUSearch.${name}`,
      `a number from ${min} to ${max}, not ${String(value)}`,
    );
  };
  return {
    probes: within("probes", limits.MTU_PROBES, 1, 10),
    step: within("step", limits.MTU_SEARCH_STEP, 1, 1000),
    raiseInterval: within("raiseInterval", limits.MTU_RAISE_TIMER, 1000, 2 ** 40),
  };
}

function preferredOf(given: Config["preferredAddress"]): ConnectionConfig["preferredAddress"] {
  if (given === undefined) return null;
  const of = (version: 4 | 6, one: { address: string; port: number } | undefined) => {
    if (one === undefined) return null;
    if (isIP(one.address) !== version || !Number.isInteger(one.port) || one.port < 1 || one.port > 65535) {
      throw new InvalidOptionError(
        `preferredAddress.ipv${version}`,
        "an IP address of that family and a port",
      );
    }
    return { ip: one.address, port: one.port };
  };
  return { ipv4: of(4, given.ipv4), ipv6: of(6, given.ipv6) };
}

/** What of it the socket can do: without marks or DF of its own a connection does without. @internal */
export function onSocket(config: ConnectionConfig, socket: SocketDescription): ConnectionConfig {
  return {
    ...config,
    ecn: config.ecn && socket.ecn,
    dontFragment: socket.dontFragment,
  };
}

/** The factory that `choice` names or is. @throws {InvalidOptionError} */
export function requireController(option: string, choice: unknown): CongestionControllerFactory {
  const factory = controllerFactory(choice);
  if (factory !== null) return factory;
  const names = CONTROLLER_NAMES.map((name) => JSON.stringify(name)).join(", ");
  throw new InvalidOptionError(option, `${names} or a factory, not ${JSON.stringify(choice)}`);
}
