// HTTP datagrams in QUIC's, rfc9297#2: to and from the requests that they belong to.

import type { Connection, DatagramOptions } from "../src/index.ts";
import { decodeDatagram, encodeDatagram } from "./capsules.ts";
import { Http3ConnectionError, Http3StateError } from "./errors.ts";
import {
  EARLY_DATAGRAM_BYTES,
  EARLY_DATAGRAMS,
  REQUEST_DATAGRAM_BYTES,
  REQUEST_DATAGRAMS,
} from "./limits.ts";
import type { MessageStream } from "./message-stream.ts";
import type { Settings } from "./settings.ts";
import type { Trace } from "./trace.ts";
import { varintLength } from "./varint.ts";

/** What the router asks of its connection. */
export interface DatagramHost {
  /** We said SETTINGS_H3_DATAGRAM. */
  readonly enabled: boolean;
  readonly settings: Promise<Settings>;
  readonly trace: Trace | null;
  find(id: number): MessageStream | undefined;
  /** Whether a stream of that ID may yet come. */
  isToCome(id: number): boolean;
  fail(error: Http3ConnectionError): void;
}

/** The HTTP datagrams of a connection. @internal */
export class DatagramRouter {
  readonly quic: Connection;
  readonly #host: DatagramHost;
  #negotiated = false;
  /** Of streams that have not come, oldest first. */
  #early: { readonly id: number; readonly payload: Uint8Array }[] = [];
  #earlyBytes = 0;
  /** The stream of the last datagram: the next is often for it too. */
  #last: MessageStream | null = null;

  constructor(quic: Connection, host: DatagramHost) {
    this.quic = quic;
    this.#host = host;
    if (!host.enabled) return;
    host.settings.then(
      ({ h3Datagram }) => (this.#negotiated = h3Datagram),
      () => {},
    );
    void this.#receive();
  }

  get trace(): Trace | null {
    return this.#host.trace;
  }

  get negotiated(): boolean {
    return this.#negotiated;
  }

  /** Datagrams that wait for their streams. */
  get earlyCount(): number {
    return this.#early.length;
  }

  async #receive(): Promise<void> {
    try {
      for (;;) this.#take(this.quic.datagramQueue.tryReceive() ?? (await this.quic.receiveDatagram()));
    } catch (error) {
      // Else the connection is over.
      if (error instanceof Http3ConnectionError) this.#host.fail(error);
    }
  }

  #take(bytes: Uint8Array): void {
    const { streamId, payload } = decodeDatagram(bytes);
    this.#host.trace?.datagram("parsed", streamId, payload.length);
    const last = this.#last;
    const stream = last !== null && last.id === streamId ? last : this.#host.find(streamId);
    if (stream !== undefined) {
      this.#last = stream;
      stream.onDatagram(payload);
    } else if (this.#host.isToCome(streamId)) this.#keep(streamId, payload);
    // rfc9297#2.1: of a stream that is over, or that a client has not opened, it is dropped silently.
  }

