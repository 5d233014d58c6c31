// The little DER that keys need: what goes around raw keys, and a reader for keys. Certificates are
// parsed by a library (tls/x509).

import { bytesEqual, concatBytes, fromHex, toHex } from "../protocol/bytes.ts";
import type { HashName, KeyType } from "./provider.ts";
import type { PssHash } from "./signatures.ts";

/** One tag-length-value. */
export interface Tlv {
  readonly tag: number;
  readonly value: Uint8Array;
  /** The whole element. */
  readonly raw: Uint8Array;
}

/** Reads the elements in `bytes`. Throws RangeError where they are malformed. */
export function readDer(bytes: Uint8Array): Tlv[] {
  const out: Tlv[] = [];
  let pos = 0;
  while (pos < bytes.length) {
    const start = pos;
    const tag = bytes[pos++]!;
    if ((tag & 0x1f) === 0x1f) throw new RangeError("DER: multi-byte tag");
    let length = bytes[pos++] ?? -1;
    if (length < 0) throw new RangeError("DER: cut off");
    if (length >= 0x80) {
      const n = length & 0x7f;
      if (n === 0 || n > 4 || pos + n > bytes.length) throw new RangeError("DER: length");
      length = 0;
      for (let i = 0; i < n; i++) length = length * 256 + bytes[pos++]!;
      if (length < 0x80 || (n > 1 && length < 2 ** (8 * (n - 1))))
        throw new RangeError("DER: length is not minimal");
    }
    if (pos + length > bytes.length) throw new RangeError("DER: cut off");
    out.push({ tag, value: bytes.subarray(pos, pos + length), raw: bytes.subarray(start, pos + length) });
    pos += length;
  }
  return out;
}

/** The single element in `bytes`, of `tag`. */
export function readOne(bytes: Uint8Array, tag: number): Tlv {
  const [first, ...rest] = readDer(bytes);
  if (first === undefined || rest.length > 0 || first.tag !== tag)
    throw new RangeError("DER: unexpected element");
  return first;
}

export function derTlv(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const value = concatBytes(...parts);
  const n = value.length;
  const header =
    n < 0x80
      ? [tag, n]
      : n < 0x100
        ? [tag, 0x81, n]
        : n < 0x10000
          ? [tag, 0x82, n >> 8, n & 255]
          : [tag, 0x83, n >> 16, (n >> 8) & 255, n & 255];
  return concatBytes(Uint8Array.from(header), value);
}

export const DER_SEQUENCE = 0x30;
export const DER_INTEGER = 0x02;
export const DER_BIT_STRING = 0x03;
export const DER_OCTET_STRING = 0x04;
export const DER_OID = 0x06;

/** Object identifiers, as the value bytes of their DER. */
export const OID = {
  ecPublicKey: fromHex("2a8648ce3d0201"),
  p256: fromHex("2a8648ce3d030107"),
  p384: fromHex("2b81040022"),
  p521: fromHex("2b81040023"),
  rsa: fromHex("2a864886f70d010101"),
  rsaPss: fromHex("2a864886f70d01010a"),
  ed25519: fromHex("2b6570"),
  x25519: fromHex("2b656e"),
} as const;

const HASH_OID: readonly (readonly [HashName, Uint8Array])[] = [
  ["sha256", fromHex("608648016503040201")],
  ["sha384", fromHex("608648016503040202")],
  ["sha512", fromHex("608648016503040203")],
];
const MGF1_OID = fromHex("2a864886f70d010108");

interface Algorithm {
  readonly kind: KeyType;
  /**
   * For "rsa-pss": the one hash its parameters allow (rfc4055#1.2: for the message and for MGF1), "any" where there are
   * no parameters, "none" where they name something TLS 1.3 does not have. "any" for all other kinds.
   */
  readonly pssHash: PssHash;
  /** The AlgorithmIdentifier as it stands. */
  readonly raw: Uint8Array;
}

function readAlgorithm(raw: Uint8Array): Algorithm | null {
  const [oid, parameters, more] = readDer(readOne(raw, DER_SEQUENCE).value);
  if (oid?.tag !== DER_OID || more !== undefined) return null;
  // rfc8410#3 For all of the OIDs, the parameters MUST be absent.
  if (bytesEqual(oid.value, OID.ed25519)) {
    return parameters === undefined ? { kind: "ed25519", pssHash: "any", raw } : null;
  }
  if (bytesEqual(oid.value, OID.rsa)) return { kind: "rsa", pssHash: "any", raw };
  if (bytesEqual(oid.value, OID.rsaPss)) {
    const pssHash = parameters === undefined ? "any" : readPssHash(parameters.raw);
    return { kind: "rsa-pss", pssHash, raw };
  }
  if (!bytesEqual(oid.value, OID.ecPublicKey) || parameters?.tag !== DER_OID) return null;
  const kind = curveOf(parameters.value);
  return kind === null ? null : { kind, pssHash: "any", raw };
}

