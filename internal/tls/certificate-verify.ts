// CertificateVerify, rfc8446#4.4.3: what is signed, by which scheme, and checking it.

import { readSpki } from "../crypto/der.ts";
import { SIGNATURE, type CryptoProvider, type SignatureName } from "../crypto/provider.ts";
import { SIGNATURE_PARAMETERS } from "../crypto/signatures.ts";
import { utf8 } from "../protocol/bytes.ts";
import type { Role } from "../protocol/constants.ts";
import { alert } from "./codec.ts";
import type { CertificateVerify } from "./messages.ts";

/** 64 spaces, a context string, a zero byte, the transcript hash. */
export function certificateVerifyContent(signer: Role, transcriptHash: Uint8Array): Uint8Array {
  const context = utf8(`TLS 1.3, ${signer} CertificateVerify`);
  const out = new Uint8Array(64 + context.length + 1 + transcriptHash.length);
  out.fill(0x20, 0, 64);
  out.set(context, 64);
  out.set(transcriptHash, 64 + context.length + 1);
  return out;
}

/** rfc8446#4.2.3 RSASSA-PKCS1-v1_5 algorithms are not defined for use in signed TLS handshake messages. */
function signsHandshakes(scheme: SignatureName): boolean {
  return SIGNATURE_PARAMETERS[scheme].padding !== "pkcs1";
}

/** The first of the key's schemes that the peer takes, or null. */
export function chooseScheme(ours: readonly SignatureName[], peer: readonly number[]): SignatureName | null {
  return ours.find((name) => signsHandshakes(name) && peer.includes(SIGNATURE[name])) ?? null;
}

/** Checks the peer's signature with the leaf's key. `accepted` is what we said in signature_algorithms. */
export function checkCertificateVerify(
  provider: CryptoProvider,
  { scheme, signature }: CertificateVerify,
  spki: Uint8Array,
  signer: Role,
  transcriptHash: Uint8Array,
  accepted: readonly SignatureName[],
): void {
  // rfc8446#4.4.3 the signature algorithm MUST be one offered in "signature_algorithms"; rfc8446#4.2.3 for its keys too.
  const name = accepted.find((candidate) => SIGNATURE[candidate] === scheme);
  if (name === undefined || !signsHandshakes(name)) {
    throw alert("illegal_parameter", "CertificateVerify uses a scheme that was not offered");
  }
  const key = readSpki(spki);
  if (key === null)
    throw alert("unsupported_certificate", "the key of the peer's certificate is of no known kind");
  if (SIGNATURE_PARAMETERS[name].key !== key.kind) {
    throw alert("illegal_parameter", `CertificateVerify uses ${name} with a key of another kind`);
  }
  // rfc8446#4.4.3 if the verification fails, the receiver MUST terminate the handshake with a "decrypt_error" alert.
  if (!provider.verify(name, spki, certificateVerifyContent(signer, transcriptHash), signature)) {
    throw alert("decrypt_error", "the signature of CertificateVerify is wrong");
  }
}
