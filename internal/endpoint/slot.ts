// One connection's place in its endpoint: routes, timer, turns. It is the connection's host, so that what a connection
// asks for costs no look-up.

import type { ConnectionHost } from "../connection/core.ts";
import type { ConnectionEvent } from "../connection/events.ts";
import type { Address } from "../protocol/address.ts";
import type { BagItem } from "../protocol/bag.ts";
import { bytesEqual, constantTimeEqual } from "../protocol/bytes.ts";
import type { Role } from "../protocol/constants.ts";
import { NO_BYTES } from "../protocol/small-bytes.ts";
import type { Deadlines, Timed } from "./deadlines.ts";
import type { Fifo } from "./fifo.ts";
import type { Lingering } from "./lingering.ts";
import type { Routes } from "./routing.ts";
import type { EndpointConnection } from "./types.ts";

/** What a slot asks of its endpoint. */
export interface SlotOwner<C extends EndpointConnection> {
  route(cid: Uint8Array, slot: Slot<C>): void;
  unroute(cid: Uint8Array, slot: Slot<C>): void;
  isRouted(cid: Uint8Array): boolean;
  routeReset(token: Uint8Array, remote: Address, slot: Slot<C>): void;
  unrouteReset(token: Uint8Array, remote: Address, slot: Slot<C>): void;
  queueTransmit(slot: Slot<C>): void;
  queueTimer(slot: Slot<C>): void;
  queueEvents(slot: Slot<C>): void;
}

export const NO_CID = NO_BYTES;

export class Slot<C extends EndpointConnection> implements ConnectionHost<C>, Timed, BagItem {
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
  /** Server: where the client's first packets go. */
  clientDcid: Uint8Array = NO_CID;
  /** Announced as soon as it can be written to. */
  early = false;
  /** Routes are gone; it stays only until its events are polled. */
  reaped = false;
  /** Its connection has been let go. */
  lingering = false;
  /** An event that had to wait behind "accepted". */
  held: ConnectionEvent | null = null;
  /** What routes here, so that nothing is left behind whatever the connection forgets. */
  readonly cids: Uint8Array[] = [];
  readonly resets: { token: Uint8Array; remote: Address }[] = [];
  readonly #owner: SlotOwner<C>;
  #connection: C | Lingering | null = null;

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

  get connection(): C | Lingering {
    return this.#connection!;
  }

  /** The connection is let go; what routes here goes on doing so. */
  replace(lingering: Lingering): void {
    this.#connection = lingering;
    this.lingering = true;
    this.timerChanged();
  }

  // ConnectionHost

  addCid(cid: Uint8Array): void {
    if (!this.reaped) this.#owner.route(cid, this);
  }

  removeCid(cid: Uint8Array): void {
    if (!this.reaped && !this.lingering) this.#owner.unroute(cid, this);
  }

  hasCid(cid: Uint8Array): boolean {
    return this.#owner.isRouted(cid);
  }

  addResetToken(token: Uint8Array, remote: Address): void {
    if (!this.reaped) this.#owner.routeReset(token, remote, this);
  }

  removeResetToken(token: Uint8Array, remote: Address): void {
    if (!this.reaped && !this.lingering) this.#owner.unrouteReset(token, remote, this);
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

/** The owner of all slots of an endpoint, over its routes and queues. */
export function slotOwner<C extends EndpointConnection>(
  routes: Routes<Slot<C>>,
  transmits: Fifo<Slot<C>>,
  deadlines: Deadlines<Slot<C>>,
  eventful: Fifo<Slot<C>>,
): SlotOwner<C> {
  return {
    route: (cid, slot) => {
      if (cid.length === 0) return;
      const owner = routes.get(cid, 0, cid.length);
      if (owner !== null) return;
      routes.set(cid, slot);
      slot.cids.push(cid);
    },
    unroute: (cid, slot) => {
      const at = slot.cids.findIndex((own) => bytesEqual(own, cid));
      if (at < 0) return;
      slot.cids.splice(at, 1);
      routes.delete(cid);
    },
    isRouted: (cid) => routes.has(cid),
    routeReset: (token, remote, slot) => {
      routes.addReset(token, remote, slot);
      slot.resets.push({ token, remote });
    },
    unrouteReset: (token, remote, slot) => {
      const at = slot.resets.findIndex(
        (own) => own.remote.key === remote.key && constantTimeEqual(own.token, token),
      );
      if (at < 0) return;
      slot.resets.splice(at, 1);
      routes.deleteReset(token, remote, slot);
    },
    queueTransmit: (slot) => {
      slot.wantsTransmit = true;
      transmits.push(slot);
    },
    queueTimer: (slot) => deadlines.queue(slot),
    queueEvents: (slot) => {
      slot.eventful = true;
      eventful.push(slot);
    },
  };
}

/** Nothing routes to it any more, whatever the connection has forgotten to take back. */
export function removeRoutes<C extends EndpointConnection>(routes: Routes<Slot<C>>, slot: Slot<C>): void {
  for (const cid of slot.cids) routes.delete(cid);
  slot.cids.length = 0;
  for (const { token, remote } of slot.resets) routes.deleteReset(token, remote, slot);
  slot.resets.length = 0;
  routes.deleteAddress(slot.remote, slot);
}
