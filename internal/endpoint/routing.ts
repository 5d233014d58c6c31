// From a destination connection ID to whom it belongs, and from a reset token to whom it ends.

import type { CidGenerator } from "../path/cid-generator.ts";
import { sameAddress, type Address } from "../protocol/address.ts";
import { constantTimeEqual, toHex } from "../protocol/bytes.ts";
import { QuicError } from "../protocol/errors.ts";
import { MAX_CONNECTION_ID_DRAWS } from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";

/** Bytes of the connection IDs that the fast table takes. */
const FAST_LENGTH = 8;

function readU32(buf: Uint8Array, at: number): number {
  return ((buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!) >>> 0;
}

function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * 8-byte connection IDs: open addressing over typed arrays with linear probing, no string and no object per look-up.
 * A client chooses the first connection ID its server routes by, so the hash has secret seeds: nobody outside can make
 * keys that collide.
 */
export class CidTable<T> {
  readonly #seed0: number;
  readonly #seed1: number;
  #mask = 63;
  #high = new Uint32Array(64);
  #low = new Uint32Array(64);
  #values: (T | null)[] = new Array<T | null>(64).fill(null);
  #size = 0;

  constructor(random: RandomSource) {
    const seeds = new Uint8Array(8);
    random(seeds);
    this.#seed0 = readU32(seeds, 0);
    this.#seed1 = readU32(seeds, 4);
  }

  get size(): number {
    return this.#size;
  }

  #home(high: number, low: number): number {
    return mix(mix(high ^ this.#seed0) ^ low ^ this.#seed1) & this.#mask;
  }

  get(buf: Uint8Array, at: number): T | null {
    const high = readU32(buf, at);
    const low = readU32(buf, at + 4);
    let i = this.#home(high, low);
    for (;;) {
      const value = this.#values[i] as T | null;
      if (value === null) return null;
      if (this.#high[i] === high && this.#low[i] === low) return value;
      i = (i + 1) & this.#mask;
    }
  }

  set(buf: Uint8Array, at: number, value: T): void {
    // At most half full: a miss, which any stranger can cause, stays short.
    if (2 * (this.#size + 1) > this.#mask + 1) this.#grow();
    this.#put(readU32(buf, at), readU32(buf, at + 4), value);
  }

  #put(high: number, low: number, value: T): void {
    let i = this.#home(high, low);
    while (this.#values[i] !== null) {
      if (this.#high[i] === high && this.#low[i] === low) {
        this.#values[i] = value;
        return;
      }
      i = (i + 1) & this.#mask;
    }
    this.#high[i] = high;
    this.#low[i] = low;
    this.#values[i] = value;
    this.#size++;
  }

  delete(buf: Uint8Array, at: number): boolean {
    const high = readU32(buf, at);
    const low = readU32(buf, at + 4);
    let i = this.#home(high, low);
    for (;;) {
      if (this.#values[i] === null) return false;
      if (this.#high[i] === high && this.#low[i] === low) break;
      i = (i + 1) & this.#mask;
    }
    this.#size--;
    // No tombstones: entries behind the hole that probed past it move up into it.
    let hole = i;
    for (let j = (i + 1) & this.#mask; this.#values[j] !== null; j = (j + 1) & this.#mask) {
      const home = this.#home(this.#high[j]!, this.#low[j]!);
      if (((j - home) & this.#mask) < ((j - hole) & this.#mask)) continue;
      this.#high[hole] = this.#high[j]!;
      this.#low[hole] = this.#low[j]!;
      this.#values[hole] = this.#values[j]!;
      hole = j;
    }
    this.#values[hole] = null;
    return true;
  }

  #grow(): void {
    const high = this.#high;
    const low = this.#low;
    const values = this.#values;
    const capacity = 2 * values.length;
    this.#mask = capacity - 1;
    this.#high = new Uint32Array(capacity);
    this.#low = new Uint32Array(capacity);
    this.#values = new Array<T | null>(capacity).fill(null);
    this.#size = 0;
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as T | null;
      if (value !== null) this.#put(high[i]!, low[i]!, value);
    }
  }
}

interface ResetRoute<T> {
  readonly token: Uint8Array;
  readonly remote: Address;
  readonly owner: T;
}

/**
 * Stateless reset tokens, as many as the connections have connection IDs of their peers, found in the same time however
 * many there are: a proxy may have thousands of connections to one server, and any stranger can have them looked through. The hash picks the few that are compared. Its seeds are secret and
 * it has 32 bits, so that what its time tells of a token (128 bits) is next to nothing.
 */
class ResetTable<T> {
  readonly #seeds = new Uint32Array(4);
  readonly #routes = new Map<number, ResetRoute<T>[]>();
  size = 0;

  constructor(random: RandomSource) {
    random(new Uint8Array(this.#seeds.buffer));
  }

  #hash(buf: Uint8Array, at: number): number {
    let h = 0;
    for (let i = 0; i < 4; i++) h = mix(h ^ readU32(buf, at + 4 * i) ^ this.#seeds[i]!);
    // A small integer for V8, whatever it is: others are objects, and take longer.
    return h | 0;
  }

  add(token: Uint8Array, remote: Address, owner: T): void {
    const hash = this.#hash(token, 0);
    const list = this.#routes.get(hash);
    if (list === undefined) this.#routes.set(hash, [{ token, remote, owner }]);
    else list.push({ token, remote, owner });
    this.size++;
  }

  delete(token: Uint8Array, remote: Address, owner: T): void {
    const hash = this.#hash(token, 0);
    const list = this.#routes.get(hash);
    const at = (list ?? []).findIndex(
      (route) =>
        route.owner === owner && sameAddress(route.remote, remote) && constantTimeEqual(route.token, token),
    );
    if (list === undefined || at < 0) return;
    list.splice(at, 1);
    this.size--;
    if (list.length === 0) this.#routes.delete(hash);
  }

  find(buf: Uint8Array, at: number, remote: Address): T | null {
    if (this.size === 0) return null;
    const list = this.#routes.get(this.#hash(buf, at));
    if (list === undefined) return null;
    let found: T | null = null;
    for (const route of list) {
      const { token, owner } = route;
      let difference = 0;
      for (let i = 0; i < token.length; i++) difference |= token[i]! ^ buf[at + i]!;
      // rfc9000#10.3.1 … associated with the remote address on which the datagram was received.
      if (difference === 0 && sameAddress(route.remote, remote)) found = owner;
    }
    return found;
  }
}

/** All routes of one endpoint. */
export class Routes<T extends object> {
  readonly #fast: CidTable<T>;
  /** Lengths other than 8, off the hot path. The key has the length in it: rfc9000#5.1 a prefix is another ID. */
  readonly #others = new Map<string, T>();
  /** Connections with zero-length connection IDs of ours, by the peer's address. rfc9000#5.2 */
  readonly #addresses = new Map<string, { owner: T; local: Address | null }>();
  readonly #resets: ResetTable<T>;

  constructor(random: RandomSource) {
    this.#fast = new CidTable<T>(random);
    this.#resets = new ResetTable<T>(random);
  }

  get size(): number {
    return this.#fast.size + this.#others.size + this.#addresses.size;
  }

  get(buf: Uint8Array, at: number, length: number): T | null {
    if (length === FAST_LENGTH) return this.#fast.get(buf, at);
    if (this.#others.size === 0) return null;
    return this.#others.get(toHex(buf.subarray(at, at + length))) ?? null;
  }

  has(cid: Uint8Array): boolean {
    return this.get(cid, 0, cid.length) !== null;
  }

  set(cid: Uint8Array, owner: T): void {
    if (cid.length === FAST_LENGTH) this.#fast.set(cid, 0, owner);
    else this.#others.set(toHex(cid), owner);
  }

  delete(cid: Uint8Array): void {
    if (cid.length === FAST_LENGTH) this.#fast.delete(cid, 0);
    else this.#others.delete(toHex(cid));
  }

  /** `generator` without the connection IDs that are in use: no two connections share one. */
  unique(generator: CidGenerator): CidGenerator {
    return {
      length: generator.length,
      generate: (random) => {
        for (let draw = 0; draw < MAX_CONNECTION_ID_DRAWS; draw++) {
          const cid = generator.generate(random);
          if (cid.length === 0 || !this.has(cid)) return cid;
        }
        throw new QuicError("ERR_QUIC_INVALID_STATE", "No unused connection ID is left; make them longer.");
      },
    };
  }

  byAddress(remote: Address, local: Address | null): T | null {
    const route = this.#addresses.get(remote.key);
    if (route === undefined) return null;
    if (local !== null && route.local !== null && !sameAddress(local, route.local)) return null;
    return route.owner;
  }

  setAddress(remote: Address, local: Address | null, owner: T): void {
    // rfc9000#5.1 An endpoint MUST NOT use the same IP address and port for multiple concurrent connections with
    // zero-length connection IDs, unless it is certain that those protocol …
    this.#addresses.set(remote.key, { owner, local });
  }

  deleteAddress(remote: Address, owner: T): void {
    if (this.#addresses.get(remote.key)?.owner === owner) this.#addresses.delete(remote.key);
  }

  addReset(token: Uint8Array, remote: Address, owner: T): void {
    this.#resets.add(token, remote, owner);
  }

  deleteReset(token: Uint8Array, remote: Address, owner: T): void {
    this.#resets.delete(token, remote, owner);
  }

  /**
   * Whose peer at `remote` sent `token` (the last 16 bytes of a datagram). rfc9000#10.3.1 the endpoint compares with
   * all stateless reset tokens associated with the remote address, and MUST perform the comparison without leaking
   * information about the value of the token.
   */
  findReset(buf: Uint8Array, at: number, remote: Address): T | null {
    return this.#resets.find(buf, at, remote);
  }

  get resetCount(): number {
    return this.#resets.size;
  }
}
