// Who may connect to a transport: its options, checked.

import type { BlockList } from "node:net";
import type { EndpointOptions } from "../internal/endpoint/types.ts";
import type { RatedKind, RatePair } from "../internal/endpoint/hosts.ts";
import type { Address } from "../internal/protocol/address.ts";
import { InvalidOptionError } from "../internal/protocol/errors.ts";
import {
  ACCEPT_QUEUE,
  MAX_CONNECTIONS,
  MAX_CONNECTIONS_PER_HOST,
  MAX_HANDSHAKES,
  MAX_TOKEN_AGE,
  MAX_UNVALIDATED_HANDSHAKES,
  RATES,
  RETRY_TOKEN_LIFETIME,
  type Rate,
  VALIDATED_ADDRESSES,
} from "../internal/protocol/limits.ts";

/** A rate: so many per second, and so many at once. */
export type { Rate } from "../internal/protocol/limits.ts";

/** A transport's defences. A host is an IPv4 address or an IPv6 /64. */
export interface AdmissionOptions {
  /**
   * Whether a client has to prove its address by a Retry before anything is spent on it (rfc9000#8.1.2): for all, for
   * none, or decided for each address. Default false; beyond `maxUnvalidatedHandshakes` everybody has to. What the
   * function throws counts as true.
   */
  verifySourceAddress?: boolean | ((remote: Address) => boolean);
  /**
   * 32 random bytes that seal address tokens, or several keys, of which the first seals. Servers with the same keys take
   * each other's tokens. Default: drawn for this transport.
   */
  tokenGeneratorKey?: Uint8Array | readonly Uint8Array[];
  /** How long tokens for later connections are good, ms. Default a day; 0: none are given. */
  maxTokenAge?: number;
  /** How long tokens of Retry packets are good, ms. Default 10,000. */
  retryTokenLifetime?: number;
  /**
   * Addresses that completed a handshake and are spared a Retry, the latest so many; 0: none. Default 4,096, and 0 with
   * `verifySourceAddress`.
   */
  validatedAddresses?: number;
  /** Connections in all. Default 100,000; beyond it clients get CONNECTION_REFUSED, as for the next three. */
  maxConnections?: number;
  /** Connections of one host. Default 20,000. */
  maxConnectionsPerHost?: number;
  /** Handshakes in flight. Default 1,024. */
  maxHandshakes?: number;
  /** Connections waiting for `accept`. Default 32. */
  acceptQueue?: number;
  /** Handshakes in flight of clients that have not proved their address. Default 256; beyond it they get a Retry. */
  maxUnvalidatedHandshakes?: number;
  /** Addresses that may not connect: their first packets are dropped without an answer. */
  blockList?: BlockList;
  /** Rates of what clients without a connection may cause. Defaults: see `RATES` in the limits file. */
  rates?: { readonly [kind in RatedKind]?: Partial<RatePair> };
  /** Do not answer packets of unknown connections. Default false; `transport.sendsResets` switches it later. */
  disableStatelessReset?: boolean;
}

function integer(
  name: keyof AdmissionOptions,
  value: number | undefined,
  least: number,
  otherwise: number,
): number {
  if (value === undefined) return otherwise;
  if (!Number.isInteger(value) || value < least) {
    throw new InvalidOptionError(name, `an integer of at least ${least}, not ${String(value)}`);
  }
  return value;
}

function rate(kind: string, given: Rate): Rate {
  if (!(given.perSecond >= 0) || !(given.burst >= 0)) {
    throw new InvalidOptionError("rates", `${kind}: perSecond and burst are numbers of at least 0`);
  }
  return given;
}

/** The endpoint's side of the options. @throws {InvalidOptionError} naming the option. */
export function resolveAdmission(options: AdmissionOptions): Omit<EndpointOptions, "random"> {
  const { verifySourceAddress: verify = false, tokenGeneratorKey, blockList, rates = {} } = options;
  if (typeof verify !== "boolean" && typeof verify !== "function") {
    throw new InvalidOptionError("verifySourceAddress", "a boolean or a function");
  }
  if (blockList !== undefined && typeof blockList.check !== "function") {
    throw new InvalidOptionError("blockList", "a net.BlockList");
  }
  for (const kind of Object.keys(rates)) {
    if (!(kind in RATES)) {
      throw new InvalidOptionError("rates", `one of ${Object.keys(RATES).join(", ")}, not ${kind}`);
    }
  }
  const pair = (kind: RatedKind): RatePair => ({
    total: rate(kind, rates[kind]?.total ?? RATES[kind].total),
    host: rate(kind, rates[kind]?.host ?? RATES[kind].host),
  });
  return {
    verifySourceAddress: typeof verify === "boolean" ? () => verify : careful(verify),
    tokenKeys: tokenGeneratorKey instanceof Uint8Array ? [tokenGeneratorKey] : (tokenGeneratorKey ?? null),
    tokenLifetimes: {
      retry: integer("retryTokenLifetime", options.retryTokenLifetime, 1, RETRY_TOKEN_LIFETIME),
      future: integer("maxTokenAge", options.maxTokenAge, 0, MAX_TOKEN_AGE),
    },
    validatedAddresses: integer(
      "validatedAddresses",
      options.validatedAddresses,
      0,
      verify === false ? VALIDATED_ADDRESSES : 0,
    ),
    maxConnections: integer("maxConnections", options.maxConnections, 0, MAX_CONNECTIONS),
    maxConnectionsPerHost: integer(
      "maxConnectionsPerHost",
      options.maxConnectionsPerHost,
      0,
      MAX_CONNECTIONS_PER_HOST,
    ),
    maxHandshakes: integer("maxHandshakes", options.maxHandshakes, 0, MAX_HANDSHAKES),
    acceptQueue: integer("acceptQueue", options.acceptQueue, 1, ACCEPT_QUEUE),
    maxUnvalidatedHandshakes: integer(
      "maxUnvalidatedHandshakes",
      options.maxUnvalidatedHandshakes,
      0,
      MAX_UNVALIDATED_HANDSHAKES,
    ),
    isBlocked:
      blockList === undefined
        ? null
        : ({ ip, family }) => blockList.check(ip, family === 6 ? "ipv6" : "ipv4"),
    rates: {
      retry: pair("retry"),
      versionNegotiation: pair("versionNegotiation"),
      statelessReset: pair("statelessReset"),
      close: pair("close"),
      newConnection: pair("newConnection"),
    },
  };
}

/** A function that fails must not open the door, nor take the others' connections with it. */
function careful(verify: (remote: Address) => boolean): (remote: Address) => boolean {
  let reported = false;
  return (remote) => {
    try {
      return verify(remote);
    } catch (error) {
      if (!reported) {
        process.emitWarning(
          `verifySourceAddress threw, which counts as true: ${String(error)}`,
          "QuicWarning",
        );
      }
      reported = true;
      return true;
    }
  };
}
