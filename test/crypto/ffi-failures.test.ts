// libcrypto by FFI: each call that is bound is made to fail, at each place where it is made. What follows is a fallback,
// a refusal or a typed error, never a wrong answer, and nothing native is left behind.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { FfiProvider, ffiProvider, passesSelfTest } from "../../internal/crypto/ffi.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import type { CryptoProvider, SignatureName } from "../../internal/crypto/provider.ts";
import { loadKoffi } from "../../internal/ffi/koffi.ts";
import {
  LibCrypto,
  loadLibCrypto,
  PROTOTYPES,
  type CryptoFunctions,
  type Sha256Functions,
} from "../../internal/ffi/libcrypto.ts";
import { fromHex, toHex } from "../../internal/protocol/bytes.ts";
import { TransportError } from "../../internal/protocol/errors.ts";

// What is asked for by the environment is no failure.
delete process.env["QUIC_TS_CRYPTO"];

const lib = loadLibCrypto();
const skip = lib === null ? "libcrypto cannot be called here (koffi is missing or its symbols are)" : false;

const CIPHERS = ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const;
const POOLS = [
  "AES-128-GCM",
  "AES-256-GCM",
  "ChaCha20-Poly1305",
  "AES-128-ECB",
  "AES-256-ECB",
  "ChaCha20",
] as const;
const SHA256 = ["init", "update", "final"] as const;

type Name = keyof CryptoFunctions;
type Call = (...args: readonly number[]) => number;

/** Every call that is bound, of those that say how they went. */
const ALL = Object.keys(PROTOTYPES) as Name[];
const ANSWERING = ALL.filter((name) => !PROTOTYPES[name].startsWith("void "));

/** The library with some calls of ours. */
function withCalls(
  calls: { readonly [name in Name]?: Call },
  sha256: Partial<Sha256Functions> = {},
): LibCrypto {
  const short = lib!.sha256 === null ? null : { ...lib!.sha256, ...sha256 };
  return new LibCrypto(loadKoffi()!, { ...lib!.call, ...calls }, short);
}

const passes = (broken: LibCrypto): boolean => passesSelfTest(new FfiProvider(broken));

test("the self test needs every call: a library in which one always fails is not used", { skip }, () => {
  assert.equal(passes(withCalls({})), true);
  assert.ok(ANSWERING.length > 20);
  for (const name of ANSWERING) assert.equal(passes(withCalls({ [name]: () => 0 })), false, name);
  if (lib!.sha256 === null) return;
  for (const name of SHA256) assert.equal(passes(withCalls({}, { [name]: () => 0 })), false, name);
  // Without the older functions the newer ones do it.
  assert.equal(passes(new LibCrypto(loadKoffi()!, lib!.call, null)), true);
});

test("the self test needs right answers: a call that does nothing and says 1 is noticed", { skip }, () => {
  // What else answers with an int: whole blocks are encrypted as well with padding on.
  const counted = ANSWERING.filter((name) => PROTOTYPES[name].startsWith("int ") && name !== "setPadding");
  assert.ok(counted.includes("verify") && counted.includes("derive"));
  for (const name of counted) assert.equal(passes(withCalls({ [name]: () => 1 })), false, name);
  if (lib!.sha256 === null) return;
  for (const name of SHA256) assert.equal(passes(withCalls({}, { [name]: () => 1 })), false, name);
});

/** Changes one kind of algorithm alone, by the name under which it is fetched. */
function mistaken(fetch: "cipherFetch" | "mdFetch", wrong: string, instead: string): LibCrypto {
  const real = lib![fetch === "mdFetch" ? "digest" : "cipher"](instead);
  const broken: LibCrypto = withCalls({
    [fetch]: (context: number, name: number, properties: number) => {
      const at = name - broken.scratchAddress;
      const asked = Buffer.from(broken.scratch.subarray(at, broken.scratch.indexOf(0, at))).toString(
        "latin1",
      );
      return asked === wrong ? real : lib!.call[fetch](context, name, properties);
    },
  });
  return broken;
}

test("the self test covers each cipher and the digests of TLS 1.3", { skip }, () => {
  for (const [fetch, wrong, instead] of [
    ["cipherFetch", "AES-128-GCM", "ChaCha20-Poly1305"],
    ["cipherFetch", "AES-256-GCM", "ChaCha20-Poly1305"],
    ["cipherFetch", "ChaCha20-Poly1305", "AES-256-GCM"],
    ["cipherFetch", "AES-128-ECB", "AES-256-ECB"],
    ["cipherFetch", "AES-256-ECB", "AES-128-ECB"],
    ["cipherFetch", "ChaCha20", "AES-256-CTR"],
    ["mdFetch", "SHA2-256", "SHA2-512"],
    ["mdFetch", "SHA2-384", "SHA2-512"],
  ] as const) {
    assert.equal(passes(mistaken(fetch, wrong, instead)), false, wrong);
  }
  assert.equal(passes(mistaken("cipherFetch", "AES-128-GCM", "AES-128-GCM")), true);
});

