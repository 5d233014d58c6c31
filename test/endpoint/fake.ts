// Connections that keep a diary and do as they are told: the endpoint's own logic without handshakes.
import type { Farewell } from "../../internal/connection/close.ts";
import type { ConnectionHost } from "../../internal/connection/core.ts";
import type { ConnectionEvent } from "../../internal/connection/events.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { Endpoint } from "../../internal/endpoint/endpoint.ts";
import type {
  ClientInitial,
  ConnectionContext,
  EndpointConnection,
  EndpointOptions,
} from "../../internal/endpoint/types.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { RxBatch, TxBatch } from "../../internal/protocol/batch.ts";
import { PACKET_INITIAL, VERSION_1, VERSION_2 } from "../../internal/protocol/constants.ts";
import type { QuicError } from "../../internal/protocol/errors.ts";
import type { TraceEvent } from "../../internal/protocol/tracer.ts";
import { patchLength, writeLongHeader, writeShortHeader } from "../../internal/wire/header.ts";
import { seeded } from "../path/seeded.ts";

export class FakeConnection implements EndpointConnection {
  readonly host: ConnectionHost<FakeConnection>;
  readonly cid: Uint8Array;
  readonly initial: ClientInitial | null;
  readonly runs: [number, number][] = [];
  readonly events: ConnectionEvent[] = [];
  readonly stats = { packetsReceived: 0 };
  authenticates = true;
  isClosed = false;
  deadline = Infinity;
  timeouts: number[] = [];
  resets = 0;
  disposed = false;
  closedWith: QuicError | null = null;
  /** Datagrams it wants to send, and how many it sends in one turn. */
  toSend = 0;
  perTurn = 4;
  size = 1200;
  remote: Address;
  /** What it leaves behind, once it has. */
  leaves: Farewell | null = null;

  constructor(
    host: ConnectionHost<FakeConnection>,
    context: ConnectionContext,
    remote: Address,
    initial: ClientInitial | null,
    random: (out: Uint8Array) => void,
  ) {
    this.host = host;
    this.remote = remote;
    this.initial = initial;
    this.cid = context.cids.generate(random);
    host.addCid(this.cid, this);
  }

  receive(_rx: RxBatch, from: number, to: number): void {
    this.runs.push([from, to]);
    if (this.authenticates) this.stats.packetsReceived += to - from;
  }

  transmit(tx: TxBatch): boolean {
    for (let n = 0; n < this.perTurn && this.toSend > 0; n++) {
      if (!tx.hasRoom(this.size)) return true;
      tx.slab.fill(this.cid[0]!, tx.used, tx.used + this.size);
      tx.commit(this.size, this.size, this.remote, null, 0);
      this.toSend--;
    }
    return this.toSend > 0;
  }

  timeout(): number {
    return this.deadline;
  }

  handleTimeout(now: number): void {
    this.timeouts.push(now);
    if (this.deadline <= now) this.deadline = Infinity;
  }

  pollEvent(): ConnectionEvent | null {
    return this.events.shift() ?? null;
  }

  farewell(): Farewell | null {
    return this.leaves;
  }

  onStatelessReset(): void {
    this.resets++;
  }

  closeWith(error: QuicError): void {
    this.closedWith = error;
    this.isClosed = true;
  }

  dispose(): void {
    this.disposed = true;
    this.isClosed = true;
  }

  emit(event: ConnectionEvent): void {
    this.events.push(event);
    this.host.hasEvents(this);
  }
}

export const CLIENT = makeAddress("192.0.2.1", 4000);
export const OTHER = makeAddress("198.51.100.2", 5000);
export const KEY = new Uint8Array(32).fill(7);

export type FakeEndpoint = Endpoint<FakeConnection, { remote: Address; local?: Address | null }, object>;

/** An endpoint over fakes, with what it traced and made. */
export class Bench {
  readonly random = seeded(11);
  readonly provider = nodeProvider();
  readonly trace: TraceEvent[] = [];
  readonly made: FakeConnection[] = [];
  readonly endpoint: FakeEndpoint;
  /** What the next accepted connection does with its first datagrams. */
  authenticates = true;
  throwOnAccept = false;
  /** A server from now on takes 0-RTT. */
  earlyData = false;

  constructor(options: Partial<EndpointOptions> = {}) {
    this.endpoint = new Endpoint(
      {
        provider: this.provider,
        random: seeded(5),
        statelessResetKey: KEY,
        tracer: { record: (event) => void this.trace.push(event) },
        ...options,
      },
      {
        connect: (options, context, host) => this.#make(host, context, options.remote, null),
        policy: () => ({ versions: [VERSION_1, VERSION_2], greaseQuicBit: false, earlyData: this.earlyData }),
        accept: (_options, initial, context, host) => {
          if (this.throwOnAccept) throw new Error("defect");
          return this.#make(host, context, initial.remote, initial);
        },
      },
    );
  }

  #make(
    host: ConnectionHost<FakeConnection>,
    context: ConnectionContext,
    remote: Address,
    initial: ClientInitial | null,
  ): FakeConnection {
    const connection = new FakeConnection(host, context, remote, initial, this.random);
    connection.authenticates = this.authenticates;
    this.made.push(connection);
    return connection;
  }

  /** One batch of datagrams, all from CLIENT unless told otherwise. */
  receive(datagrams: (Uint8Array | [Uint8Array, Address, Address?])[], now = 0): void {
    const rx = new RxBatch();
    for (const item of datagrams) {
      if (item instanceof Uint8Array) rx.push(item, CLIENT);
      else rx.push(item[0], item[1], item[2] ?? null);
    }
    this.endpoint.receive(rx, now, 0);
  }

  /** What leaves in one batch. */
  transmit(now = 0): { datagrams: Uint8Array[]; remotes: (Address | null)[]; more: boolean } {
    const tx = new TxBatch();
    const more = this.endpoint.transmit(tx, now);
    const datagrams: Uint8Array[] = [];
    for (let i = 0; i < tx.count; i++) {
      datagrams.push(tx.slab.slice(tx.offset[i]!, tx.offset[i]! + tx.length[i]!));
    }
    return { datagrams, remotes: tx.remote.slice(0, tx.count), more };
  }

  get drops(): string[] {
    return this.trace.flatMap((event) => (event.name === "packet_dropped" ? [event.reason] : []));
  }
}

export interface InitialOptions {
  size?: number;
  version?: number;
  dcid?: Uint8Array;
  scid?: Uint8Array;
  type?: 0 | 1 | 2 | 3;
}

/** A datagram with one long header packet, well-formed and of noise. */
export function longPacket(options: InitialOptions = {}): Uint8Array {
  const { size = 1200, version = VERSION_1, type = PACKET_INITIAL } = options;
  const dcid = options.dcid ?? new Uint8Array([8, 7, 6, 5, 4, 3, 2, 1]);
  const scid = options.scid ?? new Uint8Array([1, 2, 3, 4, 5]);
  const out = new Uint8Array(size);
  const token = type === PACKET_INITIAL ? new Uint8Array([9]) : null;
  const pn = writeLongHeader(out, 0, type, version, dcid, scid, token, 4, 0);
  patchLength(out, pn, size - pn);
  return out;
}

export function shortPacket(dcid: Uint8Array, size = 100): Uint8Array {
  const out = new Uint8Array(size).fill(0x33);
  writeShortHeader(out, 0, dcid, 0, false, 1, 5);
  return out;
}
