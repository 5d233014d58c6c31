// 0-RTT: what goes early, what waits, and what happens where it is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RoundTripper, type RoundTripperOptions, Server, type ServerOptions } from "../../http3/index.ts";
import { H3_ERROR } from "../../http3/errors.ts";
import { ApplicationError, memorySessionCache, type TraceEvent, Transport } from "../../src/index.ts";
import { noUnhandledRejections, until } from "../integration/pair.ts";
import { RawPeer } from "./peers.ts";
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
function clients(options: RoundTripperOptions = {}): (more?: RoundTripperOptions) => RoundTripper {
  const sessionCache = memorySessionCache();
  const tls = { ...CLIENT.tls, sessionCache };
  return (more) => new RoundTripper({ ...CLIENT, earlyData: true, ...options, ...more, tls });
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
  const settings: Record<string, unknown>[] = [];
  const tracer = {
    record(event: TraceEvent) {
      if (event.name === "application_event" && event.event.startsWith("http3:parameters_")) {
        settings.push({ event: event.event, ...event.data });
      }
    },
  };
  await using client = make({ config: { tracer } });
  const responses = await Promise.all([
    client.roundTrip(new Request(url)),
    client.roundTrip(new Request(url, { method: "POST", body: "x" })),
    client.roundTrip(new Request(url, { method: "DELETE" })),
  ]);
  for (const response of responses) assert.equal(await response.text(), "x");
  assert.deepEqual(seen.sort(), ["DELETE false false", "GET true true", "POST false false"]);
  const [connection] = client.connections;
  assert.equal(connection!.quic.connectionState().used0RTT, true);
  await connection!.settings;
  const restored = settings.find(({ event }) => event === "http3:parameters_restored");
  const told = settings.find(({ initiator }) => initiator === "remote");
  const expected = { ...told, event: "http3:parameters_restored" };
  delete (expected as { initiator?: unknown }).initiator;
  assert.deepEqual(restored, expected, "the server says the same as last time");
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

test(
  "rfc9114#7.2.4.2 A client MUST comply with stored settings when attempting 0-RTT; a server that takes 0-RTT and allows less is left with H3_SETTINGS_ERROR",
  { timeout },
  async () => {
    const transport = new Transport({ address: "127.0.0.1" });
    const tls = { ...IDENTITY, ticketKeys, ALPNProtocols: ["h3"] };
    const listener = await transport.listenEarly(tls, EARLY);
    const url = `https://localhost:${listener.address().port}/`;
    const sessionCache = memorySessionCache();
    let tickets = 0;
    const own = { ...CLIENT.tls, sessionCache, onSessionTicket: () => void tickets++ };
    try {
      for (const qpackBlockedStreams of [20, 10]) {
        await using client = new RoundTripper({ ...CLIENT, earlyData: true, tls: own });
        const connecting = client.connect(url);
        const peer = new RawPeer(await listener.accept());
        await peer.settings({ qpackBlockedStreams });
        const connection = await connecting;
        if (qpackBlockedStreams === 20) {
          await connection.settings;
          await until(() => tickets > 0, "a ticket");
        } else {
          const { error } = await peer.quic.closed;
          assert.ok(error instanceof ApplicationError);
          assert.equal(error.errorCode, H3_ERROR.H3_SETTINGS_ERROR);
        }
      }
    } finally {
      await transport.close();
    }
  },
);
