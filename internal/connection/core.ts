// The parts of one connection, as they see each other. No logic of its own: each concern lives in its part.

import type { CongestionControl } from "../congestion/control.ts";
import type { Pacer } from "../congestion/pacer.ts";
import type { CryptoStreams } from "../stream/crypto-stream.ts";
import type { PacketProtection } from "../handshake/protection.ts";
import type { LocalCids } from "../path/local-connection-ids.ts";
import type { RemoteCids } from "../path/remote-connection-ids.ts";
import type { Address } from "../protocol/address.ts";
import type { Role } from "../protocol/constants.ts";
import type { QuicError } from "../protocol/errors.ts";
import type { Tracer } from "../protocol/tracer.ts";
import type { Recovery } from "../recovery/loss-recovery.ts";
import type { ReceivedPackets } from "../recovery/received-packets.ts";
import type { RttEstimator } from "../recovery/rtt.ts";
import type { StreamMap } from "../stream/streams.ts";
import type { TransportParameters } from "../wire/transport-parameters.ts";
import type { CloseMachine } from "./close.ts";
import type { ConnectionConfig } from "./config.ts";
import type { ControlFrames } from "./control.ts";
import type { Datagrams } from "./datagrams.ts";
import type { EventQueue } from "./events.ts";
import type { PathSet } from "../path/path-set.ts";
import type { AckFrequency } from "./ack-frequency.ts";
import type { Migration } from "./migration.ts";
import type { IdleTimer } from "./idle.ts";
import type { ConnectionStats } from "./stats.ts";
import type { Timers } from "./timers.ts";
import type { VersionNegotiator } from "./versions.ts";

/** What a connection asks of its owner, the endpoint. `C` is the connection's own type. */
export interface ConnectionHost<C> {
  /** Packets with this destination connection ID go to `connection` from now on. */
  addCid(cid: Uint8Array, connection: C): void;
  removeCid(cid: Uint8Array): void;
  /** Whether packets to it go to a connection. */
  hasCid(cid: Uint8Array): boolean;
  /** A datagram from `remote` that ends in `token` is the peer's stateless reset for `connection`. */
  addResetToken(token: Uint8Array, remote: Address, connection: C): void;
  removeResetToken(token: Uint8Array, remote: Address): void;
  /** `transmit` has something to do. May be called often. */
  wantTransmit(connection: C): void;
  /** `timeout()` may have changed. */
  timerChanged(connection: C): void;
  /** `pollEvent()` gives something. */
  hasEvents(connection: C): void;
}

/** Everything a part may need, assembled once by the connection. */
export interface Core {
  readonly role: Role;
  readonly config: ConnectionConfig;
  readonly tracer: Tracer | null;
  /** Which version the connection uses; `version` is the negotiated one as far as it is known. */
  readonly versions: VersionNegotiator;
  readonly version: number;
  /** Monotonic ms of the verb in progress, for parts that are called back without it. */
  now: number;

  readonly events: EventQueue;
  readonly timers: Timers;
  readonly close: CloseMachine;
  readonly stats: ConnectionStats;
  readonly protection: PacketProtection;
  readonly rtt: RttEstimator;
  readonly controller: CongestionControl;
  readonly pacer: Pacer;
  readonly recovery: Recovery;
  /** By packet number space. */
  readonly received: ReceivedPackets[];
  readonly crypto: CryptoStreams;
  /** Another one once a server has refused 0-RTT. */
  readonly streams: StreamMap;
  readonly datagrams: Datagrams;
  readonly control: ControlFrames;
  readonly localCids: LocalCids;
  readonly remoteCids: RemoteCids;
  readonly paths: PathSet;
  readonly migration: Migration;
  readonly ackFrequency: AckFrequency;
  readonly idle: IdleTimer;

  peerParameters: TransportParameters | null;
  handshakeComplete: boolean;
  handshakeConfirmed: boolean;
  /** What is sent (client) or was just received (server) is 0-RTT. */
  readonly early: boolean;

  /** Ask the owner for a call of transmit. */
  wake(): void;
  /** Datagrams on the active path may have so many bytes from now on. */
  onMtu(bytes: number): void;
  /** The largest datagram the peer takes. */
  setMaxUdpPayload(bytes: number): void;
  /** End the connection: a violation with its code, anything else as INTERNAL_ERROR. */
  fail(error: unknown): void;
  /** Server: a token for the client's next connection goes out. */
  giveToken(): void;
  /** Client: streams so far are void, rfc9001#4.6.2. */
  rejectEarlyData(): void;
  /** The peer lost its state and said so. */
  onStatelessReset(now: number): void;
  /** The peer ended it. */
  closedByPeer(error: QuicError): void;
}
