// Trust anchors: the authorities that are believed without proof.

import { DER_SEQUENCE, readDer, readOne } from "../../crypto/der.ts";
import { bytesEqual } from "../../protocol/bytes.ts";
import { InvalidOptionError } from "../../protocol/errors.ts";
import { DistinguishedName } from "./name.ts";
import { parseCertificateUncached, type ParsedCertificate } from "./parse.ts";
import { pemToDer } from "./pem.ts";

/**
 * A few authorities are somebody's choice, and one that cannot be used is an error to be told. Longer lists are the
 * system's: one odd certificate in it must not stop everything, and parsing all would be in the way of starting.
 */
const EAGER = 16;

const LABELS = ["CERTIFICATE", "X509 CERTIFICATE"];

/** One anchor, parsed when it is first needed: of 150 default ones a process uses two. */
class Anchor {
  readonly der: Uint8Array;
  #certificate: ParsedCertificate | null | undefined;

  constructor(der: Uint8Array) {
    this.der = der;
  }

  /** null where it is no certificate we can read. */
  get certificate(): ParsedCertificate | null {
    if (this.#certificate === undefined) {
      try {
        this.#certificate = parseCertificateUncached(this.der);
      } catch {
        this.#certificate = null;
      }
    }
    return this.#certificate;
  }
}

/** Authorities, found by name. Immutable. */
export class TrustAnchors {
  readonly #bySubject = new Map<string, Anchor[]>();
  readonly size: number;

  /** Throws RangeError where one has no subject to be found by. */
  constructor(certificates: readonly Uint8Array[]) {
    let size = 0;
    for (const der of certificates) {
      const key = subjectOf(der).key;
      const same = this.#bySubject.get(key);
      if (same === undefined) this.#bySubject.set(key, [new Anchor(der)]);
      else if (same.some((anchor) => bytesEqual(anchor.der, der))) continue;
      else same.push(new Anchor(der));
      size++;
    }
    this.size = size;
  }

  /** Those whose subject is `name`. */
  named(name: DistinguishedName): ParsedCertificate[] {
    const out: ParsedCertificate[] = [];
    for (const anchor of this.#bySubject.get(name.key) ?? []) {
      if (anchor.certificate !== null) out.push(anchor.certificate);
    }
    return out;
  }

  /** Whether this very certificate is among them. */
  has(certificate: ParsedCertificate): boolean {
    const same = this.#bySubject.get(certificate.subject.key);
    return same !== undefined && same.some((anchor) => bytesEqual(anchor.der, certificate.raw));
  }
}

/** The subject alone. Throws RangeError. */
function subjectOf(der: Uint8Array): DistinguishedName {
  const [tbs] = readDer(readOne(der, DER_SEQUENCE).value);
  if (tbs?.tag !== DER_SEQUENCE) throw new RangeError("not a certificate");
  const fields = readDer(tbs.value);
  const subject = fields[fields[0]?.tag === 0xa0 ? 5 : 4];
  if (subject === undefined) throw new RangeError("not a certificate");
  return new DistinguishedName(subject.raw);
}

/** Reads authorities: PEM text (any number of certificates in each) or DER. Throws InvalidOptionError. */
export function loadTrustAnchors(items: readonly (string | Uint8Array)[], option = "ca"): TrustAnchors {
  const certificates: Uint8Array[] = [];
  items.forEach((item, i) => {
    const place = items.length === 1 ? "" : ` (entry ${i + 1} of ${items.length})`;
    if (typeof item !== "string" && !(item instanceof Uint8Array)) {
      throw new InvalidOptionError(option, `PEM text or DER bytes are needed${place}`);
    }
    let found: Uint8Array[];
    try {
      found = pemToDer(item, ...LABELS);
    } catch (error) {
      throw new InvalidOptionError(option, `${(error as Error).message}${place}`, error);
    }
    if (found.length === 0)
      throw new InvalidOptionError(option, `no "-----BEGIN CERTIFICATE-----" in it${place}`);
    for (const der of found) {
      try {
        subjectOf(der);
      } catch (error) {
        throw new InvalidOptionError(option, `not a certificate${place}: ${(error as Error).message}`, error);
      }
      certificates.push(der.slice());
    }
  });
  if (certificates.length <= EAGER) {
    for (const der of certificates) {
      try {
        parseCertificateUncached(der);
      } catch (error) {
        throw new InvalidOptionError(option, (error as Error).message, error);
      }
    }
  }
  return new TrustAnchors(certificates);
}
