// Transport parameters that outlive their connection, for 0-RTT: rfc9000#7.4.1.

import {
  decodeTransportParameters,
  defaultTransportParameters,
  encodeTransportParameters,
  type TransportParameters,
} from "../wire/transport-parameters.ts";

/** What a client may not exceed, and a server that takes 0-RTT not lower. rfc9221#3 has added the last. */
const LIMITS = [
  "activeConnectionIdLimit",
  "initialMaxData",
  "initialMaxStreamDataBidiLocal",
  "initialMaxStreamDataBidiRemote",
  "initialMaxStreamDataUni",
  "initialMaxStreamsBidi",
  "initialMaxStreamsUni",
  "maxDatagramFrameSize",
] as const;

/**
 * A server's parameters without those that a new connection has anew.
 * rfc9000#7.4.1 A client MUST NOT use remembered values for ack_delay_exponent, max_ack_delay,
 * initial_source_connection_id, original_destination_connection_id, preferred_address, retry_source_connection_id, and
 * stateless_reset_token.
 */
export function encodeRemembered(server: TransportParameters): Uint8Array {
  const kept = defaultTransportParameters();
  // rfc9000#7.4.1 A client that attempts to send 0-RTT data MUST remember all other transport parameters used by the
  // server that it is able to process.
  for (const name of LIMITS) kept[name] = server[name];
  kept.maxIdleTimeout = server.maxIdleTimeout;
  kept.maxUdpPayloadSize = server.maxUdpPayloadSize;
  kept.disableActiveMigration = server.disableActiveMigration;
  kept.resetStreamAt = server.resetStreamAt;
  return encodeTransportParameters(kept, "client");
}

/** The same read again, null where it is not what was written. */
export function decodeRemembered(bytes: Uint8Array): TransportParameters | null {
  try {
    return decodeTransportParameters(bytes, "server");
  } catch {
    return null;
  }
}

/** Whether `now` takes all that `remembered` had promised; else the name of what it does not. */
export function loweredLimit(
  remembered: TransportParameters,
  now: TransportParameters,
): keyof TransportParameters | null {
  for (const name of LIMITS) if (now[name] < remembered[name]) return name;
  // reliable-stream-reset#3 a server that takes 0-RTT must not disable it.
  return remembered.resetStreamAt && !now.resetStreamAt ? "resetStreamAt" : null;
}
