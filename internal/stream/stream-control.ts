// Control frames of streams: windows, limits, resets, stops, and what blocks us. A frame that was lost is due again
// with the value that holds then: rfc9000#13.3.

import * as c from "../protocol/constants.ts";
import type { ReceiveWindow } from "../flow/receive-window.ts";
import type { SendWindow } from "../flow/send-window.ts";
import * as rec from "../recovery/sent-packets.ts";
import type { RecordSink } from "../recovery/sent-packets.ts";
import {
  resetStreamLength,
  writeNumberFrame,
  writeResetStream,
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
    return (
      this.#streams.length > 0 ||
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
  streamsBlocked(bidi: boolean): void {
    const own = bidi ? this.#from.ownBidi : this.#from.ownUni;
    if (!own.blockedDue()) return;
    if (bidi) this.#streamsBlockedBidi = true;
    else this.#streamsBlockedUni = true;
  }

  write(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    const from = this.#from;
    const room = () => limit - pos >= MAX_NUMBERS;
    const number = (kind: number, type: number, value: number) => {
      pos = writeNumberFrame(buf, pos, type, value);
      records.addRecord(kind, 0, 0, value);
    };
    if (this.#maxData && room()) {
      this.#maxData = false;
      from.connectionWindow.advance(from.now(), from.rtt());
      number(rec.REC_MAX_DATA, c.FRAME_MAX_DATA, from.connectionWindow.limit);
    }
    if (this.#maxStreamsBidi && room()) {
      this.#maxStreamsBidi = false;
      from.peerBidi.limit = from.peerBidi.next;
      number(rec.REC_MAX_STREAMS_BIDI, c.FRAME_MAX_STREAMS_BIDI, from.peerBidi.limit);
    }
    if (this.#maxStreamsUni && room()) {
      this.#maxStreamsUni = false;
      from.peerUni.limit = from.peerUni.next;
      number(rec.REC_MAX_STREAMS_UNI, c.FRAME_MAX_STREAMS_UNI, from.peerUni.limit);
    }
    if (this.#dataBlocked && room()) {
      this.#dataBlocked = false;
      if (from.sendWindow.available <= 0)
        number(rec.REC_DATA_BLOCKED, c.FRAME_DATA_BLOCKED, from.sendWindow.limit);
    }
    if (this.#streamsBlockedBidi && room()) {
      this.#streamsBlockedBidi = false;
      number(rec.REC_STREAMS_BLOCKED_BIDI, c.FRAME_STREAMS_BLOCKED_BIDI, from.ownBidi.limit);
    }
    if (this.#streamsBlockedUni && room()) {
      this.#streamsBlockedUni = false;
      number(rec.REC_STREAMS_BLOCKED_UNI, c.FRAME_STREAMS_BLOCKED_UNI, from.ownUni.limit);
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

  /** All frames of one stream, −1 where they do not fit. */
  #writeStream(stream: Stream, buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    const { id, send, recv } = stream;
    if (limit - pos < 3 * MAX_NUMBERS + 32) return -1;
    if (send !== null) {
      if (send.resetDue && send.resetCode !== null && resetStreamLength(id, send.finalSize) <= limit - pos) {
        pos = writeResetStream(buf, pos, id, send.resetCode, send.finalSize);
        records.addRecord(rec.REC_RESET_STREAM, id, 0, 0);
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

  /** A lost frame is due again. Returns the stream to queue, −1 for none. */
  onLost(kind: number, id: number, stream: Stream | undefined): number {
    const from = this.#from;
    switch (kind) {
      case rec.REC_MAX_DATA:
        this.#maxData = true;
        return -1;
      case rec.REC_MAX_STREAMS_BIDI:
        this.#maxStreamsBidi = true;
        return -1;
      case rec.REC_MAX_STREAMS_UNI:
        this.#maxStreamsUni = true;
        return -1;
      case rec.REC_DATA_BLOCKED:
        from.sendWindow.blockedLost();
        if (from.sendWindow.blockedDue()) this.#dataBlocked = true;
        return -1;
      case rec.REC_STREAMS_BLOCKED_BIDI:
        from.ownBidi.blockedLost();
        this.streamsBlocked(true);
        return -1;
      case rec.REC_STREAMS_BLOCKED_UNI:
        from.ownUni.blockedLost();
        this.streamsBlocked(false);
        return -1;
    }
    if (stream === undefined) return -1;
    const { send, recv } = stream;
    if (kind === rec.REC_STOP_SENDING && recv !== null && !recv.isTerminal) recv.stopDue = true;
    else if (kind === rec.REC_MAX_STREAM_DATA && recv !== null && recv.finalSize === Infinity)
      recv.windowUpdateDue = true;
    else if (kind === rec.REC_STREAM_DATA_BLOCKED && send !== null && send.isBlocked) {
      send.window.blockedLost();
      if (send.window.blockedDue()) send.blockedDue = true;
    } else return -1;
    return id;
  }
}
