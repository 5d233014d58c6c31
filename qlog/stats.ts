// A summary of any qlog: ours or another stack's, JSON or JSON-SEQ (or one JSON text per line), draft 0.3 or newer.
// Broken files: what can be read counts, and what cannot is reported with its place.

/** What a trace tells. Times in ms. */
export interface QlogStats {
  title: string;
  vantagePoint: string;
  format: string;
  events: number;
  duration: number;
  rtt: { min: number | null; smoothed: number | null; latest: number | null };
  packets: { sent: number; received: number; dropped: number };
  bytes: { sent: number; received: number };
  lost: number;
  spurious: number;
  /** Expired PTO timers, else the increases of pto_count. */
  ptos: number;
  /** Time within which something was blocked, as the trace says it. */
  blocked: number;
  framesSent: { [type: string]: number };
  framesReceived: { [type: string]: number };
  warnings: string[];
}

type Data = { [name: string]: unknown };

function isObject(value: unknown): value is Data {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const asNumber = (value: unknown): number | null => {
  const number = typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
};

const MAX_WARNINGS = 20;

/** Reads `content` as a qlog file; one result per trace. Never throws for what stands in it. */
export function qlogStats(content: string): QlogStats[] {
  const problems: string[] = [];
  const found: Trace[] = [];
  const text = content.replace(/^\ufeff/, "");
  if (text.trim() === "") return [finish(newTrace("empty"), ["the file is empty"])];
  if (text.startsWith("\u001e")) {
    found.push(sequence(split(text, "\u001e"), "JSON-SEQ", problems));
  } else {
    let whole: unknown;
    try {
      whole = JSON.parse(text);
    } catch (error) {
      const lines = split(text, "\n");
      const first = parse(lines[0]?.text ?? "");
      if (first !== undefined && lines.length > 1) found.push(sequence(lines, "JSON lines", problems));
      else {
        problems.push(
          `not whole JSON: ${(error as Error).message}; what follows is what could be found in it`,
        );
        found.push(salvage(text));
      }
    }
    if (whole !== undefined) contained(whole, found, problems);
  }
  if (found.length === 0) found.push(newTrace("JSON"));
  return found.map((trace, i) => finish(trace, i === 0 ? problems : []));
}

interface Trace {
  stats: QlogStats;
  fields: readonly string[] | null;
  relative: boolean;
  clock: number;
  first: number | null;
  last: number;
  lastPto: number;
  ptoTimers: number;
  ptoCounts: number;
  blockedSince: Map<string, number>;
}

function newTrace(format: string): Trace {
  return {
    stats: {
      title: "",
      vantagePoint: "unknown",
      format,
      events: 0,
      duration: 0,
      rtt: { min: null, smoothed: null, latest: null },
      packets: { sent: 0, received: 0, dropped: 0 },
      bytes: { sent: 0, received: 0 },
      lost: 0,
      spurious: 0,
      ptos: 0,
      blocked: 0,
      framesSent: {},
      framesReceived: {},
      warnings: [],
    },
    fields: null,
    relative: false,
    clock: 0,
    first: null,
    last: 0,
    lastPto: 0,
    ptoTimers: 0,
    ptoCounts: 0,
    blockedSince: new Map(),
  };
}

interface Piece {
  text: string;
  at: number;
}

function split(text: string, separator: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const piece of text.split(separator)) {
    if (piece.trim() !== "") pieces.push({ text: piece, at });
    at += piece.length + separator.length;
  }
  return pieces;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function sequence(pieces: readonly Piece[], format: string, problems: string[]): Trace {
  const trace = newTrace(format);
  pieces.forEach(({ text, at }, i) => {
    const value = parse(text);
    if (value === undefined) {
      const last = i === pieces.length - 1 ? " (the last one: the file is truncated)" : "";
      problems.push(`record ${i + 1}, at character ${at}: not JSON${last}`);
    } else if (i === 0 && isObject(value) && value["data"] === undefined) {
      begin(trace, value, isObject(value["trace"]) ? value["trace"] : {});
    } else {
      if (i === 0) problems.push("there is no header before the first event");
      if (!add(trace, value)) problems.push(`record ${i + 1}, at character ${at}: not an event`);
    }
  });
  return trace;
}

function contained(whole: unknown, found: Trace[], problems: string[]): void {
  const traces = isObject(whole) ? whole["traces"] : undefined;
  if (!isObject(whole) || !Array.isArray(traces)) {
    // A file of nothing but a header of JSON-SEQ, or something else.
    const trace = newTrace("JSON");
    if (isObject(whole) && isObject(whole["trace"])) begin(trace, whole, whole["trace"]);
    problems.push(isObject(whole) && isObject(whole["trace"]) ? "no events" : "not a qlog: it has no traces");
    found.push(trace);
    return;
  }
  traces.forEach((each: unknown, i) => {
    const trace = newTrace("JSON");
    found.push(trace);
    if (!isObject(each) || !Array.isArray(each["events"])) {
      const reason = isObject(each) ? (each["error_description"] ?? "it has no events") : "not an object";
      problems.push(`trace ${i + 1}: ${String(reason)}`);
      return;
    }
    begin(trace, whole, each);
    let bad = 0;
    each["events"].forEach((event: unknown, at) => {
      if (!add(trace, event) && ++bad <= 3) problems.push(`trace ${i + 1}, event ${at + 1}: not an event`);
    });
    if (bad > 3) problems.push(`trace ${i + 1}: ${bad} entries are no events`);
  });
}

/** Events of a broken JSON file: every object that parses and looks like one. */
function salvage(text: string): Trace {
  const trace = newTrace("JSON, broken");
  for (let at = text.indexOf('{"time"'); at >= 0; at = text.indexOf('{"time"', at + 1)) {
    const end = text.indexOf('{"time"', at + 1);
    const piece = text.slice(at, end < 0 ? undefined : end);
    // The whole event; of a cut one, as much as stands before its last commas.
    for (
      let cut = piece.length, tries = 0;
      cut > 0 && tries < 4;
      cut = piece.lastIndexOf(",", cut - 1), tries++
    ) {
      const value = parse(closed(piece.slice(0, cut)));
      if (value !== undefined && add(trace, value)) break;
    }
  }
  return trace;
}

/** The object that `text` starts with, its brackets closed where it ends early. */
function closed(text: string): string {
  const open: string[] = [];
  for (let i = 0, quoted = false; i < text.length; i++) {
    const c = text[i]!;
    if (quoted) {
      if (c === "\\") i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === "{") open.push("}");
    else if (c === "[") open.push("]");
    else if (c === open.at(-1)) {
      open.pop();
      if (open.length === 0) return text.slice(0, i + 1);
    }
  }
  return text + open.reverse().join("");
}

function begin(trace: Trace, file: Data, own: Data): void {
  const { stats } = trace;
  const point = own["vantage_point"];
  if (isObject(point)) stats.vantagePoint = String(point["type"] ?? "unknown");
  stats.title = String(own["title"] ?? file["title"] ?? "");
  const schema = file["file_schema"];
  const version = file["qlog_version"];
  if (schema === undefined && version === undefined) stats.warnings.push("the header names no qlog version");
  else stats.format += schema === undefined ? `, qlog ${String(version)}` : ", qlog by file schema";
  const common = isObject(own["common_fields"]) ? own["common_fields"] : {};
  const format = common["time_format"];
  trace.relative = format === "delta" || format === "relative_to_previous_event";
  if (Array.isArray(own["event_fields"])) trace.fields = own["event_fields"].map(String);
}

/** False where it is not an event. */
function add(trace: Trace, value: unknown): boolean {
  let event = value;
  if (Array.isArray(event) && trace.fields !== null) {
    // Drafts 00 to 02 have arrays, with the names of their fields in the header.
    const list = event as readonly unknown[];
    event = Object.fromEntries(trace.fields.map((name, i) => [name === "event" ? "name" : name, list[i]]));
  }
  if (!isObject(event)) return false;
  const time = asNumber(event["time"] ?? event["relative_time"]);
  const name = event["name"] ?? event["event"] ?? event["event_type"];
  if (time === null || typeof name !== "string") return false;
  const { stats } = trace;
  stats.events++;
  trace.clock = trace.relative ? trace.clock + time : time;
  trace.first ??= trace.clock;
  trace.last = Math.max(trace.last, trace.clock);
  handle(trace, name.slice(name.indexOf(":") + 1), name, isObject(event["data"]) ? event["data"] : {});
  return true;
}

function handle(trace: Trace, short: string, name: string, data: Data): void {
  const { stats } = trace;
  if (short === "packet_sent" || short === "packet_received") {
    const side = short === "packet_sent" ? "sent" : "received";
    stats.packets[side]++;
    const raw = isObject(data["raw"]) ? data["raw"] : {};
    const header = isObject(data["header"]) ? data["header"] : {};
    stats.bytes[side] += asNumber(raw["length"] ?? header["packet_size"] ?? data["packet_size"]) ?? 0;
    const frames = Array.isArray(data["frames"]) ? (data["frames"] as readonly unknown[]) : [];
    const counts = side === "sent" ? stats.framesSent : stats.framesReceived;
    for (const frame of frames) {
      const type = isObject(frame) ? String(frame["frame_type"] ?? "unknown") : "unknown";
      counts[type] = (counts[type] ?? 0) + 1;
    }
  } else if (short === "packet_dropped") stats.packets.dropped++;
  else if (short === "packet_lost") stats.lost++;
  else if (short.startsWith("spurious_loss")) stats.spurious++;
  else if (short === "recovery_metrics_updated" || short === "metrics_updated") {
    stats.rtt.min = asNumber(data["min_rtt"]) ?? stats.rtt.min;
    stats.rtt.smoothed = asNumber(data["smoothed_rtt"]) ?? stats.rtt.smoothed;
    stats.rtt.latest = asNumber(data["latest_rtt"]) ?? stats.rtt.latest;
    const pto = asNumber(data["pto_count"]);
    if (pto !== null) {
      trace.ptoCounts += Math.max(0, pto - trace.lastPto);
      trace.lastPto = pto;
    }
  } else if (short === "timer_updated" || short === "loss_timer_updated") {
    if (data["event_type"] === "expired" && data["timer_type"] === "pto") trace.ptoTimers++;
  } else if (short.endsWith("data_blocked_updated")) {
    const key = `${short} ${String(data["stream_id"] ?? "")}`;
    if (data["new"] === "blocked") {
      if (!trace.blockedSince.has(key)) trace.blockedSince.set(key, trace.clock);
    } else {
      stats.blocked += trace.clock - (trace.blockedSince.get(key) ?? trace.clock);
      trace.blockedSince.delete(key);
    }
  } else if (name.startsWith("loglevel:") && /^(warning|error)/.test(short)) {
    const message = String(data["message"] ?? "");
    const spurious = /^spurious loss: (\d+)/.exec(message);
    if (spurious !== null) stats.spurious += Number(spurious[1]);
    else stats.warnings.push(`${short}: ${message}`);
  }
}

function finish(trace: Trace, problems: readonly string[]): QlogStats {
  const { stats } = trace;
  stats.duration = trace.first === null ? 0 : trace.last - trace.first;
  stats.ptos = Math.max(trace.ptoTimers, trace.ptoCounts);
  for (const since of trace.blockedSince.values()) stats.blocked += trace.last - since;
  if (stats.events === 0 && problems.length === 0) stats.warnings.push("no events");
  stats.warnings = [...problems, ...stats.warnings];
  const more = stats.warnings.length - MAX_WARNINGS;
  if (more > 0) stats.warnings = [...stats.warnings.slice(0, MAX_WARNINGS), `… and ${more} more`];
  return stats;
}

// What a terminal would take as commands must not come out of a foreign file.
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?").slice(0, 300);

/** The summary as lines of text. */
export function formatStats(stats: QlogStats): string {
  const ms = (value: number | null): string => (value === null ? "–" : `${Math.round(value * 100) / 100} ms`);
  const frames = (counts: { [type: string]: number }): string =>
    Object.entries(counts)
      .sort((a, b) => b[1] - a[1])
      .map(([type, count]) => `${type} ${count}`)
      .join(", ") || "none";
  const { rtt, packets, bytes } = stats;
  return [
    `${stats.title === "" ? "" : `${stats.title}: `}${stats.vantagePoint}, ${stats.format}`,
    `  duration         ${ms(stats.duration)}, ${stats.events} events`,
    `  RTT              min ${ms(rtt.min)}, smoothed ${ms(rtt.smoothed)}, latest ${ms(rtt.latest)}`,
    `  packets          sent ${packets.sent} (${bytes.sent} bytes), received ${packets.received} (${bytes.received} bytes), dropped ${packets.dropped}`,
    `  losses           ${stats.lost}, spurious ${stats.spurious}, PTOs ${stats.ptos}`,
    `  blocked          ${ms(stats.blocked)}`,
    `  frames sent      ${frames(stats.framesSent)}`,
    `  frames received  ${frames(stats.framesReceived)}`,
    ...stats.warnings.map((warning) => `  warning: ${warning}`),
  ]
    .map(printable)
    .join("\n");
}
