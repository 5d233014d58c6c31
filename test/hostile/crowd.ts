// One victim and the whole Internet: datagrams from any address, what is answered to each, and an honest client.
import assert from "node:assert/strict";
import type { ConnectionConfig } from "../../internal/connection/config.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import type { EndpointOptions } from "../../internal/endpoint/types.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { RxBatch, TxBatch } from "../../internal/protocol/batch.ts";
import { KEY } from "../endpoint/fake.ts";
import { Node, WALL } from "../endpoint/real.ts";
import type { ScriptedPeer } from "./peer.ts";

const VICTIM = makeAddress("192.0.2.10", 443);

/** Another address for each `n`, the port the same. */
export function spoofed(n: number): Address {
  return makeAddress(`${20 + ((n >> 24) & 63)}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`, 40_000);
}

export class Crowd {
  now = 1000;
  wall = WALL;
  readonly victim: Node;
  readonly honest: Node;
  /** Bytes and datagrams the victim sent to addresses that are not the honest client's. */
  answered = { bytes: 0, datagrams: 0 };
  /** By address: bytes from it and to it. */
  readonly ledger = new Map<string, { sent: number; got: number }>();
  /** What the victim sends to somebody without a script. */
  onAnswer: ((bytes: Uint8Array, to: Address) => void) | null = null;
  readonly #peers = new Map<string, ScriptedPeer>();
  readonly #rx = new RxBatch(1 << 20, 512);

  constructor(endpoint: Partial<EndpointOptions> = {}, given: Partial<ConnectionConfig> = {}) {
    this.victim = new Node(VICTIM, 1, { statelessResetKey: KEY, ...endpoint });
    this.victim.listen(given);
    this.honest = new Node(makeAddress("198.51.100.20", 50_000), 2, { statelessResetKey: KEY });
  }

  add(peer: ScriptedPeer): void {
    this.#peers.set(peer.address.key, peer);
  }

  remove(peer: ScriptedPeer): void {
    this.#peers.delete(peer.address.key);
  }

  /** One datagram from `from`; `settle` delivers it. */
  send(bytes: Uint8Array, from: Address): void {
    this.#entry(from).sent += bytes.length;
    if (this.#rx.push(bytes, from)) return;
    this.#deliver();
    this.#rx.push(bytes, from);
  }

  #entry(address: Address): { sent: number; got: number } {
    let entry = this.ledger.get(address.key);
    if (entry === undefined) this.ledger.set(address.key, (entry = { sent: 0, got: 0 }));
    return entry;
  }

  #deliver(): void {
    if (this.#rx.count === 0) return;
    this.victim.endpoint.receive(this.#rx, this.now, this.wall);
    this.#rx.clear();
  }

  settle(): void {
    for (let round = 0; round < 1000; round++) {
      for (const peer of this.#peers.values()) {
        for (const bytes of peer.out.splice(0)) this.send(bytes, peer.address);
      }
      let moved = this.#rx.count > 0;
      this.#deliver();
      for (const node of [this.victim, this.honest]) {
        node.poll();
        for (const each of node.events) if (each.type === "accepted") node.endpoint.onAcceptTaken();
        const tx = new TxBatch();
        while (node.endpoint.transmit(tx, this.now)) {
          moved = true;
          this.#carry(tx, node);
          tx.clear();
        }
        if (tx.count > 0) moved = true;
        this.#carry(tx, node);
      }
      if (!moved) return;
    }
    throw new Error("the network does not settle");
  }

  #carry(tx: TxBatch, from: Node): void {
    for (let i = 0; i < tx.count; i++) {
      const to = tx.remote[i]!;
      const end = tx.offset[i]! + tx.length[i]!;
      for (let at = tx.offset[i]!; at < end; at += tx.segmentSize[i]!) {
        const bytes = tx.slab.slice(at, Math.min(end, at + tx.segmentSize[i]!));
        if (to.key === VICTIM.key) {
          const rx = new RxBatch(65_536, 4);
          rx.push(bytes, from.address);
          this.victim.endpoint.receive(rx, this.now, this.wall);
        } else if (to.key === this.honest.address.key) {
          const rx = new RxBatch(65_536, 4);
          rx.push(bytes, from.address);
          this.honest.endpoint.receive(rx, this.now, this.wall);
        } else {
          this.#entry(to).got += bytes.length;
          this.answered.bytes += bytes.length;
          this.answered.datagrams++;
          const peer = this.#peers.get(to.key);
          if (peer !== undefined) peer.receive(bytes);
          else this.onAnswer?.(bytes, to);
        }
      }
    }
  }

  run(ms: number): void {
    const until = this.now + ms;
    this.settle();
    for (;;) {
      const next = Math.min(this.victim.endpoint.nextTimeout(), this.honest.endpoint.nextTimeout());
      if (next > until) break;
      this.wall += Math.max(0, next - this.now);
      this.now = Math.max(this.now, next);
      for (const node of [this.victim, this.honest]) node.endpoint.handleTimeout(this.now, this.wall);
      this.settle();
    }
    this.wall += until - this.now;
    this.now = until;
  }

  /** An honest client connects, and is answered. */
  assertServes(what: string): Connection {
    const connection = this.honest.dial(this.victim, this.now);
    this.run(500);
    assert.ok(connection.handshakeConfirmed, `${what}: an honest client connects`);
    const before = connection.stats.packetsReceived;
    connection.ping();
    this.run(100);
    assert.ok(connection.stats.packetsReceived > before, `${what}: it is answered`);
    return connection;
  }
}
