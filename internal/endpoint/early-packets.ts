// 0-RTT packets that overtook their Initial. rfc9000#5.2.2 If the packet is a 0-RTT packet, the server MAY buffer a limited
// number of these packets in anticipation of a late-arriving Initial packet.

import type { Address } from "../protocol/address.ts";
import { toHex } from "../protocol/bytes.ts";
import { PACKET_ZERO_RTT } from "../protocol/constants.ts";
import {
  EARLY_QUEUE_TIME,
  MAX_EARLY_QUEUE_BYTES,
  MAX_EARLY_QUEUE_DATAGRAMS,
  MAX_EARLY_QUEUES,
} from "../protocol/limits.ts";
import type { DropReason } from "../protocol/tracer.ts";
import type { Drops } from "./drops.ts";

/** A datagram, as it came. */
export interface KeptDatagram {
  readonly bytes: Uint8Array;
  readonly remote: Address;
  readonly local: Address | null;
  readonly ecn: number;
}

interface Queue {
  readonly datagrams: KeptDatagram[];
  bytes: number;
  /** Monotonic ms. */
  readonly deadline: number;
}

const NONE: readonly KeptDatagram[] = [];

export class EarlyPackets {
  readonly #drops: Drops;
  /** By the connection ID that the client sends to, hexadecimal; the oldest first. */
  readonly #queues = new Map<string, Queue>();

  constructor(drops: Drops) {
    this.#drops = drops;
  }

  /** Clients for whom something is kept. */
  get size(): number {
    return this.#queues.size;
  }

  /** When the oldest has waited long enough. */
  get next(): number {
    for (const { deadline } of this.#queues.values()) return deadline;
    return Infinity;
  }

  /** Keeps a datagram, a copy of it, where there is room. */
  keep(dcid: Uint8Array, datagram: KeptDatagram, now: number): void {
    const { bytes } = datagram;
    const key = toHex(dcid);
    let queue = this.#queues.get(key);
    if (queue === undefined && this.#queues.size < MAX_EARLY_QUEUES) {
      queue = { datagrams: [], bytes: 0, deadline: now + EARLY_QUEUE_TIME };
      this.#queues.set(key, queue);
    }
    if (
      queue === undefined ||
      queue.datagrams.length >= MAX_EARLY_QUEUE_DATAGRAMS ||
      queue.bytes + bytes.length > MAX_EARLY_QUEUE_BYTES
    ) {
      this.#drops.add("queue_overflow", PACKET_ZERO_RTT, bytes.length, now);
      return;
    }
    queue.datagrams.push({ ...datagram, bytes: bytes.slice() });
    queue.bytes += bytes.length;
  }

  /** What waits for the client's Initial to `dcid`, which has come. */
  take(dcid: Uint8Array): readonly KeptDatagram[] {
    if (this.#queues.size === 0) return NONE;
    const key = toHex(dcid);
    const queue = this.#queues.get(key);
    this.#queues.delete(key);
    return queue?.datagrams ?? NONE;
  }

  /** Drops what waits for an Initial that was not let in. */
  refuse(dcid: Uint8Array, reason: DropReason, now: number): void {
    for (const { bytes } of this.take(dcid)) this.#drops.add(reason, PACKET_ZERO_RTT, bytes.length, now);
  }

  /** Drops what has waited too long by `now`; with Infinity, everything. */
  expire(now: number, at: number): void {
    for (const [key, { deadline, datagrams }] of this.#queues) {
      if (deadline > now) return;
      this.#queues.delete(key);
      for (const { bytes } of datagrams) {
        this.#drops.add("unknown_connection_id", PACKET_ZERO_RTT, bytes.length, at);
      }
    }
  }
}
