// What was negotiated on a connection, as the application is told.

import type { X509Certificate } from "node:crypto";
import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import type { GroupName } from "../internal/crypto/provider.ts";
import type { StatisticsSnapshot } from "../internal/connection/stats.ts";
import { QuicError } from "../internal/protocol/errors.ts";
import type { EarlyDataRefusal } from "../internal/tls/early-data.ts";
import type { Address } from "../internal/protocol/address.ts";
import type { SocketDescription } from "../internal/udp/packet-conn.ts";
import type { Connection } from "./connection.ts";
import type { Transport } from "./transport.ts";
import { type Authorization, type CertificateError, x509 } from "./tls-options.ts";

/** How a connection ended. */
export interface CloseInfo {
  /** The typed error; an ApplicationError with code 0 is a normal end. */
  readonly error: QuicError;
  /** Whether the peer ended it. */
  readonly remote: boolean;
  /** What each side said, where it said something: they may cross. */
  readonly localError: QuicError | null;
  readonly peerError: QuicError | null;
}

/** Counters and estimates at one moment; times in ms, sizes in bytes. */
export type ConnectionStatistics = StatisticsSnapshot;

/** Thrown by tryOpenStream where the peer's limit is reached. */
export class StreamLimitReachedError extends QuicError {
  constructor(bidi: boolean) {
    super(
      "ERR_QUIC_STREAM_LIMIT",
      `The peer allows no more ${bidi ? "bidirectional" : "unidirectional"} streams now. ` +
        `Wait with ${bidi ? "openStream" : "openUniStream"}, or finish streams first.`,
      { temporary: true },
    );
  }
}

/** What a connection needs of its transport. @internal */
export interface ConnectionOwner {
  flushSoon(): void;
  /** As flushSoon, for a message that is whole. */
  flushWhole(): void;
  flushNow(): void;
  pump(): void;
  describeSocket(): SocketDescription;
  localAddress(): string;
  forget(connection: Connection): void;
  /** Has packets of connections go over another's socket as well: gives what stands for it. */
  attach(transport: Transport): Promise<Address>;
}

/** The keys of a key agreement, made for one connection. */
export interface EphemeralKeyInfo {
  /** "hybrid": an elliptic curve and ML-KEM at once. */
  readonly type: "ECDH" | "hybrid";
  /** The group, as in `group`. */
  readonly name: string;
  /** Bits of the curve. */
  readonly size: number;
}

const CURVE_BITS: { readonly [group in GroupName]: number } = {
  x25519: 253,
  secp256r1: 256,
  secp384r1: 384,
  X25519MLKEM768: 253,
};

function ephemeralKeyInfo(group: GroupName | null): EphemeralKeyInfo | null {
  if (group === null) return null;
  return { type: group === "X25519MLKEM768" ? "hybrid" : "ECDH", name: group, size: CURVE_BITS[group] };
}

/** What was negotiated. */
export interface ConnectionState {
  /** The QUIC version in use, one of `QuicVersion`. */
  readonly version: number;
  readonly alpnProtocol: string | null;
  readonly servername: string | null;
  /** TLS cipher suite, as `TLS_AES_128_GCM_SHA256`. */
  readonly cipher: string | null;
  /** Key agreement group, as `x25519`. */
  readonly group: string | null;
  /** About that group, as `tls.TLSSocket.getEphemeralKeyInfo`; null before, and for a PSK without key agreement. */
  readonly ephemeralKeyInfo: EphemeralKeyInfo | null;
  /** Whether the peer's certificate was verified. */
  readonly authorized: boolean;
  /** Why it was not, where `rejectUnauthorized: false` let it pass. */
  readonly authorizationError: CertificateError | null;
  /** The peer's chain, leaf first. Parsed when read. */
  readonly peerCertificates: readonly X509Certificate[];
  /** Our own chain that the peer was shown, leaf first; empty without, and where a session resumed. Parsed when read. */
  readonly localCertificates: readonly X509Certificate[];
  /** Client: what the server stapled to its certificate, DER (`requestOCSP`); null without. */
  readonly ocspResponse: Uint8Array | null;
  readonly handshakeComplete: boolean;
  readonly handshakeConfirmed: boolean;
  /** A session of an earlier connection goes on: its certificates, or PSK, vouch for the peer. */
  readonly didResume: boolean;
  /**
   * What was remembered with that session: `sessionData` at a server, `setSessionData` at a client; there as soon as 0-RTT is
   * offered with it.
   */
  readonly sessionData: Uint8Array | null;
  /** The server took 0-RTT on this connection. */
  readonly used0RTT: boolean;
  /** What became of 0-RTT; at a server "none" as long as no client has asked for it. */
  readonly earlyData: "none" | "offered" | "accepted" | "rejected";
  /** Server: why it was refused, as `"replay"`; null otherwise. */
  readonly earlyDataRefusal: EarlyDataRefusal | null;
  readonly socket: SocketDescription;
}

/** The state at this moment. */
export function stateOf(
  core: CoreConnection,
  authorization: Authorization,
  socket: SocketDescription,
): ConnectionState {
  const { tls } = core.handshake;
  const chain = tls.peerChain;
  let parsed: X509Certificate[] | null = null;
  let own: X509Certificate[] | null = null;
  return {
    version: core.version,
    alpnProtocol: tls.alpn,
    servername: tls.serverName,
    cipher: tls.suite?.name ?? null,
    group: tls.group,
    ephemeralKeyInfo: ephemeralKeyInfo(tls.group),
    authorized: authorization.authorized,
    authorizationError: authorization.error,
    get peerCertificates() {
      return (parsed ??= x509(chain));
    },
    get localCertificates() {
      return (own ??= x509(tls.localChain));
    },
    ocspResponse: tls.ocspResponse,
    handshakeComplete: core.handshakeComplete,
    handshakeConfirmed: core.handshakeConfirmed,
    didResume: tls.resumed,
    sessionData: core.handshake.applicationData,
    used0RTT: tls.earlyData === "accepted",
    earlyData: tls.earlyData,
    earlyDataRefusal: tls.earlyDataRefusal,
    socket,
  };
}
