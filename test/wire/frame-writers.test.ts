import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, fromUtf8, toHex, utf8 } from "../../internal/protocol/bytes.ts";
import * as c from "../../internal/protocol/constants.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import { Recorder } from "./visitors.ts";

const EDGES = [0, 1, 63, 64, 16383, 16384, 2 ** 30 - 1, 2 ** 30, 2 ** 53 - 1];
const CODES = [0n, 63n, 64n, 2n ** 30n, 2n ** 53n, 2n ** 62n - 1n];
const TOKEN = new Uint8Array(16).fill(5);

/** Writes behind a guard, checks the size against `length`, and parses it. */
function round(write: (buf: Uint8Array, pos: number) => number, length?: number): unknown {
  const buf = new Uint8Array(600).fill(0xee);
  const end = write(buf, 10);
  assert.equal(buf[9], 0xee);
  assert.equal(buf[end], 0xee, "wrote behind its end");
  if (length !== undefined) assert.equal(end - 10, length);
  const visitor = new Recorder();
  parseFrames(buf, 10, end, c.PACKET_ONE_RTT, visitor);
  assert.equal(visitor.calls.length, 1);
  return visitor.calls[0];
}

test("STREAM headers of every shape", () => {
  for (const id of EDGES) {
    for (const offset of EDGES.slice(0, -1)) {
      for (const fin of [false, true]) {
        for (const withLength of [false, true]) {
          const data = fromHex("aabbcc");
          const header = w.streamHeaderLength(id, offset, data.length, withLength);
          const call = round((buf, pos) => {
            pos = w.writeStreamHeader(buf, pos, id, offset, data.length, fin, withLength);
            buf.set(data, pos);
            return pos + data.length;
          }, header + data.length);
          assert.deepEqual(call, ["stream", id, offset, fin, "aabbcc"]);
        }
      }
    }
  }
});

test("the lengths callers reckon with are those that are written", () => {
  for (const value of EDGES) {
    const crypto = (buf: Uint8Array, pos: number) => w.writeCryptoHeader(buf, pos, value, 0);
    if (value < 2 ** 53 - 1) {
      assert.deepEqual(round(crypto, w.cryptoHeaderLength(value, 0)), ["crypto", value, ""]);
    }
    const cid = fromHex("0102030405060708");
    assert.deepEqual(
      round(
        (buf, pos) => w.writeNewConnectionId(buf, pos, value, Math.min(value, 70), cid, TOKEN),
        w.newConnectionIdLength(value, Math.min(value, 70), cid.length),
      ),
      ["new_connection_id", value, Math.min(value, 70), toHex(cid), toHex(TOKEN)],
    );
    for (const code of CODES) {
      const clipped = code > 2n ** 53n - 1n ? Number.MAX_SAFE_INTEGER : Number(code);
      const buf = new Uint8Array(64);
      assert.ok(w.writeResetStream(buf, 0, value, code, value) <= w.resetStreamLength(value, value));
      assert.ok(w.writeStopSending(buf, 0, value, code) <= w.stopSendingLength(value));
      assert.deepEqual(
        round((out, pos) => w.writeResetStream(out, pos, value, code, value)),
        ["reset_stream", value, clipped, code, value],
      );
      if (value > 0) {
        assert.deepEqual(
          round((out, pos) => w.writeResetStreamAt(out, pos, value, code, value, value)),
          ["reset_stream_at", value, clipped, code, value, value],
        );
      }
      assert.deepEqual(
        round((out, pos) => w.writeStopSending(out, pos, value, code)),
        ["stop_sending", value, clipped, code],
      );
    }
  }
  for (const length of [1, 63, 64, 300]) {
    const data = new Uint8Array(length).fill(3);
    assert.deepEqual(
      round((buf, pos) => w.writeNewToken(buf, pos, data), w.newTokenLength(length)),
      ["new_token", toHex(data)],
    );
    for (const withLength of [false, true]) {
      assert.deepEqual(
        round(
          (buf, pos) => w.writeDatagram(buf, pos, data, withLength),
          w.datagramHeaderLength(length, withLength) + length,
        ),
        ["datagram", toHex(data)],
      );
    }
  }
});

test("ACK_FREQUENCY and IMMEDIATE_ACK", () => {
  const write = (buf: Uint8Array, pos: number) => w.writeAckFrequency(buf, pos, 70, 10, 5000, 3);
  assert.deepEqual(round(write), ["ack_frequency", 70, 10, 5000, 3]);
  assert.ok(
    w.writeAckFrequency(new Uint8Array(64), 0, 2 ** 50, 2 ** 50, 2 ** 50, 2 ** 50) <= w.MAX_ACK_FREQUENCY,
  );
  assert.deepEqual(
    round((buf, pos) => w.writeBareFrame(buf, pos, c.FRAME_IMMEDIATE_ACK)),
    ["immediate_ack"],
  );
});