test("a library that accepts every signature is not used: node:crypto is", { skip }, () => {
  const call = lib!.call as { -readonly [name in Name]: Call };
  const { verify } = call;
  assert.notEqual(ffiProvider(), null);
  call.verify = () => 1;
  try {
    assert.equal(ffiProvider(), null);
  } finally {
    call.verify = verify;
  }
  const at = (path: string): string =>
    JSON.stringify(new URL(`../../internal/${path}`, import.meta.url).href);
  const program = `
    const { loadLibCrypto } = await import(${at("ffi/libcrypto.ts")});
    const { defaultProvider } = await import(${at("crypto/ffi.ts")});
    loadLibCrypto().call.verify = () => 1;
    console.log(defaultProvider().name);`;
  const env = { ...process.env, QUIC_TS_CRYPTO: undefined, QUIC_TS_FFI: undefined };
  const options = ["--import", "tsx", "--input-type=module", "--eval", program];
  assert.equal(spawnSync(process.execPath, options, { encoding: "utf8", env }).stdout.trim(), "node");
});

// rfc6979#A.2.5 and #A.2.6, message "sample".
const SIGNED: readonly (readonly [SignatureName, spki: string, signature: string])[] = [
  [
    "ecdsa_secp256r1_sha256",
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004" +
      "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6" +
      "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
      "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
  ],
  [
    "ecdsa_secp384r1_sha384",
    "3076301006072a8648ce3d020106052b8104002203620004" +
      "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13" +
      "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
    "306602310094edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46" +
      "02310099ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
  ],
];
const NID_X25519 = 1034;
const MESSAGE = new Uint8Array(Buffer.from("sample"));
const PEER = fromHex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");

/** Everything that is done with the library, one by one: the name with what came of it. `after` is called after each. */
function exercise(provider: CryptoProvider, after: (name: string) => void = () => {}): Map<string, unknown> {
  const results = new Map<string, unknown>();
  const step = (name: string, run: () => unknown): void => {
    try {
      results.set(name, run());
    } catch (error) {
      results.set(name, error);
    }
    after(name);
  };
  const iv = new Uint8Array(12).fill(2);
  for (const name of CIPHERS) {
    const key = new Uint8Array(name === "aes-128-gcm" ? 16 : 32).fill(1);
    const aad = new Uint8Array(5).fill(4);
    const plain = new Uint8Array(20).fill(3);
    const good = nodeProvider().aeadSeal(name, key, iv, aad, plain);
    const aead = provider.packetAead(name, key, iv);
    step(`${name} seal`, () => {
      const packet = new Uint8Array(41);
      packet.set(aad);
      packet.set(plain, 5);
      aead.seal(packet, 0, 5, 5, 20, 0);
      return toHex(packet);
    });
    for (const flaw of [0, 1]) {
      step(`${name} open${flaw === 0 ? "" : " a forgery"}`, () => {
        const packet = new Uint8Array(41);
        packet.set(aad);
        packet.set(good, 5);
        packet[40]! ^= flaw;
        return aead.open(packet, 0, 5, 5, 36, 0) && toHex(packet.subarray(5, 25));
      });
    }
    const hp = provider.headerProtector(name, key);
    step(`${name} masks`, () => {
      const out = new Uint8Array(32);
      hp.masks(new Uint8Array(32).fill(9), 2, out);
      return toHex(out.subarray(0, 5)) + toHex(out.subarray(16, 21));
    });
    step(`${name} dispose`, () => {
      aead.dispose();
      hp.dispose();
    });
    step(`${name} seal at once`, () => toHex(provider.aeadSeal(name, key, iv, aad, plain)));
    step(`${name} open at once`, () =>
      toHex(provider.aeadOpen(name, key, iv, aad, good) ?? new Uint8Array(0)),
    );
  }
  for (const name of ["sha256", "sha384", "sha512"] as const) {
    step(`${name} HMAC`, () => toHex(provider.hmac(name, iv, MESSAGE)));
    step(`${name} HMAC, long key`, () => toHex(provider.hmac(name, new Uint8Array(200), MESSAGE)));
    step(`${name} HKDF`, () => toHex(provider.hkdfExpand(name, new Uint8Array(32), MESSAGE, 20)));
    step(`${name} hash`, () => toHex(provider.hash(name, MESSAGE)));
    step(`${name} running hash`, () => {
      const hash = provider.runningHash(name);
      hash.update(MESSAGE);
      return toHex(hash.digest());
    });
  }
  step("x25519", () => {
    const share = provider.keyShare("x25519", (out) => out.fill(5));
    const secret = share.agree(PEER);
    share.dispose();
    return secret === null ? false : toHex(share.publicKey) + toHex(secret);
  });
  for (const [scheme, spki, signature] of SIGNED) {
    const flawed = fromHex(signature);
    flawed[flawed.length - 1]! ^= 1;
    for (const [what, bytes] of [
      ["altered", flawed],
      ["good", fromHex(signature)],
    ] as const) {
      step(`${scheme} ${what}`, () => provider.verify(scheme, fromHex(spki), MESSAGE, bytes));
    }
  }
  return results;
}

