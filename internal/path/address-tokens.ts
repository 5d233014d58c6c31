// Address validation tokens, rfc9000#8.1: proof that a client received what was sent to its address. Sealed, so that the
// server needs no memory of them; servers with the same key take each other's.

import type { CryptoProvider } from "../crypto/provider.ts";
import { SALT_AT, SALT_LENGTH, SealingKeys } from "../crypto/sealing.ts";
import type { Address } from "../protocol/address.ts";
import { bytesEqual, concatBytes, toHex, utf8 } from "../protocol/bytes.ts";
import { InvalidOptionError } from "../protocol/errors.ts";
import { MAX_ADDRESS_TOKEN, MAX_TOKEN_KEYS, MAX_USED_TOKENS } from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";

/** What a client's token proves. */
export type TokenVerdict =
  /** It came with a Retry that answered an Initial to `originalDcid`. */
  | { readonly kind: "retry"; readonly originalDcid: Uint8Array }
  /** It came with a NEW_TOKEN frame of an earlier connection. */
  | { readonly kind: "new_token" }
  /** From a Retry of ours, and not good: rfc9000#8.1.3 the client will not accept another Retry. */
  | { readonly kind: "invalid_retry"; readonly reason: InvalidToken }
  /** As good as none: rfc9000#8.1.3 the server SHOULD proceed as if the client did not have a validated address. */
  | { readonly kind: "none"; readonly reason: InvalidToken };

/** Why a token is not good: not sealed by our keys, too old, for another address or connection, seen before. */
export type InvalidToken = "foreign" | "expired" | "address" | "connection_id" | "used";

const RETRY = 1;
const NEW_TOKEN = 2;
const NO_CONTEXT = new Uint8Array(0);
const FOREIGN: TokenVerdict = { kind: "none", reason: "foreign" };

/** How long tokens are good, ms. */
export interface TokenLifetimes {
  readonly retry: number;
  /** Of NEW_TOKEN frames; 0: none are sent, none are taken. */
  readonly future: number;
}

export class AddressTokens {
  readonly #keys: SealingKeys;
  readonly #lifetimes: TokenLifetimes;
  /** Salts of tokens that were used, the oldest first. */
  readonly #used = new Set<string>();
  /** Goes through them. A Set that loses its first entries begins anew behind their graves. */
  #oldest: Iterator<string> = this.#used.values();

  /**
   * @param keys 32 bytes each, shared by the servers that take each other's tokens; the first seals. null: one is drawn.
   * @throws {InvalidOptionError} for keys of another length.
   */
  constructor(
    provider: CryptoProvider,
    random: RandomSource,
    keys: readonly Uint8Array[] | null,
    lifetimes: TokenLifetimes,
  ) {
    this.#keys = new SealingKeys(provider, random, "address token");
    this.#lifetimes = lifetimes;
    if (keys === null) {
      this.#keys.draw(0, 1);
      return;
    }
    if (keys.length === 0 || keys.length > MAX_TOKEN_KEYS || keys.some((key) => key.length !== 32)) {
      throw new InvalidOptionError("tokenGeneratorKey", `1 to ${MAX_TOKEN_KEYS} keys of 32 random bytes`);
    }
    this.#keys.replace(keys);
  }

  /** Whether NEW_TOKEN frames are sent. */
  get issuesNewTokens(): boolean {
    return this.#lifetimes.future > 0;
  }

  /**
   * For a Retry packet. rfc9000#8.1.4 tokens sent in Retry packets SHOULD include information that allows the server to
   * verify that the source IP address and port in client packets remain constant.
   */
  retry(remote: Address, originalDcid: Uint8Array, retryScid: Uint8Array, wallNow: number): Uint8Array {
    const cids = concatBytes(
      Uint8Array.of(originalDcid.length),
      originalDcid,
      Uint8Array.of(retryScid.length),
      retryScid,
    );
    return this.#seal(RETRY, wallNow, cids, remote.key);
  }

  /**
   * For a NEW_TOKEN frame. rfc9000#8.1.3 a token … MUST be unique across all NEW_TOKEN frames it sends to its clients,
   * and MUST NOT include information that would allow values to be linked by an observer: it is sealed under its own salt.
   * rfc9000#8.1.4 Tokens sent in NEW_TOKEN frames MUST include information that allows the server to verify that the
   * client IP address has not changed.
   */
  future(remote: Address, wallNow: number): Uint8Array {
    return this.#seal(NEW_TOKEN, wallNow, NO_CONTEXT, remote.ip);
  }

  /** What `token` proves of a client at `remote` that sent its Initial to `dcid`. */
  check(token: Uint8Array, remote: Address, dcid: Uint8Array, wallNow: number): TokenVerdict {
    // rfc9000#8.1.4 it MUST NOT be possible for an attacker to guess or forge one: it opens with our keys alone.
    if (token.length > MAX_ADDRESS_TOKEN) return FOREIGN;
    const plaintext = this.#keys.open(token, NO_CONTEXT);
    if (plaintext === null) return FOREIGN;
    const kind = plaintext[0]!;
    const view = new DataView(plaintext.buffer, plaintext.byteOffset, plaintext.length);
    const age = wallNow - (view.getUint16(1) * 2 ** 32 + view.getUint32(3));
    const used = this.#used.has(saltOf(token));
    if (kind === NEW_TOKEN) {
      const none = (reason: InvalidToken): TokenVerdict => ({ kind: "none", reason });
      // A clock that was set back a little makes no token invalid.
      if (age > this.#lifetimes.future) return none("expired");
      if (!bytesEqual(plaintext.subarray(7), utf8(remote.ip))) return none("address");
      // rfc9000#8.1.4 servers MUST ensure that replay of tokens is prevented or limited.
      return used ? none("used") : { kind: "new_token" };
    }
    const invalid = (reason: InvalidToken): TokenVerdict => ({ kind: "invalid_retry", reason });
    const originalEnd = 8 + plaintext[7]!;
    const retryEnd = originalEnd + 1 + plaintext[originalEnd]!;
    if (age > this.#lifetimes.retry) return invalid("expired");
    if (!bytesEqual(plaintext.subarray(retryEnd), utf8(remote.key))) return invalid("address");
    // The client sends to the connection ID of the Retry that brought the token.
    if (!bytesEqual(plaintext.subarray(originalEnd + 1, retryEnd), dcid)) return invalid("connection_id");
    if (used) return invalid("used");
    return { kind: "retry", originalDcid: plaintext.slice(8, originalEnd) };
  }

  /**
   * A connection was made for `token`: it is not taken again. rfc9000#8.1.4 tokens … SHOULD NOT be accepted multiple
   * times. Only as many as MAX_USED_TOKENS are remembered, by this server alone; the rest is limited by their age.
   */
  spend(token: Uint8Array): void {
    while (this.#used.size >= MAX_USED_TOKENS) {
      const next = this.#oldest.next();
      if (next.done === true) this.#oldest = this.#used.values();
      else this.#used.delete(next.value);
    }
    this.#used.add(saltOf(token));
  }

  #seal(kind: number, wallNow: number, cids: Uint8Array, address: string): Uint8Array {
    const head = new Uint8Array(7);
    head[0] = kind;
    const view = new DataView(head.buffer);
    view.setUint16(1, Math.floor(wallNow / 2 ** 32));
    view.setUint32(3, wallNow >>> 0);
    return this.#keys.seal(concatBytes(head, cids, utf8(address)), NO_CONTEXT)!;
  }
}

function saltOf(token: Uint8Array): string {
  return toHex(token.subarray(SALT_AT, SALT_AT + SALT_LENGTH));
}
