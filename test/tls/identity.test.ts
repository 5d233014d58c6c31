import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { test } from "node:test";
import { nobleProvider } from "../../internal/crypto/noble.ts";
import type { SigningKey } from "../../internal/crypto/provider.ts";
import { InvalidOptionError } from "../../internal/protocol/errors.ts";
import { loadIdentity, type IdentityInput } from "../../internal/tls/identity.ts";
import { toPem } from "../../internal/tls/self-signed.ts";
import { intermediate, leaf, make, pem, provider, root } from "./x509/helpers.ts";

const ROOT = root();
const MIDDLE = intermediate(ROOT);
const LEAF = leaf(MIDDLE);
const KEY = createPrivateKey({ key: Buffer.from(LEAF.key), format: "der", type: "pkcs8" });
const KEY_PEM = toPem("PRIVATE KEY", LEAF.key);

function refuses(input: unknown, option: string, message: RegExp): void {
  assert.throws(
    () => loadIdentity(provider, input as IdentityInput),
    (error: unknown) => {
      assert.ok(error instanceof InvalidOptionError, String(error));
      assert.equal(error.option, option, error.message);
      assert.match(error.message, message);
      return true;
    },
  );
}

test("chains in every form", () => {
  const both = [LEAF.cert, MIDDLE.cert];
  const forms: IdentityInput["cert"][] = [
    pem(LEAF, MIDDLE),
    new TextEncoder().encode(pem(LEAF, MIDDLE)),
    [pem(LEAF), pem(MIDDLE)],
    [LEAF.cert, pem(MIDDLE)],
    both,
    Buffer.from(pem(LEAF, MIDDLE)),
  ];
  for (const cert of forms) {
    assert.deepEqual(loadIdentity(provider, { cert, key: LEAF.key }).chain, both);
  }
  assert.deepEqual(loadIdentity(provider, { cert: LEAF.cert, key: KEY_PEM }).chain, [LEAF.cert]);
});

test("keys in every form", () => {
  const passphrase = "correct horse";
  const forms: [key: string | Uint8Array, passphrase?: string][] = [
    [LEAF.key],
    [KEY_PEM],
    [new TextEncoder().encode(KEY_PEM)],
    [`text before\n${pem(LEAF)}${KEY_PEM}`],
    [KEY.export({ format: "der", type: "sec1" })],
    [KEY.export({ format: "pem", type: "sec1" }) as string],
    [KEY.export({ format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase }) as string, passphrase],
    [KEY.export({ format: "der", type: "pkcs8", cipher: "aes-256-cbc", passphrase }), passphrase],
    // rfc1421 headers, as old OpenSSL writes them.
    [KEY.export({ format: "pem", type: "sec1", cipher: "aes-128-cbc", passphrase }) as string, passphrase],
  ];
  const data = new TextEncoder().encode("signed");
  for (const [key, secret] of forms) {
    const identity = loadIdentity(provider, { cert: LEAF.cert, key, passphrase: secret });
    const signing = identity.key as SigningKey;
    assert.equal(signing.schemes[0], "ecdsa_secp256r1_sha256");
    assert.ok(verify("sha256", data, createPublicKey(KEY), signing.sign("ecdsa_secp256r1_sha256", data)));
  }
});

test("keys of every kind, with either provider", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const rsaDer = new Uint8Array(rsa.export({ type: "pkcs8", format: "der" }));
  const noble = nobleProvider();
  for (const keyType of ["ec-p256", "ec-p384", "ec-p521", "ed25519"] as const) {
    const made = make({ keyType });
    for (const each of [provider, noble]) {
      assert.equal((loadIdentity(each, made).key as SigningKey).type, keyType);
    }
  }
  const made = make({ key: rsaDer });
  for (const key of [rsaDer, rsa.export({ type: "pkcs1", format: "pem" }) as string]) {
    for (const each of [provider, noble]) {
      assert.equal((loadIdentity(each, { cert: made.cert, key }).key as SigningKey).type, "rsa");
    }
  }
});

test("what is wrong is said", () => {
  const encrypted = KEY.export({
    format: "pem",
    type: "pkcs8",
    cipher: "aes-256-cbc",
    passphrase: "right",
  }) as string;
  const cert = pem(LEAF, MIDDLE);
  refuses({ cert, key: encrypted }, "passphrase", /encrypted: a passphrase is needed/);
  refuses({ cert, key: encrypted, passphrase: "wrong" }, "passphrase", /cannot be decrypted/);
  refuses({ cert, key: MIDDLE.key }, "cert", /the key is that of certificate 2: put it first/);
  refuses({ cert, key: make().key }, "key", /not the private key of the certificate/);
  refuses({ cert, key: pem(LEAF) }, "key", /no private key in it, only CERTIFICATE/);
  refuses({ cert, key: "nonsense" }, "key", /neither PEM nor DER/);
  refuses({ cert, key: KEY_PEM + KEY_PEM }, "key", /2 private keys/);
  refuses({ cert, key: Uint8Array.of(0x30, 0) }, "key", /./);
  refuses({ cert, key: KEY_PEM.replace("\nM", "\n*") }, "key", /not base64/);
  refuses({ cert, key: undefined }, "key", /not undefined/);
  refuses({ cert: undefined, key: KEY_PEM }, "cert", /not undefined/);
  refuses({ cert: null, key: KEY_PEM }, "cert", /not null/);
  refuses({ cert: [], key: KEY_PEM }, "cert", /empty/);
  refuses({ cert: KEY_PEM, key: KEY_PEM }, "cert", /BEGIN CERTIFICATE/);
  refuses({ cert: [LEAF.cert, LEAF.key], key: KEY_PEM }, "cert", /certificate 2 of 2: malformed/);
  refuses({ cert: Array.from({ length: 17 }, () => LEAF.cert), key: KEY_PEM }, "cert", /17 certificates/);
});
