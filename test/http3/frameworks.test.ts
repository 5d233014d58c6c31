// Frameworks that are written for node:http and node:http2, and files of a folder.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createSecureServer, RoundTripper, serveFiles, type Server } from "../../http3/index.ts";
import { noUnhandledRejections, pattern, until } from "../integration/pair.ts";
import { CLIENT, IDENTITY, serving } from "./serving.ts";

noUnhandledRejections();
const timeout = 10_000;

test("express: routes, bodies, errors, files", { timeout }, async () => {
  // It has no types of its own.
  const name: string = "express";
  const { default: express } = (await import(name)) as { default: Express };
  const app = express();
  app.use(express.json());
  app.post("/users/:id", (req, res) =>
    res.status(201).json({ id: req.params.id, name: req.body.name, ip: req.ip }),
  );
  app.get("/throws", () => {
    throw new Error("thrown in express");
  });
  app.get("/redirect", (_req, res) => res.redirect("/elsewhere"));
  app.get("/file", (_req, res) => res.sendFile(import.meta.filename));
  await using pair = await serving({ handler: app });
  const post = await pair.fetch("/users/7", {
    method: "POST",
    body: '{"name":"Ada"}',
    // Its parser looks at no body whose length it does not know, as HTTP/3 allows them.
    headers: { "content-type": "application/json", "content-length": "14" },
  });
  assert.equal(post.status, 201);
  assert.deepEqual(await post.json(), { id: "7", name: "Ada", ip: "127.0.0.1" });
  const silent = console.error;
  console.error = () => {};
  const failed = await pair.fetch("/throws").finally(() => (console.error = silent));
  assert.equal(failed.status, 500);
  assert.match(await failed.text(), /thrown in express/);
  assert.equal((await pair.fetch("/redirect")).headers.get("location"), "/elsewhere");
  assert.match(await (await pair.fetch("/file")).text(), /^\/\/ Frameworks/);
  assert.equal((await pair.fetch("/nothing")).status, 404);
  assert.deepEqual(pair.failures, []);
});

interface ExpressRequest {
  params: Record<string, string>;
  body: { name: string };
  ip: string;
}
interface ExpressResponse {
  status(code: number): ExpressResponse;
  json(value: unknown): void;
  redirect(to: string): void;
  sendFile(path: string): void;
}
type Route = (path: string, handler: (req: ExpressRequest, res: ExpressResponse) => unknown) => void;
interface Express {
  (): ((req: unknown, res: unknown) => void) & { use(handler: unknown): void; get: Route; post: Route };
  json(): unknown;
}

test("Hono's serve takes createSecureServer", { timeout }, async () => {
  const app = new Hono();
  app.get("/hello/:name", (c) => c.text(`hello ${c.req.param("name")}`));
  app.post("/echo", async (c) => c.json(await c.req.json()));
  app.get("/stream", () => new Response(new Blob(["a", "stream"]).stream(), { headers: { "x-one": "1" } }));
  app.get("/throws", () => {
    throw new Error("thrown in Hono");
  });
  app.onError((error, c) => c.text(error.message, 500));
  const server = await new Promise<Server>((resolve) => {
    const made = serve(
      {
        fetch: app.fetch,
        port: 0,
        hostname: "127.0.0.1",
        createServer: createSecureServer,
        serverOptions: IDENTITY,
      },
      () => resolve(made as unknown as Server),
    );
  });
  await using client = new RoundTripper(CLIENT);
  const fetch = (path: string, init?: RequestInit) =>
    client.roundTrip(new Request(`https://localhost:${server.address()!.port}${path}`, init));
  assert.equal(await (await fetch("/hello/you")).text(), "hello you");
  const echo = await fetch("/echo", { method: "POST", body: '{"a":1}' });
  assert.deepEqual(await echo.json(), { a: 1 });
  const stream = await fetch("/stream");
  assert.equal(stream.headers.get("x-one"), "1");
  assert.equal(await stream.text(), "astream");
  const failed = await fetch("/throws");
  assert.equal(failed.status, 500);
  assert.equal(await failed.text(), "thrown in Hono");
  assert.equal((await fetch("/nothing")).status, 404);
  await until(() => [...server.connections][0]!.activeRequests === 0, "all to be over");
  await server.close();
});

