// TLS options with the names of node:tls, and what becomes of them.

import * as nodeTls from "node:tls";
import { X509Certificate } from "node:crypto";
import { LRUCache } from "lru-cache";
import {
  GROUP,
  SIGNATURE,
  type AeadName,
  type CryptoProvider,
  type GroupName,
  type SignatureName,
} from "../internal/crypto/provider.ts";
import { SUITES, suiteByAead, type CipherSuite } from "../internal/crypto/suites.ts";
import { nobleProvider } from "../internal/crypto/noble.ts";
import { defaultProvider } from "../internal/crypto/ffi.ts";
import { nodeProvider } from "../internal/crypto/node.ts";
import { InvalidOptionError, QuicError, type TransportError } from "../internal/protocol/errors.ts";
import { loadIdentity } from "../internal/tls/identity.ts";
import type { Identity, VerifyResult } from "../internal/tls/types.ts";
import { loadTrustAnchors, type TrustAnchors } from "../internal/tls/x509/anchors.ts";
import { verifyChain, type VerifyChainInput } from "../internal/tls/x509/path.ts";
import type { ClientHello, ClientHelloAnswer } from "./client-hello.ts";
import { checkSessionOptions, type SessionOptions } from "./sessions.ts";

/** PEM text, DER or PEM bytes, or several of them. */
export type PemOrDer = string | Uint8Array | readonly (string | Uint8Array)[];

/** What a custom verifier is told. */
export interface PeerInfo {
  /** Leaf first, DER. */
  readonly chain: readonly Uint8Array[];
  /** The name that was dialed; null for a client's certificate. */
  readonly serverName: string | null;
  /** What the server stapled, DER, where `requestOCSP` asked for it and it did; null otherwise. Nobody has checked it. */
  readonly ocspResponse: Uint8Array | null;
  readonly role: "client" | "server";
}

/** TLS settings, named as in `node:tls`. */
export interface TlsOptions extends SessionOptions {
  /** Private key: PKCS#8, SEC1 or PKCS#1, PEM or DER. */
  key?: string | Uint8Array;
  /** Certificate chain, leaf first. */
  cert?: PemOrDer;
  /** Decrypts `key`. */
  passphrase?: string;
  /**
   * Server: several keys with their chains, beside `key` and `cert` or in their place. A client gets the first whose
   * signatures it can check and whose certificate names the server it asks for, else the first it can check.
   */
  identities?: readonly SniIdentity[];
  /**
   * Server: the OCSP response for `cert`, DER, given to clients that ask (rfc6066#8). To be replaced before it expires, with
   * `listener.setIdentity`; or see `ocspCallback`.
   */
  ocspResponse?: Uint8Array;
  /**
   * Server: gives the OCSP response (DER) for a chain of ours (DER, leaf first) that has none of its own, when a client asks
   * for it; nothing, or a failure: none is stapled. May be asynchronous; the handshake waits, so keep responses at hand.
   */
  ocspCallback?: (
    chain: readonly Uint8Array[],
  ) => Uint8Array | null | undefined | Promise<Uint8Array | null | undefined>;
  /** Client: ask for the OCSP response; it stands in `connectionState().ocspResponse`, and is yours to judge. */
  requestOCSP?: boolean;
  /** Trusted authorities instead of the default ones (`tls.getCACertificates('default')`, else Node's root list). */
  ca?: PemOrDer;
  /** Application protocols, the preferred one first. QUIC demands at least one: rfc9001#8.1. */
  ALPNProtocols?: readonly string[];
  /** The name to ask for and to verify, default: the host that was dialed. An IP address is verified, never sent. */
  servername?: string;
  /** Server: ask clients for a certificate. With `rejectUnauthorized` (the default) one that verifies is demanded. */
  requestCert?: boolean;
  /** Default true. With false the reason still stands in `connectionState().authorizationError`. */
  rejectUnauthorized?: boolean;
  /** As in node:tls: returns an Error where `cert` is not `hostname`'s. Replaces the name check alone. */
  checkServerIdentity?: VerifyChainInput["checkServerIdentity"];
  /** Replaces all verification of the peer's certificate. Return or throw an Error to refuse. May be asynchronous. */
  verifyPeer?: (peer: PeerInfo) => Error | undefined | void | Promise<Error | undefined | void>;
  /**
   * Server: picks an identity by server name; undefined or null refuses with unrecognized_name, and `refuse()`, thrown or
   * answered, as it says. May be asynchronous. Asked
   * where `listener.addContext` has nothing for the name. An object that it returns again is not read again.
   */
  SNICallback?: (servername: string | null) => SniAnswer | Promise<SniAnswer>;
  /**
   * Server: sees what a client offers before an identity or anything else is chosen. Answers with options that take the
   * place of the listener's for this client, with nothing to go on with those, or refuses by throwing (or returning)
   * `refuse()`; what else it throws, and options that cannot be, refuse with internal_error. May be asynchronous:
   * meanwhile the client is acknowledged and waits, for `handshakeTimeout` at most. An object that it returns again is not
   * read again. Sessions that are resumed, and external PSKs, are asked about as well.
   *
   * @example
   * const tenants = { localhost: selfSigned(), "b.example": selfSigned({ altNames: ["b.example"] }) };
   * const listener = await listenAddr(4433, {
   *   ALPNProtocols: ["echo"],
   *   async onClientHello({ serverName, alpn, groups, remote }) {
   *     const tenant = tenants[serverName as keyof typeof tenants]; // or from a database
   *     if (tenant === undefined) throw refuse({ alert: "unrecognized_name" });
   *     return tenant;
   *   },
   * });
   */
  onClientHello?: (hello: ClientHello) => ClientHelloAnswer | Promise<ClientHelloAnswer>;
  /** Cipher suites in order of preference, default all three: AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305. */
  ciphers?: readonly AeadName[];
  /** Key agreement groups in order of preference, default X25519MLKEM768, X25519, P-256, P-384. */
  groups?: readonly GroupName[];
  /** Signature schemes we take, in order of preference. */
  sigalgs?: readonly SignatureName[];
  /** Server: its own order of suites counts, not the client's. Default true. */
  honorCipherOrder?: boolean;
  /** Lines in the SSLKEYLOGFILE format. Whoever has them reads the connection. */
  keylog?: (line: string) => void;
  /**
   * Which implementation of the primitives: "node" (node:crypto) or "noble" (portable JavaScript). By default OpenSSL
   * is called directly where the optional package koffi makes that possible, else through node:crypto.
   */
  crypto?: "node" | "noble";
}

