import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fromHex, toHex, utf8 } from "../../internal/protocol/bytes.ts";
import * as c from "../../internal/protocol/constants.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import { ACK_ELICITING, parseFrames, PROBING_ONLY } from "../../internal/wire/frames.ts";
import { needsVectors, vectorFiles, vectorPath } from "../vectors.ts";
import { Recorder, Rewriter, type Call } from "./visitors.ts";

function parse(text: string, type: c.PacketType = c.PACKET_ONE_RTT): { calls: Call[]; flags: number } {
  const bytes = fromHex(text.replaceAll(" ", ""));
  const visitor = new Recorder();
  const flags = parseFrames(bytes, 0, bytes.length, type, visitor);
  return { calls: visitor.calls, flags };
}

const calls = (text: string) => parse(text).calls;

test("every frame of rfc9000#19, byte by byte", () => {
  const token = "000102030405060708090a0b0c0d0e0f";
  const cases: [string, Call][] = [
    // rfc9000#19.1 to rfc9000#19.20 in order, rfc9221#4
    ["000000", ["padding", 3]],
    ["01", ["ping"]],
    ["02 0a 05 00 03", ["ack", 10, 5, [7, 10], null]],
    ["02 14 40ff 02 02 01 03 00 04", ["ack", 20, 255, [18, 20, 12, 15, 6, 10], null]],
    ["03 0a 05 00 03 01 02 4003", ["ack", 10, 5, [7, 10], [1, 2, 3]]],
    ["04 04 4102 06", ["reset_stream", 4, 0x102, 0x102n, 6]],
    ["05 04 4102", ["stop_sending", 4, 0x102, 0x102n]],
    ["06 05 03 aabbcc", ["crypto", 5, "aabbcc"]],
    ["07 02 aabb", ["new_token", "aabb"]],
    ["08 04 aabb", ["stream", 4, 0, false, "aabb"]],
    ["09 04 aabb", ["stream", 4, 0, true, "aabb"]],
    ["0a 04 01 aa", ["stream", 4, 0, false, "aa"]],
    ["0b 04 01 aa", ["stream", 4, 0, true, "aa"]],
    ["0c 04 4100 aabb", ["stream", 4, 256, false, "aabb"]],
    ["0d 04 4100", ["stream", 4, 256, true, ""]],
    ["0e 04 4100 01 aa", ["stream", 4, 256, false, "aa"]],
    ["0f 04 4100 01 aa", ["stream", 4, 256, true, "aa"]],
    ["10 80010000", ["max_data", 65536]],
    ["11 04 80010000", ["max_stream_data", 4, 65536]],
    ["12 07", ["max_streams", true, 7]],
    ["13 07", ["max_streams", false, 7]],
    ["14 07", ["data_blocked", 7]],
    ["15 04 07", ["stream_data_blocked", 4, 7]],
    ["16 07", ["streams_blocked", true, 7]],
    ["17 07", ["streams_blocked", false, 7]],
    [`18 03 02 04 aabbccdd ${token}`, ["new_connection_id", 3, 2, "aabbccdd", token]],
    ["19 03", ["retire_connection_id", 3]],
    ["1a 0102030405060708", ["path_challenge", "0102030405060708"]],
    ["1b 0102030405060708", ["path_response", "0102030405060708"]],
    ["1c 0a 08 02 6869", ["connection_close", 10, 10n, 8, "6869", false]],
    ["1d 4100 02 6869", ["connection_close", 256, 256n, 0, "6869", true]],
    ["1e", ["handshake_done"]],
    ["30 aabb", ["datagram", "aabb"]],
    ["30", ["datagram", ""]],
    ["31 01 aa", ["datagram", "aa"]],
  ];
  for (const [text, call] of cases) {
    assert.deepEqual(calls(text), [call], text);
    // The same frame behind another one, and in front of one where it says where it ends.
    assert.deepEqual(calls(`01 ${text}`), [["ping"], call], text);
    const toTheEnd = /^(08|09|0c|0d|30)/.test(text);
    if (!toTheEnd && call[0] !== "padding") assert.deepEqual(calls(`${text} 01`), [call, ["ping"]], text);
  }
});

