// One stream over real sockets against a bare dgram loop with datagrams of the same size.

import { fork, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { compiled } from "../build/tree.ts";
import { plainTree } from "../child.ts";
import { type Row, row } from "../rows.ts";
import type { Context, Scenario } from "../scenario.ts";
import { DATAGRAM, type TransferResult } from "../transfer.ts";
import { median } from "../statistics.ts";

const FOLDER = join(import.meta.dirname, "..");

type Environment = Readonly<Record<string, string>>;

function start(file: string, args: readonly string[], env: Environment = {}): ChildProcess {
  return fork(compiled(plainTree(), join(FOLDER, file)), args, { env: { ...process.env, ...env } });
}

function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once("message", (value) => resolve(value as T));
    child.once("exit", (code) => reject(new Error(`process ended with ${code}`)));
  });
}

async function transferOnce(
  bytes: number,
  env: Environment,
): Promise<TransferResult & { serverCpu: number; serverRss: number }> {
  const server = start("transfer.ts", ["server"], env);
  const { port, cert } = await message<{ port: number; cert: string }>(server);
  server.send("begin");
  const client = start("transfer.ts", ["client", String(port), cert, String(bytes)], env);
  const result = await message<TransferResult>(client);
  const answer = message<{ cpu: number; rss: number }>(server);
  server.send("cpu");
  const { cpu, rss } = await answer;
  server.disconnect();
  return { ...result, serverCpu: cpu, serverRss: rss };
}

async function loop(bytes: number): Promise<number> {
  const receiver = start("dgram-loop.ts", ["receiver"]);
  const { port } = await message<{ port: number }>(receiver);
  const sender = start("dgram-loop.ts", ["sender", String(port), String(bytes)]);
  await message(sender);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const answer = message<{ bytes: number; seconds: number }>(receiver);
  receiver.send("report");
  const { bytes: got, seconds } = await answer;
  receiver.disconnect();
  return got / 1e6 / seconds;
}

async function run(name: string, env: Environment, context: Context): Promise<Row[]> {
  const runs = context.runs ?? (context.quick ? 1 : 5);
  const bytes = (context.megabytes ?? (context.quick ? 200 : 1000)) * 1e6;
  const ours: number[] = [];
  const theirs: number[] = [];
  const client: number[] = [];
  const server: number[] = [];
  const rss: { client: number; server: number }[] = [];
  for (let i = 0; i < runs; i++) {
    const result = await transferOnce(bytes, env);
    ours.push(result.bytes / 1e6 / result.seconds);
    client.push(result.cpu / (result.bytes / 1e9));
    server.push(result.serverCpu / (result.bytes / 1e9));
    rss.push({ client: result.rssEnd, server: result.serverRss });
    theirs.push(await loop(bytes));
    context.log(
      `${name} ${i + 1}/${runs}: ${ours.at(-1)!.toFixed(0)} MB/s, loop ${theirs.at(-1)!.toFixed(0)}`,
    );
  }
  return [
    row({
      scenario: name,
      peer: "dgram-loop",
      unit: "MB/s",
      better: "larger",
      ours,
      theirs,
      cpuPerGB: {
        ours: {
          client: median(client),
          server: median(server),
          both: median(client.map((cpu, i) => cpu + server[i]!)),
        },
        theirs: null,
      },
      rss: {
        ours: {
          client: median(rss.map((each) => each.client)),
          server: median(rss.map((each) => each.server)),
        },
        theirs: null,
      },
      notes: [
        ...(name === "portable" ? ["ours: node:dgram and node:crypto alone"] : []),
        `datagrams of ${DATAGRAM} bytes; the loop has no protocol and no encryption`,
      ],
    }),
  ];
}

export const transfer: Scenario = {
  name: "transfer",
  about: "MB/s of one stream over loopback, against a bare dgram loop",
  run: (context) => run("transfer", {}, context),
};

export const portable: Scenario = {
  name: "portable",
  about: "the same without anything native: node:dgram and node:crypto alone",
  run: (context) =>
    run("portable", { QUIC_TS_FFI: "0", QUIC_TS_UDP: "dgram", QUIC_TS_CRYPTO: "node" }, context),
};
