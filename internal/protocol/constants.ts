// Names and numbers of the protocol, as the RFCs have them.

/** QUIC version 1, rfc9000#15. */
export const VERSION_1 = 0x00000001;
/** QUIC version 2, rfc9369#3.1. */
export const VERSION_2 = 0x6b3343cf;
/** The version field of a Version Negotiation packet, rfc9000#17.2.1. */
export const VERSION_NEGOTIATION = 0x00000000;

/** Packet number spaces, rfc9000#12.3; also the encryption levels that TLS sends at. */
export const INITIAL = 0;
export const HANDSHAKE = 1;
export const APPLICATION = 2;
/** 0-RTT has keys of its own, but shares the packet number space of APPLICATION. */
export const ZERO_RTT = 3;

/** A packet number space. */
export type Space = typeof INITIAL | typeof HANDSHAKE | typeof APPLICATION;
/** An encryption level, rfc9001#2.1. */
export type Level = Space | typeof ZERO_RTT;

export const SPACES: readonly Space[] = [INITIAL, HANDSHAKE, APPLICATION];
export const LEVEL_NAMES = ["initial", "handshake", "application", "0rtt"] as const;

/** Bytes of every AEAD's tag. rfc9001#5.3 */
export const AEAD_TAG = 16;

/** What a packet is on the wire. The long header types in v1's order, rfc9000#17.2. */
export const PACKET_INITIAL = 0;
export const PACKET_ZERO_RTT = 1;
export const PACKET_HANDSHAKE = 2;
export const PACKET_RETRY = 3;
export const PACKET_VERSION_NEGOTIATION = 4;
export const PACKET_ONE_RTT = 5;
export type PacketType = 0 | 1 | 2 | 3 | 4 | 5;
export const PACKET_TYPE_NAMES = [
  "initial",
  "0RTT",
  "handshake",
  "retry",
  "version_negotiation",
  "1RTT",
] as const;

export type Role = "client" | "server";

/** Frame types, rfc9000#19 and the extensions we know. */
export const FRAME_PADDING = 0x00;
export const FRAME_PING = 0x01;
export const FRAME_ACK = 0x02;
export const FRAME_ACK_ECN = 0x03;
export const FRAME_RESET_STREAM = 0x04;
export const FRAME_STOP_SENDING = 0x05;
export const FRAME_CRYPTO = 0x06;
export const FRAME_NEW_TOKEN = 0x07;
/** 0x08–0x0f: the low bits are OFF 0x04, LEN 0x02, FIN 0x01. */
export const FRAME_STREAM = 0x08;
export const FRAME_MAX_DATA = 0x10;
export const FRAME_MAX_STREAM_DATA = 0x11;
export const FRAME_MAX_STREAMS_BIDI = 0x12;
export const FRAME_MAX_STREAMS_UNI = 0x13;
export const FRAME_DATA_BLOCKED = 0x14;
export const FRAME_STREAM_DATA_BLOCKED = 0x15;
export const FRAME_STREAMS_BLOCKED_BIDI = 0x16;
export const FRAME_STREAMS_BLOCKED_UNI = 0x17;
export const FRAME_NEW_CONNECTION_ID = 0x18;
export const FRAME_RETIRE_CONNECTION_ID = 0x19;
export const FRAME_PATH_CHALLENGE = 0x1a;
export const FRAME_PATH_RESPONSE = 0x1b;
export const FRAME_CONNECTION_CLOSE = 0x1c;
export const FRAME_CONNECTION_CLOSE_APP = 0x1d;
export const FRAME_HANDSHAKE_DONE = 0x1e;
/** ack-frequency#5; the one that takes two bytes: 0x40af. */
export const FRAME_IMMEDIATE_ACK = 0x1f;
export const FRAME_ACK_FREQUENCY = 0xaf;
/** reliable-stream-reset#4 */
export const FRAME_RESET_STREAM_AT = 0x24;
export const FRAME_DATAGRAM = 0x30;
export const FRAME_DATAGRAM_LEN = 0x31;

