// HTTP/3 on one QUIC connection, rfc9114: its streams, settings, requests, and how it ends.

import { ApplicationError, type Connection, QuicError, type Stream, StreamError } from "../src/index.ts";
import { ControlStreamReader, type ControlEvent } from "./control-stream.ts";
import {
  H3_ERROR,
  Http3ConnectionError,
  Http3Error,
  Http3StateError,
  Http3StreamError,
  isNormalEnd,
} from "./errors.ts";
import { encodeOrigin, encodePriorityUpdate, FRAME, type Role } from "./frames.ts";
import { GoingAway } from "./going-away.ts";
import * as limits from "./limits.ts";
import { ControlSender } from "./control-sender.ts";
import { DatagramRouter } from "./datagrams.ts";
import type { RequestToSend } from "./message-build.ts";
import { type Http3Options, ownSettings, qpackOptions } from "./options.ts";
import { asciiOrigins, OriginSet } from "./origin-set.ts";
import { EarlyPriorities } from "./priorities.ts";
import { parsePriority, serializePriority, type Priority } from "./priority.ts";
import { QpackStreams } from "./qpack-streams.ts";
import { Queue } from "./queue.ts";
import { Allowance } from "./rate.ts";
import { PushReceiver } from "./push-client.ts";
import { Pusher } from "./push-server.ts";
import { RememberedSettings } from "./remembered.ts";
import type { MessageStream } from "./message-stream.ts";
import { ClientStream, ServerStream } from "./request-stream.ts";
import type { StreamHost } from "./stream-host.ts";
import { DEFAULT_SETTINGS, type Settings } from "./settings.ts";
import { StreamOpener } from "./stream-opener.ts";
import { StreamSet } from "./stream-set.ts";
import { Trace } from "./trace.ts";
import { checkBidirectional, PeerUniStreams, type UniStreamKind } from "./streams.ts";
import {
  openOwnStreams,
  openReservedStream,
  reservedFrame,
  UniStreamReader,
  type UniStreamOwner,
} from "./uni-streams.ts";

/**
 * HTTP/3 on one QUIC connection, either side. A client makes requests with {@link request}, a server takes them from
 * {@link acceptRequest} or {@link incomingRequests}. It owns the connection's streams: they are not to be used beside it.
 */
export class Http3Connection implements AsyncDisposable {
  /** The QUIC connection beneath. */
  readonly quic: Connection;
  readonly role: Role;
  readonly #options: Http3Options;
  readonly #qpack: QpackStreams;
  readonly #control: ControlStreamReader;
  readonly #host: StreamHost;
  /** Of a client, of a server. */
  readonly #pushed: PushReceiver | null;
  readonly #pusher: Pusher | null;
  readonly #requests = new Queue<ServerStream>();
  /** Streams that are not over. */
  readonly #streams = new StreamSet();
  readonly #out: ControlSender;
  #peerSettings: Settings | null = null;
  #resolveSettings: (settings: Settings) => void = () => {};
  #rejectSettings: (error: unknown) => void = () => {};
  readonly #goingAway: GoingAway;
  readonly #opener: StreamOpener;
  readonly #remembered: RememberedSettings;
  #nextStream = 0;
  readonly #ping = (): void => this.quic.ping();
  #failure: Error | null = null;
  readonly #resets = new Allowance(limits.RESET_BURST, limits.RESETS_PER_SECOND);
  readonly #controlFrames = new Allowance(limits.CONTROL_FRAME_BURST, limits.CONTROL_FRAMES_PER_SECOND);
  readonly #earlyPriorities = new EarlyPriorities();
  readonly #originSet: OriginSet;
  readonly #trace: Trace | null;
  readonly #datagrams: DatagramRouter;

  /** What the peer said of itself; resolves when its SETTINGS arrive, rejects where the connection ends before. */
  readonly settings: Promise<Settings>;
  /** Resolves when the connection has ended, with its error; a normal end has the code H3_NO_ERROR. Never rejects. */
  readonly closed: Promise<Error>;

