// libcrypto by FFI: what goes wrong ends in a fallback or an error, and no context is left behind.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import { FfiPacketAead } from "../../internal/crypto/ffi-aead.ts";
import { FfiProvider } from "../../internal/crypto/ffi.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { LibCrypto, loadLibCrypto, type CryptoFunctions } from "../../internal/ffi/libcrypto.ts";
import { loadKoffi } from "../../internal/ffi/koffi.ts";
import { MAX_CIPHER_CONTEXTS, MAX_VERIFY_KEYS } from "../../internal/protocol/limits.ts";
import { seededInt } from "../path/seeded.ts";
import { seeded, take } from "./helpers.ts";

const lib = loadLibCrypto();
const skip = lib === null ? "libcrypto cannot be called here (koffi is missing or its symbols are)" : false;

const CIPHERS = ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const;

test("no key stays behind: contexts are given back, a disposed key seals nothing", { skip }, () => {
  const before = lib!.contexts;
  const provider = new FfiProvider(lib!);
  for (const name of CIPHERS) {
    const key = new Uint8Array(name === "aes-128-gcm" ? 16 : 32);
    const aead = provider.packetAead(name, key, new Uint8Array(12));
    const hp = provider.headerProtector(name, key);
    assert.equal(lib!.contexts, before, "a key that is not used needs no context");
    aead.seal(new Uint8Array(64), 0, 4, 4, 10, 0);
    hp.masks(new Uint8Array(16), 1, new Uint8Array(16));
    assert.equal(lib!.contexts, before + 2);
    for (let twice = 0; twice < 2; twice++) {
      aead.dispose();
      hp.dispose();
    }
    assert.equal(lib!.contexts, before);
    assert.throws(() => aead.seal(new Uint8Array(64), 0, 4, 4, 10, 0), /disposed/);
    assert.throws(() => aead.open(new Uint8Array(64), 0, 4, 4, 30, 0), /disposed/);
    assert.throws(() => hp.masks(new Uint8Array(16), 1, new Uint8Array(16)), /disposed/);
    assert.throws(() => provider.packetAead(name, key.subarray(1), new Uint8Array(12)), RangeError);
  }
});

test("more keys than contexts: they change hands, and each seals with its own", { skip }, () => {
  const provider = new FfiProvider(lib!);
  const node = nodeProvider();
  for (const name of CIPHERS) {
    const random = seeded(3);
    const keys = Array.from({ length: MAX_CIPHER_CONTEXTS + 40 }, () => {
      const key = take(random, name === "aes-128-gcm" ? 16 : 32);
      const iv = take(random, 12);
      return {
        aead: provider.packetAead(name, key, iv),
        hp: provider.headerProtector(name, key),
        otherAead: node.packetAead(name, key, iv),
        otherHp: node.headerProtector(name, key),
      };
    });
    const pick = seededInt(9);
    const sample = take(random, 16);
    for (let i = 0; i < 3000; i++) {
      // Some often, the others now and then.
      const { aead, hp, otherAead, otherHp } = keys[i % 3 === 0 ? pick(keys.length) : pick(5)]!;
      const packet = take(random, 60);
      const copy = packet.slice();
      aead.seal(packet, 0, 6, 6, 38, i);
      otherAead.seal(copy, 0, 6, 6, 38, i);
      assert.deepEqual(packet, copy);
      assert.ok(aead.open(packet, 0, 6, 6, 54, i));
      const [ours, theirs] = [new Uint8Array(16), new Uint8Array(16)];
      hp.masks(sample, 1, ours);
      otherHp.masks(sample, 1, theirs);
      assert.deepEqual(ours.subarray(0, 5), theirs.subarray(0, 5));
    }
    for (const { aead, hp } of keys) {
      aead.dispose();
      hp.dispose();
    }
  }
  assert.ok(lib!.pool("AES-128-GCM").size <= MAX_CIPHER_CONTEXTS);
});

