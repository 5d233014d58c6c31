// Visitors for tests: one that records every call as data, one that writes every frame again.
import { toHex } from "../../internal/protocol/bytes.ts";
import * as c from "../../internal/protocol/constants.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import type { AckFrame, FrameVisitor } from "../../internal/wire/frames.ts";

export type Call = readonly unknown[];

const hex = (buf: Uint8Array, start: number, length: number) => toHex(buf.subarray(start, start + length));

/** Everything a parser told, comparable with deepEqual. */
export class Recorder implements FrameVisitor {
  readonly calls: Call[] = [];

  onPadding(count: number): void {
    this.calls.push(["padding", count]);
  }
  onPing(): void {
    this.calls.push(["ping"]);
  }
  onAck(ack: AckFrame): void {
    const ranges = [...ack.ranges.subarray(0, 2 * ack.rangeCount)];
    this.calls.push(["ack", ack.largest, ack.delay, ranges, ack.ecn ? [ack.ect0, ack.ect1, ack.ce] : null]);
  }
  onResetStream(id: number, code: number, big: bigint, size: number, reliable: number): void {
    if (reliable === 0) this.calls.push(["reset_stream", id, code, big, size]);
    else this.calls.push(["reset_stream_at", id, code, big, size, reliable]);
  }
  onStopSending(id: number, code: number, big: bigint): void {
    this.calls.push(["stop_sending", id, code, big]);
  }
  onCrypto(offset: number, buf: Uint8Array, start: number, length: number): void {
    this.calls.push(["crypto", offset, hex(buf, start, length)]);
  }
  onNewToken(buf: Uint8Array, start: number, length: number): void {
    this.calls.push(["new_token", hex(buf, start, length)]);
  }
  onStream(id: number, offset: number, fin: boolean, buf: Uint8Array, start: number, length: number): void {
    this.calls.push(["stream", id, offset, fin, hex(buf, start, length)]);
  }
  onMaxData(max: number): void {
    this.calls.push(["max_data", max]);
  }
  onMaxStreamData(id: number, max: number): void {
    this.calls.push(["max_stream_data", id, max]);
  }
  onMaxStreams(bidi: boolean, max: number): void {
    this.calls.push(["max_streams", bidi, max]);
  }
  onDataBlocked(limit: number): void {
    this.calls.push(["data_blocked", limit]);
  }
  onStreamDataBlocked(id: number, limit: number): void {
    this.calls.push(["stream_data_blocked", id, limit]);
  }
  onStreamsBlocked(bidi: boolean, limit: number): void {
    this.calls.push(["streams_blocked", bidi, limit]);
  }
  onNewConnectionId(
    sequence: number,
    retire: number,
    buf: Uint8Array,
    cid: number,
    length: number,
    token: number,
  ): void {
    this.calls.push(["new_connection_id", sequence, retire, hex(buf, cid, length), hex(buf, token, 16)]);
  }
  onRetireConnectionId(sequence: number): void {
    this.calls.push(["retire_connection_id", sequence]);
  }
  onPathChallenge(buf: Uint8Array, start: number): void {
    this.calls.push(["path_challenge", hex(buf, start, 8)]);
  }
  onPathResponse(buf: Uint8Array, start: number): void {
    this.calls.push(["path_response", hex(buf, start, 8)]);
  }
  onConnectionClose(code: number, big: bigint, type: number, reason: Uint8Array, app: boolean): void {
    this.calls.push(["connection_close", code, big, type, toHex(reason), app]);
  }
  onAckFrequency(sequence: number, threshold: number, maxDelay: number, reordering: number): void {
    this.calls.push(["ack_frequency", sequence, threshold, maxDelay, reordering]);
  }
  onImmediateAck(): void {
    this.calls.push(["immediate_ack"]);
  }
  onHandshakeDone(): void {
    this.calls.push(["handshake_done"]);
  }
  onDatagram(buf: Uint8Array, start: number, length: number, _frameLength: number): void {
    this.calls.push(["datagram", hex(buf, start, length)]);
  }
}

function unclipped(value: number): number {
  return value === Infinity ? 2 ** 60 : value;
}

/**
 * Writes what it visits with our writers: parsing that again must tell the same. A frame without a length gets one, and
 * what reads as Infinity becomes 2^60, which does too and is a valid number of streams.
 */
export class Rewriter implements FrameVisitor {
  readonly buf: Uint8Array;
  pos = 0;

  constructor(capacity: number) {
    this.buf = new Uint8Array(capacity);
  }

  get bytes(): Uint8Array {
    return this.buf.subarray(0, this.pos);
  }

