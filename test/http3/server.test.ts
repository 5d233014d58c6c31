// The server with handlers in the shape of fetch.
import assert from "node:assert/strict";
import { createServer as createHttpsServer, get } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { H3_ERROR, Http3StreamError, RoundTripper, Server } from "../../http3/index.ts";
import { Transport } from "../../src/index.ts";
import { noUnhandledRejections, pattern, until } from "../integration/pair.ts";
import { utf8 } from "./peers.ts";
import { CLIENT, IDENTITY, serving } from "./serving.ts";

noUnhandledRejections();
const timeout = 10_000;

test("a handler sees the request as fetch has it, and the client its response", { timeout }, async () => {
  await using pair = await serving({
    async fetch(request, context) {
      assert.equal(new URL(request.url).pathname, "/a/b");
      assert.equal(new URL(request.url).search, "?c=d");
      assert.equal(request.method, "PUT");
      assert.equal(request.headers.get("x-one"), "1");
      assert.match(context.remoteAddress, /^127\.0\.0\.1:\d+$/);
      assert.match(context.localAddress, /^127\.0\.0\.1:\d+$/);
      assert.equal(context.tls.alpnProtocol, "h3");
      assert.equal(context.tls.servername, "localhost");
      const text = await request.text();
      return new Response(text.toUpperCase(), {
        status: 201,
        headers: [
          ["x-two", "2"],
          ["set-cookie", "a=1"],
          ["set-cookie", "b=2"],
        ],
      });
    },
  });
  const response = await pair.fetch("/a/b?c=d", { method: "PUT", body: "hello", headers: { "x-one": "1" } });
  assert.equal(response.status, 201);
  assert.equal(response.url, `${pair.origin}/a/b?c=d`);
  assert.equal(response.headers.get("x-two"), "2");
  assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
  // rfc9110#6.6.1
  assert.ok(Date.parse(response.headers.get("date")!) > Date.now() - 60_000);
  assert.equal(await response.text(), "HELLO");
  assert.deepEqual(pair.failures, []);
});

test("bodies stream in both directions at once, with trailers", { timeout }, async () => {
  await using pair = await serving({
    fetch(request, context) {
      context.trailers.then((trailers) => context.responseTrailers.set("x-echo", trailers.get("x-sum")!));
      return new Response(request.body, { headers: { trailer: "x-echo" } });
    },
  });
  let more: ReadableStreamDefaultController<Uint8Array> | null = null;
  const body = new ReadableStream<Uint8Array>({ start: (controller) => void (more = controller) });
  const response = await pair.client.roundTrip(
    new Request(`${pair.origin}/`, { method: "POST", body, duplex: "half" } as RequestInit),
    { trailers: () => ({ "x-sum": "42" }) },
  );
  // The response's head is there before the request's body is.
  const reader = response.body!.getReader();
  for (const word of ["one", "two", "three"]) {
    more!.enqueue(utf8(word));
    const { value } = await reader.read();
    assert.equal(new TextDecoder().decode(value), word);
  }
  more!.close();
  assert.equal((await reader.read()).done, true);
  assert.equal((await response.trailers).get("x-echo"), "42");
});

