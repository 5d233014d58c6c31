// Certification paths, rfc5280#6: from the peer's certificate to an authority we trust. Certificates may come in any
// order and with superfluous ones among them; every way is tried, within bounds, until one holds.

import type { CryptoProvider } from "../../crypto/provider.ts";
import { bytesEqual } from "../../protocol/bytes.ts";
import { MAX_CHAIN_LENGTH, MAX_PATH_SIGNATURE_CHECKS } from "../../protocol/limits.ts";
import type { VerifyResult } from "../types.ts";
import { verifySignature, weakKey } from "./algorithms.ts";
import type { TrustAnchors } from "./anchors.ts";
import { KEY_USAGE } from "./extensions.ts";
import { matchHostname } from "./hostname.ts";
import { checkNameConstraints, type ConstraintBudget } from "./names.ts";
import { EKU } from "./oid.ts";
import { parseCertificate, type ParsedCertificate } from "./parse.ts";
import { PeerCertificate } from "./peer-certificate.ts";
import { policiesHold } from "./policy.ts";
import { REASON_ALERT, type CertificateReason, type Refusal } from "./reasons.ts";
import { isoTime } from "./time.ts";

export { loadTrustAnchors, TrustAnchors } from "./anchors.ts";
export type { PeerCertificate } from "./peer-certificate.ts";

/** As in node:tls: an Error where `certificate` is not `hostname`'s, undefined where it is. */
export type CheckServerIdentity = (hostname: string, certificate: PeerCertificate) => Error | undefined;

export interface VerifyChainInput {
  /** DER, leaf first; the rest in any order. */
  readonly chain: readonly Uint8Array[];
  readonly anchors: TrustAnchors;
  /** Unix ms. */
  readonly now: number;
  /** What the peer is. */
  readonly purpose: "server" | "client";
  /** The DNS name or IP address that a server's certificate must be for. Not looked at for clients. */
  readonly serverName: string | null;
  /** Replaces the comparison of names (and nothing else). */
  readonly checkServerIdentity?: CheckServerIdentity | undefined;
}

function refuse(certificateReason: CertificateReason, reason: string): Refusal {
  return { certificateReason, reason };
}

/** A certificate in a message. The text is the peer's: bounded. */
function describe(certificate: ParsedCertificate): string {
  const text = certificate.subject.toString();
  if (text === "") return "the certificate without a subject";
  return `the certificate "${text.length > 120 ? `${text.slice(0, 120)}…` : text}"`;
}

/** rfc5280#6.1.3 (a) (2), and what holds for every certificate of a path. */
function checkAlways(certificate: ParsedCertificate, now: number, leaf: boolean): Refusal | null {
  if (now < certificate.notBefore) {
    return refuse(
      "CERT_NOT_YET_VALID",
      `${describe(certificate)} is not valid before ${isoTime(certificate.notBefore)}`,
    );
  }
  // rfc5280#4.1.2.5: the period from notBefore through notAfter, inclusive; notAfter is a whole second.
  if (now >= certificate.notAfter + 1000) {
    return refuse(
      "CERT_HAS_EXPIRED",
      `${describe(certificate)} has expired on ${isoTime(certificate.notAfter)}`,
    );
  }
  // rfc5280#4.2 MUST reject the certificate if it encounters a critical extension it does not recognize.
  const [unknown] = certificate.extensions.unknownCritical;
  if (unknown !== undefined) {
    return refuse(
      "UNHANDLED_CRITICAL_EXTENSION",
      `${describe(certificate)} has the unknown critical extension ${unknown}`,
    );
  }
  const key = certificate.publicKey;
  if (key === null) {
    return refuse("UNSUPPORTED_KEY", `${describe(certificate)} has a public key of an unsupported kind`);
  }
  if (typeof key === "string")
    return refuse("UNSUPPORTED_KEY", `${describe(certificate)} cannot be used: ${key}`);
  const weakness = weakKey(key);
  if (weakness === null) return null;
  return refuse(
    leaf ? "EE_KEY_TOO_SMALL" : "CA_KEY_TOO_SMALL",
    `${describe(certificate)} is too weak: ${weakness}`,
  );
}

/** rfc5280#4.2.1.12: absent means any purpose, and so does anyExtendedKeyUsage. */
function serves(certificate: ParsedCertificate, purpose: "server" | "client"): boolean {
  const usage = certificate.extensions.extendedKeyUsage;
  if (usage === null) return true;
  return usage.includes(purpose === "server" ? EKU.serverAuth : EKU.clientAuth) || usage.includes(EKU.any);
}

