// onClientHello over real sockets: what it sees, what it may change, how it refuses, and what becomes of hooks that fail.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import {
  type ClientHello,
  type ClientHelloAnswer,
  type Config,
  type Connection,
  InvalidOptionError,
  type Listener,
  memorySessionCache,
  refuse,
  type TlsOptions,
  Transport,
  TransportError,
} from "../../src/index.ts";
import { authority, certificate, clientTls, noUnhandledRejections, serverTls, turns, until } from "./pair.ts";

noUnhandledRejections();

const { key: _key, cert: _cert, ...bare } = serverTls;

/** A server with a hook; `dial` gives the client's connection. */
async function server(
  onClientHello: NonNullable<TlsOptions["onClientHello"]>,
  tls: TlsOptions = serverTls,
  config?: Config,
) {
  const acceptor = new Transport({ address: "127.0.0.1" });
  const dialer = new Transport({ address: "127.0.0.1" });
  const listener: Listener = await acceptor.listen({ ...tls, onClientHello }, config);
  const accepted: Connection[] = [];
  void (async () => {
    for await (const conn of listener) accepted.push(conn);
  })();
  return {
    listener,
    acceptor,
    dialer,
    accepted,
    dial: (client: TlsOptions = {}, clientConfig?: Config): Promise<Connection> =>
      dialer.dial(
        `127.0.0.1:${listener.address().port}`,
        { ...clientTls, sessionCache: null, ...client },
        clientConfig,
      ),
    async [Symbol.asyncDispose]() {
      await dialer.close();
      await acceptor.close();
    },
  };
}

const tenant = (name: string) => certificate({ issuedBy: authority, altNames: [name] });
const nameOf = (conn: Connection) => conn.connectionState().peerCertificates[0]!.subjectAltName;

test("it sees what is offered before anything is chosen, and chooses nothing", async () => {
  let seen: ClientHello | null = null;
  await using s = await server(async (hello) => {
    await turns(2);
    seen = hello;
  });
  const conn = await s.dial({
    servername: "localhost",
    ALPNProtocols: ["x", "test"],
    ciphers: ["aes-256-gcm", "aes-128-gcm"],
    groups: ["secp256r1", "x25519"],
    sigalgs: ["ed25519", "ecdsa_secp256r1_sha256"],
  });
  const hello = seen as ClientHello | null;
  assert.ok(hello !== null);
  assert.equal(hello.serverName, "localhost");
  assert.deepEqual(hello.alpn, ["x", "test"]);
  assert.deepEqual(hello.ciphers, ["aes-256-gcm", "aes-128-gcm"]);
  assert.deepEqual(hello.groups, ["secp256r1", "x25519"]);
  assert.deepEqual(hello.signatureSchemes, ["ed25519", "ecdsa_secp256r1_sha256"]);
  // rfc8446#B.4, #4.2.7, #4.2.3
  assert.deepEqual(hello.codePoints.ciphers, [0x1302, 0x1301]);
  assert.deepEqual(hello.codePoints.groups, [0x0017, 0x001d]);
  assert.deepEqual(hello.codePoints.signatureSchemes, [0x0807, 0x0403]);
  assert.deepEqual(hello.codePoints.versions, [0x0304]);
  assert.equal(hello.remote.ip, "127.0.0.1");
  assert.equal(hello.remote.port, s.dialer.address().port);
  assert.equal(hello.version, conn.connectionState().version);
  assert.equal(hello.addressValidated, false);
  assert.equal(hello.signal.aborted, false);
  await until(() => s.accepted.length === 1, "accepted");
  conn.closeWithError();
  await once(hello.signal, "abort");
});

test("no name, and a validated address", async () => {
  let seen: ClientHello | null = null;
  const acceptor = new Transport({ address: "127.0.0.1", verifySourceAddress: true });
  const listener = await acceptor.listen({ ...serverTls, onClientHello: (hello) => void (seen = hello) });
  await using dialer = new Transport({ address: "127.0.0.1" });
  await dialer.dial(`127.0.0.1:${listener.address().port}`, clientTls);
  assert.equal(seen!["serverName"], null);
  assert.equal(seen!["addressValidated"], true);
  await acceptor.close();
});

