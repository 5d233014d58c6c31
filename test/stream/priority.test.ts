// Which stream sends next: rfc9218#10.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stream } from "../../internal/stream/stream.ts";
import { draws, LIMITS, pair, Side, type Sent } from "./harness.ts";

const LARGE = { ...LIMITS, initialStreamWindow: 1e6, initialConnectionWindow: 1e7, maxConnectionWindow: 1e7 };

function opened(client: Side, n: number, bytes = 5000): Stream[] {
  return Array.from({ length: n }, () => {
    const stream = client.map.open(true)!;
    stream.send!.write(new Uint8Array(bytes), false);
    return stream;
  });
}

/** The streams in whose frames the packets carry bytes, in order, repeats left out. */
function order(packets: readonly Sent[]): number[] {
  const ids = packets.flatMap(({ records }) => records.map(([, id]) => id));
  return ids.filter((id, i) => id !== ids[i - 1]);
}

test("rfc9218#10 streams of higher urgency are served before those of lower", () => {
  const { client } = pair(LARGE);
  const [a, b, c] = opened(client, 3);
  a!.send!.setPriority(7, false);
  b!.send!.setPriority(3, false);
  c!.send!.setPriority(0, true);
  assert.deepEqual(order(client.packets()), [c!.id, b!.id, a!.id]);
});

test("rfc9218#10 non-incremental streams of one urgency go in ascending order of their IDs", () => {
  const { client } = pair(LARGE);
  const streams = opened(client, 5);
  // Said in another order than that of the IDs.
  for (const i of [3, 0, 4, 2, 1]) streams[i]!.send!.setPriority(2, false);
  assert.deepEqual(
    order(client.packets()),
    streams.map(({ id }) => id),
  );
});

test("rfc9218#10 incremental streams of one urgency share the bandwidth", () => {
  const { client } = pair(LARGE);
  const streams = opened(client, 3, 12_000);
  for (const { send } of streams) send!.setPriority(5, true);
  const ids = client.packets(1200, 9).map(({ records }) => records[0]![1]);
  assert.deepEqual(ids, [0, 4, 8, 0, 4, 8, 0, 4, 8]);
});

test("streams of which nobody said anything share, as rfc9000#2.3 leaves open", () => {
  const { client } = pair(LARGE);
  opened(client, 2, 12_000);
  const ids = client.packets(1200, 4).map(({ records }) => records[0]![1]);
  assert.deepEqual(ids, [0, 4, 0, 4]);
});

test("rfc9218#10 of one urgency, neither incremental nor other streams starve", () => {
  const { client } = pair(LARGE);
  const [a, b, c] = opened(client, 3, 12_000);
  a!.send!.setPriority(3, false);
  b!.send!.setPriority(3, true);
  c!.send!.setPriority(3, false);
  const ids = client.packets(1200, 6).map(({ records }) => records[0]![1]);
  assert.deepEqual(ids, [a!.id, b!.id, a!.id, b!.id, a!.id, b!.id]);
});

test("rfc9000#13.3 lost data goes before new data of its urgency, and after data that is more urgent", () => {
  const { client } = pair(LARGE);
  const [a, b] = opened(client, 2, 1000);
  const [first] = client.packets(2100);
  assert.equal(client.packet(), null);
  for (const { send } of [a!, b!]) send!.write(new Uint8Array(1000), false);
  const urgent = client.map.open(true)!;
  urgent.send!.setPriority(1, false);
  urgent.send!.write(new Uint8Array(1000), false);
  client.lost(first!);
  const records = client.packets().flatMap((packet) => packet.records);
  const firsts = records.filter(([, id], i) => records.findIndex((one) => one[1] === id) === i);
  assert.deepEqual(
    firsts.map(([, id, offset]) => [id, offset]),
    [
      [urgent.id, 0],
      [a!.id, 0],
      [b!.id, 0],
    ],
  );
  const lastLost = records.findLastIndex(([, id, offset]) => id !== urgent.id && offset < 1000);
  const firstNew = records.findIndex(([, id, offset]) => id !== urgent.id && offset >= 1000);
  assert.ok(lastLost < firstNew, "what was lost left before what is new");
});

