// ClientHello, rfc8446#4.1.2: what the client writes, and what a server accepts.

import { PROTOCOL_VIOLATION } from "../protocol/constants.ts";
import { bytesEqual, fromUtf8, utf8 } from "../protocol/bytes.ts";
import { TransportError } from "../protocol/errors.ts";
import { alert, Decoder, encode } from "./codec.ts";
import {
  EXTENSION,
  IN_CLIENT_HELLO,
  readExtension,
  readExtensions,
  writeExtensions,
  type Extension,
  type Extensions,
} from "./extensions.ts";
import { HANDSHAKE_TYPE, LEGACY_VERSION, message, TLS13 } from "./messages.ts";
import { readStatusRequest } from "./ocsp.ts";
import { readOfferedPsks, readPskModes, type OfferedPsks, type PskMode } from "./psk.ts";
import type { ClientHelloInfo } from "./types.ts";
import { parseIp } from "./x509/ip.ts";

/** rfc8446#4.2.8 */
export interface KeyShareEntry {
  readonly group: number;
  readonly key: Uint8Array;
}

/** A ClientHello that negotiates TLS 1.3 for QUIC, read and checked as far as one message can be. */
export interface ClientHello {
  readonly random: Uint8Array;
  readonly suites: readonly number[];
  readonly versions: readonly number[];
  readonly groups: readonly number[];
  readonly signatureSchemes: readonly number[];
  readonly keyShares: readonly KeyShareEntry[];
  readonly alpn: readonly Uint8Array[];
  readonly serverName: string | null;
  readonly transportParameters: Uint8Array;
  /** null where none is offered. Groups and signature schemes may be missing only beside them. */
  readonly psks: OfferedPsks | null;
  /** Those we know; empty where the client says nothing. */
  readonly pskModes: readonly PskMode[];
  /** The client sends 0-RTT. */
  readonly earlyData: boolean;
  /** The client would like an OCSP response with the certificate. */
  readonly statusRequest: boolean;
  readonly extensions: Extensions;
}

/** What the client puts into a ClientHello; the extensions in the order they are to stand. */
export interface ClientHelloFields {
  readonly random: Uint8Array;
  readonly suites: readonly number[];
  readonly extensions: readonly Extension[];
}

export function encodeClientHello(fields: ClientHelloFields): Uint8Array {
  return message(HANDSHAKE_TYPE.client_hello, (out) => {
    out.u16(LEGACY_VERSION);
    out.bytes(fields.random);
    // rfc9001#8.4 a client MUST NOT request the use of the TLS 1.3 compatibility mode: no session ID.
    out.opaque(1, new Uint8Array(0));
    out.u16s(2, fields.suites);
    // rfc8446#4.1.2 this vector MUST contain exactly one byte, set to zero: the "null" compression method.
    out.opaque(1, Uint8Array.of(0));
    writeExtensions(out, fields.extensions);
  });
}

/** `server_name` with one DNS name, rfc6066#3. */
export function serverNameExtension(name: string): Extension {
  const data = encode((out) => {
    out.vector(2, () => {
      out.u8(0);
      out.opaque(2, utf8(name));
    });
  });
  return { type: EXTENSION.server_name, data };
}

/** A list of 16-bit code points behind a length of `prefix` bytes. */
export function u16ListExtension(type: number, prefix: 1 | 2, values: readonly number[]): Extension {
  return { type, data: encode((out) => out.u16s(prefix, values)) };
}

export function keyShareExtension(entries: readonly KeyShareEntry[]): Extension {
  const data = encode((out) => {
    out.vector(2, () => {
      for (const { group, key } of entries) {
        out.u16(group);
        out.opaque(2, key);
      }
    });
  });
  return { type: EXTENSION.key_share, data };
}

/** `application_layer_protocol_negotiation`, rfc7301#3.1. */
export function alpnExtension(protocols: readonly Uint8Array[]): Extension {
  const data = encode((out) => out.vector(2, () => protocols.forEach((name) => out.opaque(1, name))));
  return { type: EXTENSION.application_layer_protocol_negotiation, data };
}

export function cookieExtension(cookie: Uint8Array): Extension {
  return { type: EXTENSION.cookie, data: encode((out) => out.opaque(2, cookie)) };
}

/** Reads a ProtocolNameList; rfc7301#3.1 empty strings MUST NOT be included and the list is not empty. */
export function readAlpn(data: Decoder): Uint8Array[] {
  const list = data.vector(2, 2);
  const names: Uint8Array[] = [];
  while (list.remaining > 0) names.push(list.opaque(1, 1));
  return names;
}

const WHAT = "ClientHello";

