// A response as (req, res) handlers know it.

import { ServerResponse, STATUS_CODES, validateHeaderName, validateHeaderValue } from "node:http";
import type { EventEmitter } from "node:events";
import { H3_ERROR, Http3StateError } from "../errors.ts";
import { httpDate, isConnectionSpecific, makeField } from "../headers.ts";
import { DONE } from "../outlet.ts";
import type { Field } from "../qpack/field.ts";
import type { ServerStream } from "../request-stream.ts";
import type { Http3ServerRequest } from "./request.ts";
import type { Http3Socket } from "./socket.ts";

type Value = string | number | readonly string[];
type Given = Readonly<Record<string, Value | undefined>> | readonly unknown[] | Headers | Map<string, Value>;
type Callback = (error?: Error | null) => void;

/** ServerResponse as it is without its types' fixed property list: its accessors are ours below. */
const Response = ServerResponse as unknown as new (request: unknown) => EventEmitter & {
  statusCode: number;
  statusMessage: string;
  sendDate: boolean;
  req: Http3ServerRequest;
};

/** Bytes that wait for the client until `write` says to wait. As for streams in Node. */
const HIGH_WATER_MARK = 16384;

function validateValue(name: string, value: string | number | undefined): void {
  // As node:http, which takes numbers, and undefined for a mistake.
  validateHeaderValue(name, value === undefined ? (value as unknown as string) : String(value));
}

const finish = (response: Http3ServerResponse): void => response.ended();

function codedError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/**
 * A response, shaped like node:http2's Http2ServerResponse; and a real ServerResponse, as frameworks ask for one. Fields
 * about an HTTP/1 connection (`connection`, `transfer-encoding` …) are left out, as node:http2 does.
 */
export class Http3ServerResponse extends Response {
  /** The request stream beneath. */
  readonly stream: ServerStream;
  readonly socket: Http3Socket;
  readonly connection: Http3Socket;
  readonly #request: Http3ServerRequest;
  /** By lower-case name: the name as it was given, and its value. */
  readonly #headers = new Map<string, { name: string; value: Value }>();
  #trailers: Field[] = [];

  // Its state, as properties of its own: frameworks put prototypes of theirs between an object and its accessors.
  headersSent = false;
  /** As ServerResponse's, for those who look there whether the head was sent. */
  _header: string | null = null;
  /** Whether `end` was called. */
  finished = false;
  writableEnded = false;
  writableFinished = false;
  writable = true;
  destroyed = false;
  closed = false;
  errored: Error | null = null;
  /** Bytes that were written and have not found room. */
  writableLength = 0;
  writableNeedDrain = false;
  writableHighWaterMark = HIGH_WATER_MARK;
  writableCorked = 0;
  writableObjectMode = false;

  /** @internal */
  constructor(stream: ServerStream, request: Http3ServerRequest) {
    super(request);
    pin(this);
    this.stream = stream;
    this.socket = this.connection = (request as unknown as { socket: Http3Socket }).socket;
    this.#request = request;
    this.statusMessage = "";
    stream.whenGone((reason) => {
      request.clientGone(reason);
      this.#gone(reason);
    });
  }

  // ---- header fields

  setHeader(name: string, value: Value): this {
    if (this.headersSent) {
      throw codedError("ERR_HTTP_HEADERS_SENT", "Cannot set headers after they are sent to the client");
    }
    validateHeaderName(name);
    if (Array.isArray(value)) for (const one of value as readonly string[]) validateValue(name, one);
    else validateValue(name, value as string);
    const lower = name.toLowerCase();
    if (!isConnectionSpecific(lower)) this.#headers.set(lower, { name, value });
    return this;
  }

  setHeaders(headers: Headers | Map<string, Value>): this {
    for (const [name, value] of headers) {
      // `Headers` gives each Set-Cookie on its own.
      if (name.toLowerCase() === "set-cookie") this.appendHeader(name, value as string);
      else this.setHeader(name, value);
    }
    return this;
  }

