// Field lines as node:http gives them in objects.

import type { IncomingHttpHeaders } from "node:http";

/** Of these node:http keeps the first alone. */
const ONCE = new Set([
  "age",
  "authorization",
  "content-length",
  "content-type",
  "etag",
  "expires",
  "from",
  "host",
  "if-modified-since",
  "if-unmodified-since",
  "last-modified",
  "location",
  "max-forwards",
  "proxy-authorization",
  "referer",
  "retry-after",
  "server",
  "user-agent",
]);

/** @param raw - names and values in turn */
export function headersObject(raw: readonly string[]): IncomingHttpHeaders {
  const headers: IncomingHttpHeaders = {};
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    const value = raw[i + 1]!;
    if (name === "set-cookie") (headers["set-cookie"] ??= []).push(value);
    else if (headers[name] === undefined) headers[name] = value;
    // A field's name may be that of something every object has.
    else if (!Object.hasOwn(headers, name)) set(headers, name, value);
    else if (!ONCE.has(name))
      set(headers, name, `${headers[name] as string}${name === "cookie" ? "; " : ", "}${value}`);
  }
  return headers;
}

/** All values of each name. */
export function distinct(raw: readonly string[]): NodeJS.Dict<string[]> {
  const headers: NodeJS.Dict<string[]> = {};
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (Object.hasOwn(headers, name)) headers[name]!.push(raw[i + 1]!);
    else set(headers, name, [raw[i + 1]!]);
  }
  return headers;
}

function set(headers: object, name: string, value: unknown): void {
  if (name !== "__proto__") (headers as Record<string, unknown>)[name] = value;
  else Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
}
