// A hostile or broken client: which alert each fault gets.
import { test } from "node:test";
import assert from "node:assert/strict";
import { GROUP } from "../../internal/crypto/provider.ts";
import { APPLICATION, HANDSHAKE, INITIAL, ZERO_RTT, type Level } from "../../internal/protocol/constants.ts";
import { encode } from "../../internal/tls/codec.ts";
import { EXTENSION } from "../../internal/tls/extensions.ts";
import { HANDSHAKE_TYPE } from "../../internal/tls/messages.ts";
import {
  changeHello,
  connect,
  edit,
  failureOf,
  firstFlight,
  handshake,
  identity,
  NOW,
  pair,
  setExtension,
  writeBlock,
  type RawHello,
} from "./harness.ts";

const FIRST = firstFlight();
const empty = new Uint8Array(0);

/** What a new server says to `bytes` at the Initial level. */
function answer(bytes: Uint8Array, level: Level = INITIAL): string {
  const p = pair();
  const result = failureOf(() => p.server.receive(level, bytes, NOW));
  if (result !== "none") {
    // The failure stays, and nothing left.
    assert.equal(
      failureOf(() => p.server.receive(INITIAL, FIRST, NOW)),
      result,
    );
    assert.equal(p.s.sent.length, 0);
  }
  return result;
}

const extension = (type: number, data: Uint8Array | null) => (hello: RawHello) =>
  setExtension(hello.extensions, type, data);
const u16s = (...values: number[]) => encode((out) => out.u16s(2, values));
const share = (...entries: [group: number, key: Uint8Array][]) =>
  encode((out) =>
    out.vector(2, () => {
      for (const [group, key] of entries) {
        out.u16(group);
        out.opaque(2, key);
      }
    }),
  );
const names = (...entries: [type: number, name: string][]) =>
  encode((out) =>
    out.vector(2, () => {
      for (const [type, name] of entries) {
        out.u8(type);
        out.opaque(2, Buffer.from(name));
      }
    }),
  );
const X = new Uint8Array(32).fill(9);

const psks = (identities: Uint8Array[], binders: Uint8Array[]) =>
  encode((out) => {
    out.vector(2, () => {
      for (const identity of identities) {
        out.opaque(2, identity);
        out.u32(0);
      }
    });
    out.vector(2, () => binders.forEach((binder) => out.opaque(1, binder)));
  });
const PSKS = psks([X], [X]);

