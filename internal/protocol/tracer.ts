// What happens inside, as typed events. Names and fields follow the qlog drafts (qlog-quic-events) where they have one.

import type { Level, PacketType, Role, Space } from "./constants.ts";

/** Why a packet or datagram was not processed. Tests assert on these. */
export type DropReason =
  /** No connection has this destination connection ID. */
  | "unknown_connection_id"
  /** A server got an Initial in a datagram under 1,200 bytes, rfc9000#14.1. */
  | "initial_too_small"
  /** Connection ID lengths, fixed bit, lengths: the header does not parse. */
  | "invalid_header"
  /** Version unknown to us; Version Negotiation was sent or not, rfc9000#6. */
  | "unsupported_version"
  /** The version is not that of the connection. */
  | "unexpected_version"
  /** Keys for this level do not exist yet, and no room to keep it. */
  | "keys_unavailable"
  /** 0-RTT that the server does not take, rfc9001#4.6.2. */
  | "early_data_rejected"
  /** Keys for this level are gone. */
  | "keys_discarded"
  /** Did not authenticate. */
  | "decryption_failed"
  /** Packet number seen before, rfc9000#12.3. */
  | "duplicate"
  /** Coalesced packet for another connection, rfc9000#12.2. */
  | "coalesced_dcid_mismatch"
  /** A packet type this role or this state does not take. */
  | "unexpected_packet"
  /** Version Negotiation that lists our version or comes too late, rfc9000#6.2. */
  | "invalid_version_negotiation"
  /** Retry that does not authenticate, comes twice or too late, rfc9000#17.2.5.2. */
  | "invalid_retry"
  /** From an address that is not the peer's while migration is not allowed. */
  | "unexpected_address"
  /** The connection is closing or draining. */
  | "connection_closing"
  /** Accept queue or handshakes in flight full. */
  | "server_busy"
  /** A hook of the application refused this client, or did not decide in time. */
  | "application_refused"
  /** Listener closed. */
  | "not_listening"
  /** More queued for one connection than its bound. */
  | "queue_overflow"
  /** The source address cannot be a peer's (port 0, or our own). */
  | "invalid_source"
  /** Rate limit of stateless answers reached. */
  | "rate_limited"
  /** A Retry token that is too old, of another address or connection, or came before. */
  | "invalid_token"
  /** A client has to prove its address first; it was sent a Retry. */
  | "address_unvalidated"
  /** The application's filter does not let this address in. */
  | "blocked"
  /** The connection ended with an error on this datagram. */
  | "connection_error";

/** Why a datagram (rfc9221) was not sent, or not given to the application. */
export type DatagramDropReason =
  /** The application sends faster than the path carries. */
  | "send_queue_full"
  /** The peer sends faster than the application reads. */
  | "receive_queue_full"
  /** Its time was over before it could leave. */
  | "expired"
  /** The path carries less than when it was queued. */
  | "too_large"
  /** The application took it back. */
  | "purged";

/** A frame as traces show it. `type` is qlog's name. */
export type TracedFrame = { readonly type: string } & { readonly [field: string]: unknown };

export interface PacketHeaderInfo {
  readonly type: PacketType;
  readonly number: number;
  readonly scid?: string;
  readonly dcid?: string;
  readonly version?: number;
  readonly keyPhase?: number;
}

interface Base {
  /** Monotonic ms, the clock of `now`. */
  readonly time: number;
}