  appendHeader(name: string, value: string | readonly string[]): this {
    const before = this.#headers.get(name.toLowerCase());
    if (before === undefined) return this.setHeader(name, value);
    return this.setHeader(before.name, [before.value, value].flat().map(String));
  }

  getHeader(name: string): Value | undefined {
    return this.#headers.get(name.toLowerCase())?.value;
  }

  getHeaderNames(): string[] {
    return [...this.#headers.keys()];
  }

  getRawHeaderNames(): string[] {
    return [...this.#headers.values()].map(({ name }) => name);
  }

  getHeaders(): Record<string, Value> {
    const headers = Object.create(null) as Record<string, Value>;
    for (const [name, { value }] of this.#headers) headers[name] = value;
    return headers;
  }

  hasHeader(name: string): boolean {
    return this.#headers.has(name.toLowerCase());
  }

  removeHeader(name: string): void {
    if (this.headersSent) {
      throw codedError("ERR_HTTP_HEADERS_SENT", "Cannot remove headers after they are sent to the client");
    }
    this.#headers.delete(name.toLowerCase());
  }

  /** `writeHead(status, headers)` or `writeHead(status, message, headers)`; HTTP/3 has no message. */
  writeHead(status: number, message?: string | Given, headers?: Given): this {
    if (this.headersSent) {
      throw codedError("ERR_HTTP_HEADERS_SENT", "Cannot write headers after they are sent to the client");
    }
    if (!Number.isInteger(status) || status < 200 || status > 999) {
      throw Object.assign(new RangeError(`Invalid status code: ${status}`), {
        code: "ERR_HTTP_INVALID_STATUS_CODE",
      });
    }
    this.#setAll(typeof message === "string" ? headers : (message ?? headers));
    this.statusCode = status;
    this.#sendHead();
    return this;
  }

  #setAll(headers: Given | undefined): void {
    if (headers === undefined || headers === null) return;
    if (headers instanceof Map || headers instanceof Headers) {
      this.setHeaders(headers);
      return;
    }
    if (!Array.isArray(headers)) {
      for (const [name, value] of Object.entries(headers as Readonly<Record<string, Value | undefined>>)) {
        if (value !== undefined) this.setHeader(name, value);
      }
      return;
    }
    // [name, value, …] or [[name, value], …], where names may come again.
    const pairs: [string, Value][] = Array.isArray(headers[0])
      ? (headers as [string, Value][])
      : Array.from({ length: headers.length >> 1 }, (_, i) => [
          headers[2 * i] as string,
          headers[2 * i + 1] as Value,
        ]);
    for (const [name] of pairs) this.removeHeader(name);
    for (const [name, value] of pairs) this.appendHeader(name, value as string);
  }

  flushHeaders(): void {
    if (!this.headersSent) this.#sendHead();
  }

  #fields(): Field[] {
    const fields: Field[] = [];
    for (const [name, { value }] of this.#headers) {
      if (!Array.isArray(value)) fields.push(makeField(name, String(value).trim()));
      else for (const one of value as readonly string[]) fields.push(makeField(name, String(one).trim()));
    }
    return fields;
  }

  #sendHead(): void {
    // rfc9110#6.6.1 An origin server with a clock MUST generate a Date header field in all 2xx, 3xx and 4xx responses.
    if (this.sendDate && !this.#headers.has("date")) {
      this.#headers.set("date", { name: "date", value: httpDate() });
    }
    this.headersSent = true;
    this._header = "HTTP/3";
    const sending = this.stream.respond(this.statusCode, this.#fields());
    if (sending !== DONE) sending.catch((error: Error) => this.#failed(error));
  }

  // ---- interim responses

  writeContinue(callback?: () => void): void {
    this.#inform(100, [], callback);
  }

  writeProcessing(callback?: () => void): void {
    this.#inform(102, [], callback);
  }

  /** 103: `{ link: "</style.css>; rel=preload; as=style" }`. rfc8297 */
  writeEarlyHints(hints: Readonly<Record<string, Value>>, callback?: () => void): void {
    const fields: Field[] = [];
    for (const [name, value] of Object.entries(hints)) {
      const text = Array.isArray(value) ? (value as readonly string[]).join(", ") : String(value);
      validateHeaderName(name);
      validateHeaderValue(name, text);
      fields.push(makeField(name.toLowerCase(), text));
    }
    this.#inform(103, fields, callback);
  }

  #inform(status: number, fields: readonly Field[], callback?: () => void): void {
    if (this.headersSent || this.destroyed) return;
    this.stream.informational(status, fields).then(
      () => callback?.(),
      (error: Error) => this.#failed(error),
    );
  }

  // ---- content

  write(chunk: string | Uint8Array, encoding?: BufferEncoding | Callback, callback?: Callback): boolean {
    const done = typeof encoding === "function" ? encoding : callback;
    if (this.writableEnded || this.destroyed) {
      const error = this.writableEnded
        ? codedError("ERR_STREAM_WRITE_AFTER_END", "write after end")
        : codedError("ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed");
      process.nextTick(() => {
        done?.(error);
        // As node:http: writing to a client that has left is no error.
        if (this.writableEnded) this.#emitError(error);
      });
      return false;
    }
    if (typeof chunk !== "string" && !(chunk instanceof Uint8Array)) {
      throw Object.assign(new TypeError("The chunk has to be a string, a Buffer or a Uint8Array"), {
        code: "ERR_INVALID_ARG_TYPE",
      });
    }
    this.flushHeaders();
    const bytes =
      typeof chunk === "string"
        ? Buffer.from(chunk, typeof encoding === "string" ? encoding : "utf8")
        : chunk;
    if (!this.#hasContent) {
      if (done !== undefined) process.nextTick(done);
      return true;
    }
    const writing = this.stream.write(bytes);
    if (writing === DONE) {
      if (done !== undefined) process.nextTick(done);
      return true;
    }
    this.writableLength += bytes.length;
    writing.then(
      () => {
        this.writableLength -= bytes.length;
        done?.();
        if (this.writableNeedDrain && this.writableLength === 0 && !this.writableEnded) {
          this.writableNeedDrain = false;
          this.emit("drain");
        }
      },
      (error: Error) => {
        this.writableLength -= bytes.length;
        done?.(error);
        this.#failed(error);
      },
    );
    if (this.writableLength < HIGH_WATER_MARK) return true;
    this.writableNeedDrain = true;
    return false;
  }

  /** rfc9110#6.4.1: what is written to a response that has no content is left out, as in node:http. */
  get #hasContent(): boolean {
    return this.#request.method !== "HEAD" && this.statusCode !== 204 && this.statusCode !== 304;
  }

