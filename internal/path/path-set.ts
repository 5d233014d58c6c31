// Which path a connection uses when its peer's address changes: rfc9000#9.

import type { Address } from "../protocol/address.ts";
import type { Role } from "../protocol/constants.ts";
import { MAX_PATHS, MIN_DATAGRAM_SIZE } from "../protocol/limits.ts";
import { Path, type PathSettings } from "./path.ts";

/** What the connection does about its paths. */
export interface PathSetHost {
  /** Migration is possible: the handshake is confirmed. */
  readonly handshakeConfirmed: boolean;
  /** The larger of the current PTO and that of a path with the initial RTT, in ms. */
  pathPto(): number;
  /**
   * `path` is now where packets go. `peerChangedCid` says that the peer uses another connection ID of ours there:
   * it moved on purpose, and we should use another of its (rfc9000#9.5).
   */
  pathActivated(path: Path, previous: Path, peerChangedCid: boolean): void;
  /** Congestion control and round trips are measured on `path` from now on, and were on `previous` so far. */
  pathMeasured(path: Path, previous: Path): void;
  /** The peer is known to be at the active path's address; where `reset`, congestion control and RTT start anew (rfc9000#9.4). */
  pathValidated(path: Path, reset: boolean): void;
  /** Validation of `path` begins. */
  pathProbed(path: Path): void;
  /** A probe was answered: `path` works in both directions, rfc9000#8.2. */
  pathUsable(path: Path): void;
  /** Validation gave up on `path`. */
  pathAbandoned(path: Path): void;
  /** Nothing is sent on `path` any more. */
  pathForgotten(path: Path): void;
  /** rfc9000#9.3.2 no validated path is left: the connection ends silently. */
  noViablePath(): void;
  /** A path frame is due, or `timeout()` changed. */
  pathsChanged(): void;
}

export interface PathSetOptions {
  readonly remote: Address;
  readonly local: Address | null;
  readonly settings: PathSettings;
  /** The address is known to be the peer's: at a client, and at a server that got its token back. */
  readonly validated: boolean;
  /** We sent disable_active_migration. */
  readonly migrationDisabled: boolean;
  readonly host: PathSetHost;
}

/** The paths of one connection: one active, a few that are known or under validation. */
export class PathSet {
  readonly #role: Role;
  readonly #host: PathSetHost;
  readonly #migrationDisabled: boolean;
  /** For new paths. */
  #settings: PathSettings;
  #active: Path;
  /** Matches the active path, too, whose own local address may be unknown. */
  #alsoLocal: Address | null = null;
  #paths: Path[];
  /** Paths that were made: the next one's number. */
  #made = 0;
  /** From where an unauthenticated datagram came last: joins the paths with its first packet that opens. */
  #candidate: Path | null = null;
  /** The path of the congestion controller's and the RTT's measurements. */
  #measured: Path;
  /** Where to go back to when the active path fails, rfc9000#9.3.2. */
  #fallback: Path | null = null;

  constructor(options: PathSetOptions) {
    this.#role = options.settings.role;
    this.#host = options.host;
    this.#migrationDisabled = options.migrationDisabled;
    this.#settings = options.settings;
    this.#active = new Path(this.#made++, options.remote, options.local, options.validated, options.settings);
    this.#measured = this.#active;
    this.#paths = [this.#active];
  }

  get active(): Path {
    return this.#active;
  }

  /** The path that the connection's estimates are of: the active one, as soon as that is validated. */
  get measured(): Path {
    return this.#measured;
  }

  get all(): readonly Path[] {
    return this.#paths;
  }