const CASES: readonly [what: string, change: (hello: RawHello) => void, expected: string][] = [
  ["nothing changed", () => {}, "none"],
  [
    "rfc8446#4.1.2 servers ignore legacy_version where supported_versions is there",
    (h) => (h.version = 0x0301),
    "none",
  ],
  ["rfc8446#D.5 legacy_version of SSL 3", (h) => (h.version = 0x0300), "protocol_version"],
  ["rfc9001#8.4 legacy_session_id", (h) => (h.sessionId = new Uint8Array(32)), "PROTOCOL_VIOLATION"],
  ["a session ID of 33 bytes", (h) => (h.sessionId = new Uint8Array(33)), "decode_error"],
  ["rfc8446#4.1.2 compression", (h) => (h.compression = Uint8Array.of(1)), "illegal_parameter"],
  [
    "rfc8446#4.1.2 compression besides null",
    (h) => (h.compression = Uint8Array.of(0, 1)),
    "illegal_parameter",
  ],
  ["no compression methods", (h) => (h.compression = empty), "decode_error"],
  ["no suites", (h) => (h.suites = []), "decode_error"],
  ["only suites we do not know", (h) => (h.suites = [0x1a1a, 0x00ff]), "handshake_failure"],
  ["rfc9001#4.2 no TLS 1.3", extension(EXTENSION.supported_versions, null), "protocol_version"],
  [
    "rfc9001#4.2 only TLS 1.2",
    extension(EXTENSION.supported_versions, Uint8Array.of(2, 3, 3)),
    "protocol_version",
  ],
  ["an odd version list", extension(EXTENSION.supported_versions, Uint8Array.of(3, 3, 4, 3)), "decode_error"],
  ["no versions in the list", extension(EXTENSION.supported_versions, Uint8Array.of(0)), "decode_error"],
  [
    "a version list with something behind it",
    extension(EXTENSION.supported_versions, Uint8Array.of(2, 3, 4, 0)),
    "decode_error",
  ],
  [
    "rfc8446#9.2 no signature_algorithms",
    extension(EXTENSION.signature_algorithms, null),
    "missing_extension",
  ],
  ["rfc8446#9.2 no supported_groups", extension(EXTENSION.supported_groups, null), "missing_extension"],
  ["rfc8446#9.2 no key_share", extension(EXTENSION.key_share, null), "missing_extension"],
  ["empty signature_algorithms", extension(EXTENSION.signature_algorithms, u16s()), "decode_error"],
  ["empty supported_groups", extension(EXTENSION.supported_groups, u16s()), "decode_error"],
  ["an empty share list asks for a retry", extension(EXTENSION.key_share, share()), "none"],
  ["an empty share", extension(EXTENSION.key_share, share([GROUP.x25519, empty])), "decode_error"],
  [
    "a short X25519 share",
    extension(EXTENSION.key_share, share([GROUP.x25519, X.subarray(1)])),
    "illegal_parameter",
  ],
  [
    "rfc8446#7.4.2 an all-zero result",
    extension(EXTENSION.key_share, share([GROUP.x25519, new Uint8Array(32)])),
    "illegal_parameter",
  ],
  [
    "rfc8446#4.2.8.2 a point off the curve",
    extension(EXTENSION.key_share, share([GROUP.secp256r1, new Uint8Array(65).fill(4)])),
    "illegal_parameter",
  ],
  [
    "rfc8446#4.2.8 two shares of one group",
    extension(EXTENSION.key_share, share([GROUP.x25519, X], [GROUP.x25519, X])),
    "illegal_parameter",
  ],
  [
    "rfc8446#4.2.8 a share outside of supported_groups",
    extension(EXTENSION.key_share, share([GROUP.secp384r1, X])),
    "illegal_parameter",
  ],
  ["a share cut off", extension(EXTENSION.key_share, Uint8Array.of(0, 3, 0, 29, 0)), "decode_error"],
  [
    "no group in common",
    (h) => {
      setExtension(h.extensions, EXTENSION.supported_groups, u16s(0x0100));
      setExtension(h.extensions, EXTENSION.key_share, share());
    },
    "handshake_failure",
  ],
  [
    "no signature scheme in common",
    extension(EXTENSION.signature_algorithms, u16s(0x0203, 0x0401)),
    "handshake_failure",
  ],
  [
    "rfc9001#8.1 no ALPN",
    extension(EXTENSION.application_layer_protocol_negotiation, null),
    "no_application_protocol",
  ],
  [
    "rfc7301#3.1 an empty protocol list",
    extension(EXTENSION.application_layer_protocol_negotiation, u16s()),
    "decode_error",
  ],
  [
    "rfc7301#3.1 an empty protocol name",
    extension(EXTENSION.application_layer_protocol_negotiation, Uint8Array.of(0, 4, 0, 2, 104, 51)),
    "decode_error",
  ],
  [
    "rfc9001#8.2 no transport parameters",
    extension(EXTENSION.quic_transport_parameters, null),
    "missing_extension",
  ],
  ["an empty server name", extension(EXTENSION.server_name, names([0, ""])), "decode_error"],
  ["an empty list of server names", extension(EXTENSION.server_name, Uint8Array.of(0, 0)), "decode_error"],
  [
    "rfc6066#3 two host names",
    extension(EXTENSION.server_name, names([0, "a"], [0, "b"])),
    "illegal_parameter",
  ],
  ["a server name of another type", extension(EXTENSION.server_name, names([7, "a"], [0, "b"])), "none"],
  ["a server name with a NUL", extension(EXTENSION.server_name, names([0, "a\0b"])), "illegal_parameter"],
  [
    "rfc6066#3 a literal address is no name",
    extension(EXTENSION.server_name, names([0, "192.0.2.1"])),
    "none",
  ],
  [
    "rfc8446#4.2 an extension twice",
    (h) => h.extensions.push([EXTENSION.quic_transport_parameters, empty]),
    "illegal_parameter",
  ],
  [
    "an unknown extension twice",
    (h) => h.extensions.push([0x1a1a, empty], [0x1a1a, empty]),
    "illegal_parameter",
  ],
  [
    "rfc8446#4.2 an extension of CertificateRequest",
    extension(EXTENSION.oid_filters, empty),
    "illegal_parameter",
  ],
  ["an unknown extension", extension(0xfafa, X), "none"],
  [
    "rfc8446#4.2.11 pre_shared_key is not last",
    (h) => h.extensions.unshift([EXTENSION.pre_shared_key, PSKS]),
    "illegal_parameter",
  ],
  [
    "rfc8446#4.2.9 pre_shared_key without modes",
    (h) => {
      setExtension(h.extensions, EXTENSION.psk_key_exchange_modes, null);
      h.extensions.push([EXTENSION.pre_shared_key, PSKS]);
    },
    "missing_extension",
  ],
  [
    "psk_key_exchange_modes without modes",
    extension(EXTENSION.psk_key_exchange_modes, empty),
    "decode_error",
  ],
  ["pre_shared_key that is none", (h) => h.extensions.push([EXTENSION.pre_shared_key, X]), "decode_error"],
  [
    "early_data with contents",
    (h) => h.extensions.push([EXTENSION.early_data, X], [EXTENSION.pre_shared_key, PSKS]),
    "decode_error",
  ],
  ["early_data without PSK, which is ignored", extension(EXTENSION.early_data, empty), "none"],
  [
    "rfc8446#4.2.11 an identity without binder",
    (h) => h.extensions.push([EXTENSION.pre_shared_key, psks([X, X], [X])]),
    "illegal_parameter",
  ],
  [
    "a binder that is too short",
    (h) => h.extensions.push([EXTENSION.pre_shared_key, psks([X], [X.subarray(1)])]),
    "decode_error",
  ],
  ["no PSK at all", (h) => h.extensions.push([EXTENSION.pre_shared_key, psks([], [])]), "decode_error"],
  [
    "rfc8446#9.2 an unknown PSK in place of signature_algorithms",
    (h) => {
      setExtension(h.extensions, EXTENSION.signature_algorithms, null);
      h.extensions.push([EXTENSION.pre_shared_key, PSKS]);
    },
    "missing_extension",
  ],
  [
    "rfc8446#9.2 an unknown PSK in place of groups and shares",
    (h) => {
      setExtension(h.extensions, EXTENSION.supported_groups, null);
      setExtension(h.extensions, EXTENSION.key_share, null);
      h.extensions.push([EXTENSION.pre_shared_key, PSKS]);
    },
    "missing_extension",
  ],
  [
    "rfc8446#9.2 groups without key_share, though there is a PSK",
    (h) => {
      setExtension(h.extensions, EXTENSION.key_share, null);
      h.extensions.push([EXTENSION.pre_shared_key, PSKS]);
    },
    "missing_extension",
  ],
  [
    "pre_shared_key and early_data that we do not take",
    (h) => h.extensions.push([EXTENSION.early_data, empty], [EXTENSION.pre_shared_key, PSKS]),
    "none",
  ],
];

