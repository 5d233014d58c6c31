// What each TLS signature scheme is made of, rfc8446#4.2.3.

import type { KeyType, SignatureName } from "./provider.ts";

interface Parameters {
  /** null: the scheme hashes itself (Ed25519). */
  readonly hash: "sha256" | "sha384" | "sha512" | null;
  readonly padding?: "pss" | "pkcs1";
  /** rfc8446#4.2.3 the salt MUST be as long as the digest. */
  readonly saltLength?: number;
  readonly keys: readonly KeyType[];
}

export const SIGNATURE_PARAMETERS: { readonly [name in SignatureName]: Parameters } = {
  ecdsa_secp256r1_sha256: { hash: "sha256", keys: ["ec-p256"] },
  ecdsa_secp384r1_sha384: { hash: "sha384", keys: ["ec-p384"] },
  ecdsa_secp521r1_sha512: { hash: "sha512", keys: ["ec-p521"] },
  ed25519: { hash: null, keys: ["ed25519"] },
  rsa_pss_rsae_sha256: { hash: "sha256", padding: "pss", saltLength: 32, keys: ["rsa"] },
  rsa_pss_rsae_sha384: { hash: "sha384", padding: "pss", saltLength: 48, keys: ["rsa"] },
  rsa_pss_rsae_sha512: { hash: "sha512", padding: "pss", saltLength: 64, keys: ["rsa"] },
  rsa_pss_pss_sha256: { hash: "sha256", padding: "pss", saltLength: 32, keys: ["rsa-pss"] },
  rsa_pss_pss_sha384: { hash: "sha384", padding: "pss", saltLength: 48, keys: ["rsa-pss"] },
  rsa_pss_pss_sha512: { hash: "sha512", padding: "pss", saltLength: 64, keys: ["rsa-pss"] },
  // Certificates only: rfc8446#4.2.3 these values refer solely to signatures which appear in certificates.
  rsa_pkcs1_sha256: { hash: "sha256", padding: "pkcs1", keys: ["rsa"] },
  rsa_pkcs1_sha384: { hash: "sha384", padding: "pkcs1", keys: ["rsa"] },
  rsa_pkcs1_sha512: { hash: "sha512", padding: "pkcs1", keys: ["rsa"] },
};

/** CertificateVerify schemes of a key, the preferred one first. */
export function schemesOf(type: KeyType): SignatureName[] {
  return (Object.keys(SIGNATURE_PARAMETERS) as SignatureName[]).filter(
    (name) =>
      SIGNATURE_PARAMETERS[name].keys.includes(type) && SIGNATURE_PARAMETERS[name].padding !== "pkcs1",
  );
}
