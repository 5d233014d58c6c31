// Datagrams that belong to no connection: the beginning of one, answered without state, or dropped. rfc9000#5.2.2

import type { AddressTokens } from "../path/address-tokens.ts";
import type { CidGenerator } from "../path/cid-generator.ts";
import type { Address } from "../protocol/address.ts";
import { bytesEqual } from "../protocol/bytes.ts";
import {
  PACKET_INITIAL,
  PACKET_ONE_RTT,
  PACKET_VERSION_NEGOTIATION,
  PACKET_ZERO_RTT,
  VERSION_NEGOTIATION,
  type PacketType,
} from "../protocol/constants.ts";
import { MIN_DATAGRAM_SIZE, MIN_INITIAL_DCID_LENGTH } from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";
import { NO_BYTES, smallCopy } from "../protocol/small-bytes.ts";
import type { DropReason } from "../protocol/tracer.ts";
import { FIXED_BIT, parseLongHeader, type LongHeader } from "../wire/header.ts";
import type { Admission } from "./admission.ts";
import type { Drops } from "./drops.ts";
import type { EarlyPackets } from "./early-packets.ts";
import type { AnswerResult, StatelessAnswers } from "./stateless.ts";
import type { ClientInitial, EndpointStats, ServerPolicy } from "./types.ts";

/** One datagram. */
export interface Datagram {
  readonly buf: Uint8Array;
  readonly start: number;
  readonly length: number;
  readonly remote: Address;
  readonly local: Address | null;
  readonly ecn: number;
}

export interface UnroutedOptions {
  /** Packets of versions nobody here speaks are dropped without an answer. */
  readonly disableVersionNegotiation: boolean;
  readonly admission: Admission;
  readonly answers: StatelessAnswers;
  readonly tokens: AddressTokens;
  readonly cids: CidGenerator;
  readonly random: RandomSource;
  readonly drops: Drops;
  readonly early: EarlyPackets;
  readonly stats: EndpointStats;
}

export class Unrouted {
  readonly #options: UnroutedOptions;

  constructor(options: UnroutedOptions) {
    this.#options = options;
  }

  /** A short header packet whose connection nobody knows. */
  short({ buf, start, length, remote, local }: Omit<Datagram, "ecn">, now: number): void {
    const result = this.#options.answers.reset(buf, start, length, remote, local, now);
    this.#drop(reasonOf(result, "unknown_connection_id"), PACKET_ONE_RTT, length, now);
  }

  /**
   * A long header packet, `header` has its invariants. What is given back is a client's first Initial that may come in.
   * rfc9000#5.2.2 Servers MUST drop incoming packets under all other circumstances.
   * @param connections those of the endpoint.
   */
  long(
    datagram: Datagram,
    header: LongHeader,
    server: ServerPolicy | null,
    connections: number,
    now: number,
    wallNow: number,
  ): ClientInitial | null {
    const { buf, start, length, remote, local } = datagram;
    const { answers, disableVersionNegotiation } = this.#options;
    // rfc9000#6.1 an endpoint MUST NOT send a Version Negotiation packet in response to a Version Negotiation packet.
    if (header.version === VERSION_NEGOTIATION) {
      return this.#drop("unknown_connection_id", PACKET_VERSION_NEGOTIATION, length, now);
    }
    if (server === null) return this.#drop("not_listening", null, length, now);
    const { versions, greaseQuicBit, earlyData } = server;
    if (!versions.includes(header.version)) {
      // rfc9000#5.2.2 servers MUST drop smaller packets that specify unsupported versions.
      if (length < MIN_DATAGRAM_SIZE || disableVersionNegotiation) {
        return this.#drop("unsupported_version", null, length, now);
      }
      const result = answers.negotiateVersion(versions, buf, header, remote, local, now);
      return this.#drop(reasonOf(result, "unsupported_version"), null, length, now);
    }
    // rfc9287#3 a client with a token of ours may clear the QUIC bit of its first packet already.
    const fixed = greaseQuicBit || (buf[start]! & FIXED_BIT) !== 0;
    if (!parseLongHeader(buf, start, start + length, header) || !fixed) {
      return this.#drop("invalid_header", null, length, now);
    }
    if (header.type === PACKET_ZERO_RTT && earlyData && header.dcidLength >= MIN_INITIAL_DCID_LENGTH) {
      const dcid = buf.subarray(header.dcidOffset, header.dcidOffset + header.dcidLength);
      const { ecn } = datagram;
      this.#options.early.keep(dcid, { bytes: buf.subarray(start, start + length), remote, local, ecn }, now);
      return null;
    }
    // rfc9000#5.2.2 clients are not able to send Handshake packets prior to receiving a server response, so servers
    // SHOULD ignore any such packets.
    if (header.type !== PACKET_INITIAL) return this.#drop("unknown_connection_id", header.type, length, now);
    return this.#initial(datagram, header, connections, now, wallNow);
  }

