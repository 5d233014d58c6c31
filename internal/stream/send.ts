// The sending half of a stream: rfc9000#3.1.

import { SEND_BUFFER_PER_STREAM, SEND_BUFFER_UNSENT } from "../protocol/limits.ts";
import { WIDE } from "../protocol/wide.ts";
import { SendWindow } from "../flow/send-window.ts";
import { streamHeaderLength, writeStreamHeader } from "../wire/frame-writers.ts";
import { RangeSet } from "./range-set.ts";
import { SendBuffer } from "./send-buffer.ts";

/** Whose limit makes data wait: this stream's or the connection's (rfc9000#4.1), or none of the peer's. */
export type BlockedBy = "stream" | "connection" | "congestion";

/** What a half asks of the streams it belongs to. */
export interface SendHost {
  /** Something can be sent now. */
  onSendable(half: SendHalf): void;
  /** RESET_STREAM is due. */
  onResetDue(half: SendHalf): void;
  /** Nothing more to do here: acknowledged to the end, or reset and acknowledged. */
  onSendDone(half: SendHalf): void;
  /** Bytes that all streams together may still buffer for sending. */
  readonly sharedRoom: number;
  /** The peer takes RESET_STREAM_AT. */
  readonly reliableResets: boolean;
  onBuffered(half: SendHalf, bytes: number): void;
  onReleased(bytes: number): void;
  /** A write found that room used up: tell the half when there is some. */
  onRoomWanted(half: SendHalf): void;
  /** Bytes that the peer still takes on all streams together. */
  readonly connectionCredit: number;
  /** Sets the half's priority, wherever it is queued. */
  onPriority(half: SendHalf, urgency: number, incremental: boolean): void;
}

export type SendState = "ready" | "send" | "data_sent" | "data_received" | "reset_sent" | "reset_received";

/** Bytes to the peer. */
export class SendHalf {
  readonly id: number;
  readonly window = new SendWindow();
  readonly #host: SendHost;
  readonly #data = new SendBuffer();
  readonly #lost = new RangeSet();
  /** Next offset never sent. */
  #next = WIDE;
  #fin = false;
  #finSent = false;
  #finLost = false;
  #finAcked = false;
  #resetCode: bigint | null = null;
  #resetAcked = false;
  /** What is delivered even where the stream is reset: reliable-stream-reset#5. */
  #boundary = 0;
  #stopCode: bigint | null = null;
  #done = false;
  /** Some of what was written never will be acknowledged: reset, or the connection ended. */
  #truncated = false;
  #abandoned = false;
  /** Nothing of the data is sent any more, not even again. */
  #dropped = false;
  /** A write found no room: tell when there is some. */
  wantsRoom = false;
  /** Tell when fewer bytes than that are buffered; 0 for never. */
  wakeBelow = 0;
  /** Control frames due, managed by the stream map. */
  resetDue = false;
  blockedDue = false;
  /** In which queues it is, a bit for each. */
  queued = 0;
  /** 0 (first) to 7. Set by `setPriority`. */
  urgency = 3;
  /** Shares with others of its urgency, in place of going by stream ID. Where nobody has said, streams share. */
  incremental = true;

  /** What `writeFrame` wrote last. */
  wroteOffset = WIDE;
  wroteLength = 0;
  wroteFin = false;
  wroteNew = 0;

  constructor(id: number, host: SendHost) {
    this.id = id;
    this.#host = host;
    this.#next = this.wroteOffset = 0;
  }

  /** When its data leaves, against that of other streams: at once, also for what is lost. rfc9218#4 */
  setPriority(urgency: number, incremental: boolean): void {
    if (urgency === this.urgency && incremental === this.incremental) return;
    this.#host.onPriority(this, urgency, incremental);
  }

  /** Bytes written and not acknowledged. */
  get bufferedBytes(): number {
    return this.#data.size;
  }

