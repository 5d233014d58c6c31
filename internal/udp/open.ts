// Which socket a transport gets.

import { DgramConn, type DgramOptions } from "./dgram.ts";
import { NativeConn } from "./native.ts";
import { nativeSupport } from "./native-probe.ts";
import type { PacketConn } from "./packet-conn.ts";

/** "auto": the fast socket where it works, else dgram. */
export type UdpKind = "auto" | "native" | "dgram";

export interface OpenOptions extends DgramOptions {
  /** Default: what the environment variable QUIC_TS_UDP says, else "auto". */
  udp?: UdpKind;
  reusePort?: boolean;
}

/** Opens and binds a socket. Throws the system's error, and where "native" was asked for and cannot be had. */
export async function openSocket(options: OpenOptions): Promise<PacketConn> {
  const asked = options.udp ?? process.env["QUIC_TS_UDP"];
  const support = asked === "dgram" ? null : nativeSupport();
  if (support !== null) return NativeConn.bind(support.libc, support.uv, support.can, options);
  if (options.udp === "native") {
    throw new Error(
      'the native socket needs 64-bit Linux, the optional package koffi, and the main thread; use udp: "auto"',
    );
  }
  return DgramConn.bind(options);
}
