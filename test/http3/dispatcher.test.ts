// fetch and undici over HTTP/3, with something to fall back to.
import assert from "node:assert/strict";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import undici from "undici";
import {
  AltSvcCache,
  builtInDispatcher,
  type ControllerHandler,
  createFetch,
  type DispatcherLike,
  type DispatchController,
  type DispatchHandler,
  type DispatchOptions,
  Http3Dispatcher,
  type Http3DispatcherOptions,
  Http3StateError,
  type LegacyHandler,
} from "../../http3/index.ts";
import { Transport } from "../../src/index.ts";
import { authority, leaf, noUnhandledRejections, pattern, until } from "../integration/pair.ts";
import { utf8 } from "./peers.ts";
import { CLIENT, serving } from "./serving.ts";

noUnhandledRejections();
const timeout = 10_000;

async function site() {
  return serving({
    async fetch(request) {
      const { pathname, origin } = new URL(request.url);
      switch (pathname) {
        case "/redirect":
          return Response.redirect(`${origin}/target`, 302);
        case "/gzip":
          return new Response(gzipSync("unpacked") as BodyInit, { headers: { "content-encoding": "gzip" } });
        case "/echo":
          return new Response(request.body, { headers: { "x-method": request.method } });
        case "/large":
          return new Response(pattern(3_000_000) as BodyInit);
        case "/slow":
          return new Promise<Response>(() => {});
        case "/drip":
          return new Response(new ReadableStream({ start: (c) => c.enqueue(utf8("drip")) }));
        default:
          return Response.json({ pathname, ...Object.fromEntries(request.headers) });
      }
    },
  });
}

test("fetch with our dispatcher: redirects, decoding, uploads, aborts", { timeout }, async () => {
  await using pair = await site();
  const fetch = createFetch(CLIENT);
  const echoed = (await (await fetch(`${pair.origin}/a`, { headers: { "x-one": "1" } })).json()) as object;
  assert.equal((echoed as { pathname: string }).pathname, "/a");
  assert.equal((echoed as { "x-one": string })["x-one"], "1");

  const redirected = await fetch(`${pair.origin}/redirect`);
  assert.equal(redirected.url, `${pair.origin}/target`);
  assert.equal(redirected.redirected, true);
  assert.equal(await (await fetch(`${pair.origin}/gzip`)).text(), "unpacked");

  const content = pattern(1_000_000);
  const posted = await fetch(`${pair.origin}/echo`, { method: "POST", body: content as BodyInit });
  assert.equal(posted.headers.get("x-method"), "POST");
  assert.equal(Buffer.compare(new Uint8Array(await posted.arrayBuffer()), content), 0);
  const body = Readable.toWeb(Readable.from(["one ", "two"])) as unknown as BodyInit;
  const streamed = await fetch(`${pair.origin}/echo`, { method: "PUT", body, duplex: "half" } as RequestInit);
  assert.equal(await streamed.text(), "one two");

  for (const path of ["/slow", "/drip"]) {
    const aborter = new AbortController();
    const asking = fetch(`${pair.origin}${path}`, { signal: aborter.signal }).then((response) =>
      response.text(),
    );
    await until(() => [...pair.server.connections].some((one) => one.activeRequests > 0), "the request");
    aborter.abort(new Error("enough"));
    await assert.rejects(asking, /enough/);
    await until(() => [...pair.server.connections].every((one) => one.activeRequests === 0), "its end");
  }
  assert.equal(pair.server.connections.size, 1);
  await assert.rejects(
    fetch("http://localhost/"),
    (error) => (error as Error).cause instanceof Http3StateError,
  );
  await fetch.close();
});

/** What a handler was told, in one form. */
interface Seen {
  readonly events: string[];
  readonly chunks: Buffer[];
  readonly done: Promise<void>;
}

const SHAPES: Record<
  string,
  (
    steer: (control: { abort(error: Error): void; pause: boolean; resume(): void }) => void,
  ) => DispatchHandler & Seen
