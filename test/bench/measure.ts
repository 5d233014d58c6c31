// One measurement: a server process, a client process, one workload.

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Kind, Result, Spec, Usage, Workload } from "./engine/spec.ts";
import type { Peer } from "./peers/peer.ts";

export interface Outcome {
  readonly client: Result;
  /** CPU seconds of the server in the measured time, and its resident set at the end. */
  readonly serverCpu: number;
  readonly serverRss: number;
  /** While connections were idle, as often as the workload has such a time. */
  readonly idle: readonly Usage[];
}

export interface Setting {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly datagram: number;
}

/** No measurement takes longer: what does is stuck. */
const TIMEOUT = 180_000;
/** How often a workload waits to be looked at. */
const RESTS: Partial<Record<Kind, number>> = { connections: 1, "http-idle": 2 };
/** Connections come to rest for so long before memory is looked at. */
const REST = 1500;

/** A process that speaks lines of JSON. */
class Program {
  readonly #child: ChildProcess;
  readonly #name: string;
  #errors = "";
  #waiting = new Map<string, (value: never) => void>();
  #fail: (error: Error) => void = () => {};
  readonly failed: Promise<never>;
  readonly #closed: Promise<void>;

  constructor(peer: Peer, spec: Spec) {
    const { program, args, env } = peer.command(spec.role, spec.workload);
    this.#name = `${peer.name} (${spec.role}, ${spec.workload.kind})`;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => {});
    this.#child = spawn(program, [...args, JSON.stringify(spec)], {
      env: { ...process.env, NODE_NO_WARNINGS: "1", NO_COLOR: "1", ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stderr!.on(
      "data",
      (data: Buffer) => (this.#errors = (this.#errors + String(data)).slice(-2000)),
    );
    this.#child.stdin!.on("error", () => {});
    this.#child.on("error", this.#fail);
    this.#closed = new Promise((resolve) => {
      this.#child.on("close", (code, signal) => {
        this.#fail(new Error(`${this.#name} ended with ${code ?? signal}: ${this.#errors.trim()}`));
        resolve();
      });
    });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => this.#take(line));
  }

  #take(line: string): void {
    let message: Record<string, unknown>;
    try {
      message = JSON.parse(line) as Record<string, unknown>;
    } catch {
      this.#errors += `${line}\n`;
      return;
    }
    for (const [name, value] of Object.entries(message)) {
      const resolve = this.#waiting.get(name);
      this.#waiting.delete(name);
      resolve?.(value as never);
    }
  }

  /** The next message of that name. */
  next<T>(name: string): Promise<T> {
    const message = new Promise<T>((resolve) => this.#waiting.set(name, resolve as (value: never) => void));
    return Promise.race([message, this.failed]);
  }

  line(text: string): void {
    this.#child.stdin!.write(`${text}\n`);
  }

  async usage(line = "usage"): Promise<Usage> {
    const answer = this.next<Usage>("usage");
    this.line(line);
    return answer;
  }

  /** Has it end; insists. */
  async end(): Promise<void> {
    this.#child.stdin!.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 2000);
    await this.#closed;
    clearTimeout(timer);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** Runs `workload` between the peer's client and server. */
export async function measure(peer: Peer, workload: Workload, setting: Setting): Promise<Outcome> {
  const common = { ...setting, workload, module: peer.module ?? "" };
  const server = new Program(peer, { ...common, role: "server", port: 0 });
  let client: Program | null = null;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    client?.kill();
    server.kill();
  }, TIMEOUT);
  try {
    const port = await server.next<number>("listening");
    client = new Program(peer, { ...common, role: "client", port });
    const begun = client.next<boolean>("begin");
    const ended = client.next<Result>("result");
    begun.catch(() => {});
    ended.catch(() => {});
    const idle: Usage[] = [];
    for (let rests = RESTS[workload.kind] ?? 0; rests > 0; rests--) {
      await Promise.race([client.next<boolean>("opened"), server.failed]);
      await new Promise((resolve) => setTimeout(resolve, REST));
      idle.push(await server.usage("gc"));
      client.line("go");
    }
    await Promise.race([begun, server.failed]);
    const before = await server.usage();
    const result = await Promise.race([ended, server.failed]);
    const after = await server.usage();
    return { client: result, serverCpu: after.cpu - before.cpu, serverRss: after.rss, idle };
  } catch (error) {
    if (!late) throw error;
    throw new Error(`${peer.name}: ${workload.kind} took longer than ${TIMEOUT / 1000} s`, { cause: error });
  } finally {
    clearTimeout(timer);
    await Promise.all([client?.end(), server.end()]);
  }
}
