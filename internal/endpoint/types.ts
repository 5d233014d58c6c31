// What an endpoint expects of its connections and of its owner. The endpoint knows connections by this interface alone,
// so that its own tests need no handshake.

import type { Farewell } from "../connection/close.ts";
import type { ConnectionHost } from "../connection/core.ts";
import type { ConnectionEvent } from "../connection/events.ts";
import type { CryptoProvider } from "../crypto/provider.ts";
import type { TokenLifetimes } from "../path/address-tokens.ts";
import type { CidGenerator } from "../path/cid-generator.ts";
import type { ResetTokenSource } from "../path/reset-token.ts";
import type { Address } from "../protocol/address.ts";
import type { RxBatch, TxBatch } from "../protocol/batch.ts";
import type { QuicError, TransportError } from "../protocol/errors.ts";
import type { RandomSource } from "../protocol/random.ts";
import type { DropReason, Tracer } from "../protocol/tracer.ts";
import { WIDE } from "../protocol/wide.ts";
import type { Rates } from "./hosts.ts";

/** One connection as its endpoint sees it. */
export interface EndpointConnection {
  /** A run of datagrams [from, to) that are all for it, from any addresses. */
  receive(rx: RxBatch, from: number, to: number, now: number, wallNow: number): void;
  /** Fills entries of `tx`, a bounded number of them. True when there is more to send at once. */
  transmit(tx: TxBatch, now: number): boolean;
  /** Absolute monotonic ms, Infinity for none. */
  timeout(): number;
  handleTimeout(now: number, wallNow: number): void;
  pollEvent(): ConnectionEvent | null;
  /** A datagram from the peer's address ended in its stateless reset token. */
  onStatelessReset(now: number): void;
  /** Ends it with an error of ours, as if the application had asked for it. */
  closeWith(error: QuicError, now: number): void;
  /** What is to be kept in its place once it has ended, and need not listen any more; null before. */
  farewell(now: number): Farewell | null;
  /** Frees keys and forgets everything, sending nothing. Idempotent. */
  dispose(): void;
  /** Nothing is left of it but events to poll. */
  readonly isClosed: boolean;
  readonly stats: { readonly packetsReceived: number };
}

/** What a new connection gets from its endpoint. */
export interface ConnectionContext {
  /** Our connection IDs: none that is in use is drawn twice. */
  readonly cids: CidGenerator;
  readonly resetToken: ResetTokenSource;
  /** A token for a NEW_TOKEN frame to `remote`; null where none are sent. */
  readonly newToken: (remote: Address) => Uint8Array | null;
}

/** The first Initial of a client, as far as the endpoint looks into it. */
export interface ClientInitial {
  readonly version: number;
  /** The client's random first DCID. */
  readonly originalDcid: Uint8Array;
  /** Where the packet was sent to: the same, or the SCID of the Retry in between. */
  readonly dcid: Uint8Array;
  readonly peerScid: Uint8Array;
  /** It has proved its address by a token, rfc9000#8.1. */
  readonly validated: boolean;
  readonly remote: Address;
  readonly local: Address | null;
}

/** Where a connection is dialed to. */
export interface DialTarget {
  readonly remote: Address;
  readonly local?: Address | null;
  /** The first of its connection IDs, where the owner has one. */
  readonly scid?: Uint8Array;
}

/** How a server listens, apart from what it makes of its clients. */
export interface ListenPolicy {
  /** Each client waits, so many ms at most, from `pollIncoming` to `admit`; nothing is made for it before. */
  readonly ask?: number | null;
  /** Connections are announced when they can be written to (0.5-RTT), not when their handshake is complete. */
  readonly early?: boolean;
}

/** A server that listens, with `S` for its clients. */
export interface Listening<S> {
  readonly options: S;
  readonly policy: ServerPolicy;
  readonly ask: number | null;
  readonly early: boolean;
}

/** What becomes of a client that waits: a connection by these options, by those of `listen` (null), or this error. */
export type Decision<S> = { readonly options: S } | TransportError | null;

/** Makes connections: `D` are the options of dialing, `S` those of a server. */
export interface ConnectionFactory<C extends EndpointConnection, D extends DialTarget, S> {
  connect(options: D, context: ConnectionContext, host: ConnectionHost<C>, now: number, wallNow: number): C;
  accept(
    options: S,
    initial: ClientInitial,
    context: ConnectionContext,
    host: ConnectionHost<C>,
    now: number,
    wallNow: number,
  ): C;
  /** What a server with these options takes of first Initials. */
  policy(options: S): ServerPolicy;
}

export interface ServerPolicy {
  /** The preferred one first. */
  readonly versions: readonly number[];
  /** Packets with a QUIC bit of 0 are taken, rfc9287. */
  readonly greaseQuicBit: boolean;
  /** 0-RTT may be taken: what of it overtakes its Initial is worth keeping. */
  readonly earlyData: boolean;
}

export interface EndpointOptions {
  /** For reset tokens and refusals; node:crypto by default. */
  readonly provider?: CryptoProvider;
  readonly random: RandomSource;
  /** Packets of versions nobody here speaks are dropped without an answer. */
  readonly disableVersionNegotiation?: boolean;
  /** Our connection IDs; 8 random bytes by default. Of length 0 an endpoint can only dial. */
  readonly cids?: CidGenerator;
  /** Makes reset tokens that survive the loss of all state, and answers packets of unknown connections with them. */
  readonly statelessResetKey?: Uint8Array | null;
  readonly maxHandshakes?: number;
  /** Handshakes of clients that have not proved their address; beyond it a Retry is sent. */
  readonly maxUnvalidatedHandshakes?: number;
  readonly maxConnections?: number;
  readonly maxConnectionsPerHost?: number;
  readonly acceptQueue?: number;
  /** 32 bytes each: seal address tokens. null: one is drawn. */
  readonly tokenKeys?: readonly Uint8Array[] | null;
  readonly tokenLifetimes?: TokenLifetimes;
  /** Whether a client at `remote` has to prove its address by a Retry. */
  readonly verifySourceAddress?: (remote: Address) => boolean;
  readonly isBlocked?: ((remote: Address) => boolean) | null;
  readonly validatedAddresses?: number;
  readonly rates?: Rates;
  readonly tracer?: Tracer | null;
}

/** Something happened. `accepted` comes once per server connection: when its handshake is complete, or see `ListenPolicy`. */
export type EndpointEvent<C> =
  | { readonly type: "accepted"; readonly connection: C }
  | { readonly type: "connection"; readonly connection: C; readonly event: ConnectionEvent };

/** Kinds of answers without state. */
export type StatelessKind = "version_negotiation" | "retry" | "stateless_reset" | "connection_close";

/** Counters of one endpoint; a snapshot is a copy. What a connection drops itself is in its own statistics. */
export class EndpointStats {
  datagramsReceived = 0;
  bytesReceived = WIDE;
  datagramsSent = 0;
  bytesSent = WIDE;
  connectionsDialed = 0;
  connectionsAccepted = 0;
  connectionsRefused = 0;
  /** Of those, the ones that a limit or the busy switch refused. */
  busyRefusals = 0;
  statelessResetsReceived = 0;
  readonly statelessSent: { [kind in StatelessKind]: number } = {
    version_negotiation: 0,
    retry: 0,
    stateless_reset: 0,
    connection_close: 0,
  };
  /** Datagrams dropped, by reason. */
  readonly dropped: { [reason in DropReason]?: number } = {};

  constructor() {
    this.bytesReceived = this.bytesSent = 0;
  }
}
