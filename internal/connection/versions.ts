// Which version a connection uses: compatible version negotiation (rfc9368, rfc9369#4), protection against downgrades,
// and what a client does about a Version Negotiation packet (rfc9000#6.2).

import {
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_RETRY,
  PACKET_ZERO_RTT,
  VERSION_1,
  VERSION_2,
  VERSION_NEGOTIATION_ERROR,
  type PacketType,
  type Role,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { drawInt, type RandomSource } from "../protocol/random.ts";
import type { VersionInformation } from "../wire/transport-parameters.ts";

/** rfc9000#15 versions of the pattern 0x?a?a?a?a are reserved: nobody speaks them, everybody must ignore them. */
export function isReservedVersion(version: number): boolean {
  return (version & 0x0f0f0f0f) === 0x0a0a0a0a;
}

/** A reserved version. @param other is not drawn. */
export function drawReservedVersion(random: RandomSource, other: number): number {
  const version = ((drawInt(random, 2 ** 32) & 0xf0f0f0f0) | 0x0a0a0a0a) >>> 0;
  return version === other ? (version ^ 0x10000000) >>> 0 : version;
}

/**
 * Whether a first flight of `from` can be converted into one of `to`. rfc9369#4 versions 1 and 2, in either direction;
 * rfc9368#2.2 implementations MUST NOT assume compatibility between versions unless explicitly specified.
 */
export function isCompatible(from: number, to: number): boolean {
  const both = [VERSION_1, VERSION_2];
  return from === to || (both.includes(from) && both.includes(to));
}

/** The first of `ours`, which is in order of preference, that is among `theirs`. */
export function chooseVersion(ours: readonly number[], theirs: readonly number[]): number | null {
  return ours.find((version) => theirs.includes(version)) ?? null;
}

function versionError(reason: string): TransportError {
  // rfc9368#4 version negotiation errors are signaled using a transport error of type VERSION_NEGOTIATION_ERROR.
  return new TransportError(VERSION_NEGOTIATION_ERROR, reason);
}

/** What the negotiation follows from. */
export interface VersionSetup {
  readonly role: Role;
  /** Ours, the preferred one first. */
  readonly versions: readonly number[];
  /** Server: our order counts, not the client's. */
  readonly honorVersionOrder: boolean;
  /** Of the first flight: the client's Chosen Version. */
  readonly original: number;
  /** Client: a Version Negotiation packet made us choose `original`. */
  readonly reacting: boolean;
}

/** The state of one connection's version. */
export class VersionNegotiator {
  readonly #setup: VersionSetup;
  /** The client's Chosen Version. */
  readonly original: number;
  /** The Negotiated Version; until it is known the original one. */
  current: number;
  /** No other version may come any more. */
  #settled = false;
  /** What a Version Negotiation packet listed that is not believed yet. */
  offered: readonly number[] | null = null;

  constructor(setup: VersionSetup) {
    this.#setup = setup;
    this.original = this.current = setup.original;
  }

  /** Client: a Version Negotiation packet made us choose the original version. */
  get reacting(): boolean {
    return this.#setup.reacting;
  }

  /** Versions that our first flight is compatible with, or (server) that we speak, the preferred one first. */
  get available(): readonly number[] {
    const { role, versions } = this.#setup;
    if (role === "server") return versions;
    const known = versions.filter((version) => isCompatible(this.original, version));
    // rfc9368#3 the version in the Chosen Version field MUST be included in this list.
    return known.includes(this.original) ? known : [this.original, ...known];
  }

  /** Our version_information, with a reserved version somewhere: rfc9368#3. */
  local(random: RandomSource): VersionInformation {
    const available = [...this.available];
    available.splice(drawInt(random, available.length + 1), 0, drawReservedVersion(random, this.original));
    return { chosen: this.current, available };
  }

  /** Whether packets with this long header may be this connection's. */
  accepts(type: PacketType, version: number): boolean {
    const { role, versions } = this.#setup;
    // rfc9369#4.1 The client ignores Retry packets using other versions (than the original one). Servers can accept
    // 0-RTT packets from the original version; the client MUST NOT send them using the negotiated version.
    if (type === PACKET_RETRY || type === PACKET_ZERO_RTT) return version === this.original;
    // rfc9369#4.1 Both endpoints MUST send Handshake and 1-RTT packets using the negotiated version. An endpoint MUST
    // drop packets using any other version.
    if (version === this.current) return true;
    // rfc9369#4.1 The server MUST NOT discard its original version Initial receive keys until it successfully processes
    // a Handshake packet with the negotiated version: all Initial keys go then.
    if (role === "server") return version === this.original && type === PACKET_INITIAL;
    return (
      !this.#settled &&
      (type === PACKET_INITIAL || type === PACKET_HANDSHAKE) &&
      versions.includes(version) &&
      isCompatible(this.original, version)
    );
  }

  /**
   * Client: an Initial of `version` authenticated. rfc9369#4.1 The client learns the negotiated version by observing the
   * first long header Version field that differs from the original version.
   * @returns whether the version changed.
   */
  onServerInitial(version: number): boolean {
    if (version === this.current) return false;
    this.current = version;
    this.#settled = true;
    return true;
  }

  /**
   * rfc9369#4.1 If the client receives a CRYPTO frame from the server in the original version, it indicates that the
   * negotiated version is equal to the original version.
   */
  settle(): void {
    this.#settled = true;
  }

  /**
   * The peer's version_information came, or did not.
   * @returns whether the version changed (at a server).
   * @throws {TransportError} VERSION_NEGOTIATION_ERROR.
   */
  onPeer(peer: VersionInformation | undefined): boolean {
    this.#settled = true;
    if (this.#setup.role === "server") return this.#onClient(peer);
    this.#onServer(peer);
    return false;
  }

  #onClient(peer: VersionInformation | undefined): boolean {
    // rfc9368#4 Servers MAY complete the handshake even if the Version Information is missing.
    if (peer === undefined) return false;
    // rfc9368#4 the server MUST validate that the client's Chosen Version matches the version in use for the
    // connection. If the two differ, the server MUST close the connection with a version negotiation error.
    if (peer.chosen !== this.original) {
      throw versionError("the client's chosen version is not that of its packets");
    }
    // rfc9368#2.3 the server MUST select one of these versions that it supports and knows the client's Chosen Version is
    // compatible with. The client's order is advisory.
    const { versions, honorVersionOrder } = this.#setup;
    const possible = (version: number) => isCompatible(this.original, version);
    this.current =
      (honorVersionOrder
        ? chooseVersion(versions.filter(possible), peer.available)
        : chooseVersion(peer.available.filter(possible), versions)) ?? this.original;
    return this.current !== this.original;
  }

  #onServer(peer: VersionInformation | undefined): void {
    const { versions, reacting } = this.#setup;
    if (peer === undefined) {
      // rfc9368#8 a client that starts a version 1 connection in response to a Version Negotiation packet SHALL proceed
      // as if the missing parameter said version 1 and nothing else.
      const assumed = { chosen: VERSION_1, available: [VERSION_1] };
      if (reacting && this.original === VERSION_1) return this.#onServer(assumed);
      // rfc9368#4 Clients MUST NOT complete the handshake if they are reacting to a Version Negotiation packet and the
      // Version Information is missing. Nor here where the version changed: nothing would authenticate that.
      if (reacting || this.current !== this.original) throw versionError("version_information is missing");
      return;
    }
    // rfc9368#4 If a client receives Version Information where the server's Chosen Version was not sent by the client as
    // part of its Available Versions, the client MUST close the connection with a version negotiation error.
    if (!this.available.includes(peer.chosen)) {
      throw versionError("the server chose a version that was not offered");
    }
    // rfc9368#4 clients MUST validate that the server's Chosen Version is equal to the Negotiated Version.
    if (peer.chosen !== this.current) {
      throw versionError("the server's chosen version is not that of its packets");
    }
    if (!reacting) return;
    // rfc9368#4 confirming that the client would have attempted the same version with knowledge of the versions the
    // server supports: those in Available Versions, plus the Negotiated Version. In particular, if the server's Available
    // Versions field is empty, the client MUST close the connection.
    if (
      peer.available.length === 0 ||
      chooseVersion(versions, [...peer.available, this.current]) !== this.original
    ) {
      throw versionError("the Version Negotiation packet was forged: the server speaks a preferred version");
    }
  }
}
