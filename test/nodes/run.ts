// `npm run test:nodes`: the package as it is published, in the versions of Node that npm has: their own fetch gets pages over
// HTTP/3, from a server of ours in the same Node and from nginx; so does the package undici. What cannot be installed is
// skipped by name.

import assert from "node:assert/strict";
import { type ChildProcess, execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { compile } from "../bench/build/tree.ts";
import { writeCertificates } from "../interop/certificates.ts";
import { implementations, start } from "../interop/implementations.ts";
import { pack } from "../package/pack.ts";
import { npmInstall } from "../tools/npm.ts";
import type { Order, Report } from "./visit.ts";

interface Case {
  /** Of npm's package `node`. */
  readonly node: string;
  /** The newest undici that runs in it. */
  readonly undici: string;
  /** How its own fetch calls a dispatcher. */
  readonly shape: "onConnect" | "onRequestStart";
}

const CASES: readonly Case[] = [
  { node: "20", undici: "7", shape: "onConnect" },
  { node: "24", undici: "latest", shape: "onConnect" },
  { node: "26", undici: "latest", shape: "onRequestStart" },
];
const PAGE = "a page\n";
const CACHE = process.env["QUIC_TS_NODES_CACHE"] ?? join(import.meta.dirname, ".cache");
const timeout = 60_000;
const exec = promisify(execFile);
const sha256 = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex");

const work = mkdtempSync(join(tmpdir(), "quic-ts-nodes-"));
/** nginx, or why there is none. */
let elsewhere: Order["elsewhere"] = null;
let without: string | null = null;
let nginx: ChildProcess | null = null;
let tarball = "";

async function freePort(): Promise<number> {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  await new Promise<void>((resolve) => void socket.close(resolve));
  return port;
}

/** Starts nginx with a page. Returns why it cannot be had, or null. */
async function startNginx(): Promise<string | null> {
  const implementation = implementations().get("nginx")!;
  const reason = await implementation.prepare();
  if (reason !== null) return reason;
  const folder = join(work, "nginx");
  for (const part of ["www", "certs"]) mkdirSync(join(folder, part), { recursive: true });
  writeCertificates(join(folder, "certs"), 0);
  writeFileSync(join(folder, "www", "index.html"), PAGE);
  const port = await freePort();
  const common = { testcase: "http3", requests: [], keyLog: join(folder, "keys"), qlog: null } as const;
  const { child, command } = start(implementation, {
    ...common,
    role: "server",
    folder,
    listen: "127.0.0.1",
    port,
  });
  nginx = child;
  let words = "";
  child.stderr!.on("data", (data: Buffer) => (words += data.toString()));
  while (!existsSync(command.readyFile!)) {
    assert.equal(child.exitCode, null, `nginx did not start: ${words}`);
    await sleep(20);
  }
  elsewhere = { url: `https://localhost:${port}/`, ca: join(folder, "certs", "ca.pem") };
  return null;
}

/** A folder as a user's project is: the package and undici, and the program. */
async function project({ node, undici }: Case): Promise<string> {
  const folder = join(work, `node-${node}`);
  const reason = await npmInstall(folder, [tarball, `undici@${undici}`]);
  assert.equal(reason, null);
  const source = join(import.meta.dirname, "visit.ts");
  writeFileSync(join(folder, "visit.mjs"), compile(readFileSync(source, "utf8"), source, null));
  return folder;
}

describe("other versions of Node", { timeout: 240_000 }, () => {
  before(async () => {
    tarball = pack(work);
    without = await startNginx();
  });
  after(async () => {
    nginx?.kill();
    if (nginx !== null && nginx.exitCode === null) await once(nginx, "close");
    rmSync(work, { recursive: true, force: true });
  });

  for (const each of CASES) {
    test(`Node ${each.node}, undici ${each.undici}`, { timeout }, async (t) => {
      const home = join(CACHE, `node-${each.node}`);
      const reason = await npmInstall(home, [`node@${each.node}`]);
      if (reason !== null) return t.skip(`Node ${each.node} cannot be had: ${reason}`);
      const program = join(
        home,
        "node_modules",
        "node",
        "bin",
        process.platform === "win32" ? "node.exe" : "node",
      );
      const order: Order = { elsewhere };
      const { stdout } = await exec(program, ["visit.mjs", JSON.stringify(order)], {
        cwd: await project(each),
        timeout,
      });
      const { node, builtIn, visits } = JSON.parse(stdout) as Report;
      assert.match(node, new RegExp(`^v${each.node}\\.`));
      t.diagnostic(`${node} with undici ${builtIn} within`);
      const hash = { page: sha256(PAGE), upload: sha256(new Uint8Array(1_000_000).fill(7)) };
      for (const { server, by, status, sha256: got, name, shapes } of visits) {
        const what = `${by} from ${server}`;
        assert.equal(status, 200, what);
        assert.equal(got, by.endsWith("upload") ? hash.upload : hash.page, what);
        // undici.request of the case and nginx's version are not looked at.
        if (server === "elsewhere" && name !== null) assert.match(name, /^nginx/, what);
        // The package's own handlers are of any shape, also those with which its setGlobalDispatcher wraps the built-in ones.
        if (by === "fetch") assert.deepEqual(shapes, [each.shape], what);
        else assert.equal(shapes.length, 1, what);
      }
      const ways = (of: string) => visits.filter(({ server }) => server === of).map(({ by }) => by);
      const pages = ["fetch", "undici.fetch", "undici.request", "fetch, global", "undici.fetch, global"];
      assert.deepEqual(ways("ours"), [...pages, "fetch, upload"]);
      assert.deepEqual(ways("http/1"), ["fetch, global"]);
      if (without === null) assert.deepEqual(ways("elsewhere"), pages);
      else t.diagnostic(`without nginx: ${without}`);
    });
  }
});
