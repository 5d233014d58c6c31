import type { CongestionControl } from "../congestion/control.ts";
import { WIDE } from "../protocol/wide.ts";
import type { Recovery } from "../recovery/loss-recovery.ts";
import type { EcnState } from "../recovery/ecn-validation.ts";
import type { RttEstimator } from "../recovery/rtt.ts";

/** Counters of one connection. Plain numbers, updated in place. */
export class ConnectionStats {
  packetsSent = 0;
  packetsReceived = 0;
  bytesSent = WIDE;
  bytesReceived = WIDE;
  datagramsSent = 0;
  datagramsReceived = 0;
  packetsDropped = 0;
  packetsBuffered = 0;
  duplicatePackets = 0;
  /** Times that the 1-RTT keys changed, by whose wish ever: rfc9001#6. */
  keyUpdates = 0;
  /** Times that written data had to wait for the peer's limits or for the congestion window. */
  blockCount = 0;
  /** Monotonic ms. */
  handshakeStart = 0;
  /** Ms from the first packet to the completed handshake, 0 until then. */
  handshakeDuration = 0;

  constructor() {
    this.bytesSent = this.bytesReceived = 0;
  }
}

/** Counters and estimates at one moment; times in ms, sizes in bytes. */
export interface StatisticsSnapshot {
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly datagramsSent: number;
  readonly datagramsReceived: number;
  readonly packetsLost: number;
  readonly spuriousLosses: number;
  readonly packetsDropped: number;
  readonly duplicatePackets: number;
  /** Times that the 1-RTT keys changed, by whose wish ever: rfc9001#6. */
  readonly keyUpdates: number;
  /** Times that written data had to wait for the peer's limits, or that the congestion window was full. */
  readonly blockCount: number;
  readonly handshakeDuration: number;
  readonly smoothedRtt: number;
  readonly minRtt: number;
  readonly latestRtt: number;
  readonly rttVariance: number;
  readonly ptoCount: number;
  readonly congestionWindow: number;
  readonly bytesInFlight: number;
  /** Bytes that may leave in one burst, and bytes per ms at which more follow: rfc9002#7.7. */
  readonly sendQuantum: number;
  readonly pacingRate: number;
  /** Bytes of the largest UDP payload that we send on the path in use. */
  readonly mtu: number;
  /** Whether what we send is marked for ECN on this path: rfc9000#13.4.2. */
  readonly ecn: EcnState;
  /** Packets of ours that routers marked instead of dropping them. */
  readonly ecnCongested: number;
}

export function snapshot(
  stats: ConnectionStats,
  rtt: RttEstimator,
  controller: CongestionControl,
  recovery: Recovery,
  mtu: number,
): StatisticsSnapshot {
  return {
    packetsSent: stats.packetsSent,
    packetsReceived: stats.packetsReceived,
    bytesSent: stats.bytesSent,
    bytesReceived: stats.bytesReceived,
    datagramsSent: stats.datagramsSent,
    datagramsReceived: stats.datagramsReceived,
    packetsLost: recovery.lostPackets,
    spuriousLosses: recovery.spuriousLosses,
    packetsDropped: stats.packetsDropped,
    duplicatePackets: stats.duplicatePackets,
    keyUpdates: stats.keyUpdates,
    blockCount: stats.blockCount,
    handshakeDuration: stats.handshakeDuration,
    smoothedRtt: rtt.smoothed,
    minRtt: rtt.min,
    latestRtt: rtt.latest,
    rttVariance: rtt.variance,
    ptoCount: recovery.timer.ptoCount,
    congestionWindow: controller.cwnd,
    bytesInFlight: recovery.bytesInFlight,
    sendQuantum: controller.sendQuantum,
    pacingRate: controller.pacingRate(Math.max(rtt.smoothed, 0.01)),
    mtu,
    ecn: recovery.ecn.state,
    ecnCongested: recovery.ecn.congested,
  };
}