function checkLeaf(leaf: ParsedCertificate, now: number, purpose: "server" | "client"): Refusal | null {
  const always = checkAlways(leaf, now, true);
  if (always !== null) return always;
  const { keyUsage } = leaf.extensions;
  // rfc8446#4.4.2.2: the digitalSignature bit MUST be set if the Key Usage extension is present.
  if (keyUsage !== null && (keyUsage & KEY_USAGE.digitalSignature) === 0) {
    return refuse(
      "INVALID_PURPOSE",
      `${describe(leaf)} is not for signing (key usage without digitalSignature)`,
    );
  }
  if (!serves(leaf, purpose)) {
    return refuse("INVALID_PURPOSE", `${describe(leaf)} is not for TLS ${purpose}s (extended key usage)`);
  }
  return null;
}

/** rfc5280#6.1.4 (k), (l), (m), (n): whether `authority` may have issued the last of `path`. */
function checkAuthority(
  authority: ParsedCertificate,
  path: readonly ParsedCertificate[],
  now: number,
  purpose: "server" | "client",
  anchor: boolean,
): Refusal | null {
  const always = checkAlways(authority, now, false);
  if (always !== null) return always;
  const { basicConstraints, keyUsage } = authority.extensions;
  if (basicConstraints === null) {
    // Roots of version 1 had no way to say so: being trusted says it. rfc5280#6.1.4 (k) "out-of-band".
    const believed = anchor && (authority.version !== 3 || keyUsage !== null);
    if (!believed)
      return refuse("INVALID_CA", `${describe(authority)} is not an authority's (no basic constraints)`);
  } else if (!basicConstraints.ca) {
    return refuse("INVALID_CA", `${describe(authority)} is not an authority's (basic constraints)`);
  } else {
    // rfc5280#4.2.1.9: the leaf does not count, nor do self-issued certificates in between.
    const below = path.reduce(
      (count, certificate, i) => count + (i > 0 && !certificate.selfIssued ? 1 : 0),
      0,
    );
    if (below > basicConstraints.pathLength) {
      const allowed = basicConstraints.pathLength;
      return refuse(
        "PATH_LENGTH_EXCEEDED",
        `${describe(authority)} allows ${allowed} authorities below it, not ${below}`,
      );
    }
  }
  if (keyUsage !== null && (keyUsage & KEY_USAGE.keyCertSign) === 0) {
    return refuse(
      "INVALID_CA",
      `${describe(authority)} may not sign certificates (key usage without keyCertSign)`,
    );
  }
  if (!serves(authority, purpose)) {
    return refuse(
      "INVALID_PURPOSE",
      `${describe(authority)} may not issue for TLS ${purpose}s (extended key usage)`,
    );
  }
  return null;
}

/** Whether key identifiers speak against `authority` having issued `certificate`. They are hints: rfc5280#4.2.1.1. */
function identifiersDiffer(certificate: ParsedCertificate, authority: ParsedCertificate): boolean {
  const wanted = certificate.extensions.authorityKeyIdentifier;
  const have = authority.extensions.subjectKeyIdentifier;
  return wanted !== null && have !== null && !bytesEqual(wanted, have);
}

/** Signatures that held, so that an intermediate is checked against its root once and not per connection. */
const verified = new WeakMap<CryptoProvider, WeakMap<ParsedCertificate, WeakSet<ParsedCertificate>>>();

/** The more a refusal tells, the higher: the most telling one is reported. */
const NO_ISSUER = 1;
const SELF_SIGNED = 2;
const BAD_SIGNATURE = 3;
const NOT_ALLOWED = 4;

class PathSearch {
  readonly #provider: CryptoProvider;
  readonly #input: VerifyChainInput;
  readonly #candidates: readonly ParsedCertificate[];
  readonly #constraints: ConstraintBudget = { checks: 0 };
  readonly #failed = new Map<ParsedCertificate, Set<ParsedCertificate>>();
  #signatureChecks = 0;
  #exhausted = false;
  #best: Refusal | null = null;
  #rank = 0;

  constructor(provider: CryptoProvider, input: VerifyChainInput, candidates: readonly ParsedCertificate[]) {
    this.#provider = provider;
    this.#input = input;
    this.#candidates = candidates;
  }

