// RSA signatures (rfc8017#8) for the noble provider, over BigInt: some ms each and not constant time, hence signing is
// blinded. The node provider leaves RSA to OpenSSL.

import { bytesEqual, concatBytes, fromHex, toHex, utf8 } from "../protocol/bytes.ts";
import { MAX_RSA_BITS, MAX_RSA_EXPONENT_BITS, MIN_RSA_BITS } from "../protocol/limits.ts";
import { readIntegers } from "./der.ts";
import { nobleExpand, nobleHash, nobleHmac } from "./noble-hash.ts";
import type { HashName } from "./provider.ts";

const HASH_LENGTH = { sha256: 32, sha384: 48, sha512: 64 } as const;

/** DigestInfo up to the digest, rfc8017#9.2 note 1. */
const DIGEST_INFO = {
  sha256: fromHex("3031300d060960864801650304020105000420"),
  sha384: fromHex("3041300d060960864801650304020205000430"),
  sha512: fromHex("3051300d060960864801650304020305000440"),
} as const;

export interface RsaPublicKey {
  readonly n: bigint;
  readonly e: bigint;
  /** Bits of the modulus. */
  readonly bits: number;
}

export interface RsaPrivateKey extends RsaPublicKey {
  readonly d: bigint;
  readonly p: bigint;
  readonly q: bigint;
  readonly dp: bigint;
  readonly dq: bigint;
  readonly qInv: bigint;
}

function bitLength(value: bigint): number {
  const hex = value.toString(16);
  return 4 * (hex.length - 1) + (32 - Math.clz32(parseInt(hex[0]!, 16)));
}

/** A key of a size we take, with an odd modulus and an odd exponent from 3. */
function acceptable(n: bigint, e: bigint): RsaPublicKey | null {
  if (n <= 0n || (n & 1n) === 0n || e < 3n || (e & 1n) === 0n) return null;
  const bits = bitLength(n);
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS || bitLength(e) > MAX_RSA_EXPONENT_BITS) return null;
  return { n, e, bits };
}

/** Reads an RSAPublicKey (rfc8017#A.1.1); null where it is malformed or of a size we do not take. */
export function readRsaPublicKey(der: Uint8Array): RsaPublicKey | null {
  try {
    const [n, e, more] = readIntegers(der);
    return n === undefined || e === undefined || more !== undefined ? null : acceptable(n, e);
  } catch {
    return null;
  }
}

/** Reads an RSAPrivateKey (rfc8017#A.1.2) of two primes. Throws RangeError where its parts do not fit. */
export function readRsaPrivateKey(der: Uint8Array): RsaPrivateKey {
  const [version, n, e, d, p, q, dp, dq, qInv] = readIntegers(der);
  if (version !== 0n || n === undefined || e === undefined || d === undefined || p === undefined) {
    throw new RangeError("RSA private key");
  }
  if (q === undefined || dp === undefined || dq === undefined || qInv === undefined) {
    throw new RangeError("RSA private key");
  }
  const publicKey = acceptable(n, e);
  if (publicKey === null) throw new RangeError(`RSA keys have ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits`);
  const consistent =
    p > 1n && q > 1n && p * q === n && (e * dp) % (p - 1n) === 1n && (e * dq) % (q - 1n) === 1n;
  if (!consistent || (q * qInv) % p !== 1n)
    throw new RangeError("the RSA key's numbers contradict each other");
  return { ...publicKey, d, p, q, dp, dq, qInv };
}

function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}

/** I2OSP; the value is known to fit. */
function toBytes(value: bigint, length: number): Uint8Array {
  return fromHex(value.toString(16).padStart(2 * length, "0"));
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  const bits = exponent.toString(2);
  for (let i = 0; i < bits.length; i++) {
    result = (result * result) % modulus;
    if (bits.charCodeAt(i) === 0x31) result = (result * base) % modulus;
  }
  return result;
}

/** The inverse of `value`, or 0 where there is none. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
  while (b !== 0n) {
    const quotient = a / b;
    [a, b] = [b, a - quotient * b];
    [x, y] = [y, x - quotient * y];
  }
  return a === 1n ? ((x % modulus) + modulus) % modulus : 0n;
}

/** RSAVP1, rfc8017#5.2.2: the encoded message, or null where the signature has not the modulus' length or range. */
function recover(key: RsaPublicKey, signature: Uint8Array): Uint8Array | null {
  const length = Math.ceil(key.bits / 8);
  // rfc8017#8.1.2, rfc8017#8.2.2 If the length of the signature S is not k octets, output "invalid signature" and stop.
  if (signature.length !== length) return null;
  const s = toBigInt(signature);
  if (s >= key.n) return null;
  return toBytes(power(s, key.e, key.n), length);
}

