// Network paths of a connection as the application sees them: rfc9000#9.

import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import type { ConnectionEvent } from "../internal/connection/events.ts";
import type { PathEstimates } from "../internal/connection/path-ledger.ts";
import type { MigrationRefusal } from "../internal/connection/migration.ts";
import type { Path as CorePath } from "../internal/path/path.ts";
import { QuicError } from "../internal/protocol/errors.ts";
import { monotonicNow } from "./driver.ts";
import { Waiter, type WaitOptions } from "./waiter.ts";

const REFUSALS: {
  readonly [refusal in MigrationRefusal | "unanswered" | "closed" | "active" | "unknown"]: string;
} = {
  server: "Servers do not move connections: the client does, or follows `preferredAddress`.",
  unconfirmed: "The handshake is not confirmed yet (rfc9000#9).",
  disabled: "The server asked for no active migration (disable_active_migration).",
  no_ids: "The transport has connection IDs of no length: make it with another `connectionIdLength`.",
  no_spare_id: "The server gave no connection ID for another path yet: try again a little later.",
  too_many: "The connection has as many paths as it may have: close one first.",
  unvalidated: "The path has not answered a probe: call `probe()` first.",
  unanswered: "The path did not answer: the probe's timeout is over.",
  closed: "The path was closed.",
  active: "The path is in use: switch to another one first.",
  unknown: "The connection has no such path: see `paths()`.",
};

/** Thrown where a connection cannot move as it was asked to; `refusal` says why in a word. */
export class MigrationError extends QuicError {
  readonly refusal: keyof typeof REFUSALS;
  /** @internal */
  constructor(refusal: keyof typeof REFUSALS) {
    const temporary = ["unconfirmed", "no_spare_id", "too_many", "unvalidated"].includes(refusal);
    super("ERR_QUIC_MIGRATION", REFUSALS[refusal], { temporary });
    this.refusal = refusal;
  }
}

/**
 * What went over one path so far, what it carries, and what was measured there. Bytes of UDP payload, times in ms. Estimates
 * are 0 where nothing was measured; those of a path that is not in use are of when it was, or of its last probe (rfc9000#9.4).
 */
export interface PathStatistics extends PathEstimates {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly datagramsSent: number;
  readonly datagramsReceived: number;
  /** Largest datagram that is sent there. */
  readonly mtu: number;
}

/** One of the paths of a connection, at the moment of asking. */
export interface PathInfo extends PathStatistics {
  /** `ip:port`; null where the platform does not tell. */
  readonly local: string | null;
  readonly remote: string;
  /** Whether data goes there. */
  readonly active: boolean;
  /** Whether the peer is known to be there: rfc9000#8. */
  readonly validated: boolean;
}

/** Something happened to a path. */
export interface PathEvent {
  /**
   * "active": data goes there now. "validated": a probe was answered, so that it works in both directions. "failed": none was.
   * Servers probe each new address of a client, and once more the one that it left (rfc9000#9.3.3).
   */
  readonly type: "active" | "validated" | "failed";
  readonly path: PathInfo;
}

/** @internal */
export function pathInfo(core: CoreConnection, path: CorePath): PathInfo {
  return {
    local: path.local?.key ?? null,
    remote: path.remote.key,
    active: path === core.paths.active,
    validated: path.held ? path.known || path.validation.state === "succeeded" : path.validated,
    ...statistics(core, path),
  };
}

function statistics(core: CoreConnection, path: CorePath): PathStatistics {
  const { bytesSent, bytesReceived, datagramsSent, datagramsReceived, mtu } = path;
  return {
    bytesSent,
    bytesReceived,
    datagramsSent,
    datagramsReceived,
    mtu,
    ...core.pathKeeper.estimates(path),
  };
}

/** A way to the server over another socket of ours. Made by `connection.addPath(transport)`. */
export class Path {
  readonly #core: CoreConnection;
  readonly #path: CorePath;
  readonly #flush: () => void;
  readonly #waiter: Waiter;
  readonly #failure: () => QuicError | null;
  #closed = false;

  /** @internal */
  constructor(core: CoreConnection, path: CorePath, flush: () => void, failure: () => QuicError | null) {
    this.#core = core;
    this.#path = path;
    this.#flush = flush;
    this.#failure = failure;
    this.#waiter = new Waiter(`probing the path from ${path.local?.key ?? "an address"}`);
  }

