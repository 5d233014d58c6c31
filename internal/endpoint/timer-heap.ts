// The deadlines of all connections: a 4-ary heap whose items know their position, so that moving one is O(log n) and
// finding it costs nothing. Four children per node halve the depth of a binary heap, and lie in one cache line.

/** What the heap orders. The two fields are the heap's. */
export interface HeapItem {
  heapIndex: number;
  deadline: number;
}

const ARITY = 4;

export class TimerHeap<T extends HeapItem> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The earliest deadline, Infinity for an empty heap. */
  get next(): number {
    return this.#items.length === 0 ? Infinity : this.#items[0]!.deadline;
  }

  /** The item with the earliest deadline. */
  get first(): T | undefined {
    return this.#items[0];
  }

  /** Sets an item's deadline, adding it where it is not in; Infinity takes it out. */
  set(item: T, deadline: number): void {
    if (deadline === Infinity) {
      this.remove(item);
      return;
    }
    const before = item.deadline;
    item.deadline = deadline;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length;
      this.#items.push(item);
      this.#up(item.heapIndex);
    } else if (deadline < before) this.#up(item.heapIndex);
    else if (deadline > before) this.#down(item.heapIndex);
  }

  remove(item: T): void {
    const at = item.heapIndex;
    item.deadline = Infinity;
    if (at < 0) return;
    item.heapIndex = -1;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#items[at] = last;
    last.heapIndex = at;
    this.#up(at);
    this.#down(last.heapIndex);
  }

  #up(at: number): void {
    const items = this.#items;
    const item = items[at]!;
    while (at > 0) {
      const parent = ((at - 1) / ARITY) | 0;
      const above = items[parent]!;
      if (above.deadline <= item.deadline) break;
      items[at] = above;
      above.heapIndex = at;
      at = parent;
    }
    items[at] = item;
    item.heapIndex = at;
  }

  #down(at: number): void {
    const items = this.#items;
    const item = items[at]!;
    for (;;) {
      const first = at * ARITY + 1;
      if (first >= items.length) break;
      const end = Math.min(first + ARITY, items.length);
      let least = first;
      for (let i = first + 1; i < end; i++) if (items[i]!.deadline < items[least]!.deadline) least = i;
      const below = items[least]!;
      if (below.deadline >= item.deadline) break;
      items[at] = below;
      below.heapIndex = at;
      at = least;
    }
    items[at] = item;
    item.heapIndex = at;
  }
}
