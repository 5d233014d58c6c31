// Versions over real sockets.
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import {
  type Config,
  dialAddr,
  InvalidOptionError,
  listenAddr,
  QuicVersion,
  type TraceEvent,
  Transport,
  VersionNegotiationError,
} from "../../src/index.ts";
import { clientTls, noUnhandledRejections, serverTls } from "./pair.ts";

noUnhandledRejections();
const { v1, v2 } = QuicVersion;

/** The version on both sides, and what the client's tracer saw of it. */
async function negotiated(server: Config, client: Config) {
  const events: TraceEvent[] = [];
  await using listener = await listenAddr("127.0.0.1:0", serverTls, server);
  await using dialer = new Transport({ address: "127.0.0.1" });
  const tracer = { record: (event: TraceEvent) => void events.push(event) };
  const conn = await dialer.dial(`127.0.0.1:${listener.address().port}`, clientTls, { ...client, tracer });
  const accepted = await listener.accept();
  const stream = await conn.openStream();
  await stream.write(new Uint8Array(5000));
  stream.close();
  const incoming = await accepted.acceptStream();
  let received = 0;
  for await (const chunk of incoming) received += chunk.length;
  assert.equal(received, 5000);
  assert.equal(conn.connectionState().version, accepted.connectionState().version);
  return { version: conn.connectionState().version, events };
}

test("version 1 by default, version 2 where either side prefers it", async () => {
  assert.equal((await negotiated({}, {})).version, v1);
  assert.equal((await negotiated({ versions: [v2, v1] }, {})).version, v2);
  assert.equal((await negotiated({}, { versions: [v2, v1] })).version, v2);
  assert.equal((await negotiated({}, { versions: [v2, v1], originalVersion: v1 })).version, v2);
  assert.equal(
    (await negotiated({ versions: [v1] }, { versions: [v2, v1], originalVersion: v1 })).version,
    v1,
  );
});

test("Version Negotiation, and a new attempt by itself", async () => {
  for (const [server, client, version] of [
    [{ versions: [v1] }, { versions: [v2, v1] }, v1],
    [{ versions: [v2] }, {}, v2],
    [{}, { originalVersion: 0x1a2a3a4a }, v1],
  ] as const) {
    const { version: chosen, events } = await negotiated(
      server as unknown as Config,
      client as unknown as Config,
    );
    assert.equal(chosen, version);
    assert.equal(events.filter((event) => event.name === "connection_started").length, 2);
  }
});

test("no version in common: the error lists both sides' versions", async () => {
  await using listener = await listenAddr("127.0.0.1:0", serverTls, { versions: [v2] });
  await assert.rejects(
    dialAddr(`127.0.0.1:${listener.address().port}`, clientTls, { versions: [v1] }),
    (error: unknown) => {
      assert.ok(error instanceof VersionNegotiationError);
      assert.deepEqual(error.ours, [v1]);
      assert.ok(error.theirs.includes(v2) && error.next === null);
      return error.code === "ERR_QUIC_VERSION_NEGOTIATION";
    },
  );
});

test("a transport that sends no Version Negotiation packets", async () => {
  await using transport = new Transport({ address: "127.0.0.1", disableVersionNegotiationPackets: true });
  await transport.listen(serverTls);
  const { port } = transport.address();
  const probe = createSocket("udp4");
  probe.bind(0, "127.0.0.1");
  await once(probe, "listening");
  const unknown = new Uint8Array(1200);
  unknown.set([0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0]);
  probe.send(unknown, port, "127.0.0.1");
  while ((transport.stats().dropped["unsupported_version"] ?? 0) === 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(transport.stats().statelessSent.version_negotiation, 0);
  probe.close();
});

test("options that cannot be", async () => {
  for (const [config, name] of [
    [{ versions: [] }, "versions"],
    [{ versions: [3] }, "versions"],
    [{ versions: [v1, v1] }, "versions"],
    [{ versions: v1 }, "versions"],
    [{ originalVersion: 7 }, "originalVersion"],
    [{ versions: [v1], originalVersion: v2 }, "originalVersion"],
  ] as const) {
    await assert.rejects(
      dialAddr("127.0.0.1:9", clientTls, config as unknown as Config),
      (error: unknown) => {
        assert.ok(error instanceof InvalidOptionError);
        return error.message.includes(name);
      },
    );
  }
});
