// One connection's place in its endpoint: routes, timer, turns. It is the connection's host, so that what a connection
// asks for costs no look-up.

import type { ConnectionHost } from "../connection/core.ts";
import type { ConnectionEvent } from "../connection/events.ts";
import type { Address } from "../protocol/address.ts";
import type { BagItem } from "../protocol/bag.ts";
import type { Role } from "../protocol/constants.ts";
import type { HeapItem } from "./timer-heap.ts";
import type { EndpointConnection } from "./types.ts";

/** What a slot asks of its endpoint. */
export interface SlotOwner<C extends EndpointConnection> {
  route(cid: Uint8Array, slot: Slot<C>): void;
  unroute(cid: Uint8Array, slot: Slot<C>): void;
  routeReset(token: Uint8Array, remote: Address, slot: Slot<C>): void;
  unrouteReset(token: Uint8Array, remote: Address, slot: Slot<C>): void;
  queueTransmit(slot: Slot<C>): void;
  queueTimer(slot: Slot<C>): void;
  queueEvents(slot: Slot<C>): void;
}

export class Slot<C extends EndpointConnection> implements ConnectionHost<C>, HeapItem, BagItem {
  readonly role: Role;
  readonly remote: Address;
  readonly local: Address | null;
  heapIndex = -1;
  bagIndex = -1;
  deadline = Infinity;
  /** Monotonic ms of the last handleTimeout. */
  handledAt = -Infinity;
  /** In the queue of those that want to send. */
  wantsTransmit = false;
  /** In the list of those whose timer is to be read again. */
  timerDirty = false;
  /** In the queue of those with events. */
  eventful = false;
  /** Counts against MAX_HANDSHAKES. */
  handshaking = false;
  /** A client that has not proved its address when it came. */
  readonly unvalidated: boolean;
  /** Nothing of it has authenticated yet: a server's slot before its first run. */
  fresh: boolean;
  /** Routes are gone; it stays only until its events are polled. */
  reaped = false;
  /** An event that had to wait behind "accepted". */
  held: ConnectionEvent | null = null;
  /** What routes here, so that nothing is left behind whatever the connection forgets. */
  readonly cids: Uint8Array[] = [];
  readonly resets: { token: Uint8Array; remote: Address }[] = [];
  readonly #owner: SlotOwner<C>;
  #connection: C | null = null;

  constructor(owner: SlotOwner<C>, role: Role, remote: Address, local: Address | null, unvalidated: boolean) {
    this.#owner = owner;
    this.role = role;
    this.remote = remote;
    this.local = local;
    this.unvalidated = unvalidated;
    this.fresh = role === "server";
  }

  /** Set once the connection is constructed; before that it may only add routes and ask for turns. */
  attach(connection: C): void {
    this.#connection = connection;
  }

  get connection(): C {
    return this.#connection!;
  }

  // ConnectionHost

  addCid(cid: Uint8Array): void {
    if (!this.reaped) this.#owner.route(cid, this);
  }

  removeCid(cid: Uint8Array): void {
    if (!this.reaped) this.#owner.unroute(cid, this);
  }

  addResetToken(token: Uint8Array, remote: Address): void {
    if (!this.reaped) this.#owner.routeReset(token, remote, this);
  }

  removeResetToken(token: Uint8Array, remote: Address): void {
    if (!this.reaped) this.#owner.unrouteReset(token, remote, this);
  }

  wantTransmit(): void {
    if (!this.wantsTransmit && !this.reaped) this.#owner.queueTransmit(this);
  }

  timerChanged(): void {
    if (!this.timerDirty && !this.reaped) this.#owner.queueTimer(this);
  }

  hasEvents(): void {
    if (!this.eventful) this.#owner.queueEvents(this);
  }
}
