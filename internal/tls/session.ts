// What a client keeps of a connection to resume it, and its bytes. rfc8446#4.6.1, rfc9001#4.5

import { fromUtf8, utf8 } from "../protocol/bytes.ts";
import { TlsAlertError } from "../protocol/errors.ts";
import { MAX_CHAIN_LENGTH } from "../protocol/limits.ts";
import { Decoder, encode } from "./codec.ts";

/** TLS's part. */
export interface TlsSession {
  /** Cipher suite of the connection: rfc8446#4.6.1 only suites with its hash resume it, 0-RTT needs the very same. */
  readonly suite: number;
  readonly alpn: string;
  readonly serverName: string | null;
  /** The pre-shared key. A secret. */
  readonly secret: Uint8Array;
  readonly ticket: Uint8Array;
  readonly ageAdd: number;
  /** Seconds. */
  readonly lifetime: number;
  /** Unix ms at which the ticket came. */
  readonly received: number;
  /** The server takes 0-RTT with it. */
  readonly earlyData: boolean;
  /** The server's certificates, leaf first; none where an external PSK authenticated it. */
  readonly chain: readonly Uint8Array[];
}

/** With what QUIC and the application remember. */
export interface ClientSession extends TlsSession {
  readonly quicVersion: number;
  /** rfc9000#7.4.1 the server's, encoded: those that are remembered. */
  readonly transportParameters: Uint8Array;
  readonly applicationData: Uint8Array;
}

/** Of the encoding: what another version wrote is not understood, and that session just not resumed. */
const FORMAT = 1;

/** As bytes, which are a secret like the key in them. */
export function encodeSession(session: ClientSession): Uint8Array {
  return encode((out) => {
    out.u8(FORMAT);
    out.u32(session.quicVersion);
    out.u16(session.suite);
    out.opaque(1, utf8(session.alpn));
    out.u8(session.serverName === null ? 0 : 1);
    out.opaque(2, utf8(session.serverName ?? ""));
    out.opaque(1, session.secret);
    out.opaque(2, session.ticket);
    out.u32(session.ageAdd);
    out.u32(session.lifetime);
    out.time(session.received);
    out.u8(session.earlyData ? 1 : 0);
    out.opaque(2, session.transportParameters);
    out.opaque(2, session.applicationData);
    out.vector(3, () => session.chain.forEach((certificate) => out.opaque(3, certificate)));
  });
}

/** null for bytes that are not a session of this format. */
export function decodeSession(bytes: Uint8Array): ClientSession | null {
  try {
    const from = new Decoder(bytes, "session");
    if (from.u8() !== FORMAT) return null;
    const quicVersion = from.u32();
    const suite = from.u16();
    const alpn = fromUtf8(from.opaque(1, 1));
    const named = from.u8() === 1;
    const name = fromUtf8(from.opaque(2, 0));
    const session = {
      quicVersion,
      suite,
      alpn,
      serverName: named ? name : null,
      secret: from.opaque(1, 32).slice(),
      ticket: from.opaque(2, 1).slice(),
      ageAdd: from.u32(),
      lifetime: from.u32(),
      received: from.time(),
      earlyData: from.u8() === 1,
      transportParameters: from.opaque(2, 0).slice(),
      applicationData: from.opaque(2, 0).slice(),
    };
    const chain = from.certificates(MAX_CHAIN_LENGTH);
    from.end();
    return { ...session, chain };
  } catch (error) {
    if (error instanceof TlsAlertError) return null;
    throw error;
  }
}
