// Datagrams over real sockets, through the public API. rfc9221
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  DatagramsUnsupportedError,
  DatagramTooLargeError,
  InvalidOptionError,
  QuicError,
} from "../../src/index.ts";
import { bytes, clientTls, noUnhandledRejections, pair, turns, until } from "./pair.ts";

noUnhandledRejections();

const ON = { enableDatagrams: true };
const decode = (data: Uint8Array): string => new TextDecoder().decode(data);

describe("datagrams over sockets", () => {
  test("sent and received, as bytes and as strings, with their fate told", async () => {
    await using both = await pair({ serverConfig: ON, clientConfig: ON });
    const { client, server } = both;
    const outcomes: string[] = [];
    const onSettled = (outcome: string) => void outcomes.push(outcome);
    assert.equal(client.sendDatagram(bytes("one"), { onSettled }), "queued");
    assert.equal(client.sendDatagram("två", { onSettled }), "queued");
    assert.equal(client.sendDatagram("0aff", { encoding: "hex" }), "queued");
    assert.equal(client.sendDatagram(new Uint8Array(client.maxDatagramSize)), "queued");
    assert.equal(decode(await server.receiveDatagram()), "one");
    assert.equal(decode(await server.receiveDatagram()), "två");
    await until(() => server.datagramQueue.receiveLength === 2, "the others");
    assert.equal(server.datagramQueue.peek()?.length, 2);
    assert.deepEqual([...server.datagramQueue.tryReceive()!], [0x0a, 0xff]);
    assert.equal(server.datagramQueue.tryReceive()!.length, client.maxDatagramSize);
    assert.equal(server.datagramQueue.tryReceive(), null);
    server.sendDatagram("back");
    assert.equal(decode(await client.receiveDatagram()), "back");
    await until(() => outcomes.length === 2, "acknowledgements");
    assert.deepEqual(outcomes, ["acked", "acked"]);
    assert.equal(server.datagramQueue.stats().received, 4);
    assert.equal(client.datagramQueue.stats().sent, 4);
  });

  test("an iterator that ends with the connection", async () => {
    await using both = await pair({ serverConfig: ON, clientConfig: ON });
    const { client, server } = both;
    const got: string[] = [];
    const reading = (async () => {
      for await (const data of server.datagrams()) got.push(decode(data));
    })();
    for (const text of ["a", "b", "c"]) client.sendDatagram(text);
    await until(() => got.length === 3, "three datagrams");
    await client.close();
    await reading;
    assert.deepEqual(got, ["a", "b", "c"]);
    assert.throws(() => client.sendDatagram("late"), QuicError);
    await assert.rejects(server.receiveDatagram(), QuicError);
  });

  test("what cannot be sent is refused with what to do", async () => {
    await using both = await pair({ serverConfig: { ...ON, maxDatagramFrameSize: 500 } });
    const { client, server } = both;
    assert.equal(client.maxDatagramSize, 497);
    assert.throws(
      () => client.sendDatagram(new Uint8Array(498)),
      (error) => error instanceof DatagramTooLargeError && error.maxDatagramSize === 497,
    );
    // The client did not enable them, so that the server may not send any.
    assert.equal(server.datagramQueue.supported, false);
    assert.throws(() => server.sendDatagram("x"), DatagramsUnsupportedError);
    assert.throws(() => client.sendDatagram("x", { urgency: 8 }), InvalidOptionError);
    assert.throws(() => client.sendDatagram("x", { maxAge: -1 }), InvalidOptionError);
    assert.throws(() => client.sendDatagram(3 as unknown as string), InvalidOptionError);
    for (const bad of [{ maxDatagramFrameSize: 0 }, { datagramQueues: { send: { count: 0 } } }]) {
      await assert.rejects(both.dialer.dial("127.0.0.1:1", clientTls, bad), InvalidOptionError);
    }
  });

  test("a full queue refuses, ready() waits, purge() takes back", async () => {
    const queues = { datagramQueues: { send: { count: 10 } } };
    await using both = await pair({ serverConfig: ON, clientConfig: { ...ON, ...queues } });
    const { client, server } = both;
    const outcomes: string[] = [];
    const onSettled = (outcome: string) => void outcomes.push(outcome);
    for (let i = 0; i < 10; i++) assert.equal(client.sendDatagram(`n${i}`, { onSettled }), "queued");
    assert.equal(client.sendDatagram("eleventh"), "queue_full");
    assert.ok(client.datagramQueue.sendFull);
    assert.deepEqual([client.datagramQueue.sendLength, client.datagramQueue.sendBytes], [10, 20]);
    assert.equal(
      client.datagramQueue.purge((data) => decode(data) > "n7"),
      2,
    );
    client.sendDatagram("n8");
    client.sendDatagram("n9");
    await client.datagramQueue.ready();
    assert.equal(client.datagramQueue.sendLength, 0);
    await until(() => server.datagramQueue.receiveLength === 10, "the rest");
    await until(() => outcomes.length === 10, "their fates");
    assert.deepEqual(outcomes.sort(), [...Array<string>(8).fill("acked"), "purged", "purged"]);
    // An aborted wait takes nothing.
    const aborted = AbortSignal.abort(new Error("enough"));
    await assert.rejects(server.receiveDatagram({ signal: aborted }), /enough/);
    assert.equal(server.datagramQueue.receiveLength, 10);
  });

  test("waiting ends when asked to, and with the connection", async () => {
    await using both = await pair({ serverConfig: ON, clientConfig: ON });
    const { client, server } = both;
    const controller = new AbortController();
    const waiting = server.receiveDatagram({ signal: controller.signal });
    controller.abort(new Error("stop"));
    await assert.rejects(waiting, /stop/);
    const other = server.receiveDatagram();
    other.catch(() => {});
    const outcomes: string[] = [];
    client.sendDatagram("never settled", { onSettled: (outcome) => outcomes.push(outcome) });
    client.closeWithError(7, "bye");
    await assert.rejects(async () => {
      for (;;) await server.receiveDatagram();
    }, QuicError);
    await turns(2);
    assert.deepEqual(outcomes, ["connection_closed"]);
    await other.catch(() => {});
  });
});

test("what waits to be received: how many, how large, and whether more would fit", async () => {
  const datagramQueues = { receive: { count: 2, drop: "newest" } } as const;
  await using both = await pair({
    serverConfig: { enableDatagrams: true, datagramQueues },
    clientConfig: { enableDatagrams: true },
  });
  const { client, server } = both;
  const queue = server.datagramQueue;
  assert.deepEqual([queue.frontLength, queue.receiveFull, queue.peek()], [null, false, null]);
  client.sendDatagram(bytes("one"));
  await until(() => queue.receiveLength === 1, "one");
  assert.deepEqual([queue.frontLength, queue.receiveFull], [3, false]);
  client.sendDatagram(bytes("three"));
  await until(() => queue.receiveLength === 2, "another");
  assert.deepEqual([queue.frontLength, queue.receiveFull, queue.receiveBytes], [3, true, 8]);
  client.sendDatagram(bytes("lost"));
  await until(() => queue.stats().dropped.receive_queue_full === 1, "the third");
  assert.equal(queue.tryReceive()!.length, 3);
  assert.deepEqual([queue.frontLength, queue.receiveFull], [5, false]);
  await until(() => client.datagramQueue.stats().acked === 3, "delivery, whatever became of them");
});
