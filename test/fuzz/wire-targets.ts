// What the parsers of internal/wire promise for any input: a typed error or a result that is within the input, and that
// says the same when our writers write it and we read it again.
import assert from "node:assert/strict";
import { toHex } from "../../internal/protocol/bytes.ts";
import * as c from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { MAX_ACK_RANGES_READ } from "../../internal/protocol/limits.ts";
import { describeFrames } from "../../internal/wire/frame-objects.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import {
  encodeVersionNegotiation,
  LongHeader,
  parseInvariants,
  parseLongHeader,
  parseRetry,
  parseVersionNegotiation,
  patchLength,
  writeLongHeader,
} from "../../internal/wire/header.ts";
import {
  decodePacketNumber,
  encodePacketNumberLength,
  writePacketNumber,
} from "../../internal/wire/packet-number.ts";
import {
  decodeTransportParameters,
  encodeTransportParameters,
} from "../../internal/wire/transport-parameters.ts";
import { Reader, TOO_BIG, varintLength, writeVarint, writeVarintBig } from "../../internal/wire/varint.ts";
import { vectorFiles } from "../vectors.ts";
import { Recorder, Rewriter } from "../wire/visitors.ts";
import type { Prng, Target } from "./harness.ts";
import { generateLongHeader, generateParameters, generatePayload } from "./wire-generators.ts";

function vectors(...folders: string[][]): Uint8Array[] {
  return folders.flatMap((folder) => [...vectorFiles(...folder)].map(([, bytes]) => bytes));
}

const QUICHE = ["fuzz", "quiche", "fuzz", "corpus"];
const NEQO = ["fuzz", "neqo", "fuzz", "corpus"];
const NGTCP2 = ["fuzz", "ngtcp2", "fuzz", "corpus"];
const PACKETS = [
  [...QUICHE, "packet_recv_server"],
  [...QUICHE, "packet_recv_client"],
  [...QUICHE, "packets_recv_server"],
  [...QUICHE, "packets_posths_server"],
  [...NEQO, "packet"],
  [...NEQO, "client_initial"],
  [...NEQO, "server_initial"],
  [...NEQO, "addr_valid"],
  [...NGTCP2, "read_write_pkt"],
  [...NGTCP2, "read_write_handshake_pkt"],
  ["wire-samples", "s2n-packet"],
];
const FRAMES = [
  [...NEQO, "frame"],
  [...NGTCP2, "decode_frame"],
  ["wire-samples", "s2n-frame"],
];

/** Runs `body`; gives the error where it is of the kind a peer's bytes may cause, throws any other. */
function typed(codes: readonly number[], body: () => void): TransportError | null {
  try {
    body();
    return null;
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    assert.ok(codes.includes(error.errorCode), `unexpected code: ${error.message}`);
    assert.ok(Number.isSafeInteger(error.frameType) && error.frameType >= 0, `frameType ${error.frameType}`);
    assert.ok(error.reason.length > 0);
    return error;
  }
}

const FRAME_CODES = [
  c.FRAME_ENCODING_ERROR,
  c.PROTOCOL_VIOLATION,
  c.FLOW_CONTROL_ERROR,
  c.STREAM_LIMIT_ERROR,
  c.CRYPTO_BUFFER_EXCEEDED,
  c.CONNECTION_ID_LIMIT_ERROR,
];
const PACKET_TYPES = [c.PACKET_INITIAL, c.PACKET_ZERO_RTT, c.PACKET_HANDSHAKE, c.PACKET_ONE_RTT] as const;

