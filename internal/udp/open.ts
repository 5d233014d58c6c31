// Which socket a transport gets.

import { DgramConn } from "./dgram.ts";
import { NativeConn } from "./native.ts";
import { nativeSupport, type NativeSupport } from "./native-probe.ts";
import type { BindOptions, PacketConn } from "./packet-conn.ts";

/** "auto": the fast socket where it works, else dgram. */
export type UdpKind = "auto" | "native" | "dgram";

export interface OpenOptions extends BindOptions {
  /** Default: what the environment variable QUIC_TS_UDP says, else "auto". */
  udp?: UdpKind;
}

/**
 * Opens and binds a socket. Throws the system's error, and where "native" was asked for and cannot be had.
 * `native` says what there is; tests put failures there.
 */
export async function openSocket(
  options: OpenOptions,
  native: () => NativeSupport | null = nativeSupport,
): Promise<PacketConn> {
  const asked = options.udp ?? process.env["QUIC_TS_UDP"];
  const support = asked === "dgram" ? null : native();
  if (support !== null) {
    try {
      return NativeConn.bind(support.libc, support.uv, support.can, options);
    } catch (error) {
      // Who asked for it, or for what dgram may not have, is told.
      if (options.udp === "native" || options.reusePort === true || !isOurs(error)) throw error;
      return DgramConn.bind(options);
    }
  }
  if (options.udp === "native") {
    throw new Error(
      'the native socket needs 64-bit Linux, the optional package koffi, and the main thread; use udp: "auto"',
    );
  }
  return DgramConn.bind(options);
}

/**
 * Whether it is about what only the native socket asks of the system: socket options, which a kernel or a sandbox may
 * refuse though the probe's few were taken, and libuv's poll handle. dgram meets all else as well.
 */
function isOurs(error: unknown): boolean {
  const { syscall } = error as NodeJS.ErrnoException;
  return syscall === "setsockopt" || syscall === "uv_poll_init";
}
