// What a server gives away and gets back, sealed: session tickets, address tokens. Several keys, so that they can be
// replaced and shared; whoever has a key opens what it sealed.

import { bytesEqual, concatBytes, utf8 } from "../protocol/bytes.ts";
import { drawBytes, type RandomSource } from "../protocol/random.ts";
import type { CryptoProvider } from "./provider.ts";

interface SealingKey {
  /** Says which key sealed; on the wire. */
  readonly name: Uint8Array;
  readonly secret: Uint8Array;
  /** Unix ms; 0 for keys that were given. */
  readonly made: number;
}

const NAME = 8;
const SALT = 16;
const KEY = 32;
/** A key seals one text, so that its nonce need not differ. */
const NONCE = new Uint8Array(12);
const TAG = 16;
const AEAD = "aes-256-gcm";

/** Bytes that sealing adds. */
export const SEALING_OVERHEAD = NAME + SALT + TAG;
/** Where the salt is, which no two sealed texts share. */
export const SALT_AT = NAME;
export const SALT_LENGTH = SALT;

/** Keys that seal, the first, and open, all. */
export class SealingKeys {
  readonly #provider: CryptoProvider;
  readonly #random: RandomSource;
  readonly #purpose: string;
  #keys: SealingKey[] = [];

  /** @param purpose one key given for two purposes makes two keys. */
  constructor(provider: CryptoProvider, random: RandomSource, purpose: string) {
    this.#provider = provider;
    this.#random = random;
    this.#purpose = purpose;
  }

  /** Unix ms at which the key that seals was drawn; null without one. */
  get made(): number | null {
    return this.#keys[0]?.made ?? null;
  }

  /** From now on `keys[0]` seals and all of them open. */
  replace(keys: readonly Uint8Array[]): void {
    this.dispose();
    this.#keys = keys.map((key) => this.#derive(key, 0));
  }

  /** Draws a key that seals from now on; those before it open, as long as there are no more than `keep`. */
  draw(wallNow: number, keep: number): void {
    const bytes = drawBytes(this.#random, KEY);
    this.#keys.unshift(this.#derive(bytes, wallNow));
    bytes.fill(0);
    for (const { secret } of this.#keys.splice(keep)) secret.fill(0);
  }

  /** `plaintext` sealed, null without keys. `context` must be the same to open it. */
  seal(plaintext: Uint8Array, context: Uint8Array): Uint8Array | null {
    const current = this.#keys[0];
    if (current === undefined) return null;
    const { name, secret } = current;
    const salt = drawBytes(this.#random, SALT);
    const sealed = this.#with(secret, salt, (key) =>
      this.#provider.aeadSeal(AEAD, key, NONCE, concatBytes(name, salt, context), plaintext),
    );
    return concatBytes(name, salt, sealed);
  }

  /** What was sealed, null where it was not us, was tampered with, or its key is gone. */
  open(sealed: Uint8Array, context: Uint8Array): Uint8Array | null {
    if (sealed.length < SEALING_OVERHEAD) return null;
    const name = sealed.subarray(0, NAME);
    const key = this.#keys.find((candidate) => bytesEqual(candidate.name, name));
    if (key === undefined) return null;
    const salt = sealed.subarray(NAME, NAME + SALT);
    return this.#with(key.secret, salt, (aeadKey) =>
      this.#provider.aeadOpen(
        AEAD,
        aeadKey,
        NONCE,
        concatBytes(name, salt, context),
        sealed.subarray(NAME + SALT),
      ),
    );
  }

  /** Zeroes the keys: what they sealed cannot be opened any more. */
  dispose(): void {
    for (const { secret } of this.#keys) secret.fill(0);
    this.#keys = [];
  }

  /** A key for each text: with random nonces under one key there would be a limit to their number. */
  #with<T>(secret: Uint8Array, salt: Uint8Array, use: (key: Uint8Array) => T): T {
    const key = this.#provider.hkdfExpand("sha256", secret, concatBytes(utf8(this.#purpose), salt), KEY);
    const result = use(key);
    key.fill(0);
    return result;
  }

  #derive(bytes: Uint8Array, made: number): SealingKey {
    const provider = this.#provider;
    const secret = provider.hkdfExtract("sha256", utf8(`quic-ts ${this.#purpose}`), bytes);
    return { name: provider.hkdfExpand("sha256", secret, utf8("name"), NAME), secret, made };
  }
}
