// The reading side of a stream: rfc9000#3.2 as an io.Reader, an iterator, a Web stream, an it-pipe source.

import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { InvalidOptionError, QuicError, StreamError } from "../internal/protocol/errors.ts";
import type { RecvHalf } from "../internal/stream/recv.ts";
import { type DeadlineOptions, Waiter, type WaitOptions } from "./waiter.ts";

/** Thrown when a second consumer wants a side of a stream that has one: see `locked`. */
export class StreamLockedError extends QuicError {
  constructor(what: string) {
    super(
      "ERR_QUIC_STREAM_LOCKED",
      `${what} has a consumer already. Use one of read, readMany, iteration, readable, source or toNodeStream at a time.`,
    );
  }
}

/** What a side of a stream needs of its connection. */
export interface StreamOwner {
  /** The error the connection ended with, or null. */
  readonly failure: QuicError | null;
  /** Writers that wait for room which other streams hold. */
  starved: Set<{ wake(): void }> | null;
  /** The core has something to send. */
  flush(): void;
  /** The end of a stream is among it. */
  flushWhole(): void;
  /** Somebody wants to hear when data has to wait. */
  watchBlocked(): void;
}

/** Numbers or bigints are taken wherever an application error code goes in, rfc9000#20.2. */
export function errorCode(code: number | bigint): bigint {
  if (typeof code === "number" && !Number.isSafeInteger(code)) {
    throw new InvalidOptionError("code", "an application error code is an integer; use a bigint above 2^53");
  }
  const big = BigInt(code);
  if (big < 0n || big >= 1n << 62n)
    throw new InvalidOptionError("code", "application error codes lie in [0, 2^62)");
  return big;
}

/** @internal What `options` say, as the waiter wants it. */
export function atDeadline(
  options: DeadlineOptions | undefined,
  over: () => boolean,
  giveUp: (code: bigint) => void,
): (() => void) | null {
  if (options === undefined) return null;
  const { reset, onExpired } = options;
  const code = reset === undefined ? null : errorCode(reset);
  return () => {
    if (over()) return;
    if (code !== null) giveUp(code);
    onExpired?.();
  };
}

/** The receiving half of a stream, and all of a unidirectional stream that the peer opened. */
export class ReceiveStream implements AsyncIterable<Uint8Array>, AsyncDisposable {
  /** The stream ID, rfc9000#2.1. */
  readonly id: number;
  /**
   * It began in 0-RTT. At a server whose handshake is not complete (`connectionState().handshakeComplete`) its data may be a
   * copy of what was sent, and taken, before: rfc8446#8.
   */
  readonly early: boolean;
  readonly #half: RecvHalf;
  readonly #owner: StreamOwner;
  readonly #waiter: Waiter;
  #consumer: string | null = null;
  #cancelled: StreamError | null = null;
  #onFinalSize: ((bytes: number) => void) | null = null;

  /** @internal */
  constructor({ id, early }: { id: number; early: boolean }, half: RecvHalf, owner: StreamOwner) {
    this.id = id;
    this.early = early;
    this.#half = half;
    this.#owner = owner;
    this.#waiter = new Waiter(`reading stream ${id}`);
  }

  /** Whether a consumer holds this side. */
  get locked(): boolean {
    return this.#consumer !== null;
  }

  /** Whether everything up to the end was read. */
  get finished(): boolean {
    return this.#half.finished;
  }

  /** Bytes that can be read without waiting. */
  get available(): number {
    return this.#half.available;
  }

  /** Whether a read would not wait: there is data, or the end, or an error to hear of. */
  get isReadable(): boolean {
    const { available, finished, resetCode } = this.#half;
    const over = this.#cancelled !== null || this.#owner.failure !== null;
    return available > 0 || finished || resetCode !== null || over;
  }

  /** Bytes of the whole stream, read or not (rfc9000#4.5): known since the peer ended or reset it, null before. */
  get finalSize(): number | null {
    const { finalSize } = this.#half;
    return finalSize === Infinity ? null : finalSize;
  }

  /** Called once when the final size becomes known, which may be long before it is all here; at once where it is. */
  get onFinalSize(): ((bytes: number) => void) | null {
    return this.#onFinalSize;
  }

  set onFinalSize(listener: ((bytes: number) => void) | null) {
    this.#onFinalSize = listener;
    this.#half.tellFinalSize = listener !== null;
    this.#tellFinalSize();
  }

