// Stapled OCSP responses: asked for, given, late, malformed.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { INITIAL } from "../../internal/protocol/constants.ts";
import { encode } from "../../internal/tls/codec.ts";
import { EXTENSION } from "../../internal/tls/extensions.ts";
import { decodeCertificate, encodeCertificate, HANDSHAKE_TYPE } from "../../internal/tls/messages.ts";
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
  NOW,
  pair,
  pump,
  readHello,
  setExtension,
  writeBlock,
  type PairOptions,
} from "./harness.ts";

const RESPONSE = new Uint8Array(500).map((_, i) => i);
const stapled = { ...identity(), ocspResponse: RESPONSE };
const asking: PairOptions["client"] = { statusRequest: true };

test("a client that asks gets what the identity has; one that does not gets none", () => {
  const p = connect({ server: { identity: stapled }, client: asking });
  assertConnected(p);
  assert.deepEqual(p.client.ocspResponse, RESPONSE);
  assert.equal(p.server.ocspResponse, null);
  assert.deepEqual(p.server.localChain, stapled.chain);
  assert.deepEqual(p.client.localChain, []);
  const q = connect({ server: { identity: stapled } });
  assertConnected(q);
  assert.equal(q.client.ocspResponse, null);
  const r = connect({ client: asking });
  assertConnected(r);
  assert.equal(r.client.ocspResponse, null);
});

test("it goes through a HelloRetryRequest", () => {
  const options = { server: { identity: stapled, groups: ["secp256r1"] as const }, client: asking };
  const p = connect(options);
  assertConnected(p);
  assert.deepEqual(p.client.ocspResponse, RESPONSE);
});

test("asked for where it is not at hand: given, or not, and only for clients that want it", () => {
  for (const answer of [RESPONSE, null]) {
    const p = pair({ server: { ocsp: "pending" }, client: asking });
    p.client.start(NOW);
    pump(p);
    const [request] = p.s.requests;
    assert.ok(request?.kind === "ocsp");
    assert.deepEqual(request.identity.chain, identity().chain);
    assert.equal(p.s.sent.length, 0);
    p.server.provide(request.id, answer, NOW);
    pump(p);
    assertConnected(p);
    assert.deepEqual(p.client.ocspResponse, answer);
  }
  const unasked = connect({ server: { ocsp: "pending" } });
  assertConnected(unasked);
  const own = connect({ server: { ocsp: "pending", identity: stapled }, client: asking });
  assertConnected(own);
  assert.deepEqual(own.client.ocspResponse, RESPONSE);
});

test("a verifier is told", () => {
  const p = pair({ server: { identity: stapled }, client: { ...asking, verify: "pending" } });
  p.client.start(NOW);
  pump(p);
  const [request] = p.c.requests;
  assert.ok(request?.kind === "verify");
  assert.deepEqual(request.ocspResponse, RESPONSE);
});

test("node:tls asks in the same bytes", async () => {
  const hello = await new Promise<Buffer>((resolve, reject) => {
    const server = createServer((socket) => {
      let all = Buffer.alloc(0);
      socket.on("data", (data) => {
        all = Buffer.concat([all, data]);
        if (all.length < 5 || all.length < 5 + all.readUInt16BE(3)) return;
        resolve(all.subarray(5));
        socket.destroy();
        server.close();
      });
      socket.on("error", () => {});
    });
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      const options = { port, host: "127.0.0.1", requestOCSP: true, minVersion: "TLSv1.3" } as const;
      tlsConnect(options).on("error", () => {});
    });
    server.on("error", reject);
  });
  const extension = (raw: Uint8Array) =>
    readHello(raw).extensions.find(([type]) => type === EXTENSION.status_request)?.[1];
  const theirs = extension(hello);
  assert.ok(theirs !== undefined);
  assert.deepEqual(extension(firstFlight({ client: asking })), new Uint8Array(theirs));
  assert.equal(extension(firstFlight()), undefined);
});

test("a server's bad extensions: not asked for, of another kind, empty, cut off, too long", () => {
  const { cert } = certificate("ec-p256");
  const body = (extensions: [number, Uint8Array][]) =>
    encode((out) => {
      out.opaque(1, new Uint8Array(0));
      out.vector(3, () => {
        out.opaque(3, cert);
        out.bytes(writeBlock(extensions));
      });
    });
  const fails = (data: Uint8Array, client: PairOptions["client"] = asking) => {
    const message = handshake(HANDSHAKE_TYPE.certificate, body([[EXTENSION.status_request, data]]));
    return failureOf(() =>
      connect(
        { client },
        edit("server", HANDSHAKE_TYPE.certificate, () => message),
      ),
    );
  };
  const good = Uint8Array.of(1, 0, 0, 2, 7, 7);
  // What is well-formed is only found out by the signature over the transcript.
  assert.equal(fails(good), "decrypt_error");
  // rfc8446#4.2 a response without a request: "unsupported_extension"
  assert.equal(fails(good, {}), "unsupported_extension");
  assert.equal(fails(Uint8Array.of(2, 0, 0, 1, 7)), "illegal_parameter");
  assert.equal(fails(Uint8Array.of(1, 0, 0, 0)), "decode_error");
  assert.equal(fails(Uint8Array.of(1, 0, 0, 9, 7)), "decode_error");
  assert.equal(fails(Uint8Array.of(1, 0, 0, 1, 7, 7)), "decode_error");
  assert.equal(fails(new Uint8Array(0)), "decode_error");
});

test("a response to another certificate than the leaf is read and not kept", () => {
  const status = Uint8Array.of(1, 0, 0, 1, 7);
  const { cert } = certificate("ec-p256");
  const body = encode((out) => {
    out.opaque(1, new Uint8Array(0));
    out.vector(3, () => {
      for (const extensions of [[], [[EXTENSION.status_request, status]]] as [number, Uint8Array][][]) {
        out.opaque(3, cert);
        out.bytes(writeBlock(extensions));
      }
    });
  });
  const offered = new Set([EXTENSION.status_request]);
  assert.equal(decodeCertificate(body, offered).ocspResponse, null);
  assert.equal(decodeCertificate(body, offered).chain.length, 2);
  const again = encodeCertificate([cert, cert], RESPONSE).subarray(4);
  assert.deepEqual(decodeCertificate(again, offered).ocspResponse, RESPONSE);
});

test("a client's bad extensions, and kinds of status nobody knows", () => {
  const served = (data: Uint8Array) => {
    const hello = changeHello(firstFlight(), ({ extensions }) =>
      setExtension(extensions, EXTENSION.status_request, data),
    );
    const p = pair({ server: { identity: stapled } });
    return failureOf(() => p.server.receive(INITIAL, hello, NOW));
  };
  assert.equal(served(Uint8Array.of(1, 0, 0, 0, 0)), "none");
  assert.equal(served(Uint8Array.of(1, 0, 3, 0, 1, 9, 0, 2, 1, 1)), "none", "responders and extensions");
  assert.equal(served(Uint8Array.of(2, 1, 2, 3)), "none");
  for (const bad of [[], [1], [1, 0, 0], [1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0], [1, 0, 2, 0, 0, 0, 0]]) {
    assert.equal(served(Uint8Array.from(bad)), "decode_error", bad.join());
  }
});
