// Handlers as undici has them: the shape of its versions up to 6, which the fetch of Node 20 to 24 uses, and the newer one.

import type { IncomingHttpHeaders } from "node:http";
import { headersObject } from "../compat/headers-object.ts";
import type { Field } from "../qpack/field.ts";

/** undici's handlers up to version 6, and that of Node's fetch. */
export interface LegacyHandler {
  onConnect?(abort: (reason?: Error) => void, context: object | null): void;
  onError?(error: Error): void;
  onResponseStarted?(): void;
  onHeaders?(status: number, rawHeaders: Buffer[], resume: () => void, statusText: string): boolean | void;
  onData?(chunk: Buffer): boolean | void;
  onComplete?(trailers: Buffer[] | null): void;
  onUpgrade?(status: number, rawHeaders: Buffer[] | null, socket: unknown): void;
  onBodySent?(size: number, total: number): void;
}

/** What a newer handler steers its request with. */
export interface DispatchController {
  readonly aborted: boolean;
  readonly paused: boolean;
  readonly reason: Error | null;
  readonly rawHeaders: Buffer[] | null;
  readonly rawTrailers: Buffer[] | null;
  abort(reason?: Error): void;
  pause(): void;
  resume(): void;
}

/** undici's handlers from version 7 on. */
export interface ControllerHandler {
  onRequestStart?(controller: DispatchController, context: unknown): void;
  onRequestUpgrade?(
    controller: DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: unknown,
  ): void;
  onResponseStarted?(): void;
  onResponseStart?(
    controller: DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void;
  onResponseData?(controller: DispatchController, chunk: Buffer): void;
  onResponseEnd?(controller: DispatchController, trailers: IncomingHttpHeaders): void;
  onResponseError?(controller: DispatchController, error: Error): void;
  onBodySent?(size: number, total: number): void;
}

/** Either shape: a handler that has `onRequestStart` is a newer one. */
export type DispatchHandler = LegacyHandler | ControllerHandler;

export const isController = (handler: DispatchHandler): handler is ControllerHandler =>
  typeof (handler as ControllerHandler).onRequestStart === "function";

/** Names and values in turn, as handlers want them. */
const rawOf = (fields: readonly Field[]) =>
  fields.flatMap(({ name, value }) => [Buffer.from(name, "latin1"), Buffer.from(value, "latin1")]);
const textOf = (fields: readonly Field[]) => fields.flatMap(({ name, value }) => [name, value]);

/** One request's events, told to a handler of either shape; and what it says of pausing and giving up. */
export class Told implements DispatchController {
  readonly #handler: DispatchHandler;
  #wake: (() => void) | null = null;
  #over = false;
  paused = false;
  reason: Error | null = null;
  rawHeaders: Buffer[] | null = null;
  rawTrailers: Buffer[] | null = null;
  /** Called when the handler gives up. */
  onAbort: (reason: Error) => void = () => {};

  constructor(handler: DispatchHandler) {
    this.#handler = handler;
  }

  get aborted(): boolean {
    return this.reason !== null;
  }

  // What handlers call.

  abort(reason?: Error): void {
    if (this.aborted || this.#over) return;
    this.reason =
      reason ?? Object.assign(new Error("Request aborted"), { name: "AbortError", code: "UND_ERR_ABORTED" });
    this.resume();
    this.onAbort(this.reason);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.#wake?.();
    this.#wake = null;
  }

  // What it is told.

  /** @throws what the handler throws */
  start(): void {
    const handler = this.#handler;
    if (isController(handler)) handler.onRequestStart!(this, null);
    else handler.onConnect?.((reason) => this.abort(reason), null);
  }

  /** Interim ones too. */
  head(status: number, fields: readonly Field[]): void {
    const handler = this.#handler;
    const raw = rawOf(fields);
    if (status >= 200) handler.onResponseStarted?.();
    if (isController(handler)) {
      this.rawHeaders = raw;
      handler.onResponseStart?.(this, status, headersObject(textOf(fields)), "");
    } else if (handler.onHeaders?.(status, raw, () => this.resume(), "") === false) this.pause();
  }

  data(bytes: Uint8Array): void {
    const handler = this.#handler;
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (isController(handler)) handler.onResponseData?.(this, chunk);
    else if (handler.onData?.(chunk) === false) this.pause();
  }

  /** Resolves when the handler is ready for more; null where it is. */
  ready(): Promise<void> | null {
    return this.paused ? new Promise((resolve) => (this.#wake = resolve)) : null;
  }

  end(trailers: readonly Field[]): void {
    if (this.#over) return;
    this.#over = true;
    const handler = this.#handler;
    this.rawTrailers = rawOf(trailers);
    if (isController(handler)) handler.onResponseEnd?.(this, headersObject(textOf(trailers)));
    else handler.onComplete?.(this.rawTrailers);
  }

  error(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    const handler = this.#handler;
    if (isController(handler)) handler.onResponseError?.(this, error);
    else handler.onError?.(error);
  }
}

/** A handler that shows the response's head to `look` before it reaches `handler`. */
export function watching(
  handler: DispatchHandler,
  look: (status: number, header: (name: string) => string | undefined) => void,
): DispatchHandler {
  if (isController(handler)) {
    const wrapped: ControllerHandler = {
      onRequestStart: (controller, context) => handler.onRequestStart!(controller, context),
      onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
      onResponseStarted: () => handler.onResponseStarted?.(),
      onResponseStart(controller, status, headers, text) {
        look(status, (name) => [headers[name]].flat().join(", ") || undefined);
        handler.onResponseStart?.(controller, status, headers, text);
      },
      onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
      onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
      onBodySent: (size, total) => handler.onBodySent?.(size, total),
    };
    return wrapped;
  }
  const wrapped: LegacyHandler = {
    onConnect: (abort, context) => handler.onConnect?.(abort, context),
    onError: (error) => handler.onError?.(error),
    onResponseStarted: () => handler.onResponseStarted?.(),
    onHeaders(status, raw, resume, text) {
      look(status, (name) => {
        const values: string[] = [];
        for (let i = 0; i < raw.length; i += 2) {
          if (raw[i]!.toString("latin1").toLowerCase() === name) values.push(raw[i + 1]!.toString("latin1"));
        }
        return values.join(", ") || undefined;
      });
      return handler.onHeaders?.(status, raw, resume, text);
    },
    onData: (chunk) => handler.onData?.(chunk),
    onComplete: (trailers) => handler.onComplete?.(trailers),
    onBodySent: (size, total) => handler.onBodySent?.(size, total),
    ...(handler.onUpgrade === undefined
      ? {}
      : { onUpgrade: (status, raw, socket) => handler.onUpgrade!(status, raw, socket) }),
  };
  return wrapped;
}
