// Node's Duplex as the engine wants streams.

import type { Duplex } from "node:stream";
import type { BenchStream } from "../engine/adapter.ts";

/** Reads by the stream's own events, without an iterator's promises per chunk where chunks are there already. */
export function duplexStream(stream: Duplex): BenchStream {
  let wake: (() => void) | null = null;
  let ended = false;
  let failure: Error | null = null;
  const notify = (): void => {
    wake?.();
    wake = null;
  };
  stream.on("readable", notify);
  stream.on("end", () => {
    ended = true;
    notify();
  });
  stream.on("close", () => {
    ended = true;
    notify();
  });
  stream.on("error", (error: Error) => {
    failure = error;
    notify();
  });
  return {
    write(bytes) {
      if (stream.write(bytes)) return undefined;
      return new Promise<void>((resolve, reject) => {
        stream.once("drain", resolve);
        stream.once("close", () => reject(failure ?? new Error("the stream was closed")));
      });
    },
    end: () => void stream.end(),
    async read() {
      for (;;) {
        const chunk = stream.read() as Buffer | null;
        if (chunk !== null) return chunk;
        if (failure !== null) throw failure;
        if (ended) return null;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
