// One QUIC connection: the parts put together, and the verbs its owner calls. What the verbs do lives in the parts:
// receive.ts, frames.ts, send.ts, send-close.ts, handshake.ts, close.ts, idle.ts, fate.ts, control.ts, timers.ts.

import { CongestionControl } from "../congestion/control.ts";
import type { CongestionControllerFactory } from "../congestion/controller.ts";
import { Pacer } from "../congestion/pacer.ts";
import { PacketProtection } from "../handshake/protection.ts";
import type { CidGenerator } from "../path/cid-generator.ts";
import { LocalCids } from "../path/local-connection-ids.ts";
import { RemoteCids } from "../path/remote-connection-ids.ts";
import { PathSet } from "../path/path-set.ts";
import type { ResetTokenSource } from "../path/reset-token.ts";
import type { Address } from "../protocol/address.ts";
import type { RxBatch, TxBatch } from "../protocol/batch.ts";
import { toHex } from "../protocol/bytes.ts";
import {
  APPLICATION,
  HANDSHAKE,
  INITIAL,
  INTERNAL_ERROR,
  ZERO_RTT,
  type Role,
} from "../protocol/constants.ts";
import { ApplicationError, QuicError, StatelessResetError, TransportError } from "../protocol/errors.ts";
import type { Tracer } from "../protocol/tracer.ts";
import { MIN_DATAGRAM_SIZE } from "../protocol/limits.ts";
import { Recovery } from "../recovery/loss-recovery.ts";
import { ReceivedPackets } from "../recovery/received-packets.ts";
import { RttEstimator } from "../recovery/rtt.ts";
import { CryptoStreams } from "../stream/crypto-stream.ts";
import type { Stream } from "../stream/stream.ts";
import { StreamMap, type StreamHost } from "../stream/streams.ts";
import type { PendingAnswer } from "../tls/types.ts";
import type { TransportParameters } from "../wire/transport-parameters.ts";
import { CloseMachine, type Farewell } from "./close.ts";
import type { ConnectionConfig } from "./config.ts";
import { ControlFrames } from "./control.ts";
import type { ConnectionHost, Core } from "./core.ts";
import { Datagrams } from "./datagrams.ts";
import { EventQueue, type ConnectionEvent } from "./events.ts";
import { RecordFate } from "./fate.ts";
import { FrameHandler } from "./frames.ts";
import { HandshakeDriver, type SeenCids } from "./handshake.ts";
import { PathKeeper } from "./path-keeper.ts";
import { IdleTimer } from "./idle.ts";
import { AckFrequency } from "./ack-frequency.ts";
import { checkBlackHole } from "./black-hole.ts";
import { Migration } from "./migration.ts";
import { Receiver } from "./receive.ts";
import { Sender } from "./send.ts";
import { SpecialPackets } from "./special-packets.ts";
import { ConnectionStats, type StatisticsSnapshot, snapshot } from "./stats.ts";
import { onTimers } from "./timeouts.ts";
import { traceController, traceFailure, traceStart } from "./trace-start.ts";
import { TIMER_ACK, TIMER_CLOSE, TIMER_HANDSHAKE, TIMER_LOSS, TIMER_PATH, Timers } from "./timers.ts";
import { VersionNegotiator } from "./versions.ts";

/** What every connection needs to exist; client.ts and server.ts fill it. */
export interface ConnectionSetup {
  readonly role: Role;
  readonly config: ConnectionConfig;
  /** Of the client's first flight. */
  readonly version: number;
  /** A Version Negotiation packet made us choose it. */
  readonly reacting?: boolean;
  readonly remote: Address;
  readonly local: Address | null;
  /** The peer's connection ID to send to at first. */
  readonly peerCid: Uint8Array;
  readonly seen: SeenCids;
  readonly cids: CidGenerator;
  readonly resetToken: ResetTokenSource;
  /** Server: a token for the client's next connection, null where none are given. */
  readonly newToken: ((remote: Address) => Uint8Array | null) | null;
  /** Server: where the client's first packets are sent to, until it knows our connection ID. */
  readonly clientDcid: Uint8Array | null;
  /** The peer's address is known to be its own. */
  readonly validated: boolean;
  /** Passed through to the owner. */
  readonly userData: unknown;
}