  /** From the leaf to the anchor, or why there is no way. */
  run(leaf: ParsedCertificate): ParsedCertificate[] | Refusal {
    // Trusted itself: nobody needs to vouch for it.
    if (this.#input.anchors.has(leaf)) return [leaf];
    const path = [leaf];
    if (this.#extend(path)) return path;
    if (this.#exhausted) {
      return refuse(
        "CERT_CHAIN_TOO_LONG",
        `no trusted path was found in ${MAX_PATH_SIGNATURE_CHECKS} signature checks`,
      );
    }
    return this.#best ?? refuse("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "no trusted path was found");
  }

  #note(rank: number, refusal: Refusal): void {
    if (rank <= this.#rank) return;
    this.#rank = rank;
    this.#best = refusal;
  }

  #extend(path: ParsedCertificate[]): boolean {
    const current = path[path.length - 1]!;
    const { anchors, now } = this.#input;
    const trusted = anchors.named(current.issuer);
    const given = this.#candidates.filter(
      (candidate) =>
        candidate.subject.equals(current.issuer) &&
        // rfc4158#5.2: the same name with the same key twice is a loop, whatever the certificate.
        !path.some((have) => bytesEqual(have.spki, candidate.spki) && have.subject.equals(candidate.subject)),
    );
    if (trusted.length === 0 && given.length === 0) {
      this.#deadEnd(current, path.length - 1);
      return false;
    }
    const order = (list: readonly ParsedCertificate[], anchor: boolean) =>
      list.map((certificate) => ({
        certificate,
        anchor,
        cost:
          (identifiersDiffer(current, certificate) ? 4 : 0) +
          (now < certificate.notBefore || now > certificate.notAfter ? 2 : 0) +
          (anchor ? 0 : 1),
      }));
    const candidates = [...order(trusted, true), ...order(given, false)].sort((a, b) => a.cost - b.cost);
    for (const { certificate, anchor } of candidates) {
      if (this.#exhausted) return false;
      if (this.#step(path, certificate, anchor)) return true;
    }
    return false;
  }

  /** Tries `authority` as the issuer of the last of `path`. */
  #step(path: ParsedCertificate[], authority: ParsedCertificate, anchor: boolean): boolean {
    const { now, purpose } = this.#input;
    const current = path[path.length - 1]!;
    // An anchor that came along in the chain is met as an anchor.
    if (!anchor && this.#input.anchors.has(authority)) return false;
    const refusal =
      checkAuthority(authority, path, now, purpose, anchor) ?? this.#checkConstraints(authority, path);
    if (refusal !== null) {
      this.#note(NOT_ALLOWED, refusal);
      return false;
    }
    if (!this.#checkSignature(current, authority)) return false;
    if (anchor) {
      if (policiesHold(path.slice().reverse())) {
        path.push(authority);
        return true;
      }
      this.#note(
        NOT_ALLOWED,
        refuse("NO_EXPLICIT_POLICY", "the path has no certificate policy, and one is demanded"),
      );
      return false;
    }
    path.push(authority);
    if (this.#extend(path)) return true;
    path.pop();
    return false;
  }

  /** rfc5280#6.1.3 (b), (c): all below, self-issued ones excepted unless it is the final certificate. */
  #checkConstraints(authority: ParsedCertificate, path: readonly ParsedCertificate[]): Refusal | null {
    const constraints = authority.extensions.nameConstraints;
    if (constraints === null) return null;
    for (let i = 0; i < path.length; i++) {
      if (i > 0 && path[i]!.selfIssued) continue;
      const refusal = checkNameConstraints(constraints, path[i]!, this.#constraints);
      if (refusal !== null) return refusal;
    }
    return null;
  }

  /** rfc5280#6.1.3 (a) (1) */
  #checkSignature(certificate: ParsedCertificate, authority: ParsedCertificate): boolean {
    const { signatureAlgorithm: algorithm } = certificate;
    // rfc5280#4.1.1.2: the field MUST contain the same algorithm identifier as the signature field in tbsCertificate.
    if (!certificate.signatureAlgorithmsAgree) {
      const reason = `${describe(certificate)} names two different signature algorithms`;
      this.#note(NOT_ALLOWED, refuse("CERT_SIGNATURE_FAILURE", reason));
      return false;
    }
    if (algorithm.kind === "weak") {
      const reason = `${describe(certificate)} is signed with ${algorithm.name}, which can be forged`;
      this.#note(NOT_ALLOWED, refuse("CA_MD_TOO_WEAK", reason));
      return false;
    }
    if (algorithm.kind === "unknown") {
      const reason = `${describe(certificate)} is signed with an unsupported algorithm: ${algorithm.name}`;
      this.#note(NOT_ALLOWED, refuse("UNSUPPORTED_SIGNATURE_ALGORITHM", reason));
      return false;
    }
    if (this.#verify(certificate, authority)) return true;
    // With another key identifier it is another authority of the same name.
    if (this.#exhausted || identifiersDiffer(certificate, authority)) {
      this.#note(NO_ISSUER, this.#noIssuer(certificate));
    } else {
      const reason = `the signature of ${describe(certificate)} is not its issuer's`;
      this.#note(BAD_SIGNATURE, refuse("CERT_SIGNATURE_FAILURE", reason));
    }
    return false;
  }

  #verify(certificate: ParsedCertificate, authority: ParsedCertificate): boolean {
    let byCertificate = verified.get(this.#provider);
    if (byCertificate === undefined) verified.set(this.#provider, (byCertificate = new WeakMap()));
    let issuers = byCertificate.get(certificate);
    if (issuers?.has(authority) === true) return true;
    let failed = this.#failed.get(certificate);
    if (failed?.has(authority) === true) return false;
    if (++this.#signatureChecks > MAX_PATH_SIGNATURE_CHECKS) {
      this.#exhausted = true;
      return false;
    }
    const key = authority.publicKey;
    const holds =
      key !== null &&
      typeof key !== "string" &&
      verifySignature(
        this.#provider,
        certificate.signatureAlgorithm,
        key,
        authority.spki,
        certificate.tbs,
        certificate.signature,
      );
    if (holds) {
      if (issuers === undefined) byCertificate.set(certificate, (issuers = new WeakSet()));
      issuers.add(authority);
    } else {
      if (failed === undefined) this.#failed.set(certificate, (failed = new Set()));
      failed.add(authority);
    }
    return holds;
  }

  #noIssuer(certificate: ParsedCertificate): Refusal {
    const issuer = certificate.issuer.toString().slice(0, 120);
    return refuse(
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      `the issuer of ${describe(certificate)}, "${issuer}", is neither trusted nor in the peer's chain`,
    );
  }

  /** Nobody has the issuer's name. */
  #deadEnd(certificate: ParsedCertificate, depth: number): void {
    if (!certificate.selfIssued) {
      this.#note(NO_ISSUER, this.#noIssuer(certificate));
    } else if (depth === 0) {
      const reason = `${describe(certificate)} is self-signed and not trusted`;
      this.#note(SELF_SIGNED, refuse("DEPTH_ZERO_SELF_SIGNED_CERT", reason));
    } else {
      const reason = `the chain ends in ${describe(certificate)}, which is self-signed and not trusted`;
      this.#note(SELF_SIGNED, refuse("SELF_SIGNED_CERT_IN_CHAIN", reason));
    }
  }
}

/** The path from the leaf to the anchor, or why there is none. Names are not compared here. */
export function buildPath(provider: CryptoProvider, input: VerifyChainInput): ParsedCertificate[] | Refusal {
  const [first, ...rest] = input.chain;
  if (first === undefined) return refuse("CERT_MALFORMED", "the peer's chain is empty");
  if (input.chain.length > MAX_CHAIN_LENGTH) {
    return refuse(
      "CERT_CHAIN_TOO_LONG",
      `${input.chain.length} certificates in the chain, and ${MAX_CHAIN_LENGTH} are the most`,
    );
  }
  let leaf: ParsedCertificate;
  try {
    leaf = parseCertificate(first);
  } catch (error) {
    return refuse("CERT_MALFORMED", (error as Error).message);
  }
  const refusal = checkLeaf(leaf, input.now, input.purpose);
  if (refusal !== null) return refusal;
  const candidates: ParsedCertificate[] = [];
  let unreadable = "";
  rest.forEach((der, i) => {
    try {
      const certificate = parseCertificate(der);
      if (!candidates.includes(certificate)) candidates.push(certificate);
    } catch (error) {
      // Not needed, perhaps. Where it is, the message says so.
      unreadable = ` (certificate ${i + 2} of the chain: ${(error as Error).message})`;
    }
  });
  const path = new PathSearch(provider, input, candidates).run(leaf);
  if ("reason" in path && unreadable !== "") return { ...path, reason: path.reason + unreadable };
  return path;
}

/** rfc9525#6, or what the user has instead. */
function checkIdentity(
  provider: CryptoProvider,
  input: VerifyChainInput,
  leaf: ParsedCertificate,
): VerifyResult {
  const { serverName, checkServerIdentity } = input;
  let error: unknown;
  if (checkServerIdentity !== undefined) {
    try {
      error = checkServerIdentity(serverName ?? "", new PeerCertificate(leaf, provider));
    } catch (thrown) {
      error = thrown ?? new Error("checkServerIdentity failed");
    }
  } else if (serverName === null) {
    error = new Error("there is no name to verify the certificate against; set servername");
  } else {
    error = matchHostname(serverName, leaf.extensions.altNames);
  }
  if (!error) return { ok: true };
  const code = (error as { code?: unknown }).code;
  return {
    ok: false,
    alert: REASON_ALERT.ERR_TLS_CERT_ALTNAME_INVALID,
    reason: error instanceof Error ? error.message : String(error),
    certificateReason: typeof code === "string" ? code : "ERR_TLS_CERT_ALTNAME_INVALID",
  };
}

/** Whether the peer is who it says, by RFC 5280 and RFC 9525. Never throws. */
export function verifyChain(provider: CryptoProvider, input: VerifyChainInput): VerifyResult {
  const path = buildPath(provider, input);
  if ("reason" in path) {
    return {
      ok: false,
      alert: REASON_ALERT[path.certificateReason],
      reason: path.reason,
      certificateReason: path.certificateReason,
    };
  }
  return input.purpose === "server" ? checkIdentity(provider, input, path[0]!) : { ok: true };
}
