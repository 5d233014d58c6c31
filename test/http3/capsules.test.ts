import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CAPSULE,
  CapsuleReader,
  decodeDatagram,
  encodeCapsule,
  encodeDatagram,
} from "../../http3/capsules.ts";
import { frameHeader } from "../../http3/frames.ts";
import { IDLE_FRAMES } from "../../http3/limits.ts";
import { bytes, concat, connectionError, hex, malformed, streamError } from "./helpers.ts";

const known = (type: number) => type === CAPSULE.DATAGRAM || type === 0x2843;

function read(input: Uint8Array, size: number, maxSize?: number): string[] {
  const reader = new CapsuleReader(known, maxSize);
  const said: string[] = [];
  for (let at = 0; at < input.length; at += size) {
    const piece = input.slice(at, at + size);
    reader.push(piece);
    while (reader.next()) said.push(`${reader.type}:${hex(reader.value)}`);
    piece.fill(0xee);
  }
  reader.end();
  return said;
}

test("rfc9297#3.2 Endpoints which receive a Capsule with an unknown Capsule Type MUST silently drop that Capsule and skip over it to parse the next Capsule", () => {
  const stream = concat(
    encodeCapsule(0x17, new Uint8Array(100)),
    encodeCapsule(CAPSULE.DATAGRAM, bytes("0102"), bytes("03")),
    encodeCapsule(0x17),
    encodeCapsule(0x2843, bytes("00000001")),
    encodeCapsule(CAPSULE.DATAGRAM),
  );
  for (let size = 1; size <= stream.length; size++) {
    assert.deepEqual(read(stream, size), ["0:010203", "10307:00000001", "0:"]);
  }
});

test("rfc9297#3.3 terminated cleanly and the last capsule on the stream was truncated, this MUST be treated as if it were a malformed or incomplete message", () => {
  const capsule = encodeCapsule(0x2843, bytes("010203"));
  for (let length = 1; length < capsule.length; length++)
    malformed("capsule", () => read(capsule.subarray(0, length), 1));
  malformed("capsule", () => read(encodeCapsule(0x17, bytes("0102")).subarray(0, 3), 1));
});

test("large datagrams are dropped, other large capsules end the stream", () => {
  // rfc9297#3.5
  const large = encodeCapsule(CAPSULE.DATAGRAM, new Uint8Array(101));
  assert.deepEqual(read(concat(large, encodeCapsule(CAPSULE.DATAGRAM, bytes("aa"))), 7, 100), ["0:aa"]);
  streamError("H3_EXCESSIVE_LOAD", () => read(frameHeader(0x2843, 101), 7, 100));
  const flood = concat(...new Array<Uint8Array>(IDLE_FRAMES + 1).fill(encodeCapsule(0x17)));
  streamError("H3_EXCESSIVE_LOAD", () => read(flood, 1000));
});

test("datagrams", () => {
  assert.equal(hex(encodeDatagram(0, bytes("aa"))), "00aa");
  assert.equal(hex(encodeDatagram(4 * 64, bytes(""))), "4040");
  assert.deepEqual(decodeDatagram(bytes("4040 0102")), { streamId: 256, payload: bytes("0102") });
  assert.equal(decodeDatagram(bytes("00")).payload.length, 0);
});

test("rfc9297#2.1 Receipt of a QUIC DATAGRAM frame whose payload is too short to allow parsing the Quarter Stream ID field MUST be treated as H3_DATAGRAM_ERROR", () => {
  for (const short of ["", "40", "c0000000000000"])
    connectionError("H3_DATAGRAM_ERROR", () => decodeDatagram(bytes(short)));
});

test("rfc9297#2.1 Receipt of an HTTP/3 Datagram that includes a larger value MUST be treated as an HTTP/3 connection error of type H3_DATAGRAM_ERROR", () => {
  for (const large of ["d000000000000000", "e000000000000000", "ffffffffffffffff"]) {
    connectionError("H3_DATAGRAM_ERROR", () => decodeDatagram(bytes(large)));
  }
  // 2^60-1 is legal; no stream has that ID here.
  assert.equal(decodeDatagram(bytes("cfffffffffffffff 01")).streamId, Infinity);
});
