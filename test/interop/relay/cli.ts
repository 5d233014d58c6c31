// The relay as a program:
//   tsx test/interop/relay/cli.ts --target 127.0.0.1:4433 [--listen 127.0.0.1:4434] [--delay 15] [--bandwidth 10] [--queue 25] [--mtu 1500]
//     [--drop-to-server 2] [--drop-to-client 2] [--drop-burst 3] [--corrupt-to-server 2] [--corrupt-to-client 2] [--corrupt-burst 3]
//     [--droplist-to-server 2,3] [--droplist-to-client 1] [--on 5000 --off 2000 [--repeat 1]]
//     [--rebind port|address --first-rebind 1000 [--rebind-every 5000]] [--seed 1] [--trace]
// Prints its counters as JSON when it is interrupted.
import { parseArgs } from "node:util";
import { type Endpoint, type RelayOptions, startRelay } from "./relay.ts";

const { values } = parseArgs({
  options: {
    target: { type: "string" },
    listen: { type: "string" },
    delay: { type: "string", default: "0" },
    bandwidth: { type: "string", default: "0" },
    queue: { type: "string", default: "0" },
    mtu: { type: "string", default: "0" },
    "drop-to-server": { type: "string", default: "0" },
    "drop-to-client": { type: "string", default: "0" },
    "drop-burst": { type: "string", default: "0" },
    "corrupt-to-server": { type: "string", default: "0" },
    "corrupt-to-client": { type: "string", default: "0" },
    "corrupt-burst": { type: "string", default: "0" },
    "droplist-to-server": { type: "string", default: "" },
    "droplist-to-client": { type: "string", default: "" },
    on: { type: "string" },
    off: { type: "string" },
    repeat: { type: "string" },
    rebind: { type: "string" },
    "first-rebind": { type: "string", default: "1000" },
    "rebind-every": { type: "string" },
    seed: { type: "string", default: "1" },
    trace: { type: "boolean", default: false },
  },
});

function endpoint(text: string): Endpoint {
  const match = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text);
  if (match === null)
    throw new Error(`Not an address and port: ${text}. Write 127.0.0.1:4433 or [::1]:4433.`);
  return { host: (match[1] ?? match[2])!, port: Number(match[3]) };
}
const list = (text: string): number[] => text.split(",").filter(Boolean).map(Number);

if (values.target === undefined) {
  console.error("Where to? Give --target HOST:PORT.");
  process.exit(2);
}
const options: RelayOptions = {
  target: endpoint(values.target),
  delayMs: Number(values.delay),
  bandwidthMbps: Number(values.bandwidth),
  queuePackets: Number(values.queue),
  mtu: Number(values.mtu),
  toServer: {
    dropRate: Number(values["drop-to-server"]),
    dropBurst: Number(values["drop-burst"]),
    corruptRate: Number(values["corrupt-to-server"]),
    corruptBurst: Number(values["corrupt-burst"]),
    droplist: list(values["droplist-to-server"]),
  },
  toClient: {
    dropRate: Number(values["drop-to-client"]),
    dropBurst: Number(values["drop-burst"]),
    corruptRate: Number(values["corrupt-to-client"]),
    corruptBurst: Number(values["corrupt-burst"]),
    droplist: list(values["droplist-to-client"]),
  },
  seed: Number(values.seed),
};
if (values.listen !== undefined) options.listen = endpoint(values.listen);
if (values.on !== undefined && values.off !== undefined) {
  options.blackhole = { onMs: Number(values.on), offMs: Number(values.off) };
  if (values.repeat !== undefined) options.blackhole.repeat = Number(values.repeat);
}
if (values.rebind === "port" || values.rebind === "address") {
  options.rebind = { kind: values.rebind, firstMs: Number(values["first-rebind"]) };
  if (values["rebind-every"] !== undefined) options.rebind.everyMs = Number(values["rebind-every"]);
}
if (values.trace) {
  options.onPacket = ({ time, toServer, length, fate }) =>
    console.log(
      `${time.toFixed(1).padStart(9)} ${toServer ? "->" : "<-"} ${String(length).padStart(5)} ${fate}`,
    );
}
const relay = await startRelay(options);
console.log(`relay ${relay.host}:${relay.port} -> ${values.target}`);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    console.log(JSON.stringify(relay.stats(), null, 2));
    void relay.close().then(() => process.exit(0));
  });
}
