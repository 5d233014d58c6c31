// Stateless reset tokens from a key: rfc9000#10.3.2.

import type { CryptoProvider } from "../crypto/provider.ts";
import type { RandomSource } from "../protocol/random.ts";

/** Bytes of a stateless reset token, rfc9000#10.3. */
export const RESET_TOKEN_LENGTH = 16;

/** The token that belongs to one of our connection IDs. */
export type ResetTokenSource = (cid: Uint8Array) => Uint8Array;

/**
 * The token of `cid`. rfc9000#10.3.2 a pseudorandom function that takes as input a static key and the connection ID
 * chosen by the endpoint; HMAC with SHA-256, cut to 16 bytes. An endpoint that lost its state can make it again.
 */
export function deriveResetToken(provider: CryptoProvider, key: Uint8Array, cid: Uint8Array): Uint8Array {
  // rfc9000#10.3.2 The same stateless reset token MUST NOT be used for multiple connection IDs.
  // A copy: what a provider returns may be a view of a pool.
  return new Uint8Array(provider.hmac("sha256", key, cid).subarray(0, RESET_TOKEN_LENGTH));
}

/**
 * How an endpoint makes its tokens: from its key, or at random where it has none (then nobody can reset its
 * connections, itself included). rfc9000#10.3 the token MUST be difficult to guess.
 */
export function resetTokenSource(
  provider: CryptoProvider,
  key: Uint8Array | null,
  random: RandomSource,
): ResetTokenSource {
  if (key === null) {
    return () => {
      const token = new Uint8Array(RESET_TOKEN_LENGTH);
      random(token);
      return token;
    };
  }
  return (cid) => deriveResetToken(provider, key, cid);
}
