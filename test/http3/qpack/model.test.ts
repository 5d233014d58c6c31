// Encoder and decoder against each other at random: small tables, few names and values, sections that overtake
// instructions, cancellations, capacity changes, little credit. What comes out must be what went in, always.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DefaultPolicy,
  indexAll,
  QpackDecoder,
  QpackEncoder,
  type Field,
} from "../../../http3/qpack/index.ts";
import { Prng } from "../../fuzz/harness.ts";

interface Sent {
  readonly bytes: Uint8Array;
  readonly fields: readonly Field[];
}

const NAMES = [":method", ":path", "accept", "cookie", "authorization", "x", "x-a", "x-longer-name", ""];

class Model {
  readonly prng: Prng;
  readonly capacity: number;
  readonly blocking: number;
  readonly encoder: QpackEncoder;
  readonly decoder: QpackDecoder;
  toDecoder = Buffer.alloc(0);
  toEncoder = Buffer.alloc(0);
  /** Sections under way or waiting, in order, by stream. */
  readonly streams = new Map<number, Sent[]>();
  readonly blocked = new Set<number>();
  /** Stream IDs in use: a cancelled stream's is never used again. */
  readonly ids = Array.from({ length: 12 }, (_, i) => 4 * i);
  nextId = 48;
  decoded = 0;
  cancelled = 0;
  everBlocked = 0;
  indexed = 0;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    this.capacity = this.prng.pick([0, 31, 33, 64, 100, 220, 500, 2000]);
    this.blocking = this.prng.pick([0, 1, 2, 5, 100]);
    const policy = this.prng.chance(2) ? indexAll : new DefaultPolicy();
    const huffman = !this.prng.chance(3);
    this.encoder = new QpackEncoder({ policy, huffman });
    this.decoder = new QpackDecoder({ maxTableCapacity: this.capacity, maxBlockedStreams: this.blocking });
    this.encoder.setPeerSettings({ maxTableCapacity: this.capacity, blockedStreams: this.blocking });
  }

  field(): Field {
    const { prng } = this;
    const name = prng.chance(10) ? `y${prng.int(1000)}` : prng.pick(NAMES);
    const value = prng.chance(6)
      ? Buffer.from(prng.bytes(prng.int(40))).toString("latin1")
      : "v".repeat(prng.int(3) * 7) + prng.int(4);
    return prng.chance(12) ? { name, value, sensitive: true } : { name, value };
  }

  send(): void {
    const id = this.prng.pick(this.ids);
    const fields = Array.from({ length: this.prng.int(6) }, () => this.field());
    this.encoder.streamCredit = this.prng.chance(5) ? this.prng.int(60) : Infinity;
    const bytes = this.encoder.encode(id, fields);
    const { blockable } = this.encoder.outstanding;
    assert.ok(blockable <= this.blocking, `${blockable} streams could block, ${this.blocking} may`);
    // Two bytes of prefix and two for each line is less than any literal here.
    if (bytes.length < 2 + 2 * fields.length) this.indexed++;
    let sent = this.streams.get(id);
    if (sent === undefined) this.streams.set(id, (sent = []));
    sent.push({ bytes, fields });
    this.flush();
  }

  flush(): void {
    this.toDecoder = Buffer.concat([this.toDecoder, this.encoder.takeEncoderStream() ?? Buffer.alloc(0)]);
  }

  /** The next section of a stream arrives, or is tried again. */
  arrive(id: number): void {
    const sent = this.streams.get(id)!;
    const [{ bytes, fields }] = sent as [Sent];
    const section = this.decoder.decode(id, bytes);
    if (section.kind === "blocked") {
      this.blocked.add(id);
      this.everBlocked++;
      assert.ok(section.requiredInsertCount > this.decoder.insertCount);
      return;
    }
    assert.ok(section.kind === "fields");
    assert.deepEqual(
      section.fields.map(({ name, value }) => [name, value]),
      fields.map(({ name, value }) => [name, value]),
    );
    for (const [i, { sensitive }] of fields.entries()) {
      if (sensitive === true) assert.equal(section.fields[i]!.sensitive, true);
    }
    this.decoded++;
    sent.shift();
    if (sent.length === 0) this.streams.delete(id);
  }

  instructions(all = false): void {
    const piece = all ? this.toDecoder.length : this.prng.int(this.toDecoder.length + 1);
    const freed = this.decoder.receiveEncoderStream(this.toDecoder.subarray(0, piece));
    this.toDecoder = this.toDecoder.subarray(piece);
    for (const id of freed) {
      assert.ok(this.blocked.delete(id));
      this.arrive(id);
    }
  }

  answers(all = false): void {
    if (all || !this.prng.chance(3)) {
      this.toEncoder = Buffer.concat([this.toEncoder, this.decoder.takeDecoderStream() ?? Buffer.alloc(0)]);
    }
    const piece = all ? this.toEncoder.length : this.prng.int(this.toEncoder.length + 1);
    this.encoder.receiveDecoderStream(this.toEncoder.subarray(0, piece));
    this.toEncoder = this.toEncoder.subarray(piece);
  }

  cancel(): void {
    const ids = [...this.streams.keys()];
    if (ids.length === 0) return;
    const id = this.prng.pick(ids);
    this.streams.delete(id);
    this.blocked.delete(id);
    this.decoder.cancel(id);
    this.ids[this.ids.indexOf(id)] = this.nextId;
    this.nextId += 4;
    this.cancelled++;
  }

  step(): void {
    const ready = [...this.streams.keys()].filter((id) => !this.blocked.has(id));
    const kind = this.prng.int(40);
    if (kind < 14) this.send();
    else if (kind < 24) {
      if (ready.length > 0) this.arrive(this.prng.pick(ready));
    } else if (kind < 30) this.instructions();
    else if (kind < 36) this.answers();
    else if (kind < 37) this.cancel();
    else if (kind < 39) {
      this.encoder.insert(this.field());
      this.flush();
    } else if (this.prng.chance(4)) {
      this.encoder.setCapacity(this.prng.int(this.capacity + 50));
      this.flush();
    }
  }

  settle(): void {
    this.instructions(true);
    assert.equal(this.blocked.size, 0);
    while (this.streams.size > 0) for (const id of [...this.streams.keys()]) this.arrive(id);
    this.answers(true);
    assert.deepEqual(this.encoder.outstanding, { sections: 0, blockable: 0 });
    assert.equal(this.encoder.tableSize, this.decoder.tableSize);
    assert.equal(this.encoder.insertCount, this.decoder.insertCount);
    // With everything acknowledged the table can be emptied.
    assert.ok(this.encoder.setCapacity(0));
  }
}

test("random exchanges", (context) => {
  const sum = { decoded: 0, cancelled: 0, everBlocked: 0, indexed: 0, inserted: 0 };
  for (let seed = 1; seed <= 400; seed++) {
    const model = new Model(seed);
    try {
      for (let i = 0; i < 400; i++) model.step();
      model.settle();
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
    sum.decoded += model.decoded;
    sum.cancelled += model.cancelled;
    sum.everBlocked += model.everBlocked;
    sum.indexed += model.indexed;
    sum.inserted += model.encoder.insertCount;
  }
  context.diagnostic(JSON.stringify(sum));
  // The paths that matter were taken.
  assert.ok(Math.min(...Object.values(sum)) > 500, JSON.stringify(sum));
});
