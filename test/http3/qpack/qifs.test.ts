import assert from "node:assert/strict";
import { test } from "node:test";
import { Http3ConnectionError } from "../../../http3/errors.ts";
import { PrefixWriter } from "../../../http3/qpack/primitives.ts";
import { QpackDecoder, QpackEncoder, type Field } from "../../../http3/qpack/index.ts";
import { Prng } from "../../fuzz/harness.ts";
import { needsVectors, vectorFiles } from "../../vectors.ts";
import { qifs, records } from "./qif.ts";

const plain = (fields: readonly Field[]) => fields.map(({ name, value }) => `${name}\t${value}`).join("\n");

/** A decoder as the offline interop sets it up: some encoders take its capacity as agreed without setting it. */
function offlineDecoder(capacity: number, blocked: number): QpackDecoder {
  const decoder = new QpackDecoder({ maxTableCapacity: capacity, maxBlockedStreams: blocked });
  const writer = new PrefixWriter();
  writer.integer(0x20, 5, capacity);
  decoder.receiveEncoderStream(writer.copy());
  return decoder;
}

/** Decodes an encoded file; returns the field lists in the order of their streams. */
function decodeFile(file: Uint8Array, capacity: number, blocked: number): string[] {
  const decoder = offlineDecoder(capacity, blocked);
  const waiting = new Map<number, Uint8Array>();
  const lists = new Map<number, string>();
  const take = (stream: number, bytes: Uint8Array) => {
    const section = decoder.decode(stream, bytes);
    if (section.kind === "blocked") waiting.set(stream, bytes);
    else {
      assert.equal(section.kind, "fields");
      if (section.kind === "fields") lists.set(stream, plain(section.fields));
      waiting.delete(stream);
    }
  };
  for (const { stream, bytes } of records(file)) {
    if (stream === 0)
      for (const freed of decoder.receiveEncoderStream(bytes)) take(freed, waiting.get(freed)!);
    else take(stream, bytes);
  }
  assert.equal(waiting.size, 0, "streams left blocked");
  return [...lists].sort(([a], [b]) => a - b).map(([, list]) => list);
}

test("what three other encoders made of the lists decodes to the lists", needsVectors("qifs"), (context) => {
  const lists = new Map([...qifs()].map(([name, list]) => [name, list.map(plain)]));
  let files = 0;
  let sections = 0;
  for (const [name, file] of vectorFiles("qifs", "encoded")) {
    const match = /([^/]+)\/([^/]+)\.out\.(\d+)\.(\d+)\.(\d)$/.exec(name);
    assert.ok(match !== null, name);
    const decoded = decodeFile(file, Number(match[3]), Number(match[4]));
    assert.deepEqual(decoded, lists.get(match[2]!), name);
    files++;
    sections += decoded.length;
  }
  assert.ok(files >= 288);
  context.diagnostic(`${files} files, ${sections} sections`);
});

/** Malformed in a draft's smaller static table; in the RFC's these are the entries 0 and 62. */
const WELL_FORMED = new Set(["err9", "err10"]);

test("the malformed files fail with the code of the stream they are on", needsVectors("qifs"), () => {
  let files = 0;
  for (const [name, file] of vectorFiles("qifs", "errors")) {
    files++;
    if (WELL_FORMED.has(name)) {
      assert.equal(decodeFile(file, 4096, 100).length, 1);
      continue;
    }
    const code = [...records(file)][0]!.stream === 0 ? 0x0201 : 0x0200;
    assert.throws(
      () => decodeFile(file, 4096, 100),
      (error) => error instanceof Http3ConnectionError && error.errorCode === code,
      name,
    );
  }
  assert.equal(files, 12);
});

interface Outcome {
  readonly bytes: number;
  readonly blocked: number;
}

/**
 * Sends lists from an encoder to a decoder over streams that arrive in random order and pieces, with the decoder's
 * answers as late; all must come out as they went in.
 */
function roundTrip(
  lists: readonly (readonly Field[])[],
  capacity: number,
  blocking: number,
  seed: number,
): Outcome {
  const prng = new Prng(seed);
  const encoder = new QpackEncoder();
  const decoder = new QpackDecoder({ maxTableCapacity: capacity, maxBlockedStreams: blocking });
  encoder.setPeerSettings({ maxTableCapacity: capacity, blockedStreams: blocking });
  let toDecoder = Buffer.alloc(0);
  let toEncoder = Buffer.alloc(0);
  const waiting = new Map<number, Uint8Array>();
  const inFlight: [number, Uint8Array][] = [];
  let bytes = 0;
  let blocked = 0;
  let decoded = 0;
  const take = (stream: number, section: Uint8Array) => {
    const result = decoder.decode(stream, section);
    if (result.kind === "blocked") {
      blocked++;
      waiting.set(stream, section);
      return;
    }
    assert.ok(result.kind === "fields");
    assert.equal(plain(result.fields), plain(lists[stream / 4]!));
    decoded++;
  };
  const deliver = () => {
    const piece = prng.int(toDecoder.length + 1);
    for (const stream of decoder.receiveEncoderStream(toDecoder.subarray(0, piece))) {
      take(stream, waiting.get(stream)!);
    }
    toDecoder = toDecoder.subarray(piece);
    while (inFlight.length > 0 && !prng.chance(3)) {
      const [[stream, section]] = inFlight.splice(prng.int(inFlight.length), 1) as [[number, Uint8Array]];
      take(stream, section);
    }
    toEncoder = Buffer.concat([toEncoder, decoder.takeDecoderStream() ?? Buffer.alloc(0)]);
    const answer = prng.int(toEncoder.length + 1);
    encoder.receiveDecoderStream(toEncoder.subarray(0, answer));
    toEncoder = toEncoder.subarray(answer);
  };
  for (let i = 0; i < lists.length; i++) {
    const section = encoder.encode(4 * i, lists[i]!);
    const instructions = encoder.takeEncoderStream() ?? Buffer.alloc(0);
    bytes += section.length + instructions.length;
    toDecoder = Buffer.concat([toDecoder, instructions]);
    inFlight.push([4 * i, section]);
    deliver();
  }
  while (toDecoder.length > 0 || inFlight.length > 0 || toEncoder.length > 0) deliver();
  assert.equal(decoded, lists.length);
  encoder.receiveDecoderStream(decoder.takeDecoderStream() ?? new Uint8Array(0));
  assert.deepEqual(encoder.outstanding, { sections: 0, blockable: 0 });
  assert.equal(encoder.knownReceivedCount, encoder.insertCount);
  assert.equal(encoder.tableSize, decoder.tableSize);
  return { bytes, blocked };
}

test(
  "our encoder's sections decode to the lists, at every table size and under reordering",
  needsVectors("qifs"),
  (context) => {
    for (const [name, lists] of qifs()) {
      const original = lists.reduce((sum, list) => sum + plain(list).length, 0);
      const shares: string[] = [];
      for (const capacity of [0, 256, 512, 4096]) {
        for (const blocking of [0, 100]) {
          const { bytes, blocked } = roundTrip(lists, capacity, blocking, 9204 + capacity + blocking);
          if (blocking === 0) assert.equal(blocked, 0, "blocked without leave");
          if (capacity === 4096 && blocking === 100 && lists.length > 50)
            assert.ok(blocked > 0, "blocking is tested");
          shares.push(`${capacity}/${blocking}: ${((100 * bytes) / original).toFixed(1)} %`);
        }
      }
      context.diagnostic(`${name}: ${shares.join(", ")}`);
    }
  },
);
