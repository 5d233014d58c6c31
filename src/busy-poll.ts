// Keeps the event loop awake for the moment in which an answer is about to come. A thread that sleeps is woken in 20 to
// 60 µs, longer than a loopback's or a rack's whole round trip; Go's scheduler and the kernel's own busy polling spin
// for the same reason. How long the wait is going to be is told by how long it was lately: between peers that answer at
// once the loop spins, and where they do not it sleeps as ever.

import { availableParallelism } from "node:os";
import { BUSY_POLL_MAX } from "../internal/protocol/limits.ts";

/** A wait weighs an eighth in what is expected of the next. */
const GAIN = 1 / 8;

const HIT = 0.1;
const MISS = 0.25;
/** With fewer hits the time is better slept. */
const ENOUGH = 0.75;
/** Bytes of a batch in an exchange of messages. Bulk data keeps the loop busy by itself, or waits for a slow link. */
const LIGHT = 8192;

export class BusyPoll {
  readonly #most: number;
  /** The typical time from the last datagram that went or came to the next that comes, ms. */
  #typical = Infinity;
  /** How often the next datagram came within the longest wait, lately: a miss weighs more than a hit. */
  #hits = 1;
  #last = -Infinity;
  #until = -Infinity;
  #spinning = false;

  /** @param most the longest wait that is spent awake, ms; 0 for none. One core has nothing to spend. */
  constructor(most = BUSY_POLL_MAX) {
    this.#most = availableParallelism() > 1 ? most : 0;
  }

  /** Whether the loop is kept from sleeping. */
  get awake(): boolean {
    return this.#spinning;
  }

  /** Datagrams came, so many bytes. */
  arrived(now: number, bytes: number): void {
    if (this.#most === 0 || bytes > LIGHT) return;
    const gap = Math.min(now - this.#last, 8 * this.#most);
    this.#typical = this.#typical === Infinity ? gap : this.#typical + GAIN * (gap - this.#typical);
    if (gap <= this.#most) this.#hits += HIT * (1 - this.#hits);
    this.#expect(now);
  }

  /** Datagrams left, so many bytes. */
  sent(now: number, bytes: number): void {
    if (this.#most > 0 && bytes <= LIGHT) this.#expect(now);
  }

  #expect(now: number): void {
    // Nothing came after what was last: waiting for it awake was for nothing, or would have been.
    if (now - this.#last > this.#most && this.#last !== -Infinity) this.#hits *= 1 - MISS;
    this.#last = now;
    // Where they are longer it sleeps.
    if (this.#typical > this.#most || this.#hits < ENOUGH) return;
    this.#until = now + Math.min(this.#most, 2 * this.#typical + this.#most / 8);
    if (this.#spinning) return;
    this.#spinning = true;
    setImmediate(this.#turn);
  }

  /** A turn of the loop in which it looks at its sockets and does not wait for them. */
  readonly #turn = (): void => {
    if (performance.now() < this.#until) setImmediate(this.#turn);
    else this.#spinning = false;
  };

  stop(): void {
    this.#until = -Infinity;
  }
}
