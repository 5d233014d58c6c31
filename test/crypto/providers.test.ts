// What the vectors do not cover: both providers against each other, keys in all encodings, disposal, batches.
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import { derTlv, encodePkcs8, readSpki } from "../../internal/crypto/der.ts";
import { NobleAesHeaderProtector } from "../../internal/crypto/noble-aead.ts";
import type { AeadName, SignatureName } from "../../internal/crypto/provider.ts";
import { readRsaPrivateKey } from "../../internal/crypto/rsa.ts";
import { fromHex, toHex, utf8 } from "../../internal/protocol/bytes.ts";
import { InvalidOptionError } from "../../internal/protocol/errors.ts";
import { REAL, seeded, take } from "./helpers.ts";

const AEADS: readonly (readonly [AeadName, number])[] = [
  ["aes-128-gcm", 16],
  ["aes-256-gcm", 32],
  ["chacha20-poly1305", 32],
];
const [NODE, NOBLE] = REAL as [(typeof REAL)[0], (typeof REAL)[0]];

for (const [name, keyLength] of AEADS) {
  test(`${name}: what one provider seals the other opens`, () => {
    const random = seeded(keyLength);
    const [key, iv] = [take(random, keyLength), take(random, 12)];
    for (const pn of [0, 1, 0xffff, 0xffffffff, 2 ** 32, 2 ** 40 + 17, 2 ** 53 - 1]) {
      const packet = take(random, 1200);
      const sealed = REAL.map((provider) => {
        const copy = packet.slice();
        provider.packetAead(name, key, iv).seal(copy, 7, 13, 20, 1100, pn);
        return copy;
      });
      for (const other of sealed) assert.equal(toHex(other), toHex(sealed[0]!));
      // The nonce is the IV with the 62-bit number XORed in: rfc9001#5.3.
      const nonce = iv.slice();
      for (let i = 0, rest = BigInt(pn); i < 8; i++, rest >>= 8n) nonce[11 - i]! ^= Number(rest & 0xffn);
      const plain = NODE.aeadOpen(name, key, nonce, packet.slice(7, 20), sealed[0]!.slice(20, 1136));
      assert.equal(toHex(plain!), toHex(packet.subarray(20, 1120)));
      for (const [i, provider] of REAL.entries()) {
        const aead = provider.packetAead(name, key, iv);
        const copy = sealed[(i + 1) % REAL.length]!.slice();
        assert.equal(aead.open(copy, 7, 13, 20, 1116, pn), true);
        assert.equal(toHex(copy.subarray(0, 1120)), toHex(packet.subarray(0, 1120)));
        const forged = sealed[i]!.slice();
        assert.equal(aead.open(forged, 7, 13, 20, 1116, pn === 0 ? 1 : pn - 1), false);
        // rfc9000#10.3.1 what does not open may end in a stateless reset token.
        assert.deepEqual(forged.subarray(1120, 1136), sealed[i]!.subarray(1120, 1136));
        assert.equal(aead.open(sealed[i]!.slice(), 7, 12, 20, 1116, pn), false);
        assert.equal(aead.open(sealed[i]!.slice(), 7, 13, 20, 15, pn), false);
        assert.equal(aead.open(sealed[i]!.slice(), 7, 13, 20, 0, pn), false);
      }
    }
  });

  test(`${name}: header masks agree, alone and in batches`, () => {
    const random = seeded(99);
    const key = take(random, keyLength);
    const samples = take(random, 16 * 70);
    // Counters at the edge: an attacker chooses the sample.
    samples.set([0xff, 0xff, 0xff, 0xff], 0);
    samples.set([0xfe, 0xff, 0xff, 0xff], 16);
    const results = REAL.map((provider) => {
      const hp = provider.headerProtector(name, key);
      const batch = new Uint8Array(16 * 70);
      hp.masks(samples, 70, batch);
      const inPlace = samples.slice();
      hp.masks(inPlace, 70, inPlace);
      const list: string[] = [];
      for (let i = 0; i < 70; i++) {
        const single = new Uint8Array(16);
        hp.masks(samples.slice(16 * i, 16 * i + 16), 1, single);
        list.push(toHex(single.subarray(0, 5)));
        assert.equal(toHex(batch.subarray(16 * i, 16 * i + 5)), list[i]);
        assert.equal(toHex(inPlace.subarray(16 * i, 16 * i + 5)), list[i]);
      }
      // Fewer than there is room for, inside larger arrays.
      const part = new Uint8Array(48).fill(0xaa);
      hp.masks(samples.subarray(16, 80), 2, part);
      assert.equal(toHex(part.subarray(0, 5)), list[1]);
      assert.equal(toHex(part.subarray(16, 21)), list[2]);
      assert.equal(toHex(part.subarray(32)), "aa".repeat(16));
      hp.dispose();
      hp.dispose();
      return list;
    });
    for (const other of results) assert.deepEqual(other, results[0]);
  });
}