test("lost data of the least urgent stream leaves where others wait for the connection's credit", () => {
  const tight = { ...LARGE, initialConnectionWindow: 2000 };
  const { client } = pair(tight);
  const [low, high] = opened(client, 2, 5000);
  low!.send!.setPriority(7, false);
  high!.send!.setPriority(0, false);
  const packets = client.packets();
  assert.deepEqual(order(packets).slice(0, 1), [high!.id]);
  // All credit is used; the peer raises it by what low can send once, and that is lost.
  low!.send!.setPriority(0, true);
  high!.send!.setPriority(0, true);
  client.map.onMaxData(3000);
  const more = client.packets();
  low!.send!.setPriority(7, false);
  high!.send!.setPriority(0, false);
  assert.equal(client.map.hasData, false);
  for (const packet of more) client.lost(packet);
  assert.equal(client.map.hasData, true);
  assert.deepEqual(order(client.packets()), order(more));
});

test("a priority said while the stream is queued takes effect at once", () => {
  const { client } = pair(LARGE);
  const [a, b, c] = opened(client, 3, 6000);
  for (const { send } of [a!, b!, c!]) send!.setPriority(3, false);
  assert.deepEqual(order(client.packets(1200, 2)), [a!.id]);
  c!.send!.setPriority(1, false);
  assert.deepEqual(order(client.packets(1200, 2)), [c!.id]);
  c!.send!.setPriority(6, true);
  b!.send!.setPriority(3, true);
  assert.deepEqual(order(client.packets(1200, 2)).sort(), [a!.id, b!.id]);
});

test("against a model: the scheduler picks what sorting would, all is sent, nothing twice", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const draw = draws(seed);
    const { client } = pair({ ...LARGE, maxIncomingStreams: 100 });
    const streams: Stream[] = [];
    const pending = new Map<number, number>();
    for (let round = 0; round < 300; round++) {
      const what = draw(4);
      if (what === 0 && streams.length < 60) {
        const stream = client.map.open(true)!;
        stream.send!.setPriority(draw(8), draw(2) === 0);
        streams.push(stream);
      } else if (what === 1 && streams.length > 0) {
        streams[draw(streams.length)]!.send!.setPriority(draw(8), draw(2) === 0);
      } else if (what === 2 && streams.length > 0) {
        const stream = streams[draw(streams.length)]!;
        const n = stream.send!.write(new Uint8Array(1 + draw(3000)), false);
        pending.set(stream.id, (pending.get(stream.id) ?? 0) + n);
      } else {
        const packet = client.packet();
        const left = streams.filter(({ id }) => (pending.get(id) ?? 0) > 0);
        assert.equal(packet === null, left.length === 0, `seed ${seed}`);
        for (const [, id, , length] of packet?.records ?? []) {
          const now = streams.filter(({ id }) => (pending.get(id) ?? 0) > 0);
          const best = Math.min(...now.map(({ send }) => send!.urgency));
          const { send } = streams.find((stream) => stream.id === id)!;
          assert.equal(send!.urgency, best, `seed ${seed}: the urgency`);
          if (!send!.incremental) {
            const before = now.filter((one) => one.id < id && one.send!.urgency === best);
            assert.ok(
              before.every((one) => one.send!.incremental),
              `seed ${seed}: in order of IDs`,
            );
          }
          pending.set(id, pending.get(id)! - length);
        }
      }
    }
    for (const { records } of client.packets()) {
      for (const [, id, , length] of records) pending.set(id, pending.get(id)! - length);
    }
    assert.ok(
      [...pending.values()].every((n) => n === 0),
      `seed ${seed}`,
    );
  }
});