/** RSASSA-PSS-params, rfc4055#3.1. Its defaults are SHA-1, which TLS 1.3 does not have. */
function readPssHash(raw: Uint8Array): HashName | "none" {
  let hash: HashName | null = null;
  let mgfHash: HashName | null = null;
  let saltLength = 20;
  for (const field of readDer(readOne(raw, DER_SEQUENCE).value)) {
    if (field.tag === 0xa0) hash = hashOf(field.value);
    else if (field.tag === 0xa1) {
      const [mgf, mgfParameters] = readDer(readOne(field.value, DER_SEQUENCE).value);
      if (mgf === undefined || !bytesEqual(mgf.value, MGF1_OID)) return "none";
      mgfHash = mgfParameters === undefined ? null : hashOf(mgfParameters.raw);
    } else if (field.tag === 0xa2) {
      saltLength = Number(readInteger(readOne(field.value, DER_INTEGER)));
    } else if (field.tag !== 0xa3) return "none";
  }
  // The length is a minimum for a key (rfc4055#3.1); TLS 1.3 always salts with the hash's length.
  if (hash === null || hash !== mgfHash || !(saltLength <= Number(hash.slice(3)) / 8)) return "none";
  return hash;
}

function hashOf(algorithm: Uint8Array): HashName | null {
  const [oid] = readDer(readOne(algorithm, DER_SEQUENCE).value);
  return HASH_OID.find(([, value]) => oid !== undefined && bytesEqual(oid.value, value))?.[0] ?? null;
}

function curveOf(oid: Uint8Array): "ec-p256" | "ec-p384" | "ec-p521" | null {
  if (bytesEqual(oid, OID.p256)) return "ec-p256";
  if (bytesEqual(oid, OID.p384)) return "ec-p384";
  if (bytesEqual(oid, OID.p521)) return "ec-p521";
  return null;
}

export interface PublicKeyInfo extends Algorithm {
  /** The BIT STRING's bytes: a point, an RSAPublicKey, an Ed25519 key. */
  readonly key: Uint8Array;
}

/** Reads a SubjectPublicKeyInfo (rfc5280#4.1.2.7); null where it is malformed or the algorithm unknown to us. */
export function readSpki(spki: Uint8Array): PublicKeyInfo | null {
  try {
    const [algorithm, bits, more] = readDer(readOne(spki, DER_SEQUENCE).value);
    if (
      algorithm === undefined ||
      bits?.tag !== DER_BIT_STRING ||
      bits.value[0] !== 0 ||
      more !== undefined
    ) {
      return null;
    }
    const known = readAlgorithm(algorithm.raw);
    return known === null ? null : { ...known, key: bits.value.subarray(1) };
  } catch {
    return null;
  }
}

export interface PrivateKeyInfo {
  readonly kind: KeyType;
  readonly pssHash: PssHash;
  readonly format: "pkcs8" | "sec1" | "pkcs1";
  /** The AlgorithmIdentifier, where the format has one. */
  readonly algorithm: Uint8Array | null;
  /** A scalar, an Ed25519 seed or an RSAPrivateKey. A view into the input. */
  readonly key: Uint8Array;
}

/** An unencrypted private key in PKCS#8, SEC1 or PKCS#1. Throws RangeError where it is none. */
export function readPrivateKey(der: Uint8Array): PrivateKeyInfo {
  const fields = readDer(readOne(der, DER_SEQUENCE).value);
  const [first, second, third] = fields;
  if (first?.tag === DER_SEQUENCE && second?.tag === DER_OCTET_STRING) {
    throw new RangeError("it is encrypted, decrypt it first");
  }
  if (first?.tag !== DER_INTEGER) throw new RangeError("not a private key");
  // PKCS#8: version, algorithm, octet string.
  if (second?.tag === DER_SEQUENCE && third?.tag === DER_OCTET_STRING) {
    const known = readAlgorithm(second.raw);
    if (known === null)
      throw new RangeError("the key's algorithm is none of EC P-256/P-384/P-521, RSA, Ed25519");
    const { kind, pssHash } = known;
    const key =
      kind === "ed25519"
        ? readOne(third.value, DER_OCTET_STRING).value
        : kind === "rsa" || kind === "rsa-pss"
          ? third.value
          : sec1Scalar(third.value);
    return { kind, pssHash, format: "pkcs8", algorithm: second.raw, key };
  }
  // SEC1: version 1, octet string, [0] curve.
  if (second?.tag === DER_OCTET_STRING) {
    const curve = fields.find((field) => field.tag === 0xa0);
    const kind = curve === undefined ? null : curveOf(readOne(curve.value, DER_OID).value);
    if (kind === null) throw new RangeError("the curve is none of P-256, P-384, P-521");
    return { kind, pssHash: "any", format: "sec1", algorithm: null, key: second.value };
  }
  // PKCS#1: nine integers.
  if (second?.tag === DER_INTEGER && fields.length >= 9) {
    return { kind: "rsa", pssHash: "any", format: "pkcs1", algorithm: null, key: der };
  }
  throw new RangeError("not a private key");
}