test("keys are out of use and idempotent to dispose", () => {
  for (const provider of REAL) {
    for (const [name, keyLength] of AEADS) {
      const aead = provider.packetAead(name, new Uint8Array(keyLength), new Uint8Array(12));
      aead.dispose();
      aead.dispose();
      assert.throws(() => aead.seal(new Uint8Array(64), 0, 1, 1, 10, 0));
      assert.throws(() => aead.open(new Uint8Array(64), 0, 1, 1, 30, 0));
      const hp = provider.headerProtector(name, new Uint8Array(keyLength));
      hp.dispose();
      if (!(name === "chacha20-poly1305" && provider.name === "noble")) {
        assert.throws(() => hp.masks(new Uint8Array(16), 1, new Uint8Array(16)));
      }
    }
  }
});

test("the caller may zero key and IV after handing them over", () => {
  for (const provider of REAL) {
    for (const [name, keyLength] of AEADS) {
      const key = take(seeded(3), keyLength);
      const iv = take(seeded(4), 12);
      const [a, b] = [provider.packetAead(name, key, iv), NODE.packetAead(name, key.slice(), iv.slice())];
      const [h, g] = [provider.headerProtector(name, key), NODE.headerProtector(name, key.slice())];
      key.fill(0);
      iv.fill(0);
      const [p, q] = [new Uint8Array(64), new Uint8Array(64)];
      a.seal(p, 0, 4, 4, 30, 5);
      b.seal(q, 0, 4, 4, 30, 5);
      assert.equal(toHex(p), toHex(q));
      h.masks(new Uint8Array(16), 1, p);
      g.masks(new Uint8Array(16), 1, q);
      assert.equal(toHex(p.subarray(0, 5)), toHex(q.subarray(0, 5)));
    }
  }
});

test("a noble header protector zeroes its schedule", () => {
  const hp = new NobleAesHeaderProtector(new Uint8Array(16));
  hp.dispose();
  assert.throws(() => hp.masks(new Uint8Array(16), 1, new Uint8Array(16)), TypeError);
});

test("running hashes go on after digest, and clones part ways", () => {
  for (const provider of REAL) {
    for (const name of ["sha256", "sha384", "sha512"] as const) {
      const running = provider.runningHash(name);
      assert.equal(toHex(running.digest()), toHex(provider.hash(name, new Uint8Array(0))));
      running.update(utf8("ab"));
      const fork = running.clone();
      fork.update(utf8("x"));
      assert.equal(toHex(running.digest()), toHex(NODE.hash(name, utf8("ab"))));
      running.update(utf8("c"));
      assert.equal(toHex(running.digest()), toHex(NOBLE.hash(name, utf8("abc"))));
      assert.equal(toHex(fork.digest()), toHex(NOBLE.hash(name, utf8("abx"))));
    }
  }
});

