// The round tripper: pooling, what is sent again, timeouts and aborts; against servers of ours and such as misbehave.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  H3_ERROR,
  Http3Connection,
  Http3ConnectionError,
  Http3StateError,
  Http3StreamError,
  Http3TimeoutError,
  RoundTripper,
  Server,
  type ServerStream,
} from "../../http3/index.ts";
import { CertificateError, type Connection, Transport } from "../../src/index.ts";
import { noUnhandledRejections, until } from "../integration/pair.ts";
import { utf8 } from "./peers.ts";
import { CLIENT, IDENTITY, serving } from "./serving.ts";

noUnhandledRejections();
const timeout = 10_000;

/** A server that does with each connection, counted from 0, what the test says. */
async function scripted(script: (connection: Http3Connection, index: number) => unknown) {
  const transport = new Transport({ address: "127.0.0.1" });
  const listener = await transport.listen({ ...IDENTITY, ALPNProtocols: ["h3"] });
  const connections: Connection[] = [];
  void (async () => {
    for await (const quic of listener) void script(new Http3Connection(quic), connections.push(quic) - 1);
  })();
  const client = new RoundTripper(CLIENT);
  return {
    client,
    connections,
    url: `https://localhost:${listener.address().port}/`,
    async [Symbol.asyncDispose]() {
      await client.close();
      await transport.close();
    },
  };
}

async function answer(stream: ServerStream, text: string): Promise<void> {
  await stream.respond(200);
  await stream.write(utf8(text));
  await stream.end();
}

test(
  "requests to an origin share a connection, also those that come while it is made",
  { timeout },
  async () => {
    await using pair = await serving({ fetch: (request) => new Response(new URL(request.url).pathname) });
    const responses = await Promise.all(Array.from({ length: 50 }, (_, i) => pair.fetch(`/${i}`)));
    assert.deepEqual(
      await Promise.all(responses.map((response) => response.text())),
      Array.from({ length: 50 }, (_, i) => `/${i}`),
    );
    assert.equal(pair.server.connections.size, 1);
    assert.equal(pair.client.connections.size, 1);
    // Another origin is another connection, though the server is the same. rfc9114#3.3
    const port = pair.server.address()!.port;
    assert.equal(await (await pair.client.roundTrip(new Request(`https://127.0.0.1:${port}/`))).text(), "/");
    assert.equal(pair.server.connections.size, 2);
    pair.client.closeIdleConnections();
    await until(() => pair.client.connections.size === 0, "idle connections to go");
  },
);

test("1,000 requests at once, more than the server takes at a time", { timeout: 30_000 }, async () => {
  await using pair = await serving({ fetch: (request) => new Response(new URL(request.url).search) });
  await Promise.all(
    Array.from({ length: 1000 }, async (_, i) => {
      const response = await pair.fetch(`/?${i}`);
      assert.equal(await response.text(), `?${i}`);
    }),
  );
  assert.equal(pair.server.connections.size, 1);
});

test("only a cached connection, where that is demanded", { timeout }, async () => {
  await using pair = await serving({ fetch: () => new Response("x") });
  const request = () => new Request(pair.origin);
  const options = { onlyCachedConnection: true };
  await assert.rejects(pair.client.roundTrip(request(), options), Http3StateError);
  await pair.client.connect(pair.origin);
  assert.equal((await pair.client.roundTrip(request(), options)).status, 200);
});

test("a server that goes away: the next request takes another connection", { timeout }, async () => {
  await using peer = await scripted(async (connection, index) => {
    await answer(await connection.acceptRequest(), `connection ${index}`);
    if (index === 0) await connection.shutdown();
  });
  const get = async () => (await peer.client.roundTrip(new Request(peer.url))).text();
  assert.equal(await get(), "connection 0");
  await until(() => peer.client.connections.size === 0, "the first connection to go");
  assert.equal(await get(), "connection 1");
});

test("a request that the server rejects is sent again once, whatever its method", { timeout }, async () => {
  let rejected = 0;
  let times = 1;
  await using peer = await scripted(async (connection) => {
    for await (const stream of connection.incomingRequests()) {
      // rfc9114#4.1.1
      if (rejected++ < times) stream.cancel(H3_ERROR.H3_REQUEST_REJECTED);
      else await answer(stream, "accepted");
    }
  });
  const post = () => peer.client.roundTrip(new Request(peer.url, { method: "POST" }));
  assert.equal(await (await post()).text(), "accepted");
  [rejected, times] = [0, 2];
  await assert.rejects(post(), (error) => error instanceof Http3StreamError && error.rejected);
});

