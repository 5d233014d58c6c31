// HTTP/3 beneath undici and Node's own fetch.

import { EventEmitter } from "node:events";
import { Http3StateError } from "../errors.ts";
import { FALLBACK_DELAY, RESPONSE_TIMEOUT } from "../limits.ts";
import { type Alternative, AltSvcCache } from "./alt-svc-cache.ts";
import { type DispatchHandler, Told, watching } from "./dispatch-handler.ts";
import { type DispatchOptions, outgoingOf } from "./dispatch-request.ts";
import { deadline } from "./response.ts";
import { RoundTripper, type RoundTripperOptions } from "./round-tripper.ts";

/** What a dispatcher of undici's is here: an Agent, a ProxyAgent, the global one … */
export interface DispatcherLike {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- undici's own types differ between its versions.
  dispatch(options: any, handler: any): boolean;
}

/** Options of {@link Http3Dispatcher}. Times in ms. */
export interface Http3DispatcherOptions extends RoundTripperOptions {
  /**
   * Takes what HTTP/3 is not for: other schemes, upgrades, origins that are not served over HTTP/3 or cannot be reached
   * so. It stays yours to close. Without one all requests go over HTTP/3, or fail.
   */
  readonly fallback?: DispatcherLike | null;
  /**
   * With a fallback, where HTTP/3 is tried: "advertised" where the origin said so in an Alt-Svc field (the default), "always"
   * at all origins.
   */
  readonly attempt?: "advertised" | "always";
  /** How long a connection may take before the fallback gets the request. The attempt goes on, for those that come. Default 250. */
  readonly fallbackDelay?: number;
  /** What is known of origins. Default: a memory of its own. */
  readonly altSvcCache?: AltSvcCache;
}

/**
 * A dispatcher for undici and the built-in fetch that speaks HTTP/3. It takes the handlers of undici up to version 6, which
 * the fetch of Node 20 to 24 has, and the newer ones.
 *
 * Where it falls back, an origin's Alt-Svc fields are remembered; HTTP/3 that does not come up in time leaves the request to
 * the fallback, and where no connection comes about at all it is not tried for five minutes, then twice as long …
 *
 * @example
 * import { Http3Dispatcher } from "quic-ts/http3";
 * const dispatcher = new Http3Dispatcher({ tls: { ca } });
 * const response = await fetch("https://localhost:4433/", { dispatcher } as RequestInit);
 * console.log(await response.text());
 * await dispatcher.close();
 */
export class Http3Dispatcher extends EventEmitter implements AsyncDisposable {
  readonly #options: Http3DispatcherOptions;
  readonly #client: RoundTripper;
  /** What is known of origins. */
  readonly altSvcCache: AltSvcCache;

  constructor(options: Http3DispatcherOptions = {}) {
    super();
    this.#options = options;
    this.#client = new RoundTripper(options);
    this.altSvcCache = options.altSvcCache ?? new AltSvcCache();
  }

  /** The connections beneath. */
  get client(): RoundTripper {
    return this.#client;
  }

  /** As undici calls it. Always true: what has to wait waits within. */
  dispatch(options: DispatchOptions, handler: DispatchHandler): boolean {
    const fallback = this.#options.fallback ?? null;
    let url: URL;
    try {
      url = new URL(String(options.origin));
    } catch (error) {
      fail(handler, error);
      return true;
    }
    if (url.protocol !== "https:" || isUpgrade(options)) {
      if (fallback !== null) return fallback.dispatch(options, handler);
      fail(
        handler,
        new Http3StateError(`HTTP/3 is for https, and not for upgrades: ${options.method} ${url.origin}`),
      );
      return true;
    }
    if (fallback === null) {
      void this.#exchange(options, new Told(handler), url, undefined);
      return true;
    }
    const alternative = this.#where(url);
    if (alternative === null) return this.#fallBack(fallback, options, handler, url);
    void this.#race(fallback, alternative, options, handler, url);
    return true;
  }

  /** Where HTTP/3 is worth a try. */
  #where(url: URL): Alternative | null {
    const known = this.altSvcCache.find(url.origin);
    if (known !== null || this.#options.attempt !== "always") return known;
    const itself = { host: "", port: Number(url.port || 443) };
    return this.altSvcCache.isBroken(url.origin, itself) ? null : itself;
  }

