// X25519MLKEM768, tls-ecdhe-mlkem: the ML-KEM part comes first, on the wire and in the secret.

import { concatBytes } from "../protocol/bytes.ts";
import type { KeyShare } from "./provider.ts";

type Random = (out: Uint8Array) => void;

/** What we need of an ML-KEM-768 implementation (noble's shape). */
export interface MlKem768 {
  keygen(seed: Uint8Array): { publicKey: Uint8Array; secretKey: Uint8Array };
  encapsulate(
    publicKey: Uint8Array,
    message: Uint8Array,
  ): { cipherText: Uint8Array; sharedSecret: Uint8Array };
  decapsulate(cipherText: Uint8Array, secretKey: Uint8Array): Uint8Array;
}

const PUBLIC_KEY = 1184;
const CIPHERTEXT = 1088;

/** The client's share: encapsulation key ‖ X25519 key. */
export function hybridShare(x25519: KeyShare, kem: MlKem768, random: Random): KeyShare {
  const seed = new Uint8Array(64);
  random(seed);
  const keys = kem.keygen(seed);
  seed.fill(0);
  return {
    group: "X25519MLKEM768",
    publicKey: concatBytes(keys.publicKey, x25519.publicKey),
    agree(peer) {
      // tls-ecdhe-mlkem#4.3 the length must be that of ciphertext and key; else illegal_parameter.
      if (peer.length !== CIPHERTEXT + 32) return null;
      const classical = x25519.agree(peer.subarray(CIPHERTEXT));
      if (classical === null) return null;
      return concatBytes(kem.decapsulate(peer.slice(0, CIPHERTEXT), keys.secretKey), classical);
    },
    dispose() {
      keys.secretKey.fill(0);
      x25519.dispose();
    },
  };
}

/** The server's answer: ciphertext ‖ X25519 key. */
export function hybridRespond(
  x25519: KeyShare,
  kem: MlKem768,
  peer: Uint8Array,
  random: Random,
): { publicKey: Uint8Array; secret: Uint8Array } | null {
  if (peer.length !== PUBLIC_KEY + 32) return null;
  const message = new Uint8Array(32);
  random(message);
  try {
    // FIPS 203 §7.2: an encapsulation key that is not reduced is refused (noble throws).
    const { cipherText, sharedSecret } = kem.encapsulate(peer.slice(0, PUBLIC_KEY), message);
    const classical = x25519.agree(peer.subarray(PUBLIC_KEY));
    if (classical === null) return null;
    return {
      publicKey: concatBytes(cipherText, x25519.publicKey),
      secret: concatBytes(sharedSecret, classical),
    };
  } catch {
    return null;
  } finally {
    message.fill(0);
    x25519.dispose();
  }
}