/** The library with its calls counted, and what it has made and not freed. */
class Watched {
  readonly lib: LibCrypto;
  readonly calls = new Map<string, number>();
  readonly alive = new Map<number, Name>();

  /** @param fails whether the call, the n-th of its name, does not do its work, answers 0, and leaves an error. */
  constructor(fails: (name: string, n: number) => boolean) {
    const counted =
      (name: string, real: Call): Call =>
      (...args) => {
        const n = (this.calls.get(name) ?? 0) + 1;
        this.calls.set(name, n);
        if (!fails(name, n)) return real(...args);
        // OpenSSL notes down why: this key is too short.
        return lib!.call.rawPrivateKey(NID_X25519, 0, lib!.scratchAddress, 5);
      };
    const calls: { [name in Name]?: Call } = {};
    for (const name of ALL) {
      const real: Call = lib!.call[name];
      const prototype = PROTOTYPES[name];
      calls[name] = counted(name, (...args) => {
        const result = real(...args);
        if (/_new/.test(prototype) && result !== 0) this.alive.set(result, name);
        if (/_free\(/.test(prototype)) this.alive.delete(args[0]!);
        // From now on it is freed with the key.
        if (name === "pkeyAssign" && result === 1) this.alive.delete(args[2]!);
        return result;
      });
    }
    const sha256: { -readonly [name in keyof Sha256Functions]?: Call } = {};
    if (lib!.sha256 !== null) {
      for (const name of SHA256) sha256[name] = counted(name, lib!.sha256[name]);
    }
    this.lib = withCalls(calls, sha256);
  }

  /** How many of those that are made by this call are left. */
  left(maker: Name): number {
    return [...this.alive.values()].filter((name) => name === maker).length;
  }
}

test("whichever call fails: a fallback, a refusal or a typed error, and nothing is left", { skip }, () => {
  const peekError = loadKoffi()!.load(null).func("unsigned long ERR_peek_error()");
  const errors = (): number => Number(peekError());
  new Watched(() => true).lib.call.derive(0, 0, 0);
  assert.notEqual(errors(), 0, "a call that is made to fail leaves an error");
  lib!.call.clearErrors();
  const good = exercise(nodeProvider());
  const all = new Watched(() => false);
  assert.deepEqual(exercise(new FfiProvider(all.lib)), good, "undisturbed it agrees with node");
  assert.equal(good.get("ecdsa_secp384r1_sha384 good"), true);
  // A call that is bound and not made here would never be made to fail.
  for (const name of ANSWERING) assert.ok(all.calls.get(name)! > 0, name);

  const made = new Set<string>();
  const attempt = (name: string, at: number | null): void => {
    const watched = new Watched((called, n) => called === name && (at === null || n === at));
    const where = `${name}, ${at === null ? "always" : `call ${at}`}`;
    const results = exercise(new FfiProvider(watched.lib), (step) =>
      assert.equal(errors(), 0, `${where}: ${step}: node:crypto would find an error that is not its own`),
    );
    let noticed = 0;
    for (const [step, result] of results) {
      const message = `${where}: ${step}`;
      if (result === good.get(step)) continue;
      noticed++;
      if (result instanceof Error) {
        assert.ok(result instanceof TransportError, `${message}: ${result.stack}`);
        assert.match((result.cause as Error).message, /^libcrypto: /, message);
      } else assert.ok(result === false || result === "", `${message}: ${String(result)}`);
    }
    if (at === null) assert.ok(noticed > 0, `${where}: nobody noticed`);
    assert.equal(watched.lib.contexts, 0, `${where}: keys are left`);
    const pooled = POOLS.reduce((sum, cipher) => sum + watched.lib.pool(cipher).size, 0);
    assert.equal(watched.left("contextNew"), pooled, `${where}: contexts are left outside of their pool`);
    // The verifier's keys are kept, one for each signer.
    assert.ok(watched.left("pkeyNew") <= SIGNED.length, `${where}: keys are left`);
    for (const maker of [
      "rawPrivateKey",
      "rawPublicKey",
      "pkeyContext",
      "ecKeyNew",
      "mdContextNew",
    ] as const) {
      assert.equal(watched.left(maker), 0, `${where}: ${maker}`);
    }
    for (const called of watched.calls.keys()) made.add(called);
  };
  let attempts = 0;
  for (const [name, calls] of all.calls) {
    // What answers nothing cannot fail.
    if (ALL.includes(name as Name) && !ANSWERING.includes(name as Name)) continue;
    attempt(name, null);
    for (let at = 1; at <= calls; at++, attempts++) attempt(name, at);
  }
  assert.ok(attempts > 100, `${attempts}`);
  for (const name of ALL) assert.ok(made.has(name), `${name} is never called`);
});
