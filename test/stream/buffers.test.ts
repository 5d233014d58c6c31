import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_STREAM_GAPS } from "../../internal/protocol/limits.ts";
import { RangeSet } from "../../internal/stream/range-set.ts";
import { Reassembly } from "../../internal/stream/reassembly.ts";
import { SendBuffer } from "../../internal/stream/send-buffer.ts";
import { content, draws } from "./harness.ts";

const ranges = (set: RangeSet) => Array.from({ length: set.count }, (_, i) => [set.start(i), set.end(i)]);

describe("range set", () => {
  test("agrees with a set of numbers", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const draw = draws(seed);
      const set = new RangeSet();
      const model = new Set<number>();
      for (let i = 0; i < 150; i++) {
        const start = draw(80);
        const end = start + draw(12);
        const removing = draw(2) === 0;
        for (let at = start; at < end; at++) {
          if (removing) model.delete(at);
          else model.add(at);
        }
        if (removing) set.remove(start, end);
        else set.add(start, end);
        const expected: number[][] = [];
        for (let at = 0; at < 100; at++) {
          if (!model.has(at)) continue;
          if (expected.at(-1)?.[1] === at) expected.at(-1)![1] = at + 1;
          else expected.push([at, at + 1]);
        }
        assert.deepEqual(ranges(set), expected, `seed ${seed}, step ${i}`);
        const from = draw(80);
        const overlaps = [...model].some((at) => at >= from && at < from + 5);
        assert.equal(set.overlaps(from, from + 5), overlaps, `seed ${seed}, step ${i}`);
      }
    }
  });
});

describe("reassembly", () => {
  test("any order and overlap gives the bytes", () => {
    for (let seed = 1; seed <= 15; seed++) {
      const draw = draws(seed);
      const size = 1 + draw(200_000);
      const all = content(seed, 0, size);
      const data = new Reassembly();
      const out = new Uint8Array(size);
      let read = 0;
      const take = (chunk: Uint8Array) => {
        out.set(chunk, read);
        read += chunk.length;
      };
      const kept: [number, Uint8Array][] = [];
      let cursor = 0;
      while (read < size) {
        const offset = draw(3) > 0 ? cursor : draw(size);
        const n = Math.min(draw(8000), size - offset);
        assert.ok(data.insert(offset, all, offset, n, draw(2) === 0 ? size : Infinity));
        if (offset === cursor) cursor += n;
        if (cursor >= size) cursor = 0;
        if (draw(2) === 0) {
          for (const chunk of data.readChunks(1 + draw(30_000))) {
            kept.push([read, chunk]);
            take(chunk);
          }
        } else {
          const target = new Uint8Array(draw(10_000));
          take(target.subarray(0, data.readInto(target)));
        }
      }
      assert.deepEqual(out, all, `seed ${seed}`);
      for (const [at, chunk] of kept) assert.deepEqual(chunk, all.subarray(at, at + chunk.length));
      // The block that later data would go to stays.
      assert.ok(data.memory <= 65536);
    }
  });

  test("an empty frame ahead of a gap moves nothing", () => {
    const data = new Reassembly();
    data.insert(0, content(1, 0, 100), 0, 100, Infinity);
    data.insert(5000, new Uint8Array(0), 0, 0, 5000);
    assert.equal(data.contiguous, 100);
    data.insert(200, content(1, 200, 10), 0, 10, 5000);
    data.insert(5000, new Uint8Array(0), 0, 0, 5000);
    assert.equal(data.contiguous, 100);
  });

  // rfc9000#2.2 The data at a given offset MUST NOT change if it is sent multiple times
  test("of data that changes what came first is delivered", () => {
    const data = new Reassembly();
    data.insert(10, new Uint8Array(10).fill(1), 0, 10, Infinity);
    data.insert(5, new Uint8Array(20).fill(2), 0, 20, Infinity);
    data.insert(0, new Uint8Array(8).fill(3), 0, 8, Infinity);
    data.insert(0, new Uint8Array(25).fill(4), 0, 25, Infinity);
    const out = new Uint8Array(25);
    data.readInto(out);
    assert.deepEqual([...out], [3, 3, 3, 3, 3, 2, 2, 2, 2, 2, ...Array(10).fill(1), 2, 2, 2, 2, 2]);
  });

  test("memory follows the highest offset, whatever the order of one-byte frames", () => {
    const one = Uint8Array.of(7);
    const window = 512 * 1024;
    const descending = new Reassembly();
    for (let at = 60_000; at > 0; at--) descending.insert(at, one, 0, 1, Infinity);
    assert.ok(descending.memory <= 2 * 60_000 + 2048, `${descending.memory}`);
    const spread = new Reassembly();
    for (let at = window - 1; at > 0; at -= 1024) assert.ok(spread.insert(at, one, 0, 1, Infinity));
    assert.ok(spread.memory <= window, `${spread.memory}`);
    // Small offsets buy small blocks only.
    const small = new Reassembly();
    for (const at of [5, 4, 3, 2, 1, 2053]) small.insert(at, one, 0, 1, Infinity);
    assert.ok(small.memory <= 4096, `${small.memory}`);
  });

  test("a small final stream takes its size", () => {
    const data = new Reassembly();
    data.insert(0, content(1, 0, 32), 0, 32, 32);
    assert.equal(data.memory, 32);
  });

  test("gaps are bounded; what closes or joins one is taken all the same", () => {
    const data = new Reassembly();
    const one = Uint8Array.of(1);
    for (let i = 1; i <= MAX_STREAM_GAPS; i++) assert.ok(data.insert(2 * i, one, 0, 1, Infinity));
    assert.ok(!data.insert(2 * MAX_STREAM_GAPS + 2, one, 0, 1, Infinity));
    assert.ok(data.insert(2 * MAX_STREAM_GAPS + 1, one, 0, 1, Infinity));
    assert.ok(data.insert(0, one, 0, 1, Infinity));
    assert.equal(data.contiguous, 1);
  });

  test("gaps of whole packets are kept, however many: every other packet of a large window may be lost", () => {
    const data = new Reassembly();
    const packet = new Uint8Array(1200);
    const count = 3 * MAX_STREAM_GAPS;
    for (let i = 0; i < count; i++) {
      assert.ok(data.insert(2400 * i + 1200, packet, 0, 1200, Infinity));
    }
    for (let i = 0; i < count; i++) assert.ok(data.insert(2400 * i, packet, 0, 1200, Infinity));
    assert.equal(data.contiguous, 2400 * count);
  });

  test("a stream that was read to its end so far holds no memory, and goes on", () => {
    const data = new Reassembly();
    const target = new Uint8Array(50_000);
    for (let at = 0, round = 0; round < 40; round++) {
      const length = 1 + ((round * 4099) % 50_000);
      assert.ok(data.insert(at, content(0, at, length), 0, length, Infinity));
      assert.ok(data.memory > 0);
      if (round % 3 === 0) {
        const chunks = data.readChunks(Infinity);
        assert.deepEqual(Buffer.concat(chunks), Buffer.from(content(0, at, length)));
        // Nothing of what other streams had in the block is in reach.
        for (const chunk of chunks) {
          const behind = new Uint8Array(chunk.buffer).subarray(chunk.byteOffset + chunk.length);
          assert.ok(behind.every((byte) => byte === 0));
        }
      } else {
        assert.equal(data.readInto(target), length);
        assert.deepEqual(target.subarray(0, length), content(0, at, length));
      }
      assert.equal(data.memory, 0);
      at += length;
      // A gap is another matter: what is beyond it waits.
      if (round % 5 === 0) {
        assert.ok(data.insert(at + 1, content(0, at + 1, 1), 0, 1, Infinity));
        assert.ok(data.memory > 0);
        assert.ok(data.insert(at, content(0, at, 1), 0, 1, Infinity));
        assert.equal(data.readInto(target), 2);
        at += 2;
      }
    }
  });

  test("what was handed out is sealed: later data goes to memory of its own", () => {
    const data = new Reassembly();
    data.insert(0, content(1, 0, 1200), 0, 1200, Infinity);
    const [chunk] = data.readChunks(2000);
    assert.equal(chunk!.length, 1200);
    assert.equal(chunk!.buffer.byteLength, 2048);
    // The owner may transfer it.
    structuredClone(chunk!.buffer, { transfer: [chunk!.buffer] });
    data.insert(1200, content(1, 1200, 2000), 0, 2000, Infinity);
    const out = new Uint8Array(2000);
    assert.equal(data.readInto(out), 2000);
    assert.deepEqual(out, content(1, 1200, 2000));
  });

  test("large chunks are handed out, small ones copied", () => {
    const data = new Reassembly();
    data.insert(0, content(1, 0, 200_000), 0, 200_000, Infinity);
    const [small] = data.readChunks(10);
    assert.equal(small!.buffer.byteLength, 10);
    const chunks = data.readChunks(190_000);
    assert.ok(chunks.some((chunk) => chunk.buffer.byteLength === 65536 && chunk.length === 65536));
    for (const chunk of chunks) assert.ok(8 * chunk.length >= chunk.buffer.byteLength);
  });
});

