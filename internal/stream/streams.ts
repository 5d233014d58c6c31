// All streams of a connection: rfc9000#2, rfc9000#3, rfc9000#4. The connection uses it so:
//
//   setPeerParameters(parameters)     once known: until then nothing can be opened or sent. Limits only ever rise.
//   open(bidi)                        a stream, or null without credit (STREAMS_BLOCKED is queued, host.onCredit tells)
//   onStream, onResetStream, onStopSending, onMax…, onStreamDataBlocked
//                                     frames as they arrive; a TransportError thrown ends the connection. The bytes
//                                     given to onStream are copied.
//   hasControl / writeControl         window updates, limits, resets, stops, BLOCKED: before stream data
//   hasData / writeStreamFrames       STREAM frames, by priority; lost data before new. `limit` is where the
//                                     payload ends: the last frame may have no length and reach to it, so that nothing
//                                     may follow. Both return the new position and add a record (kind, id, offset,
//                                     length; control frames: kind, id or 0, 0, value) for each frame written.
//   onRecordAcked, onRecordLost       what became of a record. A record may be lost and acknowledged later, or lost
//                                     twice (probes); both are harmless.
//   closeAll()                        at the end: memory for sending goes, what was received stays readable
//
// The application works on stream.send (write, finish, reset) and stream.recv (readInto, readChunks, peek, stop) and
// hears of changes through the host: readable (data in order, the end, a reset), writable (room again, all
// acknowledged, STOP_SENDING). host.wantSend asks for a transmit; it is not called from within the write… methods.
//
// A stream leaves the map when both halves are over, whether the application still holds it or not. An ID below the
// opened count that is not in the map is closed: late frames for it are ignored, and no state is kept for it.

import * as c from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { SEND_BUFFER_PER_CONNECTION } from "../protocol/limits.ts";
import { ReceiveWindow } from "../flow/receive-window.ts";
import { SendWindow } from "../flow/send-window.ts";
import * as rec from "../recovery/sent-packets.ts";
import type { RecordSink } from "../recovery/sent-packets.ts";
import type { Tracer } from "../protocol/tracer.ts";
import type { TransportParameters } from "../wire/transport-parameters.ts";
import { PeerStreamLimit } from "./peer-stream-limit.ts";
import { RecvHalf, type RecvHost } from "./recv.ts";
import { RoundRobin, Scheduler } from "./scheduler.ts";
import { SendHalf, type SendHost } from "./send.ts";
import { StreamControl } from "./stream-control.ts";
import { isBidi, isClientInitiated, SERVER_INITIATED, Stream, UNIDIRECTIONAL } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

export type { RecordSink };

/** What the streams ask of their connection. */
export interface StreamHost {
  readonly role: c.Role;
  /** Monotonic ms of the verb in progress. */
  readonly now: number;
  /** Smoothed RTT in ms, 0 before the first sample. */
  readonly smoothedRtt: number;
  readonly tracer: Tracer | null;
  /** What opens a stream now is 0-RTT. */
  readonly early: boolean;
  onStreamOpened(stream: Stream): void;
  onStreamReadable(stream: Stream): void;
  onStreamWritable(stream: Stream): void;
  /** The peer raised its limit on our streams. */
  onCredit(bidi: boolean): void;
  /** Data has to wait for the peer to raise the limit of `stream`, or of the connection (null): rfc9000#4.1. */
  onBlocked(stream: Stream | null): void;
  /** Something is to be sent. */
  wantSend(): void;
}

export interface StreamLimits {
  readonly initialStreamWindow: number;
  readonly maxStreamWindow: number;
  readonly initialConnectionWindow: number;
  readonly maxConnectionWindow: number;
  readonly maxIncomingStreams: number;
  readonly maxIncomingUniStreams: number;
  /**
   * The peer's streams count towards its limit until `taken`, even when they are over: for owners that queue them. Without
   * it a peer that opens and ends streams fills that queue. Default false.
   */
  readonly holdStreams?: boolean;
}

/** Streams we open, of one direction. */
class OwnStreams {
  opened = 0;
  readonly limit = new SendWindow();
}