> = {
  legacy(steer) {
    const chunks: Buffer[] = [];
    const events: string[] = [];
    let finish: () => void = () => {};
    const done = new Promise<void>((resolve) => (finish = resolve));
    let abort: (error?: Error) => void = () => {};
    let resume: () => void = () => {};
    const ask = () => {
      const control = { abort: (error: Error) => abort(error), pause: false, resume: () => resume() };
      steer(control);
      return !control.pause;
    };
    const handler: LegacyHandler = {
      onConnect: (given) => void (events.push("start"), (abort = given)),
      onHeaders(status, raw, given) {
        const names = raw.filter((_, i) => i % 2 === 0).map(String);
        events.push(`head ${status} ${names.includes("content-type")}`);
        resume = given;
        return ask();
      },
      onData: (chunk) => (chunks.push(chunk), ask()),
      onComplete: (trailers) => void (events.push(`end ${trailers!.map(String).join("=")}`), finish()),
      onError: (error) => void (events.push(`error ${error.message}`), finish()),
    };
    return { ...handler, events, chunks, done };
  },
  controller(steer) {
    const chunks: Buffer[] = [];
    const events: string[] = [];
    let finish: () => void = () => {};
    const done = new Promise<void>((resolve) => (finish = resolve));
    const ask = (controller: DispatchController) => {
      const control = {
        abort: (error: Error) => controller.abort(error),
        pause: false,
        resume: () => controller.resume(),
      };
      steer(control);
      if (control.pause) controller.pause();
    };
    const handler: ControllerHandler = {
      onRequestStart: () => void events.push("start"),
      onResponseStart(controller, status, headers) {
        events.push(`head ${status} ${headers["content-type"] !== undefined}`);
        ask(controller);
      },
      onResponseData: (controller, chunk) => (chunks.push(chunk), ask(controller)),
      onResponseEnd: (_, trailers) =>
        void (events.push(`end ${Object.entries(trailers).join()}`.replace(",", "=")), finish()),
      onResponseError: (_, error) => void (events.push(`error ${error.message}`), finish()),
    };
    return { ...handler, events, chunks, done };
  },
};

for (const [shape, make] of Object.entries(SHAPES)) {
  test(`a ${shape} handler: head, data with pauses, trailers, errors`, { timeout }, async () => {
    await using pair = await serving({
      async fetch(request, context) {
        if (request.url.endsWith("/slow")) return new Promise<Response>(() => {});
        await context.earlyHints("</a.css>; rel=preload");
        context.responseTrailers.set("x-sum", "42");
        return new Response(pattern(600_000) as BodyInit, { headers: { "content-type": "text/plain" } });
      },
    });
    await using dispatcher = new Http3Dispatcher(CLIENT);
    let pauses = 0;
    const seen = make((control) => {
      if (++pauses > 5) return;
      control.pause = true;
      setImmediate(() => control.resume());
    });
    assert.equal(dispatcher.dispatch({ origin: pair.origin, path: "/", method: "GET" }, seen), true);
    await seen.done;
    assert.deepEqual(seen.events, ["start", "head 103 false", "head 200 true", "end x-sum=42"]);
    assert.equal(Buffer.compare(Buffer.concat(seen.chunks), pattern(600_000)), 0);
    assert.ok(pauses > 5);

    const aborted = make((control) => control.abort(new Error("too much")));
    dispatcher.dispatch({ origin: pair.origin, path: "/", method: "GET" }, aborted);
    await aborted.done;
    assert.equal(aborted.events.at(-1), "error too much");

    const late = make(() => {});
    dispatcher.dispatch({ origin: pair.origin, path: "/slow", method: "GET", headersTimeout: 50 }, late);
    await late.done;
    assert.match(late.events.at(-1)!, /^error .*within 50 ms/);

    const nowhere = make(() => {});
    dispatcher.dispatch({ origin: "http://localhost", path: "/", method: "GET" }, nowhere);
    await nowhere.done;
    assert.match(nowhere.events[0]!, /^error .*https/);
  });
}

