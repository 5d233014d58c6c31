// What streams and connections say of what waits: credit for streams, capacity, blocked data, limits on writes, final sizes,
// time left to deadlines.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type BlockedEvent, InvalidOptionError } from "../../src/index.ts";
import { Openers } from "../../src/openers.ts";
import { bytes, collect, noUnhandledRejections, pair, pattern, text, turns, until } from "./pair.ts";

noUnhandledRejections();

describe("who waits for streams", () => {
  test("credit for n ends n waits, in order, and looks at nobody else", async () => {
    let credit = 0;
    let asked = 0;
    let next = 0;
    const openers = new Openers<number>(() => {
      asked++;
      return credit-- > 0 ? next++ : null;
    });
    const got: number[] = [];
    const all = Array.from({ length: 1000 }, (_, i) =>
      openers.wait(true).then((id) => {
        assert.equal(id, i);
        got.push(id);
      }),
    );
    for (let n = 0; n < 1000; n += 10) {
      credit = 10;
      openers.grant(true);
      openers.grant(false);
    }
    await Promise.all(all);
    assert.equal(got.length, 1000);
    assert.ok(!openers.waits(true));
    assert.ok(asked <= 1000 + 100, `${asked} tries`);
  });

  test("who gives up takes no turn, and the end is everybody's", async () => {
    let credit = 0;
    const openers = new Openers<string>(() => (credit-- > 0 ? "stream" : null));
    const abort = new AbortController();
    const first = openers.wait(true, abort.signal);
    const second = openers.wait(true);
    const third = openers.wait(true);
    const other = openers.wait(false);
    abort.abort(new Error("enough"));
    await assert.rejects(first, /enough/);
    credit = 1;
    openers.grant(true);
    assert.equal(await second, "stream");
    assert.ok(openers.waits(true) && openers.waits(false));
    openers.fail(new Error("over"));
    await assert.rejects(third, /over/);
    await assert.rejects(other, /over/);
    assert.ok(!openers.waits(true) && !openers.waits(false));
  });

  test("stream limits left count down, and up again when streams are over", async () => {
    await using it = await pair({ serverConfig: { maxIncomingStreams: 3, maxIncomingUniStreams: 2 } });
    const { client, server } = it;
    await client.handshakeComplete;
    assert.deepEqual(client.streamsLeft, { bidirectional: 3, unidirectional: 2 });
    const one = client.tryOpenStream();
    client.tryOpenUniStream();
    assert.deepEqual(client.streamsLeft, { bidirectional: 2, unidirectional: 1 });
    one.close();
    const peer = await server.acceptStream();
    peer.close();
    assert.equal(await text(peer), "");
    assert.equal(await text(one), "");
    await until(() => client.streamsLeft.bidirectional === 3, "credit for another");
    await client.close();
    assert.deepEqual(client.streamsLeft, { bidirectional: 0, unidirectional: 0 });
  });
});