for (const [what, change, expected] of CASES) {
  test(`ClientHello: ${what} -> ${expected}`, () => {
    assert.equal(answer(changeHello(FIRST, change)), expected);
  });
}

test("a ClientHello without an extensions field is an older TLS: protocol_version", () => {
  const end = 4 + 2 + 32 + 1 + 2 + FIRST[39]! * 256 + FIRST[40]! + 2;
  assert.equal(answer(handshake(1, FIRST.subarray(4, end))), "protocol_version");
});

test("rfc8446#6 what does not parse is a decode_error, wherever it is cut", () => {
  for (let end = 4; end < FIRST.length; end++) {
    const result = answer(handshake(1, FIRST.subarray(4, end)));
    assert.ok(result === "decode_error" || result === "protocol_version", `${end}: ${result}`);
  }
  assert.equal(answer(handshake(1, Buffer.concat([FIRST.subarray(4), X]))), "decode_error");
});

test("other messages than ClientHello: unexpected_message, as soon as the type is there", () => {
  for (let type = 0; type < 256; type++) {
    if (type !== 1) assert.equal(answer(Uint8Array.of(type)), "unexpected_message");
  }
});

test("a message over the limit is refused by its header", () => {
  assert.equal(answer(Uint8Array.of(1, 0xff, 0xff, 0xff)), "decode_error");
});