test("the same randomness makes the same shares, and every pair of providers agrees", () => {
  for (const group of NODE.groups) {
    const publicKeys = REAL.map((provider) => toHex(provider.keyShare(group, seeded(5)).publicKey));
    assert.equal(publicKeys[0], publicKeys[1], group);
    const answers = REAL.map((provider) => {
      const peer = fromHex(publicKeys[0]!);
      return provider.respond(group, peer, seeded(6))!;
    });
    assert.equal(toHex(answers[0]!.publicKey), toHex(answers[1]!.publicKey), group);
    for (const provider of REAL) {
      const share = provider.keyShare(group, seeded(5));
      assert.equal(toHex(share.agree(answers[0]!.publicKey)!), toHex(answers[1]!.secret), group);
      for (const bad of [new Uint8Array(0), answers[0]!.publicKey.subarray(1), new Uint8Array(32)]) {
        assert.equal(share.agree(bad), null);
        assert.equal(provider.respond(group, bad, seeded(6)), null);
      }
      share.dispose();
    }
  }
});

test("a random source that gives no usable scalar is an error, not a hang", () => {
  for (const provider of REAL) {
    for (const group of ["secp256r1", "secp384r1"] as const) {
      assert.throws(() => provider.keyShare(group, (out) => void out.fill(0)), RangeError);
      assert.throws(() => provider.keyShare(group, (out) => void out.fill(0xff)), RangeError);
    }
  }
});

// RSA keys take the platform's randomness: what is asserted does not depend on which they are.
const RSA = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
/** 2,049 bits, which OpenSSL does not make: of a prime of 1,025 bits and one of 1,024. */
function oddRsaKey(): KeyObject {
  const prime = (modulusLength: number) => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength });
    return readRsaPrivateKey(new Uint8Array(privateKey.export({ format: "der", type: "pkcs1" }))).p;
  };
  const [p, q, e] = [prime(2050), prime(2048), 65537n];
  const inverse = (value: bigint, modulus: bigint) => {
    let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
    while (b !== 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
    return ((x % modulus) + modulus) % modulus;
  };
  const d = inverse(e, (p - 1n) * (q - 1n));
  const integers = [0n, p * q, e, d, p, q, d % (p - 1n), d % (q - 1n), inverse(q, p)].map((value) => {
    const digits = value.toString(16);
    const bytes = fromHex(digits.length % 2 === 0 ? digits : `0${digits}`);
    return bytes[0]! < 0x80 ? derTlv(0x02, bytes) : derTlv(0x02, Uint8Array.of(0), bytes);
  });
  const key = Buffer.from(derTlv(0x30, ...integers));
  return createPrivateKey({ key, format: "der", type: "pkcs1" });
}
const RSA_ODD = oddRsaKey();
const PSS = generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).privateKey;
const PSS_384 = generateKeyPairSync("rsa-pss", {
  modulusLength: 2048,
  hashAlgorithm: "sha384",
  mgf1HashAlgorithm: "sha384",
  // A number, whatever the types say.
  saltLength: 48 as unknown as string,
}).privateKey;
const PSS_SHA1 = generateKeyPairSync("rsa-pss", {
  modulusLength: 2048,
  hashAlgorithm: "sha1",
  mgf1HashAlgorithm: "sha1",
  saltLength: 20 as unknown as string,
}).privateKey;
const der = (key: KeyObject, type: "pkcs8" | "sec1" | "pkcs1" = "pkcs8") =>
  new Uint8Array(key.export({ format: "der", type }));
const ec = (kind: "ec-p256" | "ec-p384" | "ec-p521" | "ed25519", length: number, seed: number) => {
  const secret = take(seeded(seed), length);
  if (kind === "ec-p521") secret[0] = 0;
  return createPrivateKey({ key: Buffer.from(encodePkcs8(kind, secret)), format: "der", type: "pkcs8" });
};
const P256 = ec("ec-p256", 32, 1);
const P384 = ec("ec-p384", 48, 2);
const P521 = ec("ec-p521", 66, 3);
const ED = ec("ed25519", 32, 4);

