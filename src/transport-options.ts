// What a Transport and its `dial` are told.

import { InvalidOptionError } from "../internal/protocol/errors.ts";
import type { TracerSource } from "../internal/protocol/tracer.ts";
import type { UdpKind } from "../internal/udp/open.ts";
import type { PacketConn } from "../internal/udp/packet-conn.ts";
import type { AdmissionOptions } from "./admission.ts";
import type { ConnectionIdOptions, InitialConnectionIds } from "./connection-ids.ts";
import type { IncomingOptions } from "./incoming.ts";
import type { Lookup } from "./resolve.ts";
import type { WaitOptions } from "./waiter.ts";

/** Options of a Transport. */
export interface TransportOptions extends AdmissionOptions, IncomingOptions, ConnectionIdOptions {
  /** Local address, default `::` for both families (`0.0.0.0` where there is no IPv6). A name of this host works too. */
  address?: string;
  /** Local UDP port, default 0: any. */
  port?: number;
  /** IPv6 alone on an IPv6 address. Default false. */
  ipv6Only?: boolean;
  /** Let several sockets bind the port. */
  reuseAddr?: boolean;
  /** Kernel buffers to ask for, bytes. Default 4 MiB each. */
  receiveBufferSize?: number;
  sendBufferSize?: number;
  /**
   * Which socket: "native" is Linux's own calls with segmentation offload, ECN and per-datagram local addresses, through
   * the optional package koffi; "dgram" is node:dgram. Default "auto": the native one where it works, else dgram. The
   * environment variable QUIC_TS_UDP sets the default.
   */
  udp?: UdpKind;
  /**
   * Lets several processes bind the same port, the kernel spreads peers over them (SO_REUSEPORT). With node:dgram it needs
   * Node 22.12 or 23.1, older ones ignore it; where the system has no such thing, opening fails with its error.
   */
  reusePort?: boolean;
  /**
   * The longest wait for an answer that is spent awake, ms, where answers typically come faster than that: on
   * loopback and within a rack that makes exchanges of small messages several times as fast, at the price of CPU time
   * between them. Default 0.4; 0 for never. On one core it is never done.
   */
  busyPoll?: number;
  /** Your own socket instead of ours. `close` leaves it open: it is yours. */
  socket?: PacketConn;
  /** 32 bytes, kept across restarts: lets peers learn at once that their connection is gone (rfc9000#10.3). */
  statelessResetKey?: Uint8Array;
  /** Drop packets of versions nobody here speaks instead of answering with Version Negotiation (rfc9000#6). Default false. */
  disableVersionNegotiationPackets?: boolean;
  /** Resolves names when dialing. Default `dns.lookup`. */
  lookup?: Lookup;
  /** Receives what concerns no connection: stateless answers, dropped datagrams. */
  tracer?: TracerSource;
}

/** Options of dialing: an abort signal, the IP family (0: both), and the first connection IDs. */
export interface DialOptions extends WaitOptions, InitialConnectionIds {
  family?: 0 | 4 | 6;
}

/** @internal Those that nobody else looks at. @throws {InvalidOptionError} */
export function checkTransportOptions(options: TransportOptions): void {
  const { port, statelessResetKey } = options;
  if (port !== undefined && (!Number.isInteger(port) || port < 0 || port > 65535)) {
    throw new InvalidOptionError("port", `an integer from 0 to 65535, not ${String(port)}`);
  }
  const { busyPoll } = options;
  if (busyPoll !== undefined && !(busyPoll >= 0 && busyPoll <= 100)) {
    throw new InvalidOptionError("busyPoll", `milliseconds from 0 to 100, not ${String(busyPoll)}`);
  }
  if (statelessResetKey !== undefined && statelessResetKey.length < 16) {
    throw new InvalidOptionError("statelessResetKey", "at least 16 random bytes; 32 are recommended");
  }
  if (options.connContext !== undefined && typeof options.connContext !== "function") {
    throw new InvalidOptionError("connContext", "a function");
  }
}
