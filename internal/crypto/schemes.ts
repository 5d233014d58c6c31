// What each TLS SignatureScheme asks of a key, rfc8446#4.2.3.

import type { HashName, KeyType, SignatureName } from "./provider.ts";

export interface Scheme {
  readonly type: KeyType;
  /** null: the signature has its own hash (Ed25519). */
  readonly hash: HashName | null;
  readonly padding: "pss" | "pkcs1" | null;
}

/**
 * rfc8446#4.2.3 each ECDSA scheme names curve and hash; rsa_pss_rsae_* sign with a key of OID rsaEncryption,
 * rsa_pss_pss_* with one of OID RSASSA-PSS.
 */
export const SCHEMES: { readonly [name in SignatureName]: Scheme } = {
  ecdsa_secp256r1_sha256: { type: "ec-p256", hash: "sha256", padding: null },
  ecdsa_secp384r1_sha384: { type: "ec-p384", hash: "sha384", padding: null },
  ecdsa_secp521r1_sha512: { type: "ec-p521", hash: "sha512", padding: null },
  ed25519: { type: "ed25519", hash: null, padding: null },
  rsa_pss_rsae_sha256: { type: "rsa", hash: "sha256", padding: "pss" },
  rsa_pss_rsae_sha384: { type: "rsa", hash: "sha384", padding: "pss" },
  rsa_pss_rsae_sha512: { type: "rsa", hash: "sha512", padding: "pss" },
  rsa_pss_pss_sha256: { type: "rsa-pss", hash: "sha256", padding: "pss" },
  rsa_pss_pss_sha384: { type: "rsa-pss", hash: "sha384", padding: "pss" },
  rsa_pss_pss_sha512: { type: "rsa-pss", hash: "sha512", padding: "pss" },
  rsa_pkcs1_sha256: { type: "rsa", hash: "sha256", padding: "pkcs1" },
  rsa_pkcs1_sha384: { type: "rsa", hash: "sha384", padding: "pkcs1" },
  rsa_pkcs1_sha512: { type: "rsa", hash: "sha512", padding: "pkcs1" },
};

/** All of them, best first. */
export const ALL_SIGNATURES = Object.keys(SCHEMES) as readonly SignatureName[];

/** RSA schemes that a key restricted to `pssHash` may use. */
export function allowsHash(scheme: Scheme, pssHash: HashName | "any" | "none"): boolean {
  return pssHash === "any" || pssHash === scheme.hash;
}

/** The CertificateVerify schemes of a key. rfc8446#4.4.3 RSA signatures MUST use an RSASSA-PSS algorithm there. */
export function handshakeSchemes(
  type: KeyType,
  pssHash: HashName | "any" | "none",
): readonly SignatureName[] {
  return ALL_SIGNATURES.filter((name) => {
    const scheme = SCHEMES[name];
    return scheme.type === type && scheme.padding !== "pkcs1" && allowsHash(scheme, pssHash);
  });
}
