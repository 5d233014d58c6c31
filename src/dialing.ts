// Dialing: from a target to a connection that can be used. Addresses in a race, a session and a token of the last time, and
// another version where the server speaks none of the first: rfc8305, rfc8446#2.2, rfc9000#8.1.3, rfc9368#2.1.

import { afterVersionNegotiation, type ClientConnectionOptions } from "../internal/connection/client.ts";
import type { ConnectionConfig } from "../internal/connection/config.ts";
import type { CryptoProvider } from "../internal/crypto/provider.ts";
import { suiteByAead } from "../internal/crypto/suites.ts";
import { makeAddress } from "../internal/protocol/address.ts";
import { QuicError } from "../internal/protocol/errors.ts";
import { type Config, resolveConfig } from "./config.ts";
import type { Connection } from "./connection.ts";
import { initialConnectionIds } from "./connection-ids.ts";
import { keyLogOf } from "./keylog.ts";
import { parseTarget, race, type Target } from "./resolve.ts";
import { findSession, pskOf, SessionKeeper, sessionKey } from "./sessions.ts";
import {
  type Authorization,
  checkTlsOptions,
  identityOf,
  providerOf,
  type TlsOptions,
  verifierOf,
} from "./tls-options.ts";
import { TokenKeeper } from "./token-store.ts";
import { environmentQlog } from "./tracing.ts";
import type { DialOptions } from "./transport-options.ts";

/** What dialing asks of its transport. */
export interface Dialing {
  /** Opens the socket where it is not open yet. */
  open(): Promise<void>;
  /** @throws {TransportClosedError} */
  checkOpen(): void;
  /** A configuration, as the open socket lets it be. */
  onSocket(config: ConnectionConfig): ConnectionConfig;
  /** The addresses of a host, of those families that the socket reaches. */
  resolve(host: string, family: DialOptions["family"], signal: AbortSignal | undefined): Promise<string[]>;
  /** The connection begins. */
  begin(
    attempt: ClientConnectionOptions,
    tls: TlsOptions,
    provider: CryptoProvider,
    authorization: Authorization,
    sessions: SessionKeeper,
    tokens: TokenKeeper,
  ): Connection;
}
/**
 * Opens a connection and resolves when it can be used: when its handshake is complete or, with `earlyData`, where 0-RTT is
 * possible. A host with several addresses is raced (rfc8305).
 */
export async function dialTarget(
  dialing: Dialing,
  target: Target,
  tls: TlsOptions,
  config: Config,
  options: DialOptions,
  earlyData: boolean,
): Promise<Connection> {
  const { host, port } = parseTarget(target);
  checkTlsOptions(tls, "client");
  const provider = providerOf(tls);
  const keyLog = keyLogOf(tls);
  const identity = identityOf(tls, provider);
  const cids = initialConnectionIds(options);
  const asked = resolveConfig(config, provider, keyLog !== null, await environmentQlog());
  const verifier = verifierOf(tls, provider, "server");
  options.signal?.throwIfAborted();
  await dialing.open();
  const resolved = dialing.onSocket(asked);
  const addresses = await dialing.resolve(host, options.family, options.signal);
  const effective = keyLog === null ? tls : { ...tls, keylog: keyLog };
  const serverName = tls.servername ?? host;
  const key = sessionKey(serverName, port, tls, identity);
  const session = await findSession(tls, key);
  const tokens = new TokenKeeper(config.tokenStore, serverName, port, resolved.versions[0]!);
  options.signal?.throwIfAborted();
  return race(
    cids.scid === undefined ? addresses : addresses.slice(0, 1),
    async (ip, signal) => {
      // Each attempt of a race its own: rfc9000#8.1.3 a client SHOULD NOT reuse a token.
      const token = await tokens.take();
      dialing.checkOpen();
      signal?.throwIfAborted();
      const authorization: Authorization = { authorized: false, error: null };
      const first: ClientConnectionOptions = {
        remote: makeAddress(ip, port),
        config: resolved,
        tls: {
          alpn: [...tls.ALPNProtocols!],
          serverName,
          identity,
          verify: verifier(authorization),
          psk: pskOf(tls),
          pskModes: tls.pskModes,
          tickets: tls.sessionCache !== null || tls.onSessionTicket !== undefined,
          statusRequest: tls.requestOCSP === true,
          suites: tls.ciphers?.map(suiteByAead),
          groups: tls.groups,
          signatures: tls.sigalgs,
        },
        session,
        earlyData,
        token,
        ...cids,
      };
      const begin = (attempt: ClientConnectionOptions) =>
        dialing.begin(attempt, effective, provider, authorization, new SessionKeeper(tls, key), tokens);
      return handshake(dialing, begin, first, authorization, signal);
    },
    (late) => late.closeWithError(0, ""),
    options.signal,
  );
}

/** Until its handshake is complete, of one connection or, after Version Negotiation, of the next. */
async function handshake(
  dialing: Dialing,
  begin: (attempt: ClientConnectionOptions) => Connection,
  first: ClientConnectionOptions,
  authorization: Authorization,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  let attempt = first;
  for (;;) {
    const connection = begin(attempt);
    if (connection.core.canOpenStreams) return connection;
    const onAbort = () => connection.closeWithError(0, "");
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await connection.handshakeComplete;
      return connection;
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      dialing.checkOpen();
      // rfc9368#2.1 the client SHALL select a mutually supported version and send a new first flight with that.
      const next = afterVersionNegotiation(attempt, error);
      if (next !== null) {
        attempt = next;
        continue;
      }
      throw authorization.error !== null && error instanceof QuicError && !error.remote
        ? Object.assign(error, { cause: error.cause ?? authorization.error })
        : error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }
}
