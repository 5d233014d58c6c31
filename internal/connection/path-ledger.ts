// What was measured on each path of one connection. rfc9000#9.4 measurements belong to one path: those of the path in use are
// the connection's own, and what they were is kept for the others.

import type { Path } from "../path/path.ts";
import type { Core } from "./core.ts";

/** Estimates of one path; times in ms, sizes in bytes, 0 where nothing is known. */
export interface PathEstimates {
  readonly smoothedRtt: number;
  readonly latestRtt: number;
  readonly minRtt: number;
  readonly rttVariance: number;
  readonly congestionWindow: number;
  readonly bytesInFlight: number;
  readonly packetsLost: number;
  readonly bytesLost: number;
}

const UNKNOWN: PathEstimates = {
  smoothedRtt: 0,
  latestRtt: 0,
  minRtt: 0,
  rttVariance: 0,
  congestionWindow: 0,
  bytesInFlight: 0,
  packetsLost: 0,
  bytesLost: 0,
};

/** Losses of a connection at one moment, as a place to count from. */
interface Mark {
  readonly packets: number;
  readonly bytes: number;
}

/** The paths of one connection that have been in use, and are not. Made when it moves for the first time. */
export class PathLedger {
  readonly #core: Core;
  readonly #left = new Map<Path, PathEstimates>();
  /** Since when losses are those of the path in use. */
  #since: Mark = { packets: 0, bytes: 0 };
  /** The path that packets of before the last move went to, and since when theirs are counted. */
  #previous: Path | null = null;
  #previousSince: Mark = { packets: 0, bytes: 0 };

  constructor(core: Core) {
    this.#core = core;
  }

  /** Measurements are of another path from now on, and were of `from` so far. */
  onLeft(from: Path): void {
    const { recovery } = this.#core;
    if (this.#previous !== null) this.#left.set(this.#previous, this.of(this.#previous));
    this.#left.set(from, { ...live(this.#core), ...this.#lossesInUse(from) });
    this.#since = { packets: recovery.losses.packets, bytes: recovery.losses.bytes };
    this.#previous = from;
    this.#previousSince = { packets: recovery.losses.latePackets, bytes: recovery.losses.lateBytes };
  }

  forget(path: Path): void {
    this.#left.delete(path);
    if (this.#previous === path) this.#previous = null;
  }

  of(path: Path): PathEstimates {
    const { recovery, paths } = this.#core;
    if (path === paths.measured) return { ...live(this.#core), ...this.#lossesInUse(path) };
    const known = this.#left.get(path) ?? UNKNOWN;
    if (path !== this.#previous) return known;
    // What had left for it when the connection moved may be found lost later; probes that are lost count here, too.
    return {
      ...known,
      packetsLost: known.packetsLost + recovery.losses.latePackets - this.#previousSince.packets,
      bytesLost: known.bytesLost + recovery.losses.lateBytes - this.#previousSince.bytes,
    };
  }

  #lossesInUse(path: Path): { packetsLost: number; bytesLost: number } {
    const { recovery } = this.#core;
    const before = this.#left.get(path) ?? UNKNOWN;
    const late = { packets: recovery.losses.latePackets, bytes: recovery.losses.lateBytes };
    return {
      packetsLost:
        before.packetsLost +
        (recovery.losses.packets - this.#since.packets) -
        (late.packets - this.#previousSince.packets),
      bytesLost:
        before.bytesLost +
        (recovery.losses.bytes - this.#since.bytes) -
        (late.bytes - this.#previousSince.bytes),
    };
  }
}

/** The connection's own estimates, which are those of the path in use. */
function live({ rtt, recovery, controller }: Core): PathEstimates {
  return {
    smoothedRtt: rtt.hasSample ? rtt.smoothed : 0,
    latestRtt: rtt.latest,
    minRtt: rtt.min,
    rttVariance: rtt.hasSample ? rtt.variance : 0,
    congestionWindow: controller.cwnd,
    bytesInFlight: recovery.bytesInFlight,
    packetsLost: recovery.losses.packets - recovery.losses.latePackets,
    bytesLost: recovery.losses.bytes - recovery.losses.lateBytes,
  };
}

/** What is known of `path`. A probe that was answered tells at least how long that took. */
export function estimatesOf(core: Core, ledger: PathLedger | null, path: Path): PathEstimates {
  const known = ledger !== null ? ledger.of(path) : path === core.paths.measured ? live(core) : UNKNOWN;
  const { rtt } = path.validation;
  if (path === core.paths.measured || rtt === 0) return known;
  if (known.smoothedRtt === 0)
    return { ...known, smoothedRtt: rtt, latestRtt: rtt, minRtt: rtt, rttVariance: rtt / 2 };
  return { ...known, latestRtt: rtt, minRtt: Math.min(known.minRtt, rtt) };
}
