// What the decoder refuses, and with which error: rfc9204#2.2, rfc9204#3, rfc9204#4.
import assert from "node:assert/strict";
import { test } from "node:test";
import { H3_ERROR, Http3ConnectionError, type H3ErrorName } from "../../../http3/errors.ts";
import { QPACK_DECODER_STREAM_BUFFER } from "../../../http3/limits.ts";
import { QpackDecoder, type QpackDecoderOptions } from "../../../http3/qpack/index.ts";

const bytes = (hex: string) => Buffer.from(hex.replace(/\s/g, ""), "hex");
const hex = (taken: Uint8Array | null) => (taken === null ? null : Buffer.from(taken).toString("hex"));

const fails = (error: H3ErrorName, run: () => unknown) =>
  assert.throws(
    run,
    (thrown) => thrown instanceof Http3ConnectionError && thrown.errorCode === H3_ERROR[error],
    `expected ${error}`,
  );

/** A decoder after some encoder stream; by default: capacity 220 with the entries a=1, b=2. */
function decoder(stream = "3fbd01 4161 0131 4162 0132", options: QpackDecoderOptions = {}): QpackDecoder {
  const made = new QpackDecoder({ maxTableCapacity: 220, maxBlockedStreams: 2, ...options });
  made.receiveEncoderStream(bytes(stream));
  return made;
}

const decompression = (section: string, stream?: string) =>
  fails("QPACK_DECOMPRESSION_FAILED", () => decoder(stream).decode(4, bytes(section)));

const instruction = (more: string, stream?: string) => {
  fails("QPACK_ENCODER_STREAM_ERROR", () => decoder(stream).receiveEncoderStream(bytes(more)));
  // The same in single bytes.
  fails("QPACK_ENCODER_STREAM_ERROR", () => {
    const one = decoder(stream);
    for (const byte of bytes(more)) one.receiveEncoderStream(Uint8Array.of(byte));
  });
};

const lines = (section: string, made = decoder()) => {
  const decoded = made.decode(4, bytes(section));
  assert.ok(decoded.kind === "fields");
  return decoded.fields
    .map(({ name, value, sensitive }) => `${name}=${value}${sensitive ? "!" : ""}`)
    .join(" ");
};

test("every representation", () => {
  // Base 2: relative 0 is b=2.
  assert.equal(lines("0300 80 81 d1"), "b=2 a=1 :method=GET");
  // Base 0: post-base.
  assert.equal(lines("0381 10 11"), "a=1 b=2");
  // Base 1, required 2: a is relative, b post-base.
  assert.equal(lines("0380 80 10"), "a=1 b=2");
  assert.equal(lines("0300 40 0133 60 0133 51 012f 71 012f"), "b=3 b=3! :path=/ :path=/!");
  assert.equal(lines("0381 00 0133 09 0133"), "a=3 b=3!");
  assert.equal(lines("0000 2163 0133 3163 0133 2163 00"), "c=3 c=3! c=");
  // Huffman coded name and value: "www.example.com" twice.
  assert.equal(
    lines("0000 2f05 f1e3c2e5f23a6ba0ab90f4ff 8c f1e3c2e5f23a6ba0ab90f4ff"),
    "www.example.com=www.example.com",
  );
  assert.equal(lines("0000"), "");
  // A required count larger than needed is let pass, and acknowledged; rfc9204#2.2.1 MAY.
  const made = decoder();
  assert.equal(lines("0300 d1", made), ":method=GET");
  assert.equal(hex(made.takeDecoderStream()), "84");
});

test("rfc9204#2.2.3 a reference in a field line representation to a dynamic table entry that has already been evicted MUST be treated as QPACK_DECOMPRESSION_FAILED", () => {
  // Capacity 70 holds two entries of 34: c=3 evicts a=1.
  const evicting = "3f27 4161 0131 4162 0132 4163 0133";
  assert.equal(lines("0400 80 81", decoder(evicting, { maxTableCapacity: 100 })), "c=3 b=2");
  fails("QPACK_DECOMPRESSION_FAILED", () =>
    decoder(evicting, { maxTableCapacity: 100 }).decode(4, bytes("0400 82")),
  );
  fails("QPACK_DECOMPRESSION_FAILED", () =>
    decoder(evicting, { maxTableCapacity: 100 }).decode(4, bytes("0400 42 0131")),
  );
  fails("QPACK_DECOMPRESSION_FAILED", () =>
    decoder(evicting, { maxTableCapacity: 100 }).decode(4, bytes("0483 10")),
  );
});