test("frames of numbers", () => {
  const one: [number, (value: number) => unknown][] = [
    [c.FRAME_MAX_DATA, (v) => ["max_data", v]],
    [c.FRAME_MAX_STREAMS_BIDI, (v) => ["max_streams", true, v]],
    [c.FRAME_MAX_STREAMS_UNI, (v) => ["max_streams", false, v]],
    [c.FRAME_DATA_BLOCKED, (v) => ["data_blocked", v]],
    [c.FRAME_STREAMS_BLOCKED_BIDI, (v) => ["streams_blocked", true, v]],
    [c.FRAME_STREAMS_BLOCKED_UNI, (v) => ["streams_blocked", false, v]],
    [c.FRAME_RETIRE_CONNECTION_ID, (v) => ["retire_connection_id", v]],
  ];
  for (const value of EDGES) {
    for (const [type, call] of one) {
      assert.deepEqual(
        round((buf, pos) => w.writeNumberFrame(buf, pos, type, value)),
        call(value),
      );
    }
    assert.deepEqual(
      round((buf, pos) => w.writeStreamNumberFrame(buf, pos, c.FRAME_MAX_STREAM_DATA, value, 9)),
      ["max_stream_data", value, 9],
    );
    assert.deepEqual(
      round((buf, pos) => w.writeStreamNumberFrame(buf, pos, c.FRAME_STREAM_DATA_BLOCKED, 9, value)),
      ["stream_data_blocked", 9, value],
    );
  }
});

test("bare and path frames", () => {
  assert.deepEqual(
    round((buf, pos) => w.writePadding(buf, pos, 7)),
    ["padding", 7],
  );
  assert.deepEqual(
    round((buf, pos) => w.writeBareFrame(buf, pos, c.FRAME_PING)),
    ["ping"],
  );
  assert.deepEqual(
    round((buf, pos) => w.writeBareFrame(buf, pos, c.FRAME_HANDSHAKE_DONE)),
    ["handshake_done"],
  );
  const data = fromHex("0102030405060708");
  assert.deepEqual(
    round((buf, pos) => w.writePathFrame(buf, pos, c.FRAME_PATH_CHALLENGE, data)),
    ["path_challenge", toHex(data)],
  );
  assert.deepEqual(
    round((buf, pos) => w.writePathFrame(buf, pos, c.FRAME_PATH_RESPONSE, data)),
    ["path_response", toHex(data)],
  );
});

test("ACK frames drop the oldest ranges where room is short", () => {
  // rfc9000#13.2.3 an endpoint limits the number of ACK Ranges; the largest are kept
  const ranges: number[] = [];
  for (let high = 1_000_000; ranges.length < 200; high -= 10_000) ranges.push(high - 100, high);
  const array = Float64Array.from(ranges);
  for (const ecn of [null, { ect0: 5, ect1: 0, ce: 70 }]) {
    let before = 0;
    for (let room = 0; room < 700; room++) {
      const buf = new Uint8Array(800).fill(0xee);
      const end = w.writeAck(buf, 3, 3 + room, array, 100, 40, ecn);
      assert.ok(end <= 3 + room, `${end} of ${room}`);
      assert.equal(buf[end], 0xee);
      if (end === 3) {
        assert.ok(room < 20, "the first range fits by then");
        continue;
      }
      const visitor = new Recorder();
      parseFrames(buf, 3, end, c.PACKET_ONE_RTT, visitor);
      const [, largest, delay, written, counts] = visitor.calls[0] as [
        string,
        number,
        number,
        number[],
        unknown,
      ];
      assert.equal(largest, 1_000_000);
      assert.equal(delay, 40);
      assert.deepEqual(written, ranges.slice(0, written.length));
      assert.deepEqual(counts, ecn === null ? null : [5, 0, 70]);
      assert.ok(written.length >= before, "more room, no fewer ranges");
      before = written.length;
    }
    assert.equal(before, 200, "all fit in the end");
  }
  assert.equal(w.writeAck(new Uint8Array(10), 0, 10, array, 0, 0, null), 0, "nothing to acknowledge");
});

test("CONNECTION_CLOSE cuts its reason to the room, between characters", () => {
  const reason = utf8("grün ist die Hoffnung €".repeat(9));
  const text = fromUtf8(reason);
  for (const application of [false, true]) {
    for (let room = 21; room < 300; room++) {
      const buf = new Uint8Array(400).fill(0xee);
      const end = w.writeConnectionClose(buf, 0, room, application, 2n ** 62n - 1n, 2 ** 40, reason);
      assert.ok(end <= room, `${end} of ${room}`);
      assert.equal(buf[end], 0xee);
      const visitor = new Recorder();
      parseFrames(buf, 0, end, c.PACKET_ONE_RTT, visitor);
      const [, , code, type, written, app] = visitor.calls[0]!;
      assert.equal(code, 2n ** 62n - 1n);
      assert.equal(type, application ? 0 : 2 ** 40);
      assert.equal(app, application);
      const shown = fromUtf8(fromHex(written as string));
      assert.ok(text.startsWith(shown), `${room}: ${shown}`);
      assert.ok(room - end < 6 || shown === text, "uses its room");
    }
  }
  assert.deepEqual(
    round((buf, pos) => w.writeConnectionClose(buf, pos, 600, true, 0x100, 0, utf8("bye"))),
    ["connection_close", 0x100, 0x100n, 0, "627965", true],
  );
});