/** Transport error codes, rfc9000#20.1. */
export const NO_ERROR = 0x00;
export const INTERNAL_ERROR = 0x01;
export const CONNECTION_REFUSED = 0x02;
export const FLOW_CONTROL_ERROR = 0x03;
export const STREAM_LIMIT_ERROR = 0x04;
export const STREAM_STATE_ERROR = 0x05;
export const FINAL_SIZE_ERROR = 0x06;
export const FRAME_ENCODING_ERROR = 0x07;
export const TRANSPORT_PARAMETER_ERROR = 0x08;
export const CONNECTION_ID_LIMIT_ERROR = 0x09;
export const PROTOCOL_VIOLATION = 0x0a;
export const INVALID_TOKEN = 0x0b;
export const APPLICATION_ERROR = 0x0c;
export const CRYPTO_BUFFER_EXCEEDED = 0x0d;
export const KEY_UPDATE_ERROR = 0x0e;
export const AEAD_LIMIT_REACHED = 0x0f;
export const NO_VIABLE_PATH = 0x10;
/** rfc9368#9.2 */
export const VERSION_NEGOTIATION_ERROR = 0x11;
/** 0x0100–0x01ff carry a TLS alert in the low byte, rfc9001#4.8. */
export const CRYPTO_ERROR = 0x0100;

const ERROR_NAMES: Record<number, string> = {
  [NO_ERROR]: "NO_ERROR",
  [INTERNAL_ERROR]: "INTERNAL_ERROR",
  [CONNECTION_REFUSED]: "CONNECTION_REFUSED",
  [FLOW_CONTROL_ERROR]: "FLOW_CONTROL_ERROR",
  [STREAM_LIMIT_ERROR]: "STREAM_LIMIT_ERROR",
  [STREAM_STATE_ERROR]: "STREAM_STATE_ERROR",
  [FINAL_SIZE_ERROR]: "FINAL_SIZE_ERROR",
  [FRAME_ENCODING_ERROR]: "FRAME_ENCODING_ERROR",
  [TRANSPORT_PARAMETER_ERROR]: "TRANSPORT_PARAMETER_ERROR",
  [CONNECTION_ID_LIMIT_ERROR]: "CONNECTION_ID_LIMIT_ERROR",
  [PROTOCOL_VIOLATION]: "PROTOCOL_VIOLATION",
  [INVALID_TOKEN]: "INVALID_TOKEN",
  [APPLICATION_ERROR]: "APPLICATION_ERROR",
  [CRYPTO_BUFFER_EXCEEDED]: "CRYPTO_BUFFER_EXCEEDED",
  [KEY_UPDATE_ERROR]: "KEY_UPDATE_ERROR",
  [AEAD_LIMIT_REACHED]: "AEAD_LIMIT_REACHED",
  [NO_VIABLE_PATH]: "NO_VIABLE_PATH",
  [VERSION_NEGOTIATION_ERROR]: "VERSION_NEGOTIATION_ERROR",
};

/** TLS alert descriptions, rfc8446#6 (the error alerts that a QUIC endpoint may send or receive). */
export const ALERT = {
  unexpected_message: 10,
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  missing_extension: 109,
  unsupported_extension: 110,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  unknown_psk_identity: 115,
  certificate_required: 116,
  no_application_protocol: 120,
} as const;
export type AlertName = keyof typeof ALERT;

/** The name of a transport error code for messages and traces: `FLOW_CONTROL_ERROR`, `CRYPTO_ERROR(bad_certificate)`, `0x1234`. */
export function errorCodeName(code: number): string {
  const name = ERROR_NAMES[code];
  if (name !== undefined) return name;
  if (code >= CRYPTO_ERROR && code <= CRYPTO_ERROR + 0xff) {
    const alert = Object.entries(ALERT).find(([, value]) => value === code - CRYPTO_ERROR);
    return `CRYPTO_ERROR(${alert === undefined ? code - CRYPTO_ERROR : alert[0]})`;
  }
  return `0x${code.toString(16)}`;
}
