// One side of a transfer in a process of its own: `server` answers each stream with as many bytes as asked for,
// `client` asks and measures. Talks to its parent by IPC.

import { selfSigned, Transport, type Config } from "../../src/index.ts";

/** Bytes of a datagram in the benchmarks. */
export const DATAGRAM = 1452;
export const CONFIG: Config = { initialPacketSize: DATAGRAM };
const ALPN = "bench";

export interface TransferResult {
  readonly seconds: number;
  readonly bytes: number;
  /** CPU seconds of this process during the transfer. */
  readonly cpu: number;
  /** RSS bytes after the first tenth, and at the end. */
  readonly rssWarm: number;
  readonly rssEnd: number;
}

async function server(): Promise<void> {
  const { cert, key } = selfSigned();
  const transport = new Transport({ address: "127.0.0.1", port: 0 });
  const listener = await transport.listen({ cert, key, ALPNProtocols: [ALPN] }, CONFIG);
  process.send!({ port: listener.address().port, cert });
  process.once("disconnect", () => void transport.close());
  const chunk = new Uint8Array(256 * 1024);
  let cpu0 = process.cpuUsage();
  process.on("message", (message) => {
    if (message === "begin") cpu0 = process.cpuUsage();
    if (message === "cpu") {
      const { user, system } = process.cpuUsage(cpu0);
      process.send!({ cpu: (user + system) / 1e6, rss: process.memoryUsage.rss() });
    }
  });
  for await (const connection of listener) {
    void (async () => {
      for await (const stream of connection.incomingStreams()) {
        const request = new Uint8Array(8);
        let have = 0;
        while (have < 8) have += (await stream.read(request.subarray(have))) ?? 8;
        let left = new DataView(request.buffer).getFloat64(0);
        while (left > 0) left -= await stream.write(left < chunk.length ? chunk.subarray(0, left) : chunk);
        stream.close();
      }
    })().catch(() => {});
  }
}

async function client(port: number, ca: string, bytes: number): Promise<void> {
  const transport = new Transport({ address: "127.0.0.1" });
  const connection = await transport.dial({ host: "127.0.0.1", port }, { ca, ALPNProtocols: [ALPN] }, CONFIG);
  const stream = await connection.openStream();
  const request = new Uint8Array(8);
  new DataView(request.buffer).setFloat64(0, bytes);
  const begun = performance.now();
  const cpu0 = process.cpuUsage();
  await stream.write(request);
  stream.close();
  const buffer = new Uint8Array(256 * 1024);
  let got = 0;
  let rssWarm = 0;
  for (;;) {
    const n = await stream.read(buffer);
    if (n === null) break;
    got += n;
    if (rssWarm === 0 && got > bytes / 10) rssWarm = process.memoryUsage.rss();
  }
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu0);
  const result: TransferResult = {
    seconds,
    bytes: got,
    cpu: (user + system) / 1e6,
    rssWarm,
    rssEnd: process.memoryUsage.rss(),
  };
  process.send!(result);
  await connection.close();
  await transport.close();
  process.disconnect();
}

const [role, port, ca, bytes] = process.argv.slice(2);
if (role === "server") await server();
else if (role === "client") await client(Number(port), ca!, Number(bytes));
