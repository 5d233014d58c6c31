// A client's own doing about its paths: other addresses of ours, and the server's preferred one. rfc9000#9.2, rfc9000#9.6

import type { Path } from "../path/path.ts";
import { makeAddress, type Address } from "../protocol/address.ts";
import type { Core } from "./core.ts";

/** Why a path cannot be had, or not now. */
export type MigrationRefusal =
  /** Servers do not migrate. */
  | "server"
  /** rfc9000#9 An endpoint MUST NOT initiate connection migration before the handshake is confirmed. */
  | "unconfirmed"
  /** rfc9000#18.2 the server sent disable_active_migration. */
  | "disabled"
  /** Without connection IDs of ours nothing tells to whom a packet on another path belongs. */
  | "no_ids"
  /** The peer gave no connection ID that is not in use: rfc9000#9.5. */
  | "no_spare_id"
  | "too_many"
  /** It has not answered a probe. */
  | "unvalidated";

/** Migration of one client. */
export class Migration {
  readonly #core: Core;
  #preferred: Path | null = null;

  constructor(core: Core) {
    this.#core = core;
  }

  /** A path from `local`, an address that packets come to and leave from by the owner's care. Not probed yet. */
  add(local: Address): Path | MigrationRefusal {
    const core = this.#core;
    if (core.role === "server") return "server";
    if (!core.handshakeConfirmed) return "unconfirmed";
    if (core.localCids.length === 0) return "no_ids";
    // rfc9000#9 If the peer sent the disable_active_migration transport parameter, an endpoint also MUST NOT send packets
    // (including probing packets; see Section 9.1) from a different local address to the address the peer used during the
    // handshake, unless the endpoint has acted on a preferred_address transport parameter from the peer.
    const moved = this.#preferred !== null && this.#preferred === core.paths.active;
    if (core.peerParameters?.disableActiveMigration === true && !moved) return "disabled";
    return core.paths.add(core.paths.active.remote, local) ?? "too_many";
  }

  /** Probes: an event tells how that went. Gives null where it is under way. */
  probe(path: Path, now: number): MigrationRefusal | null {
    const core = this.#core;
    core.now = now;
    if (path !== core.paths.active && path.cidSequence < 0) {
      path.cidSequence = core.remoteCids.take();
      if (path.cidSequence < 0) return "no_spare_id";
    }
    core.paths.probe(path, now);
    return null;
  }

  /** One ack-eliciting packet goes over `path`: a PING where that is in use, else a probe, which moves nobody (rfc9000#9.1). */
  ping(path: Path): MigrationRefusal | null {
    const core = this.#core;
    if (path === core.paths.active) core.control.queuePing();
    else {
      if (path.held && path.cidSequence < 0) path.cidSequence = core.remoteCids.take();
      if (path.held && path.cidSequence < 0) return "no_spare_id";
      path.validation.ping();
    }
    core.wake();
    return null;
  }

  /** From now on everything goes over `path`. */
  switchTo(path: Path, now: number): MigrationRefusal | null {
    const core = this.#core;
    core.now = now;
    if (path === core.paths.active) return null;
    // rfc9000#9.2 an endpoint that has not validated the path may find out too late that it does not work.
    if (path.validation.state !== "succeeded" && !path.known) return "unvalidated";
    if (path.cidSequence < 0) path.cidSequence = core.remoteCids.take();
    if (path.cidSequence < 0) return "no_spare_id";
    core.paths.switchTo(path);
    // rfc9000#9.2 The endpoint migrates by sending non-probing packets: the server follows those.
    core.control.queuePing();
    core.wake();
    return null;
  }

  /** Client: the handshake is confirmed. rfc9000#9.6.1 the client SHOULD select one of the two addresses and probe it. */
  onConfirmed(): void {
    const core = this.#core;
    const offered = core.peerParameters?.preferredAddress;
    if (core.role === "server" || offered === undefined || !core.config.followPreferredAddress) return;
    const { remote, local } = core.paths.active;
    // rfc9000#9.6.2 A client MUST NOT use these for other connections, including connections that are resumed from the current
    // connection: nothing of them is remembered.
    // Of the family in use: only that is known to work from here.
    const chosen = remote.family === 6 ? offered.ipv6 : offered.ipv4;
    if (chosen === null) return;
    const path = core.paths.add(makeAddress(chosen.ip, chosen.port), local);
    if (path === null) return;
    this.#preferred = path;
    // Without a connection ID for it the server stays where it is.
    if (this.probe(path, core.now) !== null) core.paths.remove(path);
  }

  /** A probe was answered. */
  onUsable(path: Path): void {
    // rfc9000#9.6.2 A client that migrates to a preferred address MUST validate the address it chooses before migrating.
    // rfc9000#21.5.3 A client MUST NOT send non-probing frames to a preferred address prior to validating that address.
    // rfc9000#9.6.1 If path validation succeeds, the client SHOULD begin sending all future packets to the new server address
    // using the new connection ID and discontinue use of the old server address.
    if (path === this.#preferred) this.switchTo(path, this.#core.now);
  }

  /** A probe was not. */
  onFailed(path: Path): void {
    // rfc9000#9.6.1 If path validation fails, the client MUST continue sending all future packets to the server's original IP
    // address.
    if (path !== this.#preferred) return;
    this.#preferred = null;
    this.#core.paths.remove(path);
  }
}
