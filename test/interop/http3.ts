// The HTTP/3 cases of our endpoint: files by GET; "http3post" sends each file back to /echo, with its length in a trailer
// both ways; "http3goaway" asks one after the other, and the server goes away as it answers.
import { createWriteStream } from "node:fs";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  type NodeHandler,
  RoundTripper,
  type RoundTripperOptions,
  Server,
  serveFiles,
} from "../../http3/index.ts";
import type { ConnectionStatistics, Listener } from "../../src/index.ts";

const TRAILER = "x-length";

/** Serves a listener's connections until it is closed. */
export async function serveHttp3(listener: Listener, www: string, testcase: string): Promise<void> {
  const files = serveFiles(www);
  const handler: NodeHandler = async (request, response) => {
    if (testcase === "http3goaway") {
      void request.stream.connection.shutdown().catch(() => {});
    }
    if (request.url !== "/echo") return files(request, response);
    response.setHeader("trailer", TRAILER);
    await pipeline(request, response, { end: false });
    response.addTrailers({ [TRAILER]: String(request.trailers[TRAILER]) });
    return response.end();
  };
  const server = new Server({ handler });
  server.on("handlerError", (error) => console.error(error));
  await server.serve(listener);
}

/** Fetches `urls` into a folder. Gives what each connection has counted. */
export async function fetchHttp3(
  urls: readonly URL[],
  downloads: string,
  testcase: string,
  options: RoundTripperOptions,
): Promise<ConnectionStatistics[]> {
  const { ALPNProtocols: _, ...tls } = options.tls as { ALPNProtocols?: unknown };
  const host = urls[0]!.hostname;
  await using client = new RoundTripper({
    ...options,
    tls,
    transport: { address: host.startsWith("[") ? "::" : "0.0.0.0" },
  });
  const connections = new Map<object, () => ConnectionStatistics>();
  const fetchOne = async (url: URL): Promise<void> => {
    const target = join(downloads, basename(url.pathname));
    const response = await client.roundTrip(new Request(url));
    const { quic } = response.stream.connection;
    connections.set(quic, () => quic.stats());
    if (response.status !== 200) throw new Error(`${url.href}: status ${response.status}`);
    if (testcase !== "http3post") return save(response.body!, target);
    const content = new Uint8Array(await response.arrayBuffer());
    const body = new Blob([content]).stream();
    const post = new Request(new URL("/echo", url), { method: "POST", body, duplex: "half" } as RequestInit);
    const length = String(content.length);
    const echo = await client.roundTrip(post, { trailers: () => ({ [TRAILER]: length }) });
    await save(echo.body!, target);
    const got = (await echo.trailers).get(TRAILER);
    if (got !== length) throw new Error(`the trailer says ${got} in place of ${length}`);
  };
  if (testcase === "http3goaway") for (const url of urls) await fetchOne(url);
  else await Promise.all(urls.map(fetchOne));
  return [...connections.values()].map((stats) => stats());
}

const save = (body: ReadableStream<Uint8Array>, target: string): Promise<void> =>
  pipeline(Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(target));
