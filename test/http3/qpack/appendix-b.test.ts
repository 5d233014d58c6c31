// rfc9204#B: the exchanges of the RFC's examples, byte for byte, from both sides.
import assert from "node:assert/strict";
import { test } from "node:test";
import { indexAll, QpackDecoder, QpackEncoder, type Field } from "../../../http3/qpack/index.ts";
import { needsVectors, vectorJson } from "../../vectors.ts";

interface Step {
  readonly section: string;
  readonly stream: string;
  readonly hex: string;
  readonly size_after: number;
}

const line = (name: string, value: string): Field => ({ name, value });
const HOST = line(":authority", "www.example.com");
const PATH = line(":path", "/sample/path");
const CUSTOM = line("custom-key", "custom-value");

/** What the sections say, by stream. */
const SECTIONS: Readonly<Record<string, readonly Field[]>> = {
  "0": [line(":path", "/index.html")],
  "4": [HOST, PATH],
  "8": [HOST, line(":path", "/"), CUSTOM],
};

const needs = needsVectors("rfc", "rfc9204-appendix-b.json");
const steps = () => vectorJson<{ steps: Step[] }>("rfc", "rfc9204-appendix-b.json").steps;
const hex = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString("hex"));
const plain = (fields: readonly Field[]) => fields.map(({ name, value }) => [name, value]);

test(
  "the decoder reads what the examples' encoder sends, and answers as the examples' decoder does",
  needs,
  () => {
    const decoder = new QpackDecoder({ maxTableCapacity: 220, maxBlockedStreams: 1 });
    for (const step of steps()) {
      const bytes = Buffer.from(step.hex, "hex");
      if (step.stream === "Encoder") decoder.receiveEncoderStream(bytes);
      else if (step.stream === "Decoder") {
        // B.4 cancels a stream whose section was not decoded, before the duplicate of entry 0 was acknowledged.
        if (step.hex === "48") continue;
        assert.equal(hex(decoder.takeDecoderStream()), step.hex, step.section);
      } else if (step.stream === "8") decoder.cancel(8);
      else {
        const section = decoder.decode(Number(step.stream), bytes);
        assert.ok(section.kind === "fields", step.section);
        assert.deepEqual(plain(section.fields), plain(SECTIONS[step.stream]!));
      }
      assert.equal(decoder.tableSize, step.size_after, step.section);
    }
  },
);

test(
  "in B.4 the section is blocked, is cancelled, and would decode once its entries are there",
  needs,
  () => {
    const decoder = new QpackDecoder({ maxTableCapacity: 220, maxBlockedStreams: 1 });
    const all = steps();
    const duplicate = all.findIndex((step) => step.hex === "02");
    const section = Buffer.from(all[duplicate + 1]!.hex, "hex");
    for (const step of all.slice(0, duplicate)) {
      if (step.stream === "Encoder") decoder.receiveEncoderStream(Buffer.from(step.hex, "hex"));
    }
    decoder.takeDecoderStream();
    assert.deepEqual(decoder.decode(8, section), { kind: "blocked", requiredInsertCount: 4 });
    decoder.cancel(8);
    assert.equal(hex(decoder.takeDecoderStream()), "48");
    assert.deepEqual(decoder.decode(12, section), { kind: "blocked", requiredInsertCount: 4 });
    assert.deepEqual(decoder.receiveEncoderStream(Buffer.from("02", "hex")), [12]);
    const decoded = decoder.decode(12, section);
    assert.ok(decoded.kind === "fields");
    assert.deepEqual(plain(decoded.fields), plain(SECTIONS["8"]!));
    assert.equal(hex(decoder.takeDecoderStream()), "8c");
  },
);

test("the encoder sends what the examples' encoder sends", needs, () => {
  const encoder = new QpackEncoder({ policy: indexAll, huffman: false });
  const received: string[] = [];
  let begun = false;
  for (const step of steps()) {
    const bytes = Buffer.from(step.hex, "hex");
    if (step.stream === "Decoder") encoder.receiveDecoderStream(bytes);
    else if (step.stream === "Encoder") {
      if (!begun) {
        encoder.setPeerSettings({ maxTableCapacity: 220, blockedStreams: 1 });
        begun = true;
        // The entries come with the section that uses them; the section is compared in the next step.
        received.push(hex(encoder.encode(4, SECTIONS["4"]!))!);
      } else if (step.section.startsWith("B.3")) assert.ok(encoder.insert(CUSTOM));
      else if (step.section.startsWith("B.4")) assert.ok(encoder.insert(HOST));
      else assert.ok(encoder.insert(line("custom-key", "custom-value2")));
      assert.equal(hex(encoder.takeEncoderStream()), step.hex, step.section);
    } else {
      const section = received.shift() ?? hex(encoder.encode(Number(step.stream), SECTIONS[step.stream]!));
      assert.equal(section, step.hex, step.section);
    }
    assert.equal(encoder.tableSize, step.size_after, step.section);
  }
  assert.equal(encoder.insertCount, 5);
  assert.equal(encoder.knownReceivedCount, 3);
  assert.deepEqual(encoder.outstanding, { sections: 0, blockable: 0 });
});
