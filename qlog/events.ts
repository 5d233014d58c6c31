// Trace events in the names and shapes of draft-ietf-quic-qlog-quic-events. Packets, by far the most frequent, are
// written as text at once; the rest goes through JSON.stringify.

import type { TraceEvent, TracedFrame } from "../src/index.ts";

/** Importance levels of the draft: each includes those before it. */
export type QlogLevel = "core" | "base" | "extra";

/** Importance of each event we write, by its qlog name. qlog-quic-events, table 1. */
export const EVENT_LEVELS: Readonly<Record<string, QlogLevel>> = {
  "quic:server_listening": "extra",
  "quic:connection_started": "base",
  "quic:connection_closed": "base",
  "quic:connection_id_updated": "base",
  "quic:connection_state_updated": "base",
  "quic:tuple_assigned": "base",
  "quic:mtu_updated": "extra",
  "quic:version_information": "core",
  "quic:alpn_information": "core",
  "quic:parameters_set": "core",
  "quic:parameters_restored": "base",
  "quic:packet_sent": "core",
  "quic:packet_received": "core",
  "quic:packet_dropped": "base",
  "quic:packet_buffered": "base",
  "quic:packets_acked": "extra",
  "quic:stream_state_updated": "base",
  "quic:stream_data_moved": "base",
  "quic:migration_state_updated": "extra",
  "quic:timer_updated": "extra",
  "quic:key_updated": "base",
  "quic:key_discarded": "base",
  "quic:recovery_parameters_set": "base",
  "quic:recovery_metrics_updated": "core",
  "quic:congestion_state_updated": "base",
  "quic:packet_lost": "core",
  "quic:ecn_state_updated": "extra",
  // qlog-h3-events, table 1.
  "http3:parameters_set": "base",
  "http3:parameters_restored": "base",
  "http3:stream_type_set": "base",
  "http3:priority_updated": "base",
  "http3:frame_created": "core",
  "http3:frame_parsed": "core",
  "http3:datagram_created": "base",
  "http3:datagram_parsed": "base",
  "http3:push_resolved": "extra",
  // qlog-h3-events, table 2.
  "http:capsule_created": "core",
  "http:capsule_parsed": "core",
  "loglevel:warning": "base",
  "loglevel:info": "extra",
};

/** What to write for one trace event: qlog names with their data as JSON text. */
export type Emit = (name: string, data: string) => void;

type Role = "client" | "server";

// By packet type number: initial, 0-RTT, handshake, retry, version negotiation, 1-RTT.
const TYPES = ["initial", "0RTT", "handshake", "retry", "version_negotiation", "1RTT"];
const STATELESS_TYPES = {
  version_negotiation: "version_negotiation",
  retry: "retry",
  stateless_reset: "stateless_reset",
  connection_close: "initial",
} as const;
const SPACES = ["initial", "handshake", "application_data"];
const SPACE_TYPES = ["initial", "handshake", "1RTT"];
const LEVELS = ["initial", "handshake", "1rtt", "0rtt"];

const TRANSPORT_ERRORS = [
  "no_error",
  "internal_error",
  "connection_refused",
  "flow_control_error",
  "stream_limit_error",
  "stream_state_error",
  "final_size_error",
  "frame_encoding_error",
  "transport_parameter_error",
  "connection_id_limit_error",
  "protocol_violation",
  "invalid_token",
  "application_error",
  "crypto_buffer_exceeded",
  "key_update_error",
  "aead_limit_reached",
  "no_viable_path",
];

const DROP_TRIGGERS: Readonly<Record<string, string>> = {
  unknown_connection_id: "connection_unknown",
  initial_too_small: "invalid",
  invalid_header: "invalid",
  unsupported_version: "unsupported",
  unexpected_version: "unsupported",
  keys_unavailable: "key_unavailable",
  early_data_rejected: "rejected",
  keys_discarded: "key_unavailable",
  decryption_failed: "decryption_failure",
  duplicate: "duplicate",
  coalesced_dcid_mismatch: "invalid",
  unexpected_packet: "rejected",
  invalid_version_negotiation: "invalid",
  invalid_retry: "invalid",
  unexpected_address: "rejected",
  server_busy: "rejected",
  application_refused: "rejected",
  rate_limited: "rejected",
  invalid_token: "invalid",
  address_unvalidated: "rejected",
  blocked: "rejected",
  invalid_source: "invalid",
  connection_error: "internal_error",
};

const json = JSON.stringify;

