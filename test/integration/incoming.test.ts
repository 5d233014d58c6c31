// getConfigForClient and connContext over real sockets: before anything is spent on a client.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ClientInfo,
  type Config,
  type ConfigAnswer,
  type Connection,
  InvalidOptionError,
  refuse,
  StreamLimitReachedError,
  type TlsOptions,
  Transport,
  TransportError,
  type TransportOptions,
} from "../../src/index.ts";
import { bytes, clientTls, noUnhandledRejections, serverTls, text, turns, until } from "./pair.ts";

noUnhandledRejections();

async function server(options: TransportOptions & Config & { tls?: TlsOptions }) {
  const { connContext, verifySourceAddress, tls = {}, ...config } = options;
  const acceptor = new Transport({
    address: "127.0.0.1",
    ...(connContext === undefined ? {} : { connContext }),
    ...(verifySourceAddress === undefined ? {} : { verifySourceAddress }),
  });
  const dialer = new Transport({ address: "127.0.0.1" });
  const listener = await acceptor.listen({ ...serverTls, ...tls }, config);
  const accepted: Connection[] = [];
  void (async () => {
    for await (const conn of listener) accepted.push(conn);
  })();
  const target = `127.0.0.1:${listener.address().port}`;
  return {
    acceptor,
    dialer,
    listener,
    accepted,
    target,
    dial: (client: Config = {}, more: TlsOptions = {}) =>
      dialer.dial(target, { ...clientTls, sessionCache: null, ...more }, client),
    async both(): Promise<[Connection, Connection]> {
      const before = accepted.length;
      const conn = await this.dial();
      await until(() => accepted.length > before, "accepted");
      return [conn, accepted.at(-1)!];
    },
    async [Symbol.asyncDispose]() {
      await dialer.close();
      await acceptor.close();
    },
  };
}

test("another configuration for one client, the listener's for the next", async () => {
  const seen: ClientInfo[] = [];
  const answers: ConfigAnswer[] = [{ maxIncomingStreams: 2, disableActiveMigration: true }, null, undefined];
  await using s = await server({
    maxIncomingStreams: 5,
    getConfigForClient: async (client) => {
      seen.push(client);
      await turns(2);
      return answers.shift();
    },
  });
  for (const limit of [2, 5, 5]) {
    const conn = await s.dial();
    for (let i = 0; i < limit; i++) conn.tryOpenStream();
    assert.throws(() => conn.tryOpenStream(), StreamLimitReachedError);
  }
  const [client] = seen;
  assert.deepEqual([client!.remote.ip, client!.remote.port], ["127.0.0.1", s.dialer.address().port]);
  assert.deepEqual([client!.version, client!.addressValidated], [1, false]);
  assert.equal(seen.length, 3, "asked once for each connection");
});

test("a context of the application's own, from the first packet to the accepted connection", async () => {
  let count = 0;
  const inHello: unknown[] = [];
  await using s = await server({
    connContext: async ({ remote }) => {
      await turns(1);
      return { number: ++count, remote };
    },
    tls: { onClientHello: ({ userContext }) => void inHello.push(userContext) },
  });
  for (const number of [1, 2]) {
    const [conn, accepted] = await s.both();
    const context = accepted.userContext as { number: number; remote: { port: number } };
    assert.equal(context.number, number);
    assert.equal(context.remote.port, s.dialer.address().port);
    assert.equal(inHello.at(-1), context);
    assert.equal(conn.userContext, undefined);
    accepted.userContext = "mine";
    assert.equal(accepted.userContext, "mine");
  }
  await using none = await server({});
  assert.equal((await none.both())[1].userContext, undefined);
});

test("a ClientHello in several datagrams, and a Retry before", async () => {
  await using s = await server({
    verifySourceAddress: true,
    getConfigForClient: async ({ addressValidated }) => {
      assert.equal(addressValidated, true);
      await turns(3);
    },
  });
  const ALPNProtocols = ["test", ...Array.from({ length: 60 }, (_, i) => `${"x".repeat(50)}${i}`)];
  const conn = await s.dial({}, { ALPNProtocols, groups: ["X25519MLKEM768", "x25519"] });
  await until(() => s.accepted.length === 1, "accepted");
  const stream = await conn.openUniStream();
  await stream.write(bytes("through"));
  stream.close();
  assert.equal(await text(await s.accepted[0]!.acceptUniStream()), "through");
});

