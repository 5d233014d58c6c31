// Signatures on certificates: which algorithm an AlgorithmIdentifier means (rfc3279, rfc4055, rfc5758, rfc8410), and
// whether a signature is the issuer's.

import { p256, p384, p521 } from "@noble/curves/nist.js";
import {
  DER_INTEGER,
  DER_OID,
  DER_SEQUENCE,
  readDer,
  readIntegers,
  readOne,
  readSpki,
} from "../../crypto/der.ts";
import type { CryptoProvider, HashName, KeyType, SignatureName } from "../../crypto/provider.ts";
import { MAX_RSA_BITS, MAX_RSA_EXPONENT_BITS, MIN_RSA_BITS } from "../../protocol/limits.ts";
import { decodeOid } from "./oid.ts";

export type SignatureAlgorithm =
  | { readonly kind: "ecdsa" | "rsa-pkcs1" | "rsa-pss"; readonly hash: HashName }
  | { readonly kind: "ed25519" }
  /** MD5 and SHA-1: known, refused. */
  | { readonly kind: "weak"; readonly name: string }
  | { readonly kind: "unknown"; readonly name: string };

const ECDSA: Readonly<Record<string, HashName>> = {
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.10045.4.3.4": "sha512",
};
const RSA_PKCS1: Readonly<Record<string, HashName>> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
};
const HASH: Readonly<Record<string, HashName>> = {
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};
const SALT = { sha256: 32, sha384: 48, sha512: 64 } as const;
const RSASSA_PSS = "1.2.840.113549.1.1.10";
const MGF1 = "1.2.840.113549.1.1.8";
const ED25519 = "1.3.101.112";
const WEAK: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.2": "md2WithRSAEncryption",
  "1.2.840.113549.1.1.3": "md4WithRSAEncryption",
  "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
  "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
  "1.3.14.3.2.29": "sha1WithRSA",
  "1.2.840.10045.4.1": "ecdsa-with-SHA1",
  "1.2.840.10040.4.3": "dsa-with-SHA1",
};

/** OID and parameters of an AlgorithmIdentifier. Throws RangeError where it is none. */
function algorithmParts(raw: Uint8Array): { oid: string; parameters: Uint8Array | null } {
  const parts = readDer(readOne(raw, DER_SEQUENCE).value);
  const [type, parameters] = parts;
  if (type?.tag !== DER_OID || parts.length > 2) throw new RangeError("algorithm identifier");
  return { oid: decodeOid(type.value), parameters: parameters?.raw ?? null };
}

function isNull(parameters: Uint8Array | null): boolean {
  return parameters === null || (parameters.length === 2 && parameters[0] === 5 && parameters[1] === 0);
}

function hashOf(raw: Uint8Array): HashName | null {
  const { oid, parameters } = algorithmParts(raw);
  return isNull(parameters) ? (HASH[oid] ?? null) : null;
}

/** RSASSA-PSS-params, rfc4055#3.1: one hash for message and mask, the salt as long as it. The defaults are SHA-1: refused. */
function pssHash(parameters: Uint8Array | null): HashName | null {
  if (parameters === null) return null;
  const fields = readDer(readOne(parameters, DER_SEQUENCE).value);
  const field = (tag: number) => fields.find((item) => item.tag === tag)?.value;
  const hash = field(0xa0);
  const mask = field(0xa1);
  const salt = field(0xa2);
  const trailer = field(0xa3);
  if (hash === undefined || mask === undefined || salt === undefined) return null;
  const name = hashOf(hash);
  const generator = algorithmParts(mask);
  if (name === null || generator.oid !== MGF1 || generator.parameters === null) return null;
  if (hashOf(generator.parameters) !== name) return null;
  const saltLength = readOne(salt, DER_INTEGER).value;
  if (saltLength.length !== 1 || saltLength[0] !== SALT[name]) return null;
  if (trailer !== undefined && readOne(trailer, DER_INTEGER).value[0] !== 1) return null;
  return name;
}

/** What an AlgorithmIdentifier of a signature means. Throws RangeError where it is malformed. */
export function readSignatureAlgorithm(raw: Uint8Array): SignatureAlgorithm {
  const { oid, parameters } = algorithmParts(raw);
  const ecdsa = ECDSA[oid];
  // rfc5758#3.2: the encoding MUST omit the parameters field. rfc8410#3 the same for Ed25519.
  if (ecdsa !== undefined && parameters === null) return { kind: "ecdsa", hash: ecdsa };
  if (oid === ED25519 && parameters === null) return { kind: "ed25519" };
  const rsa = RSA_PKCS1[oid];
  // rfc4055#5 MUST accept the parameters being absent as well as present (NULL).
  if (rsa !== undefined && isNull(parameters)) return { kind: "rsa-pkcs1", hash: rsa };
  if (oid === RSASSA_PSS) {
    const hash = pssHash(parameters);
    return hash === null
      ? { kind: "unknown", name: "RSASSA-PSS with these parameters" }
      : { kind: "rsa-pss", hash };
  }
  const weak = WEAK[oid];
  return weak === undefined ? { kind: "unknown", name: oid } : { kind: "weak", name: weak };
}