test("large bodies go both ways with backpressure", { timeout: 30_000 }, async () => {
  const content = pattern(5_000_000);
  let produced = 0;
  await using pair = await serving({
    fetch: (request) =>
      request.method === "POST"
        ? request.arrayBuffer().then((bytes) => Response.json({ length: bytes.byteLength }))
        : new Response(
            new ReadableStream({
              pull(controller) {
                produced++;
                controller.enqueue(new Uint8Array(65536));
                if (produced === 3000) controller.close();
              },
            }),
          ),
  });
  const posted = await pair.fetch("/", { method: "POST", body: content as BodyInit });
  assert.deepEqual(await posted.json(), { length: content.length });

  const response = await pair.fetch("/");
  const reader = response.body!.getReader();
  await reader.read();
  // Nobody reads on: what is produced comes to a stop far below the 200 MB there are.
  let before = -1;
  while (before !== produced) {
    before = produced;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(produced < 500, `${produced} chunks were made for nobody`);
  await reader.cancel();
  await until(() => [...pair.server.connections][0]!.activeRequests === 0, "the request to be over");
});

test("early hints, other interim responses and the priority", { timeout }, async () => {
  await using pair = await serving({
    async fetch(_request, context) {
      await context.earlyHints("</a.css>; rel=preload; as=style", "</b.js>; rel=preload; as=script");
      await context.informational(102);
      return Response.json(context.priority);
    },
  });
  const interim: [number, string | null][] = [];
  const response = await pair.client.roundTrip(new Request(`${pair.origin}/`), {
    priority: { urgency: 1, incremental: true },
    onInformational: (status, headers) => interim.push([status, headers.get("link")]),
  });
  assert.deepEqual(interim, [
    [103, "</a.css>; rel=preload; as=style, </b.js>; rel=preload; as=script"],
    [102, null],
  ]);
  assert.deepEqual(await response.json(), { urgency: 1, incremental: true });
});

test("HEAD, 204 and 304 have no content, whatever the handler gives", { timeout }, async () => {
  await using pair = await serving({
    fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/204") return new Response(null, { status: 204 });
      if (pathname === "/304") return new Response(null, { status: 304, headers: { etag: '"a"' } });
      return new Response("0123456789", { headers: { "content-length": "10" } });
    },
  });
  const head = await pair.fetch("/", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-length"), "10");
  assert.equal(head.body, null);
  assert.equal([...(await head.trailers)].length, 0);
  for (const status of [204, 304]) {
    const response = await pair.fetch(`/${status}`);
    assert.equal(response.status, status);
    assert.equal(response.headers.get("content-length"), null);
    assert.equal(await response.text(), "");
  }
  const get = await pair.fetch("/");
  assert.equal(await get.text(), "0123456789");
  await until(() => [...pair.server.connections][0]!.activeRequests === 0, "all to be over");
});

test("a handler that throws gives 500, and a reset where the response has begun", { timeout }, async () => {
  let fail: () => void = () => {};
  const failing = new Promise<void>((resolve) => (fail = resolve));
  await using pair = await serving({
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/throws") throw new Error("thrown");
      if (pathname === "/rejects") await Promise.reject(new Error("rejected"));
      if (pathname === "/not-a-response") return "text" as unknown as Response;
      if (pathname === "/error") return Response.error();
      return new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(utf8("a part")),
          async pull() {
            await failing;
            throw new Error("the body failed");
          },
        }),
      );
    },
  });
  for (const path of ["/throws", "/rejects", "/not-a-response", "/error"]) {
    const response = await pair.fetch(path);
    assert.equal(response.status, 500, path);
    assert.equal(await response.text(), "");
  }
  const broken = await pair.fetch("/body");
  assert.equal(broken.status, 200);
  fail();
  // What broke off must not look whole.
  await assert.rejects(
    broken.text(),
    (error) => error instanceof Http3StreamError && error.errorCode === H3_ERROR.H3_INTERNAL_ERROR,
  );
  assert.equal(pair.failures.length, 5);
  assert.equal((pair.failures[0] as Error).message, "thrown");
  // The connection is as good as before.
  assert.equal((await pair.fetch("/throws")).status, 500);
  assert.equal(pair.server.connections.size, 1);
});

