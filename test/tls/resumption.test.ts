// Tickets and pre-shared keys between our two machines: what resumes, what falls back, and what is an attack.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SUITES } from "../../internal/crypto/suites.ts";
import { APPLICATION } from "../../internal/protocol/constants.ts";
import { MAX_TICKETS_TAKEN, TICKET_LIFETIME } from "../../internal/protocol/limits.ts";
import { Decoder, encode } from "../../internal/tls/codec.ts";
import { EXTENSION } from "../../internal/tls/extensions.ts";
import { encodeNewSessionTicket, HANDSHAKE_TYPE } from "../../internal/tls/messages.ts";
import { obfuscateAge, readOfferedPsks, revealAge } from "../../internal/tls/psk.ts";
import { decodeSession, encodeSession, type TlsSession } from "../../internal/tls/session.ts";
import { TicketKeys } from "../../internal/tls/tickets.ts";
import type { EarlyDataOptions, TicketOptions } from "../../internal/tls/types.ts";
import {
  assertConnected,
  changeHello,
  connect,
  edit,
  failureOf,
  handshake,
  identity,
  NOBLE,
  NODE,
  NOW,
  pair,
  pump,
  readBlock,
  readHello,
  seeded,
  setExtension,
  writeBlock,
  type Pair,
  type PairOptions,
} from "./harness.ts";

const empty = new Uint8Array(0);
const { client_hello, server_hello, encrypted_extensions } = HANDSHAKE_TYPE;

export function tickets(changes: Partial<TicketOptions> = {}): TicketOptions {
  return {
    keys: new TicketKeys(NODE, seeded(5), null),
    lifetime: TICKET_LIFETIME,
    count: 2,
    context: empty,
    quicVersion: () => 1,
    applicationData: Buffer.from("app"),
    ...changes,
  };
}

const early = (changes: Partial<EarlyDataOptions> = {}): EarlyDataOptions => ({
  remember: () => Buffer.from("limits"),
  accepts: (remembered) => Buffer.from(remembered).toString() === "limits",
  replay: () => true,
  ...changes,
});

/** A full handshake with a server of these options; its tickets. */
function sessions(server: PairOptions["server"], client: PairOptions["client"] = {}): TlsSession[] {
  const p = connect({ server: server!, client });
  assertConnected(p);
  assert.equal(p.client.resumed, false);
  return p.c.tickets;
}

/** Dials again with `session` some seconds later. */
function resume(session: TlsSession, options: PairOptions & { after?: number } = {}): Pair {
  const p = pair({ seed: 9, ...options, client: { session, ...options.client } });
  const now = NOW + (options.after ?? 5000);
  p.client.start(now);
  for (;;) {
    const fromClient = p.c.sent.shift();
    const sent = fromClient ?? p.s.sent.shift();
    if (sent === undefined) return p;
    (fromClient === undefined ? p.client : p.server).receive(sent.level, sent.bytes, now);
  }
}

for (const suite of SUITES) {
  test(`a session of ${suite.name} goes on without certificates`, () => {
    const server = { tickets: tickets(), suites: [suite] };
    const [first, second] = sessions(server);
    assert.ok(first && second && first.ticket.join() !== second.ticket.join());
    assert.notDeepEqual(first.secret, second.secret);
    assert.notEqual(first.ageAdd, second.ageAdd);
    const p = resume(first, { server });
    assertConnected(p);
    assert.ok(p.client.resumed && p.server.resumed);
    assert.equal(Buffer.from(p.server.applicationData!).toString(), "app");
    assert.deepEqual(p.client.peerChain, identity().chain, "the chain is remembered");
    // One ticket for the one that was used, and it resumes as well.
    assert.equal(p.c.tickets.length, 1);
    assertConnected(resume(p.c.tickets[0]!, { server }));
  });
}

test("with the portable provider, and through a retry: the binder covers the whole transcript", () => {
  const server = { tickets: tickets({ keys: new TicketKeys(NOBLE, seeded(5), null) }) };
  const [session] = sessions(server);
  const p = resume(session!, { server: { ...server, groups: ["secp256r1"] }, provider: NOBLE });
  assertConnected(p);
  assert.ok(p.client.resumed && p.server.resumed);
  assert.equal(p.client.group, "secp256r1");
});

