// What goes wrong outside: certificates, options, peers that vanish, sockets that refuse. Typed errors, nothing unhandled.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import {
  CertificateError,
  dialAddr,
  InvalidOptionError,
  listenAddr,
  ListenerBusyError,
  ListenerClosedError,
  SocketError,
  Transport,
  TransportClosedError,
  TransportError,
  type TlsOptions,
} from "../../src/index.ts";
import {
  authority,
  bytes,
  certificate,
  clientTls,
  leaf,
  noUnhandledRejections,
  pair,
  serverTls,
  text,
  turns,
} from "./pair.ts";

noUnhandledRejections();
const DAY = 86_400_000;

/** Dials a server with these options; what came of it. */
async function attempt(server: TlsOptions, client: TlsOptions) {
  await using listener = await listenAddr("127.0.0.1:0", { ...serverTls, ...server });
  await using dialer = new Transport({ address: "127.0.0.1" });
  const conn = await dialer.dial(`127.0.0.1:${listener.address().port}`, { ...clientTls, ...client });
  return { state: conn.connectionState(), server: (await listener.accept()).connectionState() };
}

const bad = {
  CERT_HAS_EXPIRED: certificate({
    issuedBy: authority,
    notBefore: Date.now() - 3 * DAY,
    notAfter: Date.now() - DAY,
  }),
  ERR_TLS_CERT_ALTNAME_INVALID: certificate({ issuedBy: authority, altNames: ["other.example"] }),
  CERT_SIGNATURE_FAILURE: certificate({ issuedBy: authority, faults: { signature: true } }),
};

for (const [reason, made] of Object.entries(bad)) {
  test(`certificate: ${reason}`, async () => {
    const server = { cert: made.cert, key: made.key };
    await assert.rejects(attempt(server, {}), (error) => {
      assert.ok(error instanceof TransportError, String(error));
      assert.ok(error.alert !== undefined, error.message);
      assert.ok(error.cause instanceof CertificateError);
      assert.equal(error.cause.reason, reason);
      assert.ok(error.cause.message.length > 20);
      return true;
    });
    const { state } = await attempt(server, { rejectUnauthorized: false });
    assert.equal(state.authorized, false);
    assert.equal(state.authorizationError?.reason, reason);
    assert.equal(state.peerCertificates.length, 1);
  });
}

test("certificate: unknown issuer", async () => {
  const other = certificate({ subject: "CN=other", altNames: [], ca: true });
  await assert.rejects(attempt({}, { ca: other.cert }), (error) => {
    assert.ok(error instanceof TransportError && error.cause instanceof CertificateError);
    assert.match(error.cause.reason, /UNABLE_TO/);
    return true;
  });
});

test("verifyPeer: accepts, refuses, throws", async () => {
  const other = { ca: certificate().cert };
  const accepted = await attempt(
    {},
    { ...other, verifyPeer: async ({ chain }) => assert.equal(chain.length, 1) },
  );
  assert.equal(accepted.state.authorized, true);
  const refusing: TlsOptions["verifyPeer"][] = [
    async () => new Error("not on my list"),
    () => {
      throw new Error("not on my list");
    },
  ];
  for (const verifyPeer of refusing) {
    await assert.rejects(attempt({}, { verifyPeer }), (error) => {
      assert.ok(error instanceof TransportError && error.cause instanceof CertificateError);
      assert.match(error.message, /not on my list/);
      return true;
    });
  }
});

test("SNICallback chooses, refuses, throws", async () => {
  const { key, cert } = leaf;
  const none = { key: undefined, cert: undefined } as unknown as TlsOptions;
  const { state } = await attempt(
    { ...none, SNICallback: async (name) => (name === "localhost" ? { key, cert } : null) },
    { servername: "localhost" },
  );
  assert.equal(state.authorized, true);
  for (const SNICallback of [async () => null, async () => Promise.reject(new Error("broken"))]) {
    await assert.rejects(attempt({ ...none, SNICallback }, { servername: "localhost" }), {
      alert: "unrecognized_name",
      remote: true,
    });
  }
});

test("client certificates: asked for, demanded, missing", async () => {
  const mine = certificate({ issuedBy: authority, altNames: ["client.example"] });
  const asking = { requestCert: true, ca: authority.cert };
  const { server } = await attempt(asking, { key: mine.key, cert: mine.cert });
  assert.equal(server.authorized, true);
  assert.equal(server.peerCertificates.length, 1);
  const lax = await attempt({ ...asking, rejectUnauthorized: false }, {});
  assert.equal(lax.server.authorized, false);
});

test("no protocol in common", async () => {
  await assert.rejects(attempt({}, { ALPNProtocols: ["other"] }), {
    alert: "no_application_protocol",
    remote: true,
  });
});

test("both crypto providers understand each other", async () => {
  const { state } = await attempt({ crypto: "noble" }, { crypto: "node" });
  assert.equal(state.authorized, true);
  assert.equal((await attempt({}, { crypto: "noble" })).state.authorized, true);
});

