// Certificates, rfc5280#4.1, strictly: what does not follow the RFC in a way that matters is not a certificate.

import {
  DER_BIT_STRING,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_SEQUENCE,
  readDer,
  readOne,
  type Tlv,
} from "../../crypto/der.ts";
import { LRUCache } from "lru-cache";
import { bytesEqual } from "../../protocol/bytes.ts";
import {
  CERTIFICATE_CACHE_BYTES,
  CERTIFICATE_CACHE_ENTRIES,
  MAX_CERTIFICATE_EXTENSIONS,
} from "../../protocol/limits.ts";
import {
  readPublicKey,
  readSignatureAlgorithm,
  type PublicKey,
  type SignatureAlgorithm,
} from "./algorithms.ts";
import { checkInteger, decodeExtensions, type Extension, type Extensions } from "./extensions.ts";
import { DistinguishedName } from "./name.ts";
import { decodeOid } from "./oid.ts";
import { CertificateFormatError } from "./reasons.ts";
import { parseTime } from "./time.ts";

/** A certificate, immutable. Byte arrays are views of `raw`: not to be written. */
export interface ParsedCertificate {
  /** DER, a copy of its own. */
  readonly raw: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** INTEGER content: big-endian, two's complement. */
  readonly serialNumber: Uint8Array;
  /** What is signed. */
  readonly tbs: Uint8Array;
  readonly signature: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** rfc5280#4.1.1.2: whether the algorithm inside is the one outside. */
  readonly signatureAlgorithmsAgree: boolean;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  /** Unix ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** null: of a kind we do not know; a text: why it is unsound. */
  readonly publicKey: PublicKey | string | null;
  readonly extensions: Extensions;
  /** rfc5280#6.1: issuer and subject are the same entity. */
  readonly selfIssued: boolean;
}

function malformed(message: string): never {
  throw new RangeError(message);
}

function readVersion(field: Tlv | undefined): 1 | 2 | 3 {
  if (field?.tag !== 0xa0) return 1;
  const { value } = readOne(field.value, DER_INTEGER);
  // 0 is the default and not encoded in DER, but some old roots do.
  if (value.length !== 1 || value[0]! > 2) malformed("unknown version");
  return (value[0]! + 1) as 1 | 2 | 3;
}

function readValidity(field: Tlv): [number, number] {
  const times = field.tag === DER_SEQUENCE ? readDer(field.value) : [];
  if (times.length !== 2) malformed("validity");
  return [parseTime(times[0]!.tag, times[0]!.value), parseTime(times[1]!.tag, times[1]!.value)];
}

function readExtension(item: Tlv): [string, Extension] {
  const parts = item.tag === DER_SEQUENCE ? readDer(item.value) : [];
  const [oid, second] = parts;
  const value = parts[parts.length - 1];
  if (oid?.tag !== DER_OID || value?.tag !== DER_OCTET_STRING || parts.length > 3) malformed("extension");
  if (parts.length === 2) return [decodeOid(oid.value), { critical: false, value: value.value }];
  const flag = second!.value;
  if (second!.tag !== 0x01 || flag.length !== 1 || (flag[0] !== 0 && flag[0] !== 0xff))
    malformed("extension");
  return [decodeOid(oid.value), { critical: flag[0] === 0xff, value: value.value }];
}

function readExtensions(field: Tlv | undefined): Map<string, Extension> {
  const all = new Map<string, Extension>();
  if (field === undefined) return all;
  const items = readDer(readOne(field.value, DER_SEQUENCE).value);
  // rfc5280#4.1: Extensions ::= SEQUENCE SIZE (1..MAX).
  if (items.length === 0) malformed("empty list of extensions");
  if (items.length > MAX_CERTIFICATE_EXTENSIONS) malformed("too many extensions");
  for (const item of items) {
    const [oid, extension] = readExtension(item);
    // rfc5280#4.2 MUST NOT include more than one instance of a particular extension.
    if (all.has(oid)) malformed(`extension ${oid} appears twice`);
    all.set(oid, extension);
  }
  return all;
}

