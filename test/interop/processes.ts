// The processes of a run: what they say, when they are ready, how they end.

import type { ChildProcess } from "node:child_process";
import { createWriteStream, existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "./implementations.ts";

const START_TIMEOUT = 20_000;
const STOP_TIMEOUT = 2_000;

/** Why a run failed. */
export class Failure extends Error {}

/** Keeps what a process says in a file, and its last words in memory. */
export function record(child: ChildProcess, file: string): () => string {
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
export function exit(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    child.once("error", () => resolve(null));
    child.once("close", (code) => resolve(code));
  });
}

export async function ready(
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

export async function end(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill("SIGTERM");
  const patience = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT);
  await ended;
  clearTimeout(patience);
}
