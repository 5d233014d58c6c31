// The handshake messages but ClientHello, rfc8446#4 and rfc8446#B.3: bytes to values and back.

import { bytesEqual, fromHex } from "../protocol/bytes.ts";
import { PROTOCOL_VIOLATION } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { MAX_CHAIN_LENGTH } from "../protocol/limits.ts";
import { alert, Decoder, encode, type Encoder } from "./codec.ts";
import {
  EXTENSION,
  IN_CERTIFICATE,
  IN_CERTIFICATE_REQUEST,
  IN_ENCRYPTED_EXTENSIONS,
  IN_HELLO_RETRY_REQUEST,
  IN_NEW_SESSION_TICKET,
  IN_SERVER_HELLO,
  readExtension,
  readExtensions,
  writeExtensions,
  type Extension,
  type Extensions,
} from "./extensions.ts";
import { certificateStatusExtension, readCertificateStatus } from "./ocsp.ts";

/** rfc8446#4 */
export const HANDSHAKE_TYPE = {
  client_hello: 1,
  server_hello: 2,
  new_session_ticket: 4,
  end_of_early_data: 5,
  encrypted_extensions: 8,
  certificate: 11,
  certificate_request: 13,
  certificate_verify: 15,
  finished: 20,
  key_update: 24,
  message_hash: 254,
} as const;

/** The name of a message type, for errors. */
export function handshakeTypeName(type: number): string {
  const known = Object.entries(HANDSHAKE_TYPE).find(([, value]) => value === type);
  return known === undefined ? `message ${type}` : known[0];
}

export const TLS13 = 0x0304;
/** What TLS 1.3 puts where older versions had their version. */
export const LEGACY_VERSION = 0x0303;

/** rfc8446#4.1.3 SHA-256 of "HelloRetryRequest": the random that makes a ServerHello one. */
const RETRY_RANDOM = fromHex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c");

/** A handshake message with its header. */
export function message(type: number, write: (out: Encoder) => void): Uint8Array {
  return encode((out) => {
    out.u8(type);
    out.vector(3, () => write(out));
  });
}

// ServerHello and HelloRetryRequest, rfc8446#4.1.3, rfc8446#4.1.4

export interface ServerHello {
  readonly retry: boolean;
  readonly suite: number;
  /** The server's share, or null (then it is a retry, or a handshake without one). */
  readonly keyShare: { readonly group: number; readonly key: Uint8Array } | null;
  /** HelloRetryRequest: the group to come back with. */
  readonly selectedGroup: number | null;
  readonly cookie: Uint8Array | null;
  /** Index of the PSK the server took, null for none. */
  readonly selectedPsk: number | null;
  readonly extensions: Extensions;
}

const SUPPORTED_VERSION: Extension = {
  type: EXTENSION.supported_versions,
  data: Uint8Array.of(TLS13 >> 8, TLS13 & 255),
};

function encodeHello(random: Uint8Array, suite: number, extensions: readonly Extension[]): Uint8Array {
  return message(HANDSHAKE_TYPE.server_hello, (out) => {
    out.u16(LEGACY_VERSION);
    out.bytes(random);
    // The echo of the client's empty session ID: rfc9001#8.4.
    out.opaque(1, new Uint8Array(0));
    out.u16(suite);
    out.u8(0);
    writeExtensions(out, [SUPPORTED_VERSION, ...extensions]);
  });
}

/** `share` null: a PSK without key agreement. `psk`: the extension that says which was taken. */
export function encodeServerHello(
  random: Uint8Array,
  suite: number,
  share: { readonly group: number; readonly key: Uint8Array } | null,
  psk: Extension | null = null,
): Uint8Array {
  const extensions: Extension[] = [];
  if (share !== null) {
    const data = encode((out) => {
      out.u16(share.group);
      out.opaque(2, share.key);
    });
    extensions.push({ type: EXTENSION.key_share, data });
  }
  if (psk !== null) extensions.push(psk);
  return encodeHello(random, suite, extensions);
}

export function encodeHelloRetryRequest(suite: number, group: number): Uint8Array {
  const data = encode((out) => out.u16(group));
  return encodeHello(RETRY_RANDOM, suite, [{ type: EXTENSION.key_share, data }]);
}

