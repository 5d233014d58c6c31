// What a server makes of each client that comes: the options of its connection, and what that keeps of the listener.

import type { ConnectionConfig } from "../internal/connection/config.ts";
import type { ServerConnectionOptions } from "../internal/connection/server.ts";
import type { Config } from "./config.ts";
import { earlyDataOf, type ReplayFilter, replayFilters } from "./early-data.ts";
import type { ListenerIdentities } from "./identities.ts";
import type { OwnConfig } from "./incoming.ts";
import type { ticketOptionsOf } from "./tickets.ts";
import { type Authorization, serverChoices, type TlsOptions, type verifierOf } from "./tls-options.ts";

/** What a connection that is being accepted keeps of the listener it came to, which may close before it is done. */
export interface Accepting {
  readonly authorization: Authorization;
  readonly tls: TlsOptions;
  readonly replayFilter: ReplayFilter | null;
  readonly userContext: unknown;
}

/** Makes the options of one client's connection: by a configuration of its own, or (null) by the listener's. */
export function acceptor(listener: {
  readonly tls: TlsOptions;
  readonly config: Config;
  readonly resolved: ConnectionConfig;
  readonly identities: ListenerIdentities;
  readonly verifier: ReturnType<typeof verifierOf>;
  readonly tickets: ReturnType<typeof ticketOptionsOf>;
}): (own: OwnConfig | null, userContext: unknown) => ServerConnectionOptions {
  const { tls, config, resolved, identities, verifier, tickets } = listener;
  const filterOf = replayFilters(tls);
  // Once for all connections: a handshake is short.
  const common = {
    ...serverChoices(tls),
    identity: identities.choose,
    clientHello: tls.onClientHello === undefined ? null : ("pending" as const),
  };
  return (own, userContext) => {
    const replayFilter = filterOf(own?.given ?? config);
    return {
      config: own?.resolved ?? resolved,
      earlyData: earlyDataOf(replayFilter),
      tls: () => {
        const authorization: Authorization = { authorized: false, error: null };
        const options = { ...common, verify: verifier(authorization) };
        const userData: Accepting = { authorization, tls, replayFilter, userContext };
        return { options, tickets, userData };
      },
    };
  };
}
