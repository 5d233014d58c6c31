// One case between one client and one server: starts both and the relay, waits, and judges.

import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Case, checkAlways, USUAL_PATH, worstAmplification } from "./cases.ts";
import { writeCertificates } from "./certificates.ts";
import { type Assignment, type Implementation, type Role, start } from "./implementations.ts";
import { type Handshake, inspectHandshake } from "./inspect.ts";
import { type Apart, setApart } from "./apart.ts";
import { end, exit, Failure, ready, record } from "./processes.ts";
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
  /** Share of the link that what was fetched took, in cases that measure it. */
  goodput?: number;
  /** Where logs lie. */
  folder?: string;
  stats?: RelayStats;
}

const CASE_TIMEOUT = 60_000;
const LOG_TIMEOUT = 3_000;
const CAPTURE = 200;
const UNSUPPORTED = 127;

async function freePort(host: string): Promise<number> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.bind(0, host);
  await once(socket, "listening");
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
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
  let apart: Apart | null = null;
  let begun = performance.now();

  const attempt = async (): Promise<Outcome> => {
    for (const part of ["www", "downloads", "uploads", "certs", "qlog"])
      mkdirSync(join(folder, part), { recursive: true });
    if (test.apart !== undefined) {
      const made = await setApart();
      if (typeof made === "string") return { verdict: "skipped", detail: made, elapsedMs: 0 };
      apart = made;
    }
    writeCertificates(join(folder, "certs"), test.authorities ?? 0);
    const files = writeFiles(join(folder, "www"), test.files(settings.full));
    const host = apart?.address ?? (test.ipv6 === true ? "::1" : "127.0.0.1");
    // Their own words on what nobody sees from outside.
    const qlog = settings.qlog || apart !== null;
    const common = { folder, qlog: qlog ? join(folder, "qlog") : null };

    const port = apart?.port ?? (await freePort(host));
    const launch = (implementation: Implementation, assignment: Assignment) => {
      const { child, command } = start(implementation, assignment, apart?.on(assignment.role));
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
      testcase: test.serverTestcase ?? test.testcase,
      role: "server",
      listen: host,
      port,
      requests: [],
      keyLog: join(folder, "server-keys.log"),
    });
    await ready(serving.child, serving.command, serving.words, serving.ended);

    const between =
      apart !== null
        ? null
        : await startRelay({
            ...(test.path ?? USUAL_PATH),
            target: { host, port },
            seed: settings.seed,
            capture: CAPTURE,
          });
    relay = between;
    const origin = host.includes(":") ? `[${host}]` : host;
    const keyLog = join(folder, "client-keys.log");
    begun = performance.now();
    const fetching = launch(client, {
      ...common,
      testcase: test.testcase,
      role: "client",
      listen: host,
      port: 0,
      requests: files.map(({ name }) => `https://${origin}:${between?.port ?? port}/${name}`),
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
    const stats = between?.stats();
    if (stats !== undefined) writeFileSync(join(folder, "relay.json"), JSON.stringify(stats, null, 2));
    if (code === late) throw new Failure(`not done after ${timeoutMs / 1000} s; client: ${fetching.words()}`);
    if (code === UNSUPPORTED)
      throw new Failure(`the client does not know ${test.testcase}; write it down if that is so`);
    if (code !== 0) throw new Failure(`the client ended with ${String(code)}: ${fetching.words()}`);
    // What the server has kept, or else sent back.
    const kept = test.upload === true && existsSync(join(folder, "uploads", files[0]!.name));
    compare(join(folder, kept ? "uploads" : "downloads"), files);
    if (apart !== null) {
      // Their logs come a little later, the last part at the end of the connection.
      const deadline = performance.now() + LOG_TIMEOUT;
      let finding = await test.apart!(apart, join(folder, "qlog"));
      while (finding.objection !== null && performance.now() < deadline) {
        await sleep(50);
        finding = await test.apart!(apart, join(folder, "qlog"));
      }
      if (finding.objection !== null) throw new Failure(`${finding.objection} (${finding.detail})`);
      return { verdict: "ok", detail: finding.detail, elapsedMs };
    }

    let handshake: Handshake | null = null;
    let second: Handshake | null = null;
    const each = test.multiconnect === true || client.connectionForEach?.includes(test.testcase) === true;
    if (!each) {
      const keys = existsSync(keyLog) ? readFileSync(keyLog, "utf8") : "";
      const { captured, shortHeaders } = between!;
      const clients = [...new Set(captured().map(({ client: from }) => from))];
      const of = (index: number): Handshake | null => {
        const its = ({ client: from }: Captured): boolean => from === clients[index];
        return inspectHandshake(captured().filter(its), keys, shortHeaders().filter(its));
      };
      handshake = of(0);
      if (test.again === true) second = of(1);
    }
    const connections = each ? files.length : test.again === true ? 2 : 1;
    const leastConnections = test.leastConnections ?? connections;
    const bytes = files.reduce((sum, { data }) => sum + data.length, 0);
    const evidence = { stats: stats!, handshake, second, elapsedMs, bytes, connections, leastConnections };
    const objection = checkAlways(evidence, underTest === "server") ?? test.check?.(evidence) ?? null;
    if (objection !== null) throw new Failure(objection);
    const outcome: Outcome = { verdict: "ok", detail: summary(stats!), elapsedMs, stats: stats! };
    if (test.goodput === true) {
      outcome.goodput = (8 * bytes) / stats!.durationMs / 1000 / USUAL_PATH.bandwidthMbps;
    }
    return outcome;
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
  await (apart as Apart | null)?.close();
  if (outcome.verdict !== "failed" && !settings.keep) rmSync(folder, { recursive: true, force: true });
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
