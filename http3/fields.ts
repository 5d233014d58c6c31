// The fields of a message: which names and values may stand in HTTP/3. rfc9114#4.2, rfc9110#5

import { MalformedMessageError } from "./errors.ts";
import type { Field } from "./qpack/field.ts";
import { STATIC_NAMES } from "./qpack/static-table.ts";

/** By char: 1 where it may stand in a field name as HTTP/3 has them: a token without capitals. rfc9110#5.6.2 */
const NAME_CHARS = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") NAME_CHARS[char.charCodeAt(0)] = 1;

/** By char: 1 where it may stand in a field value: visible, space, tab, or above ASCII. rfc9110#5.5 */
const VALUE_CHARS = new Uint8Array(256).fill(1, 0x20);
VALUE_CHARS[0x09] = 1;
VALUE_CHARS[0x7f] = 0;

/** By char: 1 where it may stand in a method: a token. rfc9110#9.1 */
const TOKEN_CHARS = Uint8Array.from(NAME_CHARS);
TOKEN_CHARS.fill(1, 0x41, 0x5b);

/** Fields about one connection of HTTP/1. rfc9114#4.2, rfc9110#7.6.1 */
const CONNECTION_SPECIFIC = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

function only(allowed: Uint8Array, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (allowed[text.charCodeAt(i)] !== 1) return false;
  return true;
}

/** Whether a string is a token, as methods and protocols are. rfc9110#5.6.2 */
export function isToken(text: string): boolean {
  return text.length > 0 && only(TOKEN_CHARS, text);
}

/** For messages: a string's beginning, with what cannot be shown shown as escapes. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/**
 * One field that is no pseudo-header field.
 *
 * @param te - whether TE may stand here: in requests
 * @throws {MalformedMessageError}
 */
export function checkField(field: Field, te: boolean): void {
  const { name, value } = field;
  // What the static table names is well formed.
  if (!STATIC_NAMES.has(name)) checkName(name, value, te);
  checkValue(name, value);
}

function checkName(name: string, value: string, te: boolean): void {
  if (name.length === 0) throw new MalformedMessageError("name-empty", "a field has no name");
  if (!only(NAME_CHARS, name)) {
    // rfc9114#4.2 A request or response containing uppercase characters in field names MUST be treated as malformed.
    if (/[A-Z]/.test(name)) {
      throw new MalformedMessageError("name-uppercase", `the field name ${shown(name)} has capitals`);
    }
    // rfc9114#10.3 Requests or responses containing invalid field names MUST be treated as malformed.
    throw new MalformedMessageError("name-character", `${shown(name)} is no field name`);
  }
  // rfc9114#4.2 any message containing connection-specific fields MUST be treated as malformed.
  // rfc9114#4.1 the Transfer-Encoding header field MUST NOT be used.
  if (CONNECTION_SPECIFIC.has(name)) {
    throw new MalformedMessageError("connection-specific", `${name} has no place in HTTP/3`);
  }
  // rfc9114#4.2 when it is, it MUST NOT contain any value other than "trailers".
  if (name === "te" && (!te || value.toLowerCase() !== "trailers")) {
    throw new MalformedMessageError(
      "te",
      `te: ${shown(value)}, where "trailers" alone may stand in requests`,
    );
  }
}

function checkValue(name: string, value: string): void {
  // rfc9114#10.3 Any request or response that contains a character not permitted in a field value MUST be treated as
  // malformed.
  if (!only(VALUE_CHARS, value)) {
    throw new MalformedMessageError("value-character", `${name} has a control character in ${shown(value)}`);
  }
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(value.length - 1);
  // The field-content rule of rfc9110#5.5 begins and ends with what is no white space.
  if (first === 0x20 || first === 0x09 || last === 0x20 || last === 0x09) {
    throw new MalformedMessageError("value-whitespace", `${name} has white space around ${shown(value)}`);
  }
}

/**
 * The value of a Content-Length field. rfc9110#8.6
 *
 * @throws {MalformedMessageError} where it is no number below 2^53; lists of the same number are refused too
 */
export function parseContentLength(value: string): number {
  if (!/^[0-9]{1,16}$/.test(value) || !Number.isSafeInteger(Number(value))) {
    throw new MalformedMessageError("content-length", `content-length: ${shown(value)} is no length`);
  }
  return Number(value);
}

/** The lines of a field as one list, or null where there are none. rfc9110#5.3 */
export function linesOf(fields: readonly Field[], name: string): string | null {
  let lines: string | null = null;
  for (const field of fields) {
    if (field.name === name) lines = lines === null ? field.value : `${lines}, ${field.value}`;
  }
  return lines;
}

/**
 * Joins the lines a Cookie field may come in, in place of the first.
 *
 * rfc9114#4.2.1 If a decompressed field section contains multiple cookie field lines, these MUST be concatenated into a
 * single byte string using the two-byte delimiter of "; " before being passed into a context other than HTTP/2 or HTTP/3.
 *
 * @returns the same array where there is nothing to join
 */
export function joinCookies(fields: readonly Field[]): readonly Field[] {
  let first = -1;
  let crumbs: string[] | null = null;
  let sensitive = false;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    if (field.name !== "cookie") continue;
    sensitive ||= field.sensitive === true;
    if (first < 0) first = i;
    else (crumbs ??= [fields[first]!.value]).push(field.value);
  }
  if (crumbs === null) return fields;
  // Lines without a pair add none.
  const joined = { name: "cookie", value: crumbs.filter((crumb) => crumb !== "").join("; "), sensitive };
  return fields.flatMap((field, i) => (field.name !== "cookie" ? [field] : i === first ? [joined] : []));
}

/**
 * Splits a Cookie field into a line a pair, so that those that stay the same are found in the compression table.
 * rfc9114#4.2.1
 */
export function splitCookies(fields: readonly Field[]): readonly Field[] {
  if (!fields.some(({ name, value }) => name === "cookie" && value.includes("; "))) return fields;
  return fields.flatMap((field) =>
    field.name === "cookie" ? field.value.split("; ").map((value) => ({ ...field, value })) : [field],
  );
}