/** Reads a ClientHello and refuses what no TLS 1.3 server for QUIC may accept. */
export function decodeClientHello(body: Uint8Array): ClientHello {
  const from = new Decoder(body, WHAT);
  const legacyVersion = from.u16();
  const random = from.bytes(32);
  const sessionId = from.opaque(1, 0, 32);
  const suites = from.u16s(2);
  const compression = from.opaque(1, 1);
  // rfc8446#4.1.2 the presence of extensions can be detected by determining whether there are bytes following the
  // compression_methods; a hello of an older version may have none.
  const extensions: Extensions =
    from.remaining === 0 ? new Map<number, Uint8Array>() : readExtensions(from, IN_CLIENT_HELLO, WHAT);
  from.end();
  const read = <T>(type: number, name: string, reader: (data: Decoder) => T) =>
    readExtension(extensions, type, `${WHAT} ${name}`, reader);

  const versions = read(EXTENSION.supported_versions, "supported_versions", (data) => data.u16s(1));
  // rfc9001#4.2 an endpoint MUST terminate the connection if a version of TLS older than 1.3 is negotiated.
  // rfc8446#4.2.1 servers MUST only select a version of TLS present in that extension (and ignore legacy_version) …
  if (versions === null || !versions.includes(TLS13))
    throw alert("protocol_version", "TLS 1.3 is not offered");
  // … but rfc8446#D.5 any endpoint receiving a Hello message with legacy_version set to 0x0300 MUST abort the
  // handshake with a "protocol_version" alert.
  if (legacyVersion <= 0x0300) throw alert("protocol_version", "legacy_version says SSL");
  // rfc9001#8.4 a server SHOULD treat the receipt of a non-empty legacy_session_id as PROTOCOL_VIOLATION.
  if (sessionId.length > 0) {
    throw new TransportError(PROTOCOL_VIOLATION, "ClientHello with a legacy_session_id", { frameType: 0x06 });
  }
  // rfc8446#4.1.2 any other value in this field: the server MUST abort with an "illegal_parameter" alert.
  if (compression.length !== 1 || compression[0] !== 0) {
    throw alert("illegal_parameter", "ClientHello offers compression");
  }
  checkPreSharedKey(extensions);

  const signatureSchemes = read(EXTENSION.signature_algorithms, "signature_algorithms", (data) =>
    data.u16s(2),
  );
  const groups = read(EXTENSION.supported_groups, "supported_groups", (data) => data.u16s(2));
  const keyShares = read(EXTENSION.key_share, "key_share", readKeyShares);
  const alpn = read(EXTENSION.application_layer_protocol_negotiation, "ALPN", readAlpn);
  const serverName = read(EXTENSION.server_name, "server_name", readServerName);
  const psks = read(EXTENSION.pre_shared_key, "pre_shared_key", readOfferedPsks);
  const pskModes = read(EXTENSION.psk_key_exchange_modes, "psk_key_exchange_modes", readPskModes) ?? [];
  const earlyData = read(EXTENSION.early_data, "early_data", () => true) ?? false;
  const statusRequest = read(EXTENSION.status_request, "status_request", readStatusRequest) ?? false;
  // rfc8446#9.2 without "pre_shared_key" it MUST contain "signature_algorithms" and "supported_groups", and "key_share"
  // with the latter in any case; servers MUST abort the handshake with a "missing_extension" alert.
  const present = { signature_algorithms: signatureSchemes, supported_groups: groups, key_share: keyShares };
  for (const [name, value] of Object.entries(present)) {
    if (value === null && psks === null) throw alert("missing_extension", `ClientHello without ${name}`);
  }
  if ((groups === null) !== (keyShares === null)) {
    throw alert("missing_extension", "ClientHello with one of supported_groups and key_share");
  }
  checkKeyShares(keyShares ?? [], groups ?? []);
  // rfc9001#8.1 no_application_protocol if an application protocol is not negotiated.
  if (alpn === null) throw alert("no_application_protocol", "ClientHello without ALPN");
  // rfc9001#8.2 endpoints that receive ClientHello without the quic_transport_parameters extension MUST close with
  // an error of type 0x016d (missing_extension).
  const transportParameters = extensions.get(EXTENSION.quic_transport_parameters);
  if (transportParameters === undefined) {
    throw alert("missing_extension", "ClientHello without quic_transport_parameters");
  }
  return {
    random,
    suites,
    versions,
    groups: groups ?? [],
    signatureSchemes: signatureSchemes ?? [],
    keyShares: keyShares ?? [],
    alpn,
    serverName,
    transportParameters,
    psks,
    pskModes,
    earlyData,
    statusRequest,
    extensions,
  };
}