/** `offered` are the extension types of our ClientHello. */
export function decodeServerHello(body: Uint8Array, offered: ReadonlySet<number>): ServerHello {
  const from = new Decoder(body, "ServerHello");
  const legacyVersion = from.u16();
  const random = from.bytes(32);
  // rfc8446#4.1.3 implementations MUST first examine the Random value.
  const retry = bytesEqual(random, RETRY_RANDOM);
  const what = retry ? "HelloRetryRequest" : "ServerHello";
  const sessionId = from.opaque(1, 0, 32);
  const suite = from.u16();
  const compression = from.u8();
  if (from.remaining === 0) throw alert("protocol_version", "the server chose an older version of TLS");
  // A ServerHello of TLS 1.2 may carry extensions that 1.3 has elsewhere, so the version comes before they are judged.
  if (!hasSupportedVersions(from.peek())) {
    throw alert("protocol_version", "the server chose an older version of TLS");
  }
  const extensions = readExtensions(from, retry ? IN_HELLO_RETRY_REQUEST : IN_SERVER_HELLO, what, offered);
  from.end();
  const version = readExtension(extensions, EXTENSION.supported_versions, `${what} version`, (data) =>
    data.u16(),
  );
  // rfc8446#4.2.1 a version not offered by the client or prior to TLS 1.3: MUST abort with "illegal_parameter".
  if (version !== TLS13) throw alert("illegal_parameter", `${what} selects a version we did not offer`);
  // rfc9846#4.1.3 a legacy_version value not equal to 0x0303: MUST abort with a "protocol_version" alert.
  if (legacyVersion !== LEGACY_VERSION)
    throw alert("protocol_version", `${what} with a wrong legacy_version`);
  // rfc8446#4.1.3 a legacy_session_id_echo that does not match what it sent: MUST abort with "illegal_parameter".
  if (sessionId.length > 0) throw alert("illegal_parameter", `${what} echoes a session ID we did not send`);
  // rfc8446#4.1.3 legacy_compression_method: a single byte which MUST have the value 0.
  if (compression !== 0) throw alert("illegal_parameter", `${what} selects compression`);
  if (retry) {
    const selectedGroup = readExtension(extensions, EXTENSION.key_share, `${what} key_share`, (data) =>
      data.u16(),
    );
    const cookie = readExtension(extensions, EXTENSION.cookie, `${what} cookie`, (data) => data.opaque(2, 1));
    return { retry, suite, keyShare: null, selectedGroup, cookie, selectedPsk: null, extensions };
  }
  const keyShare = readExtension(extensions, EXTENSION.key_share, `${what} key_share`, (data) => ({
    group: data.u16(),
    key: data.opaque(2, 1),
  }));
  const selectedPsk = readExtension(extensions, EXTENSION.pre_shared_key, `${what} pre_shared_key`, (data) =>
    data.u16(),
  );
  return { retry, suite, keyShare, selectedGroup: null, cookie: null, selectedPsk, extensions };
}

/** Looks through the block (which is then read properly) for the extension that says it is TLS 1.3. */
function hasSupportedVersions(from: Decoder): boolean {
  const block = from.vector(2, 0);
  while (block.remaining > 0) {
    const type = block.u16();
    block.opaque(2, 0);
    if (type === EXTENSION.supported_versions) return true;
  }
  return false;
}

// EncryptedExtensions, rfc8446#4.3.1

export function encodeEncryptedExtensions(extensions: readonly Extension[]): Uint8Array {
  return message(HANDSHAKE_TYPE.encrypted_extensions, (out) => writeExtensions(out, extensions));
}

export function decodeEncryptedExtensions(body: Uint8Array, offered: ReadonlySet<number>): Extensions {
  const what = "EncryptedExtensions";
  const from = new Decoder(body, what);
  const extensions = readExtensions(from, IN_ENCRYPTED_EXTENSIONS, what, offered);
  from.end();
  return extensions;
}

// CertificateRequest, rfc8446#4.3.2

export interface CertificateRequest {
  readonly signatureSchemes: readonly number[];
  readonly extensions: Extensions;
}

export function encodeCertificateRequest(extensions: readonly Extension[]): Uint8Array {
  return message(HANDSHAKE_TYPE.certificate_request, (out) => {
    // rfc8446#4.3.2 this field SHALL be zero length unless used for post-handshake authentication.
    out.opaque(1, new Uint8Array(0));
    writeExtensions(out, extensions);
  });
}

export function decodeCertificateRequest(body: Uint8Array): CertificateRequest {
  const what = "CertificateRequest";
  const from = new Decoder(body, what);
  const context = from.opaque(1, 0);
  const extensions = readExtensions(from, IN_CERTIFICATE_REQUEST, what);
  from.end();
  if (context.length > 0) throw alert("illegal_parameter", `${what} with a context during the handshake`);
  const signatureSchemes = readExtension(extensions, EXTENSION.signature_algorithms, what, (data) =>
    data.u16s(2),
  );
  // rfc8446#4.3.2 the "signature_algorithms" extension MUST be specified.
  if (signatureSchemes === null) throw alert("missing_extension", `${what} without signature_algorithms`);
  return { signatureSchemes, extensions };
}

// Certificate, rfc8446#4.4.2

/** @param ocspResponse stapled to the leaf. */
export function encodeCertificate(
  chain: readonly Uint8Array[],
  ocspResponse: Uint8Array | null = null,
): Uint8Array {
  return message(HANDSHAKE_TYPE.certificate, (out) => {
    out.opaque(1, new Uint8Array(0));
    out.vector(3, () => {
      chain.forEach((certificate, i) => {
        out.opaque(3, certificate);
        writeExtensions(
          out,
          i === 0 && ocspResponse !== null ? [certificateStatusExtension(ocspResponse)] : [],
        );
      });
    });
  });
}

