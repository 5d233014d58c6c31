// OpenSSL's libcrypto as this process already has it: the node binary exports its symbols, or has loaded the library.
// One FFI call costs about 0.1 µs where node:crypto needs 4 µs to set up a cipher, and a decoder's 100 to 400 µs to
// take in a key.
//
// Addresses and lengths are numbers. What C gets the address of is either a buffer of this module's own, or a slab
// that is held here for as long as the call runs.

import { INTERNAL_ERROR } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { MAX_CIPHER_CONTEXTS } from "../protocol/limits.ts";
import { ContextPool } from "./context-pool.ts";
import { addressOf, loadKoffi, nativeBuffer, type Koffi, type NativeFunction } from "./koffi.ts";

type Numeric = (...args: readonly number[]) => number;

export const PROTOTYPES = {
  cipherFetch: "uintptr_t EVP_CIPHER_fetch(uintptr_t, uintptr_t, uintptr_t)",
  contextNew: "uintptr_t EVP_CIPHER_CTX_new()",
  contextFree: "void EVP_CIPHER_CTX_free(uintptr_t)",
  cipherInit: "int EVP_CipherInit_ex(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, int)",
  cipherUpdate: "int EVP_CipherUpdate(uintptr_t, uintptr_t, uintptr_t, uintptr_t, int)",
  cipherFinal: "int EVP_CipherFinal_ex(uintptr_t, uintptr_t, uintptr_t)",
  cipherControl: "int EVP_CIPHER_CTX_ctrl(uintptr_t, int, int, uintptr_t)",
  setPadding: "int EVP_CIPHER_CTX_set_padding(uintptr_t, int)",
  mdFetch: "uintptr_t EVP_MD_fetch(uintptr_t, uintptr_t, uintptr_t)",
  hmac: "uintptr_t HMAC(uintptr_t, uintptr_t, int, uintptr_t, size_t, uintptr_t, uintptr_t)",
  rawPrivateKey: "uintptr_t EVP_PKEY_new_raw_private_key(int, uintptr_t, uintptr_t, size_t)",
  rawPublicKey: "uintptr_t EVP_PKEY_new_raw_public_key(int, uintptr_t, uintptr_t, size_t)",
  getRawPublicKey: "int EVP_PKEY_get_raw_public_key(uintptr_t, uintptr_t, uintptr_t)",
  pkeyFree: "void EVP_PKEY_free(uintptr_t)",
  pkeyContext: "uintptr_t EVP_PKEY_CTX_new(uintptr_t, uintptr_t)",
  pkeyContextFree: "void EVP_PKEY_CTX_free(uintptr_t)",
  deriveInit: "int EVP_PKEY_derive_init(uintptr_t)",
  deriveSetPeer: "int EVP_PKEY_derive_set_peer(uintptr_t, uintptr_t)",
  derive: "int EVP_PKEY_derive(uintptr_t, uintptr_t, uintptr_t)",
  ecKeyNew: "uintptr_t EC_KEY_new_by_curve_name(int)",
  ecKeyFree: "void EC_KEY_free(uintptr_t)",
  ecKeyFromPoint: "uintptr_t o2i_ECPublicKey(uintptr_t, uintptr_t, long)",
  pkeyNew: "uintptr_t EVP_PKEY_new()",
  pkeyAssign: "int EVP_PKEY_assign(uintptr_t, int, uintptr_t)",
  mdContextNew: "uintptr_t EVP_MD_CTX_new()",
  mdContextFree: "void EVP_MD_CTX_free(uintptr_t)",
  verifyInit: "int EVP_DigestVerifyInit(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)",
  verify: "int EVP_DigestVerify(uintptr_t, uintptr_t, size_t, uintptr_t, size_t)",
  clearErrors: "void ERR_clear_error()",
} as const;

/** Of an older kind, and fast: null where the library has none. */
const SHA256_PROTOTYPES = {
  init: "int SHA256_Init(uintptr_t)",
  update: "int SHA256_Update(uintptr_t, uintptr_t, size_t)",
  final: "int SHA256_Final(uintptr_t, uintptr_t)",
} as const;

export type Sha256Functions = { readonly [name in keyof typeof SHA256_PROTOTYPES]: Numeric };

/** libcrypto's functions, under names of ours. Pointers go in and come out as numbers. */
export type CryptoFunctions = { readonly [name in keyof typeof PROTOTYPES]: Numeric };

/** Bytes of the scratch memory: the largest input that goes through it (a TLS transcript to verify) and its output. */
const SCRATCH = 16384;
/** Where names of algorithms go. */
const NAME = SCRATCH - 64;

