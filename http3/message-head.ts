// The beginning of a request or response: pseudo-header fields and what they demand. rfc9114#4.3, rfc9114#4.4, rfc9220

import { MalformedMessageError } from "./errors.ts";
import { checkField, isToken, joinCookies, parseContentLength, shown } from "./fields.ts";
import type { Field } from "./qpack/field.ts";

/** A request's header section, checked. */
export interface RequestHead {
  readonly method: string;
  /** Lower case. Empty with CONNECT. */
  readonly scheme: string;
  /** Of `:authority`, else of Host; empty where there is neither. */
  readonly authority: string;
  /** Path and query. Empty with CONNECT. */
  readonly path: string;
  /** Of extended CONNECT (rfc9220#3), else null. */
  readonly protocol: string | null;
  /** The fields, without pseudo-header fields, cookies in one line. */
  readonly fields: readonly Field[];
  /** Of Content-Length, or null. */
  readonly contentLength: number | null;
}

/** A response's header section, checked. */
export interface ResponseHead {
  /** 100 to 999. */
  readonly status: number;
  readonly fields: readonly Field[];
  readonly contentLength: number | null;
}

/** What is known about a connection when it checks requests. */
export interface RequestRules {
  /** Whether this server announced SETTINGS_ENABLE_CONNECT_PROTOCOL. Default false. */
  readonly extendedConnect?: boolean;
}

/** The pseudo-header fields of requests, by name: where in the record they stand. */
const REQUEST_PSEUDO = [":method", ":scheme", ":authority", ":path", ":protocol"] as const;
const RESPONSE_PSEUDO = [":status"] as const;

/**
 * Takes the pseudo-header fields off a section's beginning, and checks all the others.
 *
 * @returns their values in the order of `names`, undefined where absent; and the rest
 */
function split(
  fields: readonly Field[],
  names: readonly string[],
  te: boolean,
): { pseudo: (string | undefined)[]; rest: readonly Field[] } {
  const pseudo = new Array<string | undefined>(names.length).fill(undefined);
  let at = 0;
  for (; at < fields.length; at++) {
    const { name, value } = fields[at]!;
    if (name.charCodeAt(0) !== 0x3a) break;
    const which = names.indexOf(name);
    // rfc9114#4.3 Endpoints MUST treat a request or response that contains undefined or invalid pseudo-header fields as
    // malformed.
    // rfc9114#4.3 Pseudo-header fields defined for requests MUST NOT appear in responses; pseudo-header fields defined for
    // responses MUST NOT appear in requests.
    if (which < 0) throw new MalformedMessageError("pseudo-undefined", `${shown(name)} is not defined here`);
    // rfc9114#4.3.1 All HTTP/3 requests MUST include exactly one value for the :method, :scheme, and :path pseudo-header
    // fields.
    if (pseudo[which] !== undefined)
      throw new MalformedMessageError("pseudo-duplicate", `${name} is there twice`);
    pseudo[which] = value;
  }
  const begin = at;
  for (; at < fields.length; at++) {
    const field = fields[at]!;
    // rfc9114#4.3 Any request or response that contains a pseudo-header field that appears in a header section after a
    // regular header field MUST be treated as malformed.
    if (field.name.charCodeAt(0) === 0x3a) {
      throw new MalformedMessageError("pseudo-after-field", `${shown(field.name)} comes after a field`);
    }
    checkField(field, te);
  }
  return { pseudo, rest: begin === 0 ? fields : fields.slice(begin) };
}

function contentLengthOf(fields: readonly Field[]): number | null {
  let length: number | null = null;
  for (const { name, value } of fields) {
    if (name !== "content-length") continue;
    if (length !== null) throw new MalformedMessageError("content-length", "content-length is there twice");
    length = parseContentLength(value);
  }
  return length;
}

/** scheme. rfc3986#3.1 */
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
/** host [ ":" port ], rfc3986#3.2, without user information. */
const AUTHORITY =
  /^(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]*)?$/;
/** The authority of a CONNECT: with a port. rfc9110#7.1 */
const WITH_PORT = /:[0-9]{1,5}$/;
/** path-absolute [ "?" query ] in visible ASCII. Browsers leave some chars as they are that a strict URI would escape. */
const PATH = /^\/[\x21\x22\x24-\x7e]*$/;
/** Anything a URI can have. */
const ANY_PATH = /^[\x21\x22\x24-\x7e]*$/;

/**
 * Checks a request's header section: a PUSH_PROMISE's too.
 *
 * rfc9114#4.3.1 An HTTP request that omits mandatory pseudo-header fields or contains invalid values for those
 * pseudo-header fields is malformed.
 *
 * @throws {MalformedMessageError}
 */
