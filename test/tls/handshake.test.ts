import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AES_128_GCM_SHA256,
  AES_256_GCM_SHA384,
  CHACHA20_POLY1305_SHA256,
  SUITES,
} from "../../internal/crypto/suites.ts";
import { GROUP, SIGNATURE, type GroupName, type SignatureName } from "../../internal/crypto/provider.ts";
import { APPLICATION, HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { InvalidOptionError, QuicError } from "../../internal/protocol/errors.ts";
import { encode } from "../../internal/tls/codec.ts";
import { EXTENSION } from "../../internal/tls/extensions.ts";
import { HANDSHAKE_TYPE } from "../../internal/tls/messages.ts";
import type { ClientHelloInfo } from "../../internal/tls/types.ts";
import {
  assertConnected,
  certificate,
  changeHello,
  connect,
  edit,
  failureOf,
  firstFlight,
  handshake,
  identity,
  NOBLE,
  NODE,
  NOW,
  pair,
  pump,
  readHello,
  type KeyKind,
} from "./harness.ts";

const GROUPS: readonly GroupName[] = ["x25519", "secp256r1", "secp384r1", "X25519MLKEM768"];

for (const suite of SUITES) {
  for (const group of GROUPS) {
    test(`${suite.name} with ${group}, both providers both ways`, () => {
      for (const [client, server] of [
        [NODE, NODE],
        [NOBLE, NODE],
        [NODE, NOBLE],
      ] as const) {
        const p = connect({
          client: { provider: client, suites: [suite], groups: [group] },
          server: { provider: server },
        });
        assertConnected(p);
        assert.equal(p.client.suite, suite);
        assert.equal(p.server.suite, suite);
        assert.equal(p.client.group, group);
        assert.equal(p.server.group, group);
      }
    });
  }
}

const SCHEMES: readonly [KeyKind, SignatureName][] = [
  ["ec-p256", "ecdsa_secp256r1_sha256"],
  ["ec-p384", "ecdsa_secp384r1_sha384"],
  ["ec-p521", "ecdsa_secp521r1_sha512"],
  ["ed25519", "ed25519"],
  ["rsa", "rsa_pss_rsae_sha256"],
  ["rsa", "rsa_pss_rsae_sha384"],
  ["rsa", "rsa_pss_rsae_sha512"],
  ["rsa-pss", "rsa_pss_pss_sha256"],
  ["rsa-pss", "rsa_pss_pss_sha384"],
  ["rsa-pss", "rsa_pss_pss_sha512"],
];
for (const [kind, scheme] of SCHEMES) {
  test(`server and client authenticate with ${scheme}`, () => {
    for (const [signer, verifier] of [
      [NODE, NODE],
      [NODE, NOBLE],
      [NOBLE, NODE],
    ] as const) {
      const seen: number[] = [];
      const p = connect(
        {
          client: { provider: verifier, signatures: [scheme], identity: identity(kind, verifier) },
          server: {
            provider: signer,
            signatures: [scheme],
            identity: identity(kind, signer),
            clientAuth: "require",
          },
        },
        (_, sent) => {
          if (sent.bytes[0] === HANDSHAKE_TYPE.certificate_verify)
            seen.push(sent.bytes[4]! * 256 + sent.bytes[5]!);
          return sent.bytes;
        },
      );
      assertConnected(p);
      assert.deepEqual(seen, [SIGNATURE[scheme], SIGNATURE[scheme]]);
      assert.deepEqual(p.client.peerChain, [certificate(kind).cert]);
      assert.deepEqual(p.server.peerChain, [certificate(kind).cert]);
    }
  });
}

test("what both sides learn, and the order in which keys come", () => {
  const p = connect({
    client: { alpn: ["h3", "x"] },
    server: { alpn: ["x", "h3"] },
  });
  assertConnected(p);
  // rfc7301#3.2 the server's order of preference
  assert.equal(p.client.alpn, "x");
  assert.equal(p.server.alpn, "x");
  assert.equal(p.server.serverName, "example.org");
  assert.equal(p.c.peerParameters, "server parameters");
  assert.equal(p.s.peerParameters, "client parameters");
  // rfc9001#5.7 a server MUST NOT process 1-RTT packets before the handshake is complete: read keys come last.
  assert.deepEqual(p.s.levels, [
    `${HANDSHAKE} read`,
    `${HANDSHAKE} write`,
    `${APPLICATION} write`,
    `${APPLICATION} read`,
  ]);
  assert.deepEqual(p.c.levels, [
    `${HANDSHAKE} read`,
    `${HANDSHAKE} write`,
    `${APPLICATION} read`,
    `${APPLICATION} write`,
  ]);
  assert.deepEqual(p.c.secrets.slice(0, 2), [p.s.secrets[1], p.s.secrets[0]], "handshake secrets, crosswise");
  assert.deepEqual(
    p.c.secrets.slice(2),
    [p.s.secrets[2], p.s.secrets[3]],
    "application secrets, in each one's order",
  );
});

test("secrets handed over are zeroed after use", () => {
  const p = connect();
  for (const secret of [...p.c.handed, ...p.s.handed]) assert.ok(secret.every((byte) => byte === 0));
});

test("the key log has the lines of SSLKEYLOGFILE, and none when off", () => {
  const p = connect();
  const random = Buffer.from(readHello(firstFlight()).random).toString("hex");
  assert.deepEqual(
    p.c.keyLogLines.map((line) => line.split(" ").slice(0, 2).join(" ")),
    [
      "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
      "SERVER_HANDSHAKE_TRAFFIC_SECRET",
      "CLIENT_TRAFFIC_SECRET_0",
      "SERVER_TRAFFIC_SECRET_0",
      "EXPORTER_SECRET",
    ].map((label) => `${label} ${random}`),
  );
  const quiet = connect({ client: { keyLog: false }, server: { keyLog: false } });
  assert.deepEqual([...quiet.c.keyLogLines, ...quiet.s.keyLogLines], []);
});

test("exported keying material is equal on both sides and depends on label, context and length", () => {
  const p = connect();
  const context = Buffer.from("context");
  const a = p.client.exportKeyingMaterial("EXPORTER-test", context, 40);
  assert.deepEqual(a, p.server.exportKeyingMaterial("EXPORTER-test", context, 40));
  assert.equal(a.length, 40);
  assert.notDeepEqual(a, p.client.exportKeyingMaterial("EXPORTER-other", context, 40));
  assert.notDeepEqual(a, p.client.exportKeyingMaterial("EXPORTER-test", new Uint8Array(0), 40));
  assert.throws(() => p.client.exportKeyingMaterial("x", context, 1e6), InvalidOptionError);
  p.client.dispose();
  assert.throws(() => p.client.exportKeyingMaterial("x", context, 8), QuicError);
  assert.throws(() => pair().client.exportKeyingMaterial("x", context, 8), QuicError);
});

test("bytes may arrive in any pieces", () => {
  for (const chunk of [1, 2, 3, 7, 100]) {
    for (const clientAuth of ["none", "require"] as const) {
      const p = connect({ client: { identity: identity() }, server: { clientAuth } }, undefined, chunk);
      assertConnected(p);
    }
  }
});

test("a whole flight may arrive as one piece", () => {
  const p = pair({ client: { identity: identity() }, server: { clientAuth: "request" } });
  p.client.start(NOW);
  pump(p, (from, sent) => (from === "client" ? sent.bytes : []));
  const again = pair({ client: { identity: identity() }, server: { clientAuth: "request" } });
  again.client.start(NOW);
  again.server.receive(INITIAL, again.c.sent.shift()!.bytes, NOW);
  const [hello, ...rest] = again.s.sent.splice(0);
  again.client.receive(INITIAL, hello!.bytes, NOW);
  again.client.receive(HANDSHAKE, Buffer.concat(rest.map(({ bytes }) => bytes)), NOW);
  again.server.receive(HANDSHAKE, Buffer.concat(again.c.sent.splice(0).map(({ bytes }) => bytes)), NOW);
  assertConnected(again);
});

test("rfc8446#4.1.4 HelloRetryRequest: the server asks for a group without a share", () => {
  for (const group of GROUPS) {
    for (const suite of SUITES) {
      const first = group === "x25519" ? "secp256r1" : "x25519";
      const hellos: number[][] = [];
      const p = connect(
        {
          client: { groups: [first, group], keyShares: 1, suites: [suite] },
          server: { groups: [group] },
        },
        (from, sent) => {
          if (from === "client" && sent.bytes[0] === 1)
            hellos.push(readHello(sent.bytes).extensions.map(([type]) => type));
          return sent.bytes;
        },
      );
      assertConnected(p);
      assert.equal(p.client.group, group);
      assert.equal(hellos.length, 2);
      assert.deepEqual(hellos[0], hellos[1]);
    }
  }
});

test("a client may start without any key share", () => {
  const p = connect({ client: { keyShares: 0 } });
  assertConnected(p);
});

test("rfc8446#4.2.2 the client copies the cookie of a HelloRetryRequest", () => {
  const cookie = encode((out) => out.opaque(2, Buffer.from("biscuit")));
  let second: Uint8Array | null = null;
  const p = pair({ client: { groups: ["x25519", "secp256r1"] }, server: { groups: ["secp256r1"] } });
  p.client.start(NOW);
  p.server.receive(INITIAL, p.c.sent.shift()!.bytes, NOW);
  const retry = changeHello(p.s.sent.shift()!.bytes, (hello) =>
    hello.extensions.push([EXTENSION.cookie, cookie]),
  );
  p.client.receive(INITIAL, retry, NOW);
  second = p.c.sent.shift()!.bytes;
  assert.deepEqual(
    Buffer.from(readHello(second).extensions.find(([type]) => type === EXTENSION.cookie)![1]),
    Buffer.from(cookie),
  );
  // A retry with nothing but a cookie keeps the shares.
  const q = pair();
  q.client.start(NOW);
  const before = q.c.sent.shift()!.bytes;
  q.client.receive(
    INITIAL,
    changeHello(retry, (hello) => {
      hello.extensions = hello.extensions.filter(([type]) => type !== EXTENSION.key_share);
    }),
    NOW,
  );
  const after = readHello(q.c.sent.shift()!.bytes);
  assert.deepEqual(
    after.extensions.filter(([type]) => type !== EXTENSION.cookie),
    readHello(before).extensions,
  );
});

test("a hybrid group comes with a classical share, so that old servers need no retry", () => {
  const p = connect({
    client: { groups: ["X25519MLKEM768", "x25519"] },
    server: { groups: ["x25519"] },
  });
  assertConnected(p);
  assert.equal(p.client.group, "x25519");
  const both = connect({ client: { groups: ["X25519MLKEM768", "x25519"] } });
  assert.equal(both.client.group, "X25519MLKEM768");
});

test("client certificates: requested, required, absent, unsuitable", () => {
  const asked = connect({ server: { clientAuth: "request" } });
  assertConnected(asked);
  assert.deepEqual(asked.server.peerChain, []);
  const given = connect({ client: { identity: identity("ed25519") }, server: { clientAuth: "request" } });
  assertConnected(given);
  assert.deepEqual(given.server.peerChain, [certificate("ed25519").cert]);
  // rfc8446#4.4.2.4 "certificate_required"
  assert.equal(
    failureOf(() => connect({ server: { clientAuth: "require" } })),
    "certificate_required",
  );
  // A key the server cannot take counts as no certificate.
  const unsuitable = connect({
    client: { identity: identity("ed25519") },
    server: { clientAuth: "request", signatures: ["ecdsa_secp256r1_sha256"] },
  });
  assertConnected(unsuitable);
  assert.deepEqual(unsuitable.server.peerChain, []);
  const notAsked = connect({ client: { identity: identity() } });
  assert.deepEqual(notAsked.server.peerChain, []);
});

test("the verifier's word counts on both sides", () => {
  const bad = { ok: false, alert: "unknown_ca", reason: "who?", certificateReason: "SELF_SIGNED" } as const;
  assert.equal(
    failureOf(() => connect({ client: { verify: () => bad } })),
    "unknown_ca",
  );
  const auth = { client: { identity: identity() }, server: { clientAuth: "require" } } as const;
  assert.equal(
    failureOf(() => connect({ ...auth, server: { ...auth.server, verify: () => bad } })),
    "unknown_ca",
  );
  const p = connect({ client: { verify: () => ({ ok: true, authorizationError: "CERT_HAS_EXPIRED" }) } });
  assertConnected(p);
  assert.equal(p.client.peerVerifyError, "CERT_HAS_EXPIRED");
  const seen: unknown[] = [];
  connect({
    client: { verify: (chain, name, now) => (seen.push(chain.length, name, now), { ok: true }) },
  });
  assert.deepEqual(seen, [1, "example.org", NOW]);
});

test("a verifier or selector that throws is an internal_error", () => {
  const oops = () => {
    throw new Error("oops");
  };
  assert.equal(
    failureOf(() => connect({ client: { verify: oops } })),
    "internal_error",
  );
  assert.equal(
    failureOf(() => connect({ server: { identity: oops } })),
    "internal_error",
  );
});

test("the identity is chosen by the ClientHello", () => {
  let info: ClientHelloInfo | null = null;
  const p = connect({
    server: {
      identity: (hello) => {
        info = hello;
        return identity("ec-p384");
      },
    },
  });
  assertConnected(p);
  const hello = info as ClientHelloInfo | null;
  assert.equal(hello!.serverName, "example.org");
  assert.deepEqual(hello!.alpn, ["h3"]);
  assert.deepEqual(hello!.groups, [GROUP.x25519, GROUP.secp256r1]);
  assert.deepEqual(hello!.supportedVersions, [0x0304]);
  // rfc8446#6.2 unrecognized_name
  assert.equal(
    failureOf(() => connect({ server: { identity: () => null } })),
    "unrecognized_name",
  );
  assert.equal(
    failureOf(() => connect({ client: { serverName: null }, server: { identity: () => null } })),
    "handshake_failure",
  );
});

test("rfc6066#3 no SNI for IP addresses, no trailing dot", () => {
  for (const [serverName, sent] of [
    ["192.0.2.1", null],
    ["2001:db8::1", null],
    [null, null],
    ["example.org.", "example.org"],
  ] as const) {
    const p = connect({ client: { serverName } });
    assertConnected(p);
    assert.equal(p.server.serverName, sent);
  }
  assert.throws(() => pair({ client: { serverName: "exämple.org" } }), InvalidOptionError);
});

test("whose order of suites counts", () => {
  const client = { suites: [CHACHA20_POLY1305_SHA256, AES_256_GCM_SHA384] };
  const server = { suites: [AES_128_GCM_SHA256, AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256] };
  assert.equal(connect({ client, server }).client.suite, AES_256_GCM_SHA384);
  assert.equal(
    connect({ client, server: { ...server, honorCipherOrder: false } }).client.suite,
    CHACHA20_POLY1305_SHA256,
  );
});

test("nothing in common is a handshake_failure", () => {
  const cases = [
    { client: { suites: [AES_128_GCM_SHA256] }, server: { suites: [AES_256_GCM_SHA384] } },
    { client: { groups: ["x25519"] }, server: { groups: ["secp384r1"] } },
    { client: { signatures: ["ed25519"] }, server: { identity: identity("ec-p256") } },
  ] as const;
  for (const options of cases) {
    assert.equal(
      failureOf(() => connect(options)),
      "handshake_failure",
    );
  }
  // rfc9001#8.1
  assert.equal(
    failureOf(() => connect({ client: { alpn: ["a"] }, server: { alpn: ["b"] } })),
    "no_application_protocol",
  );
});

test("options that cannot work are refused at once", () => {
  assert.throws(() => pair({ client: { alpn: [] } }), InvalidOptionError);
  assert.throws(() => pair({ server: { alpn: [""] } }), InvalidOptionError);
  assert.throws(() => pair({ server: { alpn: ["x".repeat(256)] } }), InvalidOptionError);
  assert.throws(() => pair({ client: { suites: [] } }), InvalidOptionError);
  assert.throws(() => pair({ client: { groups: [] } }), InvalidOptionError);
  assert.throws(() => pair({ client: { signatures: [] } }), InvalidOptionError);
});

const ticket = (extensions: (out: Parameters<Parameters<typeof encode>[0]>[0]) => void) =>
  handshake(
    HANDSHAKE_TYPE.new_session_ticket,
    encode((out) => {
      out.u32(3600);
      out.u32(0xfedcba98);
      out.opaque(1, Uint8Array.of(1, 2));
      out.opaque(2, Buffer.from("ticket"));
      out.vector(2, () => extensions(out));
    }),
  );

test("rfc8446#4.6.1 session tickets reach the client's sink", () => {
  const p = connect();
  const bytes = ticket((out) => {
    out.u16(EXTENSION.early_data);
    out.u16(4);
    out.u32(0xffffffff);
    out.u16(0x1a1a);
    out.u16(0);
  });
  for (const byte of bytes) p.client.receive(APPLICATION, Uint8Array.of(byte), NOW);
  assert.equal(p.c.tickets.length, 1);
  const [got] = p.c.tickets;
  assert.equal(got!.lifetime, 3600);
  assert.equal(got!.ageAdd, 0xfedcba98);
  assert.deepEqual(Buffer.from(got!.ticket).toString(), "ticket");
  assert.equal(got!.earlyData, true);
  // rfc9001#4.6.1 any other value than 0xffffffff: PROTOCOL_VIOLATION
  const wrong = ticket((out) => {
    out.u16(EXTENSION.early_data);
    out.u16(4);
    out.u32(1000);
  });
  assert.equal(
    failureOf(() => p.client.receive(APPLICATION, wrong, NOW)),
    "PROTOCOL_VIOLATION",
  );
});

test("GREASE everywhere is ignored: rfc8701", () => {
  const grease = 0x3a3a;
  const p = pair();
  p.client.start(NOW);
  const hello = changeHello(p.c.sent.shift()!.bytes, (raw) => {
    raw.suites.unshift(grease);
    raw.extensions = raw.extensions.map(([type, data]) => {
      const prefixed = (at: number, value: number[]) => {
        const bytes = Buffer.concat([data.subarray(0, at), Buffer.from(value), data.subarray(at)]);
        if (at === 2) bytes.writeUInt16BE(data.length - 2 + value.length);
        else bytes[0] = data.length - 1 + value.length;
        return bytes;
      };
      if (type === EXTENSION.supported_groups) return [type, prefixed(2, [0x3a, 0x3a])];
      if (type === EXTENSION.signature_algorithms) return [type, prefixed(2, [0x3a, 0x3a])];
      if (type === EXTENSION.key_share) return [type, prefixed(2, [0x3a, 0x3a, 0, 1, 0])];
      if (type === EXTENSION.supported_versions) return [type, prefixed(1, [0x3a, 0x3a])];
      if (type === EXTENSION.application_layer_protocol_negotiation)
        return [type, prefixed(2, [2, 0x3a, 0x3a])];
      return [type, data];
    });
    raw.extensions.unshift([grease, new Uint8Array(0)]);
    raw.extensions.push([0x4a4a, Uint8Array.of(0)]);
  });
  p.server.receive(INITIAL, hello, NOW);
  assert.equal(p.s.sent.length, 5, "ServerHello to Finished");
});

test("unknown extensions in CertificateRequest and session tickets are ignored", () => {
  // The transcript breaks; what matters is that the client gets past the message, to the signature.
  const p = () =>
    connect(
      { server: { clientAuth: "request" } },
      edit("server", HANDSHAKE_TYPE.certificate_request, (bytes) => {
        const body = Buffer.concat([bytes.subarray(4), Buffer.from([0x3a, 0x3a, 0, 1, 7])]);
        body.writeUInt16BE(body.readUInt16BE(1) + 5, 1);
        return handshake(HANDSHAKE_TYPE.certificate_request, body);
      }),
    );
  assert.equal(failureOf(p), "decrypt_error");
});

test("the same seeds give the same bytes", () => {
  assert.deepEqual(firstFlight({ seed: 5 }), firstFlight({ seed: 5 }));
  assert.notDeepEqual(firstFlight({ seed: 5 }), firstFlight({ seed: 6 }));
});
