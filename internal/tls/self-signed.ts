// Makes certificates: for local development (`selfSigned()`), and chains of every kind for tests. Keys come from the
// given random source and signatures are deterministic (rfc6979, rfc8032), so equal input gives equal bytes.

import { ed25519 } from "@noble/curves/ed25519.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import {
  DER_BIT_STRING,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_SEQUENCE,
  derTlv,
  encodePkcs8,
  encodeSpki,
  readDer,
  readOne,
  readPrivateKey,
  readSpki,
} from "../crypto/der.ts";
import type { CryptoProvider, HashName, SignatureName } from "../crypto/provider.ts";
import { concatBytes, utf8 } from "../protocol/bytes.ts";
import { InvalidOptionError } from "../protocol/errors.ts";
import { drawBytes, type RandomSource } from "../protocol/random.ts";
import { parseIp, prefixMask } from "./x509/ip.ts";
import { ATTRIBUTE, EKU, encodeOid, EXT } from "./x509/oid.ts";
import { encodeTime } from "./x509/time.ts";

export { toPem } from "./x509/pem.ts";

/** A key that can be made here; others (RSA) are given as `key`. */
export type GeneratedKeyType = "ec-p256" | "ec-p384" | "ec-p521" | "ed25519";

/** rfc5280#4.2.1.3, in the order of the bits. */
const KEY_USAGES = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
] as const;
export type KeyUsageName = (typeof KEY_USAGES)[number];

/** How an issuer signs; also what ECDSA combines freely in certificates, unlike in TLS 1.3. */
export type CertificateSignature =
  | SignatureName
  | "ecdsa_sha256"
  | "ecdsa_sha384"
  | "ecdsa_sha512"
  /** Only the identifier: the signature is garbage, nobody is to get as far as checking it. */
  | "ecdsa_sha1"
  | "rsa_sha1"
  | "rsa_md5";

/** A certificate and its private key, as files hold them. */
export interface CertificateAndKey {
  /** DER. */
  readonly cert: Uint8Array;
  /** PKCS#8 DER (or whatever was given as `key`). */
  readonly key: Uint8Array;
}