/** A subject's public key. */
export interface PublicKey {
  readonly kind: KeyType;
  /** Security-relevant size: of the modulus, or of the curve. */
  readonly bits: number;
}

const CURVE_BITS = { "ec-p256": 256, "ec-p384": 384, "ec-p521": 521, ed25519: 256 } as const;
/** SEC1 points, compressed and not, and raw Ed25519 keys. */
const KEY_LENGTHS: Readonly<Record<string, readonly number[]>> = {
  "ec-p256": [33, 65],
  "ec-p384": [49, 97],
  "ec-p521": [67, 133],
  ed25519: [32],
};

function bitLength(n: bigint): number {
  return n <= 0n ? 0 : n.toString(2).length;
}

/** The key in a SubjectPublicKeyInfo; null where it is of no kind that we can use, a text where it is unsound. */
export function readPublicKey(spki: Uint8Array): PublicKey | string | null {
  const info = readSpki(spki);
  if (info === null) return null;
  const { kind, key } = info;
  if (kind !== "rsa" && kind !== "rsa-pss") {
    return KEY_LENGTHS[kind]!.includes(key.length)
      ? { kind, bits: CURVE_BITS[kind] }
      : "the public key has a wrong length";
  }
  try {
    const [modulus, exponent, ...rest] = readIntegers(key);
    if (modulus === undefined || exponent === undefined || rest.length > 0) return "the RSA key is malformed";
    if (exponent < 3n || (exponent & 1n) === 0n || bitLength(exponent) > MAX_RSA_EXPONENT_BITS) {
      return "the RSA key has an unusable exponent";
    }
    return { kind, bits: bitLength(modulus) };
  } catch {
    return "the RSA key is malformed";
  }
}

/** Why a key is not good enough to be relied upon, or null. */
export function weakKey(key: PublicKey): string | null {
  if (key.kind !== "rsa" && key.kind !== "rsa-pss") return null;
  if (key.bits < MIN_RSA_BITS) return `its RSA key has ${key.bits} bits, and ${MIN_RSA_BITS} are the least`;
  if (key.bits > MAX_RSA_BITS) return `its RSA key has ${key.bits} bits, and ${MAX_RSA_BITS} are the most`;
  return null;
}

const CURVES = { "ec-p256": p256, "ec-p384": p384, "ec-p521": p521 } as const;
const TLS_ECDSA: Readonly<Record<string, SignatureName>> = {
  "ec-p256 sha256": "ecdsa_secp256r1_sha256",
  "ec-p384 sha384": "ecdsa_secp384r1_sha384",
  "ec-p521 sha512": "ecdsa_secp521r1_sha512",
};

/**
 * TLS binds a hash to each curve, certificates do not (OpenSSL signs with SHA-256 by default, whatever the curve):
 * these rare pairs are hashed by the provider and checked by noble.
 */
function verifyOtherEcdsa(
  provider: CryptoProvider,
  curve: keyof typeof CURVES,
  hash: HashName,
  spki: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const point = readSpki(spki)?.key;
  if (point === undefined) return false;
  try {
    const digest = provider.hash(hash, data);
    return CURVES[curve].verify(signature, digest, point, { prehash: false, format: "der", lowS: false });
  } catch {
    return false;
  }
}

/** Whether `signature` over `data` is by the key in `spki`. False for a key that does not fit the algorithm. */
export function verifySignature(
  provider: CryptoProvider,
  algorithm: SignatureAlgorithm,
  key: PublicKey,
  spki: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  switch (algorithm.kind) {
    case "ed25519":
      return key.kind === "ed25519" && provider.verify("ed25519", spki, data, signature);
    case "ecdsa": {
      if (key.kind !== "ec-p256" && key.kind !== "ec-p384" && key.kind !== "ec-p521") return false;
      const scheme = TLS_ECDSA[`${key.kind} ${algorithm.hash}`];
      if (scheme !== undefined) return provider.verify(scheme, spki, data, signature);
      return verifyOtherEcdsa(provider, key.kind, algorithm.hash, spki, data, signature);
    }
    case "rsa-pkcs1":
      return key.kind === "rsa" && provider.verify(`rsa_pkcs1_${algorithm.hash}`, spki, data, signature);
    case "rsa-pss":
      if (key.kind === "rsa") return provider.verify(`rsa_pss_rsae_${algorithm.hash}`, spki, data, signature);
      return (
        key.kind === "rsa-pss" && provider.verify(`rsa_pss_pss_${algorithm.hash}`, spki, data, signature)
      );
    default:
      return false;
  }
}
