// What the encoder remembers of sections that the peer has not acknowledged, rfc9204#2.1.1 and #2.1.2.

import type { TableEntry } from "./dynamic-table.ts";

/** A section with references into the dynamic table. */
interface Section {
  readonly requiredInsertCount: number;
  /**
   * The oldest entry it references. Entries leave the table oldest first, so that to keep this one is to keep all.
   */
  readonly oldest: TableEntry;
}

interface StreamSections {
  readonly sections: Section[];
  /** The largest Required Insert Count of `sections`. */
  required: number;
}

/** The sections not acknowledged, by stream in the order sent; and the streams that could become blocked. */
export class OutstandingSections {
  readonly #streams = new Map<number, StreamSections>();
  readonly #risking = new Set<StreamSections>();
  /** Insertions that the peer's decoder has. rfc9204#2.1.4 */
  knownReceivedCount = 0;
  /** Sections not acknowledged. */
  count = 0;

  /** Streams that could be blocked at the peer now. */
  get risking(): number {
    return this.#risking.size;
  }

  /** Whether a stream could be blocked already, so that another risk on it adds none. */
  risks(streamId: number): boolean {
    const stream = this.#streams.get(streamId);
    return stream !== undefined && this.#risking.has(stream);
  }

  add(streamId: number, requiredInsertCount: number, oldest: TableEntry): void {
    let stream = this.#streams.get(streamId);
    if (stream === undefined) this.#streams.set(streamId, (stream = { sections: [], required: 0 }));
    stream.sections.push({ requiredInsertCount, oldest });
    if (requiredInsertCount > stream.required) stream.required = requiredInsertCount;
    if (requiredInsertCount > this.knownReceivedCount) this.#risking.add(stream);
    oldest.pins++;
    this.count++;
  }

  /** The first section of a stream is acknowledged; false where there is none. rfc9204#4.4.1 */
  acknowledge(streamId: number): boolean {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return false;
    const section = stream.sections.shift()!;
    section.oldest.pins--;
    this.count--;
    if (stream.sections.length === 0) {
      this.#streams.delete(streamId);
      this.#risking.delete(stream);
    } else {
      stream.required = Math.max(...stream.sections.map((one) => one.requiredInsertCount));
      if (stream.required <= this.knownReceivedCount) this.#risking.delete(stream);
    }
    this.received(section.requiredInsertCount);
    return true;
  }

  /** The peer's decoder has at least `count` insertions. */
  received(count: number): void {
    if (count <= this.knownReceivedCount) return;
    this.knownReceivedCount = count;
    for (const stream of this.#risking) {
      if (stream.required <= count) this.#risking.delete(stream);
    }
  }

  /** The peer will not decode what is outstanding on a stream. rfc9204#4.4.2 */
  cancel(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    for (const section of stream.sections) section.oldest.pins--;
    this.count -= stream.sections.length;
    this.#streams.delete(streamId);
    this.#risking.delete(stream);
  }
}
