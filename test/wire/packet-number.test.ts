import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../../internal/protocol/bytes.ts";
import {
  decodePacketNumber,
  encodePacketNumberLength,
  writePacketNumber,
} from "../../internal/wire/packet-number.ts";
import { needsVectors, vectorJson } from "../vectors.ts";

const APPENDIX = ["rfc", "rfc9000-appendix-a.json"] as const;

interface Appendix {
  pn_encode: { largest_acked: string; full_pn: string; bits: number; encoded: string }[];
  pn_decode: { largest_pn: string; truncated: string; bits: number; full_pn: string }[];
}

test("packet numbers of the RFC's appendix", needsVectors(...APPENDIX), () => {
  const { pn_encode, pn_decode } = vectorJson<Appendix>(...APPENDIX);
  for (const vector of pn_encode) {
    // rfc9000#A.2 Sample Packet Number Encoding Algorithm
    const pn = parseInt(vector.full_pn, 16);
    const length = encodePacketNumberLength(pn, parseInt(vector.largest_acked, 16));
    assert.equal(8 * length, vector.bits);
    const buf = new Uint8Array(4);
    assert.equal(writePacketNumber(buf, 0, pn, length), length);
    assert.equal(toHex(buf.subarray(0, length)), vector.encoded);
  }
  for (const vector of pn_decode) {
    // rfc9000#A.3 Sample Packet Number Decoding Algorithm
    const decoded = decodePacketNumber(
      parseInt(vector.largest_pn, 16),
      parseInt(vector.truncated, 16),
      vector.bits,
    );
    assert.equal(decoded, parseInt(vector.full_pn, 16));
  }
});

test("the encoding represents more than twice the unacknowledged range", () => {
  // rfc9000#17.1 MUST use a packet number size able to represent more than twice as large a range as the difference
  for (const acked of [-1, 0, 1000, 2 ** 40]) {
    for (const distance of [1, 2, 127, 128, 129, 32767, 32768, 32769, 2 ** 23 - 1, 2 ** 23, 2 ** 23 + 1]) {
      const length = encodePacketNumberLength(acked + distance, acked);
      assert.ok(2 ** (8 * length) > 2 * distance, `${distance} in ${length}`);
      if (length > 1)
        assert.ok(2 ** (8 * (length - 1)) <= 2 * distance, `${distance} in ${length} is wasteful`);
    }
  }
});

test("what was encoded decodes wherever the receiver stands from the last acknowledged on", () => {
  const buf = new Uint8Array(4);
  for (const acked of [-1, 0, 255, 65535, 2 ** 24, 2 ** 32 - 5, 2 ** 40 + 77]) {
    for (const distance of [1, 2, 100, 127, 128, 200, 32767, 32768, 70000, 2 ** 23, 2 ** 24 + 3]) {
      const pn = acked + distance;
      const length = encodePacketNumberLength(pn, acked);
      writePacketNumber(buf, 0, pn, length);
      let truncated = 0;
      for (let i = 0; i < length; i++) truncated = truncated * 256 + buf[i]!;
      // The receiver has at least what it acknowledged, and may be as far ahead again.
      for (const largest of [acked, acked + Math.floor(distance / 2), pn - 1, pn, pn + distance - 1]) {
        assert.equal(decodePacketNumber(largest, truncated, 8 * length), pn, `${pn} after ${largest}`);
      }
    }
  }
});

test("the edges of the window", () => {
  // rfc9000#A.3 greater than expected_pn - pn_hwin and less than or equal to expected_pn + pn_hwin
  assert.equal(decodePacketNumber(-1, 0, 8), 0);
  assert.equal(decodePacketNumber(-1, 255, 8), 255, "nothing is below zero");
  assert.equal(decodePacketNumber(255, 0, 8), 256);
  assert.equal(decodePacketNumber(255, 128, 8), 384, "expected + half is still ahead");
  assert.equal(decodePacketNumber(255, 129, 8), 129, "one more is behind");
  assert.equal(decodePacketNumber(2 ** 53 - 300, 0xff, 8), Math.floor((2 ** 53 - 300) / 256) * 256 + 255);
});
