// Certificate policies, rfc5280#6.1, for the question we have: does a valid policy remain where one is demanded? We
// start from any-policy and ask for no list, so that a set of policies per depth says as much as the RFC's tree.

import { ANY_POLICY } from "./extensions.ts";
import type { ParsedCertificate } from "./parse.ts";

/** Whether the path (from the one the anchor issued down to the leaf) has a valid policy, or needs none. */
export function policiesHold(path: readonly ParsedCertificate[]): boolean {
  // rfc5280#6.1.2 (d), (e), (f): no initial demands.
  let explicit = Infinity;
  let inhibitAny = Infinity;
  let inhibitMapping = Infinity;
  // The expected policies at this depth; null: the tree is NULL.
  let expected: Set<string> | null = new Set([ANY_POLICY]);
  for (let i = 0; i < path.length; i++) {
    const certificate = path[i]!;
    const last = i === path.length - 1;
    const own = certificate.extensions.policies;
    expected =
      own.policies.length === 0 || expected === null
        ? null
        : next(expected, own.policies, inhibitAny > 0 || (!last && certificate.selfIssued));
    // rfc5280#6.1.3 (f)
    if (explicit <= 0 && expected === null) return false;
    if (last) {
      // rfc5280#6.1.5 (a), (b)
      if (explicit !== 0) explicit--;
      if (own.requireExplicit === 0) explicit = 0;
      break;
    }
    // rfc5280#6.1.4 (b)
    if (own.mappings.length > 0 && expected !== null)
      expected = map(expected, own.mappings, inhibitMapping > 0);
    // rfc5280#6.1.4 (h): self-issued certificates do not count.
    if (!certificate.selfIssued) {
      if (explicit !== 0) explicit--;
      if (inhibitMapping !== 0) inhibitMapping--;
      if (inhibitAny !== 0) inhibitAny--;
    }
    // rfc5280#6.1.4 (i), (j)
    explicit = Math.min(explicit, own.requireExplicit);
    inhibitMapping = Math.min(inhibitMapping, own.inhibitMapping);
    inhibitAny = Math.min(inhibitAny, own.inhibitAny);
  }
  return explicit > 0 || expected !== null;
}

/** rfc5280#6.1.3 (d) */
function next(
  expected: ReadonlySet<string>,
  policies: readonly string[],
  anyCounts: boolean,
): Set<string> | null {
  const out = new Set<string>();
  for (const policy of policies) {
    if (policy !== ANY_POLICY && (expected.has(policy) || expected.has(ANY_POLICY))) out.add(policy);
  }
  if (anyCounts && policies.includes(ANY_POLICY)) for (const policy of expected) out.add(policy);
  return out.size === 0 ? null : out;
}

/** rfc5280#6.1.4 (b): from the issuer's policies to the subject's. */
function map(
  expected: ReadonlySet<string>,
  mappings: readonly (readonly [string, string])[],
  allowed: boolean,
): Set<string> | null {
  const out = new Set(expected);
  for (const [issuer] of mappings) out.delete(issuer);
  if (allowed) {
    for (const [issuer, subject] of mappings) {
      if (expected.has(issuer) || expected.has(ANY_POLICY)) out.add(subject);
    }
  }
  return out.size === 0 ? null : out;
}
