// Accepting: the server's side of a new connection, made from a client's first Initial. rfc9000#7

import type { Address } from "../protocol/address.ts";
import type { CidGenerator } from "../path/cid-generator.ts";
import type { ResetTokenSource } from "../path/reset-token.ts";
import { bytesEqual } from "../protocol/bytes.ts";
import { TlsServer } from "../tls/server.ts";
import type { EarlyDataOptions, TicketOptions, TlsServerOptions } from "../tls/types.ts";
import { encodeTransportParameters, type TransportParameters } from "../wire/transport-parameters.ts";
import type { ConnectionConfig } from "./config.ts";
import { Connection } from "./connection.ts";
import type { ConnectionHost } from "./core.ts";
import { traceParameters } from "./handshake.ts";
import { localParameters } from "./parameters.ts";
import { decodeRemembered, encodeRemembered, loweredLimit } from "./remembered.ts";

/** What a server does with its clients. */
export interface ServerConnectionOptions {
  readonly config: ConnectionConfig;
  /** Take 0-RTT of clients with tickets that this filter of replays lets through; null, the default: take none. */
  readonly earlyData?: Pick<EarlyDataOptions, "replay"> | null;
  /** Per connection, so that a verifier may keep what it found; `userData` goes to the connection's owner. */
  readonly tls: () => {
    readonly options: Omit<
      TlsServerOptions,
      "provider" | "random" | "transportParameters" | "keyLog" | "tickets" | "earlyData"
    >;
    /** Tickets for clients to resume with; none without. */
    readonly tickets?: Omit<TicketOptions, "quicVersion"> | null;
    readonly userData?: unknown;
  };
}

/** A client's first Initial, as far as the endpoint looked. */
export interface FirstInitial {
  readonly version: number;
  readonly originalDcid: Uint8Array;
  /** Where it was sent to: the same, or the SCID of a Retry of ours. */
  readonly dcid: Uint8Array;
  readonly peerScid: Uint8Array;
  /** It proved its address by a token. */
  readonly validated: boolean;
  readonly remote: Address;
  readonly local: Address | null;
}

/** Makes the connection; the datagram with the Initial is given to `receive` next. */
export function acceptServer(
  options: ServerConnectionOptions,
  initial: FirstInitial,
  context: {
    readonly cids: CidGenerator;
    readonly resetToken: ResetTokenSource;
    readonly newToken: (remote: Address) => Uint8Array | null;
  },
  host: ConnectionHost<Connection>,
  now: number,
): Connection {
  const { config } = options;
  const { options: asked, tickets = null, userData } = options.tls();
  const connection = new Connection(
    {
      role: "server",
      config,
      version: initial.version,
      remote: initial.remote,
      local: initial.local,
      // rfc9000#7.2 A server MUST set the Destination Connection ID it uses for sending packets based on the first
      // received Initial packet.
      peerCid: initial.peerScid,
      seen: { original: initial.originalDcid, peerInitialScid: initial.peerScid, retryScid: null },
      cids: context.cids,
      resetToken: context.resetToken,
      newToken: context.newToken,
      clientDcid: initial.dcid,
      // rfc9000#8.1.2 a server … receiving the token can be certain that the client received it at its address.
      validated: initial.validated,
      userData,
    },
    host,
    now,
  );
  // rfc9001#5.2 the Destination Connection ID of the first Initial, or that of a Retry which the client sends to now.
  connection.protection.installInitial(initial.version, initial.dcid);
  const parameters = localParameters(config);
  // rfc9000#7.3 the server includes the Destination Connection ID of the client's first Initial, and its own SCID.
  parameters.originalDestinationConnectionId = initial.originalDcid;
  parameters.initialSourceConnectionId = connection.localCids.handshakeCid;
  // rfc9000#7.3 … and, where it sent a Retry, the Source Connection ID of that.
  if (initial.dcid !== initial.originalDcid) parameters.retrySourceConnectionId = initial.dcid;
  if (config.preferredAddress !== null && connection.localCids.length > 0) {
    // rfc9000#18.2 a server that chooses a zero-length connection ID MUST NOT provide a preferred address.
    parameters.preferredAddress = { ...config.preferredAddress, ...connection.localCids.issuePreferred() };
  }
  parameters.statelessResetToken = connection.localCids.handshakeResetToken;
  connection.tracer?.record({
    name: "parameters_set",
    time: now,
    owner: "local",
    parameters: traceParameters(parameters),
  });
  connection.handshake.attach(
    new TlsServer(
      {
        provider: config.provider,
        random: config.random,
        keyLog: config.keyLog,
        suites: asked.suites,
        groups: asked.groups,
        signatures: asked.signatures,
        alpn: asked.alpn,
        verify: asked.verify,
        clientHello: asked.clientHello,
        identity: asked.identity,
        clientAuth: asked.clientAuth,
        ocsp: asked.ocsp,
        honorCipherOrder: asked.honorCipherOrder,
        psk: asked.psk,
        pskModes: asked.pskModes,
        // TLS asks when it has given us the client's: only then is the Negotiated Version known.
        transportParameters: () => {
          parameters.versionInformation = connection.versions.local(config.random);
          return encodeTransportParameters(parameters, "server");
        },
        tickets: tickets === null ? null : { ...tickets, quicVersion: () => connection.version },
        earlyData:
          tickets === null || !options.earlyData
            ? null
            : earlyDataOptions(parameters, tickets.applicationData, options.earlyData.replay),
      },
      connection.handshake,
    ),
  );
  return connection;
}

/**
 * rfc9000#7.4.1 If 0-RTT data is accepted by the server, the server MUST NOT reduce any limits or alter any values that
 * might be violated by the client with its 0-RTT data. rfc9001#4.6.3 whether 0-RTT fits our configuration is the question of each ticket's limits and application data.
 */
function earlyDataOptions(
  parameters: TransportParameters,
  applicationData: Uint8Array,
  replay: EarlyDataOptions["replay"],
): EarlyDataOptions {
  return {
    remember: () => encodeRemembered(parameters),
    accepts: (remembered, itsApplicationData) => {
      const old = decodeRemembered(remembered);
      return (
        old !== null &&
        loweredLimit(old, parameters) === null &&
        bytesEqual(itsApplicationData, applicationData)
      );
    },
    replay,
  };
}
