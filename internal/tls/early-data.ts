// Whether a server takes a client's 0-RTT data: rfc8446#4.2.10, rfc8446#8, rfc9001#4.6.

import type { CryptoProvider } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { TICKET_AGE_TOLERANCE } from "../protocol/limits.ts";
import type { SelectedPsk } from "./server-psk.ts";
import type { EarlyDataOptions, EarlyDataUse } from "./types.ts";

/** Why 0-RTT was refused. The handshake goes on without it. */
export type EarlyDataRefusal =
  /** The server does not take 0-RTT. */
  | "disabled"
  /** A HelloRetryRequest was needed. */
  | "retried"
  /** No PSK was taken, or not the first one offered. */
  | "not_resumed"
  /** External PSKs and tickets that said nothing of 0-RTT. */
  | "not_announced"
  | "cipher_suite"
  | "alpn"
  /** The client's idea of the ticket's age is off: perhaps a late replay. */
  | "ticket_age"
  /** Our transport parameters were lowered, or the application's state changed. */
  | "parameters"
  /** The replay filter said no. */
  | "replay";

/**
 * Everything but the replay filter, which comes last: what it has let through once is used up.
 * rfc9001#9.2 Endpoints MUST implement and use the replay protections described in [TLS13].
 */
export function refuseEarlyData(
  options: EarlyDataOptions | null | undefined,
  psk: SelectedPsk | null,
  suite: CipherSuite,
  alpn: string,
  retried: boolean,
): EarlyDataRefusal | null {
  if (options === null || options === undefined) return "disabled";
  // rfc9001#4.6.2 A server will always reject 0-RTT if it sends a TLS HelloRetryRequest.
  if (retried) return "retried";
  // rfc8446#4.2.10 the server MUST have accepted a PSK cipher suite and selected the first key offered.
  if (psk === null || psk.index !== 0) return "not_resumed";
  const { ticket } = psk;
  if (ticket === null || ticket.remembered === null) return "not_announced";
  // rfc8446#4.2.10 it MUST verify that the TLS version number, the selected cipher suite and the selected ALPN protocol
  // are the same as those associated with the selected PSK.
  if (ticket.suite !== suite.id) return "cipher_suite";
  if (ticket.alpn !== alpn) return "alpn";
  // rfc8446#4.2.10 a server MUST validate that the ticket age … is within a small tolerance of the time since the ticket
  // was issued. If it is not, the server SHOULD proceed with the handshake but reject 0-RTT.
  if (Math.abs(psk.ageError) > TICKET_AGE_TOLERANCE) return "ticket_age";
  // rfc9000#7.4.1 A server MUST reject 0-RTT data if the restored values for transport parameters cannot be supported.
  return options.accepts(ticket.remembered, ticket.applicationData) ? null : "parameters";
}

/**
 * What the replay filter is asked. A copy of a first flight claims the age it claimed: it is refused once that is off
 * by the tolerance, which is at most twice that long from now.
 */
export function earlyDataUse(provider: CryptoProvider, identity: Uint8Array, wallNow: number): EarlyDataUse {
  return { ticketId: provider.hash("sha256", identity), expiry: wallNow + 2 * TICKET_AGE_TOLERANCE };
}
