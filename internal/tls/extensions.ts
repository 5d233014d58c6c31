// Extension blocks, rfc8446#4.2, and which extension may stand in which message.

import { alert, Decoder, type Encoder } from "./codec.ts";

/** Extension types: those we speak, and those we know enough about to say where they may stand. */
export const EXTENSION = {
  server_name: 0,
  status_request: 5,
  supported_groups: 10,
  signature_algorithms: 13,
  use_srtp: 14,
  heartbeat: 15,
  application_layer_protocol_negotiation: 16,
  signed_certificate_timestamp: 18,
  client_certificate_type: 19,
  server_certificate_type: 20,
  padding: 21,
  compress_certificate: 27,
  record_size_limit: 28,
  delegated_credential: 34,
  pre_shared_key: 41,
  early_data: 42,
  supported_versions: 43,
  cookie: 44,
  psk_key_exchange_modes: 45,
  certificate_authorities: 47,
  oid_filters: 48,
  post_handshake_auth: 49,
  signature_algorithms_cert: 50,
  key_share: 51,
  /** rfc9001#8.2 */
  quic_transport_parameters: 57,
  encrypted_client_hello: 0xfe0d,
} as const;

/** A message that carries extensions; one bit each. */
export const IN_CLIENT_HELLO = 1;
export const IN_SERVER_HELLO = 2;
export const IN_HELLO_RETRY_REQUEST = 4;
export const IN_ENCRYPTED_EXTENSIONS = 8;
export const IN_CERTIFICATE = 16;
export const IN_CERTIFICATE_REQUEST = 32;
export const IN_NEW_SESSION_TICKET = 64;

const CH = IN_CLIENT_HELLO;
const SH = IN_SERVER_HELLO;
const HRR = IN_HELLO_RETRY_REQUEST;
const EE = IN_ENCRYPTED_EXTENSIONS;
const CT = IN_CERTIFICATE;
const CR = IN_CERTIFICATE_REQUEST;
const NST = IN_NEW_SESSION_TICKET;

/** The table of rfc9846#4.2 (which is rfc8446's, brought up to date). */
const ALLOWED: ReadonlyMap<number, number> = new Map([
  [EXTENSION.server_name, CH | EE | CR],
  [EXTENSION.status_request, CH | CR | CT],
  [EXTENSION.supported_groups, CH | EE],
  [EXTENSION.signature_algorithms, CH | CR],
  [EXTENSION.use_srtp, CH | EE],
  [EXTENSION.heartbeat, CH | EE],
  [EXTENSION.application_layer_protocol_negotiation, CH | EE],
  [EXTENSION.signed_certificate_timestamp, CH | CR | CT],
  [EXTENSION.client_certificate_type, CH | EE],
  [EXTENSION.server_certificate_type, CH | EE],
  [EXTENSION.padding, CH],
  [EXTENSION.compress_certificate, CH | CR],
  [EXTENSION.record_size_limit, CH | EE],
  [EXTENSION.delegated_credential, CH | CR | CT],
  [EXTENSION.pre_shared_key, CH | SH],
  [EXTENSION.early_data, CH | EE | NST],
  [EXTENSION.supported_versions, CH | SH | HRR],
  [EXTENSION.cookie, CH | HRR],
  [EXTENSION.psk_key_exchange_modes, CH],
  [EXTENSION.certificate_authorities, CH | CR],
  [EXTENSION.oid_filters, CR],
  [EXTENSION.post_handshake_auth, CH],
  [EXTENSION.signature_algorithms_cert, CH | CR],
  [EXTENSION.key_share, CH | SH | HRR],
  [EXTENSION.quic_transport_parameters, CH | EE],
  [EXTENSION.encrypted_client_hello, CH | HRR | EE],
]);

/** One extension as it goes on the wire. */
export interface Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** A block of extensions: data by type, in the order of the wire. */
export type Extensions = ReadonlyMap<number, Uint8Array>;

/**
 * Reads `Extension extensions<0..2^16-1>` of a message.
 * With `offered` (the block answers one of ours), what we did not ask for is refused.
 */
export function readExtensions(
  from: Decoder,
  message: number,
  what: string,
  offered: ReadonlySet<number> | null = null,
): Extensions {
  const block = from.vector(2, 0);
  const extensions = new Map<number, Uint8Array>();
  while (block.remaining > 0) {
    const type = block.u16();
    const data = block.opaque(2, 0);
    // rfc8446#4.2 there MUST NOT be more than one extension of the same type in a given extension block
    if (extensions.has(type)) throw alert("illegal_parameter", `${what}: extension ${type} twice`);
    const allowed = ALLOWED.get(type);
    // rfc8446#4.2 an extension which it recognizes and which is not specified for the message in which it appears:
    // it MUST abort the handshake with an "illegal_parameter" alert
    if (allowed !== undefined && (allowed & message) === 0) {
      throw alert("illegal_parameter", `${what}: extension ${type} does not belong here`);
    }
    // rfc8446#4.2 upon receiving such an extension (a response without a request), an endpoint MUST abort the
    // handshake with an "unsupported_extension" alert; the cookie of a HelloRetryRequest is the exception
    const unasked = message === HRR && type === EXTENSION.cookie;
    if (offered !== null && !offered.has(type) && !unasked) {
      throw alert("unsupported_extension", `${what}: extension ${type} was not asked for`);
    }
    extensions.set(type, data);
  }
  return extensions;
}

export function writeExtensions(out: Encoder, extensions: readonly Extension[]): void {
  out.vector(2, () => {
    for (const { type, data } of extensions) {
      out.u16(type);
      out.opaque(2, data);
    }
  });
}

/** Reads the whole of one extension's data with `read`; null where it is absent. */
export function readExtension<T>(
  extensions: Extensions,
  type: number,
  what: string,
  read: (data: Decoder) => T,
): T | null {
  const data = extensions.get(type);
  if (data === undefined) return null;
  const decoder = new Decoder(data, what);
  const value = read(decoder);
  decoder.end();
  return value;
}
