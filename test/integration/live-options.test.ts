// Options that change on a live connection, and what they change.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { InvalidOptionError, type LiveOptions } from "../../src/index.ts";
import {
  bytes,
  clientTls,
  collect,
  noUnhandledRejections,
  pair,
  pattern,
  text,
  turns,
  until,
} from "./pair.ts";

noUnhandledRejections();

describe("options of a live connection", () => {
  test("more streams: the peer hears of it, and those who wait go on", async () => {
    await using it = await pair({ serverConfig: { maxIncomingStreams: 2, maxIncomingUniStreams: 0 } });
    const { client, server } = it;
    client.tryOpenStream();
    client.tryOpenStream();
    const waiting = [client.openStream(), client.openStream(), client.openUniStream()];
    server.configure({ maxIncomingStreams: 5, maxIncomingUniStreams: 3 });
    await Promise.all(waiting);
    await until(() => client.streamsLeft.unidirectional === 2, "credit");
    assert.deepEqual(client.streamsLeft, { bidirectional: 1, unidirectional: 2 });
  });

  test("fewer streams: what was promised holds, then fewer come", async () => {
    await using it = await pair({ serverConfig: { maxIncomingUniStreams: 10 } });
    const { client, server } = it;
    server.configure({ maxIncomingUniStreams: 2 });
    let opened = 0;
    for (let i = 0; i < 10; i++) {
      const stream = client.tryOpenUniStream();
      opened++;
      await stream.write(bytes(`${i}`));
      stream.close();
    }
    for (let i = 0; i < 8; i++) assert.equal(await text(await server.acceptUniStream()), `${i}`);
    await turns(20);
    assert.equal(client.streamsLeft.unidirectional, 0, "those are not replaced");
    assert.equal(await text(await server.acceptUniStream()), "8");
    assert.equal(await text(await server.acceptUniStream()), "9");
    await until(() => client.streamsLeft.unidirectional > 0, "two at a time");
    assert.ok(client.streamsLeft.unidirectional <= 2);
    assert.equal(opened, 10);
  });

  test("keep alive begins and ends", async () => {
    await using it = await pair();
    const { client, server } = it;
    await until(() => client.connectionState().handshakeConfirmed, "confirmation");
    client.configure({ keepAlivePeriod: 30 });
    const before = server.stats().packetsReceived;
    await until(() => server.stats().packetsReceived >= before + 3, "PINGs");
    client.configure({ keepAlivePeriod: 0 });
    await turns(5);
    assert.throws(() => client.configure({ keepAlivePeriod: -1 }), InvalidOptionError);
  });

  test("windows, pacing, ACKs, the spin bit and datagram queues: transfers go on through it", async () => {
    const config = { enableDatagrams: true };
    await using it = await pair({ serverConfig: config, clientConfig: config });
    const { client, server } = it;
    const changes: LiveOptions[] = [
      { pacing: false },
      { ackElicitingThreshold: 10, ackFrequency: true },
      { spinBit: "on" },
      { spinBit: "off", pacing: true },
      { maxStreamReceiveWindow: 16 << 20, maxConnectionReceiveWindow: 32 << 20 },
      { congestionControl: "newreno" },
      { congestionControl: "bbr", ackElicitingThreshold: 2 },
    ];
    for (const change of changes) {
      client.configure(change);
      server.configure(change);
      const stream = await client.openUniStream();
      await stream.write(pattern(200_000));
      stream.close();
      assert.equal((await collect(await server.acceptUniStream())).length, 200_000);
    }
    client.configure({ datagramQueues: { send: { count: 2 } } });
    assert.equal(client.sendDatagram("a"), "queued");
    assert.equal(client.sendDatagram("b"), "queued");
    assert.ok(client.datagramQueue.sendFull);
    assert.equal(client.sendDatagram("c"), "queue_full");
    // The peer's connection was not touched.
    assert.equal(server.sendDatagram("x"), "queued");
    assert.equal(server.sendDatagram("y"), "queued");
    assert.equal(server.sendDatagram("z"), "queued");
  });

  test("what is settled at the start, and values that cannot be, are refused; nothing changes then", async () => {
    await using it = await pair();
    const { client } = it;
    assert.throws(() => client.configure({ enableDatagrams: true } as LiveOptions), {
      code: "ERR_QUIC_INVALID_OPTION",
      message: /enableDatagrams.*settled/,
    });
    assert.throws(() => client.configure({ pacing: false, ackElicitingThreshold: 0 }), InvalidOptionError);
    assert.throws(() => client.configure({ congestionControl: "fast" as never }), InvalidOptionError);
    assert.throws(() => client.configure({ spinBit: "up" as never }), InvalidOptionError);
    assert.equal(client.core.config.pacing, true);
    await client.close();
    client.configure({ pacing: false });
  });

  test("the sender's burst and pace are told", async () => {
    await using it = await pair();
    const { sendQuantum, pacingRate, mtu, congestionWindow } = it.client.stats();
    assert.ok(sendQuantum >= mtu && pacingRate > 0 && congestionWindow >= 2 * mtu);
  });

  test("maxPayloadSize: what the peer sends is no larger", async () => {
    const clientConfig = { maxPayloadSize: 1300 };
    await using it = await pair({ clientConfig, serverConfig: { initialPacketSize: 1400 } });
    const { client, server } = it;
    const stream = await server.openUniStream();
    await stream.write(pattern(300_000));
    stream.close();
    assert.equal((await collect(await client.acceptUniStream())).length, 300_000);
    assert.ok(server.mtu <= 1300, `${server.mtu}`);
    const target = `127.0.0.1:${it.listener.address().port}`;
    await assert.rejects(it.dialer.dial(target, clientTls, { maxPayloadSize: 1000 }), InvalidOptionError);
  });
});
