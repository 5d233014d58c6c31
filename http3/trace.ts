// HTTP/3's events for the connection's tracer, in the names and shapes of draft-ietf-quic-qlog-h3-events.

import type { Connection } from "../src/index.ts";
import { CAPSULE } from "./capsules.ts";
import { isReserved } from "./errors.ts";
import { FRAME } from "./frames.ts";
import { type Priority, serializePriority } from "./priority.ts";
import type { Field } from "./qpack/field.ts";
import { SETTING, type Settings } from "./settings.ts";
import type { UniStreamKind } from "./streams.ts";
import { VarintReader } from "./varint.ts";

/** A frame that this side made, or read. */
export type Direction = "created" | "parsed";

/** Fields whose values are nobody's business but the two ends': only that they were there is told. */
const SECRET = new Set(["authorization", "cookie", "proxy-authorization", "set-cookie"]);

const SETTING_NAMES = new Map<number, string>([
  [SETTING.QPACK_MAX_TABLE_CAPACITY, "settings_qpack_max_table_capacity"],
  [SETTING.MAX_FIELD_SECTION_SIZE, "settings_max_field_section_size"],
  [SETTING.QPACK_BLOCKED_STREAMS, "settings_qpack_blocked_streams"],
  [SETTING.ENABLE_CONNECT_PROTOCOL, "settings_enable_connect_protocol"],
  [SETTING.H3_DATAGRAM, "settings_h3_datagram"],
]);

const STREAM_TYPES: Record<UniStreamKind | "request", string> = {
  request: "request",
  control: "control",
  push: "push",
  "qpack-encoder": "qpack_encode",
  "qpack-decoder": "qpack_decode",
  unknown: "unknown",
};

/** A number as JSON can say it: what is larger is not told apart. */
const uint = (value: number): number => Math.min(value, Number.MAX_SAFE_INTEGER);

const fieldsOf = (fields: readonly Field[]): object[] =>
  fields.map(({ name, value }) => (SECRET.has(name) ? { name } : { name, value }));

/** Tells a connection's tracer; made where there is one. */
export class Trace {
  readonly #quic: Connection;

  constructor(quic: Connection) {
    this.#quic = quic;
  }

  #frame(direction: Direction, streamId: number, frame: object): void {
    this.#quic.trace(`http3:frame_${direction}`, { stream_id: streamId, frame });
  }

  headers(direction: Direction, streamId: number, fields: readonly Field[], length: number): void {
    const raw = { payload_length: length };
    this.#frame(direction, streamId, { frame_type: "headers", headers: fieldsOf(fields), raw });
  }

  data(direction: Direction, streamId: number, length: number): void {
    this.#frame(direction, streamId, { frame_type: "data", raw: { payload_length: uint(length) } });
  }

  pushPromise(direction: Direction, streamId: number, pushId: number, fields: readonly Field[]): void {
    this.#frame(direction, streamId, {
      frame_type: "push_promise",
      push_id: uint(pushId),
      headers: fieldsOf(fields),
    });
  }

  /** A whole frame that this side sends, beginning with its type. */
  sent(streamId: number, frame: Uint8Array): void {
    const reader = new VarintReader(frame);
    const type = reader.next();
    reader.next();
    this.control("created", streamId, type, reader.rest());
  }

  /** A frame of the control stream, or one that means nothing. */
  control(direction: Direction, streamId: number, type: number, payload: Uint8Array): void {
    this.#frame(direction, streamId, describe(type, payload));
  }

  streamType(
    initiator: "local" | "remote",
    streamId: number,
    kind: UniStreamKind | "request",
    type?: number,
  ): void {
    const reserved = kind === "unknown" && type !== undefined && isReserved(type);
    this.#quic.trace("http3:stream_type_set", {
      initiator,
      stream_id: streamId,
      stream_type: reserved ? "reserved" : STREAM_TYPES[kind],
      ...(kind === "unknown" && !reserved && type !== undefined ? { stream_type_bytes: uint(type) } : {}),
    });
  }

  settings(initiator: "local" | "remote", settings: Settings): void {
    this.#quic.trace("http3:parameters_set", { initiator, ...parametersOf(settings) });
  }

  /** The server's of last time, which hold for 0-RTT. */
  restored(settings: Settings): void {
    this.#quic.trace("http3:parameters_restored", parametersOf(settings));
  }

  priority(id: { stream_id: number } | { push_id: number }, priority: Priority): void {
    this.#quic.trace("http3:priority_updated", { ...id, new: serializePriority(priority) });
  }

  datagram(direction: Direction, streamId: number, length: number): void {
    this.#quic.trace(`http3:datagram_${direction}`, {
      quarter_stream_id: streamId / 4,
      raw: { payload_length: length },
    });
  }

  capsule(direction: Direction, streamId: number, type: number, length: number): void {
    const raw = { payload_length: uint(length) };
    this.#quic.trace(`http:capsule_${direction}`, {
      stream_id: streamId,
      capsule:
        type === CAPSULE.DATAGRAM
          ? { capsule_type: "datagram", raw }
          : { capsule_type: "unknown", capsule_type_value: uint(type), raw },
    });
  }

  pushResolved(pushId: number, decision: "claimed" | "abandoned"): void {
    this.#quic.trace("http3:push_resolved", { push_id: uint(pushId), decision });
  }
}

