// Cipher contexts are kept for the next key: nothing of the last one is in them, and there are no more than so many.
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { FfiProvider } from "../../internal/crypto/ffi.ts";
import { ContextPool } from "../../internal/ffi/context-pool.ts";
import { addressOf, loadKoffi, nativeBuffer } from "../../internal/ffi/koffi.ts";
import { LibCrypto, loadLibCrypto, type CryptoFunctions } from "../../internal/ffi/libcrypto.ts";

const lib = loadLibCrypto();
const skip = lib === null ? "libcrypto cannot be called here (koffi is missing or its symbols are)" : false;

/** Names of ours with OpenSSL's of packet and header protection, and node's. */
const CIPHERS = [
  ["aes-128-gcm", "AES-128-GCM", "AES-128-ECB", "aes-128-ecb"],
  ["aes-256-gcm", "AES-256-GCM", "AES-256-ECB", "aes-256-ecb"],
  ["chacha20-poly1305", "ChaCha20-Poly1305", "ChaCha20", "chacha20"],
] as const;

interface Loading {
  readonly context: number;
  /** Where the key lay. */
  readonly address: number;
  readonly key: readonly number[];
}

/** The library with what was done to contexts noted down. */
function watched(refuse: (loading: Loading) => boolean = () => false) {
  const loadings: Loading[] = [];
  const made: number[] = [];
  const freed: number[] = [];
  const call: CryptoFunctions = {
    ...lib!.call,
    contextNew: () => {
      const context = lib!.call.contextNew();
      made.push(context);
      return context;
    },
    contextFree: (context) => {
      freed.push(context);
      return lib!.call.contextFree(context);
    },
    cipherInit: (...args) => {
      const [context, , , address] = args as [number, number, number, number, number, number];
      if (address !== 0) {
        // The bytes at that address are those of this buffer.
        assert.equal(address, addressOf(loadKoffi()!, own.key));
        const loading = { context, address, key: [...own.key] };
        loadings.push(loading);
        if (refuse(loading)) return 0;
      }
      return lib!.call.cipherInit(...args);
    },
  };
  const own = new LibCrypto(loadKoffi()!, call);
  return { own, loadings, made, freed };
}

/** What a context makes of 16 zeros with a nonce of zeros: it tells which key is in it. */
function sign(context: number): string {
  const block = nativeBuffer(32);
  const length = nativeBuffer(8);
  const at = addressOf(loadKoffi()!, block);
  const { cipherInit, cipherUpdate } = lib!.call;
  assert.equal(cipherInit(context, 0, 0, 0, at + 16, 1), 1);
  assert.equal(cipherUpdate(context, at, addressOf(loadKoffi()!, length), at, 16), 1);
  return Buffer.from(block.subarray(0, 16)).toString("hex");
}

/** The same from node. */
function expected(cipher: string, key: Uint8Array): string {
  const iv = cipher.endsWith("ecb") ? null : new Uint8Array(cipher === "chacha20" ? 16 : 12);
  const made = createCipheriv(cipher as "aes-128-gcm", key, iv as Uint8Array);
  return made.update(new Uint8Array(16)).toString("hex");
}

test("a key that is over is overwritten in its context by zeros", { skip }, () => {
  for (const [name, packets, headers, nodeHeaders] of CIPHERS) {
    const { own, loadings, made, freed } = watched();
    const provider = new FfiProvider(own);
    const key = new Uint8Array(name === "aes-128-gcm" ? 16 : 32).fill(0xa5);
    const zeros = new Uint8Array(key.length);
    const aead = provider.packetAead(name, key, new Uint8Array(12));
    const hp = provider.headerProtector(name, key);
    const seal = (): void => aead.seal(new Uint8Array(64), 0, 4, 4, 10, 0);
    for (const [what, pool, cipher, use] of [
      [aead, packets, name, seal],
      [hp, headers, nodeHeaders, () => hp.masks(new Uint8Array(16), 1, new Uint8Array(16))],
    ] as const) {
      use();
      const context = made.at(-1)!;
      assert.equal(sign(context), expected(cipher, key), `${pool}: the key in use`);
      const before = loadings.length;
      what.dispose();
      assert.deepEqual(
        loadings.slice(before).map((loading) => [loading.context, loading.key]),
        [[context, Array<number>(32).fill(0)]],
        `${pool}: one key of zeros`,
      );
      assert.equal(sign(context), expected(cipher, zeros), `${pool}: the key of zeros`);
      assert.equal(own.pool(pool).size, 1);
      what.dispose();
      assert.equal(loadings.length, before + 1, "once");
    }
    assert.deepEqual(freed, [], "kept for the next key");
    assert.equal(own.contexts, 0);
    assert.ok(
      own.key.every((byte) => byte === 0),
      "nor does a key stay on its way",
    );
  }
});