test("signatures: every key, every provider signs, every provider verifies", () => {
  const cases: readonly (readonly [string, KeyObject, readonly SignatureName[], readonly SignatureName[]])[] =
    [
      ["ec-p256", P256, ["ecdsa_secp256r1_sha256"], []],
      ["ec-p384", P384, ["ecdsa_secp384r1_sha384"], []],
      ["ec-p521", P521, ["ecdsa_secp521r1_sha512"], []],
      ["ed25519", ED, ["ed25519"], []],
      [
        "rsa",
        RSA,
        ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"],
        ["rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512"],
      ],
      [
        "rsa",
        RSA_ODD,
        ["rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"],
        ["rsa_pkcs1_sha256"],
      ],
      ["rsa-pss", PSS, ["rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512"], []],
      ["rsa-pss", PSS_384, ["rsa_pss_pss_sha384"], []],
      ["rsa-pss", PSS_SHA1, [], []],
    ];
  const data = utf8("what is signed");
  const other = utf8("what is signeD");
  for (const [type, keyObject, schemes, certificateSchemes] of cases) {
    const keys = REAL.map((provider) => provider.signingKey(der(keyObject)));
    assert.equal(toHex(keys[0]!.spki), toHex(keys[1]!.spki), type);
    for (const signer of keys) {
      assert.equal(signer.type, type);
      assert.deepEqual(signer.schemes, schemes);
      for (const scheme of NODE.signatures) {
        if (![...schemes, ...certificateSchemes].includes(scheme)) {
          if (!scheme.startsWith("rsa_pkcs1") || type !== "rsa") {
            assert.throws(() => signer.sign(scheme, data), RangeError, `${type} ${scheme}`);
          }
          continue;
        }
        const signature = signer.sign(scheme, data);
        for (const verifier of REAL) {
          assert.equal(verifier.verify(scheme, signer.spki, data, signature), true, `${type} ${scheme}`);
          assert.equal(verifier.verify(scheme, signer.spki, other, signature), false);
          assert.equal(verifier.verify(scheme, signer.spki, data, signature.subarray(1)), false);
          const flipped = signature.slice();
          flipped[flipped.length >> 1]! ^= 1;
          assert.equal(verifier.verify(scheme, signer.spki, data, flipped), false);
          // rfc8446#4.2.3 the scheme fits the key or it does not verify.
          for (const wrong of NODE.signatures) {
            if (wrong !== scheme) assert.equal(verifier.verify(wrong, signer.spki, data, signature), false);
          }
        }
      }
    }
  }
});

test("PSS with a modulus of 8k + 1 bits: the byte before the encoded message is zero", () => {
  const key = readRsaPrivateKey(der(RSA_ODD, "pkcs1"));
  const signer = NODE.signingKey(der(RSA_ODD));
  const power = (base: bigint, exponent: bigint) => {
    let result = 1n;
    for (const bit of exponent.toString(2)) {
      result = (result * result) % key.n;
      if (bit === "1") result = (result * base) % key.n;
    }
    return result;
  };
  const verdicts = (s: bigint, data: Uint8Array) =>
    REAL.map((provider) => {
      const signature = fromHex(s.toString(16).padStart(2 * 257, "0"));
      return provider.verify("rsa_pss_rsae_sha256", signer.spki, data, signature);
    });
  for (let i = 0; ; i++) {
    const data = Uint8Array.of(i);
    const signature = signer.sign("rsa_pss_rsae_sha256", data);
    assert.equal(signature.length, 257);
    const s = BigInt(`0x${toHex(signature)}`);
    const raised = power(s, key.e) + (1n << 2048n);
    // It has to stay below the modulus, which is a question of luck.
    if (raised >= key.n && i < 200) continue;
    assert.deepEqual(
      verdicts(s, data),
      REAL.map(() => true),
    );
    if (raised < key.n)
      assert.deepEqual(
        verdicts(power(raised, key.d), data),
        REAL.map(() => false),
      );
    return;
  }
});

test("verify is false, never an exception, for what is no key or no signature", () => {
  const random = seeded(8);
  const good = NODE.signingKey(der(P256)).spki;
  for (const provider of REAL) {
    for (const scheme of provider.signatures) {
      for (const spki of [new Uint8Array(0), take(random, 91), good.slice(0, -1), good]) {
        for (const signature of [new Uint8Array(0), take(random, 64), take(random, 256)]) {
          assert.equal(provider.verify(scheme, spki, utf8("x"), signature), false);
        }
      }
      // A point that is not on the curve.
      const off = good.slice();
      off[off.length - 1]! ^= 1;
      assert.equal(provider.verify(scheme, off, utf8("x"), take(random, 64)), false);
    }
  }
});

