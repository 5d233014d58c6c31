// qlog as JSON text sequences (rfc7464), one trace per connection: draft-ietf-quic-qlog-main-schema, QlogFileSeq.

import { existsSync, mkdirSync, openSync, closeSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import type { TraceEvent, Tracer, TracerInfo } from "../src/index.ts";
import { EVENT_LEVELS, EventMapper, float, type QlogLevel } from "./events.ts";

/** rfc7464#2.2 every JSON text is preceded by one ASCII Record Separator (0x1E) and ended by a Line Feed. */
const RS = "\u001e";
const RANK: Readonly<Record<QlogLevel, number>> = { core: 0, base: 1, extra: 2 };
const FLUSH_AT = 65_536;
const FLUSH_AFTER = 1000;

/** What to write, and how much of it. */
export interface QlogOptions {
  /** Importance level, default "base". */
  level?: QlogLevel;
  /** Only these events, by qlog name with or without its namespace, as `packet_lost`. Default: all of the level. */
  events?: readonly string[];
  /** Goes into the file's header. */
  title?: string;
}

/** Where one trace goes: pieces of text in order, each of them whole records. */
export interface QlogSink {
  write(text: string): void;
  end(): void;
}

const open = new Set<QlogTracer>();
let watching = false;
const warned = new Set<string>();

/** One warning for each place that fails, however many connections fail there. */
function warn(place: string, error: unknown): void {
  if (warned.has(place)) return;
  warned.add(place);
  const reason = error instanceof Error ? error.message : String(error);
  process.emitWarning(`qlog: cannot write to ${place}: ${reason}. Connections go on without it.`, {
    code: "QUIC_QLOG",
  });
}

/** Writes the trace of one connection. Events after its end are ignored: two connections never mix. */
export class QlogTracer implements Tracer {
  readonly #sink: QlogSink;
  readonly #place: string;
  readonly #wanted: Readonly<Record<string, boolean>>;
  readonly #mapper: EventMapper;
  #epoch = NaN;
  #buffer: string;
  #at = NaN;
  #time = "0.0";
  #timer: NodeJS.Timeout | null = null;
  #ended = false;
  readonly #emit = (name: string, data: string): void => {
    if (this.#wanted[name] !== true) return;
    this.#buffer += `${RS}{"time":${this.#time},"name":"${name}","data":${data}}\n`;
  };

  constructor(sink: QlogSink, place: string, info: TracerInfo, options: QlogOptions = {}) {
    this.#sink = sink;
    this.#place = place;
    this.#wanted = selection(options);
    this.#mapper = new EventMapper(info.role, this.#wanted);
    this.#buffer = `${RS}${JSON.stringify(header(info, options, Date.now()))}\n`;
    open.add(this);
    if (!watching) {
      watching = true;
      // Also after an uncaught error.
      process.on("exit", flushAll);
    }
  }

  record(event: TraceEvent): void {
    if (this.#ended) return;
    if (Number.isNaN(this.#epoch)) this.#epoch = event.time;
    // Packets of one batch have one time.
    if (event.time !== this.#at) {
      this.#at = event.time;
      this.#time = float(event.time - this.#epoch);
    }
    this.#mapper.map(event, this.#emit);
    if (this.#buffer.length >= FLUSH_AT) this.flush();
    else if (this.#timer === null) {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.flush();
      }, FLUSH_AFTER);
      this.#timer.unref();
    }
    if (event.name === "connection_state_updated" && event.state === "closed") this.end();
  }

  /** Hands out what is buffered. */
  flush(): void {
    if (this.#ended || this.#buffer === "") return;
    const text = this.#buffer;
    this.#buffer = "";
    try {
      this.#sink.write(text);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Flushes and closes. The tracer does it by itself when the connection is closed. */
  end(): void {
    if (this.#ended) return;
    this.flush();
    this.#stop();
    try {
      this.#sink.end();
    } catch (error) {
      warn(this.#place, error);
    }
  }

  #fail(error: unknown): void {
    warn(this.#place, error);
    this.#stop();
    try {
      this.#sink.end();
    } catch {
      // It has failed already.
    }
  }

  #stop(): void {
    this.#ended = true;
    this.#buffer = "";
    open.delete(this);
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}

function flushAll(): void {
  for (const tracer of open) tracer.flush();
}

function selection(options: QlogOptions): Record<string, boolean> {
  const rank = RANK[options.level ?? "base"];
  if (rank === undefined)
    throw new TypeError(`qlog level: "core", "base" or "extra", not ${String(options.level)}`);
  const wanted: Record<string, boolean> = {};
  for (const [name, level] of Object.entries(EVENT_LEVELS)) {
    wanted[name] =
      RANK[level] <= rank &&
      (options.events === undefined ||
        options.events.includes(name) ||
        options.events.includes(name.slice(name.indexOf(":") + 1)));
  }
  return wanted;
}

/** The first record: the draft's fields, and before them those by which qvis tells a 0.3 file. */
export function header(info: TracerInfo, options: QlogOptions, wallNow: number): object {
  return {
    qlog_version: "0.3",
    qlog_format: "JSON-SEQ",
    file_schema: "urn:ietf:params:qlog:file:sequential",
    serialization_format: "application/qlog+json-seq",
    ...(options.title === undefined ? {} : { title: options.title }),
    trace: {
      common_fields: {
        group_id: info.odcid,
        ODCID: info.odcid,
        protocol_type: ["QUIC"],
        time_format: "relative_to_epoch",
        reference_time: {
          clock_type: "monotonic",
          epoch: "unknown",
          wall_clock_time: new Date(wallNow).toISOString(),
        },
      },
      vantage_point: { name: "quic-ts", type: info.role },
      event_schemas: [
        "urn:ietf:params:qlog:events:quic",
        "urn:ietf:params:qlog:events:http3",
        "urn:ietf:params:qlog:events:http",
        "urn:ietf:params:qlog:events:loglevel",
      ],
    },
  };
}

function fileSink(path: string): QlogSink {
  const fd = openSync(path, "w", 0o600);
  let ended = false;
  return {
    write(text) {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    },
    end() {
      if (ended) return;
      ended = true;
      closeSync(fd);
    },
  };
}

/** Makes the tracer of each connection: goes into `Config.tracer`. */
export type QlogFactory = (info: TracerInfo) => Tracer | null;

/** To a file. A later connection on the same configuration gets `<path>.<odcid>`, so that none mix. */
export function qlogFile(path: string, options: QlogOptions = {}): QlogFactory {
  selection(options);
  let used = false;
  return (info) => {
    const own = used ? `${path}.${info.odcid}` : path;
    used = true;
    return tracerTo(own, path, info, options);
  };
}

/** To `<odcid>_<client|server>.sqlog` in a directory, which is made where it is missing. */
export function qlogDirectory(directory: string, options: QlogOptions = {}): QlogFactory {
  selection(options);
  let made = false;
  return (info) => {
    try {
      // One level: Node's recursive form never returns where a parent refuses with ENOENT, as /proc does.
      if (!made && !existsSync(directory)) mkdirSync(directory);
      made = true;
    } catch (error) {
      warn(directory, error);
      return null;
    }
    return tracerTo(join(directory, `${info.odcid}_${info.role}.sqlog`), directory, info, options);
  };
}

function tracerTo(path: string, place: string, info: TracerInfo, options: QlogOptions): Tracer | null {
  try {
    return new QlogTracer(fileSink(path), place, info, options);
  } catch (error) {
    warn(place, error);
    return null;
  }
}

/** To a stream, which stays open and takes the first connection's trace alone; or to one stream per connection. */
export function qlogStream(
  target: Writable | ((info: TracerInfo) => Writable),
  options: QlogOptions = {},
): QlogFactory {
  selection(options);
  let used = false;
  return (info) => {
    if (used && typeof target !== "function") return null;
    used = true;
    const stream = typeof target === "function" ? target(info) : target;
    let broken: Error | null = null;
    stream.on("error", (error) => {
      broken = error;
      warn("the stream", error);
    });
    const sink: QlogSink = {
      write(text) {
        if (broken !== null) throw broken;
        if (stream.destroyed || stream.writableEnded) throw new Error("the stream is closed");
        stream.write(text);
      },
      end() {
        if (typeof target === "function") stream.end();
      },
    };
    return new QlogTracer(sink, "the stream", info, options);
  };
}

/** To a function, which gets pieces of text (whole records) and what connection they belong to. */
export function qlogCallback(
  callback: (text: string, info: TracerInfo) => void,
  options: QlogOptions = {},
): QlogFactory {
  selection(options);
  return (info) =>
    new QlogTracer({ write: (text) => callback(text, info), end() {} }, "the callback", info, options);
}
