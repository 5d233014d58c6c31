// `get URL…`: fetches files over HTTP/3, one connection for each server; or over HTTP/0.9.

import { createWriteStream } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { RoundTripper } from "../../http3/index.ts";
import { type Connection, Transport, type TlsOptions } from "../../src/index.ts";
import { fetchHq, HQ_ALPN } from "../hq/client.ts";
import { Progress } from "./progress.ts";

/** Options of {@link get}. */
export interface GetOptions {
  /** Folder to write to; without one the content goes to standard output. */
  output?: string;
  /** PEM file with authorities to trust. */
  ca?: string;
  insecure?: boolean;
  /** HTTP/0.9 over QUIC in place of HTTP/3. */
  hq?: boolean;
}

/** Gives the content of a URL. */
type Fetch = (url: URL) => AsyncIterable<Uint8Array>;

/** Fetches all URLs; rejects with the first error after trying each. */
export async function get(urls: readonly string[], options: GetOptions): Promise<void> {
  const tls: Omit<TlsOptions, "ALPNProtocols"> = {};
  if (options.ca !== undefined) tls.ca = await readFile(options.ca);
  if (options.insecure === true) tls.rejectUnauthorized = false;
  if (options.output !== undefined) await mkdir(options.output, { recursive: true });
  await using transport = new Transport();
  await using client = new RoundTripper({ tls, transport });
  const fetch = options.hq === true ? overHq(transport, tls) : overHttp3(client);
  const progress = new Progress(options.output !== undefined);
  const results = await Promise.allSettled(
    urls.map((text) => {
      const url = new URL(text.includes("://") ? text : `https://${text}`);
      const body = progress.watch(fetch(url), url.pathname);
      return options.output === undefined ? toStdout(body) : toFile(body, options.output, url);
    }),
  );
  progress.stop();
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function overHttp3(client: RoundTripper): Fetch {
  return async function* (url) {
    const response = await client.roundTrip(new Request(url));
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`${url.href}: the server says ${response.status}`);
    }
    if (response.body !== null) yield* response.body as unknown as AsyncIterable<Uint8Array>;
  };
}

function overHq(transport: Transport, tls: Omit<TlsOptions, "ALPNProtocols">): Fetch {
  const connections = new Map<string, Promise<Connection>>();
  return async function* ({ host, hostname, port, pathname, search }) {
    let connection = connections.get(host);
    if (connection === undefined) {
      const target = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 443) };
      connection = transport.dial(target, { ...tls, ALPNProtocols: [HQ_ALPN] });
      connections.set(host, connection);
    }
    yield* fetchHq(await connection, pathname + search);
  };
}

/** Under its own name only once it is whole. */
async function toFile(body: AsyncIterable<Uint8Array>, folder: string, url: URL): Promise<void> {
  const target = join(folder, basename(decodeURIComponent(url.pathname)) || "index");
  const part = `${target}.part`;
  try {
    await pipeline(body, createWriteStream(part));
    await rename(part, target);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

async function toStdout(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of body) {
    if (!process.stdout.write(chunk)) await new Promise((resolve) => process.stdout.once("drain", resolve));
  }
}
