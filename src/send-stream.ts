// The writing side of a stream: rfc9000#3.1 as an io.Writer, a Web stream, an it-pipe sink.

import { Writable } from "node:stream";
import { WritableStream } from "node:stream/web";
import { InvalidOptionError, QuicError, StreamError } from "../internal/protocol/errors.ts";
import type { BlockedBy, SendHalf } from "../internal/stream/send.ts";
import { atDeadline, errorCode, StreamLockedError, type StreamOwner } from "./receive-stream.ts";
import { type DeadlineOptions, Waiter, type WaitOptions } from "./waiter.ts";

/** Thrown by writes after `close`. */
export class StreamClosedError extends QuicError {
  constructor(id: number) {
    super("ERR_QUIC_STREAM_CLOSED", `Stream ${id} was closed for writing; open another one to send more.`);
  }
}

/** When a stream's data leaves, against that of the connection's other streams: rfc9218#4, rfc9000#2.3. */
export interface StreamPriority {
  /** 0 (first) to 7 (last). Nothing of a stream leaves while one of lower number has something to send. Default 3. */
  readonly urgency?: number;
  /**
   * True: the streams of this urgency share the bandwidth. False (default): they go one after the other, the lowest
   * stream ID first.
   */
  readonly incremental?: boolean;
}

/** What a stream has to send. */
export interface SendQueueInfo {
  /** Bytes written and not acknowledged. */
  readonly bufferedBytes: number;
  /** Of these, bytes that have not left yet. */
  readonly unsentBytes: number;
  /**
   * What holds those back: the peer's limit for the stream or for the connection (rfc9000#4.1: it does not read), or congestion
   * control. null where nothing waits.
   */
  readonly blockedBy: BlockedBy | null;
}

/** The sending half of a stream, and all of a unidirectional stream that we opened. */
export class SendStream implements AsyncDisposable {
  /** The stream ID, rfc9000#2.1. */
  readonly id: number;
  readonly #half: SendHalf;
  readonly #owner: StreamOwner;
  readonly #waiter: Waiter;
  readonly #drain: Waiter;
  #consumer: string | null = null;
  #closed = false;
  /** A write is under way: an end asked for meanwhile comes after it. */
  #writing = false;
  #cancelled: StreamError | null = null;
  #context: AbortController | null = null;
  #onBlocked: ((by: BlockedBy) => void) | null = null;
  #onStopped: ((error: QuicError) => void) | null = null;

  /** @internal */
  constructor(id: number, half: SendHalf, owner: StreamOwner) {
    this.id = id;
    this.#half = half;
    this.#owner = owner;
    this.#waiter = new Waiter(`writing stream ${id}`);
    this.#drain = new Waiter(`draining stream ${id}`);
  }

  /** Whether a consumer (writable, sink, toNodeStream, a write in progress) holds this side. */
  get locked(): boolean {
    return this.#consumer !== null;
  }

  /** @internal Closed for writing and not over yet. */
  get closing(): boolean {
    return this.#closed && this.#over() === null;
  }

  /** Bytes that `tryWrite` would take now. */
  get capacity(): number {
    return this.#over() === null && !this.#closed ? this.#half.capacity : 0;
  }

  /** Whether `tryWrite` would take `bytes` at once. */
  isWritable(bytes = 1): boolean {
    return this.capacity >= bytes;
  }

  /** What waits, for decisions about backpressure. */
  sendQueue(): SendQueueInfo {
    const { bufferedBytes, unsentBytes, blockedBy } = this.#half;
    return { bufferedBytes, unsentBytes, blockedBy };
  }

  /** Bytes written and not acknowledged yet. */
  get bufferedBytes(): number {
    return this.#half.bufferedBytes;
  }

  /**
   * Called when what was written has to wait: the peer's limit for the stream or the connection is reached (once for each
   * limit), or the congestion window is full (each time it fills up).
   *
   * @example
   * const conn = await dialAddr("localhost:4433", { ca, ALPNProtocols: ["echo"] });
   * const stream = await conn.openStream();
   * stream.sending.onBlocked = (by) => console.log(`waits for the ${by}`);
   */
  get onBlocked(): ((by: BlockedBy) => void) | null {
    return this.#onBlocked;
  }

