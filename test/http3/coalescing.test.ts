// One connection for several origins, where the server says so and its certificate and the name agree: rfc9412, rfc8336#2.4.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Http3Connection, RoundTripper, type RoundTripperOptions, Server } from "../../http3/index.ts";
import { authority, certificate, noUnhandledRejections, until } from "../integration/pair.ts";

noUnhandledRejections();
const timeout = 10_000;
const identity = certificate({ issuedBy: authority, altNames: ["one.test", "two.test", "*.wild.test"] });

/** A server of several names, and a client that finds all of them at the same address but for far.test. */
async function site(
  options: Pick<RoundTripperOptions, "coalesce"> & { sent?: string[]; strict?: boolean } = {},
) {
  const {
    sent = ["two.test", "a.wild.test", "a.b.wild.test", "far.two.test"],
    strict = false,
    coalesce,
  } = options;
  const seen: string[] = [];
  const from = new Set<Http3Connection | string>();
  let origins: string[] = [];
  const make = () =>
    new Server({
      key: identity.key,
      cert: identity.cert,
      origins,
      fetch(request, context) {
        const { host } = new URL(request.url);
        const { servername } = context.stream.connection.quic.connectionState();
        from.add(context.stream.connection);
        seen.push(`${host.split(":")[0]} over ${servername}`);
        if (strict && servername !== host.split(":")[0]) return new Response(null, { status: 421 });
        return new Response(host);
      },
    });
  // The port is known when somebody listens.
  const probe = make();
  await probe.listen(0, "127.0.0.1");
  const { port } = probe.address()!;
  await probe.close();
  origins = sent.map((name) => `https://${name}:${port}`);
  const server = make();
  await server.listen(port, "127.0.0.1");
  const asked: string[] = [];
  const client = new RoundTripper({
    tls: { ca: authority.cert },
    transport: {
      address: "127.0.0.1",
      lookup(name, _options, callback) {
        asked.push(name);
        callback(null, [{ address: name.startsWith("far.") ? "127.0.0.9" : "127.0.0.1", family: 4 }]);
      },
    },
    connectTimeout: 500,
    ...(coalesce === undefined ? {} : { coalesce }),
  });
  const get = async (name: string, init?: RequestInit): Promise<number> => {
    const response = await client.roundTrip(new Request(`https://${name}:${port}/`, init));
    await response.text();
    return response.status;
  };
  return {
    seen,
    asked,
    client,
    get,
    /** The first connection, once its server has said what else it is for. */
    async first(): Promise<void> {
      await get("one.test");
      const [connection] = client.connections;
      await until(() => connection!.origins !== null, "the ORIGIN frame");
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
    },
  };
}

test(
  "rfc8336#2.4 a client SHOULD use the connection for all requests to origins in the Origin Set",
  { timeout },
  async () => {
    await using s = await site();
    await s.first();
    assert.deepEqual(
      await Promise.all([s.get("two.test"), s.get("a.wild.test"), s.get("two.test")]),
      [200, 200, 200],
    );
    assert.equal(s.client.connections.size, 1);
    assert.deepEqual(s.seen.sort(), [
      "a.wild.test over one.test",
      "one.test over one.test",
      "two.test over one.test",
      "two.test over one.test",
    ]);
    assert.deepEqual(s.asked.sort(), ["a.wild.test", "one.test", "two.test"], "each name is looked up once");
  },
);

test(
  "rfc8336#2.4 such clients MUST NOT consider a connection to be authoritative for an origin not present in the Origin Set",
  { timeout },
  async () => {
    await using s = await site({ sent: [] });
    await s.first();
    assert.equal(await s.get("two.test"), 200);
    assert.deepEqual(s.seen, ["one.test over one.test", "two.test over two.test"]);
    assert.equal(s.client.connections.size, 2);
  },
);

test(
  "rfc9114#3.3 If the certificate is not acceptable with regard to the new origin for any reason, the connection MUST NOT be reused",
  { timeout },
  async () => {
    await using s = await site();
    await s.first();
    // A wildcard is for one label: its own connection fails for the same reason.
    await assert.rejects(s.get("a.b.wild.test"), /certificate/);
    assert.deepEqual(s.seen, ["one.test over one.test"]);
  },
);

test("a name that is somewhere else is looked for there, whatever the server says", { timeout }, async () => {
  await using s = await site({ sent: ["far.wild.test"] });
  await s.first();
  await assert.rejects(s.get("far.wild.test"));
  assert.deepEqual(s.seen, ["one.test over one.test"]);
});

test(
  "rfc9110#15.5.20 a misdirected request goes out again over a connection of its own",
  { timeout },
  async () => {
    await using s = await site({ strict: true });
    await s.first();
    assert.equal(await s.get("two.test", { method: "POST", body: "x" }), 421, "a body that is gone");
    assert.equal(await s.get("a.wild.test"), 200);
    assert.deepEqual(s.seen.slice(1), [
      "two.test over one.test",
      "a.wild.test over one.test",
      "a.wild.test over a.wild.test",
    ]);
    assert.equal(await s.get("two.test"), 200, "and it is no longer among that connection's origins");
    assert.equal(s.seen.at(-1), "two.test over two.test");
  },
);

test("coalesce: false has a connection for each origin", { timeout }, async () => {
  await using s = await site({ coalesce: false });
  await s.first();
  assert.equal(await s.get("two.test"), 200);
  assert.deepEqual(s.seen, ["one.test over one.test", "two.test over two.test"]);
});