export function checkRequest(section: readonly Field[], rules: RequestRules = {}): RequestHead {
  const { pseudo, rest } = split(section, REQUEST_PSEUDO, true);
  const [method, scheme, authority, path, protocol] = pseudo;
  if (method === undefined) throw missing(":method");
  if (!isToken(method)) throw new MalformedMessageError("method", `${shown(method)} is no method`);
  if (protocol !== undefined) checkProtocol(method, protocol, rules);

  const fields = joinCookies(rest);
  const contentLength = contentLengthOf(fields);
  const host = hostOf(fields);
  if (method === "CONNECT" && protocol === undefined) {
    // rfc9114#4.4 A CONNECT request MUST be constructed as follows: the :scheme and :path pseudo-header fields are omitted,
    // the :authority pseudo-header field contains the host and port to connect to.
    if (scheme !== undefined || path !== undefined) {
      throw new MalformedMessageError("pseudo-not-allowed", "CONNECT has neither :scheme nor :path");
    }
    if (authority === undefined) throw missing(":authority");
    if (!AUTHORITY.test(authority) || !WITH_PORT.test(authority)) {
      throw new MalformedMessageError(
        "authority",
        `CONNECT to ${shown(authority)}, which is no host and port`,
      );
    }
    return { method, scheme: "", authority, path: "", protocol: null, fields, contentLength };
  }

  if (scheme === undefined) throw missing(":scheme");
  if (path === undefined) throw missing(":path");
  if (!SCHEME.test(scheme)) throw new MalformedMessageError("scheme", `${shown(scheme)} is no scheme`);
  const lower = scheme.toLowerCase();
  checkPath(method, lower, path);
  return {
    method,
    scheme: lower,
    authority: checkAuthority(lower, authority, host, protocol !== undefined),
    path,
    protocol: protocol ?? null,
    fields,
    contentLength,
  };
}

function missing(name: string): MalformedMessageError {
  return new MalformedMessageError("pseudo-missing", `${name} is missing`);
}

/** rfc9220#3, rfc8441#4 */
function checkProtocol(method: string, protocol: string, rules: RequestRules): void {
  if (method !== "CONNECT" || rules.extendedConnect !== true) {
    throw new MalformedMessageError(
      "pseudo-not-allowed",
      `:protocol with ${method}, which was not agreed upon`,
    );
  }
  if (!/^[^/]+(\/[^/]+)?$/.test(protocol) || !protocol.split("/").every(isToken)) {
    throw new MalformedMessageError("protocol", `${shown(protocol)} is no protocol`);
  }
}

function hostOf(fields: readonly Field[]): string | undefined {
  let host: string | undefined;
  for (const { name, value } of fields) {
    if (name !== "host") continue;
    if (host !== undefined) throw new MalformedMessageError("host-duplicate", "host is there twice");
    host = value;
  }
  return host;
}

function checkPath(method: string, scheme: string, path: string): void {
  const web = scheme === "https" || scheme === "http";
  // rfc9114#4.3.1 This pseudo-header field MUST NOT be empty for "http" or "https" URIs; "http" or "https" URIs that do not
  // contain a path component MUST include a value of /. An OPTIONS request that does not include a path component
  // includes the value *.
  const good = web ? PATH.test(path) || (path === "*" && method === "OPTIONS") : ANY_PATH.test(path);
  if (!good) throw new MalformedMessageError("path", `${shown(path)} is no path`);
}

function checkAuthority(
  scheme: string,
  authority: string | undefined,
  host: string | undefined,
  extended: boolean,
): string {
  const web = scheme === "https" || scheme === "http";
  // rfc8441#4: extended CONNECT has an :authority.
  if (extended && authority === undefined) throw missing(":authority");
  const value = authority ?? host;
  if (value === undefined) {
    // rfc9114#4.3.1 If the :scheme pseudo-header field identifies a scheme that has a mandatory authority component
    // (including "http" and "https"), the request MUST contain either an :authority pseudo-header field or a Host header
    // field.
    if (web) throw missing(":authority");
    return "";
  }
  // rfc9114#4.3.1 If these fields are present, they MUST NOT be empty.
  // rfc9114#4.3.1 The authority MUST NOT include the deprecated userinfo subcomponent for URIs of scheme "http" or "https".
  const good = web ? AUTHORITY.test(value) : value !== "" && ANY_PATH.test(value);
  if (!good) throw new MalformedMessageError("authority", `${shown(value)} is no authority`);
  // rfc9114#4.3.1 If both fields are present, they MUST contain the same value.
  if (authority !== undefined && host !== undefined && authority.toLowerCase() !== host.toLowerCase()) {
    throw new MalformedMessageError(
      "authority-mismatch",
      `:authority is ${shown(authority)} and host ${shown(host)}`,
    );
  }
  return value;
}

/**
 * Checks a response's header section.
 *
 * rfc9114#4.3.2 This pseudo-header field MUST be included in all responses; otherwise, the response is malformed.
 *
 * @throws {MalformedMessageError}
 */
export function checkResponse(section: readonly Field[]): ResponseHead {
  const { pseudo, rest } = split(section, RESPONSE_PSEUDO, false);
  const [status] = pseudo;
  if (status === undefined) throw missing(":status");
  // rfc9114#4.5 HTTP/3 does not support 101 (Switching Protocols).
  if (!/^[1-9][0-9]{2}$/.test(status) || status === "101") {
    throw new MalformedMessageError("status", `${shown(status)} is no status`);
  }
  return { status: Number(status), fields: rest, contentLength: contentLengthOf(rest) };
}

/**
 * Checks a trailer section.
 *
 * rfc9114#4.3 Pseudo-header fields MUST NOT appear in trailer sections.
 *
 * @throws {MalformedMessageError}
 */
export function checkTrailers(section: readonly Field[]): readonly Field[] {
  for (const field of section) {
    if (field.name.charCodeAt(0) === 0x3a) {
      throw new MalformedMessageError("pseudo-in-trailer", `${shown(field.name)} is in the trailers`);
    }
    checkField(field, false);
  }
  return section;
}
