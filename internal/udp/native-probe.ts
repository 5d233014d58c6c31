// Whether the fast socket works here, and with what: asked once, by doing it over loopback.

import { isMainThread } from "node:worker_threads";
import { addressOf, nativeBuffer } from "../ffi/koffi.ts";
import { loadLibc, type Libc } from "../ffi/libc.ts";
import { loadLibuv, type Libuv } from "../ffi/libuv.ts";
import { makeAddress } from "../protocol/address.ts";
import type { NativeCapabilities } from "./native.ts";
import { writeSockaddr } from "./sockaddr.ts";
import * as L from "./socket-layout.ts";

export interface NativeSupport {
  readonly libc: Libc;
  readonly uv: Libuv;
  readonly can: NativeCapabilities;
}

let probed: NativeSupport | null | undefined;

/** What the fast socket needs, or null where it cannot be used: then dgram is. */
export function nativeSupport(): NativeSupport | null {
  if (probed !== undefined) return probed;
  probed = null;
  // A handle of ours on a worker's loop aborts the process when the worker is terminated.
  if (!isMainThread) return null;
  const libc = loadLibc();
  if (libc === null) return null;
  const can = probe(libc);
  const uv = can === null ? null : loadLibuv();
  if (can !== null && uv !== null) probed = { libc, uv, can };
  return probed;
}

const SEGMENT = 100;

/** Sends two and a half segments to itself, and sees what comes back. Null where not even that works. */
export function probe(libc: Libc): NativeCapabilities | null {
  const memory = nativeBuffer(4096);
  const base = addressOf(libc.koffi, memory);
  const view = new DataView(memory.buffer);
  const [NAME, MESSAGE, IOV, DATA, OPTION] = [0, 64, 128, 256, 2048];
  const fd = libc.socket(L.AF_INET, L.SOCK_DGRAM | L.SOCK_NONBLOCK | L.SOCK_CLOEXEC, 0);
  if (fd < 0) return null;
  const set = (level: number, name: number, value: number): boolean => {
    view.setInt32(OPTION, value, true);
    return libc.setsockopt(fd, level, name, base + OPTION, 4) === 0;
  };
  const receive = (): number => {
    view.setBigUint64(IOV, BigInt(base + DATA), true);
    view.setBigUint64(IOV + 8, 1024n, true);
    memory.fill(0, MESSAGE, MESSAGE + L.MSGHDR.size);
    view.setBigUint64(MESSAGE + L.MSGHDR.iov, BigInt(base + IOV), true);
    view.setBigUint64(MESSAGE + L.MSGHDR.iovLength, 1n, true);
    return libc.recvmsg(fd, base + MESSAGE, L.MSG_DONTWAIT);
  };
  const send = (length: number): number => {
    view.setBigUint64(IOV, BigInt(base + DATA), true);
    view.setBigUint64(IOV + 8, BigInt(length), true);
    memory.fill(0, MESSAGE, MESSAGE + L.MSGHDR.size);
    view.setBigUint64(MESSAGE + L.MSGHDR.name, BigInt(base + NAME), true);
    view.setUint32(MESSAGE + L.MSGHDR.nameLength, L.SOCKADDR_IN_SIZE, true);
    view.setBigUint64(MESSAGE + L.MSGHDR.iov, BigInt(base + IOV), true);
    view.setBigUint64(MESSAGE + L.MSGHDR.iovLength, 1n, true);
    return libc.sendmsg(fd, base + MESSAGE, L.MSG_DONTWAIT);
  };
  try {
    writeSockaddr(memory.subarray(NAME, NAME + 28), makeAddress("127.0.0.1", 0), 4);
    if (libc.bind(fd, base + NAME, L.SOCKADDR_IN_SIZE) !== 0) return null;
    view.setUint32(OPTION, L.SOCKADDR_IN6_SIZE, true);
    if (libc.getsockname(fd, base + NAME, base + OPTION) !== 0) return null;
    // A plain datagram there and back: the layouts are right.
    memory.fill(0x5a, DATA, DATA + 50);
    if (send(50) !== 50) return null;
    memory.fill(0, DATA, DATA + 50);
    if (receive() !== 50 || memory[DATA] !== 0x5a || memory[DATA + 49] !== 0x5a) return null;
    const gso = set(L.SOL_UDP, L.UDP_SEGMENT, SEGMENT) && send(250) === 250;
    if (gso && (receive() !== SEGMENT || receive() !== SEGMENT || receive() !== 50)) return null;
    const gro = set(L.SOL_UDP, L.UDP_GRO, 1);
    // Switches for finding out what each is worth, and for kernels that have them and should not.
    return { gso: gso && process.env["QUIC_TS_GSO"] !== "0", gro: gro && process.env["QUIC_TS_GRO"] !== "0" };
  } catch {
    return null;
  } finally {
    libc.close(fd);
    // The calls above had addresses within it.
    memory[0] = 0;
  }
}
