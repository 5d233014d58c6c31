// The honest clients: one downloads all the time, others connect now and then with a token of an earlier connection.
import { memoryTokenStore, Transport } from "../../src/index.ts";

const [port, cert] = [Number(process.argv[2]), Buffer.from(process.argv[3]!, "base64").toString()];
const tls = { ca: cert, ALPNProtocols: ["flood"], servername: "localhost" };
const target = `127.0.0.1:${port}`;
const dialer = new Transport({ address: "127.0.0.1" });
const tokenStore = memoryTokenStore();

const conn = await dialer.dial(target, tls, { tokenStore });
const stream = await conn.openStream();
await stream.write(Uint8Array.of(0));
let bytes = 0;
let failure = "";
void (async () => {
  try {
    for (;;) for (const chunk of await stream.readMany()) bytes += chunk.length;
  } catch (error) {
    failure = String(error);
  }
})();

let connected = 0;
let refused = 0;
const times: number[] = [];
async function visit(): Promise<void> {
  const begun = performance.now();
  try {
    const visitor = await dialer.dial(target, tls, { tokenStore, handshakeTimeout: 3000 });
    times.push(performance.now() - begun);
    connected++;
    // The token for the next one comes behind the handshake.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await visitor.close();
  } catch {
    refused++;
  }
}
setInterval(() => void visit(), 250);
let reported = performance.now();
let cpu = process.cpuUsage();
setInterval(() => {
  const now = performance.now();
  const { packetsLost } = conn.stats();
  const { user, system } = process.cpuUsage(cpu);
  cpu = process.cpuUsage();
  process.send!({
    bytes,
    ms: now - reported,
    connected,
    refused,
    times: times.splice(0),
    packetsLost,
    failure,
    cpu: (user + system) / 1000,
  });
  reported = now;
  bytes = connected = refused = 0;
}, 500);
process.on("disconnect", () => process.exit());
process.send!({ ready: true });
