// Object identifiers that certificates use, in dotted form.

/** Extensions, rfc5280#4.2. */
export const EXT = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  issuerAltName: "2.5.29.18",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  crlDistributionPoints: "2.5.29.31",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyIdentifier: "2.5.29.35",
  policyConstraints: "2.5.29.36",
  extendedKeyUsage: "2.5.29.37",
  inhibitAnyPolicy: "2.5.29.54",
} as const;

/** Extended key usages, rfc5280#4.2.1.12. */
export const EKU = {
  any: "2.5.29.37.0",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  codeSigning: "1.3.6.1.5.5.7.3.3",
  emailProtection: "1.3.6.1.5.5.7.3.4",
  timeStamping: "1.3.6.1.5.5.7.3.8",
  OCSPSigning: "1.3.6.1.5.5.7.3.9",
} as const;

/** Attributes of distinguished names under the short names that OpenSSL and node:tls show. */
export const ATTRIBUTE: Readonly<Record<string, string>> = {
  CN: "2.5.4.3",
  SN: "2.5.4.4",
  serialNumber: "2.5.4.5",
  C: "2.5.4.6",
  L: "2.5.4.7",
  ST: "2.5.4.8",
  street: "2.5.4.9",
  O: "2.5.4.10",
  OU: "2.5.4.11",
  title: "2.5.4.12",
  postalCode: "2.5.4.17",
  GN: "2.5.4.42",
  organizationIdentifier: "2.5.4.97",
  UID: "0.9.2342.19200300.100.1.1",
  DC: "0.9.2342.19200300.100.1.25",
  emailAddress: "1.2.840.113549.1.9.1",
};

const ATTRIBUTE_NAME = new Map(Object.entries(ATTRIBUTE).map(([name, oid]) => [oid, name]));

/** The short name of an attribute type, or its dotted form. */
export function attributeName(oid: string): string {
  return ATTRIBUTE_NAME.get(oid) ?? oid;
}

/** The value bytes of an OBJECT IDENTIFIER. Throws RangeError where `dotted` is none. */
export function encodeOid(dotted: string): Uint8Array {
  const arcs = dotted.split(".").map((part) => (/^\d+$/.test(part) ? BigInt(part) : -1n));
  if (arcs.length < 2 || arcs.some((arc) => arc < 0n) || arcs[0]! > 2n || (arcs[0]! < 2n && arcs[1]! > 39n)) {
    throw new RangeError(`not an object identifier: ${dotted}`);
  }
  const bytes: number[] = [];
  for (const arc of [arcs[0]! * 40n + arcs[1]!, ...arcs.slice(2)]) {
    const digits = [Number(arc & 0x7fn)];
    for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) digits.unshift(Number(rest & 0x7fn) | 0x80);
    bytes.push(...digits);
  }
  return Uint8Array.from(bytes);
}

/** The dotted form of an OBJECT IDENTIFIER's value bytes. Throws RangeError where they are malformed. */
export function decodeOid(bytes: Uint8Array): string {
  if (bytes.length === 0 || bytes.length > 64 || (bytes[bytes.length - 1]! & 0x80) !== 0) {
    throw new RangeError("DER: object identifier");
  }
  const text: string[] = [];
  let arc = 0n;
  let small = 0;
  let first = true;
  let begin = true;
  for (const byte of bytes) {
    // X.690 8.19.2: the leading octet of a subidentifier is not 0x80.
    if (begin && byte === 0x80) throw new RangeError("DER: object identifier is not minimal");
    begin = (byte & 0x80) === 0;
    // Arcs up to 2^46 are plain numbers; UUID-based ones need more.
    if (small < 2 ** 39 && arc === 0n) {
      small = small * 128 + (byte & 0x7f);
    } else {
      arc = arc === 0n ? BigInt(small) : arc;
      arc = (arc << 7n) | BigInt(byte & 0x7f);
    }
    if (!begin) continue;
    if (arc !== 0n) {
      if (first) text.push("2", String(arc - 80n));
      else text.push(String(arc));
    } else if (first) {
      const top = small < 40 ? 0 : small < 80 ? 1 : 2;
      text.push(String(top), String(small - 40 * top));
    } else {
      text.push(String(small));
    }
    first = false;
    small = 0;
    arc = 0n;
  }
  return text.join(".");
}
