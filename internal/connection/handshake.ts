// TLS and QUIC meet here: rfc9001#4. Secrets become keys, CRYPTO bytes flow both ways, transport parameters are
// checked against the connection IDs that were seen on the wire, and keys go when they are no longer needed.

import { bytesEqual, toHex } from "../protocol/bytes.ts";
import {
  APPLICATION,
  HANDSHAKE,
  INITIAL,
  PROTOCOL_VIOLATION,
  TRANSPORT_PARAMETER_ERROR,
  ZERO_RTT,
  type Level,
  type Space,
} from "../protocol/constants.ts";
import { TlsAlertError, TransportError } from "../protocol/errors.ts";
import { DISCARDED_RECEIVED } from "../recovery/received-packets.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import type { ClientSession, TlsSession } from "../tls/session.ts";
import type { TlsOutcome, TlsResult } from "../tls/outcome.ts";
import type { PendingAnswer, PendingRequest, TlsSink } from "../tls/types.ts";
import type { TlsClient } from "../tls/client.ts";
import type { TlsServer } from "../tls/server.ts";
import {
  decodeTransportParameters,
  keptParameters,
  type TransportParameters,
} from "../wire/transport-parameters.ts";
import type { Core } from "./core.ts";
import { encodeRemembered, loweredLimit } from "./remembered.ts";
import { TIMER_EARLY_KEYS, TIMER_HANDSHAKE } from "./timers.ts";

/** The connection IDs that the peer's transport parameters must confirm, rfc9000#7.3. */
export interface SeenCids {
  /** DCID of the client's first Initial. */
  original: Uint8Array;
  /** SCID of the peer's first packet; null until it came. */
  peerInitialScid: Uint8Array | null;
  /** SCID of the Retry packet, null without one. */
  retryScid: Uint8Array | null;
}

/** Drives TLS and applies what comes of it. */
export class HandshakeDriver implements TlsSink {
  readonly #core: Core;
  readonly #seen: SeenCids;
  /** Drives the handshake; a server's is null again when it is complete: its client has nothing more to say. */
  #tls: TlsClient | TlsServer | null = null;
  #outcome: TlsOutcome | null = null;
  /** Client: what it tries to resume. */
  session: ClientSession | null = null;
  /** Client: the limits of 0-RTT; null where it is not tried. */
  remembered: TransportParameters | null = null;
  /** New keys may open packets that had to wait. */
  keysChanged = false;

  constructor(core: Core, seen: SeenCids) {
    this.#core = core;
    this.#seen = seen;
  }

  attach(tls: TlsClient | TlsServer): void {
    this.#tls = tls;
  }

