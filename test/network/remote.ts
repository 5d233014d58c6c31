// A peer process as the test sees it: orders become calls.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Hosts } from "./hosts.ts";
import type { Orders } from "./peer.ts";

const ROOT = join(import.meta.dirname, "../..");
const ARGS = ["--import", "tsx", join(import.meta.dirname, "peer.ts")];

/** A peer that runs on one of `hosts`, or on this machine. */
export class Remote {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #next = 0;

  constructor(hosts?: Hosts, host?: string) {
    const options = {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit", "ipc"] as ["ignore", "inherit", "inherit", "ipc"],
    };
    this.#child =
      hosts === undefined
        ? spawn(process.execPath, ARGS, options)
        : hosts.spawn(host!, process.execPath, ARGS, options);
    this.#child.on("message", ({ id, result, error }: { id: number; result: unknown; error?: string }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    const over = (): void => {
      for (const each of this.#waiting.values()) each.reject(new Error("the peer process is gone"));
      this.#waiting.clear();
    };
    this.#child.once("error", over);
    this.#child.once("exit", over);
  }

  /** Tells it something; gives its answer. */
  do<Name extends keyof Orders>(
    name: Name,
    order: Parameters<Orders[Name]>[0],
  ): Promise<Awaited<ReturnType<Orders[Name]>>> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#child.send({ id, name, order }, (error) => {
        if (error !== null && this.#waiting.delete(id)) reject(error);
      });
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    const patience = setTimeout(() => this.#child.kill("SIGKILL"), 3000);
    if (this.#child.connected) this.#child.disconnect();
    await ended;
    clearTimeout(patience);
  }
}