/** Checks that what is told lies within the payload and is what it should be. */
class Bounds extends Recorder {
  readonly start: number;
  readonly end: number;
  constructor(start: number, end: number) {
    super();
    this.start = start;
    this.end = end;
  }
  #within(start: number, length: number): void {
    assert.ok(Number.isSafeInteger(start) && Number.isSafeInteger(length) && length >= 0);
    assert.ok(
      start >= this.start && start + length <= this.end,
      `${start}+${length} of ${this.start}…${this.end}`,
    );
  }
  override onStream(
    id: number,
    offset: number,
    fin: boolean,
    b: Uint8Array,
    s: number,
    length: number,
  ): void {
    this.#within(s, length);
    assert.ok(Number.isSafeInteger(id) && Number.isSafeInteger(offset + length));
    super.onStream(id, offset, fin, b, s, length);
  }
  override onCrypto(offset: number, b: Uint8Array, s: number, length: number): void {
    this.#within(s, length);
    assert.ok(Number.isSafeInteger(offset + length));
    super.onCrypto(offset, b, s, length);
  }
  override onNewToken(b: Uint8Array, s: number, length: number): void {
    this.#within(s, length);
    super.onNewToken(b, s, length);
  }
  override onDatagram(b: Uint8Array, s: number, length: number, frameLength: number): void {
    if (frameLength < length + 1 || frameLength > length + 9) throw new Error("DATAGRAM frame length");
    this.#within(s, length);
    super.onDatagram(b, s, length, frameLength);
  }
  override onAck(...[ack]: Parameters<Recorder["onAck"]>): void {
    assert.ok(ack.rangeCount >= 1 && ack.rangeCount <= MAX_ACK_RANGES_READ);
    assert.equal(ack.ranges[1], ack.largest);
    for (let i = 0; i < ack.rangeCount; i++) {
      const low = ack.ranges[2 * i]!;
      const high = ack.ranges[2 * i + 1]!;
      assert.ok(low >= 0 && low <= high && Number.isSafeInteger(high));
      if (i > 0) assert.ok(high < ack.ranges[2 * i - 2]! - 1, "ranges descend with gaps");
    }
    for (const value of [ack.delay, ack.ect0, ack.ect1, ack.ce]) assert.ok(Number.isSafeInteger(value));
    super.onAck(ack);
  }
}

const frames: Target = {
  name: "frames",
  corpus: () => vectors(...FRAMES),
  generate: generatePayload,
  run(input, prng) {
    // Some bytes around it that are not the parser's.
    const before = prng.int(4);
    const buf = new Uint8Array(before + input.length + 4).fill(0x01);
    buf.set(input, before);
    const end = before + input.length;
    for (const type of PACKET_TYPES) {
      const bounds = new Bounds(before, end);
      const error = typed(FRAME_CODES, () => parseFrames(buf, before, end, type, bounds));
      const again = typed(FRAME_CODES, () => void describeFrames(buf, before, end, type));
      assert.equal(again?.message, error?.message);
      if (error !== null || type !== c.PACKET_ONE_RTT) continue;
      const rewriter = new Rewriter(9 * input.length + 64);
      const flags = parseFrames(buf, before, end, type, rewriter);
      const second = new Recorder();
      assert.equal(parseFrames(rewriter.buf, 0, rewriter.pos, type, second), flags);
      assert.deepEqual(second.calls, bounds.calls);
      // Writing is stable: what was written is written the same again.
      const third = new Rewriter(rewriter.buf.length);
      parseFrames(rewriter.buf, 0, rewriter.pos, type, third);
      assert.equal(toHex(third.bytes), toHex(rewriter.bytes));
    }
  },
};

const validPayloads: Target = {
  name: "frames, valid ones",
  corpus: () => [],
  run(_input, prng) {
    const payload = generatePayload(prng);
    const flags = parseFrames(payload, 0, payload.length, c.PACKET_ONE_RTT, new Recorder());
    assert.ok(flags >= 0 && flags <= 3, `generated payloads are valid: ${toHex(payload)}`);
  },
};

const headers: Target = {
  name: "long headers",
  corpus: () => vectors(...PACKETS),
  generate: generateLongHeader,
  run(input) {
    const header = new LongHeader();
    const invariants = new LongHeader();
    const known = parseInvariants(input, 0, input.length, invariants);
    let pos = 0;
    // A datagram of coalesced packets, as the receive path walks it.
    for (let count = 0; pos < input.length && count < 100; count++) {
      if (!parseLongHeader(input, pos, input.length, header)) break;
      if (pos === 0) assert.ok(known, "what parses has the invariants");
      const {
        dcidOffset,
        dcidLength,
        scidOffset,
        scidLength,
        tokenOffset,
        tokenLength,
        pnOffset,
        packetEnd,
      } = header;
      assert.equal(dcidOffset, pos + 6);
      assert.equal(scidOffset, dcidOffset + dcidLength + 1);
      assert.ok(tokenLength >= 0 && tokenOffset + tokenLength <= pnOffset);
      assert.ok(pnOffset >= scidOffset + scidLength && pnOffset <= packetEnd && packetEnd <= input.length);
      assert.ok(packetEnd > pos, "the walk goes on");
      rewriteHeader(input, pos, header);
      pos = packetEnd;
    }
    const versions = parseVersionNegotiation(input, 0, input.length);
    if (versions !== null) {
      assert.ok(parseInvariants(input, 0, input.length, invariants));
      const part = (at: number, length: number) => input.subarray(at, at + length);
      const again = encodeVersionNegotiation(
        part(invariants.dcidOffset, invariants.dcidLength),
        part(invariants.scidOffset, invariants.scidLength),
        versions,
        0,
      );
      assert.deepEqual(again.subarray(1), input.subarray(1));
    }
    const retry = parseRetry(input, 0, input.length);
    if (retry !== null) assert.equal(retry.integrityTag.length, 16);
  },
};

