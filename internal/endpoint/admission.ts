// Who may come in: what is decided about a client's first Initial before anything is spent on it. rfc9000#5.2.2, #8.1

import { LRUCache } from "lru-cache";
import type { AddressTokens } from "../path/address-tokens.ts";
import type { Address } from "../protocol/address.ts";
import { CONNECTION_REFUSED, INVALID_TOKEN } from "../protocol/constants.ts";
import {
  ACCEPT_QUEUE,
  FAILED_INITIALS,
  MAX_CONNECTIONS,
  MAX_CONNECTIONS_PER_HOST,
  MAX_HANDSHAKES,
  MAX_UNVALIDATED_HANDSHAKES,
  VALIDATED_ADDRESSES,
} from "../protocol/limits.ts";
import type { DropReason } from "../protocol/tracer.ts";
import type { LongHeader } from "../wire/header.ts";
import type { Hosts } from "./hosts.ts";
import { TokenBucket } from "./token-bucket.ts";
import type { EndpointOptions } from "./types.ts";

/** What is to be done about a first Initial. */
export type Verdict =
  /** `validated`: the client has proved its address. `originalDcid` is that of the Initial a Retry answered. */
  | { readonly action: "accept"; readonly validated: boolean; readonly originalDcid: Uint8Array | null }
  | { readonly action: "retry" }
  | {
      readonly action: "refuse";
      readonly code: number;
      readonly reason: DropReason;
      readonly detail?: string;
    }
  | { readonly action: "drop"; readonly reason: DropReason };

const RETRY: Verdict = { action: "retry" };
const ACCEPT: Verdict = { action: "accept", validated: false, originalDcid: null };
const ACCEPT_VALIDATED: Verdict = { action: "accept", validated: true, originalDcid: null };
const BUSY: Verdict = { action: "refuse", code: CONNECTION_REFUSED, reason: "server_busy" };
const BLOCKED: Verdict = { action: "drop", reason: "blocked" };
const RATE_LIMITED: Verdict = { action: "drop", reason: "rate_limited" };

/** What limits a server's new connections. */
export interface AdmissionOptions {
  readonly maxHandshakes: number;
  readonly maxUnvalidatedHandshakes: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerHost: number;
  readonly acceptQueue: number;
  /** Whether an address has to prove itself by a Retry; beyond `maxUnvalidatedHandshakes` every one has to. */
  readonly verifySourceAddress: (remote: Address) => boolean;
  /** Whether the address may not come in at all. */
  readonly isBlocked: ((remote: Address) => boolean) | null;
  /** Addresses that completed a handshake and are remembered; 0: none. */
  readonly validatedAddresses: number;
}

/** What an endpoint's options say of it, with defaults. */
export function limitsOf(options: EndpointOptions): AdmissionOptions {
  return {
    maxHandshakes: options.maxHandshakes ?? MAX_HANDSHAKES,
    maxUnvalidatedHandshakes: options.maxUnvalidatedHandshakes ?? MAX_UNVALIDATED_HANDSHAKES,
    maxConnections: options.maxConnections ?? MAX_CONNECTIONS,
    maxConnectionsPerHost: options.maxConnectionsPerHost ?? MAX_CONNECTIONS_PER_HOST,
    acceptQueue: options.acceptQueue ?? ACCEPT_QUEUE,
    verifySourceAddress: options.verifySourceAddress ?? (() => false),
    isBlocked: options.isBlocked ?? null,
    validatedAddresses: options.validatedAddresses ?? VALIDATED_ADDRESSES,
  };
}

/** A connection as far as admission counts it. */
export interface Admitted {
  readonly remote: Address;
  /** The handshake goes on; set by admission. */
  handshaking: boolean;
  /** It came without proof of its address. */
  readonly unvalidated: boolean;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #tokens: AddressTokens;
  readonly #hosts: Hosts;
  readonly #validated: LRUCache<string, true> | null;
  readonly #failures = new TokenBucket(FAILED_INITIALS.perSecond, FAILED_INITIALS.burst);
  #handshakes = 0;
  #unvalidated = 0;
  /** Accepted and not yet taken by the application. */
  waiting = 0;
  /** Nobody new is let in, by the application's wish. */
  busy = false;

