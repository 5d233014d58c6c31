// Writing to a stream in the order of the calls, whether or not they are awaited.

import type { SendStream } from "../src/index.ts";

/** What `write` gives back where nothing has to be waited for. */
export const DONE: Promise<void> = Promise.resolve();

/** Bytes that are given to the stream at a time where it has no room. */
const PART = 262_144;

/** A stream's writing side: what fits its buffer goes there at once, the rest waits in order. */
export class Outlet {
  readonly stream: SendStream;
  #tail: Promise<void> | null = null;
  /** Bytes that the stream's buffer has taken. */
  #given = 0;

  constructor(stream: SendStream) {
    this.stream = stream;
  }

  /** Whether something waits for room. */
  get waiting(): boolean {
    return this.#tail !== null;
  }

  /** Where something waits for room: a number that grows as the peer acknowledges. Null where nothing waits. */
  get waitsAt(): number | null {
    return this.#tail === null ? null : this.#given - this.stream.bufferedBytes;
  }

  /**
   * Writes `bytes`.
   *
   * @returns a promise for the moment at which all of it has found room in the stream's buffer; it rejects where the
   *   stream is over. Where all fits it is resolved already.
   */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#tail !== null) return this.#queue(bytes);
    let taken: number;
    try {
      taken = this.stream.tryWrite(bytes);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    this.#given += taken;
    return taken === bytes.length ? DONE : this.#queue(bytes.subarray(taken));
  }

  #queue(bytes: Uint8Array): Promise<void> {
    const before = this.#tail;
    const writing = before === null ? this.#write(bytes) : before.then(() => this.#write(bytes));
    this.#tail = writing;
    const done = () => {
      if (this.#tail === writing) this.#tail = null;
    };
    writing.then(done, done);
    return writing;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    // In parts, so that progress shows.
    for (let at = 0; at < bytes.length; at += PART) {
      const part = bytes.length <= PART ? bytes : bytes.subarray(at, at + PART);
      await this.stream.write(part);
      this.#given += part.length;
    }
  }

  /** Ends the stream after what was written: now (null) or when the promise resolves. Nothing happens where it failed. */
  close(): Promise<void> | null {
    if (this.#tail !== null)
      return this.#tail.then(
        () => this.#close(),
        () => {},
      );
    this.#close();
    return null;
  }

  #close(): void {
    this.stream.close();
  }
}