  /** Addresses, whether it is in use, and what went over it. */
  info(): PathInfo {
    return pathInfo(this.#core, this.#path);
  }

  /**
   * Finds out whether the path works in both directions (rfc9000#8.2), without using it: an exchange of small packets.
   * @throws {MigrationError} where it did not answer, or cannot be probed now; the connection's error; the signal's reason.
   */
  async probe(options?: WaitOptions): Promise<void> {
    this.#throwIfOver();
    options?.signal?.throwIfAborted();
    refuse(this.#core.migration.probe(this.#path, monotonicNow()));
    this.#flush();
    for (;;) {
      await this.#waiter.wait(options?.signal);
      this.#throwIfOver();
      const { state } = this.#path.validation;
      if (state === "succeeded") return;
      if (state !== "running") throw new MigrationError("unanswered");
    }
  }

  /** Sends one packet there that the peer has to acknowledge, as `connection.ping(path.info())`. @throws {MigrationError} */
  ping(): void {
    this.#throwIfOver();
    refuse(this.#core.migration.ping(this.#path));
    this.#flush();
  }

  /**
   * Has everything go over this path from now on (rfc9000#9.2). Congestion control and round trips begin anew (rfc9000#9.4).
   * The path that was in use stays, and can be switched back to.
   * @throws {MigrationError} where it was not probed.
   */
  switch(): void {
    this.#throwIfOver();
    refuse(this.#core.migration.switchTo(this.#path, monotonicNow()));
    this.#flush();
  }

  /**
   * Forgets the path.
   * @throws {MigrationError} while it is in use.
   */
  close(): void {
    if (this.#closed) return;
    if (this.#failure() === null && !this.#core.paths.remove(this.#path)) throw new MigrationError("active");
    this.#closed = true;
    this.#waiter.wake();
    this.#flush();
  }

  /** @internal */
  wake(): void {
    this.#waiter.wake();
  }

  #throwIfOver(): void {
    const failure = this.#failure();
    if (failure !== null) throw failure;
    if (this.#closed) throw new MigrationError("closed");
  }
}

/** @internal One ack-eliciting packet on the path of these addresses. @throws {MigrationError} */
export function pingPath(core: CoreConnection, { local, remote }: PathInfo): void {
  const path = core.paths.all.find(
    (each) => each.remote.key === remote && (each.local?.key ?? null) === local,
  );
  if (path === undefined) throw new MigrationError("unknown");
  refuse(core.migration.ping(path));
}

function refuse(refusal: MigrationRefusal | null): void {
  if (refusal !== null) throw new MigrationError(refusal);
}

type CorePathEvent = Extract<ConnectionEvent, { path: CorePath }>;
const TYPES = { path_changed: "active", path_validated: "validated", path_failed: "failed" } as const;

/** The paths of one connection. @internal */
export class Paths {
  readonly #core: CoreConnection;
  readonly #flush: () => void;
  readonly #failure: () => QuicError | null;
  readonly #made = new Map<CorePath, Path>();
  readonly #confirmation = new Waiter("the handshake's confirmation");

  constructor(core: CoreConnection, flush: () => void, failure: () => QuicError | null) {
    this.#core = core;
    this.#flush = flush;
    this.#failure = failure;
  }

  list(): PathInfo[] {
    return this.#core.paths.all.map((path) => pathInfo(this.#core, path));
  }

  /** Resolves when the handshake is confirmed: rfc9000#9 nobody moves before. */
  async confirmed(): Promise<void> {
    while (!this.#core.handshakeConfirmed) {
      await this.#confirmation.wait();
      const failure = this.#failure();
      if (failure !== null) throw failure;
    }
  }

  add(local: Parameters<CoreConnection["migration"]["add"]>[0]): Path {
    const path = this.#core.migration.add(local);
    if (typeof path === "string") throw new MigrationError(path);
    let made = this.#made.get(path);
    if (made === undefined) {
      made = new Path(this.#core, path, this.#flush, this.#failure);
      this.#made.set(path, made);
    }
    return made;
  }

  onConfirmed(): void {
    this.#confirmation.wake();
  }

  handle(event: CorePathEvent, listener: ((event: PathEvent) => void) | null): void {
    this.#made.get(event.path)?.wake();
    listener?.({ type: TYPES[event.type], path: pathInfo(this.#core, event.path) });
  }

  /** The connection ended. */
  end(): void {
    this.#confirmation.wake();
    for (const path of this.#made.values()) path.wake();
  }
}
