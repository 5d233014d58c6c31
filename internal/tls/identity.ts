// Our own certificate chain and key, from the forms in which people have them.

import * as crypto from "node:crypto";
import { DER_OCTET_STRING, DER_SEQUENCE, readDer, readOne, readSpki } from "../crypto/der.ts";
import type { CryptoProvider, SigningKey } from "../crypto/provider.ts";
import { bytesEqual } from "../protocol/bytes.ts";
import { InvalidOptionError } from "../protocol/errors.ts";
import { MAX_CHAIN_LENGTH } from "../protocol/limits.ts";
import type { Identity } from "./types.ts";
import { weakKey } from "./x509/algorithms.ts";
import { parseCertificate, type ParsedCertificate } from "./x509/parse.ts";
import { looksLikePem, parsePem, pemToDer, type PemBlock } from "./x509/pem.ts";

/** PEM text, PEM bytes or DER. */
export type PemOrDer = string | Uint8Array;

export interface IdentityInput {
  /** The chain, leaf first: in one PEM file or several, or as DER certificates. */
  readonly cert: PemOrDer | readonly PemOrDer[];
  /** PKCS#8, SEC1 or PKCS#1; encrypted with `passphrase`. */
  readonly key: PemOrDer;
  readonly passphrase?: string | undefined;
}

const CERTIFICATE_LABELS = ["CERTIFICATE", "X509 CERTIFICATE"];
const KEY_LABELS = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];

function fail(option: string, message: string, cause?: unknown): never {
  throw new InvalidOptionError(option, message, cause);
}

function checkType(option: string, value: unknown): void {
  if (typeof value === "string" || value instanceof Uint8Array) return;
  fail(option, `PEM text or DER bytes are needed, not ${value === null ? "null" : typeof value}`);
}

function loadChain(cert: IdentityInput["cert"]): Uint8Array[] {
  const items = Array.isArray(cert) ? (cert as readonly PemOrDer[]) : [cert as PemOrDer];
  const chain: Uint8Array[] = [];
  for (const item of items) {
    checkType("cert", item);
    let found: Uint8Array[];
    try {
      found = pemToDer(item, ...CERTIFICATE_LABELS);
    } catch (error) {
      fail("cert", (error as Error).message, error);
    }
    if (found.length === 0) fail("cert", 'no "-----BEGIN CERTIFICATE-----" in it');
    chain.push(...found.map((der) => der.slice()));
  }
  if (chain.length === 0) fail("cert", "the list is empty");
  if (chain.length > MAX_CHAIN_LENGTH) {
    fail(
      "cert",
      `${chain.length} certificates, and peers take ${MAX_CHAIN_LENGTH} at most: leave out what is not of the chain`,
    );
  }
  return chain;
}

/** EncryptedPrivateKeyInfo, rfc5958#3: an algorithm, then the encrypted octets. */
function isEncryptedPkcs8(der: Uint8Array): boolean {
  try {
    const [algorithm, data, ...rest] = readDer(readOne(der, DER_SEQUENCE).value);
    return algorithm?.tag === DER_SEQUENCE && data?.tag === DER_OCTET_STRING && rest.length === 0;
  } catch {
    return false;
  }
}

/** Decrypting a key file takes the platform's many ciphers; the result is PKCS#8. */
function decrypt(source: Uint8Array | PemBlock, passphrase: string | undefined): Uint8Array {
  if (passphrase === undefined) fail("passphrase", "the private key is encrypted: a passphrase is needed");
  try {
    const key =
      source instanceof Uint8Array
        ? crypto.createPrivateKey({ key: Buffer.from(source), format: "der", type: "pkcs8", passphrase })
        : crypto.createPrivateKey({ key: source.text, format: "pem", passphrase });
    return new Uint8Array(key.export({ format: "der", type: "pkcs8" }));
  } catch (error) {
    fail(
      "passphrase",
      "the private key cannot be decrypted: wrong passphrase, or an unsupported cipher",
      error,
    );
  }
}

/** The key as unencrypted DER. */
function loadKey(source: PemOrDer, passphrase: string | undefined): Uint8Array {
  checkType("key", source);
  if (typeof source !== "string" && !looksLikePem(source)) {
    return isEncryptedPkcs8(source) ? decrypt(source, passphrase) : source;
  }
  let blocks: PemBlock[];
  try {
    blocks = parsePem(typeof source === "string" ? source : new TextDecoder().decode(source));
  } catch (error) {
    fail("key", (error as Error).message, error);
  }
  const keys = blocks.filter((block) => KEY_LABELS.includes(block.label));
  const [block] = keys;
  if (block === undefined) {
    const labels = [...new Set(blocks.map((other) => other.label))];
    fail(
      "key",
      labels.length === 0 ? "neither PEM nor DER" : `no private key in it, only ${labels.join(", ")}`,
    );
  }
  if (keys.length > 1) fail("key", `${keys.length} private keys in it, and one is needed`);
  if (block.label === "ENCRYPTED PRIVATE KEY" || /^Proc-Type:.*ENCRYPTED/m.test(block.headers)) {
    return decrypt(block, passphrase);
  }
  return block.der;
}

/** Whether a certificate is for this key: by the key itself, since RSA keys may be named in two ways. */
function belongs(certificate: ParsedCertificate, key: SigningKey): boolean {
  if (bytesEqual(certificate.spki, key.spki)) return true;
  const theirs = readSpki(certificate.spki);
  const ours = readSpki(key.spki);
  return theirs !== null && ours !== null && theirs.kind === ours.kind && bytesEqual(theirs.key, ours.key);
}

/** A chain and its key, checked to belong together. Throws InvalidOptionError saying what is wrong. */
export function loadIdentity(provider: CryptoProvider, input: IdentityInput): Identity {
  const chain = loadChain(input.cert);
  const certificates = chain.map((der, i) => {
    try {
      return parseCertificate(der);
    } catch (error) {
      fail("cert", `certificate ${i + 1} of ${chain.length}: ${(error as Error).message}`, error);
    }
  });
  const der = loadKey(input.key, input.passphrase);
  const key = provider.signingKey(der);
  const at = certificates.findIndex((certificate) => belongs(certificate, key));
  if (at < 0)
    fail("key", "it is not the private key of the certificate: take the two that were made together");
  if (at > 0) {
    fail(
      "cert",
      `the key is that of certificate ${at + 1}: put it first, the others after it in the order of the chain`,
    );
  }
  const { publicKey } = certificates[0]!;
  const weakness = publicKey === null || typeof publicKey === "string" ? publicKey : weakKey(publicKey);
  if (weakness !== null) fail("cert", `peers will refuse it: ${weakness}`);
  return { chain, key };
}
