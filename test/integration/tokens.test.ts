// Address validation over real sockets: Retry, tokens for later, filters, the busy switch.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { BlockList } from "node:net";
import { test } from "node:test";
import {
  type Connection,
  memoryTokenStore,
  type TokenStore,
  type TraceEvent,
  Transport,
  type TransportOptions,
} from "../../src/index.ts";
import { bytes, clientTls, noUnhandledRejections, serverTls, text, until } from "./pair.ts";

noUnhandledRejections();

/** A server that echoes, with ways to dial it and to see what it sent without a connection. */
async function server(options: TransportOptions = {}, dialing: TransportOptions = {}) {
  const acceptor = new Transport({ address: "127.0.0.1", ...options });
  const dialer = new Transport({ address: "127.0.0.1", ...dialing });
  const listener = await acceptor.listen(serverTls);
  void (async () => {
    for await (const conn of listener) {
      void (async () => {
        for await (const stream of conn.incomingStreams()) void stream.sink(stream.source).catch(() => {});
      })().catch(() => {});
    }
  })();
  // A ClientHello of two datagrams gets a Retry for each; the client takes the first.
  let retried = 0;
  return {
    acceptor,
    /** Connections that had to prove their address. */
    retries: () => retried,
    async dial(tokenStore: TokenStore | null = null): Promise<Connection> {
      const before = acceptor.stats().statelessSent.retry;
      const conn = await dialer.dial(`127.0.0.1:${listener.address().port}`, clientTls, {
        tokenStore,
        handshakeTimeout: 3000,
      });
      const stream = await conn.openStream();
      await stream.write(bytes("over and back"));
      stream.close();
      assert.equal(await text(stream), "over and back");
      if (acceptor.stats().statelessSent.retry > before) retried++;
      return conn;
    },
    async [Symbol.asyncDispose]() {
      await dialer.close();
      await acceptor.close();
    },
  };
}

/** A store that tells what came and went. */
function watched() {
  const store = memoryTokenStore();
  const put: Uint8Array[] = [];
  const popped: (Uint8Array | null)[] = [];
  const keys = new Set<string>();
  return {
    put,
    popped,
    keys,
    store: {
      pop: (key: string) => {
        const token = store.pop(key) as Uint8Array | null;
        popped.push(token);
        return token;
      },
      put: (key: string, token: Uint8Array) => {
        keys.add(key);
        put.push(token);
        return store.put(key, token);
      },
    } satisfies TokenStore,
  };
}

test("a server that verifies addresses sends a Retry, and the connection works", async () => {
  await using s = await server({ verifySourceAddress: true });
  await s.dial();
  assert.equal(s.retries(), 1);
  await s.dial();
  assert.equal(s.retries(), 2);
});

test("a token for later saves the Retry, once each", async () => {
  await using s = await server({ verifySourceAddress: true });
  const { store, put, popped, keys } = watched();
  await s.dial(store);
  await until(() => put.length > 0, "NEW_TOKEN");
  await s.dial(store);
  assert.equal(s.retries(), 1);
  assert.deepEqual(popped, [null, put[0]!]);
  await until(() => put.length > 1, "another NEW_TOKEN");
  // A stolen or copied token is good for one connection: rfc9000#8.1.4 SHOULD NOT be accepted multiple times
  await s.dial({ pop: () => put[0]!, put: () => {} });
  assert.equal(s.retries(), 2);
  assert.equal(keys.size, 1);
});

test("tokens of another fleet, too old ones and those of the past are as good as none", async () => {
  const tokenGeneratorKey = randomBytes(32);
  const { store, put } = watched();
  {
    await using first = await server({ tokenGeneratorKey });
    await first.dial(store);
    await until(() => put.length > 0, "NEW_TOKEN");
  }
  const token = put[0]!;
  const stolen: TokenStore = { pop: () => token, put: () => {} };
  await using stranger = await server({ verifySourceAddress: true });
  await stranger.dial(stolen);
  assert.equal(stranger.retries(), 1);
  await using elsewhere = await server(
    { verifySourceAddress: true, tokenGeneratorKey },
    { address: "127.0.0.2" },
  );
  await elsewhere.dial(stolen);
  assert.equal(elsewhere.retries(), 1, "bound to the address");
  await using brother = await server({ verifySourceAddress: true, tokenGeneratorKey });
  await brother.dial(stolen);
  assert.equal(brother.retries(), 0, "servers with one key take each other's tokens");
  await using strict = await server({ verifySourceAddress: true, maxTokenAge: 0, tokenGeneratorKey });
  const { store: nothing, put: given } = watched();
  await strict.dial(nothing);
  await strict.dial(nothing);
  assert.equal(strict.retries(), 2);
  assert.equal(given.length, 0, "maxTokenAge 0: none are given");
});