test("wrong options name the option", async () => {
  await using transport = new Transport({ address: "127.0.0.1" });
  const wrong = (option: string) => (error: unknown) =>
    error instanceof InvalidOptionError && error.option === option;
  const { key, cert } = leaf;
  const no = {} as { key: string };
  await assert.rejects(transport.listen({ ...no, cert, ALPNProtocols: ["a"] }), wrong("key"));
  await assert.rejects(transport.listen({ key, cert }), wrong("ALPNProtocols"));
  await assert.rejects(transport.dial("localhost:1", { ALPNProtocols: [] }), wrong("ALPNProtocols"));
  await assert.rejects(transport.dial("nowhere", clientTls), wrong("address"));
  await assert.rejects(transport.dial("[::1]:1", clientTls), wrong("address"));
  await assert.rejects(transport.dial("localhost:1", { ...clientTls, pfx: "x" } as TlsOptions), wrong("pfx"));
  const text = { ...clientTls, rejectUnauthorized: "false" } as unknown as TlsOptions;
  await assert.rejects(transport.dial("localhost:1", text), wrong("rejectUnauthorized"));
  await assert.rejects(
    transport.dial("localhost:1", clientTls, { maxIncomingStreams: -1 }),
    wrong("maxIncomingStreams"),
  );
  await assert.rejects(transport.listen({ ...serverTls, requestCert: true, ca: "junk" }));
  assert.throws(() => new Transport({ port: 70_000 }), wrong("port"));
});

test("a port in use, and a transport that listens already", async () => {
  await using listener = await listenAddr("127.0.0.1:0", serverTls);
  await assert.rejects(listenAddr(`127.0.0.1:${listener.address().port}`, serverTls), (error) => {
    assert.ok(error instanceof SocketError);
    assert.match(error.message, /another process uses that port/);
    return true;
  });
  await using transport = new Transport({ address: "127.0.0.1" });
  await transport.listen(serverTls);
  await assert.rejects(transport.listen(serverTls), ListenerBusyError);
});

test("names: the first address is dead, the second answers", async () => {
  await using listener = await listenAddr("127.0.0.1:0", serverTls);
  await using dialer = new Transport({
    address: "0.0.0.0",
    lookup: (_host, _options, done) =>
      done(null, [
        { address: "127.0.0.9", family: 4 },
        { address: "127.0.0.1", family: 4 },
      ]),
  });
  const conn = await dialer.dial(`localhost:${listener.address().port}`, clientTls);
  assert.match(conn.remoteAddress, /^127\.0\.0\.1:/);
  await using lost = new Transport({ lookup: (_h, _o, done) => done(new Error("no such name"), []) });
  await assert.rejects(lost.dial("nowhere.invalid:1", clientTls), { code: "ERR_QUIC_RESOLVE" });
  await using slow = new Transport({ lookup: () => {} });
  await assert.rejects(slow.dial("slow.invalid:1", clientTls, {}, { signal: AbortSignal.timeout(10) }), {
    name: "TimeoutError",
  });
});

test("dials that nobody answers: timeout, abort, transport closed", async () => {
  const silent = new Transport({ address: "127.0.0.1" });
  await silent.open();
  const target = `127.0.0.1:${silent.address().port}`;
  const dialer = new Transport({ address: "127.0.0.1" });
  await assert.rejects(dialer.dial(target, clientTls, { handshakeTimeout: 50 }), {
    code: "ERR_QUIC_HANDSHAKE_TIMEOUT",
    timeout: true,
  });
  const reason = new Error("user left");
  const abort = new AbortController();
  const dialing = dialer.dial(target, clientTls, {}, { signal: abort.signal });
  await turns(3);
  abort.abort(reason);
  await assert.rejects(dialing, (error) => error === reason);
  const pending = dialer.dial(target, clientTls);
  await turns(3);
  await Promise.all([assert.rejects(pending, TransportClosedError), dialer.close()]);
  await assert.rejects(dialer.dial(target, clientTls), TransportClosedError);
  await silent.close();
});

test("a listener that closes ends accept, refuses handshakes in flight, and keeps accepted connections", async () => {
  await using it = await pair();
  const accepting = it.listener.accept();
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let asked = () => {};
  const inFlight = new Promise<void>((resolve) => (asked = resolve));
  await using other = new Transport({ address: "127.0.0.1" });
  const second = await other.listen({
    ...serverTls,
    SNICallback: async () => {
      asked();
      await held;
      return leaf;
    },
  });
  const dialing = it.dialer.dial(`127.0.0.1:${second.address().port}`, clientTls);
  const outcome = dialing.then(
    (conn) => conn.closed.then(({ error }) => error),
    (error: unknown) => error,
  );
  await inFlight;
  await second.close();
  release();
  assert.ok((await outcome) instanceof TransportError);
  await Promise.all([assert.rejects(accepting, ListenerClosedError), it.listener.close()]);
  const stream = await it.client.openUniStream();
  await stream.write(bytes("still here"));
  stream.close();
  assert.equal(await text(await it.server.acceptUniStream()), "still here");
});