test("rfc9001#4.1.3 CRYPTO data at another level than the current: PROTOCOL_VIOLATION", () => {
  for (const level of [HANDSHAKE, APPLICATION, ZERO_RTT] as const) {
    assert.equal(answer(FIRST, level), "PROTOCOL_VIOLATION");
  }
  const p = pair();
  p.server.receive(INITIAL, FIRST, NOW);
  // rfc9001#4.1.3 data from a previously installed encryption level MUST NOT extend past what was received.
  assert.equal(
    failureOf(() => p.server.receive(INITIAL, Uint8Array.of(1), NOW)),
    "PROTOCOL_VIOLATION",
  );
});

test("rfc8446#5.1 messages MUST NOT span key changes", () => {
  assert.equal(answer(Buffer.concat([FIRST, Uint8Array.of(20)])), "PROTOCOL_VIOLATION");
  const behindFinished = () =>
    connect(
      {},
      edit("client", HANDSHAKE_TYPE.finished, (bytes) => Buffer.concat([bytes, Uint8Array.of(24)])),
    );
  assert.equal(failureOf(behindFinished), "PROTOCOL_VIOLATION");
});

// The second ClientHello

const RETRY = { client: { groups: ["x25519", "secp256r1"] }, server: { groups: ["secp256r1"] } } as const;
const second = (change: (hello: RawHello) => void) =>
  failureOf(() =>
    connect(
      RETRY,
      edit("client", 1, (bytes, nth) => (nth === 0 ? bytes : changeHello(bytes, change))),
    ),
  );

const SECOND: readonly [what: string, change: (hello: RawHello) => void, expected: string][] = [
  ["another random", (h) => (h.random = X), "illegal_parameter"],
  ["other suites", (h) => (h.suites = [0x1302]), "illegal_parameter"],
  ["another name", extension(EXTENSION.server_name, names([0, "b.example"])), "illegal_parameter"],
  ["no name", extension(EXTENSION.server_name, null), "illegal_parameter"],
  ["other groups", extension(EXTENSION.supported_groups, u16s(GROUP.secp256r1)), "illegal_parameter"],
  [
    "other protocols",
    extension(EXTENSION.application_layer_protocol_negotiation, Uint8Array.of(0, 5, 2, 104, 51, 1, 120)),
    "illegal_parameter",
  ],
  ["other transport parameters", extension(EXTENSION.quic_transport_parameters, X), "illegal_parameter"],
  ["a new extension", extension(EXTENSION.post_handshake_auth, empty), "illegal_parameter"],
  ["early_data", extension(EXTENSION.early_data, empty), "illegal_parameter"],
  ["the share of the first", extension(EXTENSION.key_share, share([GROUP.x25519, X])), "illegal_parameter"],
  ["no share again", extension(EXTENSION.key_share, share()), "illegal_parameter"],
  [
    "a share too many",
    (h) => {
      const at = h.extensions.findIndex(([type]) => type === EXTENSION.key_share);
      const data = h.extensions[at]![1].subarray(2);
      h.extensions[at]![1] = encode((out) =>
        out.opaque(2, Buffer.concat([data, Uint8Array.of(0, 29, 0, 1, 0)])),
      );
    },
    "illegal_parameter",
  ],
  // rfc8446#4.1.2 these may change; the transcripts then differ, which is the client's first chance to notice.
  ["padding", extension(EXTENSION.padding, X), "decrypt_error"],
  ["another unknown extension", extension(0x2a2a, X), "decrypt_error"],
];
for (const [what, change, expected] of SECOND) {
  test(`second ClientHello: ${what} -> ${expected}`, () => assert.equal(second(change), expected));
}

test("a third ClientHello: PROTOCOL_VIOLATION, the level is over", () => {
  const p = pair(RETRY);
  p.client.start(NOW);
  p.server.receive(INITIAL, p.c.sent.shift()!.bytes, NOW);
  p.client.receive(INITIAL, p.s.sent.shift()!.bytes, NOW);
  p.server.receive(INITIAL, p.c.sent.shift()!.bytes, NOW);
  assert.equal(p.s.sent.length, 5, "ServerHello to Finished");
  assert.equal(
    failureOf(() => p.server.receive(INITIAL, FIRST, NOW)),
    "PROTOCOL_VIOLATION",
  );
});

// The client's second flight

const AUTH = { client: { identity: identity() }, server: { clientAuth: "require" } } as const;
const flight = (type: number, change: (bytes: Uint8Array) => Uint8Array | null) =>
  failureOf(() => connect(AUTH, edit("client", type, change)));