/** What picks an identity may answer: of several the client gets the one whose signatures it can check. */
export type SniAnswer = SniIdentity | readonly SniIdentity[] | TransportError | null | undefined;

/** A key and its chain. */
export interface SniIdentity {
  key: string | Uint8Array;
  cert: PemOrDer;
  passphrase?: string;
  /** The OCSP response for `cert`, DER. */
  ocspResponse?: Uint8Array;
}

/** Options of node:tls that would be ignored here; naming them is a mistake worth telling. */
const MEANINGLESS = "has no meaning in QUIC, which speaks TLS 1.3 alone; leave it out";
const UNSUPPORTED = "is not supported here; leave it out";
const REFUSED: { readonly [option: string]: string } = {
  dhparam: MEANINGLESS,
  secureOptions: MEANINGLESS,
  secureProtocol: MEANINGLESS,
  minVersion: MEANINGLESS,
  maxVersion: MEANINGLESS,
  minDHSize: MEANINGLESS,
  ecdhCurve: 'is called groups here, as in groups: ["x25519", "secp256r1"]',
  secureContext: "is not supported here; give key, cert and ca",
  pfx: "is not supported here; convert it to PEM with `openssl pkcs12 -nodes` and give key and cert",
  crl: "is not supported here, and leaving revocation unchecked in silence would be worse; use verifyPeer",
  ALPNCallback: "is not supported here; list the protocols in ALPNProtocols",
  pskIdentityHint: MEANINGLESS,
  session: "is called sessionTicket here, and takes what onSessionTicket gave",
  privateKeyEngine: UNSUPPORTED,
  privateKeyIdentifier: UNSUPPORTED,
  clientCertEngine: UNSUPPORTED,
};
const REFUSALS = Object.entries(REFUSED);
const FUNCTIONS = [
  "checkServerIdentity",
  "verifyPeer",
  "SNICallback",
  "onClientHello",
  "ocspCallback",
  "keylog",
] as const;
const BOOLEANS = ["requestCert", "rejectUnauthorized", "honorCipherOrder", "requestOCSP"] as const;

const providers: { node?: CryptoProvider; noble?: CryptoProvider } = {};

export function providerOf(tls: TlsOptions): CryptoProvider {
  if (tls.crypto === "noble") return (providers.noble ??= nobleProvider());
  if (tls.crypto !== undefined && tls.crypto !== "node") {
    throw new InvalidOptionError("crypto", `"node" or "noble", not ${JSON.stringify(tls.crypto)}`);
  }
  return tls.crypto === "node" ? (providers.node ??= nodeProvider()) : defaultProvider();
}

