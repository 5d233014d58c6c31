// Sessions over real sockets: tickets, caches, keys shared and replaced, external PSKs.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  type Config,
  type Connection,
  InvalidOptionError,
  type Listener,
  memorySessionCache,
  type SessionCache,
  type TlsOptions,
  Transport,
} from "../../src/index.ts";
import { authority, certificate, clientTls, noUnhandledRejections, serverTls, until } from "./pair.ts";

noUnhandledRejections();

/** A server, and a way to dial it that waits until the tickets have come. */
async function server(tls: TlsOptions = {}, config?: Config) {
  const acceptor = new Transport({ address: "127.0.0.1" });
  const dialer = new Transport({ address: "127.0.0.1" });
  const listener: Listener = await acceptor.listen({ ...serverTls, ...tls }, config);
  const accepted: Connection[] = [];
  void (async () => {
    for await (const conn of listener) accepted.push(conn);
  })();
  return {
    listener,
    accepted,
    /** The client's connection and the server's, both with the handshake behind them. */
    async dial(client: TlsOptions = {}) {
      let tickets = 0;
      const { onSessionTicket } = client;
      const before = accepted.length;
      const conn = await dialer.dial(`127.0.0.1:${listener.address().port}`, {
        ...clientTls,
        ...client,
        onSessionTicket: (session) => {
          tickets++;
          onSessionTicket?.(session);
        },
      });
      await until(() => accepted.length > before, "accepted");
      if (tls.sessionTimeout !== 0) await until(() => tickets > 0, "a ticket");
      return [conn, accepted.at(-1)!] as const;
    },
    async [Symbol.asyncDispose]() {
      await dialer.close();
      await acceptor.close();
    },
  };
}

const resumed = ([a, b]: readonly [Connection, Connection]): boolean => {
  assert.equal(a.connectionState().didResume, b.connectionState().didResume);
  return a.connectionState().didResume;
};

test("the second connection resumes, by the process's own cache", async () => {
  await using s = await server({ sessionData: Buffer.from("settings") });
  const first = await s.dial();
  assert.equal(resumed(first), false);
  assert.equal(first[0].connectionState().sessionData, null);
  first[0].setSessionData(Buffer.from("remembered"));
  for (let i = 0; i < 3; i++) {
    const [client, accepted] = await s.dial();
    assert.ok(resumed([client, accepted]));
    const state = client.connectionState();
    assert.ok(state.authorized);
    assert.equal(
      state.peerCertificates[0]!.subjectAltName,
      "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
    );
    assert.equal(Buffer.from(accepted.connectionState().sessionData!).toString(), "settings");
    // The first connection's sessions were in the cache when it said what to remember with them.
    if (i < 1) assert.equal(Buffer.from(state.sessionData!).toString(), "remembered");
  }
});

test("what does not resume: other names, protocols, certificates, verifiers, no cache, no tickets", async () => {
  await using s = await server({
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ["test", "other"],
  });
  const sessionCache = memorySessionCache();
  const me = certificate({ subject: "CN=me", issuedBy: authority });
  await s.dial({ sessionCache });
  assert.ok(resumed(await s.dial({ sessionCache })));
  const others: TlsOptions[] = [
    { servername: "localhost" },
    { ALPNProtocols: ["other"] },
    { cert: me.cert, key: me.key },
    { verifyPeer: () => {} },
    { psk: { identity: "nobody's", key: randomBytes(32) } },
    { sessionCache: null },
  ];
  for (const other of others) {
    assert.equal(
      resumed(await s.dial({ sessionCache, ...other })),
      false,
      JSON.stringify(Object.keys(other)),
    );
  }
  // Each has its own from now on.
  const same = (options: TlsOptions) => s.dial({ sessionCache, ...options });
  const [, again] = await same(others[2]!);
  assert.ok(again.connectionState().didResume);
  assert.equal(again.connectionState().peerCertificates[0]!.subject, "CN=me");
  let asked = 0;
  const verifyPeer = () => void asked++;
  await same({ verifyPeer });
  assert.ok(resumed(await same({ verifyPeer })));
  assert.equal(asked, 2, "a verifier is asked about the remembered chain as well");
  assert.equal(resumed(await same({ sessionCache: null })), false);
  await using without = await server({ sessionTimeout: 0 });
  await without.dial({ sessionCache });
  assert.equal(resumed(await without.dial({ sessionCache })), false);
  assert.throws(() => without.listener.setTicketKeys(randomBytes(32)), InvalidOptionError);
});

test("trust that has changed is not resumed", async () => {
  await using s = await server();
  const sessionCache = memorySessionCache();
  const stranger = certificate({ ca: true, altNames: [], subject: "CN=stranger" });
  const [conn] = await s.dial({ sessionCache, ca: stranger.cert, rejectUnauthorized: false });
  assert.equal(conn.connectionState().authorized, false);
  // Nothing of that is good for a client that rejects.
  await assert.rejects(s.dial({ sessionCache, ca: stranger.cert }), { code: "ERR_QUIC_TRANSPORT" });
  const [good] = await s.dial({ sessionCache });
  assert.ok(good.connectionState().authorized);
});