/** RSASP1 with the Chinese remainder theorem, blinded, and checked so that a fault cannot give a factor away. */
function rsasp1(key: RsaPrivateKey, message: Uint8Array): Uint8Array {
  const length = Math.ceil(key.bits / 8);
  // The blinding factor comes from key and message by a keyed hash, since there is no randomness here.
  const seed = nobleHmac("sha256", toBytes(key.d, length), concatBytes(utf8("blinding"), message));
  let r = toBigInt(nobleExpand("sha256", seed, utf8("rsa"), length)) % key.n;
  let unblind = inverse(r, key.n);
  while (unblind === 0n) unblind = inverse(++r, key.n);
  const m = toBigInt(message);
  const blinded = (m * power(r, key.e, key.n)) % key.n;
  const s1 = power(blinded % key.p, key.dp, key.p);
  const s2 = power(blinded % key.q, key.dq, key.q);
  const h = ((((s1 - s2) * key.qInv) % key.p) + key.p) % key.p;
  const s = ((s2 + key.q * h) * unblind) % key.n;
  if (power(s, key.e, key.n) !== m) throw new RangeError("RSA: the signature does not verify");
  return toBytes(s, length);
}

/** EMSA-PKCS1-v1_5, rfc8017#9.2; `length` is at least 256, so that it fits. */
function encodePkcs1(hash: HashName, data: Uint8Array, length: number): Uint8Array {
  const info = DIGEST_INFO[hash];
  const digest = nobleHash(hash, data);
  const out = new Uint8Array(length).fill(0xff);
  const separator = length - info.length - digest.length - 1;
  out[0] = 0;
  out[1] = 1;
  out[separator] = 0;
  out.set(info, separator + 1);
  out.set(digest, separator + 1 + info.length);
  return out;
}

/** rfc8017#8.2.2: by encoding again and comparing, so that there is no padding parser to fool. */
export function verifyPkcs1(
  key: RsaPublicKey,
  hash: HashName,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const encoded = recover(key, signature);
  return encoded !== null && bytesEqual(encoded, encodePkcs1(hash, data, encoded.length));
}

export function signPkcs1(key: RsaPrivateKey, hash: HashName, data: Uint8Array): Uint8Array {
  return rsasp1(key, encodePkcs1(hash, data, Math.ceil(key.bits / 8)));
}

/** MGF1, rfc8017#B.2.1. */
function mgf1(hash: HashName, seed: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  const input = concatBytes(seed, new Uint8Array(4));
  for (let at = 0, counter = 0; at < length; at += HASH_LENGTH[hash], counter++) {
    input[input.length - 2] = counter >> 8;
    input[input.length - 1] = counter;
    out.set(nobleHash(hash, input).subarray(0, length - at), at);
  }
  return out;
}

function pssDigest(hash: HashName, data: Uint8Array, salt: Uint8Array): Uint8Array {
  return nobleHash(hash, concatBytes(new Uint8Array(8), nobleHash(hash, data), salt));
}

/**
 * EMSA-PSS-VERIFY, rfc8017#9.1.2.
 * rfc8446#4.2.3 The length of the Salt MUST be equal to the length of the output of the digest algorithm.
 */
export function verifyPss(
  key: RsaPublicKey,
  hash: HashName,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const recovered = recover(key, signature);
  if (recovered === null) return false;
  const hashLength = HASH_LENGTH[hash];
  const emBits = key.bits - 1;
  const emLength = Math.ceil(emBits / 8);
  // A modulus of 8k + 1 bits has an encoded message one byte shorter than the signature.
  if (recovered.length > emLength && recovered[0] !== 0) return false;
  const encoded = recovered.subarray(recovered.length - emLength);
  if (emLength < 2 * hashLength + 2 || encoded[emLength - 1] !== 0xbc) return false;
  const dbLength = emLength - hashLength - 1;
  const digest = encoded.subarray(dbLength, dbLength + hashLength);
  const unused = 8 * emLength - emBits;
  if (encoded[0]! >> (8 - unused) !== 0) return false;
  const db = mgf1(hash, digest, dbLength);
  for (let i = 0; i < dbLength; i++) db[i]! ^= encoded[i]!;
  db[0]! &= 0xff >> unused;
  const saltAt = dbLength - hashLength;
  for (let i = 0; i < saltAt - 1; i++) if (db[i] !== 0) return false;
  if (db[saltAt - 1] !== 1) return false;
  return bytesEqual(digest, pssDigest(hash, data, db.subarray(saltAt)));
}

/** EMSA-PSS-ENCODE, rfc8017#9.1.1, with a salt made from key and data: deterministic, as ECDSA's nonce in rfc6979. */
export function signPss(key: RsaPrivateKey, hash: HashName, data: Uint8Array): Uint8Array {
  const hashLength = HASH_LENGTH[hash];
  const secret = toBytes(key.d, Math.ceil(key.bits / 8));
  const salt = nobleHmac(hash, secret, concatBytes(utf8("salt"), data));
  const emBits = key.bits - 1;
  const emLength = Math.ceil(emBits / 8);
  const dbLength = emLength - hashLength - 1;
  const digest = pssDigest(hash, data, salt);
  const encoded = new Uint8Array(emLength);
  encoded[dbLength - hashLength - 1] = 1;
  encoded.set(salt, dbLength - hashLength);
  const mask = mgf1(hash, digest, dbLength);
  for (let i = 0; i < dbLength; i++) encoded[i]! ^= mask[i]!;
  encoded[0]! &= 0xff >> (8 * emLength - emBits);
  encoded.set(digest, dbLength);
  encoded[emLength - 1] = 0xbc;
  return rsasp1(key, encoded);
}
