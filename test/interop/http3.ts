// The HTTP/3 cases of our endpoint: files by GET; "http3post" and "http3trailers" send each file to /echo/NAME and want it back, the
// latter with its length in a trailer both ways; "http3upload" puts it to /upload/NAME, where the server keeps it; "http3goaway" asks
// one after the other, and the server goes away as it answers; "http3migration" moves the client while a file comes.
import { createReadStream, createWriteStream } from "node:fs";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type NodeHandler,
  RoundTripper,
  type RoundTripperOptions,
  Server,
  serveFiles,
} from "../../http3/index.ts";
import {
  type Connection,
  type ConnectionStatistics,
  type Listener,
  memorySessionCache,
  Transport,
} from "../../src/index.ts";

const TRAILER = "x-length";
/** Milliseconds from the head of an upload to its content. */
const CONTENT_LATE = 100;

/** What the client reads from, and what both write to. */
export interface Folders {
  readonly www: string;
  readonly downloads: string;
  readonly uploads: string;
}

/** Serves a listener's connections until it is closed. */
export async function serveHttp3(listener: Listener, folders: Folders, testcase: string): Promise<void> {
  const files = serveFiles(folders.www);
  const handler: NodeHandler = async (request, response) => {
    if (testcase === "http3goaway") {
      void request.stream.connection.shutdown().catch(() => {});
    }
    const url = request.url ?? "";
    if (url.startsWith("/upload/")) {
      await pipeline(request, createWriteStream(join(folders.uploads, basename(url))));
      response.statusCode = 201;
      return response.end();
    }
    if (!url.startsWith("/echo/")) return files(request, response);
    response.setHeader("trailer", TRAILER);
    await pipeline(request, response, { end: false });
    if (request.trailers[TRAILER] !== undefined)
      response.addTrailers({ [TRAILER]: request.trailers[TRAILER] });
    return response.end();
  };
  const server = new Server({ handler });
  server.on("handlerError", (error) => console.error(error));
  await server.serve(listener);
}

/** One client's connection, and what it asks for. */
class Fetcher {
  readonly #client: RoundTripper;
  readonly #folders: Folders;
  readonly #testcase: string;
  readonly #others: Transport[] = [];
  readonly #connections = new Set<Connection>();

  constructor(client: RoundTripper, folders: Folders, testcase: string) {
    this.#client = client;
    this.#folders = folders;
    this.#testcase = testcase;
  }

  /** What each connection has counted. */
  stats(): ConnectionStatistics[] {
    return [...this.#connections].map((quic) => quic.stats());
  }

  async close(): Promise<void> {
    await this.#client.close();
    await Promise.all(this.#others.map((transport) => transport.close()));
  }

  async fetch(url: URL): Promise<void> {
    const name = basename(url.pathname);
    const target = join(this.#folders.downloads, name);
    if (this.#testcase === "http3upload") return this.#upload(new URL(`/upload/${name}`, url), name, target);
    if (this.#testcase === "http3post" || this.#testcase === "http3trailers") {
      return this.#echo(new URL(`/echo/${name}`, url), name, target);
    }
    const response = await this.#client.roundTrip(new Request(url));
    const { quic } = response.stream.connection;
    this.#connections.add(quic);
    if (response.status !== 200) throw new Error(`${url.href}: status ${response.status}`);
    const moved = this.#testcase === "http3migration" ? this.#move(quic) : null;
    await Promise.all([save(response.body!, target), moved]);
  }

  async #move(quic: Connection): Promise<void> {
    const transport = new Transport({ address: quic.localAddress.includes("[") ? "::" : "0.0.0.0" });
    this.#others.push(transport);
    const path = await quic.addPath(transport);
    await path.probe();
    path.switch();
  }

  /** Of a file: of a length that is not told. */
  #body(name: string): ReadableStream {
    return Readable.toWeb(createReadStream(join(this.#folders.www, name))) as ReadableStream;
  }

  /** After the head has arrived: what comes with it in one piece is another thing to a server (quirks.md, nginx). */
  async *#lateBody(name: string): AsyncGenerator<Buffer> {
    await sleep(CONTENT_LATE);
    yield* createReadStream(join(this.#folders.www, name)) as AsyncIterable<Buffer>;
  }

  async #echo(url: URL, name: string, target: string): Promise<void> {
    let length = 0;
    const counted = this.#body(name).pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          length += chunk.length;
          controller.enqueue(chunk);
        },
      }),
    );
    const request = new Request(url, { method: "POST", body: counted, duplex: "half" } as RequestInit);
    const trailing = this.#testcase === "http3trailers";
    const trailers = { trailers: () => ({ [TRAILER]: String(length) }) };
    const response = await this.#client.roundTrip(request, trailing ? trailers : {});
    this.#connections.add(response.stream.connection.quic);
    if (response.status !== 200) throw new Error(`${url.href}: status ${response.status}`);
    await save(response.body!, target);
    const got = (await response.trailers).get(TRAILER);
    if (trailing && got !== String(length)) throw new Error(`the trailer says ${got} in place of ${length}`);
  }

  async #upload(url: URL, name: string, target: string): Promise<void> {
    const init = { method: "PUT", body: Readable.toWeb(Readable.from(this.#lateBody(name))), duplex: "half" };
    const response = await this.#client.roundTrip(new Request(url, init as RequestInit));
    this.#connections.add(response.stream.connection.quic);
    if (!response.ok) throw new Error(`${url.href}: status ${response.status}`);
    if (response.body !== null) await save(response.body, target);
  }
}

/** Fetches `urls` into a folder. Gives what each connection has counted. */
export async function fetchHttp3(
  urls: readonly URL[],
  folders: Folders,
  testcase: string,
  options: RoundTripperOptions,
): Promise<ConnectionStatistics[]> {
  const { ALPNProtocols: _, ...tls } = options.tls as { ALPNProtocols?: unknown };
  const host = urls[0]!.hostname;
  const made = (own: Partial<RoundTripperOptions>): Fetcher => {
    const client = new RoundTripper({
      ...options,
      tls,
      transport: { address: host.startsWith("[") ? "::" : "0.0.0.0" },
      ...own,
    });
    return new Fetcher(client, folders, testcase);
  };
  if (testcase === "http3zerortt") {
    const sessionCache = memorySessionCache();
    const ticket = new Promise<void>((resolve) => {
      Object.assign(tls, { sessionCache, onSessionTicket: () => resolve() });
    });
    const first = made({});
    await first.fetch(urls[0]!);
    await ticket;
    await first.close();
    const second = made({ earlyData: true });
    await Promise.all(urls.slice(1).map((url) => second.fetch(url)));
    const stats = [...first.stats(), ...second.stats()];
    await second.close();
    return stats;
  }
  const fetcher = made({});
  try {
    if (testcase === "http3goaway") for (const url of urls) await fetcher.fetch(url);
    else await Promise.all(urls.map((url) => fetcher.fetch(url)));
    return fetcher.stats();
  } finally {
    await fetcher.close();
  }
}

const save = (body: ReadableStream<Uint8Array>, target: string): Promise<void> =>
  pipeline(Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]), createWriteStream(target));
