// Streams over real sockets: every way to read, write and end them.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { pipe } from "it-pipe";
import {
  DeadlineExceededError,
  InvalidOptionError,
  StreamClosedError,
  StreamError,
  StreamLimitReachedError,
  StreamLockedError,
} from "../../src/index.ts";
import { bytes, collect, noUnhandledRejections, pair, pattern, text, turns, until } from "./pair.ts";

noUnhandledRejections();

test("echo: write, close, read to null", async () => {
  await using it = await pair();
  const stream = await it.client.openStream();
  assert.equal(await stream.write(bytes("hello")), 5);
  stream.close();
  const peer = await it.server.acceptStream();
  assert.equal(peer.id, stream.id);
  const target = new Uint8Array(64);
  assert.equal(await peer.read(target), 5);
  assert.equal(await peer.read(target), null);
  assert.equal(await peer.read(target), null);
  await peer.write(target.subarray(0, 5));
  peer.close();
  assert.equal(await text(stream), "hello");
  await stream.drained();
});

test("FIN without data, and FIN while the reader is paused", async () => {
  await using it = await pair();
  const empty = await it.client.openUniStream();
  empty.close();
  const first = await it.server.acceptUniStream();
  assert.equal(await first.read(new Uint8Array(1)), null);
  const later = await it.client.openUniStream();
  await later.write(bytes("abc"));
  const paused = await it.server.acceptUniStream();
  await until(() => paused.available === 3, "data");
  later.close();
  await later.drained();
  assert.deepEqual(
    await paused.readMany(),
    [bytes("abc")].map((one) => new Uint8Array(one)),
  );
  assert.deepEqual(await paused.readMany(), []);
});

test("FIN after data was read wakes a reader that waits", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  await out.write(bytes("x"));
  const peer = await it.server.acceptUniStream();
  await peer.read(new Uint8Array(1));
  const end = peer.read(new Uint8Array(1));
  out.close();
  assert.equal(await end, null);
});

test("reset: the reader gets the code, number and bigint", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  await out.write(bytes("half"));
  const peer = await it.server.acceptUniStream();
  const code = (1n << 61n) + 3n;
  out.cancelWrite(code);
  const isReset = (error: unknown) => {
    assert.ok(error instanceof StreamError);
    assert.equal(error.code, "ERR_QUIC_STREAM_RESET");
    assert.equal(error.errorCodeBig, code);
    assert.equal(error.errorCode, Number.MAX_SAFE_INTEGER);
    assert.equal(error.remote, true);
    return true;
  };
  await assert.rejects(async () => {
    for (;;) if ((await peer.read(new Uint8Array(16))) === null) return;
  }, isReset);
  out.close();
  await assert.rejects(peer.read(new Uint8Array(1)), isReset);
  await assert.rejects(out.drained(), { code: "ERR_QUIC_STREAM_RESET" });
  assert.throws(() => out.cancelWrite(-1), InvalidOptionError);
  assert.throws(() => out.cancelWrite(1.5), InvalidOptionError);
});

test("stop sending: writers fail with the code, drained too, close does nothing", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  await out.write(bytes("unwanted"));
  const peer = await it.server.acceptUniStream();
  peer.cancelRead(77);
  await until(() => out.context.aborted, "STOP_SENDING");
  const stopped = { code: "ERR_QUIC_STREAM_STOPPED", errorCode: 77, remote: true };
  await assert.rejects(out.write(bytes("more")), stopped);
  await assert.rejects(out.drained(), stopped);
  assert.throws(() => out.tryWrite(bytes("more")), stopped);
  out.close();
  await assert.rejects(peer.read(new Uint8Array(1)), { code: "ERR_QUIC_STREAM_STOPPED", remote: false });
});

test("writes after close are refused; a close during a write comes after it", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  const big = pattern(5_000_000);
  const writing = out.write(big);
  out.close();
  await assert.rejects(out.write(bytes("late")), StreamLockedError);
  const peer = await it.server.acceptUniStream();
  const got = await collect(peer);
  assert.equal(await writing, big.length);
  assert.equal(Buffer.compare(got, big), 0);
  await assert.rejects(out.write(bytes("late")), StreamClosedError);
});

