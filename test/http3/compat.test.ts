// (req, res) handlers: what node:http and node:http2 promise them.
import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { createServer, Http3StreamError, type NodeHandler, RoundTripper } from "../../http3/index.ts";
import { noUnhandledRejections, pattern, until } from "../integration/pair.ts";
import { CLIENT, IDENTITY, serving } from "./serving.ts";

noUnhandledRejections();
const timeout = 10_000;

test("a request and a response as node:http has them", { timeout }, async () => {
  const events: string[] = [];
  await using pair = await serving({
    handler(req, res) {
      assert.ok(req instanceof IncomingMessage);
      assert.ok(res instanceof ServerResponse);
      assert.equal(req.method, "POST");
      assert.equal(req.url, "/a?b=c");
      assert.equal(req.httpVersion, "3.0");
      assert.equal(req.headers.host, new URL(pair.origin).host);
      assert.equal(req.headers["x-one"], "1");
      assert.equal(req.authority, new URL(pair.origin).host);
      assert.equal(req.scheme, "https");
      assert.equal(req.socket.remoteAddress, "127.0.0.1");
      assert.equal((req.socket as { encrypted?: boolean }).encrypted, true);
      assert.equal(res.headersSent, false);
      res.on("finish", () => events.push("finish"));
      res.on("close", () => events.push("close"));
      const parts: Buffer[] = [];
      req.on("data", (chunk: Buffer) => parts.push(chunk));
      req.on("end", () => {
        assert.equal(req.complete, true);
        res.statusCode = 201;
        res.setHeader("X-Two", "2");
        res.setHeader("set-cookie", ["a=1", "b=2"]);
        res.setHeader("connection", "keep-alive");
        res.write("you said ");
        assert.equal(res.headersSent, true);
        assert.throws(() => res.setHeader("late", "1"), { code: "ERR_HTTP_HEADERS_SENT" });
        res.end(Buffer.concat(parts));
      });
    },
  });
  const response = await pair.fetch("/a?b=c", { method: "POST", body: "hello", headers: { "x-one": "1" } });
  assert.equal(response.status, 201);
  assert.equal(response.headers.get("x-two"), "2");
  // rfc9114#4.2: it has no place here.
  assert.equal(response.headers.get("connection"), null);
  assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
  assert.equal(await response.text(), "you said hello");
  await until(() => events.length === 2, "the response to end");
  assert.deepEqual(events, ["finish", "close"]);
  assert.deepEqual(pair.failures, []);
});

test("end alone says how long the content is; HEAD and 304 leave it out", { timeout }, async () => {
  await using pair = await serving({
    handler(req, res) {
      if (req.url === "/304") res.statusCode = 304;
      res.end("content");
    },
  });
  const get = await pair.fetch("/");
  assert.equal(get.headers.get("content-length"), "7");
  assert.equal(await get.text(), "content");
  const head = await pair.fetch("/", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.body, null);
  assert.equal((await pair.fetch("/304")).status, 304);
  assert.deepEqual(pair.failures, []);
});

test("pipes, backpressure, early hints and trailers", { timeout: 30_000 }, async () => {
  const content = pattern(3_000_000);
  let drained = 0;
  let full = () => false;
  await using pair = await serving({
    async handler(req, res) {
      res.on("drain", () => drained++);
      full = () => res.writableNeedDrain;
      res.writeEarlyHints({ link: "</a.css>; rel=preload" });
      res.writeHead(200, { "content-type": "application/octet-stream" });
      await pipeline(req, res, { end: false });
      res.addTrailers({ "x-received": String(req.trailers["x-sum"]) });
      res.end();
    },
  });
  const hints: (string | null)[] = [];
  const response = await pair.client.roundTrip(
    new Request(`${pair.origin}/`, { method: "POST", body: content as BodyInit }),
    { trailers: { "x-sum": "7" }, onInformational: (_status, headers) => hints.push(headers.get("link")) },
  );
  // Nothing is read before the handler has to wait.
  await until(() => full(), "backpressure");
  const bytes = new Uint8Array(await response.arrayBuffer());
  assert.equal(Buffer.compare(bytes, content), 0);
  assert.deepEqual(hints, ["</a.css>; rel=preload"]);
  assert.equal((await response.trailers).get("x-received"), "7");
  assert.ok(drained > 0);
  assert.deepEqual(pair.failures, []);
});

test("a handler that throws or rejects gives 500; afterwards all goes on", { timeout }, async () => {
  await using pair = await serving({
    handler(req, res) {
      if (req.url === "/throws") throw new Error("thrown");
      if (req.url === "/rejects") return Promise.reject(new Error("rejected"));
      if (req.url === "/late") {
        res.write("part");
        return until(() => go, "go").then(() => {
          throw new Error("late");
        });
      }
      return res.end("fine");
    },
  });
  let go = false;
  assert.equal((await pair.fetch("/throws")).status, 500);
  assert.equal((await pair.fetch("/rejects")).status, 500);
  const late = await pair.fetch("/late");
  go = true;
  await assert.rejects(late.text(), Http3StreamError);
  assert.equal(await (await pair.fetch("/")).text(), "fine");
  assert.deepEqual(
    pair.failures.map((error) => (error as Error).message),
    ["thrown", "rejected", "late"],
  );
});