  /**
   * @param quic - a connection whose ALPN is `h3`, and that nobody else uses; its handshake is complete, or it was dialed or
   * accepted early
   */
  constructor(quic: Connection, options: Http3Options = {}) {
    this.quic = quic;
    this.#opener = new StreamOpener(quic);
    this.#remembered = new RememberedSettings(quic);
    this.role = quic.role;
    this.#options = options;
    this.#originSet = new OriginSet(quic);
    this.#trace = quic.traced ? new Trace(quic) : null;
    this.#out = new ControlSender((error) => this.#streamFailed(error), this.#trace);
    if (this.role === "server" && options.origins !== undefined) {
      this.#out.say(encodeOrigin(asciiOrigins(options.origins)));
    }
    const maxFieldSectionSize = options.maxHeaderListSize ?? limits.FIELD_SECTION_SIZE;
    this.#qpack = new QpackStreams(...qpackOptions(options), (error) => this.#streamFailed(error));
    this.settings = new Promise((resolve, reject) => {
      this.#resolveSettings = resolve;
      this.#rejectSettings = reject;
    });
    // Nobody has to look at it.
    this.settings.catch(() => {});
    this.closed = quic.closed.then(({ error }) => this.#end(error));
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    const connection = this;
    const say = this.#out.say.bind(this.#out);
    this.#goingAway = new GoingAway({
      role: this.role,
      quic,
      streams: this.#streams,
      opener: this.#opener,
      closed: this.closed,
      get pusher() {
        return connection.#pusher;
      },
      get nextStream() {
        return connection.#nextStream;
      },
      say,
      close: () => this.close(),
    });
    this.#datagrams = new DatagramRouter(quic, {
      enabled: options.datagrams === true,
      trace: this.#trace,
      settings: this.settings,
      find: (id) => this.#streams.find(id),
      isToCome: (id) => this.role === "server" && id >= this.#nextStream && !this.#goingAway.refuses(id),
      fail: (error) => this.#fail(error),
    });
    this.#host = {
      connection,
      role: this.role,
      qpack: this.#qpack,
      maxFieldSectionSize,
      trace: this.#trace,
      takeover: options.bidiStreams === undefined ? null : new Set(options.bidiStreams.keys()),
      get peerSettings() {
        return connection.#peerSettings ?? connection.#remembered.settings ?? DEFAULT_SETTINGS;
      },
      fail: (error) => this.#fail(error),
      translate: (error) => this.#translate(error),
      onPeerReset: () => this.#onPeerReset(),
      onStreamOver: (stream) => this.#remove(stream),
      datagrams: this.#datagrams,
      grease: options.grease !== false,
      onPushPromise: (stream, pushId, fields) =>
        this.#pushed?.promised(stream as ClientStream, pushId, fields),
      onPushResolved: (pushId, decision) => this.#trace?.pushResolved(pushId, decision),
      push: (stream, request) => {
        if (this.goingAway) return Promise.resolve(null);
        return this.#pusher!.push(stream, request);
      },
      onTakeover: (stream, type, rest) => {
        this.#remove(stream);
        options.bidiStreams!.get(type)!(stream.stream, rest, this);
      },
    };
    const { settings } = this.#remembered;
    if (settings !== null) {
      this.#qpack.setPeerSettings(settings);
      this.#trace?.restored(settings);
    }
    const isClient = this.role === "client";
    this.#pushed = isClient ? new PushReceiver(this.#host, say, options.onPush, options.maxPushes) : null;
    this.#pusher = isClient ? null : new Pusher(this.#host, quic, say);
    this.#control = new ControlStreamReader(this.role, (this.#pushed ?? this.#pusher)!.ids);
    // rfc9114#7.2.4.2 Endpoints MUST NOT require any data to be received from the peer prior to sending the SETTINGS frame;
    // settings MUST be sent as soon as the transport is ready to send data.
    void this.#openStreams();
    void this.#readUniStreams();
    void this.#acceptStreams();
  }

  // ---- the connection's own streams

  async #openStreams(): Promise<void> {
    const { quic } = this;
    const grease = this.#options.grease !== false;
    const settings = ownSettings(this.#options, this.role);
    try {
      const own = await openOwnStreams(quic, settings, (kind) => {
        try {
          PeerUniStreams.closed(kind);
        } catch (error) {
          this.#fail(error as Http3ConnectionError);
        }
      });
      this.#out.open(own.control, settings);
      for (const kind of ["control", "encoder", "decoder"] as const) {
        this.#trace?.streamType("local", own[kind].stream.id, kind === "control" ? kind : `qpack-${kind}`);
      }
      if (grease) this.#out.say(reservedFrame());
      this.#out.flush();
      this.#qpack.open(own.encoder, own.decoder);
      if (grease) openReservedStream(quic);
    } catch (error) {
      this.#streamFailed(error);
    }
  }

  async #readUniStreams(): Promise<void> {
    const owner: UniStreamOwner = {
      role: this.role,
      onType: (id, kind, type) => this.#onStreamType(id, kind, type),
      onControl: (bytes) => this.#onControl(bytes),
      onEncoder: (bytes) => this.#qpack.receiveEncoderStream(bytes),
      onDecoder: (bytes) => this.#qpack.receiveDecoderStream(bytes),
      onPushStream: async (stream, rest) => void (await this.#pushed!.opened(stream, rest)),
      onOtherStream: (type, stream, rest) => {
        const take = this.#options.uniStreams?.get(type);
        take?.(stream, rest, this);
        return take !== undefined;
      },
    };
    const reader = new UniStreamReader(owner);
    try {
      for (;;) {
        const stream = await this.quic.acceptUniStream();
        reader.read(stream).catch((error: unknown) => this.#streamFailed(error));
      }
    } catch {
      // The connection is over: `closed` has its error.
    }
  }

  #onStreamType(id: number, kind: UniStreamKind, type: number): void {
    const trace = this.#trace;
    if (trace === null) return;
    trace.streamType("remote", id, kind, type);
    if (kind === "control") {
      this.#control.onFrame = (frame, payload) => trace.control("parsed", id, frame, payload);
    }
  }

  #onControl(bytes: Uint8Array): void {
    this.#control.push(bytes);
    for (let event = this.#control.next(); event !== null; event = this.#control.next()) {
      if (event.kind !== "settings" && !this.#controlFrames.take()) {
        throw new Http3ConnectionError("H3_EXCESSIVE_LOAD", "a flood of frames on the control stream");
      }
      this.#onControlEvent(event);
    }
  }

  #onControlEvent(event: ControlEvent): void {
    switch (event.kind) {
      case "settings":
        this.#remembered.arrived(event.settings);
        // rfc9114#7.2.4.2 Once a server has provided new settings, clients MUST comply with those values.
        this.#peerSettings = event.settings;
        this.#trace?.settings("remote", event.settings);
        this.#qpack.setPeerSettings(event.settings);
        this.#resolveSettings(event.settings);
        break;
      case "goaway":
        this.#goingAway.heard(event.id);
        break;
      case "max-push-id":
        this.#pusher!.ids.allowed(event.id);
        break;
      case "priority-update":
        this.#onPriorityUpdate(event.id, event.target, event.value);
        break;
      case "origin":
        this.#originSet.add(event.origins);
        break;
      case "cancel-push":
        (this.#pushed ?? this.#pusher)!.cancelled(event.id);
        break;
    }
  }

  #onPriorityUpdate(id: number, target: "request" | "push", value: string): void {
    const parameters = parsePriority(value);
    if (parameters === null) return;
    if (target === "push") {
      this.#pusher!.reprioritize(id, parameters);
      return;
    }
    const stream = this.#streams.find(id);
    if (stream !== undefined) (stream as ServerStream).reprioritize(parameters);
    // rfc9218#7.2: it may come before its request, and is kept for it; not for requests that are over.
    else if (id >= this.#nextStream) this.#earlyPriorities.keep(id, parameters);
  }

  // ---- requests

  async #acceptStreams(): Promise<void> {
    for (;;) {
      let stream: Stream;
      try {
        stream = await this.quic.acceptStream();
      } catch {
        // The connection is over.
        return;
      }
      try {
        checkBidirectional(this.role, this.#options.bidiStreams !== undefined);
      } catch (error) {
        this.#fail(error as Http3ConnectionError);
        return;
      }
      this.#nextStream = Math.max(this.#nextStream, stream.id + 4);
      if (this.#goingAway.refuses(stream.id) || this.#requests.length >= limits.WAITING_REQUESTS) {
        // rfc9114#5.2: requests with the identifier in our GOAWAY or greater are rejected.
        // rfc9114#4.1.1 the server SHOULD abort its response stream with the error code H3_REQUEST_REJECTED.
        stream.cancelRead(H3_ERROR.H3_REQUEST_REJECTED);
        stream.cancelWrite(H3_ERROR.H3_REQUEST_REJECTED);
        this.#qpack.cancel(stream.id);
        continue;
      }
      this.#receive(stream);
    }
  }

  #receive(quicStream: Stream): void {
    const stream = new ServerStream(quicStream, this.#host);
    this.#trace?.streamType("remote", stream.id, "request");
    this.#streams.add(stream);
    const priority = this.#earlyPriorities.take(stream.id);
    if (priority !== null) stream.reprioritize(priority);
    this.#datagrams.opened(stream);
    this.#streams.watch(
      this.#options.headersTimeout ?? limits.HEADERS_TIMEOUT,
      this.#options.stallTimeout ?? limits.STALL_TIMEOUT,
    );
    const received = stream.receive(this.#options.enableConnectProtocol === true);
    if (received instanceof Promise) void received.then((whole) => whole && this.#received(stream));
    else if (received) this.#received(stream);
  }

  #received(stream: ServerStream): void {
    if (this.role === "server") this.#requests.push(stream);
    else this.#fail(new Http3ConnectionError("H3_STREAM_CREATION_ERROR", "the server sent a request"));
  }

  /** @internal As `acceptRequest`: one that is there already, or undefined. */
  tryAcceptRequest(): ServerStream | undefined {
    return this.#requests.tryTake();
  }

  /**
   * Server: the next request, its head checked; requests that are malformed never get here. Rejects with the connection's
   * error when that has ended.
   */
  acceptRequest(options?: { signal?: AbortSignal }): Promise<ServerStream> {
    return this.#requests.take(options?.signal);
  }

  /** Server: the requests, until the connection ends; without an error where it did so normally. */
  async *incomingRequests(): AsyncGenerator<ServerStream, void, undefined> {
    for (;;) {
      let request: ServerStream;
      try {
        request = await this.#requests.take();
      } catch (error) {
        if (isNormalEnd(error)) return;
        throw error;
      }
      yield request;
    }
  }

  /** Client: whether `request` may be called: neither side is going away. It may still have to wait for a stream. */
  get acceptsRequests(): boolean {
    return this.#failure === null && !this.goingAway && this.role === "client";
  }

  /**
   * Client: the origins that the server says this connection is for (rfc9412); null where it has said nothing. Its
   * certificate has to be good for them all the same.
   */
  get origins(): ReadonlySet<string> | null {
    return this.#originSet.origins;
  }

  /** @internal A response said 421. */
  misdirected(scheme: string, authority: string): void {
    this.#originSet.misdirected(scheme, authority);
  }

  /**
   * Whether HTTP datagrams can go out in QUIC's: both sides said SETTINGS_H3_DATAGRAM. False before SETTINGS have come
   * (see `settings`): wait for them. rfc9297#2.1.1
   */
  get takesDatagrams(): boolean {
    return this.#datagrams.negotiated;
  }

  /** Server: whether the client takes another push now. */
  get canPush(): boolean {
    return this.#pusher?.ids.available === true && !this.goingAway;
  }

  /** Requests under way. */
  get activeRequests(): number {
    return this.#streams.size;
  }

  /**
   * Client: sends a request's head; waits where the peer allows no more requests at a time. Content goes out by `write`,
   * and `end` is due even where there is none.
   *
   * @param options.signal - ends the wait; with what was sent, cancel the stream
   * @throws {GoingAwayError} where the peer takes no more requests on this connection: nothing was sent
   * @throws {InvalidFieldError} where the request cannot be sent
   */
  async request(request: RequestToSend, options?: { signal?: AbortSignal }): Promise<ClientStream> {
    if (this.role !== "client") throw new Http3StateError("requests are made by clients");
    if (request.protocol !== undefined) {
      // rfc9220#3, rfc8441#4: a client may not use :protocol before it has got SETTINGS that allow it.
      // rfc9114#7.2.4.2 An HTTP implementation MUST NOT send frames or requests that would be invalid based on its current
      // understanding of the peer's settings.
      const { enableConnectProtocol } = await this.settings;
      if (!enableConnectProtocol) throw new Http3StateError("the server takes no extended CONNECT");
    }
    this.#mustAcceptRequests();
    let quicStream: Stream;
    try {
      const opened = this.#opener.open(options?.signal);
      quicStream = opened instanceof Promise ? await opened : opened;
    } catch (error) {
      throw this.#translate(error);
    }
    try {
      // rfc9114#5.2 Endpoints MUST NOT initiate new requests or promise new pushes on the connection after receipt of a
      // GOAWAY frame from the peer.
      this.#mustAcceptRequests();
      const stream = new ClientStream(quicStream, this.#host, request);
      this.#trace?.streamType("local", stream.id, "request");
      this.#streams.add(stream);
      // rfc9114#5.1: clients keep the connection open while there are responses outstanding, and let it time out otherwise.
      this.#streams.keepOpen(this.#options.pingInterval ?? limits.PING_INTERVAL, this.#ping);
      this.#nextStream = Math.max(this.#nextStream, stream.id + 4);
      try {
        await stream.send();
        return stream;
      } catch (error) {
        stream.give(
          new Http3StreamError("H3_REQUEST_CANCELLED", "the request could not be sent", { cause: error }),
        );
        throw error;
      }
    } catch (error) {
      quicStream.cancelWrite(H3_ERROR.H3_REQUEST_CANCELLED);
      quicStream.cancelRead(H3_ERROR.H3_REQUEST_CANCELLED);
      throw error;
    }
  }

  #mustAcceptRequests(): void {
    if (this.#failure !== null) throw this.#failure;
    this.#goingAway.check();
  }

  /** Client: tells the server another priority of a request's response. rfc9218#7 */
  updatePriority(stream: ClientStream, priority: Priority): void {
    const text = serializePriority(priority);
    this.#out.say(encodePriorityUpdate(FRAME.PRIORITY_UPDATE, stream.id, text));
  }

  #remove(stream: MessageStream): void {
    if (this.#streams.remove(stream)) this.#goingAway.idle();
  }

  // ---- the end

  /** Whether the peer said GOAWAY, or this side is shutting down: no new requests. */
  get goingAway(): boolean {
    return this.#goingAway.begun;
  }

  /**
   * Ends the connection when the requests under way are done: GOAWAY tells the peer to make no others; those that come
   * all the same after it has had time to hear of it are rejected. rfc9114#5.2
   *
   * @param options.signal - stops waiting: the connection is closed at once, and the call rejects with the reason
   */
  async shutdown(options?: { signal?: AbortSignal }): Promise<void> {
    options?.signal?.throwIfAborted();
    if (this.#failure === null) await this.#goingAway.shutdown(options?.signal);
  }

  /**
   * Ends the connection at once; requests under way are lost.
   *
   * @param code - default H3_NO_ERROR
   */
  close(code: number = H3_ERROR.H3_NO_ERROR, reason = ""): void {
    if (this.#failure === null)
      this.#fail(new Http3ConnectionError(code, reason || "the connection was closed"));
  }

  /** @internal 0-RTT was refused: another Http3Connection begins anew on the same QUIC connection. */
  abandon(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#over(error);
  }

  /** The peer broke the rules, or this side is done. */
  #fail(error: Http3ConnectionError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#over(error);
    this.quic.closeWithError(error.errorCode, error.message);
  }

  /** A stream that the connection cannot do without failed. */
  #streamFailed(error: unknown): void {
    if (error instanceof Http3ConnectionError) this.#fail(error);
    // One that was reset is told of by its reader, and a connection that ended by `closed`.
    else if (error instanceof StreamError) {
      this.#fail(new Http3ConnectionError("H3_CLOSED_CRITICAL_STREAM", "the peer closed a critical stream"));
    } else if (this.#failure === null && !(error instanceof QuicError)) {
      this.#fail(
        new Http3ConnectionError("H3_INTERNAL_ERROR", "a defect in this endpoint", { cause: error }),
      );
    }
  }

  /** An error of QUIC's as HTTP/3 has it. */
  #translate(error: unknown): unknown {
    if (this.#failure !== null && !(error instanceof Http3Error)) return this.#failure;
    if (error instanceof ApplicationError) {
      return new Http3ConnectionError(error.errorCode, error.reason || "the peer closed the connection", {
        remote: error.remote,
        cause: error,
      });
    }
    return error;
  }

  #end(error: Error): Error {
    this.#failure ??= this.#translate(error) as Error;
    this.#over(this.#failure);
    return this.#failure;
  }

  #over(error: Error): void {
    this.#streams.clear();
    this.#qpack.end(error);
    this.#rejectSettings(error);
    this.#requests.end(error);
    this.#pushed?.end(error);
    this.#pusher?.end();
  }

  /** rfc9114#10.5: requests that are given up cost the client nothing. */
  #onPeerReset(): void {
    if (this.role === "server" && !this.#resets.take()) {
      this.#fail(new Http3ConnectionError("H3_EXCESSIVE_LOAD", "a flood of requests that are given up"));
    }
  }

  /** Entries in the compression tables so far: ours at the peer, the peer's at us. For tests and traces. */
  get compression(): QpackStreams["state"] {
    return this.#qpack.state;
  }

  /** What the connection has ended with, or null. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** The peer's SETTINGS, or null before they have come. */
  get peerSettings(): Settings | null {
    return this.#peerSettings;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.closed;
  }
}