test("where OpenSSL does not take the zeros, the context is freed, which cleanses it", { skip }, () => {
  for (const [name, packets, headers] of CIPHERS) {
    let refusing = false;
    const { own, made, freed } = watched(() => refusing);
    const provider = new FfiProvider(own);
    const key = new Uint8Array(name === "aes-128-gcm" ? 16 : 32).fill(0xa5);
    for (let round = 1; round <= 2; round++) {
      const aead = provider.packetAead(name, key, new Uint8Array(12));
      const hp = provider.headerProtector(name, key);
      aead.seal(new Uint8Array(64), 0, 4, 4, 10, 0);
      hp.masks(new Uint8Array(16), 1, new Uint8Array(16));
      assert.equal(own.pool(packets).size + own.pool(headers).size, 2);
      refusing = true;
      aead.dispose();
      hp.dispose();
      refusing = false;
      assert.equal(own.pool(packets).size + own.pool(headers).size, 0);
      assert.equal(own.contexts, 0);
      assert.deepEqual(freed, made, "each once");
      assert.equal(made.length, 2 * round, "the next key gets a new one");
    }
  }
});

test("the pool is bounded, whoever takes, gives back and is refused", { skip }, () => {
  let refusing = false;
  const { own, made, freed } = watched(({ key }) => refusing && key[0] !== 0);
  const MOST = 3;
  const pool = new ContextPool(own, "AES-128-GCM", MOST);
  const owners = Array.from({ length: 10 }, (_, i) => {
    const lent = pool.take({}, new Uint8Array(16).fill(i + 1));
    return { lent, owner: lent.owner!, key: new Uint8Array(16).fill(i + 1) };
  });
  assert.equal(pool.size, MOST);
  assert.equal(own.contexts, MOST);
  assert.equal(made.length, MOST);
  const last = owners.filter(({ lent, owner }) => lent.owner === owner);
  assert.equal(last.length, MOST, "the last ones have them");
  for (const { lent, key } of last) assert.equal(sign(lent.context), expected("aes-128-gcm", key));
  // Who lost his gives nothing back.
  for (const { lent, owner } of owners)
    if (!last.some((one) => one.owner === owner)) pool.giveBack(lent, owner);
  assert.equal(own.contexts, MOST);
  // Taken from somebody, and then refused: nobody has it, and it holds neither's key.
  refusing = true;
  assert.throws(() => pool.take({}, new Uint8Array(16).fill(99)), { code: "ERR_QUIC_TRANSPORT" });
  refusing = false;
  assert.equal(own.contexts, MOST - 1);
  const [lost] = last.filter(({ lent, owner }) => lent.owner !== owner);
  assert.equal(sign(lost!.lent.context), expected("aes-128-gcm", new Uint8Array(16)));
  for (const { lent, owner } of last) pool.giveBack(lent, owner);
  assert.equal(own.contexts, 0);
  assert.equal(pool.size, MOST);
  for (let i = 0; i < 20; i++) {
    const owner = {};
    pool.giveBack(pool.take(owner, new Uint8Array(16).fill(7)), owner);
  }
  assert.equal(made.length, MOST, "those that there are serve all that follow");
  assert.deepEqual(freed, []);
});