/** A float as JSON that stays a float where it is whole: strict readers of the CDDL want that. */
export function float(value: number): string {
  const rounded = Math.round(value * 1000) / 1000;
  // An exponent makes it a float as well.
  return Number.isInteger(rounded) && Math.abs(rounded) < 1e21 ? `${rounded}.0` : `${rounded}`;
}

/** Marks a number to be written as a float. */
const FLOAT = "\u0001";
const asFloat = (value: number): string => FLOAT + float(value);

function text(data: object): string {
  return json(data).replace(/"\\u0001([^"]*)"/g, "$1");
}

/** A transport error code as qlog names it, with the number where it has no name. */
export function transportError(code: number): { connection_error: string; error_code?: number } {
  const name = TRANSPORT_ERRORS[code];
  if (name !== undefined) return { connection_error: name };
  if (code >= 0x100 && code <= 0x1ff) return { connection_error: `crypto_error_0x${code.toString(16)}` };
  return { connection_error: "unknown", error_code: code };
}

/** `ip:port` or `[ip]:port` in qlog's fields. */
function endpointInfo(key: string | null): { [field: string]: string | number } {
  const match = key === null ? null : /^\[?([^\]]*?)\]?[:|]?(\d+)$/.exec(key);
  if (match === null) return {};
  const ip = match[1]!;
  const port = Number(match[2]);
  return ip.includes(":") ? { ip_v6: ip, port_v6: port } : { ip_v4: ip, port_v4: port };
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const PARAMETERS = new Set([
  "original_destination_connection_id",
  "initial_source_connection_id",
  "retry_source_connection_id",
  "disable_active_migration",
  "max_idle_timeout",
  "max_udp_payload_size",
  "ack_delay_exponent",
  "max_ack_delay",
  "active_connection_id_limit",
  "initial_max_data",
  "initial_max_stream_data_bidi_local",
  "initial_max_stream_data_bidi_remote",
  "initial_max_stream_data_uni",
  "initial_max_streams_bidi",
  "initial_max_streams_uni",
  "max_datagram_frame_size",
  "grease_quic_bit",
  "reset_stream_at",
]);

/** QUICParametersRestored. */
const RESTORED = new Set([
  "disable_active_migration",
  "max_idle_timeout",
  "max_udp_payload_size",
  "active_connection_id_limit",
  "initial_max_data",
  "initial_max_stream_data_bidi_local",
  "initial_max_stream_data_bidi_remote",
  "initial_max_stream_data_uni",
  "initial_max_streams_bidi",
  "initial_max_streams_uni",
  "max_datagram_frame_size",
]);

/** Of an event's parameters those that qlog knows, under its names. */
function parametersOf(all: { readonly [name: string]: unknown }, known: ReadonlySet<string>): object {
  const data: { [name: string]: unknown } = {};
  for (const [name, value] of Object.entries(all)) {
    const key = snake(name);
    if (!known.has(key)) continue;
    data[key] = typeof value === "number" ? Math.min(value, Number.MAX_SAFE_INTEGER) : value;
  }
  return data;
}

type Metrics = TraceEvent & { readonly name: "recovery_metrics_updated" };

const METRICS: readonly { name: string; read: (event: Metrics) => number; isFloat: boolean }[] = [
  { name: "min_rtt", read: (event) => event.minRtt, isFloat: true },
  { name: "smoothed_rtt", read: (event) => event.smoothedRtt, isFloat: true },
  { name: "latest_rtt", read: (event) => event.latestRtt, isFloat: true },
  { name: "rtt_variance", read: (event) => event.rttVariance, isFloat: true },
  { name: "pto_count", read: (event) => event.ptoCount, isFloat: false },
  { name: "congestion_window", read: (event) => Math.round(event.cwnd), isFloat: false },
  { name: "bytes_in_flight", read: (event) => event.bytesInFlight, isFloat: false },
  { name: "ssthresh", read: (event) => Math.round(event.ssthresh), isFloat: false },
  // Bytes per ms to bits per second.
  { name: "pacing_rate", read: (event) => Math.round(event.pacingRate * 8000), isFloat: false },
];

/** Turns one connection's events into qlog; keeps what later events depend on. */
export class EventMapper {
  readonly #role: Role;
  // rfc9000#18.2 the exponent by which each side shifts the ACK delays it sends; 3 unless announced.
  #localExponent = 3;
  #remoteExponent = 3;
  #state: string | null = null;
  #congestion: string | null = null;
  #tuples = 0;
  /** The metrics told last, by METRICS. */
  readonly #metrics: number[] = METRICS.map(() => NaN);
  readonly #wanted: Readonly<Record<string, boolean>>;

