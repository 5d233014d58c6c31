// Addresses as the kernel has them, and back. An Address object stands for one ip and port: it is found again by the
// sockaddr's bytes, and no string is built for a peer that is known.

import { makeAddress, type Address } from "../protocol/address.ts";
import { MAX_REMEMBERED_ADDRESSES } from "../protocol/limits.ts";
import { AF_INET, AF_INET6, SOCKADDR_IN6_SIZE, SOCKADDR_IN_SIZE } from "./socket-layout.ts";

/** Writes `address` for a socket of `family`; IPv4 goes into an IPv6 socket as ::ffff:a.b.c.d. Returns the length. */
export function writeSockaddr(out: Uint8Array, address: Address, family: 4 | 6): number {
  out.fill(0, 0, SOCKADDR_IN6_SIZE);
  out[0] = family === 4 ? AF_INET : AF_INET6;
  out[2] = address.port >> 8;
  out[3] = address.port;
  if (family === 4) {
    if (address.family !== 4) throw new RangeError(`${address.ip} cannot be reached from an IPv4 socket`);
    writeIpv4(out, 4, address.ip);
    return SOCKADDR_IN_SIZE;
  }
  if (address.family === 4) {
    out[18] = out[19] = 0xff;
    writeIpv4(out, 20, address.ip);
  } else writeIpv6(out, 8, address.ip);
  return SOCKADDR_IN6_SIZE;
}

export function writeIpv4(out: Uint8Array, at: number, ip: string): void {
  const parts = ip.split(".");
  for (let i = 0; i < 4; i++) out[at + i] = Number(parts[i]);
}

export function writeIpv6(out: Uint8Array, at: number, ip: string): void {
  const [head, tail] = ip.split("::") as [string, string | undefined];
  const words = (text: string | undefined): number[] => {
    const list: number[] = [];
    for (const part of (text ?? "").split(":")) {
      if (part.includes(".")) {
        const [a, b, c, d] = part.split(".").map(Number) as [number, number, number, number];
        list.push((a << 8) | b, (c << 8) | d);
      } else if (part !== "") list.push(parseInt(part, 16));
    }
    return list;
  };
  const front = words(head);
  const back = words(tail);
  const all = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  all.forEach((word, i) => {
    out[at + 2 * i] = word >> 8;
    out[at + 2 * i + 1] = word;
  });
}

/** The textual form that inet_ntop gives: rfc5952. */
export function formatIpv6(bytes: Uint8Array, at: number): string {
  const words: number[] = [];
  for (let i = 0; i < 8; i++) words.push((bytes[at + 2 * i]! << 8) | bytes[at + 2 * i + 1]!);
  // rfc5952#4.2 the longest run of zeros, the first of equals, and none of a single word.
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && words[i + length] === 0) length++;
    if (length > bestLength) {
      best = i;
      bestLength = length;
    }
    i += length;
  }
  const hex = (from: number, to: number): string =>
    words
      .slice(from, to)
      .map((word) => word.toString(16))
      .join(":");
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`;
}

const formatIpv4 = (bytes: Uint8Array, at: number): string =>
  `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;

function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}

/** Reads a sockaddr; an IPv4 peer of a dual-stack socket is IPv4. */
export function readSockaddr(bytes: Uint8Array): Address {
  const port = (bytes[2]! << 8) | bytes[3]!;
  if (bytes[0] === AF_INET) return makeAddress(formatIpv4(bytes, 4), port);
  return makeAddress(isMapped(bytes, 8) ? formatIpv4(bytes, 20) : formatIpv6(bytes, 8), port);
}

/** Sets of two that a table begins with. */
const FIRST_SETS = 32;

/**
 * Address objects by the bytes the kernel gave. Bounded; forgetting costs identity, not correctness. Each set has room for
 * two: one that was met again, and the newest. What a flood of spoofed sources pushes out is itself.
 */
export class AddressTable {
  readonly #bytes: Uint8Array;
  /** The same memory, four bytes at a time: family and port, flow, address, scope. */
  readonly #words: Int32Array;
  #sets = FIRST_SETS;
  #keys: Int32Array;
  #addresses: (Address | null)[];
  /** Met for the first time since the table grew. */
  #misses = 0;
  #last: Address | null = null;
  readonly #lastWords: Int32Array;
  /** Reads addresses: a sockaddr's by default. */
  readonly #read: (bytes: Uint8Array) => Address;

  /** `memory` is where the kernel writes, and as long as one of its addresses. */
  constructor(memory: Uint8Array, read: (bytes: Uint8Array) => Address = readSockaddr) {
    this.#bytes = memory;
    this.#words = new Int32Array(memory.buffer, memory.byteOffset, memory.length >> 2);
    this.#lastWords = this.#words.slice();
    this.#read = read;
    this.#keys = new Int32Array(2 * FIRST_SETS * this.#words.length);
    this.#addresses = new Array<Address | null>(2 * FIRST_SETS).fill(null);
  }

  /** The object for what `memory` holds now. */
  get(): Address {
    if (this.#last !== null && this.#matches(this.#lastWords, 0)) return this.#last;
    const address = this.#find();
    this.#lastWords.set(this.#words);
    return (this.#last = address);
  }

  #find(): Address {
    const words = this.#words;
    const size = words.length;
    let hash = 0;
    for (let i = 0; i < size; i++) hash = Math.imul(hash ^ words[i]!, 0x9e3779b1) ^ (hash >>> 15);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    const set = 2 * ((hash ^ (hash >>> 13)) & (this.#sets - 1));
    const addresses = this.#addresses;
    const keys = this.#keys;
    const known = addresses[set]!;
    if (known !== null && this.#matches(keys, set * size)) return known;
    const newest = addresses[set + 1]!;
    if (newest !== null && this.#matches(keys, (set + 1) * size)) {
      // Met again: it changes places with the other.
      addresses[set] = newest;
      addresses[set + 1] = known;
      keys.copyWithin((set + 1) * size, set * size, (set + 1) * size);
      keys.set(words, set * size);
      return newest;
    }
    const address = this.#read(this.#bytes);
    const at = known === null ? set : set + 1;
    addresses[at] = address;
    keys.set(words, at * size);
    if (++this.#misses > this.#sets && 2 * this.#sets < MAX_REMEMBERED_ADDRESSES) this.#grow();
    return address;
  }

  /** Twice as large, and empty. */
  #grow(): void {
    this.#sets *= 2;
    this.#misses = 0;
    this.#keys = new Int32Array(2 * this.#sets * this.#words.length);
    this.#addresses = new Array<Address | null>(2 * this.#sets).fill(null);
  }

  #matches(keys: Int32Array, at: number): boolean {
    const words = this.#words;
    for (let i = 0; i < words.length; i++) if (keys[at + i] !== words[i]) return false;
    return true;
  }
}
