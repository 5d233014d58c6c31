// `npm run flood`: 50,000 spoofed Initials a second against a server that serves. What is established keeps at least
// half of its rate, who has a token comes in, memory stays within the bound; otherwise it exits non-zero.
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { nativeSupport } from "../../internal/udp/native-probe.ts";

const { values } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    rate: { type: "string" },
    seconds: { type: "string" },
    sources: { type: "string", default: "100000" },
  },
});
/** What a flood may add to the memory of a server: the sum of what limits.ts lets strangers have, rounded up. */
const MEMORY_BOUND = 64 * 1024 * 1024;
/**
 * The short form is for machines that do other things meanwhile: a smaller flood, and so little is asked that only a
 * server fails it that spends something on each spoofed packet. What a flood costs is measured by the long one, alone.
 */
const form = values.short
  ? { rate: 20_000, seconds: 3, warm: 1000, calm: 2000, share: 0.1, admitted: 0.5, flood: 0.4 }
  : { rate: 50_000, seconds: 30, warm: 2000, calm: 8000, share: 0.5, admitted: 0.9, flood: 0.9 };
const rate = Number(values.rate ?? form.rate);
const seconds = Number(values.seconds ?? form.seconds);

if (nativeSupport() === null) {
  console.log("flood: skipped, spoofing needs the native socket (64-bit Linux with koffi)");
  process.exit(0);
}

interface Report {
  readonly bytes: number;
  readonly ms: number;
  readonly connected: number;
  readonly refused: number;
  readonly times: readonly number[];
  readonly packetsLost: number;
  readonly failure: string;
  /** CPU time, ms. */
  readonly cpu: number;
}

interface ServerState {
  readonly rss: number;
  readonly held: number;
  readonly cpu: { readonly user: number; readonly system: number };
  readonly dropped: { readonly [reason: string]: number };
  readonly statelessSent: { readonly [kind: string]: number };
  readonly datagramsReceived: number;
}

function start(file: string, ...args: string[]): ChildProcess {
  const child = fork(join(import.meta.dirname, file), args, {
    execArgv: ["--import", "tsx", "--expose-gc"],
    env: { ...process.env, QUIC_TS_UDP: "native" },
  });
  child.on("exit", (code) => {
    if (code !== 0 && code !== null) {
      console.error(`${file} ended with ${code}`);
      process.exit(1);
    }
  });
  return child;
}
async function first<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, "message")) as [T];
  return message;
}
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const server = start("server.ts");
const { port, cert } = await first<{ port: number; cert: string }>(server);
const ask = async () => {
  server.send({});
  return first<ServerState>(server);
};
const client = start("client.ts", String(port), Buffer.from(cert).toString("base64"));
await first(client);

let reports: Report[] = [];
client.on("message", (report: Report) => reports.push(report));
function summary() {
  const taken = reports;
  reports = [];
  const sum = (of: (report: Report) => number) => taken.reduce((total, report) => total + of(report), 0);
  const times = taken.flatMap((report) => report.times).sort((a, b) => a - b);
  const failure = taken.find((report) => report.failure !== "")?.failure;
  if (failure !== undefined) throw new Error(`the transfer ended: ${failure}`);
  return {
    rate: sum((report) => report.bytes) / sum((report) => report.ms) / 1000,
    connected: sum((report) => report.connected),
    refused: sum((report) => report.refused),
    median: times[times.length >> 1] ?? NaN,
    lost: taken.at(-1)?.packetsLost ?? 0,
    cpu: sum((report) => report.cpu) / sum((report) => report.ms),
  };
}

// Warm, then the measure of things.
await wait(form.warm);
reports = [];
await wait(form.calm);
const before = summary();
const memoryBefore = await ask();

const attacker = start("attacker.ts", String(port), String(rate), values.sources);
await first(attacker);
await wait(500);
reports = [];
const begun = await ask();
let largest = begun;
const samples = Math.max(1, Math.floor(seconds / 5));
for (let i = 0; i < samples; i++) {
  await wait((seconds * 1000) / samples);
  const state = await ask();
  if (state.held > largest.held) largest = state;
}
const during = summary();
attacker.send({});
const flood = await first<{
  sent: number;
  bytes: number;
  answered: { datagrams: number; bytes: number };
  failed: number;
  ms: number;
  cpu: number;
}>(attacker);
const end = await ask();
attacker.disconnect();
await wait(form.warm);
const after = summary();
for (const child of [client, server]) child.disconnect();

const pps = (flood.sent / flood.ms) * 1000;
const share = during.rate / before.rate;
const admitted = during.connected / Math.max(1, during.connected + during.refused);
const grown = largest.held - memoryBefore.held;
const gain = flood.answered.bytes / flood.bytes;
const cpu = (end.cpu.user + end.cpu.system - begun.cpu.user - begun.cpu.system) / 1e6 / seconds;
const dropped = Object.entries(end.dropped)
  .map(([reason, count]) => `${reason} ${count}`)
  .join(", ");
const seen = (end.datagramsReceived - memoryBefore.datagramsReceived) / seconds;

const percent = (part: number) => `${(part * 100).toFixed(0)} %`;
const mb = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
console.log(
  `flood        ${Math.round(pps)} spoofed Initials/s for ${seconds} s from ${values.sources} addresses`,
);
console.log(
  `transfer     ${before.rate.toFixed(1)} MB/s before, ${during.rate.toFixed(1)} during (${(share * 100).toFixed(0)} %), ${after.rate.toFixed(1)} after`,
);
console.log(
  `new clients  ${during.connected} connected with a token, ${during.refused} did not; median ${during.median.toFixed(1)} ms (before ${before.median.toFixed(1)} ms)`,
);
console.log(
  `memory       ${mb(memoryBefore.held)} before, ${mb(grown)} more during (bound ${mb(MEMORY_BOUND)}), RSS ${mb(largest.rss)}`,
);
console.log(
  `answers      ${(gain * 100).toFixed(1)} % of the bytes of the flood; ${JSON.stringify(end.statelessSent)}`,
);
console.log(
  `CPU          server ${percent(cpu)}, client ${percent(during.cpu)} (before ${percent(before.cpu)}), attacker ${percent(flood.cpu)}, of ${availableParallelism()} cores`,
);
console.log(`server       ${Math.round(seen)} datagrams/s read; dropped: ${dropped}`);

const short: string[] = [];
if (pps < form.flood * rate) short.push(`the flood itself reached ${Math.round(pps)} of ${rate} a second`);
if (share < form.share) short.push(`the transfer kept ${(share * 100).toFixed(0)} % of its rate`);
if (admitted < form.admitted)
  short.push(`${(admitted * 100).toFixed(0)} % of the clients with a token came in`);
if (grown > MEMORY_BOUND) short.push(`memory grew by ${mb(grown)}`);
if (gain > 3) short.push(`the server amplifies by ${gain.toFixed(1)}`);
for (const each of short) console.log(`SHORT: ${each}`);
process.exit(short.length > 0 ? 1 : 0);
