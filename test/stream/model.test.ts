// Streams in both directions through loss, reordering and duplication, with ends, resets and stops at random: what is
// delivered is a prefix of what was written, all of it unless somebody gave up, and afterwards nothing is left over.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stream } from "../../internal/stream/stream.ts";
import type { StreamLimits } from "../../internal/stream/streams.ts";
import { content, contentByte, draws, Lossy, Side } from "./harness.ts";

/** What the application of one side does with one stream. */
class User {
  readonly side: Side;
  readonly stream: Stream;
  readonly length: number;
  readonly resetAt: number;
  readonly resetCode: bigint;
  /** What the reset must not take away. */
  readonly reliable: number;
  readonly stopAt: number;
  readonly stopCode: bigint;
  readonly owned: boolean;
  written = 0;
  ended = false;
  received = 0;
  resetHere = false;
  readonly kept: { at: number; bytes: Uint8Array }[] = [];

  constructor(side: Side, stream: Stream, draw: (n: number) => number) {
    this.side = side;
    this.stream = stream;
    this.length = [0, draw(50), draw(3000), draw(60_000)][draw(4)]!;
    this.resetAt = draw(5) === 0 ? draw(this.length + 1) : Infinity;
    this.resetCode = BigInt(draw(1000)) + (draw(4) === 0 ? 2n ** 60n : 0n);
    this.reliable = draw(2) === 0 ? draw(Math.min(this.resetAt, this.length) + 1) : 0;
    this.stopAt = draw(6) === 0 ? draw(30_000) : Infinity;
    this.stopCode = 5000n + BigInt(draw(1000));
    this.owned = draw(3) === 0;
  }

  write(draw: (n: number) => number): void {
    const { send } = this.stream;
    if (send === null || this.ended || send.stopCode !== null) return;
    while (this.written < Math.min(this.length, this.resetAt)) {
      const mark = this.written < this.reliable ? this.reliable : Infinity;
      const wanted = Math.min(1 + draw(20_000), Math.min(this.length, this.resetAt, mark) - this.written);
      const n = send.write(content(sendKey(this), this.written, wanted), this.owned);
      this.written += n;
      if (this.written === this.reliable) send.setReliableBoundary();
      if (n < wanted) return;
      if (draw(3) === 0) return;
    }
    if (this.resetAt !== Infinity && draw(3) > 0) return;
    this.ended = true;
    if (this.resetAt !== Infinity) {
      this.resetHere = true;
      send.reset(this.resetCode);
    } else send.finish();
  }

  read(draw: (n: number) => number, fail: (what: string) => never): void {
    const { recv } = this.stream;
    if (recv === null || draw(4) === 0) return;
    const key = recvKey(this);
    const take = (chunk: Uint8Array, n: number) => {
      for (let i = 0; i < n; i++) {
        if (chunk[i] !== contentByte(key, this.received + i)) fail(`byte ${this.received + i} differs`);
      }
    };
    if (draw(2) === 0) {
      const target = new Uint8Array(1 + draw(9000));
      const n = recv.readInto(target);
      take(target, n);
      this.received += n;
    } else {
      for (const chunk of recv.readChunks(1 + draw(100_000))) {
        take(chunk, chunk.length);
        this.kept.push({ at: this.received, bytes: chunk });
        this.received += chunk.length;
      }
    }
    if (this.received >= this.stopAt) recv.stop(this.stopCode);
  }
}

const sendKey = (user: User) => user.stream.id * 2 + (user.side.role === "client" ? 0 : 1);
const recvKey = (user: User) => user.stream.id * 2 + (user.side.role === "client" ? 1 : 0);