/** Checks what can be checked before anything is sent. */
export function checkTlsOptions(tls: TlsOptions, role: "client" | "server"): void {
  if (typeof tls !== "object" || tls === null)
    throw new InvalidOptionError("tls", "an object with TLS options is needed");
  for (const [name, hint] of REFUSALS) {
    if ((tls as { [option: string]: unknown })[name] !== undefined) throw new InvalidOptionError(name, hint);
  }
  for (const name of FUNCTIONS) wantType(name, tls[name], "function");
  // A string such as "false" must not pass for true, nor 0 for false, where authentication hangs on it.
  for (const name of BOOLEANS) wantType(name, tls[name], "boolean");
  wantType("servername", tls.servername, "string");
  // rfc9000#7 Endpoints MUST explicitly negotiate an application protocol.
  const alpn = tls.ALPNProtocols;
  if (!Array.isArray(alpn) || alpn.length === 0) {
    throw new InvalidOptionError(
      "ALPNProtocols",
      'QUIC demands at least one application protocol, as in ["h3"]',
    );
  }
  for (const name of alpn as unknown[]) {
    if (typeof name !== "string" || name.length === 0 || Buffer.byteLength(name) > 255) {
      throw new InvalidOptionError("ALPNProtocols", "each name has 1 to 255 bytes");
    }
  }
  checkSessionOptions(tls);
  if (tls.identities !== undefined && (!Array.isArray(tls.identities) || tls.identities.length === 0)) {
    throw new InvalidOptionError("identities", "one or more { key, cert }");
  }
  if (role === "client" && tls.identities !== undefined) {
    throw new InvalidOptionError("identities", "clients have one: give key and cert");
  }
  const later = tls.SNICallback ?? tls.onClientHello ?? tls.pskCallback ?? tls.identities;
  if (role === "server" && later === undefined) {
    if (tls.key === undefined)
      throw new InvalidOptionError("key", "a server needs a private key (PEM or DER)");
    if (tls.cert === undefined)
      throw new InvalidOptionError("cert", "a server needs a certificate chain (PEM or DER)");
  }
  checkAlgorithms(tls);
  if ((tls.key === undefined) !== (tls.cert === undefined)) {
    throw new InvalidOptionError(tls.key === undefined ? "key" : "cert", "key and cert go together");
  }
}

function wantType(option: string, value: unknown, type: "function" | "boolean" | "string"): void {
  if (value !== undefined && typeof value !== type)
    throw new InvalidOptionError(option, `a ${type} is needed`);
}

