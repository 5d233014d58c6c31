// The SETTINGS frame, rfc9114#7.2.4.

import { Http3ConnectionError } from "./errors.ts";
import { encodeFrame, FRAME } from "./frames.ts";
import { TOO_BIG, varintLength, VarintReader, writeVarint } from "./varint.ts";

/** Identifiers of the settings that are known here. */
export const SETTING = {
  /** rfc9204#5 */
  QPACK_MAX_TABLE_CAPACITY: 0x01,
  /** rfc9114#7.2.4.1 */
  MAX_FIELD_SECTION_SIZE: 0x06,
  /** rfc9204#5 */
  QPACK_BLOCKED_STREAMS: 0x07,
  /** rfc9220#3 */
  ENABLE_CONNECT_PROTOCOL: 0x08,
  /** rfc9297#2.1.1 */
  H3_DATAGRAM: 0x33,
} as const;

/** Identifiers of HTTP/2's settings that HTTP/3 has no use for. rfc9114#11.2.2 */
const HTTP2_SETTINGS = new Set([0x00, 0x02, 0x03, 0x04, 0x05]);

/** What an endpoint says of itself. Values of 2^53 and more are infinite. */
export interface Settings {
  /** Bytes of a field section, counted as in rfc9114#4.2.2. Infinite where nothing is said. */
  readonly maxFieldSectionSize: number;
  /** Bytes of dynamic table its QPACK decoder allows. Default 0. */
  readonly qpackMaxTableCapacity: number;
  /** Streams that may be blocked at its QPACK decoder. Default 0. */
  readonly qpackBlockedStreams: number;
  /** Whether the server takes extended CONNECT, rfc9220#3. Default false. */
  readonly enableConnectProtocol: boolean;
  /** Whether it takes HTTP datagrams in QUIC's, rfc9297#2.1.1. Default false. */
  readonly h3Datagram: boolean;
  /** Everything else, by identifier: for extensions. */
  readonly others: ReadonlyMap<number, number>;
}

/** What holds before SETTINGS arrive. rfc9114#7.2.4.2 */
export const DEFAULT_SETTINGS: Settings = Object.freeze({
  maxFieldSectionSize: Infinity,
  qpackMaxTableCapacity: 0,
  qpackBlockedStreams: 0,
  enableConnectProtocol: false,
  h3Datagram: false,
  others: new Map<number, number>(),
});

function settingsError(message: string): Http3ConnectionError {
  return new Http3ConnectionError("H3_SETTINGS_ERROR", message);
}

/**
 * A whole SETTINGS frame. What has its default is left out.
 *
 * @param settings - what to say; what is absent has its default
 * @param reserved - a reserved setting to send, so that peers learn to ignore them: `N` of 0x1f * N + 0x21, and a value
 * @throws {RangeError} where a setting of HTTP/2 is among the others
 */
export function encodeSettings(
  settings: Partial<Settings>,
  reserved?: { readonly n: number; readonly value: number },
): Uint8Array {
  const pairs: [number, number][] = [];
  const say = (id: number, value: number, otherwise: number) => {
    if (value !== otherwise) pairs.push([id, value]);
  };
  // rfc9114#7.2.4.2 The server MUST include all settings that differ from their default values.
  say(SETTING.QPACK_MAX_TABLE_CAPACITY, settings.qpackMaxTableCapacity ?? 0, 0);
  say(SETTING.MAX_FIELD_SECTION_SIZE, settings.maxFieldSectionSize ?? Infinity, Infinity);
  say(SETTING.QPACK_BLOCKED_STREAMS, settings.qpackBlockedStreams ?? 0, 0);
  say(SETTING.ENABLE_CONNECT_PROTOCOL, settings.enableConnectProtocol === true ? 1 : 0, 0);
  say(SETTING.H3_DATAGRAM, settings.h3Datagram === true ? 1 : 0, 0);
  for (const [id, value] of settings.others ?? []) {
    // rfc9114#7.2.4.1 These reserved settings MUST NOT be sent.
    if (HTTP2_SETTINGS.has(id)) throw new RangeError(`setting 0x${id.toString(16)} is HTTP/2's`);
    // rfc9114#7.2.4 The same setting identifier MUST NOT occur more than once in the SETTINGS frame.
    if (Object.values<number>(SETTING).includes(id))
      throw new RangeError(`setting ${id} has a name of its own`);
    pairs.push([id, value]);
  }
  if (reserved !== undefined) pairs.push([0x1f * reserved.n + 0x21, reserved.value]);
  let length = 0;
  for (const [id, value] of pairs) length += varintLength(id) + varintLength(value);
  const payload = new Uint8Array(length);
  let at = 0;
  for (const [id, value] of pairs) at = writeVarint(payload, writeVarint(payload, at, id), value);
  return encodeFrame(FRAME.SETTINGS, payload);
}

