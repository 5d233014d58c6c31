// Transport parameters: rfc9000#18 and the extensions we know.

import { TRANSPORT_PARAMETER_ERROR, type Role } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { MAX_CONNECTION_ID_LENGTH, MAX_STREAM_COUNT, MAX_TRACED_PARAMETERS } from "../protocol/limits.ts";
import { formatIpv4, formatIpv6, ipv4Bytes, ipv6Bytes } from "./ip.ts";
import { Reader, TOO_BIG, varintBigAt, varintLength, writeVarint } from "./varint.ts";
import { smallCopy } from "../protocol/small-bytes.ts";

/** A server's other address, rfc9000#9.6. */
export interface PreferredAddress {
  ipv4: { ip: string; port: number } | null;
  ipv6: { ip: string; port: number } | null;
  connectionId: Uint8Array;
  statelessResetToken: Uint8Array;
}

/** rfc9368#3 */
export interface VersionInformation {
  chosen: number;
  available: number[];
}

/**
 * Transport parameters with the RFC's defaults where absent. Sizes in bytes, times in ms. Numbers above 2^53−1 are
 * clipped to that: all of them are limits.
 */
export interface TransportParameters {
  originalDestinationConnectionId?: Uint8Array;
  maxIdleTimeout: number;
  statelessResetToken?: Uint8Array;
  maxUdpPayloadSize: number;
  initialMaxData: number;
  initialMaxStreamDataBidiLocal: number;
  initialMaxStreamDataBidiRemote: number;
  initialMaxStreamDataUni: number;
  initialMaxStreamsBidi: number;
  initialMaxStreamsUni: number;
  ackDelayExponent: number;
  maxAckDelay: number;
  disableActiveMigration: boolean;
  preferredAddress?: PreferredAddress;
  activeConnectionIdLimit: number;
  initialSourceConnectionId?: Uint8Array;
  retrySourceConnectionId?: Uint8Array;
  /** rfc9221#3; 0: datagrams are not taken. */
  maxDatagramFrameSize: number;
  versionInformation?: VersionInformation;
  /** rfc9287#3 */
  greaseQuicBit: boolean;
  /** µs, ack-frequency draft; undefined: not supported. */
  minAckDelay?: number;
  /** reliable-stream-reset draft. */
  resetStreamAt: boolean;
  /** Parameters nobody here knows, for traces; at most MAX_TRACED_PARAMETERS. */
  unknown?: { id: number; length: number }[];
  /** To be written as they are: greased ones. */
  extra?: { id: number; value: Uint8Array }[];
}

const ID = {
  originalDestinationConnectionId: 0x00,
  maxIdleTimeout: 0x01,
  statelessResetToken: 0x02,
  maxUdpPayloadSize: 0x03,
  initialMaxData: 0x04,
  initialMaxStreamDataBidiLocal: 0x05,
  initialMaxStreamDataBidiRemote: 0x06,
  initialMaxStreamDataUni: 0x07,
  initialMaxStreamsBidi: 0x08,
  initialMaxStreamsUni: 0x09,
  ackDelayExponent: 0x0a,
  maxAckDelay: 0x0b,
  disableActiveMigration: 0x0c,
  preferredAddress: 0x0d,
  activeConnectionIdLimit: 0x0e,
  initialSourceConnectionId: 0x0f,
  retrySourceConnectionId: 0x10,
  versionInformation: 0x11,
  maxDatagramFrameSize: 0x20,
  greaseQuicBit: 0x2ab2,
  minAckDelay: 0xff04de1b,
  resetStreamAt: 0x1d,
} as const;

/** rfc9000#18.2: what holds where a parameter is absent. */
export function defaultTransportParameters(): TransportParameters {
  return {
    maxIdleTimeout: 0,
    maxUdpPayloadSize: 65527,
    initialMaxData: 0,
    initialMaxStreamDataBidiLocal: 0,
    initialMaxStreamDataBidiRemote: 0,
    initialMaxStreamDataUni: 0,
    initialMaxStreamsBidi: 0,
    initialMaxStreamsUni: 0,
    ackDelayExponent: 3,
    maxAckDelay: 25,
    disableActiveMigration: false,
    activeConnectionIdLimit: 2,
    maxDatagramFrameSize: 0,
    greaseQuicBit: false,
    resetStreamAt: false,
  };
}

