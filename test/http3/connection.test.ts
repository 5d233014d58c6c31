// HTTP/3 connections: two of ours over real sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_PRIORITY } from "../../http3/priority.ts";
import {
  GoingAwayError,
  H3_ERROR,
  Http3ConnectionError,
  Http3StreamError,
  InvalidFieldError,
} from "../../http3/errors.ts";
import { noUnhandledRejections, pattern, turns, until } from "../integration/pair.ts";
import { field, http3Pair, readAll, utf8 } from "./peers.ts";

noUnhandledRejections();
const timeout = 10_000;
const GET = { method: "GET", scheme: "https", authority: "localhost", path: "/a?b=c" };
const POST = { ...GET, method: "POST" };

test("a request and its response, with content and trailers both ways", { timeout }, async () => {
  await using pair = await http3Pair();
  const { client, server } = pair;
  const upload = pattern(300_000);
  const download = pattern(500_000);

  const serving = (async () => {
    const stream = await server.acceptRequest();
    assert.equal(stream.request.method, "POST");
    assert.equal(stream.request.path, "/a?b=c");
    assert.equal(stream.request.authority, "localhost");
    assert.deepEqual(stream.priority, DEFAULT_PRIORITY);
    assert.deepEqual(await readAll(stream), upload);
    assert.deepEqual(
      stream.trailers!.map(({ name, value }) => [name, value]),
      [["x-sum", "42"]],
    );
    await stream.informational(103, [field("link", "</style.css>; rel=preload")]);
    await stream.respond(200, [field("content-type", "text/plain"), field("content-length", "500000")]);
    for (let at = 0; at < download.length; at += 100_000)
      await stream.write(download.subarray(at, at + 100_000));
    await stream.end([field("server-timing", "total;dur=1")]);
    await stream.drained();
  })();

  const stream = await client.request({ ...POST, fields: [field("x-custom", "yes")] });
  await stream.write(upload);
  await stream.end([field("x-sum", "42")]);
  const interim: number[] = [];
  const head = await stream.response(({ status }) => interim.push(status));
  assert.equal(head.status, 200);
  assert.equal(head.contentLength, 500_000);
  assert.deepEqual(interim, [103]);
  assert.deepEqual(await readAll(stream), download);
  assert.deepEqual(
    stream.trailers!.map(({ name, value }) => [name, value]),
    [["server-timing", "total;dur=1"]],
  );
  await serving;
  await until(() => client.activeRequests === 0 && server.activeRequests === 0, "both to forget the stream");
  const settings = await client.settings;
  assert.equal(settings.qpackMaxTableCapacity, 4096);
  assert.equal(settings.maxFieldSectionSize, 65536);
});

test("many requests at once, and the dynamic table is used", { timeout }, async () => {
  await using pair = await http3Pair();
  const { client, server } = pair;
  void (async () => {
    for await (const stream of server.incomingRequests()) {
      void (async () => {
        await stream.respond(200, [
          field("x-path", stream.request.path),
          field("x-server", "the same each time"),
        ]);
        await stream.end();
      })();
    }
  })();
  await client.settings;
  await Promise.all(
    Array.from({ length: 300 }, async (_, i) => {
      const stream = await client.request({
        ...GET,
        path: `/${i}`,
        fields: [field("x-client", "the same each time")],
      });
      await stream.end();
      const head = await stream.response();
      assert.equal(head.fields.find(({ name }) => name === "x-path")?.value, `/${i}`);
      assert.equal(await stream.read(), null);
    }),
  );
  assert.ok(client.compression.inserted > 0, "the client's encoder inserted nothing");
  assert.ok(client.compression.received > 0, "the server's encoder inserted nothing");
});

