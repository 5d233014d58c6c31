// The transcript hash, rfc8446#4.4.1.

import type { CryptoProvider, HashName, RunningHash } from "../crypto/provider.ts";
import { HANDSHAKE_TYPE } from "./messages.ts";

/** Hash over all handshake messages. Until the suite (and so the hash) is known, the messages themselves are kept. */
export class Transcript {
  readonly #provider: CryptoProvider;
  #kept: Uint8Array[] = [];
  #hash: RunningHash | null = null;
  #name: HashName | null = null;

  constructor(provider: CryptoProvider) {
    this.#provider = provider;
  }

  add(message: Uint8Array): void {
    if (this.#hash === null) this.#kept.push(message);
    else this.#hash.update(message);
  }

  /** The hash is known now. Again with the same name it does nothing. */
  start(name: HashName): void {
    if (this.#hash !== null) return;
    this.#name = name;
    this.#hash = this.#provider.runningHash(name);
    for (const message of this.#kept) this.#hash.update(message);
    this.#kept = [];
  }

  /**
   * rfc8446#4.4.1 when the server responds to a ClientHello with a HelloRetryRequest, the value of ClientHello1 is
   * replaced with a special synthetic handshake message of handshake type "message_hash" containing Hash(ClientHello1).
   */
  replaceByMessageHash(): void {
    const digest = this.digest();
    const hash = this.#provider.runningHash(this.#name!);
    hash.update(Uint8Array.of(HANDSHAKE_TYPE.message_hash, 0, 0, digest.length));
    hash.update(digest);
    this.#hash = hash;
  }

  /**
   * Transcript-Hash of all so far and `more`, which is not added. By hash `name`, for as long as none is settled: a
   * client's PSKs have their own.
   */
  digestWith(name: HashName, more: Uint8Array): Uint8Array {
    const hash = this.#hash?.clone() ?? this.#provider.runningHash(name);
    for (const message of this.#kept) hash.update(message);
    hash.update(more);
    return hash.digest();
  }

  /** Transcript-Hash of all messages so far. */
  digest(): Uint8Array {
    return this.#hash!.digest();
  }
}