/** A connection without I/O: feed it datagrams and time, take datagrams, deadlines and events from it. */
export class Connection implements Core, StreamHost {
  readonly role: Role;
  /** Another one where the application has changed it: see live.ts. */
  config: ConnectionConfig;
  readonly tracer: Tracer | null;
  readonly versions: VersionNegotiator;
  readonly #host: ConnectionHost<Connection>;
  readonly seen: SeenCids;
  now: number;
  /** The owner's. */
  userData: unknown;
  /** The application's object for it; the owner's. */
  application: unknown = null;

  readonly events = new EventQueue();
  readonly timers = new Timers();
  readonly close = new CloseMachine();
  readonly stats = new ConnectionStats();
  readonly protection: PacketProtection;
  readonly rtt = new RttEstimator();
  readonly controller: CongestionControl;
  readonly pacer: Pacer;
  readonly recovery: Recovery;
  readonly received: ReceivedPackets[];
  readonly crypto = new CryptoStreams();
  streams: StreamMap;
  readonly datagrams: Datagrams = new Datagrams(this);
  readonly control: ControlFrames;
  readonly localCids: LocalCids;
  readonly remoteCids: RemoteCids;
  readonly paths: PathSet;
  readonly pathKeeper: PathKeeper = new PathKeeper(this);
  readonly migration: Migration = new Migration(this);
  readonly ackFrequency: AckFrequency = new AckFrequency(this);
  readonly idle: IdleTimer;
  readonly handshake: HandshakeDriver;
  readonly sender: Sender;
  readonly #receiver: Receiver;
  readonly #newToken: ((remote: Address) => Uint8Array | null) | null;

  peerParameters: TransportParameters | null = null;
  handshakeComplete = false;
  handshakeConfirmed = false;
  #ended = false;

  constructor(setup: ConnectionSetup, host: ConnectionHost<Connection>, now: number) {
    const { config, role } = setup;
    this.role = role;
    this.config = config;
    const { tracer } = config;
    this.tracer = typeof tracer === "function" ? tracer({ role, odcid: toHex(setup.seen.original) }) : tracer;
    this.versions = new VersionNegotiator({
      role,
      versions: config.versions,
      honorVersionOrder: config.honorVersionOrder,
      original: setup.version,
      reacting: setup.reacting ?? false,
    });
    this.now = now;
    this.received = [
      new ReceivedPackets(INITIAL),
      new ReceivedPackets(HANDSHAKE),
      new ReceivedPackets(APPLICATION, undefined, config.ackElicitingThreshold),
    ];
    this.userData = setup.userData;
    this.seen = setup.seen;
    this.#host = host;
    const { random } = config;
    this.protection = new PacketProtection(config.provider, role, setup.version, config.keyUse);
    this.controller = new CongestionControl(
      config.congestionControl,
      { maxDatagramSize: config.datagramSize, random, paced: config.pacing },
      (name, reason) => this.#controllerFailed(name, reason),
    );
    this.pacer = new Pacer(this.controller, this.rtt, config.datagramSize, config.pacing);
    const fate = new RecordFate();
    fate.attach(this);
    this.recovery = new Recovery({
      role,
      rtt: this.rtt,
      controller: this.controller,
      random,
      tracer: this.tracer,
      fate,
    });
    if (config.ecn) this.recovery.ecn.start(now);
    this.streams = new StreamMap(this, config);
    this.localCids = new LocalCids({
      generator: setup.cids,
      random,
      resetToken: setup.resetToken,
      host: { addCid: (cid) => host.addCid(cid, this), removeCid: (cid) => host.removeCid(cid) },
      original: setup.clientDcid,
    });
    this.remoteCids = new RemoteCids({
      initial: setup.peerCid,
      limit: config.activeConnectionIdLimit,
      host: {
        addResetToken: (token) => host.addResetToken(token, this.paths.active.remote, this),
        removeResetToken: (token) => host.removeResetToken(token, this.paths.active.remote),
        // rfc9000#17.4 An endpoint resets the spin value for a network path to 0 when changing the connection ID being used on it.
        currentChanged: () => this.paths.active.spin.reset(),
      },
    });
    this.control = new ControlFrames(this.localCids, this.remoteCids);
    this.paths = new PathSet({
      remote: setup.remote,
      local: setup.local,
      validated: setup.validated,
      migrationDisabled: config.disableActiveMigration,
      settings: {
        role,
        random,
        spin: config.spinBit,
        mtu: {
          base: config.datagramSize,
          ceiling: Math.max(config.datagramSize, config.maxDatagramSize),
          discovered: config.mtuDiscovery,
          search: config.mtuSearch,
          dontFragment: config.dontFragment,
        },
      },
      host: this.pathKeeper,
    });
    this.idle = new IdleTimer(this.timers, config.maxIdleTimeout, config.keepAlivePeriod);
    this.handshake = new HandshakeDriver(this, setup.seen);
    this.#newToken = setup.newToken;
    this.sender = new Sender(this, this.handshake);
    const special = new SpecialPackets(this, this.handshake, this.sender, setup.seen);
    this.#receiver = new Receiver(this, this.handshake, new FrameHandler(this, this.handshake), special);
    this.stats.handshakeStart = now;
    this.timers.set(TIMER_HANDSHAKE, now + config.handshakeTimeout);
    this.idle.onReceived(now, this.recovery.timer.pto(INITIAL));
    if (this.tracer !== null) {
      this.tracer.record({
        name: "connection_started",
        time: now,
        role,
        local: setup.local?.key ?? null,
        remote: setup.remote.key,
        odcid: toHex(setup.seen.original),
        version: setup.version,
      });
      traceStart(this, this.tracer);
    }
  }