test("rfc9204#2.2.3 a reference with an absolute index greater than or equal to the declared Required Insert Count MUST be treated as QPACK_DECOMPRESSION_FAILED", () => {
  // rfc9204#2.2.1 If it encounters a Required Insert Count smaller than expected, it MUST treat this as an error.
  decompression("0201 80"); // Required 1, Base 2: relative 0 is entry 1
  decompression("0200 10"); // post-base 0 is entry 1
  decompression("0200 00 0131");
  decompression("0201 40 0131");
  decompression("0000 80"); // required 0, any reference
  decompression("0000 10");
  decompression("0000 40 0131");
  decompression("0000 00 0131");
  assert.equal(lines("0201 81"), "a=1");
});

test("references before the first entry, and indices without end", () => {
  decompression("0300 82");
  decompression("0300 bf ffffffffffffffff3f");
  decompression("0300 1f ffffffffffffffff3f");
  decompression("037f ffffffffffffffff3f 80");
});

test("rfc9204#3.1 an invalid static table index in a field line representation MUST be treated as QPACK_DECOMPRESSION_FAILED", () => {
  assert.equal(lines("0000 ff23"), "x-frame-options=sameorigin");
  decompression("0000 ff24");
  decompression("0000 5f54 0131");
  decompression("0000 ff ffffffffffffffff3f");
});

test("rfc9204#3.1 an invalid static table index on the encoder stream MUST be treated as QPACK_ENCODER_STREAM_ERROR", () => {
  decoder().receiveEncoderStream(bytes("ff23 0131"));
  instruction("ff24 0131");
});

test("rfc9204#3.2 duplicate entries MUST NOT be treated as an error by the decoder", () => {
  const made = decoder("3fbd01 4161 0131 4161 0131 00");
  assert.equal(made.insertCount, 3);
  assert.equal(lines("0400 80 81 82", made), "a=1 a=1 a=1");
});

test("rfc9204#3.2.2 an entry that is larger than the dynamic table capacity MUST be treated as QPACK_ENCODER_STREAM_ERROR", () => {
  // Capacity 40: eight chars fit, nine do not; and they are refused before they have come.
  const made = decoder("3f09", { maxTableCapacity: 40 });
  made.receiveEncoderStream(bytes("4161 07 31313131313131"));
  assert.equal(made.tableSize, 40);
  instruction("4161 08", "3f09");
  instruction("49", "3f09");
  instruction("c0 09", "3f09");
  // Huffman: 34 bytes have at least nine chars.
  instruction("c0 a2", "3f09");
  instruction("6f", "3f00");
  // A duplicate that no longer fits cannot be: the entry is gone. Nothing fits before a capacity is set.
  fails("QPACK_ENCODER_STREAM_ERROR", () => decoder("").receiveEncoderStream(bytes("4161 0131")));
  instruction("4161 ff ffffffffffffffff3f");
});

test("a new entry may reference the one that it evicts", () => {
  // rfc9204#3.2.2: capacity 34, insert by the name of the only entry.
  const made = decoder("3f03 4161 0131 80 0132", { maxTableCapacity: 34 });
  assert.equal(lines("0100 80", made), "a=2");
  const duplicated = decoder("3f03 4161 0131 00", { maxTableCapacity: 34 });
  assert.equal(lines("0100 80", duplicated), "a=1");
});

test("rfc9204#4.3.1 a new dynamic table capacity value that exceeds this limit MUST be treated as QPACK_ENCODER_STREAM_ERROR", () => {
  decoder("3fbd01");
  fails("QPACK_ENCODER_STREAM_ERROR", () => decoder("3fbe01"));
  instruction("3f ffffffffffffffff3f");
});

test("a smaller capacity evicts, and 0 clears the table", () => {
  // rfc9204#3.2.2
  const made = decoder("3fbd01 4161 0131 4162 0132 3f0f", {});
  assert.equal(made.tableSize, 34);
  made.receiveEncoderStream(bytes("20"));
  assert.equal(made.tableSize, 0);
  made.receiveEncoderStream(bytes("3fbd01"));
  fails("QPACK_ENCODER_STREAM_ERROR", () => made.receiveEncoderStream(bytes("00")));
});

test("rfc9204#2.2.3 a reference in an encoder instruction to a dynamic table entry that has already been evicted MUST be treated as QPACK_ENCODER_STREAM_ERROR", () => {
  const evicted = "3f27 4161 0131 4162 0132 4163 0133";
  instruction("02", evicted);
  instruction("82 0131", evicted);
  instruction("02");
  instruction("82 0131");
  instruction("bf ffffffffffffffff3f 0131");
});

