// Why a certificate is not accepted: the names of node:tls and OpenSSL, and the TLS alert each becomes.

import type { AlertName } from "../../protocol/constants.ts";
import { QuicError } from "../../protocol/errors.ts";

/** Alerts as rfc8446#6.2 describes them. */
export const REASON_ALERT = {
  /** rfc8446#6.2 certificate_expired: "has expired or is not currently valid". */
  CERT_HAS_EXPIRED: "certificate_expired",
  CERT_NOT_YET_VALID: "certificate_expired",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unknown_ca",
  SELF_SIGNED_CERT_IN_CHAIN: "unknown_ca",
  DEPTH_ZERO_SELF_SIGNED_CERT: "unknown_ca",
  ERR_TLS_CERT_ALTNAME_INVALID: "bad_certificate",
  /** rfc8446#6.2 bad_certificate: "contained signatures that did not verify correctly". */
  CERT_SIGNATURE_FAILURE: "bad_certificate",
  /** The signature's algorithm is one we do not know. */
  UNSUPPORTED_SIGNATURE_ALGORITHM: "unsupported_certificate",
  /** rfc8446#4.4.2.4 MUST abort the handshake with a "bad_certificate" alert (MD5, and SHA-1 likewise). */
  CA_MD_TOO_WEAK: "bad_certificate",
  INVALID_CA: "bad_certificate",
  PATH_LENGTH_EXCEEDED: "bad_certificate",
  INVALID_PURPOSE: "unsupported_certificate",
  PERMITTED_VIOLATION: "bad_certificate",
  EXCLUDED_VIOLATION: "bad_certificate",
  UNSUPPORTED_CONSTRAINT_TYPE: "bad_certificate",
  UNHANDLED_CRITICAL_EXTENSION: "unsupported_certificate",
  EE_KEY_TOO_SMALL: "bad_certificate",
  CA_KEY_TOO_SMALL: "bad_certificate",
  UNSUPPORTED_KEY: "unsupported_certificate",
  NO_EXPLICIT_POLICY: "bad_certificate",
  CERT_CHAIN_TOO_LONG: "bad_certificate",
  /** Not a certificate, or not one that rfc5280 allows. */
  CERT_MALFORMED: "bad_certificate",
} as const satisfies Readonly<Record<string, AlertName>>;

export type CertificateReason = keyof typeof REASON_ALERT;

/** One reason, for people and for programs. */
export interface Refusal {
  readonly certificateReason: CertificateReason;
  readonly reason: string;
}

/** Bytes that are no certificate as rfc5280 describes it. */
export class CertificateFormatError extends QuicError {
  readonly reason = "CERT_MALFORMED";
  constructor(message: string, cause?: unknown) {
    super("ERR_QUIC_CERTIFICATE", message, { cause });
  }
}
