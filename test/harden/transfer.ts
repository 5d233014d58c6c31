// One process, both ends, real sockets: so many megabytes there and back, every byte looked at. Says what is left.
//   transfer.ts MEGABYTES [SECONDS]    with SECONDS: connection after connection until they are over

import { readdirSync } from "node:fs";
import { loadLibCrypto } from "../../internal/ffi/libcrypto.ts";
import { type Connection, type Listener, selfSigned, Transport } from "../../src/index.ts";

const { cert, key } = selfSigned();
const tls = { cert, key, ca: cert, ALPNProtocols: ["harden"] };
const CHUNK = 65_521;
const chunk = Uint8Array.from({ length: CHUNK }, (_, i) => (i * 31 + (i >> 8) * 7) & 0xff);

async function echo(listener: Listener): Promise<void> {
  for await (const connection of listener) {
    void (async () => {
      for await (const stream of connection.incomingStreams())
        void stream.sink(stream.source).catch(() => {});
    })().catch(() => {});
  }
}

async function roundTrip(connection: Connection, bytes: number): Promise<void> {
  const stream = await connection.openStream();
  const writing = (async () => {
    for (let sent = 0; sent < bytes; sent += CHUNK) await stream.write(chunk.subarray(0, bytes - sent));
    stream.close();
  })();
  let got = 0;
  for await (const part of stream) {
    for (let at = 0; at < part.length;) {
      const from = (got + at) % CHUNK;
      const n = Math.min(part.length - at, CHUNK - from);
      if (Buffer.compare(part.subarray(at, at + n), chunk.subarray(from, from + n)) !== 0) {
        throw new Error(`wrong bytes at ${got + at}`);
      }
      at += n;
    }
    got += part.length;
  }
  await writing;
  if (got !== bytes) throw new Error(`${got} of ${bytes} bytes came back`);
}

/** After a collection. */
function inUse(): { heap: number; external: number; rss: number; files: number; contexts: number } {
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 4; i++) gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  const files = process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
  return { heap: heapUsed, external, rss, files, contexts: loadLibCrypto()?.contexts ?? 0 };
}

const megabytes = Number(process.argv[2] ?? 10);
const seconds = Number(process.argv[3] ?? 0);
const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 25));
};

async function round(): Promise<string> {
  const acceptor = new Transport({ address: "127.0.0.1" });
  const dialer = new Transport({ address: "127.0.0.1" });
  const listener = await acceptor.listen(tls);
  void echo(listener);
  const target = { host: "127.0.0.1", port: listener.address().port };
  const connection = await dialer.dial(target, tls, { handshakeTimeout: 120_000, maxIdleTimeout: 120_000 });
  const { kind } = connection.connectionState().socket;
  await roundTrip(connection, megabytes * 1e6);
  await connection.close();
  await Promise.all([dialer.close(), acceptor.close()]);
  return kind;
}

const kind = await round();
const samples = [];
if (seconds > 0) {
  // What is compiled and cached on the way comes before the first sample.
  for (let i = 0; i < 10; i++) await round();
  await settle();
  samples.push(inUse());
  const end = performance.now() + seconds * 1000;
  let rounds = 0;
  while (performance.now() < end) {
    await round();
    rounds++;
  }
  await settle();
  samples.push({ ...inUse(), rounds });
} else {
  await settle();
  samples.push(inUse());
}
console.log(JSON.stringify({ kind, samples }));
