// What the encoder sends, refuses and remembers: rfc9204#2.1, rfc9204#3.2, rfc9204#4.4.
import assert from "node:assert/strict";
import { test } from "node:test";
import { H3_ERROR, Http3ConnectionError, InvalidFieldError } from "../../../http3/errors.ts";
import { QPACK_ENCODER_STREAM_BUFFER, QPACK_UNACKNOWLEDGED_SECTIONS } from "../../../http3/limits.ts";
import {
  indexAll,
  indexNothing,
  QpackDecoder,
  QpackEncoder,
  type Field,
  type QpackEncoderOptions,
} from "../../../http3/qpack/index.ts";

const line = (name: string, value: string): Field => ({ name, value });
const secret = (name: string, value: string): Field => ({ name, value, sensitive: true });
const bytes = (text: string) => Buffer.from(text.replace(/\s/g, ""), "hex");
const hex = (taken: Uint8Array | null) => (taken === null ? null : Buffer.from(taken).toString("hex"));
const plainHex = (text: string) => text.replace(/\s/g, "");

function encoder(capacity = 220, blockedStreams = 100, options: QpackEncoderOptions = {}): QpackEncoder {
  const made = new QpackEncoder({ huffman: false, policy: indexAll, ...options });
  made.setPeerSettings({ maxTableCapacity: capacity, blockedStreams });
  made.takeEncoderStream();
  return made;
}

const decoderStreamError = (run: () => unknown) =>
  assert.throws(
    run,
    (error) =>
      error instanceof Http3ConnectionError && error.errorCode === H3_ERROR.QPACK_DECODER_STREAM_ERROR,
  );

test("without the peer's settings the dynamic table is not used", () => {
  // rfc9204#3.2.3 When the maximum table capacity is zero, the encoder MUST NOT insert entries into the dynamic table
  // and MUST NOT send any encoder instructions on the encoder stream.
  const made = new QpackEncoder({ huffman: false, policy: indexAll });
  assert.equal(made.insert(line("a", "1")), false);
  assert.equal(hex(made.encode(0, [line("a", "1"), line(":method", "GET")])), plainHex("0000 2161 0131 d1"));
  assert.equal(made.takeEncoderStream(), null);
  made.setPeerSettings({ maxTableCapacity: 0, blockedStreams: 100 });
  assert.equal(made.setCapacity(100), true);
  made.encode(4, [line("a", "1")]);
  assert.equal(made.takeEncoderStream(), null);
  assert.equal(made.insertCount, 0);
});

test("rfc9204#4.3.1 The new capacity MUST be lower than or equal to the limit", () => {
  const made = new QpackEncoder({ maxTableCapacity: 1000 });
  made.setPeerSettings({ maxTableCapacity: 220 });
  assert.equal(hex(made.takeEncoderStream()), "3fbd01");
  made.setCapacity(500);
  assert.equal(made.takeEncoderStream(), null);
  const less = new QpackEncoder({ maxTableCapacity: 30 });
  less.setPeerSettings({ maxTableCapacity: 220 });
  assert.equal(hex(less.takeEncoderStream()), "3e");
});

test("every representation", () => {
  const made = encoder();
  // Static; insert by static name and post-base; insert by literal name; literal.
  assert.equal(
    hex(made.encode(0, [line(":method", "GET"), line(":path", "/a"), line("x", "1")])),
    plainHex("0381 d1 10 11"),
  );
  assert.equal(hex(made.takeEncoderStream()), plainHex("c1 022f61 4178 0131"));
  // Relative; insert by dynamic name.
  assert.equal(
    hex(made.encode(4, [line("x", "1"), line(":path", "/a"), line("x", "2")])),
    plainHex("0480 80 81 10"),
  );
  assert.equal(hex(made.takeEncoderStream()), plainHex("80 0132"));
  // rfc9204#4.5.4: literals with the N bit, by static, relative and literal name.
  assert.equal(
    hex(
      made.encode(8, [secret(":path", "/a"), secret("x", "2"), secret("y", "3"), secret(":method", "GET")]),
    ),
    plainHex("0400 71 022f61 60 0132 3179 0133 7f00 03474554"),
  );
  assert.equal(made.takeEncoderStream(), null);
});

test("rfc9204#4.5.4 When the 'N' bit is set, the encoded field line MUST always be encoded with a literal representation", () => {
  const made = encoder(1000);
  made.insert(line("x", "1"));
  made.insert(line("token", "abc"));
  // It stands in both tables, and is sent as a literal all the same, across a hop.
  for (const field of [secret(":method", "GET"), secret("x", "1"), secret("new", "1")]) {
    const decoder = new QpackDecoder({ maxTableCapacity: 1000 });
    const other = encoder(1000);
    const section = other.encode(0, [field]);
    decoder.receiveEncoderStream(other.takeEncoderStream() ?? new Uint8Array(0));
    const first = decoder.decode(0, section);
    assert.ok(first.kind === "fields" && first.fields[0]!.sensitive === true);
    const forwarded = made.encode(4, first.fields);
    assert.ok(Buffer.from(forwarded).includes(Buffer.from(field.value)), "the value is there in full");
  }
});

