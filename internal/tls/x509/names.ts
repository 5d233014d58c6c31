// Name constraints, rfc5280#4.2.1.10: which names an authority may put into the certificates below it.

import { MAX_NAME_CONSTRAINT_CHECKS } from "../../protocol/limits.ts";
import type { GeneralName, NameConstraints } from "./general-name.ts";
import { formatIp, parseIp } from "./ip.ts";
import { ATTRIBUTE } from "./oid.ts";
import type { ParsedCertificate } from "./parse.ts";
import type { Refusal } from "./reasons.ts";

/** Comparisons made so far for one path. */
export interface ConstraintBudget {
  checks: number;
}

/** A name written down, for messages. */
export function describeName(name: GeneralName): string {
  switch (name.kind) {
    case "ip": {
      const half = name.value.length === 8 || name.value.length === 32 ? name.value.length / 2 : 0;
      if (half === 0) return `IP:${formatIp(name.value)}`;
      return `IP:${formatIp(name.value.subarray(0, half))}/${formatIp(name.value.subarray(half))}`;
    }
    case "directory":
      return `DirName:${name.value.toString()}`;
    case "other":
      return `name of type ${name.tag}`;
    default:
      return `${name.kind === "dns" ? "DNS" : name.kind === "uri" ? "URI" : "email"}:${name.value}`;
  }
}

const LABELS = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;

/** Lower-cased where it is a host name, else null. */
function host(text: string): string | null {
  const lower = text.toLowerCase();
  return lower.length <= 253 && LABELS.test(lower) ? lower : null;
}

/** Whether `name` is `domain` or has it as its last labels. */
function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

/**
 * rfc5280#4.2.1.10: "Any DNS name that can be constructed by simply adding zero or more labels to the left-hand side
 * of the name satisfies the name constraint." A leading period (which the RFC has for URIs alone) demands one more, as
 * everybody reads it. null: not a DNS name.
 */
function dnsMatches(constraint: string, name: string, excluded: boolean): boolean | null {
  const wildcard = name.startsWith("*.");
  const plain = host(wildcard ? name.slice(2) : name);
  if (plain === null) return null;
  const base = constraint.toLowerCase();
  if (base === "") return true;
  const domain = base.startsWith(".") ? base.slice(1) : base;
  if (base.startsWith(".") && plain === domain) return wildcard;
  if (isWithin(plain, domain)) return true;
  // "*.example.com" may stand for an excluded "bad.example.com".
  return (
    excluded && wildcard && domain.endsWith(`.${plain}`) && !domain.slice(0, -plain.length - 1).includes(".")
  );
}

/** A host against the host form of e-mail and URI constraints: exact, or with a leading period what lies below. */
function hostMatches(base: string, name: string): boolean {
  return base.startsWith(".") ? name.endsWith(base) && name.length > base.length : name === base;
}

function emailMatches(constraint: string, name: string): boolean | null {
  const at = name.lastIndexOf("@");
  const domain = at > 0 ? host(name.slice(at + 1)) : null;
  if (domain === null) return null;
  if (constraint === "") return true;
  const baseAt = constraint.lastIndexOf("@");
  if (baseAt < 0) return hostMatches(constraint.toLowerCase(), domain);
  // rfc5280#7.5: the local part is compared exactly, the host without regard to case.
  return (
    name.slice(0, at) === constraint.slice(0, baseAt) && domain === constraint.slice(baseAt + 1).toLowerCase()
  );
}

