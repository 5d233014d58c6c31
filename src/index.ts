/**
 * QUIC for Node.js: a `Transport` owns one UDP socket and gives `listen()` and `dial()`.
 *
 * @module
 */

export type { AdmissionOptions, Rate } from "./admission.ts";
export { acceptFrom } from "./accept-from.ts";
export { dialAddr, dialAddrEarly, listenAddr, listenAddrEarly } from "./addr.ts";
export type { ClientHello, ClientHelloAnswer, ClientHelloOptions } from "./client-hello.ts";
export type { Config, PathMTUSearch } from "./config.ts";
export { Connection } from "./connection.ts";
export type { BlockedEvent } from "./connection-controls.ts";
export { Error0RTTRejected, memoryReplayFilter, type ReplayFilter } from "./early-data.ts";
export {
  type DatagramOptions,
  type DatagramOutcome,
  DatagramQueue,
  type DatagramQueueBounds,
  type DatagramQueues,
  type DatagramStatistics,
  DatagramsUnsupportedError,
  DatagramTooLargeError,
} from "./datagrams.ts";
export type { ClientInfo, ConfigAnswer, IncomingOptions } from "./incoming.ts";
export { MigrationError, Path, type PathEvent, type PathInfo, type PathStatistics } from "./path.ts";
export {
  ConnectionIdError,
  type ConnectionIds,
  type ConnectionIdOptions,
  type InitialConnectionIds,
  type IssueOptions,
  type RetiredConnectionId,
} from "./connection-ids.ts";
export {
  type ConnectionIdGenerator,
  QuicLbDecoder,
  QuicLbGenerator,
  type QuicLbLayout,
  type QuicLbServer,
  unroutableConnectionIds,
} from "./quic-lb.ts";
export {
  type CloseInfo,
  type ConnectionState,
  type ConnectionStatistics,
  type EphemeralKeyInfo,
  StreamLimitReachedError,
} from "./connection-state.ts";
export type { LiveOptions } from "./live-options.ts";
export { Listener, ListenerBusyError, ListenerClosedError } from "./listener.ts";
export { refuse, type Refusal } from "./refuse.ts";
export { ReceiveStream, StreamLockedError } from "./receive-stream.ts";
export { type Lookup, ResolveError, type Target } from "./resolve.ts";
export { type SendQueueInfo, SendStream, StreamClosedError, type StreamPriority } from "./send-stream.ts";
export type { ConnectionSendQueue } from "./send-queue.ts";
export { selfSigned, type SelfSigned, type SelfSignedOptions } from "./self-signed.ts";
export { memorySessionCache, type Psk, type SessionCache, type SessionOptions } from "./sessions.ts";
export { memoryTokenStore, type TokenStore } from "./token-store.ts";
export { Stream } from "./stream.ts";
export {
  CertificateError,
  type PeerInfo,
  type PemOrDer,
  type SniAnswer,
  type SniIdentity,
  type TlsOptions,
} from "./tls-options.ts";
export { Transport } from "./transport.ts";
export type { DialOptions, TransportOptions } from "./transport-options.ts";
export { SocketError, TransportClosedError } from "./transport-errors.ts";
export { QuicVersion } from "./versions.ts";
export { DeadlineExceededError, type DeadlineOptions, type WaitOptions } from "./waiter.ts";
export {
  ApplicationError,
  HandshakeTimeoutError,
  IdleTimeoutError,
  InvalidOptionError,
  QuicError,
  type QuicErrorCode,
  StatelessResetError,
  StreamError,
  TransportError,
  VersionNegotiationError,
} from "../internal/protocol/errors.ts";
export type {
  DatagramDropReason,
  DropReason,
  TraceEvent,
  TracedFrame,
  Tracer,
  TracerInfo,
  TracerSource,
} from "../internal/protocol/tracer.ts";
export type {
  AckedBatch,
  CongestionController,
  CongestionControllerFactory,
  CongestionControllerOptions,
} from "../internal/congestion/controller.ts";
export {
  DeliveryRate,
  type LostPacket,
  type RateSample,
  type SendSnapshots,
} from "../internal/congestion/delivery-rate.ts";
export type { CongestionControllerName } from "../internal/congestion/controllers.ts";
export type { BlockedBy } from "../internal/stream/send.ts";
export { type Address, makeAddress } from "../internal/protocol/address.ts";
export { RxBatch, TxBatch } from "../internal/protocol/batch.ts";
export type { PacketConn, PacketSink, SocketDescription } from "../internal/udp/packet-conn.ts";
export type { SocketControls } from "../internal/udp/socket-controls.ts";
export type { EndpointStats } from "../internal/endpoint/types.ts";
