// Valid payloads, headers and transport parameters from a random generator.
import * as c from "../../internal/protocol/constants.ts";
import { writeVarintBig, writeVarintFixed } from "../../internal/wire/varint.ts";
import type { Prng } from "./harness.ts";

/** A growing buffer. */
export class Out {
  buf = new Uint8Array(8192);
  pos = 0;

  get bytes(): Uint8Array {
    return this.buf.slice(0, this.pos);
  }
  u8(value: number): this {
    this.buf[this.pos++] = value;
    return this;
  }
  varint(value: bigint | number): this {
    this.pos = writeVarintBig(this.buf, this.pos, BigInt(value));
    return this;
  }
  /** In a longer encoding than needed. */
  wide(value: number, length: number): this {
    this.pos = writeVarintFixed(this.buf, this.pos, value, length);
    return this;
  }
  put(bytes: Uint8Array): this {
    this.buf.set(bytes, this.pos);
    this.pos += bytes.length;
    return this;
  }
}

/** A stream ID, offset or count that a Number holds. */
function small(prng: Prng): number {
  const value = prng.varint();
  return value > 2n ** 53n - 100n ? prng.int(1000) : Number(value);
}

/** Writes one valid frame of those a 1-RTT packet may carry. */
export function generateFrame(prng: Prng, out: Out, last: boolean): void {
  const type = prng.pick([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 49,
  ]);
  const data = prng.bytes(prng.int(20));
  switch (type) {
    case c.FRAME_PADDING:
      for (let i = prng.int(5); i >= 0; i--) out.u8(0);
      return;
    case c.FRAME_PING:
    case c.FRAME_HANDSHAKE_DONE:
      out.u8(type);
      return;
    case c.FRAME_ACK:
    case c.FRAME_ACK_ECN: {
      const largest = small(prng);
      const count = prng.int(6);
      let low = largest - prng.int(Math.min(largest + 1, 300));
      const pairs: number[] = [];
      const first = largest - low;
      for (let i = 0; i < count && low >= 2; i++) {
        const gap = prng.int(Math.min(low - 1, 300));
        const high = low - gap - 2;
        const length = prng.int(Math.min(high + 1, 300));
        pairs.push(gap, length);
        low = high - length;
      }
      out
        .u8(type)
        .varint(largest)
        .varint(prng.varint())
        .varint(pairs.length / 2)
        .varint(first);
      for (const value of pairs) out.varint(value);
      if (type === c.FRAME_ACK_ECN) out.varint(small(prng)).varint(small(prng)).varint(small(prng));
      return;
    }
    case c.FRAME_RESET_STREAM:
      out.u8(type).varint(small(prng)).varint(prng.varint()).varint(small(prng));
      return;
    case c.FRAME_STOP_SENDING:
      out.u8(type).varint(small(prng)).varint(prng.varint());
      return;
    case c.FRAME_CRYPTO:
      out.u8(type).varint(small(prng)).varint(data.length).put(data);
      return;
    case c.FRAME_NEW_TOKEN:
      out
        .u8(type)
        .varint(data.length + 1)
        .u8(1)
        .put(data);
      return;
    case c.FRAME_STREAM: {
      const withLength = !last || prng.chance(2);
      const bits = (withLength ? 2 : 0) | (prng.chance(2) ? 4 : 0) | prng.int(2);
      out.u8(type | bits).varint(small(prng));
      if ((bits & 4) !== 0) out.varint(small(prng));
      if (withLength) out.wide(data.length, prng.pick([1, 2, 4, 8]));
      out.put(data);
      return;
    }
    case c.FRAME_MAX_STREAM_DATA:
    case c.FRAME_STREAM_DATA_BLOCKED:
      out.u8(type).varint(small(prng)).varint(prng.varint());
      return;
    case c.FRAME_MAX_STREAMS_BIDI:
    case c.FRAME_MAX_STREAMS_UNI:
    case c.FRAME_STREAMS_BLOCKED_BIDI:
    case c.FRAME_STREAMS_BLOCKED_UNI: {
      const value = prng.varint();
      out.u8(type).varint(value > 2n ** 60n ? 2n ** 60n : value);
      return;
    }
    case c.FRAME_NEW_CONNECTION_ID: {
      const sequence = small(prng);
      const cid = prng.bytes(1 + prng.int(20));
      out
        .u8(type)
        .varint(sequence)
        .varint(prng.int(Math.min(sequence + 1, 1 << 20)));
      out.u8(cid.length).put(cid).put(prng.bytes(16));
      return;
    }
    case c.FRAME_RETIRE_CONNECTION_ID:
      out.u8(type).varint(small(prng));
      return;
    case c.FRAME_PATH_CHALLENGE:
    case c.FRAME_PATH_RESPONSE:
      out.u8(type).put(prng.bytes(8));
      return;
    case c.FRAME_CONNECTION_CLOSE:
      out.u8(type).varint(prng.varint()).varint(small(prng)).varint(data.length).put(data);
      return;
    case c.FRAME_CONNECTION_CLOSE_APP:
      out.u8(type).varint(prng.varint()).varint(data.length).put(data);
      return;
    case c.FRAME_DATAGRAM_LEN:
      if (last && prng.chance(2)) out.u8(c.FRAME_DATAGRAM).put(data);
      else out.u8(type).varint(data.length).put(data);
      return;
    default:
      out.u8(type).varint(prng.varint());
  }
}