/** What of PSK has to hold whether it is used or not. */
function checkPreSharedKey(extensions: Extensions): void {
  if (!extensions.has(EXTENSION.pre_shared_key)) return;
  // rfc8446#4.2.11 servers MUST check that it is the last extension and otherwise fail with "illegal_parameter".
  if ([...extensions.keys()].at(-1) !== EXTENSION.pre_shared_key) {
    throw alert("illegal_parameter", "pre_shared_key is not the last extension");
  }
  // rfc8446#4.2.9 if clients offer "pre_shared_key" without a "psk_key_exchange_modes" extension, servers MUST abort.
  if (!extensions.has(EXTENSION.psk_key_exchange_modes)) {
    throw alert("missing_extension", "pre_shared_key without psk_key_exchange_modes");
  }
}

function readKeyShares(data: Decoder): KeyShareEntry[] {
  const list = data.vector(2, 0);
  const entries: KeyShareEntry[] = [];
  while (list.remaining > 0) entries.push({ group: list.u16(), key: list.opaque(2, 1) });
  return entries;
}

/**
 * rfc8446#4.2.8 clients MUST NOT offer multiple KeyShareEntry values for the same group, nor any for groups not listed
 * in "supported_groups"; servers MAY check and abort with an "illegal_parameter" alert.
 */
function checkKeyShares(entries: readonly KeyShareEntry[], groups: readonly number[]): void {
  const listed = new Set(groups);
  const seen = new Set<number>();
  for (const { group } of entries) {
    if (seen.has(group)) throw alert("illegal_parameter", "two key shares for one group");
    if (!listed.has(group)) throw alert("illegal_parameter", "a key share for a group that is not supported");
    seen.add(group);
  }
}

/** rfc6066#3. Names of other types are skipped: the RFC says they too start with a 16-bit length. */
function readServerName(data: Decoder): string | null {
  const list = data.vector(2, 1);
  let name: string | null = null;
  const types = new Set<number>();
  while (list.remaining > 0) {
    const type = list.u8();
    const value = list.opaque(2, 1);
    // rfc6066#3 the ServerNameList MUST NOT contain more than one name of the same name_type.
    if (types.has(type)) throw alert("illegal_parameter", "two server names of one type");
    types.add(type);
    if (type !== 0) continue;
    // rfc6066#3 "HostName" is a byte string using ASCII encoding without a trailing dot.
    for (const byte of value) {
      if (byte <= 0x20 || byte >= 0x7f) throw alert("illegal_parameter", "server_name is not a host name");
    }
    const text = fromUtf8(value);
    // rfc6066#3 literal addresses are not permitted. Clients send them all the same: as if there were no name.
    name = parseIp(text) === null ? text.replace(/\.$/, "") || null : null;
  }
  return name;
}

/** The description that applications choose an identity by. */
export function describeClientHello(hello: ClientHello): ClientHelloInfo {
  return {
    serverName: hello.serverName,
    alpn: hello.alpn.map(fromUtf8),
    cipherSuites: hello.suites,
    groups: hello.groups,
    signatureSchemes: hello.signatureSchemes,
    supportedVersions: hello.versions,
    statusRequest: hello.statusRequest,
  };
}

/** rfc8446#4.1.2 what the second ClientHello may change, and encrypted_client_hello, which seals anew. */
const CHANGEABLE: ReadonlySet<number> = new Set([
  EXTENSION.key_share,
  EXTENSION.early_data,
  EXTENSION.cookie,
  EXTENSION.pre_shared_key,
  EXTENSION.padding,
  EXTENSION.encrypted_client_hello,
]);
const KNOWN: ReadonlySet<number> = new Set(Object.values(EXTENSION));

/**
 * Checks the ClientHello that answers a HelloRetryRequest for `group`.
 * rfc8446#4.1.2 the client MUST send the same ClientHello without modification, except for what is named there.
 */
export function checkSecondClientHello(first: ClientHello, second: ClientHello, group: number): void {
  const changed = (what: string) => alert("illegal_parameter", `the second ClientHello changed its ${what}`);
  if (!bytesEqual(first.random, second.random)) throw changed("random");
  if (first.suites.join() !== second.suites.join()) throw changed("cipher suites");
  for (const type of new Set([...first.extensions.keys(), ...second.extensions.keys()])) {
    // Extensions we do not know may have rules of their own.
    if (CHANGEABLE.has(type) || !KNOWN.has(type)) continue;
    const before = first.extensions.get(type);
    const after = second.extensions.get(type);
    if (before === undefined || after === undefined || !bytesEqual(before, after)) {
      throw changed(`extension ${type}`);
    }
  }
  // rfc8446#4.1.2 removing the "early_data" extension if one was present: early data is not permitted after a
  // HelloRetryRequest.
  if (second.extensions.has(EXTENSION.early_data))
    throw alert("illegal_parameter", "early_data after a retry");
  // rfc8446#4.2.8 … replace the original "key_share" with one containing only a new KeyShareEntry for that group.
  if (second.keyShares.length !== 1 || second.keyShares[0]!.group !== group) {
    throw alert("illegal_parameter", "the second ClientHello does not have the one key share asked for");
  }
}