/** issuerUniqueID, subjectUniqueID, extensions: each at most once, in this order (rfc5280#4.1). */
function readTail(fields: readonly Tlv[], version: 1 | 2 | 3): Tlv | undefined {
  let last = 0;
  let extensions: Tlv | undefined;
  for (const field of fields) {
    const order = field.tag === 0x81 ? 1 : field.tag === 0x82 ? 2 : field.tag === 0xa3 ? 3 : 0;
    if (order <= last) malformed("unexpected field");
    last = order;
    // rfc5280#4.1.2.8 MUST NOT appear if the version is 1.
    if (order < 3 && version === 1) malformed("unique identifier in a version 1 certificate");
    // rfc5280#4.1.2.9: extensions MUST only appear if the version is 3.
    if (order === 3 && version !== 3) malformed(`extensions in a version ${version} certificate`);
    if (order === 3) extensions = field;
  }
  return extensions;
}

function read(raw: Uint8Array): ParsedCertificate {
  const parts = readDer(readOne(raw, DER_SEQUENCE).value);
  const [tbs, outer, bits] = parts;
  if (parts.length !== 3 || tbs!.tag !== DER_SEQUENCE || bits!.tag !== DER_BIT_STRING)
    malformed("not a certificate");
  if (bits!.value.length < 2 || bits!.value[0] !== 0) malformed("signature");
  const fields = readDer(tbs!.value);
  const version = readVersion(fields[0]);
  const first = fields[0]?.tag === 0xa0 ? 1 : 0;
  if (fields.length < first + 6) malformed("fields are missing");
  const serial = fields[first]!;
  const spki = fields[first + 5]!;
  // rfc5280#4.1.2.2: certificate users SHOULD be prepared to handle negative and zero serials gracefully.
  if (serial.tag !== DER_INTEGER) malformed("serial number");
  checkInteger(serial.value);
  if (spki.tag !== DER_SEQUENCE) malformed("public key");
  const extensions = readTail(fields.slice(first + 6), version);
  const issuer = new DistinguishedName(fields[first + 2]!.raw);
  const subject = new DistinguishedName(fields[first + 4]!.raw);
  const [notBefore, notAfter] = readValidity(fields[first + 3]!);
  return {
    raw,
    version,
    serialNumber: serial.value,
    tbs: tbs!.raw,
    signature: bits!.value.subarray(1),
    signatureAlgorithm: readSignatureAlgorithm(outer!.raw),
    signatureAlgorithmsAgree: bytesEqual(outer!.raw, fields[first + 1]!.raw),
    issuer,
    subject,
    notBefore,
    notAfter,
    spki: spki.raw,
    publicKey: readPublicKey(spki.raw),
    extensions: decodeExtensions(readExtensions(extensions)),
    selfIssued: issuer.equals(subject),
  };
}

/** Parses without the cache. Throws CertificateFormatError. */
export function parseCertificateUncached(der: Uint8Array): ParsedCertificate {
  try {
    return read(der.slice());
  } catch (error) {
    throw new CertificateFormatError(
      `malformed certificate: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
}

/** FNV-1a: only spreads entries over the cache. Who collides on purpose has a certificate parsed twice, no more. */
function spread(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}

const cache = new LRUCache<number, ParsedCertificate>({
  max: CERTIFICATE_CACHE_ENTRIES,
  maxSize: CERTIFICATE_CACHE_BYTES,
  sizeCalculation: (certificate) => certificate.raw.length,
});

/** Parses a certificate; the same bytes give the same object while it is remembered. Throws CertificateFormatError. */
export function parseCertificate(der: Uint8Array): ParsedCertificate {
  const key = spread(der);
  const known = cache.get(key);
  if (known !== undefined && bytesEqual(known.raw, der)) return known;
  const certificate = parseCertificateUncached(der);
  cache.set(key, certificate);
  return certificate;
}