function sec1Scalar(bytes: Uint8Array): Uint8Array {
  const [, scalar] = readDer(readOne(bytes, DER_SEQUENCE).value);
  if (scalar?.tag !== DER_OCTET_STRING) throw new RangeError("EC private key");
  return scalar.value;
}

const SCALAR_LENGTH = { "ec-p256": 32, "ec-p384": 48, "ec-p521": 66 } as const;

/** An EC key's scalar in its curve's length: some writers leave leading zeros out, others add one. A copy. */
export function ecScalar(kind: "ec-p256" | "ec-p384" | "ec-p521", key: Uint8Array): Uint8Array {
  const out = new Uint8Array(SCALAR_LENGTH[kind]);
  const excess = Math.max(0, key.length - out.length);
  for (let i = 0; i < excess; i++) if (key[i] !== 0) throw new RangeError("the EC private key is too long");
  out.set(key.subarray(excess), out.length - (key.length - excess));
  return out;
}

/** The value of an INTEGER element, which DER wants in its shortest form. */
export function readInteger(element: Tlv): bigint {
  const { tag, value } = element;
  if (tag !== DER_INTEGER || value.length === 0) throw new RangeError("DER: integer");
  if (
    value.length > 1 &&
    ((value[0] === 0 && value[1]! < 0x80) || (value[0] === 0xff && value[1]! >= 0x80))
  ) {
    throw new RangeError("DER: integer is not minimal");
  }
  const magnitude = BigInt(`0x${toHex(value)}`);
  return value[0]! < 0x80 ? magnitude : magnitude - (1n << BigInt(8 * value.length));
}

/** The integers of a SEQUENCE of nothing else. */
export function readIntegers(der: Uint8Array): bigint[] {
  return readDer(readOne(der, DER_SEQUENCE).value).map(readInteger);
}

/** An RSA key's SubjectPublicKeyInfo, rfc3279#2.3.1; `algorithm` for keys that are not plain rsaEncryption. */
export function encodeRsaSpki(n: bigint, e: bigint, algorithm: Uint8Array | null): Uint8Array {
  const plain = derTlv(DER_SEQUENCE, derTlv(DER_OID, OID.rsa), derTlv(0x05));
  const key = derTlv(DER_SEQUENCE, encodeInteger(n), encodeInteger(e));
  return derTlv(DER_SEQUENCE, algorithm ?? plain, derTlv(DER_BIT_STRING, Uint8Array.of(0), key));
}

function encodeInteger(value: bigint): Uint8Array {
  const hex = value.toString(16);
  const bytes = fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
  return bytes[0]! < 0x80 ? derTlv(DER_INTEGER, bytes) : derTlv(DER_INTEGER, Uint8Array.of(0), bytes);
}

/** SubjectPublicKeyInfo around a raw key. */
export function encodeSpki(
  kind: "ec-p256" | "ec-p384" | "ec-p521" | "ed25519" | "x25519",
  key: Uint8Array,
): Uint8Array {
  const bits = derTlv(DER_BIT_STRING, Uint8Array.of(0), key);
  return derTlv(DER_SEQUENCE, algorithmOf(kind), bits);
}

function algorithmOf(kind: string): Uint8Array {
  if (kind === "ed25519") return derTlv(DER_SEQUENCE, derTlv(DER_OID, OID.ed25519));
  if (kind === "x25519") return derTlv(DER_SEQUENCE, derTlv(DER_OID, OID.x25519));
  const curve = kind === "ec-p256" ? OID.p256 : kind === "ec-p384" ? OID.p384 : OID.p521;
  return derTlv(DER_SEQUENCE, derTlv(DER_OID, OID.ecPublicKey), derTlv(DER_OID, curve));
}

/** PKCS#8 around a raw private key; EC keys with their public point. */
export function encodePkcs8(
  kind: "ec-p256" | "ec-p384" | "ec-p521" | "ed25519" | "x25519",
  secret: Uint8Array,
  publicPoint?: Uint8Array,
): Uint8Array {
  const version = derTlv(DER_INTEGER, Uint8Array.of(0));
  const inner =
    kind === "ed25519" || kind === "x25519"
      ? derTlv(DER_OCTET_STRING, secret)
      : derTlv(
          DER_SEQUENCE,
          derTlv(DER_INTEGER, Uint8Array.of(1)),
          derTlv(DER_OCTET_STRING, secret),
          ...(publicPoint === undefined
            ? []
            : [derTlv(0xa1, derTlv(DER_BIT_STRING, Uint8Array.of(0), publicPoint))]),
        );
  return derTlv(DER_SEQUENCE, version, algorithmOf(kind), derTlv(DER_OCTET_STRING, inner));
}