test("a close during a write that is aborted resets: half of a write is not an end", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  const abort = new AbortController();
  const writing = out.write(new Uint8Array(5_000_000), { signal: abort.signal });
  const peer = await it.server.acceptUniStream();
  out.close();
  abort.abort(new Error("enough"));
  await assert.rejects(writing, /enough/);
  await assert.rejects(collect(peer), { code: "ERR_QUIC_STREAM_RESET" });
});

test("aborted and late reads take nothing and leave the stream usable", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  await out.write(bytes("a"));
  const peer = await it.server.acceptUniStream();
  await peer.read(new Uint8Array(1));
  const target = new Uint8Array(4);
  const abort = new AbortController();
  const reason = new Error("changed my mind");
  const read = peer.read(target, { signal: abort.signal });
  await assert.rejects(peer.read(new Uint8Array(1)), StreamLockedError);
  abort.abort(reason);
  await assert.rejects(read, (error) => error === reason);
  await assert.rejects(peer.read(target, { signal: AbortSignal.abort(reason) }), (error) => error === reason);
  peer.setReadDeadline(Date.now() + 20);
  await assert.rejects(peer.read(target), DeadlineExceededError);
  await assert.rejects(peer.read(target), { timeout: true, code: "ERR_QUIC_DEADLINE_EXCEEDED" });
  peer.setReadDeadline(null);
  assert.throws(() => peer.setReadDeadline(NaN), InvalidOptionError);
  await out.write(bytes("bc"));
  assert.equal(await peer.read(target), 2);
  assert.deepEqual([...target], [98, 99, 0, 0]);
});

test("write deadlines and aborts end a wait for room", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  out.setWriteDeadline(new Date(Date.now() + 30));
  await assert.rejects(out.write(new Uint8Array(20_000_000)), DeadlineExceededError);
  out.setWriteDeadline(null);
  const abort = new AbortController();
  const waiting = out.write(new Uint8Array(20_000_000), { signal: abort.signal });
  await turns(2);
  abort.abort();
  await assert.rejects(waiting, { name: "AbortError" });
});

test("a writer to a paused reader stops; memory stays bounded; all of it arrives later", async () => {
  await using it = await pair({
    serverConfig: { initialStreamReceiveWindow: 65_536, maxStreamReceiveWindow: 65_536 },
  });
  const out = await it.client.openUniStream();
  const data = pattern(8_000_000);
  let done = false;
  const writing = out.write(data).then(() => (done = true));
  const peer = await it.server.acceptUniStream();
  await until(() => peer.available === 65_536, "a full window");
  await turns(20);
  assert.equal(done, false);
  assert.equal(peer.available, 65_536);
  assert.ok(out.bufferedBytes <= 1_048_576, `${out.bufferedBytes} bytes wait`);
  out.close();
  assert.equal(Buffer.compare(await collect(peer), data), 0);
  await writing;
});

test("writers that find no room because of other streams go on when those let go", async () => {
  await using it = await pair({
    serverConfig: { initialStreamReceiveWindow: 1000, maxStreamReceiveWindow: 1000 },
  });
  const hogs = [];
  for (let i = 0; i < 17; i++) {
    const hog = await it.client.openUniStream();
    while (hog.tryWrite(new Uint8Array(1 << 20)) > 0);
    hogs.push(hog);
  }
  const out = await it.client.openUniStream();
  assert.equal(out.capacity, 0);
  const writing = out.write(bytes("at last"));
  await turns(2);
  for (const hog of hogs) hog.cancelWrite(1);
  await writing;
});

test("chunks of readMany belong to the reader", async () => {
  await using it = await pair();
  const data = pattern(300_000);
  const out = await it.client.openUniStream();
  const writing = out.write(data).then(() => out.close());
  const peer = await it.server.acceptUniStream();
  const kept: Uint8Array[] = [];
  for (;;) {
    const chunks = await peer.readMany({ maxBytes: 50_000 });
    if (chunks.length === 0) break;
    assert.ok(chunks.reduce((sum, one) => sum + one.length, 0) <= 50_000);
    kept.push(...chunks);
  }
  await writing;
  assert.equal(Buffer.compare(Buffer.concat(kept), data), 0);
});