  end(
    chunk?: string | Uint8Array | (() => void) | null,
    encoding?: BufferEncoding | (() => void),
    callback?: () => void,
  ): this {
    const done = typeof chunk === "function" ? chunk : typeof encoding === "function" ? encoding : callback;
    if (this.writableEnded || this.destroyed) {
      if (done !== undefined) process.nextTick(done);
      return this;
    }
    if (done !== undefined) this.once("finish", done);
    if (typeof chunk === "string" || chunk instanceof Uint8Array) {
      const bytes =
        typeof chunk === "string"
          ? Buffer.from(chunk, typeof encoding === "string" ? encoding : "utf8")
          : chunk;
      if (!this.headersSent && this.#hasContent && !this.hasHeader("content-length")) {
        this.setHeader("content-length", bytes.length);
      }
      if (bytes.length > 0) this.write(bytes);
    } else if (!this.headersSent && this.#hasContent && !this.hasHeader("content-length")) {
      this.setHeader("content-length", 0);
    }
    this.flushHeaders();
    this.finished = this.writableEnded = true;
    this.#noMoreWrites();
    const ending = this.stream.end(this.#trailers);
    if (ending === DONE) process.nextTick(finish, this);
    else
      ending.then(
        () => this.ended(),
        (error: Error) => this.#failed(error),
      );
    return this;
  }

  /** All of it was taken. @internal */
  ended(): void {
    this.writableFinished = true;
    this.emit("finish");
    this.#request.answered();
    this.#close();
  }

  addTrailers(headers: Readonly<Record<string, string>> | readonly (readonly [string, string])[]): void {
    for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers)) {
      this.setTrailer(name as string, value as string);
    }
  }

  setTrailer(name: string, value: string): void {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    const lower = name.toLowerCase();
    this.#trailers = [
      ...this.#trailers.filter((field) => field.name !== lower),
      makeField(lower, String(value)),
    ];
  }

  // ---- the end

  #noMoreWrites(): void {
    this.writable = this.writableNeedDrain = false;
  }

  /** The client has left, or stopped reading. */
  #gone(reason: unknown): void {
    if (this.writableFinished || this.destroyed) return;
    this.errored = reason as Error;
    this.destroyed = true;
    this.#noMoreWrites();
    this.#close();
  }

  /** Writing failed: because the client has left, or because of what was written. */
  #failed(error: Error): void {
    if (this.destroyed || this.writableFinished) return;
    this.errored = error;
    this.destroyed = true;
    this.#noMoreWrites();
    if (!this.stream.writeEnded) this.stream.cancel(H3_ERROR.H3_INTERNAL_ERROR, error.message);
    // What the caller did wrong is told; as in node:http, that a client has left is not.
    const remote = (error as { remote?: boolean }).remote === true;
    if (error instanceof Http3StateError || !remote) this.#emitError(error);
    this.#close();
  }

  #emitError(error: Error): void {
    if (this.listenerCount("error") > 0) this.emit("error", error);
  }

  #close(): void {
    if (this.closed) return;
    this.closed = true;
    process.nextTick(() => this.emit("close"));
  }

  destroy(error?: Error): this {
    if (this.destroyed || this.writableFinished) return this;
    this.destroyed = true;
    this.#noMoreWrites();
    this.errored = error ?? null;
    this.stream.cancel(
      error === undefined ? H3_ERROR.H3_REQUEST_CANCELLED : H3_ERROR.H3_INTERNAL_ERROR,
      "the response was destroyed",
    );
    if (error !== undefined) process.nextTick(() => this.#emitError(error));
    this.#close();
    return this;
  }

  /** Server push is used by nobody: rfc9114#4.6 leaves it to servers. */
  createPushResponse(_headers: object, callback: (error: Error) => void): void {
    process.nextTick(callback, codedError("ERR_HTTP2_PUSH_DISABLED", "This server pushes nothing"));
  }

  /** QUIC's idle timeout and `stallTimeout` stand for it. */
  setTimeout(_ms: number, _callback?: () => void): this {
    return this;
  }

  cork(): void {}

  uncork(): void {}

  /** Its name, for people. */
  get statusText(): string {
    return STATUS_CODES[this.statusCode] ?? "";
  }
}

/** The class's methods, on the object itself and each by its name: see the request's. */
function pin(response: Http3ServerResponse): void {
  const own = Http3ServerResponse.prototype;
  response.setHeader = own.setHeader;
  response.setHeaders = own.setHeaders;
  response.appendHeader = own.appendHeader;
  response.getHeader = own.getHeader;
  response.getHeaderNames = own.getHeaderNames;
  response.getRawHeaderNames = own.getRawHeaderNames;
  response.getHeaders = own.getHeaders;
  response.hasHeader = own.hasHeader;
  response.removeHeader = own.removeHeader;
  response.writeHead = own.writeHead;
  response.flushHeaders = own.flushHeaders;
  response.writeContinue = own.writeContinue;
  response.writeProcessing = own.writeProcessing;
  response.writeEarlyHints = own.writeEarlyHints;
  response.write = own.write;
  response.end = own.end;
  response.ended = own.ended;
  response.addTrailers = own.addTrailers;
  response.setTrailer = own.setTrailer;
  response.destroy = own.destroy;
  response.createPushResponse = own.createPushResponse;
  response.setTimeout = own.setTimeout;
  response.cork = own.cork;
  response.uncork = own.uncork;
}