const outer = await mkdtemp(join(tmpdir(), "quic-ts-files-"));
const folder = join(outer, "www");
const content = pattern(500_000);
await mkdir(join(folder, "sub"), { recursive: true });
await writeFile(join(folder, "large.bin"), content);
await writeFile(join(folder, "page.html"), "<p>page</p>");
await writeFile(join(folder, "sub", "index.html"), "<p>index</p>");
await writeFile(join(folder, ".hidden"), "hidden");
await writeFile(join(outer, "secret"), "secret");
await symlink(join(outer, "secret"), join(folder, "link"));
after(() => rm(outer, { recursive: true, force: true }));

test("files: content types, ranges, conditions, HEAD", { timeout }, async () => {
  await using pair = await serving({ handler: serveFiles(folder) });
  const whole = await pair.fetch("/large.bin");
  assert.equal(whole.headers.get("content-length"), "500000");
  assert.equal(Buffer.compare(new Uint8Array(await whole.arrayBuffer()), content), 0);
  const page = await pair.fetch("/page.html?x=y");
  assert.match(page.headers.get("content-type")!, /^text\/html/);
  assert.equal(await page.text(), "<p>page</p>");
  const head = await pair.fetch("/large.bin", { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), "500000");

  // rfc9110#14.2, rfc9110#15.3.7
  const part = await pair.fetch("/large.bin", { headers: { range: "bytes=1000-1999" } });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get("content-range"), "bytes 1000-1999/500000");
  assert.equal(Buffer.compare(new Uint8Array(await part.arrayBuffer()), content.subarray(1000, 2000)), 0);
  const beyond = await pair.fetch("/large.bin", { headers: { range: "bytes=500000-" } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers.get("content-range"), "bytes */500000");

  // rfc9110#13.1
  const etag = page.headers.get("etag")!;
  const status = async (headers: HeadersInit) => (await pair.fetch("/page.html", { headers })).status;
  assert.equal(await status({ "if-none-match": etag }), 304);
  assert.equal(await status({ "if-none-match": '"other"' }), 200);
  assert.equal(await status({ "if-modified-since": page.headers.get("last-modified")! }), 304);
  assert.equal(await status({ "if-match": '"other"' }), 412);
  assert.equal(await status({ range: "bytes=0-1", "if-range": '"other"' }), 200);

  const folderItself = await pair.fetch("/sub");
  assert.equal(folderItself.status, 301);
  assert.equal(folderItself.headers.get("location"), "/sub/");
  assert.equal(await (await pair.fetch("/sub/")).text(), "<p>index</p>");
  assert.equal((await pair.fetch("/page.html", { method: "DELETE" })).status, 405);
  assert.deepEqual(pair.failures, []);
});

test("what leads out of the folder does not exist", { timeout }, async () => {
  await using pair = await serving({ handler: serveFiles(folder) });
  const connection = await pair.client.connect(pair.origin);
  // URLs would be tidied up by Request: these go as they are.
  for (const path of [
    "/link",
    "/.hidden",
    "/../secret",
    "/%2e%2e/secret",
    "/sub/..%2f..%2fsecret",
    "/none",
    "/%00",
    "/%zz",
    "/",
  ]) {
    const stream = await connection.request({ method: "GET", scheme: "https", authority: "localhost", path });
    await stream.end();
    const { status } = await stream.response();
    assert.ok(status === 404 || status === 403 || status === 400, `${path} gave ${status}`);
    stream.cancel();
  }
  await until(() => [...pair.server.connections][0]!.activeRequests === 0, "all to be over");
});
