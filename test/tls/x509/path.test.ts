import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import * as nodeTls from "node:tls";
import { DER_BIT_STRING, DER_INTEGER, DER_OID, DER_SEQUENCE, derTlv } from "../../../internal/crypto/der.ts";
import { nobleProvider } from "../../../internal/crypto/noble.ts";
import { ALERT } from "../../../internal/protocol/constants.ts";
import { MAX_CHAIN_LENGTH, MAX_PATH_SIGNATURE_CHECKS } from "../../../internal/protocol/limits.ts";
import type { CertificateAndKey } from "../../../internal/tls/self-signed.ts";
import { encodeOid, EXT } from "../../../internal/tls/x509/oid.ts";
import { loadTrustAnchors, verifyChain } from "../../../internal/tls/x509/path.ts";
import { REASON_ALERT, type CertificateReason } from "../../../internal/tls/x509/reasons.ts";
import { intermediate, leaf, make, NOW, provider, root, verdict, verify, YEAR } from "./helpers.ts";

const ROOT = root();
const MIDDLE = intermediate(ROOT);
const LEAF = leaf(MIDDLE);

const rsaKey = (bits: number, type: "rsa" | "rsa-pss" = "rsa"): Uint8Array =>
  new Uint8Array(
    generateKeyPairSync(type as "rsa", { modulusLength: bits }).privateKey.export({
      type: "pkcs8",
      format: "der",
    }),
  );

test("a leaf, an intermediate and a root", () => {
  assert.equal(verdict([LEAF, MIDDLE], [ROOT]), "ok");
  assert.equal(verdict([leaf(ROOT)], [ROOT]), "ok");
});

test("order does not matter, and superfluous certificates are tolerated", () => {
  const second = intermediate(MIDDLE, { subject: "CN=Second" });
  const deep = leaf(second);
  const stranger = root({ subject: "CN=Stranger" });
  assert.equal(verdict([deep, second, MIDDLE, ROOT], [ROOT]), "ok");
  assert.equal(verdict([deep, ROOT, stranger, MIDDLE, LEAF, second, second], [ROOT]), "ok");
  const garbage = { cert: Uint8Array.of(1, 2, 3), key: ROOT.key };
  assert.equal(verdict([deep, garbage, MIDDLE, second], [ROOT]), "ok");
});

