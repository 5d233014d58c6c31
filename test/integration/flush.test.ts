// When what was written leaves: at the end of the turn of the event loop, and whole messages before it where that is long.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_FLUSH_DELAY } from "../../internal/protocol/limits.ts";
import type { Connection, SendStream, TraceEvent } from "../../src/index.ts";
import { bytes, collect, noUnhandledRejections, pair } from "./pair.ts";

noUnhandledRejections();

/** Longer than a whole message waits. */
function work(): void {
  const end = performance.now() + 2 * MAX_FLUSH_DELAY;
  while (performance.now() < end);
}

const sent = (connection: Connection): number => connection.stats().packetsSent;
const open = (connection: Connection, n: number): SendStream[] =>
  Array.from({ length: n }, () => connection.tryOpenUniStream()!);

test("of many messages made in one turn the first leave before the last is there", async () => {
  await using it = await pair();
  const streams = open(it.server, 8);
  const before = sent(it.server);
  for (const stream of streams) {
    assert.ok(stream.tryWrite(bytes("answer")) > 0);
    stream.close();
    work();
  }
  assert.ok(sent(it.server) - before >= 3, `${sent(it.server) - before} packets within the turn`);
  for (let i = 0; i < streams.length; i++) {
    assert.equal(String.fromCharCode(...(await collect(await it.client.acceptUniStream()))), "answer");
  }
});

test("parts of a message wait for the end of the turn", async () => {
  await using it = await pair();
  const [stream] = open(it.server, 1) as [SendStream];
  const before = sent(it.server);
  for (let i = 0; i < 8; i++) {
    assert.ok(stream.tryWrite(bytes("part")) > 0);
    work();
  }
  assert.equal(sent(it.server), before);
  stream.close();
  assert.equal((await collect(await it.client.acceptUniStream())).length, 32);
});

test("what a tracer ends while packets are made leaves after them", async () => {
  let connection: Connection | null = null;
  let inside = 0;
  let deepest = 0;
  const tracer = {
    record(event: TraceEvent): void {
      if (event.name !== "packet_sent" || connection === null) return;
      deepest = Math.max(deepest, ++inside);
      if (deepest < 10) {
        const stream = connection.tryOpenUniStream();
        work();
        stream?.close();
      }
      inside--;
    },
  };
  await using it = await pair({ serverConfig: { tracer } });
  connection = it.server;
  const [stream] = open(it.server, 1) as [SendStream];
  // Several packets at once.
  assert.equal(stream.tryWrite(new Uint8Array(8000)), 8000);
  stream.close();
  assert.equal((await collect(await it.client.acceptUniStream())).length, 8000);
  connection = null;
  assert.equal(deepest, 1);
});
