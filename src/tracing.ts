// Tracers as the core may call them: they never throw. And what QLOGDIR and NODE_DEBUG=quic ask for.

import { debuglog } from "node:util";
import type { Tracer, TracerInfo, TracerSource } from "../internal/protocol/tracer.ts";

/** Main events of connections' lives, for `NODE_DEBUG=quic`. */
export const debug = debuglog("quic");

/** Those that threw: each is reported once, however many connections it is given to. */
const reported = new WeakSet<object>();

/**
 * One source of tracers out of the application's and QLOGDIR's. What a tracer throws is reported once by a warning and
 * harms nothing.
 */
export function safeTracer(own: TracerSource | null, other: TracerSource | null = null): TracerSource | null {
  if (own === null && other === null) return null;
  const failed = (source: TracerSource | null, error: unknown): void => {
    if (source === null || reported.has(source)) return;
    reported.add(source);
    const reason = error instanceof Error ? error.message : String(error);
    process.emitWarning(`A tracer threw: ${reason}. The connection goes on; the tracer misses events.`, {
      code: "QUIC_TRACER",
    });
  };
  const make = (source: TracerSource | null, info: TracerInfo): Tracer | null => {
    try {
      return typeof source === "function" ? source(info) : source;
    } catch (error) {
      failed(source, error);
      return null;
    }
  };
  return (info) => {
    const first = make(own, info);
    const second = make(other, info);
    if (first === null && second === null) return null;
    return {
      record(event) {
        try {
          first?.record(event);
        } catch (error) {
          failed(own, error);
        }
        try {
          second?.record(event);
        } catch (error) {
          failed(other, error);
        }
      },
    };
  };
}

/** As safeTracer, for a tracer that belongs to no connection. */
export function safeEndpointTracer(source: TracerSource | undefined): Tracer | null {
  const safe = safeTracer(source ?? null);
  return typeof safe === "function" ? safe({ role: "server", odcid: "" }) : safe;
}

const directories = new Map<string, TracerSource>();

/** What QLOGDIR asks for, null where it is not set: the code for it is loaded only then. */
export async function environmentQlog(): Promise<TracerSource | null> {
  const directory = process.env["QLOGDIR"];
  if (directory === undefined || directory === "") return null;
  const known = directories.get(directory);
  if (known !== undefined) return known;
  const { qlogDirectory } = await import("../qlog/index.ts");
  const level = process.env["QLOGLEVEL"];
  const source = qlogDirectory(directory, level === "core" || level === "extra" ? { level } : {});
  directories.set(directory, source);
  return source;
}
