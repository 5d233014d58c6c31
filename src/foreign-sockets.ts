// Paths over sockets of other transports: what comes there for our connections, and what leaves there.

import { markForeign } from "../internal/path/path.ts";
import { makeAddress, type Address } from "../internal/protocol/address.ts";
import { RxBatch, type TxBatch } from "../internal/protocol/batch.ts";
import type { PacketConn } from "../internal/udp/packet-conn.ts";

/** Whose connections have paths over a socket. */
export interface Guest {
  readonly endpoint: { routesTo(buf: Uint8Array, start: number, length: number): boolean };
  /** Takes datagrams that came elsewhere. */
  receive(batch: RxBatch): void;
}

interface Boarder {
  readonly guest: Guest;
  /** What its connections know this socket by. */
  readonly local: Address;
  readonly inbox: RxBatch;
}

/** One socket, as those see it who use it besides its own endpoint. */
export class SharedSocket {
  readonly #socket: PacketConn;
  readonly #boarders: Boarder[] = [];
  #leaving: TxBatch | null = null;
  /** Datagrams that found no room, counted as lost. */
  refused = 0;

  constructor(socket: PacketConn) {
    this.#socket = socket;
  }

  get isShared(): boolean {
    return this.#boarders.length > 0;
  }

  /** Gives the address that stands for this socket in `guest`'s paths: one object, always the same. */
  admit(guest: Guest): Address {
    const known = this.#boarders.find((each) => each.guest === guest);
    if (known !== undefined) return known.local;
    const { ip, port } = this.#socket.address();
    const local = makeAddress(ip, port);
    markForeign(local, this.#socket.describe().dontFragment);
    this.#boarders.push({ guest, local, inbox: new RxBatch(2 * 65536, 64) });
    return local;
  }

  /** Takes out of `batch` what is for guests, and gives it to them. */
  handOver(batch: RxBatch): void {
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      const boarder = this.#boarderOf(batch, i);
      if (boarder !== undefined) {
        this.#put(boarder, batch, i);
        continue;
      }
      if (kept !== i) {
        batch.offset[kept] = batch.offset[i]!;
        batch.length[kept] = batch.length[i]!;
        batch.ecn[kept] = batch.ecn[i]!;
        batch.remote[kept] = batch.remote[i]!;
        batch.local[kept] = batch.local[i]!;
      }
      kept++;
    }
    batch.count = kept;
    for (const boarder of this.#boarders) deliver(boarder);
  }

  #boarderOf(batch: RxBatch, i: number): Boarder | undefined {
    const { slab } = batch;
    const start = batch.offset[i]!;
    return this.#boarders.find(({ guest }) => guest.endpoint.routesTo(slab, start, batch.length[i]!));
  }

  #put(boarder: Boarder, batch: RxBatch, i: number): void {
    const start = batch.offset[i]!;
    const bytes = batch.slab.subarray(start, start + batch.length[i]!);
    const add = () => boarder.inbox.push(bytes, batch.remote[i]!, boarder.local, batch.ecn[i]!);
    if (add()) return;
    deliver(boarder);
    add();
  }

  /** Entry `i` of a guest's batch leaves here. */
  relay(batch: TxBatch, i: number): void {
    const length = batch.length[i]!;
    if (this.#leaving !== null && !this.#leaving.hasRoom(length)) this.flush();
    this.#leaving ??= this.#socket.batch();
    const to = this.#leaving;
    if (to === null || !to.hasRoom(length)) {
      // The kernel's queue is full, as on any path: loss recovery sends it again.
      this.refused++;
      return;
    }
    const from = batch.offset[i]!;
    to.slab.set(batch.slab.subarray(from, from + length), to.used);
    to.commit(length, batch.segmentSize[i]!, batch.remote[i]!, null, batch.ecn[i]!, batch.notBefore[i]!);
  }

  flush(): void {
    const batch = this.#leaving;
    this.#leaving = null;
    if (batch !== null) this.#socket.send(batch);
  }
}

function deliver({ guest, inbox }: Boarder): void {
  if (inbox.count === 0) return;
  guest.receive(inbox);
  inbox.clear();
}

/** The sockets of others that one transport's connections use. */
export class ForeignSockets {
  readonly #sockets = new Map<Address, SharedSocket>();

  add(local: Address, socket: SharedSocket): void {
    this.#sockets.set(local, socket);
  }

  /** Takes out of `batch` what does not leave by the transport's own socket. */
  distribute(batch: TxBatch): void {
    if (this.#sockets.size === 0) return;
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      const local = batch.local[i]!;
      const socket = local === null ? undefined : this.#sockets.get(local);
      if (socket !== undefined) {
        socket.relay(batch, i);
        continue;
      }
      if (kept !== i) {
        batch.offset[kept] = batch.offset[i]!;
        batch.length[kept] = batch.length[i]!;
        batch.segmentSize[kept] = batch.segmentSize[i]!;
        batch.ecn[kept] = batch.ecn[i]!;
        batch.remote[kept] = batch.remote[i]!;
        batch.local[kept] = local;
        batch.notBefore[kept] = batch.notBefore[i]!;
      }
      kept++;
    }
    batch.count = kept;
    for (const socket of this.#sockets.values()) socket.flush();
  }
}