  /** @param wanted qlog names; what is frequent is not even made into text where it is not wanted. */
  constructor(role: Role, wanted: Readonly<Record<string, boolean>>) {
    this.#role = role;
    this.#wanted = wanted;
  }

  map(event: TraceEvent, emit: Emit): void {
    switch (event.name) {
      case "packet_sent":
        return emit("quic:packet_sent", this.#packet(event, this.#localExponent));
      case "packet_received":
        return emit("quic:packet_received", this.#packet(event, this.#remoteExponent));
      case "recovery_metrics_updated":
        return this.#metricsUpdated(event, emit);
      case "packets_acked":
        if (event.numbers.length === 0 || this.#wanted["quic:packets_acked"] !== true) return;
        return emit(
          "quic:packets_acked",
          `{"packet_number_space":"${SPACES[event.space]}","packet_numbers":[${event.numbers.join(",")}]}`,
        );
      case "timer_updated": {
        if (this.#wanted["quic:timer_updated"] !== true) return;
        const type =
          event.timer === "pto" || event.timer === "loss_timeout" ? `"timer_type":"${event.timer}",` : "";
        const delta = event.action === "set" ? `,"delta":${float(event.delta)}` : "";
        return emit("quic:timer_updated", `{${type}"event_type":"${event.action}"${delta}}`);
      }
      default:
        return this.#rare(event, emit);
    }
  }

  #rare(event: TraceEvent, emit: Emit): void {
    switch (event.name) {
      case "connection_started":
        emit(
          "quic:connection_started",
          json({ local: endpointInfo(event.local), remote: endpointInfo(event.remote) }),
        );
        return;
      case "connection_closed":
        return emit("quic:connection_closed", json(closed(event)));
      case "connection_state_updated": {
        const old = this.#state;
        if (old === event.state) return;
        this.#state = event.state;
        return emit(
          "quic:connection_state_updated",
          json(old === null ? { new: event.state } : { old, new: event.state }),
        );
      }
      case "version_information": {
        const [client, server] =
          this.#role === "client" ? [event.ours, event.theirs] : [event.theirs, event.ours];
        return emit(
          "quic:version_information",
          json({
            ...(server.length > 0 ? { server_versions: server.map(version) } : {}),
            ...(client.length > 0 ? { client_versions: client.map(version) } : {}),
            ...(event.chosen === null ? {} : { chosen_version: version(event.chosen) }),
          }),
        );
      }
      case "alpn_information":
        return emit("quic:alpn_information", json({ chosen_alpn: { string_value: event.chosen } }));
      case "parameters_set": {
        const exponent = event.parameters["ackDelayExponent"];
        if (typeof exponent === "number") {
          if (event.owner === "local") this.#localExponent = exponent;
          else this.#remoteExponent = exponent;
        }
        const data = parametersOf(event.parameters, PARAMETERS);
        return emit("quic:parameters_set", json({ initiator: event.owner, ...data }));
      }
      case "parameters_restored":
        return emit("quic:parameters_restored", json(parametersOf(event.parameters, RESTORED)));
      case "early_data": {
        const initiator = this.#role === "server" ? "local" : "remote";
        emit("quic:parameters_set", json({ initiator, early_data_enabled: event.accepted }));
        if (event.refusal !== null)
          emit("loglevel:info", json({ message: `0-RTT refused: ${event.refusal}` }));
        return;
      }
      case "packet_dropped":
        return emit(
          "quic:packet_dropped",
          json({
            ...(event.packetType === null ? {} : { header: { packet_type: TYPES[event.packetType] } }),
            raw: { length: event.size },
            details: {
              reason: event.reason,
              ...(event.detail === undefined ? {} : { detail: event.detail }),
            },
            trigger: DROP_TRIGGERS[event.reason] ?? "general",
          }),
        );
      case "application_event":
        return this.#wanted[event.event] === true ? emit(event.event, json(event.data)) : undefined;
      case "datagram_dropped": {
        const where = event.received ? "received" : "to be sent";
        return emit(
          "loglevel:warning",
          json({ message: `datagram of ${event.length} bytes ${where} was dropped: ${event.reason}` }),
        );
      }
      case "packet_buffered":
        return emit(
          "quic:packet_buffered",
          json({
            header: { packet_type: TYPES[event.packetType] },
            raw: { length: event.size },
            trigger: "keys_unavailable",
          }),
        );
      case "packet_lost":
        return emit(
          "quic:packet_lost",
          `{"header":{"packet_type":"${SPACE_TYPES[event.space]}","packet_number":${event.number}},` +
            `"trigger":"${event.trigger}"}`,
        );
      case "spurious_loss":
        // The draft has no event of that meaning; its general-purpose ones serve.
        return emit(
          "loglevel:warning",
          json({
            message: `spurious loss: ${event.count} packets of ${SPACES[event.space]} arrived after all`,
          }),
        );
      case "key_updated": {
        const mine = event.owner === "local" ? this.#role : this.#role === "client" ? "server" : "client";
        return emit(
          "quic:key_updated",
          json({
            key_type: `${mine}_${LEVELS[event.level]}_secret`,
            ...(event.level === 2 ? { key_phase: event.phase } : {}),
            trigger: event.trigger,
          }),
        );
      }
      case "key_discarded":
        for (const side of ["client", "server"]) {
          emit(
            "quic:key_discarded",
            json({ key_type: `${side}_${LEVELS[event.level]}_secret`, trigger: "tls" }),
          );
        }
        return;
      default:
        return this.#other(event, emit);
    }
  }

  #other(event: TraceEvent, emit: Emit): void {
    switch (event.name) {
      case "recovery_parameters_set":
        return emit(
          "quic:recovery_parameters_set",
          text({
            reordering_threshold: 3,
            time_threshold: asFloat(1.125),
            timer_granularity: 1,
            initial_rtt: asFloat(event.initialRtt),
            max_datagram_size: event.maxDatagramSize,
            initial_congestion_window: event.initialWindow,
            minimum_congestion_window: 2 * event.maxDatagramSize,
            persistent_congestion_threshold: 3,
          }),
        );
      case "congestion_state_updated": {
        const old = this.#congestion;
        this.#congestion = event.state;
        return emit(
          "quic:congestion_state_updated",
          json({
            ...(old === null ? {} : { old }),
            new: event.state,
            ...(event.trigger === undefined ? {} : { trigger: event.trigger }),
          }),
        );
      }
      case "congestion_control_failed":
        return emit(
          "loglevel:warning",
          json({ message: `congestion controller ${event.controller} failed: ${event.reason}` }),
        );
      case "stream_state_updated":
        return emit(
          "quic:stream_state_updated",
          json({
            stream_id: event.streamId,
            stream_type: (event.streamId & 2) === 0 ? "bidirectional" : "unidirectional",
            new: event.state,
            stream_side: event.side,
          }),
        );
      case "stream_data_moved":
        if (this.#wanted["quic:stream_data_moved"] !== true) return;
        return emit(
          "quic:stream_data_moved",
          json({
            stream_id: event.streamId,
            offset: event.offset,
            from: event.from,
            to: event.to,
            raw: { length: event.length },
          }),
        );
      case "path_updated": {
        const tuple = { tuple_remote: endpointInfo(event.remote), tuple_local: endpointInfo(event.local) };
        if (event.state === "active") {
          return emit("quic:tuple_assigned", json({ tuple_id: String(++this.#tuples), ...tuple }));
        }
        const state = { validating: "started", validated: "successful", abandoned: "abandoned" }[event.state];
        return emit("quic:migration_state_updated", json({ new: `probing_${state}`, ...tuple }));
      }
      case "connection_id_updated":
        return emit(
          "quic:connection_id_updated",
          json({ initiator: event.owner, old: event.old, new: event.new }),
        );
      case "mtu_updated":
        return emit("quic:mtu_updated", json({ new: event.mtu }));
      case "ecn_state_updated":
        return emit("quic:ecn_state_updated", json({ new: event.state }));
      case "stateless_sent":
        return emit("quic:packet_sent", json({ header: { packet_type: STATELESS_TYPES[event.kind] } }));
      case "server_busy": {
        const message = event.busy ? "new clients are refused" : "new clients are let in";
        return emit("loglevel:info", json({ message }));
      }
      case "server_listening":
        return emit("quic:server_listening", json(endpointInfo(event.local)));
    }
  }

  #packet(event: TraceEvent & { name: "packet_sent" | "packet_received" }, exponent: number): string {
    const { header, frames } = event;
    const { type } = header;
    let out = `{"header":{"packet_type":"${TYPES[type]}"`;
    if (type !== 3 && type !== 4) out += `,"packet_number":${header.number}`;
    if (type === 5 && header.keyPhase !== undefined) out += `,"key_phase":${header.keyPhase}`;
    if (header.version !== undefined) out += `,"version":"${version(header.version)}"`;
    if (header.scid !== undefined) out += `,"scid":"${header.scid}"`;
    if (header.dcid !== undefined) out += `,"dcid":"${header.dcid}"`;
    out += `},"raw":{"length":${event.size}},"frames":[`;
    for (let i = 0; i < frames.length; i++) {
      if (i > 0) out += ",";
      out += frameText(frames[i]!, exponent);
    }
    return `${out}]}`;
  }

  /** recovery_metrics_updated tells what changed. */
  #metricsUpdated(event: Metrics, emit: Emit): void {
    const known = this.#metrics;
    let out = "";
    for (let i = 0; i < METRICS.length; i++) {
      const { name, read, isFloat } = METRICS[i]!;
      const value = read(event);
      if (value === known[i] || !Number.isFinite(value)) continue;
      known[i] = value;
      out += `${out === "" ? "" : ","}"${name}":${isFloat ? float(value) : value}`;
    }
    if (out !== "") emit("quic:recovery_metrics_updated", `{${out}}`);
  }
}

function version(value: number): string {
  return value.toString(16).padStart(8, "0");
}

function closed(event: TraceEvent & { name: "connection_closed" }): object {
  const trigger = /IDLE|HANDSHAKE_TIMEOUT/.test(event.error)
    ? "idle_timeout"
    : /STATELESS/.test(event.error)
      ? "stateless_reset"
      : /VERSION/.test(event.error)
        ? "version_mismatch"
        : event.application
          ? "application"
          : "error";
  const code = event.errorCode === null ? null : Math.min(event.errorCode, Number.MAX_SAFE_INTEGER);
  return {
    initiator: event.remote ? "remote" : "local",
    ...(code === null
      ? {}
      : event.application
        ? { application_error: "unknown", error_code: code }
        : transportError(code)),
    ...(event.reason === "" ? {} : { reason: event.reason }),
    trigger,
  };
}

/** One frame as qlog has it. */
export function frameText(frame: TracedFrame, exponent: number): string {
  const type = frame.type;
  switch (type) {
    case "stream":
      return (
        `{"frame_type":"stream","stream_id":${frame["streamId"]},"offset":${frame["offset"]},` +
        `${frame["fin"] === true ? '"fin":true,' : ""}"raw":{"payload_length":${frame["length"]}}}`
      );
    case "ack": {
      const ranges = frame["ackedRanges"] as readonly (readonly [number, number])[];
      let out = "";
      for (const [low, high] of ranges)
        out += `${out === "" ? "" : ","}[${low === high ? low : `${low},${high}`}]`;
      const ecn =
        frame["ect0"] === undefined
          ? ""
          : `,"ect1":${frame["ect1"]},"ect0":${frame["ect0"]},"ce":${frame["ce"]}`;
      const delay = ((frame["ackDelay"] as number) * 2 ** exponent) / 1000;
      return `{"frame_type":"ack","ack_delay":${float(Math.min(delay, 1e9))},"acked_ranges":[${out}]${ecn}}`;
    }
    case "padding":
      return `{"frame_type":"padding","raw":{"length":${frame["length"]}}}`;
    case "crypto":
      return `{"frame_type":"crypto","offset":${frame["offset"]},"raw":{"payload_length":${frame["length"]}}}`;
    case "datagram":
      return `{"frame_type":"datagram","raw":{"payload_length":${frame["length"]}}}`;
    // The schema has no names for those of the ack-frequency draft.
    case "ack_frequency":
      return '{"frame_type":"unknown","frame_type_bytes":175}';
    case "immediate_ack":
      return '{"frame_type":"unknown","frame_type_bytes":31}';
    case "new_token":
      return `{"frame_type":"new_token","token":{"raw":{"length":${frame["length"]}}}}`;
    case "connection_close": {
      const code = Math.min(frame["errorCode"] as number, Number.MAX_SAFE_INTEGER);
      const error =
        frame["errorSpace"] === "application"
          ? { error: "unknown", error_code: code }
          : { error: transportError(code).connection_error, error_code: code };
      return json({
        frame_type: type,
        error_space: frame["errorSpace"],
        ...error,
        reason: frame["reason"],
        ...(frame["triggerFrameType"] === undefined ? {} : { trigger_frame_type: frame["triggerFrameType"] }),
      });
    }
    default: {
      const out: { [name: string]: unknown } = { frame_type: type };
      for (const [name, value] of Object.entries(frame)) {
        if (name === "type") continue;
        if (name === "errorCode") {
          out["error"] = "unknown";
          out["error_code"] = Math.min(value as number, Number.MAX_SAFE_INTEGER);
        } else out[snake(name)] = value;
      }
      return json(out);
    }
  }
}
