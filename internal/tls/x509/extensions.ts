// The extensions that path validation looks at (rfc5280#4.2), over the strict DER reader that also finds the bytes that
// are signed. Not over @peculiar/asn1-x509: it takes any BER, lets items of every type pass in a list of object
// identifiers, and costs a process 55 ms to load. It is the second opinion in the tests.

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
import {
  readGeneralNames,
  readNameConstraints,
  type GeneralName,
  type NameConstraints,
} from "./general-name.ts";
import { decodeOid, EXT } from "./oid.ts";

/** One extension as it stands. */
export interface Extension {
  readonly critical: boolean;
  /** What is inside the OCTET STRING. */
  readonly value: Uint8Array;
}

/** Bits of keyUsage, rfc5280#4.2.1.3: bit 0 is the lowest. */
export const KEY_USAGE = {
  digitalSignature: 1 << 0,
  nonRepudiation: 1 << 1,
  keyEncipherment: 1 << 2,
  dataEncipherment: 1 << 3,
  keyAgreement: 1 << 4,
  keyCertSign: 1 << 5,
  cRLSign: 1 << 6,
  encipherOnly: 1 << 7,
  decipherOnly: 1 << 8,
} as const;

/** rfc5280#4.2.1.4, #4.2.1.5, #4.2.1.11, #4.2.1.14. */
export interface Policies {
  /** Dotted; empty where the certificate has none. */
  readonly policies: readonly string[];
  readonly mappings: readonly (readonly [issuer: string, subject: string])[];
  /** Certificates below that may do without; Infinity: all. */
  readonly requireExplicit: number;
  readonly inhibitMapping: number;
  readonly inhibitAny: number;
}

/** What extensions say, decoded. */
export interface Extensions {
  readonly all: ReadonlyMap<string, Extension>;
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number } | null;
  /** null: for everything. */
  readonly keyUsage: number | null;
  /** Dotted; null: for everything. */
  readonly extendedKeyUsage: readonly string[] | null;
  readonly altNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | null;
  readonly subjectKeyIdentifier: Uint8Array | null;
  readonly authorityKeyIdentifier: Uint8Array | null;
  readonly policies: Policies;
  /** Critical ones that we know nothing of. */
  readonly unknownCritical: readonly string[];
}

const DER_BOOLEAN = 0x01;
const KNOWN = new Set<string>(Object.values(EXT));
/** Constructed encodings in extensions are at most this deep: certificatePolicies' user notices. */
const MAX_DEPTH = 8;

/** Throws RangeError where `bytes` is not one DER value of universal and context types. */
function checkDer(bytes: Uint8Array): void {
  const items = readDer(bytes);
  if (items.length !== 1) throw new RangeError("trailing bytes");
  checkItems(items, 0);
}

function checkItems(items: readonly { tag: number; value: Uint8Array }[], depth: number): void {
  for (const { tag, value } of items) {
    const constructed = (tag & 0x20) !== 0;
    if (tag < 0x40 && constructed !== (tag === DER_SEQUENCE || tag === 0x31)) {
      throw new RangeError("DER: constructed string");
    }
    if (constructed) {
      if (depth >= MAX_DEPTH) throw new RangeError("nested too deeply");
      checkItems(readDer(value), depth + 1);
    } else if (tag === DER_BOOLEAN) {
      if (value.length !== 1 || (value[0] !== 0 && value[0] !== 0xff)) throw new RangeError("DER: boolean");
    } else if (tag === DER_INTEGER) {
      checkInteger(value);
    } else if (tag === DER_OID) {
      decodeOid(value);
    } else if (tag === DER_BIT_STRING) {
      checkBits(value);
    }
  }
}

/** X.690 8.3.2: the first nine bits are not all equal. */
export function checkInteger(value: Uint8Array): void {
  if (value.length === 0) throw new RangeError("DER: empty integer");
  if (value.length === 1) return;
  const high = value[1]! & 0x80;
  if ((value[0] === 0 && high === 0) || (value[0] === 0xff && high !== 0)) {
    throw new RangeError("DER: integer is not minimal");
  }
}

/** X.690 11.2.1: unused bits are zero. */
function checkBits(value: Uint8Array): void {
  const unused = value[0] ?? 8;
  if (unused > 7 || (value.length === 1 && unused !== 0)) throw new RangeError("DER: bit string");
  if ((value[value.length - 1]! & ((1 << unused) - 1)) !== 0 && value.length > 1) {
    throw new RangeError("DER: bit string");
  }
}

/** The items of a SEQUENCE, each of which has `tag`. */
function listOf(value: Uint8Array, tag: number): Tlv[] {
  const items = readDer(readOne(value, DER_SEQUENCE).value);
  if (items.length === 0) throw new RangeError("empty");
  for (const item of items) if (item.tag !== tag) throw new RangeError("unexpected element");
  return items;
}

/** A number of certificates; what is beyond every chain is Infinity. */
function count(value: Uint8Array): number {
  checkInteger(value);
  if ((value[0]! & 0x80) !== 0) throw new RangeError("negative number of certificates");
  return value.length > 2 ? Infinity : value.reduce((sum, byte) => sum * 256 + byte, 0);
}

function readBasicConstraints(value: Uint8Array): { ca: boolean; pathLength: number } {
  const fields = readDer(readOne(value, DER_SEQUENCE).value);
  // FALSE is the default and not encoded in DER; some write it.
  const ca = fields[0]?.tag === DER_BOOLEAN ? fields.shift()!.value[0] === 0xff : false;
  const depth = fields.shift();
  if (fields.length > 0 || (depth !== undefined && depth.tag !== DER_INTEGER))
    throw new RangeError("unexpected element");
  return { ca, pathLength: depth === undefined ? Infinity : count(depth.value) };
}

