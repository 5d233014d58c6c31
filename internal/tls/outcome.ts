// What a handshake came to. The machine that drove it holds messages, hashes and buffers which an idle connection need
// not carry along.

import type { GroupName } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { QuicError } from "../protocol/errors.ts";
import type { EarlyDataRefusal } from "./early-data.ts";
import type { Exporter } from "./key-schedule.ts";

/** What was negotiated, and with whom. */
export interface TlsResult {
  /** Both Finished messages are through: the peer is who it says, and the parameters are what it sent. */
  readonly complete: boolean;
  /** What was negotiated; null until then. */
  readonly alpn: string | null;
  readonly suite: CipherSuite | null;
  readonly group: GroupName | null;
  /** DER, leaf first; empty where the peer has not authenticated. */
  readonly peerChain: readonly Uint8Array[];
  /** What the server stapled to its certificate, DER; null where nothing was asked for, or given, or a session resumed. */
  readonly ocspResponse: Uint8Array | null;
  /** What we authenticated with, leaf first; empty where we did not, or not by a certificate. */
  readonly localChain: readonly Uint8Array[];
  /** Why the peer's chain is not trusted, where the application said to go on regardless. */
  readonly peerVerifyError: string | null;
  /** A session goes on: by its ticket, not by certificates sent now. */
  readonly resumed: boolean;
  /** What became of 0-RTT. */
  readonly earlyData: "none" | "offered" | "accepted" | "rejected";
  /** Server: why it refused 0-RTT; null where it did not. */
  readonly earlyDataRefusal: EarlyDataRefusal | null;
  /** What the application had remembered with the session that is resumed. */
  readonly applicationData: Uint8Array | null;
  /** The name the client asked for (SNI at a server, the name verified at a client). */
  readonly serverName: string | null;
  /** TLS-Exporter, rfc8446#7.5. Only once the handshake is complete. */
  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array;
  /** Zeroes all secrets. Idempotent. */
  dispose(): void;
}

/** @throws {QuicError} ERR_QUIC_INVALID_STATE without an exporter: before the handshake is complete, after the end. */
export function exportFrom(
  exporter: Exporter | null,
  label: string,
  context: Uint8Array,
  length: number,
): Uint8Array {
  if (exporter === null) {
    throw new QuicError("ERR_QUIC_INVALID_STATE", "keying material can be exported while connected");
  }
  return exporter.export(label, context, length);
}

/** A result on its own. */
export class TlsOutcome implements TlsResult {
  readonly complete: boolean;
  readonly alpn: string | null;
  readonly suite: CipherSuite | null;
  readonly group: GroupName | null;
  readonly peerChain: readonly Uint8Array[];
  readonly ocspResponse: Uint8Array | null;
  readonly localChain: readonly Uint8Array[];
  readonly peerVerifyError: string | null;
  readonly resumed: boolean;
  readonly earlyData: TlsResult["earlyData"];
  readonly earlyDataRefusal: EarlyDataRefusal | null;
  readonly applicationData: Uint8Array | null;
  readonly serverName: string | null;
  #exporter: Exporter | null;

  constructor(result: TlsResult, exporter: Exporter | null) {
    this.complete = result.complete;
    this.alpn = result.alpn;
    this.suite = result.suite;
    this.group = result.group;
    this.peerChain = result.peerChain;
    this.ocspResponse = result.ocspResponse;
    this.localChain = result.localChain;
    this.peerVerifyError = result.peerVerifyError;
    this.resumed = result.resumed;
    this.earlyData = result.earlyData;
    this.earlyDataRefusal = result.earlyDataRefusal;
    this.applicationData = result.applicationData;
    this.serverName = result.serverName;
    this.#exporter = exporter;
  }

  exportKeyingMaterial(label: string, context: Uint8Array, length: number): Uint8Array {
    return exportFrom(this.#exporter, label, context, length);
  }

  dispose(): void {
    this.#exporter?.dispose();
    this.#exporter = null;
  }
}
