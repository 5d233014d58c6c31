// What is asked of, and set on, a live connection besides streams, datagrams and paths.

import type { CongestionControllerFactory } from "../internal/congestion/controller.ts";
import type { CongestionControllerName } from "../internal/congestion/controllers.ts";
import { retireCid, watchCids } from "../internal/connection/cid-control.ts";
import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import { toHex } from "../internal/protocol/bytes.ts";
import { configure } from "../internal/connection/live.ts";
import type { BlockedBy } from "../internal/stream/send.ts";
import { requireController } from "./config.ts";
import {
  ConnectionIdError,
  type ConnectionIds,
  connectionIdsOf,
  issueConnectionId,
  type IssueOptions,
  type RetiredConnectionId,
} from "./connection-ids.ts";
import type { ConnectionOwner, ConnectionStatistics } from "./connection-state.ts";
import { monotonicNow } from "./driver.ts";
import { liveChanges, type LiveOptions } from "./live-options.ts";
import { type PathInfo, pingPath } from "./path.ts";
import { type ConnectionSendQueue, sendQueueOf } from "./send-queue.ts";

/** Data waits that the application has written. */
export interface BlockedEvent {
  /**
   * Whose limit holds it back: the peer's for one stream or for the connection (rfc9000#4.1), or the congestion window is
   * full.
   */
  readonly by: BlockedBy;
  /** The stream whose limit it is, null for the other two. */
  readonly streamId: number | null;
}

/** The part of a Connection that observes and tunes it. @internal */
export abstract class ConnectionControls {
  /** @internal */
  readonly core: CoreConnection;
  readonly #owner: ConnectionOwner;
  #onBlocked: ((event: BlockedEvent) => void) | null = null;
  #onConnectionIdRetired: ((retired: RetiredConnectionId) => void) | null = null;

  /** @internal */
  constructor(core: CoreConnection, owner: ConnectionOwner) {
    this.core = core;
    this.#owner = owner;
  }

  /** The peer's address, as `192.0.2.1:443` or `[2001:db8::1]:443`. */
  get remoteAddress(): string {
    return this.core.remote.key;
  }

  /** Our address of it: the one the peer sends to where the socket tells, else the one that the socket is bound to. */
  get localAddress(): string {
    return this.core.paths.active.local?.key ?? this.#owner.localAddress();
  }

  get role(): "client" | "server" {
    return this.core.role;
  }

  /**
   * Names the connection in logs, the same at both ends and in qlog: the client's first destination connection ID
   * (rfc9000#7.2) in hexadecimal.
   */
  get traceId(): string {
    return toHex(this.core.seen.original);
  }

  /** Streams that the peer lets us open now (rfc9000#4.6): so often `tryOpenStream` and `tryOpenUniStream` succeed. */
  get streamsLeft(): { readonly bidirectional: number; readonly unidirectional: number } {
    const { core } = this;
    if (!core.canOpenStreams) return { bidirectional: 0, unidirectional: 0 };
    return { bidirectional: core.streams.available(true), unidirectional: core.streams.available(false) };
  }

  /** What waits to be sent on all streams and as datagrams, for decisions about backpressure. */
  sendQueue(): ConnectionSendQueue {
    return sendQueueOf(this.core);
  }

  /**
   * Called when data that was written has to wait: once for each limit of the peer's that is reached, and each time the
   * congestion window fills up. See also `SendStream.onBlocked`; `stats().blockCount` counts them.
   */
  get onBlocked(): ((event: BlockedEvent) => void) | null {
    return this.#onBlocked;
  }

  set onBlocked(listener: ((event: BlockedEvent) => void) | null) {
    this.#onBlocked = listener;
    if (listener !== null) this.core.events.watchBlocked();
  }

  /** Bytes of the largest UDP payload that is sent now on the path in use: what DPLPMTUD found (rfc8899). */
  get mtu(): number {
    return this.core.paths.active.mtu;
  }

  /**
   * Has the peer acknowledge something, to keep the path alive: a packet on the path in use, or on `path` of `paths()`. On one
   * that is not in use it is a probe (rfc9000#9.1), so that data stays where it is.
   * @throws {MigrationError} where there is no such path (any more), or no connection ID for it.
   */
  ping(path?: PathInfo): void {
    if (path === undefined) this.core.ping();
    else pingPath(this.core, path);
    this.#owner.flushSoon();
  }

