// The server under attack: it sends as much as each stream takes, and says what it holds when it is asked.
import { selfSigned } from "../../src/self-signed.ts";
import { Transport } from "../../src/transport.ts";

const identity = selfSigned();
const transport = new Transport({ address: "127.0.0.1", tokenGeneratorKey: new Uint8Array(32).fill(7) });
const listener = await transport.listen({ ...identity, ALPNProtocols: ["flood"] });
process.send!({ port: listener.address().port, cert: identity.cert });

process.on("message", () => {
  globalThis.gc?.();
  const { rss, heapUsed, arrayBuffers, external } = process.memoryUsage();
  const { dropped, statelessSent, datagramsReceived, bytesSent } = transport.stats();
  process.send!({
    rss,
    held: heapUsed + arrayBuffers + external,
    cpu: process.cpuUsage(),
    dropped,
    statelessSent,
    datagramsReceived,
    bytesSent,
  });
});
process.on("disconnect", () => process.exit());

const CHUNK = new Uint8Array(256 * 1024);
for await (const conn of listener) {
  void (async () => {
    for await (const stream of conn.incomingStreams()) {
      void (async () => {
        // "0": send for ever; anything else: answer with it.
        const first = await stream.read(new Uint8Array(1));
        if (first === null) return;
        for (;;) await stream.write(CHUNK);
      })().catch(() => {});
    }
  })().catch(() => {});
}