test("rfc9204#4.5.1.1 a value of EncodedInsertCount that could not have been produced by a conformant encoder MUST be treated as QPACK_DECOMPRESSION_FAILED", () => {
  // Capacity 220: six entries at most, the count is modulo 12.
  decompression("0e00"); // 13, above the full range
  decompression("0a00 d1"); // 9 of at most 2 + 6
  decompression("0100 d1"); // 0 written as 1
  fails("QPACK_DECOMPRESSION_FAILED", () =>
    new QpackDecoder({ maxTableCapacity: 0 }).decode(0, bytes("0100 d1")),
  );
  fails("QPACK_DECOMPRESSION_FAILED", () => decoder("").decode(0, bytes("ff ffffffffffffffffff7f")));
});

test("the Required Insert Count wraps as the RFC's example has it", () => {
  // rfc9204#4.5.1.1: a table of 100 bytes, ten inserts, an encoded value of 4 is 9.
  const made = decoder("3f45" + "4161 0131".repeat(10), { maxTableCapacity: 100 });
  assert.equal(made.insertCount, 10);
  const section = made.decode(4, bytes("0400 80"));
  assert.ok(section.kind === "fields");
  // Every value of the range: those of entries not yet there are blocked, the others are there or long gone.
  const seen: string[] = [];
  for (let encoded = 1; encoded <= 6; encoded++) {
    try {
      const result = decoder("3f45" + "4161 0131".repeat(10), { maxTableCapacity: 100 }).decode(
        4,
        Uint8Array.of(encoded, 0, 0x80),
      );
      seen.push(result.kind === "blocked" ? `blocked ${result.requiredInsertCount}` : result.kind);
    } catch {
      seen.push("failed");
    }
  }
  assert.deepEqual(seen, ["blocked 12", "blocked 13", "failed", "fields", "fields", "blocked 11"]);
});

test("rfc9204#4.5.1.2 An endpoint MUST treat a field block with a Sign bit of 1 as invalid if the value of Required Insert Count is less than or equal to the value of Delta Base", () => {
  assert.equal(lines("0381 10"), "a=1"); // required 2, delta 1: base 0
  decompression("0382 10"); // base -1
  decompression("0083 d1");
  decompression("0080 d1");
});

test("rfc9204#2.1.2 If a decoder encounters more blocked streams than it promised to support, it MUST treat this as QPACK_DECOMPRESSION_FAILED", () => {
  const made = decoder();
  const section = bytes("0400 80");
  assert.equal(made.decode(4, section).kind, "blocked");
  assert.equal(made.decode(8, section).kind, "blocked");
  assert.equal(made.decode(4, section).kind, "blocked", "the same stream is one stream");
  assert.equal(made.blockedStreams, 2);
  fails("QPACK_DECOMPRESSION_FAILED", () => made.decode(12, section));
  const none = decoder(undefined, { maxBlockedStreams: 0 });
  fails("QPACK_DECOMPRESSION_FAILED", () => none.decode(4, section));
});

test("blocked streams go on when their entries are there, each as soon as it can", () => {
  const made = decoder();
  assert.deepEqual(made.decode(4, bytes("0500 80")), { kind: "blocked", requiredInsertCount: 4 });
  assert.deepEqual(made.decode(8, bytes("0400 80")), { kind: "blocked", requiredInsertCount: 3 });
  assert.equal(hex(made.takeDecoderStream()), "02");
  assert.deepEqual(made.receiveEncoderStream(bytes("4163")), []);
  assert.deepEqual(made.receiveEncoderStream(bytes("0133")), [8]);
  assert.deepEqual(made.receiveEncoderStream(bytes("4164 0134")), [4]);
  assert.equal(lines("0500 80", made), "d=4");
  assert.equal(hex(made.takeDecoderStream()), "84", "the acknowledgement says that all four are there");
});

test("rfc9204#2.2.2.1 it MUST emit a Section Acknowledgment instruction after a section with dynamic references, and none without", () => {
  const made = decoder();
  made.decode(4, bytes("0000 d1"));
  assert.equal(hex(made.takeDecoderStream()), "02", "the increment alone");
  made.decode(4, bytes("0300 80"));
  made.decode(500, bytes("0300 80"));
  assert.equal(hex(made.takeDecoderStream()), "84fff502");
  assert.equal(made.takeDecoderStream(), null);
});

test("an increment follows the acknowledgement with what that did not say", () => {
  const made = decoder();
  made.decode(4, bytes("0200 80"));
  assert.equal(hex(made.takeDecoderStream()), "8401");
});

test("cancellations are sent where there is a table", () => {
  const made = decoder();
  made.takeDecoderStream();
  made.decode(4, bytes("0400 80"));
  made.cancel(4);
  assert.equal(hex(made.takeDecoderStream()), "44");
  assert.equal(made.blockedStreams, 0);
  // rfc9204#2.2.2.2 A decoder with a maximum dynamic table capacity equal to zero MAY omit sending them.
  const without = new QpackDecoder({ maxTableCapacity: 0 });
  without.cancel(4);
  assert.equal(without.takeDecoderStream(), null);
});

