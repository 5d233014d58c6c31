// Requests as undici's dispatchers get them, as HTTP/3 sends them.

import { Readable } from "node:stream";
import type { Content } from "../body.ts";
import { Http3StateError } from "../errors.ts";
import { fieldsOf } from "../headers.ts";
import type { Outgoing } from "./exchange.ts";

/** What undici gives a dispatcher; of its options those that mean something here. */
export interface DispatchOptions {
  readonly origin?: string | URL;
  /** Path and query. */
  readonly path: string;
  readonly method: string;
  readonly query?: Readonly<Record<string, unknown>> | null;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly headersTimeout?: number | null;
  readonly bodyTimeout?: number | null;
  readonly upgrade?: unknown;
  readonly [option: string]: unknown;
}

/** @throws {Http3StateError} for what cannot be a request of HTTP/3; {TypeError} for content that is none */
export function outgoingOf(options: DispatchOptions, url: URL): Outgoing {
  const pairs = pairsOf(options.headers);
  const host = pairs.find(([name]) => name.toLowerCase() === "host")?.[1];
  const fields = fieldsOf(pairs.filter(([name]) => name.toLowerCase() !== "host"));
  const { content, length, type } = contentOf(options.body);
  const has = (name: string) => fields.some((field) => field.name === name);
  if (type !== undefined && !has("content-type")) fields.push({ name: "content-type", value: type });
  if (
    length !== undefined &&
    !has("content-length") &&
    (length > 0 || /^(POST|PUT|PATCH)$/.test(options.method))
  ) {
    fields.push({ name: "content-length", value: String(length) });
  }
  return {
    method: options.method,
    scheme: "https",
    authority: host ?? url.host,
    path: withQuery(options.path, options.query),
    fields,
    body: content,
  };
}

function withQuery(path: string, query: DispatchOptions["query"]): string {
  if (query === undefined || query === null) return path;
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value])
      search.append(name, String(one ?? ""));
  }
  const text = search.toString();
  if (text === "") return path;
  if (/[?#]/.test(path)) throw new Http3StateError('query cannot be added to a path with "?" or "#"');
  return `${path}?${text}`;
}

/** Headers come as pairs in an array, as an iterable of pairs, or as an object. */
function pairsOf(headers: unknown): [string, string][] {
  if (headers === undefined || headers === null) return [];
  const pairs: [string, string][] = [];
  const add = (name: unknown, value: unknown) => {
    if (value === undefined || value === null) return;
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      pairs.push([text(name), text(one)]);
    }
  };
  if (Array.isArray(headers) && !Array.isArray(headers[0])) {
    for (let i = 0; i + 1 < headers.length; i += 2) add(headers[i], headers[i + 1]);
  } else if (typeof (headers as Iterable<unknown>)[Symbol.iterator] === "function") {
    for (const [name, value] of headers as Iterable<[unknown, unknown]>) add(name, value);
  } else {
    for (const [name, value] of Object.entries(headers as object)) {
      // Newer versions' lists of fetch keep the name as it was given beside the value.
      const given = value as { value?: unknown } | null;
      if (typeof given === "object" && given !== null && !Array.isArray(given) && "value" in given)
        add(name, given.value);
      else add(name, value);
    }
  }
  return pairs;
}

const text = (value: unknown) => (Buffer.isBuffer(value) ? value.toString("latin1") : String(value));

interface Body {
  readonly content: Uint8Array | Content | null;
  readonly length?: number;
  readonly type?: string;
}

function contentOf(body: unknown): Body {
  if (body === undefined || body === null) return { content: null, length: 0 };
  if (typeof body === "string") return bytes(Buffer.from(body));
  if (body instanceof Uint8Array) return bytes(body);
  if (body instanceof ArrayBuffer) return bytes(new Uint8Array(body));
  if (ArrayBuffer.isView(body)) return bytes(new Uint8Array(body.buffer, body.byteOffset, body.byteLength));
  if (body instanceof Blob) {
    return {
      content: body.stream() as unknown as Content,
      length: body.size,
      ...(body.type === "" ? {} : { type: body.type }),
    };
  }
  if (body instanceof FormData || body instanceof URLSearchParams) {
    const encoded = new Response(body);
    return { content: encoded.body as unknown as Content, type: encoded.headers.get("content-type")! };
  }
  if (body instanceof ReadableStream || body instanceof Readable)
    return { content: body as unknown as Content };
  if (typeof (body as AsyncIterable<unknown>)[Symbol.asyncIterator] === "function") {
    return { content: body as Content };
  }
  if (typeof (body as Iterable<unknown>)[Symbol.iterator] === "function") {
    return { content: Readable.from(body as Iterable<unknown>) as unknown as Content };
  }
  throw new TypeError("a body has to be a string, bytes, a Blob, FormData, a stream or an iterable of those");
}

const bytes = (content: Uint8Array): Body => ({ content, length: content.length });
