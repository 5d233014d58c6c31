// One QUIC connection as the application sees it.

import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import type { ConnectionEvent } from "../internal/connection/events.ts";
import type { BlockedBy } from "../internal/stream/send.ts";
import type { Stream as CoreStream } from "../internal/stream/stream.ts";
import type { CryptoProvider } from "../internal/crypto/provider.ts";
import type { PendingRequest } from "../internal/tls/types.ts";
import { CONNECTION_REFUSED } from "../internal/protocol/constants.ts";
import {
  ApplicationError,
  InvalidOptionError,
  QuicError,
  TransportError,
} from "../internal/protocol/errors.ts";
import { answerTo } from "./answers.ts";
import { ConnectionControls } from "./connection-controls.ts";
import {
  type CloseInfo,
  type ConnectionOwner,
  type ConnectionState,
  stateOf,
  StreamLimitReachedError,
} from "./connection-state.ts";
import { DatagramQueue, type DatagramOptions } from "./datagrams.ts";
import { monotonicNow } from "./driver.ts";
import { ConnectionStreams } from "./connection-streams.ts";
import { Error0RTTRejected, type ReplayFilter } from "./early-data.ts";
import { Openers } from "./openers.ts";
import { type Path, type PathEvent, type PathInfo, Paths } from "./path.ts";
import { errorCode, ReceiveStream } from "./receive-stream.ts";
import { SendStream, wakeAll } from "./send-stream.ts";
import { type Sides, sidesOf, wakeStreams } from "./sides.ts";
import type { SessionKeeper } from "./sessions.ts";
import type { TokenKeeper } from "./token-store.ts";
import type { Transport } from "./transport.ts";
import { Stream } from "./stream.ts";
import type { Authorization, TlsOptions } from "./tls-options.ts";
import { WaitQueue, type WaitOptions } from "./waiter.ts";

/** A QUIC connection (rfc9000#5). Made by `dial` and `accept`. */
export class Connection extends ConnectionControls implements AsyncDisposable {
  /** @internal */
  bagIndex = -1;
  readonly #core: CoreConnection;
  readonly #owner: ConnectionOwner;
  /** At a server `onClientHello` may replace some of them. */
  #tls: TlsOptions;
  readonly #provider: CryptoProvider;
  readonly #authorization: Authorization;
  readonly #sessions: SessionKeeper | null;
  readonly #tokens: TokenKeeper | null;
  readonly #incoming = new WaitQueue<Stream>(({ id }) => this.#taken(id));
  readonly #incomingUni = new WaitQueue<ReceiveStream>(({ id }) => this.#taken(id));
  /** Who waits for the peer to allow another stream. */
  #openers: Openers<Sides> | null = null;
  /** Of the streams there are; those of 0-RTT that was refused have one that tells them. */
  #streamOwner: ConnectionStreams;
  /** 0-RTT was refused, and `nextConnection` was not called since. */
  #rejected: Error0RTTRejected | null = null;
  // Both made when they are first needed: most connections never do, and a server may have very many.
  #datagrams: DatagramQueue | null = null;
  #paths: Paths | null = null;
  /** Called when data goes another way (the peer moved, or `switch`), and when a probe was answered or not. */
  onPathEvent: ((event: PathEvent) => void) | null = null;
  #failure: QuicError | null = null;
  #context: AbortController | null = null;
  #resolveHandshake: () => void = () => {};
  #rejectHandshake: (error: Error) => void = () => {};
  #resolveClosed: (info: CloseInfo) => void = () => {};

  /** What `connContext` of the transport made for this client; yours to change. Undefined at clients and without. */
  userContext: unknown = undefined;

  /** @internal Server: asked about 0-RTT. */
  replayFilter: ReplayFilter | null = null;

  /** Resolves when the handshake is complete; rejects with the error that ended the connection before. */
  readonly handshakeComplete: Promise<void>;
  /** Resolves when the connection has ended. Never rejects. */
  readonly closed: Promise<CloseInfo>;

