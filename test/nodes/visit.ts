// What a user's program does, with the package as it is published, in the Node that runs it: serves a page over HTTP/3 and
// gets pages, from itself and from others. Says what it saw as JSON. Compiled, since old versions of Node take no TypeScript.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** What a user would import by name; typed by the sources that the package is made of. */
const load = (name: string): Promise<unknown> => import(name);
const quic = (await load("quic-ts")) as typeof import("../../src/index.ts");
const http3 = (await load("quic-ts/http3")) as typeof import("../../http3/index.ts");
const undici = (await load("undici")) as {
  fetch: typeof fetch;
  request(url: string, options: object): Promise<{ statusCode: number; body: { text(): Promise<string> } }>;
  setGlobalDispatcher(dispatcher: object): void;
};

export interface Order {
  /** A page of somebody else's server, and who signed for it. */
  readonly elsewhere: { readonly url: string; readonly ca: string } | null;
}

/** One page. */
export interface Visit {
  readonly server: "ours" | "elsewhere" | "http/1";
  /** What was called, and how it came by the dispatcher. */
  readonly by: string;
  readonly status: number;
  /** The `server` field. */
  readonly name: string | null;
  readonly sha256: string;
  /** Shapes of the handlers that reached the dispatcher meanwhile. */
  readonly shapes: readonly string[];
}

export interface Report {
  readonly node: string;
  /** The undici that is built in, and the package. */
  readonly builtIn: string;
  readonly visits: readonly Visit[];
}

const order = JSON.parse(process.argv[2]!) as Order;
const visits: Visit[] = [];
const shapes = new Set<string>();

/** Notes how it is called. */
class Watched extends http3.Http3Dispatcher {
  override dispatch(
    ...[options, handler]: Parameters<InstanceType<typeof http3.Http3Dispatcher>["dispatch"]>
  ) {
    shapes.add("onRequestStart" in handler ? "onRequestStart" : "onConnect");
    return super.dispatch(options, handler);
  }
}

const sha256 = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex");

async function visit(server: Visit["server"], by: string, get: () => Promise<Response>): Promise<void> {
  shapes.clear();
  const response = await get();
  const content = new Uint8Array(await response.arrayBuffer());
  visits.push({
    server,
    by,
    status: response.status,
    name: response.headers.get("server"),
    sha256: sha256(content),
    shapes: [...shapes],
  });
}

/** All ways to a page. */
async function everyWay(server: Visit["server"], url: string, ca: string): Promise<void> {
  const dispatcher = new Watched({
    tls: { ca },
    fallback: http3.builtInDispatcher(),
    attempt: "always",
    fallbackDelay: 10_000,
  });
  const given = { dispatcher } as RequestInit;
  await visit(server, "fetch", () => fetch(url, given));
  await visit(server, "undici.fetch", () => undici.fetch(url, given));
  await visit(server, "undici.request", async () => {
    const { statusCode, body } = await undici.request(url, given);
    return new Response(await body.text(), { status: statusCode });
  });
  const before = http3.builtInDispatcher()!;
  undici.setGlobalDispatcher(dispatcher);
  await visit(server, "fetch, global", () => fetch(url));
  await visit(server, "undici.fetch, global", () => undici.fetch(url));
  if (server === "ours") {
    const { port } = plain.address() as AddressInfo;
    await visit("http/1", "fetch, global", () => fetch(`http://127.0.0.1:${port}/`));
    const body = new Blob([new Uint8Array(1_000_000).fill(7)]);
    const upload = { method: "POST", body: body.stream(), duplex: "half" } as RequestInit;
    await visit(server, "fetch, upload", () => fetch(`${url}echo`, upload));
  }
  undici.setGlobalDispatcher(before);
  await dispatcher.close();
}

const plain = createServer((_request, response) => response.end("a page\n")).listen(0, "127.0.0.1");
const identity = quic.selfSigned();
const ours = new http3.Server({
  ...identity,
  fetch: ({ url, body }) =>
    url.endsWith("/echo") ? new Response(body) : new Response("a page\n", { headers: { server: "quic-ts" } }),
});
await ours.listen(0, "127.0.0.1");
await everyWay("ours", `https://localhost:${ours.address()!.port}/`, identity.cert);
const { elsewhere } = order;
if (elsewhere !== null) await everyWay("elsewhere", elsewhere.url, readFileSync(elsewhere.ca, "utf8"));

await ours.close();
plain.close();
const report: Report = { node: process.version, builtIn: process.versions["undici"] ?? "?", visits };
process.stdout.write(`${JSON.stringify(report)}\n`);