  /**
   * Changes options of this connection while it lives; those that are not named stay. What the peer was promised it keeps:
   * fewer streams, or smaller windows, come about as streams end and data is read.
   * @throws {InvalidOptionError} for values that cannot be, and for options that are settled when a connection is made.
   *
   * @example
   * const conn = await dialAddr("localhost:4433", { ca, ALPNProtocols: ["echo"] });
   * conn.configure({ keepAlivePeriod: 5_000, maxIncomingUniStreams: 500 });
   */
  configure(options: LiveOptions): void {
    configure(this.core, liveChanges(options, this.core.config.provider), monotonicNow());
    this.#owner.flushSoon();
  }

  /**
   * Another congestion controller for what is sent from now on: a name or a factory, as in the configuration. The window
   * stays where it is; what is in flight counts for the new controller.
   *
   * @example
   * const conn = await dialAddr("localhost:4433", { ca, ALPNProtocols: ["echo"] });
   * conn.setCongestionControl("newreno");
   *
   * @throws {InvalidOptionError} for a name that there is not
   */
  setCongestionControl(controller: CongestionControllerName | CongestionControllerFactory): void {
    this.core.setCongestionControl(requireController("controller", controller), monotonicNow());
    this.#owner.flushSoon();
  }

  /**
   * Changes the keys of 1-RTT packets (rfc9001#6), as happens by itself after 100 packets and then every 100,000:
   * `stats().keyUpdates` counts those that are complete.
   * @returns false where it is too soon: before the handshake is confirmed, and until three PTO after the last update.
   *
   * @example
   * const conn = await dialAddr("localhost:4433", { ca, ALPNProtocols: ["echo"] });
   * conn.updateKeys();
   */
  updateKeys(): boolean {
    const updated = this.core.updateKeys();
    this.#owner.flushSoon();
    return updated;
  }

  /** Keying material bound to this connection, rfc8446#7.5. */
  exportKeyingMaterial(length: number, label: string, context: Uint8Array = new Uint8Array(0)): Uint8Array {
    return this.core.handshake.tls.exportKeyingMaterial(label, context, length);
  }

  /** Whether a tracer listens: ask before an event is made for `trace`. */
  get traced(): boolean {
    return this.core.tracer !== null;
  }

  /** Puts an event of the application's protocol into the trace, as qlog has it: `trace("http3:frame_parsed", {…})`. */
  trace(event: string, data: object): void {
    this.core.tracer?.record({ name: "application_event", time: monotonicNow(), event, data });
  }

  /** The connection IDs in use on both sides, and how many of the peer's are left. */
  connectionIds(): ConnectionIds {
    return connectionIdsOf(this.core);
  }

  /**
   * Gives the peer a connection ID of yours, under which packets of this connection can be told on their way, say (rfc9000#5.1.1).
   * None may ever be given twice on a connection.
   * @returns its sequence number
   * @throws {ConnectionIdError} where that cannot be, or not now; {InvalidOptionError}
   *
   * @example
   * const conn = await dialAddr("localhost:4433", { ca, ALPNProtocols: ["echo"] });
   * const mine = crypto.getRandomValues(new Uint8Array(8));
   * conn.issueConnectionId(mine, { retireIfNeeded: true });
   */
  issueConnectionId(connectionId: Uint8Array, options: IssueOptions = {}): number {
    const sequence = issueConnectionId(this.core, connectionId, options);
    this.#owner.flushSoon();
    return sequence;
  }

  /**
   * Gives a connection ID of the peer's back (rfc9000#5.1.2): the peer sends another. By default the one in use, where
   * there is another to go on with.
   * @throws {ConnectionIdError}
   */
  retireConnectionId(sequence: number = this.core.remoteCids.currentSequence): void {
    if (!retireCid(this.core, sequence)) throw new ConnectionIdError("unretirable");
    this.#owner.flushSoon();
  }

  /** Called when a connection ID of either side was retired. */
  get onConnectionIdRetired(): ((retired: RetiredConnectionId) => void) | null {
    return this.#onConnectionIdRetired;
  }

  set onConnectionIdRetired(listener: ((retired: RetiredConnectionId) => void) | null) {
    this.#onConnectionIdRetired = listener;
    if (listener !== null) watchCids(this.core);
  }

  /** Counters and estimates. */
  stats(): ConnectionStatistics {
    return this.core.statistics();
  }
}