/** A setting that is 0 or 1. */
function flag(values: ReadonlyMap<number, number>, id: number, name: string): boolean {
  const value = values.get(id) ?? 0;
  // rfc9297#2.1.1 If the SETTINGS_H3_DATAGRAM setting is received with a value that is neither 0 nor 1, the receiver MUST
  // terminate the connection with error H3_SETTINGS_ERROR.
  // rfc8441#3 The value of the parameter MUST be 0 or 1.
  if (value > 1) throw settingsError(`${name} is ${value}, and may be 0 or 1`);
  return value === 1;
}

/**
 * Decodes the payload of a SETTINGS frame.
 *
 * @throws {Http3ConnectionError} H3_SETTINGS_ERROR for what may not be said, H3_FRAME_ERROR where it is cut short
 */
export function decodeSettings(payload: Uint8Array): Settings {
  const reader = new VarintReader(payload);
  const values = new Map<number, number>();
  while (reader.left > 0) {
    const id = reader.next();
    const value = id < 0 ? -1 : reader.next();
    if (value < 0) throw new Http3ConnectionError("H3_FRAME_ERROR", "SETTINGS end within a setting");
    // rfc9114#7.2.4.1 These reserved settings MUST NOT be sent, and their receipt MUST be treated as a connection error of
    // type H3_SETTINGS_ERROR.
    if (HTTP2_SETTINGS.has(id)) throw settingsError(`setting 0x${id.toString(16)} is HTTP/2's`);
    // rfc9114#7.2.4 The same setting identifier MUST NOT occur more than once in the SETTINGS frame.
    if (values.has(id)) throw settingsError(`setting 0x${id.toString(16)} is there twice`);
    // Identifiers this large are known to nobody here, and not told apart.
    if (id !== TOO_BIG) values.set(id, value);
  }
  const take = (id: number, otherwise: number) => values.get(id) ?? otherwise;
  const settings = {
    maxFieldSectionSize: take(SETTING.MAX_FIELD_SECTION_SIZE, Infinity),
    qpackMaxTableCapacity: take(SETTING.QPACK_MAX_TABLE_CAPACITY, 0),
    qpackBlockedStreams: take(SETTING.QPACK_BLOCKED_STREAMS, 0),
    enableConnectProtocol: flag(values, SETTING.ENABLE_CONNECT_PROTOCOL, "SETTINGS_ENABLE_CONNECT_PROTOCOL"),
    h3Datagram: flag(values, SETTING.H3_DATAGRAM, "SETTINGS_H3_DATAGRAM"),
  };
  // rfc9114#7.2.4 An implementation MUST ignore any parameter with an identifier it does not understand.
  // rfc9114#7.2.4.1 Endpoints MUST NOT consider such settings to have any meaning upon receipt.
  for (const id of Object.values(SETTING)) values.delete(id);
  return { ...settings, others: values };
}

/**
 * For a client whose 0-RTT was accepted: what the server says now may not be less than what was remembered of it.
 *
 * rfc9114#7.2.4.2 If a server accepts 0-RTT but then sends settings that are not compatible with the previously specified
 * settings, this MUST be treated as a connection error of type H3_SETTINGS_ERROR. If a server accepts 0-RTT but then sends
 * a SETTINGS frame that omits a setting value that the client understands that was previously specified to have a
 * non-default value, this MUST be treated as a connection error of type H3_SETTINGS_ERROR.
 *
 * @throws {Http3ConnectionError} H3_SETTINGS_ERROR
 */
export function checkRemembered(remembered: Settings, now: Settings): void {
  const least = (name: string, before: number, after: number) => {
    if (after < before) throw settingsError(`${name} was ${before} and is ${after} after 0-RTT`);
  };
  least("SETTINGS_MAX_FIELD_SECTION_SIZE", remembered.maxFieldSectionSize, now.maxFieldSectionSize);
  least("SETTINGS_QPACK_BLOCKED_STREAMS", remembered.qpackBlockedStreams, now.qpackBlockedStreams);
  // rfc9204#3.2.3 has an error of its own for a table capacity that changes: the QPACK encoder sees to it.
  const number = (is: boolean) => (is ? 1 : 0);
  least(
    "SETTINGS_ENABLE_CONNECT_PROTOCOL",
    number(remembered.enableConnectProtocol),
    number(now.enableConnectProtocol),
  );
  // rfc9297#2.1.1 they MUST validate that the new value of the SETTINGS_H3_DATAGRAM setting sent by the server in the
  // handshake is greater than or equal to the stored value; if not, the client MUST terminate the connection with error
  // H3_SETTINGS_ERROR.
  least("SETTINGS_H3_DATAGRAM", number(remembered.h3Datagram), number(now.h3Datagram));
}

/** Whether a server whose settings are `now` may accept the 0-RTT of a client that remembers `remembered`. */
export function compatible(remembered: Settings, now: Settings): boolean {
  // rfc9114#7.2.4.2 If the server cannot determine that the settings remembered by a client are compatible with its
  // current settings, it MUST NOT accept 0-RTT data.
  try {
    checkRemembered(remembered, now);
  } catch {
    return false;
  }
  const before = remembered.qpackMaxTableCapacity;
  return before === 0 || before === now.qpackMaxTableCapacity;
}
