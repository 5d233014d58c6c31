// What a connection does when its paths change: rfc9000#9.

import type { Path } from "../path/path.ts";
import type { PathSetHost } from "../path/path-set.ts";
import { APPLICATION, NO_VIABLE_PATH } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { INITIAL_RTT } from "../recovery/rtt.ts";
import type { Connection } from "./connection.ts";
import { estimatesOf, type PathEstimates, PathLedger } from "./path-ledger.ts";
import { tracePath } from "./trace-start.ts";

export class PathKeeper implements PathSetHost {
  readonly #connection: Connection;
  #ledger: PathLedger | null = null;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get handshakeConfirmed(): boolean {
    return this.#connection.handshakeConfirmed;
  }

  /** Of a path of this connection. */
  estimates(path: Path): PathEstimates {
    return estimatesOf(this.#connection, this.#ledger, path);
  }

  pathPto(): number {
    return Math.max(this.#connection.recovery.timer.pto(APPLICATION), 3 * INITIAL_RTT);
  }

  pathActivated(path: Path, previous: Path, peerChangedCid: boolean): void {
    const connection = this.#connection;
    const { remoteCids } = connection;
    // rfc9000#9.5 an endpoint that moves on purpose uses a new connection ID; so do we towards it.
    const { currentSequence } = remoteCids;
    if (path.cidSequence >= 0 && remoteCids.switchTo(path.cidSequence))
      previous.cidSequence = currentSequence;
    else if (peerChangedCid) remoteCids.rotate();
    path.cidSequence = -1;
    const token = remoteCids.currentResetToken;
    if (token !== null) connection.addResetToken(token, path.remote);
    path.spin.reset();
    if (path.mtu !== previous.mtu) connection.onMtu(path.mtu);
    connection.events.push({ type: "path_changed", remote: path.remote.key, path });
    tracePath(connection, path, "active");
  }

  pathMeasured(_path: Path, previous: Path): void {
    (this.#ledger ??= new PathLedger(this.#connection)).onLeft(previous);
  }

  pathValidated(_path: Path, reset: boolean): void {
    // rfc9000#9.4 This timer SHOULD be set as described in Section 6.2.1 of [QUIC-RECOVERY] and MUST NOT be more
    // aggressive.
    if (!reset) return;
    const connection = this.#connection;
    connection.recovery.onNewPath(connection.now);
    connection.giveToken();
  }

  pathProbed(path: Path): void {
    tracePath(this.#connection, path, "validating");
  }

  // A peer that moves to and fro cannot fill the queue with these two: each is of a validation of ours, of which a path has
  // one at a time.
  pathUsable(path: Path): void {
    const connection = this.#connection;
    tracePath(connection, path, "validated");
    connection.events.push({ type: "path_validated", path });
    connection.migration.onUsable(path);
  }

  pathForgotten(path: Path): void {
    if (path.cidSequence >= 0) this.#connection.remoteCids.release(path.cidSequence);
    path.cidSequence = -1;
    this.#ledger?.forget(path);
  }

  pathAbandoned(path: Path): void {
    const connection = this.#connection;
    tracePath(connection, path, "abandoned");
    connection.events.push({ type: "path_failed", path });
    connection.migration.onFailed(path);
  }

  noViablePath(): void {
    this.#connection.closeSilently(
      new TransportError(NO_VIABLE_PATH, "no viable path: the peer's new address did not answer"),
    );
  }

  pathsChanged(): void {
    this.#connection.wake();
  }
}
