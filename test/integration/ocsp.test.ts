// OCSP stapling and what connectionState() shows, over real sockets.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { InvalidOptionError, memorySessionCache, type PeerInfo, Transport } from "../../src/index.ts";
import {
  authority,
  certificate,
  clientTls,
  leaf,
  noUnhandledRejections,
  pair,
  serverTls,
  until,
} from "./pair.ts";

noUnhandledRejections();

const response = new Uint8Array(900).fill(48);
const client = { requestOCSP: true, sessionCache: null } as const;
const got = async (server: object) => {
  await using it = await pair({ server, client });
  return it.client.connectionState().ocspResponse;
};

test("a fixed response, replaced at run time, seen by a verifier too", async () => {
  let told: PeerInfo | null = null;
  await using it = await pair({ server: { ocspResponse: response }, client });
  assert.deepEqual(it.client.connectionState().ocspResponse, response);
  assert.equal(it.server.connectionState().ocspResponse, null);
  const newer = new Uint8Array(10);
  it.listener.setIdentity({ ...leaf, ocspResponse: newer });
  const target = `127.0.0.1:${it.listener.address().port}`;
  const verifyPeer = (peer: PeerInfo) => void (told = peer);
  const conn = await it.dialer.dial(target, { ...clientTls, ...client, verifyPeer });
  assert.deepEqual(conn.connectionState().ocspResponse, newer);
  assert.deepEqual((told as PeerInfo | null)!.ocspResponse, newer);
  const silent = await it.dialer.dial(target, { ...clientTls, sessionCache: null });
  assert.equal(silent.connectionState().ocspResponse, null);
});

test("a callback: answers, has none, fails, and is asked for those who want it alone", async () => {
  const asked: (readonly Uint8Array[])[] = [];
  assert.deepEqual(
    await got({
      ocspCallback: async (chain: readonly Uint8Array[]) => {
        asked.push(chain);
        return response;
      },
    }),
    response,
  );
  assert.deepEqual(asked[0]![0], new Uint8Array(leaf.der.cert));
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning);
  process.on("warning", onWarning);
  assert.equal(await got({ ocspCallback: () => null }), null);
  assert.equal(await got({ ocspCallback: () => undefined }), null);
  assert.equal(warnings.length, 0);
  assert.equal(await got({ ocspCallback: () => Promise.reject(new Error("responder is down")) }), null);
  assert.equal(await got({ ocspCallback: () => "nonsense" }), null);
  await until(() => warnings.length === 2, "warnings");
  process.off("warning", onWarning);
  let calls = 0;
  await using it = await pair({ server: { ocspCallback: () => void calls++ } });
  assert.equal(calls, 0);
  assert.equal(it.client.connectionState().ocspResponse, null);
});

test("a response for each identity and each client hello", async () => {
  const other = certificate({ issuedBy: authority, altNames: ["other.example"] });
  await using it = await pair({
    server: {
      onClientHello: ({ requestOCSP }) => (requestOCSP ? { ...leaf, ocspResponse: response } : null),
    },
    client,
  });
  assert.deepEqual(it.client.connectionState().ocspResponse, response);
  await using sni = await pair({
    server: { SNICallback: () => ({ key: other.key, cert: other.cert, ocspResponse: new Uint8Array(3) }) },
    client: { ...client, servername: "other.example" },
  });
  assert.equal(sni.client.connectionState().ocspResponse!.length, 3);
});

test("connectionState(): own certificates, key agreement, for both sides", async () => {
  const mine = certificate({ issuedBy: authority, altNames: ["client.example"] });
  await using it = await pair({
    server: { requestCert: true, ca: authority.cert, groups: ["secp384r1"], ciphers: ["aes-256-gcm"] },
    client: { key: mine.key, cert: mine.cert },
  });
  const [c, s] = [it.client.connectionState(), it.server.connectionState()];
  const pem = (list: readonly X509Certificate[]) => list.map((each) => each.fingerprint256);
  assert.deepEqual(pem(c.localCertificates), [new X509Certificate(mine.cert).fingerprint256]);
  assert.deepEqual(pem(s.localCertificates), [new X509Certificate(leaf.cert).fingerprint256]);
  assert.deepEqual(pem(c.peerCertificates), pem(s.localCertificates));
  assert.deepEqual(pem(s.peerCertificates), pem(c.localCertificates));
  for (const state of [c, s]) {
    assert.equal(state.cipher, "TLS_AES_256_GCM_SHA384");
    assert.equal(state.group, "secp384r1");
    assert.deepEqual(state.ephemeralKeyInfo, { type: "ECDH", name: "secp384r1", size: 384 });
  }
  await using hybrid = await pair({ server: { groups: ["X25519MLKEM768"] } });
  assert.equal(hybrid.client.connectionState().ephemeralKeyInfo!.type, "hybrid");
  assert.deepEqual(hybrid.client.connectionState().localCertificates, []);
});

test("a resumed connection shows no certificate of ours and no response", async () => {
  const sessionCache = memorySessionCache();
  let tickets = 0;
  const onSessionTicket = () => void tickets++;
  const tls = { ...client, sessionCache, onSessionTicket };
  await using it = await pair({ server: { ocspResponse: response }, client: tls });
  await until(() => tickets > 0, "a ticket");
  const again = await it.dialer.dial(`127.0.0.1:${it.listener.address().port}`, { ...clientTls, ...tls });
  const state = again.connectionState();
  assert.equal(state.didResume, true);
  assert.equal(state.ocspResponse, null);
  assert.deepEqual((await it.listener.accept()).connectionState().localCertificates, []);
});

test("what is no response is refused", async () => {
  await using transport = new Transport({ address: "127.0.0.1" });
  const ocspResponse = "base64?" as unknown as Uint8Array;
  await assert.rejects(transport.listen({ ...serverTls, ocspResponse }), InvalidOptionError);
  const requestOCSP = "yes" as unknown as boolean;
  await assert.rejects(transport.dial("127.0.0.1:9", { ...clientTls, requestOCSP }), InvalidOptionError);
});