test("credentials and short cookies are never indexed, whatever the policy", () => {
  // rfc9204#7.1.3
  for (const policy of [undefined, indexAll, indexNothing]) {
    const made = encoder(1000, 100, policy === undefined ? { policy: undefined } : { policy });
    for (const field of [
      line("authorization", "Bearer x"),
      line("cookie", "a=1"),
      line("proxy-authorization", "B"),
    ]) {
      assert.equal(made.insert(field), false);
      const section = made.encode(0, [field]);
      assert.equal(section[2]! & 0x20, 0x20, "N bit");
      assert.ok(Buffer.from(section).includes(Buffer.from(field.value)));
    }
    assert.equal(made.insertCount, 0);
  }
});

test("the default policy inserts what repeats", () => {
  const made = encoder(100, 100, { policy: undefined });
  // Free room: at once, but not what is large or changes always.
  made.encode(0, [line(":path", "/x"), line("date", "now"), line("big", "x".repeat(40))]);
  assert.equal(made.insertCount, 0);
  const roomy = encoder(1000, 100, { policy: undefined });
  for (let i = 0; i < 24; i++) roomy.insert(line(`name${i}`, "1234"));
  roomy.receiveDecoderStream(Uint8Array.of(roomy.insertCount));
  const full = roomy.insertCount;
  roomy.encode(0, [line("other", "once")]);
  assert.equal(roomy.insertCount, full, "the table is full: seen once");
  roomy.encode(4, [line("other", "twice")]);
  assert.equal(roomy.insertCount, full, "another value");
  roomy.encode(8, [line("other", "twice")]);
  assert.equal(roomy.insertCount, full + 1, "the same value again");
});

test("rfc9204#2.1 An encoder MUST emit field representations in the order they appear in the input field section", () => {
  const made = encoder(1000);
  made.insert(line("c", "3"));
  const fields = [line("b", "2"), line("c", "3"), line(":method", "GET"), secret("a", "1"), line("b", "2")];
  const section = made.encode(0, fields);
  const decoder = new QpackDecoder({ maxTableCapacity: 1000 });
  const instructions = Buffer.concat([bytes("3fc907"), made.takeEncoderStream()!]);
  decoder.receiveEncoderStream(instructions);
  const decoded = decoder.decode(0, section);
  assert.ok(decoded.kind === "fields");
  assert.deepEqual(
    decoded.fields.map((field) => field.name + field.value),
    fields.map((field) => field.name + field.value),
  );
});

test("rfc9204#2.1.2 An encoder MUST limit the number of streams that could become blocked to the value of SETTINGS_QPACK_BLOCKED_STREAMS at all times", () => {
  const made = encoder(2000, 2);
  made.encode(0, [line("a", "1")]);
  made.encode(4, [line("a", "1")]);
  assert.equal(made.outstanding.blockable, 2);
  // A third stream may not risk it; those that do may go on.
  assert.equal(hex(made.encode(8, [line("a", "1"), line("b", "1")])), plainHex("0000 2161 0131 2162 0131"));
  assert.equal(made.insertCount, 2, "inserted for later all the same");
  assert.equal(hex(made.encode(4, [line("b", "1")])), plainHex("0300 80"));
  assert.equal(made.outstanding.blockable, 2);
  // The acknowledgement of stream 0's section says that entry 0 is there: stream 4 still waits for entry 1.
  made.receiveDecoderStream(bytes("80"));
  assert.equal(made.outstanding.blockable, 1);
  assert.equal(hex(made.encode(12, [line("a", "1")])), plainHex("0201 81"));
  assert.equal(made.outstanding.blockable, 1);
  made.receiveDecoderStream(bytes("01"));
  assert.equal(made.outstanding.blockable, 0);
  // No blocking at all: only what is known to be there.
  const careful = encoder(2000, 0);
  assert.equal(hex(careful.encode(0, [line("a", "1")])), plainHex("0000 2161 0131"));
  careful.receiveDecoderStream(bytes("01"));
  assert.equal(hex(careful.encode(4, [line("a", "1")])), plainHex("0200 80"));
});

