// The main job: an HTTP/3 server and a client as two processes on loopback; one 100 MB file and 200 small ones, each verified.

import { fork, type ChildProcess } from "node:child_process";
import { createHash, randomFillSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RoundTripper } from "../../http3/index.ts";
import { selfSigned } from "../../src/index.ts";

const LARGE = 100_000_000;
const SMALL_FILES = 200;
const SMALL = 10_000;

interface Ready {
  readonly port: number;
}

const folder = await mkdtemp(join(tmpdir(), "quic-ts-main-"));
let server: ChildProcess | null = null;
try {
  console.log(`Making one file of ${LARGE / 1e6} MB and ${SMALL_FILES} of ${SMALL / 1e3} kB …`);
  const sums = new Map<string, string>();
  await makeFile("large", LARGE);
  for (let i = 0; i < SMALL_FILES; i++) await makeFile(`small-${i}`, SMALL);
  const { cert, key } = selfSigned();

  // The same command runs from the sources and from what was built of them.
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  server = fork(fileURLToPath(new URL(`./server.${extension}`, import.meta.url)));
  const { port } = await new Promise<Ready>((resolve, reject) => {
    server!.once("message", (message) => resolve(message as Ready));
    server!.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    server!.send({ folder, cert, key });
  });

  await using client = new RoundTripper({ tls: { ca: cert } });
  const origin = `https://localhost:${port}`;
  const begun = performance.now();
  const { quic } = await client.connect(origin);
  const { cipher, alpnProtocol } = quic.connectionState();
  console.log(`Handshake: ${(performance.now() - begun).toFixed(1)} ms, ${cipher}, ALPN ${alpnProtocol}`);

  const large = performance.now();
  await check("large");
  const largeSeconds = (performance.now() - large) / 1000;
  console.log(`Large file: ${(LARGE / 1e6 / largeSeconds).toFixed(1)} MB/s, SHA-256 verified`);

  const small = performance.now();
  await Promise.all(Array.from({ length: SMALL_FILES }, (_, i) => check(`small-${i}`)));
  const smallSeconds = (performance.now() - small) / 1000;
  console.log(
    `${SMALL_FILES} small files: ${(SMALL_FILES / smallSeconds).toFixed(0)} files/s, SHA-256 of each verified`,
  );

  const stats = quic.stats();
  console.log(
    `RTT ${stats.smoothedRtt.toFixed(2)} ms (least ${stats.minRtt.toFixed(2)}), ` +
      `${stats.packetsReceived} packets received, ${stats.packetsSent} sent, ${stats.packetsLost} lost, ` +
      `${stats.packetsDropped} dropped`,
  );
  if (client.connections.size !== 1) throw new Error("one connection was to carry it all");
  await client.shutdown();
  console.log("Done.");

  async function check(name: string): Promise<void> {
    const hash = createHash("sha256");
    const response = await client.roundTrip(new Request(`${origin}/${name}`));
    if (response.status !== 200) throw new Error(`${name}: the server says ${response.status}`);
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) hash.update(chunk);
    if (hash.digest("hex") !== sums.get(name)) throw new Error(`${name} arrived damaged`);
  }

  async function makeFile(name: string, size: number): Promise<void> {
    const content = randomFillSync(Buffer.alloc(size));
    sums.set(name, createHash("sha256").update(content).digest("hex"));
    await writeFile(join(folder, name), content);
  }
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  server?.disconnect();
  await rm(folder, { recursive: true, force: true });
}
