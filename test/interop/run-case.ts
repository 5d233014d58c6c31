// One case between one client and one server: starts both and the relay, waits, and judges.

import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Case, checkAlways, USUAL_PATH, worstAmplification } from "./cases.ts";
import { writeCertificates } from "./certificates.ts";
import { type Assignment, type Command, type Implementation, type Role, start } from "./implementations.ts";
import { type Handshake, inspectHandshake } from "./inspect.ts";
import { type Captured, type Relay, type RelayStats, startRelay } from "./relay/relay.ts";

export interface Pairing {
  client: Implementation;
  server: Implementation;
  /** Which of the two is judged. */
  underTest: Role;
}

export interface Settings {
  /** Temporary folder of the whole run. */
  home: string;
  full: boolean;
  seed: number;
  keep: boolean;
  qlog: boolean;
}

export interface Outcome {
  verdict: "ok" | "failed" | "peer lacks it" | "skipped";
  detail: string;
  elapsedMs: number;
  /** Where logs lie. */
  folder?: string;
  stats?: RelayStats;
}

const CASE_TIMEOUT = 60_000;
const START_TIMEOUT = 20_000;
const STOP_TIMEOUT = 2_000;
const CAPTURE = 200;
const UNSUPPORTED = 127;

/** Why a run failed. */
class Failure extends Error {}

async function freePort(host: string): Promise<number> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.bind(0, host);
  await once(socket, "listening");
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

/** Keeps what a process says in a file, and its last words in memory. */
function record(child: ChildProcess, file: string): () => string {
  const log = createWriteStream(file);
  let tail = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on("data", (data: Buffer) => {
      log.write(data);
      tail = (tail + data.toString()).slice(-500);
    });
  }
  child.once("close", () => log.end());
  return () => tail.trim().split("\n").slice(-3).join(" | ");
}

/** Exit code, or null where a signal or a failed start ended it. */
function exit(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    child.once("error", () => resolve(null));
    child.once("close", (code) => resolve(code));
  });
}

async function ready(
  child: ChildProcess,
  command: Command,
  words: () => string,
  ended: Promise<unknown>,
): Promise<void> {
  let listening = false;
  let over = false;
  child.stdout!.on("data", (data: Buffer) => (listening ||= data.toString().includes("listening")));
  void ended.then(() => (over = true));
  const deadline = performance.now() + START_TIMEOUT;
  while (!listening && !(command.readyFile !== undefined && existsSync(command.readyFile))) {
    if (over) throw new Failure(`the server did not start: ${words()}`);
    if (performance.now() > deadline) throw new Failure("the server does not say that it listens");
    await sleep(20);
  }
}

async function end(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill("SIGTERM");
  const patience = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT);
  await ended;
  clearTimeout(patience);
}

function writeFiles(folder: string, sizes: readonly number[]): { name: string; data: Buffer }[] {
  return sizes.map((size, i) => {
    const file = { name: `file-${i + 1}-${randomBytes(4).toString("hex")}`, data: randomBytes(size) };
    writeFileSync(join(folder, file.name), file.data);
    return file;
  });
}

function compare(folder: string, files: readonly { name: string; data: Buffer }[]): void {
  for (const { name, data } of files) {
    const path = join(folder, name);
    if (!existsSync(path)) throw new Failure(`${name} (${data.length} bytes) was not downloaded`);
    const got = readFileSync(path);
    if (!got.equals(data))
      throw new Failure(`${name}: ${got.length} bytes that are not the ${data.length} of the server`);
  }
}

