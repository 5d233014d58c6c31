// CRYPTO data: rfc9000#7.5, rfc9000#19.6.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  APPLICATION,
  CRYPTO_BUFFER_EXCEEDED,
  HANDSHAKE,
  INITIAL,
} from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { CRYPTO_BUFFER } from "../../internal/protocol/limits.ts";
import { CryptoStreams } from "../../internal/stream/crypto-stream.ts";
import { content, draws } from "./harness.ts";

type Frame = { offset: number; length: number; bytes: Uint8Array };

function write(from: CryptoStreams, level: 0 | 1 | 2, size: number): Frame[] {
  const buf = new Uint8Array(size);
  const out: Frame[] = [];
  let end = 0;
  end = from.writeFrames(level, buf, 0, size, {
    addRecord: (_kind, offset, length) => out.push({ offset, length, bytes: EMPTY }),
  });
  // The last frame's data end where the frames end; the ones before it are found from there.
  for (let i = out.length - 1, at = end; i >= 0; i--) {
    out[i]!.bytes = buf.slice(at - out[i]!.length, at);
    const { offset, length } = out[i]!;
    at -= length + 1 + (offset < 64 ? 1 : offset < 16384 ? 2 : 4) + (length < 64 ? 1 : 2);
  }
  return out;
}
const EMPTY = new Uint8Array(0);

test("levels are streams of their own and arrive whole through loss and reordering", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const draw = draws(seed);
    const from = new CryptoStreams();
    const to = new CryptoStreams();
    const got: number[][] = [[], [], []];
    const sizes = ([INITIAL, HANDSHAKE, APPLICATION] as const).map((level) => {
      const messages = 1 + draw(4);
      let size = 0;
      for (let i = 0; i < messages; i++) {
        const n = 1 + draw(4000);
        from.send(level, content(level, size, n));
        size += n;
      }
      return size;
    });
    let waiting: [0 | 1 | 2, Frame][] = [];
    const levels = [INITIAL, HANDSHAKE, APPLICATION] as const;
    while (levels.some((level) => from.hasData(level)) || waiting.length > 0) {
      for (const level of levels)
        for (const frame of write(from, level, 100 + draw(1100))) waiting.push([level, frame]);
      const held: typeof waiting = [];
      for (const [level, frame] of waiting.sort(() => draw(3) - 1)) {
        const fate = draw(4);
        if (fate === 0) from.onLost(level, frame.offset, frame.length);
        else if (fate === 1) held.push([level, frame]);
        else {
          to.receive(level, frame.offset, frame.bytes, 0, frame.length);
          if (fate === 2) from.onAcked(level, frame.offset, frame.length);
          else if (draw(2) === 0) from.onLost(level, frame.offset, frame.length);
          else from.onAcked(level, frame.offset, frame.length);
          const bytes = to.read(level);
          if (bytes !== null) got[level]!.push(...bytes);
        }
      }
      waiting = held;
    }
    for (const level of levels) {
      assert.deepEqual(Uint8Array.from(got[level]!), content(level, 0, sizes[level]!), `seed ${seed}`);
    }
  }
});

// rfc9000#7.5 Implementations MUST support buffering at least 4096 bytes of data received in out-of-order CRYPTO frames;
// MUST close the connection with a CRYPTO_BUFFER_EXCEEDED error code
test("what is ahead is bounded, from what was read on", () => {
  const exceeded = (error: unknown) =>
    error instanceof TransportError && error.errorCode === CRYPTO_BUFFER_EXCEEDED;
  const streams = new CryptoStreams();
  const data = new Uint8Array(4096);
  streams.receive(INITIAL, 1, data, 0, 4095);
  streams.receive(INITIAL, CRYPTO_BUFFER - 100, data, 0, 100);
  assert.throws(() => streams.receive(INITIAL, CRYPTO_BUFFER, data, 0, 1), exceeded);
  streams.receive(HANDSHAKE, 0, data, 0, 1000);
  assert.equal(streams.read(HANDSHAKE)!.length, 1000);
  assert.equal(streams.read(HANDSHAKE), null);
  streams.receive(HANDSHAKE, CRYPTO_BUFFER, data, 0, 1000);
  assert.throws(() => streams.receive(HANDSHAKE, CRYPTO_BUFFER, data, 0, 1001), exceeded);
  const gaps = new CryptoStreams();
  assert.throws(() => {
    for (let i = 1; i < 2000; i++) gaps.receive(INITIAL, 2 * i, data, 0, 1);
  }, exceeded);
});

test("a discarded level neither sends nor receives", () => {
  const streams = new CryptoStreams();
  streams.send(INITIAL, new Uint8Array(100));
  const [frame] = write(streams, INITIAL, 60);
  streams.discard(INITIAL);
  streams.onLost(INITIAL, frame!.offset, frame!.length);
  streams.onAcked(INITIAL, frame!.offset, frame!.length);
  streams.send(INITIAL, new Uint8Array(10));
  assert.ok(!streams.hasData(INITIAL));
  streams.receive(INITIAL, 0, new Uint8Array(10), 0, 10);
  assert.equal(streams.read(INITIAL), null);
});