test("rfc9204#2.1.1 the encoder MUST NOT insert that entry into the dynamic table where the entries that would be evicted are not evictable", () => {
  // Room for two entries of 34.
  const made = encoder(70, 100);
  made.encode(0, [line("a", "1")]);
  assert.ok(made.insert(line("b", "1")));
  // rfc9204#3.2.2 The encoder MUST NOT cause a dynamic table entry to be evicted unless that entry is evictable.
  assert.equal(made.insert(line("c", "1")), false, "a=1 is not acknowledged");
  made.receiveDecoderStream(bytes("01"));
  assert.equal(made.insert(line("c", "1")), false, "a=1 is referenced by stream 0");
  made.receiveDecoderStream(bytes("80"));
  assert.equal(made.insert(line("c", "1")), true);
  assert.equal(made.insert(line("d", "1")), false, "b=1 is not acknowledged");
  // rfc9204#4.3.1 This MUST NOT cause the eviction of entries that are not evictable.
  assert.equal(made.setCapacity(0), false);
  made.receiveDecoderStream(bytes("02"));
  assert.equal(made.setCapacity(0), true);
  assert.equal(made.tableSize, 0);
});

test("what the section at work references is not evicted by it", () => {
  const made = encoder(70, 100);
  made.insert(line("a", "1"));
  made.insert(line("b", "1"));
  made.receiveDecoderStream(bytes("02"));
  made.takeEncoderStream();
  // b=1 is referenced, then c=1 wants room: a=1 may go. d=1 wants more: b=1 may not.
  const section = made.encode(0, [line("b", "1"), line("c", "1"), line("d", "1")]);
  assert.equal(hex(made.takeEncoderStream()), plainHex("4163 0131"));
  assert.equal(hex(section), plainHex("0480 80 10 2164 0131"));
});

test("a stream cancellation frees what the stream referenced, and says nothing of what was received", () => {
  const made = encoder(70, 100);
  made.encode(0, [line("a", "1")]);
  made.encode(0, [line("a", "1")]);
  made.receiveDecoderStream(bytes("40"));
  assert.deepEqual(made.outstanding, { sections: 0, blockable: 0 });
  assert.equal(made.knownReceivedCount, 0);
  made.receiveDecoderStream(bytes("40"));
  made.receiveDecoderStream(bytes("7f ffffffffffffffff3f"));
});

test("entries near eviction are duplicated, not referenced", () => {
  // rfc9204#2.1.1.1: a quarter of 400 bytes drains; entries have 40.
  const made = encoder(400, 100);
  const entry = (i: number) => line(`name-${i}`, "1");
  for (let i = 0; i < 10; i++) made.insert(entry(i));
  made.receiveDecoderStream(bytes("0a"));
  made.takeEncoderStream();
  assert.equal(hex(made.encode(0, [entry(9)])), plainHex("0b00 80"));
  assert.equal(made.takeEncoderStream(), null);
  assert.equal(hex(made.encode(4, [entry(1)])), plainHex("0c80 10"));
  assert.equal(hex(made.takeEncoderStream()), "08", "Duplicate, relative 8");
  // Where nothing may block, the old copy serves until the new one is there.
  const careful = encoder(400, 0);
  for (let i = 0; i < 10; i++) careful.insert(entry(i));
  careful.receiveDecoderStream(bytes("0a"));
  careful.takeEncoderStream();
  assert.equal(hex(careful.encode(4, [entry(1)])), plainHex("0308 88"));
  assert.equal(hex(careful.takeEncoderStream()), "08");
});

test("rfc9204#4.4.1 a Section Acknowledgment referring to a stream on which every section has already been acknowledged MUST be treated as QPACK_DECODER_STREAM_ERROR", () => {
  const made = encoder();
  made.encode(0, [line("a", "1")]);
  made.encode(4, [line(":method", "GET")]);
  decoderStreamError(() => made.receiveDecoderStream(bytes("84")));
  made.receiveDecoderStream(bytes("80"));
  decoderStreamError(() => made.receiveDecoderStream(bytes("80")));
  decoderStreamError(() => made.receiveDecoderStream(bytes("ff ffffffffffffffff3f")));
});

test("rfc9204#4.4.3 An encoder that receives an Increment field equal to zero, or one that increases the Known Received Count beyond what the encoder has sent, MUST treat this as QPACK_DECODER_STREAM_ERROR", () => {
  const made = encoder();
  decoderStreamError(() => made.receiveDecoderStream(bytes("00")));
  decoderStreamError(() => made.receiveDecoderStream(bytes("01")));
  made.encode(0, [line("a", "1"), line("b", "1")]);
  made.receiveDecoderStream(bytes("01"));
  assert.equal(made.knownReceivedCount, 1);
  decoderStreamError(() => made.receiveDecoderStream(bytes("02")));
  decoderStreamError(() => made.receiveDecoderStream(bytes("3f ffffffffffffffff3f")));
  // An acknowledgement has counted for both.
  made.receiveDecoderStream(bytes("80"));
  decoderStreamError(() => made.receiveDecoderStream(bytes("01")));
});

