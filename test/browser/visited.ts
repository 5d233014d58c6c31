// The process with the server, as the test sees it.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Command, Report, Settings, State } from "./protocol.ts";

/** How long the server may take for anything, ms. */
const PATIENCE = 20_000;

export class Visited {
  readonly port: number;
  /** What its handler failed with. */
  readonly failures: string[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (state: State) => void>();
  #next = 0;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    child.on("message", (report: Report) => {
      if (report.kind === "failure") this.failures.push(report.message);
      if (report.kind !== "answer") return;
      this.#waiting.get(report.id)?.(report);
      this.#waiting.delete(report.id);
    });
  }

  /** Starts one; resolves when it listens. */
  static async start(settings: Settings): Promise<Visited> {
    const child = fork(join(import.meta.dirname, "server.ts"), [JSON.stringify(settings)], {
      execArgv: ["--import", "tsx"],
    });
    const signal = AbortSignal.timeout(PATIENCE);
    const ended = once(child, "exit", { signal }).then(([code]) => {
      throw new Error(`the server ended with ${code}`);
    });
    const [report] = (await Promise.race([once(child, "message", { signal }), ended])) as [Report];
    ended.catch(() => {});
    if (report.kind !== "listening") throw new Error("the server did not listen");
    return new Visited(child, report.port);
  }

  order(order: Command["order"]): Promise<State> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${order}`)), PATIENCE);
      this.#waiting.set(id, (state) => {
        clearTimeout(timer);
        resolve(state);
      });
      this.#child.send({ id, order } satisfies Command);
    });
  }

  /** Waits until the server has seen something. */
  async until(condition: (state: State) => boolean, what: string): Promise<State> {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const state = await this.order("look");
      if (condition(state)) return state;
      if (Date.now() > end) throw new Error(`never came: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Kills it: no close, nothing said to anybody. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}