  constructor(options: AdmissionOptions, tokens: AddressTokens, hosts: Hosts) {
    this.#options = options;
    this.#tokens = tokens;
    this.#hosts = hosts;
    const max = options.validatedAddresses;
    this.#validated = max > 0 ? new LRUCache({ max }) : null;
  }

  /** Handshakes in flight. */
  get handshakes(): number {
    return this.#handshakes;
  }

  get acceptQueueFull(): boolean {
    return this.waiting >= this.#options.acceptQueue;
  }

  /**
   * @param connections those of the endpoint, of both roles.
   * @param token empty where there is none.
   * @param buf where the Initial is, whose `header` says where it was sent to.
   */
  decide(
    token: Uint8Array,
    buf: Uint8Array,
    header: LongHeader,
    remote: Address,
    connections: number,
    now: number,
    wallNow: number,
  ): Verdict {
    const options = this.#options;
    if (options.isBlocked?.(remote) === true) return BLOCKED;
    const proof = token.length === 0 ? null : this.#check(token, buf, header, remote, wallNow);
    if (proof?.kind === "invalid_retry") {
      // rfc9000#8.1.3 the server SHOULD immediately close the connection with an INVALID_TOKEN error.
      return { action: "refuse", code: INVALID_TOKEN, reason: "invalid_token", detail: proof.reason };
    }
    if (
      this.busy ||
      this.#handshakes >= options.maxHandshakes ||
      connections >= options.maxConnections ||
      this.acceptQueueFull
    ) {
      return BUSY;
    }
    const proved = proof !== null && proof.kind !== "none";
    if (!proved && this.#demandsRetry(remote, now)) return RETRY;
    if (this.#hosts.connectionsOf(remote) >= options.maxConnectionsPerHost) return BUSY;
    if (!this.#hosts.take("newConnection", remote, now)) return RATE_LIMITED;
    if (!proved) return ACCEPT;
    this.#tokens.spend(token);
    return proof.kind === "retry"
      ? { action: "accept", validated: true, originalDcid: proof.originalDcid }
      : ACCEPT_VALIDATED;
  }

  #check(
    token: Uint8Array,
    buf: Uint8Array,
    { dcidOffset, dcidLength }: LongHeader,
    remote: Address,
    at: number,
  ) {
    return this.#tokens.check(token, remote, buf.subarray(dcidOffset, dcidOffset + dcidLength), at);
  }

  #demandsRetry(remote: Address, now: number): boolean {
    // Who was there a moment ago is asked for no proof; what may be sent before there is one stays limited.
    if (this.#validated?.get(remote.ip) === true) return false;
    return (
      this.#unvalidated >= this.#options.maxUnvalidatedHandshakes ||
      !this.#failures.has(now) ||
      this.#options.verifySourceAddress(remote)
    );
  }

  /** A connection was made. */
  onOpened(connection: Admitted): void {
    this.#hosts.onOpened(connection.remote);
    connection.handshaking = true;
    this.#handshakes++;
    if (connection.unvalidated) this.#unvalidated++;
  }

  /** Its first packet did not authenticate: garbage, which anybody can send from any address. */
  onFailed(now: number): void {
    this.#failures.take(now);
  }

  /** Its handshake is complete, or given up. */
  onHandshakeEnd(connection: Admitted): void {
    if (!connection.handshaking) return;
    connection.handshaking = false;
    this.#handshakes--;
    if (connection.unvalidated) this.#unvalidated--;
  }

  /** A handshake was completed from `remote`. */
  onValidated(remote: Address): void {
    this.#validated?.set(remote.ip, true);
  }

  /** No state is left of it. */
  onClosed(connection: Admitted): void {
    this.onHandshakeEnd(connection);
    this.#hosts.onClosed(connection.remote);
  }
}
