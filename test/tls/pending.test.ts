// Answers that take their time: identity, signature, verification.
import assert from "node:assert/strict";
import { test } from "node:test";
import { GROUP, type SignatureName, type SigningKey } from "../../internal/crypto/provider.ts";
import { suiteByAead } from "../../internal/crypto/suites.ts";
import { HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { QuicError, TlsAlertError } from "../../internal/protocol/errors.ts";
import { MAX_TLS_MESSAGE } from "../../internal/protocol/limits.ts";
import type { Identity, PendingRequest, ServerChoices, VerifyResult } from "../../internal/tls/types.ts";
import { assertConnected, failureOf, identity, NOW, pair, pump, type Pair } from "./harness.ts";

const OK: VerifyResult = { ok: true };

function remote(local: Identity): Identity {
  return { chain: local.chain, key: { remote: true, schemes: local.key.schemes } };
}

function signFor(local: Identity, request: PendingRequest): Uint8Array {
  assert.equal(request.kind, "sign");
  const { scheme, data } = request as { scheme: SignatureName; data: Uint8Array };
  return (local.key as SigningKey).sign(scheme, data);
}

/** The single request that waits. */
function only(requests: PendingRequest[], kind: PendingRequest["kind"]): PendingRequest {
  assert.equal(requests.length, 1);
  const request = requests.shift()!;
  assert.equal(request.kind, kind);
  return request;
}

function startServer(p: Pair): void {
  p.client.start(NOW);
  p.server.receive(INITIAL, p.c.sent.shift()!.bytes, NOW);
}

test("the server waits for an identity", () => {
  const p = pair({ server: { identity: "pending" } });
  startServer(p);
  const request = only(p.s.requests, "identity");
  assert.equal(p.s.sent.length, 0);
  assert.equal(request.kind === "identity" && request.clientHello.serverName, "example.org");
  assert.equal(p.s.peerParameters, "client parameters", "known while waiting");
  p.server.provide(request.id, identity("ed25519"), NOW);
  pump(p);
  assertConnected(p);
});

test("no identity after all: unrecognized_name", () => {
  const p = pair({ server: { identity: "pending" } });
  startServer(p);
  const { id } = only(p.s.requests, "identity");
  assert.equal(
    failureOf(() => p.server.provide(id, null, NOW)),
    "unrecognized_name",
  );
});

test("remote keys sign for both sides, ServerHello goes out before", () => {
  const local = identity("ec-p384");
  const p = pair({
    server: { identity: remote(local), clientAuth: "require" },
    client: { identity: remote(local) },
  });
  startServer(p);
  assert.equal(p.s.sent.length, 4, "ServerHello, EncryptedExtensions, CertificateRequest, Certificate");
  const request = only(p.s.requests, "sign");
  pump(p);
  assert.ok(!p.client.complete);
  p.server.provide(request.id, signFor(local, request), NOW);
  pump(p);
  const mine = only(p.c.requests, "sign");
  assert.ok(!p.client.complete && !p.server.complete);
  p.client.provide(mine.id, signFor(local, mine), NOW);
  pump(p);
  assertConnected(p);
});

test("a remote key that does not sign: internal_error; that signs wrongly: the peer's decrypt_error", () => {
  const p = pair({ server: { identity: remote(identity()) } });
  startServer(p);
  const { id } = only(p.s.requests, "sign");
  assert.equal(
    failureOf(() => p.server.provide(id, null, NOW)),
    "internal_error",
  );
  const q = pair({ server: { identity: remote(identity()) } });
  startServer(q);
  q.server.provide(only(q.s.requests, "sign").id, new Uint8Array(70), NOW);
  assert.equal(
    failureOf(() => pump(q)),
    "decrypt_error",
  );
});

test("the client waits for a verifier; what comes meanwhile is processed afterwards", () => {
  for (const chunk of [1, 50, Infinity]) {
    const p = pair({ client: { verify: "pending" } });
    p.client.start(NOW);
    pump(p, undefined, chunk);
    const request = only(p.c.requests, "verify");
    assert.ok(request.kind === "verify" && request.chain.length === 1);
    assert.equal(request.kind === "verify" && request.serverName, "example.org");
    assert.equal(request.kind === "verify" && request.role, "client");
    assert.ok(!p.client.complete);
    p.client.provide(request.id, OK, NOW);
    assert.ok(p.client.complete, "Finished was there already");
    pump(p);
    assertConnected(p);
  }
});

test("the server waits for a verifier of the client's chain", () => {
  const p = pair({ client: { identity: identity() }, server: { clientAuth: "require", verify: "pending" } });
  p.client.start(NOW);
  pump(p);
  const request = only(p.s.requests, "verify");
  assert.equal(request.kind === "verify" && request.serverName, null);
  assert.ok(p.client.complete && !p.server.complete);
  p.server.provide(request.id, { ok: true, authorizationError: "CERT_HAS_EXPIRED" }, NOW);
  assertConnected(p);
  assert.equal(p.server.peerVerifyError, "CERT_HAS_EXPIRED");
});

test("a verifier that says no", () => {
  const p = pair({ client: { verify: "pending" } });
  p.client.start(NOW);
  pump(p);
  const { id } = only(p.c.requests, "verify");
  const no = {
    ok: false,
    alert: "certificate_expired",
    reason: "old",
    certificateReason: "CERT_HAS_EXPIRED",
  } as const;
  assert.throws(() => p.client.provide(id, no, NOW), {
    certificateReason: "CERT_HAS_EXPIRED",
    alert: "certificate_expired",
  });
  assert.equal(
    failureOf(() => p.client.receive(HANDSHAKE, Uint8Array.of(20), NOW)),
    "certificate_expired",
  );
});

test("answers to other requests are errors of the caller; late ones are dropped", () => {
  const p = pair({ server: { identity: "pending" } });
  startServer(p);
  const { id } = only(p.s.requests, "identity");
  assert.throws(() => p.server.provide(id + 1, null, NOW), QuicError);
  p.server.provide(id, identity(), NOW);
  assert.throws(() => p.server.provide(id, identity(), NOW), QuicError, "twice");
  p.server.dispose();
  p.server.provide(id, identity(), NOW);
  p.server.receive(INITIAL, Uint8Array.of(1), NOW);

  const q = pair({ client: { verify: "pending" } });
  q.client.start(NOW);
  pump(q);
  const late = only(q.c.requests, "verify").id;
  // The connection failed for another reason.
  assert.equal(
    failureOf(() => q.client.receive(INITIAL, Uint8Array.of(1), NOW)),
    "PROTOCOL_VIOLATION",
  );
  q.client.provide(late, OK, NOW);
  assert.ok(!q.client.complete);
});

test("what waits is bounded: CRYPTO_BUFFER_EXCEEDED", () => {
  const p = pair({ client: { verify: "pending" } });
  p.client.start(NOW);
  pump(p);
  only(p.c.requests, "verify");
  const piece = new Uint8Array(16384);
  let fed = 0;
  const result = failureOf(() => {
    for (; fed < 10 * MAX_TLS_MESSAGE; fed += piece.length) p.client.receive(HANDSHAKE, piece, NOW);
  });
  assert.equal(result, "CRYPTO_BUFFER_EXCEEDED");
  assert.ok(fed <= 2 * MAX_TLS_MESSAGE);
});

test("data behind the ClientHello while an identity is awaited breaks the handshake when it goes on", () => {
  const p = pair({ server: { identity: "pending" } });
  startServer(p);
  p.server.receive(INITIAL, Uint8Array.of(1, 0, 0, 0), NOW);
  const { id } = only(p.s.requests, "identity");
  assert.equal(
    failureOf(() => p.server.provide(id, identity(), NOW)),
    "PROTOCOL_VIOLATION",
  );
  assert.equal(p.s.sent.length, 0);
});

test("a request may be answered from within the call that makes it", () => {
  const p = pair({ server: { identity: "pending" }, client: { verify: "pending" } });
  p.s.pending = (request) => p.server.provide(request.id, identity(), NOW);
  p.c.pending = (request) => p.client.provide(request.id, OK, NOW);
  p.client.start(NOW);
  pump(p);
  assertConnected(p);
});

test("the server waits with everything until it is told about a ClientHello", () => {
  const p = pair({ server: { clientHello: "pending" } });
  startServer(p);
  const request = only(p.s.requests, "client_hello");
  assert.ok(request.kind === "client_hello");
  assert.deepEqual(request.clientHello.alpn, ["h3"]);
  assert.deepEqual(request.clientHello.groups, [GROUP.x25519, GROUP.secp256r1]);
  assert.equal(p.s.peerParameters, null);
  p.server.provide(request.id, null, NOW);
  pump(p);
  assertConnected(p);
});

test("choices for one client take the place of the options", () => {
  const p = pair({
    server: { clientHello: "pending", identity: () => null, alpn: ["none of the client's"] },
    client: { identity: identity(), alpn: ["h3", "hq"] },
  });
  startServer(p);
  const choices: ServerChoices = {
    alpn: ["hq"],
    identity: identity("ed25519"),
    suites: [suiteByAead("chacha20-poly1305")],
    groups: ["x25519"],
    clientAuth: "require",
    verify: () => ({ ok: true, authorizationError: "CHOSEN" }),
  };
  p.server.provide(only(p.s.requests, "client_hello").id, choices, NOW);
  pump(p);
  assertConnected(p);
  assert.equal(p.server.alpn, "hq");
  assert.equal(p.server.suite?.aead, "chacha20-poly1305");
  assert.equal(p.server.peerVerifyError, "CHOSEN");
  assert.deepEqual(p.client.peerChain, identity("ed25519").chain);
});

test("asked once, also where a HelloRetryRequest brings a second ClientHello", () => {
  const p = pair({
    server: { clientHello: "pending" },
    client: { groups: ["x25519", "secp256r1"], keyShares: 1 },
  });
  startServer(p);
  p.server.provide(only(p.s.requests, "client_hello").id, { groups: ["secp256r1"] }, NOW);
  pump(p);
  assertConnected(p);
  assert.equal(p.server.group, "secp256r1");
  assert.equal(p.s.requests.length, 0);
});

test("choices that cannot be: internal_error; a refusal is the error itself", () => {
  const p = pair({ server: { clientHello: "pending" } });
  startServer(p);
  const { id } = only(p.s.requests, "client_hello");
  assert.equal(
    failureOf(() => p.server.provide(id, { alpn: [] }, NOW)),
    "internal_error",
  );
  const q = pair({ server: { clientHello: "pending" } });
  startServer(q);
  const refusal = new TlsAlertError("access_denied", "no");
  assert.throws(
    () => q.server.provide(only(q.s.requests, "client_hello").id, refusal, NOW),
    (error) => error === refusal,
  );
  assert.equal(q.s.sent.length, 0);
});
