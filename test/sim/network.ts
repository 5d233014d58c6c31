// A network in virtual time: hosts with endpoints, links between them with every fault a network has. All of it follows
// from one seed, and a hash over each datagram and its time tells whether two runs were the same.
import { crc32 } from "node:zlib";
import type { Connection } from "../../internal/connection/connection.ts";
import type { Endpoint } from "../../internal/endpoint/endpoint.ts";
import type { EndpointEvent } from "../../internal/endpoint/types.ts";
import type { Address } from "../../internal/protocol/address.ts";
import { ECN_CE, NOT_ECT, RxBatch, TxBatch } from "../../internal/protocol/batch.ts";

/** Numbers in [0, 1) from a seed: mulberry32. */
export function seededFloat(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** On its way. Copies own their bytes. */
export interface Datagram {
  bytes: Uint8Array;
  readonly from: Address;
  readonly to: Address;
  ecn: number;
}

/** What a link does to datagrams. Probabilities are 0 … 1, times in ms. */
export interface LinkOptions {
  /** One way. */
  delay?: number;
  /** Bytes per ms; unlimited by default. */
  rate?: number;
  /** Datagrams that wait for a link with a rate, the rest is dropped. Default 1000. */
  queue?: number;
  loss?: number;
  /** Chance of an extra delay of up to `reorderDelay`. */
  reorder?: number;
  /** Default 5. */
  reorderDelay?: number;
  duplicate?: number;
  /** Chance that one byte changes. */
  corrupt?: number;
  /** Larger datagrams vanish. */
  mtu?: number;
  /** Chance that a datagram leaves as Congestion Experienced: one that is marked as ECN-capable. */
  ce?: number;
  /** What becomes of a mark: another, or −1 where the datagram is dropped for it. */
  mangle?: (ecn: number) => number;
}

export class Link {
  readonly options: LinkOptions;
  /** Nothing passes. */
  blackhole = false;
  /** Sees each datagram with its index on this link; false drops it. */
  filter: ((datagram: Datagram, index: number, now: number) => boolean) | null = null;
  count = 0;
  dropped = 0;
  /** Of those dropped, what the queue had no room for. */
  overflowed = 0;
  /** Hears of the time in the queue, ms, of what passes. */
  onQueued: ((delay: number) => void) | null = null;
  readonly #random: () => number;
  #freeAt = 0;
  /** When those that came left or will leave, in order; the first `#left` of them have. */
  readonly #departures: number[] = [];
  #left = 0;

  constructor(options: LinkOptions, random: () => number) {
    this.options = options;
    this.#random = random;
  }

  /** How long what comes now would wait, ms. */
  queueDelay(now: number): number {
    return Math.max(0, this.#freeAt - now);
  }

  /** Datagrams that have not left yet. */
  #waiting(now: number): number {
    const departures = this.#departures;
    while (this.#left < departures.length && departures[this.#left]! <= now) this.#left++;
    if (this.#left > 1000 && 2 * this.#left > departures.length) {
      departures.splice(0, this.#left);
      this.#left = 0;
    }
    return departures.length - this.#left;
  }

  /** Calls `out` with each copy that comes through and when. */
  carry(datagram: Datagram, now: number, out: (datagram: Datagram, at: number) => void): void {
    const o = this.options;
    const random = this.#random;
    const index = this.count++;
    if (
      this.blackhole ||
      datagram.bytes.length > (o.mtu ?? Infinity) ||
      (this.filter !== null && !this.filter(datagram, index, now)) ||
      (o.mangle !== undefined && o.mangle(datagram.ecn) < 0) ||
      (o.loss !== undefined && random() < o.loss)
    ) {
      this.dropped++;
      return;
    }
    let at = now;
    if (o.rate !== undefined) {
      if (this.#waiting(now) > (o.queue ?? 1000)) {
        this.dropped++;
        this.overflowed++;
        return;
      }
      if (this.onQueued !== null) this.onQueued(Math.max(0, this.#freeAt - now));
      at = this.#freeAt = Math.max(now, this.#freeAt) + datagram.bytes.length / o.rate;
      this.#departures.push(at);
    }
    if (o.corrupt !== undefined && random() < o.corrupt) {
      const bytes = datagram.bytes.slice();
      bytes[Math.floor(random() * bytes.length)]! ^= 1 + Math.floor(random() * 255);
      datagram = { ...datagram, bytes };
    }
    if (o.mangle !== undefined) datagram = { ...datagram, ecn: o.mangle(datagram.ecn) };
    if (o.ce !== undefined && random() < o.ce && datagram.ecn !== NOT_ECT) {
      datagram = { ...datagram, ecn: ECN_CE };
    }
    at += o.delay ?? 0;
    if (o.reorder !== undefined && random() < o.reorder) at += random() * (o.reorderDelay ?? 5);
    out(datagram, at);
    if (o.duplicate !== undefined && random() < o.duplicate) {
      out({ ...datagram, bytes: datagram.bytes.slice() }, at + random() * 2);
    }
  }
}

/** Order-sensitive 64 bits over datagrams and times. Not cryptographic. */
class TraceHash {
  #a = 0x9747b28c;
  #b = 0x1b873593;
  readonly #number = new Float64Array(1);
  readonly #words = new Int32Array(this.#number.buffer);

  #word(word: number): void {
    this.#a = Math.imul(((this.#a << 5) | (this.#a >>> 27)) ^ word, 0x9e3779b1);
    this.#b = Math.imul(((this.#b << 13) | (this.#b >>> 19)) + word, 0x85ebca6b);
  }

  number(value: number): void {
    this.#number[0] = value;
    this.#word(this.#words[0]!);
    this.#word(this.#words[1]!);
  }

  bytes(bytes: Uint8Array): void {
    this.#word(crc32(bytes));
    this.#word(bytes.length);
  }

  get hex(): string {
    return [this.#a, this.#b].map((lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

/** An endpoint on the network. */
export class Host {
  address: Address;
  /** Addresses of other sockets of its, marked as foreign: what a path's `local` names leaves from there. */
  readonly others: Address[] = [];
  readonly endpoint: Endpoint;
  /** What leaves passes these, then the receiver's `inbound`. */
  readonly outbound: Link[] = [];
  readonly inbound: Link[] = [];
  /** Links of an address of its own that is on another network, by the address's key: instead of those two. */
  readonly routes = new Map<
    string,
    { readonly outbound: readonly Link[]; readonly inbound: readonly Link[] }
  >();
  /** What the application does with an event. */
  onEvent: (event: EndpointEvent<Connection>) => void = () => {};
  /** Until then the host's event loop does nothing; datagrams wait in the socket. */
  blockedUntil = 0;
  bytesSent = 0;
  bytesReceived = 0;
  datagramsSent = 0;
  readonly waiting: Datagram[] = [];

  constructor(address: Address, endpoint: Endpoint) {
    this.address = address;
    this.endpoint = endpoint;
  }
}

interface Arrival {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Datagrams a socket keeps while nobody reads. */
const SOCKET_QUEUE = 400;
/** Bytes of a block of copies. */
const BLOCK = 65_536;
/** Rounds at one instant before it counts as a loop without end. */
const MAX_ROUNDS = 20_000;

export class Network {
  readonly seed: number;
  now = 1000;
  /** wallNow is this much ahead of `now`. */
  wallOffset = Date.UTC(2026, 0, 1);
  readonly hosts: Host[] = [];
  /** Datagrams that nobody has the address of: scripted peers. */
  onUnrouted: (datagram: Datagram) => void = () => {};
  datagrams = 0;
  readonly #hash = new TraceHash();
  readonly #heap: Arrival[] = [];
  #order = 0;
  #links = 0;
  readonly #tx = new TxBatch();
  /** Where datagrams that leave are copied to, from `#used` on. */
  #block = new Uint8Array(0);
  #used = 0;
  readonly #rx = new RxBatch();

  constructor(seed: number) {
    this.seed = seed;
  }

  get wallNow(): number {
    return this.wallOffset + this.now;
  }

  get traceHash(): string {
    return this.#hash.hex;
  }

  link(options: LinkOptions): Link {
    return new Link(options, seededFloat(Math.imul(this.seed + 1, 7919) + this.#links++));
  }

  add(host: Host): Host {
    this.hosts.push(host);
    return host;
  }

  /** Runs `run` at a time. */
  at(time: number, run: () => void): void {
    const heap = this.#heap;
    const item: Arrival = { at: Math.max(time, this.now), order: this.#order++, run };
    let i = heap.length;
    heap.push(item);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(item, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = item;
  }

  #pop(): Arrival {
    const heap = this.#heap;
    const top = heap[0]!;
    const item = heap.pop()!;
    const length = heap.length;
    if (length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= length) break;
      if (child + 1 < length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, item)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = item;
    return top;
  }

  /** Puts a datagram on the wire at `from`'s side, or (null) straight to its destination. */
  send(datagram: Datagram, from: Host | null): void {
    this.datagrams++;
    this.#hash.number(this.now);
    this.#hash.bytes(datagram.bytes);
    if (from === null) {
      this.#hop(datagram, [], 0, null);
      return;
    }
    const route = from.routes.get(datagram.from.key) ?? from;
    this.#hop(datagram, route.outbound, 0, () => {
      const to = this.#hostOf(datagram.to);
      if (to === undefined) this.onUnrouted(datagram);
      return to === undefined ? null : (to.routes.get(datagram.to.key) ?? to).inbound;
    });
  }

  #hop(
    datagram: Datagram,
    links: readonly Link[],
    i: number,
    then: (() => readonly Link[] | null) | null,
  ): void {
    if (i < links.length) {
      links[i]!.carry(datagram, this.now, (copy, at) => {
        this.at(at, () => this.#hop(copy, links, i + 1, then));
      });
      return;
    }
    if (then !== null) {
      const next = then();
      if (next !== null) this.#hop(datagram, next, 0, null);
      return;
    }
    const to = this.#hostOf(datagram.to);
    if (to === undefined) return;
    if (to.waiting.length < SOCKET_QUEUE || to.blockedUntil <= this.now) to.waiting.push(datagram);
  }

  #hostOf(address: Address): Host | undefined {
    for (const host of this.hosts)
      if (host.address === address || host.address.key === address.key) return host;
    const { key } = address;
    return this.hosts.find(({ others }) => others.some((own) => own.key === key));
  }

  /** A copy of its own, in a block that it shares with others: what is on its way is many small things. */
  #copy(slab: Uint8Array, offset: number, length: number): Uint8Array {
    if (this.#used + length > this.#block.length) {
      this.#block = new Uint8Array(Math.max(length, BLOCK));
      this.#used = 0;
    }
    const copy = this.#block.subarray(this.#used, (this.#used += length));
    copy.set(slab.subarray(offset, offset + length));
    return copy;
  }

  /** Does what the host's loop does after anything happened. */
  flush(host: Host): void {
    const { endpoint } = host;
    for (let round = 0; ; round++) {
      if (round === MAX_ROUNDS) throw new Error(`seed ${this.seed}: an endpoint sends without end`);
      let moved = false;
      for (let event = endpoint.pollEvent(); event !== null; event = endpoint.pollEvent()) {
        host.onEvent(event);
        moved = true;
      }
      const tx = this.#tx;
      tx.clear();
      endpoint.transmit(tx, this.now);
      for (let i = 0; i < tx.count; i++) {
        moved = true;
        const all = this.#copy(tx.slab, tx.offset[i]!, tx.length[i]!);
        for (let at = 0; at < all.length; at += tx.segmentSize[i]!) {
          const bytes = all.subarray(at, at + tx.segmentSize[i]!);
          host.bytesSent += bytes.length;
          host.datagramsSent++;
          const local = tx.local[i]!;
          const from = local !== null && host.others.includes(local) ? local : host.address;
          this.send({ bytes, from, to: tx.remote[i]!, ecn: tx.ecn[i]! }, host);
        }
      }
      if (!moved) return;
    }
  }

  /** The next instant at which something happens. */
  next(): number {
    let next = this.#heap.length > 0 ? this.#heap[0]!.at : Infinity;
    for (const host of this.hosts) {
      if (host.waiting.length > 0) next = Math.min(next, Math.max(this.now, host.blockedUntil));
      next = Math.min(next, Math.max(host.endpoint.nextTimeout(), host.blockedUntil));
    }
    return Math.max(next, this.now);
  }

  /** Goes to the next instant and does what is due then. False when nothing is, or nothing until `until`. */
  step(until: number): boolean {
    const next = this.next();
    if (next > until) return false;
    this.now = next;
    while (this.#heap.length > 0 && this.#heap[0]!.at <= this.now) this.#pop().run();
    for (const host of this.hosts) {
      if (host.blockedUntil > this.now) continue;
      const due = host.endpoint.nextTimeout() <= this.now;
      if (!due && host.waiting.length === 0) continue;
      if (host.waiting.length > 0) this.#deliver(host);
      if (due) host.endpoint.handleTimeout(this.now, this.wallNow);
      this.flush(host);
    }
    return true;
  }

  #deliver(host: Host): void {
    const rx = this.#rx;
    rx.clear();
    for (const { bytes, from, to, ecn } of host.waiting) {
      host.bytesReceived += bytes.length;
      const local = to === host.address ? null : (host.others.find(({ key }) => key === to.key) ?? null);
      if (rx.push(bytes, from, local, ecn)) continue;
      host.endpoint.receive(rx, this.now, this.wallNow);
      rx.clear();
      rx.push(bytes, from, local, ecn);
    }
    host.waiting.length = 0;
    host.endpoint.receive(rx, this.now, this.wallNow);
    rx.clear();
  }

  /** A datagram as if it came from `from`, past all links. */
  inject(bytes: Uint8Array, from: Address, to: Address): void {
    this.send({ bytes: bytes.slice(), from, to, ecn: NOT_ECT }, null);
  }

  /** Lets `ms` pass. */
  run(ms: number): void {
    this.runUntil(() => false, ms);
  }

  /** Until `done`, for `ms` at most; whether it came to that. Time stays where it happened. */
  runUntil(done: () => boolean, ms: number): boolean {
    const until = this.now + ms;
    for (const host of this.hosts) if (host.blockedUntil <= this.now) this.flush(host);
    let at = this.now;
    for (let rounds = 0; ; rounds++) {
      if (done()) return true;
      if (!this.step(until)) break;
      if (this.now > at) {
        at = this.now;
        rounds = 0;
      } else if (rounds > MAX_ROUNDS) throw new Error(`seed ${this.seed}: time stands still at ${at}`);
    }
    this.now = until;
    return done();
  }
}

function before(a: Arrival, b: Arrival): boolean {
  return a.at !== b.at ? a.at < b.at : a.order < b.order;
}
