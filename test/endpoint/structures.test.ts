import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Fifo } from "../../internal/endpoint/fifo.ts";
import { CidTable, Routes } from "../../internal/endpoint/routing.ts";
import { TimerHeap, type HeapItem } from "../../internal/endpoint/timer-heap.ts";
import { TokenBucket } from "../../internal/endpoint/token-bucket.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { toHex } from "../../internal/protocol/bytes.ts";
import { seeded, seededInt } from "../path/seeded.ts";

describe("the table of connection IDs", () => {
  test("does what a Map does, over random histories", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const int = seededInt(seed);
      const table = new CidTable<{ n: number }>(seeded(seed));
      const model = new Map<string, { n: number }>();
      for (let step = 0; step < 3000; step++) {
        // Few distinct keys, so that deleting and adding again is common.
        const cid = new Uint8Array([0, 0, 0, int(3), 0, 0, int(2), int(120)]);
        const hex = toHex(cid);
        switch (int(3)) {
          case 0: {
            const value = { n: step };
            table.set(cid, 0, value);
            model.set(hex, value);
            break;
          }
          case 1:
            assert.equal(table.delete(cid, 0), model.delete(hex), `seed ${seed} step ${step}`);
            break;
          default:
            assert.equal(table.get(cid, 0), model.get(hex) ?? null, `seed ${seed} step ${step}`);
        }
        assert.equal(table.size, model.size);
      }
      for (const [hex, value] of model) {
        assert.equal(table.get(Uint8Array.from(Buffer.from(hex, "hex")), 0), value);
      }
    }
  });

  test("keys are read anywhere in a buffer, with the high bit set too", () => {
    const table = new CidTable<object>(seeded(3));
    const value = {};
    const cid = new Uint8Array([0xff, 0xfe, 0xfd, 0xfc, 0x80, 0, 0, 1]);
    table.set(cid, 0, value);
    const buf = new Uint8Array(30).fill(0xff);
    buf.set(cid, 13);
    assert.equal(table.get(buf, 13), value);
    assert.equal(table.get(buf, 12), null);
  });

  test("another length is another connection ID", () => {
    const routes = new Routes<{ name: string }>(seeded(1));
    const a = { name: "a" };
    const b = { name: "b" };
    routes.set(new Uint8Array(9).fill(1), a);
    routes.set(new Uint8Array(10).fill(1), b);
    assert.equal(routes.get(new Uint8Array(20).fill(1), 0, 9), a);
    assert.equal(routes.get(new Uint8Array(20).fill(1), 0, 10), b);
    assert.equal(routes.get(new Uint8Array(20).fill(1), 0, 8), null);
    routes.delete(new Uint8Array(9).fill(1));
    assert.equal(routes.get(new Uint8Array(20).fill(1), 0, 9), null);
    assert.equal(routes.size, 1);
  });

  test("connection IDs in use are drawn again", () => {
    const routes = new Routes<object>(seeded(1));
    let drawn = 0;
    const cids = routes.unique({ length: 1, generate: () => new Uint8Array([drawn++ >> 1]) });
    const owner = {};
    const seen: number[] = [];
    for (let i = 0; i < 5; i++) {
      const cid = cids.generate(seeded(1));
      seen.push(cid[0]!);
      routes.set(cid, owner);
    }
    assert.deepEqual(seen, [0, 1, 2, 3, 4]);
    drawn = 0;
    const stuck = routes.unique({ length: 1, generate: () => new Uint8Array([0]) });
    assert.throws(() => stuck.generate(seeded(1)), /No unused connection ID/);
  });

  // rfc9000#10.3.1 tokens are compared with those associated with the remote address
  test("reset tokens belong to an address", () => {
    const routes = new Routes<{ name: string }>(seeded(1));
    const here = makeAddress("192.0.2.1", 1);
    const owner = { name: "owner" };
    const token = new Uint8Array(16).fill(3);
    routes.addReset(token, here, owner);
    routes.addReset(new Uint8Array(16).fill(4), here, { name: "other" });
    assert.equal(routes.findReset(token, 0, makeAddress("192.0.2.1", 1)), owner);
    assert.equal(routes.findReset(token, 0, makeAddress("192.0.2.1", 2)), null);
    assert.equal(routes.findReset(new Uint8Array(16), 0, here), null);
    routes.deleteReset(token, here, { name: "stranger" });
    assert.equal(routes.findReset(token, 0, here), owner);
    routes.deleteReset(token, here, owner);
    assert.equal(routes.findReset(token, 0, here), null);
    assert.equal(routes.resetCount, 1);
  });

  test("reset tokens are found without looking through them, however many an address has", () => {
    const routes = new Routes<{ n: number }>(seeded(2));
    const server = makeAddress("192.0.2.1", 443);
    const random = seeded(3);
    let looks = 0;
    const made: Uint8Array[] = [];
    for (let n = 0; n < 5000; n++) {
      const token = new Uint8Array(16);
      random(token);
      made.push(token);
      const watched = new Proxy(token, {
        get: (target, key) => {
          looks++;
          return Reflect.get(target, key, target) as unknown;
        },
      });
      routes.addReset(watched, server, { n });
    }
    assert.equal(routes.resetCount, 5000);
    looks = 0;
    for (let n = 0; n < 5000; n += 50) assert.equal(routes.findReset(made[n]!, 0, server)!.n, n);
    // 100 tokens were found, and hardly a byte of any other looked at: 16 bytes and their end each.
    assert.ok(looks >= 100 * 16 && looks <= 105 * 40, `${looks}`);
    looks = 0;
    for (let i = 0; i < 100; i++) {
      const guess = new Uint8Array(16);
      random(guess);
      assert.equal(routes.findReset(guess, 0, server), null);
    }
    assert.ok(looks <= 5 * 40, `${looks}`);
    // One token that two connections have is both's, until it is one's.
    const one = { n: -1 };
    routes.addReset(made[0]!, server, one);
    assert.equal(routes.findReset(made[0]!, 0, server), one);
    routes.deleteReset(made[0]!, server, one);
    assert.equal(routes.findReset(made[0]!, 0, server)!.n, 0);
  });
});