  get tls(): TlsResult {
    return (this.#tls ?? this.#outcome)!;
  }

  /** Hands TLS what is contiguous at `level`. */
  onCrypto(level: Space, wallNow: number): void {
    const crypto = this.#core.crypto;
    for (;;) {
      const bytes = crypto.read(level);
      if (bytes === null) return;
      const tls = this.#tls;
      // rfc9001#6 no KeyUpdate, and rfc8446#4.6 has no other message for a client to send.
      if (tls === null) throw new TlsAlertError("unexpected_message", "a message after the handshake");
      tls.receive(level, bytes, wallNow);
      this.#forgetMachine(tls);
    }
  }

  #forgetMachine(tls: TlsClient | TlsServer): void {
    if (!tls.complete || this.#core.role === "client") return;
    this.#outcome = tls.outcome();
    this.#tls = null;
  }

  waitsFor(id: number): boolean {
    return this.#tls?.waitsFor(id) === true;
  }

  provide(id: number, answer: PendingAnswer, wallNow: number): void {
    const tls = this.#tls;
    if (tls === null) return;
    tls.provide(id, answer, wallNow);
    this.#forgetMachine(tls);
  }

  // What TLS asks for.

  sendCrypto(level: Level, bytes: Uint8Array): void {
    // rfc9001#4.9 Though an endpoint might retain older keys, new data MUST be sent at the highest currently
    // available encryption level.
    this.#core.crypto.send(level as Space, bytes);
    this.#core.wake();
  }

  installSecrets(level: Level, suite: CipherSuite, read: Uint8Array | null, write: Uint8Array | null): void {
    const core = this.#core;
    const early = !core.handshakeComplete && write !== null;
    // rfc9001#4.9.3 a client SHOULD discard 0-RTT keys as soon as it installs 1-RTT keys.
    // rfc9000#17.2.3 A client MUST NOT send 0-RTT packets once it starts processing 1-RTT packets from the server.
    if (level === APPLICATION && early && core.role === "client") this.#endEarly();
    core.protection.install(level, suite, read, write);
    if (read !== null) this.keysChanged = true;
    if (level === ZERO_RTT && early) this.#startEarly();
    // rfc9001#5.7 a server can send before the handshake is complete.
    if (level === APPLICATION && early && core.role === "server") core.events.push({ type: "early_ready" });
    if (level === HANDSHAKE) {
      core.recovery.timer.setHandshakeKeys(true);
      if (core.tracer !== null && write !== null) {
        core.tracer.record({ name: "connection_state_updated", time: core.now, state: "handshake_started" });
      }
    }
    if (core.tracer !== null) {
      const common = { name: "key_updated", time: core.now, level, phase: 0, trigger: "tls" } as const;
      if (read !== null) core.tracer.record({ ...common, owner: "remote" });
      if (write !== null) core.tracer.record({ ...common, owner: "local" });
    }
    core.wake();
  }

  /** rfc9000#7.4.1 The values of stored transport parameters are used when attempting 0-RTT. */
  #startEarly(): void {
    const core = this.#core;
    core.streams.setPeerParameters(this.remembered!);
    core.datagrams.peerLimit = this.remembered!.maxDatagramFrameSize;
    core.setMaxUdpPayload(this.remembered!.maxUdpPayloadSize);
    core.events.push({ type: "early_ready" });
    if (core.tracer === null) return;
    core.tracer.record({ name: "connection_state_updated", time: core.now, state: "early_write" });
    const parameters = traceParameters(this.remembered!);
    core.tracer.record({ name: "parameters_restored", time: core.now, parameters });
  }