/** Our own identity, or null where none was given. */
export function identityOf(tls: TlsOptions | SniIdentity, provider: CryptoProvider): Identity | null {
  if (tls.key === undefined || tls.cert === undefined) return null;
  const { ocspResponse } = tls;
  if (ocspResponse !== undefined && !(ocspResponse instanceof Uint8Array)) {
    throw new InvalidOptionError("ocspResponse", "a Uint8Array with the DER of an OCSPResponse");
  }
  const identity = loadIdentity(provider, {
    key: tls.key,
    cert: tls.cert as string | Uint8Array | (string | Uint8Array)[],
    ...(tls.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
  });
  return ocspResponse === undefined ? identity : { ...identity, ocspResponse };
}

/** Suites, groups and schemes, where they were chosen. @throws {InvalidOptionError} for names nobody knows. */
const CIPHERS = SUITES.map((suite) => suite.aead);
const GROUPS = Object.keys(GROUP);
const SIGNATURES = Object.keys(SIGNATURE);

function checkAlgorithms(tls: TlsOptions): void {
  known("ciphers", tls.ciphers, CIPHERS);
  known("groups", tls.groups, GROUPS);
  known("sigalgs", tls.sigalgs, SIGNATURES);
}

export function algorithmsOf(tls: TlsOptions): {
  suites?: CipherSuite[];
  groups?: readonly GroupName[];
  signatures?: readonly SignatureName[];
} {
  checkAlgorithms(tls);
  return {
    ...(tls.ciphers === undefined ? {} : { suites: tls.ciphers.map(suiteByAead) }),
    ...(tls.groups === undefined ? {} : { groups: tls.groups }),
    ...(tls.sigalgs === undefined ? {} : { signatures: tls.sigalgs }),
  };
}

/** What a server chooses from, apart from what is known later: its identity and its verifier. */
export function serverChoices(tls: TlsOptions) {
  const clientAuth =
    tls.requestCert !== true ? "none" : tls.rejectUnauthorized === false ? "request" : "require";
  return {
    ...algorithmsOf(tls),
    alpn: [...tls.ALPNProtocols!],
    psk: tls.pskCallback === undefined ? null : ("pending" as const),
    ...(tls.pskModes === undefined ? {} : { pskModes: tls.pskModes }),
    clientAuth,
    honorCipherOrder: tls.honorCipherOrder ?? true,
    ocsp: tls.ocspCallback === undefined ? null : ("pending" as const),
  } as const;
}

function known(option: string, given: readonly string[] | undefined, all: readonly string[]): void {
  if (given === undefined) return;
  if (!Array.isArray(given)) throw new InvalidOptionError(option, `an array of ${all.join(", ")} is needed`);
  const unknown = given.find((name) => !all.includes(name));
  if (given.length === 0 || unknown !== undefined) {
    throw new InvalidOptionError(option, `one or more of ${all.join(", ")}, not ${unknown ?? "none"}`);
  }
}

let defaultAnchors: TrustAnchors | null = null;
const parsedAnchors = new LRUCache<string, TrustAnchors>({ max: 16 });

/** The anchors of `ca`, or the default trust, parsed once for the process. */
export function anchorsOf(tls: TlsOptions): TrustAnchors {
  if (tls.ca !== undefined) {
    const list = (Array.isArray(tls.ca) ? tls.ca : [tls.ca]) as (string | Uint8Array)[];
    // Programs dial with the same text over and over; bytes may change under their owner's hands.
    const key = list.every((each) => typeof each === "string") ? list.join("\n") : null;
    const known = key === null ? undefined : parsedAnchors.get(key);
    if (known !== undefined) return known;
    const anchors = loadTrustAnchors(list);
    if (key !== null) parsedAnchors.set(key, anchors);
    return anchors;
  }
  if (defaultAnchors === null) {
    const get = (nodeTls as { getCACertificates?: (type: string) => string[] }).getCACertificates;
    defaultAnchors = loadTrustAnchors([...(get?.("default") ?? nodeTls.rootCertificates)]);
  }
  return defaultAnchors;
}

/** How the outcome of verification is reported where it does not end the handshake. */
export interface Authorization {
  authorized: boolean;
  error: CertificateError | null;
}

/** Why a peer's certificate was not accepted. `reason` is node:tls's code: CERT_HAS_EXPIRED, … */
export class CertificateError extends QuicError {
  readonly reason: string;
  constructor(reason: string, message: string, cause?: unknown) {
    super("ERR_QUIC_CERTIFICATE", message, { cause });
    this.reason = reason;
  }
}

const NOT_ASKED: VerifyResult = {
  ok: false,
  alert: "unexpected_message",
  reason: "no certificate was asked for",
  certificateReason: "UNEXPECTED_CERTIFICATE",
};

type SyncVerify = (chain: readonly Uint8Array[], serverName: string | null, wallNow: number) => VerifyResult;

/**
 * The verifier TLS calls: path and name by the RFCs, or "pending" where the user brings their own. Authorities are
 * parsed here, once; each connection has an outcome of its own.
 * @throws {InvalidOptionError} for a `ca` that cannot be read.
 */
export function verifierOf(
  tls: TlsOptions,
  provider: CryptoProvider,
  peerRole: "client" | "server",
): (authorization: Authorization) => SyncVerify | "pending" {
  if (tls.verifyPeer !== undefined) return () => "pending";
  // Servers that ask for no certificate need no authorities.
  if (peerRole === "client" && tls.requestCert !== true) return () => () => NOT_ASKED;
  const anchors = anchorsOf(tls);
  return (authorization) => (chain, serverName, wallNow) => {
    const result = verifyChain(provider, {
      chain: chain as Uint8Array[],
      anchors,
      now: wallNow,
      purpose: peerRole,
      serverName,
      ...(tls.checkServerIdentity === undefined ? {} : { checkServerIdentity: tls.checkServerIdentity }),
    });
    authorization.authorized = result.ok;
    if (result.ok) return result;
    authorization.error = new CertificateError(result.certificateReason, result.reason);
    return tls.rejectUnauthorized === false ? { ok: true } : result;
  };
}

/** Runs the user's verifier and turns its answer into TLS's. Never throws. */
export async function runVerifier(
  tls: TlsOptions,
  peer: PeerInfo,
  authorization: Authorization,
): Promise<VerifyResult> {
  let refused: unknown;
  try {
    refused = await tls.verifyPeer!(peer);
  } catch (error) {
    refused = error;
  }
  if (refused === undefined || refused === null) {
    authorization.authorized = true;
    return { ok: true };
  }
  const message = refused instanceof Error ? refused.message : String(refused);
  authorization.error = new CertificateError("VERIFY_PEER_REFUSED", message, refused);
  if (tls.rejectUnauthorized === false) return { ok: true };
  return { ok: false, alert: "bad_certificate", reason: message, certificateReason: "VERIFY_PEER_REFUSED" };
}

/** A peer's chain as node:crypto shows it. */
export function x509(chain: readonly Uint8Array[]): X509Certificate[] {
  return chain.map((der) => new X509Certificate(der));
}