const KEPT: TransportParameters = {
  ...defaultTransportParameters(),
  originalDestinationConnectionId: undefined,
  statelessResetToken: undefined,
  preferredAddress: undefined,
  initialSourceConnectionId: undefined,
  retrySourceConnectionId: undefined,
  versionInformation: undefined,
  minAckDelay: undefined,
  unknown: undefined,
  extra: undefined,
};

/**
 * The same parameters in an object to keep. They come in any order, and an object that grew in an order of its own has
 * hidden classes of its own, of half a kilobyte: all of these have one. (Assigned, as spreading would redefine.)
 */
export function keptParameters(parameters: TransportParameters): TransportParameters {
  return Object.assign({ ...KEPT }, parameters);
}

const DEFAULTS = Object.freeze(defaultTransportParameters());

/** Number parameters: name, smallest and largest valid value. rfc9000#18.2, rfc9221#3 */
const NUMBERS = [
  ["maxIdleTimeout", 0, Infinity],
  ["maxUdpPayloadSize", 1200, Infinity],
  ["initialMaxData", 0, Infinity],
  ["initialMaxStreamDataBidiLocal", 0, Infinity],
  ["initialMaxStreamDataBidiRemote", 0, Infinity],
  ["initialMaxStreamDataUni", 0, Infinity],
  ["initialMaxStreamsBidi", 0, MAX_STREAM_COUNT],
  ["initialMaxStreamsUni", 0, MAX_STREAM_COUNT],
  ["ackDelayExponent", 0, 20],
  ["maxAckDelay", 0, 2 ** 14 - 1],
  ["activeConnectionIdLimit", 2, Infinity],
  ["maxDatagramFrameSize", 0, Infinity],
] as const;

const NUMBER_OF = new Map<number, (typeof NUMBERS)[number]>(NUMBERS.map((number) => [ID[number[0]], number]));

const SERVER_ONLY: readonly number[] = [
  ID.originalDestinationConnectionId,
  ID.preferredAddress,
  ID.retrySourceConnectionId,
  ID.statelessResetToken,
];

function bad(reason: string): TransportError {
  return new TransportError(TRANSPORT_PARAMETER_ERROR, reason, { frameType: 0x06 });
}

const SCRATCH = new Uint8Array(2048);

/** Encodes what differs from the defaults. `role` is ours. */
export function encodeTransportParameters(p: TransportParameters, role: Role): Uint8Array {
  const extra = p.extra ?? [];
  // More than all that are known take, and what is extra.
  const size = extra.reduce((sum, { value }) => sum + 16 + value.length, 512);
  let out = size > SCRATCH.length ? new Uint8Array(size) : SCRATCH;
  let pos = 0;
  const varint = (value: number) => {
    pos = writeVarint(out, pos, value);
  };
  const number = (id: number, value: number) => {
    const clipped = Math.min(value, Number.MAX_SAFE_INTEGER);
    varint(id);
    varint(varintLength(clipped));
    varint(clipped);
  };
  const bytes = (id: number, value: Uint8Array) => {
    varint(id);
    varint(value.length);
    if (pos + value.length + 64 > out.length) {
      const larger = new Uint8Array(2 * out.length + value.length);
      larger.set(out);
      out = larger;
    }
    out.set(value, pos);
    pos += value.length;
  };
  for (const [name] of NUMBERS) {
    const value = p[name];
    if (value === DEFAULTS[name]) continue;
    number(ID[name], value);
  }
  const cid = (
    name: "originalDestinationConnectionId" | "initialSourceConnectionId" | "retrySourceConnectionId",
  ) => {
    const value = p[name];
    if (value !== undefined) bytes(ID[name], value);
  };
  cid("initialSourceConnectionId");
  // rfc9000#18.2 This transport parameter MUST NOT be sent by a client but MAY be sent by a server.
  if (role === "server") {
    cid("originalDestinationConnectionId");
    cid("retrySourceConnectionId");
    if (p.statelessResetToken !== undefined) bytes(ID.statelessResetToken, p.statelessResetToken);
    if (p.preferredAddress !== undefined)
      bytes(ID.preferredAddress, encodePreferredAddress(p.preferredAddress));
  }
  if (p.disableActiveMigration) bytes(ID.disableActiveMigration, new Uint8Array(0));
  if (p.greaseQuicBit) bytes(ID.greaseQuicBit, new Uint8Array(0));
  if (p.resetStreamAt) bytes(ID.resetStreamAt, new Uint8Array(0));
  if (p.minAckDelay !== undefined) number(ID.minAckDelay, p.minAckDelay);
  if (p.versionInformation !== undefined) {
    const versions = [p.versionInformation.chosen, ...p.versionInformation.available];
    const value = new Uint8Array(4 * versions.length);
    const view = new DataView(value.buffer);
    versions.forEach((version, i) => view.setUint32(4 * i, version));
    bytes(ID.versionInformation, value);
  }
  for (const { id, value } of extra) bytes(id, value);
  return out.slice(0, pos);
}

