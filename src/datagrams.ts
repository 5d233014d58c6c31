// Datagrams (rfc9221) as the application sees them.

import type { ConnectionConfig } from "../internal/connection/config.ts";
import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import type { DatagramCounters, DatagramOutcome as CoreOutcome } from "../internal/connection/datagrams.ts";
import type { ConnectionEvent } from "../internal/connection/events.ts";
import { ApplicationError, InvalidOptionError, QuicError } from "../internal/protocol/errors.ts";
import * as limits from "../internal/protocol/limits.ts";
import { monotonicNow } from "./driver.ts";
import { Waiter, type WaitOptions } from "./waiter.ts";

/** What became of a datagram: "acked" by the peer's transport, "lost" on the way (also with 0-RTT that was refused), or why it was never sent. */
export type DatagramOutcome = CoreOutcome | "connection_closed";

/** Settings of one datagram. */
export interface DatagramOptions {
  /** 0 to 7, 0 first; those up to 3 (the default) leave before stream data, the others after it. */
  urgency?: number;
  /** Drop it where it could not leave within so many ms. Default: never. */
  maxAge?: number;
  /** Of a string. Default "utf8". */
  encoding?: BufferEncoding;
  /**
   * Called once with what became of it. "acked" means that the peer's transport took it, not that its application did;
   * "lost" is what this side believes (rfc9221#5.2).
   */
  onSettled?: (outcome: DatagramOutcome) => void;
}

/** Bounds of one queue of datagrams. */
export interface DatagramQueueBounds {
  /** Datagrams. Default 512 to be sent, 2,048 received. */
  count?: number;
  /** Bytes of them. Default 1 MiB to be sent, 2 MiB received. */
  bytes?: number;
  /** Which goes when it is full: "newest" (default for those to be sent: they are refused) or "oldest" (for received ones). */
  drop?: "newest" | "oldest";
}

/** Bounds of the datagrams that wait, each way. */
export interface DatagramQueues {
  send?: DatagramQueueBounds;
  receive?: DatagramQueueBounds;
}

/** Counters of one connection's datagrams. */
export type DatagramStatistics = Readonly<Omit<DatagramCounters, "dropped">> & {
  /** By reason. */
  readonly dropped: Readonly<DatagramCounters["dropped"]>;
};

/** Thrown where a datagram does not fit one packet, or the peer takes none so large. */
export class DatagramTooLargeError extends QuicError {
  /** Bytes of the largest one that fits now. It changes with the path and its MTU. */
  readonly maxDatagramSize: number;
  constructor(size: number, maxDatagramSize: number) {
    super(
      "ERR_QUIC_DATAGRAM_TOO_LARGE",
      `A datagram of ${size} bytes does not fit: ${maxDatagramSize} do now. ` +
        "Datagrams are not fragmented: split it, or use a stream.",
    );
    this.maxDatagramSize = maxDatagramSize;
  }
}

/** Thrown where the peer takes no datagrams. */
export class DatagramsUnsupportedError extends QuicError {
  constructor(known: boolean) {
    super(
      "ERR_QUIC_DATAGRAMS_UNSUPPORTED",
      known
        ? "The peer takes no datagrams: it has to set enableDatagrams. Use a stream."
        : "Whether the peer takes datagrams is not known yet: wait for `handshakeComplete`.",
    );
  }
}

/** The part of ConnectionConfig that datagrams have. @internal */
export function datagramSettings(config: {
  enableDatagrams?: boolean | undefined;
  maxDatagramFrameSize?: number | undefined;
  datagramQueues?: DatagramQueues | undefined;
}): Pick<ConnectionConfig, "maxDatagramFrameSize" | "datagramSendQueue" | "datagramReceiveQueue"> {
  const most = limits.DATAGRAM_FRAME_SIZE;
  const size = config.maxDatagramFrameSize ?? most;
  if (!Number.isInteger(size) || size < 1 || size > most) {
    throw new InvalidOptionError("maxDatagramFrameSize", `an integer from 1 to ${most}, not ${String(size)}`);
  }
  return {
    maxDatagramFrameSize: config.enableDatagrams === true ? size : 0,
    datagramSendQueue: bounds("send", config.datagramQueues?.send, limits.DATAGRAM_SEND_QUEUE),
    datagramReceiveQueue: bounds("receive", config.datagramQueues?.receive, limits.DATAGRAM_RECEIVE_QUEUE),
  };
}