describe("the timer heap", () => {
  test("gives the earliest deadline over random histories", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const int = seededInt(seed);
      const heap = new TimerHeap<HeapItem>();
      const items = Array.from({ length: 60 }, () => ({ heapIndex: -1, deadline: Infinity }));
      for (let step = 0; step < 2000; step++) {
        const item = items[int(items.length)]!;
        if (int(4) === 0) heap.remove(item);
        else heap.set(item, int(5) === 0 ? Infinity : int(1000));
        let least = Infinity;
        let size = 0;
        for (const each of items) {
          least = Math.min(least, each.deadline);
          if (each.deadline !== Infinity) size++;
          assert.equal(each.heapIndex >= 0, each.deadline !== Infinity);
        }
        assert.equal(heap.next, least, `seed ${seed} step ${step}`);
        assert.equal(heap.size, size);
      }
      let before = -1;
      while (heap.size > 0) {
        const first = heap.first!;
        assert.ok(first.deadline >= before);
        before = first.deadline;
        heap.remove(first);
      }
      assert.equal(heap.next, Infinity);
    }
  });
});

test("a token bucket gives a burst, then a rate, and survives a clock that stands still", () => {
  const bucket = new TokenBucket(1000, 5);
  let taken = 0;
  for (let i = 0; i < 20; i++) if (bucket.take(100)) taken++;
  assert.equal(taken, 5);
  assert.equal(bucket.take(100.5), false);
  assert.equal(bucket.take(101), true);
  assert.equal(bucket.take(50), false);
  taken = 0;
  for (let i = 0; i < 20; i++) if (bucket.take(1e9)) taken++;
  assert.equal(taken, 5);
});

test("a queue keeps its order through growth and wrap-around", () => {
  const int = seededInt(8);
  const fifo = new Fifo<number>();
  const model: number[] = [];
  for (let step = 0; step < 5000; step++) {
    if (int(5) < 3) {
      fifo.push(step);
      model.push(step);
    } else assert.equal(fifo.shift(), model.shift());
    assert.equal(fifo.size, model.length);
    assert.equal(fifo.peek(), model[0]);
  }
  fifo.clear();
  assert.equal(fifo.shift(), undefined);
});
