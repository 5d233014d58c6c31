// The Alt-Svc field: how clients of HTTP/1 and HTTP/2 learn of HTTP/3. rfc7838, rfc9114#3.1.1

/** Options of {@link altSvc}. */
export interface AltSvcOptions {
  /** UDP port of the HTTP/3 server. */
  readonly port: number;
  /** Another host than that of the answer. */
  readonly host?: string;
  /** Seconds for which clients may remember it. Default 86,400. */
  readonly maxAge?: number;
  /** Whether it holds on when the client changes networks. Default false. */
  readonly persist?: boolean;
  /** ALPN protocol names. Default `h3`. */
  readonly protocols?: readonly string[];
}

/** ALPN names in the form of Alt-Svc: percent-encoded tokens. rfc7838#3 */
const protocolId = (name: string) =>
  encodeURIComponent(name).replace(/[()]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);

/**
 * The value of an Alt-Svc field: an HTTP/1 or HTTP/2 server of the same origin sends it so that clients come here.
 *
 * @throws {RangeError} for what is no port or no age
 *
 * @example
 * import { altSvc } from "quic-ts/http3";
 * const value = altSvc({ port: 443 }); // h3=":443"; ma=86400
 */
export function altSvc(options: AltSvcOptions): string {
  const { port, host = "", maxAge = 86_400, persist = false, protocols = ["h3"] } = options;
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new RangeError(`a port from 1 to 65535, not ${port}`);
  if (!Number.isInteger(maxAge) || maxAge < 0) throw new RangeError(`seconds from 0, not ${maxAge}`);
  const authority = `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
  if (/["\\\s]/.test(authority)) throw new RangeError(`${JSON.stringify(host)} is no host`);
  return protocols
    .map((name) => `${protocolId(name)}="${authority}"; ma=${maxAge}${persist ? "; persist=1" : ""}`)
    .join(", ");
}

/** The value that makes clients forget what they were told. rfc7838#3 */
export const ALT_SVC_CLEAR = "clear";