test("several keys: each ticket is opened by the one that sealed it, until that is gone", () => {
  const random = seeded(1);
  const [a, b] = [0, 1].map(() => {
    const key = new Uint8Array(48);
    random(key);
    return key;
  }) as [Uint8Array, Uint8Array];
  const keys = new TicketKeys(NODE, random, [a]);
  const server = { tickets: tickets({ keys }) };
  const [session] = sessions(server);
  keys.replace([b, a]);
  assert.ok(resume(session!, { server }).client.resumed);
  const [newer] = sessions(server);
  keys.replace([b]);
  const p = resume(session!, { server });
  assertConnected(p);
  assert.equal(p.client.resumed, false);
  assert.ok(resume(newer!, { server }).client.resumed);
  // Another server with the same key.
  const other = { tickets: tickets({ keys: new TicketKeys(NODE, seeded(77), [b]) }) };
  assert.ok(resume(newer!, { server: other }).client.resumed);
  for (const bad of [[], [new Uint8Array(31)], Array.from({ length: 16 }, () => a)]) {
    assert.throws(() => keys.replace(bad), { code: "ERR_QUIC_INVALID_OPTION" });
  }
});

test("own keys are replaced in time and go on opening what they sealed", () => {
  const keys = new TicketKeys(NODE, seeded(5), null);
  const state = {
    quicVersion: 1,
    suite: 0x1301,
    alpn: "h3",
    serverName: null,
    secret: new Uint8Array(32).fill(3),
    ageAdd: 0xfffffffe,
    created: NOW,
    lifetime: 10,
    remembered: null,
    applicationData: empty,
    chain: [],
  };
  const first = keys.seal(state, empty, NOW)!;
  const again = keys.seal(state, empty, NOW + 3_600_000)!;
  const later = keys.seal(state, empty, NOW + 13 * 3_600_000)!;
  const name = (ticket: Uint8Array) => Buffer.from(ticket.subarray(0, 8)).toString("hex");
  assert.equal(name(first), name(again));
  assert.notEqual(name(first), name(later));
  assert.deepEqual(keys.open(first, empty), state);
  assert.deepEqual(keys.open(later, empty), state);
  assert.equal(keys.open(later, Uint8Array.of(1)), null, "another context");
  for (let day = 1; day < 9; day++) {
    keys.seal(state, empty, NOW + day * 86_400_000);
    keys.seal(state, empty, NOW + (day + 0.5) * 86_400_000);
  }
  assert.equal(keys.open(first, empty), null, "a key does not live for ever");
  // Every bit is under the seal.
  for (let i = 0; i < later.length; i++) {
    const wrong = later.slice();
    wrong[i]! ^= 1;
    assert.equal(keys.open(wrong, empty), null, `byte ${i}`);
  }
  for (let end = 0; end < later.length; end++) assert.equal(keys.open(later.subarray(0, end), empty), null);
  assert.equal(keys.seal({ ...state, applicationData: new Uint8Array(9000) }, empty, NOW), null, "too large");
});

test("what makes a server not resume, and go on with a full handshake", () => {
  const server = { tickets: tickets(), alpn: ["h3", "other"] };
  const [session] = sessions(server);
  const cases: [what: string, options: PairOptions & { after?: number }, resumed?: boolean][] = [
    ["nothing", { server }, true],
    ["rfc9846 another protocol is no obstacle", { server, client: { alpn: ["other"] } }, true],
    ["no tickets", { server: { tickets: null } }],
    ["another context", { server: { tickets: { ...server.tickets, context: Uint8Array.of(1) } } }],
    // rfc9369#5
    ["another QUIC version", { server: { tickets: { ...server.tickets, quicVersion: () => 2 } } }],
    ["another hash", { server: { ...server, suites: [SUITES[1]!] } }],
    [
      "a certificate is demanded",
      { server: { ...server, clientAuth: "require" }, client: { identity: identity() } },
    ],
    ["expired", { server, after: 1000 * TICKET_LIFETIME + 1 }],
    ["a clock that went back", { server, after: -11_000 }],
  ];
  for (const [what, options, resumed] of cases) {
    const p = resume(session!, options);
    assertConnected(p);
    assert.equal(p.client.resumed, resumed === true, what);
    assert.equal(p.server.resumed, resumed === true, what);
  }
  // rfc6066#3 another name: the client would not, and the server does not.
  const p = resume(
    { ...session!, serverName: "example.com" },
    { server, client: { serverName: "example.com" } },
  );
  assertConnected(p);
  assert.equal(p.client.resumed, false);
});

