// A victim endpoint, a scripted peer, and an honest connection beside it that has to live on.
import assert from "node:assert/strict";
import type { ConnectionConfig } from "../../internal/connection/config.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { RxBatch, TxBatch } from "../../internal/protocol/batch.ts";
import { errorCodeName, type Role } from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { KEY } from "../endpoint/fake.ts";
import { Node, WALL } from "../endpoint/real.ts";
import { ScriptedPeer, type PeerOptions } from "./peer.ts";

const VICTIM = makeAddress("192.0.2.10", 443);
const HONEST = makeAddress("198.51.100.20", 50000);
const HOSTILE = makeAddress("203.0.113.66", 6666);

export class Bench {
  now = 1000;
  readonly victim: Node;
  readonly honest: Node;
  readonly peer: ScriptedPeer;
  /** The victim's end of the honest connection, and of the hostile one (null until it exists). */
  readonly other: Connection;
  readonly dialed: Connection | null;

  /** @param role the hostile peer's. */
  constructor(role: Role, options: PeerOptions = {}, given: Partial<ConnectionConfig> = {}) {
    this.victim = new Node(VICTIM, 1, { statelessResetKey: KEY });
    this.honest = new Node(HONEST, 2, { statelessResetKey: KEY });
    this.peer = new ScriptedPeer(role, HOSTILE, options);
    const first = this.peer.out.splice(0);
    this.victim.listen(given);
    this.other = this.honest.dial(this.victim, this.now);
    this.settle();
    assert.ok(this.other.handshakeConfirmed);
    this.victim.trace.length = 0;
    this.peer.out.push(...first);
    this.dialed = role === "server" ? this.victim.dial({ address: HOSTILE } as Node, this.now, given) : null;
  }

  /** The victim's connection to the hostile peer. */
  get connection(): Connection {
    if (this.dialed !== null) return this.dialed;
    return this.victim.accepted.find((each) => each.remote.key === HOSTILE.key)!;
  }

  /** Carries datagrams until nobody sends at this instant. */
  settle(): void {
    for (let round = 0; round < 1000; round++) {
      let moved = false;
      for (const node of [this.victim, this.honest]) {
        node.poll();
        const tx = new TxBatch();
        node.endpoint.transmit(tx, this.now);
        for (let i = 0; i < tx.count; i++) {
          moved = true;
          const end = tx.offset[i]! + tx.length[i]!;
          for (let at = tx.offset[i]!; at < end; at += tx.segmentSize[i]!) {
            const bytes = tx.slab.slice(at, Math.min(end, at + tx.segmentSize[i]!));
            if (tx.remote[i]!.key === HOSTILE.key) this.peer.receive(bytes, tx.ecn[i]);
            else
              this.#deliver(
                tx.remote[i]!.key === VICTIM.key ? this.victim : this.honest,
                bytes,
                node.address,
              );
          }
        }
      }
      for (const bytes of this.peer.out.splice(0)) {
        moved = true;
        this.#deliver(this.victim, bytes, HOSTILE);
      }
      if (!moved) return;
    }
    throw new Error("the network does not settle");
  }

  #deliver(to: Node, bytes: Uint8Array, from: Node["address"]): void {
    const batch = new RxBatch(65536, 4);
    batch.push(bytes, from);
    to.endpoint.receive(batch, this.now, WALL);
  }

  run(ms: number): void {
    const until = this.now + ms;
    this.settle();
    for (;;) {
      const next = Math.min(this.victim.endpoint.nextTimeout(), this.honest.endpoint.nextTimeout());
      if (next > until) break;
      this.now = Math.max(this.now, next);
      for (const node of [this.victim, this.honest]) node.endpoint.handleTimeout(this.now, WALL);
      this.settle();
    }
    this.now = until;
  }

  /** Through the handshake. */
  connect(): this {
    this.run(50);
    assert.ok(this.peer.complete, "the scripted peer's handshake completes");
    if (this.peer.role === "server") {
      this.peer.send(2, Uint8Array.of(0x1e, 0, 0, 0));
      this.run(50);
    }
    assert.ok(this.connection.handshakeConfirmed);
    this.peer.frames.length = 0;
    this.victim.trace.length = 0;
    return this;
  }

  /** Why the victim's connection to the peer ended, as its owner hears. */
  get localError(): unknown {
    for (const each of this.victim.events) {
      if (each.type !== "connection" || each.event.type !== "closed") continue;
      if (each.connection.remote.key === HOSTILE.key) return each.event.error;
    }
    return null;
  }

  /** The code on the wire, the typed error, and the neighbour's health. */
  assertClosed(code: number, what: string): void {
    this.settle();
    const { close } = this.peer;
    assert.ok(close !== undefined, `${what}: CONNECTION_CLOSE on the wire`);
    assert.equal(close.errorSpace, "transport", what);
    assert.equal(errorCodeName(close.errorCode as number), errorCodeName(code), what);
    const error = this.localError;
    // A server connection that never got through its handshake is nobody's: its end is not announced.
    if (error !== null || this.dialed !== null || this.connection !== undefined) {
      assert.ok(error instanceof TransportError, `${what}: ${String(error)}`);
      assert.equal(error.errorCode, code, what);
      assert.equal(error.remote, false, what);
    }
    this.assertNeighbour(what);
  }

  assertOpen(what: string): void {
    this.settle();
    assert.equal(this.peer.close, undefined, `${what}: ${JSON.stringify(this.peer.close)}`);
    assert.equal(this.localError, null, what);
    assert.equal(this.connection.close.state, "open", what);
    this.assertNeighbour(what);
  }

  /** The honest connection still carries data, there and back. */
  assertNeighbour(what: string): void {
    const before = this.other.stats.packetsReceived;
    this.other.ping();
    this.run(100);
    assert.ok(this.other.close.isOpen, what);
    assert.ok(this.other.stats.packetsReceived > before, `${what}: the neighbour is answered`);
  }

  get drops(): string[] {
    return this.victim.drops;
  }
}