const { certificate, certificate_verify, finished } = HANDSHAKE_TYPE;

test("a wrong Finished is a decrypt_error, one of another length a decode_error", () => {
  const flip = (bytes: Uint8Array) => {
    const copy = bytes.slice();
    copy[copy.length - 1]! ^= 1;
    return copy;
  };
  assert.equal(flight(finished, flip), "decrypt_error");
  assert.equal(flight(certificate_verify, flip), "decrypt_error");
  assert.equal(
    flight(finished, (bytes) => handshake(finished, bytes.subarray(5))),
    "decode_error",
  );
  assert.equal(
    flight(finished, (bytes) => handshake(finished, Buffer.concat([bytes.subarray(4), X]))),
    "decode_error",
  );
});

test("rfc8446#4 messages left out or out of order: unexpected_message", () => {
  for (const type of [certificate, certificate_verify]) {
    assert.equal(
      flight(type, () => null),
      "unexpected_message",
    );
  }
  assert.equal(
    flight(certificate, (bytes) => Buffer.concat([bytes, bytes])),
    "unexpected_message",
  );
  // Not asked for a certificate, but sends one.
  assert.equal(
    failureOf(() =>
      connect(
        {},
        edit("client", finished, () => handshake(certificate, Uint8Array.of(0, 0, 0, 0))),
      ),
    ),
    "unexpected_message",
  );
  // rfc9001#8.3 EndOfEarlyData is not used.
  assert.equal(
    flight(certificate, () => handshake(HANDSHAKE_TYPE.end_of_early_data, empty)),
    "unexpected_message",
  );
});

test("certificates of the client that are none", () => {
  const list = (...entries: Uint8Array[]) =>
    encode((out) => {
      out.u8(0);
      out.vector(3, () => {
        for (const entry of entries) {
          out.opaque(3, entry);
          out.bytes(writeBlock([]));
        }
      });
    });
  const is = (body: Uint8Array) => flight(certificate, () => handshake(certificate, body));
  assert.equal(is(list()), "certificate_required");
  assert.equal(is(list(empty)), "decode_error");
  assert.equal(is(list(X)), "bad_certificate");
  assert.equal(is(list(...Array.from({ length: 17 }, () => X))), "bad_certificate");
  assert.equal(is(Buffer.concat([list(), X])), "decode_error");
  // rfc8446#4.4.2 the context is that of the request, which is empty.
  assert.equal(is(Buffer.concat([Uint8Array.of(1, 5), list().subarray(1)])), "illegal_parameter");
  // rfc8446#4.2 an extension that was not asked for
  const withExtension = encode((out) => {
    out.u8(0);
    out.vector(3, () => {
      out.opaque(3, X);
      out.bytes(writeBlock([[EXTENSION.status_request, X]]));
    });
  });
  assert.equal(is(withExtension), "unsupported_extension");
});

test("CertificateVerify by a scheme that was not offered, or is not for handshakes: illegal_parameter", () => {
  const scheme = (id: number) => (bytes: Uint8Array) => {
    const copy = bytes.slice();
    copy[4] = id >> 8;
    copy[5] = id & 255;
    return copy;
  };
  assert.equal(flight(certificate_verify, scheme(0x0203)), "illegal_parameter");
  // rfc8446#4.2.3 RSASSA-PKCS1-v1_5 is for certificates only.
  assert.equal(flight(certificate_verify, scheme(0x0401)), "illegal_parameter");
  // The key is of another kind than the scheme.
  assert.equal(flight(certificate_verify, scheme(0x0807)), "illegal_parameter");
  assert.equal(flight(certificate_verify, scheme(0x0503)), "illegal_parameter");
});

test("after the handshake a client has nothing to say: unexpected_message", () => {
  for (const type of [1, 4, 20, HANDSHAKE_TYPE.key_update, 99]) {
    const p = connect();
    assert.equal(
      failureOf(() => p.server.receive(APPLICATION, Uint8Array.of(type, 0, 0, 1, 0), NOW)),
      "unexpected_message",
    );
  }
});

test("errors of the sink pass through unchanged", () => {
  const p = pair();
  p.s.peerParameters = "already there";
  assert.equal(
    failureOf(() => p.server.receive(INITIAL, FIRST, NOW)),
    "internal_error",
  );
});