/** Writes the header again, if it has a packet number, and compares what both say. */
function rewriteHeader(input: Uint8Array, pos: number, header: LongHeader): void {
  if (header.type === c.PACKET_VERSION_NEGOTIATION || header.type === c.PACKET_RETRY) return;
  if (header.length > 0x3fff || header.length < 1) return;
  const part = (at: number, length: number) => input.subarray(at, at + length);
  const token = header.type === c.PACKET_INITIAL ? part(header.tokenOffset, header.tokenLength) : null;
  const dcid = part(header.dcidOffset, header.dcidLength);
  const scid = part(header.scidOffset, header.scidLength);
  const buf = new Uint8Array(header.packetEnd - pos + 20);
  const pnOffset = writeLongHeader(buf, 0, header.type, header.version, dcid, scid, token, 1, 0);
  patchLength(buf, pnOffset, header.length);
  const second = new LongHeader();
  assert.ok(parseLongHeader(buf, 0, buf.length, second));
  assert.equal(second.type, header.type);
  assert.equal(second.version, header.version);
  assert.equal(second.length, header.length);
  assert.equal(second.tokenLength, header.tokenLength);
  assert.deepEqual(buf.subarray(6, 6 + dcid.length), dcid);
  assert.equal(second.packetEnd - second.pnOffset, header.length);
}

const parameters: Target = {
  name: "transport parameters",
  corpus: () => vectors([...NEQO, "tparams"]),
  generate: generateParameters,
  run(input) {
    for (const role of ["client", "server"] as const) {
      let decoded: ReturnType<typeof decodeTransportParameters> | null = null;
      typed([c.TRANSPORT_PARAMETER_ERROR], () => {
        decoded = decodeTransportParameters(input, role);
      });
      if (decoded === null) continue;
      const encoded = encodeTransportParameters(decoded, role);
      const again = decodeTransportParameters(encoded, role);
      const { unknown: _unknown, ...known } = decoded as ReturnType<typeof decodeTransportParameters>;
      assert.deepEqual(again, known);
      assert.deepEqual(encodeTransportParameters(again, role), encoded);
    }
  },
};

const varints: Target = {
  name: "varints",
  corpus: () => [],
  generate: (prng: Prng) => {
    const buf = new Uint8Array(8);
    return buf.slice(0, writeVarintBig(buf, 0, prng.varint()));
  },
  run(input) {
    const reader = new Reader(input);
    while (reader.remaining > 0) {
      const start = reader.pos;
      const value = reader.varint();
      if (reader.failed) {
        assert.ok(input.length - start < 1 << (input[start]! >> 6));
        break;
      }
      // The RFC's own algorithm, rfc9000#A.1.
      const length = 1 << (input[start]! >> 6);
      let expected = BigInt(input[start]! & 0x3f);
      for (let i = 1; i < length; i++) expected = (expected << 8n) + BigInt(input[start + i]!);
      assert.equal(reader.pos, start + length);
      assert.equal(value, expected > 2n ** 53n - 1n ? TOO_BIG : Number(expected));
      assert.equal(new Reader(input, start).varintBig(), expected);
      const buf = new Uint8Array(8);
      const end = writeVarintBig(buf, 0, expected);
      assert.equal(new Reader(buf, 0, end).varintBig(), expected);
      if (value === TOO_BIG) continue;
      assert.equal(writeVarint(buf, 0, value), varintLength(value));
      assert.equal(end, varintLength(value));
    }
  },
};

const packetNumbers: Target = {
  name: "packet numbers",
  corpus: () => [],
  run(_input, prng) {
    const value = prng.varint();
    const acked = value > 2n ** 52n ? -1 : Number(value) - 1;
    const distance = 1 + prng.int(2 ** prng.int(31));
    const pn = acked + distance;
    const length = encodePacketNumberLength(pn, acked);
    const buf = new Uint8Array(4);
    writePacketNumber(buf, 0, pn, length);
    let truncated = 0;
    for (let i = 0; i < length; i++) truncated = truncated * 256 + buf[i]!;
    // rfc9000#17.1 a peer will correctly decode the packet number, wherever it stands in the range
    const largest = acked + prng.int(distance);
    assert.equal(
      decodePacketNumber(largest, truncated, 8 * length),
      pn,
      `${pn} after ${largest}, acked ${acked}`,
    );
  },
};

export const WIRE_TARGETS: readonly Target[] = [
  frames,
  validPayloads,
  headers,
  parameters,
  varints,
  packetNumbers,
];
