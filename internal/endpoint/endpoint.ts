// Many connections on one socket: rfc9000#5.2. Datagrams in, datagrams out, one timer, one stream of events.

import type { ClientConnectionOptions } from "../connection/client.ts";
import type { Connection } from "../connection/connection.ts";
import type { ServerConnectionOptions } from "../connection/server.ts";
import { defaultProvider } from "../crypto/ffi.ts";
import { AddressTokens } from "../path/address-tokens.ts";
import { cidGenerator } from "../path/cid-generator.ts";
import { RESET_TOKEN_LENGTH, resetTokenSource } from "../path/reset-token.ts";
import type { Address } from "../protocol/address.ts";
import { Bag } from "../protocol/bag.ts";
import type { RxBatch, TxBatch } from "../protocol/batch.ts";
import {
  CONNECTION_REFUSED,
  PACKET_INITIAL,
  PACKET_ONE_RTT,
  type PacketType,
} from "../protocol/constants.ts";
import { InvalidOptionError, QuicError, TransportError } from "../protocol/errors.ts";
import {
  MAX_CONNECTION_ID_LENGTH,
  MAX_CONNECTIONS,
  MAX_TOKEN_AGE,
  MIN_DATAGRAM_SIZE,
  MIN_STATELESS_RESET,
  RATES,
  RETRY_TOKEN_LIFETIME,
} from "../protocol/limits.ts";
import type { DropReason, Tracer } from "../protocol/tracer.ts";
import { isLongHeader, LongHeader, parseInvariants } from "../wire/header.ts";
import { Admission, limitsOf } from "./admission.ts";
import { Deadlines } from "./deadlines.ts";
import { Drops } from "./drops.ts";
import { Fifo } from "./fifo.ts";
import { Hosts } from "./hosts.ts";
import { Incoming } from "./incoming.ts";
import { Ended, Lingering } from "./lingering.ts";
import { batchOf } from "./parking.ts";
import { Routes } from "./routing.ts";
import { NO_CID, removeRoutes, Slot, slotOwner, type SlotOwner } from "./slot.ts";
import { StatelessAnswers } from "./stateless.ts";
import {
  EndpointStats,
  type ClientInitial,
  type ConnectionContext,
  type ConnectionFactory,
  type Decision,
  type DialTarget,
  type EndpointConnection,
  type EndpointEvent,
  type EndpointOptions,
  type ListenPolicy,
} from "./types.ts";

export { EndpointStats };

/**
 * An endpoint. Its owner calls the verbs: `receive` for what arrived, `handleTimeout` when `nextTimeout` has passed,
 * then `pollEvent` until null and `transmit` until false; a server that asks about its clients `pollIncoming`, too.
 */
export class Endpoint<
  C extends EndpointConnection = Connection,
  D extends DialTarget = ClientConnectionOptions,
  S = ServerConnectionOptions,
