// Messages and fuzzing inputs of other stacks: whatever comes, the outcome is a typed error or progress.
import assert from "node:assert/strict";
import { test } from "node:test";
import { HANDSHAKE, INITIAL, type Level } from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { decodeClientHello } from "../../internal/tls/client-hello.ts";
import {
  decodeCertificate,
  decodeCertificateRequest,
  decodeCertificateVerify,
  decodeEncryptedExtensions,
  decodeFinished,
  decodeNewSessionTicket,
  decodeServerHello,
  HANDSHAKE_TYPE,
} from "../../internal/tls/messages.ts";
import { leafKey } from "../../internal/tls/leaf-key.ts";
import type { TlsMachine } from "../../internal/tls/machine.ts";
import { needsVectors, vectorFiles } from "../vectors.ts";
import { connect, failureOf, handshake, identity, NOW, pair, seeded } from "./harness.ts";

/** All that a ServerHello may answer, so that the samples are judged by their form. */
const ANY = new Set(Array.from({ length: 65536 }, (_, i) => i));

/** Feeds a machine; returns how it ended. internal_error would be a bug. */
function feed(machine: TlsMachine, level: Level, bytes: Uint8Array, name: string): string {
  const result = failureOf(() => machine.receive(level, bytes, NOW));
  assert.notEqual(result, "internal_error", name);
  return result;
}

function freshClient(): TlsMachine {
  const p = pair();
  p.client.start(NOW);
  return p.client;
}

let serverHello: Uint8Array | null = null;

/** A client that has its handshake keys. (The seed is the same, so one ServerHello fits all.) */
function clientAtHandshake(): TlsMachine {
  const p = pair();
  p.client.start(NOW);
  if (serverHello === null) {
    p.server.receive(INITIAL, p.c.sent[0]!.bytes, NOW);
    serverHello = p.s.sent[0]!.bytes;
  }
  p.client.receive(INITIAL, serverHello, NOW);
  return p.client;
}

/** The handshake messages in a stream of TLS records, or nothing where it is not one. */
function* records(bytes: Uint8Array): Generator<Uint8Array> {
  let at = 0;
  while (at + 5 <= bytes.length) {
    const length = bytes[at + 3]! * 256 + bytes[at + 4]!;
    if (bytes[at] === 22) yield bytes.subarray(at + 5, at + 5 + length);
    at += 5 + length;
  }
}

for (const [folder, make] of [
  ["fuzz-client-hello-corpus", () => pair().server],
  ["fuzz-server-hello-corpus", freshClient],
] as const) {
  const path = ["fuzz", "picotls", "fuzz", folder] as const;
  test(`picotls ${folder}`, needsVectors(...path), () => {
    const type = folder.includes("client") ? HANDSHAKE_TYPE.client_hello : HANDSHAKE_TYPE.server_hello;
    let n = 0;
    for (const [name, bytes] of vectorFiles(...path)) {
      n++;
      // As it stands, as the body of the message it is for, and as TLS records.
      feed(make(), INITIAL, bytes, name);
      if (bytes.length <= 65535) feed(make(), INITIAL, handshake(type, bytes), name);
      for (const message of records(bytes)) feed(make(), INITIAL, message, name);
    }
    assert.ok(n > 50);
  });
}

const RUSTLS = ["fuzz", "rustls", "fuzz", "corpus"] as const;
test("rustls corpus", needsVectors(...RUSTLS), () => {
  let n = 0;
  for (const [name, bytes] of vectorFiles(...RUSTLS)) {
    n++;
    for (const message of [bytes, ...records(bytes)]) {
      feed(pair().server, INITIAL, message, name);
      feed(freshClient(), INITIAL, message, name);
      feed(clientAtHandshake(), HANDSHAKE, message, name);
    }
  }
  assert.ok(n > 10);
});

