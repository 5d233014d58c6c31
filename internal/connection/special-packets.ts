// Packets that change the handshake itself: Version Negotiation (rfc9000#6), Retry (rfc9000#17.2.5), and what the first
// authenticated packets of each level settle (rfc9000#7.2, rfc9000#8.1, rfc9001#4.9).

import { verifyRetry } from "../handshake/retry.ts";
import { bytesEqual, toHex } from "../protocol/bytes.ts";
import {
  HANDSHAKE,
  INITIAL,
  PACKET_RETRY,
  PACKET_VERSION_NEGOTIATION,
  type PacketType,
  type Space,
} from "../protocol/constants.ts";
import { VERSION_NEGOTIATION_PATIENCE } from "../protocol/limits.ts";
import type { DropReason } from "../protocol/tracer.ts";
import { LongHeader, parseInvariants, parseVersionNegotiation } from "../wire/header.ts";
import type { Connection } from "./connection.ts";
import type { HandshakeDriver, SeenCids } from "./handshake.ts";
import type { Sender } from "./send.ts";
import { TIMER_VERSION } from "./timers.ts";
import { chooseVersion } from "./versions.ts";

export class SpecialPackets {
  readonly #connection: Connection;
  readonly #handshake: HandshakeDriver;
  readonly #sender: Sender;
  readonly #seen: SeenCids;
  /** Anything of the peer's authenticated. */
  #heard = false;
  /** What our Initials had before a Retry. */
  #firstToken: { readonly token: Uint8Array | null } | null = null;

  constructor(connection: Connection, handshake: HandshakeDriver, sender: Sender, seen: SeenCids) {
    this.#connection = connection;
    this.#handshake = handshake;
    this.#sender = sender;
    this.#seen = seen;
  }

  /**
   * rfc9000#7.2 once a client has received a valid Initial packet from the server, it MUST discard any subsequent packet
   * it receives on that connection with a different Source Connection ID; a server likewise.
   */
  accepts(header: LongHeader, buf: Uint8Array): boolean {
    const known = this.#seen.peerInitialScid;
    if (known === null || !this.#heard) return true;
    return bytesEqual(known, buf.subarray(header.scidOffset, header.scidOffset + header.scidLength));
  }

  /** Every packet that authenticated, before its frames. */
  onAuthenticated(space: Space, header: LongHeader | null, buf: Uint8Array): void {
    const connection = this.#connection;
    if (!this.#heard) {
      this.#heard = true;
      if (connection.role === "client" && header !== null) {
        // rfc9000#7.2 the client MUST change the Destination Connection ID to the Source Connection ID of the first
        // packet it receives.
        const scid = buf.slice(header.scidOffset, header.scidOffset + header.scidLength);
        this.#seen.peerInitialScid = scid;
        this.#traceCid(scid);
        connection.remoteCids.setInitial(scid);
      }
      // rfc9000#6.2 what a Version Negotiation packet said is void once any other packet was processed.
      if (connection.versions.offered !== null) {
        connection.versions.offered = null;
        connection.timers.clear(TIMER_VERSION);
      }
    }
    if (space === INITIAL && connection.role === "client") {
      const { versions, protection } = connection;
      // rfc9369#4.1 Once the client has learned the negotiated version, it SHOULD send subsequent Initial packets using
      // that version.
      if (versions.onServerInitial(header!.version)) protection.switchVersion(versions.current);
    }
    if (connection.role === "server" && space === HANDSHAKE) {
      // rfc9000#8.1 once a server has successfully processed a Handshake packet from the client, it can consider the
      // client address to have been validated.
      connection.paths.active.validate();
      // rfc9001#4.9.1 a server MUST discard Initial keys when it first successfully processes a Handshake packet.
      this.#handshake.discard(INITIAL);
    }
  }

  /**
   * A client's first packet was acknowledged, and no answer has begun: rfc9000#7.2 it uses the Source Connection ID that
   * came as the Destination Connection ID of subsequent packets; whose it is the answer will say.
   */
  onAcknowledgement(header: LongHeader, buf: Uint8Array): void {
    const scid = buf.slice(header.scidOffset, header.scidOffset + header.scidLength);
    const { remoteCids } = this.#connection;
    if (bytesEqual(scid, remoteCids.current)) return;
    this.#traceCid(scid);
    remoteCids.setInitial(scid);
  }

  /** rfc9000#6.2 */
  onVersionNegotiation(buf: Uint8Array, start: number, end: number): void {
    const connection = this.#connection;
    const { versions: negotiation, config, now } = connection;
    const versions = parseVersionNegotiation(buf, start, end);
    const header = new LongHeader();
    parseInvariants(buf, start, end, header);
    if (
      connection.role === "server" ||
      versions === null ||
      // rfc9000#6.2 a client MUST discard any Version Negotiation packet if it has received and successfully processed
      // any other packet.
      this.#heard ||
      this.#seen.retryScid !== null ||
      // rfc9000#6.2 … or one that lists the version selected by the client.
      // rfc9368#4 Clients MUST ignore any received Version Negotiation packets that contain the Original Version.
      versions.includes(negotiation.original) ||
      // rfc9368#4 A client that makes a connection attempt based on information received from a Version Negotiation
      // packet MUST ignore any Version Negotiation packets it receives in response to that connection attempt.
      negotiation.reacting ||
      // One is enough, unless it offers nothing.
      (negotiation.offered !== null && chooseVersion(config.versions, negotiation.offered) !== null) ||
      !this.#answersUs(header, buf)
    ) {
      this.#drop("invalid_version_negotiation", PACKET_VERSION_NEGOTIATION, end - start);
      return;
    }
    if (connection.tracer !== null) {
      connection.tracer.record({
        name: "version_information",
        time: now,
        ours: config.versions,
        theirs: versions,
        chosen: null,
      });
    }
    // rfc9000#6.2 a client that supports only this version of QUIC MUST abandon the current connection attempt if it
    // receives a Version Negotiation packet; another one starts anew (rfc9368#2.1). Anybody on the path can forge one, but
    // a server that answers in the version asked for refutes it: its answer may be on the way, and is waited for.
    if (negotiation.offered === null)
      connection.timers.set(TIMER_VERSION, now + VERSION_NEGOTIATION_PATIENCE);
    negotiation.offered = versions;
  }

  /** Both connection IDs echo ours: what an attacker off the path cannot know. rfc9000#17.2.1 */
  #answersUs(header: LongHeader, buf: Uint8Array): boolean {
    const { localCids, remoteCids } = this.#connection;
    return (
      bytesEqual(
        localCids.handshakeCid,
        buf.subarray(header.dcidOffset, header.dcidOffset + header.dcidLength),
      ) &&
      bytesEqual(remoteCids.current, buf.subarray(header.scidOffset, header.scidOffset + header.scidLength))
    );
  }

