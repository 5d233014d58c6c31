import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fromHex, toHex } from "../../internal/protocol/bytes.ts";
import * as c from "../../internal/protocol/constants.ts";
import {
  encodeRetry,
  encodeStatelessReset,
  encodeVersionNegotiation,
  FIXED_BIT,
  isLongHeader,
  KEY_PHASE_BIT,
  LongHeader,
  parseInvariants,
  parseLongHeader,
  parseRetry,
  parseVersionNegotiation,
  patchLength,
  SPIN_BIT,
  writeLongHeader,
  writeShortHeader,
} from "../../internal/wire/header.ts";
import { writeVarintBig, writeVarintFixed } from "../../internal/wire/varint.ts";
import { needsVectors, vectorPath } from "../vectors.ts";

const DCID = fromHex("8394c8f03e515708");
const SCID = fromHex("f067a5502a4262b5");
const NONE = new Uint8Array(0);

const zeros = (out: Uint8Array) => out.fill(0);

function parse(buf: Uint8Array, start = 0, end = buf.length): LongHeader | null {
  const header = new LongHeader();
  return parseLongHeader(buf, start, end, header) ? header : null;
}

const slice = (buf: Uint8Array, at: number, length: number) => toHex(buf.subarray(at, at + length));

test("the client Initial of RFC 9001's appendix", () => {
  // rfc9001#A.2 header c300000001088394c8f03e5157080000449e00000002
  const buf = new Uint8Array(1200);
  const pnOffset = writeLongHeader(buf, 0, c.PACKET_INITIAL, c.VERSION_1, DCID, NONE, NONE, 4, 2);
  patchLength(buf, pnOffset, 1182);
  assert.equal(slice(buf, 0, pnOffset + 4), "c300000001088394c8f03e5157080000449e00000002");
  const header = parse(buf)!;
  assert.equal(header.type, c.PACKET_INITIAL);
  assert.equal(header.version, c.VERSION_1);
  assert.equal(slice(buf, header.dcidOffset, header.dcidLength), "8394c8f03e515708");
  assert.equal(header.scidLength, 0);
  assert.equal(header.tokenLength, 0);
  assert.equal(header.pnOffset, 18);
  assert.equal(header.length, 1182);
  assert.equal(header.packetEnd, 1200);
});

test("long header types of both versions", () => {
  // rfc9000#17.2 table 5; rfc9369#3.2 Initial 0b01, 0-RTT 0b10, Handshake 0b11, Retry 0b00
  const bits = new Map([
    [c.VERSION_1, [0, 1, 2, 3]],
    [c.VERSION_2, [1, 2, 3, 0]],
  ]);
  for (const [version, order] of bits) {
    for (const type of [c.PACKET_INITIAL, c.PACKET_ZERO_RTT, c.PACKET_HANDSHAKE] as const) {
      const buf = new Uint8Array(100);
      const token = type === c.PACKET_INITIAL ? fromHex("aabbcc") : null;
      const start = 3;
      const pnOffset = writeLongHeader(buf, start, type, version, DCID, SCID, token, 2, 0x12345);
      patchLength(buf, pnOffset, 30);
      assert.equal((buf[start]! >> 4) & 3, order[type]);
      // rfc9000#17.2 the fixed bit is set, the reserved bits are 0 before protection
      assert.equal(buf[start]! & 0xcf, 0xc1);
      assert.equal(slice(buf, pnOffset, 2), "2345");
      const header = parse(buf, start)!;
      assert.equal(header.type, type);
      assert.equal(header.version, version);
      assert.equal(slice(buf, header.scidOffset, header.scidLength), toHex(SCID));
      assert.equal(
        slice(buf, header.tokenOffset, header.tokenLength),
        type === c.PACKET_INITIAL ? "aabbcc" : "",
      );
      assert.equal(header.pnOffset, pnOffset);
      assert.equal(header.packetEnd, pnOffset + 30);
    }
  }
});