/** Runs a case. Never throws: whatever goes wrong is the outcome. */
export async function runCase(pairing: Pairing, test: Case, settings: Settings): Promise<Outcome> {
  const { client, server, underTest } = pairing;
  const folder = join(settings.home, `${test.name}-${client.name}-${server.name}`);
  const timeoutMs = test.timeoutMs?.(settings.full) ?? CASE_TIMEOUT;
  const children: { child: ChildProcess; ended: Promise<number | null> }[] = [];
  let relay: Relay | null = null;
  let begun = performance.now();

  const attempt = async (): Promise<Outcome> => {
    for (const part of ["www", "downloads", "uploads", "certs", "qlog"])
      mkdirSync(join(folder, part), { recursive: true });
    writeCertificates(join(folder, "certs"), test.authorities ?? 0);
    const files = writeFiles(join(folder, "www"), test.files(settings.full));
    const host = test.ipv6 === true ? "::1" : "127.0.0.1";
    const common = { testcase: test.testcase, folder, qlog: settings.qlog ? join(folder, "qlog") : null };

    const port = await freePort(host);
    const launch = (implementation: Implementation, assignment: Assignment) => {
      const { child, command } = start(implementation, assignment);
      const started = {
        child,
        command,
        ended: exit(child),
        words: record(child, join(folder, `${assignment.role}.log`)),
      };
      children.push(started);
      return started;
    };
    const serving = launch(server, {
      ...common,
      role: "server",
      listen: host,
      port,
      requests: [],
      keyLog: join(folder, "server-keys.log"),
    });
    await ready(serving.child, serving.command, serving.words, serving.ended);

    relay = await startRelay({
      ...(test.path ?? USUAL_PATH),
      target: { host, port },
      seed: settings.seed,
      capture: CAPTURE,
    });
    const origin = host.includes(":") ? `[${host}]` : host;
    const keyLog = join(folder, "client-keys.log");
    begun = performance.now();
    const fetching = launch(client, {
      ...common,
      role: "client",
      listen: host,
      port: 0,
      requests: files.map(({ name }) => `https://${origin}:${relay!.port}/${name}`),
      keyLog,
    });
    const late = Symbol();
    const waiting = new AbortController();
    const code = await Promise.race([
      fetching.ended,
      sleep(timeoutMs, late, { signal: waiting.signal }).catch(() => late),
    ]);
    waiting.abort();
    const elapsedMs = performance.now() - begun;
    const stats = relay.stats();
    writeFileSync(join(folder, "relay.json"), JSON.stringify(stats, null, 2));
    if (code === late) throw new Failure(`not done after ${timeoutMs / 1000} s; client: ${fetching.words()}`);
    if (code === UNSUPPORTED)
      throw new Failure(`the client does not know ${test.testcase}; write it down if that is so`);
    if (code !== 0) throw new Failure(`the client ended with ${String(code)}: ${fetching.words()}`);
    // What the server has kept, or else sent back.
    const kept = test.upload === true && existsSync(join(folder, "uploads", files[0]!.name));
    compare(join(folder, kept ? "uploads" : "downloads"), files);

    let handshake: Handshake | null = null;
    let second: Handshake | null = null;
    const each = test.multiconnect === true || client.connectionForEach?.includes(test.testcase) === true;
    if (!each) {
      const keys = existsSync(keyLog) ? readFileSync(keyLog, "utf8") : "";
      const clients = [...new Set(relay.captured().map(({ client: from }) => from))];
      const of = (index: number): Handshake | null => {
        const its = ({ client: from }: Captured): boolean => from === clients[index];
        return inspectHandshake(relay!.captured().filter(its), keys, relay!.shortHeaders().filter(its));
      };
      handshake = of(0);
      if (test.again === true) second = of(1);
    }
    const connections = each ? files.length : test.again === true ? 2 : 1;
    const leastConnections = test.leastConnections ?? connections;
    const bytes = files.reduce((sum, { data }) => sum + data.length, 0);
    const evidence = { stats, handshake, second, elapsedMs, bytes, connections, leastConnections };
    const objection = checkAlways(evidence, underTest === "server") ?? test.check?.(evidence) ?? null;
    if (objection !== null) throw new Failure(objection);
    return { verdict: "ok", detail: summary(stats), elapsedMs, stats };
  };

  let outcome: Outcome;
  try {
    outcome = await attempt();
  } catch (error) {
    const detail = error instanceof Failure ? error.message : String((error as Error).stack);
    const failed: Outcome = { verdict: "failed", detail, elapsedMs: performance.now() - begun, folder };
    if (relay !== null) {
      failed.stats = (relay as Relay).stats();
      // What was sent, before the path changed it: the beginning of the story.
      const sent = (relay as Relay)
        .captured()
        .map(
          ({ toServer, client: from, data }) =>
            `${toServer ? "->" : "<-"} ${from} ${Buffer.from(data).toString("hex")}`,
        );
      writeFileSync(join(folder, "long-headers.txt"), `${sent.join("\n")}\n`);
    }
    outcome = failed;
  }
  for (const { child, ended } of children.reverse()) await end(child, ended);
  await (relay as Relay | null)?.close();
  if (outcome.verdict === "ok" && !settings.keep) rmSync(folder, { recursive: true, force: true });
  return outcome;
}

/** What the path did, in few words. */
function summary(stats: RelayStats): string {
  const { toServer, toClient } = stats;
  const parts = [`${toServer.packets} + ${toClient.packets} packets`];
  const add = (n: number, what: string): void => void (n > 0 && parts.push(`${n} ${what}`));
  add(toServer.tooBig + toClient.tooBig, "too big");
  add(toServer.queueDropped + toClient.queueDropped, "over the queue");
  add(toServer.randomDropped + toClient.randomDropped, "lost");
  add(toServer.corrupted + toClient.corrupted, "corrupted");
  add(toServer.listDropped + toClient.listDropped, "dropped by list");
  add(toServer.blackholed + toClient.blackholed, "blackholed");
  const worst = worstAmplification(stats);
  if (worst > 3)
    parts.push(`the peer's server sent ${worst.toFixed(2)} times what it had received (quirks.md)`);
  return parts.join(", ");
}