/** The functions with the memory to call them with. One per thread. */
export class LibCrypto {
  readonly call: CryptoFunctions;
  readonly sha256: Sha256Functions | null;
  /** Scratch memory, shared by all that is synchronous; whoever puts a secret there zeroes it. */
  readonly scratch = nativeBuffer(SCRATCH);
  readonly scratchAddress: number;
  /** A packet's nonce. */
  readonly nonce = nativeBuffer(12);
  readonly nonceAddress: number;
  /** A key on its way into a context. */
  readonly key = nativeBuffer(32);
  readonly keyAddress: number;
  /** Where an `int *` or `size_t *` goes. */
  readonly lengthAddress: number;
  /** Contexts that keys have, and keys alive: tests assert that none is left. */
  contexts = 0;
  readonly #koffi: Koffi;
  readonly #words = new BigUint64Array(nativeBuffer(16).buffer as ArrayBuffer);
  #last: Uint8Array;
  /** Keeps the buffer before the last alive. */
  readonly #held: Uint8Array[];
  #lastAddress: number;
  readonly #fetched = new Map<string, number>();
  readonly #pools = new Map<string, ContextPool>();
  /** The safety net for owners that were never disposed. */
  readonly #keyRegistry = new FinalizationRegistry<number>((key) => this.#freeKey(key));

  constructor(koffi: Koffi, call: CryptoFunctions, sha256: Sha256Functions | null = null) {
    this.#koffi = koffi;
    this.call = call;
    this.sha256 = sha256;
    this.scratchAddress = addressOf(koffi, this.scratch);
    this.nonceAddress = addressOf(koffi, this.nonce);
    this.keyAddress = addressOf(koffi, this.key);
    this.lengthAddress = addressOf(koffi, this.#words);
    this.#last = this.scratch;
    this.#held = [this.scratch];
    this.#lastAddress = this.scratchAddress;
  }

  /** The error for a call that failed: out of memory, or a policy of OpenSSL's. */
  failure(what: string): TransportError {
    // OpenSSL keeps a queue of errors per thread, which node:crypto would report as its own.
    this.call.clearErrors();
    return new TransportError(INTERNAL_ERROR, "internal error", {
      cause: new Error(`libcrypto: ${what} failed`),
    });
  }

  /** The address of `buffer`'s first byte. It holds for this buffer and the one before, until a third is asked for. */
  address(buffer: Uint8Array): number {
    if (buffer === this.#last) return this.#lastAddress;
    // Small arrays live in V8's movable heap until their ArrayBuffer is asked for.
    void buffer.buffer;
    // Held, so that it outlives the call that gets the address: V8 collects what no live code mentions.
    this.#held[0] = this.#last;
    this.#last = buffer;
    return (this.#lastAddress = addressOf(this.#koffi, buffer));
  }

  /** The number that C left at `lengthAddress`. */
  get length(): number {
    return Number(this.#words[0]);
  }

  set length(value: number) {
    this.#words[0] = BigInt(value);
  }

  /** The address of a pointer variable with this value. */
  pointerTo(value: number): number {
    this.#words[1] = BigInt(value);
    return this.lengthAddress + 8;
  }

  /** A cipher by OpenSSL's name, looked up once. 0 where it has none. */
  cipher(name: string): number {
    return this.#fetch(name, this.call.cipherFetch);
  }

  digest(name: string): number {
    return this.#fetch(name, this.call.mdFetch);
  }

  #fetch(name: string, fetch: Numeric): number {
    const known = this.#fetched.get(name);
    if (known !== undefined) return known;
    // Away from what others have put into the scratch memory.
    for (let i = 0; i < name.length; i++) this.scratch[NAME + i] = name.charCodeAt(i);
    this.scratch[NAME + name.length] = 0;
    const found = fetch(0, this.scratchAddress + NAME, 0);
    this.call.clearErrors();
    this.#fetched.set(name, found);
    return found;
  }

  /** The contexts for a cipher by OpenSSL's name. */
  pool(cipher: string, padding = true): ContextPool {
    let pool = this.#pools.get(cipher);
    if (pool === undefined) {
      pool = new ContextPool(this, cipher, MAX_CIPHER_CONTEXTS, padding);
      this.#pools.set(cipher, pool);
    }
    return pool;
  }

  /** `owner` has this EVP_PKEY until it disowns it or is collected. */
  own(key: number, owner: object): void {
    this.contexts++;
    this.#keyRegistry.register(owner, key, owner);
  }

  /** Frees a key, which cleanses it. */
  disown(key: number, owner: object): void {
    this.#keyRegistry.unregister(owner);
    this.#freeKey(key);
  }

  #freeKey(key: number): void {
    this.contexts--;
    this.call.pkeyFree(key);
  }
}

let loaded: LibCrypto | null | undefined;

/** libcrypto, or null where its symbols cannot be had. */
export function loadLibCrypto(): LibCrypto | null {
  if (loaded !== undefined) return loaded;
  loaded = null;
  const koffi = loadKoffi();
  if (koffi === null) return null;
  try {
    const library = koffi.load(null);
    const all = (prototypes: object): { [name: string]: NativeFunction } => {
      const functions: { [name: string]: NativeFunction } = {};
      for (const [name, prototype] of Object.entries(prototypes)) {
        functions[name] = library.func(prototype as string);
      }
      return functions;
    };
    let sha256: Sha256Functions | null = null;
    try {
      sha256 = all(SHA256_PROTOTYPES) as Sha256Functions;
    } catch {
      // Built without what is deprecated.
    }
    loaded = new LibCrypto(koffi, all(PROTOTYPES) as CryptoFunctions, sha256);
  } catch {
    // Another TLS library, or one without the symbols of OpenSSL 3.
  }
  return loaded;
}