test("a Length of four bytes for what two cannot hold", () => {
  const buf = new Uint8Array(40_000);
  assert.throws(() => patchLength(buf, 20, 0x4000), RangeError);
  const pnOffset = writeLongHeader(buf, 0, c.PACKET_HANDSHAKE, c.VERSION_1, DCID, SCID, null, 1, 0, 4);
  patchLength(buf, pnOffset, 30_000, 4);
  assert.equal(parse(buf)!.packetEnd, pnOffset + 30_000);
});

test("coalesced packets: each ends where its Length says", () => {
  // rfc9000#12.2 the Length field determines the end of a packet
  const buf = new Uint8Array(200);
  const first = writeLongHeader(buf, 0, c.PACKET_INITIAL, c.VERSION_1, DCID, SCID, NONE, 1, 0);
  patchLength(buf, first, 40);
  const second = writeLongHeader(buf, first + 40, c.PACKET_HANDSHAKE, c.VERSION_1, DCID, SCID, null, 1, 0);
  patchLength(buf, second, 50);
  const header = parse(buf, 0)!;
  assert.equal(header.packetEnd, first + 40);
  assert.equal(parse(buf, header.packetEnd)!.type, c.PACKET_HANDSHAKE);
});

test("long headers that are cut off or lie about their lengths", () => {
  const buf = new Uint8Array(80);
  const pnOffset = writeLongHeader(buf, 0, c.PACKET_INITIAL, c.VERSION_1, DCID, SCID, fromHex("0102"), 1, 0);
  patchLength(buf, pnOffset, buf.length - pnOffset);
  assert.notEqual(parse(buf), null);
  for (let end = 0; end < buf.length; end++) assert.equal(parse(buf, 0, end), null, `cut at ${end}`);
  patchLength(buf, pnOffset, buf.length - pnOffset + 1);
  assert.equal(parse(buf), null, "Length beyond the datagram");
  // Lengths up to 2^62−1 neither overflow nor allocate.
  const huge = new Uint8Array(64);
  writeLongHeader(huge, 0, c.PACKET_HANDSHAKE, c.VERSION_1, DCID, SCID, null, 1, 0);
  for (const length of [2n ** 30n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 62n - 1n]) {
    writeVarintBig(huge, 23, length);
    assert.equal(parse(huge), null, `Length ${length}`);
  }
  const token = new Uint8Array(64);
  writeLongHeader(token, 0, c.PACKET_INITIAL, c.VERSION_1, DCID, SCID, NONE, 1, 0);
  for (const length of [2n ** 30n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 62n - 1n]) {
    writeVarintBig(token, 23, length);
    assert.equal(parse(token), null, `Token Length ${length}`);
  }
});

test("connection IDs of more than 20 bytes are not for version 1, but for Version Negotiation", () => {
  // rfc9000#17.2 endpoints that receive a version 1 long header with a value larger than 20 MUST drop the packet
  const long = new Uint8Array(21).fill(7);
  for (const [dcid, scid] of [
    [long, SCID],
    [DCID, long],
  ] as const) {
    for (const version of [c.VERSION_1, c.VERSION_2]) {
      const buf = new Uint8Array(100);
      const pnOffset = writeLongHeader(buf, 0, c.PACKET_HANDSHAKE, version, dcid, scid, null, 1, 0);
      patchLength(buf, pnOffset, 30);
      assert.equal(parse(buf), null);
      // rfc9000#17.2 servers SHOULD be able to read longer connection IDs from other QUIC versions
      const header = new LongHeader();
      assert.ok(parseInvariants(buf, 0, buf.length, header));
      assert.equal(header.dcidLength, dcid.length);
      assert.equal(header.scidLength, scid.length);
    }
  }
  const longest = new Uint8Array(255).fill(9);
  const packet = encodeVersionNegotiation(longest, longest, [c.VERSION_1], 0);
  const header = parse(packet)!;
  assert.equal(header.type, c.PACKET_VERSION_NEGOTIATION);
  assert.equal(header.dcidLength, 255);
  assert.deepEqual(parseVersionNegotiation(packet, 0, packet.length), [c.VERSION_1]);
});