function bounds<T extends Required<DatagramQueueBounds>>(
  name: string,
  given: DatagramQueueBounds | undefined,
  defaults: T,
): Required<DatagramQueueBounds> {
  const filled = { ...defaults, ...given };
  for (const key of ["count", "bytes"] as const) {
    if (typeof filled[key] !== "number" || !(filled[key] >= 1)) {
      throw new InvalidOptionError(`datagramQueues.${name}.${key}`, "a number from 1 on");
    }
  }
  if (filled.drop !== "newest" && filled.drop !== "oldest") {
    throw new InvalidOptionError(`datagramQueues.${name}.drop`, '"newest" or "oldest"');
  }
  return filled;
}

/** What waits each way on one connection: `connection.datagramQueue`. */
export class DatagramQueue {
  readonly #core: CoreConnection;
  readonly #owner: { flushSoon(): void };
  readonly #arrivals = new Waiter("datagrams");
  readonly #room = new Waiter("room for datagrams");
  #watched: Map<number, (outcome: DatagramOutcome) => void> | null = null;
  #failure: QuicError | null = null;

  /** @internal */
  constructor(core: CoreConnection, owner: { flushSoon(): void }) {
    this.#core = core;
    this.#owner = owner;
  }

  /** As `connection.maxDatagramSize`. */
  get maxDatagramSize(): number {
    return Math.max(0, this.#core.datagrams.maxSize);
  }

  /** Whether the peer takes datagrams. */
  get supported(): boolean {
    return this.#core.datagrams.supported;
  }

  /** Datagrams that wait to be sent. */
  get sendLength(): number {
    return this.#core.datagrams.sendCount;
  }

  /** Their bytes. */
  get sendBytes(): number {
    return this.#core.datagrams.sendBytes;
  }

  /** Whether the next datagram to be sent would be refused, or drop another. */
  get sendFull(): boolean {
    return this.#core.datagrams.isFull(0);
  }

  /** Datagrams that wait to be received. */
  get receiveLength(): number {
    return this.#core.datagrams.receivedCount;
  }

  /** Their bytes. */
  get receiveBytes(): number {
    return this.#core.datagrams.receivedBytes;
  }

  /** Whether the next datagram to come would be dropped, or drop another. */
  get receiveFull(): boolean {
    return this.#core.datagrams.receiveFull;
  }

  /** Bytes of the next datagram to be received, null where none waits. */
  get frontLength(): number | null {
    return this.peek()?.length ?? null;
  }

  /** What was sent, received, acknowledged (delivered to the peer's transport), lost and dropped. */
  stats(): DatagramStatistics {
    const { counters } = this.#core.datagrams;
    return { ...counters, dropped: { ...counters.dropped } };
  }

  /** @internal `connection.sendDatagram` */
  send(data: Uint8Array | string, options: DatagramOptions | undefined): "queued" | "queue_full" {
    const bytes = typeof data === "string" ? Buffer.from(data, options?.encoding ?? "utf8") : data;
    if (!(bytes instanceof Uint8Array)) throw new InvalidOptionError("data", "a Uint8Array or a string");
    const { datagrams } = this.#core;
    if (!datagrams.supported) throw new DatagramsUnsupportedError(this.#core.peerParameters !== null);
    if (bytes.length > datagrams.maxSize) {
      throw new DatagramTooLargeError(bytes.length, Math.max(0, datagrams.maxSize));
    }
    const now = monotonicNow();
    const id = datagrams.send(bytes, options === undefined ? DEFAULTS : checked(options, now), now);
    if (id < 0) return "queue_full";
    if (options?.onSettled !== undefined) (this.#watched ??= new Map()).set(id, options.onSettled);
    this.#owner.flushSoon();
    return "queued";
  }

  /** Resolves when the send queue has room for at least one more. Rejects when the connection ends. */
  async ready(options?: WaitOptions): Promise<void> {
    for (;;) {
      options?.signal?.throwIfAborted();
      if (this.#failure !== null) throw this.#failure;
      if (!this.sendFull) return;
      this.#core.datagrams.tellWhenWritable();
      await this.#room.wait(options?.signal);
    }
  }

  /** The next received datagram now, null where none waits. */
  tryReceive(): Uint8Array | null {
    return this.#core.datagrams.receive();
  }

  /** The same without taking it: its `length` is the front length. */
  peek(): Uint8Array | null {
    return this.#core.datagrams.peek();
  }

  /** @internal `connection.receiveDatagram` */
  async receive(signal?: AbortSignal): Promise<Uint8Array> {
    for (;;) {
      signal?.throwIfAborted();
      const data = this.tryReceive();
      if (data !== null) return data;
      if (this.#failure !== null) throw this.#failure;
      await this.#arrivals.wait(signal);
    }
  }

  /** @internal All, to the connection's end: without an error where that has code 0. */
  async *each(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) yield await this.receive();
    } catch (error) {
      if (!(error instanceof ApplicationError && error.errorCode === 0)) throw error;
    }
  }

  /**
   * Server: whether a received datagram came in 0-RTT, so that it may be a copy of an old one: what an application does
   * for it must do no harm when done twice.
   */
  isEarly(datagram: Uint8Array): boolean {
    return this.#core.datagrams.isEarly(datagram);
  }

  /**
   * Takes datagrams back that were not sent yet.
   * @param unwanted says which
   * @returns how many
   */
  purge(unwanted: (data: Uint8Array) => boolean): number {
    const count = this.#core.datagrams.purge(unwanted);
    this.#owner.flushSoon();
    return count;
  }

  /** @internal */
  handle(event: ConnectionEvent): void {
    if (event.type === "datagrams_readable") this.#arrivals.wake();
    else if (event.type === "datagrams_writable") this.#room.wake();
    else if (event.type === "datagram_settled") {
      const tell = this.#watched?.get(event.id);
      this.#watched?.delete(event.id);
      tellSafely(tell, event.outcome);
    }
  }

  /** @internal */
  end(error: QuicError): void {
    this.#failure = error;
    this.#arrivals.wake();
    this.#room.wake();
    for (const tell of this.#watched?.values() ?? []) tellSafely(tell, "connection_closed");
    this.#watched = null;
  }
}

const DEFAULTS = Object.freeze({});

function checked(options: DatagramOptions, now: number) {
  const { urgency, maxAge, onSettled } = options;
  if (urgency !== undefined && !(Number.isInteger(urgency) && urgency >= 0 && urgency <= 7)) {
    throw new InvalidOptionError("urgency", `an integer from 0 to 7, not ${String(urgency)}`);
  }
  if (maxAge !== undefined && !(maxAge >= 0)) {
    throw new InvalidOptionError("maxAge", `a number of ms, not ${String(maxAge)}`);
  }
  return {
    ...(urgency === undefined ? {} : { urgency }),
    ...(maxAge === undefined ? {} : { expiresAt: now + maxAge }),
    watched: onSettled !== undefined,
  };
}

/** What a listener throws is its own affair: it becomes an uncaught exception, and the connection goes on. */
function tellSafely(tell: ((outcome: DatagramOutcome) => void) | undefined, outcome: DatagramOutcome): void {
  if (tell === undefined) return;
  try {
    tell(outcome);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