/** An extension as it stands: `value` is what goes inside the OCTET STRING. */
export interface RawExtension {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

export interface CertificateOptions {
  readonly provider: CryptoProvider;
  readonly random: RandomSource;
  /** `"CN=example.org, O=Example"`, pairs where values hold commas, or `""` for none. Default: the first alternative name as CN. */
  readonly subject?: string | readonly (readonly [type: string, value: string])[];
  /** `DNS:example.org`, `IP:127.0.0.1`, `email:a@example.org`, `URI:https://…`, `dirName:CN=…`; without prefix an IP address or a DNS name. */
  readonly altNames?: readonly string[];
  /** Unix ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Default `"ec-p256"`. */
  readonly keyType?: GeneratedKeyType;
  /** A private key (DER) to certify instead of a new one. */
  readonly key?: Uint8Array;
  /** A SubjectPublicKeyInfo (DER) to certify whose private key is elsewhere. Needs `issuer`; the result's `key` is empty. */
  readonly publicKey?: Uint8Array;
  /** Who signs. Default: the certificate's own key. */
  readonly issuer?: CertificateAndKey;
  /** An authority. Default false. */
  readonly ca?: boolean;
  /** rfc5280#4.2.1.9 pathLenConstraint, for authorities. */
  readonly pathLength?: number;
  /** null leaves the extension out. Default: what an authority or a TLS peer needs. */
  readonly keyUsage?: readonly KeyUsageName[] | null;
  /** Names of {@link EKU} or OIDs; null leaves it out. Default: server and client, none for authorities. */
  readonly extendedKeyUsage?: readonly string[] | null;
  /** Subtrees in the form of `altNames`; `DNS:.example.org`, `IP:10.0.0.0/8`. */
  readonly nameConstraints?: {
    readonly permitted?: readonly string[];
    readonly excluded?: readonly string[];
  };
  /** Policy OIDs. */
  readonly policies?: readonly string[];
  /** Added after the ones above. */
  readonly extensions?: readonly RawExtension[];
  /** Leaves out basicConstraints (rfc5280#4.2.1.9), as X.509 v1 roots did. */
  readonly noBasicConstraints?: boolean;
  /** Leaves out the subject and authority key identifiers. */
  readonly noKeyIdentifiers?: boolean;
  /** INTEGER content. Default: 16 random bytes. */
  readonly serialNumber?: Uint8Array;
  /** Default: what fits the issuer's key. */
  readonly signature?: CertificateSignature;
  /** Faults on purpose. */
  readonly faults?: {
    /** Flips a bit of the signature. */
    readonly signature?: boolean;
    /** The algorithm inside the signed part, where it is to differ from the outer one. */
    readonly innerAlgorithm?: CertificateSignature;
    /** 0 = v1, 2 = v3 whatever the content. */
    readonly version?: number;
    /** Name of the issuer that replaces the real one. */
    readonly issuerName?: string;
  };
}

const NULL = Uint8Array.of(0x05, 0x00);
const CURVES = { "ec-p256": p256, "ec-p384": p384, "ec-p521": p521 } as const;
const CURVE_HASH = { "ec-p256": "sha256", "ec-p384": "sha384", "ec-p521": "sha512" } as const;

const seq = (...parts: Uint8Array[]): Uint8Array => derTlv(DER_SEQUENCE, ...parts);
const oid = (dotted: string): Uint8Array => derTlv(DER_OID, encodeOid(dotted));
const bits = (bytes: Uint8Array): Uint8Array => derTlv(DER_BIT_STRING, Uint8Array.of(0), bytes);

function fail(option: string, message: string, cause?: unknown): never {
  throw new InvalidOptionError(option, message, cause);
}

/** A new private key, PKCS#8 DER, from `random` alone. */
export function makePrivateKey(type: GeneratedKeyType, random: RandomSource): Uint8Array {
  if (type === "ed25519") return encodePkcs8("ed25519", drawBytes(random, 32));
  const curve = CURVES[type];
  const seed = drawBytes(random, curve.lengths.seed ?? 96);
  const secret = curve.utils.randomSecretKey(seed);
  seed.fill(0);
  return encodePkcs8(type, secret, curve.getPublicKey(secret, false));
}

/** The SubjectPublicKeyInfo of a private key. */
function publicKeyOf(provider: CryptoProvider, key: Uint8Array): Uint8Array {
  const { kind, key: secret } = readPrivateKey(key);
  if (kind === "ed25519") return encodeSpki(kind, ed25519.getPublicKey(secret));
  if (kind === "rsa" || kind === "rsa-pss") return provider.signingKey(key).spki;
  return encodeSpki(kind, CURVES[kind].getPublicKey(secret, false));
}

/** RSASSA-PSS-params, rfc4055#3.1. */
function pssAlgorithm(hash: HashName): Uint8Array {
  const hashOid = {
    sha256: "2.16.840.1.101.3.4.2.1",
    sha384: "2.16.840.1.101.3.4.2.2",
    sha512: "2.16.840.1.101.3.4.2.3",
  }[hash];
  const digest = seq(oid(hashOid), NULL);
  const salt = { sha256: 32, sha384: 48, sha512: 64 }[hash];
  return seq(
    oid("1.2.840.113549.1.1.10"),
    seq(
      derTlv(0xa0, digest),
      derTlv(0xa1, seq(oid("1.2.840.113549.1.1.8"), digest)),
      derTlv(0xa2, derTlv(DER_INTEGER, Uint8Array.of(salt))),
    ),
  );
}

/** AlgorithmIdentifier of a signature. */
function signatureAlgorithm(name: CertificateSignature): Uint8Array {
  switch (name) {
    case "ecdsa_sha256":
    case "ecdsa_secp256r1_sha256":
      return seq(oid("1.2.840.10045.4.3.2"));
    case "ecdsa_sha384":
    case "ecdsa_secp384r1_sha384":
      return seq(oid("1.2.840.10045.4.3.3"));
    case "ecdsa_sha512":
    case "ecdsa_secp521r1_sha512":
      return seq(oid("1.2.840.10045.4.3.4"));
    case "ecdsa_sha1":
      return seq(oid("1.2.840.10045.4.1"));
    case "ed25519":
      return seq(oid("1.3.101.112"));
    case "rsa_pkcs1_sha256":
      return seq(oid("1.2.840.113549.1.1.11"), NULL);
    case "rsa_pkcs1_sha384":
      return seq(oid("1.2.840.113549.1.1.12"), NULL);
    case "rsa_pkcs1_sha512":
      return seq(oid("1.2.840.113549.1.1.13"), NULL);
    case "rsa_sha1":
      return seq(oid("1.2.840.113549.1.1.5"), NULL);
    case "rsa_md5":
      return seq(oid("1.2.840.113549.1.1.4"), NULL);
    default:
      return pssAlgorithm(name.slice(-6) as HashName);
  }
}

function defaultSignature(kind: string): CertificateSignature {
  if (kind === "ed25519") return "ed25519";
  if (kind === "rsa") return "rsa_pkcs1_sha256";
  if (kind === "rsa-pss") return "rsa_pss_pss_sha256";
  return `ecdsa_${CURVE_HASH[kind as keyof typeof CURVE_HASH]}`;
}

function sign(
  provider: CryptoProvider,
  key: Uint8Array,
  name: CertificateSignature,
  data: Uint8Array,
): Uint8Array {
  if (name === "ecdsa_sha1" || name === "rsa_sha1" || name === "rsa_md5") return new Uint8Array(64).fill(1);
  const { kind, key: secret } = readPrivateKey(key);
  if (kind === "ed25519" && name === "ed25519") return ed25519.sign(data, secret);
  if (kind === "rsa" || kind === "rsa-pss") {
    if (!name.startsWith("rsa_")) fail("signature", `${name} does not fit an RSA key`);
    return provider.signingKey(key).sign(name as SignatureName, data);
  }
  if (kind === "ed25519" || !name.startsWith("ecdsa_"))
    fail("signature", `${name} does not fit a key of type ${kind}`);
  const digest = provider.hash(name.slice(-6) as HashName, data);
  return CURVES[kind].sign(digest, secret, { prehash: false, format: "der", lowS: false });
}

/** One attribute value: rfc5280#4.1.2.4 MUST use PrintableString or UTF8String; country, e-mail and DC have their own type. */
function attributeValue(type: string, value: string): Uint8Array {
  const tag =
    type === "C" || type === "serialNumber" ? 0x13 : type === "DC" || type === "emailAddress" ? 0x16 : 0x0c;
  return derTlv(tag, utf8(value));
}

/** The DER of a distinguished name. */
export function encodeName(subject: NonNullable<CertificateOptions["subject"]>): Uint8Array {
  const pairs: readonly (readonly [string, string])[] =
    typeof subject !== "string"
      ? subject
      : subject === ""
        ? []
        : subject.includes("=")
          ? subject.split(/,\s*/).map((part): [string, string] => {
              const at = part.indexOf("=");
              return [part.slice(0, at).trim(), part.slice(at + 1)];
            })
          : [["CN", subject]];
  return seq(
    ...pairs.map(([type, value]) => {
      const dotted = ATTRIBUTE[type] ?? type;
      let encoded: Uint8Array;
      try {
        encoded = oid(dotted);
      } catch (error) {
        fail(
          "subject",
          `"${type}" is neither a known attribute (CN, O, OU, C, …) nor an object identifier`,
          error,
        );
      }
      return derTlv(0x31, seq(encoded, attributeValue(type, value)));
    }),
  );
}

function ipConstraint(value: string): Uint8Array | null {
  const [address, prefix] = value.split("/");
  const ip = parseIp(address ?? "");
  if (ip === null) return null;
  const length = prefix === undefined ? 8 * ip.length : Number(prefix);
  if (!Number.isInteger(length) || length < 0 || length > 8 * ip.length) return null;
  return concatBytes(ip, prefixMask(ip.length, length));
}

/** GeneralName, rfc5280#4.2.1.6. */
function generalName(option: string, text: string, constraint: boolean): Uint8Array {
  const match = /^(DNS|IP|email|URI|dirName|RID):(.*)$/s.exec(text);
  const kind = match?.[1] ?? (parseIp(text) === null ? "DNS" : "IP");
  const value = match?.[2] ?? text;
  if (kind === "IP") {
    const bytes = constraint ? ipConstraint(value) : parseIp(value);
    return bytes === null
      ? fail(option, `"${value}" is no IP address${constraint ? " range" : ""}`)
      : derTlv(0x87, bytes);
  }
  if (kind === "dirName") return derTlv(0xa4, encodeName(value));
  if (kind === "RID") return derTlv(0x88, encodeOid(value));
  if (!/^[\x00-\x7f]*$/.test(value))
    fail(option, `"${value}" must be ASCII; write international names as xn-- A-labels`);
  return derTlv(kind === "DNS" ? 0x82 : kind === "email" ? 0x81 : 0x86, utf8(value));
}

function subtrees(option: string, tag: number, names: readonly string[] | undefined): Uint8Array[] {
  if (names === undefined || names.length === 0) return [];
  return [derTlv(tag, ...names.map((name) => seq(generalName(option, name, true))))];
}

function extension(dotted: string, critical: boolean, value: Uint8Array): Uint8Array {
  const flag = critical ? [Uint8Array.of(0x01, 0x01, 0xff)] : [];
  return seq(oid(dotted), ...flag, derTlv(DER_OCTET_STRING, value));
}

function keyUsageBits(names: readonly KeyUsageName[]): Uint8Array {
  let value = 0;
  for (const name of names) value |= 0x8000 >> KEY_USAGES.indexOf(name);
  if (value === 0) return derTlv(DER_BIT_STRING, Uint8Array.of(0));
  // X.690 11.2.2: trailing zero bits are not encoded.
  let unused = 0;
  while (((value >> unused) & 1) === 0) unused++;
  return derTlv(
    DER_BIT_STRING,
    unused >= 8 ? Uint8Array.of(unused - 8, value >> 8) : Uint8Array.of(unused, value >> 8, value & 255),
  );
}

/** rfc5280#4.2.1.2: an identifier derived from the public key; SHA-256 cut to 160 bits as in rfc7093#2. */
function keyIdentifier(provider: CryptoProvider, spki: Uint8Array): Uint8Array {
  const key = readSpki(spki)?.key ?? spki;
  return provider.hash("sha256", key).subarray(0, 20);
}

/** What an issuer's certificate contributes: its subject, and its key's identifier. */
function readIssuer(cert: Uint8Array): { subject: Uint8Array; keyIdentifier: Uint8Array | null } {
  try {
    const fields = readDer(readOne(readDer(readOne(cert, DER_SEQUENCE).value)[0]!.raw, DER_SEQUENCE).value);
    const first = fields[0]!.tag === 0xa0 ? 1 : 0;
    const extensions = fields.find((field) => field.tag === 0xa3);
    let identifier: Uint8Array | null = null;
    for (const item of extensions === undefined
      ? []
      : readDer(readOne(extensions.value, DER_SEQUENCE).value)) {
      const parts = readDer(item.value);
      const wanted = encodeOid(EXT.subjectKeyIdentifier);
      if (!parts[0]!.value.every((byte, i) => byte === wanted[i])) continue;
      identifier = readOne(parts[parts.length - 1]!.value, DER_OCTET_STRING).value;
    }
    return { subject: fields[first + 4]!.raw, keyIdentifier: identifier };
  } catch (error) {
    fail("issuer", "its cert is not a DER certificate", error);
  }
}

function extensionsOf(
  options: CertificateOptions,
  spki: Uint8Array,
  authority: Uint8Array | null,
): Uint8Array[] {
  const ca = options.ca === true;
  const out: Uint8Array[] = [];
  if (options.noBasicConstraints !== true) {
    const flags = ca ? [Uint8Array.of(0x01, 0x01, 0xff)] : [];
    const depth =
      options.pathLength === undefined ? [] : [derTlv(DER_INTEGER, Uint8Array.of(options.pathLength & 0x7f))];
    out.push(extension(EXT.basicConstraints, true, seq(...flags, ...depth)));
  }
  const usage =
    options.keyUsage === undefined
      ? ca
        ? (["digitalSignature", "keyCertSign", "cRLSign"] as const)
        : (["digitalSignature"] as const)
      : options.keyUsage;
  if (usage !== null) out.push(extension(EXT.keyUsage, true, keyUsageBits(usage)));
  const purposes =
    options.extendedKeyUsage === undefined
      ? ca
        ? null
        : ["serverAuth", "clientAuth"]
      : options.extendedKeyUsage;
  if (purposes !== null) {
    const known: Readonly<Record<string, string>> = EKU;
    out.push(
      extension(EXT.extendedKeyUsage, false, seq(...purposes.map((name) => oid(known[name] ?? name)))),
    );
  }
  if (options.noKeyIdentifiers !== true) {
    const own = keyIdentifier(options.provider, spki);
    out.push(extension(EXT.subjectKeyIdentifier, false, derTlv(DER_OCTET_STRING, own)));
    if (authority !== null) {
      out.push(extension(EXT.authorityKeyIdentifier, false, seq(derTlv(0x80, authority))));
    }
  }
  const names = options.altNames ?? [];
  if (names.length > 0) {
    const value = seq(...names.map((name) => generalName("altNames", name, false)));
    // rfc5280#4.2.1.6: with an empty subject it MUST be critical.
    out.push(extension(EXT.subjectAltName, options.subject === "", value));
  }
  if (options.nameConstraints !== undefined) {
    const { permitted, excluded } = options.nameConstraints;
    const option = "nameConstraints";
    // rfc5280#4.2.1.10 MUST mark this extension as critical.
    out.push(
      extension(
        EXT.nameConstraints,
        true,
        seq(...subtrees(option, 0xa0, permitted), ...subtrees(option, 0xa1, excluded)),
      ),
    );
  }
  if (options.policies !== undefined) {
    out.push(
      extension(EXT.certificatePolicies, false, seq(...options.policies.map((policy) => seq(oid(policy))))),
    );
  }
  for (const item of options.extensions ?? [])
    out.push(extension(item.oid, item.critical === true, item.value));
  return out;
}

/** An INTEGER that is positive and minimal. */
function positive(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  // rfc5280#4.1.2.2 MUST be a positive integer of at most 20 octets.
  out[0] = (out[0]! & 0x7f) | 0x40;
  return out;
}

/** Makes a certificate. Throws InvalidOptionError where the options make none. */
export function makeCertificate(options: CertificateOptions): CertificateAndKey {
  const { provider, random, faults = {} } = options;
  if (options.publicKey !== undefined && options.issuer === undefined)
    fail("issuer", "a foreign publicKey needs one");
  const key =
    options.publicKey !== undefined
      ? new Uint8Array(0)
      : (options.key ?? makePrivateKey(options.keyType ?? "ec-p256", random));
  if (!(options.notBefore <= options.notAfter)) fail("notAfter", "must not be before notBefore");

  const spki = options.publicKey ?? publicKeyOf(provider, key);
  const signerKey = options.issuer?.key ?? key;
  const algorithm = options.signature ?? defaultSignature(readPrivateKey(signerKey).kind);
  const firstName = options.altNames?.[0]?.replace(/^[A-Za-z]+:(?!:)/, "") ?? "";
  const subject = encodeName(options.subject ?? [["CN", firstName === "" ? "quic-ts" : firstName]]);
  const parent =
    options.issuer === undefined
      ? { subject, keyIdentifier: keyIdentifier(provider, spki) }
      : readIssuer(options.issuer.cert);

  const extensions = extensionsOf(options, spki, parent.keyIdentifier);
  const version = faults.version ?? (extensions.length > 0 ? 2 : 0);
  const tbs = seq(
    ...(version === 0 ? [] : [derTlv(0xa0, derTlv(DER_INTEGER, Uint8Array.of(version)))]),
    derTlv(DER_INTEGER, options.serialNumber ?? positive(drawBytes(random, 16))),
    signatureAlgorithm(faults.innerAlgorithm ?? algorithm),
    faults.issuerName === undefined ? parent.subject : encodeName(faults.issuerName),
    seq(encodeTime(options.notBefore), encodeTime(options.notAfter)),
    subject,
    spki,
    ...(extensions.length === 0 ? [] : [derTlv(0xa3, seq(...extensions))]),
  );
  const signature = sign(provider, signerKey, algorithm, tbs);
  if (faults.signature === true) signature[signature.length - 1]! ^= 1;
  return { cert: seq(tbs, signatureAlgorithm(algorithm), bits(signature)), key };
}
