// Packet protection with node:crypto. A cipher object per packet is what its API allows (4 µs); the header masks of a
// whole batch are one call.

import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type Cipher,
  type CipherChaCha20Poly1305Types,
  type CipherGCMTypes,
  type KeyObject,
} from "node:crypto";
import { writeNonce } from "./nonce.ts";
import type { AeadName, HeaderProtector, PacketAead } from "./provider.ts";

const TAG = { authTagLength: 16 } as const;

/** One direction's AEAD. */
export class NodePacketAead implements PacketAead {
  readonly tagLength = 16;
  readonly #name: CipherGCMTypes;
  #key: KeyObject | null;
  readonly #iv: Uint8Array;
  readonly #nonce = new Uint8Array(12);

  constructor(name: AeadName, key: Uint8Array, iv: Uint8Array) {
    // The types tell GCM and ChaCha20 apart, the calls do not.
    this.#name = name as CipherGCMTypes & CipherChaCha20Poly1305Types;
    // A KeyObject: Node 24 is three times slower with raw bytes.
    this.#key = createSecretKey(key);
    this.#iv = new Uint8Array(iv);
  }

  seal(
    buf: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payloadOffset: number,
    payloadLength: number,
    pn: number,
  ): void {
    writeNonce(this.#nonce, this.#iv, pn);
    const end = payloadOffset + payloadLength;
    const cipher = createCipheriv(this.#name, this.#key!, this.#nonce, TAG);
    cipher.setAAD(buf.subarray(headerOffset, headerOffset + headerLength));
    buf.set(cipher.update(buf.subarray(payloadOffset, end)), payloadOffset);
    cipher.final();
    buf.set(cipher.getAuthTag(), end);
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
    writeNonce(this.#nonce, this.#iv, pn);
    const end = payloadOffset + payloadLength - 16;
    const decipher = createDecipheriv(this.#name, this.#key!, this.#nonce, TAG);
    decipher.setAAD(buf.subarray(headerOffset, headerOffset + headerLength));
    decipher.setAuthTag(buf.subarray(end, end + 16));
    const plain = decipher.update(buf.subarray(payloadOffset, end));
    try {
      decipher.final();
    } catch {
      // Unauthenticated plaintext never gets into the packet.
      return false;
    }
    buf.set(plain, payloadOffset);
    return true;
  }

  dispose(): void {
    this.#key = null;
    this.#iv.fill(0);
    this.#nonce.fill(0);
  }
}

/** AES header protection: one persistent ECB cipher, one update() for all samples of a batch. rfc9001#5.4.3 */
export class NodeAesHeaderProtector implements HeaderProtector {
  #cipher: Cipher | null;

  constructor(name: AeadName, key: Uint8Array) {
    this.#cipher = createCipheriv(name === "aes-128-gcm" ? "aes-128-ecb" : "aes-256-ecb", key, null);
    this.#cipher.setAutoPadding(false);
  }

  masks(samples: Uint8Array, n: number, out: Uint8Array): void {
    const length = 16 * n;
    out.set(this.#cipher!.update(samples.length === length ? samples : samples.subarray(0, length)));
  }

  dispose(): void {
    this.#cipher = null;
  }
}

const ZEROS = new Uint8Array(5);

/** ChaCha20 header protection: the sample is counter and nonce, so each is a cipher of its own. rfc9001#5.4.4 */
export class NodeChaChaHeaderProtector implements HeaderProtector {
  #key: KeyObject | null;

  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key);
  }

  masks(samples: Uint8Array, n: number, out: Uint8Array): void {
    for (let i = 0; i < n; i++) {
      // OpenSSL's IV is the 32-bit little-endian counter and the nonce, in the order of the sample.
      const cipher = createCipheriv("chacha20", this.#key!, samples.subarray(16 * i, 16 * i + 16));
      out.set(cipher.update(ZEROS), 16 * i);
    }
  }

  dispose(): void {
    this.#key = null;
  }
}