test("a ticket that was tampered with, or is none, is ignored", () => {
  const server = { tickets: tickets() };
  const [session] = sessions(server);
  for (const at of [0, 8, 30, session!.ticket.length - 1]) {
    const ticket = session!.ticket.slice();
    ticket[at]! ^= 0x80;
    const p = resume({ ...session!, ticket }, { server });
    assertConnected(p);
    assert.equal(p.client.resumed, false);
  }
  const p = resume({ ...session!, ticket: Uint8Array.of(1) }, { server });
  assert.equal(p.server.resumed, false);
});

test("what makes a client not offer a session", () => {
  const server = { tickets: tickets() };
  const [session] = sessions(server);
  const offers = (s: TlsSession, client: PairOptions["client"] = {}, after = 1000) => {
    const p = pair({ client: { session: s, ...client } });
    p.client.start(NOW + after);
    return readHello(p.c.sent[0]!.bytes).extensions.some(([type]) => type === EXTENSION.pre_shared_key);
  };
  assert.equal(offers(session!), true);
  // rfc8446#4.2.11.1 Clients MUST NOT attempt to use tickets which have ages greater than the "ticket_lifetime" value.
  assert.equal(offers(session!, {}, 1000 * TICKET_LIFETIME + 1), false);
  // rfc8446#4.6.1 Clients MUST NOT cache tickets for longer than 7 days, regardless of the ticket_lifetime.
  assert.equal(offers({ ...session!, lifetime: 1e6 }, {}, 604_800_001), false);
  assert.equal(offers(session!, {}, -1), false, "before it came");
  assert.equal(offers(session!, { serverName: "example.com" }), false);
  assert.equal(offers(session!, { suites: [SUITES[1]!] }), false, "another hash");
  assert.equal(offers({ ...session!, suite: 0x1399 }), false);
  assert.equal(offers({ ...session!, secret: empty }), false);
  assert.equal(offers({ ...session!, chain: [] }), false, "nobody was authenticated");
  const refused = () => ({ ok: false, alert: "unknown_ca", reason: "", certificateReason: "" }) as const;
  assert.equal(offers(session!, { verify: refused }), false, "trust has changed");
});

test("rfc8446#4.2.11 a binder that does not verify: decrypt_error; a wrong secret makes one", () => {
  const server = { tickets: tickets() };
  const [session] = sessions(server);
  assert.equal(
    failureOf(() => resume({ ...session!, secret: new Uint8Array(32) }, { server })),
    "decrypt_error",
  );
  const tamper = (change: (bytes: Uint8Array) => void, options: PairOptions = {}) =>
    failureOf(() => {
      const p = pair({ server, ...options, client: { session: session!, ...options.client } });
      p.client.start(NOW + 1000);
      pump(
        p,
        edit("client", client_hello, (bytes) => (change(bytes), bytes)),
      );
    });
  assert.equal(
    tamper((bytes) => (bytes[bytes.length - 1]! ^= 1)),
    "decrypt_error",
  );
  // The binder covers all that is before it: here the client's random.
  assert.equal(
    tamper((bytes) => (bytes[10]! ^= 1)),
    "decrypt_error",
  );
});

