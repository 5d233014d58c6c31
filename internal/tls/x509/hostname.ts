// Whether a certificate is the named server's: rfc9525 (which replaces rfc6125), by subjectAltName alone.

import { bytesEqual } from "../../protocol/bytes.ts";
import type { GeneralName } from "./general-name.ts";
import { formatIp, parseIp } from "./ip.ts";

/** As node:tls throws it: `code` is ERR_TLS_CERT_ALTNAME_INVALID. */
export class AltNameError extends Error {
  readonly code = "ERR_TLS_CERT_ALTNAME_INVALID";
  readonly reason: string;
  readonly host: string;

  constructor(reason: string, host: string) {
    super(`Hostname/IP does not match certificate's altnames: ${reason}`);
    this.reason = reason;
    this.host = host;
  }

  override get name(): string {
    return "AltNameError";
  }
}

/** A reference name as it is compared: lower-case A-labels without the root's period; null where it is no host name. */
export function normalizeHostname(name: string): string | null {
  const text = canonical(name);
  return text !== null && isHostname(text) ? text : null;
}

/** The same for a name with wildcards `*` in it, anywhere. */
export function hostnamePattern(pattern: string): string | null {
  const text = canonical(pattern);
  return text !== null && isHostname(text.replaceAll("*", "-")) ? text : null;
}

function canonical(name: string): string | null {
  let text = name;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) < 0x80) continue;
    // rfc9525#6.3 U-labels MUST be converted to A-labels before they are compared.
    try {
      text = new URL(`http://${text}/`).hostname;
    } catch {
      return null;
    }
    break;
  }
  text = text.toLowerCase();
  return text.endsWith(".") ? text.slice(0, -1) : text;
}

/** Letters, digits, hyphens, and the underscores seen in practice; labels of 1 to 63, 253 in all. */
function isHostname(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(text);
}

/** A presented DNS name against a normalized reference name. */
export function matchDnsName(pattern: string, reference: string): boolean {
  let presented = pattern.toLowerCase();
  if (presented.endsWith(".")) presented = presented.slice(0, -1);
  if (!presented.startsWith("*.")) return isHostname(presented) && presented === reference;
  // rfc9525#6.3 the wildcard character is the complete left-most label, and matches exactly one label. (Partial ones
  // such as "f*.example.com" were optional in rfc6125#6.4.3 and are not honoured.)
  const parent = presented.slice(2);
  const dot = reference.indexOf(".");
  // "*.com" would be every site below a top-level domain: refused, as node:tls does.
  return isHostname(parent) && parent.includes(".") && dot > 0 && reference.slice(dot + 1) === parent;
}

/** null where `altNames` are those of `hostname` (a DNS name or an IP address), else why not. */
export function matchHostname(hostname: string, altNames: readonly GeneralName[]): AltNameError | null {
  const ip = parseIp(hostname);
  if (ip !== null) {
    // rfc9525#6.4: octet by octet against iPAddress; a dNSName that spells an address is none.
    for (const name of altNames) if (name.kind === "ip" && bytesEqual(name.value, ip)) return null;
    const listed = altNames.filter((name) => name.kind === "ip").map((name) => formatIp(name.value));
    return new AltNameError(`IP: ${hostname} is not in the cert's list: ${listed.join(", ")}`, hostname);
  }
  const reference = normalizeHostname(hostname);
  if (reference === null) return new AltNameError(`"${hostname}" is not a host name`, hostname);
  const listed: string[] = [];
  for (const name of altNames) {
    if (name.kind !== "dns") continue;
    if (matchDnsName(name.value, reference)) return null;
    listed.push(`DNS:${name.value}`);
  }
  if (listed.length === 0) return new AltNameError("Cert does not contain a DNS name", hostname);
  return new AltNameError(`Host: ${hostname}. is not in the cert's altnames: ${listed.join(", ")}`, hostname);
}