test("peek, tryRead, tryReadMany and tryWrite never wait", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  assert.equal(out.tryWrite(bytes("peeked")), 6);
  const peer = await it.server.acceptUniStream();
  await until(() => peer.available === 6, "data");
  assert.equal(new TextDecoder().decode(peer.peek(4)), "peek");
  const target = new Uint8Array(10);
  assert.equal(peer.tryRead(target), 6);
  assert.equal(peer.tryRead(target), 0);
  assert.deepEqual(peer.tryReadMany(), []);
  out.tryWrite(bytes("chunks"));
  out.close();
  await until(() => peer.available === 6, "data");
  assert.equal(Buffer.concat(peer.tryReadMany(1000)!).toString(), "chunks");
  await until(() => peer.finished, "the end");
  assert.equal(peer.tryReadMany(), null);
});

test("a consumer at work has the stream for itself", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  await out.write(bytes("x"));
  const peer = await it.server.acceptUniStream();
  await peer.readMany();
  const reading = peer.readMany();
  assert.throws(() => peer.tryReadMany(), { code: "ERR_QUIC_STREAM_LOCKED" });
  out.close();
  assert.deepEqual(await reading, []);
});

test("leaving an iteration early cancels reading", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  await out.write(bytes("first"));
  const peer = await it.server.acceptUniStream();
  for await (const chunk of peer) {
    assert.equal(chunk.length, 5);
    break;
  }
  await until(() => out.context.aborted, "STOP_SENDING");
  await assert.rejects(out.write(bytes("x")), { code: "ERR_QUIC_STREAM_STOPPED", errorCode: 0 });
});

test("disposing an unfinished stream resets it; a finished one is left alone", async () => {
  await using it = await pair();
  let id: number;
  {
    await using stream = await it.client.openStream();
    id = stream.id;
    await stream.write(bytes("half"));
  }
  const peer = await it.server.acceptStream();
  assert.equal(peer.id, id);
  await assert.rejects(text(peer), { code: "ERR_QUIC_STREAM_RESET" });
  await until(() => peer.context.aborted, "STOP_SENDING");
  {
    await using whole = await it.client.openUniStream();
    await whole.write(bytes("whole"));
    whole.close();
  }
  assert.equal(await text(await it.server.acceptUniStream()), "whole");
});

