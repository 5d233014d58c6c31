// What is left of a connection that has ended, rfc9000#10.2: its routes for three PTO, so that late packets are not
// strangers', and the close to say again. The connection itself, two hundred times that, is let go when the owner has
// heard of the end: where connections come and go quickly, their remains would be most of what is in memory.

import type { Farewell } from "../connection/close.ts";
import type { ConnectionEvent } from "../connection/events.ts";
import { NOT_ECT, type RxBatch, type TxBatch } from "../protocol/batch.ts";
import { AMPLIFICATION_FACTOR } from "../protocol/limits.ts";
import { Fifo } from "./fifo.ts";
import type { Slot } from "./slot.ts";
import type { EndpointConnection } from "./types.ts";

export class Lingering implements EndpointConnection {
  readonly #farewell: Farewell;
  readonly #wake: () => void;
  #packets = 0;
  #answerAt = 1;
  #due = false;
  #budget: number;
  isClosed = false;
  readonly stats = { packetsReceived: 0 };

  /** @param wake asks for a turn of `transmit`. */
  constructor(farewell: Farewell, wake: () => void) {
    this.#farewell = farewell;
    this.#budget = farewell.budget;
    this.#wake = wake;
  }

  /**
   * rfc9000#10.2.1 an endpoint in the closing state SHOULD limit the rate at which it generates packets: the 1st, 2nd, 4th,
   * 8th … datagram is answered. … endpoints MAY send the exact same packet in response to any received packet.
   */
  receive(rx: RxBatch, from: number, to: number): void {
    const { packet, remote } = this.#farewell;
    if (packet === null) return;
    // rfc9000#8.1 to an address that is not validated go three times the bytes that came from it.
    for (let i = from; i < to; i++) {
      if (rx.remote[i]?.key === remote.key) this.#budget += AMPLIFICATION_FACTOR * rx.length[i]!;
    }
    this.#packets += to - from;
    if (this.#packets >= this.#answerAt) this.#due = true;
    while (this.#answerAt <= this.#packets) this.#answerAt *= 2;
    if (this.#due) this.#wake();
  }

  transmit(tx: TxBatch): boolean {
    const { packet, remote, local } = this.#farewell;
    if (!this.#due || packet === null || packet.length > this.#budget) return false;
    if (!tx.hasRoom(packet.length)) return true;
    this.#due = false;
    this.#budget -= packet.length;
    tx.slab.set(packet, tx.used);
    tx.commit(packet.length, packet.length, remote, local, NOT_ECT);
    return false;
  }

  timeout(): number {
    return this.#farewell.until;
  }

  handleTimeout(now: number): void {
    if (now >= this.#farewell.until) this.isClosed = true;
  }

  pollEvent(): ConnectionEvent | null {
    return null;
  }

  farewell(): Farewell | null {
    return null;
  }

  onStatelessReset(): void {
    // It is over.
  }

  closeWith(): void {
    // It is over.
  }

  dispose(): void {
    this.isClosed = true;
  }
}

/** Connections that ended and are still there. */
export class Ended<C extends EndpointConnection> {
  readonly #slots = new Fifo<Slot<C>>();

  /** Its owner has heard that it ended. */
  add(slot: Slot<C>): void {
    this.#slots.push(slot);
  }

  /** Lets go of those that need not listen any more. */
  release(now: number): void {
    for (let slot = this.#slots.peek(); slot !== undefined; slot = this.#slots.peek()) {
      if (!slot.reaped) {
        if (slot.eventful) return;
        const { connection } = slot;
        const farewell = connection.farewell(now);
        if (farewell === null) return;
        const wake = slot.wantTransmit.bind(slot);
        slot.replace(new Lingering(farewell, wake));
        connection.dispose();
      }
      this.#slots.shift();
    }
  }

  clear(): void {
    this.#slots.clear();
  }
}