test("the version-independent part", () => {
  // rfc8999#5.1 Long Header
  const header = new LongHeader();
  const bytes = fromHex("80" + "1a2a3a4a" + "02aabb" + "03ccddee" + "ffff");
  assert.ok(parseInvariants(bytes, 0, bytes.length, header));
  assert.equal(header.version, 0x1a2a3a4a);
  assert.equal(slice(bytes, header.dcidOffset, header.dcidLength), "aabb");
  assert.equal(slice(bytes, header.scidOffset, header.scidLength), "ccddee");
  assert.equal(header.pnOffset, 12);
  for (let end = 0; end < 12; end++) assert.equal(parseInvariants(bytes, 0, end, header), false);
  bytes[0] = 0x40;
  assert.equal(parseInvariants(bytes, 0, bytes.length, header), false, "a short header");
  assert.equal(isLongHeader(0x80), true);
  assert.equal(isLongHeader(0x7f), false);
});

test("Version Negotiation", () => {
  const packet = encodeVersionNegotiation(SCID, DCID, [c.VERSION_2, c.VERSION_1, 0x5a6a7a8a], 0x35);
  // rfc9000#17.2.1 the version field MUST be set to 0; 0x40 SHOULD be set
  assert.equal(slice(packet, 0, 5), "f500000000");
  assert.equal(parse(packet)!.type, c.PACKET_VERSION_NEGOTIATION);
  assert.deepEqual(parseVersionNegotiation(packet, 0, packet.length), [c.VERSION_2, c.VERSION_1, 0x5a6a7a8a]);
  // rfc9000#17.2.1 clients MUST ignore the value of this field (Unused)
  packet[0] = 0x80;
  assert.equal(parseVersionNegotiation(packet, 0, packet.length)!.length, 3);
  // rfc8999#6 MUST ignore a packet that contains no Supported Version fields or a truncated Supported Version value
  assert.equal(parseVersionNegotiation(packet, 0, packet.length - 1), null);
  assert.equal(parseVersionNegotiation(packet, 0, packet.length - 12), null);
  packet[4] = 1;
  assert.equal(parseVersionNegotiation(packet, 0, packet.length), null, "not version 0");
});

test("Retry", () => {
  const token = fromHex("746f6b656e");
  const tag = new Uint8Array(16).fill(0xaa);
  // rfc9001#A.4 without its tag: ff000000010008f067a5502a4262b5746f6b656e
  assert.equal(
    toHex(encodeRetry(c.VERSION_1, NONE, SCID, token, 0x0f)),
    "ff000000010008f067a5502a4262b5746f6b656e",
  );
  // rfc9369#A.4 cf6b3343cf0008f067a5502a4262b5746f6b656e
  assert.equal(
    toHex(encodeRetry(c.VERSION_2, NONE, SCID, token, 0x0f)),
    "cf6b3343cf0008f067a5502a4262b5746f6b656e",
  );
  for (const version of [c.VERSION_1, c.VERSION_2]) {
    const packet = Uint8Array.from([...encodeRetry(version, DCID, SCID, token, 0), ...tag]);
    const retry = parseRetry(packet, 0, packet.length)!;
    assert.equal(retry.version, version);
    assert.equal(toHex(retry.dcid), toHex(DCID));
    assert.equal(toHex(retry.scid), toHex(SCID));
    assert.equal(toHex(retry.token), toHex(token));
    assert.equal(toHex(retry.integrityTag), toHex(tag));
    // rfc9000#17.2.5.2 a client MUST discard a Retry packet with a zero-length Retry Token field
    assert.equal(parseRetry(packet, 0, packet.length - token.length), null);
    assert.equal(parse(packet, 0, packet.length - token.length - 1), null, "no room for the tag");
  }
  const buf = new Uint8Array(100);
  const pnOffset = writeLongHeader(buf, 0, c.PACKET_HANDSHAKE, c.VERSION_1, DCID, SCID, null, 1, 0);
  patchLength(buf, pnOffset, 30);
  assert.equal(parseRetry(buf, 0, buf.length), null, "another type");
});

