import assert from "node:assert/strict";
import { test } from "node:test";
import {
  huffmanDecode,
  huffmanEncode,
  huffmanLength,
  huffmanMaxDecoded,
} from "../../../http3/qpack/huffman.ts";
import { Prng } from "../../fuzz/harness.ts";
import { needsVectors, vectorJson } from "../../vectors.ts";

const encode = (text: string) => {
  const out = new Uint8Array(huffmanLength(text));
  assert.equal(huffmanEncode(text, out, 0), out.length);
  return Buffer.from(out).toString("hex");
};

/** The text, or null where the code is broken. Runs with other bytes around, which must not matter. */
const decode = (hex: string) => {
  const code = Buffer.from(hex, "hex");
  const out = Buffer.alloc(huffmanMaxDecoded(code.length));
  const bytes = Buffer.concat([Buffer.alloc(3, 0x55), code, Buffer.alloc(5)]);
  const written = huffmanDecode(bytes, 3, 3 + code.length, out);
  return written < 0 ? null : out.toString("latin1", 0, written);
};

/** Bits as a string of 0 and 1, filled up with ones. */
const bits = (text: string) => {
  const padded = text.padEnd(Math.ceil(text.length / 8) * 8, "1");
  return Buffer.from(padded.match(/.{8}/g)!.map((byte) => parseInt(byte, 2))).toString("hex");
};

// rfc7541#C.4, rfc7541#C.6
const EXAMPLES: readonly [string, string][] = [
  ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
  ["no-cache", "a8eb10649cbf"],
  ["custom-key", "25a849e95ba97d7f"],
  ["custom-value", "25a849e95bb8e8b4bf"],
  ["302", "6402"],
  ["private", "aec3771a4b"],
  ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
  ["https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"],
  [
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
  ],
  ["", ""],
];

test("the RFC's examples, both ways", () => {
  for (const [text, hex] of EXAMPLES) {
    assert.equal(encode(text), hex);
    assert.equal(decode(hex), text);
  }
});

interface Code {
  readonly sym: number;
  readonly code: string;
  readonly bits: number;
}

test("every symbol's code is the table's", needsVectors("rfc", "rfc7541-huffman.json"), () => {
  const codes = vectorJson<Code[]>("rfc", "rfc7541-huffman.json");
  assert.equal(codes.length, 257);
  for (const { sym, code, bits: length } of codes) {
    const hex = bits(BigInt(`0x${code}`).toString(2).padStart(length, "0"));
    if (sym === 256) {
      assert.equal(decode(hex), null, "EOS");
      continue;
    }
    const text = String.fromCharCode(sym);
    assert.equal(encode(text), hex);
    assert.equal(decode(hex), text);
    // At every position in a byte, before and after a code of another length.
    for (let before = 0; before < 8; before++) {
      const around = `${"0".repeat(before)}${text}z${text}`;
      assert.equal(decode(encode(around)), around);
    }
  }
});

test("random strings come back", () => {
  const prng = new Prng(7541);
  for (let round = 0; round < 3000; round++) {
    const wide = prng.chance(3);
    const text = Array.from({ length: prng.int(60) }, () =>
      String.fromCharCode(wide ? prng.int(256) : 32 + prng.int(95)),
    ).join("");
    assert.equal(decode(encode(text)), text);
  }
});

test("rfc7541#5.2 A padding strictly longer than 7 bits MUST be treated as a decoding error", () => {
  const a = "00011";
  assert.equal(decode(bits(a)), "a");
  assert.equal(decode(bits(a) + "ff"), null);
  assert.equal(decode("ff"), null);
  assert.equal(decode("ffffff"), null);
  const exact = "010100" + "010100" + "00000"; // 17 bits, so that seven of padding follow
  assert.equal(decode(bits(exact)), "  0");
});

test("rfc7541#5.2 A padding not corresponding to the most significant bits of the code for the EOS symbol MUST be treated as a decoding error", () => {
  for (const padding of ["000", "110", "101", "011"])
    assert.equal(decode(bits("00011" + padding)), null, padding);
  assert.equal(decode(bits("00011" + "111")), "a");
  // One whole byte that is no code.
  assert.equal(decode("fe"), null);
});

test("rfc7541#5.2 A Huffman-encoded string literal containing the EOS symbol MUST be treated as a decoding error", () => {
  const eos = "1".repeat(30);
  assert.equal(decode(bits(eos)), null);
  assert.equal(decode(bits("00011" + eos)), null);
  assert.equal(decode(bits("00011" + eos + "00011")), null);
});

test("chars that are no bytes have no length", () => {
  assert.ok(Number.isNaN(huffmanLength("a\u0100")));
});
