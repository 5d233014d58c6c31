// The server that the browser visits: a process of its own, so that it can die without a word. Told what to do by messages.

import { createHash } from "node:crypto";
import type { RequestContext, ServerOptions } from "../../http3/index.ts";
import { Server } from "../../http3/index.ts";
import { Transport } from "../../src/index.ts";
import { page, resource } from "./page.ts";
import type { Command, Report, Settings } from "./protocol.ts";

const settings = JSON.parse(process.argv[2]!) as Settings;
const say = (report: Report): void => void process.send!(report);
const counts = { requests: 0, early: 0, aborted: 0, connections: 0, resumed: 0 };
/** Requests that came in 0-RTT, by path. */
const earlyPaths: string[] = [];

async function upload(request: Request): Promise<Response> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of request.body!) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return Response.json({ bytes, sha256: hash.digest("hex") });
}

/** A download that ends when the browser has had enough of it. */
function endless(context: RequestContext): Response {
  const chunk = new Uint8Array(16_384).fill(97);
  context.stream.signal.addEventListener("abort", () => counts.aborted++, { once: true });
  return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) }));
}

const fetch: ServerOptions["fetch"] = (request, context) => {
  counts.requests++;
  const url = new URL(request.url);
  if (context.stream.stream.early) {
    counts.early++;
    earlyPaths.push(url.pathname);
  }
  if (url.pathname === "/") return page(Number(url.searchParams.get("resources") ?? 0));
  if (url.pathname === "/upload" && request.method === "POST") return upload(request);
  if (url.pathname === "/endless") return endless(context);
  return resource(url.pathname) ?? new Response("there is no such thing", { status: 404 });
};

const transport = new Transport({
  address: "127.0.0.1",
  port: settings.port,
  statelessResetKey: Buffer.from(settings.statelessResetKey, "hex"),
});
const { cert, key } = settings;
const server = new Server({ cert, key, transport, fetch, config: { earlyData: true } });
server.on("connection", ({ quic }) => {
  counts.connections++;
  if (quic.connectionState().didResume) counts.resumed++;
});
server.on("handlerError", (error) => say({ kind: "failure", message: String(error) }));

process.on("message", ({ id, order }: Command) => {
  if (order === "disconnect") for (const connection of server.connections) connection.close();
  say({
    kind: "answer",
    id,
    counts,
    earlyPaths,
    statelessResets: transport.stats().statelessSent.stateless_reset,
  });
});
process.on("disconnect", () => process.exit(0));

await server.listen();
say({ kind: "listening", port: server.address()!.port });