test("one peer's slow handshake does not hold others up", async () => {
  let calls = 0;
  await using listener = await listenAddr("127.0.0.1:0", {
    ...serverTls,
    SNICallback: () => (calls++ === 0 ? new Promise(() => {}) : leaf),
  });
  await using dialer = new Transport({ address: "127.0.0.1" });
  const target = `127.0.0.1:${listener.address().port}`;
  const stuck = dialer.dial(target, clientTls, { handshakeTimeout: 400 });
  stuck.catch(() => {});
  await turns(5);
  await dialer.dial(target, clientTls);
  await listener.accept();
  await assert.rejects(stuck, { code: "ERR_QUIC_HANDSHAKE_TIMEOUT" });
});

test("close codes reach both sides, number and bigint; calls end with them; closed resolves", async () => {
  for (const code of [0, 42, (1n << 62n) - 1n]) {
    await using it = await pair();
    const waiting = it.server.acceptStream();
    const iterated = (async () => {
      for await (const _ of it.server.incomingUniStreams());
    })();
    it.client.closeWithError(code, "bye");
    const isIt = { code: "ERR_QUIC_APPLICATION", errorCodeBig: BigInt(code), reason: "bye", remote: true };
    await assert.rejects(waiting, isIt);
    if (code === 0) await iterated;
    else await assert.rejects(iterated, isIt);
    const info = await it.server.closed;
    assert.equal(info.remote, true);
    assert.equal((await it.client.closed).remote, false);
    assert.equal(it.server.context.reason, info.error);
    await assert.rejects(it.client.openStream(), { errorCodeBig: BigInt(code), remote: false });
  }
});

test("close() waits for what was written and closed", async () => {
  await using it = await pair();
  const out = await it.client.openUniStream();
  const writing = out.write(new Uint8Array(3_000_000));
  out.close();
  const closing = it.client.close();
  let n = 0;
  for await (const chunk of await it.server.acceptUniStream()) n += chunk.length;
  assert.equal(n, 3_000_000);
  await writing;
  await closing;
});

test("a peer that vanishes: idle timeout on every pending call", async () => {
  const it = await pair({ clientConfig: { maxIdleTimeout: 150 } });
  const stream = await it.client.openStream();
  await stream.write(bytes("x"));
  const read = stream.read(new Uint8Array(1));
  const accept = it.client.acceptStream();
  for (const each of [read, accept]) each.catch(() => {});
  // An event loop that is blocked for a while is no reason to give up.
  const end = Date.now() + 300;
  while (Date.now() < end);
  const ping = await it.server.acceptStream();
  assert.equal(await ping.read(new Uint8Array(1)), 1);
  await assert.rejects(read, { code: "ERR_QUIC_IDLE_TIMEOUT" });
  await assert.rejects(accept, { timeout: true });
  assert.equal((await it.client.closed).error.code, "ERR_QUIC_IDLE_TIMEOUT");
  await it[Symbol.asyncDispose]();
});

test("a transport that closes tells its peers", async () => {
  const it = await pair();
  await it.acceptor.close();
  const info = await it.client.closed;
  assert.equal(info.remote, true);
  assert.equal(info.error.errorCode, 0);
  await it[Symbol.asyncDispose]();
});

test("many connections in both roles on one socket, every family", async () => {
  for (const [address, host] of [
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "[::1]"],
    [undefined, "127.0.0.1"],
  ] as const) {
    await using transport = new Transport(address === undefined ? {} : { address });
    const listener = await transport.listen(serverTls);
    const target = `${host}:${listener.address().port}`;
    const dialed = await Promise.all(Array.from({ length: 10 }, () => transport.dial(target, clientTls)));
    for (const conn of dialed) {
      const stream = conn.tryOpenUniStream();
      stream.tryWrite(bytes("hi"));
      stream.close();
      assert.equal(await text(await (await listener.accept()).acceptUniStream()), "hi");
    }
  }
});

test("shortcuts: dialAddr and listenAddr take their sockets with them", async () => {
  const listener = await listenAddr("127.0.0.1:0", serverTls);
  const conn = await dialAddr(`127.0.0.1:${listener.address().port}`, clientTls);
  await conn.close();
  await listener.close();
  await listener.close();
});

test("an unref'd transport lets the process end", () => {
  const script = `import { Transport, selfSigned } from "./src/index.ts";
    const t = new Transport({ address: "127.0.0.1" }); t.unref();
    await t.listen({ ...selfSigned(), ALPNProtocols: ["x"] });`;
  const run = spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
    cwd: new URL("../..", import.meta.url).pathname,
    timeout: 6000,
    encoding: "utf8",
  });
  assert.equal(run.status, 0, run.stderr);
});