  #fallBack(fallback: DispatcherLike, options: DispatchOptions, handler: DispatchHandler, url: URL): boolean {
    // rfc7838#2.1: what came over TLS, with the origin's certificate; the fallback has seen to that.
    const learning = watching(handler, (_status, header) => {
      const value = header("alt-svc");
      if (value !== undefined) this.altSvcCache.learn(url.origin, value);
    });
    return fallback.dispatch(options, learning);
  }

  /** HTTP/3 with a head start: rfc8305's idea, between protocols. */
  async #race(
    fallback: DispatcherLike,
    alternative: Alternative,
    options: DispatchOptions,
    handler: DispatchHandler,
    url: URL,
  ): Promise<void> {
    const client = this.#client;
    const connected = client.hasConnection(url) || (await this.#connects(alternative, url));
    if (connected) return this.#exchange(options, new Told(handler), url, alternative);
    try {
      this.#fallBack(fallback, options, handler, url);
    } catch (error) {
      fail(handler, error);
    }
  }

  /** Whether a connection is there in time. If it comes later, it is there for the next. */
  #connects(alternative: Alternative, url: URL): Promise<boolean> {
    const { fallbackDelay = FALLBACK_DELAY } = this.#options;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, fallbackDelay, false);
      const tell = (connected: boolean) => {
        clearTimeout(timer);
        if (connected) this.altSvcCache.worked(url.origin, alternative);
        else this.altSvcCache.failed(url.origin, alternative);
        resolve(connected);
      };
      this.#client.connectQuietly(url, { alternative }).then(
        () => tell(true),
        () => tell(false),
      );
    });
  }

  async #exchange(
    options: DispatchOptions,
    told: Told,
    url: URL,
    alternative: Alternative | undefined,
  ): Promise<void> {
    const aborter = new AbortController();
    const { signal } = aborter;
    told.onAbort = (reason) => aborter.abort(reason);
    try {
      told.start();
      signal.throwIfAborted();
      const request = outgoingOf(options, url);
      const elsewhere = alternative !== undefined && alternative.host !== "";
      const { stream, head } = await this.#client.exchange(
        // rfc7838#5: who is asked elsewhere is told under which name.
        elsewhere
          ? {
              ...request,
              fields: [
                ...request.fields,
                { name: "alt-used", value: `${alternative.host}:${alternative.port}` },
              ],
            }
          : request,
        url,
        {
          signal,
          ...(alternative === undefined ? {} : { alternative }),
          ...(typeof options.headersTimeout === "number" ? { headersTimeout: options.headersTimeout } : {}),
          onInterim: ({ status, fields }) => told.head(status, fields),
        },
      );
      try {
        this.#learn(url, head.status, head.fields.find(({ name }) => name === "alt-svc")?.value);
        told.head(head.status, head.fields);
        const { read } = deadline(
          stream,
          options.bodyTimeout ?? this.#options.bodyTimeout ?? RESPONSE_TIMEOUT,
          signal,
        );
        for (;;) {
          const wait = told.ready();
          if (wait !== null) await wait;
          signal.throwIfAborted();
          const chunk = await read();
          if (chunk === null) break;
          told.data(chunk);
        }
      } catch (error) {
        // The handler failed perhaps: nobody reads on.
        stream.cancel();
        throw error;
      }
      told.end(stream.trailers ?? []);
    } catch (error) {
      told.error(told.reason ?? (error as Error));
    }
  }

  #learn(url: URL, status: number, altSvc: string | undefined): void {
    // rfc7838#6: an alternative that is not for this origin.
    if (status === 421) this.altSvcCache.forget(url.origin);
    else if (altSvc !== undefined) this.altSvcCache.learn(url.origin, altSvc);
  }

  /** Takes no more requests, and closes when those under way are done. The fallback is not closed. */
  async close(callback?: () => void): Promise<void> {
    await this.#client.shutdown();
    callback?.();
  }

  /** Closes all connections at once, with the requests under way. The fallback is not closed. */
  async destroy(error?: Error | (() => void) | null, callback?: () => void): Promise<void> {
    await this.#client.close();
    if (typeof error === "function") error();
    else callback?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }
}

/** fetch says `upgrade: "websocket"` for WebSockets alone. */
const isUpgrade = ({ upgrade, method }: DispatchOptions) => Boolean(upgrade) || method === "CONNECT";

/** Handlers are told later, as by any other dispatcher. */
function fail(handler: DispatchHandler, error: unknown): void {
  queueMicrotask(() => new Told(handler).error(error as Error));
}

/**
 * The dispatcher that Node's fetch uses now: what `setGlobalDispatcher` has set, or Node's own. Good as a fallback.
 *
 * @example
 * import { builtInDispatcher, Http3Dispatcher } from "quic-ts/http3";
 * const dispatcher = new Http3Dispatcher({ fallback: builtInDispatcher() });
 * await dispatcher.close();
 */
export function builtInDispatcher(): DispatcherLike | null {
  // Node loads its undici when one of these is looked at.
  void globalThis.Headers;
  const found = (globalThis as Record<symbol, unknown>)[Symbol.for("undici.globalDispatcher.1")];
  return typeof (found as DispatcherLike | undefined)?.dispatch === "function"
    ? (found as DispatcherLike)
    : null;
}
