// What goes in and out of the TLS machines (client.ts, server.ts).

import type { CryptoProvider, GroupName, SignatureName, SigningKey } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import type { ExternalPsk, PskHash, PskMode } from "./psk.ts";
import type { TlsSession } from "./session.ts";
import type { TicketKeys } from "./tickets.ts";
import type { AlertName, Level, Role } from "../protocol/constants.ts";
import type { TransportError } from "../protocol/errors.ts";
import type { RandomSource } from "../protocol/random.ts";

/** A private key that is elsewhere: signatures are asked for with a `sign` request. */
export interface RemoteKey {
  readonly remote: true;
  /** The CertificateVerify schemes it can sign, the preferred one first. */
  readonly schemes: readonly SignatureName[];
}

/** A certificate chain and the key of its leaf. */
export interface Identity {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly key: SigningKey | RemoteKey;
  /** An OCSP response, DER, stapled for clients that ask: rfc6066#8. */
  readonly ocspResponse?: Uint8Array | null;
}

/** What came of verifying the peer's certificate chain. */
export type VerifyResult =
  /** `authorizationError`: why the chain would not have been accepted, had the user not said to go on regardless. */
  | { readonly ok: true; readonly authorizationError?: string }
  /** `certificateReason` as `node:tls` names them: `CERT_HAS_EXPIRED`, … */
  | {
      readonly ok: false;
      readonly alert: AlertName;
      readonly reason: string;
      readonly certificateReason: string;
    };

/** Decides about the peer's chain (DER, leaf first) at once. `serverName` is null at a server. */
export type VerifyChain = (
  chain: readonly Uint8Array[],
  serverName: string | null,
  wallNow: number,
) => VerifyResult;

/** What a ClientHello says, for choosing an identity. Numbers are code points as they came, GREASE and all. */
export interface ClientHelloInfo {
  readonly serverName: string | null;
  /** Protocols offered, decoded as UTF-8. */
  readonly alpn: readonly string[];
  readonly cipherSuites: readonly number[];
  readonly groups: readonly number[];
  readonly signatureSchemes: readonly number[];
  readonly supportedVersions: readonly number[];
  /** It would like an OCSP response with the certificate. */
  readonly statusRequest: boolean;
}

/**
 * The machine has stopped until `provide(request.id, …)`; what the answer is stands at each kind. A TransportError in its
 * place ends the handshake with that error, whatever was asked.
 */
export type PendingRequest =
  /** `ServerChoices`, or null to go on with what the options say. Before anything is chosen; once for a handshake. */
  | { readonly id: number; readonly kind: "client_hello"; readonly clientHello: ClientHelloInfo }
  /** `Identity`, or null for none (the handshake fails). */
  | { readonly id: number; readonly kind: "identity"; readonly clientHello: ClientHelloInfo }
  /** The OCSP response for this identity, DER, or null: none is stapled. */
  | { readonly id: number; readonly kind: "ocsp"; readonly identity: Identity }
  /** The signature over `data` as it goes on the wire (ECDSA in DER), or null: the handshake fails. */
  | {
      readonly id: number;
      readonly kind: "sign";
      readonly scheme: SignatureName;
      readonly data: Uint8Array;
      readonly identity: Identity;
    }
  /** `VerifyResult`. `role` is our own. */
  | {
      readonly id: number;
      readonly kind: "verify";
      readonly chain: readonly Uint8Array[];
      /** What the server stapled, where we asked for it. */
      readonly ocspResponse?: Uint8Array | null;
      readonly serverName: string | null;
      readonly role: Role;
    }
  /** `PskKey`, or null where the server has no such key. */
  | { readonly id: number; readonly kind: "psk"; readonly identity: Uint8Array }
  /** `EarlyDataVerdict`: whether 0-RTT data under this ticket is taken. */
  | ({ readonly id: number; readonly kind: "early_data" } & EarlyDataUse);

/** The answer to a `PendingRequest`, by its kind. */
export type PendingAnswer =
  ServerChoices | Identity | Uint8Array | VerifyResult | PskKey | EarlyDataVerdict | TransportError | null;

/** The key of an external PSK. */
export interface PskKey {
  readonly key: Uint8Array;
  readonly hash: PskHash;
}

/** One use of a ticket for 0-RTT, to be allowed once at most: rfc8446#8. */
export interface EarlyDataUse {
  /** Names the ticket: 32 bytes. */
  readonly ticketId: Uint8Array;
  /** Unix ms: after it the same first flight is too old to be taken anyway. */
  readonly expiry: number;
}

export interface EarlyDataVerdict {
  readonly allowed: boolean;
}