/**
 * Decodes the peer's parameters, strictly.
 * @throws {TransportError} TRANSPORT_PARAMETER_ERROR for every malformed, repeated, forbidden or invalid parameter.
 */
export function decodeTransportParameters(bytes: Uint8Array, peerRole: Role): TransportParameters {
  const out = defaultTransportParameters();
  const seen = new Set<number | bigint>();
  const r = new Reader(bytes);
  while (r.remaining > 0) {
    const idAt = r.pos;
    const id = r.varint();
    const length = r.varint();
    if (r.failed || length > r.remaining) throw bad("parameters are cut off");
    const value = new Reader(bytes, r.pos, r.pos + length);
    r.skip(length);
    // rfc9000#7.4 an endpoint SHOULD treat receipt of duplicate transport parameters as a connection error of type
    // TRANSPORT_PARAMETER_ERROR.
    const key = id === TOO_BIG ? varintBigAt(bytes, idAt) : id;
    if (seen.has(key)) throw bad(`parameter 0x${key.toString(16)} comes twice`);
    seen.add(key);
    // IDs above 2^53 are nobody's we know: they are ignored like all the unknown.
    if (id === TOO_BIG) continue;
    // rfc9000#18.2 a server MUST treat receipt of any of these transport parameters as a connection error of type
    // TRANSPORT_PARAMETER_ERROR.
    if (peerRole === "client" && SERVER_ONLY.includes(id))
      throw bad(`a client sent parameter 0x${id.toString(16)}`);
    decodeOne(out, id, length, value);
  }
  // ack-frequency#3 MUST treat receipt of a min_ack_delay that is greater than the max_ack_delay as
  // TRANSPORT_PARAMETER_ERROR; the former is in µs, the latter in ms.
  if (out.minAckDelay !== undefined && out.minAckDelay > 1000 * out.maxAckDelay) {
    throw bad("min_ack_delay is greater than max_ack_delay");
  }
  // rfc9368#4 if a server receives Version Information where the Chosen Version is not included in Available Versions,
  // it MUST treat it as a parsing failure.
  const versions = out.versionInformation;
  if (peerRole === "client" && versions !== undefined && !versions.available.includes(versions.chosen)) {
    throw bad("version_information does not list the chosen version");
  }
  return out;
}

