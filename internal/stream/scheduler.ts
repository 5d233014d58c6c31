// Which stream sends next: by urgency, and within one urgency in turns or in order. rfc9218#10

import type { SendHalf } from "./send.ts";

const NONE: (SendHalf | null)[] = [];

/**
 * A ring of sending halves that take turns, one frame each. Membership is a bit on the half, so that queueing twice
 * costs nothing.
 */
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

  /** Takes one out wherever it is; the others keep their order. */
  remove(half: SendHalf): void {
    if ((half.queued & this.#bit) === 0) return;
    for (let n = this.#count; n > 0; n--) {
      if (this.#ring[this.#head] === half) this.shift();
      else this.rotate();
    }
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

/** Halves in ascending order of their stream IDs: a binary heap. */
class InOrder {
  readonly #bit: number;
  readonly #heap: SendHalf[] = [];

  constructor(bit: number) {
    this.#bit = bit;
  }

  get length(): number {
    return this.#heap.length;
  }

  push(half: SendHalf): void {
    if ((half.queued & this.#bit) !== 0) return;
    half.queued |= this.#bit;
    this.#heap.push(half);
    this.#rise(this.#heap.length - 1);
  }

  peek(): SendHalf | null {
    return this.#heap.length === 0 ? null : this.#heap[0]!;
  }

  /** Takes the first out. */
  shift(): void {
    this.#takeAt(0);
  }

  remove(half: SendHalf): void {
    if ((half.queued & this.#bit) !== 0) this.#takeAt(this.#heap.indexOf(half));
  }

  clear(): void {
    while (this.#heap.length > 0) this.#takeAt(this.#heap.length - 1);
  }

  #takeAt(at: number): void {
    const heap = this.#heap;
    heap[at]!.queued &= ~this.#bit;
    const last = heap.pop()!;
    if (at === heap.length) return;
    heap[at] = last;
    this.#sink(at);
    this.#rise(at);
  }

  #rise(at: number): void {
    const heap = this.#heap;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (heap[above]!.id <= heap[at]!.id) return;
      at = this.#swap(at, above);
    }
  }

  #sink(at: number): void {
    const heap = this.#heap;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) return;
      if (below + 1 < heap.length && heap[below + 1]!.id < heap[below]!.id) below++;
      if (heap[at]!.id <= heap[below]!.id) return;
      at = this.#swap(at, below);
    }
  }

  #swap(from: number, to: number): number {
    const half = this.#heap[from]!;
    this.#heap[from] = this.#heap[to]!;
    this.#heap[to] = half;
    return to;
  }
}

const LOST = 1;
const FRESH = 2;

/** Halves of one urgency. */
class Level {
  /** What needs no credit: lost data, ends without data. */
  readonly lost = new RoundRobin(LOST);
  /** New data of those that share. */
  readonly shared = new RoundRobin(FRESH);
  /** New data of those that go one after the other. */
  readonly ordered = new InOrder(FRESH);
  /** Whose turn it is where there are both: neither starves the other. rfc9218#10 */
  orderedNext = true;

  get fresh(): RoundRobin | InOrder {
    if (this.ordered.length === 0) return this.shared;
    return this.shared.length === 0 || this.orderedNext ? this.ordered : this.shared;
  }
}

/**
 * The halves that have something to send.
 *
 * rfc9218#10: those of higher urgency (a lower number) go before all others, and what they lost goes before what they have
 * new: rfc9000#13.3 Endpoints SHOULD prioritize retransmission of data over sending new data, unless priorities specified
 * by the application indicate otherwise. Of one urgency, incremental ones share the bandwidth frame by frame, and the others go in the
 * order of their IDs; where there are both, they get half of it each.
 */
export class Scheduler {
  /** By urgency, made when needed: nearly all connections know one. */
  readonly #levels: (Level | null)[] = [null, null, null, null, null, null, null, null];
  /** A bit for each urgency that has something lost, something new. */
  #lost = 0;
  #fresh = 0;
  /** What `next` said. */
  #urgency = 0;
  #queue: RoundRobin | InOrder | null = null;

  /** Whether something is queued that needs no credit. */
  get hasLost(): boolean {
    return this.#lost !== 0;
  }

  /** Whether something is queued that needs credit. */
  get hasFresh(): boolean {
    return this.#fresh !== 0;
  }

  /** Whether what `next` gave stands among those that need no credit. */
  get isLost(): boolean {
    return (this.#lost & (1 << this.#urgency)) !== 0;
  }

  pushLost(half: SendHalf): void {
    this.#level(half.urgency).lost.push(half);
    this.#lost |= 1 << half.urgency;
  }

  pushFresh(half: SendHalf): void {
    const level = this.#level(half.urgency);
    if (half.incremental) level.shared.push(half);
    else level.ordered.push(half);
    this.#fresh |= 1 << half.urgency;
  }

  #level(urgency: number): Level {
    return (this.#levels[urgency] ??= new Level());
  }

  /** The half whose turn it is; without credit only of those that need none. */
  next(credit: boolean): SendHalf | null {
    const mask = credit ? this.#lost | this.#fresh : this.#lost;
    if (mask === 0) return null;
    this.#urgency = 31 - Math.clz32(mask & -mask);
    const level = this.#levels[this.#urgency]!;
    this.#queue = this.isLost ? level.lost : level.fresh;
    return this.#queue.peek();
  }

  /** Takes out what `next` gave; its turn is over. */
  take(): void {
    const level = this.#levels[this.#urgency]!;
    const queue = this.#queue!;
    queue.shift();
    if (queue !== level.lost) level.orderedNext = queue === level.shared;
    this.#recount(this.#urgency, level);
  }

  /** Takes a half out for good, or to be put elsewhere: before its priority changes. */
  remove(half: SendHalf): void {
    const level = this.#levels[half.urgency];
    if (level === null || level === undefined) return;
    level.lost.remove(half);
    if (half.incremental) level.shared.remove(half);
    else level.ordered.remove(half);
    this.#recount(half.urgency, level);
  }

  clear(): void {
    for (const level of this.#levels) {
      level?.lost.clear();
      level?.shared.clear();
      level?.ordered.clear();
    }
    this.#lost = this.#fresh = 0;
  }

  #recount(urgency: number, level: Level): void {
    const bit = 1 << urgency;
    if (level.lost.length === 0) this.#lost &= ~bit;
    if (level.shared.length === 0 && level.ordered.length === 0) this.#fresh &= ~bit;
  }
}
