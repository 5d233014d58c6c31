// What each TLS signature scheme is made of, rfc8446#4.2.3.

import type { HashName, KeyType, SignatureName } from "./provider.ts";

interface Parameters {
  /** null: the scheme hashes itself (Ed25519). */
  readonly hash: HashName | null;
  readonly padding?: "pss" | "pkcs1";
  /** rfc8446#4.2.3 The length of the Salt MUST be equal to the length of the output of the digest algorithm. */
  readonly saltLength?: number;
  /**
   * rfc8446#4.2.3 an ECDSA scheme names its curve; rsa_pss_rsae_* take keys of OID rsaEncryption, rsa_pss_pss_* those
   * of OID RSASSA-PSS.
   */
  readonly key: KeyType;
}

export const SIGNATURE_PARAMETERS: { readonly [name in SignatureName]: Parameters } = {
  ecdsa_secp256r1_sha256: { hash: "sha256", key: "ec-p256" },
  ecdsa_secp384r1_sha384: { hash: "sha384", key: "ec-p384" },
  ecdsa_secp521r1_sha512: { hash: "sha512", key: "ec-p521" },
  ed25519: { hash: null, key: "ed25519" },
  rsa_pss_rsae_sha256: { hash: "sha256", padding: "pss", saltLength: 32, key: "rsa" },
  rsa_pss_rsae_sha384: { hash: "sha384", padding: "pss", saltLength: 48, key: "rsa" },
  rsa_pss_rsae_sha512: { hash: "sha512", padding: "pss", saltLength: 64, key: "rsa" },
  rsa_pss_pss_sha256: { hash: "sha256", padding: "pss", saltLength: 32, key: "rsa-pss" },
  rsa_pss_pss_sha384: { hash: "sha384", padding: "pss", saltLength: 48, key: "rsa-pss" },
  rsa_pss_pss_sha512: { hash: "sha512", padding: "pss", saltLength: 64, key: "rsa-pss" },
  // Certificates only: rfc8446#4.2.3 these values refer solely to signatures which appear in certificates.
  rsa_pkcs1_sha256: { hash: "sha256", padding: "pkcs1", key: "rsa" },
  rsa_pkcs1_sha384: { hash: "sha384", padding: "pkcs1", key: "rsa" },
  rsa_pkcs1_sha512: { hash: "sha512", padding: "pkcs1", key: "rsa" },
};

/** What an RSASSA-PSS key's parameters restrict it to; "any" for other keys. */
export type PssHash = HashName | "any" | "none";

export function allowsHash(scheme: SignatureName, pssHash: PssHash): boolean {
  return pssHash === "any" || pssHash === SIGNATURE_PARAMETERS[scheme].hash;
}

/** CertificateVerify schemes of a key, the preferred one first. */
export function schemesOf(type: KeyType, pssHash: PssHash): readonly SignatureName[] {
  return (Object.keys(SIGNATURE_PARAMETERS) as SignatureName[]).filter((scheme) => {
    const { key, padding } = SIGNATURE_PARAMETERS[scheme];
    return key === type && padding !== "pkcs1" && allowsHash(scheme, pssHash);
  });
}
