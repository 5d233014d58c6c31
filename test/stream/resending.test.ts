// What leaves: messages of HTTP/3 in small and large writes, through loss, reordering, late acknowledgements and a slow peer.
// A receiver drops what it has, so that no test of what arrives sees a frame that was sent again with other bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FRAME, frameHeader } from "../../http3/frames.ts";
import { TypeLength } from "../../http3/tlv.ts";
import * as c from "../../internal/protocol/constants.ts";
import type { SendHalf } from "../../internal/stream/send.ts";
import type { Stream } from "../../internal/stream/stream.ts";
import type { StreamLimits } from "../../internal/stream/streams.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import { concat } from "../http3/helpers.ts";
import { Recorder } from "../wire/visitors.ts";
import { content, draws, Lossy, type Sent, Side } from "./harness.ts";

/** One message: what its frames are, and where its stream got to. */
class Message {
  readonly key: number;
  readonly send: SendHalf;
  readonly resets: boolean;
  /** All of it, as it is to be on the wire. */
  readonly bytes: Uint8Array;
  readonly dataLength: number;
  written = 0;
  /** Bytes that left, each offset once or more. */
  readonly left: Uint8Array;
  sentEnd = 0;
  sentAgain = 0;
  finalSize: number | null = null;

  constructor(send: SendHalf, key: number, draw: (n: number) => number) {
    this.key = key;
    this.send = send;
    this.resets = draw(6) === 0;
    const parts: Uint8Array[] = [];
    let at = 0;
    const add = (type: number, length: number) => {
      const header = frameHeader(type, length);
      parts.push(header, content(key, at + header.length, length));
      at += header.length + length;
    };
    if (draw(2) === 0) add(0x1f * draw(1000) + 0x21, draw(16));
    add(FRAME.HEADERS, 1 + draw(300));
    let data = 0;
    for (let i = draw(12); i > 0; i--) {
      const length = [1 + draw(9), draw(2000), 16_384, draw(70_000)][draw(4)]!;
      add(FRAME.DATA, length);
      data += length;
    }
    this.dataLength = data;
    this.bytes = concat(...parts);
    this.left = new Uint8Array(this.bytes.length);
  }

  /** Writes some of the rest; what was not given away is used for something else at once. */
  write(draw: (n: number) => number): void {
    const { send, bytes } = this;
    if (send.state === "data_sent" || send.resetCode !== null) return;
    for (let times = 1 + draw(5); times > 0 && this.written < bytes.length; times--) {
      const wanted = Math.min(
        [1 + draw(8), 1 + draw(400), 1 + draw(40_000)][draw(3)]!,
        bytes.length - this.written,
      );
      const piece = bytes.slice(this.written, this.written + wanted);
      const owned = draw(3) === 0;
      const n = send.write(piece, owned);
      if (!owned) piece.fill(0xee);
      this.written += n;
      if (n < wanted) return;
    }
    if (this.resets && draw(4) === 0) send.reset(7n);
    else if (this.written === bytes.length && draw(3) === 0) send.finish();
  }
}

/** Looks at each frame as it leaves. */
class Watched extends Side {
  readonly messages = new Map<number, Message>();
  readonly #seen: Recorder;

