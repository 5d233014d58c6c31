// 0-RTT: what goes early, what waits, and what happens where it is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RoundTripper, type RoundTripperOptions, Server, type ServerOptions } from "../../http3/index.ts";
import { memorySessionCache } from "../../src/index.ts";
import { noUnhandledRejections, until } from "../integration/pair.ts";
import { CLIENT, IDENTITY } from "./serving.ts";

noUnhandledRejections();
const timeout = 10_000;
const ticketKeys = new Uint8Array(48).fill(7);

async function server(options: ServerOptions): Promise<Server> {
  const made = new Server({ ...IDENTITY, ticketKeys, ...options });
  await made.listen(0, "127.0.0.1");
  return made;
}

/** Clients that share their sessions. */
function clients(options: RoundTripperOptions = {}): () => RoundTripper {
  const sessionCache = memorySessionCache();
  return () =>
    new RoundTripper({ ...CLIENT, earlyData: true, ...options, tls: { ...CLIENT.tls, sessionCache } });
}

/** Makes a session: one connection, to its end. */
async function visit(make: () => RoundTripper, url: string): Promise<void> {
  await using client = make();
  const connection = await client.connect(url);
  const ticket = new Promise<void>((resolve) => setTimeout(resolve, 50));
  await (await client.roundTrip(new Request(url))).text();
  await connection.settings;
  await ticket;
}

const EARLY = { earlyData: true, replayFilter: { firstUse: () => true } };

test("safe requests go early; others wait for the handshake", { timeout }, async () => {
  const seen: string[] = [];
  await using site = await server({
    config: EARLY,
    fetch(request, context) {
      seen.push(`${request.method} ${context.early} ${context.stream.stream.early}`);
      return new Response("x");
    },
  });
  const url = `https://localhost:${site.address()!.port}/`;
  const make = clients();
  await visit(make, url);
  seen.length = 0;
  await using client = make();
  const responses = await Promise.all([
    client.roundTrip(new Request(url)),
    client.roundTrip(new Request(url, { method: "POST", body: "x" })),
    client.roundTrip(new Request(url, { method: "DELETE" })),
  ]);
  for (const response of responses) assert.equal(await response.text(), "x");
  assert.deepEqual(seen.sort(), ["DELETE false false", "GET true true", "POST false false"]);
  const [connection] = client.connections;
  assert.equal(connection!.quic.connectionState().used0RTT, true);
  assert.equal(client.connections.size, 1);
});

test("425 sends a request again when the handshake is complete", { timeout }, async () => {
  const seen: boolean[] = [];
  await using site = await server({
    config: EARLY,
    fetch(_request, context) {
      seen.push(context.early);
      context.mustNotBeEarly();
      return new Response("once");
    },
  });
  const failures: unknown[] = [];
  site.on("handlerError", (error) => failures.push(error));
  const url = `https://localhost:${site.address()!.port}/`;
  const make = clients();
  await visit(make, url);
  seen.length = 0;
  await using client = make();
  const response = await client.roundTrip(new Request(url));
  assert.equal(response.status, 200);
  assert.equal(await response.text(), "once");
  assert.deepEqual(seen, [true, false]);
  assert.deepEqual(failures, []);
  // rfc8470#5.1: said by an intermediary, which sends it again itself.
  const forwarded = await client.roundTrip(new Request(url, { headers: { "early-data": "1" } }));
  assert.equal(forwarded.status, 425);
});

test("0-RTT that is refused goes out again on the same connection", { timeout }, async () => {
  let refuse = false;
  const seen: boolean[] = [];
  await using site = await server({
    config: { earlyData: true, replayFilter: { firstUse: () => !refuse } },
    fetch(_request, context) {
      seen.push(context.stream.stream.early);
      return new Response("x");
    },
  });
  const url = `https://localhost:${site.address()!.port}/`;
  const make = clients();
  await visit(make, url);
  refuse = true;
  seen.length = 0;
  await using client = make();
  const texts = await Promise.all(
    Array.from({ length: 5 }, async () => (await client.roundTrip(new Request(url))).text()),
  );
  assert.deepEqual(texts, ["x", "x", "x", "x", "x"]);
  assert.deepEqual(seen, [false, false, false, false, false]);
  const [connection] = client.connections;
  assert.equal(connection!.quic.connectionState().earlyData, "rejected");
  await until(() => client.connections.size === 1, "one connection");
});

test("sessions of a server with other settings do not come back", { timeout }, async () => {
  // rfc9114#7.2.4.2 If 0-RTT data is accepted by the server, its SETTINGS frame MUST NOT reduce any limits or alter any values
  // that might be violated by the client with its 0-RTT data.
  const fetch = () => new Response("x");
  const make = clients();
  let port = 0;
  {
    await using before = await server({ config: EARLY, fetch });
    port = before.address()!.port;
    await visit(make, `https://localhost:${port}/`);
  }
  await using after = new Server({ ...IDENTITY, ticketKeys, config: EARLY, fetch, maxHeaderListSize: 1000 });
  await after.listen(port, "127.0.0.1");
  await using client = make();
  assert.equal(await (await client.roundTrip(new Request(`https://localhost:${port}/`))).text(), "x");
  const [connection] = client.connections;
  assert.equal(connection!.quic.connectionState().used0RTT, false);
  assert.equal((await connection!.settings).maxFieldSectionSize, 1000);
});