  #number(type: number, value: number): void {
    this.pos = w.writeNumberFrame(this.buf, this.pos, type, unclipped(value));
  }
  #streamNumber(type: number, id: number, value: number): void {
    this.pos = w.writeStreamNumberFrame(this.buf, this.pos, type, id, unclipped(value));
  }
  #data(from: Uint8Array, start: number, length: number): void {
    this.buf.set(from.subarray(start, start + length), this.pos);
    this.pos += length;
  }

  onPadding(count: number): void {
    this.pos = w.writePadding(this.buf, this.pos, count);
  }
  onPing(): void {
    this.pos = w.writeBareFrame(this.buf, this.pos, c.FRAME_PING);
  }
  onAck(ack: AckFrame): void {
    const { ranges, rangeCount, delay } = ack;
    this.pos = w.writeAck(
      this.buf,
      this.pos,
      this.buf.length,
      ranges,
      rangeCount,
      delay,
      ack.ecn ? ack : null,
    );
  }
  onResetStream(id: number, _code: number, big: bigint, size: number, reliable: number): void {
    if (reliable === 0) this.pos = w.writeResetStream(this.buf, this.pos, id, big, size);
    else this.pos = w.writeResetStreamAt(this.buf, this.pos, id, big, size, reliable);
  }
  onStopSending(id: number, _code: number, big: bigint): void {
    this.pos = w.writeStopSending(this.buf, this.pos, id, big);
  }
  onCrypto(offset: number, buf: Uint8Array, start: number, length: number): void {
    this.pos = w.writeCryptoHeader(this.buf, this.pos, offset, length);
    this.#data(buf, start, length);
  }
  onNewToken(buf: Uint8Array, start: number, length: number): void {
    this.pos = w.writeNewToken(this.buf, this.pos, buf.subarray(start, start + length));
  }
  onStream(id: number, offset: number, fin: boolean, buf: Uint8Array, start: number, length: number): void {
    this.pos = w.writeStreamHeader(this.buf, this.pos, id, offset, length, fin, true);
    this.#data(buf, start, length);
  }
  onMaxData(max: number): void {
    this.#number(c.FRAME_MAX_DATA, max);
  }
  onMaxStreamData(id: number, max: number): void {
    this.#streamNumber(c.FRAME_MAX_STREAM_DATA, id, max);
  }
  onMaxStreams(bidi: boolean, max: number): void {
    this.#number(bidi ? c.FRAME_MAX_STREAMS_BIDI : c.FRAME_MAX_STREAMS_UNI, max);
  }
  onDataBlocked(limit: number): void {
    this.#number(c.FRAME_DATA_BLOCKED, limit);
  }
  onStreamDataBlocked(id: number, limit: number): void {
    this.#streamNumber(c.FRAME_STREAM_DATA_BLOCKED, id, limit);
  }
  onStreamsBlocked(bidi: boolean, limit: number): void {
    this.#number(bidi ? c.FRAME_STREAMS_BLOCKED_BIDI : c.FRAME_STREAMS_BLOCKED_UNI, limit);
  }
  onNewConnectionId(
    sequence: number,
    retire: number,
    buf: Uint8Array,
    cid: number,
    length: number,
    token: number,
  ): void {
    this.pos = w.writeNewConnectionId(
      this.buf,
      this.pos,
      sequence,
      retire,
      buf.subarray(cid, cid + length),
      buf.subarray(token, token + 16),
    );
  }
  onRetireConnectionId(sequence: number): void {
    this.#number(c.FRAME_RETIRE_CONNECTION_ID, sequence);
  }
  onPathChallenge(buf: Uint8Array, start: number): void {
    this.pos = w.writePathFrame(this.buf, this.pos, c.FRAME_PATH_CHALLENGE, buf.subarray(start, start + 8));
  }
  onPathResponse(buf: Uint8Array, start: number): void {
    this.pos = w.writePathFrame(this.buf, this.pos, c.FRAME_PATH_RESPONSE, buf.subarray(start, start + 8));
  }
  onConnectionClose(_code: number, big: bigint, type: number, reason: Uint8Array, app: boolean): void {
    this.pos = w.writeConnectionClose(this.buf, this.pos, this.buf.length, app, big, type, reason);
  }
  onAckFrequency(sequence: number, threshold: number, maxDelay: number, reordering: number): void {
    this.pos = w.writeAckFrequency(this.buf, this.pos, sequence, threshold, maxDelay, reordering);
  }
  onImmediateAck(): void {
    this.pos = w.writeBareFrame(this.buf, this.pos, c.FRAME_IMMEDIATE_ACK);
  }
  onHandshakeDone(): void {
    this.pos = w.writeBareFrame(this.buf, this.pos, c.FRAME_HANDSHAKE_DONE);
  }
  onDatagram(buf: Uint8Array, start: number, length: number): void {
    this.pos = w.writeDatagram(this.buf, this.pos, buf.subarray(start, start + length));
  }
}
