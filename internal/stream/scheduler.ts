import type { SendHalf } from "./send.ts";

/**
 * A ring of sending halves that take turns, one frame each. Membership is a bit on the half, so that queueing twice
 * costs nothing.
 */
const NONE: (SendHalf | null)[] = [];

export class RoundRobin {
  readonly #bit: number;
  /** Nothing until something is queued: most of an idle connection's life. */
  #ring: (SendHalf | null)[] = NONE;
  #head = 0;
  #count = 0;

  constructor(bit: number) {
    this.#bit = bit;
  }

  get length(): number {
    return this.#count;
  }

  push(half: SendHalf): void {
    if ((half.queued & this.#bit) !== 0) return;
    half.queued |= this.#bit;
    if (this.#count === this.#ring.length) this.#grow();
    this.#ring[(this.#head + this.#count++) % this.#ring.length] = half;
  }

  peek(): SendHalf | null {
    return this.#count === 0 ? null : this.#ring[this.#head]!;
  }

  /** Takes the head out. */
  shift(): void {
    this.#ring[this.#head]!.queued &= ~this.#bit;
    this.#ring[this.#head] = null;
    this.#head = (this.#head + 1) % this.#ring.length;
    this.#count--;
  }

  /** The head goes to the back. */
  rotate(): void {
    const half = this.#ring[this.#head]!;
    this.shift();
    this.push(half);
  }

  clear(): void {
    while (this.#count > 0) this.shift();
  }

  #grow(): void {
    const next = new Array<SendHalf | null>(Math.max(16, 2 * this.#ring.length)).fill(null);
    for (let i = 0; i < this.#count; i++) next[i] = this.#ring[(this.#head + i) % this.#ring.length]!;
    this.#ring = next;
    this.#head = 0;
  }
}