test("short headers", () => {
  // rfc9000#17.3.1 1-RTT Packet
  for (const keyPhase of [0, 1]) {
    for (const spin of [false, true]) {
      for (const pnLength of [1, 2, 3, 4]) {
        const buf = new Uint8Array(40);
        const pnOffset = writeShortHeader(buf, 2, DCID, keyPhase, spin, pnLength, 0xa1b2c3d4e5);
        assert.equal(pnOffset, 2 + 1 + DCID.length);
        assert.equal(
          buf[2],
          FIXED_BIT | (spin ? SPIN_BIT : 0) | (keyPhase === 1 ? KEY_PHASE_BIT : 0) | (pnLength - 1),
        );
        assert.equal(isLongHeader(buf[2]!), false);
        assert.equal(slice(buf, 3, DCID.length), toHex(DCID));
        assert.equal(slice(buf, pnOffset, pnLength), "b2c3d4e5".slice(-2 * pnLength));
      }
    }
  }
});

test("a stateless reset looks like a short header packet and ends in its token", () => {
  // rfc9000#10.3 Figure 10: Fixed Bits (2) = 1, Unpredictable Bits (38..), Stateless Reset Token (128)
  const token = fromHex("00112233445566778899aabbccddeeff");
  const ones = (out: Uint8Array) => out.fill(0xff);
  for (const random of [zeros, ones]) {
    const packet = encodeStatelessReset(token, 40, random);
    assert.equal(packet.length, 40);
    assert.equal(packet[0]! & 0xc0, 0x40);
    assert.equal(slice(packet, 24, 16), toHex(token));
  }
  // rfc9000#10.3 at least 21 bytes, or it is smaller than a valid packet
  assert.equal(encodeStatelessReset(token, 5, zeros).length, 21);
});

const SAMPLES = ["wire-samples", "s2n-packet"] as const;

test("packets as another implementation writes them", needsVectors(...SAMPLES), () => {
  const sample = (name: string) => new Uint8Array(readFileSync(vectorPath(...SAMPLES, name)!));
  const cid = "0102030405060708090a0b0c0d0e0f1011121314";
  const types = [
    ["initial.bin", c.PACKET_INITIAL],
    ["zero_rtt.bin", c.PACKET_ZERO_RTT],
    ["handshake.bin", c.PACKET_HANDSHAKE],
    ["retry.bin", c.PACKET_RETRY],
    ["version_negotiation.bin", c.PACKET_VERSION_NEGOTIATION],
  ] as const;
  for (const [name, type] of types) {
    const bytes = sample(name);
    const header = parse(bytes);
    assert.notEqual(header, null, name);
    assert.equal(header!.type, type, name);
    assert.equal(slice(bytes, header!.dcidOffset, header!.dcidLength), cid, name);
    assert.equal(slice(bytes, header!.scidOffset, header!.scidLength), cid, name);
    assert.equal(header!.packetEnd, bytes.length, name);
  }
  const initial = sample("initial.bin");
  const header = parse(initial)!;
  assert.equal(slice(initial, header.tokenOffset, header.tokenLength), "01020304");
  assert.equal(header.length, 8);
  const negotiation = sample("version_negotiation.bin");
  assert.deepEqual(parseVersionNegotiation(negotiation, 0, negotiation.length), [1, 2, 3]);
  assert.equal(isLongHeader(sample("short.bin")[0]!), false);
});

test("a Length in a longer encoding than needed", () => {
  const buf = new Uint8Array(100);
  const pnOffset = writeLongHeader(buf, 0, c.PACKET_HANDSHAKE, c.VERSION_1, DCID, SCID, null, 1, 0, 4);
  writeVarintFixed(buf, pnOffset - 4, 20, 4);
  assert.equal(parse(buf)!.packetEnd, pnOffset + 20);
});