test(
  "a client that leaves aborts the request's signal, and is no failure of the handler's",
  { timeout },
  async () => {
    let seen: ((reason: unknown) => void) | null = null;
    const reason = new Promise<unknown>((resolve) => (seen = resolve));
    await using pair = await serving({
      fetch(request) {
        request.signal.addEventListener("abort", () => seen!(request.signal.reason), { once: true });
        return new Promise<Response>((_, reject) =>
          request.signal.addEventListener("abort", () => reject(request.signal.reason as Error), {
            once: true,
          }),
        );
      },
    });
    const aborter = new AbortController();
    const asking = pair.fetch("/", { signal: aborter.signal });
    await until(() => [...pair.server.connections][0]?.activeRequests === 1, "the request to come");
    aborter.abort(new Error("I have changed my mind"));
    await assert.rejects(asking, /changed my mind/);
    const error = (await reason) as Http3StreamError;
    assert.ok(error instanceof Http3StreamError);
    assert.equal(error.errorCode, H3_ERROR.H3_REQUEST_CANCELLED);
    assert.ok(error.remote);
    assert.deepEqual(pair.failures, []);
  },
);

test("a request's body that nobody reads does not hold the response up", { timeout }, async () => {
  await using pair = await serving({ fetch: () => new Response("not needed", { status: 403 }) });
  const response = await pair.fetch("/", { method: "POST", body: pattern(20_000_000) as BodyInit });
  assert.equal(response.status, 403);
  assert.equal(await response.text(), "not needed");
  await until(() => [...pair.server.connections][0]!.activeRequests === 0, "the request to be over");
  assert.deepEqual(pair.failures, []);
});

test(
  "what Request refuses is answered with 501, and CONNECT goes to its own handler",
  { timeout },
  async () => {
    await using pair = await serving({
      fetch: () => new Response("here"),
      async connect(stream) {
        assert.equal(stream.request.authority, "example.com:80");
        await stream.respond(200);
        for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read())
          await stream.write(chunk);
        await stream.end();
      },
    });
    const connection = await pair.client.connect(pair.origin);
    const trace = await connection.request({
      method: "TRACE",
      scheme: "https",
      authority: "localhost",
      path: "/",
    });
    await trace.end();
    assert.equal((await trace.response()).status, 501);

    const tunnel = await connection.request({ method: "CONNECT", authority: "example.com:80" });
    assert.equal((await tunnel.response()).status, 200);
    await tunnel.write(utf8("ping"));
    assert.deepEqual(await tunnel.read(), utf8("ping"));
    await tunnel.end();
    assert.equal(await tunnel.read(), null);
  },
);

test("CONNECT without a handler for it is refused", { timeout }, async () => {
  await using pair = await serving({ fetch: () => new Response("here") });
  const connection = await pair.client.connect(pair.origin);
  const tunnel = await connection.request({ method: "CONNECT", authority: "example.com:80" });
  assert.equal((await tunnel.response()).status, 501);
});

test("shutdown lets requests under way finish, and takes no others", { timeout }, async () => {
  let finish: (() => void) | null = null;
  await using pair = await serving({
    fetch: () => new Promise<Response>((resolve) => (finish = () => resolve(new Response("done")))),
  });
  const asking = pair.fetch("/");
  await until(() => finish !== null, "the request to come");
  const down = pair.server.shutdown();
  const [connection] = pair.client.connections;
  await until(() => connection!.goingAway, "GOAWAY to come");
  let over = false;
  void down.then(() => (over = true));
  assert.equal(over, false);
  finish!();
  assert.equal(await (await asking).text(), "done");
  await down;
  assert.equal(pair.server.connections.size, 0);
  assert.equal(pair.server.listening, false);
});

test("shutdown stops waiting at its signal; close ends what is under way", { timeout }, async () => {
  await using pair = await serving({ fetch: () => new Promise<Response>(() => {}) });
  const asking = pair.fetch("/", { method: "POST", body: "x" });
  await until(() => [...pair.server.connections][0]?.activeRequests === 1, "the request to come");
  await Promise.all([
    assert.rejects(pair.server.shutdown({ signal: AbortSignal.timeout(50) }), { name: "TimeoutError" }),
    assert.rejects(asking, { name: "Http3ConnectionError" }),
  ]);
});

