// `get URL…`: fetches files over HTTP/0.9 on QUIC, one connection for each server.

import { createWriteStream } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Transport, type TlsOptions } from "../../src/index.ts";
import { fetchHq, HQ_ALPN } from "../hq/client.ts";
import { Progress } from "./progress.ts";

/** Options of {@link get}. */
export interface GetOptions {
  /** Folder to write to; without one the content goes to standard output. */
  output?: string;
  /** PEM file with authorities to trust. */
  ca?: string;
  insecure?: boolean;
}

/** Fetches all URLs; rejects with the first error after trying each. */
export async function get(urls: readonly string[], options: GetOptions): Promise<void> {
  const byHost = new Map<string, URL[]>();
  for (const text of urls) {
    const url = new URL(text.includes("://") ? text : `https://${text}`);
    byHost.set(url.host, [...(byHost.get(url.host) ?? []), url]);
  }
  const tls: TlsOptions = { ALPNProtocols: [HQ_ALPN] };
  if (options.ca !== undefined) tls.ca = await readFile(options.ca);
  if (options.insecure === true) tls.rejectUnauthorized = false;
  if (options.output !== undefined) await mkdir(options.output, { recursive: true });
  await using transport = new Transport();
  const progress = new Progress(options.output !== undefined);
  let failure: unknown;
  for (const group of byHost.values()) {
    const { hostname, port } = group[0]!;
    const host = hostname.replace(/^\[|\]$/g, "");
    try {
      const connection = await transport.dial({ host, port: Number(port || 443) }, tls);
      const results = await Promise.allSettled(
        group.map((url) => {
          const body = progress.watch(fetchHq(connection, url.pathname + url.search), url.pathname);
          return options.output === undefined ? toStdout(body) : toFile(body, options.output, url);
        }),
      );
      failure ??= results.find((result) => result.status === "rejected")?.reason;
      await connection.close();
    } catch (error) {
      failure ??= error;
    }
  }
  progress.stop();
  if (failure !== undefined) throw failure;
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
