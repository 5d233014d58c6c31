// Stapled certificate status: rfc6066#8 in the places that rfc8446#4.4.2.1 gives it. The response is carried, not judged.

import { alert, type Decoder, encode } from "./codec.ts";
import { EXTENSION, readExtension, type Extension, type Extensions } from "./extensions.ts";

/** CertificateStatusType */
const OCSP = 1;

/** A client's wish for the status: of any responder, with no extensions. */
export function statusRequestExtension(): Extension {
  const data = encode((out) => {
    out.u8(OCSP);
    out.opaque(2, new Uint8Array(0));
    out.opaque(2, new Uint8Array(0));
  });
  return { type: EXTENSION.status_request, data };
}

/** Whether a client's status_request asks for what we may have. What we do not know we do not read. */
export function readStatusRequest(data: Decoder): boolean {
  if (data.u8() !== OCSP) {
    data.bytes(data.remaining);
    return false;
  }
  const responders = data.vector(2, 0);
  while (responders.remaining > 0) responders.opaque(2, 1);
  data.opaque(2, 0);
  return true;
}

/** rfc8446#4.4.2.1 the body of the "status_request" extension from the server MUST be a CertificateStatus structure. */
export function certificateStatusExtension(response: Uint8Array): Extension {
  const data = encode((out) => {
    out.u8(OCSP);
    out.opaque(3, response);
  });
  return { type: EXTENSION.status_request, data };
}

/** The OCSP response among a certificate's extensions, DER; null without one. */
export function readCertificateStatus(extensions: Extensions, what: string): Uint8Array | null {
  return readExtension(extensions, EXTENSION.status_request, `${what} status_request`, (data) => {
    if (data.u8() !== OCSP) throw alert("illegal_parameter", `${what}: a status of a kind not asked for`);
    return data.opaque(3, 1);
  });
}