  constructor(limits: StreamLimits, seed: number) {
    super("client", limits);
    const { messages } = this;
    this.#seen = new (class extends Recorder {
      override onStream(
        id: number,
        at: number,
        fin: boolean,
        buf: Uint8Array,
        from: number,
        n: number,
      ): void {
        const message = messages.get(id)!;
        const what = `seed ${seed}: stream ${id}, ${n} bytes at ${at}`;
        const end = at + n;
        // rfc9000#2.2 The data at a given offset MUST NOT change if it is sent multiple times.
        const same = Buffer.compare(buf.subarray(from, from + n), message.bytes.subarray(at, end)) === 0;
        assert.ok(same, what);
        // Nothing is left out: what is new begins where the last ended.
        assert.ok(at <= message.sentEnd && end <= message.written, what);
        message.left.set(buf.subarray(from, from + n), at);
        if (at < message.sentEnd) message.sentAgain++;
        message.sentEnd = Math.max(message.sentEnd, end);
        if (fin) {
          assert.equal(end, message.bytes.length, what);
          assert.equal(message.written, message.bytes.length, what);
          this.#final(message, end, what);
        }
        // rfc9000#4.5 Once a final size for a stream is known, it cannot change.
        if (message.finalSize !== null) assert.ok(end <= message.finalSize, what);
      }
      override onResetStream(id: number, _code: number, _big: bigint, size: number): void {
        const message = messages.get(id)!;
        const what = `seed ${seed}: stream ${id}, reset at ${size}`;
        assert.equal(size, message.sentEnd, what);
        this.#final(message, size, what);
      }
      #final(message: Message, size: number, what: string): void {
        message.finalSize ??= size;
        assert.equal(message.finalSize, size, what);
      }
    })();
  }

  override packet(size?: number): Sent | null {
    const packet = super.packet(size);
    if (packet !== null) parseFrames(packet.bytes, 0, packet.bytes.length, c.PACKET_ONE_RTT, this.#seen);
    return packet;
  }
}

/** Lengths of DATA, from the frames of a message. */
function dataLengths(bytes: Uint8Array, what: string): number {
  const header = new TypeLength();
  let sum = 0;
  let at = 0;
  while (at < bytes.length) {
    at = header.read(bytes, at, null);
    assert.ok(at >= 0 && at + header.length <= bytes.length, `${what}: a frame is cut off`);
    if (header.type === FRAME.DATA) sum += header.length;
    at += header.length;
  }
  return sum;
}

/** @returns how many frames were sent again */
function run(seed: number): number {
  const draw = draws(seed);
  const limits: StreamLimits = {
    initialStreamWindow: 1000 + draw(60_000),
    maxStreamWindow: 70_000,
    initialConnectionWindow: 3000 + draw(100_000),
    maxConnectionWindow: 150_000,
    maxIncomingStreams: 1 + draw(8),
    maxIncomingUniStreams: 1,
  };
  const client = new Watched(limits, seed);
  const server = new Side("server", limits);
  const sides = [client, server] as const;
  const net = new Lossy(draw, draw(450));
  const arriving: Stream[] = [];
  const slow = 1 + draw(20);
  let todo = 12;
  let steps = 0;
  while (todo > 0 || sides.some((side) => side.map.size > 0)) {
    if (++steps > 200_000) assert.fail(`seed ${seed}: stuck`);
    if (todo > 0 && draw(4) === 0) {
      const stream = client.map.open(true);
      if (stream !== null) {
        client.messages.set(stream.id, new Message(stream.send!, stream.id, draw));
        todo--;
      }
    }
    for (const message of client.messages.values()) if (draw(3) === 0) message.write(draw);
    arriving.push(...server.opened.splice(0));
    for (const { recv, send } of arriving) {
      if (draw(slow) === 0) for (const _ of recv!.readChunks(1 + draw(20_000)));
      if (recv!.finished || recv!.resetCode !== null) send!.finish();
    }
    for (const id of client.messages.keys()) {
      for (const _ of client.map.get(id)?.recv?.readChunks(1) ?? []);
    }
    net.transmit(client, server);
    net.transmit(server, client);
    if (!net.idle) net.step(sides);
  }
  while (!net.idle) net.step(sides);

  let again = 0;
  for (const [id, message] of client.messages) {
    const what = `seed ${seed}: stream ${id}`;
    again += message.sentAgain;
    assert.equal(message.finalSize, message.sentEnd, what);
    if (message.send.resetCode !== null) continue;
    assert.equal(message.finalSize, message.bytes.length, what);
    assert.equal(dataLengths(message.left, what), message.dataLength, what);
  }
  return again;
}

const SEEDS = Number(process.env["QUIC_TS_STREAM_SEEDS"] ?? 20);
test(`what is sent again is what was sent, over ${SEEDS} seeds`, () => {
  const first = Number(process.env["QUIC_TS_STREAM_SEED"] ?? 1);
  let again = 0;
  for (let seed = first; seed < first + SEEDS; seed++) again += run(seed);
  assert.ok(again > 20 * SEEDS, `${again} frames were sent again`);
});