test("verifySourceAddress decides for each address; what throws counts as true", async () => {
  const seen: string[] = [];
  await using s = await server({
    verifySourceAddress: ({ ip, port }) => {
      seen.push(ip);
      assert.ok(port > 0);
      return false;
    },
  });
  await s.dial();
  assert.deepEqual([s.retries(), seen], [0, ["127.0.0.1"]]);
  const warnings: Error[] = [];
  const listen = (warning: Error) => warnings.push(warning);
  process.on("warning", listen);
  await using broken = await server({
    verifySourceAddress: () => {
      throw new Error("the database is down");
    },
  });
  await broken.dial();
  await broken.dial();
  assert.equal(broken.retries(), 2);
  await until(() => warnings.length > 0, "a warning");
  process.off("warning", listen);
  assert.equal(warnings.filter(({ message }) => message.includes("the database is down")).length, 1);
});

test("validatedAddresses spares those who were there lately", async () => {
  await using s = await server({ verifySourceAddress: true, validatedAddresses: 10 });
  await s.dial();
  await s.dial();
  assert.equal(s.retries(), 1);
});

test("a token store that fails is as good as none", async () => {
  await using s = await server();
  await s.dial({
    pop: () => {
      throw new Error("no");
    },
    put: () => Promise.reject(new Error("no")),
  });
  await s.dial({ pop: () => Promise.reject(new Error("no")), put: () => {} });
  await s.dial({ pop: () => randomBytes(50), put: () => {} });
  await s.dial({ pop: () => new Uint8Array(0), put: () => {} });
});

test("busy: new clients are refused, the others go on; it is counted and traced", async () => {
  const turned: boolean[] = [];
  const tracer = {
    record: (event: TraceEvent) => void (event.name === "server_busy" && turned.push(event.busy)),
  };
  await using s = await server({ tracer });
  const before = await s.dial();
  s.acceptor.busy = true;
  assert.equal(s.acceptor.busy, true);
  await assert.rejects(s.dial(), { code: "ERR_QUIC_TRANSPORT", errorCode: 2 });
  assert.ok(s.acceptor.stats().connectionsRefused > 0);
  assert.equal(s.acceptor.stats().busyRefusals, s.acceptor.stats().connectionsRefused);
  s.acceptor.busy = true;
  const stream = await before.openStream();
  await stream.write(bytes("still here"));
  stream.close();
  assert.equal(await text(stream), "still here");
  s.acceptor.busy = false;
  assert.deepEqual(turned, [true, false]);
  await s.dial();
});

test("blockList: no answer at all", async () => {
  const blockList = new BlockList();
  blockList.addSubnet("127.0.0.0", 8, "ipv4");
  await using s = await server({ blockList });
  await assert.rejects(s.dial(), { code: "ERR_QUIC_HANDSHAKE_TIMEOUT" });
  assert.ok((s.acceptor.stats().dropped.blocked ?? 0) > 0);
  assert.equal(s.acceptor.stats().datagramsSent, 0);
});

test("options that cannot work are named", () => {
  for (const options of [
    { verifySourceAddress: "yes" as unknown as boolean },
    { tokenGeneratorKey: new Uint8Array(16) },
    { maxTokenAge: -1 },
    { retryTokenLifetime: 0 },
    { maxConnections: 1.5 },
    { blockList: {} as BlockList },
    { rates: { retries: {} } as TransportOptions["rates"] },
    { rates: { retry: { total: { perSecond: -1, burst: 1 } } } },
    { acceptQueue: 0 },
  ] as TransportOptions[]) {
    const name = Object.keys(options)[0]!;
    assert.throws(() => new Transport(options), {
      code: "ERR_QUIC_INVALID_OPTION",
      message: new RegExp(name),
    });
  }
  assert.throws(() => memoryTokenStore({ servers: 0 }), { code: "ERR_QUIC_INVALID_OPTION" });
});