test("rfc8446#4.2.11 what a client must refuse of a server that takes a PSK", () => {
  const server = { tickets: tickets(), alpn: ["h3", "other"], earlyData: early() };
  const [session] = sessions(server);
  const refuse = (type: number, change: (bytes: Uint8Array) => Uint8Array, options: PairOptions = {}) =>
    failureOf(() => {
      const p = pair({
        server,
        ...options,
        client: { session: session!, earlyData: true, ...options.client },
      });
      p.client.start(NOW + 1000);
      pump(p, edit("server", type, change));
    });
  const select = (index: number) => (bytes: Uint8Array) =>
    changeHello(bytes, (h) => setExtension(h.extensions, EXTENSION.pre_shared_key, Uint8Array.of(0, index)));
  assert.equal(refuse(server_hello, select(1)), "illegal_parameter");
  // … that the server selected a cipher suite indicating a Hash associated with the PSK
  assert.equal(
    refuse(server_hello, (bytes) => changeHello(bytes, (h) => (h.suites = [0x1302]))),
    "illegal_parameter",
  );
  // … and that a server "key_share" extension is present
  const bare = (bytes: Uint8Array) =>
    changeHello(bytes, (h) => setExtension(h.extensions, EXTENSION.key_share, null));
  assert.equal(refuse(server_hello, bare), "illegal_parameter");
  assert.equal(
    refuse(server_hello, bare, {
      client: { pskModes: ["psk_dhe_ke", "psk_ke"], psk: { identity: X, key: X, hash: "sha256" } },
    }),
    "illegal_parameter",
    "not for a ticket",
  );
  // A suite of the same hash is fine for the PSK, but not for the 0-RTT that was offered with it.
  const extensions = (change: (block: [number, Uint8Array][]) => void) => (bytes: Uint8Array) => {
    const block = readBlock(new Decoder(bytes.subarray(4), "test"));
    change(block);
    return handshake(encrypted_extensions, writeBlock(block));
  };
  // early_data where the session was not taken, and where another protocol was chosen
  const takes = extensions((block) => setExtension(block, EXTENSION.early_data, empty));
  assert.equal(
    refuse(encrypted_extensions, takes, { server: { tickets: null } }),
    "illegal_parameter",
    "no PSK taken",
  );
  assert.equal(
    refuse(encrypted_extensions, takes, {
      server: { ...server, alpn: ["other"] },
      client: { alpn: ["h3", "other"] },
    }),
    "illegal_parameter",
    "another protocol",
  );
  assert.equal(
    refuse(encrypted_extensions, takes, { server: { ...server, suites: [SUITES[2]!] } }),
    "illegal_parameter",
    "another suite",
  );
  // early_data that was not offered
  assert.equal(
    refuse(encrypted_extensions, takes, { client: { session: session!, earlyData: false } }),
    "unsupported_extension",
  );
  assert.equal(
    refuse(encrypted_extensions, takes, { server: { ...server, groups: ["secp256r1"] } }),
    "unsupported_extension",
    "after a retry it is not on offer any more",
  );
  assert.equal(
    refuse(
      encrypted_extensions,
      extensions((block) => setExtension(block, EXTENSION.early_data, X)),
    ),
    "decode_error",
  );
  // rfc8446#4.3.2 no CertificateRequest with a PSK, and no Certificate.
  for (const type of [HANDSHAKE_TYPE.certificate_request, HANDSHAKE_TYPE.certificate]) {
    assert.equal(
      failureOf(() => {
        const p = pair({ server, client: { session: session! } });
        p.client.start(NOW + 1000);
        pump(
          p,
          edit("server", encrypted_extensions, (bytes) => [
            { level: 1, bytes },
            { level: 1, bytes: handshake(type, empty) },
          ]),
        );
      }),
      "unexpected_message",
    );
  }
});

const X = new Uint8Array(32).fill(9);

test("client certificates: the chain goes into the ticket and is verified again", () => {
  const client = { identity: identity("ed25519") };
  let trusted = true;
  const verified: unknown[] = [];
  const server = {
    tickets: tickets(),
    clientAuth: "require" as const,
    verify: (chain: readonly Uint8Array[]) => {
      verified.push(chain);
      return trusted
        ? ({ ok: true, authorizationError: "SOME_REASON" } as const)
        : ({
            ok: false,
            alert: "certificate_revoked",
            reason: "gone",
            certificateReason: "CERT_REVOKED",
          } as const);
    },
  };
  const [session] = sessions(server, client);
  const p = resume(session!, { server, client });
  assertConnected(p);
  assert.ok(p.server.resumed);
  assert.deepEqual(p.server.peerChain, identity("ed25519").chain);
  assert.equal(p.server.peerVerifyError, "SOME_REASON");
  assert.equal(verified.length, 2);
  trusted = false;
  // Not resumed; the full handshake says what is wrong.
  assert.equal(
    failureOf(() => resume(session!, { server, client })),
    "certificate_revoked",
  );
  // Where no certificate is asked for any more, the ticket is not taken either.
  assert.equal(resume(session!, { server: { tickets: server.tickets } }).server.resumed, false);
  // A verifier that takes its time.
  const q = resume(session!, { server: { ...server, verify: "pending" }, client });
  const request = q.s.requests[0]!;
  assert.equal(request.kind, "verify");
  q.server.provide(request.id, { ok: true }, NOW + 5000);
  pump(q);
  assertConnected(q);
  assert.ok(q.server.resumed);
});

