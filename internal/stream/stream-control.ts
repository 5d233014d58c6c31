// Control frames of streams: windows, limits, resets, stops, and what blocks us. A frame that was lost is due again
// with the value that holds then: rfc9000#13.3.

import * as c from "../protocol/constants.ts";
import type { ReceiveWindow } from "../flow/receive-window.ts";
import type { SendWindow } from "../flow/send-window.ts";
import * as rec from "../recovery/sent-packets.ts";
import type { RecordSink } from "../recovery/sent-packets.ts";
import {
  writeNumberFrame,
  writeResetStream,
  writeResetStreamAt,
  writeStopSending,
  writeStreamNumberFrame,
} from "../wire/frame-writers.ts";
import type { PeerStreamLimit } from "./peer-stream-limit.ts";
import type { Stream } from "./stream.ts";

/** What the frames are made from. */
export interface ControlSources {
  readonly connectionWindow: ReceiveWindow;
  readonly sendWindow: SendWindow;
  readonly peerBidi: PeerStreamLimit;
  readonly peerUni: PeerStreamLimit;
  readonly ownBidi: SendWindow;
  readonly ownUni: SendWindow;
  now(): number;
  rtt(): number;
}

/** The longest frame made of numbers. */
const MAX_NUMBERS = 1 + 8 + 8;
const MAX_CONNECTION_FRAMES = 6 * (1 + 8);
/** RESET_STREAM_AT, STOP_SENDING and MAX_STREAM_DATA. */
const MAX_STREAM_FRAMES = 1 + 4 * 8 + 2 * MAX_NUMBERS;

export class StreamControl {
  readonly #from: ControlSources;
  #streams: Stream[] = [];
  #maxData = false;
  #dataBlocked = false;
  #maxStreamsBidi = false;
  #maxStreamsUni = false;
  #streamsBlockedBidi = false;
  #streamsBlockedUni = false;

  constructor(from: ControlSources) {
    this.#from = from;
  }

  get hasFrames(): boolean {
    return this.#streams.length > 0 || this.#connectionFrames;
  }