test("options for one client take the place of the listener's", async () => {
  const answers: { [name: string]: ClientHelloAnswer } = {
    "a.example": tenant("a.example"),
    "b.example": {
      identities: [tenant("other.example"), tenant("b.example")],
      ALPNProtocols: ["b"],
      ciphers: ["chacha20-poly1305"],
      groups: ["secp384r1"],
    },
    "c.example": { ...tenant("c.example"), requestCert: true, ca: authority.cert },
    "d.example": {
      ...tenant("d.example"),
      requestCert: true,
      verifyPeer: async () => new Error("never"),
      rejectUnauthorized: false,
    },
  };
  await using s = await server(({ serverName }) => answers[serverName!], bare);
  const ALPNProtocols = ["test", "b"];
  const a = await s.dial({ servername: "a.example", ALPNProtocols });
  assert.equal(nameOf(a), "DNS:a.example");
  assert.equal(a.connectionState().alpnProtocol, "test");
  const b = await s.dial({ servername: "b.example", ALPNProtocols });
  assert.equal(nameOf(b), "DNS:b.example");
  const state = b.connectionState();
  assert.equal(state.alpnProtocol, "b");
  assert.equal(state.cipher, "TLS_CHACHA20_POLY1305_SHA256");
  assert.equal(state.group, "secp384r1");
  const anonymous = await s.dial({ servername: "c.example" });
  assert.equal((await anonymous.closed).error instanceof TransportError, true);
  const mine = certificate({ issuedBy: authority, altNames: ["client.example"] });
  await s.dial({ servername: "c.example", key: mine.key, cert: mine.cert });
  await s.dial({ servername: "d.example", key: mine.key, cert: mine.cert });
  await until(() => s.accepted.length >= 4, "accepted");
  const [c, d] = s.accepted.slice(-2).map((conn) => conn.connectionState());
  assert.equal(c!.authorized, true);
  assert.equal(d!.authorized, false);
  assert.equal(d!.authorizationError!.reason, "VERIFY_PEER_REFUSED");
  // Without an identity of the listener's, and none in the answer.
  await assert.rejects(s.dial({ servername: "e.example" }), { alert: "unrecognized_name", remote: true });
});

test("an object that is returned again is not read again, and a changed one is", async () => {
  let reads = 0;
  const { key, cert } = tenant("a.example");
  const answer: { cert: string; key: string } = {
    cert,
    get key() {
      reads++;
      return key;
    },
  };
  await using s = await server(() => answer, bare);
  await s.dial({ servername: "a.example" });
  const once = reads;
  for (let i = 0; i < 3; i++) await s.dial({ servername: "a.example" });
  assert.ok(reads - once <= 6, "compared, not parsed");
  const other = tenant("b.example");
  Object.defineProperty(answer, "key", { value: other.key, enumerable: true });
  answer.cert = other.cert;
  assert.equal(nameOf(await s.dial({ servername: "b.example" })), "DNS:b.example");
});

test("it refuses by what it throws or returns: an alert, a number, CONNECTION_REFUSED", async () => {
  const refusals: [Parameters<typeof refuse>[0], { [field: string]: unknown }][] = [
    [undefined, { errorCode: 0x02, reason: "" }],
    [{ reason: "not today" }, { errorCode: 0x02, reason: "not today" }],
    [{ alert: "access_denied" }, { errorCode: 0x0131, alert: "access_denied" }],
    [
      { alert: "unrecognized_name", reason: "who?" },
      { alert: "unrecognized_name", reason: "who?" },
    ],
    [{ alert: 80 }, { errorCode: 0x0150, alert: "internal_error" }],
    [{ alert: 255 }, { errorCode: 0x01ff }],
  ];
  for (const [refusal, expected] of refusals) {
    await using throwing = await server(async () => {
      throw refuse(refusal);
    });
    await assert.rejects(throwing.dial(), { remote: true, ...expected });
    await using returning = await server(() => refuse(refusal));
    await assert.rejects(returning.dial(), { remote: true, ...expected });
    assert.equal(returning.accepted.length + throwing.accepted.length, 0);
  }
  await using sni = await server(() => {}, {
    ...serverTls,
    SNICallback: () => {
      throw refuse({ alert: "access_denied" });
    },
  });
  await assert.rejects(sni.dial(), { alert: "access_denied", remote: true });
  await using answered = await server(() => {}, { ...serverTls, SNICallback: async () => refuse() });
  await assert.rejects(answered.dial(), { errorCode: 0x02, remote: true });
  for (const bad of [
    { alert: "nonsense" as "access_denied" },
    { alert: 256 },
    { reason: 1 as unknown as string },
  ]) {
    assert.throws(() => refuse(bad), InvalidOptionError);
  }
});

