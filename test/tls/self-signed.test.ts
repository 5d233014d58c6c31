import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { InvalidOptionError } from "../../internal/protocol/errors.ts";
import { makeCertificate } from "../../internal/tls/self-signed.ts";
import { intermediate, leaf, make, NOW, provider, root, seeded, YEAR, type Options } from "./x509/helpers.ts";

test("equal randomness gives equal bytes", () => {
  const once = (seed: number) =>
    makeCertificate({
      provider,
      random: seeded(seed),
      notBefore: NOW,
      notAfter: NOW + YEAR,
      altNames: ["localhost"],
    });
  assert.deepEqual(once(7), once(7));
  assert.notDeepEqual(once(7), once(8));
});

test("OpenSSL verifies what every kind of key signs", () => {
  for (const keyType of ["ec-p256", "ec-p384", "ec-p521", "ed25519"] as const) {
    const authority = root({ keyType });
    const middle = intermediate(authority, { keyType });
    const end = leaf(middle, { keyType });
    const [top, between, bottom] = [authority, middle, end].map(({ cert }) => new X509Certificate(cert));
    assert.ok(top!.verify(top!.publicKey), keyType);
    assert.ok(between!.verify(top!.publicKey), keyType);
    assert.ok(bottom!.verify(between!.publicKey), keyType);
    assert.ok(between!.checkIssued(top!) && bottom!.checkIssued(between!));
    const key = createPrivateKey({ key: Buffer.from(end.key), format: "der", type: "pkcs8" });
    assert.ok(bottom!.checkPrivateKey(key), keyType);
    assert.deepEqual(
      createPublicKey(key).export({ format: "jwk" }),
      bottom!.publicKey.export({ format: "jwk" }),
    );
  }
});

test("subjects and names", () => {
  const cert = (options: Options) => new X509Certificate(make(options).cert);
  assert.equal(cert({ altNames: ["DNS:a.example", "::1"] }).subject, "CN=a.example");
  assert.equal(cert({ altNames: ["::1"] }).subjectAltName, "IP Address:0:0:0:0:0:0:0:1");
  assert.equal(cert({}).subject, "CN=quic-ts");
  assert.equal(cert({ subject: "just a name" }).subject, "CN=just a name");
  assert.equal(cert({ subject: "C=NZ, O=Kiwi, CN=x" }).subject, "C=NZ\nO=Kiwi\nCN=x");
  assert.equal(cert({ subject: [["2.5.4.3", "a, b=c"]] }).subject, "CN=a\\, b=c");
});

test("what makes no certificate is refused", () => {
  const refuses = (options: Options, option: string) =>
    assert.throws(
      () => make(options),
      (error: unknown) => error instanceof InvalidOptionError && error.option === option,
    );
  refuses({ notBefore: NOW, notAfter: NOW - 1 }, "notAfter");
  refuses({ notBefore: NaN }, "notAfter");
  refuses({ altNames: ["IP:1.2.3"] }, "altNames");
  refuses({ altNames: ["bücher.example"] }, "altNames");
  refuses({ nameConstraints: { permitted: ["IP:10.0.0.0/99"] } }, "nameConstraints");
  refuses({ subject: "XX=1" }, "subject");
  refuses({ signature: "rsa_pkcs1_sha256" }, "signature");
  refuses({ keyType: "ed25519", signature: "ecdsa_sha256" }, "signature");
  refuses({ issuer: { cert: Uint8Array.of(1), key: make().key } }, "issuer");
  refuses({ publicKey: Uint8Array.of(1) }, "issuer");
});