test("a client's verifier that takes its time is asked about the remembered chain", () => {
  const server = { tickets: tickets() };
  const [session] = sessions(server);
  for (const ok of [true, false]) {
    const p = resume(session!, { server, client: { verify: "pending" } });
    const request = p.c.requests[0]!;
    assert.ok(request.kind === "verify" && request.serverName === "example.org");
    assert.deepEqual(request.chain, identity().chain);
    const answer = ok
      ? ({ ok: true } as const)
      : ({ ok: false, alert: "bad_certificate", reason: "no", certificateReason: "X" } as const);
    const result = failureOf(() => {
      p.client.provide(request.id, answer, NOW + 5000);
      pump(p);
    });
    assert.equal(result, ok ? "none" : "bad_certificate");
    assert.equal(p.client.complete, ok);
  }
});

test("external PSKs: by look-up, late look-up, by either hash, with and without key agreement", () => {
  for (const hash of ["sha256", "sha384"] as const) {
    const psk = { identity: Buffer.from("device 7"), key: X, hash };
    const find = (name: Uint8Array) =>
      Buffer.from(name).toString() === "device 7" ? { key: X, hash } : null;
    for (const pskModes of [["psk_dhe_ke"], ["psk_ke"], ["psk_dhe_ke", "psk_ke"]] as const) {
      const p = connect({ client: { psk, pskModes }, server: { psk: find, pskModes } });
      assertConnected(p);
      assert.equal(p.client.suite!.hash, hash, "rfc8446#4.2.11 the PSK influences the suite");
      assert.deepEqual([p.client.peerChain, p.client.resumed, p.server.resumed], [[], false, false]);
      assert.equal(p.client.group, pskModes.includes("psk_dhe_ke" as never) ? "x25519" : null);
      assert.equal(p.server.group, p.client.group);
      assert.deepEqual(X, new Uint8Array(32).fill(9), "the application's key stays");
    }
    const p = pair({ client: { psk }, server: { psk: "pending", groups: ["secp256r1"] } });
    p.client.start(NOW);
    pump(p);
    for (let i = 0; i < 2; i++) {
      const request = p.s.requests.shift()!;
      assert.ok(request.kind === "psk" && Buffer.from(request.identity).toString() === "device 7");
      p.server.provide(request.id, { key: X, hash }, NOW);
      pump(p);
    }
    assertConnected(p);
    assert.deepEqual(p.client.peerChain, []);
  }
  // Unknown: certificates.
  const psk = { identity: Buffer.from("device 8"), key: X, hash: "sha256" } as const;
  const p = connect({ client: { psk }, server: { psk: () => null } });
  assertConnected(p);
  assert.equal(p.client.peerChain.length, 1);
  // Known by another key: the binder is wrong.
  assert.equal(
    failureOf(() =>
      connect({ client: { psk }, server: { psk: () => ({ key: new Uint8Array(32), hash: "sha256" }) } }),
    ),
    "decrypt_error",
  );
  assert.equal(
    failureOf(() =>
      connect({ client: { psk }, server: { psk: () => ({ key: new Uint8Array(3), hash: "sha256" }) } }),
    ),
    "internal_error",
  );
});

test("a session behind an external PSK is of use beside it alone", () => {
  const psk = { identity: Buffer.from("device 7"), key: X, hash: "sha256" } as const;
  const server = { tickets: tickets(), psk: () => ({ key: X, hash: "sha256" }) as const };
  const [session] = sessions(server, { psk });
  assert.equal(session!.chain.length, 0);
  assert.equal(resume(session!, { server }).client.resumed, false);
  const p = resume(session!, { server, client: { psk } });
  assertConnected(p);
  assert.ok(p.client.resumed);
});

test("options that cannot be", () => {
  const bad = { code: "ERR_QUIC_INVALID_OPTION" };
  const psk = { identity: Buffer.from("a"), key: X, hash: "sha256" } as const;
  // Without forward secrecy only what was agreed elsewhere.
  assert.throws(() => pair({ client: { pskModes: ["psk_ke"] } }), bad);
  assert.throws(() => pair({ server: { pskModes: ["psk_ke"] } }), bad);
  assert.throws(() => pair({ client: { psk, pskModes: [] } }), bad);
  assert.throws(() => pair({ client: { psk: { ...psk, key: new Uint8Array(15) } } }), bad);
  assert.throws(() => pair({ client: { psk: { ...psk, identity: empty } } }), bad);
  assert.throws(() => pair({ client: { psk: { ...psk, hash: "sha512" as "sha256" } } }), bad);
});