function run(seed: number): void {
  const draw = draws(seed);
  const limits: StreamLimits = {
    initialStreamWindow: 1000 + draw(30_000),
    maxStreamWindow: 40_000,
    initialConnectionWindow: 3000 + draw(60_000),
    maxConnectionWindow: 100_000,
    maxIncomingStreams: 1 + draw(12),
    maxIncomingUniStreams: 1 + draw(12),
  };
  const client = new Side("client", limits);
  const server = new Side("server", limits);
  const sides = [client, server] as const;
  const net = new Lossy(draw, draw(250));
  const users = new Map<Side, Map<number, User>>(sides.map((side) => [side, new Map()]));
  const todo = new Map<Side, number>(sides.map((side) => [side, 15 + draw(20)]));
  const fail = (what: string): never => assert.fail(`seed ${seed}: ${what}`);
  const add = (side: Side, stream: Stream) => users.get(side)!.set(stream.id, new User(side, stream, draw));

  let steps = 0;
  const over = () => sides.every((side) => todo.get(side) === 0 && side.map.size === 0);
  while (!over()) {
    if (++steps > 200_000) {
      const left = sides.map((side) =>
        [...side.map.values()].map((s) => [s.id, s.send?.state, s.recv?.state]),
      );
      fail(`stuck with ${JSON.stringify(left)}`);
    }
    for (const side of sides) {
      if (todo.get(side)! > 0 && draw(3) === 0) {
        const stream = side.map.open(draw(2) === 0);
        if (stream !== null) {
          add(side, stream);
          todo.set(side, todo.get(side)! - 1);
        }
      }
      for (const stream of side.opened) add(side, stream);
      side.opened = [];
      for (const user of users.get(side)!.values()) {
        if (draw(3) === 0) user.write(draw);
        user.read(draw, (what) => fail(`stream ${user.stream.id} at the ${side.role}: ${what}`));
      }
      net.transmit(side, side === client ? server : client);
    }
    if (!net.idle) net.step(sides);
  }
  while (!net.idle) net.step(sides);

  for (const side of sides) {
    const peer = side === client ? server : client;
    let announced = 0;
    for (const user of users.get(side)!.values()) {
      const what = `seed ${seed}: stream ${user.stream.id} from the ${side.role}`;
      const { send } = user.stream;
      const other = users.get(peer)!.get(user.stream.id)!;
      if (send !== null) {
        announced += send.finalSize;
        const recv = other.stream.recv!;
        assert.equal(recv.finalSize, send.finalSize, what);
        if (send.stopCode !== null) assert.equal(send.stopCode, other.stopCode, what);
        if (recv.finished) {
          assert.equal(other.received, user.written, what);
          assert.ok(recv.resetCode === null, what);
        } else if (recv.resetCode !== null) {
          // rfc9000#3.5 SHOULD copy the error code from the STOP_SENDING frame
          const code = user.resetHere && send.resetCode === user.resetCode ? user.resetCode : other.stopCode;
          assert.equal(recv.resetCode, code, what);
          // reliable-stream-reset#5 MUST guarantee reliable delivery of stream data of at least Reliable Size bytes
          if (send.stopCode === null && recv.stopCode === null) {
            assert.ok(other.received >= user.reliable, `${what}: ${other.received} of ${user.reliable}`);
          }
        } else assert.ok(recv.stopCode !== null, what);
        if (user.ended && !user.resetHere && recv.stopCode === null) {
          assert.ok(recv.finished, `${what} was finished and not delivered`);
          assert.ok(send.allAcked, what);
        }
      }
      // Chunks that were handed out are the application's: nobody wrote to them since.
      for (const { at, bytes } of user.kept) {
        for (let i = 0; i < bytes.length; i++) {
          if (bytes[i] !== contentByte(recvKey(user), at + i)) assert.fail(`${what}: chunk at ${at} changed`);
        }
      }
    }
    // rfc9000#4.5 both endpoints agree on the flow control credit that every stream consumed; all of it came back.
    assert.equal(peer.map.connectionWindow.received, announced, `seed ${seed}`);
    assert.equal(peer.map.connectionWindow.consumed, announced, `seed ${seed}`);
    assert.ok(!side.map.hasData, `seed ${seed}`);
    assert.equal(side.map.sharedRoom, 16 * 1024 * 1024, `seed ${seed}: send buffers are not empty`);
  }
}

const SEEDS = Number(process.env["QUIC_TS_STREAM_SEEDS"] ?? 25);
test(`what arrives is what was written, over ${SEEDS} seeds`, () => {
  const first = Number(process.env["QUIC_TS_STREAM_SEED"] ?? 1);
  for (let seed = first; seed < first + SEEDS; seed++) run(seed);
});