  /** A client's first packet, well-formed and of a version we speak. */
  #initial(
    datagram: Datagram,
    header: LongHeader,
    connections: number,
    now: number,
    wallNow: number,
  ): ClientInitial | null {
    const { buf, length, remote } = datagram;
    const { admission, answers, early, stats } = this.#options;
    // rfc9000#14 Therefore, an endpoint MUST NOT close a connection when it receives a datagram that does not meet
    // size constraints; the endpoint MAY discard such datagrams.
    // rfc9000#14.1 a server MUST discard an Initial packet that is carried in a UDP datagram with a payload that is
    // smaller than the smallest allowed maximum datagram size of 1200 bytes.
    if (length < MIN_DATAGRAM_SIZE) return this.#drop("initial_too_small", PACKET_INITIAL, length, now);
    // rfc9000#7.2 this Destination Connection ID MUST be at least 8 bytes in length.
    if (header.dcidLength < MIN_INITIAL_DCID_LENGTH) {
      return this.#drop(
        "invalid_header",
        PACKET_INITIAL,
        length,
        now,
        "destination connection ID under 8 bytes",
      );
    }
    // Nothing is copied before the verdict: of a flood most is dropped.
    const token = header.tokenLength === 0 ? NO_BYTES : view(buf, header.tokenOffset, header.tokenLength);
    const verdict = admission.decide(token, buf, header, remote, connections, now, wallNow);
    if (verdict.action !== "accept" && early.size > 0) {
      const reason = verdict.action === "retry" ? "address_unvalidated" : verdict.reason;
      early.refuse(view(buf, header.dcidOffset, header.dcidLength), reason, now);
    }
    if (verdict.action === "drop") return this.#drop(verdict.reason, PACKET_INITIAL, length, now);
    if (verdict.action === "retry") return this.#retry(datagram, header, now, wallNow);
    if (verdict.action === "refuse") {
      stats.connectionsRefused++;
      if (verdict.reason === "server_busy") stats.busyRefusals++;
      const { code: errorCode, reason, detail } = verdict;
      const result = answers.refuse(identifiers(datagram, header), { errorCode }, now);
      return this.#drop(reasonOf(result, reason), PACKET_INITIAL, length, now, detail);
    }
    const initial = identifiers(datagram, header);
    const { originalDcid, validated } = verdict;
    return { ...initial, originalDcid: originalDcid ?? initial.dcid, validated };
  }

  /** The client has to come back with proof of its address; until then nothing is remembered of it. rfc9000#8.1.2 */
  #retry(datagram: Datagram, header: LongHeader, now: number, wallNow: number): null {
    const { buf, length, remote, local } = datagram;
    const { answers, cids, random, tokens } = this.#options;
    let result = answers.denied("retry", remote, local, now);
    if (result === null) {
      const dcid = copy(buf, header.dcidOffset, header.dcidLength);
      // rfc9000#17.2.5.1 the SCID is of the server's choice and MUST NOT be equal to the DCID of the client's packet.
      let scid = cids.generate(random);
      while (bytesEqual(scid, dcid)) scid = cids.generate(random);
      const token = tokens.retry(remote, dcid, scid, wallNow);
      result = answers.retry(buf, header, scid, token, remote, local, now);
    }
    return this.#drop(reasonOf(result, "address_unvalidated"), PACKET_INITIAL, length, now);
  }

  #drop(reason: DropReason, packetType: PacketType | null, size: number, now: number, detail?: string): null {
    this.#options.drops.add(reason, packetType, size, now, detail);
    return null;
  }
}

/** Under which reason a packet is counted that was, or was not, answered. */
function reasonOf(result: AnswerResult, usual: DropReason): DropReason {
  return result === "rate_limited" || result === "invalid_source" ? result : usual;
}

function view(buf: Uint8Array, at: number, length: number): Uint8Array {
  return buf.subarray(at, at + length);
}

function copy(buf: Uint8Array, at: number, length: number): Uint8Array {
  return smallCopy(buf.subarray(at, at + length));
}

/** What an answer, or a connection, needs of a first Initial: in memory of its own. */
function identifiers({ buf, remote, local }: Datagram, header: LongHeader) {
  return {
    version: header.version,
    dcid: copy(buf, header.dcidOffset, header.dcidLength),
    peerScid: copy(buf, header.scidOffset, header.scidLength),
    remote,
    local,
  };
}
