// The extensions that path validation looks at (rfc5280#4.2). @peculiar/asn1-x509 decodes what is inside; it takes any
// BER and more, so that what it gets is checked to be DER first.

import { AsnConvert } from "@peculiar/asn1-schema";
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  CertificatePolicies,
  ExtendedKeyUsage,
  InhibitAnyPolicy,
  KeyUsage,
  PolicyConstraints,
  PolicyMappings,
} from "@peculiar/asn1-x509";
import {
  DER_BIT_STRING,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_SEQUENCE,
  readDer,
  readOne,
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
    } else if (tag === 0x01) {
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

/** A count of certificates; what is beyond every chain is Infinity. */
function skipCerts(bytes: ArrayBuffer | undefined): number {
  if (bytes === undefined) return Infinity;
  const value = new Uint8Array(bytes);
  if (value.length === 0 || (value[0]! & 0x80) !== 0) throw new RangeError("negative number of certificates");
  return value.length > 2 ? Infinity : value.reduce((sum, byte) => sum * 256 + byte, 0);
}

function readBasicConstraints(value: Uint8Array): { ca: boolean; pathLength: number } {
  const { cA, pathLenConstraint } = AsnConvert.parse(value, BasicConstraints);
  if (pathLenConstraint === undefined) return { ca: cA, pathLength: Infinity };
  const length = Number(pathLenConstraint);
  if (!(length >= 0)) throw new RangeError("negative pathLenConstraint");
  return { ca: cA, pathLength: length };
}

function readKeyUsage(value: Uint8Array): number {
  // A longer one is not KeyUsage, and shifts would wrap.
  if (readOne(value, DER_BIT_STRING).value.length > 3) throw new RangeError("too many bits");
  const { value: bytes, unusedBits } = AsnConvert.parse(value, KeyUsage);
  let usage = 0;
  new Uint8Array(bytes).forEach((byte, i) => {
    for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) usage |= 1 << (8 * i + bit);
  });
  // rfc5280#4.2.1.3: when it appears, at least one of the bits MUST be set to 1.
  if (usage === 0 || unusedBits > 7) throw new RangeError("no bit set");
  return usage;
}

function readExtendedKeyUsage(value: Uint8Array): string[] {
  const purposes = [...AsnConvert.parse(value, ExtendedKeyUsage)];
  if (purposes.length === 0) throw new RangeError("no purpose");
  return purposes;
}

function readPolicies(all: ReadonlyMap<string, Extension>): Policies {
  const policies: string[] = [];
  const listed = all.get(EXT.certificatePolicies);
  if (listed !== undefined) {
    for (const { policyIdentifier } of AsnConvert.parse(listed.value, CertificatePolicies)) {
      // rfc5280#4.2.1.4: a policy OID MUST NOT appear more than once.
      if (policies.includes(policyIdentifier)) throw new RangeError("a policy appears twice");
      policies.push(policyIdentifier);
    }
    if (policies.length === 0) throw new RangeError("no policy");
  }
  const mapped = all.get(EXT.policyMappings);
  const mappings =
    mapped === undefined
      ? []
      : [...AsnConvert.parse(mapped.value, PolicyMappings)].map(
          (mapping) => [mapping.issuerDomainPolicy, mapping.subjectDomainPolicy] as const,
        );
  // rfc5280#4.2.1.5: policies MUST NOT be mapped either to or from anyPolicy.
  if (mappings.some((pair) => pair.includes(ANY_POLICY))) throw new RangeError("anyPolicy in policyMappings");
  const constrained = all.get(EXT.policyConstraints);
  const constraints =
    constrained === undefined ? null : AsnConvert.parse(constrained.value, PolicyConstraints);
  const inhibited = all.get(EXT.inhibitAnyPolicy);
  return {
    policies,
    mappings,
    requireExplicit: skipCerts(constraints?.requireExplicitPolicy),
    inhibitMapping: skipCerts(constraints?.inhibitPolicyMapping),
    inhibitAny:
      inhibited === undefined
        ? Infinity
        : skipCerts(AsnConvert.parse(inhibited.value, InhibitAnyPolicy).value),
  };
}

export const ANY_POLICY = "2.5.29.32.0";
const NO_POLICIES: Policies = {
  policies: [],
  mappings: [],
  requireExplicit: Infinity,
  inhibitMapping: Infinity,
  inhibitAny: Infinity,
};

/** The extensions that readPolicies looks at. */
const POLICY_EXTENSIONS = [
  EXT.certificatePolicies,
  EXT.policyMappings,
  EXT.policyConstraints,
  EXT.inhibitAnyPolicy,
] as const;

function keyIdentifier(bytes: ArrayBuffer | undefined): Uint8Array | null {
  return bytes === undefined ? null : new Uint8Array(bytes);
}

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
  return {
    all,
    basicConstraints: read(EXT.basicConstraints, readBasicConstraints),
    keyUsage: read(EXT.keyUsage, readKeyUsage),
    extendedKeyUsage: read(EXT.extendedKeyUsage, readExtendedKeyUsage),
    altNames: read(EXT.subjectAltName, readGeneralNames) ?? [],
    nameConstraints: read(EXT.nameConstraints, readNameConstraints),
    subjectKeyIdentifier: read(EXT.subjectKeyIdentifier, (value) => readOne(value, DER_OCTET_STRING).value),
    authorityKeyIdentifier: read(EXT.authorityKeyIdentifier, (value) =>
      keyIdentifier(AsnConvert.parse(value, AuthorityKeyIdentifier).keyIdentifier?.buffer),
    ),
    policies: POLICY_EXTENSIONS.some((oid) => all.has(oid))
      ? within(EXT.certificatePolicies, () => readPolicies(all))
      : NO_POLICIES,
    unknownCritical,
  };
}

function within<T>(oid: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    // The library throws errors of many kinds, some of them for its own confusion.
    throw new RangeError(
      `extension ${nameOf(oid)}: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}