test("sections that are cut short", () => {
  for (const whole of [
    "0000 510a 2f696e6465782e68746d",
    "0300 40 0133",
    "0000 2163 0133",
    "0381 00 0133",
    "ff00 00",
  ]) {
    const section = bytes(whole);
    for (let length = 0; length < section.length; length++) {
      // Whole lines before the cut are whole sections.
      const cut = section.subarray(0, length);
      if (length === 2 && section[0] !== 0xff) continue;
      fails("QPACK_DECOMPRESSION_FAILED", () => decoder().decode(4, cut));
    }
  }
});

test("broken Huffman code, in sections and instructions", () => {
  decompression("0000 51 81 ff");
  decompression("0000 29 ff 0131");
  instruction("c0 81 ff");
  instruction("61 ff 0131");
});

test("rfc9204#4.1.1 QPACK implementations MUST be able to decode integers up to and including 62 bits long", () => {
  // 2^62-1 as a string length or index is read, and refused for what it is.
  assert.throws(
    () => decoder().decode(4, bytes("0000 ff c0ffffffffffffff3f")),
    /no entry 4611686018427388000/,
  );
  // Above 2^62, and numbers of endless length are none.
  assert.throws(() => decoder().decode(4, bytes("0000 ff 8080808080808080 41")), /62 bits/);
  assert.throws(() => decoder().decode(4, bytes("0000 ff 808080808080808080 00")), /62 bits/);
  assert.throws(() => decoder().receiveEncoderStream(bytes("3f 808080808080808080 80")), /62 bits/);
  // rfc7541#5.1 zeros that say nothing are allowed as far as 62 bits go.
  assert.equal(lines("0000 ff a38080808080808000"), "x-frame-options=sameorigin");
});

test("the size of a section is counted expanded, 32 bytes a field", () => {
  // rfc9114#4.2.2; 2 + 32 bytes a line.
  const limited = () => decoder(undefined, { maxFieldSectionSize: 102 });
  const fits = limited().decode(4, bytes("0300 80 80 80"));
  assert.ok(fits.kind === "fields" && fits.size === 102 && fits.fields.length === 3);
  const made = limited();
  made.takeDecoderStream();
  assert.deepEqual(made.decode(4, bytes("0300 80 80 80 80 80")), { kind: "too-large", size: 136 });
  assert.equal(hex(made.takeDecoderStream()), "84", "it is processed: the entries are free");
});

test("an instruction comes in single bytes, or many at once", () => {
  const stream = bytes(
    "3fbd01 c00f 7777772e6578616d706c652e636f6d 4a637573746f6d2d6b6579 0c637573746f6d2d76616c7565 01 80 0131",
  );
  const whole = new QpackDecoder({ maxTableCapacity: 220 });
  whole.receiveEncoderStream(stream);
  const parts = new QpackDecoder({ maxTableCapacity: 220 });
  for (const byte of stream) parts.receiveEncoderStream(Uint8Array.of(byte));
  assert.equal(whole.insertCount, 4);
  assert.equal(parts.insertCount, 4);
  assert.equal(parts.tableSize, whole.tableSize);
  assert.equal(lines("0500 80 81 82 83", parts), lines("0500 80 81 82 83", whole));
});

test("bytes given are not kept", () => {
  const made = new QpackDecoder({ maxTableCapacity: 220 });
  const piece = bytes("3fbd01 4161 03 3132");
  made.receiveEncoderStream(piece);
  piece.fill(0xff);
  made.receiveEncoderStream(bytes("33"));
  assert.equal(lines("0200 80", made), "a=123");
});

test("a peer that takes no acknowledgements is stopped", () => {
  const made = decoder();
  assert.throws(
    () => {
      for (let i = 0; i <= QPACK_DECODER_STREAM_BUFFER; i++) made.decode(4, bytes("0300 80"));
      made.decode(4, bytes("0300 80"));
    },
    (error) => error instanceof Http3ConnectionError && error.errorCode === H3_ERROR.H3_EXCESSIVE_LOAD,
  );
});

test("a long entry in single bytes takes time in proportion", () => {
  const made = decoder("3fe17f", { maxTableCapacity: 65536 }); // 16,384
  const length = 16000;
  made.receiveEncoderStream(bytes("c0 7f 817c"));
  const begin = performance.now();
  for (let i = 0; i < length; i++) made.receiveEncoderStream(Uint8Array.of(0x61));
  assert.equal(made.insertCount, 1);
  assert.equal(made.tableSize, ":authority".length + length + 32);
  assert.ok(performance.now() - begin < 1000);
});
