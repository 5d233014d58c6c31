// Packet protection through libcrypto: a context that keeps the key, a new nonce per packet, in place.

import { type ContextPool, type Lent, NOT_LENT } from "../ffi/context-pool.ts";
import type { LibCrypto } from "../ffi/libcrypto.ts";
import { smallBytes } from "../protocol/small-bytes.ts";
import { writeNonce } from "./nonce.ts";
import type { AeadName, HeaderProtector, PacketAead } from "./provider.ts";

const CIPHERS: { readonly [name in AeadName]: string } = {
  "aes-128-gcm": "AES-128-GCM",
  "aes-256-gcm": "AES-256-GCM",
  "chacha20-poly1305": "ChaCha20-Poly1305",
};
const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;

/** Whatever OpenSSL may do, C never gets memory outside of the buffer. */
function check(buf: Uint8Array, headerOffset: number, payloadOffset: number, end: number): void {
  if (!(headerOffset >= 0 && payloadOffset >= headerOffset && end >= payloadOffset && end <= buf.length)) {
    throw new RangeError("packet outside of its buffer");
  }
}

const DISPOSED = new Uint8Array(0);

/** A key with the context it is in, if it is in one. */
abstract class PooledKey {
  protected readonly lib: LibCrypto;
  /** The key, and behind it what belongs to it. */
  protected secret: Uint8Array;
  readonly #pool: ContextPool;
  readonly #keyLength: number;
  #lent: Lent = NOT_LENT;

  constructor(lib: LibCrypto, pool: ContextPool, keyLength: number, key: Uint8Array, more: Uint8Array) {
    if (key.length !== keyLength) throw new RangeError(`the key has ${key.length} bytes, not ${keyLength}`);
    this.lib = lib;
    this.#pool = pool;
    this.#keyLength = keyLength;
    this.secret = smallBytes(keyLength + more.length);
    this.secret.set(key);
    this.secret.set(more, keyLength);
  }

  /** The context with this key. */
  protected get context(): number {
    if (this.#lent.owner !== this) this.#load();
    return this.#lent.context;
  }

  #load(): void {
    if (this.secret.length === 0) throw new Error("libcrypto: the key was disposed of");
    this.#lent = this.#pool.take(this, this.secret.subarray(0, this.#keyLength));
  }

  dispose(): void {
    this.#pool.giveBack(this.#lent, this);
    this.#lent = NOT_LENT;
    this.secret.fill(0);
    this.secret = DISPOSED;
  }
}

/** One direction's AEAD. */
export class FfiPacketAead extends PooledKey implements PacketAead {
  readonly tagLength = 16;
  readonly #ivAt: number;

  constructor(lib: LibCrypto, name: AeadName, key: Uint8Array, iv: Uint8Array) {
    super(lib, lib.pool(CIPHERS[name]), name === "aes-128-gcm" ? 16 : 32, key, iv);
    this.#ivAt = key.length;
  }

  seal(
    buf: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payloadOffset: number,
    payloadLength: number,
    pn: number,
  ): void {
    const { lib, context } = this;
    const { call, lengthAddress } = lib;
    const end = payloadOffset + payloadLength;
    check(buf, headerOffset, payloadOffset, end + 16);
    writeNonce(lib.nonce, this.secret, pn, this.#ivAt);
    const base = lib.address(buf);
    const at = base + payloadOffset;
    if (
      call.cipherInit(context, 0, 0, 0, lib.nonceAddress, 1) !== 1 ||
      call.cipherUpdate(context, 0, lengthAddress, base + headerOffset, headerLength) !== 1 ||
      call.cipherUpdate(context, at, lengthAddress, at, payloadLength) !== 1 ||
      call.cipherFinal(context, at + payloadLength, lengthAddress) !== 1 ||
      call.cipherControl(context, EVP_CTRL_AEAD_GET_TAG, 16, base + end) !== 1
    ) {
      throw lib.failure("sealing");
    }
  }

  open(
    buf: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payloadOffset: number,
    payloadLength: number,
    pn: number,
  ): boolean {
    if (payloadLength < 16) return false;
    const { lib, context } = this;
    const { call, lengthAddress } = lib;
    const length = payloadLength - 16;
    check(buf, headerOffset, payloadOffset, payloadOffset + payloadLength);
    writeNonce(lib.nonce, this.secret, pn, this.#ivAt);
    const base = lib.address(buf);
    const at = base + payloadOffset;
    if (
      call.cipherInit(context, 0, 0, 0, lib.nonceAddress, 0) === 1 &&
      call.cipherControl(context, EVP_CTRL_AEAD_SET_TAG, 16, at + length) === 1 &&
      call.cipherUpdate(context, 0, lengthAddress, base + headerOffset, headerLength) === 1 &&
      call.cipherUpdate(context, at, lengthAddress, at, length) === 1 &&
      call.cipherFinal(context, at + length, lengthAddress) === 1
    ) {
      return true;
    }
    // Nobody shall take them for his own, see `failure`.
    call.clearErrors();
    return false;
  }

  override dispose(): void {
    super.dispose();
    this.lib.nonce.fill(0);
  }
}

/** AES header protection: the masks of a batch are one call. rfc9001#5.4.3 */
export class FfiAesHeaderProtector extends PooledKey implements HeaderProtector {
  constructor(lib: LibCrypto, name: "aes-128-gcm" | "aes-256-gcm", key: Uint8Array) {
    const short = name === "aes-128-gcm";
    super(lib, lib.pool(short ? "AES-128-ECB" : "AES-256-ECB", false), short ? 16 : 32, key, DISPOSED);
  }

  masks(samples: Uint8Array, n: number, out: Uint8Array): void {
    const { lib, context } = this;
    const length = 16 * n;
    if (length > samples.length || length > out.length)
      throw new RangeError("samples outside of their buffer");
    const to = lib.address(out);
    const from = samples === out ? to : lib.address(samples);
    if (lib.call.cipherUpdate(context, to, lib.lengthAddress, from, length) !== 1) {
      throw lib.failure("header protection");
    }
  }
}

/** ChaCha20 header protection: each sample is counter and nonce of a stream of its own. rfc9001#5.4.4 */
export class FfiChaChaHeaderProtector extends PooledKey implements HeaderProtector {
  constructor(lib: LibCrypto, key: Uint8Array) {
    super(lib, lib.pool("ChaCha20"), 32, key, DISPOSED);
  }

  masks(samples: Uint8Array, n: number, out: Uint8Array): void {
    const { call, scratch, scratchAddress, lengthAddress } = this.lib;
    const { context } = this;
    if (16 * n > samples.length || 16 * n > out.length)
      throw new RangeError("samples outside of their buffer");
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < 16; k++) scratch[k] = samples[16 * i + k]!;
      // The mask is the key stream: zeros encrypted.
      for (let k = 16; k < 21; k++) scratch[k] = 0;
      if (
        call.cipherInit(context, 0, 0, 0, scratchAddress, 1) !== 1 ||
        call.cipherUpdate(context, scratchAddress + 16, lengthAddress, scratchAddress + 16, 5) !== 1
      ) {
        throw this.lib.failure("header protection");
      }
      for (let k = 0; k < 5; k++) out[16 * i + k] = scratch[16 + k]!;
    }
  }
}
