// Type, length, value: how frames (rfc9114#7.1) and capsules (rfc9297#3.2) lie in a stream that comes in pieces.

import { readVarint, varintSize } from "./varint.ts";

export const NOTHING = new Uint8Array(0);

/** Two pieces as one. */
export function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

/** Gathers the two varints that begin a frame or capsule. */
export class TypeLength {
  /** What has come of them in pieces before this one: nearly always nothing. */
  #bytes = NOTHING;
  #known = 0;
  type = 0;
  length = 0;

  /** Whether a part of them has come. */
  get begun(): boolean {
    return this.#known > 0;
  }

  /**
   * Reads on from `at`.
   *
   * @param typeAlone - types that have no length
   * @returns the position after them, or -1 where all of the piece was read and they are not whole
   */
  read(piece: Uint8Array, at: number, typeAlone: ReadonlySet<number> | null): number {
    if (this.#known === 0) {
      const after = this.#whole(piece, at, typeAlone);
      if (after >= 0) return after;
      if (this.#bytes.length === 0) this.#bytes = new Uint8Array(16);
    }
    const bytes = this.#bytes;
    let typeSize = this.#known === 0 ? 0 : varintSize(bytes[0]!);
    for (;;) {
      const known = this.#known;
      if (known > 0 && known === typeSize && typeAlone !== null) {
        const type = readVarint(bytes, 0);
        if (typeAlone.has(type)) {
          this.type = type;
          this.#known = 0;
          return at;
        }
      }
      if (known > typeSize && known === typeSize + varintSize(bytes[typeSize]!)) break;
      if (at === piece.length) return -1;
      bytes[known] = piece[at++]!;
      if (known === 0) typeSize = varintSize(bytes[0]!);
      this.#known = known + 1;
    }
    this.#known = 0;
    this.type = readVarint(bytes, 0);
    this.length = readVarint(bytes, typeSize);
    return at;
  }

  /** Reads them where they are whole in the piece; else -1. */
  #whole(piece: Uint8Array, at: number, typeAlone: ReadonlySet<number> | null): number {
    if (at >= piece.length) return -1;
    const lengthAt = at + varintSize(piece[at]!);
    if (lengthAt > piece.length) return -1;
    const type = readVarint(piece, at);
    if (typeAlone !== null && typeAlone.has(type)) {
      this.type = type;
      return lengthAt;
    }
    if (lengthAt >= piece.length) return -1;
    const end = lengthAt + varintSize(piece[lengthAt]!);
    if (end > piece.length) return -1;
    this.type = type;
    this.length = readVarint(piece, lengthAt);
    return end;
  }
}

/** Gathers a value from its parts. Memory follows what came, not what was announced. */
export class Gathering {
  #bytes: Uint8Array = NOTHING;
  #length = 0;

  /** Copies a part; `left` more bytes are announced. */
  add(part: Uint8Array, left: number): void {
    const length = this.#length + part.length;
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(length + left, Math.max(256, 2 * length)));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(part, this.#length);
    this.#length = length;
  }

  /** The value, whose last part is `part`: uncopied where it is the only one. */
  finish(part: Uint8Array): Uint8Array {
    if (this.#length === 0) return part;
    this.add(part, 0);
    const whole = this.#bytes.subarray(0, this.#length);
    this.#bytes = NOTHING;
    this.#length = 0;
    return whole;
  }
}
