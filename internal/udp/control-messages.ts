// Control messages (cmsg(3)): what the kernel tells about a datagram beside its bytes, and what it is told.

import { addressOf, nativeBuffer, type Koffi } from "../ffi/koffi.ts";
import { makeAddress, type Address } from "../protocol/address.ts";
import { formatIpv6, writeIpv4, writeIpv6 } from "./sockaddr.ts";
import { MAX_REMEMBERED_ADDRESSES } from "../protocol/limits.ts";
import * as L from "./socket-layout.ts";

const ECN_BITS = 3;

/** Reads what came with one receive. */
export class ControlReader {
  readonly address: number;
  readonly size = 256;
  /** Bytes of each datagram but the last; 0 where the receive is one datagram. */
  segmentSize = 0;
  ecn = 0;
  /** Where the datagram was sent to; null where the kernel does not say. */
  local: Address | null = null;
  readonly #bytes = nativeBuffer(this.size);
  readonly #words = new Int32Array(this.#bytes.buffer);
  readonly #port: number;
  readonly #locals = new Map<string, Address>();
  // The last local address, in four words: a server has few.
  readonly #lastWords = new Int32Array(4);
  #last: Address | null = null;

  constructor(koffi: Koffi, port: number) {
    this.address = addressOf(koffi, this.#bytes);
    this.#port = port;
  }

  read(length: number): void {
    const words = this.#words;
    this.segmentSize = 0;
    this.ecn = 0;
    this.local = null;
    for (let at = 0; at + L.CMSGHDR.size <= length;) {
      const size = words[at >> 2]!;
      if (size < L.CMSGHDR.size) return;
      const level = words[(at + L.CMSGHDR.level) >> 2];
      const type = words[(at + L.CMSGHDR.type) >> 2];
      const data = at + L.CMSGHDR.size;
      if (level === L.SOL_UDP && type === L.UDP_GRO) this.segmentSize = words[data >> 2]! & 0xffff;
      // IP_TOS comes as one byte, IPV6_TCLASS as an int.
      else if (level === L.SOL_IP && type === L.IP_TOS) this.ecn = this.#bytes[data]! & ECN_BITS;
      else if (level === L.SOL_IPV6 && type === L.IPV6_TCLASS) this.ecn = this.#bytes[data]! & ECN_BITS;
      // struct in_pktinfo: interface, address to answer from, destination in the header.
      else if (level === L.SOL_IP && type === L.IP_PKTINFO) this.local = this.#localAt(data + 8, 1);
      else if (level === L.SOL_IPV6 && type === L.IPV6_PKTINFO) this.local = this.#localAt(data, 4);
      at += (size + 7) & ~7;
    }
  }

  #localAt(at: number, count: number): Address {
    const words = this.#words;
    const lastWords = this.#lastWords;
    const from = at >> 2;
    let same = this.#last !== null && (this.#last.family === 4) === (count === 1 || this.#isMapped(from));
    for (let i = 0; same && i < count; i++) same = words[from + i] === lastWords[i];
    if (same) return this.#last!;
    for (let i = 0; i < 4; i++) lastWords[i] = i < count ? words[from + i]! : 0;
    const bytes = this.#bytes;
    const v4 = count === 1 ? at : this.#isMapped(from) ? at + 12 : -1;
    const ip =
      v4 < 0 ? formatIpv6(bytes, at) : `${bytes[v4]}.${bytes[v4 + 1]}.${bytes[v4 + 2]}.${bytes[v4 + 3]}`;
    let known = this.#locals.get(ip);
    if (known === undefined) {
      if (this.#locals.size >= MAX_REMEMBERED_ADDRESSES) this.#locals.clear();
      this.#locals.set(ip, (known = makeAddress(ip, this.#port)));
    }
    return (this.#last = known);
  }

  #isMapped(from: number): boolean {
    const words = this.#words;
    return words[from] === 0 && words[from + 1] === 0 && words[from + 2] === MAPPED;
  }
}

/** ::ffff:0:0/96, third word, as little-endian memory has it. */
const MAPPED = 0xffff0000 | 0;

/** Writes what goes with one send; what does not change from one to the next stays as it is. */
export class ControlWriter {
  readonly address: number;
  /** Bytes to pass, 0 for none. */
  length = 0;
  readonly #bytes = nativeBuffer(128);
  readonly #words = new Int32Array(this.#bytes.buffer);
  readonly #socketFamily: 4 | 6;
  #segment = 0;
  #ecn = 0;
  #family: 4 | 6 = 4;
  #local: Address | null = null;

  constructor(koffi: Koffi, socketFamily: 4 | 6) {
    this.address = addressOf(koffi, this.#bytes);
    this.#socketFamily = socketFamily;
  }

  /** `segment` 0: one datagram. `local` null: the system chooses. */
  prepare(segment: number, ecn: number, family: 4 | 6, local: Address | null): void {
    if (segment === this.#segment && ecn === this.#ecn && family === this.#family && local === this.#local) {
      return;
    }
    this.#segment = segment;
    this.#ecn = ecn;
    this.#family = family;
    this.#local = local;
    let at = 0;
    if (segment > 0) {
      const data = this.#header(at, L.SOL_UDP, L.UDP_SEGMENT, 2);
      this.#words[data >> 2] = segment;
      at = data + 8;
    }
    if (ecn !== 0) {
      // For an IPv4 peer of an IPv6 socket it is still IPv4's field.
      const data =
        family === 4
          ? this.#header(at, L.SOL_IP, L.IP_TOS, 4)
          : this.#header(at, L.SOL_IPV6, L.IPV6_TCLASS, 4);
      this.#words[data >> 2] = ecn;
      at = data + 8;
    }
    if (local !== null && local.family === family) {
      if (this.#socketFamily === 4) {
        const data = this.#header(at, L.SOL_IP, L.IP_PKTINFO, 12);
        this.#bytes.fill(0, data, data + 16);
        writeIpv4(this.#bytes, data + 4, local.ip);
        at = data + 16;
      } else {
        const data = this.#header(at, L.SOL_IPV6, L.IPV6_PKTINFO, 20);
        this.#bytes.fill(0, data, data + 24);
        if (local.family === 6) writeIpv6(this.#bytes, data, local.ip);
        else {
          this.#bytes[data + 10] = this.#bytes[data + 11] = 0xff;
          writeIpv4(this.#bytes, data + 12, local.ip);
        }
        at = data + 24;
      }
    }
    this.length = at;
  }

  /** Returns where the data goes. */
  #header(at: number, level: number, type: number, size: number): number {
    const words = this.#words;
    words[at >> 2] = L.CMSGHDR.size + size;
    words[(at >> 2) + 1] = 0;
    words[(at + L.CMSGHDR.level) >> 2] = level;
    words[(at + L.CMSGHDR.type) >> 2] = type;
    return at + L.CMSGHDR.size;
  }
}
