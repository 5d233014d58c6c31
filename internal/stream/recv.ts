// The receiving half of a stream: rfc9000#3.2.

import {
  FINAL_SIZE_ERROR,
  FLOW_CONTROL_ERROR,
  FRAME_RESET_STREAM,
  FRAME_STREAM,
  INTERNAL_ERROR,
  STREAM_STATE_ERROR,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import type { ReceiveWindow } from "../flow/receive-window.ts";
import { Reassembly } from "./reassembly.ts";

/** What a half asks of the streams it belongs to. */
export interface RecvHost {
  /** Monotonic ms of the verb in progress. */
  readonly now: number;
  /** The connection's window: sums over all streams. */
  readonly connectionWindow: ReceiveWindow;
  /** The application consumed `n` bytes of this half, or they were given up. */
  onConsumed(half: RecvHalf, n: number): void;
  /** STOP_SENDING is due. */
  onStop(half: RecvHalf): void;
  /** Nothing more to do here: the half is over. */
  onRecvDone(half: RecvHalf): void;
}

export type RecvState =
  "recv" | "size_known" | "data_received" | "data_read" | "reset_received" | "reset_read";

/** Bytes from the peer. */
export class RecvHalf {
  readonly id: number;
  readonly window: ReceiveWindow;
  readonly #host: RecvHost;
  readonly #data = new Reassembly();
  #finalSize = Infinity;
  #resetCode: bigint | null = null;
  /** What is read in spite of the reset. reliable-stream-reset#5 */
  #reliableSize = 0;
  #stopCode: bigint | null = null;
  #stopAcked = false;
  #done = false;
  /** Control frames due, managed by the stream map. */
  windowUpdateDue = false;
  stopDue = false;
  /** The reader wants to hear of the final size, even where data before it is missing. */
  tellFinalSize = false;

  constructor(id: number, window: ReceiveWindow, host: RecvHost) {
    this.id = id;
    this.window = window;
    this.#host = host;
  }

  /** Bytes that can be read now. */
  get available(): number {
    if (this.#stopCode !== null) return 0;
    const { available, read } = this.#data;
    return this.#resetCode === null ? available : Math.max(0, Math.min(available, this.#reliableSize - read));
  }

  /** Everything up to the end was read. */
  get finished(): boolean {
    return this.#resetCode === null && this.#stopCode === null && this.#data.read === this.#finalSize;
  }

  /** The peer's reset code; null without a reset, and as long as there is something to read before it. */
  get resetCode(): bigint | null {
    return this.#data.read < this.#reliableSize ? null : this.#resetCode;
  }

  /** Our STOP_SENDING code, null without one. */
  get stopCode(): bigint | null {
    return this.#stopCode;
  }

  get finalSize(): number {
    return this.#finalSize;
  }

  /** Over: read to the end, reset, or stopped with the final size known and the peer told. */
  get isTerminal(): boolean {
    return this.#done;
  }

  /** Bytes that have arrived, in whatever order. */
  get arrived(): number {
    return this.#data.arrived;
  }

  /** Bytes of memory held. */
  get memory(): number {
    return this.#data.memory;
  }

  get state(): RecvState {
    if (this.#resetCode !== null) return this.#done ? "reset_read" : "reset_received";
    if (this.#finalSize === Infinity) return "recv";
    if (this.#data.read === this.#finalSize) return "data_read";
    return this.#data.contiguous === this.#finalSize ? "data_received" : "size_known";
  }

  /**
   * A STREAM frame. True where a reader has something new to see.
   * @throws {TransportError} FINAL_SIZE_ERROR, FLOW_CONTROL_ERROR.
   */
  onStream(offset: number, fin: boolean, buf: Uint8Array, start: number, length: number): boolean {
    const end = offset + length;
    // rfc9000#4.5 once a final size is known it cannot change; receipt of data at or beyond the final size SHOULD be
    // treated as FINAL_SIZE_ERROR, even after a stream is closed.
    if (end > this.#finalSize || (fin && this.#finalSize !== Infinity && end !== this.#finalSize)) {
      throw finalSizeError("the final size changed", FRAME_STREAM);
    }
    if (fin && end < this.window.received)
      throw finalSizeError("the final size is below data received", FRAME_STREAM);
    if (this.#done) return false;
    this.#account(end, FRAME_STREAM);
    const before = this.#data.contiguous;
    const hadFin = this.#finalSize !== Infinity;
    if (fin) this.#finalSize = end;
    if (this.#stopCode !== null) {
      // Nobody will read it: it counts as consumed, so that the connection's credit comes back.
      this.#giveUp();
      return false;
    }
    if (this.#resetCode !== null) {
      // Nothing behind what has to arrive is read.
      length = Math.min(length, this.#reliableSize - offset);
      if (length <= 0) return false;
    }
    if (!this.#data.insert(offset, buf, start, length, this.#finalSize)) {
      // The peer kept to its limits, we do not keep to buffering anything within them: no violation of its own.
      throw new TransportError(INTERNAL_ERROR, "too many gaps in stream data", {
        frameType: FRAME_STREAM,
      });
    }
    const { contiguous } = this.#data;
    const ended = fin && !hadFin && (contiguous === this.#finalSize || this.tellFinalSize);
    const news = contiguous > before || ended;
    // An end with nothing left to read ends the half at once: credit comes back without another read.
    if (fin) this.checkEnd();
    return news;
  }

  /**
   * RESET_STREAM, or RESET_STREAM_AT with the bytes that are read all the same. True where a reader has something new to
   * see.
   * @throws {TransportError} FINAL_SIZE_ERROR, FLOW_CONTROL_ERROR, STREAM_STATE_ERROR.
   */
  onReset(code: bigint, finalSize: number, reliableSize = 0): boolean {
    if (this.#finalSize !== Infinity && finalSize !== this.#finalSize) {
      throw finalSizeError("RESET_STREAM changed the final size", FRAME_RESET_STREAM);
    }
    if (finalSize < this.window.received) {
      throw finalSizeError("RESET_STREAM's final size is below data received", FRAME_RESET_STREAM);
    }
    // rfc9000#4.5 The receiver MUST use the final size of the stream to account for all bytes sent on the stream in
    // its connection-level flow controller.
    if (this.#done) return false;
    this.#account(finalSize, FRAME_RESET_STREAM);
    const known = this.#finalSize !== Infinity;
    this.#finalSize = finalSize;
    // rfc9000#3.2 once all data has arrived a RESET_STREAM may be ignored: the reader gets the data.
    if (this.#resetCode === null) {
      if (this.#stopCode === null && known && this.#data.contiguous === finalSize) return false;
    } else {
      // reliable-stream-reset#5.2 If the receiver detects a change in those fields, it MUST close the connection with a
      // connection error of type STREAM_STATE_ERROR or FINAL_SIZE_ERROR, respectively.
      if (code !== this.#resetCode) {
        throw new TransportError(STREAM_STATE_ERROR, "the code of a reset changed", {
          frameType: FRAME_RESET_STREAM,
        });
      }
      // reliable-stream-reset#5.2 The receiver MUST ignore any RESET_STREAM_AT frame that increases the Reliable Size.
      if (reliableSize >= this.#reliableSize) return false;
    }
    this.#resetCode = code;
    this.#reliableSize = reliableSize;
    if (this.#stopCode !== null || this.#data.read >= reliableSize) {
      this.#data.clear();
      this.#giveUp();
    }
    return true;
  }

  /** rfc9000#4.1 a receiver MUST close the connection with FLOW_CONTROL_ERROR if the sender violates a limit. */
  #account(end: number, frameType: number): void {
    const { window } = this;
    const grown = end - window.received;
    if (grown <= 0) return;
    if (window.received === 0) window.begin(this.#host.now);
    // rfc9000#19.10 An endpoint MUST terminate a connection with an error of type FLOW_CONTROL_ERROR if it receives
    // more data than the largest maximum stream data that it has sent for …
    if (window.exceeds(end)) {
      throw new TransportError(FLOW_CONTROL_ERROR, `stream ${this.id} exceeds its limit of ${window.limit}`, {
        frameType,
      });
    }
    // rfc9000#19.9 The sum of the final sizes on all streams -- including streams in terminal states -- MUST NOT
    // exceed the value advertised by a receiver.
    // rfc9000#19.9 An endpoint MUST terminate a connection with an error of type FLOW_CONTROL_ERROR if it receives
    // more data than the maximum data value that it has sent.
    const connection = this.#host.connectionWindow;
    if (connection.received === 0) connection.begin(this.#host.now);
    if (connection.exceeds(connection.received + grown)) {
      throw new TransportError(FLOW_CONTROL_ERROR, `connection limit of ${connection.limit} exceeded`, {
        frameType,
      });
    }
    window.received = end;
    connection.received += grown;
  }

  /**
   * What arrived and nobody will read is consumed. The half is over when no byte can follow that was not accounted
   * (rfc9000#4.5: the final size is known), and the peer stopped by itself or knows that it may.
   */
  #giveUp(): void {
    const n = this.window.received - this.window.consumed;
    if (n > 0) this.#host.onConsumed(this, n);
    if (this.#finalSize !== Infinity && (this.#resetCode !== null || this.#stopAcked)) this.#finish();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#data.clear();
    this.#host.onRecvDone(this);
  }

  /** Copies what is there into `target`; returns how much. */
  readInto(target: Uint8Array): number {
    const n = Math.min(target.length, this.available);
    if (n > 0) {
      this.#data.readInto(target);
      this.#read(n);
    }
    return n;
  }

  /** What is there, up to `maxBytes`, without a copy where that is sound. */
  readChunks(maxBytes: number): Uint8Array[] {
    const n = Math.min(maxBytes, this.available);
    if (n === 0) return [];
    const chunks = this.#data.readChunks(n);
    this.#read(n);
    return chunks;
  }

  /** A copy of the next bytes without reading them. */
  peek(n: number): Uint8Array {
    const out = new Uint8Array(Math.min(n, this.available));
    this.#data.copyOut(out, out.length);
    return out;
  }

  #read(n: number): void {
    this.#host.onConsumed(this, n);
    this.checkEnd();
  }

  /** A reader looked: where all was read the half is over. */
  checkEnd(): void {
    if (this.#resetCode !== null && this.#data.read >= this.#reliableSize) this.#giveUp();
    else if (this.#data.read === this.#finalSize) this.#finish();
  }

  /** rfc9000#3.5: asks the peer to stop; what arrived and what will is dropped. */
  stop(code: bigint): void {
    if (this.#stopCode !== null || this.#done) return;
    this.#stopCode = code;
    // rfc9000#3.5 once all stream data has been received … sending a STOP_SENDING frame is unnecessary.
    this.#stopAcked = this.#data.contiguous === this.#finalSize || this.#resetCode !== null;
    if (!this.#stopAcked) this.#host.onStop(this);
    this.#data.clear();
    this.#giveUp();
  }

  /** The peer has our STOP_SENDING: with the final size known there is nothing to wait for. */
  onStopAcked(): void {
    this.#stopAcked = true;
    if (!this.#done) this.#giveUp();
  }
}

function finalSizeError(reason: string, frameType: number): TransportError {
  return new TransportError(FINAL_SIZE_ERROR, reason, { frameType });
}
