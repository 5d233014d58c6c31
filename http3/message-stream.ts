// What both ends of a request stream have: sections and content both ways, and how they end.

import type { Duplex } from "node:stream";
import { type Stream, StreamError } from "../src/index.ts";
import type { Http3Connection } from "./connection.ts";
import { RequestDatagrams } from "./datagrams.ts";
import { duplexOf } from "./duplex.ts";
import { H3_ERROR, Http3ConnectionError, Http3StreamError } from "./errors.ts";
import type { Role } from "./frames.ts";
import { MessageReader, type ReaderOwner } from "./message-reader.ts";
import { MessageWriter, type WriterOwner } from "./message-writer.ts";
import type { Field } from "./qpack/field.ts";
import type { QpackStreams } from "./qpack-streams.ts";
import { remoteError } from "./stream-errors.ts";
import type { StreamHost } from "./stream-host.ts";
import type { Trace } from "./trace.ts";
import { reservedFrame } from "./uni-streams.ts";

/** What both ends of a request stream have. */
export abstract class MessageStream implements ReaderOwner, WriterOwner {
  readonly stream: Stream;
  /** @internal */
  readonly host: StreamHost;
  /** @internal Its place among the connection's streams. */
  slot = -1;
  protected readonly reader: MessageReader;
  protected readonly writer: MessageWriter;
  #aborter: AbortController | null = null;
  #resetCounted = false;
  #readAt: number | null = null;
  #wroteAt: number | null = null;
  #whenOver: (() => void)[] | null = null;
  #whenGone: ((error: unknown) => void)[] | null = null;
  #gone: { readonly error: unknown } | null = null;
  #datagrams: RequestDatagrams | null = null;
  /** Whether the application knows what datagrams of this request are for. */
  #knowsDatagrams = false;

  /** @internal */
  constructor(stream: Stream, host: StreamHost) {
    this.stream = stream;
    this.host = host;
    this.reader = new MessageReader(stream.receiving, "request", this);
    this.writer = new MessageWriter(stream.sending, this);
  }

  /** The QUIC stream's ID. */
  get id(): number {
    return this.stream.id;
  }

  get connection(): Http3Connection {
    return this.host.connection;
  }