test("bodies, headers and queries in every form that undici takes", { timeout }, async () => {
  await using pair = await serving({
    fetch: async (request) =>
      Response.json({
        text: await request.text(),
        search: new URL(request.url).search,
        type: request.headers.get("content-type"),
        length: request.headers.get("content-length"),
        one: request.headers.get("x-one"),
      }),
  });
  await using dispatcher = new Http3Dispatcher(CLIENT);
  const send = async (options: Partial<DispatchOptions>) => {
    const seen = SHAPES.controller!(() => {});
    dispatcher.dispatch({ origin: pair.origin, path: "/", method: "POST", ...options }, seen);
    await seen.done;
    assert.match(seen.events.at(-1)!, /^end/, seen.events.join());
    return JSON.parse(Buffer.concat(seen.chunks).toString()) as Record<string, string | null>;
  };
  for (const body of ["text", utf8("text"), utf8("text").buffer, new DataView(utf8("text").buffer)]) {
    const got = await send({ body });
    assert.equal(got.text, "text");
    assert.equal(got.length, "4");
  }
  for (const body of [
    Readable.from(["te", "xt"]),
    new Blob(["text"]),
    new Response("text").body,
    [Buffer.from("te"), Buffer.from("xt")],
    (async function* () {
      yield "te";
      yield Buffer.from("xt");
    })(),
  ]) {
    assert.equal((await send({ body })).text, "text");
  }
  assert.equal(
    (await send({ body: new URLSearchParams({ a: "b" }) })).type,
    "application/x-www-form-urlencoded;charset=UTF-8",
  );
  assert.equal((await send({ body: null })).length, "0");
  for (const headers of [
    ["x-one", "1"],
    { "X-One": "1" },
    [["x-one", "1"]],
    new Map([["x-one", "1"]]),
    { "x-one": { name: "X-One", value: "1" } },
  ]) {
    assert.equal((await send({ headers })).one, "1");
  }
  assert.equal((await send({ query: { a: 1, b: ["x", "y"] } })).search, "?a=1&b=x&b=y");
});