test("backpressure: a reader that waits makes the writer wait", { timeout }, async () => {
  await using pair = await http3Pair({
    quic: { clientConfig: { initialStreamReceiveWindow: 65536, maxStreamReceiveWindow: 65536 } },
  });
  const { client, server } = pair;
  let sent = 0;
  let done = false;
  void (async () => {
    const stream = await server.acceptRequest();
    await stream.respond(200);
    for (let i = 0; i < 200; i++) {
      await stream.write(pattern(65536));
      sent += 65536;
    }
    await stream.end();
    done = true;
  })();
  const stream = await client.request(GET);
  await stream.end();
  await stream.response();
  let before = -1;
  while (before !== sent) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(sent < 8_000_000, `${sent} bytes were taken from the writer`);
  let total = 0;
  for await (const chunk of stream) total += chunk.length;
  assert.equal(total, 200 * 65536);
  await until(() => done, "the writer to end");
});

test("a cancelled request: the server's writes and signal tell", { timeout }, async () => {
  await using pair = await http3Pair();
  const { client, server } = pair;
  const accepted = server.acceptRequest();
  const stream = await client.request(POST);
  await stream.write(utf8("begun"));
  const there = await accepted;
  const { signal } = there;
  stream.cancel();
  await until(() => signal.aborted, "the signal");
  assert.ok(signal.reason instanceof Http3StreamError);
  assert.equal(signal.reason.errorCode, H3_ERROR.H3_REQUEST_CANCELLED);
  assert.ok(signal.reason.remote);
  await assert.rejects(readAll(there), Http3StreamError);
  await assert.rejects(there.respond(200), Http3StreamError);
  await assert.rejects(stream.response(), Http3StreamError);
  await until(() => server.activeRequests === 0 && client.activeRequests === 0, "both to forget it");
  assert.equal(server.failure, null);
});

test("an early answer: the server stops the upload, the response arrives whole", { timeout }, async () => {
  // rfc9114#4.1 Clients MUST NOT discard complete responses as a result of having their request terminated abruptly.
  await using pair = await http3Pair();
  const { client, server } = pair;
  void (async () => {
    const stream = await server.acceptRequest();
    await stream.respond(413);
    await stream.write(utf8("too much"));
    await stream.end();
    stream.stopReading();
  })();
  const stream = await client.request(POST);
  const uploading = (async () => {
    for (;;) await stream.write(pattern(65536));
  })();
  await assert.rejects(
    uploading,
    (error) => error instanceof Http3StreamError && error.remote && error.errorCode === H3_ERROR.H3_NO_ERROR,
  );
  assert.equal((await stream.response()).status, 413);
  assert.equal(Buffer.from(await readAll(stream)).toString(), "too much");
});

test(
  "shutdown: requests under way finish, others are refused, the connection ends with H3_NO_ERROR",
  { timeout },
  async () => {
    await using pair = await http3Pair();
    const { client, server } = pair;
    const accepted = server.acceptRequest();
    const stream = await client.request(GET);
    await stream.end();
    const there = await accepted;
    const down = server.shutdown();
    await until(() => client.goingAway, "GOAWAY");
    await assert.rejects(client.request(GET), GoingAwayError);
    await there.respond(200);
    await there.write(pattern(100_000));
    await there.end();
    await stream.response();
    assert.equal((await readAll(stream)).length, 100_000);
    await down;
    for (const side of [client, server]) {
      const error = await side.closed;
      assert.ok(error instanceof Http3ConnectionError, String(error));
      assert.equal(error.errorCode, H3_ERROR.H3_NO_ERROR);
    }
    await assert.rejects(client.request(GET), Http3ConnectionError);
  },
);

test("a client shuts down, and an aborted shutdown closes at once", { timeout }, async () => {
  await using pair = await http3Pair();
  const { client, server } = pair;
  const accepted = server.acceptRequest();
  const stream = await client.request(GET);
  await accepted;
  const aborter = new AbortController();
  const down = client.shutdown({ signal: aborter.signal });
  await turns(5);
  aborter.abort(new Error("enough"));
  await assert.rejects(down, /enough/);
  await assert.rejects(stream.response(), Http3ConnectionError);
  await server.closed;
});