function decodeOne(out: TransportParameters, id: number, length: number, r: Reader): void {
  const number = NUMBER_OF.get(id);
  if (number !== undefined) {
    const [name, min, max] = number;
    const at = r.pos;
    const value = r.varint();
    if (r.failed || r.remaining > 0) throw bad(`${name} is not one integer`);
    // rfc9000#18.2 values below 1200 (max_udp_payload_size), above 20 (ack_delay_exponent), of 2^14 or greater
    // (max_ack_delay) are invalid; active_connection_id_limit MUST be at least 2.
    // rfc9000#4.6 a max_streams transport parameter with a value greater than 2^60: the connection MUST be closed
    // immediately with a connection error of type TRANSPORT_PARAMETER_ERROR.
    const above = value === TOO_BIG ? max !== Infinity && varintBigAt(r.buf, at) > BigInt(max) : value > max;
    if (value < min || above) throw bad(`${name} = ${value} is invalid`);
    out[name] = Math.min(value, Number.MAX_SAFE_INTEGER);
    return;
  }
  switch (id) {
    case ID.originalDestinationConnectionId:
      out.originalDestinationConnectionId = connectionId(r, length);
      return;
    case ID.initialSourceConnectionId:
      out.initialSourceConnectionId = connectionId(r, length);
      return;
    case ID.retrySourceConnectionId:
      out.retrySourceConnectionId = connectionId(r, length);
      return;
    case ID.statelessResetToken:
      if (length !== 16) throw bad("stateless_reset_token has 16 bytes");
      out.statelessResetToken = r.bytes(16).slice();
      return;
    case ID.disableActiveMigration:
      out.disableActiveMigration = flag(length);
      return;
    case ID.greaseQuicBit:
      out.greaseQuicBit = flag(length);
      return;
    case ID.resetStreamAt:
      out.resetStreamAt = flag(length);
      return;
    case ID.minAckDelay:
      out.minAckDelay = r.varint();
      if (r.failed || r.remaining > 0) throw bad("min_ack_delay is not one integer");
      return;
    case ID.preferredAddress:
      out.preferredAddress = decodePreferredAddress(r);
      return;
    case ID.versionInformation: {
      // rfc9368#4 a parsing failure (for example, if it is too short or if its length is not divisible by four) MUST use
      // TRANSPORT_PARAMETER_ERROR; any version equal to zero MUST be treated as one.
      if (length < 4 || length % 4 !== 0) throw bad("version_information is malformed");
      const versions: number[] = [];
      while (r.remaining > 0) versions.push(r.u32());
      if (versions.includes(0)) throw bad("version_information lists version 0");
      out.versionInformation = { chosen: versions[0]!, available: versions.slice(1) };
      return;
    }
    default:
      // rfc9000#7.4.2 an endpoint MUST ignore transport parameters that it does not support.
      out.unknown ??= [];
      if (out.unknown.length < MAX_TRACED_PARAMETERS) out.unknown.push({ id, length });
  }
}

/** rfc9000#18.2 a zero-length value; rfc9287#3, reliable-stream-reset#3 MUST treat a non-empty value as an error. */
function flag(length: number): true {
  if (length !== 0) throw bad("a flag parameter has a value");
  return true;
}

function connectionId(r: Reader, length: number): Uint8Array {
  if (length > MAX_CONNECTION_ID_LENGTH) throw bad("connection ID longer than 20 bytes");
  return smallCopy(r.bytes(length));
}

function encodePreferredAddress(p: PreferredAddress): Uint8Array {
  const out = new Uint8Array(4 + 2 + 16 + 2 + 1 + p.connectionId.length + 16);
  if (p.ipv4 !== null) {
    out.set(ipv4Bytes(p.ipv4.ip), 0);
    out.set([p.ipv4.port >> 8, p.ipv4.port & 255], 4);
  }
  if (p.ipv6 !== null) {
    out.set(ipv6Bytes(p.ipv6.ip), 6);
    out.set([p.ipv6.port >> 8, p.ipv6.port & 255], 22);
  }
  out[24] = p.connectionId.length;
  out.set(p.connectionId, 25);
  out.set(p.statelessResetToken, 25 + p.connectionId.length);
  return out;
}

/** rfc9000#18.2 servers MAY send an all-zero address and port (0.0.0.0:0 or [::]:0) for a family they leave out. */
function decodePreferredAddress(r: Reader): PreferredAddress {
  const v4 = r.bytes(4);
  const v4port = r.u16();
  const v6 = r.bytes(16);
  const v6port = r.u16();
  const length = r.u8();
  const connectionId = r.bytes(length).slice();
  const statelessResetToken = r.bytes(16).slice();
  if (r.failed || r.remaining > 0) throw bad("preferred_address is malformed");
  // rfc9000#18.2 a server MUST NOT include a zero-length connection ID in this transport parameter. A client MUST treat
  // a violation of these requirements as a connection error of type TRANSPORT_PARAMETER_ERROR.
  if (length < 1 || length > MAX_CONNECTION_ID_LENGTH) throw bad("preferred_address connection ID length");
  // An address without a port, or the reverse, is nowhere one could send to.
  const usable = (ip: Uint8Array, port: number) => port !== 0 && ip.some((byte) => byte !== 0);
  return {
    ipv4: usable(v4, v4port) ? { ip: formatIpv4(v4), port: v4port } : null,
    ipv6: usable(v6, v6port) ? { ip: formatIpv6(v6), port: v6port } : null,
    connectionId,
    statelessResetToken,
  };
}