  /** Client: 1-RTT begins. */
  #endEarly(): void {
    const core = this.#core;
    this.discardEarly();
    // rfc9000#7.4.1 Once the handshake completes, the client updates the flow control limits on all sending streams.
    if (core.peerParameters === null) return;
    core.streams.setPeerParameters(core.peerParameters);
    core.datagrams.peerLimit = core.peerParameters.maxDatagramFrameSize;
  }

  /** Server: 0-RTT has been refused, or there is none: packets of it are not worth keeping. */
  get refusesEarlyData(): boolean {
    const { protection } = this.#core;
    return (
      this.tls.earlyData === "rejected" || protection.canOpen(HANDSHAKE) || protection.wasDiscarded(HANDSHAKE)
    );
  }

  peerTransportParameters(bytes: Uint8Array): void {
    const core = this.#core;
    // rfc9000#7.4.1 The client MUST use the server's new values in the handshake instead; if the server does not provide
    // new values, the default values are used.
    const peer = keptParameters(
      decodeTransportParameters(bytes, core.role === "client" ? "server" : "client"),
    );
    this.#checkCids(peer);
    // rfc9368#4 Both endpoints MUST parse their peer's Version Information during the handshake.
    const { versions } = core;
    if (versions.onPeer(peer.versionInformation)) core.protection.switchVersion(versions.current);
    core.peerParameters = peer;
    if (core.tracer !== null) {
      core.tracer.record({
        name: "parameters_set",
        time: core.now,
        owner: "remote",
        parameters: traceParameters(peer),
      });
      core.tracer.record({
        name: "version_information",
        time: core.now,
        ours: versions.available,
        theirs: peer.versionInformation?.available ?? [],
        chosen: versions.current,
      });
    }
    applyPeerParameters(core, peer);
    if (core.role === "client" && this.tls.earlyData === "accepted") {
      const lowered = loweredLimit(this.remembered!, peer);
      // rfc9000#7.4.1 a server that accepts 0-RTT data MUST NOT set values … that are smaller than the remembered values.
      if (lowered !== null) {
        throw new TransportError(PROTOCOL_VIOLATION, `the server took 0-RTT and lowered ${lowered}`);
      }
      // rfc9000#7.4.1 When sending frames in 0-RTT packets, a client MUST only use remembered transport parameters: the new
      // limits count with the 1-RTT keys.
      return;
    }
    core.streams.setPeerParameters(peer);
    core.datagrams.peerLimit = peer.maxDatagramFrameSize;
  }

  /**
   * rfc9000#7.3 an endpoint MUST treat the absence of the initial_source_connection_id, or a mismatch with what was
   * on the wire, as a connection error of type TRANSPORT_PARAMETER_ERROR or PROTOCOL_VIOLATION.
   */
  #checkCids(peer: TransportParameters): void {
    // rfc9000#7.3 Endpoints MUST validate that received transport parameters match received connection ID values.
    // rfc9000#7.3 The values provided by a peer for these transport parameters MUST match the values that an endpoint
    // used in the Destination and Source Connection ID fields of …
    const seen = this.#seen;
    const scid = peer.initialSourceConnectionId;
    if (scid === undefined) throw parameterError("initial_source_connection_id is missing");
    if (seen.peerInitialScid === null || !bytesEqual(scid, seen.peerInitialScid)) {
      throw parameterError("initial_source_connection_id does not match the packets");
    }
    if (this.#core.role === "server") return;
    const odcid = peer.originalDestinationConnectionId;
    if (odcid === undefined) throw parameterError("original_destination_connection_id is missing");
    if (!bytesEqual(odcid, seen.original)) {
      throw parameterError("original_destination_connection_id does not match our first packet");
    }
    const retry = peer.retrySourceConnectionId;
    if (seen.retryScid === null) {
      // rfc9000#7.3 presence of the retry_source_connection_id when no Retry packet was received
      if (retry !== undefined) throw parameterError("retry_source_connection_id without a Retry packet");
    } else if (retry === undefined || !bytesEqual(retry, seen.retryScid)) {
      // rfc9000#7.3 absence of the retry_source_connection_id from the server after receiving a Retry packet
      throw parameterError("retry_source_connection_id does not match the Retry packet");
    }
  }

  pending(request: PendingRequest): void {
    this.#core.events.push({ type: "pending", request });
  }

  handshakeComplete(): void {
    const core = this.#core;
    // rfc9001#8.2 endpoints MUST send the quic_transport_parameters extension (TLS has checked that it came).
    if (core.peerParameters === null) throw new TransportError(PROTOCOL_VIOLATION, "no transport parameters");
    core.handshakeComplete = true;
    core.timers.clear(TIMER_HANDSHAKE);
    core.idle.armKeepAlive(core.now);
    core.stats.handshakeDuration = core.now - core.stats.handshakeStart;
    core.events.push({ type: "handshake_complete" });
    if (core.tracer !== null) {
      core.tracer.record({ name: "connection_state_updated", time: core.now, state: "handshake_complete" });
      const alpn = this.tls.alpn;
      if (alpn !== null) core.tracer.record({ name: "alpn_information", time: core.now, chosen: alpn });
    }
    // rfc9001#4.1.2 at the server, the handshake is confirmed when it completes; it MUST send HANDSHAKE_DONE.
    if (core.role === "server") {
      // rfc9001#4.9.3 After receiving a 1-RTT packet, servers MUST discard 0-RTT keys within a short time; the
      // RECOMMENDED time period is three times the Probe Timeout. 1-RTT packets are opened from now on.
      if (core.protection.canOpen(ZERO_RTT)) {
        core.timers.set(TIMER_EARLY_KEYS, core.now + 3 * core.recovery.timer.pto(APPLICATION));
      }
      // rfc9000#19.20 Servers MUST NOT send a HANDSHAKE_DONE frame before completing the handshake.
      // rfc9001#4.1.2 The server MUST send a HANDSHAKE_DONE frame as soon as the handshake is complete.
      core.control.queueHandshakeDone();
      core.giveToken();
      this.confirm();
    }
    core.localCids.retireOriginal(core.now);
    core.localCids.issue(core.now);
    core.wake();
  }

  /** rfc9001#4.1.2 at the client, the handshake is confirmed when a HANDSHAKE_DONE frame is received. */
  confirm(): void {
    const core = this.#core;
    if (core.handshakeConfirmed) return;
    core.handshakeConfirmed = true;
    core.recovery.timer.setHandshakeConfirmed(core.now);
    core.events.push({ type: "handshake_confirmed" });
    if (core.tracer !== null) {
      core.tracer.record({ name: "connection_state_updated", time: core.now, state: "handshake_confirmed" });
    }
    // rfc9001#4.9.2 an endpoint MUST discard its Handshake keys when the TLS handshake is confirmed.
    this.discard(HANDSHAKE);
    core.migration.onConfirmed();
  }

  keyLog(label: string, clientRandom: Uint8Array, secret: Uint8Array): void {
    this.#core.events.push({ type: "key_log", line: `${label} ${toHex(clientRandom)} ${toHex(secret)}` });
  }

  sessionTicket(session: TlsSession): void {
    const core = this.#core;
    core.events.push({
      type: "session_ticket",
      session: {
        suite: session.suite,
        alpn: session.alpn,
        serverName: session.serverName,
        secret: session.secret,
        ticket: session.ticket,
        ageAdd: session.ageAdd,
        lifetime: session.lifetime,
        received: session.received,
        earlyData: session.earlyData,
        chain: session.chain,
        quicVersion: core.version,
        // rfc9000#7.4.1 endpoints store the values of the server transport parameters with any session tickets.
        transportParameters: encodeRemembered(core.peerParameters!),
        applicationData: new Uint8Array(0),
      },
    });
  }

  earlyData(accepted: boolean): void {
    const { tracer, now } = this.#core;
    tracer?.record({ name: "early_data", time: now, accepted, refusal: this.tls.earlyDataRefusal });
    if (accepted) return;
    if (this.#core.role === "server") {
      // Packets that wait for its keys wait in vain.
      this.keysChanged = true;
      return;
    }
    this.discardEarly();
    this.#core.rejectEarlyData();
  }

  /** 0-RTT is over, rfc9001#4.9.3. */
  discardEarly(): void {
    const { protection, tracer, now } = this.#core;
    const had = protection.canOpen(ZERO_RTT) || protection.canSeal(ZERO_RTT);
    if (!had) return;
    protection.discard(ZERO_RTT);
    tracer?.record({ name: "key_discarded", time: now, level: ZERO_RTT });
  }

  /** What the application had remembered with the session that is resumed, or that 0-RTT is tried with; null without one. */
  get applicationData(): Uint8Array | null {
    const { tls } = this;
    if (this.#core.role === "server") return tls.applicationData;
    return tls.resumed || tls.earlyData === "offered" ? this.session!.applicationData : null;
  }

  /** Keys, CRYPTO data and recovery state of a level go together. */
  discard(level: typeof INITIAL | typeof HANDSHAKE): void {
    const core = this.#core;
    if (core.protection.wasDiscarded(level)) return;
    // rfc9001#4.9.1 Endpoints MUST NOT send Initial packets after this point.
    core.protection.discard(level);
    core.crypto.discard(level);
    core.recovery.discardSpace(level, core.now);
    core.received[level] = DISCARDED_RECEIVED;
    if (core.tracer !== null) core.tracer.record({ name: "key_discarded", time: core.now, level });
  }

  dispose(): void {
    this.#tls?.dispose();
    this.#outcome?.dispose();
  }
}