> {
  readonly stats = new EndpointStats();
  readonly #factory: ConnectionFactory<C, D, S>;
  readonly #tracer: Tracer | null;
  readonly #context: ConnectionContext;
  readonly #cidLength: number;
  readonly #maxConnections: number;
  readonly #admission: Admission;
  readonly #drops: Drops;
  readonly #incoming: Incoming<S>;
  readonly #routes: Routes<Slot<C>>;
  readonly #answers: StatelessAnswers;
  readonly #slots = new Bag<Slot<C>>();
  readonly #deadlines = new Deadlines<Slot<C>>();
  readonly #transmits = new Fifo<Slot<C>>();
  readonly #eventful = new Fifo<Slot<C>>();
  readonly #ended = new Ended<C>();
  readonly #header = new LongHeader();
  readonly #owner: SlotOwner<C>;
  #now = 0;
  #wallNow = 0;

  constructor(options: EndpointOptions, factory: ConnectionFactory<C, D, S>) {
    const { random } = options;
    const provider = options.provider ?? defaultProvider();
    const generator = options.cids ?? cidGenerator();
    if (generator.length > MAX_CONNECTION_ID_LENGTH) {
      throw new InvalidOptionError("cids", "connection IDs have at most 20 bytes in QUIC version 1");
    }
    this.#factory = factory;
    this.#tracer = options.tracer ?? null;
    this.#cidLength = generator.length;
    this.#maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
    const lifetimes = options.tokenLifetimes ?? { retry: RETRY_TOKEN_LIFETIME, future: MAX_TOKEN_AGE };
    const tokens = new AddressTokens(provider, random, options.tokenKeys ?? null, lifetimes);
    const hosts = new Hosts(options.rates ?? RATES);
    this.#admission = new Admission(limitsOf(options), tokens, hosts);
    this.#routes = new Routes<Slot<C>>(random);
    const resetKey = options.statelessResetKey ?? null;
    this.#context = {
      cids: this.#routes.unique(generator),
      resetToken: resetTokenSource(provider, resetKey, random),
      newToken: (remote) => (tokens.issuesNewTokens ? tokens.future(remote, this.#wallNow) : null),
    };
    this.#answers = new StatelessAnswers({
      provider,
      random,
      cidLength: generator.length,
      resetKey,
      tracer: this.#tracer,
      stats: this.stats,
      hosts,
    });
    this.#drops = new Drops(this.stats, this.#tracer);
    this.#incoming = new Incoming({
      disableVersionNegotiation: options.disableVersionNegotiation ?? false,
      admission: this.#admission,
      answers: this.#answers,
      tokens,
      cids: this.#context.cids,
      random,
      drops: this.#drops,
      stats: this.stats,
    });
    this.#owner = slotOwner(this.#routes, this.#transmits, this.#deadlines, this.#eventful);
  }

  /** Whether a datagram is, by its short header, for a connection of ours: for those who take it from another socket. */
  routesTo(buf: Uint8Array, start: number, length: number): boolean {
    const cidLength = this.#cidLength;
    if (cidLength === 0 || length < MIN_STATELESS_RESET || isLongHeader(buf[start]!)) return false;
    return this.#routes.get(buf, start + 1, cidLength) !== null;
  }

  /** Connections with state, those that are closing included. */
  get connectionCount(): number {
    return this.#slots.size;
  }

  get handshakeCount(): number {
    return this.#admission.handshakes;
  }

  get isListening(): boolean {
    return this.#incoming.server !== null;
  }

  /** While true new clients are refused, as if the server could hold no more: rfc9000#5.2.2. */
  get busy(): boolean {
    return this.#admission.busy;
  }

  set busy(busy: boolean) {
    this.#admission.busy = busy;
  }

  /** Whether packets of unknown connections are answered with stateless resets, where there is a key. */
  get sendsResets(): boolean {
    return this.#answers.resets;
  }

  set sendsResets(resets: boolean) {
    this.#answers.resets = resets;
  }

  /** Whether `transmit` would give something. */
  get wantsTransmit(): boolean {
    return this.#answers.waiting || this.#transmits.size > 0;
  }

  // Connections

  dial(options: D, now: number, wallNow: number): C {
    const { remote } = options;
    const local = options.local ?? null;
    if (remote.port === 0) throw new InvalidOptionError("remote", "port 0 is nobody's port");
    if (this.#slots.size >= this.#maxConnections) {
      throw new QuicError("ERR_QUIC_INVALID_STATE", "This transport holds as many connections as it may.", {
        temporary: true,
      });
    }
    if (this.#cidLength === 0 && this.#routes.byAddress(remote, local) !== null) {
      // rfc9000#5.1 endpoints that use zero-length connection IDs tell connections apart by addresses alone: multiple
      // connections with the same local IP address and port to one peer cannot be.
      throw new QuicError(
        "ERR_QUIC_INVALID_STATE",
        `With zero-length connection IDs there can be one connection to ${remote.key}; use connection IDs.`,
      );
    }
    const { scid } = options;
    if (scid !== undefined && (scid.length !== this.#cidLength || this.#routes.has(scid))) {
      throw new InvalidOptionError(
        "scid",
        `${this.#cidLength} bytes that no connection of this transport has`,
      );
    }
    this.#now = now;
    this.#wallNow = wallNow;
    const slot = new Slot<C>(this.#owner, "client", remote, local, false);
    let connection: C;
    try {
      connection = this.#factory.connect(options, this.#context, slot, now, wallNow);
    } catch (error) {
      removeRoutes(this.#routes, slot);
      throw error;
    }
    this.#add(slot, connection);
    if (this.#cidLength === 0) this.#routes.setAddress(remote, local, slot);
    this.stats.connectionsDialed++;
    this.#settle();
    return connection;
  }

  listen(options: S, policy: ListenPolicy = {}): void {
    if (this.#cidLength === 0) {
      throw new InvalidOptionError("cids", "a server needs connection IDs to tell its clients apart");
    }
    this.#incoming.listen(options, this.#factory.policy(options), policy);
  }

  /** New connections are refused from now on, those that wait for `admit` as well; those that exist stay. */
  stopListening(): void {
    this.#incoming.stopListening(this.#now);
  }

  /** With `ask` of `listen`: the next client that waits for `admit`, null when there is none. */
  pollIncoming(): { readonly id: number; readonly initial: ClientInitial } | null {
    return this.#incoming.announce();
  }

  /** Answers `pollIncoming`. @returns whether the client still waited; where it does not nothing changes. */
  admit(id: number, decision: Decision<S>, now: number, wallNow: number): boolean {
    this.#now = now;
    this.#wallNow = wallNow;
    const parked = this.#incoming.take(id);
    if (parked === null) return false;
    if (decision instanceof TransportError) {
      this.stats.connectionsRefused++;
      this.#incoming.refuse(parked, decision, now);
      return true;
    }
    const { options } = decision ?? this.#incoming.server!;
    const slot = this.#accept(parked.initial, options, parked.bytes);
    const rx = batchOf(parked.datagrams);
    if (slot !== null) this.#deliver(slot, rx, 0, rx.count);
    this.#settle();
    return true;
  }

  /** The application took (or dropped) a connection that was announced as accepted: there is room for another. */
  onAcceptTaken(): void {
    if (this.#admission.waiting > 0) this.#admission.waiting--;
  }

  /** Ends every connection; the verbs go on until `connectionCount` is 0. */
  closeAll(error: QuicError, now: number): void {
    this.#now = now;
    this.#incoming.end(error, now);
    for (const slot of this.#slots.toArray()) {
      slot.connection.closeWith(error, now);
      this.#after(slot);
    }
    this.#settle();
  }

  /** Forgets everything at once, sending nothing. */
  dispose(): void {
    this.#incoming.end(null, this.#now);
    for (const slot of this.#slots.toArray()) {
      slot.connection.dispose();
      this.#reap(slot);
    }
    this.#eventful.clear();
    this.#ended.clear();
    this.#transmits.clear();
    this.#deadlines.forgetChanges();
  }

  // The verbs

  /** Takes a batch. Consecutive datagrams for one connection reach it in one call. */
  receive(rx: RxBatch, now: number, wallNow: number): void {
    this.#now = now;
    this.#wallNow = wallNow;
    const count = rx.count;
    let run: Slot<C> | null = null;
    let from = 0;
    for (let i = 0; i < count; i++) {
      this.stats.datagramsReceived++;
      this.stats.bytesReceived += rx.length[i]!;
      const slot = this.#route(rx, i);
      if (slot === run) continue;
      if (run !== null) this.#deliver(run, rx, from, i);
      run = slot;
      from = i;
    }
    if (run !== null) this.#deliver(run, rx, from, count);
    this.#settle();
  }

  /** Fills `tx`: answers without connection first, then each connection in turn. True when more waits. */
  transmit(tx: TxBatch, now: number): boolean {
    this.#now = now;
    const before = tx.count;
    let more = this.#answers.transmit(tx);
    if (!more) {
      // One turn each and then a new batch: a connection that always has more cannot keep the others waiting.
      for (let turns = this.#transmits.size; turns > 0; turns--) {
        if (!tx.hasRoom(MIN_DATAGRAM_SIZE)) break;
        const slot = this.#transmits.shift()!;
        slot.wantsTransmit = false;
        if (slot.reaped) continue;
        if (slot.connection.transmit(tx, now) && !slot.wantsTransmit) this.#owner.queueTransmit(slot);
        this.#owner.queueTimer(slot);
        this.#after(slot);
      }
      more = this.#transmits.size > 0;
    }
    for (let i = before; i < tx.count; i++) {
      this.stats.datagramsSent += Math.ceil(tx.length[i]! / tx.segmentSize[i]!);
      this.stats.bytesSent += tx.length[i]!;
    }
    this.#settle();
    // An empty batch that stays empty has nothing to be sent for, whatever a connection says.
    return more && tx.count > 0;
  }

  /** Absolute monotonic ms of the next deadline, Infinity for none. */
  nextTimeout(): number {
    this.#settle();
    return Math.min(this.#deadlines.next, this.#incoming.next);
  }

  handleTimeout(now: number, wallNow: number): void {
    this.#now = now;
    this.#wallNow = wallNow;
    this.#settle();
    this.#incoming.expire(now);
    const due = this.#deadlines.takeDue(now);
    if (due === null) return;
    for (const slot of due) {
      if (slot.reaped) continue;
      slot.handledAt = now;
      slot.connection.handleTimeout(now, wallNow);
      if (!slot.timerDirty) this.#owner.queueTimer(slot);
      this.#after(slot);
    }
    this.#settle();
  }

  /** The next event, connection by connection; null when there is none. */
  pollEvent(): EndpointEvent<C> | null {
    for (;;) {
      const slot = this.#eventful.peek();
      if (slot === undefined) return null;
      const { connection } = slot;
      const event = slot.held ?? connection.pollEvent();
      if (event === null || connection instanceof Lingering) {
        this.#eventful.shift();
        slot.eventful = false;
        continue;
      }
      // What is over is no handshake in flight, however long it lingers to answer.
      if (event.type === "closed") {
        this.#admission.onHandshakeEnd(slot);
        this.#ended.add(slot);
      }
      if (slot.held !== null) slot.held = null;
      else {
        if (event.type === "handshake_complete") {
          this.#admission.onHandshakeEnd(slot);
          if (slot.role === "server") this.#admission.onValidated(slot.remote);
        }
        const ready = slot.early ? "early_ready" : "handshake_complete";
        if (event.type === ready && slot.role === "server" && this.#announce(slot)) {
          slot.held = event;
          return { type: "accepted", connection };
        }
      }
      return { type: "connection", connection, event };
    }
  }

  /** Whether a server's connection is announced: it is refused where nobody takes them. */
  #announce(slot: Slot<C>): boolean {
    if (this.#admission.acceptQueueFull) {
      this.stats.connectionsRefused++;
      this.stats.busyRefusals++;
      slot.connection.closeWith(
        new TransportError(CONNECTION_REFUSED, "the server is busy: its accept queue is full"),
        this.#now,
      );
      this.#after(slot);
      return false;
    }
    this.#admission.waiting++;
    this.stats.connectionsAccepted++;
    return true;
  }

  // Routing

  /** Whose datagram `i` is; null where it is dropped, answered or a reset. */
  #route(rx: RxBatch, i: number): Slot<C> | null {
    const buf = rx.slab;
    const start = rx.offset[i]!;
    const length = rx.length[i]!;
    const remote = rx.remote[i]!;
    const local = rx.local[i] ?? null;
    if (remote === null || remote.port === 0) return this.#drop("invalid_source", null, length);
    if (length === 0) return this.#drop("invalid_header", null, length);
    const cidLength = this.#cidLength;
    if (!isLongHeader(buf[start]!)) {
      // rfc9000#10.3 endpoints MUST discard packets that are too small to be valid QUIC packets; short header packets
      // smaller than 21 bytes are never valid.
      if (length < Math.max(MIN_STATELESS_RESET, 1 + cidLength)) {
        return this.#drop("invalid_header", PACKET_ONE_RTT, length);
      }
      const slot =
        cidLength === 0 ? this.#routes.byAddress(remote, local) : this.#routes.get(buf, start + 1, cidLength);
      if (slot !== null) return slot;
      if (this.#recogniseReset(buf, start, length, remote)) return null;
      this.#incoming.short({ buf, start, length, remote, local }, this.#now);
      return null;
    }
    const header = this.#header;
    if (!parseInvariants(buf, start, start + length, header)) {
      return this.#drop("invalid_header", null, length);
    }
    // rfc9000#5.2 packets are matched by Destination Connection ID, of whatever version they are; the connection drops
    // those that are not of its own.
    const slot =
      cidLength === 0 && header.dcidLength === 0
        ? this.#routes.byAddress(remote, local)
        : this.#routes.get(buf, header.dcidOffset, header.dcidLength);
    if (slot !== null) return slot;
    // rfc9000#10.3 endpoints MUST treat any packet ending in a valid stateless reset token as a Stateless Reset.
    if (this.#recogniseReset(buf, start, length, remote)) return null;
    const initial = this.#incoming.long(rx, i, header, this.#slots.size, this.#now, this.#wallNow);
    return initial === null ? null : this.#accept(initial, this.#incoming.server!.options, length);
  }

  /**
   * rfc9000#10.3.1 the comparison MUST be performed when the first packet in an incoming datagram cannot be associated
   * with a connection. (Where it does not open, the connection compares.)
   */
  #recogniseReset(buf: Uint8Array, start: number, length: number, remote: Address): boolean {
    if (length < MIN_STATELESS_RESET) return false;
    const slot = this.#routes.findReset(buf, start + length - RESET_TOKEN_LENGTH, remote);
    if (slot === null) return false;
    this.stats.statelessResetsReceived++;
    slot.connection.onStatelessReset(this.#now);
    this.#owner.queueTimer(slot);
    this.#after(slot);
    return true;
  }

  /** A client's first packet was let in: its connection begins. */
  #accept(initial: ClientInitial, options: S, length: number): Slot<C> | null {
    const { remote, local, validated, dcid } = initial;
    const slot = new Slot<C>(this.#owner, "server", remote, local, !validated);
    // The client sends there until it has heard from us: what is behind this datagram must find the way as well.
    slot.addCid(dcid);
    slot.clientDcid = dcid;
    slot.early = this.#incoming.server!.early;
    try {
      this.#add(slot, this.#factory.accept(options, initial, this.#context, slot, this.#now, this.#wallNow));
    } catch {
      // What a client can cause here is a defect of ours; it must not stop the others.
      removeRoutes(this.#routes, slot);
      this.#drops.add("connection_error", PACKET_INITIAL, length, this.#now);
      return null;
    }
    this.#admission.onOpened(slot);
    return slot;
  }

  #deliver(slot: Slot<C>, rx: RxBatch, from: number, to: number): void {
    if (slot.reaped) {
      for (let i = from; i < to; i++) this.#drop("connection_closing", null, rx.length[i]!);
      return;
    }
    const { connection } = slot;
    connection.receive(rx, from, to, this.#now, this.#wallNow);
    this.#owner.queueTimer(slot);
    if (slot.fresh) {
      if (connection.stats.packetsReceived === 0) {
        // Not one packet authenticated: nobody spoke QUIC to us, and no state is owed.
        for (let i = from; i < to; i++) this.#drop("decryption_failed", PACKET_INITIAL, rx.length[i]!);
        connection.dispose();
        this.#admission.onFailed(this.#now);
        this.#reap(slot);
        return;
      }
      slot.fresh = false;
      const kept = batchOf(this.#incoming.takeEarly(slot.clientDcid));
      slot.clientDcid = NO_CID;
      if (kept.count > 0) connection.receive(kept, 0, kept.count, this.#now, this.#wallNow);
    }
    this.#after(slot);
  }

  #drop(reason: DropReason, packetType: PacketType | null, size: number): null {
    this.#drops.add(reason, packetType, size, this.#now);
    return null;
  }

  // Slots

  #add(slot: Slot<C>, connection: C): void {
    slot.attach(connection);
    this.#slots.add(slot);
    if (!slot.timerDirty) this.#owner.queueTimer(slot);
  }

  /** After any verb on a connection: it may have ended. */
  #after(slot: Slot<C>): void {
    if (!slot.reaped && slot.connection.isClosed) this.#reap(slot);
  }

  /** Takes a connection out; what it still has to tell stays in the queue of events. */
  #reap(slot: Slot<C>): void {
    if (slot.reaped) return;
    if (slot.role === "server") this.#admission.onClosed(slot);
    removeRoutes(this.#routes, slot);
    slot.reaped = true;
    this.#deadlines.remove(slot);
    this.#slots.delete(slot);
  }

  /** Reads the timers that may have changed: once per verb and connection, however often they changed. */
  #settle(): void {
    this.#ended.release(this.#now);
    this.#deadlines.settle();
  }
}