test("values beyond 2^53−1: limits clip, codes are exact, counts are compared exactly", () => {
  const max = "ffffffffffffffff";
  assert.deepEqual(calls(`10 ${max}`), [["max_data", Infinity]]);
  assert.deepEqual(calls(`11 04 ${max}`), [["max_stream_data", 4, Infinity]]);
  assert.deepEqual(calls(`14 ${max}`), [["data_blocked", Infinity]]);
  // rfc9000#20.2 application error codes are 62-bit
  const code = 2n ** 62n - 1n;
  assert.deepEqual(calls(`05 04 ${max}`), [["stop_sending", 4, Number.MAX_SAFE_INTEGER, code]]);
  assert.deepEqual(calls(`04 04 ${max} 00`), [["reset_stream", 4, Number.MAX_SAFE_INTEGER, code, 0]]);
  assert.deepEqual(calls(`1c ${max} ${max} 00`), [
    ["connection_close", Number.MAX_SAFE_INTEGER, code, Number.MAX_SAFE_INTEGER, "", false],
  ]);
  // rfc9000#19.11 this value cannot exceed 2^60: 2^60 itself and 2^53 are valid
  for (const type of [0x12, 0x13, 0x16, 0x17]) {
    const name = type < 0x16 ? "max_streams" : "streams_blocked";
    for (const value of ["d000000000000000", "c020000000000000"]) {
      assert.deepEqual(calls(`${type.toString(16)} ${value}`), [[name, type % 2 === 0, Infinity]]);
    }
  }
  // ECN counts and the delay are only compared: NaN must not come of them.
  assert.deepEqual(calls(`03 00 ${max} 00 00 ${max} ${max} ${max}`), [
    [
      "ack",
      0,
      Number.MAX_SAFE_INTEGER,
      [0, 0],
      [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ],
  ]);
});

test("the largest offsets that a Number holds", () => {
  const last = "c01ffffffffffffe"; // 2^53−2
  assert.deepEqual(calls(`0e 04 ${last} 01 aa`), [["stream", 4, 2 ** 53 - 2, false, "aa"]]);
  assert.deepEqual(calls(`06 ${last} 01 aa`), [["crypto", 2 ** 53 - 2, "aa"]]);
  const id = "c01fffffffffffff";
  assert.deepEqual(calls(`0a ${id} 00`), [["stream", 2 ** 53 - 1, 0, false, ""]]);
});

test("what a payload is: ack-eliciting, probing", () => {
  const token = "00".repeat(16);
  const cases: [string, number][] = [
    // rfc9000#13.2 ACK, PADDING and CONNECTION_CLOSE are not ack-eliciting (table 3, N)
    ["00", PROBING_ONLY],
    ["02 00 00 00 00", 0],
    ["03 00 00 00 00 00 00 00", 0],
    ["1c 00 00 00", 0],
    ["1d 00 00", 0],
    ["00 02 00 00 00 00 00", 0],
    ["01", ACK_ELICITING],
    ["02 00 00 00 00 01", ACK_ELICITING],
    ["08 00 aa", ACK_ELICITING],
    ["1e", ACK_ELICITING],
    ["30 aa", ACK_ELICITING],
    // rfc9000#9.1 PATH_CHALLENGE, PATH_RESPONSE, NEW_CONNECTION_ID, and PADDING frames are probing frames
    ["1a 0000000000000000", ACK_ELICITING | PROBING_ONLY],
    ["1b 0000000000000000", ACK_ELICITING | PROBING_ONLY],
    [`18 01 00 01 aa ${token}`, ACK_ELICITING | PROBING_ONLY],
    [`1a 0000000000000000 0000 1b 0000000000000000 18 01 00 01 aa ${token}`, ACK_ELICITING | PROBING_ONLY],
    ["1a 0000000000000000 01", ACK_ELICITING],
    ["02 00 00 00 00 1a 0000000000000000", ACK_ELICITING],
  ];
  for (const [text, flags] of cases) assert.equal(parse(text).flags, flags, text);
});

test("hundreds of ACK ranges", () => {
  const ranges: number[] = [];
  for (let low = 4000; low >= 0; low -= 4) ranges.push(low, low + 1);
  const buf = new Uint8Array(4000);
  const end = w.writeAck(buf, 0, buf.length, Float64Array.from(ranges), ranges.length / 2, 7, null);
  const visitor = new Recorder();
  parseFrames(buf, 0, end, c.PACKET_ONE_RTT, visitor);
  assert.deepEqual(visitor.calls, [["ack", 4001, 7, ranges, null]]);
});

test("a visitor that parses other bytes meanwhile does not disturb the parser", () => {
  const inner = fromHex("060001aa0a0401bb020000000001");
  class Nested extends Recorder {}
  const outer = new Nested();
  for (const name of Object.getOwnPropertyNames(Recorder.prototype) as (keyof Recorder)[]) {
    if (!name.startsWith("on")) continue;
    const method = outer[name] as unknown as (...args: unknown[]) => void;
    Object.defineProperty(outer, name, {
      value: (...args: unknown[]) => {
        method.apply(outer, args);
        parseFrames(inner, 0, inner.length, c.PACKET_ONE_RTT, new Recorder());
      },
    });
  }
  const text =
    "01 02 0a 05 00 03 04 04 4102 06 05 04 4102 06 05 03 aabbcc 07 02 aabb 0a 04 01 aa 10 07 11 04 07 12 07 14 07 15 04 07" +
    ` 16 07 18 03 02 01 aa ${"00".repeat(16)} 19 03 1a 0102030405060708 1c 0a 08 00 1d 0a 00 1e 31 01 aa 00 01`;
  const bytes = fromHex(text.replaceAll(" ", ""));
  parseFrames(bytes, 0, bytes.length, c.PACKET_ONE_RTT, outer);
  assert.deepEqual(outer.calls, calls(text));
});

test("what the visitor throws comes out", () => {
  class Refuses extends Recorder {
    override onPing(): void {
      throw new RangeError("no");
    }
  }
  assert.throws(() => parseFrames(Uint8Array.of(1), 0, 1, c.PACKET_ONE_RTT, new Refuses()), RangeError);
  assert.deepEqual(calls("01"), [["ping"]], "and leaves the parser usable");
});

test("only the payload is looked at", () => {
  const bytes = fromHex("ffff0804aabbffff");
  const visitor = new Recorder();
  parseFrames(bytes, 2, 6, c.PACKET_ONE_RTT, visitor);
  assert.deepEqual(visitor.calls, [["stream", 4, 0, false, "aabb"]]);
});

const S2N = ["wire-samples", "s2n-frame"] as const;

test("frames as another implementation writes them", needsVectors(...S2N), () => {
  const sample = (name: string) => toHex(new Uint8Array(readFileSync(vectorPath(...S2N, `${name}.bin`)!)));
  assert.deepEqual(calls(sample("stream")).slice(0, 3), [
    ["stream", 1, 2, true, "68656c6c6f"],
    ["stream", 2, 3, false, "68656c6c6f"],
    ["stream", 3, 0, false, "68656c6c6f"],
  ]);
  assert.deepEqual(calls(sample("crypto")), [["crypto", 1, toHex(utf8("crypto!"))]]);
  assert.deepEqual(calls(sample("max_data")), [["max_data", 494878333]]);
  assert.deepEqual(calls(sample("max_streams")), [
    ["max_streams", true, 1],
    ["max_streams", false, 2],
  ]);
  assert.deepEqual(calls(sample("reset_stream")), [["reset_stream", 1, 2, 2n, 3]]);
  assert.deepEqual(calls(sample("connection_close")), [
    ["connection_close", 1, 1n, 2, toHex(utf8("error")), false],
    ["connection_close", 2, 2n, 0, toHex(utf8("other")), true],
  ]);
  assert.deepEqual(calls(sample("datagram")), [["datagram", toHex(utf8("I'm a datagram!"))]]);
});

const NGTCP2 = ["fuzz", "ngtcp2", "fuzz", "corpus", "decode_frame"] as const;

test("frames of a third implementation survive being written again by us", needsVectors(...NGTCP2), () => {
  // Well-formed for a decoder alone, but with values no connection can have: beyond 2^53, or ranges below zero.
  const impossible = ["ack", "ack_ecn", "crypto", "reset_stream", "stream_len"];
  let count = 0;
  for (const [name, bytes] of vectorFiles(...NGTCP2)) {
    if (impossible.includes(name)) continue;
    const first = new Recorder();
    const rewriter = new Rewriter(bytes.length * 2 + 64);
    parseFrames(bytes, 0, bytes.length, c.PACKET_ONE_RTT, first);
    parseFrames(bytes, 0, bytes.length, c.PACKET_ONE_RTT, rewriter);
    const second = new Recorder();
    parseFrames(rewriter.buf, 0, rewriter.pos, c.PACKET_ONE_RTT, second);
    assert.deepEqual(second.calls, first.calls, name);
    count++;
  }
  assert.equal(count, 16);
});
