// A hostile or broken server: which alert each fault gets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { GROUP } from "../../internal/crypto/provider.ts";
import { AES_128_GCM_SHA256 } from "../../internal/crypto/suites.ts";
import { APPLICATION, HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { encode } from "../../internal/tls/codec.ts";
import { EXTENSION } from "../../internal/tls/extensions.ts";
import { HANDSHAKE_TYPE } from "../../internal/tls/messages.ts";
import { makeCertificate } from "../../internal/tls/self-signed.ts";
import {
  changeHello,
  connect,
  edit,
  failureOf,
  handshake,
  identity,
  NODE,
  NOW,
  pair,
  readBlock,
  seeded,
  setExtension,
  writeBlock,
  type PairOptions,
  type RawHello,
  type Sent,
} from "./harness.ts";
import { Decoder } from "../../internal/tls/codec.ts";

const { server_hello, encrypted_extensions, certificate, certificate_request, certificate_verify, finished } =
  HANDSHAKE_TYPE;
const empty = new Uint8Array(0);
const X = new Uint8Array(32).fill(9);

const flight = (
  type: number,
  change: (bytes: Uint8Array, nth: number) => Uint8Array | Sent[] | null,
  options: PairOptions = {},
) => failureOf(() => connect(options, edit("server", type, change)));

const extension = (type: number, data: Uint8Array | null) => (hello: RawHello) =>
  setExtension(hello.extensions, type, data);
const share = (group: number, key: Uint8Array) =>
  encode((out) => {
    out.u16(group);
    out.opaque(2, key);
  });

const HELLO: readonly [what: string, change: (hello: RawHello) => void, expected: string][] = [
  ["rfc9846#4.1.3 legacy_version", (h) => (h.version = 0x0304), "protocol_version"],
  ["rfc8446#4.1.3 a session ID echoed", (h) => (h.sessionId = X), "illegal_parameter"],
  ["a session ID of 33 bytes", (h) => (h.sessionId = new Uint8Array(33)), "decode_error"],
  ["rfc8446#4.1.3 compression", (h) => (h.compression = Uint8Array.of(1)), "illegal_parameter"],
  ["rfc8446#4.1.3 a suite that was not offered", (h) => (h.suites = [0x1304]), "illegal_parameter"],
  [
    "rfc9001#4.2 no supported_versions is TLS 1.2",
    extension(EXTENSION.supported_versions, null),
    "protocol_version",
  ],
  [
    "rfc8446#4.2.1 another version",
    extension(EXTENSION.supported_versions, Uint8Array.of(3, 3)),
    "illegal_parameter",
  ],
  [
    "a version with something behind it",
    extension(EXTENSION.supported_versions, Uint8Array.of(3, 4, 0)),
    "decode_error",
  ],
  ["no key_share", extension(EXTENSION.key_share, null), "missing_extension"],
  [
    "rfc8446#4.2.8 a group without share",
    extension(EXTENSION.key_share, share(GROUP.secp256r1, X)),
    "illegal_parameter",
  ],
  [
    "a share of the wrong length",
    extension(EXTENSION.key_share, share(GROUP.x25519, X.subarray(1))),
    "illegal_parameter",
  ],
  [
    "rfc8446#7.4.2 an all-zero result",
    extension(EXTENSION.key_share, share(GROUP.x25519, new Uint8Array(32))),
    "illegal_parameter",
  ],
  ["an empty share", extension(EXTENSION.key_share, share(GROUP.x25519, empty)), "decode_error"],
  ["rfc8446#4.2 an extension twice", (h) => h.extensions.push(h.extensions[0]!), "illegal_parameter"],
  [
    "rfc8446#4.2 one that belongs into EncryptedExtensions",
    extension(EXTENSION.application_layer_protocol_negotiation, X),
    "illegal_parameter",
  ],
  [
    "rfc8446#4.2 a pre_shared_key not offered",
    extension(EXTENSION.pre_shared_key, Uint8Array.of(0, 0)),
    "unsupported_extension",
  ],
  ["an unknown extension not offered", extension(0x2a2a, empty), "unsupported_extension"],
  ["a cookie outside of a retry", extension(EXTENSION.cookie, X), "illegal_parameter"],
];
for (const [what, change, expected] of HELLO) {
  test(`ServerHello: ${what} -> ${expected}`, () => {
    assert.equal(
      flight(server_hello, (bytes) => changeHello(bytes, change)),
      expected,
    );
  });
}

test("a TLS 1.2 ServerHello: protocol_version", () => {
  const body = (raw: Uint8Array) => raw.subarray(4, 4 + 2 + 32 + 1 + 2 + 1);
  assert.equal(
    flight(server_hello, (raw) => handshake(server_hello, body(raw))),
    "protocol_version",
  );
});

test("tls-ecdhe-mlkem: hybrid shares of the wrong length or with an invalid X25519 part: illegal_parameter", () => {
  const hybrid = { client: { groups: ["X25519MLKEM768"] } } as const;
  const changed = (change: (key: Uint8Array) => Uint8Array) =>
    flight(
      server_hello,
      (bytes) =>
        changeHello(bytes, (hello) => {
          const at = hello.extensions.findIndex(([type]) => type === EXTENSION.key_share);
          const key = hello.extensions[at]![1].slice(4);
          hello.extensions[at]![1] = share(GROUP.X25519MLKEM768, change(key));
        }),
      hybrid,
    );
  assert.equal(
    changed((key) => key.subarray(1)),
    "illegal_parameter",
  );
  assert.equal(
    changed((key) => key.fill(0, 1088)),
    "illegal_parameter",
  );
});

test("rfc8446#6 a ServerHello cut anywhere is a decode_error", () => {
  const p = pair();
  p.client.start(NOW);
  p.server.receive(INITIAL, p.c.sent.shift()!.bytes, NOW);
  const hello = p.s.sent[0]!.bytes;
  for (let end = 4; end < hello.length; end++) {
    const q = pair();
    q.client.start(NOW);
    const result = failureOf(() =>
      q.client.receive(INITIAL, handshake(server_hello, hello.subarray(4, end)), NOW),
    );
    const lastFixed = 4 + 2 + 32 + 1 + 2 + 1;
    assert.equal(result, end === lastFixed ? "protocol_version" : "decode_error", `${end}`);
  }
});

// HelloRetryRequest

const RETRY = {
  client: { groups: ["x25519", "secp256r1"] },
  server: { groups: ["secp256r1"] },
} satisfies PairOptions;
const group = (id: number) => Uint8Array.of(id >> 8, id & 255);
const retry = (change: (hello: RawHello) => void, at = 0) =>
  flight(server_hello, (bytes, nth) => (nth === at ? changeHello(bytes, change) : bytes), RETRY);

test("HelloRetryRequest: what a client must refuse", () => {
  // rfc8446#4.2.8 a group that was not in supported_groups
  assert.equal(retry(extension(EXTENSION.key_share, group(GROUP.secp384r1))), "illegal_parameter");
  // rfc8446#4.2.8 a group that has a share already
  assert.equal(retry(extension(EXTENSION.key_share, group(GROUP.x25519))), "illegal_parameter");
  // rfc8446#4.1.4 no change at all
  assert.equal(retry(extension(EXTENSION.key_share, null)), "illegal_parameter");
  assert.equal(retry(extension(EXTENSION.cookie, Uint8Array.of(0, 0))), "decode_error");
  assert.equal(retry(extension(EXTENSION.cookie, Uint8Array.of(0, 1, 1, 1))), "decode_error");
  assert.equal(retry(extension(EXTENSION.supported_versions, null)), "protocol_version");
  assert.equal(retry(extension(EXTENSION.key_share, Uint8Array.of(0, 23, 0))), "decode_error");
  assert.equal(
    retry((h) => (h.suites = [0x1304])),
    "illegal_parameter",
  );
  assert.equal(retry(extension(0x2a2a, empty)), "unsupported_extension");
  assert.equal(
    retry((h) => (h.sessionId = X)),
    "illegal_parameter",
  );
});

test("rfc8446#4.1.4 a second HelloRetryRequest: unexpected_message", () => {
  let first: Uint8Array | null = null;
  const result = flight(
    server_hello,
    (bytes) => {
      first ??= bytes;
      return first;
    },
    RETRY,
  );
  assert.equal(result, "unexpected_message");
});

test("rfc8446#4.1.4 another suite or group after the retry: illegal_parameter", () => {
  assert.equal(
    retry((h) => (h.suites = [0x1302]), 1),
    "illegal_parameter",
  );
  assert.equal(retry(extension(EXTENSION.key_share, share(GROUP.x25519, X)), 1), "illegal_parameter");
});

// EncryptedExtensions

const encrypted = (change: (extensions: [number, Uint8Array][]) => void) =>
  flight(encrypted_extensions, (bytes) => {
    const extensions = readBlock(new Decoder(bytes.subarray(4), "test"));
    change(extensions);
    return handshake(encrypted_extensions, writeBlock(extensions));
  });
const set = (type: number, data: Uint8Array | null) =>
  encrypted((extensions) => setExtension(extensions, type, data));
const ALPN = EXTENSION.application_layer_protocol_negotiation;

test("EncryptedExtensions: what a client must refuse", () => {
  // rfc9001#8.1
  assert.equal(set(ALPN, null), "no_application_protocol");
  // rfc7301#3.1 exactly one, and one of those offered
  assert.equal(set(ALPN, Uint8Array.of(0, 2, 1, 120)), "illegal_parameter");
  assert.equal(set(ALPN, Uint8Array.of(0, 6, 2, 104, 51, 2, 104, 51)), "illegal_parameter");
  assert.equal(set(ALPN, Uint8Array.of(0, 0)), "decode_error");
  // rfc9001#8.2
  assert.equal(set(EXTENSION.quic_transport_parameters, null), "missing_extension");
  // rfc6066#3
  assert.equal(set(EXTENSION.server_name, X), "decode_error");
  // rfc8446#4.3.1 forbidden extensions
  assert.equal(set(EXTENSION.key_share, X), "illegal_parameter");
  assert.equal(set(EXTENSION.supported_versions, Uint8Array.of(3, 4)), "illegal_parameter");
  assert.equal(set(EXTENSION.signature_algorithms, X), "illegal_parameter");
  // rfc8446#4.2 responses without a request
  assert.equal(set(EXTENSION.early_data, empty), "unsupported_extension");
  assert.equal(set(EXTENSION.record_size_limit, Uint8Array.of(64, 0)), "unsupported_extension");
  assert.equal(set(0x2a2a, empty), "unsupported_extension");
  assert.equal(
    encrypted((extensions) => extensions.push(extensions[0]!)),
    "illegal_parameter",
  );
  assert.equal(
    flight(encrypted_extensions, (bytes) =>
      handshake(encrypted_extensions, Buffer.concat([bytes.subarray(4), X])),
    ),
    "decode_error",
  );
  // supported_groups is information for later connections.
  assert.equal(set(EXTENSION.supported_groups, Uint8Array.of(0, 2, 0, 23)), "decrypt_error");
});

// CertificateRequest, Certificate, CertificateVerify, Finished

test("CertificateRequest: what a client must refuse", () => {
  const request = (change: (body: Uint8Array) => Uint8Array) =>
    flight(certificate_request, (bytes) => handshake(certificate_request, change(bytes.subarray(4))), {
      server: { clientAuth: "request" },
    });
  assert.equal(
    request((body) => Buffer.concat([Uint8Array.of(1, 7), body.subarray(1)])),
    "illegal_parameter",
  );
  assert.equal(
    request(() => Uint8Array.of(0, 0, 0)),
    "missing_extension",
  );
  assert.equal(
    request(() => Uint8Array.of(0)),
    "decode_error",
  );
  const block = (...extensions: [number, Uint8Array][]) =>
    Buffer.concat([Uint8Array.of(0), writeBlock(extensions)]);
  assert.equal(
    request(() => block([EXTENSION.key_share, X])),
    "illegal_parameter",
  );
  assert.equal(
    request(() => block([EXTENSION.signature_algorithms, Uint8Array.of(0, 0)])),
    "decode_error",
  );
});

const entries = (context: Uint8Array, ...list: [der: Uint8Array, extensions: [number, Uint8Array][]][]) =>
  handshake(
    certificate,
    encode((out) => {
      out.opaque(1, context);
      out.vector(3, () => {
        for (const [der, extensions] of list) {
          out.opaque(3, der);
          out.bytes(writeBlock(extensions));
        }
      });
    }),
  );

test("Certificate: what a client must refuse", () => {
  const [leaf] = identity().chain;
  const is = (bytes: Uint8Array) => flight(certificate, () => bytes);
  // rfc8446#4.4.2.4 an empty Certificate message
  assert.equal(is(entries(empty)), "decode_error");
  assert.equal(is(entries(X, [leaf!, []])), "illegal_parameter");
  assert.equal(is(entries(empty, [leaf!, [[EXTENSION.status_request, X]]])), "unsupported_extension");
  assert.equal(is(entries(empty, [leaf!, [[0x2a2a, X]]])), "unsupported_extension");
  assert.equal(is(entries(empty, [leaf!, [[EXTENSION.key_share, X]]])), "illegal_parameter");
  assert.equal(is(entries(empty, [leaf!.subarray(1), []])), "bad_certificate");
  assert.equal(is(entries(empty, [leaf!.subarray(0, 100), []])), "bad_certificate");
  assert.equal(is(entries(empty, [identity("ed25519").chain[0]!, []])), "illegal_parameter");
});

test("rfc8446#4.4.2.2 a certificate whose key usage does not allow signing: unsupported_certificate", () => {
  const base = { provider: NODE, random: seeded(3), altNames: ["a"], notBefore: NOW, notAfter: NOW + 1 };
  const make = (keyUsage: readonly ("keyAgreement" | "digitalSignature")[] | null) => {
    const { cert, key } = makeCertificate({ ...base, keyUsage });
    const own = { chain: [cert], key: NODE.signingKey(key) };
    return failureOf(() => connect({ server: { identity: own } }));
  };
  assert.equal(make(["keyAgreement"]), "unsupported_certificate");
  assert.equal(make(["digitalSignature"]), "none");
  assert.equal(make(null), "none");
});

test("signatures and MACs that are wrong: decrypt_error", () => {
  const flip = (bytes: Uint8Array) => {
    const copy = bytes.slice();
    copy[copy.length - 1]! ^= 1;
    return copy;
  };
  assert.equal(flight(certificate_verify, flip), "decrypt_error");
  assert.equal(flight(finished, flip), "decrypt_error");
  assert.equal(
    flight(finished, (bytes) => handshake(finished, bytes.subarray(5))),
    "decode_error",
  );
  assert.equal(
    flight(certificate_verify, () => handshake(certificate_verify, Uint8Array.of(4, 3, 0, 0))),
    "decrypt_error",
  );
  assert.equal(
    flight(certificate_verify, () => handshake(certificate_verify, Uint8Array.of(4, 3, 0))),
    "decode_error",
  );
  // The key of another certificate.
  const other = makeCertificate({
    provider: NODE,
    random: seeded(9),
    altNames: ["a"],
    notBefore: NOW,
    notAfter: NOW + 1,
  });
  const mixed = { chain: identity().chain, key: NODE.signingKey(other.key) };
  assert.equal(
    failureOf(() => connect({ server: { identity: mixed } })),
    "decrypt_error",
  );
});

test("the server's signature is not valid as a client's: the context differs", () => {
  let verify: Uint8Array | null = null;
  const result = failureOf(() =>
    connect({ client: { identity: identity() }, server: { clientAuth: "require" } }, (from, sent) => {
      if (sent.bytes[0] !== certificate_verify) return sent.bytes;
      if (from === "server") verify = sent.bytes;
      return verify!;
    }),
  );
  assert.equal(result, "decrypt_error");
});

test("CertificateVerify by a scheme that was not offered: illegal_parameter", () => {
  const only = { client: { signatures: ["ecdsa_secp256r1_sha256"] } } satisfies PairOptions;
  const scheme = (high: number, low: number) => (bytes: Uint8Array) => {
    const copy = bytes.slice();
    copy[4] = high;
    copy[5] = low;
    return copy;
  };
  assert.equal(flight(certificate_verify, scheme(8, 7), only), "illegal_parameter");
  assert.equal(flight(certificate_verify, scheme(2, 3)), "illegal_parameter");
  assert.equal(flight(certificate_verify, scheme(4, 1)), "illegal_parameter");
});

test("rfc8446#4 messages left out, doubled or foreign: unexpected_message", () => {
  for (const type of [encrypted_extensions, certificate, certificate_verify]) {
    assert.equal(
      flight(type, () => null),
      "unexpected_message",
      `${type} left out`,
    );
  }
  for (const type of [encrypted_extensions, certificate, certificate_verify]) {
    assert.equal(
      flight(type, (bytes) => Buffer.concat([bytes, bytes])),
      "unexpected_message",
      `${type} twice`,
    );
  }
  for (let type = 0; type < 256; type++) {
    if (type === server_hello) continue;
    const p = pair();
    p.client.start(NOW);
    assert.equal(
      failureOf(() => p.client.receive(INITIAL, Uint8Array.of(type), NOW)),
      "unexpected_message",
    );
  }
});

test("rfc9001#4.1.3 data behind a key change, or at a level that is over: PROTOCOL_VIOLATION", () => {
  assert.equal(
    flight(server_hello, (bytes) => Buffer.concat([bytes, Uint8Array.of(encrypted_extensions)])),
    "PROTOCOL_VIOLATION",
  );
  assert.equal(
    flight(finished, (bytes) => Buffer.concat([bytes, Uint8Array.of(4)])),
    "PROTOCOL_VIOLATION",
  );
  assert.equal(
    flight(encrypted_extensions, (bytes) => [{ level: INITIAL, bytes }]),
    "PROTOCOL_VIOLATION",
  );
  assert.equal(
    flight(server_hello, (bytes) => [{ level: HANDSHAKE, bytes }]),
    "PROTOCOL_VIOLATION",
  );
});

test("after the handshake", () => {
  const after = (bytes: Uint8Array) => failureOf(() => connect().client.receive(APPLICATION, bytes, NOW));
  // rfc9001#6 KeyUpdate: 0x010a
  assert.equal(after(handshake(HANDSHAKE_TYPE.key_update, Uint8Array.of(0))), "unexpected_message");
  // rfc9001#4.4 post-handshake CertificateRequest
  assert.equal(after(handshake(certificate_request, X)), "PROTOCOL_VIOLATION");
  assert.equal(after(handshake(finished, X)), "unexpected_message");
  assert.equal(after(handshake(HANDSHAKE_TYPE.new_session_ticket, X.subarray(20))), "decode_error");
});

test("a hostile server does not make the client keep what it announces", () => {
  const p = pair({ client: { suites: [AES_128_GCM_SHA256] } });
  p.client.start(NOW);
  assert.equal(
    failureOf(() => p.client.receive(INITIAL, Uint8Array.of(server_hello, 1, 0, 1), NOW)),
    "decode_error",
  );
});