/** A valid 1-RTT payload. */
export function generatePayload(prng: Prng): Uint8Array {
  const out = new Out();
  const count = 1 + prng.int(6);
  for (let i = 1; i <= count; i++) generateFrame(prng, out, i === count);
  return out.bytes;
}

/** A valid long header packet of version 1 or 2, with some bytes for its payload. */
export function generateLongHeader(prng: Prng): Uint8Array {
  const out = new Out();
  const version = prng.pick([c.VERSION_1, c.VERSION_2]);
  const first = 0xc0 | prng.int(64);
  const bits = (first >> 4) & 3;
  const initial = bits === (version === c.VERSION_1 ? 0 : 1);
  const retry = bits === (version === c.VERSION_1 ? 3 : 0);
  out.u8(first);
  for (let shift = 24; shift >= 0; shift -= 8) out.u8(version >>> shift);
  for (let i = 0; i < 2; i++) {
    const cid = prng.bytes(prng.int(21));
    out.u8(cid.length).put(cid);
  }
  const rest = prng.bytes(20 + prng.int(40));
  if (retry) return out.put(rest).bytes;
  if (initial) {
    const token = prng.bytes(prng.int(30));
    out.wide(token.length, prng.pick([1, 2, 4, 8])).put(token);
  }
  return out.wide(rest.length, prng.pick([2, 4, 8])).put(rest).bytes;
}

/** Valid transport parameters of a server. */
export function generateParameters(prng: Prng): Uint8Array {
  const out = new Out();
  const ids = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    0x11,
    0x1d,
    0x20,
    0x2ab2,
    31 * prng.int(1e6) + 27,
  ];
  for (const id of ids) {
    if (prng.chance(2)) continue;
    const value = new Out();
    switch (id) {
      case 0x00:
      case 0x0f:
      case 0x10:
        value.put(prng.bytes(prng.int(21)));
        break;
      case 0x02:
        value.put(prng.bytes(16));
        break;
      case 0x03:
        value.varint(1200 + prng.int(1 << 20));
        break;
      case 0x08:
      case 0x09:
        value.varint(prng.varint() >> 2n);
        break;
      case 0x0a:
        value.varint(prng.int(21));
        break;
      case 0x0b:
        value.varint(prng.int(1 << 14));
        break;
      case 0x0c:
      case 0x1d:
      case 0x2ab2:
        break;
      case 0x0d: {
        const cid = prng.bytes(1 + prng.int(20));
        value.put(prng.bytes(24)).u8(cid.length).put(cid).put(prng.bytes(16));
        break;
      }
      case 0x0e:
        value.varint(prng.varint() + 2n > (1n << 62n) - 1n ? 2 : (prng.varint() % 1000n) + 2n);
        break;
      case 0x11:
        for (let i = prng.int(5); i >= 0; i--) value.u8(1).put(prng.bytes(3));
        break;
      default:
        value.varint(prng.varint());
    }
    out
      .varint(id)
      .wide(value.pos, prng.pick([1, 2, 4].filter((n) => n > 1 || value.pos < 64)))
      .put(value.bytes);
  }
  return out.bytes;
}