function parametersOf(settings: Settings): object {
  const { maxFieldSectionSize } = settings;
  return {
    ...(maxFieldSectionSize === Infinity ? {} : { max_field_section_size: maxFieldSectionSize }),
    max_table_capacity: uint(settings.qpackMaxTableCapacity),
    blocked_streams_count: uint(settings.qpackBlockedStreams),
    extended_connect: settings.enableConnectProtocol ? 1 : 0,
    h3_datagram: settings.h3Datagram ? 1 : 0,
  };
}

function describe(type: number, payload: Uint8Array): object {
  const raw = { payload_length: payload.length };
  const reader = new VarintReader(payload);
  switch (type) {
    case FRAME.SETTINGS: {
      const settings: object[] = [];
      while (reader.left > 0) {
        const id = reader.next();
        const value = reader.next();
        if (id < 0 || value < 0) break;
        const name = SETTING_NAMES.get(id) ?? (isReserved(id) ? "reserved" : "unknown");
        settings.push({
          name,
          ...(name === "unknown" ? { name_bytes: uint(id) } : {}),
          value: uint(value),
        });
      }
      return { frame_type: "settings", settings, raw };
    }
    case FRAME.GOAWAY:
      return { frame_type: "goaway", id: uint(reader.next()), raw };
    case FRAME.MAX_PUSH_ID:
      return { frame_type: "max_push_id", push_id: uint(reader.next()), raw };
    case FRAME.CANCEL_PUSH:
      return { frame_type: "cancel_push", push_id: uint(reader.next()), raw };
    case FRAME.PRIORITY_UPDATE:
    case FRAME.PRIORITY_UPDATE_PUSH: {
      const id = uint(reader.next());
      return {
        frame_type: "priority_update",
        ...(type === FRAME.PRIORITY_UPDATE ? { stream_id: id } : { push_id: id }),
        priority_field_value: Buffer.from(reader.rest()).toString("latin1"),
        raw,
      };
    }
    case FRAME.ORIGIN: {
      const entries: object[] = [];
      for (let at = 0; at + 2 <= payload.length;) {
        const length = (payload[at]! << 8) | payload[at + 1]!;
        const origin = Buffer.from(payload.subarray(at + 2, at + 2 + length)).toString("latin1");
        entries.push({ origin_len: length, ascii_origin: origin });
        at += 2 + length;
      }
      return { frame_type: "origin", origin_entries: entries };
    }
    default:
      return { frame_type: isReserved(type) ? "reserved" : "unknown", frame_type_bytes: uint(type), raw };
  }
}