test("HEAD, 204 and wrong lengths: what cannot be sent is refused or reset", { timeout }, async () => {
  await using pair = await http3Pair();
  const { client, server } = pair;
  const ask = async (method: string) => {
    const accepted = server.acceptRequest();
    const stream = await client.request({ ...GET, method });
    await stream.end();
    return { stream, there: await accepted };
  };
  const head = await ask("HEAD");
  await head.there.respond(200, [field("content-length", "100")]);
  await assert.rejects(head.there.write(utf8("x")), /no content/);
  await head.there.end();
  assert.equal((await head.stream.response()).contentLength, 100);
  assert.equal(await head.stream.read(), null);

  const short = await ask("GET");
  await short.there.respond(200, [field("content-length", "100")]);
  await short.there.write(utf8("x"));
  await short.stream.response();
  await assert.rejects(short.there.write(pattern(100)), /content-length/);
  await assert.rejects(short.there.end(), /before its content-length/);
  await assert.rejects(
    readAll(short.stream),
    (error) => error instanceof Http3StreamError && error.errorCode === H3_ERROR.H3_INTERNAL_ERROR,
  );

  const state = await ask("GET");
  await assert.rejects(state.there.write(utf8("x")), /comes after the head/);
  await assert.rejects(state.there.respond(101), /./);
  await state.there.respond(204);
  await assert.rejects(state.there.respond(200), /one head/);
  await state.there.end();
  assert.equal((await state.stream.response()).status, 204);
  // rfc9114#4.2: refused before anything is sent.
  await assert.rejects(client.request({ ...GET, fields: [field("connection", "close")] }), InvalidFieldError);
  await assert.rejects(
    client.request({ ...GET, protocol: "websocket", method: "CONNECT" }),
    /extended CONNECT/,
  );
  assert.equal(client.failure, null);
});

test(
  "header sections larger than the peer takes are not sent; a server answers those that come with 431",
  { timeout },
  async () => {
    await using pair = await http3Pair({ server: { maxHeaderListSize: 1000 } });
    const { client } = pair;
    const large = field("x-large", "y".repeat(2000));
    // Before SETTINGS nothing is known.
    const early = await client.request({ ...GET, fields: [large] });
    await early.end();
    assert.equal((await early.response()).status, 431);
    assert.equal(await early.read(), null);
    await client.settings;
    await assert.rejects(client.request({ ...GET, fields: [large] }), InvalidFieldError);
  },
);

test("priorities: by field, by frame, by a frame that comes first", { timeout }, async () => {
  await using pair = await http3Pair();
  const { client, server } = pair;
  const accepted = server.acceptRequest();
  const stream = await client.request({ ...GET, fields: [field("priority", "u=1, i")] });
  const there = await accepted;
  assert.deepEqual(there.priority, { urgency: 1, incremental: true });
  client.updatePriority(stream, { urgency: 6, incremental: false });
  await until(() => there.priority.urgency === 6, "the frame");
  assert.deepEqual(there.priority, { urgency: 6, incremental: false });
});

test(
  "rfc9114#5.1 a client keeps the connection open while a response is outstanding, and lets it time out otherwise",
  { timeout },
  async () => {
    const quic = { clientConfig: { maxIdleTimeout: 400 } };
    const ask = async ({ client, server }: Awaited<ReturnType<typeof http3Pair>>): Promise<number> => {
      const accepted = server.acceptRequest();
      const stream = await client.request(GET);
      await stream.end();
      const there = await accepted;
      await Promise.race([sleep(1200), there.connection.closed]);
      await there.respond(200);
      await there.end();
      const { status } = await stream.response();
      assert.equal(await stream.read(), null);
      return status;
    };
    await using pair = await http3Pair({ quic, client: { pingInterval: 100 } });
    assert.equal(await ask(pair), 200);
    assert.equal((await pair.quic.client.closed).error.code, "ERR_QUIC_IDLE_TIMEOUT");
    await using without = await http3Pair({ quic, client: { pingInterval: 0 } });
    await assert.rejects(ask(without));
  },
);
