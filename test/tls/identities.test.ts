// Which identity a client gets: by name, by what it can check, by what was added last.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SIGNATURE, type SignatureName } from "../../internal/crypto/provider.ts";
import { InvalidOptionError } from "../../internal/protocol/errors.ts";
import { chooseIdentity, Identities } from "../../internal/tls/identities.ts";
import { makeCertificate } from "../../internal/tls/self-signed.ts";
import type { ClientHelloInfo, Identity } from "../../internal/tls/types.ts";
import { NODE, NOW, seeded } from "./harness.ts";

let seed = 0;

function identity(keyType: "ec-p256" | "ec-p384" | "ed25519", ...altNames: string[]): Identity {
  const random = seeded(++seed);
  const validity = { notBefore: NOW - 1e9, notAfter: NOW + 1e9 };
  const made = makeCertificate({ provider: NODE, random, altNames, keyType, ...validity });
  return { chain: [made.cert], key: NODE.signingKey(made.key) };
}

const EVERY: SignatureName[] = ["ed25519", "ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384"];

function hello(serverName: string | null, schemes: SignatureName[] = EVERY): ClientHelloInfo {
  return {
    serverName,
    alpn: ["h3"],
    cipherSuites: [],
    groups: [],
    signatureSchemes: [0x2a2a, ...schemes.map((name) => SIGNATURE[name])],
    supportedVersions: [],
    statusRequest: false,
  };
}

const p256 = identity("ec-p256", "a.example");
const p384 = identity("ec-p384", "*.b.example");
const ed25519 = identity("ed25519", "a.example", "b.example");

test("of several the first that is for the name and can be checked, else the first that can be checked", () => {
  const all = [p256, p384, ed25519];
  const cases: [string | null, SignatureName[], Identity][] = [
    ["a.example", EVERY, p256],
    ["A.EXAMPLE", EVERY, p256],
    ["a.example", ["ed25519"], ed25519],
    ["a.example", ["ed25519", "ecdsa_secp256r1_sha256"], p256],
    ["www.b.example", EVERY, p384],
    ["b.example", EVERY, ed25519],
    ["other.example", EVERY, p256],
    ["other.example", ["ed25519"], ed25519],
    [null, EVERY, p256],
    [null, ["ecdsa_secp384r1_sha384"], p384],
    // Nothing fits: the first, and the handshake says why.
    ["a.example", ["rsa_pss_rsae_sha256"], p256],
  ];
  for (const [name, schemes, expected] of cases) {
    assert.equal(chooseIdentity(all, hello(name, schemes)), expected, `${name} ${schemes.join()}`);
  }
  assert.equal(chooseIdentity([], hello(null)), null);
  assert.equal(chooseIdentity([p384], hello("a.example", ["ed25519"])), p384, "one alone is not looked at");
});

test("contexts: exact names, wildcards of one label, the last added wins, nothing for others", () => {
  const identities = new Identities();
  assert.equal(identities.inContext(hello("www.example.com")), null);
  identities.setDefault([p256]);
  const wild = identity("ec-p256", "*.example.com");
  const www = identity("ec-p256", "www.example.com");
  const cdn = identity("ec-p256", "x");
  identities.add("www.example.com", [www]);
  assert.equal(identities.inContext(hello("www.example.com")), www);
  identities.add("*.example.com", [wild]);
  identities.add("cdn-*.example.com", [cdn]);
  const of = (name: string | null): Identity | null => identities.inContext(hello(name));
  assert.equal(of("www.example.com"), wild, "added last");
  assert.equal(of("any.example.com"), wild);
  assert.equal(of("CDN-7.example.com"), cdn);
  for (const name of [
    "example.com",
    "a.b.example.com",
    "cdn-1.2.example.com",
    "www-example.com",
    "a/b",
    null,
  ]) {
    assert.equal(of(name), null, String(name));
    assert.equal(identities.byDefault(hello(name)), p256);
  }
  identities.add("WWW.example.com.", [www]);
  assert.equal(of("www.example.com"), www, "added again");
  assert.ok(identities.remove("www.EXAMPLE.com"));
  assert.equal(of("www.example.com"), wild);
  assert.ok(identities.remove("*.example.com") && identities.remove("cdn-*.example.com"));
  assert.ok(!identities.remove("*.example.com") && !identities.remove("cdn-*.example.com"));
  assert.equal(of("cdn-1.example.com"), null);
  identities.add("*", [wild]);
  assert.equal(of("localhost"), wild);
  assert.equal(of("a.b"), null);
});

test("a context has several identities, and names in other alphabets", () => {
  const identities = new Identities();
  identities.add("*.bücher.example", [p256, ed25519]);
  assert.equal(identities.inContext(hello("a.xn--bcher-kva.example", ["ed25519"])), ed25519);
  assert.equal(identities.inContext(hello("a.xn--bcher-kva.example")), p256);
});

test("a pattern added a thousand times is there once", () => {
  const identities = new Identities();
  for (let i = 0; i < 1000; i++) identities.add("a*.example", [i === 999 ? ed25519 : p256]);
  assert.equal(identities.inContext(hello("ab.example")), ed25519);
  assert.ok(identities.remove("a*.example"));
  assert.equal(identities.inContext(hello("ab.example")), null);
});

test("what is no host name, or no identity, is refused", () => {
  const identities = new Identities();
  for (const name of ["", "a..b", "a b", "http://a", "a/b", "*..", "ä ö", 7 as unknown as string]) {
    assert.throws(() => identities.add(name, [p256]), InvalidOptionError, String(name));
  }
  assert.throws(() => identities.add("a.example", []), InvalidOptionError);
});
