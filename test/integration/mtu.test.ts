// Path MTU discovery over real sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidOptionError, Transport } from "../../src/index.ts";
import { clientTls, noUnhandledRejections, pair, pattern, until } from "./pair.ts";

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

test("how to search is checked", async () => {
  const transport = new Transport({ address: "127.0.0.1" });
  try {
    for (const [pathMTUSearch, name] of [
      [{ probes: 0 }, "probes"],
      [{ step: 0.5 }, "step"],
      [{ raiseInterval: 999 }, "raiseInterval"],
    ] as const) {
      const dialed = transport.dial(
        { host: "127.0.0.1", port: 9 },
        { ALPNProtocols: ["x"] },
        { pathMTUSearch },
      );
      await assert.rejects(dialed, new RegExp(`pathMTUSearch.${name}`));
    }
  } finally {
    await transport.close();
  }
});

// rfc9000#14 UDP datagrams MUST NOT be fragmented at the IP layer: each path's socket says whether it can see to that.
test("a second path is searched where its own socket sets DF", async () => {
  for (const [first, second] of [
    ["auto", "dgram"],
    ["dgram", "auto"],
  ] as const) {
    const home = new Transport({ address: "127.0.0.1", udp: first });
    const other = new Transport({ address: "127.0.0.1", udp: second });
    await using both = await pair({ dialer: home });
    const { client } = both;
    try {
      await until(
        () => client.connectionState().handshakeConfirmed && client.connectionIds().spare > 0,
        "confirmation and spare connection IDs",
      );
      const path = await client.addPath(other);
      await path.probe();
      path.switch();
      await send(both, 10, 1400);
      // The native socket where it works, as on any machine; node:dgram has no way to set DF.
      const native = second === "auto" && (await setsDf());
      assert.equal(path.info().mtu, native ? 1452 : 1252, `${first}, then ${second}`);
    } finally {
      await client.close();
      await other.close();
    }
  }
});

/** Whether the native socket, which sets DF, works here. */
async function setsDf(): Promise<boolean> {
  await using both = await pair({ dialer: new Transport({ address: "127.0.0.1", udp: "auto" }) });
  return both.client.connectionState().socket.dontFragment;
}

test("sizes that cannot be are refused", async () => {
  await using both = await pair();
  for (const bad of [{ maxPacketSize: 1199 }, { maxPacketSize: 65528 }]) {
    await assert.rejects(both.dialer.dial("127.0.0.1:1", clientTls, bad), InvalidOptionError);
  }
});