  /**
   * rfc9297#2.1 If its Quarter Stream ID maps to a stream that has not yet been created, the receiver SHALL either drop that
   * datagram silently or buffer it temporarily.
   */
  #keep(id: number, payload: Uint8Array): void {
    if (payload.length > EARLY_DATAGRAM_BYTES) return;
    // A copy: a small payload must not hold a large buffer.
    this.#early.push({ id, payload: payload.slice() });
    this.#earlyBytes += payload.length;
    while (this.#early.length > EARLY_DATAGRAMS || this.#earlyBytes > EARLY_DATAGRAM_BYTES) {
      this.#earlyBytes -= this.#early.shift()!.payload.length;
    }
  }

  /** A stream has come: what came before it is its own. */
  opened(stream: MessageStream): void {
    if (this.#early.length === 0) return;
    const early = this.#early;
    // Streams are opened in the order of their IDs: what is for lower ones is for none.
    this.#early = early.filter(({ id }) => id > stream.id);
    this.#earlyBytes = this.#early.reduce((sum, { payload }) => sum + payload.length, 0);
    for (const { id, payload } of early) if (id === stream.id) stream.onDatagram(payload);
  }

  /** A stream is over. */
  closed(stream: MessageStream): void {
    if (this.#last === stream) this.#last = null;
  }
}

/** The HTTP datagrams of one request: unreliable, unordered. */
export class RequestDatagrams implements AsyncIterable<Uint8Array> {
  readonly #stream: MessageStream;
  readonly #router: DatagramRouter;
  #queue: Uint8Array[] = [];
  #bytes = 0;
  #dropped = 0;
  #ended = false;
  #waiting: (() => void)[] = [];

  /** @internal */
  constructor(stream: MessageStream, router: DatagramRouter) {
    this.#stream = stream;
    this.#router = router;
  }

  /**
   * Whether `send` can work: both sides have said SETTINGS_H3_DATAGRAM, and their QUIC takes datagrams. False before the
   * peer's SETTINGS have come: wait for `connection.settings`.
   */
  get available(): boolean {
    return this.#router.negotiated && this.#router.quic.datagramQueue.supported;
  }

  /** Bytes of the largest datagram that could be sent now. It changes with the path. */
  get maxSize(): number {
    return Math.max(0, this.#router.quic.maxDatagramSize - varintLength(this.#stream.id / 4));
  }

  /** Datagrams that wait for `receive`, and how many were dropped because nobody took them. */
  get length(): number {
    return this.#queue.length;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Sends one, as soon as congestion control lets it; it may be lost. The bytes are copied.
   *
   * @returns `queue_full` where it was dropped at once
   * @throws {Http3StateError} where the two sides have not agreed on datagrams, or the stream's sending side is closed
   * @throws {DatagramTooLargeError} see `maxSize`
   */
  send(payload: Uint8Array, options?: DatagramOptions): "queued" | "queue_full" {
    // rfc9297#2.1.1 QUIC DATAGRAM frames MUST NOT be sent until the SETTINGS_H3_DATAGRAM setting has been both sent and
    // received with a value of 1.
    if (!this.#router.negotiated) {
      throw new Http3StateError("both sides have to set `datagrams`; wait for `connection.settings`");
    }
    // rfc9297#2.1 HTTP/3 Datagrams MUST NOT be sent unless the corresponding stream's send side is open.
    if (this.#stream.writeEnded) throw new Http3StateError("the stream's sending side is closed");
    this.#router.trace?.datagram("created", this.#stream.id, payload.length);
    return this.#router.quic.sendDatagram(encodeDatagram(this.#stream.id, payload), options);
  }

  /** The next one that came; waits for it. Null when the peer's side of the stream is over and all were taken. */
  async receive(options?: { signal?: AbortSignal }): Promise<Uint8Array | null> {
    const { signal } = options ?? {};
    for (;;) {
      signal?.throwIfAborted();
      const next = this.tryReceive();
      if (next !== null || this.#ended) return next;
      let wake: () => void = () => {};
      await new Promise<void>((resolve) => {
        wake = resolve;
        this.#waiting.push(wake);
        signal?.addEventListener("abort", wake);
      });
      signal?.removeEventListener("abort", wake);
    }
  }

  /** The same without waiting: null where none is there. */
  tryReceive(): Uint8Array | null {
    const next = this.#queue.shift();
    if (next === undefined) return null;
    this.#bytes -= next.length;
    return next;
  }

  /** All that come, until the peer's side of the stream is over. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (let next = await this.receive(); next !== null; next = await this.receive()) yield next;
  }

  /** @internal Also for those that come in capsules. */
  deliver(payload: Uint8Array): void {
    if (this.#ended) return;
    this.#queue.push(payload.slice());
    this.#bytes += payload.length;
    while (this.#queue.length > REQUEST_DATAGRAMS || this.#bytes > REQUEST_DATAGRAM_BYTES) {
      this.#bytes -= this.#queue.shift()!.length;
      this.#dropped++;
    }
    this.#wake();
  }

  /** @internal No more will come. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#router.closed(this.#stream);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