  /** @internal */
  constructor(
    core: CoreConnection,
    owner: ConnectionOwner,
    tls: TlsOptions,
    provider: CryptoProvider,
    authorization: Authorization,
    sessions: SessionKeeper | null,
    tokens: TokenKeeper | null,
  ) {
    super(core, owner);
    this.#sessions = sessions;
    this.#tokens = tokens;
    this.#core = core;
    this.#owner = owner;
    this.#tls = tls;
    this.#provider = provider;
    this.#authorization = authorization;
    this.handshakeComplete = new Promise((resolve, reject) => {
      this.#resolveHandshake = resolve;
      this.#rejectHandshake = reject;
    });
    // Nobody has to look at it.
    this.handshakeComplete.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#streamOwner = new ConnectionStreams(owner, core);
  }

  /** The queues of datagrams: what waits, what was dropped, and more than `sendDatagram` and `receiveDatagram`. */
  get datagramQueue(): DatagramQueue {
    if (this.#datagrams === null) {
      this.#datagrams = new DatagramQueue(this.#core, this.#owner);
      if (this.#failure !== null) this.#datagrams.end(this.#failure);
    }
    return this.#datagrams;
  }

  get #pathList(): Paths {
    return (this.#paths ??= new Paths(
      this.#core,
      () => this.#owner.flushSoon(),
      () => this.#failure,
    ));
  }

  /** Opens a bidirectional stream; waits where the peer's limit is reached (rfc9000#4.6). */
  async openStream(options?: WaitOptions): Promise<Stream> {
    const { receiving, sending } = await this.#open(true, options?.signal);
    return new Stream(receiving!, sending!);
  }

  /** Opens a bidirectional stream now. @throws {StreamLimitReachedError} */
  tryOpenStream(): Stream {
    this.#throwIfClosed();
    const stream = this.#core.openStream(true);
    if (stream === null) throw new StreamLimitReachedError(true);
    return this.#wrap(stream);
  }

  /** Opens a unidirectional stream; waits where the peer's limit is reached. */
  async openUniStream(options?: WaitOptions): Promise<SendStream> {
    return (await this.#open(false, options?.signal)).sending!;
  }

  /** Opens a unidirectional stream now. @throws {StreamLimitReachedError} */
  tryOpenUniStream(): SendStream {
    this.#throwIfClosed();
    const stream = this.#core.openStream(false);
    if (stream === null) throw new StreamLimitReachedError(false);
    return this.#sides(stream).sending!;
  }

  async #open(bidi: boolean, signal?: AbortSignal): Promise<Sides> {
    signal?.throwIfAborted();
    this.#throwIfClosed();
    const before = this.#openers?.waits(bidi) === true;
    const opened = before ? null : this.#openNow(bidi);
    if (opened !== null) return opened;
    this.#owner.flushSoon();
    return (this.#openers ??= new Openers((direction) => this.#openNow(direction))).wait(bidi, signal);
  }

  #openNow(bidi: boolean): Sides | null {
    const stream = this.#core.openStream(bidi);
    return stream === null ? null : this.#sides(stream);
  }

  /** The next bidirectional stream that the peer opens. Rejects with the connection's error when it has ended. */
  acceptStream(options?: WaitOptions): Promise<Stream> {
    return this.#take(this.#incoming, options?.signal);
  }

  /** The next unidirectional stream that the peer opens. */
  acceptUniStream(options?: WaitOptions): Promise<ReceiveStream> {
    return this.#take(this.#incomingUni, options?.signal);
  }

  #take<T>(queue: WaitQueue<T>, signal?: AbortSignal): Promise<T> {
    return this.#rejected === null ? queue.take(signal) : Promise.reject(this.#rejected);
  }

  /** The peer may open another in its place once it is over: streams that nobody accepts use up its limit. */
  #taken(id: number): void {
    const stream = this.#core.streams.get(id);
    if (stream === undefined) return;
    this.#core.streams.taken(stream);
    this.#owner.flushSoon();
  }

  /** The peer's bidirectional streams, until the connection ends (without an error where it ended with code 0). */
  incomingStreams(): AsyncGenerator<Stream, void, undefined> {
    return this.#each(this.#incoming);
  }

  /** The peer's unidirectional streams. */
  incomingUniStreams(): AsyncGenerator<ReceiveStream, void, undefined> {
    return this.#each(this.#incomingUni);
  }

  async *#each<T>(queue: WaitQueue<T>): AsyncGenerator<T, void, undefined> {
    for (;;) {
      let next: T;
      try {
        next = await this.#take(queue);
      } catch (error) {
        if (error instanceof ApplicationError && error.errorCode === 0) return;
        throw error;
      }
      yield next;
    }
  }

  /**
   * Waits until the handshake is complete and gives the connection to go on with: this one. Where the server refused 0-RTT
   * (calls reject with Error0RTTRejected) it is usable again from here, with streams that begin anew; where not, nothing
   * changes. As quic-go's NextConnection.
   * @throws the error that ended the connection before; the signal's reason.
   *
   * @example
   * const tls = { ALPNProtocols: ["echo"], ca };
   * let conn = await dialAddrEarly("localhost:4433", tls);
   * const request = async () => {
   *   const stream = await conn.openStream();
   *   await stream.write(new TextEncoder().encode("hello"));
   *   stream.close();
   *   return stream.read(new Uint8Array(5));
   * };
   * try {
   *   await request();
   * } catch (error) {
   *   if (!(error instanceof Error0RTTRejected)) throw error;
   *   conn = await conn.nextConnection();
   *   await request();
   * }
   */
  async nextConnection(options?: WaitOptions): Promise<Connection> {
    const signal = options?.signal;
    signal?.throwIfAborted();
    if (signal === undefined) await this.handshakeComplete;
    else {
      let onAbort = (): void => {};
      const aborted = new Promise<never>((_, reject) => {
        onAbort = () => reject(signal.reason as Error);
        signal.addEventListener("abort", onAbort, { once: true });
      });
      await Promise.race([this.handshakeComplete, aborted]).finally(() =>
        signal.removeEventListener("abort", onAbort),
      );
    }
    this.#rejected = null;
    return this;
  }

  /**
   * Sends a datagram (rfc9221) as soon as congestion control lets it: unreliable, unordered, unfragmented. The bytes are
   * copied. Both sides have to set `enableDatagrams`.
   * @returns "queued", or "queue_full": it was not taken, because the application sends faster than the path carries.
   * `datagramQueue.ready()` waits until there is room.
   * @throws {DatagramTooLargeError} with the size that fits now
   * @throws {DatagramsUnsupportedError} where the peer takes none
   */
  sendDatagram(data: Uint8Array | string, options?: DatagramOptions): "queued" | "queue_full" {
    this.#throwIfClosed();
    return this.datagramQueue.send(data, options);
  }

  /** Bytes of the largest datagram that could be sent now; 0 where the peer takes none. The path's MTU moves it. */
  get maxDatagramSize(): number {
    return this.datagramQueue.maxDatagramSize;
  }

  /** The next datagram of the peer's; waits for one. Rejects with the connection's error when it has ended. */
  receiveDatagram(options?: WaitOptions): Promise<Uint8Array> {
    return this.datagramQueue.receive(options?.signal);
  }

  /** The peer's datagrams, until the connection ends (without an error where it ended with code 0). */
  datagrams(): AsyncGenerator<Uint8Array, void, undefined> {
    return this.datagramQueue.each();
  }

  /**
   * Ends the connection at once with an application error code (rfc9000#10.2); streams that are not finished are lost.
   * @param code 0 is a normal end.
   * @param reason text for the peer's logs, cut at 512 bytes.
   */
  closeWithError(code: number | bigint = 0, reason = ""): void {
    if (typeof reason !== "string") throw new InvalidOptionError("reason", "a string");
    // What this turn has queued leaves first, the end of the handshake above all: without it the server would never
    // have had a connection.
    this.#owner.flushNow();
    this.#core.closeWithError(errorCode(code), reason, monotonicNow());
    this.#owner.pump();
    // CONNECTION_CLOSE leaves now: the process may be about to exit.
    this.#owner.flushNow();
  }

  /** @internal Nobody will take a connection that a peer dialed: unlike code 0 this is no success for it. */
  refuse(reason: string): void {
    this.#core.closeWith(new TransportError(CONNECTION_REFUSED, reason), monotonicNow());
    this.#owner.pump();
    this.#owner.flushNow();
  }

  /**
   * Ends the connection when everything written on streams that were closed has been acknowledged.
   * @param options.signal stops waiting: the connection is closed all the same.
   * @param options.code the application's code for that, default 0; `reason` goes with it.
   */
  async close(options?: WaitOptions & { code?: number | bigint; reason?: string }): Promise<void> {
    try {
      await this.#drained(options?.signal);
    } finally {
      this.closeWithError(options?.code ?? 0, options?.reason ?? "");
    }
  }

  /** Every stream that was closed for writing has been acknowledged, or the connection is over. */
  async #drained(signal?: AbortSignal): Promise<void> {
    for (const stream of [...this.#core.streams.values()]) {
      const sending = sidesOf(stream)?.sending;
      if (sending?.closing !== true) continue;
      try {
        await sending.drained({ signal });
      } catch (error) {
        // A stream that was given up has nothing to wait for; an aborted wait ends all of it.
        if (signal?.aborted === true) throw error;
      }
    }
  }

  /** Aborted when the connection ends, with its error as the reason. Made when asked for. */
  get context(): AbortSignal {
    if (this.#context === null) {
      this.#context = new AbortController();
      if (this.#failure !== null) this.#context.abort(this.#failure);
    }
    return this.#context.signal;
  }

  /** What was negotiated. */
  connectionState(): ConnectionState {
    return stateOf(this.#core, this.#authorization, this.#owner.describeSocket());
  }

  /**
   * Client: remembers `data` with this connection's sessions, for `connectionState().sessionData` of those that resume
   * them. For what an application must know to use 0-RTT: the settings of HTTP/3, say.
   */
  setSessionData(data: Uint8Array): void {
    if (!(data instanceof Uint8Array) || data.length > 4096) {
      throw new InvalidOptionError("data", "a Uint8Array of at most 4,096 bytes");
    }
    this.#sessions?.setData(data);
  }

  /**
   * Client: another way to the server, over the socket of another transport. `probe()` it, then `switch()` to it. That
   * transport's socket has to stay open; closing the path or the connection leaves it as it is. Waits for the handshake's
   * confirmation (rfc9000#9).
   * @throws {MigrationError} where the server does not want it; the connection's error.
   *
   * @example
   * const conn = await dialAddr("localhost:4433", { ALPNProtocols: ["echo"], ca });
   * const path = await conn.addPath(new Transport({ address: "127.0.0.1" })); // an address of another network, say
   * await path.probe();
   * path.switch();
   */
  async addPath(transport: Transport): Promise<Path> {
    this.#throwIfClosed();
    const local = await this.#owner.attach(transport);
    if (this.role === "client") await this.#pathList.confirmed();
    this.#throwIfClosed();
    return this.#pathList.add(local);
  }

  /** The paths that are known, the one in use among them. */
  paths(): PathInfo[] {
    return this.#pathList.list();
  }

  /** @internal */
  handle(event: ConnectionEvent): void {
    switch (event.type) {
      case "stream_readable":
        sidesOf(event.stream)?.receiving?.wake();
        break;
      case "stream_writable":
        sidesOf(event.stream)?.sending?.wake();
        wakeAll(this.#streamOwner.starved);
        break;
      case "stream_opened": {
        const sides = this.#sides(event.stream);
        if (sides.sending === null) this.#incomingUni.push(sides.receiving!);
        else this.#incoming.push(new Stream(sides.receiving!, sides.sending));
        break;
      }
      case "streams_available":
        this.#openers?.grant(event.bidi);
        break;
      case "handshake_complete":
        this.#resolveHandshake();
        this.#openers?.grant(true);
        this.#openers?.grant(false);
        break;
      case "early_data_rejected":
        this.#onEarlyDataRejected(event.streams);
        break;
      case "pending":
        void this.#answer(event.request);
        break;
      case "key_log":
        try {
          this.#tls.keylog?.(event.line);
        } catch {
          // A key log that fails must not harm the connection.
        }
        break;
      case "session_ticket":
        this.#sessions?.add(event.session);
        break;
      case "new_token":
        this.#tokens?.keep(event.token);
        break;
      case "closed":
        this.#end(event.error);
        break;
      case "warning":
        process.emitWarning(event.message, { code: event.code });
        break;
      case "datagrams_readable":
      case "datagrams_writable":
      case "datagram_settled":
        this.#datagrams?.handle(event);
        break;
      case "path_changed":
      case "path_validated":
      case "path_failed":
        if (this.#paths !== null || this.onPathEvent !== null) this.#pathList.handle(event, this.onPathEvent);
        break;
      case "handshake_confirmed":
        this.#paths?.onConfirmed();
        break;
      case "cid_retired":
        this.onConnectionIdRetired?.({
          ours: event.ours,
          connectionId: event.cid.slice(),
          sequence: event.sequence,
        });
        break;
      case "blocked":
        this.#onBlocked(event.by, event.stream);
        break;
    }
  }

  #onBlocked(by: BlockedBy, stream: CoreStream | null): void {
    this.onBlocked?.({ by, streamId: stream?.id ?? null });
    // The other limits hold back whatever waits.
    for (const each of stream === null ? this.#core.streams.values() : [stream])
      sidesOf(each)?.sending?.blocked(by);
  }

  /** rfc9001#4.6.2 the client MUST reset the state of all streams, including application state bound to those streams. */
  #onEarlyDataRejected(streams: readonly CoreStream[]): void {
    this.#rejected = new Error0RTTRejected();
    const before = this.#streamOwner;
    before.failure = this.#rejected;
    this.#streamOwner = new ConnectionStreams(this.#owner, this.#core);
    wakeStreams(streams);
    wakeAll(before.starved);
    this.#incoming.fail(this.#rejected);
    this.#incomingUni.fail(this.#rejected);
    this.#openers?.fail(this.#rejected);
  }

  /** The user's asynchronous hooks. Their failure is an answer, never an unhandled rejection. */
  async #answer(request: PendingRequest): Promise<void> {
    const answer = await answerTo(request, {
      tls: this.#tls,
      provider: this.#provider,
      authorization: this.#authorization,
      connection: this,
      // `onClientHello` may replace what follows.
      replaceTls: (tls) => void (this.#tls = tls),
    });
    this.#core.provide(request.id, answer, monotonicNow(), Date.now());
    this.#owner.pump();
    this.#owner.flushSoon();
  }

  #end(error: QuicError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#streamOwner.failure = error;
    this.#rejectHandshake(error);
    this.#incoming.end(error);
    this.#incomingUni.end(error);
    this.#openers?.fail(error);
    wakeStreams(this.#core.streams.values());
    this.#datagrams?.end(error);
    this.#paths?.end();
    this.#context?.abort(error);
    this.#resolveClosed({
      error,
      remote: error.remote,
      localError: this.#core.close.localError,
      peerError: this.#core.close.peerError,
    });
    this.#owner.forget(this);
  }

  #throwIfClosed(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#rejected !== null) throw this.#rejected;
  }

  #wrap(stream: CoreStream): Stream {
    const sides = this.#sides(stream);
    return new Stream(sides.receiving!, sides.sending!);
  }

  /** The application's objects of a core stream, made once. */
  #sides(stream: CoreStream): Sides {
    let sides = sidesOf(stream);
    if (sides === null) {
      sides = {
        receiving: stream.recv === null ? null : new ReceiveStream(stream, stream.recv, this.#streamOwner),
        sending: stream.send === null ? null : new SendStream(stream.id, stream.send, this.#streamOwner),
      };
      stream.userData = sides;
    }
    return sides;
  }

  /** Closes with code 0; what was not finished is lost. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#failure === null) this.closeWithError(0, "");
    await this.closed;
  }
}
