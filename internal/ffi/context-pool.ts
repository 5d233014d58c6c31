// Cipher contexts, lent to the keys in use. A context takes about a kilobyte outside of JavaScript's heap, and an idle
// connection has five keys: with a context for each, ten thousand idle connections would hold 60 MB of them. What is
// lent goes to another key when all are; the key that lost it gets one again with its next packet, for about half a
// microsecond.

import type { LibCrypto } from "./libcrypto.ts";

/** One context. Whoever has it checks `owner` before each use: it may have gone to somebody else. */
export interface Lent {
  readonly context: number;
  owner: object | null;
}

/** In place of a context before the first use. */
export const NOT_LENT: Lent = Object.freeze({ context: 0, owner: null });

export class ContextPool {
  readonly #lib: LibCrypto;
  readonly #cipher: number;
  readonly #most: number;
  readonly #padding: boolean;
  readonly #all: Lent[] = [];
  readonly #free: Lent[] = [];
  #next = 0;

  /**
   * @param cipher OpenSSL's name.
   * @param most contexts; beyond it they change hands.
   * @param padding off for block ciphers that are given whole blocks.
   */
  constructor(lib: LibCrypto, cipher: string, most: number, padding = true) {
    this.#lib = lib;
    this.#cipher = lib.cipher(cipher);
    this.#most = most;
    this.#padding = padding;
  }

  /** Contexts there are. */
  get size(): number {
    return this.#all.length;
  }

  /** A context with `key`, which `owner` has until it gives it back or loses it. Throws where OpenSSL refuses. */
  take(owner: object, key: Uint8Array): Lent {
    const lent = this.#free.pop() ?? (this.#all.length < this.#most ? this.#make() : this.#oldest());
    if (lent.owner === null) this.#lib.contexts++;
    lent.owner = owner;
    if (this.#load(lent, key, 0)) return lent;
    this.giveBack(lent, owner);
    throw this.#lib.failure("a key's set-up");
  }

  /** The key of `owner` is over: nothing of it stays in the context, which is kept for the next key. */
  giveBack(lent: Lent, owner: object): void {
    if (lent.owner !== owner) return;
    lent.owner = null;
    this.#lib.contexts--;
    // Another key's schedule takes the place of the old one's. Where it does not, OpenSSL cleanses what it frees.
    if (this.#load(lent, ZEROS, 0)) this.#free.push(lent);
    else this.#drop(lent);
  }

  #make(): Lent {
    const context = this.#lib.call.contextNew();
    if (context === 0) throw this.#lib.failure("making a context");
    const lent = { context, owner: null };
    if (
      !this.#load(lent, ZEROS, this.#cipher) ||
      (!this.#padding && this.#lib.call.setPadding(context, 0) !== 1)
    ) {
      this.#lib.call.contextFree(context);
      throw this.#lib.failure("a cipher's set-up");
    }
    this.#all.push(lent);
    return lent;
  }

  #drop(lent: Lent): void {
    this.#all.splice(this.#all.indexOf(lent), 1);
    this.#lib.call.contextFree(lent.context);
  }

  /** In turns: of many keys that are used one after the other, the one that was loaded first is the one to wait longest. */
  #oldest(): Lent {
    this.#next = (this.#next + 1) % this.#all.length;
    return this.#all[this.#next]!;
  }

  #load({ context }: Lent, key: Uint8Array, cipher: number): boolean {
    const { call, key: memory, keyAddress } = this.#lib;
    memory.set(key);
    const ok = call.cipherInit(context, cipher, 0, keyAddress, 0, 1) === 1;
    memory.fill(0);
    if (!ok) call.clearErrors();
    return ok;
  }
}

/** Of the longest key's length: a shorter one takes what it needs. */
const ZEROS = new Uint8Array(32);