  set onBlocked(listener: ((by: BlockedBy) => void) | null) {
    this.#onBlocked = listener;
    if (listener !== null) this.#owner.watchBlocked();
  }

  /** @internal */
  blocked(by: BlockedBy): void {
    if (this.#onBlocked !== null && this.#half.unsentBytes > 0) this.#onBlocked(by);
  }

  /**
   * Called once when this side ends before `close`: the peer stopped reading, the connection ended, or `cancelWrite` was
   * called; at once where it has. What `context` is for, at less cost.
   */
  get onStopped(): ((error: QuicError) => void) | null {
    return this.#onStopped;
  }

  set onStopped(listener: ((error: QuicError) => void) | null) {
    this.#onStopped = listener;
    this.#tellStopped();
  }

  #tellStopped(): void {
    const listener = this.#onStopped;
    const over = this.#over();
    if (over === null && !this.#closed) return;
    this.#onStopped = null;
    if (over !== null) listener?.(over);
  }

  /** @internal */
  wake(): void {
    if (this.#onStopped !== null) this.#tellStopped();
    if (this.#context !== null) this.#settleContext();
    this.#waiter.wake();
    this.#drain.wake();
  }

  /**
   * Writes all of `data`; waits while the send buffer is full. The bytes are copied: `data` may be reused when the
   * promise resolves.
   * @returns the number of bytes, `data.length`.
   * @throws {StreamError} when the peer stopped reading or `cancelWrite` was called; StreamClosedError after `close`;
   * the connection's error when that ended.
   */
  async write(data: Uint8Array, options?: WaitOptions): Promise<number> {
    this.#lock("write");
    try {
      return await this.#writeAll(data, false, options?.signal);
    } finally {
      this.#consumer = null;
    }
  }

  /**
   * As `write`, but never more than `limit` bytes of the stream wait to be sent or acknowledged (default of `write`: what
   * the send buffer holds): what is written last is no older than these when it leaves. For live data, which is dropped or made
   * smaller where it would have to wait.
   * @param limit bytes, at least 1
   * @throws {InvalidOptionError}, and as `write`.
   *
   * @example
   * const conn = await dialAddr("localhost:4433", { ca, ALPNProtocols: ["echo"] });
   * const stream = await conn.openStream();
   * await stream.writeWithLimit(new Uint8Array(100_000), 16_384);
   */
  async writeWithLimit(data: Uint8Array, limit: number, options?: WaitOptions): Promise<number> {
    if (!(limit >= 1)) throw new InvalidOptionError("limit", `bytes from 1 on, not ${String(limit)}`);
    this.#lock("writeWithLimit");
    try {
      return await this.#writeAll(data, false, options?.signal, limit);
    } finally {
      this.#consumer = null;
    }
  }

  /** As `write`, but keeps the bytes instead of copying them: do not touch `data` until `drained()`. */
  async writeOwned(data: Uint8Array, options?: WaitOptions): Promise<number> {
    this.#lock("writeOwned");
    try {
      return await this.#writeAll(data, true, options?.signal);
    } finally {
      this.#consumer = null;
    }
  }

  async #writeAll(data: Uint8Array, owned: boolean, signal?: AbortSignal, limit = Infinity): Promise<number> {
    if (this.#closed) this.#throwIfOver();
    let written = 0;
    this.#writing = true;
    try {
      for (;;) {
        this.#waiter.check();
        signal?.throwIfAborted();
        const over = this.#over();
        if (over !== null) throw over;
        const room = limit - this.#half.bufferedBytes;
        if (written < data.length && room > 0) {
          const end = Math.min(data.length, written + room);
          const rest = written === 0 && end === data.length ? data : data.subarray(written, end);
          const n = this.#half.write(rest, owned);
          if (n > 0) this.#owner.flush();
          written += n;
        }
        if (written === data.length) return written;
        if (limit < Infinity) this.#half.wakeBelow = Math.max(1, Math.ceil(limit / 2));
        // Other streams hold all the room there is: no acknowledgement of this one will tell when that changes.
        if (this.#half.bufferedBytes === 0) (this.#owner.starved ??= new Set()).add(this);
        await this.#waiter.wait(signal);
      }
    } finally {
      this.#writing = false;
      if (this.#closed) {
        // An end after half of a write would pass for all of it.
        if (written === data.length) this.#finish();
        else this.cancelWrite(0);
      }
    }
  }

  /** Writes what fits the send buffer now and says how much that was. Throws as `write`. */
  tryWrite(data: Uint8Array): number {
    if (this.#consumer !== null) throw new StreamLockedError(`Writing stream ${this.id}`);
    this.#throwIfOver();
    const n = this.#half.write(data, false);
    if (n > 0) this.#owner.flush();
    return n;
  }

  /**
   * Ends the stream after what was written (FIN), a write that still waits included. Returns at once; `drained()` tells
   * when the peer has it all.
   * Nothing happens on a stream that is over.
   */
  close(): void {
    if (this.#closed || this.#over() !== null) return;
    this.#closed = true;
    if (!this.#writing) this.#finish();
    this.#onStopped = null;
    this.#settleContext();
  }

  #finish(): void {
    this.#half.finish();
    this.#owner.flushWhole();
    // Whoever waits for the end to be acknowledged looks again.
    this.#drain.wake();
  }

  /**
   * Resolves when everything written, and the end if the stream was closed, has been acknowledged by the peer.
   * @throws as `write`.
   */
  async drained(options?: WaitOptions): Promise<void> {
    for (;;) {
      options?.signal?.throwIfAborted();
      // First: a stream that was given up holds no bytes either.
      const over = this.#over();
      if (over !== null) throw over;
      if (this.#half.allAcked && !this.#writing) return;
      await this.#drain.wait(options?.signal);
    }
  }

  /**
   * What was written so far arrives even where the stream is cancelled later (RESET_STREAM_AT of the reliable stream
   * resets draft): a header, say, that tells what the stream was about. May be called again to move the boundary up.
   * @returns whether the peer can do that; where it cannot, `cancelWrite` takes all with it.
   */
  setReliableBoundary(): boolean {
    this.#half.setReliableBoundary();
    return this.#half.resetsReliably;
  }

  /**
   * Says when this stream's data leaves, lost data included, against that of the other streams of the connection; as often
   * as you like. A stream of which nothing was said has urgency 3 and shares. The peer is not told.
   *
   * @throws {InvalidOptionError} where the urgency is no integer from 0 to 7
   * @example
   * const conn = await dialAddr("localhost:4433", { ca, ALPNProtocols: ["echo"] });
   * const stream = await conn.openStream();
   * stream.setPriority({ urgency: 1 });
   */
  setPriority(priority: StreamPriority): void {
    const { urgency = 3, incremental = false } = priority;
    if (!Number.isInteger(urgency) || urgency < 0 || urgency > 7) {
      throw new InvalidOptionError("urgency", `an integer from 0 to 7, not ${String(urgency)}`);
    }
    this.#half.setPriority(urgency, incremental);
  }

  /** What `setPriority` said: urgency 3 and incremental where it said nothing. */
  get priority(): Required<StreamPriority> {
    return { urgency: this.#half.urgency, incremental: this.#half.incremental };
  }

  /**
   * Gives the stream up: RESET_STREAM with `code` (rfc9000#3.1); what was not sent never will be, but for what lies before
   * `setReliableBoundary`.
   */
  cancelWrite(code: number | bigint = 0): void {
    // rfc9000#11.2 RESET_STREAM MUST only be instigated by the application protocol that uses QUIC.
    const big = errorCode(code);
    if (this.#cancelled !== null || this.#half.isTerminal) return;
    this.#cancelled = new StreamError("reset", this.id, big, false);
    this.#half.reset(big);
    this.#owner.flush();
    this.wake();
    wakeAll(this.#owner.starved);
  }

  /**
   * Writes that wait past `deadline` (Unix ms or Date; null for none) reject with DeadlineExceededError. With options more
   * happens then.
   */
  setWriteDeadline(deadline: number | Date | null, options?: DeadlineOptions): void {
    this.#waiter.setDeadline(
      deadline,
      atDeadline(
        options,
        () => this.#half.isTerminal,
        (code) => {
          // From now on the reset is what writes hear of.
          this.#waiter.setDeadline(null);
          this.cancelWrite(code);
        },
      ),
    );
  }

  /** Unix ms, null for none. */
  get writeDeadline(): number | null {
    return this.#waiter.deadline;
  }

  /** Ms until then, 0 where it has passed; null for none. */
  get writeTimeLeft(): number | null {
    return this.#waiter.timeLeft;
  }

  /** Aborted when this side ends: closed, cancelled, stopped by the peer, or with the connection. Made when asked for. */
  get context(): AbortSignal {
    if (this.#context === null) {
      this.#context = new AbortController();
      this.#settleContext();
    }
    return this.#context.signal;
  }

  #settleContext(): void {
    const context = this.#context;
    if (context === null || context.signal.aborted) return;
    const over = this.#over();
    if (over !== null) context.abort(over);
    else if (this.#closed) context.abort(new StreamClosedError(this.id));
  }

  /** A Web stream. Chunks are kept until acknowledged, not copied. Closing it closes the stream, aborting resets it. */
  get writable(): WritableStream<Uint8Array> {
    this.#lock("writable");
    // abort() waits for the write or close under way, which may wait for a peer that does not read: the signal ends it.
    let signal: AbortSignal;
    return new WritableStream<Uint8Array>({
      start: (controller) => {
        // @types/node does not know it yet.
        signal = (controller as unknown as { signal: AbortSignal }).signal;
      },
      write: async (chunk) => {
        await this.#writeAll(chunk, true, signal);
      },
      close: async () => {
        this.close();
        await this.drained({ signal });
      },
      abort: (reason) => this.cancelWrite(codeOf(reason)),
    });
  }

  /** An it-pipe sink: writes every chunk, then closes. A source that throws resets the stream. */
  get sink(): (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => Promise<void> {
    return async (source) => {
      this.#lock("sink");
      try {
        for await (const chunk of source) await this.#writeAll(chunk, false);
        this.close();
      } catch (error) {
        this.cancelWrite(codeOf(error));
        throw error;
      } finally {
        this.#consumer = null;
      }
    };
  }

  /** A Node Writable. Ending it closes the stream, destroying it early resets it. Takes the lock for good. */
  toNodeWritable(): Writable {
    return new Writable(this.nodeMethods());
  }

  /** @internal For the Duplex of a bidirectional stream. */
  nodeMethods(): {
    write: (chunk: Uint8Array, encoding: BufferEncoding, done: (error?: Error | null) => void) => void;
    final: (done: (error?: Error | null) => void) => void;
    destroy: (error: Error | null, done: (error: Error | null) => void) => void;
  } {
    this.#lock("toNodeStream");
    return {
      write: (chunk, _encoding, done) => {
        this.#writeAll(chunk, false).then(() => done(), done);
      },
      final: (done) => {
        this.close();
        done();
      },
      destroy: (error, done) => {
        if (!this.#closed) this.cancelWrite(codeOf(error));
        done(error);
      },
    };
  }

  #lock(consumer: string): void {
    if (this.#consumer !== null) throw new StreamLockedError(`Writing stream ${this.id}`);
    this.#consumer = consumer;
  }

  /** What ended this side, or null. */
  #over(): QuicError | null {
    if (this.#cancelled !== null) return this.#cancelled;
    if (this.#half.stopCode !== null) return new StreamError("stopped", this.id, this.#half.stopCode, true);
    return this.#half.allAcked && this.#closed ? null : this.#owner.failure;
  }

  #throwIfOver(): void {
    const over = this.#over();
    if (over !== null) throw over;
    if (this.#closed) throw new StreamClosedError(this.id);
  }

  /** A stream that was not closed is reset: truncation must never look like success. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) this.cancelWrite(0);
  }
}

/** Room for sending came back: those that waited for others' go on. */
export function wakeAll(starved: Set<{ wake(): void }> | null): void {
  if (starved === null || starved.size === 0) return;
  const waiting = [...starved];
  starved.clear();
  for (const one of waiting) one.wake();
}

/** An error that carries an application error code resets with it, any other with 0. */
function codeOf(error: unknown): number | bigint {
  return error instanceof QuicError && error.errorCodeBig !== undefined ? error.errorCodeBig : 0;
}
