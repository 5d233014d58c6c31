// The client's side of HTTP/0.9 over QUIC.

import type { Connection, Stream } from "../../src/index.ts";

/** The ALPN name that interop runners use for it. */
export const HQ_ALPN = "hq-interop";

/**
 * Asks for `path` on a new stream and gives what comes back, chunk by chunk. Throws StreamError where the server reset
 * the stream: what came until then is not the whole file.
 */
export async function* fetchHq(
  connection: Connection,
  path: string,
  options?: { signal?: AbortSignal },
): AsyncGenerator<Uint8Array, void, undefined> {
  const stream: Stream = await connection.openStream(options);
  await stream.write(new TextEncoder().encode(`GET ${path}\r\n`), options);
  stream.close();
  yield* stream;
}
