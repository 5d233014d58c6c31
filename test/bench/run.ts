// `npm run bench [-- --runs N --megabytes N --json FILE]`: ours and the bare dgram loop take turns within one run.

import { fork, type ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureInMemory } from "./in-memory.ts";
import { DATAGRAM, type TransferResult } from "./transfer.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "3" },
    megabytes: { type: "string", default: "1000" },
    json: { type: "string" },
  },
});
const runs = Number(values.runs);
const bytes = Number(values.megabytes) * 1e6;

function start(file: string, ...args: string[]): ChildProcess {
  return fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv: ["--import", "tsx"] });
}

function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once("message", (value) => resolve(value as T));
    child.once("exit", (code) => reject(new Error(`process ended with ${code}`)));
  });
}

async function transfer(): Promise<TransferResult & { serverCpu: number; serverGrowth: number }> {
  const server = start("./transfer.ts", "server");
  const { port, cert } = await message<{ port: number; cert: string }>(server);
  server.send("begin");
  const client = start("./transfer.ts", "client", String(port), cert, String(bytes));
  const result = await message<TransferResult>(client);
  const answer = message<{ cpu: number; rss: number }>(server);
  server.send("cpu");
  const { cpu } = await answer;
  server.disconnect();
  return { ...result, serverCpu: cpu, serverGrowth: 0 };
}

async function loop(): Promise<number> {
  const receiver = start("./dgram-loop.ts", "receiver");
  const { port } = await message<{ port: number }>(receiver);
  const sender = start("./dgram-loop.ts", "sender", String(port), String(bytes));
  await message(sender);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const answer = message<{ bytes: number; seconds: number }>(receiver);
  receiver.send("report");
  const { bytes: got, seconds } = await answer;
  receiver.disconnect();
  return got / 1e6 / seconds;
}

const median = (list: number[]) => [...list].sort((a, b) => a - b)[list.length >> 1]!;
const spread = (list: number[]) => `${Math.min(...list).toFixed(0)}–${Math.max(...list).toFixed(0)}`;

const ours: number[] = [];
const bare: number[] = [];
const clientCpu: number[] = [];
const serverCpu: number[] = [];
const growth: number[] = [];
for (let i = 0; i < runs; i++) {
  const result = await transfer();
  ours.push(result.bytes / 1e6 / result.seconds);
  clientCpu.push(result.cpu / (result.bytes / 1e9));
  serverCpu.push(result.serverCpu / (result.bytes / 1e9));
  growth.push((result.rssEnd - result.rssWarm) / 1e6);
  bare.push(await loop());
}
const memory = Array.from({ length: runs }, () => measureInMemory(200e6).microseconds);

const rows = {
  "transfer, MB/s": { median: median(ours).toFixed(1), spread: spread(ours) },
  "bare dgram loop, MB/s": { median: median(bare).toFixed(1), spread: spread(bare) },
  "ratio (at least 0.2)": { median: (median(ours) / median(bare)).toFixed(3), spread: "" },
  "client CPU, s/GB": { median: median(clientCpu).toFixed(1), spread: spread(clientCpu) },
  "server CPU, s/GB": { median: median(serverCpu).toFixed(1), spread: spread(serverCpu) },
  "client RSS growth, MB (under 50)": { median: median(growth).toFixed(1), spread: spread(growth) },
  "in memory, null AEAD, µs/packet, both ends (at most 4)": { median: median(memory).toFixed(2), spread: "" },
};
console.table(rows);
if (values.json !== undefined) {
  const machine = {
    cpu: cpus()[0]!.model,
    cores: cpus().length,
    node: process.version,
    datagram: DATAGRAM,
    bytes,
    runs,
  };
  writeFileSync(
    values.json,
    `${JSON.stringify({ machine, ours, bare, clientCpu, serverCpu, growth, memory }, null, 2)}\n`,
  );
}
