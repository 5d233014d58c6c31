// Path MTU discovery over real sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidOptionError } from "../../src/index.ts";
import { clientTls, noUnhandledRejections, pair, pattern } from "./pair.ts";

noUnhandledRejections();

/** Sends up to `most` MiB, until datagrams have `size` bytes. Gives the datagrams a MiB took at last. */
async function send(both: Awaited<ReturnType<typeof pair>>, most: number, size: number): Promise<number> {
  const { client, server } = both;
  const chunk = pattern(1 << 20);
  const stream = await client.openUniStream();
  let before = 0;
  const writing = (async () => {
    for (let n = 0; n < most && client.stats().mtu < size; n++) await stream.write(chunk);
    await stream.drained();
    before = client.stats().datagramsSent;
    await stream.write(chunk);
    await stream.drained();
    stream.close();
  })();
  const incoming = await server.acceptUniStream();
  let received = 0;
  for await (const part of incoming) received += part.length;
  await writing;
  assert.ok(received >= chunk.length);
  return client.stats().datagramsSent - before;
}

test("over loopback a ceiling of 65,527 bytes is made use of", async () => {
  const config = { maxPacketSize: 65527 };
  await using both = await pair({ clientConfig: config, serverConfig: config });
  if (!both.client.connectionState().socket.dontFragment) {
    // A socket that may fragment proves nothing by a probe: rfc9000#14.
    await send(both, 4, Infinity);
    assert.equal(both.client.stats().mtu, 1252);
    return;
  }
  const datagrams = await send(both, 200, 60_000);
  assert.ok(both.client.stats().mtu > 60_000, `${both.client.stats().mtu}`);
  assert.ok(datagrams < 100, `${datagrams} datagrams for a MiB`);
});

test("the default ceiling, and a connection without a search", async () => {
  await using both = await pair({ serverConfig: { disablePathMTUDiscovery: true } });
  await send(both, 20, 1400);
  const { dontFragment } = both.client.connectionState().socket;
  assert.equal(both.client.stats().mtu, dontFragment ? 1452 : 1252);
  assert.equal(both.server.stats().mtu, 1252);
  const serverConfig = { disablePathMTUDiscovery: true, initialPacketSize: 1300 };
  await using larger = await pair({ serverConfig });
  await send(larger, 20, 1400);
  assert.equal(larger.server.stats().mtu, 1300);
});

test("sizes that cannot be are refused", async () => {
  await using both = await pair();
  for (const bad of [{ maxPacketSize: 1199 }, { maxPacketSize: 65528 }]) {
    await assert.rejects(both.dialer.dial("127.0.0.1:1", clientTls, bad), InvalidOptionError);
  }
});