/** An HTTP/1 server of the same certificate, with the Alt-Svc field that it is told to have. */
async function http1(altSvc: () => string | undefined) {
  let requests = 0;
  const server = createHttpsServer({ key: leaf.key, cert: leaf.cert }, (_request, response) => {
    requests++;
    const value = altSvc();
    if (value !== undefined) response.setHeader("alt-svc", value);
    response.end("over HTTP/1");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `https://localhost:${(server.address() as AddressInfo).port}`,
    get requests() {
      return requests;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Node's own dispatcher, with the test's authority. */
function fallbackDispatcher(): DispatcherLike & { close(): Promise<void> } {
  const Agent = builtInDispatcher()!.constructor as new (
    options: object,
  ) => DispatcherLike & { close(): Promise<void> };
  return new Agent({ connect: { ca: authority.cert } });
}

async function falling(options: Http3DispatcherOptions = {}) {
  const fallback = fallbackDispatcher();
  const fetch = createFetch({ ...CLIENT, fallback, ...options });
  return {
    cache: fetch.dispatcher.altSvcCache,
    get: async (url: string) => (await fetch(url)).text(),
    async [Symbol.asyncDispose]() {
      await fetch.dispatcher.destroy();
      await fallback.close();
    },
  };
}

test("an origin says by Alt-Svc that it is served over HTTP/3, and takes it back", { timeout }, async () => {
  await using pair = await serving({
    fetch: (request) =>
      new Response(`over HTTP/3 for ${request.headers.get("alt-used")}`, {
        headers: request.url.endsWith("/clear") ? { "alt-svc": "clear" } : {},
      }),
  });
  const { port } = pair.server.address()!;
  await using old = await http1(() => pair.server.altSvc({ host: "127.0.0.1" }));
  await using client = await falling();
  assert.equal(await client.get(`${old.origin}/`), "over HTTP/1");
  assert.deepEqual(client.cache.find(old.origin), { host: "127.0.0.1", port });
  // rfc7838#5: and the certificate is the origin's, as localhost's is.
  assert.equal(await client.get(`${old.origin}/`), `over HTTP/3 for 127.0.0.1:${port}`);
  assert.equal(await client.get(`${old.origin}/clear`), `over HTTP/3 for 127.0.0.1:${port}`);
  assert.equal(await client.get(`${old.origin}/`), "over HTTP/1");
  assert.equal(old.requests, 2);
});

test(
  "HTTP/3 that does not come up leaves the request to the fallback, and is not tried again",
  { timeout },
  async () => {
    // A socket that says nothing: as behind a firewall.
    await using silent = new Transport({ address: "127.0.0.1" });
    await silent.open();
    await using old = await http1(() => `h3="127.0.0.1:${silent.address().port}"`);
    await using client = await falling({ fallbackDelay: 50, connectTimeout: 200 });
    assert.equal(await client.get(old.origin), "over HTTP/1");
    const begun = performance.now();
    assert.equal(await client.get(old.origin), "over HTTP/1");
    assert.ok(performance.now() - begun > 45, "HTTP/3 had its head start");
    await until(() => client.cache.find(old.origin) === null, "the attempt to fail");
    assert.equal(await client.get(old.origin), "over HTTP/1");
  },
);

test("HTTP/3 everywhere first, where that is asked for", { timeout }, async () => {
  await using pair = await serving({ fetch: () => new Response("over HTTP/3") });
  await using old = await http1(() => undefined);
  await using client = await falling({ attempt: "always" });
  assert.equal(await client.get(pair.origin), "over HTTP/3");
  // Nobody is at that UDP port.
  assert.equal(await client.get(old.origin), "over HTTP/1");
});

test("the global fetch speaks HTTP/3 once the dispatcher is global", { timeout }, async () => {
  await using pair = await site();
  const before = builtInDispatcher();
  const key = Symbol.for("undici.globalDispatcher.1");
  // What undici's setGlobalDispatcher does.
  await using dispatcher = new Http3Dispatcher({ ...CLIENT, fallback: before, attempt: "always" });
  Object.defineProperty(globalThis, key, { value: dispatcher, writable: true, configurable: false });
  try {
    assert.equal(await (await fetch(`${pair.origin}/gzip`)).text(), "unpacked");
    assert.equal(pair.server.connections.size, 1);
  } finally {
    Object.defineProperty(globalThis, key, { value: before, writable: true, configurable: false });
  }
});

test("the undici package: its request and its fetch, with the newer handlers", { timeout }, async () => {
  await using pair = await site();
  await using dispatcher = new Http3Dispatcher(CLIENT);
  const options = { dispatcher: dispatcher as unknown as undici.Dispatcher };
  const { statusCode, headers, body } = await undici.request(`${pair.origin}/echo`, {
    ...options,
    method: "POST",
    body: "hello",
  });
  assert.equal(statusCode, 200);
  assert.equal(headers["x-method"], "POST");
  assert.equal(await body.text(), "hello");
  const large = await undici.request(`${pair.origin}/large`, options);
  assert.equal((await large.body.arrayBuffer()).byteLength, 3_000_000);
  assert.equal(await (await undici.fetch(`${pair.origin}/gzip`, options)).text(), "unpacked");
  assert.equal(pair.server.connections.size, 1);
});

test("what is known of origins ends: by age, by being broken, by their number", () => {
  const cache = new AltSvcCache();
  const origin = "https://example.com";
  const find = (now: number) => cache.find(origin, now);
  cache.learn(origin, 'h2=":443"; ma=60, h3="alt.example:8443"; ma=60, h3=":443"; ma=100; persist=1', 0);
  assert.deepEqual(find(59_999), { host: "alt.example", port: 8443 });
  assert.equal(find(60_000), null);
  cache.learn(origin, 'h3=":443"', 0);
  const own = { host: "", port: 443 };
  assert.deepEqual(find(1), own);
  cache.failed(origin, own, 0);
  assert.equal(find(299_999), null);
  assert.deepEqual(find(300_001), own);
  cache.failed(origin, own, 300_001);
  assert.equal(find(900_000), null);
  assert.deepEqual(find(900_002), own);
  cache.worked(origin, own);
  cache.learn(origin, "clear", 1);
  assert.equal(find(2), null);
  // rfc7838#2.1: nothing that was said without TLS.
  cache.learn("http://example.com", 'h3=":443"', 0);
  assert.equal(cache.find("http://example.com", 1), null);
  for (const bad of ['h3=":443', "h3", 'h3=":0"', 'h3=":70000"', "", '%zz=":443"']) {
    cache.learn(origin, bad, 0);
    assert.equal(find(1), null, bad);
  }
});
