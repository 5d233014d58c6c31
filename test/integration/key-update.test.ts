// Key updates over real sockets: rfc9001#6.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, collect, noUnhandledRejections, pair, until } from "./pair.ts";

noUnhandledRejections();

test("updateKeys() changes the keys of both sides, once at a time", async () => {
  await using it = await pair();
  const { client, server } = it;
  const serving = (async () => {
    for await (const stream of server.incomingStreams()) void stream.sink(stream.source).catch(() => {});
  })();
  const echo = async () => {
    const stream = await client.openStream();
    await stream.write(bytes("hello"));
    stream.close();
    assert.equal((await collect(stream)).length, 5);
  };
  await echo();
  for (let i = 1; i <= 3; i++) {
    const side = i === 2 ? server : client;
    // rfc9001#6.5 false until three PTO after the last one.
    await until(() => side.updateKeys(), `update ${i} is allowed`);
    assert.equal(side.updateKeys(), false);
    await until(
      () => client.stats().keyUpdates === i && server.stats().keyUpdates === i,
      `update ${i} is complete`,
    );
    await echo();
  }
  await client.close();
  assert.equal(client.updateKeys(), false);
  await serving;
});

test("and they change by themselves, after 100 packets at first", async () => {
  await using it = await pair();
  const stream = await it.client.openUniStream();
  const sending = (async () => {
    await stream.write(new Uint8Array(1_000_000));
    stream.close();
  })();
  const received = await collect(await it.server.acceptUniStream());
  await sending;
  assert.equal(received.length, 1_000_000);
  await until(
    () => it.client.stats().keyUpdates >= 1 && it.server.stats().keyUpdates >= 1,
    "the first update",
  );
});