test("Web streams: pipeTo, BYOB, cancel, abort while a write waits", async () => {
  await using it = await pair();
  const data = pattern(400_000);
  const stream = await it.client.openStream();
  const sending = new Blob([data as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeTo(stream.writable as WritableStream<Uint8Array>);
  const peer = await it.server.acceptStream();
  const reader = peer.readable.getReader({ mode: "byob" });
  const parts: Uint8Array[] = [];
  for (;;) {
    const { value, done } = await reader.read(new Uint8Array(10_000));
    if (done) break;
    parts.push(value.slice());
  }
  await sending;
  assert.equal(Buffer.compare(Buffer.concat(parts), data), 0);
  assert.throws(() => peer.readable, StreamLockedError);
  assert.equal(peer.locked, true);
  await peer.write(bytes("back"));
  peer.close();
  assert.equal(await text(stream.readable as unknown as AsyncIterable<Uint8Array>), "back");

  const blocked = await it.client.openStream();
  const writer = blocked.writable.getWriter();
  const write = writer.write(new Uint8Array(30_000_000));
  write.catch(() => {});
  const other = await it.server.acceptStream();
  await writer.abort(new StreamError("reset", 0, 9n, false));
  await assert.rejects(write);
  await assert.rejects(collect(other), { code: "ERR_QUIC_STREAM_RESET", errorCode: 9 });
  const third = await it.client.openUniStream();
  await third.write(bytes("x"));
  await (await it.server.acceptUniStream()).readable.cancel();
  await until(() => third.context.aborted, "STOP_SENDING");
});

test("Node streams: pipeline both ways, destroyed early", async () => {
  await using it = await pair();
  const data = pattern(700_000);
  const stream = await it.client.openStream();
  const echo = it.server.acceptStream().then(async (peer) => {
    const duplex = peer.toNodeStream();
    await pipeline(duplex, duplex);
  });
  const duplex = stream.toNodeStream();
  const back: Buffer[] = [];
  await Promise.all([
    pipeline(
      Readable.from([Buffer.from(data.subarray(0, 300_000)), Buffer.from(data.subarray(300_000))]),
      duplex,
    ),
    (async () => {
      for await (const chunk of duplex) back.push(chunk as Buffer);
    })(),
  ]);
  await echo;
  assert.equal(Buffer.compare(Buffer.concat(back), data), 0);

  const early = await it.client.openStream();
  const node = early.toNodeStream();
  node.write("partial");
  const peer = await it.server.acceptStream();
  await peer.read(new Uint8Array(7));
  node.on("error", () => {});
  node.destroy(new Error("no more"));
  await assert.rejects(peer.read(new Uint8Array(1)), { code: "ERR_QUIC_STREAM_RESET" });
  await until(() => peer.context.aborted, "STOP_SENDING");
});

test("it-pipe: source, stream, collect", async () => {
  await using it = await pair();
  const echo = it.server.acceptStream().then((peer) => pipe(peer, peer));
  const stream = await it.client.openStream();
  const got = await pipe([bytes("one "), bytes("two")], stream, (source) =>
    text(source as AsyncIterable<Uint8Array>),
  );
  assert.equal(got, "one two");
  await echo;
  const failing = await it.client.openStream();
  await assert.rejects(
    failing.sink(
      (async function* () {
        yield bytes("a");
        throw new Error("source broke");
      })(),
    ),
    /source broke/,
  );
  await assert.rejects(text(await it.server.acceptStream()), { code: "ERR_QUIC_STREAM_RESET" });
});

test("openStream waits for credit, tryOpenStream does not, an aborted wait takes none", async () => {
  await using it = await pair({ serverConfig: { maxIncomingStreams: 1, maxIncomingUniStreams: 0 } });
  const first = await it.client.openStream();
  assert.throws(() => it.client.tryOpenStream(), StreamLimitReachedError);
  assert.throws(() => it.client.tryOpenUniStream(), { code: "ERR_QUIC_STREAM_LIMIT", temporary: true });
  const abort = new AbortController();
  const aborted = it.client.openStream({ signal: abort.signal });
  const waiting = it.client.openStream();
  abort.abort(new Error("not now"));
  await assert.rejects(aborted, /not now/);
  first.close();
  const peer = await it.server.acceptStream();
  peer.close();
  assert.equal(await text(peer), "");
  assert.equal(await text(first), "");
  const second = await waiting;
  assert.equal(second.id, first.id + 4);
});

test("2,000 streams with a limit of 100: credit comes back by itself", async () => {
  await using it = await pair({ serverConfig: { maxIncomingStreams: 100 } });
  const serving = (async () => {
    for await (const stream of it.server.incomingStreams()) void stream.sink(stream.source);
  })();
  const one = async (i: number) => {
    const stream = await it.client.openStream();
    await stream.write(bytes(`stream ${i}`));
    stream.close();
    assert.equal(await text(stream), `stream ${i}`);
  };
  await Promise.all(Array.from({ length: 2000 }, (_, i) => one(i)));
  await it.client.close();
  await serving;
});

// rfc9000#4.6 the limit is ours to raise: a stream that is over gives credit once somebody has accepted it.
test("streams that end before anybody accepts them use up the limit", async () => {
  await using it = await pair({ serverConfig: { maxIncomingUniStreams: 5 } });
  let opened = 0;
  const open = async () => {
    for (;;) {
      const stream = await it.client.openUniStream();
      opened++;
      stream.cancelWrite(7);
    }
  };
  const opening = open().catch(() => {});
  await until(() => opened === 5, "all streams of the limit");
  await turns(20);
  assert.equal(opened, 5);
  for (let i = 0; i < 20; i++) {
    const stream = await it.server.acceptUniStream();
    await assert.rejects(collect(stream), (error) => error instanceof StreamError && error.errorCode === 7);
  }
  await until(() => opened === 25, "others in their place");
  await it.client.close();
  await opening;
});

test("a reset delivers what lies before the reliable boundary", async () => {
  await using both = await pair();
  const { client, server } = both;
  const stream = await client.openUniStream();
  await stream.write(bytes("header"));
  assert.equal(stream.setReliableBoundary(), true);
  await stream.write(new Uint8Array(100_000));
  stream.cancelWrite(42);
  const incoming = await server.acceptUniStream();
  const target = new Uint8Array(100);
  let got = "";
  await assert.rejects(
    async () => {
      for (;;) got += new TextDecoder().decode(target.subarray(0, (await incoming.read(target))!));
    },
    (error) => error instanceof StreamError && error.errorCode === 42 && error.remote,
  );
  assert.equal(got, "header");
});

test("a deadline may reset the stream, and tells", async () => {
  await using it = await pair();
  const stream = await it.client.openStream();
  const told: string[] = [];
  await stream.write(bytes("begun"));
  const deadline = Date.now() + 30;
  stream.setWriteDeadline(deadline, { reset: 9, onExpired: () => told.push("write") });
  assert.equal(stream.sending.writeDeadline, deadline);
  stream.setReadDeadline(deadline, { onExpired: () => told.push("read") });
  const reading = stream.read(new Uint8Array(5));
  await assert.rejects(reading, DeadlineExceededError);
  await until(() => told.length === 2, "both are told");
  await assert.rejects(
    stream.write(bytes("more")),
    (error) => error instanceof StreamError && error.errorCode === 9,
  );
  const peer = await it.server.acceptStream();
  await assert.rejects(
    collect(peer),
    (error) => error instanceof StreamError && error.errorCode === 9 && error.remote,
  );
  // Reading goes on where the deadline is taken back.
  stream.setReadDeadline(null);
  assert.equal(stream.receiving.readDeadline, null);
  await peer.write(bytes("still"));
  assert.equal(await stream.read(new Uint8Array(5)), 5);
  // What is over by then is left alone.
  const other = await it.client.openUniStream();
  await other.write(bytes("done"));
  other.close();
  await collect(await it.server.acceptUniStream());
  await other.drained();
  other.setWriteDeadline(Date.now() - 1, { reset: 1, onExpired: () => told.push("never") });
  await turns(5);
  assert.equal(told.length, 2);
  assert.throws(() => other.setWriteDeadline(1, { reset: -1 }), InvalidOptionError);
});

test("what waits to be sent, and whose limit it waits for", async () => {
  const small = { initialStreamReceiveWindow: 1000, maxStreamReceiveWindow: 1000 };
  await using it = await pair({ serverConfig: small });
  const stream = await it.client.openUniStream();
  assert.deepEqual(stream.sendQueue(), { bufferedBytes: 0, unsentBytes: 0, blockedBy: null });
  assert.ok(stream.isWritable(1000));
  stream.tryWrite(pattern(5000));
  await until(() => stream.sendQueue().blockedBy === "stream", "the peer's limit");
  assert.equal(stream.sendQueue().unsentBytes, 4000);
  assert.ok(!stream.isWritable(stream.capacity + 1));
  stream.close();
  assert.equal((await collect(await it.server.acceptUniStream())).length, 5000);
  await stream.drained();
  assert.equal(stream.sendQueue().bufferedBytes, 0);
});

test("a connection's window is all its streams'", async () => {
  const serverConfig = { initialConnectionReceiveWindow: 3000, maxConnectionReceiveWindow: 3000 };
  await using it = await pair({ serverConfig });
  const streams = [await it.client.openUniStream(), await it.client.openUniStream()];
  for (const stream of streams) stream.tryWrite(pattern(2000));
  const unsent = () => streams.reduce((sum, stream) => sum + stream.sendQueue().unsentBytes, 0);
  await until(() => streams.some((stream) => stream.sendQueue().blockedBy === "connection"), "the limit");
  assert.equal(unsent(), 1000);
  for (const stream of streams) stream.close();
  for (let i = 0; i < 2; i++) {
    assert.equal((await collect(await it.server.acceptUniStream())).length, 2000);
  }
  assert.equal(unsent(), 0);
});
