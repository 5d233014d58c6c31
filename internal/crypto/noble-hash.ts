// Hashes, HMAC and HKDF over @noble/hashes.

import { expand, extract } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import type { HashName, RunningHash } from "./provider.ts";

const HASHES = { sha256, sha384, sha512 } as const;

export function nobleHash(name: HashName, data: Uint8Array): Uint8Array {
  return HASHES[name](data);
}

export function nobleHmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
  return hmac(HASHES[name], key, data);
}

export function nobleExtract(name: HashName, salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return extract(HASHES[name], ikm, salt);
}

/** Throws RangeError for more than 255 blocks, rfc5869#2.3. */
export function nobleExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (length > 255 * HASHES[name].outputLen) throw new RangeError("HKDF-Expand: more than 255 blocks");
  return expand(HASHES[name], prk, info, length);
}

type Running = ReturnType<(typeof HASHES)[HashName]["create"]>;

class NobleRunningHash implements RunningHash {
  readonly #hash: Running;

  constructor(hash: Running) {
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  digest(): Uint8Array {
    return this.#hash.clone().digest();
  }

  clone(): RunningHash {
    return new NobleRunningHash(this.#hash.clone());
  }
}

export function nobleRunningHash(name: HashName): RunningHash {
  return new NobleRunningHash(HASHES[name].create());
}