export type TraceEvent =
  | (Base & {
      name: "connection_started";
      role: Role;
      local: string | null;
      remote: string;
      odcid: string;
      version: number;
    })
  | (Base & {
      name: "connection_closed";
      remote: boolean;
      error: string;
      errorCode: number | null;
      reason: string;
      application: boolean;
    })
  | (Base & { name: "connection_state_updated"; state: ConnectionStateName })
  | (Base & {
      name: "version_information";
      ours: readonly number[];
      theirs: readonly number[];
      chosen: number | null;
    })
  | (Base & { name: "alpn_information"; chosen: string })
  | (Base & {
      name: "parameters_set";
      owner: "local" | "remote";
      parameters: { readonly [name: string]: unknown };
    })
  /** Client: what is remembered of the server's limits counts for 0-RTT. */
  | (Base & { name: "parameters_restored"; parameters: { readonly [name: string]: unknown } })
  /** What became of the client's wish for 0-RTT. `refusal`: why not, where it is known: at the server. */
  | (Base & { name: "early_data"; accepted: boolean; refusal: string | null })
  | (Base & {
      name: "packet_sent";
      header: PacketHeaderInfo;
      size: number;
      frames: readonly TracedFrame[];
      ecn: number;
      datagramId: number;
    })
  | (Base & {
      name: "packet_received";
      header: PacketHeaderInfo;
      size: number;
      frames: readonly TracedFrame[];
      ecn: number;
    })
  | (Base & {
      name: "packet_dropped";
      reason: DropReason;
      packetType: PacketType | null;
      size: number;
      detail?: string;
    })
  /** What an application protocol says of itself: `event` is qlog's name for it, `data` what qlog writes. */
  | (Base & { name: "application_event"; event: string; data: object })
  | (Base & { name: "datagram_dropped"; reason: DatagramDropReason; length: number; received: boolean })
  | (Base & { name: "packet_buffered"; packetType: PacketType; size: number })
  | (Base & {
      name: "packet_lost";
      space: Space;
      number: number;
      trigger: "reordering_threshold" | "time_threshold" | "pto_expired";
    })
  | (Base & { name: "packets_acked"; space: Space; numbers: readonly number[] })
  /** Packets declared lost that arrived after all. */
  | (Base & { name: "spurious_loss"; space: Space; count: number })
  | (Base & {
      name: "key_updated";
      level: Level;
      owner: "local" | "remote";
      phase: number;
      trigger: "tls" | "local_update" | "remote_update";
    })
  | (Base & { name: "key_discarded"; level: Level })
  | (Base & {
      name: "recovery_parameters_set";
      initialWindow: number;
      initialRtt: number;
      maxDatagramSize: number;
      controller: string;
    })
  | (Base & {
      name: "recovery_metrics_updated";
      cwnd: number;
      bytesInFlight: number;
      smoothedRtt: number;
      latestRtt: number;
      minRtt: number;
      rttVariance: number;
      ssthresh: number;
      ptoCount: number;
      pacingRate: number;
    })
  | (Base & { name: "congestion_state_updated"; state: string; trigger?: string })
  /** The application's controller threw or said nonsense; the default one took its place. */
  | (Base & { name: "congestion_control_failed"; controller: string; reason: string })
  | (Base & { name: "timer_updated"; timer: string; action: "set" | "expired" | "cancelled"; delta: number })
  | (Base & { name: "stream_state_updated"; streamId: number; side: "sending" | "receiving"; state: string })
  | (Base & {
      name: "stream_data_moved";
      streamId: number;
      offset: number;
      length: number;
      from: "application" | "transport";
      to: "application" | "transport";
    })
  | (Base & {
      name: "path_updated";
      local: string | null;
      remote: string;
      state: "validating" | "validated" | "abandoned" | "active";
    })
  | (Base & { name: "mtu_updated"; mtu: number })
  /** `owner` uses another connection ID from now on. */
  | (Base & { name: "connection_id_updated"; owner: "local" | "remote"; old: string; new: string })
  | (Base & { name: "ecn_state_updated"; state: "testing" | "unknown" | "failed" | "capable" })
  | (Base & { name: "server_listening"; local: string })
  /** The switch that refuses new clients was turned. */
  | (Base & { name: "server_busy"; busy: boolean })
  | (Base & {
      name: "stateless_sent";
      kind: "version_negotiation" | "retry" | "stateless_reset" | "connection_close";
      remote: string;
    });

export type ConnectionStateName =
  | "attempted"
  | "peer_validated"
  | "handshake_started"
  | "early_write"
  | "handshake_complete"
  | "handshake_confirmed"
  | "closing"
  | "draining"
  | "closed";

/** What is known of a connection before its first event. */
export interface TracerInfo {
  readonly role: Role;
  /** Original destination connection ID in hexadecimal: the same on both sides, and unique. */
  readonly odcid: string;
}

/** A tracer for all connections, or what makes one for each. */
export type TracerSource = Tracer | ((info: TracerInfo) => Tracer | null);

/**
 * Receives events, synchronously, in order. Where no tracer is set the protocol pays one branch per packet.
 * A tracer must not call back into the connection.
 */
export interface Tracer {
  record(event: TraceEvent): void;
}
