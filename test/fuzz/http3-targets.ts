// HTTP/3's parsers as fuzzing targets: whatever comes, they decode or throw their typed error, in bounded time.
import assert from "node:assert/strict";
import { H3_ERROR, Http3ConnectionError, type H3ErrorName } from "../../http3/errors.ts";
import { DefaultPolicy, indexAll, QpackDecoder, QpackEncoder, type Field } from "../../http3/qpack/index.ts";
import { vectorFiles } from "../vectors.ts";
import type { Prng, Target } from "./harness.ts";

/** Runs `body`; false where it threw one of `expected`. Anything else is a bug. */
function survives(expected: readonly H3ErrorName[], body: () => void): boolean {
  try {
    body();
    return true;
  } catch (error) {
    if (
      error instanceof Http3ConnectionError &&
      expected.some((name) => H3_ERROR[name] === error.errorCode)
    ) {
      return false;
    }
    throw error;
  }
}

const NAMES = [":method", ":path", ":status", "accept", "cookie", "x", "x-name", "authorization"];

export function randomFields(prng: Prng): Field[] {
  return Array.from({ length: prng.int(8) }, () => ({
    name: prng.pick(NAMES),
    value: prng.chance(4) ? Buffer.from(prng.bytes(prng.int(30))).toString("latin1") : `value ${prng.int(5)}`,
    sensitive: prng.chance(8),
  }));
}

function encoderAndDecoder(prng: Prng): { encoder: QpackEncoder; decoder: QpackDecoder } {
  const maxTableCapacity = prng.pick([0, 64, 220, 4096]);
  const blocked = prng.pick([0, 1, 100]);
  const encoder = new QpackEncoder({ policy: prng.chance(2) ? indexAll : new DefaultPolicy() });
  encoder.setPeerSettings({ maxTableCapacity, blockedStreams: blocked });
  for (let i = prng.int(6); i > 0; i--) encoder.encode(0, randomFields(prng));
  const decoder = new QpackDecoder({ maxTableCapacity, maxBlockedStreams: blocked });
  decoder.receiveEncoderStream(encoder.takeEncoderStream() ?? new Uint8Array(0));
  return { encoder, decoder };
}

const corpora = () => [
  ...[...vectorFiles("fuzz", "neqo", "fuzz", "corpus", "qpack")].map(([, bytes]) => bytes),
  ...[...vectorFiles("fuzz", "quiche", "fuzz", "corpus", "qpack_decode")].map(([, bytes]) => bytes),
];

const section: Target = {
  name: "qpack sections",
  corpus: corpora,
  generate(prng) {
    const { encoder } = encoderAndDecoder(prng);
    return encoder.encode(4, randomFields(prng));
  },
  run(input, prng) {
    const { decoder } = encoderAndDecoder(prng);
    survives(["QPACK_DECOMPRESSION_FAILED"], () => {
      const decoded = decoder.decode(4, input);
      if (decoded.kind !== "fields") return;
      // What was decoded can be sent on and comes out the same.
      const encoder = new QpackEncoder();
      const again = new QpackDecoder().decode(0, encoder.encode(0, decoded.fields));
      assert.ok(again.kind === "fields" && again.size === decoded.size);
      for (const [i, { name, value, sensitive }] of decoded.fields.entries()) {
        const field = again.fields[i]!;
        assert.ok(field.name === name && field.value === value && field.sensitive! >= sensitive!);
      }
      assert.equal(again.fields.length, decoded.fields.length);
    });
  },
};

const encoderStream: Target = {
  name: "qpack encoder stream",
  corpus: corpora,
  generate(prng) {
    const encoder = new QpackEncoder({ policy: indexAll });
    encoder.setPeerSettings({ maxTableCapacity: prng.pick([64, 220, 4096]), blockedStreams: 100 });
    for (let i = prng.int(6); i > 0; i--) encoder.encode(0, randomFields(prng));
    return encoder.takeEncoderStream()!;
  },
  run(input, prng) {
    // In one piece and in many: the same table, or the same error.
    const whole = new QpackDecoder();
    const wholeOk = survives(["QPACK_ENCODER_STREAM_ERROR"], () => void whole.receiveEncoderStream(input));
    const parts = new QpackDecoder();
    const partsOk = survives(["QPACK_ENCODER_STREAM_ERROR"], () => {
      for (let at = 0; at < input.length;) {
        const length = 1 + prng.int(7);
        parts.receiveEncoderStream(input.subarray(at, at + length));
        at += length;
      }
    });
    assert.equal(partsOk, wholeOk);
    assert.equal(parts.insertCount, whole.insertCount);
    assert.equal(parts.tableSize, whole.tableSize);
    assert.ok(whole.tableSize <= 4096);
  },
};

const decoderStream: Target = {
  name: "qpack decoder stream",
  corpus: () => [Uint8Array.of(0x80, 0x84, 0x01, 0x44), ...corpora()],
  run(input, prng) {
    const { encoder } = encoderAndDecoder(prng);
    survives(["QPACK_DECODER_STREAM_ERROR"], () => {
      for (let at = 0; at < input.length; at += 3) encoder.receiveDecoderStream(input.subarray(at, at + 3));
    });
    assert.ok(encoder.knownReceivedCount <= encoder.insertCount);
    encoder.encode(8, randomFields(prng));
  },
};

export const HTTP3_TARGETS: readonly Target[] = [section, encoderStream, decoderStream];
