// When each connection wants to be woken, rfc9002#6.2.1 and the like. Deadlines that may have changed are read again once per
// verb and connection, however often they changed.

import { GRANULARITY } from "../recovery/rtt.ts";
import { TimerHeap, type HeapItem } from "./timer-heap.ts";

/** What has a deadline. */
export interface Timed extends HeapItem {
  /** In the list of those whose timer is to be read again. */
  timerDirty: boolean;
  /** Monotonic ms of the last handleTimeout. */
  readonly handledAt: number;
  /** It wants nothing any more. */
  readonly reaped: boolean;
  readonly connection: { timeout(): number };
}

export class Deadlines<T extends Timed> {
  readonly #heap = new TimerHeap<T>();
  readonly #dirty: T[] = [];

  /** Its deadline may have changed. */
  queue(item: T): void {
    if (item.timerDirty) return;
    item.timerDirty = true;
    this.#dirty.push(item);
  }

  /** Reads the deadlines that may have changed. */
  settle(): void {
    if (this.#dirty.length === 0) return;
    for (const item of this.#dirty) {
      item.timerDirty = false;
      if (item.reaped) continue;
      const deadline = item.connection.timeout();
      // A deadline that was handled and is still there waits for something else than time (leave to send, say). It is
      // looked at again after the granularity of rfc9002#6.1.2, so that the owner's loop does not spin.
      const again = item.handledAt + GRANULARITY;
      this.#heap.set(item, deadline <= item.handledAt ? again : deadline);
    }
    this.#dirty.length = 0;
  }

  /** The earliest of those that have been read, Infinity for none. */
  get next(): number {
    return this.#heap.next;
  }

  /** Takes out those that are due; null where none is. */
  takeDue(now: number): T[] | null {
    let due: T[] | null = null;
    while (this.#heap.next <= now) {
      const item = this.#heap.first!;
      this.#heap.remove(item);
      (due ??= []).push(item);
    }
    return due;
  }

  remove(item: T): void {
    this.#heap.remove(item);
  }

  /** What has changed is not read: everything is over. */
  forgetChanges(): void {
    this.#dirty.length = 0;
  }
}
