// Field lines as the Fetch API has them.

import type { Field } from "./qpack/field.ts";
import type { ServerStream } from "./request-stream.ts";

/** Credentials: a compression table that others share is no place for them. rfc9204#7.1.3 */
const SENSITIVE = new Set(["authorization", "proxy-authorization"]);

/** About one connection of HTTP/1: they mean nothing here, and may not be sent. rfc9114#4.2 */
const CONNECTION_SPECIFIC = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** A field to be sent; credentials are marked so that nobody compresses them. */
export function makeField(name: string, value: string): Field {
  return SENSITIVE.has(name) ? { name, value, sensitive: true } : { name, value };
}

/**
 * The fields of `headers`, without those about an HTTP/1 connection: rfc9114#4.2 An intermediary transforming an HTTP/1.x
 * message to HTTP/3 MUST remove connection-specific header fields.
 */
export function fieldsOf(headers: Iterable<readonly [string, string]>): Field[] {
  const fields: Field[] = [];
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (CONNECTION_SPECIFIC.has(lower) || (lower === "te" && value.toLowerCase() !== "trailers")) continue;
    fields.push(makeField(lower, value));
  }
  return fields;
}

/** Whether a field has no place in HTTP/3. */
export function isConnectionSpecific(name: string): boolean {
  return CONNECTION_SPECIFIC.has(name);
}

/** Fields as `Headers`. */
export function headersOf(fields: readonly Field[]): Headers {
  const headers = new Headers();
  for (const { name, value } of fields) headers.append(name, value);
  return headers;
}

/** Fields as `Request` and `Response` take them, without a `Headers` in between. */
export function pairsOf(fields: readonly Field[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (const { name, value } of fields) pairs.push([name, value]);
  return pairs;
}

/** The value of the only or first field of that name. */
export function valueOf(fields: readonly Field[], name: string): string | undefined {
  for (const field of fields) if (field.name === name) return field.value;
  return undefined;
}

let dateAt = 0;
let date = "";

/** The Date field of this second. rfc9110#6.6.1 */
export function httpDate(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateAt) {
    dateAt = second;
    date = new Date(second * 1000).toUTCString();
  }
  return date;
}

/** Tells a client that waits for it that its body is wanted. rfc9110#10.1.1 */
export function wantBody(stream: ServerStream): void {
  if (stream.headSent || stream.readEnded) return;
  const expected = valueOf(stream.request.fields, "expect");
  if (expected?.toLowerCase() === "100-continue") stream.informational(100).catch(() => {});
}