test("a client that takes no tickets gets none, and too many are not taken", () => {
  const server = { tickets: tickets({ count: 20 }) };
  const p = connect({ server, client: { tickets: false } });
  assertConnected(p);
  assert.equal(p.c.tickets.length, 0);
  assert.equal(sessions(server).length, MAX_TICKETS_TAKEN);
  // rfc8446#4.6.1 a lifetime of zero indicates that the ticket should be discarded immediately.
  const q = connect();
  const ticket = { ageAdd: 1, nonce: X, ticket: X, earlyData: false };
  q.client.receive(APPLICATION, encodeNewSessionTicket({ ...ticket, lifetime: 0 }), NOW);
  assert.equal(q.c.tickets.length, 0);
  q.client.receive(APPLICATION, encodeNewSessionTicket({ ...ticket, lifetime: 0xffffffff }), NOW);
  assert.equal(q.c.tickets[0]!.lifetime, 604_800);
  assert.equal(q.c.tickets[0]!.earlyData, false);
  q.client.dispose();
  q.client.receive(APPLICATION, encodeNewSessionTicket({ ...ticket, lifetime: 1 }), NOW);
  assert.equal(q.c.tickets.length, 1);
});

test("rfc8446#4.2.11.1 ages are obfuscated modulo 2^32, and come back", () => {
  for (const [age, add] of [
    [0, 0],
    [1234.7, 0xffffffff],
    [604_800_000, 0xfffffff0],
    [5, 2 ** 31],
  ] as const) {
    const obfuscated = obfuscateAge(age, add);
    assert.ok(obfuscated >= 0 && obfuscated < 2 ** 32);
    assert.equal(revealAge(obfuscated, add), Math.floor(age));
  }
  const server = { tickets: tickets() };
  const [session] = sessions(server);
  const p = pair({ client: { session: session! } });
  p.client.start(NOW + 4321);
  const [type, data] = readHello(p.c.sent[0]!.bytes).extensions.at(-1)!;
  assert.equal(type, EXTENSION.pre_shared_key, "rfc8446#4.2.11 it MUST be the last extension");
  const offered = readOfferedPsks(new Decoder(data, "test"));
  assert.equal(revealAge(offered.identities[0]!.obfuscatedAge, session!.ageAdd), 4321);
});

test("sessions as bytes: there and back, and nothing else passes for one", () => {
  const [session] = sessions({ tickets: tickets() });
  const whole = {
    ...session!,
    quicVersion: 1,
    transportParameters: Buffer.from("tp"),
    applicationData: Buffer.from("ad"),
  };
  const bytes = encodeSession(whole);
  const back = decodeSession(bytes)!;
  assert.deepEqual([...back.transportParameters], [...whole.transportParameters]);
  assert.deepEqual(back.secret, session!.secret);
  assert.deepEqual(back.chain, session!.chain);
  assert.deepEqual([back.received, back.serverName, back.alpn], [NOW, "example.org", "h3"]);
  assert.deepEqual(decodeSession(encodeSession({ ...whole, serverName: null }))!.serverName, null);
  for (let end = 0; end < bytes.length; end++) assert.equal(decodeSession(bytes.subarray(0, end)), null);
  assert.equal(decodeSession(encode((out) => (out.bytes(bytes), out.u8(0)))), null);
  const other = bytes.slice();
  other[0] = 2;
  assert.equal(decodeSession(other), null, "another format");
});

test("no secret of a resumption is left when both are disposed of", () => {
  const server = { tickets: tickets(), earlyData: early() };
  const [session] = sessions(server);
  const p = resume(session!, { server, client: { earlyData: true } });
  assert.deepEqual([p.c.early, p.s.early], [[true], [true]]);
  for (const secret of [...p.c.handed, ...p.s.handed]) assert.ok(secret.every((byte) => byte === 0));
  assert.ok(
    session!.secret.some((byte) => byte !== 0),
    "the session is the caller's",
  );
});
