// HTTP/3's parsers as fuzzing targets: whatever comes, they decode or throw their typed error, in bounded time.
import assert from "node:assert/strict";
import { H3_ERROR, Http3ConnectionError, type H3ErrorName } from "../../http3/errors.ts";
import { DefaultPolicy, indexAll, QpackDecoder, QpackEncoder, type Field } from "../../http3/qpack/index.ts";
import { FRAME, encodeFrame, frameHeader, type Role } from "../../http3/frames.ts";
import { CapsuleReader } from "../../http3/capsules.ts";
import { ControlStreamReader } from "../../http3/control-stream.ts";
import { Http3StreamError, MalformedMessageError } from "../../http3/errors.ts";
import { FrameReader } from "../../http3/frame-reader.ts";
import { checkRequest, checkResponse, checkTrailers } from "../../http3/message-head.ts";
import { parsePriority, priorityOf, serializePriority } from "../../http3/priority.ts";
import { decodeSettings, encodeSettings } from "../../http3/settings.ts";
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

const neqo = (folder: string) => () =>
  [...vectorFiles("fuzz", "neqo", "fuzz", "corpus", folder)].map(([, bytes]) => bytes);

const FRAME_ERRORS: readonly H3ErrorName[] = [
  "H3_FRAME_UNEXPECTED",
  "H3_MISSING_SETTINGS",
  "H3_FRAME_ERROR",
  "H3_EXCESSIVE_LOAD",
  "H3_SETTINGS_ERROR",
  "H3_ID_ERROR",
];

/** Runs `body` with expected errors of the connection or the stream; says which there was. */
function outcome(body: () => void): string {
  try {
    body();
    return "read";
  } catch (error) {
    if (error instanceof Http3StreamError) return error.message;
    if (
      error instanceof Http3ConnectionError &&
      FRAME_ERRORS.some((name) => H3_ERROR[name] === error.errorCode)
    ) {
      return error.message;
    }
    throw error;
  }
}

/** Calls `push` with pieces of the input, of one random size each. */
function pieces(input: Uint8Array, most: number, prng: Prng, push: (piece: Uint8Array) => void): void {
  for (let at = 0; at < input.length;) {
    const length = 1 + prng.int(most);
    push(input.slice(at, at + length));
    at += length;
  }
}

function randomFrame(prng: Prng): Uint8Array {
  const type = prng.chance(5) ? prng.int(64) : prng.pick(Object.values(FRAME));
  if (prng.chance(10)) return frameHeader(type, prng.int(1 << prng.int(20)));
  return encodeFrame(type, prng.bytes(prng.pick([0, 1, 1, 2, 8, 30])));
}

const frames: Target = {
  name: "h3 frames",
  corpus: neqo("hframe"),
  generate: (prng) =>
    Buffer.concat([
      ...(prng.chance(2) ? [encodeSettings({ qpackMaxTableCapacity: 100 })] : []),
      ...Array.from({ length: prng.int(6) }, () => randomFrame(prng)),
    ]),
  run(input, prng) {
    const stream = prng.pick(["control", "request", "push"] as const);
    const receiver: Role = stream === "push" ? "client" : prng.pick(["client", "server"]);
    // The same is said whatever the pieces.
    const said = [input.length + 1, 5].map((most) => {
      const all: string[] = [];
      const reader = new FrameReader({ stream, receiver });
      all.push(
        outcome(() => {
          pieces(input, most, prng, (piece) => {
            reader.push(piece);
            for (let event = reader.next(); event !== null; event = reader.next()) {
              const bytes = Buffer.from(reader.payload).toString("hex");
              if (event === "data" && all.length > 0 && !all.at(-1)!.startsWith("frame"))
                all[all.length - 1] += bytes;
              else all.push(`${event}${reader.type} ${bytes}`);
            }
          });
          reader.end();
        }),
      );
      return all;
    });
    assert.deepEqual(said[1]!.join(), said[0]!.join());
    if (stream !== "control") return;
    const control = new ControlStreamReader(receiver, { max: 5, promised: (id) => id < 3 });
    outcome(() =>
      pieces(input, 9, prng, (piece) => {
        control.push(piece);
        while (control.next() !== null);
      }),
    );
  },
};

const settings: Target = {
  name: "h3 settings",
  corpus: neqo("hsettings"),
  run(input) {
    outcome(() => {
      const first = decodeSettings(input);
      if ([...Object.values(first), ...first.others.values()].includes(Infinity)) return;
      const reader = new ControlStreamReader("client");
      reader.push(encodeSettings(first));
      const event = reader.next();
      assert.ok(event?.kind === "settings");
      assert.deepEqual(event.settings, first);
    });
  },
};

const capsules: Target = {
  name: "h3 capsules",
  corpus: neqo("wtframe"),
  generate: (prng) => Buffer.concat(Array.from({ length: prng.int(6) }, () => randomFrame(prng))),
  run(input, prng) {
    const said = [input.length + 1, 5].map((most) => {
      const all: string[] = [];
      const reader = new CapsuleReader((type) => type % 2 === 0, 1000);
      const end = outcome(() => {
        pieces(input, most, prng, (piece) => {
          reader.push(piece);
          while (reader.next()) all.push(`${reader.type} ${Buffer.from(reader.value).toString("hex")}`);
        });
        reader.end();
      });
      return [...all, end];
    });
    assert.deepEqual(said[1], said[0]);
  },
};

const priority: Target = {
  name: "h3 priority",
  corpus: () => [Buffer.from("u=3, i"), Buffer.from("u=1;a, x=(1 2)"), ...neqo("priority")()],
  run(input) {
    const parsed = parsePriority(Buffer.from(input).toString("latin1"));
    if (parsed === null) return;
    const merged = priorityOf(parsed);
    assert.deepEqual(priorityOf(parsePriority(serializePriority(merged))), merged);
  },
};

const heads: Target = {
  name: "h3 heads",
  corpus: () =>
    [
      ":method\tGET\n:scheme\thttps\n:authority\ta.b\n:path\t/\naccept\t*/*\ncookie\ta=1\ncookie\tb=2",
      ":method\tCONNECT\n:authority\ta.b:443",
      ":status\t200\ncontent-length\t12\nx-y\tz",
    ].map((text) => Buffer.from(text)),
  run(input) {
    const fields = Buffer.from(input)
      .toString("latin1")
      .split("\n")
      .map((line) => ({ name: line.split("\t")[0]!, value: line.split("\t").slice(1).join("\t") }));
    for (const check of [checkRequest, checkResponse, checkTrailers]) {
      try {
        const head = check(fields);
        const kept = "fields" in head ? head.fields : head;
        for (const { name, value } of kept) {
          assert.match(name, /^[!#$%&'*+.^_`|~0-9a-z-]+$/);
          assert.doesNotMatch(value, /[\0-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/);
        }
      } catch (error) {
        if (!(error instanceof MalformedMessageError)) throw error;
      }
    }
  },
};

export const HTTP3_TARGETS: readonly Target[] = [
  section,
  encoderStream,
  decoderStream,
  frames,
  settings,
  capsules,
  priority,
  heads,
];