function readKeyUsage(value: Uint8Array): number {
  const bits = readOne(value, DER_BIT_STRING).value;
  // A longer one is not KeyUsage, and shifts would wrap.
  if (bits.length > 3) throw new RangeError("too many bits");
  let usage = 0;
  for (let i = 1; i < bits.length; i++) {
    for (let bit = 0; bit < 8; bit++) if ((bits[i]! & (0x80 >> bit)) !== 0) usage |= 1 << (8 * (i - 1) + bit);
  }
  // rfc5280#4.2.1.3: when it appears, at least one of the bits MUST be set to 1.
  if (usage === 0) throw new RangeError("no bit set");
  return usage;
}

function readExtendedKeyUsage(value: Uint8Array): string[] {
  return listOf(value, DER_OID).map((purpose) => decodeOid(purpose.value));
}

/** rfc5280#4.2.1.1: the identifier alone; an authority named by issuer and serial is found by its name anyway. */
function readAuthorityKeyIdentifier(value: Uint8Array): Uint8Array | null {
  let last = 0;
  let identifier: Uint8Array | null = null;
  for (const field of readDer(readOne(value, DER_SEQUENCE).value)) {
    const order = field.tag === 0x80 ? 1 : field.tag === 0xa1 ? 2 : field.tag === 0x82 ? 3 : 0;
    if (order <= last) throw new RangeError("unexpected element");
    last = order;
    if (order === 1) identifier = field.value;
  }
  return identifier;
}

function readPolicyList(value: Uint8Array): string[] {
  const policies: string[] = [];
  for (const information of listOf(value, DER_SEQUENCE)) {
    const [identifier, qualifiers, ...rest] = readDer(information.value);
    if (identifier?.tag !== DER_OID || rest.length > 0) throw new RangeError("unexpected element");
    if (qualifiers !== undefined) listOf(qualifiers.raw, DER_SEQUENCE);
    const policy = decodeOid(identifier.value);
    // rfc5280#4.2.1.4: a policy OID MUST NOT appear more than once.
    if (policies.includes(policy)) throw new RangeError("a policy appears twice");
    policies.push(policy);
  }
  return policies;
}

function readMappings(value: Uint8Array): (readonly [string, string])[] {
  return listOf(value, DER_SEQUENCE).map((mapping) => {
    const [issuer, subject] = listOf(mapping.raw, DER_OID).map((policy) => decodeOid(policy.value));
    if (subject === undefined) throw new RangeError("unexpected element");
    // rfc5280#4.2.1.5: policies MUST NOT be mapped either to or from anyPolicy.
    if (issuer === ANY_POLICY || subject === ANY_POLICY) throw new RangeError("anyPolicy is mapped");
    return [issuer!, subject] as const;
  });
}

function readPolicyConstraints(value: Uint8Array): { requireExplicit: number; inhibitMapping: number } {
  const out = { requireExplicit: Infinity, inhibitMapping: Infinity };
  let last = 0;
  for (const field of readDer(readOne(value, DER_SEQUENCE).value)) {
    if (field.tag <= last || (field.tag !== 0x80 && field.tag !== 0x81))
      throw new RangeError("unexpected element");
    last = field.tag;
    if (field.tag === 0x80) out.requireExplicit = count(field.value);
    else out.inhibitMapping = count(field.value);
  }
  // rfc5280#4.2.1.11 MUST NOT issue certificates where policy constraints is an empty sequence.
  if (last === 0) throw new RangeError("empty");
  return out;
}

export const ANY_POLICY = "2.5.29.32.0";
function nameOf(oid: string): string {
  return Object.entries(EXT).find(([, value]) => value === oid)?.[0] ?? oid;
}

/** Decodes the extensions we know. Throws RangeError naming the one that is malformed. */
export function decodeExtensions(all: ReadonlyMap<string, Extension>): Extensions {
  const unknownCritical: string[] = [];
  for (const [oid, extension] of all) {
    if (KNOWN.has(oid)) within(oid, () => checkDer(extension.value));
    else if (extension.critical) unknownCritical.push(oid);
  }
  const read = <T>(oid: string, decode: (value: Uint8Array) => T): T | null => {
    const extension = all.get(oid);
    return extension === undefined ? null : within(oid, () => decode(extension.value));
  };
  const constraints = read(EXT.policyConstraints, readPolicyConstraints);
  return {
    all,
    basicConstraints: read(EXT.basicConstraints, readBasicConstraints),
    keyUsage: read(EXT.keyUsage, readKeyUsage),
    extendedKeyUsage: read(EXT.extendedKeyUsage, readExtendedKeyUsage),
    altNames: read(EXT.subjectAltName, readGeneralNames) ?? [],
    nameConstraints: read(EXT.nameConstraints, readNameConstraints),
    subjectKeyIdentifier: read(EXT.subjectKeyIdentifier, (value) => readOne(value, DER_OCTET_STRING).value),
    authorityKeyIdentifier: read(EXT.authorityKeyIdentifier, readAuthorityKeyIdentifier),
    policies: {
      policies: read(EXT.certificatePolicies, readPolicyList) ?? [],
      mappings: read(EXT.policyMappings, readMappings) ?? [],
      requireExplicit: constraints?.requireExplicit ?? Infinity,
      inhibitMapping: constraints?.inhibitMapping ?? Infinity,
      inhibitAny: read(EXT.inhibitAnyPolicy, (value) => count(readOne(value, DER_INTEGER).value)) ?? Infinity,
    },
    unknownCritical,
  };
}

function within<T>(oid: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new RangeError(
      `extension ${nameOf(oid)}: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}