test(
  "a connection that was accepted elsewhere, and a listener with several protocols",
  { timeout },
  async () => {
    await using transport = new Transport({ address: "127.0.0.1" });
    const listener = await transport.listen({ ...IDENTITY, ALPNProtocols: ["h3", "echo"] });
    await using server = new Server({ fetch: () => new Response("over h3") });
    const over: Promise<void>[] = [];
    void (async () => {
      for await (const connection of listener) {
        if (connection.connectionState().alpnProtocol === "h3") over.push(server.serveConnection(connection));
        else void connection.acceptStream().then((stream) => stream.sink(stream.source));
      }
    })();
    const { port } = listener.address();
    await using client = new RoundTripper(CLIENT);
    const response = await client.roundTrip(new Request(`https://localhost:${port}/`));
    assert.equal(await response.text(), "over h3");

    const echo = await transport.dial(
      { host: "127.0.0.1", port },
      { ...CLIENT.tls, ALPNProtocols: ["echo"] },
    );
    const stream = await echo.openStream();
    await stream.write(utf8("hello"));
    stream.close();
    const chunks = [];
    for await (const chunk of stream) chunks.push(...chunk);
    assert.deepEqual(new Uint8Array(chunks), utf8("hello"));
    await client.close();
    assert.equal(over.length, 1);
    await over[0];
  },
);

test("a server says what is wrong with its options", async () => {
  const fetch = () => new Response();
  assert.throws(() => new Server({ fetch, stream: () => {} }), { code: "ERR_QUIC_INVALID_OPTION" });
  assert.throws(() => new Server({ fetch, ALPNProtocols: ["h2"] }), /"h3"/);
  // rfc9114#6.2 the transport parameters MUST allow the peer to create at least three unidirectional streams.
  assert.throws(() => new Server({ fetch, config: { maxIncomingUniStreams: 2 } }), /at least 3/);
  const server = new Server({ fetch });
  assert.throws(() => server.altSvc(), /does not listen/);
  assert.equal(server.altSvc({ port: 443 }), 'h3=":443"; ma=86400');
  await server.close();
  await assert.rejects(server.listen(0), /was closed/);
});

test("beside an HTTP/1 server: the same port, told by Alt-Svc, and gone with it", { timeout }, async () => {
  const other = createHttpsServer(IDENTITY, (_request, response) => response.end("over HTTP/1"));
  const server = new Server({ ...IDENTITY, fetch: () => new Response("over HTTP/3") });
  const attached = server.attach(other);
  other.listen(0, "127.0.0.1");
  await attached;
  const { port } = other.address() as AddressInfo;
  assert.equal(server.address()!.port, port);
  const field = await new Promise<unknown>((resolve, reject) => {
    const options = { host: "127.0.0.1", port, ca: CLIENT.tls!.ca as string, agent: false };
    get(options, (response) => resolve(response.resume().headers["alt-svc"])).on("error", reject);
  });
  assert.equal(field, `h3=":${port}"; ma=86400`);
  await using client = new RoundTripper(CLIENT);
  assert.equal(
    await (await client.roundTrip(new Request(`https://localhost:${port}/`))).text(),
    "over HTTP/3",
  );
  const closed = new Promise<void>((resolve) => server.once("close", resolve));
  other.close();
  await closed;
});

test("100 (Continue) goes out when the handler asks for the body, and not before", { timeout }, async () => {
  for (const kind of ["fetch", "handler"] as const) {
    const order: string[] = [];
    await using pair = await serving(
      kind === "fetch"
        ? { fetch: async (request) => (order.push("handler"), new Response(await request.text())) }
        : { handler: (req, res) => (order.push("handler"), req.pipe(res)) },
    );
    const body = new ReadableStream(
      {
        pull(controller) {
          order.push("body");
          controller.enqueue(utf8("x"));
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const begun = performance.now();
    const response = await pair.fetch("/", {
      method: "POST",
      body,
      duplex: "half",
      headers: { expect: "100-continue" },
    });
    assert.equal(await response.text(), "x");
    assert.deepEqual(order, ["handler", "body"]);
    assert.ok(performance.now() - begun < 900, "the client did not have to lose patience");
  }
});
