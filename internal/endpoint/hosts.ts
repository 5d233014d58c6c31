// What each host did lately: connections it has, answers it caused. A host is an IPv4 address or an IPv6 /64, which is
// what one customer of a provider gets.

import type { Address } from "../protocol/address.ts";
import { MAX_TRACKED_HOSTS, RATES, type Rate } from "../protocol/limits.ts";

/** What is rated. */
export type RatedKind = keyof typeof RATES;

/** A rate in all and one for each host. */
export interface RatePair {
  readonly total: Rate;
  readonly host: Rate;
}

export type Rates = { readonly [kind in RatedKind]: RatePair };

const KINDS = Object.keys(RATES) as RatedKind[];

/** The host of an address, as a key. */
export function hostOf({ ip, family }: Address): string {
  // IPv4 in IPv6 is one address as well.
  if (family === 4 || ip.includes(".")) return ip;
  const gap = ip.indexOf("::");
  if (gap < 0) return ip.split(":").slice(0, 4).join(":");
  const head = gap === 0 ? [] : ip.slice(0, gap).split(":");
  const tail = gap + 2 === ip.length ? [] : ip.slice(gap + 2).split(":");
  const zeros = Array<string>(Math.max(0, 8 - head.length - tail.length)).fill("0");
  return [...head, ...zeros, ...tail].slice(0, 4).join(":");
}

/** Token buckets, one for each kind: tokens and their time, in turns. */
class Buckets {
  readonly #state: Float64Array;

  constructor(rates: Rates, scope: keyof RatePair) {
    this.#state = new Float64Array(2 * KINDS.length);
    KINDS.forEach((kind, i) => {
      this.#state[2 * i] = rates[kind][scope].burst;
      this.#state[2 * i + 1] = -Infinity;
    });
  }

  /** Takes one where there is one. */
  take(index: number, rate: Rate, now: number): boolean {
    if (!this.has(index, rate, now)) return false;
    this.#state[2 * index]!--;
    return true;
  }

  /** Whether there is one. A clock that stands still or goes back adds nothing. */
  has(index: number, rate: Rate, now: number): boolean {
    const state = this.#state;
    const at = state[2 * index + 1]!;
    let tokens = state[2 * index]!;
    if (now > at) {
      const elapsed = at === -Infinity ? 0 : now - at;
      tokens = Math.min(rate.burst, tokens + (elapsed * rate.perSecond) / 1000);
      state[2 * index + 1] = now;
    }
    state[2 * index] = tokens;
    return tokens >= 1;
  }
}

interface Host {
  connections: number;
  readonly buckets: Buckets;
}

export class Hosts {
  readonly #rates: Rates;
  readonly #total: Buckets;
  /** Those with connections, and as many others as the limit allows. */
  readonly #hosts = new Map<string, Host>();
  /** Those without a connection, the one met first before the others. */
  readonly #idle = new Set<string>();
  /** Goes through them, the oldest first. A Set that loses its first entries begins anew behind their graves. */
  #oldest: Iterator<string> = this.#idle.values();

  constructor(rates: Rates) {
    this.#rates = rates;
    this.#total = new Buckets(rates, "total");
  }

  /** Whether one more of `kind` may be for `remote`: both rates are charged, where both have one left. */
  take(kind: RatedKind, remote: Address, now: number): boolean {
    const index = KINDS.indexOf(kind);
    const { total, host } = this.#rates[kind];
    // Where nothing is left for anybody no host is looked up, or made: what a flood costs is this line.
    if (!this.#total.has(index, total, now)) return false;
    // The host is charged first: one that has used up its own must not use up everybody's.
    return this.#of(hostOf(remote)).buckets.take(index, host, now) && this.#total.take(index, total, now);
  }

  connectionsOf(remote: Address): number {
    return this.#hosts.get(hostOf(remote))?.connections ?? 0;
  }

  onOpened(remote: Address): void {
    const key = hostOf(remote);
    this.#of(key).connections++;
    this.#idle.delete(key);
  }

  /** @param remote as it was when the connection was opened. */
  onClosed(remote: Address): void {
    const key = hostOf(remote);
    const host = this.#hosts.get(key);
    if (host === undefined || host.connections === 0) return;
    if (--host.connections === 0) this.#addIdle(key);
  }

  /** Hosts that are remembered. */
  get size(): number {
    return this.#hosts.size;
  }

  #of(key: string): Host {
    const known = this.#hosts.get(key);
    if (known !== undefined) return known;
    const host = { connections: 0, buckets: new Buckets(this.#rates, "host") };
    this.#hosts.set(key, host);
    this.#addIdle(key);
    return host;
  }

  #addIdle(key: string): void {
    while (this.#idle.size >= MAX_TRACKED_HOSTS) {
      const next = this.#oldest.next();
      if (next.done === true) {
        this.#oldest = this.#idle.values();
        continue;
      }
      this.#idle.delete(next.value);
      this.#hosts.delete(next.value);
    }
    this.#idle.add(key);
  }
}
