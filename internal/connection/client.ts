// Dialing: the client's side of a new connection. rfc9000#7

import { drawBytes, drawInt } from "../protocol/random.ts";
import type { Address } from "../protocol/address.ts";
import { type CidGenerator, cidFirst } from "../path/cid-generator.ts";
import type { ResetTokenSource } from "../path/reset-token.ts";
import { VersionNegotiationError } from "../protocol/errors.ts";
import { MAX_CONNECTION_ID_LENGTH, MIN_INITIAL_DCID_LENGTH } from "../protocol/limits.ts";
import { TlsClient } from "../tls/client.ts";
import type { ClientSession } from "../tls/session.ts";
import type { TlsClientOptions } from "../tls/types.ts";
import { encodeTransportParameters } from "../wire/transport-parameters.ts";
import type { ConnectionConfig } from "./config.ts";
import { Connection } from "./connection.ts";
import type { ConnectionHost } from "./core.ts";
import { traceParameters } from "./handshake.ts";
import { localParameters } from "./parameters.ts";
import { decodeRemembered } from "./remembered.ts";

/** What dialing needs. */
export interface ClientConnectionOptions {
  readonly remote: Address;
  readonly local?: Address | null;
  readonly config: ConnectionConfig;
  readonly tls: Omit<
    TlsClientOptions,
    "provider" | "random" | "transportParameters" | "keyLog" | "session" | "earlyData"
  >;
  /** From a NEW_TOKEN frame of this server's. rfc9000#8.1.3 */
  readonly token?: Uint8Array | null;
  /** To be resumed where it still can be. */
  readonly session?: ClientSession | null;
  /** Send 0-RTT where the session has it. Default false: rfc9001#5.6 only if specifically requested by the application. */
  readonly earlyData?: boolean;
  readonly userData?: unknown;
  /** The first destination connection ID, 8 to 20 bytes that nobody can guess (rfc9000#7.2); random by default. */
  readonly dcid?: Uint8Array;
  /** Our first connection ID; of the generator by default. No connection of the endpoint has it. */
  readonly scid?: Uint8Array;
  /** The version a Version Negotiation packet made us choose, see `afterVersionNegotiation`. */
  readonly negotiated?: number;
}

/**
 * The options of a new attempt with a version that the server speaks, or null where there is none in common (or the
 * attempt was one of that kind): rfc9368#2.1. Its handshake fails with VERSION_NEGOTIATION_ERROR where the list of
 * versions turns out to be forged (rfc9368#4).
 */
export function afterVersionNegotiation(
  options: ClientConnectionOptions,
  error: unknown,
): ClientConnectionOptions | null {
  if (!(error instanceof VersionNegotiationError) || error.next === null) return null;
  return options.negotiated === undefined ? { ...options, negotiated: error.next } : null;
}

/** Makes a connection and its first flight; `transmit` sends it. */
export function connectClient(
  options: ClientConnectionOptions,
  context: { readonly cids: CidGenerator; readonly resetToken: ResetTokenSource },
  host: ConnectionHost<Connection>,
  now: number,
  wallNow: number,
): Connection {
  const { config, tls: asked } = options;
  const { random, provider } = config;
  // rfc9000#7.2 this Destination Connection ID MUST be at least 8 bytes in length, and unpredictable.
  const spread = MAX_CONNECTION_ID_LENGTH - MIN_INITIAL_DCID_LENGTH + 1;
  // rfc9000#7.2 Until a packet is received from the server, the client MUST use the same Destination Connection ID
  // value on all packets in this connection.
  const dcid = options.dcid ?? drawBytes(random, MIN_INITIAL_DCID_LENGTH + drawInt(random, spread));
  const version = options.negotiated ?? config.originalVersion ?? config.versions[0]!;
  const connection = new Connection(
    {
      role: "client",
      config,
      version,
      reacting: options.negotiated !== undefined,
      remote: options.remote,
      local: options.local ?? null,
      peerCid: dcid,
      seen: { original: dcid, peerInitialScid: null, retryScid: null },
      cids: options.scid === undefined ? context.cids : cidFirst(options.scid, context.cids),
      resetToken: context.resetToken,
      newToken: null,
      clientDcid: null,
      // rfc9000#8.1 it chose the address itself.
      validated: true,
      userData: options.userData,
    },
    host,
    now,
  );
  if (options.token) connection.sender.setToken(options.token);
  const parameters = localParameters(config);
  parameters.initialSourceConnectionId = connection.localCids.handshakeCid;
  parameters.versionInformation = connection.versions.local(random);
  connection.tracer?.record({
    name: "parameters_set",
    time: now,
    owner: "local",
    parameters: traceParameters(parameters),
  });
  connection.protection.installInitial(version, dcid);
  // rfc9369#5 Clients MUST NOT use a session ticket from a connection of one version to initiate one of another.
  const session = options.session?.quicVersion === version ? options.session : null;
  connection.handshake.session = session;
  const remembered =
    options.earlyData === true && session?.earlyData === true
      ? decodeRemembered(session.transportParameters)
      : null;
  connection.handshake.remembered = remembered;
  const tls = new TlsClient(
    {
      provider,
      random,
      keyLog: config.keyLog,
      // One by one: spread objects of several shapes cost more than all of these.
      suites: asked.suites,
      groups: asked.groups,
      signatures: asked.signatures,
      alpn: asked.alpn,
      verify: asked.verify,
      keyShares: asked.keyShares,
      serverName: asked.serverName,
      transportParameters: encodeTransportParameters(parameters, "client"),
      identity: asked.identity,
      session,
      earlyData: remembered !== null,
      psk: asked.psk,
      pskModes: asked.pskModes,
      tickets: asked.tickets,
      statusRequest: asked.statusRequest,
    },
    connection.handshake,
  );
  connection.handshake.attach(tls);
  tls.start(wallNow);
  connection.wake();
  return connection;
}