/** Which decoder a message is for. */
function decode(message: Uint8Array): unknown {
  const body = message.subarray(4);
  assert.equal(body.length, message[1]! * 65536 + message[2]! * 256 + message[3]!);
  switch (message[0]) {
    case HANDSHAKE_TYPE.client_hello:
      return decodeClientHello(body);
    case HANDSHAKE_TYPE.server_hello:
      return decodeServerHello(body, ANY);
    case HANDSHAKE_TYPE.encrypted_extensions:
      return decodeEncryptedExtensions(body, ANY);
    case HANDSHAKE_TYPE.certificate:
      return leafKey(decodeCertificate(body, ANY).chain[0]!);
    case HANDSHAKE_TYPE.certificate_request:
      return decodeCertificateRequest(body);
    case HANDSHAKE_TYPE.certificate_verify:
      return decodeCertificateVerify(body);
    case HANDSHAKE_TYPE.finished:
      return decodeFinished(body, 32);
    case HANDSHAKE_TYPE.new_session_ticket:
      return decodeNewSessionTicket(body);
  }
  throw new Error(`unknown message ${message[0]}`);
}

/** Samples that are not what QUIC takes, and what is said to them. */
const AIOQUIC = ["wire-samples", "aioquic-tls"] as const;
const REFUSED: Readonly<Record<string, string>> = {
  // Samples of TLS over TCP: with a session ID, or without transport parameters.
  "tls_client_hello.bin": "PROTOCOL_VIOLATION",
  "tls_client_hello_with_alpn.bin": "missing_extension",
  "tls_client_hello_with_psk.bin": "PROTOCOL_VIOLATION",
  "tls_client_hello_with_sni.bin": "PROTOCOL_VIOLATION",
  "tls_server_hello.bin": "illegal_parameter",
  "tls_server_hello_with_psk.bin": "illegal_parameter",
  "tls_server_hello_with_unknown_extension.bin": "illegal_parameter",
};

test("aioquic's messages decode, or are refused for a reason", needsVectors(...AIOQUIC), () => {
  const results: string[] = [];
  for (const [name, bytes] of vectorFiles(...AIOQUIC)) {
    const result = failureOf(() => decode(bytes));
    if (result !== "none") results.push(`${name} ${result}`);
  }
  assert.deepEqual(
    results,
    Object.entries(REFUSED).map(([name, result]) => `${name} ${result}`),
  );
});

test("mutated messages of both sides only give typed errors", () => {
  const random = seeded(20);
  const next = (n: number) => {
    const bytes = new Uint8Array(4);
    random(bytes);
    return new DataView(bytes.buffer).getUint32(0) % n;
  };
  const outcomes = new Map<string, number>();
  for (let round = 0; round < 400; round++) {
    // One message of the handshake is changed in one place: a byte, a cut, an insertion.
    const victim = next(9);
    let nth = 0;
    const auth = {
      client: { identity: identity() },
      server: { clientAuth: "request" },
      seed: 1,
    } as const;
    let result: string;
    try {
      result = failureOf(() =>
        connect(auth, (_, sent) => {
          if (nth++ !== victim) return sent.bytes;
          const bytes = sent.bytes;
          const at = next(bytes.length);
          const kind = next(4);
          if (kind === 0) return bytes.slice(0, at);
          if (kind === 1)
            return Buffer.concat([bytes.subarray(0, at), Uint8Array.of(next(256)), bytes.subarray(at)]);
          const copy = bytes.slice();
          copy[at] = kind === 2 ? next(256) : copy[at]! ^ (1 << next(8));
          return copy;
        }),
      );
    } catch (error) {
      assert.fail(`round ${round}: ${error instanceof TransportError ? error.message : String(error)}`);
    }
    outcomes.set(result, (outcomes.get(result) ?? 0) + 1);
  }
  assert.equal(outcomes.get("internal_error"), undefined);
  assert.ok(outcomes.size >= 6, [...outcomes.keys()].join());
});