  get #connectionFrames(): boolean {
    return (
      this.#maxData ||
      this.#dataBlocked ||
      this.#maxStreamsBidi ||
      this.#maxStreamsUni ||
      this.#streamsBlockedBidi ||
      this.#streamsBlockedUni
    );
  }

  /** `stream` has a frame due; which one its halves know. */
  queue(stream: Stream): void {
    if (stream.controlQueued) return;
    stream.controlQueued = true;
    this.#streams.push(stream);
  }

  /** MAX_DATA is due. True where it was not yet. */
  dataUpdate(): boolean {
    if (this.#maxData) return false;
    this.#maxData = true;
    return true;
  }

  streamsUpdate(bidi: boolean): boolean {
    const was = bidi ? this.#maxStreamsBidi : this.#maxStreamsUni;
    if (bidi) this.#maxStreamsBidi = true;
    else this.#maxStreamsUni = true;
    return !was;
  }

  dataBlocked(): void {
    this.#dataBlocked = true;
  }

  /** rfc9000#4.6 an endpoint that is unable to open a new stream due to the peer's limit SHOULD send STREAMS_BLOCKED. */
  streamsBlocked(bidi: boolean): boolean {
    const own = bidi ? this.#from.ownBidi : this.#from.ownUni;
    if (!own.blockedDue()) return false;
    if (bidi) this.#streamsBlockedBidi = true;
    else this.#streamsBlockedUni = true;
    return true;
  }

  write(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    // Frames of the connection itself: none is longer than a type and a number, and there are six at most.
    if (this.#connectionFrames && limit - pos >= MAX_CONNECTION_FRAMES) {
      pos = this.#writeConnection(buf, pos, records);
    }
    let done = 0;
    for (const stream of this.#streams) {
      const after = this.#writeStream(stream, buf, pos, limit, records);
      if (after < 0) break;
      pos = after;
      stream.controlQueued = false;
      done++;
    }
    if (done === this.#streams.length) this.#streams.length = 0;
    else if (done > 0) this.#streams.splice(0, done);
    return pos;
  }

  #writeConnection(buf: Uint8Array, pos: number, records: RecordSink): number {
    const from = this.#from;
    if (this.#maxData) {
      this.#maxData = false;
      from.connectionWindow.advance(from.now(), from.rtt());
      const { limit } = from.connectionWindow;
      pos = writeNumberFrame(buf, pos, c.FRAME_MAX_DATA, limit);
      records.addRecord(rec.REC_MAX_DATA, 0, 0, limit);
    }
    if (this.#maxStreamsBidi) {
      this.#maxStreamsBidi = false;
      const limit = (from.peerBidi.limit = from.peerBidi.next);
      pos = writeNumberFrame(buf, pos, c.FRAME_MAX_STREAMS_BIDI, limit);
      records.addRecord(rec.REC_MAX_STREAMS_BIDI, 0, 0, limit);
    }
    if (this.#maxStreamsUni) {
      this.#maxStreamsUni = false;
      const limit = (from.peerUni.limit = from.peerUni.next);
      pos = writeNumberFrame(buf, pos, c.FRAME_MAX_STREAMS_UNI, limit);
      records.addRecord(rec.REC_MAX_STREAMS_UNI, 0, 0, limit);
    }
    // What blocked us may be gone by now.
    if (this.#dataBlocked && from.sendWindow.available <= 0) {
      pos = writeNumberFrame(buf, pos, c.FRAME_DATA_BLOCKED, from.sendWindow.limit);
      records.addRecord(rec.REC_DATA_BLOCKED, 0, 0, from.sendWindow.limit);
    }
    if (this.#streamsBlockedBidi && from.ownBidi.available <= 0) {
      pos = writeNumberFrame(buf, pos, c.FRAME_STREAMS_BLOCKED_BIDI, from.ownBidi.limit);
      records.addRecord(rec.REC_STREAMS_BLOCKED_BIDI, 0, 0, from.ownBidi.limit);
    }
    if (this.#streamsBlockedUni && from.ownUni.available <= 0) {
      pos = writeNumberFrame(buf, pos, c.FRAME_STREAMS_BLOCKED_UNI, from.ownUni.limit);
      records.addRecord(rec.REC_STREAMS_BLOCKED_UNI, 0, 0, from.ownUni.limit);
    }
    this.#dataBlocked = this.#streamsBlockedBidi = this.#streamsBlockedUni = false;
    return pos;
  }

  /** All frames of one stream, −1 where they do not fit. */
  #writeStream(stream: Stream, buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    const { id, send, recv } = stream;
    if (limit - pos < MAX_STREAM_FRAMES) return -1;
    // rfc9000#3.3 A sender MUST NOT send any of these frames from a terminal state ("Data Recvd" or "Reset Recvd").
    // rfc9000#3.3 A sender MUST NOT send a STREAM or STREAM_DATA_BLOCKED frame for a stream in the "Reset Sent" state
    // or any terminal state -- that is, after sending a RESET_STREAM frame.
    if (send !== null) {
      if (send.resetDue && send.resetCode !== null) {
        const { reliableSize } = send;
        pos =
          reliableSize > 0
            ? writeResetStreamAt(buf, pos, id, send.resetCode, send.finalSize, reliableSize)
            : writeResetStream(buf, pos, id, send.resetCode, send.finalSize);
        records.addRecord(rec.REC_RESET_STREAM, id, reliableSize, 0);
        send.resetDue = false;
        send.blockedDue = false;
      }
      if (send.blockedDue) {
        send.blockedDue = false;
        if (send.isBlocked) {
          pos = writeStreamNumberFrame(buf, pos, c.FRAME_STREAM_DATA_BLOCKED, id, send.window.limit);
          records.addRecord(rec.REC_STREAM_DATA_BLOCKED, id, 0, send.window.limit);
        }
      }
    }
    if (recv !== null) {
      if (recv.stopDue && recv.stopCode !== null) {
        recv.stopDue = false;
        if (!recv.isTerminal) {
          pos = writeStopSending(buf, pos, id, recv.stopCode);
          records.addRecord(rec.REC_STOP_SENDING, id, 0, 0);
        }
      }
      if (recv.windowUpdateDue) {
        recv.windowUpdateDue = false;
        // rfc9000#19.10: pointless once the final size is known.
        if (recv.finalSize === Infinity && recv.stopCode === null) {
          const from = this.#from;
          if (recv.window.advance(from.now(), from.rtt()))
            from.connectionWindow.ensure(1.5 * recv.window.size);
          pos = writeStreamNumberFrame(buf, pos, c.FRAME_MAX_STREAM_DATA, id, recv.window.limit);
          records.addRecord(rec.REC_MAX_STREAM_DATA, id, 0, recv.window.limit);
        }
      }
    }
    return pos;
  }

  /**
   * A lost frame is due again, unless one with a later value left meanwhile: rfc9000#13.3 an updated value is sent when
   * the packet containing the most recently sent frame is declared lost. True where `stream` is to be queued.
   */
  onLost(kind: number, value: number, stream: Stream | undefined): boolean {
    const from = this.#from;
    switch (kind) {
      case rec.REC_MAX_DATA:
        if (value === from.connectionWindow.limit) this.#maxData = true;
        return false;
      case rec.REC_MAX_STREAMS_BIDI:
        if (value === from.peerBidi.limit) this.#maxStreamsBidi = true;
        return false;
      case rec.REC_MAX_STREAMS_UNI:
        if (value === from.peerUni.limit) this.#maxStreamsUni = true;
        return false;
      case rec.REC_DATA_BLOCKED:
        if (from.sendWindow.blockedLost(value)) this.#dataBlocked = true;
        return false;
      case rec.REC_STREAMS_BLOCKED_BIDI:
        if (from.ownBidi.blockedLost(value)) this.#streamsBlockedBidi = true;
        return false;
      case rec.REC_STREAMS_BLOCKED_UNI:
        if (from.ownUni.blockedLost(value)) this.#streamsBlockedUni = true;
        return false;
    }
    if (stream === undefined) return false;
    const { send, recv } = stream;
    switch (kind) {
      case rec.REC_STOP_SENDING:
        if (recv === null || recv.isTerminal) return false;
        return (recv.stopDue = true);
      case rec.REC_MAX_STREAM_DATA:
        // rfc9000#13.3 an endpoint SHOULD stop sending MAX_STREAM_DATA frames when the receiving part of the stream
        // enters a "Size Known" or "Reset Recvd" state.
        if (recv === null || recv.finalSize !== Infinity || value !== recv.window.limit) return false;
        return (recv.windowUpdateDue = true);
      case rec.REC_STREAM_DATA_BLOCKED:
        if (send === null || !send.isBlocked || !send.window.blockedLost(value)) return false;
        return (send.blockedDue = true);
    }
    return false;
  }
}