  /** Bytes written so far. */
  get written(): number {
    return this.#data.end;
  }

  /** Bytes written that have never been sent and are to be. */
  get unsentBytes(): number {
    return this.#dropped ? 0 : Math.max(0, this.#data.end - this.#next);
  }

  /** Whose limit holds them back, null where nothing waits. */
  get blockedBy(): BlockedBy | null {
    if (this.unsentBytes === 0) return null;
    if (this.window.available <= 0) return "stream";
    return this.#host.connectionCredit <= 0 ? "connection" : "congestion";
  }

  /** Bytes that `write` takes now. */
  get capacity(): number {
    if (this.#fin || this.#resetCode !== null || this.#abandoned) return 0;
    const { size, end } = this.#data;
    const room = Math.max(SEND_BUFFER_PER_STREAM - size, SEND_BUFFER_UNSENT - (end - this.#next));
    return Math.max(0, Math.min(room, this.#host.sharedRoom));
  }

  /** Everything written, and the end where there is one, was acknowledged. Never so after a reset. */
  get allAcked(): boolean {
    return !this.#truncated && this.#data.size === 0 && (!this.#fin || this.#finAcked);
  }

  get resetCode(): bigint | null {
    return this.#resetCode;
  }

  /** The peer's STOP_SENDING code, null without one. */
  get stopCode(): bigint | null {
    return this.#stopCode;
  }

  get isTerminal(): boolean {
    return this.#done;
  }

  /** The size a RESET_STREAM announces: what was sent. rfc9000#4.5 */
  get finalSize(): number {
    return this.#next;
  }

  get state(): SendState {
    if (this.#resetCode !== null) return this.#resetAcked ? "reset_received" : "reset_sent";
    if (this.#finAcked && this.#data.size === 0) return "data_received";
    if (this.#finSent) return "data_sent";
    return this.#next > 0 ? "send" : "ready";
  }

  /** Takes up to the buffer's room of `data`; returns how much. 0 on a half that was finished or reset. */
  write(data: Uint8Array, owned: boolean): number {
    const n = Math.min(data.length, this.capacity);
    if (n > 0) {
      this.#data.append(data, 0, n, owned);
      this.#host.onBuffered(this, n);
    }
    if (n < data.length) {
      this.wantsRoom = true;
      if (this.#host.sharedRoom <= 0) this.#host.onRoomWanted(this);
    }
    if (n === 0) return 0;
    this.#host.onSendable(this);
    return n;
  }

  /** The end comes after what was written. */
  finish(): void {
    if (this.#fin || this.#resetCode !== null || this.#abandoned) return;
    this.#fin = true;
    this.#host.onSendable(this);
  }

  /** What was written so far arrives even where the stream is reset later, if the peer can do that. */
  setReliableBoundary(): void {
    if (this.#resetCode === null) this.#boundary = this.#data.end;
  }

  /** Whether the peer takes RESET_STREAM_AT. */
  get resetsReliably(): boolean {
    return this.#host.reliableResets;
  }

  /** Bytes that arrive in spite of the reset. */
  get reliableSize(): number {
    return this.#boundary;
  }

  /** Gives the stream up: RESET_STREAM. Nothing happens where all was acknowledged to the end. rfc9000#3.1 */
  reset(code: bigint): void {
    if (this.#resetCode !== null || this.#done || this.#abandoned) return;
    this.#resetCode = code;
    this.#truncated = true;
    if (!this.#host.reliableResets) this.#boundary = 0;
    if (this.#boundary > 0) this.#truncate(this.#boundary);
    else this.#drop();
    // rfc9000#4.5 the final size lies within the limits: what has to arrive leaves first.
    if (this.#next < this.#boundary) this.#host.onSendable(this);
    else this.#dueReset();
  }

  #dueReset(): void {
    this.resetDue = true;
    this.#host.onResetDue(this);
  }

  /**
   * reliable-stream-reset#5 the initiator MUST guarantee reliable delivery of stream data of at least Reliable Size bytes.
   * Data sent beyond that byte offset SHOULD NOT be retransmitted.
   */
  #truncate(boundary: number): void {
    const { size } = this.#data;
    this.#data.truncate(boundary);
    this.#lost.remove(boundary, Infinity);
    this.#fin = this.#finLost = this.wantsRoom = false;
    const released = size - this.#data.size;
    if (released > 0) this.#host.onReleased(released);
    if (!this.#lost.isEmpty) this.#host.onSendable(this);
  }

  /**
   * reliable-stream-reset#5.4 the peer does not want what was promised: RESET_STREAM instead, with the same code and final
   * size. reliable-stream-reset#5.2 it MAY also send a RESET_STREAM frame.
   */
  #breakPromise(): void {
    if (this.#resetCode === null || this.#boundary === 0 || this.#done) return;
    this.#boundary = 0;
    this.#resetAcked = false;
    this.#drop();
    this.#dueReset();
  }

  /**
   * rfc9000#3.5 an endpoint that receives a STOP_SENDING frame MUST send a RESET_STREAM frame if the stream is in the
   * Ready or Send state; it SHOULD copy the error code.
   */
  onStopSending(code: bigint): boolean {
    if (this.#stopCode !== null || this.#done) return false;
    this.#stopCode = code;
    if (this.#resetCode === null) this.#boundary = 0;
    this.#breakPromise();
    this.reset(code);
    return true;
  }

  /** Something to send again, or an end without data: needs no credit. */
  get needsNoCredit(): boolean {
    if (this.#dropped) return false;
    return (
      !this.#lost.isEmpty || this.#finLost || (this.#fin && !this.#finSent && this.#next === this.#data.end)
    );
  }

  /** New data that the stream's own limit lets through. */
  get hasNewData(): boolean {
    // rfc9000#2.2 An endpoint MUST NOT send data on any stream without ensuring that it is within the flow control
    // limits set by its peer.
    // rfc9000#19.10 The data sent on a stream MUST NOT exceed the largest maximum stream data value advertised by the
    // receiver.
    return !this.#dropped && this.#next < this.#data.end && this.window.available > 0;
  }

  /** New data that only the peer's limit for this stream holds back. */
  get isBlocked(): boolean {
    return !this.#dropped && this.#next < this.#data.end && this.window.available <= 0;
  }

  /**
   * Writes one STREAM frame below `limit`: lost data first, else new data within `credit` of the connection. Says what
   * it wrote in `wrote…`; returns `pos` where nothing fits.
   */
  writeFrame(buf: Uint8Array, pos: number, limit: number, credit: number): number {
    if (!this.#lost.isEmpty) {
      const offset = this.#lost.start(0);
      const end = this.#lost.end(0);
      const after = this.#write(buf, pos, limit, offset, end - offset);
      if (after === pos) return pos;
      this.#lost.remove(offset, offset + this.wroteLength);
      this.wroteNew = 0;
      return after;
    }
    // An end that was lost alone goes again as an empty frame at the end.
    const offset = this.#next;
    const length = Math.min(this.#data.end - offset, this.window.available, credit);
    if (length <= 0 && !(this.#finLost || (this.#fin && !this.#finSent && offset === this.#data.end)))
      return pos;
    const after = this.#write(buf, pos, limit, offset, Math.max(0, length));
    if (after === pos) return pos;
    this.#next = offset + this.wroteLength;
    this.window.used = this.#next;
    this.wroteNew = this.wroteLength;
    // The last of what has to arrive in spite of a reset.
    if (this.#resetCode !== null && this.#next === this.#data.end) this.resetDue = true;
    return after;
  }

  #write(buf: Uint8Array, pos: number, limit: number, offset: number, wanted: number): number {
    const { id } = this;
    const room = limit - pos;
    // Without a length the frame reaches to the end of the packet: no byte is left for padding, so fill it exactly.
    let header = streamHeaderLength(id, offset, 0, false);
    let withLength = false;
    let length = room - header;
    if (wanted < length) {
      withLength = true;
      header = streamHeaderLength(id, offset, wanted, true);
      length = Math.min(wanted, room - header);
    }
    if (length < 0 || (length === 0 && wanted > 0)) return pos;
    const fin = this.#fin && offset + length === this.#data.end;
    pos = writeStreamHeader(buf, pos, id, offset, length, fin, withLength);
    if (length > 0) this.#data.copyTo(buf, pos, offset, length);
    if (fin) {
      this.#finSent = true;
      this.#finLost = false;
    }
    this.wroteOffset = offset;
    this.wroteLength = length;
    this.wroteFin = fin;
    return pos + length;
  }

  /** A frame was acknowledged. True where a writer may go on or something ended. */
  onAcked(offset: number, length: number, fin: boolean): boolean {
    if (this.#dropped) return false;
    // What lies behind a reliable reset is forgotten.
    length = Math.min(length, this.#data.end - offset);
    if (length > 0) {
      const before = this.#data.size;
      this.#data.acked(offset, length);
      if (before > this.#data.size) this.#host.onReleased(before - this.#data.size);
      if (!this.#lost.isEmpty) this.#lost.remove(offset, offset + length);
    }
    if (fin) {
      this.#finAcked = true;
      this.#finLost = false;
    }
    this.#checkDone();
    if (this.allAcked) return true;
    if (this.#data.size < this.wakeBelow) {
      this.wakeBelow = 0;
      return true;
    }
    return this.takeRoom();
  }

  /**
   * Whether a writer that waits has room again: asked when bytes were acknowledged, and when some left, or a writer would
   * have nothing on the way while it waits for the first acknowledgement.
   */
  takeRoom(): boolean {
    if (!this.wantsRoom || this.capacity < SEND_BUFFER_PER_STREAM / 4) return false;
    this.wantsRoom = false;
    return true;
  }

  /** A frame was lost: what of it was not acknowledged meanwhile is due again. */
  onLost(offset: number, length: number, fin: boolean): void {
    if (this.#dropped || this.#done) return;
    length = Math.min(length, this.#data.end - offset);
    if (length > 0) this.#data.addUnacked(this.#lost, offset, length);
    if (fin && !this.#finAcked && this.#resetCode === null) this.#finLost = true;
    this.#host.onSendable(this);
  }

  /** @param reliableSize of the frame that was acknowledged: one with more than we promise now does not count. */
  onResetAcked(reliableSize: number): void {
    if (reliableSize !== this.#boundary) return;
    this.#resetAcked = true;
    this.resetDue = false;
    this.#checkDone();
  }

  onResetLost(reliableSize: number): void {
    // rfc9000#13.3 The content of a RESET_STREAM frame MUST NOT change when it is sent again.
    // reliable-stream-reset#5.2 the sender MUST retransmit the RESET_STREAM_AT frame carrying the smallest Reliable Size.
    if (this.#resetAcked || reliableSize !== this.#boundary) return;
    this.#dueReset();
  }

  /** reliable-stream-reset#5.3 once the frame and all data up to its offset have been acknowledged, it is over. */
  #checkDone(): void {
    if (this.#done || this.#data.size > 0) return;
    if (this.#resetCode === null ? !this.#finAcked : !this.#resetAcked) return;
    this.#done = true;
    this.#host.onSendDone(this);
  }

  /** The connection ended: memory goes. */
  abandon(): void {
    this.#abandoned = true;
    if (!this.allAcked) this.#truncated = true;
    this.#drop();
  }

  #drop(): void {
    this.#dropped = true;
    const { size } = this.#data;
    this.#data.clear();
    this.#lost.clear();
    this.wantsRoom = false;
    if (size > 0) this.#host.onReleased(size);
  }
}
