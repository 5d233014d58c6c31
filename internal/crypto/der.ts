// The little DER that keys need: fixed prefixes around raw keys, and a reader for private keys. Certificates are
// parsed by a library (tls/x509).

import { bytesEqual, concatBytes, fromHex } from "../protocol/bytes.ts";

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
      if (length < 0x80 || (n > 1 && length < 2 ** (8 * (n - 1)))) throw new RangeError("DER: length is not minimal");
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
  if (first === undefined || rest.length > 0 || first.tag !== tag) throw new RangeError("DER: unexpected element");
  return first;
}

export function derTlv(tag: number, ...parts: Uint8Array[]): Uint8Array {
  const value = concatBytes(...parts);
  const n = value.length;
  const header =
    n < 0x80 ? [tag, n] : n < 0x100 ? [tag, 0x81, n] : n < 0x10000 ? [tag, 0x82, n >> 8, n & 255] : [tag, 0x83, n >> 16, (n >> 8) & 255, n & 255];
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

export type KeyKind = "ec-p256" | "ec-p384" | "ec-p521" | "rsa" | "rsa-pss" | "ed25519";

function kindOf(algorithm: Uint8Array): KeyKind | null {
  const [oid, parameters] = readDer(readOne(algorithm, DER_SEQUENCE).value);
  if (oid === undefined) return null;
  if (bytesEqual(oid.value, OID.ed25519)) return "ed25519";
  if (bytesEqual(oid.value, OID.rsa)) return "rsa";
  if (bytesEqual(oid.value, OID.rsaPss)) return "rsa-pss";
  if (!bytesEqual(oid.value, OID.ecPublicKey) || parameters === undefined) return null;
  return curveOf(parameters.value);
}

function curveOf(oid: Uint8Array): KeyKind | null {
  if (bytesEqual(oid, OID.p256)) return "ec-p256";
  if (bytesEqual(oid, OID.p384)) return "ec-p384";
  if (bytesEqual(oid, OID.p521)) return "ec-p521";
  return null;
}

/** A SubjectPublicKeyInfo's kind and key bytes (rfc5280#4.1.2.7), or null where we do not know the algorithm. */
export function readSpki(spki: Uint8Array): { kind: KeyKind; key: Uint8Array } | null {
  try {
    const [algorithm, bits] = readDer(readOne(spki, DER_SEQUENCE).value);
    if (algorithm === undefined || bits === undefined || bits.tag !== DER_BIT_STRING || bits.value[0] !== 0) return null;
    const kind = kindOf(algorithm.raw);
    return kind === null ? null : { kind, key: bits.value.subarray(1) };
  } catch {
    return null;
  }
}

/** An unencrypted private key in PKCS#8, SEC1 or PKCS#1. Throws RangeError where it is none. */
export function readPrivateKey(der: Uint8Array): { kind: KeyKind; key: Uint8Array } {
  const fields = readDer(readOne(der, DER_SEQUENCE).value);
  const [first, second, third] = fields;
  if (first?.tag !== DER_INTEGER) throw new RangeError("not a private key");
  // PKCS#8: version, algorithm, octet string.
  if (second?.tag === DER_SEQUENCE && third?.tag === DER_OCTET_STRING) {
    const kind = kindOf(second.raw);
    if (kind === null) throw new RangeError("unknown key algorithm");
    if (kind === "ed25519") return { kind, key: readOne(third.value, DER_OCTET_STRING).value };
    if (kind === "rsa" || kind === "rsa-pss") return { kind, key: third.value };
    return { kind, key: sec1Scalar(third.value) };
  }
  // SEC1: version 1, octet string, [0] curve.
  if (second?.tag === DER_OCTET_STRING) {
    const curve = fields.find((field) => field.tag === 0xa0);
    const kind = curve === undefined ? null : curveOf(readOne(curve.value, DER_OID).value);
    if (kind === null) throw new RangeError("unknown curve");
    return { kind, key: second.value };
  }
  // PKCS#1: nine integers.
  if (second?.tag === DER_INTEGER && fields.length >= 9) return { kind: "rsa", key: der };
  throw new RangeError("not a private key");
}

function sec1Scalar(bytes: Uint8Array): Uint8Array {
  const [, scalar] = readDer(readOne(bytes, DER_SEQUENCE).value);
  if (scalar?.tag !== DER_OCTET_STRING) throw new RangeError("EC private key");
  return scalar.value;
}

/** The integers of a SEQUENCE, as bigints. */
export function readIntegers(der: Uint8Array): bigint[] {
  return readDer(readOne(der, DER_SEQUENCE).value).map((field) => {
    if (field.tag !== DER_INTEGER || field.value.length === 0) throw new RangeError("DER: integer");
    let value = 0n;
    for (const byte of field.value) value = (value << 8n) | BigInt(byte);
    return (field.value[0]! & 0x80) === 0 ? value : value - (1n << BigInt(8 * field.value.length));
  });
}

/** SubjectPublicKeyInfo around a raw key. */
export function encodeSpki(kind: "ec-p256" | "ec-p384" | "ec-p521" | "ed25519" | "x25519", key: Uint8Array): Uint8Array {
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
          ...(publicPoint === undefined ? [] : [derTlv(0xa1, derTlv(DER_BIT_STRING, Uint8Array.of(0), publicPoint))]),
        );
  return derTlv(DER_SEQUENCE, version, algorithmOf(kind), derTlv(DER_OCTET_STRING, inner));
}