test("a client that leaves closes the response; destroy resets it", { timeout }, async () => {
  const events: string[] = [];
  await using pair = await serving({
    handler(req, res) {
      if (req.url === "/destroy") return res.destroy();
      req.on("aborted", () => events.push("aborted"));
      req.on("close", () => events.push("request close"));
      res.on("close", () => events.push(`response close ${res.writableFinished}`));
      return res.write("part");
    },
  });
  const response = await pair.fetch("/", { method: "POST", body: new ReadableStream(), duplex: "half" });
  await response.body!.cancel();
  await until(() => events.length === 3, "the handler to be told");
  assert.deepEqual(events.sort(), ["aborted", "request close", "response close false"]);
  await assert.rejects(pair.fetch("/destroy"), Http3StreamError);
  await until(() => [...pair.server.connections][0]!.activeRequests === 0, "all to be over");
  assert.deepEqual(pair.failures, []);
});

test("state and methods stay under a framework's prototypes", { timeout }, async () => {
  let late: AbortSignal | null = null;
  await using pair = await serving({
    handler(req, res) {
      for (const object of [req, res] as object[]) {
        const own = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object) as object);
        const methods = Object.keys(own).filter((name) => typeof own[name]!.value === "function");
        const missing = methods.filter((name) => !Object.hasOwn(object, name) && name !== "constructor");
        assert.deepEqual(missing, []);
      }
      // As express does.
      Object.setPrototypeOf(req, Object.create(IncomingMessage.prototype) as object);
      Object.setPrototypeOf(res, Object.create(ServerResponse.prototype) as object);
      assert.deepEqual([req.headersDistinct["x-one"], Object.keys(req.trailersDistinct)], [["1", "2"], []]);
      assert.equal(req.headers["__proto__" as "host"], "mine");
      assert.deepEqual(
        [res.headersSent, res.writableEnded, res.destroyed, res.writable],
        [false, false, false, true],
      );
      if (req.url === "/leaves") {
        // A signal that is asked for when all is over is aborted as well.
        res.on("close", () => (late = (res as unknown as { stream: { signal: AbortSignal } }).stream.signal));
        return res.write("part");
      }
      res.setHeader("x-answer", "yes");
      res.end("whole");
      assert.deepEqual(
        [res.headersSent, res.writableEnded, res.finished, res.writable],
        [true, true, true, false],
      );
      return;
    },
  });
  const headers: [string, string][] = [
    ["x-one", "1"],
    ["x-one", "2"],
    ["__proto__", "mine"],
  ];
  const fields = headers.map(([name, value]) => ({ name, value }));
  const connection = await pair.client.connect(pair.origin);
  const { host } = new URL(pair.origin);
  const common = { method: "GET", scheme: "https", authority: host, fields };
  const stream = await connection.request({ ...common, path: "/" });
  await stream.end();
  const head = await stream.response();
  assert.deepEqual([head.status, head.fields.find(({ name }) => name === "x-answer")?.value], [200, "yes"]);
  const leaving = await connection.request({ ...common, path: "/leaves" });
  await leaving.response();
  leaving.cancel();
  await until(() => late !== null, "the handler to be told");
  const { aborted, reason } = late as unknown as AbortSignal;
  assert.ok(aborted && reason instanceof Http3StreamError);
  assert.deepEqual(pair.failures, []);
});

test("createServer listens as node:http2's does, with a callback and events", { timeout }, async () => {
  const handler: NodeHandler = (req, res) => {
    res.writeHead(200, { "x-url": req.url! });
    res.end();
  };
  const server = createServer(IDENTITY, handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port, address } = server.address()!;
  assert.equal(address, "127.0.0.1");
  await using client = new RoundTripper(CLIENT);
  const response = await client.roundTrip(new Request(`https://localhost:${port}/x`));
  assert.equal(response.headers.get("x-url"), "/x");
  await new Promise<void>((resolve) => server.close(() => resolve()));

  const taken = createServer(IDENTITY, handler);
  const failed = new Promise<unknown>((resolve) => taken.once("error", resolve));
  await using blocker = createServer(IDENTITY);
  await blocker.listen(0, "127.0.0.1");
  taken.listen(blocker.address()!.port, "127.0.0.1", () => assert.fail("it cannot listen there"));
  assert.equal(((await failed) as { code?: string }).code, "ERR_QUIC_SOCKET");
});
