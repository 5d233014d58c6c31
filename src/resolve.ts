// Names to addresses, and the race between them: rfc8305.

import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { InvalidOptionError, QuicError } from "../internal/protocol/errors.ts";
import { HAPPY_EYEBALLS_DELAY } from "../internal/protocol/limits.ts";

/** As `dns.lookup` with `all: true`. */
export type Lookup = (
  hostname: string,
  options: { all: true; family: 0 | 4 | 6 },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** The name could not be resolved. */
export class ResolveError extends QuicError {
  readonly hostname: string;
  constructor(hostname: string, cause: unknown) {
    super(
      "ERR_QUIC_RESOLVE",
      `Cannot resolve ${JSON.stringify(hostname)}: check the name and the network's DNS.`,
      { cause, temporary: true },
    );
    this.hostname = hostname;
  }
}

/** `host:port`, `1.2.3.4:port`, `[v6]:port`, or an object. */
export type Target = string | { host: string; port: number };

/** @throws {InvalidOptionError} */
export function parseTarget(target: Target): { host: string; port: number } {
  if (typeof target === "object" && target !== null) return checkTarget(target.host, target.port, target);
  if (typeof target !== "string")
    throw new InvalidOptionError("address", 'a string such as "example.com:443"');
  const bracketed = /^\[([^\]]+)\]:(\d{1,5})$/.exec(target);
  const plain = /^([^:]+):(\d{1,5})$/.exec(target);
  const match = bracketed ?? plain;
  if (match === null) {
    throw new InvalidOptionError(
      "address",
      `"host:port" or "[ipv6]:port" is needed, not ${JSON.stringify(target)}`,
    );
  }
  return checkTarget(match[1]!, Number(match[2]), target);
}

function checkTarget(host: unknown, port: unknown, given: unknown): { host: string; port: number } {
  if (
    typeof host !== "string" ||
    host === "" ||
    !Number.isInteger(port) ||
    (port as number) < 1 ||
    (port as number) > 65535
  ) {
    throw new InvalidOptionError(
      "address",
      `a host and a port from 1 to 65535 are needed, not ${JSON.stringify(given)}`,
    );
  }
  return { host, port: port as number };
}

/**
 * The addresses of `host`, interleaved by family with the resolver's first one leading: rfc8305#4.
 * @throws {ResolveError}
 */
export async function resolveHost(
  host: string,
  family: 0 | 4 | 6,
  lookup: Lookup = dnsLookup,
  signal?: AbortSignal,
): Promise<string[]> {
  const literal = isIP(host);
  if (literal !== 0) {
    if (family === 0 || literal === family) return [host];
    throw new InvalidOptionError(
      "address",
      `${host} cannot be reached from this transport's IPv${family} socket; bind another one`,
    );
  }
  const found = await new Promise<LookupAddress[]>((resolve, reject) => {
    const onAbort = () => reject(signal!.reason as Error);
    signal?.addEventListener("abort", onAbort, { once: true });
    lookup(host, { all: true, family }, (error, addresses) => {
      signal?.removeEventListener("abort", onAbort);
      if (error !== null) reject(new ResolveError(host, error));
      else if (addresses.length === 0) reject(new ResolveError(host, new Error("no addresses")));
      else resolve(addresses);
    });
  });
  const first = found[0]!.family;
  const preferred = found.filter((one) => one.family === first);
  const others = found.filter((one) => one.family !== first);
  const order: string[] = [];
  for (let i = 0; i < Math.max(preferred.length, others.length); i++) {
    if (preferred[i] !== undefined) order.push(preferred[i]!.address);
    if (others[i] !== undefined) order.push(others[i]!.address);
  }
  return order;
}

/**
 * Tries the addresses one after the other, each with a head start of 250 ms before the next (rfc8305#5); the first
 * that succeeds wins and the others are aborted; one that succeeds all the same is discarded. Rejects with the first
 * error when all fail.
 */
export async function race<T>(
  addresses: readonly string[],
  attempt: (address: string, signal: AbortSignal | undefined) => Promise<T>,
  discard: (late: T) => void,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  if (addresses.length === 1) return attempt(addresses[0]!, signal);
  return new Promise<T>((resolve, reject) => {
    const attempts: AbortController[] = [];
    let next = 0;
    let failed = 0;
    let firstError: unknown;
    let timer: NodeJS.Timeout | null = null;
    let over = false;
    const finish = (winner: AbortController | null) => {
      over = true;
      if (timer !== null) clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      for (const one of attempts) if (one !== winner) one.abort(new Error("another address answered first"));
    };
    const onAbort = () => {
      finish(null);
      reject(signal!.reason as Error);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    const start = () => {
      if (timer !== null) clearTimeout(timer);
      timer = null;
      if (over || next >= addresses.length) return;
      const controller = new AbortController();
      attempts.push(controller);
      attempt(addresses[next++]!, controller.signal).then(
        (value) => {
          if (over) {
            discard(value);
            return;
          }
          finish(controller);
          resolve(value);
        },
        (error: unknown) => {
          if (over) return;
          firstError ??= error;
          if (++failed === addresses.length) {
            finish(null);
            reject(firstError as Error);
          } else start();
        },
      );
      if (next < addresses.length) timer = setTimeout(start, HAPPY_EYEBALLS_DELAY);
    };
    start();
  });
}
