import { PrefixReader } from "./primitives.ts";

/**
 * A stream of instructions that comes in pieces: holds the instruction whose end has not come yet.
 *
 * However small the pieces, a byte is copied a bounded number of times and lengths are read again only when enough has
 * come to go on.
 */
export class PartialInstructions {
  #held: Uint8Array = new Uint8Array(0);
  #length = 0;
  #needed = 0;

  /** What is held and `bytes` as one, or null while an instruction's known length has not come. */
  join(bytes: Uint8Array): PrefixReader | null {
    if (this.#length === 0) return new PrefixReader(bytes);
    const length = this.#length + bytes.length;
    if (length > this.#held.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#held.length));
      grown.set(this.#held.subarray(0, this.#length));
      this.#held = grown;
    }
    this.#held.set(bytes, this.#length);
    this.#length = length;
    if (length < this.#needed) return null;
    const joined = new PrefixReader(this.#held, 0, length);
    this.#held = new Uint8Array(0);
    this.#length = 0;
    return joined;
  }

  /** Keeps the bytes from `start` on until at least `needed` of them have come. */
  hold(reader: PrefixReader, start: number, needed: number): void {
    this.#held = Uint8Array.prototype.slice.call(reader.bytes, start, reader.end);
    this.#length = this.#held.length;
    this.#needed = needed;
  }

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }
}
