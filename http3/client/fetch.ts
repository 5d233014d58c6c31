// fetch over HTTP/3: Node's own, with our dispatcher beneath.

import { Http3Dispatcher, type Http3DispatcherOptions } from "./dispatcher.ts";

/** A fetch of its own: as the global one, redirects, content decoding and all. */
export interface Http3Fetch {
  (input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /** What it sends requests with. */
  readonly dispatcher: Http3Dispatcher;
  /** Takes no more requests, and closes its connections when those under way are done. */
  close(): Promise<void>;
}

/**
 * Makes a fetch that speaks HTTP/3, with connections of its own.
 *
 * @example
 * import { createFetch } from "quic-ts/http3";
 * const fetch = createFetch({ tls: { ca } });
 * const response = await fetch("https://localhost:4433/");
 * console.log(await response.text());
 * await fetch.close();
 */
export function createFetch(options: Http3DispatcherOptions = {}): Http3Fetch {
  const dispatcher = new Http3Dispatcher(options);
  const run = (input: string | URL | Request, init?: RequestInit) =>
    globalThis.fetch(input, { ...init, dispatcher } as RequestInit);
  return Object.assign(run, { dispatcher, close: () => dispatcher.close() });
}

let shared: Http3Fetch | null = null;

/**
 * As the global fetch, over HTTP/3 and nothing else. Its connections are shared in the process, close when they were idle for
 * 30 s, and do not keep the process.
 *
 * @throws {TypeError} as fetch does, with what happened as its `cause`
 */
export function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  return (shared ??= createFetch())(input, init);
}
