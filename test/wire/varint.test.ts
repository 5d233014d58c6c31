import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, toHex } from "../../internal/protocol/bytes.ts";
import {
  MAX_VARINT_BIG,
  Reader,
  TOO_BIG,
  varintBigAt,
  varintLength,
  writeVarint,
  writeVarintBig,
  writeVarintFixed,
} from "../../internal/wire/varint.ts";
import { needsVectors, vectorJson } from "../vectors.ts";

const APPENDIX = ["rfc", "rfc9000-appendix-a.json"] as const;

test("varints of the RFC's appendix", needsVectors(...APPENDIX), () => {
  // rfc9000#A.1 Sample Variable-Length Integer Decoding
  const { varint_decode } = vectorJson<{ varint_decode: [string, string][] }>(...APPENDIX);
  for (const [encoded, value] of varint_decode) {
    const reader = new Reader(fromHex(encoded));
    assert.equal(reader.varintBig(), BigInt(value), encoded);
    assert.equal(reader.remaining, 0);
    const number = new Reader(fromHex(encoded)).varint();
    assert.equal(number, BigInt(value) > 2n ** 53n - 1n ? TOO_BIG : Number(value));
  }
});

test("the ranges of the four lengths", () => {
  // rfc9000#16 table 4: 0-63, 0-16383, 0-1073741823, 0-4611686018427387903
  const edges: [number, number][] = [
    [0, 1],
    [63, 1],
    [64, 2],
    [16383, 2],
    [16384, 4],
    [1073741823, 4],
    [1073741824, 8],
    [2 ** 32 - 1, 8],
    [2 ** 32, 8],
    [2 ** 48 + 12345, 8],
    [Number.MAX_SAFE_INTEGER, 8],
  ];
  for (const [value, length] of edges) {
    assert.equal(varintLength(value), length, String(value));
    const buf = new Uint8Array(10).fill(0xee);
    assert.equal(writeVarint(buf, 1, value), 1 + length);
    assert.equal(buf[0], 0xee);
    assert.equal(buf[1 + length], 0xee, "wrote behind its end");
    const reader = new Reader(buf, 1, 1 + length);
    assert.equal(reader.varint(), value);
    assert.equal(reader.failed, false);
    assert.equal(reader.remaining, 0);
  }
});

test("one past 2^53−1 reads as TOO_BIG and keeps its place", () => {
  for (const value of [2n ** 53n, 2n ** 60n, MAX_VARINT_BIG]) {
    const buf = new Uint8Array(9);
    assert.equal(writeVarintBig(buf, 0, value), 8);
    buf[8] = 0x07;
    const reader = new Reader(buf);
    assert.equal(reader.varint(), TOO_BIG);
    assert.equal(reader.u8(), 7);
    assert.equal(reader.failed, false);
    assert.equal(new Reader(buf).varintBig(), value);
    assert.equal(varintBigAt(buf, 0), value);
  }
  assert.equal(toHex(encodeBig(MAX_VARINT_BIG)), "ffffffffffffffff");
  assert.equal(toHex(encodeBig(2n ** 53n - 1n)), "c01fffffffffffff");
  assert.equal(toHex(encodeBig(63n)), "3f");
});

function encodeBig(value: bigint): Uint8Array {
  const buf = new Uint8Array(8);
  return buf.subarray(0, writeVarintBig(buf, 0, value));
}

test("powers of two beyond 2^53 can be written as they are", () => {
  const buf = new Uint8Array(8);
  writeVarint(buf, 0, 2 ** 60);
  assert.equal(varintBigAt(buf, 0), 2n ** 60n);
});

test("values need not be in their shortest form", () => {
  // rfc9000#16 values do not need to be encoded on the minimum number of bytes necessary
  const buf = new Uint8Array(8);
  for (const length of [1, 2, 4, 8]) {
    assert.equal(writeVarintFixed(buf, 0, 37, length), length);
    assert.equal(buf[0]! >> 6, Math.log2(length));
    const reader = new Reader(buf);
    assert.equal(reader.varint(), 37);
    assert.equal(reader.pos, length);
  }
});

test("reading past the end fails once and for all, and gives zeros", () => {
  for (const cut of ["", "40", "9d7f3e", "c2197c5eff14e8"]) {
    const reader = new Reader(fromHex(cut));
    assert.equal(reader.varint(), 0);
    assert.equal(reader.failed, true);
    assert.equal(reader.remaining, 0);
    assert.equal(reader.varintBig(), 0n);
  }
  const bytes = fromHex("010203");
  const reads: ((r: Reader) => unknown)[] = [
    (r) => r.u32(),
    (r) => r.bytes(4).length,
    (r) => (r.skip(4), 0),
    (r) => (r.skip(TOO_BIG), 0),
    (r) => r.bytes(TOO_BIG).length,
    (r) => (r.skip(2), r.u16()),
    (r) => (r.skip(1), r.u24()),
    (r) => (r.skip(3), r.u8()),
  ];
  for (const read of reads) {
    const reader = new Reader(bytes);
    assert.equal(read(reader), 0, String(read));
    assert.equal(reader.failed, true, String(read));
  }
  // The end is that of the reader, not of the buffer.
  const short = new Reader(bytes, 0, 1);
  assert.equal(short.u16(), 0);
  assert.equal(short.failed, true);
  short.reset(bytes, 1, 3);
  assert.equal(short.failed, false);
  assert.equal(short.u16(), 0x0203);
});

test("fixed-width integers and views", () => {
  const bytes = fromHex("ff0102030405ffffffff060708");
  const reader = new Reader(bytes);
  assert.equal(reader.u8(), 0xff);
  assert.equal(reader.u16(), 0x0102);
  assert.equal(reader.u24(), 0x030405);
  assert.equal(reader.u32(), 0xffffffff);
  const view = reader.bytes(3);
  assert.equal(toHex(view), "060708");
  assert.equal(view.buffer, bytes.buffer);
  assert.equal(reader.failed, false);
});
