// A server's session tickets, from its options.

import type { CryptoProvider } from "../internal/crypto/provider.ts";
import { TICKET_LIFETIME, TICKETS_PER_HANDSHAKE } from "../internal/protocol/limits.ts";
import { TicketKeys } from "../internal/tls/tickets.ts";
import type { TicketOptions } from "../internal/tls/types.ts";
import { random } from "./random.ts";
import type { SessionOptions } from "./sessions.ts";

/** null where no tickets are given. @throws {InvalidOptionError} for keys that are none. */
export function ticketOptionsOf(
  tls: SessionOptions,
  provider: CryptoProvider,
): Omit<TicketOptions, "quicVersion"> | null {
  const { ticketKeys, sessionTimeout = TICKET_LIFETIME, sessionIdContext = "", sessionData } = tls;
  const given = ticketKeys instanceof Uint8Array ? [ticketKeys] : (ticketKeys ?? null);
  const keys = new TicketKeys(provider, random, given);
  if (sessionTimeout === 0) return null;
  return {
    keys,
    lifetime: sessionTimeout,
    count: TICKETS_PER_HANDSHAKE,
    context: Buffer.from(sessionIdContext),
    applicationData: sessionData?.slice() ?? new Uint8Array(0),
  };
}