test("private keys: PKCS#8, SEC1 and PKCS#1 are one key", () => {
  for (const provider of REAL) {
    for (const key of [P256, P384, P521]) {
      assert.equal(
        toHex(provider.signingKey(der(key, "sec1")).spki),
        toHex(provider.signingKey(der(key)).spki),
      );
    }
    assert.equal(
      toHex(provider.signingKey(der(RSA, "pkcs1")).spki),
      toHex(provider.signingKey(der(RSA)).spki),
    );
  }
});

test("private keys that are none are refused with what is wrong", () => {
  const small = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey;
  const k1 = generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey;
  const encrypted = RSA.export({ format: "der", type: "pkcs8", cipher: "aes-128-cbc", passphrase: "x" });
  // Scalars that are no key.
  const zero = encodePkcs8("ec-p256", new Uint8Array(32));
  const tooLarge = encodePkcs8("ec-p256", new Uint8Array(32).fill(0xff));
  const bad: readonly (readonly [Uint8Array, RegExp])[] = [
    [new Uint8Array(0), /private key/],
    [utf8("-----BEGIN PRIVATE KEY-----"), /private key/],
    [der(P256).subarray(0, 60), /private key/],
    [der(small), /2048 to 8192 bits/],
    [der(k1), /P-256/],
    [new Uint8Array(encrypted), /encrypted/],
    [zero, /private key/],
    [tooLarge, /private key/],
    [derTlv(0x30, derTlv(0x02, Uint8Array.of(0))), /private key/],
  ];
  for (const provider of REAL) {
    for (const [bytes, message] of bad) {
      assert.throws(
        () => provider.signingKey(bytes),
        (error) =>
          error instanceof InvalidOptionError && error.option === "key" && message.test(error.message),
        `${provider.name}: ${message}`,
      );
    }
  }
});

test("what providers return is no Buffer: slice() copies", () => {
  for (const provider of REAL) {
    const share = provider.keyShare("x25519", seeded(1));
    const key = provider.signingKey(der(P256));
    const returned = [
      provider.hash("sha256", new Uint8Array(0)),
      provider.hmac("sha256", new Uint8Array(0), new Uint8Array(0)),
      provider.hkdfExtract("sha384", new Uint8Array(0), new Uint8Array(0)),
      provider.hkdfExpand("sha384", new Uint8Array(48), new Uint8Array(0), 5),
      provider.runningHash("sha512").digest(),
      provider.aeadSeal("aes-128-gcm", new Uint8Array(16), new Uint8Array(12), new Uint8Array(0), utf8("x")),
      share.publicKey,
      share.agree(share.publicKey)!,
      key.spki,
      key.sign("ecdsa_secp256r1_sha256", utf8("x")),
    ];
    for (const group of provider.groups) {
      const peer = provider.keyShare(group, seeded(2));
      const answer = provider.respond(group, peer.publicKey, seeded(3))!;
      returned.push(peer.publicKey, answer.publicKey, answer.secret, peer.agree(answer.publicKey)!);
    }
    for (const bytes of returned) assert.equal(bytes.constructor, Uint8Array, provider.name);
  }
});

test("deterministic: noble signs the same twice", () => {
  for (const key of [P256, P384, ED, RSA]) {
    const signer = NOBLE.signingKey(der(key));
    const scheme = signer.schemes[0]!;
    assert.equal(toHex(signer.sign(scheme, utf8("x"))), toHex(signer.sign(scheme, utf8("x"))));
    assert.notEqual(toHex(signer.sign(scheme, utf8("x"))), toHex(signer.sign(scheme, utf8("y"))));
  }
});

test("an SPKI with trailing data or an unknown algorithm is none", () => {
  const spki = NODE.signingKey(der(P256)).spki;
  assert.equal(readSpki(spki)?.kind, "ec-p256");
  assert.equal(readSpki(new Uint8Array([...spki, 0])), null);
  const k1 = generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey;
  assert.equal(readSpki(new Uint8Array(k1.export({ format: "der", type: "spki" }))), null);
});
