// One process, both ends, real sockets: so many megabytes there and back, every byte looked at. Says what is left.
//   transfer.ts MEGABYTES [SECONDS]    with SECONDS: connection after connection until they are over

import { readdirSync } from "node:fs";
import { getHeapCodeStatistics } from "node:v8";
import { defaultProvider } from "../../internal/crypto/ffi.ts";
import { loadLibCrypto } from "../../internal/ffi/libcrypto.ts";
import { loadLibuv } from "../../internal/ffi/libuv.ts";
import { SPARE_SHARE_TIME } from "../../internal/protocol/limits.ts";
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

interface Sample {
  /** Bytes of V8's heap without code: what is compiled, and compiled anew, still grows after thousands of connections. */
  heap: number;
  external: number;
  rss: number;
  files: number;
  /** Native cipher contexts that keys have, and keys of key agreement. */
  contexts: number;
  /** Handles of ours on libuv's loop. */
  handles: number;
  /** Connections so far. */
  rounds: number;
}

/** After a collection. */
function inUse(rounds: number): Sample {
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 4; i++) gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  const code = getHeapCodeStatistics();
  const files = process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
  return {
    heap: heapUsed - code.code_and_metadata_size - code.bytecode_and_metadata_size,
    external,
    rss,
    files,
    contexts: loadLibCrypto()?.contexts ?? 0,
    handles: loadLibuv()?.handles.size ?? 0,
    rounds,
  };
}

const megabytes = Number(process.argv[2] ?? 10);
const seconds = Number(process.argv[3] ?? 0);
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The key share made ahead for the next handshake is kept for a while. */
async function settle(): Promise<void> {
  const end = performance.now() + SPARE_SHARE_TIME + 2000;
  do await wait(250);
  while ((loadLibCrypto()?.contexts ?? 0) > 0 && performance.now() < end);
}

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

const SAMPLES = 20;
const kind = await round();
const samples: Sample[] = [];
if (seconds > 0) {
  // What is compiled and cached on the way comes before the first sample.
  for (let i = 0; i < 10; i++) await round();
  await wait(250);
  samples.push(inUse(0));
  let rounds = 0;
  for (let i = 1; i <= SAMPLES; i++) {
    const end = performance.now() + (seconds * 1000) / SAMPLES;
    for (; performance.now() < end; rounds++) {
      const used = await round();
      if (used !== kind) throw new Error(`the socket changed from ${kind} to ${used}`);
    }
    if (i < SAMPLES) samples.push(inUse(rounds));
  }
  await settle();
  samples.push(inUse(rounds));
} else {
  samples.push(inUse(1));
}
console.log(JSON.stringify({ kind, crypto: defaultProvider().name, samples }));
