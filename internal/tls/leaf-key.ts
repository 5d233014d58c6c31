// What the handshake itself needs of the peer's certificate: the leaf's key. Whether the chain is to be trusted is
// decided elsewhere (x509/, or the application).

import { DER_BIT_STRING, DER_OCTET_STRING, DER_OID, DER_SEQUENCE, readDer, readOne } from "../crypto/der.ts";
import { bytesEqual, fromHex } from "../protocol/bytes.ts";
import { TlsAlertError } from "../protocol/errors.ts";
import { alert } from "./codec.ts";

const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
/** id-ce-keyUsage, rfc5280#4.2.1.3 */
const KEY_USAGE = fromHex("551d0f");

/** The leaf's SubjectPublicKeyInfo. Throws bad_certificate where the bytes are no certificate. */
export function leafKey(certificate: Uint8Array): Uint8Array {
  let spki: Uint8Array;
  let maySign: boolean;
  try {
    const [tbs] = readDer(readOne(certificate, DER_SEQUENCE).value);
    // rfc5280#4.1 [0] version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, …
    const fields = readDer(readOne(tbs!.raw, DER_SEQUENCE).value);
    const first = fields[0]!.tag === VERSION_TAG ? 1 : 0;
    const key = fields[first + 5]!;
    if (key.tag !== DER_SEQUENCE) throw new RangeError("no key");
    spki = key.raw;
    const extensions = fields.find((field) => field.tag === EXTENSIONS_TAG);
    maySign = extensions === undefined || allowsSigning(extensions.value);
  } catch (cause) {
    throw new TlsAlertError("bad_certificate", "the peer's certificate cannot be parsed", { cause });
  }
  // rfc8446#4.4.2.2 the digitalSignature bit MUST be set if the Key Usage extension is present.
  if (!maySign) throw alert("unsupported_certificate", "the peer's certificate is not for signing");
  return spki;
}

function allowsSigning(extensions: Uint8Array): boolean {
  for (const { value } of readDer(readOne(extensions, DER_SEQUENCE).value)) {
    const [oid, ...rest] = readDer(value);
    if (oid?.tag !== DER_OID || !bytesEqual(oid.value, KEY_USAGE)) continue;
    const octets = rest.at(-1)!;
    if (octets.tag !== DER_OCTET_STRING) throw new RangeError("key usage");
    // A BIT STRING: the count of unused bits, then digitalSignature as the first bit.
    const bits = readOne(octets.value, DER_BIT_STRING).value;
    return ((bits[1] ?? 0) & 0x80) !== 0;
  }
  return true;
}