export interface CertificateMessage {
  /** As it came, leaf first, perhaps empty. */
  readonly chain: Uint8Array[];
  /** DER, of the leaf; those of other certificates are not kept. */
  readonly ocspResponse: Uint8Array | null;
}

/** `offered`: what we asked for in ClientHello or CertificateRequest. */
export function decodeCertificate(body: Uint8Array, offered: ReadonlySet<number>): CertificateMessage {
  const what = "Certificate";
  const from = new Decoder(body, what);
  const context = from.opaque(1, 0);
  const list = from.vector(3, 0);
  from.end();
  const chain: Uint8Array[] = [];
  let ocspResponse: Uint8Array | null = null;
  while (list.remaining > 0) {
    chain.push(list.opaque(3, 1));
    const status = readCertificateStatus(readExtensions(list, IN_CERTIFICATE, what, offered), what);
    if (chain.length === 1) ocspResponse = status;
  }
  // rfc8446#4.4.2 in the case of server authentication, this field SHALL be zero length; a client's is the echo of
  // our CertificateRequest's, which is empty too.
  if (context.length > 0) throw alert("illegal_parameter", `${what} with a context during the handshake`);
  if (chain.length > MAX_CHAIN_LENGTH) throw alert("bad_certificate", "the certificate chain is too long");
  return { chain, ocspResponse };
}

// CertificateVerify, rfc8446#4.4.3

export interface CertificateVerify {
  readonly scheme: number;
  readonly signature: Uint8Array;
}

export function encodeCertificateVerify(scheme: number, signature: Uint8Array): Uint8Array {
  return message(HANDSHAKE_TYPE.certificate_verify, (out) => {
    out.u16(scheme);
    out.opaque(2, signature);
  });
}

export function decodeCertificateVerify(body: Uint8Array): CertificateVerify {
  const from = new Decoder(body, "CertificateVerify");
  const scheme = from.u16();
  const signature = from.opaque(2, 0);
  from.end();
  return { scheme, signature };
}

// Finished, rfc8446#4.4.4

export function encodeFinished(verifyData: Uint8Array): Uint8Array {
  return message(HANDSHAKE_TYPE.finished, (out) => out.bytes(verifyData));
}

export function decodeFinished(body: Uint8Array, hashLength: number): Uint8Array {
  const from = new Decoder(body, "Finished");
  const verifyData = from.bytes(hashLength);
  from.end();
  return verifyData;
}

// NewSessionTicket, rfc8446#4.6.1

export interface NewSessionTicket {
  /** Seconds. */
  readonly lifetime: number;
  readonly ageAdd: number;
  readonly nonce: Uint8Array;
  readonly ticket: Uint8Array;
  /** The server takes 0-RTT with it. */
  readonly earlyData: boolean;
}

/** rfc9001#4.6.1 the one max_early_data_size of QUIC: transport parameters say how much. */
const MAX_EARLY_DATA_SIZE = 0xffffffff;

export function encodeNewSessionTicket(ticket: NewSessionTicket): Uint8Array {
  return message(HANDSHAKE_TYPE.new_session_ticket, (out) => {
    out.u32(ticket.lifetime);
    out.u32(ticket.ageAdd);
    out.opaque(1, ticket.nonce);
    out.opaque(2, ticket.ticket);
    // rfc9001#4.6.1 Servers MUST NOT send the early_data extension with a max_early_data_size field set to any value
    // other than 0xffffffff.
    const data = encode((extension) => extension.u32(MAX_EARLY_DATA_SIZE));
    writeExtensions(out, ticket.earlyData ? [{ type: EXTENSION.early_data, data }] : []);
  });
}

export function decodeNewSessionTicket(body: Uint8Array): NewSessionTicket {
  const what = "NewSessionTicket";
  const from = new Decoder(body, what);
  const lifetime = from.u32();
  const ageAdd = from.u32();
  const nonce = from.opaque(1, 0);
  const ticket = from.opaque(2, 1);
  // rfc8446#4.6.1 Clients MUST ignore unrecognized extensions.
  const extensions = readExtensions(from, IN_NEW_SESSION_TICKET, what);
  from.end();
  const maxEarlyData = readExtension(extensions, EXTENSION.early_data, what, (data) => data.u32());
  // rfc9001#4.6.1 a client MUST treat receipt of a NewSessionTicket that contains an early_data extension with any
  // other value (than 0xffffffff) as a connection error of type PROTOCOL_VIOLATION.
  if (maxEarlyData !== null && maxEarlyData !== MAX_EARLY_DATA_SIZE) {
    throw new TransportError(
      PROTOCOL_VIOLATION,
      `${what} with a max_early_data_size that QUIC does not have`,
      {
        frameType: 0x06,
      },
    );
  }
  return { lifetime, ageAdd, nonce, ticket, earlyData: maxEarlyData !== null };
}