test("sessions as bytes, tickets as keys: another process, another server", async () => {
  const ticketKeys = [randomBytes(48), randomBytes(32)];
  const sessions: Uint8Array[] = [];
  const take = { sessionCache: null, onSessionTicket: (bytes: Uint8Array) => void sessions.push(bytes) };
  let port = 0;
  {
    await using s = await server({ ticketKeys });
    await s.dial(take);
    port = s.listener.address().port;
  }
  assert.equal(sessions.length, 2);
  const sessionTicket = sessions[0]!;
  await using s = await server({ ticketKeys: ticketKeys[0]! });
  assert.notEqual(s.listener.address().port, port);
  assert.ok(resumed(await s.dial({ ...take, sessionTicket })));
  s.listener.setTicketKeys([ticketKeys[1]!, ticketKeys[0]!]);
  assert.ok(resumed(await s.dial({ ...take, sessionTicket: sessions[1]! })));
  s.listener.setTicketKeys(ticketKeys[1]!);
  assert.equal(resumed(await s.dial({ ...take, sessionTicket })), false);
  // What is no session, is none.
  assert.equal(resumed(await s.dial({ ...take, sessionTicket: randomBytes(200) })), false);
  await using other = await server({ ticketKeys: ticketKeys[1]!, sessionIdContext: "another" });
  assert.equal(resumed(await other.dial({ ...take, sessionTicket: sessions.at(-1)! })), false);
});

test("a cache of one's own, asynchronous, and one that fails", async () => {
  await using s = await server();
  const map = new Map<string, Uint8Array>();
  const sessionCache: SessionCache = {
    get: async (key) => map.get(key),
    set: async (key, session) => void map.set(key, session),
  };
  await s.dial({ sessionCache });
  const port = s.listener.address().port;
  assert.deepEqual([...map.keys()], [`127.0.0.1:${port}/test`]);
  assert.ok(resumed(await s.dial({ sessionCache })));
  const broken: SessionCache = {
    get: () => Promise.reject(new Error("no")),
    set: () => {
      throw new Error("no");
    },
  };
  assert.equal(resumed(await s.dial({ sessionCache: broken })), false);
  assert.equal(resumed(await s.dial({ sessionCache: broken })), false);
  const throws = () => {
    throw new Error("the application's");
  };
  assert.equal(resumed(await s.dial({ sessionCache: broken, onSessionTicket: throws })), false);
});

test("the memory cache gives each session once, the newest first, and forgets", () => {
  const cache = memorySessionCache({ servers: 2, perServer: 2 });
  const none = Buffer.from("not a session");
  void cache.set("a", none);
  assert.equal(cache.get("a"), null);
  for (const bad of [0, 1.5, -1])
    assert.throws(() => memorySessionCache({ servers: bad }), InvalidOptionError);
});

test("external PSKs: no certificate on either side", async () => {
  const key = randomBytes(32);
  const acceptor = new Transport({ address: "127.0.0.1" });
  const listener = await acceptor.listen({
    ALPNProtocols: ["test"],
    pskCallback: async (identity) => (Buffer.from(identity).toString() === "sensor" ? { key } : null),
  });
  const dialer = new Transport({ address: "127.0.0.1" });
  const to = `127.0.0.1:${listener.address().port}`;
  const tls: TlsOptions = { ALPNProtocols: ["test"], sessionCache: memorySessionCache() };
  try {
    const [client, accepted] = await Promise.all([
      dialer.dial(to, { ...tls, psk: { identity: "sensor", key } }),
      listener.accept(),
    ]);
    assert.deepEqual(client.connectionState().peerCertificates, []);
    assert.equal(resumed([client, accepted]), false);
    await assert.rejects(
      dialer.dial(to, { ...tls, psk: { identity: "sensor", key: randomBytes(32) } }),
      /binder|decrypt_error/,
    );
    await assert.rejects(
      dialer.dial(to, { ...tls, psk: { identity: "else", key } }),
      /unrecognized_name|certificate|handshake_failure/,
    );
  } finally {
    await dialer.close();
    await acceptor.close();
  }
});

test("options that cannot be", async () => {
  const transport = new Transport();
  const key = randomBytes(32);
  const bad: [string, Partial<{ [name: string]: unknown }>][] = [
    ["sessionCache", { sessionCache: {} }],
    ["sessionTicket", { sessionTicket: "text" }],
    ["onSessionTicket", { onSessionTicket: 1 }],
    ["psk", { psk: { identity: "", key } }],
    ["psk", { psk: { identity: "a", key: randomBytes(8) } }],
    ["pskModes", { pskModes: ["psk_ke"] }],
    ["pskModes", { pskModes: "psk_ke" }],
    ["sessionTimeout", { sessionTimeout: 604_801 }],
    ["sessionTimeout", { sessionTimeout: 1.5 }],
    ["sessionIdContext", { sessionIdContext: 7 }],
    ["sessionData", { sessionData: randomBytes(4097) }],
    ["pskCallback", { pskCallback: 1 }],
    ["session", { session: key }],
  ];
  for (const [option, options] of bad) {
    for (const call of [
      transport.dial("127.0.0.1:9", { ...clientTls, ...options } as TlsOptions),
      transport.listen({ ...serverTls, ...options } as TlsOptions),
    ]) {
      await assert.rejects(call, (error: InvalidOptionError) => error.option === option, option);
    }
  }
  for (const ticketKeys of [[], [randomBytes(31)], randomBytes(16), "key"]) {
    await assert.rejects(
      transport.listen({ ...serverTls, ticketKeys: ticketKeys as Uint8Array }),
      (error: InvalidOptionError) => error.option === "ticketKeys",
    );
  }
  await transport.close();
});