test("they refuse by what they throw or return", async () => {
  const cases: [Parameters<typeof refuse>[0], { [field: string]: unknown }][] = [
    [undefined, { errorCode: 0x02, reason: "" }],
    [{ reason: "full" }, { errorCode: 0x02, reason: "full" }],
    [
      { alert: "access_denied", reason: "no" },
      { alert: "access_denied", reason: "no" },
    ],
  ];
  for (const [refusal, expected] of cases) {
    const throwing = () => {
      throw refuse(refusal);
    };
    for (const hooks of [
      { getConfigForClient: throwing },
      { getConfigForClient: () => refuse(refusal) },
      { connContext: throwing },
      { connContext: async () => refuse(refusal) },
    ]) {
      await using s = await server(hooks);
      await assert.rejects(s.dial(), { remote: true, ...expected });
      assert.equal(s.acceptor.stats().connectionsRefused, 1);
      assert.ok((s.acceptor.stats().dropped.application_refused ?? 0) >= 1);
      assert.equal(s.accepted.length, 0);
    }
  }
});

test("hooks that are broken refuse with CONNECTION_REFUSED, tell the client nothing, and warn once", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning);
  process.on("warning", onWarning);
  const fails = () => {
    throw new Error("a secret");
  };
  const broken: (TransportOptions & Config)[] = [
    { getConfigForClient: fails },
    { getConfigForClient: () => ({ maxIncomingStreams: -1 }) },
    { getConfigForClient: () => Promise.reject(new Error("a secret")) },
    { connContext: () => Promise.reject(new Error("a secret")) },
  ];
  for (const hooks of broken) {
    await using s = await server(hooks);
    for (let i = 0; i < 2; i++) {
      await assert.rejects(s.dial(), { errorCode: 0x02, remote: true, reason: "" });
    }
  }
  await until(() => warnings.length >= broken.length, "warnings");
  process.off("warning", onWarning);
  assert.equal(warnings.length, broken.length);
});

test("one that never answers is bounded by the handshake timeout, and holds nobody else up", async () => {
  let calls = 0;
  let release = () => {};
  await using s = await server({
    handshakeTimeout: 1000,
    getConfigForClient: () => {
      if (calls++ === 0) return new Promise<void>((resolve) => (release = resolve));
    },
  });
  const stuck = s.dial({ handshakeTimeout: 150 });
  stuck.catch(() => {});
  await until(() => calls === 1, "asked");
  await s.both();
  await assert.rejects(stuck, { code: "ERR_QUIC_HANDSHAKE_TIMEOUT" });
  await until(() => (s.acceptor.stats().dropped.application_refused ?? 0) > 0, "given up");
  release();
  await turns(5);
  assert.equal(s.accepted.length, 1);
  await s.both();
});

test("answers after the client went away, the listener was closed, the transport was closed", async () => {
  const releases: (() => void)[] = [];
  const hooks = { getConfigForClient: () => new Promise<void>((resolve) => releases.push(resolve)) };
  await using s = await server(hooks);
  const aborting = new AbortController();
  const gone = s.dialer.dial(s.target, clientTls, {}, { signal: aborting.signal });
  gone.catch(() => {});
  await until(() => releases.length === 1, "asked");
  aborting.abort(new Error("changed my mind"));
  await assert.rejects(gone, /changed my mind/);
  releases[0]!();
  await turns(5);
  assert.equal(s.accepted.length, 0);

  const second = s.dial();
  second.catch(() => {});
  await until(() => releases.length === 2, "asked");
  await s.listener.close();
  await assert.rejects(second, (error) => error instanceof TransportError && error.errorCode === 0x02);
  releases[1]!();

  const again = await server(hooks);
  const third = again.dial();
  third.catch(() => {});
  await until(() => releases.length === 3, "asked");
  await again.acceptor.close();
  await assert.rejects(third, (error) => error instanceof TransportError && error.errorCode === 0x02);
  releases[2]!();
  await turns(5);
  await again[Symbol.asyncDispose]();
  // A listener that comes after has its own hooks, or none.
  const next = await s.acceptor.listen(serverTls);
  const [conn] = await Promise.all([
    s.dialer.dial(`127.0.0.1:${next.address().port}`, clientTls),
    next.accept(),
  ]);
  assert.equal(conn.connectionState().handshakeComplete, true);
});

test("what is no function is refused", async () => {
  const bad = "yes" as unknown as () => void;
  assert.throws(() => new Transport({ connContext: bad }), InvalidOptionError);
  await using transport = new Transport({ address: "127.0.0.1" });
  await assert.rejects(transport.listen(serverTls, { getConfigForClient: bad }), InvalidOptionError);
});