test("hooks that are broken refuse with internal_error, tell the client nothing, and warn once", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning);
  process.on("warning", onWarning);
  const broken: (() => ClientHelloAnswer | Promise<ClientHelloAnswer>)[] = [
    () => {
      throw new Error("a secret");
    },
    () => Promise.reject(new Error("a secret")),
    () => Promise.reject(undefined),
    () => ({ key: "nonsense", cert: "nonsense" }),
    () => ({ ALPNProtocols: [] }),
    () => ({ sessionTimeout: 0 }) as ClientHelloAnswer,
    () => "nonsense" as unknown as ClientHelloAnswer,
  ];
  for (const hook of broken) {
    await using s = await server(hook);
    for (let i = 0; i < 2; i++) {
      await assert.rejects(s.dial(), { alert: "internal_error", remote: true, reason: "" });
    }
  }
  await until(() => warnings.length >= broken.length, "warnings");
  process.off("warning", onWarning);
  assert.equal(warnings.length, broken.length);
  assert.ok(warnings.every((warning) => (warning as NodeJS.ErrnoException).code === "QUIC_HOOK"));
});

test("one that never answers ends with the handshake timeout, and holds nobody else up", async () => {
  let signal: AbortSignal | null = null;
  let release = (_: ClientHelloAnswer) => {};
  let calls = 0;
  await using s = await server(
    (hello) => {
      if (calls++ > 0) return null;
      ({ signal } = hello);
      return new Promise<ClientHelloAnswer>((resolve) => (release = resolve));
    },
    serverTls,
    { handshakeTimeout: 300 },
  );
  const stuck = s.dial({}, { handshakeTimeout: 400 });
  stuck.catch(() => {});
  await until(() => calls === 1, "asked");
  const conn = await s.dial();
  await until(() => s.accepted.length === 1, "accepted");
  await assert.rejects(stuck, { code: "ERR_QUIC_HANDSHAKE_TIMEOUT" });
  await until(() => signal!.aborted, "aborted");
  assert.equal((signal!.reason as Error & { code: string }).code, "ERR_QUIC_HANDSHAKE_TIMEOUT");
  // Late: nothing changes, nothing breaks.
  release({ ALPNProtocols: ["other"] });
  await turns(5);
  assert.equal(s.accepted.length, 1);
  assert.equal(conn.connectionState().handshakeConfirmed, true);
});

test("an answer for a client that went away, or a listener that closed", async () => {
  const releases: (() => void)[] = [];
  await using s = await server(() => new Promise<void>((resolve) => releases.push(resolve)));
  const aborting = new AbortController();
  const { port } = s.listener.address();
  const gone = s.dialer.dial(`127.0.0.1:${port}`, clientTls, {}, { signal: aborting.signal });
  gone.catch(() => {});
  await until(() => releases.length === 1, "asked");
  aborting.abort(new Error("changed my mind"));
  await assert.rejects(gone, /changed my mind/);
  await turns(5);
  releases[0]!();
  const second = s.dial();
  second.catch(() => {});
  await until(() => releases.length === 2, "asked");
  await s.listener.close();
  releases[1]!();
  const outcome = await second.then(
    (conn) => conn.closed.then(({ error }) => error),
    (error: unknown) => error,
  );
  assert.ok(outcome instanceof TransportError && outcome.remote);
  assert.equal(s.accepted.length, 0);
});

test("clients that resume are asked about as well, and what is chosen holds for them", async () => {
  let asked = 0;
  let answer: ClientHelloAnswer = null;
  await using s = await server(() => {
    asked++;
    return answer;
  });
  const sessionCache = memorySessionCache();
  const resume = async () => {
    let tickets = 0;
    const conn = await s.dial({ sessionCache, onSessionTicket: () => void tickets++ });
    if (!conn.connectionState().didResume) await until(() => tickets > 0, "a ticket");
    return conn.connectionState().didResume;
  };
  assert.equal(await resume(), false);
  assert.equal(await resume(), true);
  assert.equal(asked, 2);
  answer = refuse({ alert: "access_denied" });
  await assert.rejects(resume(), { alert: "access_denied" });
});

test("many at a time, answered in another order", async () => {
  const held: (() => void)[] = [];
  await using s = await server(async () => {
    await new Promise<void>((resolve) => held.push(resolve));
  });
  const dials = Array.from({ length: 12 }, () => s.dial());
  await until(() => held.length === 12, "all asked");
  for (const release of held.reverse()) release();
  for (const conn of await Promise.all(dials)) assert.equal(conn.connectionState().handshakeComplete, true);
});

test("a hook that is no function, or a client's, is refused", async () => {
  await using transport = new Transport({ address: "127.0.0.1" });
  const onClientHello = "yes" as unknown as () => void;
  await assert.rejects(transport.listen({ ...serverTls, onClientHello }), InvalidOptionError);
});