/** What the machines call. Implemented by the connection. */
export interface TlsSink {
  /** Whole handshake messages, to be sent at `level`. The callee keeps the bytes. */
  sendCrypto(level: Level, bytes: Uint8Array): void;
  /** The callee must not keep the arrays: they are zeroed after. null: that direction is not (yet) to be installed. */
  installSecrets(level: Level, suite: CipherSuite, read: Uint8Array | null, write: Uint8Array | null): void;
  /** The peer's quic_transport_parameters; may throw TransportError. Not authenticated before the handshake completes. */
  peerTransportParameters(bytes: Uint8Array): void;
  pending(request: PendingRequest): void;
  handshakeComplete(): void;
  /** Only called with `keyLog`. */
  keyLog(label: string, clientRandom: Uint8Array, secret: Uint8Array): void;
  /** Client: a ticket came, and this is what it resumes. The callee keeps the object. */
  sessionTicket(session: TlsSession): void;
  /** What became of the client's wish for 0-RTT, at either side; before `peerTransportParameters` at a client. */
  earlyData(accepted: boolean): void;
}

/** Of both roles. */
export interface TlsOptions {
  readonly provider: CryptoProvider;
  readonly random: RandomSource;
  /** The preferred one first. Default: what the provider can do. */
  readonly suites?: readonly CipherSuite[];
  readonly groups?: readonly GroupName[];
  /** Schemes accepted from the peer. Schemes that only certificates use (rsa_pkcs1_…) may be among them. */
  readonly signatures?: readonly SignatureName[];
  /** Protocols, the preferred one first. QUIC has none without: rfc9001#8.1. */
  readonly alpn: readonly string[];
  readonly verify: VerifyChain | "pending";
  readonly keyLog: boolean;
}

export interface TlsClientOptions extends TlsOptions {
  /**
   * How many groups, from the first on, get a key share in the first ClientHello. Default: 1, and 2 where the first is
   * a hybrid, which many servers do not know: a HelloRetryRequest costs a round trip.
   */
  readonly keyShares?: number;
  /** What the certificate must be for; also sent as SNI unless it is an IP address. */
  readonly serverName: string | null;
  /** Encoded, as they go into the extension. */
  readonly transportParameters: Uint8Array;
  /** For servers that ask for a certificate. */
  readonly identity?: Identity | null;
  /** Resumed where it still can be. */
  readonly session?: TlsSession | null;
  /** Offer 0-RTT where the session has it. Default false. */
  readonly earlyData?: boolean;
  readonly psk?: ExternalPsk | null;
  /** Default psk_dhe_ke alone; psk_ke only with an external PSK: no ticket is used without forward secrecy. */
  readonly pskModes?: readonly PskMode[];
  /** Tickets are wanted. Default true. */
  readonly tickets?: boolean;
  /** Ask for a stapled OCSP response. Default false. */
  readonly statusRequest?: boolean;
}

/** The tickets a server gives and takes. */
export interface TicketOptions {
  readonly keys: TicketKeys;
  /** Seconds, 604,800 at most. */
  readonly lifetime: number;
  /** Tickets after a full handshake; after a resumed one there is one. */
  readonly count: number;
  /** Tickets of servers with another context are not taken. */
  readonly context: Uint8Array;
  /** The QUIC version in use: rfc9369#5 tickets of another are not taken. */
  readonly quicVersion: () => number;
  /** The application's, from ticket to resumed connection. */
  readonly applicationData: Uint8Array;
}

/** What 0-RTT depends on above TLS. */
export interface EarlyDataOptions {
  /** Our transport parameters as a ticket is to remember them. */
  readonly remember: () => Uint8Array;
  /** Whether what a ticket remembers still holds: rfc9001#4.6.3. */
  readonly accepts: (remembered: Uint8Array, applicationData: Uint8Array) => boolean;
  /** rfc8446#8: "pending" asks. */
  readonly replay: "pending" | ((use: EarlyDataUse) => boolean);
}

/** What a server may decide anew for one client, when it has seen its ClientHello. */
export type ServerChoices = Partial<
  Pick<
    TlsServerOptions,
    | "suites"
    | "groups"
    | "signatures"
    | "alpn"
    | "identity"
    | "clientAuth"
    | "verify"
    | "honorCipherOrder"
    | "psk"
    | "pskModes"
  >
>;

export interface TlsServerOptions extends TlsOptions {
  /** "pending": asked about each ClientHello before anything is chosen. Default null. */
  readonly clientHello?: "pending" | null;
  /** A function is called after `peerTransportParameters`. */
  readonly transportParameters: Uint8Array | (() => Uint8Array);
  /** A function chooses, or says "pending" to be asked. */
  readonly identity: Identity | ((hello: ClientHelloInfo) => Identity | null | "pending") | "pending";
  readonly clientAuth: "none" | "request" | "require";
  /** "pending": asked for the OCSP response of identities that have none. Default null. */
  readonly ocsp?: "pending" | null;
  /** Our order of suites decides, not the client's. Default true. */
  readonly honorCipherOrder?: boolean;
  /** null: no tickets. */
  readonly tickets?: TicketOptions | null;
  /** null: 0-RTT is neither announced nor taken. */
  readonly earlyData?: EarlyDataOptions | null;
  /** External keys by identity. */
  readonly psk?: "pending" | ((identity: Uint8Array) => PskKey | null) | null;
  /** As for clients. */
  readonly pskModes?: readonly PskMode[];
}