test("decoder instructions come in single bytes; broken integers end it", () => {
  const made = encoder(4000);
  made.encode(1000, [line("a", "1")]);
  for (const byte of bytes("ff e906")) made.receiveDecoderStream(Uint8Array.of(byte));
  assert.deepEqual(made.outstanding, { sections: 0, blockable: 0 });
  decoderStreamError(() => made.receiveDecoderStream(bytes("ff ffffffffffffffffff7f")));
  const slowly = encoder();
  decoderStreamError(() => {
    for (let i = 0; i < 20; i++) slowly.receiveDecoderStream(Uint8Array.of(0xff));
  });
});

test("rfc9204#3.2.3 If the remembered value is non-zero, the server MUST send the same non-zero value; otherwise QPACK_DECODER_STREAM_ERROR", () => {
  const early = (remembered: number) => {
    const made = new QpackEncoder({ policy: indexAll, huffman: false });
    made.setPeerSettings({ maxTableCapacity: remembered, blockedStreams: 1 }, true);
    made.encode(0, [line("a", "1")]);
    return made;
  };
  early(220).setPeerSettings({ maxTableCapacity: 220, blockedStreams: 1 });
  decoderStreamError(() => early(220).setPeerSettings({ maxTableCapacity: 221 }));
  decoderStreamError(() => early(220).setPeerSettings({}));
  // Where it was zero, it may become anything.
  const made = early(0);
  assert.equal(made.takeEncoderStream(), null);
  made.setPeerSettings({ maxTableCapacity: 220 });
  assert.equal(hex(made.takeEncoderStream()), "3fbd01");
});

test("what is no string of bytes is refused before anything is sent or inserted", () => {
  const made = encoder();
  for (const field of [line("a", "\u0100"), line("\u20ac", "1"), secret("a", "\ud83d\ude00")]) {
    assert.throws(() => made.encode(0, [line("ok", "1"), field]), InvalidFieldError);
  }
  // What was inserted before the mistake is consistent with what is sent.
  assert.equal(hex(made.takeEncoderStream()), plainHex("426f6b 0131"));
  assert.deepEqual(made.outstanding, { sections: 0, blockable: 0 });
  assert.equal(hex(made.encode(0, [line("ok", "1")])), plainHex("0200 80"));
});

test("Huffman is used where it is shorter", () => {
  const made = encoder(0, 0, { huffman: true });
  assert.equal(
    hex(made.encode(0, [line(":authority", "www.example.com"), line(":path", "/\x01\x02")])),
    plainHex("0000 50 8c f1e3c2e5f23a6ba0ab90f4ff 51 03 2f0102"),
  );
});

test("without credit on the encoder stream nothing is inserted", () => {
  // rfc9204#2.1.3
  const made = encoder(4000);
  made.streamCredit = 20;
  assert.equal(hex(made.encode(0, [line("a", "1")])), plainHex("0000 2161 0131"));
  assert.equal(made.takeEncoderStream(), null);
  made.streamCredit = 1000;
  assert.equal(hex(made.encode(0, [line("a", "1")])), plainHex("0280 10"));
  // Never more than the bound, taken or not.
  const stuck = encoder(16384);
  const written = () => {
    for (let i = 0; i < 10_000; i++) {
      stuck.insert(line(`name-${i}`, "v".repeat(40)));
      if (stuck.knownReceivedCount < stuck.insertCount) stuck.receiveDecoderStream(bytes("01"));
    }
    return stuck.takeEncoderStream()!.length;
  };
  const length = written();
  assert.ok(
    length <= QPACK_ENCODER_STREAM_BUFFER && length > QPACK_ENCODER_STREAM_BUFFER / 2,
    String(length),
  );
});

test("a peer that never acknowledges gets static references in the end", () => {
  const made = encoder(4000, QPACK_UNACKNOWLEDGED_SECTIONS * 2);
  for (let i = 0; i < QPACK_UNACKNOWLEDGED_SECTIONS + 10; i++) made.encode(4 * i, [line("a", "1")]);
  assert.equal(made.outstanding.sections, QPACK_UNACKNOWLEDGED_SECTIONS);
  assert.equal(hex(made.encode(0, [line("a", "1")])), plainHex("0000 2161 0131"));
});

test("lines of any number and length", () => {
  const made = new QpackEncoder();
  const decoder = new QpackDecoder({ maxTableCapacity: 0, maxFieldSectionSize: Infinity });
  const fields = [line("long", "x".repeat(100_000)), line("bin", "\xff".repeat(70_000)), line("", "")];
  for (let i = 0; i < 3000; i++) fields.push(line(`n${i}`, String(i)));
  const decoded = decoder.decode(0, made.encode(0, fields));
  assert.ok(decoded.kind === "fields");
  assert.deepEqual(
    decoded.fields.map((field) => [field.name, field.value]),
    fields.map((field) => [field.name, field.value]),
  );
});