describe("data that waits", () => {
  test("for the peer's limits: told once for each limit, on the stream and on the connection", async () => {
    const serverConfig = {
      initialStreamReceiveWindow: 1000,
      maxStreamReceiveWindow: 1000,
      initialConnectionReceiveWindow: 1500,
      maxConnectionReceiveWindow: 1500,
    };
    await using it = await pair({ serverConfig });
    const { client, server } = it;
    const seen: BlockedEvent[] = [];
    client.onBlocked = (event) => seen.push(event);
    const [one, two] = [await client.openUniStream(), await client.openUniStream()];
    const told: string[] = [];
    one.onBlocked = (by) => told.push(`one ${by}`);
    two.onBlocked = (by) => told.push(`two ${by}`);
    one.tryWrite(pattern(2000));
    await until(() => told.length > 0, "the stream's limit");
    assert.deepEqual(told, ["one stream"]);
    two.tryWrite(pattern(900));
    await until(() => told.length > 2, "the connection's limit");
    // The connection's limit holds back whatever waits.
    assert.deepEqual(told.slice(1).sort(), ["one connection", "two connection"]);
    assert.deepEqual(seen, [
      { by: "stream", streamId: one.id },
      { by: "connection", streamId: null },
    ]);
    assert.equal(client.stats().blockCount, 2);
    await turns(5);
    assert.equal(told.length, 3, "not again at the same limits");
    const queue = client.sendQueue();
    assert.deepEqual(
      [queue.streams, queue.unsentBytes, queue.bufferedBytes >= queue.unsentBytes, queue.congested],
      [2, 1400, true, false],
    );
    one.close();
    two.close();
    const got = await Promise.all(
      [await server.acceptUniStream(), await server.acceptUniStream()].map((each) => collect(each)),
    );
    assert.deepEqual(got.map(({ length }) => length).sort(), [2000, 900]);
    await Promise.all([one.drained(), two.drained()]);
    assert.deepEqual([client.sendQueue().streams, client.sendQueue().bufferedBytes], [0, 0]);
  });

  test("for the congestion window: told each time it fills up", async () => {
    await using it = await pair();
    const { client, server } = it;
    const told: string[] = [];
    const stream = await client.openUniStream();
    stream.onBlocked = (by) => told.push(by);
    const reading = server.acceptUniStream().then((each) => collect(each));
    // More than the first window.
    stream.tryWrite(pattern(200_000));
    await until(() => told.includes("congestion"), "a full window");
    await until(() => !client.sendQueue().congested, "acknowledgements");
    stream.close();
    assert.equal((await reading).length, 200_000);
    assert.ok(client.stats().blockCount > 0);
    const before = told.length;
    const other = await client.openUniStream();
    other.onBlocked = (by) => told.push(by);
    other.tryWrite(bytes("little"));
    other.close();
    assert.equal(await text(await server.acceptUniStream()), "little");
    assert.equal(told.length, before, "what has room does not wait");
  });

  test("datagrams are in the queue's figures, too", async () => {
    await using it = await pair({
      serverConfig: { enableDatagrams: true },
      clientConfig: { enableDatagrams: true },
    });
    it.client.sendDatagram(pattern(100));
    it.client.sendDatagram(pattern(50));
    const { datagrams, datagramBytes } = it.client.sendQueue();
    assert.deepEqual([datagrams, datagramBytes], [2, 150]);
    await it.server.receiveDatagram();
    assert.equal(it.client.sendQueue().datagrams, 0);
  });
});

describe("writes with a limit", () => {
  test("never more than that waits, and all of it arrives", async () => {
    await using it = await pair();
    const stream = await it.client.openUniStream();
    const reading = it.server.acceptUniStream().then((each) => collect(each));
    let most = 0;
    let writing = true;
    const watching = (async () => {
      while (writing) {
        most = Math.max(most, stream.bufferedBytes);
        await turns(1);
      }
    })();
    assert.equal(await stream.writeWithLimit(pattern(300_000), 10_000), 300_000);
    writing = false;
    await watching;
    assert.ok(most > 0 && most <= 10_000, `${most}`);
    stream.close();
    assert.deepEqual(await reading, pattern(300_000));
    // A plain write takes it all at once.
    const plain = await it.client.openUniStream();
    await plain.write(pattern(100_000));
    assert.ok(plain.bufferedBytes > 10_000);
  });

  test("it waits where the peer does not read, and can be given up", async () => {
    const serverConfig = { initialStreamReceiveWindow: 1000, maxStreamReceiveWindow: 1000 };
    await using it = await pair({ serverConfig });
    const stream = await it.client.openStream();
    const abort = new AbortController();
    const writing = stream.writeWithLimit(pattern(5000), 500, { signal: abort.signal });
    await until(() => stream.sendQueue().blockedBy === "stream", "the peer's limit");
    assert.ok(stream.sendQueue().bufferedBytes <= 500);
    abort.abort(new Error("too old"));
    await assert.rejects(writing, /too old/);
    await assert.rejects(stream.writeWithLimit(pattern(10), 0), InvalidOptionError);
    await assert.rejects(stream.writeWithLimit(pattern(10), NaN), InvalidOptionError);
  });
});