  /** What the spin bit is for, on all paths. */
  setSpin(spin: PathSettings["spin"]): void {
    this.#settings = { ...this.#settings, spin };
    for (const path of this.#paths) path.spin.setMode(spin);
  }

  /** rfc9000#18.2 the peer's max_udp_payload_size: no datagram on any path is larger. */
  limitMtu(bytes: number): void {
    const { mtu } = this.#settings;
    const base = Math.min(mtu.base, bytes);
    const ceiling = Math.min(mtu.ceiling, bytes);
    this.#settings = { ...this.#settings, mtu: { ...mtu, base, ceiling } };
    for (const path of this.#paths) {
      path.mtu = Math.min(path.mtu, bytes);
      path.discovery.limit(bytes);
    }
  }

  /**
   * A datagram came. Counts it for its path's amplification limit, before anything in it is authenticated.
   * @returns null where it is to be dropped as "unexpected_address".
   */
  onDatagram(remote: Address, local: Address | null, bytes: number): Path | null {
    const active = this.#active;
    // The hot case: one object for one address while it is in use.
    const path =
      active.remote === remote && (active.local === local || this.#alsoLocal === local)
        ? active
        : this.#findOrMeet(remote, local, bytes);
    if (path === active) this.#alsoLocal = local;
    if (path !== null) path.onReceived(bytes);
    return path;
  }

  #findOrMeet(remote: Address, local: Address | null, _bytes: number): Path | null {
    const known = this.find(remote, local);
    if (known !== null) return known;
    // rfc9000#9 if a client receives packets from an unknown server address, the client MUST discard these packets.
    if (this.#role === "client") return null;
    // rfc9000#9 the design of QUIC relies on endpoints retaining a stable address for the duration of the handshake.
    // rfc9000#9 An endpoint MUST NOT initiate connection migration before the handshake is confirmed, as defined in
    // Section 4.1.2 of [QUIC-TLS].
    if (!this.#host.handshakeConfirmed) return null;
    // rfc9000#9 an endpoint that has sent disable_active_migration, but detects that a peer has nonetheless migrated
    // MUST either drop the incoming packets on that path without generating a Stateless Reset or proceed with path
    // validation. A new port alone is a NAT's doing, not the peer's.
    if (this.#migrationDisabled && remote.ip !== this.#active.remote.ip) return null;
    this.#candidate = new Path(this.#made++, remote, local, false, this.#settings);
    return this.#candidate;
  }

  /** The path of that number, null where it is gone. */
  byId(id: number): Path | null {
    for (const path of this.#paths) if (path.id === id) return path;
    return null;
  }

  /** The path of these addresses, null where there is none. */
  find(remote: Address, local: Address | null): Path | null {
    if (this.#active.matches(remote, local)) return this.#active;
    for (const path of this.#paths) if (path.matches(remote, local)) return path;
    return this.#candidate !== null && this.#candidate.matches(remote, local) ? this.#candidate : null;
  }

  /**
   * A packet that opened came on `path`; its `dcidSequence` is set.
   * @param largest it has the highest number of its space.
   * @param probing it has probing frames only, rfc9000#9.1.
   */
  onPacket(path: Path, largest: boolean, probing: boolean, now: number): void {
    // rfc9000#9 An endpoint MUST perform path validation (Section 8.2) if it detects any change to a peer's address,
    // unless it has previously validated that address.
    // rfc9000#9.3 An endpoint MAY send data to an unvalidated peer address, but it MUST protect against potential
    // attacks as described in Sections 9.3.1 and 9.3.2.
    // rfc9000#9.3 If the recipient permits the migration, it MUST send subsequent packets to the new peer address and
    // MUST initiate path validation (Section 8.2) to verify the …
    if (path === this.#active || this.#role === "client") return;
    if (path === this.#candidate) {
      this.#candidate = null;
      this.#remember(path);
    }
    if (path.validation.state !== "running" && !path.validated) this.#validate(path, now);
    // rfc9000#9.3 an endpoint only changes the address to which it sends packets in response to the highest-numbered
    // non-probing packet.
    if (!largest || probing) return;
    // A client that is known where it is came to another address of ours, the preferred one.
    // rfc9000#9.6.2 The server MUST send non-probing packets from its original address until it receives a non-probing packet from
    // the client at its preferred address and until the server has validated the new path.
    // rfc9000#9.6.2 The server MUST probe on the path toward the client from its preferred address.
    // rfc9000#9.6.3 If packets received at the server's preferred address have a different source address than observed from the
    // client during the handshake, the server MUST protect against potential attacks: as on any other path.
    if (!path.validated && path.remote.key === this.#active.remote.key) return;
    const previous = this.#active;
    this.#setActive(path);
    if (previous.validated) {
      this.#fallback = previous;
      // rfc9000#9.3.3 in response to an apparent migration, endpoints MUST validate the previously active path using a
      // PATH_CHALLENGE frame: a peer that is still there answers with non-probing packets and wins the path back.
      if (previous.validation.state !== "running") this.#validate(previous, now);
    }
    this.#host.pathActivated(path, previous, path.dcidSequence !== previous.dcidSequence);
    if (path.validated) this.#confirm(path);
    this.#host.pathsChanged();
  }

  /** A PATH_RESPONSE. False where nothing waited for it. */
  onResponse(buf: Uint8Array, start: number, now: number): boolean {
    // rfc9000#8.2.2 This requirement MUST NOT be enforced by the endpoint that initiates path validation, as that
    // would enable an attack on migration; see Section 9.3.3.
    for (const path of this.#paths) {
      const answer = path.validation.onResponse(buf, start, now);
      if (answer === "none") continue;
      if (answer === "ping") return true;
      path.validate();
      // An address is the peer's before it is known whether full datagrams pass: rfc9000#9.4 wants no more than that.
      if (path === this.#active) this.#confirm(path);
      if (answer === "path") this.#host.pathUsable(path);
      this.#host.pathsChanged();
      return true;
    }
    return false;
  }

  /** rfc9000#9.4 on confirming a peer's ownership of its new address, an endpoint MUST immediately reset the congestion
   * controller and round-trip time estimator for the new path, unless the only change is the port number. */
  #confirm(path: Path, moved = false): void {
    const previous = this.#measured;
    const reset = moved || path.remote.ip !== previous.remote.ip;
    if (path !== previous) this.#host.pathMeasured(path, previous);
    this.#measured = path;
    this.#fallback = null;
    this.#host.pathValidated(path, reset);
  }

  /**
   * Client: a path that the application wants, from another address of ours or to another of the server's. It is not used
   * before `switchTo`. null where there are too many.
   */
  add(remote: Address, local: Address | null): Path | null {
    const known = this.#paths.find((path) => path.matches(remote, local) && path.local === local);
    if (known !== undefined) return known;
    if (this.#paths.length >= MAX_PATHS) return null;
    // A client's own choice is no amplification: rfc9000#8.1.
    const path = new Path(this.#made++, remote, local, true, this.#settings);
    path.held = true;
    this.#paths.push(path);
    return path;
  }

  /** rfc9000#9.1 probes it. Nothing happens while that is under way. */
  probe(path: Path, now: number): void {
    if (path.validation.state !== "running") this.#validate(path, now);
  }

  /**
   * rfc9000#9.2 An endpoint can migrate a connection to a new local address by sending packets containing non-probing frames
   * from that address.
   */
  switchTo(path: Path): void {
    const previous = this.#active;
    if (path === previous) return;
    previous.known = path.known = true;
    this.#setActive(path);
    this.#host.pathActivated(path, previous, false);
    this.#confirm(path, true);
    this.#host.pathsChanged();
  }

  /** The application does without it. False for the active one. */
  remove(path: Path): boolean {
    if (path === this.#active) return false;
    path.held = false;
    path.validation.stop();
    this.#forget(path);
    return true;
  }

  #setActive(path: Path): void {
    this.#active = path;
    this.#alsoLocal = path.local;
  }

  #forget(path: Path): void {
    if (!this.#paths.includes(path)) return;
    this.#paths = this.#paths.filter((other) => other !== path);
    this.#host.pathForgotten(path);
  }

  /** Validates a path now: also for an address the connection learned otherwise. */
  #validate(path: Path, now: number): void {
    path.validation.start(now, this.#host.pathPto());
    this.#host.pathProbed(path);
    this.#host.pathsChanged();
  }

  #remember(path: Path): void {
    if (this.#paths.length >= MAX_PATHS) {
      this.#forget(this.#paths.find((old) => old !== this.#active && old !== this.#fallback)!);
    }
    this.#paths.push(path);
  }

  /**
   * A path whose frames need a datagram of their own and that may send one; null where there is none. The active path's
   * go along with what else it sends, unless it may not send full datagrams yet: then a short one has to prove the
   * address (rfc9000#8.2.1 unless the anti-amplification limit for the path does not permit expanding).
   */
  nextWithFrames(): Path | null {
    for (const path of this.#paths) {
      if (!path.hasFrames) continue;
      const budget = path.sendBudget();
      if (budget < MIN_PATH_DATAGRAM || (path === this.#active && budget >= MIN_DATAGRAM_SIZE)) continue;
      return path;
    }
    return null;
  }

  timeout(): number {
    let next = Infinity;
    for (const path of this.#paths) next = Math.min(next, path.validation.timeout());
    return next;
  }

  onTimeout(now: number): void {
    for (const path of [...this.#paths]) {
      if (path.validation.timeout() > now) continue;
      path.validation.onTimeout(now);
      if (path.validation.state === "failed") this.#failed(path);
      this.#host.pathsChanged();
    }
  }

  #failed(path: Path): void {
    this.#host.pathAbandoned(path);
    if (path !== this.#active) {
      // rfc9000#9.3.3 the old path does not answer any more: the peer has really moved.
      if (path === this.#fallback && this.#active.validated) this.#fallback = null;
      // What the application holds may be probed again.
      if (path !== this.#fallback && !path.held) this.#forget(path);
      return;
    }
    if (path.validated) return;
    // rfc9000#9.3.2 if path validation fails, the endpoint MUST revert to using the last validated peer address; without
    // one it MUST close the connection silently by discarding all connection state.
    const fallback = this.#fallback;
    if (fallback === null) {
      this.#host.noViablePath();
      return;
    }
    this.#setActive(fallback);
    this.#fallback = null;
    this.#host.pathActivated(fallback, path, fallback.dcidSequence !== path.dcidSequence);
    this.#forget(path);
  }
}

/** Below it no packet with a path frame fits: header, packet number, frame and tag with a 20-byte connection ID. */
const MIN_PATH_DATAGRAM = 64;