/** The streams of one connection. */
export class StreamMap implements RecvHost, SendHost {
  readonly #host: StreamHost;
  #limits: StreamLimits;
  readonly #streams = new StreamTable();
  readonly #ownBidi = new OwnStreams();
  readonly #ownUni = new OwnStreams();
  readonly #peerBidi: PeerStreamLimit;
  readonly #peerUni: PeerStreamLimit;
  readonly connectionWindow: ReceiveWindow;
  readonly #sendWindow = new SendWindow();
  readonly #scheduler = new Scheduler();
  /** Halves whose writer waits for room that all streams share. */
  readonly #waiting = new RoundRobin(4);
  readonly #control: StreamControl;
  #peer: TransportParameters | null = null;
  #closed = false;
  #sendBuffered = 0;

  constructor(host: StreamHost, limits: StreamLimits) {
    this.#host = host;
    this.#limits = limits;
    this.connectionWindow = new ReceiveWindow(limits.initialConnectionWindow, limits.maxConnectionWindow);
    this.#peerBidi = new PeerStreamLimit(limits.maxIncomingStreams);
    this.#peerUni = new PeerStreamLimit(limits.maxIncomingUniStreams);
    this.#control = new StreamControl({
      connectionWindow: this.connectionWindow,
      sendWindow: this.#sendWindow,
      peerBidi: this.#peerBidi,
      peerUni: this.#peerUni,
      ownBidi: this.#ownBidi.limit,
      ownUni: this.#ownUni.limit,
      now: () => host.now,
      rtt: () => host.smoothedRtt,
    });
  }

  /** Other limits from now on: how many streams the peer may have at a time, and what windows grow to. */
  configure(limits: StreamLimits): void {
    this.#limits = limits;
    this.connectionWindow.max = limits.maxConnectionWindow;
    for (const { recv } of this.#streams.values())
      if (recv !== null) recv.window.max = limits.maxStreamWindow;
    if (this.#peerBidi.setConcurrent(limits.maxIncomingStreams)) this.#control.streamsUpdate(true);
    if (this.#peerUni.setConcurrent(limits.maxIncomingUniStreams)) this.#control.streamsUpdate(false);
  }

  /** Monotonic ms of the verb in progress. */
  get now(): number {
    return this.#host.now;
  }

  get(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  /** Streams that are not over. */
  values(): Stream[] {
    return this.#streams.values();
  }

  get size(): number {
    return this.#streams.size;
  }

  /** The peer's parameters are the limits of what we send: rfc9000#18.2. */
  setPeerParameters(peer: TransportParameters): void {
    this.#peer = peer;
    this.#sendWindow.raise(peer.initialMaxData);
    this.onMaxStreams(true, peer.initialMaxStreamsBidi);
    this.onMaxStreams(false, peer.initialMaxStreamsUni);
    for (const stream of this.#streams.values()) this.#applyLimit(stream);
  }

  /** Opens a stream, null where the peer's limit is reached: rfc9000#4.6 endpoints MUST NOT exceed it. */
  open(bidi: boolean): Stream | null {
    if (this.#closed) return null;
    const own = bidi ? this.#ownBidi : this.#ownUni;
    // rfc9000#19.11 An endpoint MUST NOT open more streams than permitted by the current stream limit set by its
    // peer.
    if (own.limit.available <= 0) {
      if (this.#peer !== null && this.#control.streamsBlocked(bidi)) this.#host.wantSend();
      return null;
    }
    const id =
      4 * own.opened + (bidi ? 0 : UNIDIRECTIONAL) + (this.#host.role === "server" ? SERVER_INITIATED : 0);
    // rfc9000#2.1 A QUIC endpoint MUST NOT reuse a stream ID within a connection.
    own.opened++;
    own.limit.used = own.opened;
    const stream = this.#make(id, true, bidi);
    stream.early = this.#host.role === "client" && this.#host.early;
    this.#applyLimit(stream);
    if (this.#host.tracer !== null) this.#trace(this.#host.tracer, stream, "open");
    return stream;
  }

  /** Streams the peer still lets us open. */
  available(bidi: boolean): number {
    return Math.max(0, (bidi ? this.#ownBidi : this.#ownUni).limit.available);
  }

  #make(id: number, send: boolean, recv: boolean): Stream {
    const { initialStreamWindow, maxStreamWindow } = this.#limits;
    const stream = new Stream(
      id,
      send ? new SendHalf(id, this) : null,
      recv ? new RecvHalf(id, new ReceiveWindow(initialStreamWindow, maxStreamWindow), this) : null,
    );
    this.#streams.add(id, stream);
    return stream;
  }

  /** The peer's initial limit for this kind of stream, from its point of view: rfc9000#18.2. */
  #applyLimit(stream: Stream): void {
    const peer = this.#peer;
    if (stream.send === null || peer === null) return;
    const limit = !isBidi(stream.id)
      ? peer.initialMaxStreamDataUni
      : this.#isOwn(stream.id)
        ? peer.initialMaxStreamDataBidiRemote
        : peer.initialMaxStreamDataBidiLocal;
    if (stream.send.window.raise(limit)) this.onSendable(stream.send);
  }

  #isOwn(id: number): boolean {
    return isClientInitiated(id) === (this.#host.role === "client");
  }

  /**
   * The stream a frame is about, opened where it is the peer's and new; undefined where it is closed already.
   * @throws {TransportError} STREAM_LIMIT_ERROR, STREAM_STATE_ERROR.
   */
  #lookup(id: number, frameType: number): Stream | undefined {
    const stream = this.#streams.get(id);
    if (stream !== undefined) return stream;
    const bidi = isBidi(id);
    const index = Math.floor(id / 4);
    if (this.#isOwn(id)) {
      // rfc9000#19.8, 19.10, 19.5: a frame for a locally initiated stream that has not yet been created is a
      // connection error of type STREAM_STATE_ERROR.
      // rfc9000#19.10 Receiving a MAX_STREAM_DATA frame for a locally initiated stream that has not yet been created
      // MUST be treated as a connection error of type STREAM_STATE_ERROR.
      // rfc9000#19.5 Receiving a STOP_SENDING frame for a locally initiated stream that has not yet been created MUST
      // be treated as a connection error of type STREAM_STATE_ERROR.
      if (index < (bidi ? this.#ownBidi : this.#ownUni).opened) return undefined;
      throw new TransportError(c.STREAM_STATE_ERROR, `stream ${id} was never opened`, { frameType });
    }
    const peer = bidi ? this.#peerBidi : this.#peerUni;
    if (index < peer.opened) return undefined;
    // rfc9000#4.6 an endpoint that receives a frame with a stream ID exceeding the limit MUST treat this as a
    // connection error of type STREAM_LIMIT_ERROR.
    if (index >= peer.limit) {
      throw new TransportError(c.STREAM_LIMIT_ERROR, `stream ${id} exceeds the limit of ${peer.limit}`, {
        frameType,
      });
    }
    // rfc9000#3.2 before a stream is created, all streams of the same type with lower-numbered IDs MUST be created.
    let opened: Stream | undefined;
    const type = id % 4;
    while (peer.opened <= index) {
      opened = this.#make(4 * peer.opened + type, bidi, true);
      opened.early = this.#host.early;
      peer.opened++;
      // rfc9000#4.6 the limit is ours to raise: streams opened and ended at once, which nobody accepts, are not replaced.
      opened.held = this.#limits.holdStreams === true;
      this.#applyLimit(opened);
      if (this.#host.tracer !== null) this.#trace(this.#host.tracer, opened, "open");
      this.#host.onStreamOpened(opened);
    }
    if (peer.updateDue && this.#control.streamsUpdate(bidi)) this.#host.wantSend();
    return opened;
  }

  /** rfc9000#19.8: the receiving half of `id`. */
  #receiving(id: number, frameType: number): Stream | undefined {
    // rfc9000#19.4 An endpoint that receives a RESET_STREAM frame for a send-only stream MUST terminate the
    // connection with error STREAM_STATE_ERROR.
    // rfc9000#19.13 An endpoint that receives a STREAM_DATA_BLOCKED frame for a send-only stream MUST terminate the
    // connection with error STREAM_STATE_ERROR.
    // rfc9000#19.8 receipt of STREAM (RESET_STREAM, STREAM_DATA_BLOCKED) for a send-only stream is STREAM_STATE_ERROR.
    if (!isBidi(id) && this.#isOwn(id)) {
      throw new TransportError(c.STREAM_STATE_ERROR, `stream ${id} is send-only`, { frameType });
    }
    return this.#lookup(id, frameType);
  }

  #sending(id: number, frameType: number): Stream | undefined {
    // rfc9000#19.5 An endpoint that receives a STOP_SENDING frame for a receive-only stream MUST terminate the
    // connection with error STREAM_STATE_ERROR.
    // rfc9000#19.10 receipt of MAX_STREAM_DATA (STOP_SENDING) for a receive-only stream is STREAM_STATE_ERROR.
    if (!isBidi(id) && !this.#isOwn(id)) {
      throw new TransportError(c.STREAM_STATE_ERROR, `stream ${id} is receive-only`, { frameType });
    }
    return this.#lookup(id, frameType);
  }

  // Frames received

  onStream(id: number, offset: number, fin: boolean, buf: Uint8Array, start: number, length: number): void {
    const stream = this.#receiving(id, c.FRAME_STREAM);
    if (stream === undefined) return;
    if (stream.recv!.onStream(offset, fin, buf, start, length)) this.#host.onStreamReadable(stream);
  }

  onResetStream(id: number, code: bigint, finalSize: number, reliableSize = 0): void {
    const stream = this.#receiving(id, c.FRAME_RESET_STREAM);
    if (stream === undefined) return;
    if (stream.recv!.onReset(code, finalSize, reliableSize)) this.#host.onStreamReadable(stream);
  }

  onStopSending(id: number, code: bigint): void {
    const stream = this.#sending(id, c.FRAME_STOP_SENDING);
    if (stream?.send!.onStopSending(code) === true) this.#host.onStreamWritable(stream);
  }

  onMaxData(max: number): void {
    if (this.#sendWindow.raise(Math.min(max, Number.MAX_SAFE_INTEGER))) this.#host.wantSend();
  }

  onMaxStreamData(id: number, max: number): void {
    const send = this.#sending(id, c.FRAME_MAX_STREAM_DATA)?.send;
    if (send === undefined || send === null) return;
    if (send.window.raise(Math.min(max, Number.MAX_SAFE_INTEGER))) this.onSendable(send);
  }

  onMaxStreams(bidi: boolean, max: number): void {
    // rfc9000#4.6 MAX_STREAMS frames that do not increase the stream limit MUST be ignored.
    // rfc9000#19.11 MAX_STREAMS frames that do not increase the stream limit MUST be ignored.
    if ((bidi ? this.#ownBidi : this.#ownUni).limit.raise(max)) this.#host.onCredit(bidi);
  }

  onStreamDataBlocked(id: number): void {
    // rfc9000#4.2 Therefore, a receiver MUST NOT wait for a STREAM_DATA_BLOCKED or DATA_BLOCKED frame before sending
    // a MAX_STREAM_DATA or MAX_DATA frame; doing so could result in …
    this.#receiving(id, c.FRAME_STREAM_DATA_BLOCKED);
  }

  // RecvHost

  onConsumed(half: RecvHalf, n: number): void {
    const { window } = half;
    if (this.#host.tracer !== null && half.stopCode === null && half.resetCode === null) {
      this.#traceMoved(this.#host.tracer, half.id, window.consumed, n, "transport", "application");
    }
    window.consumed += n;
    const finalKnown = half.finalSize !== Infinity;
    if (!finalKnown && half.stopCode === null && !half.windowUpdateDue && window.updateDue) {
      half.windowUpdateDue = true;
      this.#queueControl(half.id);
    }
    if (this.connectionWindow.consume(n) && this.#control.dataUpdate()) this.#host.wantSend();
  }

  onStop(half: RecvHalf): void {
    half.stopDue = true;
    this.#queueControl(half.id);
  }

  onRecvDone(half: RecvHalf): void {
    this.#settle(half.id);
  }

  // SendHost

  onSendable(half: SendHalf): void {
    this.#enqueue(half);
    this.#host.wantSend();
  }

  get connectionCredit(): number {
    return this.#sendWindow.available;
  }

  onPriority(half: SendHalf, urgency: number, incremental: boolean): void {
    this.#scheduler.remove(half);
    half.urgency = urgency;
    half.incremental = incremental;
    this.#enqueue(half);
  }

  /** Into the queue where its next frame comes from, if it has one. */
  #enqueue(half: SendHalf): void {
    if (half.needsNoCredit) this.#scheduler.pushLost(half);
    else if (half.hasNewData) {
      this.#scheduler.pushFresh(half);
      if (this.#sendWindow.available <= 0) this.#blocked();
    } else if (half.isBlocked && half.window.blockedDue()) {
      half.blockedDue = true;
      const stream = this.#streams.get(half.id);
      if (stream === undefined) return;
      this.#control.queue(stream);
      this.#host.onBlocked(stream);
    }
  }

  get reliableResets(): boolean {
    return this.#peer?.resetStreamAt === true;
  }

  get sharedRoom(): number {
    return SEND_BUFFER_PER_CONNECTION - this.#sendBuffered;
  }

  onBuffered(half: SendHalf, bytes: number): void {
    this.#sendBuffered += bytes;
    if (this.#host.tracer === null) return;
    this.#traceMoved(this.#host.tracer, half.id, half.written - bytes, bytes, "application", "transport");
  }

  onReleased(bytes: number): void {
    this.#sendBuffered -= bytes;
    if (this.#waiting.length > 0 && this.sharedRoom >= SEND_BUFFER_PER_CONNECTION / 4) this.#wakeWaiting();
  }

  onRoomWanted(half: SendHalf): void {
    this.#waiting.push(half);
  }

  /** All of them: who gets room in vain must not keep it from the rest. In the order in which they came to wait. */
  #wakeWaiting(): void {
    for (let n = this.#waiting.length; n > 0; n--) {
      const half = this.#waiting.peek()!;
      this.#waiting.shift();
      const stream = this.#streams.get(half.id);
      if (stream === undefined || !half.wantsRoom || half.capacity === 0) continue;
      half.wantsRoom = false;
      this.#host.onStreamWritable(stream);
    }
  }

  onResetDue(half: SendHalf): void {
    this.#queueControl(half.id);
  }

  onSendDone(half: SendHalf): void {
    this.#settle(half.id);
  }

  #queueControl(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#control.queue(stream);
    this.#host.wantSend();
  }

  #trace(tracer: Tracer, stream: Stream, state: "open" | "closed"): void {
    const common = {
      name: "stream_state_updated",
      time: this.#host.now,
      streamId: stream.id,
      state,
    } as const;
    if (stream.send !== null) tracer.record({ ...common, side: "sending" });
    if (stream.recv !== null) tracer.record({ ...common, side: "receiving" });
  }

  #traceMoved(
    tracer: Tracer,
    streamId: number,
    offset: number,
    length: number,
    from: "application" | "transport",
    to: "application" | "transport",
  ): void {
    tracer.record({ name: "stream_data_moved", time: this.#host.now, streamId, offset, length, from, to });
  }

  /** A half is over: with both, the stream goes and the peer may open another. */
  #settle(id: number): void {
    const stream = this.#streams.get(id);
    // rfc9000#4.4 Both endpoints MUST maintain flow control state for the stream in the unterminated direction until
    // that direction enters a terminal state.
    if (stream === undefined || !stream.isTerminal || stream.held) return;
    this.#streams.delete(id);
    if (this.#host.tracer !== null) this.#trace(this.#host.tracer, stream, "closed");
    if (this.#isOwn(id)) return;
    const peer = isBidi(id) ? this.#peerBidi : this.#peerUni;
    if (peer.onClosed() && this.#control.streamsUpdate(isBidi(id))) this.#host.wantSend();
  }

  /** The application took a stream of the peer's: with `holdStreams` it goes when it is over, not before. */
  taken(stream: Stream): void {
    if (!stream.held) return;
    stream.held = false;
    this.#settle(stream.id);
  }

  // Sending

  get hasControl(): boolean {
    return this.#control.hasFrames;
  }

  /** Stream data that flow control lets through. */
  get hasData(): boolean {
    return this.#scheduler.hasLost || (this.#scheduler.hasFresh && this.#sendWindow.available > 0);
  }

  writeControl(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    return this.#control.write(buf, pos, limit, records);
  }

  /** STREAM frames below `limit`, in the order of the streams' priorities. */
  writeStreamFrames(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    const scheduler = this.#scheduler;
    for (;;) {
      const credit = this.#sendWindow.available;
      const half = scheduler.next(credit > 0);
      if (half === null) {
        if (scheduler.hasFresh) this.#blocked();
        return pos;
      }
      if (!half.needsNoCredit && (scheduler.isLost || !half.hasNewData)) {
        // Reset, acknowledged or blocked meanwhile; or what was lost arrived after all, and the rest wants credit: at
        // the head it would hold up what was lost of others.
        scheduler.take();
        this.#enqueue(half);
        continue;
      }
      const after = half.writeFrame(buf, pos, limit, Math.max(0, credit));
      if (after === pos) return pos;
      pos = after;
      this.#sendWindow.used += half.wroteNew;
      const kind = half.wroteFin ? rec.REC_STREAM_FIN : rec.REC_STREAM;
      records.addRecord(kind, half.id, half.wroteOffset, half.wroteLength);
      scheduler.take();
      this.#enqueue(half);
      if (half.resetDue) this.#control.queue(this.#streams.get(half.id)!);
      if (half.wantsRoom && half.takeRoom()) this.#host.onStreamWritable(this.#streams.get(half.id)!);
      if (limit - pos < MIN_STREAM_FRAME) return pos;
    }
  }

  /** The connection's limit stops us: tell the peer once. rfc9000#4.1 */
  #blocked(): void {
    if (!this.#sendWindow.blockedDue()) return;
    this.#control.dataBlocked();
    this.#host.onBlocked(null);
  }

  // Fate of what was sent

  onRecordAcked(kind: number, a: number, b: number, length: number): void {
    switch (kind) {
      case rec.REC_STREAM:
      case rec.REC_STREAM_FIN: {
        const stream = this.#streams.get(a);
        if (stream?.send?.onAcked(b, length, kind === rec.REC_STREAM_FIN) === true)
          this.#host.onStreamWritable(stream);
        return;
      }
      case rec.REC_RESET_STREAM:
        this.#streams.get(a)?.send?.onResetAcked(b);
        return;
      case rec.REC_STOP_SENDING:
        this.#streams.get(a)?.recv?.onStopAcked();
        return;
    }
  }

  onRecordLost(kind: number, a: number, b: number, length: number): void {
    switch (kind) {
      case rec.REC_STREAM:
      case rec.REC_STREAM_FIN:
        this.#streams.get(a)?.send?.onLost(b, length, kind === rec.REC_STREAM_FIN);
        return;
      case rec.REC_RESET_STREAM:
        this.#streams.get(a)?.send?.onResetLost(b);
        return;
      default: {
        const stream = this.#streams.get(a);
        if (this.#control.onLost(kind, length, stream)) this.#control.queue(stream!);
        if (this.#control.hasFrames) this.#host.wantSend();
      }
    }
  }

  /** The connection ended: memory for sending goes; what was received stays readable. */
  closeAll(): void {
    this.#closed = true;
    this.#scheduler.clear();
    this.#waiting.clear();
    for (const stream of this.#streams.values()) stream.send?.abandon();
  }
}

/** Less room than this is not worth a frame. */
const MIN_STREAM_FRAME = 16;