test("C never gets memory outside of the buffer", { skip }, () => {
  const aead = new FfiPacketAead(lib!, "aes-128-gcm", new Uint8Array(16), new Uint8Array(12));
  const buf = new Uint8Array(100);
  for (const [header, at, length] of [
    [0, 20, 65],
    [-1, 20, 40],
    [0, 200, 0],
    [0, -5, 40],
    [30, 20, 40],
    [0, NaN, 40],
    [0, 20, NaN],
    [0, 20, -21],
  ] as const) {
    assert.throws(() => aead.seal(buf, header, 10, at, length, 0), RangeError);
    if (length >= 16) assert.throws(() => aead.open(buf, header, 10, at, length + 16, 0), RangeError);
  }
  aead.dispose();
  const hp = new FfiProvider(lib!).headerProtector("aes-128-gcm", new Uint8Array(16));
  assert.throws(() => hp.masks(new Uint8Array(31), 2, new Uint8Array(32)), RangeError);
  assert.throws(() => hp.masks(new Uint8Array(32), 2, new Uint8Array(31)), RangeError);
  hp.dispose();
});

test("small arrays, which V8 may move, are sealed right under garbage collection", { skip }, () => {
  const node = nodeProvider();
  const provider = new FfiProvider(lib!);
  const random = seeded(7);
  const key = take(random, 16);
  const iv = take(random, 12);
  const ours = provider.packetAead("aes-128-gcm", key, iv);
  const theirs = node.packetAead("aes-128-gcm", key, iv);
  for (let i = 0; i < 2000; i++) {
    const small = new Uint8Array(40).fill(i);
    const copy = small.slice();
    ours.seal(small, 0, 5, 5, 19, i);
    theirs.seal(copy, 0, 5, 5, 19, i);
    assert.deepEqual(small, copy);
  }
  ours.dispose();
});

test("public keys are kept for the next signature, so many and no more", { skip }, () => {
  const made = { pkeyNew: 0, pkeyFree: 0 };
  const call: CryptoFunctions = {
    ...lib!.call,
    pkeyNew: () => (made.pkeyNew++, lib!.call.pkeyNew()),
    pkeyFree: (key) => (made.pkeyFree++, lib!.call.pkeyFree(key)),
  };
  const provider = new FfiProvider(new LibCrypto(loadKoffi()!, call));
  const data = new Uint8Array(40).fill(1);
  const signers = Array.from({ length: MAX_VERIFY_KEYS + 3 }, () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return {
      spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
      signature: new Uint8Array(sign("sha256", data, privateKey)),
    };
  });
  const check = (i: number, by = i) =>
    provider.verify("ecdsa_secp256r1_sha256", signers[i]!.spki, data, signers[by]!.signature);
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < signers.length; i++) {
      assert.equal(check(i), true);
      assert.equal(check(i), true);
      assert.equal(check(i, (i + 1) % signers.length), false, "another one's signature");
    }
  }
  assert.equal(made.pkeyNew, 2 * signers.length, "made anew only after it was forgotten");
  assert.equal(made.pkeyNew - made.pkeyFree, MAX_VERIFY_KEYS);
});

test("it is what a fresh process uses, the first time it is asked", { skip }, () => {
  assert.equal(providerOfProcess({}), "openssl");
});

test("QUIC_TS_CRYPTO=node and QUIC_TS_FFI=0 switch it off", () => {
  assert.equal(providerOfProcess({ QUIC_TS_CRYPTO: "node" }), "node");
  assert.equal(providerOfProcess({ QUIC_TS_FFI: "0" }), "node");
});

function providerOfProcess(environment: { [name: string]: string }): string {
  const module = JSON.stringify(new URL("../../internal/crypto/ffi.ts", import.meta.url).href);
  const { stdout } = spawnSync(
    process.execPath,
    [
      "--import",
      "tsx",
      "--input-type=module",
      "--eval",
      `const { defaultProvider } = await import(${module}); console.log(defaultProvider().name);`,
    ],
    {
      encoding: "utf8",
      env: { ...process.env, QUIC_TS_CRYPTO: undefined, QUIC_TS_FFI: undefined, ...environment },
    },
  );
  return stdout.trim();
}
