// The examples in doc comments and in the README run when they are pasted: each is written to a file, with what it
// leaves out for brevity put in front, and run against real sockets.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";

const root = join(import.meta.dirname, "../..");
const entry = pathToFileURL(join(root, "src/index.ts")).href;
const folder = mkdtempSync(join(tmpdir(), "quic-ts-examples-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** An echo server on `port`, for examples that dial; what an example names and does not make. */
const SURROUNDINGS = `
import * as all from ${JSON.stringify(entry)};
const { DeliveryRate, Error0RTTRejected, QuicLbDecoder, QuicLbGenerator, QuicVersion, acceptFrom, memoryReplayFilter, memorySessionCache, memoryTokenStore, refuse, selfSigned, listenAddr: realListen, dialAddr: realDial, listenAddrEarly: realListenEarly, dialAddrEarly: realDialEarly } = all;
class Transport extends all.Transport {
  constructor({ port, ...options } = {}) {
    super({ address: "127.0.0.1", ...options });
  }
  dialEarly(target, ...more) {
    return super.dialEarly("127.0.0.1:" + String(echo.address().port), ...more);
  }
}
const made = selfSigned();
const echo = await new Transport({ address: "127.0.0.1" }).listen({ ...made, ALPNProtocols: ["echo"] });
void (async () => {
  for await (const conn of echo)
    void (async () => {
      for await (const stream of conn.incomingStreams()) void stream.sink(stream.source).catch(() => {});
    })();
})();
const ca = made.cert;
`;

/** The same for examples of HTTP/3: a server at the place where they look for one. */
const http3Entry = pathToFileURL(join(root, "http3/index.ts")).href;
const HTTP3_SURROUNDINGS = `
import * as quic from ${JSON.stringify(entry)};
import * as http3 from ${JSON.stringify(http3Entry)};
const made = quic.selfSigned();
const ca = made.cert;
const there = new http3.Server({ ...made, fetch: () => new Response("hello") });
await there.listen(0, "127.0.0.1");
const { port } = there.address();
`;

function http3Program(example: string): string {
  const body = example
    .replaceAll(/^import (\{[^}]*\}) from "quic-ts\/http3";$/gm, "const $1 = http3;")
    .replaceAll(/^import (\{[^}]*\}) from ("node:[a-z0-9]+");$/gm, "const $1 = await import($2);")
    .replaceAll(/^import (\{[^}]*\}) from "quic-ts";$/gm, "const $1 = quic;")
    // The reader's own package, which no example gets as far as to use.
    .replaceAll(/^import \{ WebSocket \} from "ws";$/gm, "class WebSocket {}")
    .replaceAll(/"https:\/\/localhost:4433([^"]*)"/g, "`https://localhost:${port}$1`")
    .replaceAll(/\.listen\(4433/g, ".listen(0");
  assert.doesNotMatch(body, /^import .*quic-ts/m);
  return `${HTTP3_SURROUNDINGS}\n{\n${body}\n}\nconsole.log("ran to its end");\nprocess.exit(0);\n`;
}

/** Ports in examples are for readers; here any free one is taken. */
function program(example: string): string {
  const body = example
    .replaceAll(/listenAddr(Early)?\(\s*(?:4433|"[^"]*")/g, 'realListen$1("127.0.0.1:0"')
    .replaceAll(/dialAddr(Early)?\(\s*"[^"]*"/g, "realDial$1(`127.0.0.1:${echo.address().port}`");
  return `${SURROUNDINGS}\n{\n${body}\n}\nconsole.log("ran to its end");\nprocess.exit(0);\n`;
}

async function run(source: string, name: string): Promise<void> {
  const file = join(folder, name);
  writeFileSync(file, source);
  const child = spawn(process.execPath, ["--import", "tsx", file], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 8000,
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk) => (out += String(chunk)));
  child.stderr.on("data", (chunk) => (err += String(chunk)));
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(code, 0, `${source}\n${err}`);
  assert.match(out, /ran to its end/);
}

let count = 0;
const sources = ["src", "http3"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((one) => one.endsWith(".ts"))
    .map((one) => `${folder}/${one}`),
);
for (const name of sources) {
  const source = readFileSync(join(root, name), "utf8");
  for (const [, comment] of source.matchAll(/\/\*\*([\s\S]*?)\*\//g)) {
    const example = /@example\n([\s\S]*?)(?=\n\s*\*\s*@|\n\s*\*\s*$|\n\s*$|$)/.exec(comment!)?.[1];
    if (example === undefined) continue;
    const code = example.replaceAll(/^\s*\* ?/gm, "");
    const number = ++count;
    const make = name.startsWith("http3/") ? http3Program : program;
    test(`${name}: example ${number}`, () => run(make(code), `example-${number}.mts`));
  }
}

/** A UDP port that nobody has at this moment. */
async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

test("README: the server and the client run as two pasted files", async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const blocks = [...readme.matchAll(/```ts run\n([\s\S]*?)```/g)].map((match) => match[1]!);
  assert.equal(blocks.length, 2);
  const port = await freePort();
  const paste = (block: string, name: string): string => {
    assert.match(block, /"quic-ts"/);
    assert.match(block, /:4433/);
    const file = join(folder, name);
    const here = block.replace('"quic-ts"', JSON.stringify(entry)).replaceAll(":4433", `:${port}`);
    // The client needs the certificate that the server writes.
    writeFileSync(
      file,
      here.replace("for await (const conn", 'console.log("ready");\nfor await (const conn'),
    );
    return file;
  };
  const options = { cwd: folder, timeout: 8000 };
  const tsx = import.meta.resolve("tsx");
  const server = spawn(process.execPath, ["--import", tsx, paste(blocks[0]!, "server.mts")], {
    ...options,
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await once(server.stdout, "data");
    const client = spawn(process.execPath, ["--import", tsx, paste(blocks[1]!, "client.mts")], {
      ...options,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let out = "";
    client.stdout.on("data", (chunk) => (out += String(chunk)));
    const [code] = (await once(client, "close")) as [number];
    assert.equal(code, 0);
    assert.equal(out.trim(), "hello over QUIC");
  } finally {
    server.kill();
  }
});

test("there are examples", () => assert.ok(count >= 2));