test("what a server that goes away has taken stays there, the next goes elsewhere", { timeout }, async () => {
  await using peer = await scripted(async (connection, index) => {
    const stream = await connection.acceptRequest();
    if (index > 0) return answer(stream, "second");
    void connection.shutdown();
    await until(() => peer.connections.length === 2, "the second connection");
    await answer(stream, "first");
  });
  const first = peer.client.roundTrip(new Request(peer.url));
  await until(() => [...peer.client.connections][0]?.goingAway === true, "GOAWAY");
  const second = await peer.client.roundTrip(new Request(peer.url, { method: "POST" }));
  assert.equal(await second.text(), "second");
  assert.equal(await (await first).text(), "first");
});

test("requests that wait for a stream go elsewhere when the server goes away", { timeout }, async () => {
  const held: ServerStream[] = [];
  await using peer = await scripted(async (connection, index) => {
    for await (const stream of connection.incomingRequests()) {
      if (index > 0) void answer(stream, "second");
      else if (held.push(stream) === 100) {
        void connection.shutdown();
        await until(() => peer.connections.length === 2, "the second connection");
        for (const one of held) void answer(one, "first");
      }
    }
  });
  const texts = await Promise.all(
    Array.from({ length: 120 }, async () => {
      const response = await peer.client.roundTrip(new Request(peer.url, { method: "POST" }));
      return response.text();
    }),
  );
  assert.equal(texts.filter((text) => text === "first").length, 100);
  assert.equal(texts.filter((text) => text === "second").length, 20);
});

test(
  "a connection that dies: what can be done twice is sent again, the rest fails",
  { timeout },
  async () => {
    // rfc9114#5.4 If a connection terminates without a GOAWAY frame, clients MUST assume that any request that was sent,
    // whether in whole or in part, might have been processed.
    await using peer = await scripted(async (connection, index) => {
      const stream = await connection.acceptRequest();
      if (index % 2 === 0) connection.close();
      else await answer(stream, `connection ${index}`);
    });
    const get = await peer.client.roundTrip(new Request(peer.url));
    assert.equal(await get.text(), "connection 1");
    await peer.client.connections.values().next().value!.shutdown();
    await assert.rejects(
      peer.client.roundTrip(new Request(peer.url, { method: "POST" })),
      Http3ConnectionError,
    );
    assert.equal(peer.connections.length, 3);
  },
);

test("a body that was begun is not sent again", { timeout }, async () => {
  await using peer = await scripted(async (connection) => {
    for await (const stream of connection.incomingRequests()) {
      await stream.read();
      stream.cancel(H3_ERROR.H3_REQUEST_REJECTED);
    }
  });
  const body = new ReadableStream({ start: (controller) => controller.enqueue(utf8("once")) });
  const init = { method: "PUT", body, duplex: "half" } as RequestInit;
  await assert.rejects(peer.client.roundTrip(new Request(peer.url, init)), /H3_REQUEST_REJECTED/);
});

test("a body whose source fails aborts the request", { timeout }, async () => {
  await using pair = await serving({ fetch: async (request) => new Response(await request.text()) });
  const body = new ReadableStream({
    pull() {
      throw new Error("the disk is gone");
    },
  });
  await assert.rejects(pair.fetch("/", { method: "POST", body, duplex: "half" }), /the disk is gone/);
  await until(() => [...pair.server.connections][0]?.activeRequests === 0, "the request to be over");
  assert.deepEqual(pair.failures, []);
});

test("timeouts for the connection, the head and the body", { timeout }, async () => {
  await using pair = await serving(
    {
      fetch(request) {
        if (request.url.endsWith("/head")) return new Promise<Response>(() => {});
        return new Response(new ReadableStream({ start: (controller) => controller.enqueue(utf8("part")) }));
      },
    },
    { headersTimeout: 100, bodyTimeout: 100 },
  );
  await assert.rejects(
    pair.fetch("/head"),
    (error) => error instanceof Http3TimeoutError && error.timeout && error.option === "headersTimeout",
  );
  const response = await pair.fetch("/body");
  await assert.rejects(
    response.text(),
    (error) => error instanceof Http3TimeoutError && error.option === "bodyTimeout",
  );
  await assert.rejects(response.trailers, Http3TimeoutError);
  await until(() => [...pair.server.connections][0]!.activeRequests === 0, "the requests to be over");

  // A socket that says nothing.
  await using silent = new Transport({ address: "127.0.0.1" });
  await silent.open();
  await using client = new RoundTripper({ ...CLIENT, connectTimeout: 100 });
  await assert.rejects(
    client.roundTrip(new Request(`https://127.0.0.1:${silent.address().port}/`)),
    (error) => error instanceof Http3TimeoutError && error.option === "connectTimeout",
  );
});

