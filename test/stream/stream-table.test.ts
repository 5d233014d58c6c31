import assert from "node:assert/strict";
import { test } from "node:test";
import { Bag, type BagItem } from "../../internal/protocol/bag.ts";
import { Stream } from "../../internal/stream/stream.ts";
import { StreamTable } from "../../internal/stream/stream-table.ts";
import { seededInt } from "../path/seeded.ts";

test("the table agrees with a Map under any sequence of changes", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const pick = seededInt(seed);
    const table = new StreamTable();
    const map = new Map<number, Stream>();
    // Few IDs, so that they collide; some beyond 32 bits.
    const id = (): number => (pick(8) === 0 ? 2 ** 40 : 0) + 4 * pick(60) + pick(4);
    for (let i = 0; i < 3000; i++) {
      const at = id();
      assert.equal(table.get(at), map.get(at), `seed ${seed}`);
      if (map.has(at) || pick(3) === 0) {
        table.delete(at);
        map.delete(at);
      } else {
        const stream = new Stream(at, null, null);
        table.add(at, stream);
        map.set(at, stream);
      }
      assert.equal(table.size, map.size);
    }
    assert.deepEqual(new Set(table.values()), new Set(map.values()), `seed ${seed}`);
    for (const at of [...map.keys()]) table.delete(at);
    assert.equal(table.size, 0);
    assert.deepEqual(table.values(), []);
  }
});

test("a bag agrees with a Set", () => {
  const pick = seededInt(5);
  const items = Array.from({ length: 50 }, (): BagItem => ({ bagIndex: -1 }));
  const bag = new Bag<BagItem>();
  const set = new Set<BagItem>();
  for (let i = 0; i < 5000; i++) {
    const item = items[pick(items.length)]!;
    if (pick(2) === 0) {
      bag.add(item);
      set.add(item);
    } else {
      bag.delete(item);
      set.delete(item);
    }
    assert.equal(bag.size, set.size);
  }
  assert.deepEqual(new Set(bag.toArray()), set);
});
