// Frames as objects, for traces and tests. The hot path never makes them.

import { toHex, fromUtf8 } from "../protocol/bytes.ts";
import type { PacketType } from "../protocol/constants.ts";
import type { TracedFrame } from "../protocol/tracer.ts";
import { parseFrames, type AckFrame, type FrameVisitor } from "./frames.ts";

/** Limits arrive as Infinity above 2^53−1, which JSON cannot say. */
function shown(value: number): number {
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}

/** Collects what it visits, in qlog's names (qlog-quic-events). Stateless reset tokens stay out: they are secrets. */
export class FrameCollector implements FrameVisitor {
  readonly frames: TracedFrame[] = [];

  #add(frame: TracedFrame): void {
    this.frames.push(frame);
  }

  onPadding(count: number): void {
    this.#add({ type: "padding", length: count });
  }

  onPing(): void {
    this.#add({ type: "ping" });
  }

  onAck(ack: AckFrame): void {
    const ranges: [number, number][] = [];
    for (let i = ack.rangeCount - 1; i >= 0; i--) ranges.push([ack.ranges[2 * i]!, ack.ranges[2 * i + 1]!]);
    this.#add({
      type: "ack",
      ackDelay: ack.delay,
      ackedRanges: ranges,
      ...(ack.ecn ? { ect0: ack.ect0, ect1: ack.ect1, ce: ack.ce } : {}),
    });
  }

  onResetStream(
    streamId: number,
    errorCode: number,
    _big: bigint,
    finalSize: number,
    reliableSize: number,
  ): void {
    // Without a reliable size it does what RESET_STREAM does.
    if (reliableSize === 0) this.#add({ type: "reset_stream", streamId, errorCode, finalSize });
    else this.#add({ type: "reset_stream_at", streamId, errorCode, finalSize, reliableSize });
  }

  onStopSending(streamId: number, errorCode: number): void {
    this.#add({ type: "stop_sending", streamId, errorCode });
  }

  onCrypto(offset: number, _buf: Uint8Array, _start: number, length: number): void {
    this.#add({ type: "crypto", offset, length });
  }

  onNewToken(_buf: Uint8Array, _start: number, length: number): void {
    this.#add({ type: "new_token", length });
  }

  onStream(streamId: number, offset: number, fin: boolean, _b: Uint8Array, _s: number, length: number): void {
    this.#add({ type: "stream", streamId, offset, length, ...(fin ? { fin: true } : {}) });
  }

  onMaxData(maximum: number): void {
    this.#add({ type: "max_data", maximum: shown(maximum) });
  }

  onMaxStreamData(streamId: number, maximum: number): void {
    this.#add({ type: "max_stream_data", streamId, maximum: shown(maximum) });
  }

  onMaxStreams(bidi: boolean, maximum: number): void {
    const streamType = bidi ? "bidirectional" : "unidirectional";
    this.#add({ type: "max_streams", streamType, maximum: shown(maximum) });
  }

  onDataBlocked(limit: number): void {
    this.#add({ type: "data_blocked", limit: shown(limit) });
  }

  onStreamDataBlocked(streamId: number, limit: number): void {
    this.#add({ type: "stream_data_blocked", streamId, limit: shown(limit) });
  }

  onStreamsBlocked(bidi: boolean, limit: number): void {
    const streamType = bidi ? "bidirectional" : "unidirectional";
    this.#add({ type: "streams_blocked", streamType, limit: shown(limit) });
  }

  onNewConnectionId(
    sequence: number,
    retirePriorTo: number,
    buf: Uint8Array,
    start: number,
    length: number,
  ): void {
    const connectionId = toHex(buf.subarray(start, start + length));
    this.#add({ type: "new_connection_id", sequenceNumber: sequence, retirePriorTo, connectionId });
  }

  onRetireConnectionId(sequence: number): void {
    this.#add({ type: "retire_connection_id", sequenceNumber: sequence });
  }

  onPathChallenge(buf: Uint8Array, start: number): void {
    this.#add({ type: "path_challenge", data: toHex(buf.subarray(start, start + 8)) });
  }

  onPathResponse(buf: Uint8Array, start: number): void {
    this.#add({ type: "path_response", data: toHex(buf.subarray(start, start + 8)) });
  }

  onConnectionClose(
    errorCode: number,
    _big: bigint,
    frameType: number,
    reason: Uint8Array,
    app: boolean,
  ): void {
    this.#add({
      type: "connection_close",
      errorSpace: app ? "application" : "transport",
      errorCode,
      ...(app ? {} : { triggerFrameType: frameType }),
      reason: fromUtf8(reason),
    });
  }

  onAckFrequency(sequence: number, threshold: number, maxDelay: number, reordering: number): void {
    this.#add({
      type: "ack_frequency",
      sequence: shown(sequence),
      threshold: shown(threshold),
      maxDelay: shown(maxDelay),
      reordering: shown(reordering),
    });
  }

  onImmediateAck(): void {
    this.#add({ type: "immediate_ack" });
  }

  onHandshakeDone(): void {
    this.#add({ type: "handshake_done" });
  }

  onDatagram(_buf: Uint8Array, _start: number, length: number, _frameLength: number): void {
    this.#add({ type: "datagram", length });
  }
}

/** The frames of a payload as objects. @throws as parseFrames. */
export function describeFrames(buf: Uint8Array, start: number, end: number, type: PacketType): TracedFrame[] {
  const collector = new FrameCollector();
  parseFrames(buf, start, end, type, collector);
  return collector.frames;
}
