// What one connection is told when it is made. src fills it from the public options; every default is a named limit.

import type { CongestionControllerFactory } from "../congestion/controller.ts";
import { defaultController } from "../congestion/controllers.ts";
import type { CryptoProvider } from "../crypto/provider.ts";
import { KEY_USE, type KeyUse } from "../handshake/protection.ts";
import * as limits from "../protocol/limits.ts";
import { VERSION_1, VERSION_2 } from "../protocol/constants.ts";
import { MTU_SEARCH, type MtuSearch } from "../path/mtu-discovery.ts";
import type { SpinMode } from "../path/spin-bit.ts";
import type { RandomSource } from "../protocol/random.ts";
import type { StreamLimits } from "../stream/streams.ts";
import type { TracerSource } from "../protocol/tracer.ts";
import type { PreferredAddress } from "../wire/transport-parameters.ts";
import type { DatagramQueueLimits } from "./datagrams.ts";

/** Settings of one connection. Times in ms, sizes in bytes. */
export interface ConnectionConfig extends StreamLimits {
  readonly provider: CryptoProvider;
  readonly random: RandomSource;
  /** Versions we speak, the preferred one first. */
  readonly versions: readonly number[];
  /** Server: that order counts where the client can do several (rfc9368#2.3), not the client's own. */
  readonly honorVersionOrder: boolean;
  /** Client: the version of the first flight; the first of `versions` by default. */
  readonly originalVersion?: number;
  /** rfc9000#17.4 */
  readonly spinBit: SpinMode;
  /** rfc9287: announce that the QUIC bit may be 0, and send it unpredictable to peers that announce the same. */
  readonly greaseQuicBit: boolean;
  /** 0 switches the idle timeout off (on our side). */
  readonly maxIdleTimeout: number;
  readonly handshakeTimeout: number;
  /** A PING after so much quiet; 0 is off. Never more than half of the idle timeout. */
  readonly keepAlivePeriod: number;
  /** Largest UDP payload we send from the first packet on, at least 1,200. */
  readonly datagramSize: number;
  /** Largest UDP payload that is tried, where `mtuDiscovery` finds that it arrives: rfc9000#14.3. */
  readonly maxDatagramSize: number;
  /** Look for it by probes: rfc8899. Only on paths over sockets that set DF (rfc9000#14). */
  readonly mtuDiscovery: boolean;
  readonly mtuSearch: MtuSearch;
  /** Whether the connection's first socket sets DF; others tell of themselves (`markForeign`). */
  readonly dontFragment: boolean;
  /** Largest UDP payload we take, announced as max_udp_payload_size. */
  readonly maxUdpPayloadSize: number;
  /** Largest DATAGRAM frame we take, announced as max_datagram_frame_size (rfc9221#3); 0: none at all. */
  readonly maxDatagramFrameSize: number;
  readonly datagramSendQueue: DatagramQueueLimits;
  readonly datagramReceiveQueue: DatagramQueueLimits;
  readonly congestionControl: CongestionControllerFactory;
  readonly pacing: boolean;
  /** Ask peers that can (ack-frequency draft) for the ACKs that the window and the round trip need, instead of every other. */
  readonly ackFrequency: boolean;
  /** Ack-eliciting packets after which an ACK leaves at once, where the peer does not say: rfc9000#13.2.2. */
  readonly ackElicitingThreshold: number;
  /** Mark what we send as ECN-capable where the path proves to carry it: rfc9000#13.4.2. The socket has to be able to. */
  readonly ecn: boolean;
  readonly activeConnectionIdLimit: number;
  readonly disableActiveMigration: boolean;
  /** Client: move to the address that the server prefers (rfc9000#9.6), where that answers. */
  readonly followPreferredAddress: boolean;
  /** Server: where clients should move to after the handshake. Packets that come there have to reach the endpoint. */
  readonly preferredAddress: Omit<PreferredAddress, "connectionId" | "statelessResetToken"> | null;
  /** When keys are changed, and when they are used up. */
  readonly keyUse: KeyUse;
  readonly keyLog: boolean;
  readonly tracer: TracerSource | null;
}

/** The defaults, with the two things that have none. */
export function connectionConfig(
  given: Pick<ConnectionConfig, "provider" | "random"> & Partial<ConnectionConfig>,
): ConnectionConfig {
  return {
    // Version 1 first: every server knows it, so that no round trip is lost, and version 2 has nothing more to give
    // than that it keeps paths open for change (rfc9369#1). Who prefers it says so.
    versions: [VERSION_1, VERSION_2],
    honorVersionOrder: false,
    spinBit: "off",
    greaseQuicBit: true,
    maxIdleTimeout: limits.IDLE_TIMEOUT,
    handshakeTimeout: limits.HANDSHAKE_TIMEOUT,
    keepAlivePeriod: 0,
    initialStreamWindow: limits.STREAM_WINDOW_INITIAL,
    maxStreamWindow: limits.STREAM_WINDOW_MAX,
    initialConnectionWindow: limits.CONNECTION_WINDOW_INITIAL,
    maxConnectionWindow: limits.CONNECTION_WINDOW_MAX,
    maxIncomingStreams: limits.MAX_INCOMING_STREAMS,
    maxIncomingUniStreams: limits.MAX_INCOMING_UNI_STREAMS,
    datagramSize: limits.INITIAL_DATAGRAM_SIZE,
    maxDatagramSize: limits.DEFAULT_DATAGRAM_SIZE,
    mtuDiscovery: false,
    mtuSearch: MTU_SEARCH,
    dontFragment: true,
    maxUdpPayloadSize: limits.MAX_DATAGRAM_SIZE,
    congestionControl: defaultController,
    maxDatagramFrameSize: 0,
    datagramSendQueue: limits.DATAGRAM_SEND_QUEUE,
    datagramReceiveQueue: limits.DATAGRAM_RECEIVE_QUEUE,
    pacing: true,
    ackFrequency: false,
    ackElicitingThreshold: limits.ACK_ELICITING_THRESHOLD,
    ecn: true,
    activeConnectionIdLimit: limits.ACTIVE_CONNECTION_ID_LIMIT,
    disableActiveMigration: false,
    followPreferredAddress: true,
    preferredAddress: null,
    keyUse: KEY_USE,
    keyLog: false,
    tracer: null,
    ...given,
  };
}
