// The frame of a peer's program in JavaScript: reads its Spec, speaks the runner's lines. Runs in Node and in Deno.

import process from "node:process";
import { createInterface } from "node:readline";
import type { Adapter } from "./adapter.ts";
import { type Host, runClient } from "./client.ts";
import { memoryInUse } from "./memory.ts";
import { serve } from "./server.ts";
import type { Result, Spec, Usage } from "./spec.ts";

function usage(collect: boolean): Usage {
  const { user, system } = process.cpuUsage();
  const common = { cpu: (user + system) / 1e6, rss: process.memoryUsage().rss };
  return collect ? { ...common, memory: memoryInUse() } : common;
}

const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

/** A program of either role. */
export interface Program {
  /** Gives the port. */
  listen(spec: Spec): Promise<number>;
  client(spec: Spec, host: Host): Promise<Result>;
}

/** Runs the role that the command line asks for. */
export async function runProgram(program: Program): Promise<void> {
  const spec = JSON.parse(process.argv[2]!) as Spec;
  const lines = createInterface({ input: process.stdin });
  if (spec.role === "server") {
    const port = await program.listen(spec);
    lines.on("line", (line) => say({ usage: usage(line === "gc") }));
    lines.on("close", () => process.exit(0));
    say({ listening: port });
    return;
  }
  const host: Host = {
    cpuSeconds: () => usage(false).cpu,
    rss: () => usage(false).rss,
    say,
    line: () => new Promise((resolve) => void lines.once("line", resolve)),
  };
  const result = await program.client(spec, host);
  process.stdout.write(`${JSON.stringify({ result })}\n`, () => process.exit(0));
}

/** The frame of a program that speaks the streams of spec.ts. */
export const main = (adapter: Adapter): Promise<void> =>
  runProgram({
    listen: (spec) =>
      adapter.listen(spec, {
        // A client that goes away in the middle is how measurements by time end.
        onStream: (stream, state) => void serve(stream, state).catch(() => {}),
      }),
    client: (spec, host) => runClient(adapter, spec, host),
  });