function uriMatches(constraint: string, name: string): boolean | null {
  // rfc5280#4.2.1.10: the constraint applies to the host part; a URI that has no authority, or whose host is an IP
  // address, MUST be rejected.
  const match = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?(\[[^\]]*\]|[^:/?#]*)(?::\d*)?(?:[/?#]|$)/i.exec(name);
  const authority = match?.[1] ?? "";
  if (authority === "" || parseIp(authority) !== null) return null;
  const domain = host(authority);
  if (domain === null) return null;
  return constraint === "" || hostMatches(constraint.toLowerCase(), domain);
}

function ipMatches(constraint: Uint8Array, name: Uint8Array): boolean {
  const size = constraint.length / 2;
  // An IPv4 range says nothing about IPv6 addresses, and the other way round: not within it.
  if (name.length !== size) return false;
  for (let i = 0; i < size; i++) {
    if (((constraint[i]! ^ name[i]!) & constraint[size + i]!) !== 0) return false;
  }
  return true;
}

/** Whether `name` lies in the subtree; null where it is so malformed that nothing can be said. */
function matches(constraint: GeneralName, name: GeneralName, excluded: boolean): boolean | null {
  if (constraint.kind === "dns" && name.kind === "dns")
    return dnsMatches(constraint.value, name.value, excluded);
  if (constraint.kind === "email" && name.kind === "email") return emailMatches(constraint.value, name.value);
  if (constraint.kind === "uri" && name.kind === "uri") return uriMatches(constraint.value, name.value);
  if (constraint.kind === "ip" && name.kind === "ip") return ipMatches(constraint.value, name.value);
  if (constraint.kind === "directory" && name.kind === "directory")
    return constraint.value.contains(name.value);
  return null;
}

function sameKind(a: GeneralName, b: GeneralName): boolean {
  return a.kind === b.kind && (a.kind !== "other" || (b.kind === "other" && a.tag === b.tag));
}

/** All names of a certificate that constraints apply to. */
function namesOf(certificate: ParsedCertificate): GeneralName[] {
  const { altNames } = certificate.extensions;
  const names: GeneralName[] = [...altNames];
  // rfc5280#4.2.1.10: directoryName constraints MUST be applied to a non-empty subject field.
  if (!certificate.subject.isEmpty) names.push({ kind: "directory", value: certificate.subject });
  // … and where there is no alternative name of type rfc822Name, to the emailAddress attributes of the subject. Common
  // names are nobody's identity here (rfc9525#2), so that there is nothing to constrain in them.
  if (!altNames.some((name) => name.kind === "email")) {
    for (const value of certificate.subject.values(ATTRIBUTE.emailAddress!))
      names.push({ kind: "email", value });
  }
  return names;
}

/** Why `certificate` violates the constraints of an authority above it, or null. rfc5280#6.1.3 (b), (c) */
export function checkNameConstraints(
  constraints: NameConstraints,
  certificate: ParsedCertificate,
  budget: ConstraintBudget,
): Refusal | null {
  for (const name of namesOf(certificate)) {
    let permitted: boolean | null = null;
    for (const list of [constraints.excluded, constraints.permitted]) {
      const excluded = list === constraints.excluded;
      for (const constraint of list) {
        if (++budget.checks > MAX_NAME_CONSTRAINT_CHECKS) {
          return { certificateReason: "CERT_CHAIN_TOO_LONG", reason: "too many name constraints to compare" };
        }
        if (!sameKind(constraint, name)) continue;
        // rfc5280#4.2.1.10: name forms that we cannot process and that occur: MUST reject the certificate.
        if (name.kind === "other") {
          return {
            certificateReason: "UNSUPPORTED_CONSTRAINT_TYPE",
            reason: `a name constraint of type ${name.tag} applies, which is not supported`,
          };
        }
        const match = matches(constraint, name, excluded);
        if (match === null) {
          return {
            certificateReason: excluded ? "EXCLUDED_VIOLATION" : "PERMITTED_VIOLATION",
            reason: `${describeName(name)} cannot be compared with the authority's name constraints`,
          };
        }
        if (excluded && match) {
          return {
            certificateReason: "EXCLUDED_VIOLATION",
            reason: `${describeName(name)} is excluded by the authority's name constraint ${describeName(constraint)}`,
          };
        }
        if (!excluded) permitted = permitted === true || match;
      }
    }
    if (permitted === false) {
      return {
        certificateReason: "PERMITTED_VIOLATION",
        reason: `${describeName(name)} is not among the names that the authority's name constraints permit`,
      };
    }
  }
  return null;
}