  #tellFinalSize(): void {
    const { finalSize } = this;
    const listener = this.#onFinalSize;
    if (finalSize === null || listener === null) return;
    this.#onFinalSize = null;
    listener(finalSize);
  }

  /** @internal The event pump: data, FIN, reset or the end of the connection. */
  wake(): void {
    if (this.#onFinalSize !== null) this.#tellFinalSize();
    this.#waiter.wake();
  }

  /**
   * Fills `target` with what is there, at least one byte; waits where there is none.
   * @returns the number of bytes, or null at the end of the stream.
   * @throws {StreamError} when the peer reset the stream or `cancelRead` was called; the connection's error when that
   * ended first. An aborted call has read nothing and never touches `target` later.
   */
  async read(target: Uint8Array, options?: WaitOptions): Promise<number | null> {
    this.#lock("read");
    try {
      for (;;) {
        this.#waiter.check();
        options?.signal?.throwIfAborted();
        const n = this.tryReadInto(target);
        if (n !== 0 || target.length === 0) return n;
        await this.#waiter.wait(options?.signal);
      }
    } finally {
      this.#consumer = null;
    }
  }

  /**
   * Chunks without a copy, at most about `maxBytes` (default 1 MiB) of them, at least one; waits where there is none.
   * An empty array is the end. The chunks are the caller's for good.
   * @throws as `read`.
   */
  async readMany(options?: WaitOptions & { maxBytes?: number }): Promise<Uint8Array[]> {
    this.#lock("readMany");
    try {
      const maxBytes = Math.max(1, options?.maxBytes ?? 1 << 20);
      for (;;) {
        const chunks = this.#chunksNow(maxBytes, options?.signal);
        if (chunks !== null) return chunks;
        await this.#waiter.wait(options?.signal);
      }
    } finally {
      this.#consumer = null;
    }
  }

  /** The same for those who hold the lock. */
  async #chunks(maxBytes: number): Promise<Uint8Array[]> {
    for (;;) {
      const chunks = this.#chunksNow(maxBytes);
      if (chunks !== null) return chunks;
      await this.#waiter.wait();
    }
  }

  /** Chunks that are there, none at the end; null where they have to be waited for. */
  #chunksNow(maxBytes: number, signal?: AbortSignal): Uint8Array[] | null {
    this.#waiter.check();
    signal?.throwIfAborted();
    const chunks = this.#take(maxBytes);
    if (chunks === null) return [];
    return chunks.length > 0 ? chunks : null;
  }

  /** Fills `target` with what is there: 0 when that is nothing yet, null at the end. Throws as `read`. */
  tryRead(target: Uint8Array): number | null {
    if (this.#consumer !== null) throw new StreamLockedError(`Reading stream ${this.id}`);
    return this.tryReadInto(target);
  }

  /**
   * Chunks that are there, without a copy, at most about `maxBytes` (default 1 MiB) of them: none where that is nothing yet,
   * null at the end. The chunks are the caller's for good. Throws as `read`.
   */
  tryReadMany(maxBytes = 1 << 20): Uint8Array[] | null {
    if (this.#consumer !== null) throw new StreamLockedError(`Reading stream ${this.id}`);
    return this.#take(Math.max(1, maxBytes));
  }

  private tryReadInto(target: Uint8Array): number | null {
    if (this.#half.available > 0 && this.#cancelled === null) {
      const n = this.#half.readInto(target);
      this.#owner.flush();
      return n;
    }
    this.#throwIfOver();
    return this.#half.finished ? null : 0;
  }

  #take(maxBytes: number): Uint8Array[] | null {
    if (this.#half.available > 0 && this.#cancelled === null) {
      const chunks = this.#half.readChunks(maxBytes);
      this.#owner.flush();
      return chunks;
    }
    this.#throwIfOver();
    return this.#half.finished ? null : [];
  }

  /** What ended this side early: a reset, cancelRead, or the connection. A stream read to its end ends well. */
  #throwIfOver(): void {
    if (this.#cancelled !== null) throw this.#cancelled;
    if (this.#half.resetCode !== null) throw new StreamError("reset", this.id, this.#half.resetCode, true);
    if (this.#half.finished) return;
    if (this.#owner.failure !== null) throw this.#owner.failure;
  }

  /** What could be read now, up to `n` bytes, without reading it. A copy. */
  peek(n: number): Uint8Array {
    return this.#half.peek(n);
  }

  /**
   * Asks the peer to stop sending (STOP_SENDING, rfc9000#3.5) and drops what was not read. Reads from now on reject.
   * Nothing happens on a stream that was read to its end.
   */
  cancelRead(code: number | bigint = 0): void {
    const big = errorCode(code);
    if (this.#cancelled !== null || this.#half.finished) return;
    this.#cancelled = new StreamError("stopped", this.id, big, false);
    this.#half.stop(big);
    this.#owner.flush();
    this.#waiter.wake();
  }

  /**
   * Reads that wait past `deadline` (Unix ms or Date; null for none) reject with DeadlineExceededError. With options more
   * happens then.
   */
  setReadDeadline(deadline: number | Date | null, options?: DeadlineOptions): void {
    this.#waiter.setDeadline(
      deadline,
      atDeadline(
        options,
        () => this.#half.isTerminal,
        (code) => {
          // From now on the reset is what reads hear of.
          this.#waiter.setDeadline(null);
          this.cancelRead(code);
        },
      ),
    );
  }

  /** Unix ms, null for none. */
  get readDeadline(): number | null {
    return this.#waiter.deadline;
  }

  /** Ms until then, 0 where it has passed; null for none. */
  get readTimeLeft(): number | null {
    return this.#waiter.timeLeft;
  }

  /** Chunks until the end; leaving the loop early cancels reading with code 0. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    this.#lock("iteration");
    let ended = false;
    try {
      for (;;) {
        const chunks = await this.#chunks(1 << 18);
        if (chunks.length === 0) {
          ended = true;
          return;
        }
        yield* chunks;
      }
    } catch (error) {
      ended = true;
      throw error;
    } finally {
      this.#consumer = null;
      if (!ended) this.cancelRead(0);
    }
  }

  /** An it-pipe source: the same as iterating. */
  get source(): AsyncGenerator<Uint8Array, void, undefined> {
    return this[Symbol.asyncIterator]();
  }

  /** A Web byte stream (supports BYOB readers). Cancelling it cancels reading. Takes the lock for good. */
  get readable(): ReadableStream<Uint8Array> {
    this.#lock("readable");
    return new ReadableStream({
      type: "bytes",
      pull: async (controller) => {
        const request = controller.byobRequest;
        const view = request?.view ?? null;
        if (view !== null) {
          const target = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
          const n = await this.#fill(target);
          if (n === null) {
            controller.close();
            request!.respond(0);
          } else request!.respond(n);
          return;
        }
        // A reader may transfer what it gets: hand out copies that own their buffer.
        const target = new Uint8Array(Math.min(65536, Math.max(this.#half.available, 4096)));
        const n = await this.#fill(target);
        if (n === null) controller.close();
        else controller.enqueue(target.subarray(0, n));
      },
      cancel: () => this.cancelRead(0),
    });
  }

  async #fill(target: Uint8Array): Promise<number | null> {
    for (;;) {
      const n = this.tryReadInto(target);
      if (n !== 0) return n;
      await this.#waiter.wait();
    }
  }

  /** A Node Readable. Destroying it cancels reading. Takes the lock for good. */
  toNodeReadable(): Readable {
    this.#lock("toNodeReadable");
    return new Readable(nodeReadMethods(this, () => this.#chunks(1 << 16)));
  }

  /** @internal For the Duplex of a bidirectional stream. */
  nodeMethods(): { read: (this: Readable) => void } {
    this.#lock("toNodeStream");
    return nodeReadMethods(this, () => this.#chunks(1 << 16));
  }

  #lock(consumer: string): void {
    if (this.#consumer !== null) throw new StreamLockedError(`Reading stream ${this.id}`);
    this.#consumer = consumer;
  }

  /** A stream that was not read to its end is cancelled: truncation must never look like success. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.finished) this.cancelRead(0);
  }
}

function nodeReadMethods(stream: ReceiveStream, chunks: () => Promise<Uint8Array[]>) {
  let busy = false;
  return {
    read(this: Readable): void {
      if (busy) return;
      busy = true;
      chunks().then(
        (list) => {
          busy = false;
          if (list.length === 0) this.push(null);
          // Every chunk is pushed, also past the high water mark: they were taken from the stream already.
          for (const chunk of list) this.push(chunk);
        },
        (error: unknown) => this.destroy(error as Error),
      );
    },
    destroy(this: Readable, error: Error | null, done: (error: Error | null) => void): void {
      stream.cancelRead(0);
      done(error);
    },
  };
}
