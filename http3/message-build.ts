// Sections to be sent, held to the rules that received ones are.

import { InvalidFieldError, MalformedMessageError } from "./errors.ts";
import { parseContentLength } from "./fields.ts";
import { checkRequest, checkResponse, checkTrailers } from "./message-head.ts";
import type { Field } from "./qpack/field.ts";

/** A request to be sent. */
export interface RequestToSend {
  readonly method: string;
  /** Absent with CONNECT alone. */
  readonly scheme?: string;
  /** Host and port; absent where the scheme has none. */
  readonly authority?: string;
  /** Path and query; absent with CONNECT alone. */
  readonly path?: string;
  /** Of extended CONNECT; only where the server said SETTINGS_ENABLE_CONNECT_PROTOCOL. rfc9220#3 */
  readonly protocol?: string;
  readonly fields?: readonly Field[];
}

/** rfc9114#4.2 Characters in field names MUST be converted to lowercase prior to their encoding. */
function lower(fields: readonly Field[]): Field[] {
  return fields.map((field) => {
    const name = field.name.toLowerCase();
    return name === field.name ? field : { ...field, name };
  });
}

/** What is malformed received is the caller's mistake here. */
function checked(section: Field[], check: (section: readonly Field[]) => unknown): Field[] {
  try {
    check(section);
  } catch (error) {
    if (!(error instanceof MalformedMessageError)) throw error;
    throw new InvalidFieldError(`the message cannot be sent: ${error.message}`);
  }
  return section;
}

/**
 * A request's header section.
 *
 * rfc9114#4.2 An endpoint MUST NOT generate an HTTP/3 field section containing connection-specific fields: they are
 * refused, not dropped.
 * rfc9114#4.3 Endpoints MUST NOT generate pseudo-header fields other than those defined in this document.
 *
 * @throws {InvalidFieldError} where a receiver would call it malformed
 */
export function requestSection(request: RequestToSend): Field[] {
  const section: Field[] = [];
  const say = (name: string, value: string | undefined) => {
    if (value !== undefined) section.push({ name, value });
  };
  say(":method", request.method);
  say(":scheme", request.scheme);
  // rfc9114#4.3.1 If the scheme does not have a mandatory authority component and none is provided in the request target, the
  // request MUST NOT contain the :authority pseudo-header or Host header fields.
  say(":authority", request.authority);
  say(":path", request.path);
  say(":protocol", request.protocol);
  section.push(...lower(request.fields ?? []));
  return checked(section, (all) => checkRequest(all, { extendedConnect: request.protocol !== undefined }));
}

/**
 * A response's header section.
 *
 * @throws {InvalidFieldError} where a receiver would call it malformed
 */
export function responseSection(status: number, fields: readonly Field[] = []): Field[] {
  return checked([{ name: ":status", value: String(status) }, ...lower(fields)], checkResponse);
}

/**
 * A trailer section.
 *
 * @throws {InvalidFieldError} where a receiver would call it malformed
 */
export function trailerSection(fields: readonly Field[]): Field[] {
  return checked(lower(fields), checkTrailers);
}

/** What a section that is to be sent says of the content's length; null where it says nothing. */
export function contentLengthOf(fields: readonly Field[]): number | null {
  for (const { name, value } of fields) if (name === "content-length") return parseContentLength(value);
  return null;
}
