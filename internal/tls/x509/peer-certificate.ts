// A certificate as node:tls shows it to `checkServerIdentity`. Everything is computed when it is asked for.

import type { CryptoProvider, HashName } from "../../crypto/provider.ts";
import { toHex } from "../../protocol/bytes.ts";
import type { GeneralName } from "./general-name.ts";
import { formatIp } from "./ip.ts";
import type { DistinguishedName } from "./name.ts";
import { attributeName } from "./oid.ts";
import type { ParsedCertificate } from "./parse.ts";
import { formatTime } from "./time.ts";

/** Attributes by their short names; a repeated one is a list. */
export type NameObject = Record<string, string | string[]>;

function nameObject(name: DistinguishedName): NameObject {
  const out = Object.create(null) as NameObject;
  for (const rdn of name.rdns) {
    for (const { oid, text } of rdn) {
      const key = attributeName(oid);
      const before = out[key];
      const value = text ?? "";
      out[key] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value];
    }
  }
  return out;
}

/** As node does: names that would look like several are quoted, so that a list cannot be forged from within. */
function quoted(prefix: string, value: string): string {
  const plain = /^[\x20\x21\x23-\x26\x28-\x2b\x2d-\x5b\x5d-\x7e]*$/.test(value);
  return prefix + (plain ? value : JSON.stringify(value).replaceAll(",", "\\u002c"));
}

/** rfc2253#2.1: the last part first, as node shows names among alternative names. */
function reversed(name: DistinguishedName): string {
  const value = (text: string | null) => (text ?? "").replace(/[,+"\\<>;]|^[# ]| $/g, "\\$&");
  return name.rdns
    .map((rdn) => rdn.map(({ oid, text }) => `${attributeName(oid)}=${value(text)}`).join("+"))
    .reverse()
    .join(",");
}

function altName(name: GeneralName): string {
  switch (name.kind) {
    case "dns":
      return quoted("DNS:", name.value);
    case "email":
      return quoted("email:", name.value);
    case "uri":
      return quoted("URI:", name.value);
    case "ip":
      return `IP Address:${formatIp(name.value)}`;
    case "directory":
      return quoted("DirName:", reversed(name.value));
    case "other":
      return name.tag === 0
        ? "othername:<unsupported>"
        : `${["", "", "", "X400Name", "", "EdiPartyName", "", "", "Registered ID"][name.tag] ?? ""}:<unsupported>`;
  }
}

/** The names of subjectAltName in one string, as OpenSSL prints them; undefined where there are none. */
export function altNameText(altNames: readonly GeneralName[]): string | undefined {
  return altNames.length === 0 ? undefined : altNames.map(altName).join(", ");
}

/** The shape of node:tls's PeerCertificate, as far as it says something about the certificate itself. */
export class PeerCertificate {
  readonly #certificate: ParsedCertificate;
  readonly #provider: CryptoProvider;

  constructor(certificate: ParsedCertificate, provider: CryptoProvider) {
    this.#certificate = certificate;
    this.#provider = provider;
  }

  get subject(): NameObject {
    return nameObject(this.#certificate.subject);
  }

  get issuer(): NameObject {
    return nameObject(this.#certificate.issuer);
  }

  /** `DNS:example.org, IP Address:127.0.0.1`. */
  get subjectaltname(): string | undefined {
    return altNameText(this.#certificate.extensions.altNames);
  }

  /** `Nov  3 09:05:00 2025 GMT`. */
  get valid_from(): string {
    return formatTime(this.#certificate.notBefore);
  }

  get valid_to(): string {
    return formatTime(this.#certificate.notAfter);
  }

  /** Hexadecimal. */
  get serialNumber(): string {
    const hex = toHex(this.#certificate.serialNumber).toUpperCase();
    return hex.length > 2 && hex.startsWith("00") ? hex.slice(2) : hex;
  }

  /** SHA-256 over the certificate: `AB:CD:…`. */
  get fingerprint256(): string {
    return this.#fingerprint("sha256");
  }

  get fingerprint512(): string {
    return this.#fingerprint("sha512");
  }

  #fingerprint(hash: HashName): string {
    return toHex(this.#provider.hash(hash, this.#certificate.raw))
      .toUpperCase()
      .replace(/..(?!$)/g, "$&:");
  }

  /** Extended key usage, dotted. */
  get ext_key_usage(): string[] | undefined {
    const usage = this.#certificate.extensions.extendedKeyUsage;
    return usage === null ? undefined : [...usage];
  }

  get ca(): boolean {
    return this.#certificate.extensions.basicConstraints?.ca ?? false;
  }

  /** Size of the key. */
  get bits(): number | undefined {
    const key = this.#certificate.publicKey;
    return key === null || typeof key === "string" ? undefined : key.bits;
  }

  /** SubjectPublicKeyInfo, DER. */
  get pubkey(): Uint8Array {
    return this.#certificate.spki.slice();
  }

  /** DER. */
  get raw(): Uint8Array {
    return this.#certificate.raw.slice();
  }
}