describe("readable, writable, finished", () => {
  test("checks before calls", async () => {
    await using it = await pair();
    const stream = await it.client.openStream();
    assert.deepEqual([stream.isReadable, stream.available, stream.finished], [false, 0, false]);
    assert.ok(stream.isWritable() && stream.isWritable(stream.capacity));
    assert.ok(!stream.isWritable(stream.capacity + 1));
    await stream.write(bytes("hello"));
    const peer = await it.server.acceptStream();
    await until(() => peer.available === 5, "the data");
    assert.ok(peer.isReadable && !peer.finished);
    assert.deepEqual(peer.peek(2), bytes("he"));
    assert.equal(peer.available, 5, "peeking takes nothing");
    peer.tryRead(new Uint8Array(5));
    assert.ok(!peer.isReadable);
    stream.close();
    assert.ok(!stream.isWritable());
    await until(() => peer.isReadable, "the end");
    assert.equal(peer.tryRead(new Uint8Array(1)), null);
    assert.ok(peer.finished);
    peer.cancelWrite(4);
    await until(() => stream.isReadable, "the reset");
    assert.throws(() => stream.tryRead(new Uint8Array(1)), { code: "ERR_QUIC_STREAM_RESET" });
  });

  test("the final size is told once, before the data is read, for resets as well", async () => {
    await using it = await pair();
    const [one, two] = [await it.client.openUniStream(), await it.client.openUniStream()];
    await one.write(pattern(1000));
    await two.write(pattern(10));
    const [first, second] = [await it.server.acceptUniStream(), await it.server.acceptUniStream()];
    const told: number[] = [];
    first.onFinalSize = (size) => told.push(size);
    second.onFinalSize = (size) => told.push(size);
    await until(() => first.available === 1000, "the data");
    assert.deepEqual([told.length, first.finalSize], [0, null]);
    one.close();
    await until(() => told.length === 1, "the end");
    assert.deepEqual([told, first.finalSize, first.available], [[1000], 1000, 1000]);
    assert.equal((await collect(first)).length, 1000);
    two.cancelWrite(1);
    await until(() => told.length === 2, "the reset");
    assert.deepEqual(told, [1000, 10]);
    let late = -1;
    first.onFinalSize = (size) => (late = size);
    assert.equal(late, 1000, "at once where it is known");
    await assert.rejects(collect(second), { code: "ERR_QUIC_STREAM_RESET" });
  });
});

test("a writer hears once that its side ended early, and nothing where it closed it", async () => {
  await using it = await pair();
  const told: string[] = [];
  const open = async (name: string) => {
    const stream = await it.client.openStream();
    await stream.write(bytes(name));
    stream.sending.onStopped = (error) => told.push(`${name} ${error.code}`);
    return { stream, peer: await it.server.acceptStream() };
  };
  const stopped = await open("stopped");
  const cancelled = await open("cancelled");
  const closed = await open("closed");
  await open("lost");
  assert.deepEqual(told, []);
  stopped.peer.cancelRead(7);
  await until(() => told.length === 1, "STOP_SENDING");
  cancelled.stream.cancelWrite(1);
  closed.stream.close();
  closed.peer.cancelRead(7);
  let late = "";
  stopped.stream.sending.onStopped = ({ code }) => (late = code);
  assert.equal(late, "ERR_QUIC_STREAM_STOPPED", "at once where it is known");
  it.server.closeWithError(3, "");
  await it.client.closed;
  await until(() => told.length === 3, "the end of the connection");
  assert.deepEqual(told, [
    "stopped ERR_QUIC_STREAM_STOPPED",
    "cancelled ERR_QUIC_STREAM_RESET",
    "lost ERR_QUIC_APPLICATION",
  ]);
});

test("deadlines say how much time is left", async () => {
  await using it = await pair();
  const stream = await it.client.openStream();
  assert.deepEqual([stream.receiving.readTimeLeft, stream.sending.writeTimeLeft], [null, null]);
  stream.setReadDeadline(Date.now() + 60_000);
  stream.setWriteDeadline(Date.now() - 5);
  const left = stream.receiving.readTimeLeft!;
  assert.ok(left > 50_000 && left <= 60_000, `${left}`);
  assert.equal(stream.sending.writeTimeLeft, 0);
  stream.setDeadline(null);
  assert.deepEqual([stream.receiving.readTimeLeft, stream.sending.writeTimeLeft], [null, null]);
});