  /**
   * The next part of the content that comes, not empty; null at its end. Nothing is read ahead of what is asked for but
   * a few chunks: the peer waits.
   *
   * @throws {Http3StreamError} where the peer gave up (`remote`), or sent what is malformed
   * @throws {Http3ConnectionError} where the connection ended
   */
  read(): Promise<Uint8Array | null> {
    return this.reader.read();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) yield chunk;
    } finally {
      this.stopReading();
    }
  }

  /** The trailer fields that came, once `read` gave null (empty where there were none); null before. */
  get trailers(): readonly Field[] | null {
    return this.reader.trailers;
  }

  /** Whether the message that comes was read to its end. */
  get readEnded(): boolean {
    return this.reader.ended;
  }

  /** Whether the message that goes out has begun: its (final) head was sent. */
  get headSent(): boolean {
    return this.writer.begun;
  }

  /** Whether nothing more can be sent: ended or given up. */
  get writeEnded(): boolean {
    return this.writer.over;
  }

  /**
   * Sends a part of the content. Resolves when the stream's buffer has taken it, which is when to go on.
   *
   * @throws {Http3StreamError} where the peer reads no more (`remote`) or the stream was cancelled
   * @throws {Http3StateError} before the head, after the end, where Content-Length said less
   */
  write(bytes: Uint8Array): Promise<void> {
    return this.writer.data(bytes);
  }

  /** Ends the message that goes out, after trailers where some are given. */
  end(trailers: readonly Field[] = []): Promise<void> {
    return this.writer.end(trailers);
  }

  /**
   * The content both ways as a Node stream: for tunnels, of which it is all there is. Destroying it before its end cancels
   * the stream.
   */
  toNodeStream(): Duplex {
    return duplexOf(this);
  }

  /**
   * The HTTP datagrams of this request (rfc9297). Asking for them says that the request's protocol knows them: where
   * nobody has by the time the response's head goes, the ones that come end the request, as they do at once with any
   * method but extended CONNECT.
   */
  get datagrams(): RequestDatagrams {
    this.#knowsDatagrams = true;
    return (this.#datagrams ??= new RequestDatagrams(this, this.host.datagrams));
  }

  /** @internal A datagram came. */
  onDatagram(payload: Uint8Array): void {
    // rfc9297#2.1 If a datagram is received after the corresponding stream's receive side is closed, the received datagrams
    // MUST be silently dropped.
    if (this.reader.over) return;
    if (!this.#knowsDatagrams && !this.mayKnowDatagrams) {
      // rfc9297#2 If an HTTP Datagram is received and it is associated with a request that has no known semantics for HTTP
      // Datagrams, the receiver MUST terminate the request; the request stream MUST be aborted with H3_DATAGRAM_ERROR.
      this.give(new Http3StreamError("H3_DATAGRAM_ERROR", "a datagram for a request that knows none"));
      return;
    }
    (this.#datagrams ??= new RequestDatagrams(this, this.host.datagrams)).deliver(payload);
  }

  /**
   * One reserved frame for each connection, so that peers learn to skip them: rfc9114#7.2.8. Tunnels have only DATA.
   *
   * rfc9114#4.1 allows it anywhere among the frames of a message. It goes before the head, where it belongs to no content: nginx takes
   * what follows a reserved frame within the content for a part of that frame now and then, see test/interop/quirks.md.
   */
  protected grease(): void {
    if (!this.host.grease || this.isTunnel) return;
    this.host.grease = false;
    const frame = reservedFrame();
    this.trace?.sent(this.id, frame);
    this.writer.raw(frame).catch(() => {});
  }

  /** @internal Whether the application can still ask for datagrams that came. */
  protected abstract readonly mayKnowDatagrams: boolean;

  /** Resolves when the peer has acknowledged all that was sent. */
  async drained(): Promise<void> {
    try {
      await this.stream.drained();
    } catch (error) {
      throw this.onWriteError(error);
    }
  }

  /** Reads no more of what comes, where that has not ended. Default H3_NO_ERROR: not needed. */
  stopReading(code: number = H3_ERROR.H3_NO_ERROR): void {
    if (this.reader.over) return;
    this.reader.cancel(code, new Http3StreamError(code, "reading was given up"));
  }

  /**
   * Takes the end of what comes where it is there already, and else reads no more of it: for a message whose rest does
   * not matter.
   */
  finishReading(code: number = H3_ERROR.H3_NO_ERROR): void {
    if (!this.reader.finish()) this.stopReading(code);
  }

  /**
   * @internal Whether the peer has made no progress since the last call though this side waits for it: to read more
   * (not in tunnels, where silence is normal), or to write more.
   */
  stalled(): boolean {
    const reading = this.isTunnel ? null : this.reader.waitsAt;
    const writing = this.writer.waitsAt;
    const still =
      (reading !== null && reading === this.#readAt) || (writing !== null && writing === this.#wroteAt);
    this.#readAt = reading;
    this.#wroteAt = writing;
    return still;
  }

  /** @internal */
  abstract readonly isTunnel: boolean;

  /** Ends what goes out before it is whole: the peer may answer all the same. Default H3_REQUEST_CANCELLED. */
  stopWriting(code: number = H3_ERROR.H3_REQUEST_CANCELLED): void {
    if (!this.writer.over) this.writer.reset(code, new Http3StreamError(code, "writing was given up"));
  }

  /** Gives both directions up. */
  cancel(code: number = H3_ERROR.H3_REQUEST_CANCELLED, reason = "it was cancelled"): void {
    this.give(new Http3StreamError(code, reason));
  }

  /** @internal Ends what is not over yet for `error`, which those who wait get. */
  give(error: Http3StreamError, code: number = error.errorCode): void {
    this.reader.cancel(code, error);
    if (!this.writer.ended) this.writer.reset(code, error);
  }

  /**
   * Aborted when the peer gives the stream up (`reason` is the error), or the connection ends before the message that
   * goes out is whole. Made when asked for.
   */
  get signal(): AbortSignal {
    if (this.#aborter === null) {
      const aborter = (this.#aborter = new AbortController());
      this.whenGone((error) => aborter.abort(error));
    }
    return this.#aborter.signal;
  }

  /** @internal Calls back once when `signal` would be aborted, without one. */
  whenGone(callback: (error: unknown) => void): void {
    if (this.#gone !== null) {
      callback(this.#gone.error);
      return;
    }
    if (this.#whenGone !== null) {
      this.#whenGone.push(callback);
      return;
    }
    this.#whenGone = [callback];
    this.stream.sending.onStopped = (reason) => {
      const told = this.writer.error ?? this.onWriteError(reason);
      this.#gone = { error: told };
      this.peerStopped(told);
      for (const call of this.#whenGone!) call(told);
    };
  }

  // What its reader and writer ask for.

  get role(): Role {
    return this.host.role;
  }

  get qpack(): QpackStreams {
    return this.host.qpack;
  }

  get maxFieldSectionSize(): number {
    return this.host.maxFieldSectionSize;
  }

  get trace(): Trace | null {
    return this.host.trace;
  }

  get takeover(): ReadonlySet<number> | null {
    return this.host.takeover;
  }

  get peerMaxFieldSectionSize(): number {
    return this.host.peerSettings.maxFieldSectionSize;
  }

  onReadError(error: unknown): unknown {
    if (error instanceof Http3ConnectionError) {
      this.host.fail(error);
      return error;
    }
    if (error instanceof Http3StreamError) {
      // rfc9114#4.1.2 Malformed requests or responses that are detected MUST be treated as a stream error of type
      // H3_MESSAGE_ERROR.
      if (!this.writer.ended) this.writer.reset(error.errorCode, error);
      return error;
    }
    if (error instanceof StreamError && error.remote) {
      const told = remoteError(error, "reset");
      this.#countReset();
      this.peerReset(told);
      return told;
    }
    return this.host.translate(error);
  }

  onWriteError(error: unknown): unknown {
    if (!(error instanceof StreamError)) return this.host.translate(error);
    if (!error.remote) return this.writer.error ?? error;
    this.#countReset();
    return remoteError(error, "stopped reading");
  }

  #countReset(): void {
    if (this.#resetCounted) return;
    this.#resetCounted = true;
    this.host.onPeerReset(this);
  }

  onReadEnd(): void {
    this.#datagrams?.end();
    this.#settle();
  }

  onWriteEnd(): void {
    // Nobody will be told any more: what they hold need not live as long as the stream.
    if (this.writer.ended) this.#whenGone = null;
    this.#settle();
  }

  onPushPromise(pushId: number, fields: readonly Field[]): void {
    this.host.onPushPromise(this, pushId, fields);
  }

  onTakeover(type: number, rest: Uint8Array): void {
    this.host.onTakeover(this, type, rest);
  }

  /** The peer reset what it was sending. */
  protected abstract peerReset(error: Http3StreamError): void;

  /** The peer reads no more, or the connection is over; where somebody listens for it. */
  protected peerStopped(_error: unknown): void {}

  #settle(): void {
    if (!this.reader.over || !this.writer.over) return;
    this.host.onStreamOver(this);
    this.forgotten();
  }

  /** @internal Calls back when both sides are over, or the connection is. */
  whenOver(callback: () => void): void {
    if (this.reader.over && this.writer.over) callback();
    else (this.#whenOver ??= []).push(callback);
  }

  /** @internal The connection has nothing to do with it any more. */
  forgotten(): void {
    this.#datagrams?.end();
    const callbacks = this.#whenOver;
    this.#whenOver = null;
    if (callbacks !== null) for (const callback of callbacks) callback();
  }
}
