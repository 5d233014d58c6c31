// The hooks that are asked about a client before anything is made for it: its configuration, its context.

import type { ConnectionConfig } from "../internal/connection/config.ts";
import type { ServerConnectionOptions } from "../internal/connection/server.ts";
import type { ClientInitial, Decision } from "../internal/endpoint/types.ts";
import type { Address } from "../internal/protocol/address.ts";
import { CONNECTION_REFUSED } from "../internal/protocol/constants.ts";
import { TransportError } from "../internal/protocol/errors.ts";
import type { Config } from "./config.ts";
import { refusalOf } from "./refuse.ts";

/** A client whose first packet has come. Nothing of it is authenticated; it may be noise. */
export interface ClientInfo {
  readonly remote: Address;
  /** Where the client sent to; null where the socket does not tell. */
  readonly local: Address | null;
  /** QUIC version. */
  readonly version: number;
  /** The client has proved that it is at `remote`, by a Retry or a token (rfc9000#8.1). */
  readonly addressValidated: boolean;
}

/** What `getConfigForClient` answers: a configuration, nothing for the listener's own, or a refusal. */
export type ConfigAnswer = Config | TransportError | null | undefined | void;

/** Transport options about clients that come. */
export interface IncomingOptions {
  /**
   * Makes an object of your own for each client, which is `connection.userContext` later: before anything is spent on the
   * client. Throws (or answers with) `refuse()` to refuse it; what else it throws refuses with CONNECTION_REFUSED. May be
   * asynchronous: meanwhile a few packets of the client's are kept, for `handshakeTimeout` at most. quic-go's ConnContext.
   *
   * @example
   * const transport = new Transport({
   *   port: 4433,
   *   connContext: ({ remote }) => ({ since: Date.now(), from: remote.ip }),
   * });
   */
  connContext?: (client: ClientInfo) => unknown;
}

/** Decides about one client. Never throws. */
export type Decide = (initial: ClientInitial) => Promise<Decision<ServerConnectionOptions>>;

const refused = (cause: unknown) => () => new TransportError(CONNECTION_REFUSED, "", { cause });

/** One client's configuration: as it was given, and with defaults. */
export interface OwnConfig {
  readonly given: Config;
  readonly resolved: ConnectionConfig;
}

/**
 * The hooks as the transport asks them; null where there are none.
 * @param resolve checks a configuration and fills in its defaults.
 * @param server makes the options of a connection.
 */
export function decider(
  { getConfigForClient }: Config,
  { connContext }: IncomingOptions,
  resolve: (config: Config) => ConnectionConfig,
  server: (own: OwnConfig | null, userContext: unknown) => ServerConnectionOptions,
): Decide | null {
  if (getConfigForClient === undefined && connContext === undefined) return null;
  return async ({ remote, local, version, validated: addressValidated }) => {
    const client: ClientInfo = { remote, local, version, addressValidated };
    let own: OwnConfig | null = null;
    if (getConfigForClient !== undefined) {
      try {
        const answer = await getConfigForClient(client);
        if (answer instanceof TransportError) return answer;
        if (answer !== null && answer !== undefined) own = { given: answer, resolved: resolve(answer) };
      } catch (error) {
        return refusalOf(getConfigForClient, "getConfigForClient", error, refused(error));
      }
    }
    let userContext: unknown = undefined;
    if (connContext !== undefined) {
      try {
        userContext = await connContext(client);
        if (userContext instanceof TransportError) return userContext;
      } catch (error) {
        return refusalOf(connContext, "connContext", error, refused(error));
      }
    }
    return { options: server(own, userContext) };
  };
}
