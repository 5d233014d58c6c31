// What a Transport needs of a socket. dgram implements it here; a user may bring any other.

import type { Address } from "../protocol/address.ts";
import type { RxBatch, TxBatch } from "../protocol/batch.ts";
import type { SocketControls } from "./socket-controls.ts";

/** Where a PacketConn delivers to. All calls come from the event loop, never from within `send`. */
export interface PacketSink {
  /** Datagrams arrived. The batch is the sink's until the call returns. */
  receive(batch: RxBatch): void;
  /** A batch given to `send` is free again. */
  drained(): void;
  /** A send failed for one destination (ENOBUFS, EPERM, EHOSTUNREACH, …): the datagram counts as lost. */
  sendFailed(error: Error): void;
  /** The socket is gone. */
  failed(error: Error): void;
}

/** A datagram socket: bring your own by implementing this. */
export interface PacketConn {
  /** Starts delivery. Called once, after which `address` is valid. */
  start(sink: PacketSink): void;
  /** An empty batch to fill, or null while all of them are on their way: wait for `drained`. */
  batch(): TxBatch | null;
  /** Sends a batch from `batch()`; its slab is the socket's until it is handed out again. Also takes it back empty. */
  send(batch: TxBatch): void;
  /** The local address. */
  address(): Address;
  /** Closes the socket; what was sent may still leave. Idempotent. */
  close(): Promise<void>;
  /** Whether the socket keeps the process alive. */
  ref(): void;
  unref(): void;
  /** Multicast, broadcast and hop limits, where the socket has them. */
  controls?(): SocketControls;
  /** What is in use, for `connectionState()`: kernel offloads, buffer sizes. */
  describe(): SocketDescription;
}

/** What a socket can do, and how large its kernel buffers are (bytes, 0 where unknown). */
export interface SocketDescription {
  readonly kind: string;
  readonly gso: boolean;
  readonly gro: boolean;
  readonly ecn: boolean;
  readonly dontFragment: boolean;
  readonly receiveBufferSize: number;
  readonly sendBufferSize: number;
}

/** What a socket of ours is bound with, whichever it is. */
export interface BindOptions {
  /** Local address, default `::` (dual stack) where IPv6 exists, else `0.0.0.0`. */
  address?: string;
  /** Default 0: any. */
  port?: number;
  /** Only IPv6 on an IPv6 socket. */
  ipv6Only?: boolean;
  reuseAddr?: boolean;
  /** SO_REUSEPORT: the kernel spreads peers over all sockets bound so. node:dgram has it from 22.12 and 23.1 on. */
  reusePort?: boolean;
  receiveBufferSize?: number;
  sendBufferSize?: number;
}
