// The dynamic table, rfc9204#3.2: first in, first out, bounded by the sizes of its entries.

import { FIELD_OVERHEAD, fieldSize, type Field } from "./field.ts";

/** An entry of the dynamic table. */
export class TableEntry {
  readonly field: Field;
  readonly size: number;
  /** rfc9204#3.2.4 */
  readonly index: number;
  /** For the encoder: sections not acknowledged whose oldest reference this is. */
  pins = 0;
  /** For the encoder: an older entry with the same field, as long as that is in the table. */
  older: TableEntry | null = null;

  constructor(field: Field, index: number) {
    this.field = field;
    this.size = fieldSize(field);
    this.index = index;
  }
}

/** Entries that the ring has room for as soon as there is one: many connections never have any. */
const LEAST_ROOM = 16;

/** The entries by absolute index, in a ring. */
export class DynamicTable {
  /** Entries ever inserted: the absolute index of the next. */
  insertCount = 0;
  /** Entries ever dropped: the absolute index of the oldest one. */
  dropped = 0;
  size = 0;
  capacity = 0;
  #ring: (TableEntry | null)[] = [];
  readonly #onEvict: ((entry: TableEntry) => void) | null;

  /** @param onEvict - told of every entry that leaves */
  constructor(onEvict: ((entry: TableEntry) => void) | null = null) {
    this.#onEvict = onEvict;
  }

  /** The entry with an absolute index, or undefined where it is not in the table. */
  get(index: number): TableEntry | undefined {
    if (index < this.dropped || index >= this.insertCount) return undefined;
    return this.#ring[index & (this.#ring.length - 1)]!;
  }

  /** Evicts until `room` is free below the capacity. rfc9204#3.2.2 */
  evict(room: number): void {
    while (this.size > this.capacity - room && this.dropped < this.insertCount) {
      const at = this.dropped & (this.#ring.length - 1);
      const entry = this.#ring[at]!;
      this.#ring[at] = null;
      this.dropped++;
      this.size -= entry.size;
      this.#onEvict?.(entry);
    }
  }

  /** Sets the capacity, evicting what is above it. */
  setCapacity(capacity: number): void {
    this.capacity = capacity;
    this.evict(0);
  }

  /** Inserts a field, evicting for it. The caller has seen that it fits the capacity. */
  insert(field: Field): TableEntry {
    const entry = new TableEntry(field, this.insertCount);
    this.evict(entry.size);
    if (this.insertCount - this.dropped === this.#ring.length) this.#grow();
    this.#ring[this.insertCount & (this.#ring.length - 1)] = entry;
    this.insertCount++;
    this.size += entry.size;
    return entry;
  }

  #grow(): void {
    const old = this.#ring;
    const ring = new Array<TableEntry | null>(Math.max(LEAST_ROOM, old.length * 2)).fill(null);
    for (let index = this.dropped; index < this.insertCount; index++) {
      ring[index & (ring.length - 1)] = old[index & (old.length - 1)]!;
    }
    this.#ring = ring;
  }
}

/** The most entries a table of that capacity can have. rfc9204#4.5.1.1 */
export function maxEntries(capacity: number): number {
  return Math.floor(capacity / FIELD_OVERHEAD);
}
