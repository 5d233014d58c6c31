// Multicast, broadcast and hop limits of a socket, by node:dgram's names and for both kinds of sockets.

import type { Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { isIP, isIPv4 } from "node:net";
import { addressOf, nativeBuffer } from "../ffi/koffi.ts";
import type { Libc } from "../ffi/libc.ts";
import { makeAddress } from "../protocol/address.ts";
import { InvalidOptionError } from "../protocol/errors.ts";
import { writeSockaddr } from "./sockaddr.ts";
import * as L from "./socket-layout.ts";

/** What can be set on a UDP socket while it is in use. Each throws the system's error where that refuses. */
export interface SocketControls {
  /** Hops that datagrams may take, 1 to 255 (IP_TTL, IPV6_UNICAST_HOPS). */
  setTTL(hops: number): void;
  /** Whether datagrams may go to broadcast addresses (SO_BROADCAST). */
  setBroadcast(on: boolean): void;
  /** Hops of datagrams to multicast groups, 0 to 255. */
  setMulticastTTL(hops: number): void;
  /** Whether what is sent to a group comes back to sockets of this host. */
  setMulticastLoopback(on: boolean): void;
  /** Which interface datagrams to groups leave by: a local IPv4 address, or `::%eth0` (`::%2`) on an IPv6 socket. */
  setMulticastInterface(multicastInterface: string): void;
  /** Takes datagrams to `group`, on one interface (as above) or the system's choice. */
  addMembership(group: string, multicastInterface?: string): void;
  dropMembership(group: string, multicastInterface?: string): void;
  /**
   * IPv6: whether the kernel marks each flow with a label of its own (rfc6437), by which routers spread them. Native sockets
   * only.
   */
  setFlowLabels(on: boolean): void;
}

/** Those of a node:dgram socket. */
export function dgramControls(socket: Socket): SocketControls {
  return {
    setTTL: (hops) => void socket.setTTL(hops),
    setBroadcast: (on) => socket.setBroadcast(on),
    setMulticastTTL: (hops) => void socket.setMulticastTTL(hops),
    setMulticastLoopback: (on) => void socket.setMulticastLoopback(on),
    setMulticastInterface: (multicastInterface) => socket.setMulticastInterface(multicastInterface),
    addMembership: (group, multicastInterface) => socket.addMembership(group, multicastInterface),
    dropMembership: (group, multicastInterface) => socket.dropMembership(group, multicastInterface),
    setFlowLabels: () => {
      throw new InvalidOptionError("udp", '"native": node:dgram has no flow labels');
    },
  };
}

/** Those of a socket of the C library's. */
export class NativeControls implements SocketControls {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #family: 4 | 6;
  readonly #fail: (errno: number) => Error;

  /** @param fail makes the error of `setsockopt`. */
  constructor(libc: Libc, fd: number, family: 4 | 6, fail: (errno: number) => Error) {
    this.#libc = libc;
    this.#fd = fd;
    this.#family = family;
    this.#fail = fail;
  }

  setTTL(hops: number): void {
    // 0 and -1 mean other things to the kernel.
    check("hops", hops, 1);
    this.#both(L.IP_TTL, L.IPV6_UNICAST_HOPS, hops);
  }

  setBroadcast(on: boolean): void {
    this.#number(L.SOL_SOCKET, L.SO_BROADCAST, on ? 1 : 0);
  }

  setMulticastTTL(hops: number): void {
    check("hops", hops, 0);
    this.#both(L.IP_MULTICAST_TTL, L.IPV6_MULTICAST_HOPS, hops);
  }

  setMulticastLoopback(on: boolean): void {
    this.#both(L.IP_MULTICAST_LOOP, L.IPV6_MULTICAST_LOOP, on ? 1 : 0);
  }

  setMulticastInterface(multicastInterface: string): void {
    if (isIPv4(multicastInterface)) this.#set(L.SOL_IP, L.IP_MULTICAST_IF, ipv4(multicastInterface));
    else this.#number(L.SOL_IPV6, L.IPV6_MULTICAST_IF, interfaceIndex(multicastInterface));
  }

  addMembership(group: string, multicastInterface?: string): void {
    this.#membership(group, multicastInterface, L.IP_ADD_MEMBERSHIP, L.IPV6_JOIN_GROUP);
  }

  dropMembership(group: string, multicastInterface?: string): void {
    this.#membership(group, multicastInterface, L.IP_DROP_MEMBERSHIP, L.IPV6_LEAVE_GROUP);
  }

  setFlowLabels(on: boolean): void {
    if (this.#family === 4)
      throw new InvalidOptionError("address", "an IPv6 address: IPv4 has no flow labels");
    this.#number(L.SOL_IPV6, L.IPV6_AUTOFLOWLABEL, on ? 1 : 0);
  }

  #membership(group: string, multicastInterface: string | undefined, four: number, six: number): void {
    if (isIP(group) === 0) throw new InvalidOptionError("group", "the IP address of a multicast group");
    if (isIPv4(group)) {
      const request = new Uint8Array(8);
      request.set(ipv4(group));
      if (multicastInterface !== undefined) request.set(ipv4(multicastInterface), 4);
      this.#set(L.SOL_IP, four, request);
      return;
    }
    const request = new Uint8Array(20);
    const name = new Uint8Array(L.SOCKADDR_IN6_SIZE);
    writeSockaddr(name, makeAddress(group, 1), 6);
    request.set(name.subarray(8, 24));
    const index = multicastInterface === undefined ? 0 : interfaceIndex(multicastInterface);
    new DataView(request.buffer).setInt32(16, index, true);
    this.#set(L.SOL_IPV6, six, request);
  }

  /** On an IPv6 socket for the IPv4 peers as well, where it has such. */
  #both(four: number, six: number, value: number): void {
    if (this.#family === 6) this.#number(L.SOL_IPV6, six, value);
    this.#number(L.SOL_IP, four, value);
  }

  #number(level: number, option: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, value, true);
    this.#set(level, option, bytes);
  }

  #set(level: number, option: number, value: Uint8Array): void {
    const memory = nativeBuffer(24);
    memory.set(value);
    const { setsockopt, koffi } = this.#libc;
    if (setsockopt(this.#fd, level, option, addressOf(koffi, memory), value.length) !== 0) {
      throw this.#fail(this.#libc.errno());
    }
    // The call had the memory's address: it has to outlive it.
    if (memory.length === 0) throw new Error("unreachable");
  }
}

function check(name: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least || value > 255) {
    throw new InvalidOptionError(name, `an integer from ${least} to 255, not ${String(value)}`);
  }
}

function ipv4(ip: string): Uint8Array {
  if (!isIPv4(ip)) throw new InvalidOptionError("multicastInterface", "an IPv4 address of this host");
  return Uint8Array.from(ip.split("."), Number);
}

/** The number after "%" is the interface's, or its name is. */
function interfaceIndex(text: string): number {
  const scope = text.slice(text.lastIndexOf("%") + 1);
  if (/^\d+$/.test(scope)) return Number(scope);
  try {
    if (/^[\w.-]+$/.test(scope)) return Number(readFileSync(`/sys/class/net/${scope}/ifindex`, "utf8"));
  } catch {
    // There is none of that name.
  }
  throw new InvalidOptionError("multicastInterface", `"::%name" of an interface of this host, not "${text}"`);
}