function parameterError(reason: string): TransportError {
  return new TransportError(TRANSPORT_PARAMETER_ERROR, reason);
}

/** What the peer announced, put where it is needed; but for its limits for streams. */
function applyPeerParameters(core: Core, peer: TransportParameters): void {
  core.recovery.timer.setPeerMaxAckDelay(peer.maxAckDelay);
  core.localCids.setPeerLimit(peer.activeConnectionIdLimit);
  core.setMaxUdpPayload(peer.maxUdpPayloadSize);
  if (core.role === "client") {
    // rfc9000#10.3 the token of the connection ID the server chose during the handshake; later ones come in frames.
    if (peer.statelessResetToken !== undefined)
      core.remoteCids.setInitialResetToken(peer.statelessResetToken);
    if (peer.preferredAddress !== undefined) {
      // rfc9000#5.1.1 the sequence number of the preferred_address connection ID is 1.
      core.remoteCids.onPreferredAddress(
        peer.preferredAddress.connectionId,
        peer.preferredAddress.statelessResetToken,
      );
    }
  }
  core.idle.negotiate(peer.maxIdleTimeout);
}

/** Parameters as traces show them: bytes in hexadecimal, and no reset token (it is a secret until used). */
export function traceParameters(parameters: TransportParameters): { [name: string]: unknown } {
  const shown: { [name: string]: unknown } = {};
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined || name === "statelessResetToken") continue;
    if (value instanceof Uint8Array) shown[name] = toHex(value);
    else if (typeof value === "number" || typeof value === "boolean" || typeof value === "string")
      shown[name] = value;
  }
  return shown;
}