describe("send buffer", () => {
  test("gives any range until it is acknowledged, in any order", () => {
    for (let seed = 1; seed <= 15; seed++) {
      const draw = draws(seed);
      const size = 150_000;
      const all = content(seed, 0, size);
      const buffer = new SendBuffer();
      const acked = new RangeSet();
      const out = new Uint8Array(4000);
      while (buffer.base < size) {
        if (buffer.end < size && draw(2) === 0) {
          const n = Math.min(1 + draw(20_000), size - buffer.end);
          buffer.append(all.slice(buffer.end, buffer.end + n), 0, n, draw(2) === 0);
        }
        if (buffer.size === 0) continue;
        const offset = buffer.base + draw(buffer.size);
        const n = 1 + draw(Math.min(4000, buffer.end - offset));
        if (!acked.overlaps(offset, offset + n)) {
          buffer.copyTo(out, 0, offset, n);
          assert.deepEqual(out.subarray(0, n), all.subarray(offset, offset + n), `seed ${seed}`);
        }
        const from = draw(3) === 0 ? buffer.base : offset;
        const upTo = Math.min(buffer.end, from + n);
        buffer.acked(from, upTo - from);
        acked.add(from, upTo);
        const lost = new RangeSet();
        buffer.addUnacked(lost, 0, buffer.end);
        for (let i = 0; i < acked.count; i++) assert.ok(!lost.overlaps(acked.start(i), acked.end(i)));
        const held = ranges(acked).reduce((sum, [a, b]) => sum + b! - a!, 0);
        assert.equal(ranges(lost).reduce((sum, [a, b]) => sum + b! - a!, 0) + held, buffer.end);
      }
      assert.equal(buffer.size, 0);
    }
  });

  test("owned bytes are kept when that is worth it, others copied", () => {
    const buffer = new SendBuffer();
    const big = content(1, 0, 2000);
    const tiny = content(2, 0, 10);
    buffer.append(big, 0, big.length, true);
    buffer.append(tiny, 0, tiny.length, true);
    big.fill(0);
    tiny.fill(0);
    const out = new Uint8Array(2010);
    buffer.copyTo(out, 0, 0, 2010);
    assert.deepEqual(out.subarray(0, 2000), new Uint8Array(2000));
    assert.deepEqual(out.subarray(2000), content(2, 0, 10));
  });
});