test("a signal ends the wait for a connection, for a response and for a body", { timeout }, async () => {
  await using silent = new Transport({ address: "127.0.0.1" });
  await silent.open();
  await using pair = await serving({
    fetch: (request) =>
      request.url.endsWith("/body")
        ? new Response(new ReadableStream({ start: (controller) => controller.enqueue(utf8("part")) }))
        : new Promise<Response>(() => {}),
  });
  const reason = new Error("enough");
  const soon = () => {
    const aborter = new AbortController();
    setTimeout(() => aborter.abort(reason), 30);
    return { signal: aborter.signal };
  };
  const is = (error: unknown) => error === reason;
  const { port } = silent.address();
  await assert.rejects(pair.client.roundTrip(new Request(`https://127.0.0.1:${port}/`), soon()), is);
  await assert.rejects(pair.client.roundTrip(new Request(`${pair.origin}/head`), soon()), is);
  const aborter = new AbortController();
  const response = await pair.client.roundTrip(new Request(`${pair.origin}/body`), {
    signal: aborter.signal,
  });
  aborter.abort(reason);
  await assert.rejects(response.text(), is);
  await assert.rejects(
    pair.client.roundTrip(new Request(pair.origin), { signal: AbortSignal.abort(reason) }),
    is,
  );
});

test("Expect: 100-continue holds the body back until the server wants it", { timeout }, async () => {
  const order: string[] = [];
  await using peer = await scripted(async (connection) => {
    for await (const stream of connection.incomingRequests()) {
      if (stream.request.path === "/refused") {
        await stream.respond(417);
        await stream.end();
        continue;
      }
      order.push("continue");
      await stream.informational(100);
      while ((await stream.read()) !== null);
      await answer(stream, "thanks");
    }
  });
  const body = () =>
    new ReadableStream(
      {
        pull(controller) {
          order.push("body");
          controller.enqueue(utf8("x"));
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
  const post = (path: string) =>
    peer.client.roundTrip(
      new Request(peer.url + path, {
        method: "POST",
        body: body(),
        duplex: "half",
        headers: { expect: "100-continue" },
      } as RequestInit),
    );
  assert.equal(await (await post("")).text(), "thanks");
  assert.deepEqual(order, ["continue", "body"]);
  assert.equal((await post("refused")).status, 417);
  assert.deepEqual(order, ["continue", "body"]);
});

test("a certificate that is not the origin's is refused", { timeout }, async () => {
  // rfc9114#3.1 Upon receiving a server certificate in the TLS handshake, the client MUST verify that the certificate is an
  // acceptable match for the URI's origin server.
  await using pair = await serving({ fetch: () => new Response("x") });
  const { port } = pair.server.address()!;
  const request = new Request("https://example.com/");
  await assert.rejects(
    pair.client.roundTrip(request, { alternative: { host: "127.0.0.1", port } }),
    (error) => (error as { cause?: unknown }).cause instanceof CertificateError,
  );
  await using other = new RoundTripper({ transport: { address: "127.0.0.1" } });
  await assert.rejects(other.roundTrip(new Request(pair.origin)));
  // rfc9114#3.1.2
  await assert.rejects(pair.client.roundTrip(new Request("http://localhost/")), Http3StateError);
});

test("shutdown lets requests finish; a client that was closed says so", { timeout }, async () => {
  let finish: (() => void) | null = null;
  await using server = new Server({
    ...IDENTITY,
    fetch: () => new Promise<Response>((resolve) => (finish = () => resolve(new Response("done")))),
  });
  await server.listen(0, "127.0.0.1");
  const client = new RoundTripper(CLIENT);
  const url = `https://localhost:${server.address()!.port}/`;
  const asking = client.roundTrip(new Request(url));
  await until(() => finish !== null, "the request to come");
  const down = client.shutdown();
  await assert.rejects(client.roundTrip(new Request(url)), Http3StateError);
  finish!();
  assert.equal(await (await asking).text(), "done");
  await down;
});
