/**
 * The protocol without I/O: endpoints and connections that you feed datagrams and time, and that give you datagrams,
 * deadlines and events. For embedding QUIC in a loop of your own, and for simulation.
 *
 * @module
 */

import type { ServerConnectionOptions } from "../internal/connection/server.ts";
import type { ClientConnectionOptions } from "../internal/connection/client.ts";
import { Endpoint as BaseEndpoint } from "../internal/endpoint/endpoint.ts";
import { connections } from "../internal/endpoint/factory.ts";
import type { EndpointOptions } from "../internal/endpoint/types.ts";

export { afterVersionNegotiation } from "../internal/connection/client.ts";
export { connectionConfig, type ConnectionConfig } from "../internal/connection/config.ts";
export { Connection } from "../internal/connection/connection.ts";
export type { ConnectionEvent } from "../internal/connection/events.ts";
export type { ClientConnectionOptions, ServerConnectionOptions };
export type { EndpointOptions, EndpointEvent, EndpointStats } from "../internal/endpoint/types.ts";
export { RxBatch, TxBatch } from "../internal/protocol/batch.ts";
export { makeAddress, type Address } from "../internal/protocol/address.ts";
export type { RandomSource } from "../internal/protocol/random.ts";
export type { Tracer, TraceEvent, DropReason } from "../internal/protocol/tracer.ts";
export type { Stream as CoreStream } from "../internal/stream/stream.ts";
export type { RecvHalf } from "../internal/stream/recv.ts";
export type { SendHalf } from "../internal/stream/send.ts";
export type { CryptoProvider } from "../internal/crypto/provider.ts";
export { nodeProvider } from "../internal/crypto/node.ts";
export { nobleProvider } from "../internal/crypto/noble.ts";
export { loadIdentity } from "../internal/tls/identity.ts";
export type { Identity, PendingRequest, PendingAnswer, VerifyResult } from "../internal/tls/types.ts";
export { loadTrustAnchors, verifyChain } from "../internal/tls/x509/path.ts";

/** Many connections, both roles, one socket's worth of datagrams. See the verbs on the class. */
export class Endpoint extends BaseEndpoint {
  constructor(options: EndpointOptions) {
    super(options, connections);
  }
}
