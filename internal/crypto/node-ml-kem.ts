// ML-KEM-768 by OpenSSL where this Node has it (24.7 on, OpenSSL 3.5), else by noble.

import * as crypto from "node:crypto";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { concatBytes, fromHex } from "../protocol/bytes.ts";
import type { MlKem768 } from "./hybrid.ts";

/** PKCS#8 with the 64-byte seed as the private key, rfc9935's "seed" choice. */
const SEED_PREFIX = fromHex("3054020100300b060960864801650304040204428040");

type Decapsulate = (key: crypto.KeyObject, cipherText: Uint8Array) => Uint8Array;

// The types are those of Node 20, which has no such function.
const decapsulate = (crypto as unknown as { decapsulate?: Decapsulate }).decapsulate;

function importSeed(seed: Uint8Array): crypto.KeyObject {
  const der = concatBytes(SEED_PREFIX, seed);
  const key = crypto.createPrivateKey({ key: Buffer.from(der.buffer), format: "der", type: "pkcs8" });
  der.fill(0);
  return key;
}

/**
 * Keys and decapsulation are 5 to 10 times faster than noble's. Encapsulating stays noble's: OpenSSL draws the
 * message itself there, and randomness is a parameter here.
 */
const NATIVE: MlKem768 = {
  keygen(seed) {
    const spki = crypto.createPublicKey(importSeed(seed)).export({ format: "der", type: "spki" });
    return { publicKey: new Uint8Array(spki.subarray(spki.length - 1184)), secretKey: new Uint8Array(seed) };
  },
  encapsulate: (publicKey, message) => ml_kem768.encapsulate(publicKey, message),
  decapsulate: (cipherText, seed) => new Uint8Array(decapsulate!(importSeed(seed), cipherText)),
};

let chosen: MlKem768 | null = null;

/** The fastest implementation here. The question is asked once. */
export function nodeMlKem(): MlKem768 {
  return (chosen ??= works() ? NATIVE : ml_kem768);
}

function works(): boolean {
  if (decapsulate === undefined) return false;
  try {
    NATIVE.keygen(new Uint8Array(64));
    return true;
  } catch {
    // An OpenSSL without ML-KEM, or one that does not take seeds.
    return false;
  }
}