  // The verbs

  /** Datagrams [from, to) of the batch, all for this connection. */
  receive(rx: RxBatch, from: number, to: number, now: number, wallNow: number): void {
    this.now = now;
    if (this.#ended) return;
    this.#receiver.receive(rx, from, to, now, wallNow);
    this.#after();
    // ACKs and answers leave in the check phase, whatever was received.
    this.wake();
  }

  /** Fills `tx`. True when there is more to send at once. */
  transmit(tx: TxBatch, now: number): boolean {
    this.now = now;
    if (this.#ended) return false;
    let more = false;
    try {
      more = this.sender.transmit(tx, now);
    } catch (error) {
      // AEAD limits, and defects of ours: the connection ends, its owner lives. What was sealed for this batch has its
      // place in the slab still; the next packet may take it.
      this.protection.maskPending();
      this.fail(error);
    }
    this.#after();
    return more;
  }

  timeout(): number {
    return this.timers.next();
  }

  handleTimeout(now: number, wallNow: number): void {
    this.now = now;
    if (this.#ended) return;
    try {
      onTimers(this, now);
    } catch (error) {
      this.fail(error);
    }
    void wallNow;
    this.#after();
  }

  pollEvent(): ConnectionEvent | null {
    return this.events.poll();
  }

  /** Timers that follow from state are set anew after every verb. */
  #after(): void {
    if (this.close.isOpen) {
      checkBlackHole(this);
      this.timers.set(TIMER_LOSS, this.recovery.timer.at);
      // While the amplification limit stops us no timer helps: what the peer sends next wakes us.
      const blocked = this.paths.active.sendBudget() < MIN_DATAGRAM_SIZE;
      const mute = blocked || !this.protection.canSeal(APPLICATION);
      this.timers.set(TIMER_ACK, mute ? Infinity : this.received[APPLICATION]!.ackDeadline);
      this.timers.set(TIMER_PATH, this.paths.timeout());
    } else if (this.close.state === "closed") this.#end();
    this.#host.timerChanged(this);
    if (!this.events.isEmpty) this.#host.hasEvents(this);
  }

  // Core

  /** A doubtful Initial was not refuted. */
  onDoubtExpired(): void {
    this.#receiver.onDoubtExpired(this.now);
  }

  wake(): void {
    if (!this.#ended) this.#host.wantTransmit(this);
  }

  setMaxUdpPayload(bytes: number): void {
    const { active } = this.paths;
    const before = active.mtu;
    // rfc9000#18.2 max_udp_payload_size limits the size of UDP payloads that the endpoint is willing to receive.
    this.paths.limitMtu(bytes);
    if (active.mtu !== before) this.onMtu(active.mtu);
  }

  onMtu(bytes: number): void {
    this.paths.active.mtu = bytes;
    this.tracer?.record({ name: "mtu_updated", time: this.now, mtu: bytes });
    this.controller.setMaxDatagramSize(bytes);
    this.pacer.setMaxDatagramSize(bytes);
    this.recovery.big.clear(this.recovery.sent(APPLICATION).next);
  }

  fail(error: unknown): void {
    if (!this.close.isOpen) return;
    const known =
      error instanceof QuicError
        ? error
        : new TransportError(INTERNAL_ERROR, "internal error", { cause: error });
    this.close.closeLocally(known);
    this.#closing();
  }

  rejectEarlyData(): void {
    // rfc9001#4.6.2 all connection characteristics that the client assumed might be incorrect. The client therefore MUST
    // reset the state of all streams, including application state bound to those streams.
    this.recovery.resetZeroRtt(this.now);
    const streams = this.streams.values();
    this.streams.closeAll();
    this.streams = new StreamMap(this, this.config);
    // What was queued was meant for the application protocol of then.
    this.datagrams.purge(() => true);
    this.events.push({ type: "early_data_rejected", streams });
  }

  closedByPeer(error: QuicError): void {
    // rfc9000#10.2.2 An endpoint MUST NOT send further packets.
    const was = this.close.state;
    this.close.closedByPeer(error);
    if (was === "open") this.#closing();
  }

  /** Ends without a word to the peer: idle timeout, handshake timeout. */
  closeSilently(error: QuicError): void {
    if (this.close.state === "closed") return;
    const was = this.close.state;
    this.close.closeSilently(error);
    if (was === "open") this.#announceEnd();
  }

  /** rfc9000#10.2 closing and draining SHOULD persist for at least three times the PTO. */
  #closing(): void {
    this.timers.clearAll();
    this.timers.set(TIMER_CLOSE, this.now + 3 * this.recovery.timer.pto(APPLICATION));
    this.#announceEnd();
    this.wake();
  }

  #announceEnd(): void {
    const error = this.close.error!;
    this.streams.closeAll();
    this.events.push({ type: "closed", error });
    if (this.tracer !== null) {
      this.tracer.record({
        name: "connection_closed",
        time: this.now,
        remote: error.remote,
        error: error.code,
        errorCode: error.errorCode ?? null,
        reason: error instanceof TransportError || error instanceof ApplicationError ? error.reason : "",
        application: error instanceof ApplicationError,
      });
      this.tracer.record({
        name: "connection_state_updated",
        time: this.now,
        state: this.close.state === "open" ? "closed" : this.close.state,
      });
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.timers.clearAll();
    this.localCids.removeAll();
    this.remoteCids.removeAll();
    this.handshake.dispose();
    this.#receiver.dispose();
    this.protection.disposeAll();
    if (this.tracer !== null)
      this.tracer.record({ name: "connection_state_updated", time: this.now, state: "closed" });
  }

  // StreamHost

  get smoothedRtt(): number {
    return this.rtt.hasSample ? this.rtt.smoothed : 0;
  }

  onStreamOpened(stream: Stream): void {
    this.events.push({ type: "stream_opened", stream });
  }

  onStreamReadable(stream: Stream): void {
    this.events.readable(stream);
  }

  onStreamWritable(stream: Stream): void {
    this.events.writable(stream);
  }

  onCredit(bidi: boolean): void {
    this.events.push({ type: "streams_available", bidi });
  }

  onBlocked(stream: Stream | null): void {
    this.stats.blockCount++;
    this.events.blocked(stream === null ? "connection" : "stream", stream);
  }

  wantSend(): void {
    this.wake();
  }

  /** Whether what opens a stream now is 0-RTT. */
  get early(): boolean {
    return this.role === "client" ? !this.handshakeComplete : this.#receiver.early;
  }

  /** A datagram from `remote` that ends in `token` is the peer's stateless reset. */
  addResetToken(token: Uint8Array, remote: Address): void {
    this.#host.addResetToken(token, remote, this);
  }

  /**
   * The client gets a token for its next connection from where it is now. rfc9000#8.1.3 a server MAY provide clients with
   * an address validation token during one connection that can be used on a subsequent connection.
   */
  giveToken(): void {
    const token = this.#newToken?.(this.paths.active.remote) ?? null;
    if (token !== null) this.control.queueNewToken(token);
  }

  // For the endpoint

  get isClosed(): boolean {
    return this.#ended;
  }

  farewell(now: number): Farewell | null {
    if (!this.close.isDone(now)) return null;
    const { active } = this.paths;
    const packet = this.close.state === "closing" ? this.close.packet : null;
    const { remote, local } = active;
    return { until: this.timers.get(TIMER_CLOSE), packet, budget: active.sendBudget(), remote, local };
  }

  onStatelessReset(now: number): void {
    this.now = now;
    if (!this.close.isOpen) return;
    // rfc9000#10.3.1 … MUST enter the draining period and not send any further packets on this connection.
    this.close.closedByPeer(new StatelessResetError());
    this.#closing();
    this.#after();
  }

  closeWith(error: QuicError, now: number): void {
    this.now = now;
    this.fail(error);
    this.#after();
  }

  dispose(): void {
    this.close.end();
    this.#end();
  }

  // For the application

  /** Whether streams can be opened: since the handshake is complete, or in 0-RTT (client) and 0.5-RTT (server). */
  get canOpenStreams(): boolean {
    const early = this.role === "client" ? ZERO_RTT : APPLICATION;
    return this.close.isOpen && (this.handshakeComplete || this.protection.canSeal(early));
  }

  /** A stream, null without credit, before there are keys, or after the end. */
  openStream(bidi: boolean): Stream | null {
    return this.canOpenStreams ? this.streams.open(bidi) : null;
  }

  /** Ends the connection with an application error code, rfc9000#10.2. */
  closeWithError(code: bigint, reason: string, now: number): void {
    this.closeWith(new ApplicationError(code, reason, false), now);
  }

  /**
   * The answer to a `pending` event. One that nobody waits for any more, or that was given before, changes nothing.
   * @returns whether it was awaited.
   */
  provide(id: number, answer: PendingAnswer, now: number, wallNow: number): boolean {
    this.now = now;
    if (!this.close.isOpen || !this.handshake.waitsFor(id)) return false;
    try {
      this.handshake.provide(id, answer, wallNow);
      this.#receiver.resume(now, wallNow);
    } catch (error) {
      this.fail(error);
    }
    this.#after();
    this.wake();
    return true;
  }

  /** An ack-eliciting packet leaves soon. */
  ping(): void {
    this.control.queuePing();
    this.wake();
  }

  /** Whether packets to `cid` go to a connection of this endpoint. */
  hasCid(cid: Uint8Array): boolean {
    return this.#host.hasCid(cid);
  }

  /** Has the peer use new connection IDs of ours. False where it cannot be done now. */
  renewConnectionIds(now: number): boolean {
    this.now = now;
    if (!this.close.isOpen || !this.handshakeComplete || !this.localCids.renew(now)) return false;
    this.wake();
    return true;
  }

  /** Updates our 1-RTT keys where rfc9001#6.1 allows it now. */
  updateKeys(): boolean {
    const updated = this.close.isOpen && this.sender.updateKeys(this.now);
    if (updated) this.wake();
    return updated;
  }

  /** Another congestion controller from now on; the window stays where it is. */
  setCongestionControl(factory: CongestionControllerFactory, now: number): void {
    this.now = now;
    this.controller.replace(factory);
    if (this.tracer !== null) traceController(this, this.tracer);
    this.#after();
    this.wake();
  }

  #controllerFailed(controller: string, reason: string): void {
    const message = `The congestion controller ${JSON.stringify(controller)} failed: ${reason}. Cubic took its place.`;
    this.events.push({ type: "warning", code: "QUIC_CONGESTION_CONTROL", message });
    // While the connection is being made no trace has begun: `traceStart` tells of it.
    if (this.tracer === null || this.controller === undefined) return;
    traceFailure(this, this.tracer);
    traceController(this, this.tracer);
  }

  get remote(): Address {
    return this.paths.active.remote;
  }

  /** The Negotiated Version, rfc9368#1.2; the client's until that is known. */
  get version(): number {
    return this.versions.current;
  }

  statistics(): StatisticsSnapshot {
    return snapshot(this.stats, this.rtt, this.controller, this.recovery, this.paths.active.mtu);
  }
}
