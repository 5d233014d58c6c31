// Key shares made ahead: a library that fails costs the time that they save, and nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { defaultProvider, FfiProvider } from "../../internal/crypto/ffi.ts";
import { type CryptoFunctions, loadLibCrypto } from "../../internal/ffi/libcrypto.ts";
import { random } from "../../src/random.ts";
import { makeSpareShare } from "../../src/spare-shares.ts";

// What is asked for by the environment is no failure.
delete process.env["QUIC_TS_CRYPTO"];

const lib = loadLibCrypto();
const skip = lib === null ? "libcrypto cannot be called here (koffi is missing or its symbols are)" : false;

test("a library that fails makes no spare share, and the process lives", { skip }, async () => {
  const provider = defaultProvider();
  assert.ok(provider instanceof FfiProvider);
  const call = lib!.call as { -readonly [name in keyof CryptoFunctions]: CryptoFunctions[name] };
  const { rawPrivateKey, getRawPublicKey, pkeyFree } = call;
  let made = 0;
  let freed = 0;
  call.rawPrivateKey = (...args) => (made++, rawPrivateKey(...args));
  call.pkeyFree = (key) => (freed++, pkeyFree(key));
  // Tells whose shares are made ahead.
  makeSpareShare();
  const before = lib!.contexts;
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  process.on("uncaughtException", note);
  try {
    for (const name of ["rawPrivateKey", "getRawPublicKey"] as const) {
      const works = call[name];
      let tried = 0;
      call[name] = () => (tried++, 0);
      provider.wantsSpare = true;
      makeSpareShare();
      await turn();
      await turn();
      assert.equal(tried, 1, `${name} was called`);
      assert.deepEqual(uncaught, []);
      assert.equal(lib!.contexts, before);
      assert.equal(made - freed, 0, "no key of OpenSSL's is left");
      call[name] = works;
    }
    // The next one is made, and used.
    provider.wantsSpare = true;
    makeSpareShare();
    await turn();
    await turn();
    assert.equal(lib!.contexts, before + 1);
    const share = provider.keyShare("x25519", random);
    assert.equal(lib!.contexts, before + 1, "the spare one");
    share.dispose();
    assert.equal(lib!.contexts, before);
  } finally {
    process.off("uncaughtException", note);
    Object.assign(call, { rawPrivateKey, getRawPublicKey, pkeyFree });
  }
});