test("an unreadable certificate that was needed is told of", () => {
  const broken = { cert: MIDDLE.cert.subarray(0, 100), key: MIDDLE.key };
  const result = verify([LEAF, broken], [ROOT]);
  assert.ok(!result.ok);
  assert.equal(result.certificateReason, "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  assert.match(result.reason, /certificate 2 of the chain: malformed/);
});

test("an intermediate or a leaf may itself be trusted", () => {
  assert.equal(verdict([LEAF], [MIDDLE]), "ok");
  assert.equal(verdict([LEAF], [LEAF]), "ok");
  const own = make({ altNames: ["example.org"] });
  assert.equal(verdict([own], [own]), "ok");
  assert.equal(verdict([own], [own], { serverName: "other.example" }), "ERR_TLS_CERT_ALTNAME_INVALID");
  assert.equal(verdict([own], [own], { now: NOW + 2 * YEAR }), "CERT_HAS_EXPIRED");
});

test("each way to have no anchor has its name", () => {
  const other = root({ subject: "CN=Other" });
  assert.equal(verdict([LEAF], [other]), "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  assert.equal(verdict([LEAF, MIDDLE], [other]), "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  assert.equal(verdict([LEAF, MIDDLE, ROOT], [other]), "SELF_SIGNED_CERT_IN_CHAIN");
  assert.equal(verdict([make({ altNames: ["example.org"] })], [other]), "DEPTH_ZERO_SELF_SIGNED_CERT");
  assert.equal(verdict([LEAF, MIDDLE], []), "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  assert.equal(verdict([], [ROOT]), "CERT_MALFORMED");
});

// rfc5280#4.1.2.5 the validity period is from notBefore through notAfter, inclusive.
test("validity, to the second", () => {
  const notBefore = NOW - 10_000;
  const notAfter = NOW + 10_000;
  const short = leaf(MIDDLE, { notBefore, notAfter });
  for (const [now, expected] of [
    [notBefore - 1, "CERT_NOT_YET_VALID"],
    [notBefore, "ok"],
    [notAfter, "ok"],
    [notAfter + 999, "ok"],
    [notAfter + 1000, "CERT_HAS_EXPIRED"],
  ] as const) {
    assert.equal(verdict([short, MIDDLE], [ROOT], { now }), expected);
  }
  const oldMiddle = intermediate(ROOT, { notBefore: NOW - 2 * YEAR, notAfter: NOW - YEAR });
  assert.equal(verdict([leaf(oldMiddle), oldMiddle], [ROOT]), "CERT_HAS_EXPIRED");
  const oldRoot = root({ notBefore: NOW - 2 * YEAR, notAfter: NOW - YEAR });
  assert.equal(verdict([leaf(oldRoot)], [oldRoot]), "CERT_HAS_EXPIRED");
  const newMiddle = intermediate(ROOT, { notBefore: NOW + YEAR / 2 });
  assert.equal(verdict([leaf(newMiddle), newMiddle], [ROOT]), "CERT_NOT_YET_VALID");
});

test("an expired cross-certificate is routed around", () => {
  const oldRoot = root({ subject: "CN=Old Root", notBefore: NOW - 3 * YEAR, notAfter: NOW - YEAR });
  const newRoot = root({ subject: "CN=New Root" });
  // The new root's key under the old root, expired as it is.
  const cross = make({
    subject: "CN=New Root",
    ca: true,
    issuer: oldRoot,
    key: newRoot.key,
    notBefore: NOW - 2 * YEAR,
    notAfter: NOW - YEAR / 2,
  });
  const end = leaf(newRoot);
  assert.equal(verdict([end, cross], [oldRoot, newRoot]), "ok");
  assert.equal(verdict([end, cross], [oldRoot]), "CERT_HAS_EXPIRED");
  // Two intermediates of one name and key, one expired; and one that leads nowhere.
  const expired = intermediate(ROOT, { key: MIDDLE.key, notBefore: NOW - 2 * YEAR, notAfter: NOW - 1 });
  const nowhere = intermediate(root({ subject: "CN=Nowhere" }), { key: MIDDLE.key });
  assert.equal(verdict([LEAF, expired, nowhere, MIDDLE], [ROOT]), "ok");
  assert.equal(verdict([LEAF, expired], [ROOT]), "CERT_HAS_EXPIRED");
});

test("signatures", () => {
  assert.equal(
    verdict([leaf(MIDDLE, { faults: { signature: true } }), MIDDLE], [ROOT]),
    "CERT_SIGNATURE_FAILURE",
  );
  const badMiddle = intermediate(ROOT, { faults: { signature: true } });
  assert.equal(verdict([leaf(badMiddle), badMiddle], [ROOT]), "CERT_SIGNATURE_FAILURE");
  // The issuer's name with another key; key identifiers say so, or say nothing.
  const impostor = root();
  assert.equal(verdict([leaf(impostor)], [ROOT]), "UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
  const silent = root({ noKeyIdentifiers: true });
  assert.equal(verdict([leaf(silent)], [ROOT]), "CERT_SIGNATURE_FAILURE");
  // rfc5280#4.1.1.2 MUST contain the same algorithm identifier as the signature field.
  const mismatch = leaf(MIDDLE, { faults: { innerAlgorithm: "ecdsa_sha384" } });
  assert.equal(verdict([mismatch, MIDDLE], [ROOT]), "CERT_SIGNATURE_FAILURE");
});

// rfc8446#4.4.2.4 MD5 MUST abort; SHA-1 RECOMMENDED.
test("weak and unknown signature algorithms", () => {
  for (const signature of ["rsa_md5", "rsa_sha1", "ecdsa_sha1"] as const) {
    assert.equal(verdict([leaf(MIDDLE, { signature }), MIDDLE], [ROOT]), "CA_MD_TOO_WEAK", signature);
    const middle = intermediate(ROOT, { signature });
    assert.equal(verdict([leaf(middle), middle], [ROOT]), "CA_MD_TOO_WEAK", signature);
  }
  // The anchor's own signature proves nothing and is not looked at.
  const old = root({ signature: "ecdsa_sha1" });
  assert.equal(verdict([leaf(old)], [old]), "ok");
  const odd = leaf(MIDDLE);
  const ed448 = { ...odd, cert: replaceAlgorithm(odd.cert, "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.9") };
  assert.equal(verdict([ed448, MIDDLE], [ROOT]), "UNSUPPORTED_SIGNATURE_ALGORITHM");
});

/** Replaces every occurrence of an OID by another of the same length. */
function replaceAlgorithm(cert: Uint8Array, from: string, to: string): Uint8Array {
  const a = Buffer.from(encodeOid(from));
  const out = Buffer.from(cert);
  for (let at = out.indexOf(a); at >= 0; at = out.indexOf(a, at + 1)) out.set(encodeOid(to), at);
  return new Uint8Array(out);
}

test("every pair of issuer key and algorithm", () => {
  const rsa = rsaKey(2048);
  const issuers: [CertificateAndKey, readonly (CertificateAndKey | string)[]][] = [
    [root({ keyType: "ec-p256" }), ["ecdsa_sha256", "ecdsa_sha384", "ecdsa_sha512"]],
    [root({ keyType: "ec-p384" }), ["ecdsa_sha256", "ecdsa_sha384", "ecdsa_sha512"]],
    [root({ keyType: "ec-p521" }), ["ecdsa_sha256", "ecdsa_sha512"]],
    [root({ keyType: "ed25519" }), ["ed25519"]],
    [
      root({ key: rsa }),
      [
        "rsa_pkcs1_sha256",
        "rsa_pkcs1_sha384",
        "rsa_pkcs1_sha512",
        "rsa_pss_rsae_sha256",
        "rsa_pss_rsae_sha512",
      ],
    ],
    [root({ key: rsaKey(2048, "rsa-pss") }), ["rsa_pss_pss_sha256"]],
  ];
  for (const [issuer, signatures] of issuers) {
    for (const signature of signatures) {
      const end = leaf(issuer, { signature: signature as "ed25519" });
      assert.equal(verdict([end], [issuer]), "ok", String(signature));
      const bad = leaf(issuer, { signature: signature as "ed25519", faults: { signature: true } });
      assert.equal(verdict([bad], [issuer]), "CERT_SIGNATURE_FAILURE", String(signature));
    }
  }
  // An algorithm that is not the key's.
  const confused = leaf(ROOT, { signature: "rsa_sha1" });
  const asRsa = replaceAlgorithm(confused.cert, "1.2.840.113549.1.1.5", "1.2.840.113549.1.1.11");
  assert.equal(verdict([{ cert: asRsa, key: confused.key }], [ROOT]), "CERT_SIGNATURE_FAILURE");
});

test("noble's provider comes to the same verdicts", () => {
  const noble = nobleProvider();
  const anchors = loadTrustAnchors([ROOT.cert]);
  const input = { anchors, now: NOW, purpose: "server", serverName: "example.org" } as const;
  assert.deepEqual(verifyChain(noble, { ...input, chain: [LEAF.cert, MIDDLE.cert] }), { ok: true });
  const bad = leaf(MIDDLE, { faults: { signature: true } });
  const result = verifyChain(noble, { ...input, chain: [bad.cert, MIDDLE.cert] });
  assert.equal(result.ok ? "ok" : result.certificateReason, "CERT_SIGNATURE_FAILURE");
});

test("weak and unusable keys", () => {
  const publicKey = new Uint8Array(
    generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ type: "spki", format: "der" }),
  );
  assert.equal(verdict([leaf(MIDDLE, { publicKey }), MIDDLE], [ROOT]), "EE_KEY_TOO_SMALL");
  const weakMiddle = intermediate(ROOT, { publicKey });
  // Refused before the signature is looked at.
  const below = leaf(weakMiddle, { signature: "rsa_sha1" });
  assert.equal(verdict([below, weakMiddle], [ROOT]), "CA_KEY_TOO_SMALL");
  assert.equal(verdict([below], [weakMiddle]), "CA_KEY_TOO_SMALL");
  const good = leaf(MIDDLE);
  const odd = { ...good, cert: replaceAlgorithm(good.cert, "1.2.840.10045.3.1.7", "1.2.840.10045.3.1.6") };
  assert.equal(verdict([odd, MIDDLE], [ROOT]), "UNSUPPORTED_KEY");
});

// rfc5280#6.1.4 (k)
test("only authorities issue", () => {
  assert.equal(verdict([leaf(LEAF), LEAF, MIDDLE], [ROOT]), "INVALID_CA");
  const none = intermediate(ROOT, { noBasicConstraints: true });
  assert.equal(verdict([leaf(none), none], [ROOT]), "INVALID_CA");
  const v1 = make({
    subject: "CN=v1",
    issuer: ROOT,
    noBasicConstraints: true,
    noKeyIdentifiers: true,
    keyUsage: null,
    extendedKeyUsage: null,
  });
  assert.equal(verdict([leaf(v1), v1], [ROOT]), "INVALID_CA");
  // rfc5280#6.1.4 (n) keyCertSign
  const notSigning = intermediate(ROOT, { keyUsage: ["digitalSignature", "cRLSign"] });
  assert.equal(verdict([leaf(notSigning), notSigning], [ROOT]), "INVALID_CA");
  const fakeRoot = make({ subject: "CN=No Authority" });
  assert.equal(verdict([leaf(fakeRoot)], [fakeRoot]), "INVALID_CA");
  // Roots of version 1 are believed when they are trusted.
  const v1Root = make({
    subject: "CN=v1 root",
    noBasicConstraints: true,
    noKeyIdentifiers: true,
    keyUsage: null,
    extendedKeyUsage: null,
  });
  assert.equal(verdict([leaf(v1Root)], [v1Root]), "ok");
});

// rfc5280#4.2.1.9
test("path length, and self-issued certificates that do not count", () => {
  const limited = root({ pathLength: 0 });
  assert.equal(verdict([leaf(limited)], [limited]), "ok");
  const middle = intermediate(limited);
  assert.equal(verdict([leaf(middle), middle], [limited]), "PATH_LENGTH_EXCEEDED");
  const one = root({ pathLength: 1 });
  const a = intermediate(one);
  const b = intermediate(a, { subject: "CN=B" });
  assert.equal(verdict([leaf(a), a], [one]), "ok");
  assert.equal(verdict([leaf(b), b, a], [one]), "PATH_LENGTH_EXCEEDED");
  // rfc5280#6.1.4 (l): key rollover, the root's name on both ends.
  const rollover = make({ subject: "CN=Test Root, O=Tests", ca: true, issuer: limited });
  assert.equal(verdict([leaf(rollover), rollover], [limited]), "ok");
});

// rfc5280#4.2.1.12, rfc8446#4.4.2.2
test("purposes", () => {
  const client = { purpose: "client", serverName: null } as const;
  const forServers = leaf(MIDDLE, { extendedKeyUsage: ["serverAuth"] });
  const forClients = leaf(MIDDLE, { extendedKeyUsage: ["clientAuth"] });
  const forAny = leaf(MIDDLE, { extendedKeyUsage: ["any"] });
  const unsaid = leaf(MIDDLE, { extendedKeyUsage: null, keyUsage: null });
  assert.equal(verdict([forServers, MIDDLE], [ROOT]), "ok");
  assert.equal(verdict([forServers, MIDDLE], [ROOT], client), "INVALID_PURPOSE");
  assert.equal(verdict([forClients, MIDDLE], [ROOT]), "INVALID_PURPOSE");
  assert.equal(verdict([forClients, MIDDLE], [ROOT], client), "ok");
  for (const end of [forAny, unsaid]) {
    assert.equal(verdict([end, MIDDLE], [ROOT]), "ok");
    assert.equal(verdict([end, MIDDLE], [ROOT], client), "ok");
  }
  assert.equal(verdict([leaf(MIDDLE, { keyUsage: ["keyEncipherment"] }), MIDDLE], [ROOT]), "INVALID_PURPOSE");
  const mailOnly = intermediate(ROOT, { extendedKeyUsage: ["emailProtection"] });
  assert.equal(verdict([leaf(mailOnly), mailOnly], [ROOT]), "INVALID_PURPOSE");
  const webOnly = intermediate(ROOT, { extendedKeyUsage: ["serverAuth"] });
  assert.equal(verdict([leaf(webOnly), webOnly], [ROOT]), "ok");
  assert.equal(verdict([leaf(webOnly), webOnly], [ROOT], client), "INVALID_PURPOSE");
});

// rfc5280#4.2 MUST reject the certificate if it encounters a critical extension it does not recognize.
test("unknown extensions", () => {
  const unknown = { oid: "1.3.6.1.4.1.55555.1", value: Uint8Array.of(0x05, 0x00) };
  const critical = { ...unknown, critical: true };
  assert.equal(verdict([leaf(MIDDLE, { extensions: [unknown] }), MIDDLE], [ROOT]), "ok");
  assert.equal(
    verdict([leaf(MIDDLE, { extensions: [critical] }), MIDDLE], [ROOT]),
    "UNHANDLED_CRITICAL_EXTENSION",
  );
  const middle = intermediate(ROOT, { extensions: [critical] });
  assert.equal(verdict([leaf(middle), middle], [ROOT]), "UNHANDLED_CRITICAL_EXTENSION");
});

test("names of issuers are compared by rfc5280#7.1", () => {
  const shouting = make({ subject: "CN=TEST  root , O=tests", ca: true, key: ROOT.key });
  assert.equal(verdict([leaf(ROOT)], [shouting]), "ok");
  assert.equal(
    verdict([leaf(ROOT, { faults: { issuerName: "CN=Elsewhere" } })], [ROOT]),
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  );
});

// rfc5280#6.1.5
test("certificate policies do not trip, and hold where they are demanded", () => {
  const policy = "2.23.140.1.2.1";
  const demanding = {
    oid: EXT.policyConstraints,
    critical: true,
    // requireExplicitPolicy 0
    value: derTlv(DER_SEQUENCE, derTlv(0x80, Uint8Array.of(0))),
  };
  const plain = intermediate(ROOT, { policies: ["1.2.3"] });
  assert.equal(verdict([leaf(plain, { policies: [policy] }), plain], [ROOT]), "ok");
  const strict = intermediate(ROOT, { policies: [policy], extensions: [demanding] });
  assert.equal(verdict([leaf(strict, { policies: [policy] }), strict], [ROOT]), "ok");
  assert.equal(verdict([leaf(strict, { policies: ["1.2.3"] }), strict], [ROOT]), "NO_EXPLICIT_POLICY");
  assert.equal(verdict([leaf(strict), strict], [ROOT]), "NO_EXPLICIT_POLICY");
  const any = intermediate(ROOT, { policies: ["2.5.29.32.0"], extensions: [demanding] });
  assert.equal(verdict([leaf(any, { policies: ["1.2.3"] }), any], [ROOT]), "ok");
  // rfc5280#4.2.1.14
  const inhibit = { oid: EXT.inhibitAnyPolicy, critical: true, value: derTlv(DER_INTEGER, Uint8Array.of(0)) };
  const noAny = intermediate(ROOT, { policies: [policy], extensions: [demanding, inhibit] });
  assert.equal(verdict([leaf(noAny, { policies: ["2.5.29.32.0"] }), noAny], [ROOT]), "NO_EXPLICIT_POLICY");
  // rfc5280#4.2.1.5
  const oid = (dotted: string) => derTlv(DER_OID, encodeOid(dotted));
  const mapping = {
    oid: EXT.policyMappings,
    critical: true,
    value: derTlv(DER_SEQUENCE, derTlv(DER_SEQUENCE, oid(policy), oid("1.2.3"))),
  };
  const mapped = intermediate(ROOT, { policies: [policy], extensions: [demanding, mapping] });
  assert.equal(verdict([leaf(mapped, { policies: ["1.2.3"] }), mapped], [ROOT]), "ok");
  assert.equal(verdict([leaf(mapped, { policies: [policy] }), mapped], [ROOT]), "NO_EXPLICIT_POLICY");
});

test("a chain that is too long is not looked at", () => {
  const chain = [LEAF, MIDDLE, ...Array.from({ length: MAX_CHAIN_LENGTH - 2 }, () => MIDDLE)];
  assert.equal(verdict(chain, [ROOT]), "ok");
  assert.equal(verdict([...chain, MIDDLE], [ROOT]), "CERT_CHAIN_TOO_LONG");
});

test("a mesh of cross-certificates is left after a bounded number of signature checks", () => {
  // Ten authorities of two names, each certified by all of the other name: paths without number, none to an anchor.
  const names = ["CN=A", "CN=B"];
  const anyone = root({ subject: "CN=A", noKeyIdentifiers: true });
  const keys = Array.from({ length: 15 }, (_, i) => ({
    ...root({ subject: names[i % 2]!, noKeyIdentifiers: true }),
  }));
  const mesh = keys.map(({ key }, i) =>
    make({
      subject: names[i % 2]!,
      ca: true,
      key,
      issuer: { cert: keys[(i + 1) % 2]!.cert, key: anyone.key },
      noKeyIdentifiers: true,
    }),
  );
  let checks = 0;
  const counting = Object.create(provider, {
    // Everything verifies: the worst case.
    verify: { value: () => (checks++, true) },
  }) as typeof provider;
  const end = leaf(keys[0]!);
  const result = verifyChain(counting, {
    chain: [end.cert, ...mesh.map(({ cert }) => cert)],
    anchors: loadTrustAnchors([ROOT.cert]),
    now: NOW,
    purpose: "server",
    serverName: "example.org",
  });
  assert.ok(!result.ok);
  assert.equal(result.certificateReason, "CERT_CHAIN_TOO_LONG");
  assert.equal(checks, MAX_PATH_SIGNATURE_CHECKS);
});

test("what held once is not checked again", () => {
  let checks = 0;
  const counting = Object.create(provider, {
    verify: {
      value: (...args: Parameters<typeof provider.verify>) => {
        checks++;
        return provider.verify(...args);
      },
    },
  }) as typeof provider;
  const anchors = loadTrustAnchors([ROOT.cert]);
  const input = { anchors, now: NOW, purpose: "server", serverName: "example.org" } as const;
  assert.ok(verifyChain(counting, { ...input, chain: [LEAF.cert, MIDDLE.cert] }).ok);
  assert.equal(checks, 2);
  const next = leaf(MIDDLE, { altNames: ["example.org", "www.example.org"] });
  assert.ok(verifyChain(counting, { ...input, chain: [next.cert, MIDDLE.cert] }).ok);
  assert.equal(checks, 3);
});

test("checkServerIdentity replaces the comparison of names, and gets what node's own wants", () => {
  const seen: unknown[] = [];
  const accept = verdict([LEAF, MIDDLE], [ROOT], {
    serverName: "other.example",
    checkServerIdentity: (hostname, cert) => {
      seen.push(hostname, cert.subject.CN, cert.subjectaltname, cert.raw.length);
      return undefined;
    },
  });
  assert.equal(accept, "ok");
  assert.deepEqual(seen, ["other.example", "leaf", "DNS:example.org", LEAF.cert.length]);
  const nodes: NonNullable<Parameters<typeof verify>[2]>["checkServerIdentity"] = (hostname, cert) =>
    nodeTls.checkServerIdentity(hostname, cert as unknown as nodeTls.PeerCertificate);
  assert.equal(verdict([LEAF, MIDDLE], [ROOT], { checkServerIdentity: nodes }), "ok");
  assert.equal(
    verdict([LEAF, MIDDLE], [ROOT], { checkServerIdentity: nodes, serverName: "no.example" }),
    "ERR_TLS_CERT_ALTNAME_INVALID",
  );
  const thrown = verify([LEAF, MIDDLE], [ROOT], {
    checkServerIdentity: () => {
      throw new Error("pinned to another key");
    },
  });
  assert.ok(!thrown.ok);
  assert.equal(thrown.reason, "pinned to another key");
  assert.equal(thrown.alert, "bad_certificate");
  // Only names are replaced.
  const expired = { now: NOW + 9 * YEAR, checkServerIdentity: () => undefined };
  assert.equal(verdict([LEAF, MIDDLE], [ROOT], expired), "CERT_HAS_EXPIRED");
});

test("without a name there is nobody to be; clients have none", () => {
  assert.equal(verdict([LEAF, MIDDLE], [ROOT], { serverName: null }), "ERR_TLS_CERT_ALTNAME_INVALID");
  assert.equal(verdict([LEAF, MIDDLE], [ROOT], { serverName: null, purpose: "client" }), "ok");
});

test("each reason has an alert, and a text for people", () => {
  for (const reason of Object.keys(REASON_ALERT) as CertificateReason[])
    assert.ok(REASON_ALERT[reason] in ALERT, reason);
  const result = verify([LEAF, MIDDLE], [ROOT], { now: NOW + 9 * YEAR });
  assert.ok(!result.ok);
  assert.equal(result.alert, "certificate_expired");
  assert.equal(result.reason, 'the certificate "CN=leaf" has expired on 2026-06-15T12:00:00Z');
  const unknown = verify([LEAF], [ROOT]);
  assert.ok(!unknown.ok);
  assert.equal(unknown.alert, "unknown_ca");
  assert.match(
    unknown.reason,
    /the issuer of the certificate "CN=leaf", "CN=Test Intermediate, O=Tests", is neither trusted/,
  );
});

test("a key usage without any bit, or a broken known extension, is malformed", () => {
  const empty = leaf(MIDDLE, { keyUsage: [] });
  assert.equal(verdict([empty, MIDDLE], [ROOT]), "CERT_MALFORMED");
  const broken = leaf(MIDDLE, {
    keyUsage: null,
    extensions: [{ oid: EXT.keyUsage, value: derTlv(DER_BIT_STRING, Uint8Array.of(9, 1)) }],
  });
  assert.equal(verdict([broken, MIDDLE], [ROOT]), "CERT_MALFORMED");
});
