// Packet protection through libcrypto: one context per key, a new nonce per packet, in place.

import type { LibCrypto } from "../ffi/libcrypto.ts";
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

/** One direction's AEAD. */
export class FfiPacketAead implements PacketAead {
  readonly tagLength = 16;
  readonly #lib: LibCrypto;
  readonly #iv: Uint8Array;
  #context: number;

  constructor(lib: LibCrypto, name: AeadName, key: Uint8Array, iv: Uint8Array) {
    this.#lib = lib;
    this.#iv = new Uint8Array(iv);
    this.#context = lib.newContext(lib.cipher(CIPHERS[name]), key, this);
  }

  seal(
    buf: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payloadOffset: number,
    payloadLength: number,
    pn: number,
  ): void {
    const lib = this.#lib;
    const { call, lengthAddress } = lib;
    const context = this.#context;
    const end = payloadOffset + payloadLength;
    check(buf, headerOffset, payloadOffset, end + 16);
    writeNonce(lib.nonce, this.#iv, pn);
    const base = lib.address(buf);
    const at = base + payloadOffset;
    if (
      context === 0 ||
      call.cipherInit(context, 0, 0, 0, lib.nonceAddress, 1) !== 1 ||
      call.cipherUpdate(context, 0, lengthAddress, base + headerOffset, headerLength) !== 1 ||
      call.cipherUpdate(context, at, lengthAddress, at, payloadLength) !== 1 ||
      call.cipherFinal(context, at + payloadLength, lengthAddress) !== 1 ||
      call.cipherControl(context, EVP_CTRL_AEAD_GET_TAG, 16, base + end) !== 1
    ) {
      call.clearErrors();
      throw new Error("libcrypto: sealing failed");
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
    const lib = this.#lib;
    const { call, lengthAddress } = lib;
    const context = this.#context;
    const length = payloadLength - 16;
    check(buf, headerOffset, payloadOffset, payloadOffset + payloadLength);
    writeNonce(lib.nonce, this.#iv, pn);
    const base = lib.address(buf);
    const at = base + payloadOffset;
    if (context === 0) throw new Error("libcrypto: the key was disposed of");
    if (
      call.cipherInit(context, 0, 0, 0, lib.nonceAddress, 0) === 1 &&
      call.cipherControl(context, EVP_CTRL_AEAD_SET_TAG, 16, at + length) === 1 &&
      call.cipherUpdate(context, 0, lengthAddress, base + headerOffset, headerLength) === 1 &&
      call.cipherUpdate(context, at, lengthAddress, at, length) === 1 &&
      call.cipherFinal(context, at + length, lengthAddress) === 1
    ) {
      return true;
    }
    // OpenSSL keeps a queue of errors per thread, which node:crypto would report as its own.
    call.clearErrors();
    return false;
  }

  dispose(): void {
    if (this.#context === 0) return;
    this.#lib.release(this.#context, this);
    this.#context = 0;
    this.#iv.fill(0);
    this.#lib.nonce.fill(0);
  }
}

/** AES header protection: the masks of a batch are one call. rfc9001#5.4.3 */
export class FfiAesHeaderProtector implements HeaderProtector {
  readonly #lib: LibCrypto;
  #context: number;

  constructor(lib: LibCrypto, name: "aes-128-gcm" | "aes-256-gcm", key: Uint8Array) {
    this.#lib = lib;
    this.#context = lib.newContext(
      lib.cipher(name === "aes-128-gcm" ? "AES-128-ECB" : "AES-256-ECB"),
      key,
      this,
    );
    lib.call.setPadding(this.#context, 0);
  }

  masks(samples: Uint8Array, n: number, out: Uint8Array): void {
    const lib = this.#lib;
    const length = 16 * n;
    if (length > samples.length || length > out.length)
      throw new RangeError("samples outside of their buffer");
    const to = lib.address(out);
    const from = samples === out ? to : lib.address(samples);
    if (
      this.#context === 0 ||
      lib.call.cipherUpdate(this.#context, to, lib.lengthAddress, from, length) !== 1
    ) {
      throw new Error("libcrypto: header protection failed");
    }
  }

  dispose(): void {
    if (this.#context !== 0) this.#lib.release(this.#context, this);
    this.#context = 0;
  }
}

/** ChaCha20 header protection: each sample is counter and nonce of a stream of its own. rfc9001#5.4.4 */
export class FfiChaChaHeaderProtector implements HeaderProtector {
  readonly #lib: LibCrypto;
  #context: number;

  constructor(lib: LibCrypto, key: Uint8Array) {
    this.#lib = lib;
    this.#context = lib.newContext(lib.cipher("ChaCha20"), key, this);
  }

  masks(samples: Uint8Array, n: number, out: Uint8Array): void {
    const { call, scratch, scratchAddress, lengthAddress } = this.#lib;
    const context = this.#context;
    if (16 * n > samples.length || 16 * n > out.length)
      throw new RangeError("samples outside of their buffer");
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < 16; k++) scratch[k] = samples[16 * i + k]!;
      // The mask is the key stream: zeros encrypted.
      for (let k = 16; k < 21; k++) scratch[k] = 0;
      if (
        context === 0 ||
        call.cipherInit(context, 0, 0, 0, scratchAddress, 1) !== 1 ||
        call.cipherUpdate(context, scratchAddress + 16, lengthAddress, scratchAddress + 16, 5) !== 1
      ) {
        throw new Error("libcrypto: header protection failed");
      }
      for (let k = 0; k < 5; k++) out[16 * i + k] = scratch[16 + k]!;
    }
  }

  dispose(): void {
    if (this.#context !== 0) this.#lib.release(this.#context, this);
    this.#context = 0;
  }
}
