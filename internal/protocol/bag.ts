// A set whose members know their place in it. For members that come and go at a high rate: a Set's old tables would keep
// them alive until the next full collection.

export interface BagItem {
  /** Place in the bag, −1 outside. The bag's. */
  bagIndex: number;
}

export class Bag<T extends BagItem> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    if (item.bagIndex >= 0) return;
    item.bagIndex = this.#items.length;
    this.#items.push(item);
  }

  delete(item: T): void {
    const at = item.bagIndex;
    if (at < 0) return;
    const last = this.#items.pop()!;
    if (last !== item) {
      this.#items[at] = last;
      last.bagIndex = at;
    }
    item.bagIndex = -1;
  }

  /** A copy: members may leave while it is gone through. */
  toArray(): T[] {
    return this.#items.slice();
  }
}