  /** rfc9000#17.2.5.2 */
  onRetry(buf: Uint8Array, start: number, end: number, header: LongHeader): boolean {
    const connection = this.#connection;
    const seen = this.#seen;
    const scid = buf.slice(header.scidOffset, header.scidOffset + header.scidLength);
    if (
      connection.role === "server" ||
      // rfc9000#17.2.5.2 a client MUST accept and process at most one Retry packet for each connection attempt; after
      // the client has received and processed an Initial or Retry packet it MUST discard any subsequent Retry.
      this.#heard ||
      seen.retryScid !== null ||
      // rfc9000#17.2.5.2 a client MUST discard a Retry packet with a zero-length Retry Token field.
      header.tokenLength === 0 ||
      // rfc9000#17.2.5.1 MUST NOT be equal to the Destination Connection ID field of the packet sent by the client.
      bytesEqual(scid, seen.original) ||
      // rfc9000#17.2.5.2 clients MUST discard Retry packets that have a Retry Integrity Tag that cannot be validated.
      !verifyRetry(connection.config.provider, connection.version, seen.original, buf.subarray(start, end))
    ) {
      this.#drop("invalid_retry", PACKET_RETRY, end - start);
      return false;
    }
    // rfc9000#17.2.5.2 The client MUST NOT change the Source Connection ID because the server could include the
    // connection ID as part of its token validation logic; see Section 8.1.4.
    // rfc9000#17.2.5.3 A client MUST use the same cryptographic handshake message it included in this packet.
    seen.retryScid = scid;
    this.#follow(scid, buf.slice(header.tokenOffset, header.tokenOffset + header.tokenLength));
    if (connection.tracer !== null) {
      connection.tracer.record({
        name: "packet_received",
        time: connection.now,
        header: { type: PACKET_RETRY, number: 0 },
        size: end - start,
        frames: [],
        ecn: 0,
      });
    }
    return true;
  }

  /** Our Initials begin anew, to `dcid` and with `token`. */
  #follow(dcid: Uint8Array, token: Uint8Array | null): void {
    const connection = this.#connection;
    this.#traceCid(dcid);
    connection.remoteCids.setInitial(dcid);
    // rfc9001#5.2 the secrets change with the Destination Connection ID of the Initial that follows a Retry.
    connection.protection.installInitial(connection.version, dcid);
    this.#firstToken ??= { token: this.#sender.token };
    this.#sender.setToken(token);
    // rfc9000#17.2.3 a client SHOULD attempt to resend data in 0-RTT packets after it sends a new Initial packet: to the
    // new connection ID, under the keys that it has (rfc9000#17.2.5.3).
    connection.recovery.onRetry(connection.now);
    connection.wake();
  }

  /** The DCID of our first Initial. */
  get original(): Uint8Array {
    return this.#seen.original;
  }

  /** The server answered our first Initial: it sent no Retry, whoever did. */
  refuteRetry(): void {
    const seen = this.#seen;
    if (seen.retryScid === null) return;
    seen.retryScid = null;
    this.#follow(seen.original, this.#firstToken?.token ?? null);
  }

  #traceCid(next: Uint8Array): void {
    const { tracer, now, remoteCids } = this.#connection;
    if (tracer === null) return;
    tracer.record({
      name: "connection_id_updated",
      time: now,
      owner: "remote",
      old: toHex(remoteCids.current),
      new: toHex(next),
    });
  }

  #drop(reason: DropReason, packetType: PacketType, size: number): void {
    const connection = this.#connection;
    connection.stats.packetsDropped++;
    if (connection.tracer !== null) {
      connection.tracer.record({ name: "packet_dropped", time: connection.now, reason, packetType, size });
    }
  }
}
