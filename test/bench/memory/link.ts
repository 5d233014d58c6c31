// The pair over a link with a rate, in real time: datagrams leave one after another at that rate, wait in a bounded
// queue before, and arrive a fixed delay later. Answers are only delayed.

import { setTimeout as sleep } from "node:timers/promises";
import { RxBatch, TxBatch } from "../../../internal/protocol/batch.ts";
import type { Endpoint } from "../../../internal/endpoint/endpoint.ts";
import type { Address } from "../../../internal/protocol/address.ts";
import {
  CLIENT_ADDRESS,
  type EndpointsOptions,
  Flow,
  makeEndpoints,
  SERVER_ADDRESS,
  WALL,
} from "./endpoints.ts";

/** UDP and IPv4 headers count on a link. */
const OVERHEAD = 28;

class Lane {
  readonly #bytesPerMs: number;
  readonly #delay: number;
  readonly #queueMs: number;
  readonly #from: Address;
  readonly #rx = new RxBatch();
  #queue: { at: number; bytes: Uint8Array }[] = [];
  #busyUntil = 0;

  constructor(from: Address, bytesPerMs: number, delay: number, queueMs: number) {
    this.#from = from;
    this.#bytesPerMs = bytesPerMs;
    this.#delay = delay;
    this.#queueMs = queueMs;
  }

  take(tx: TxBatch, now: number): void {
    for (let i = 0; i < tx.count; i++) {
      const end = tx.offset[i]! + tx.length[i]!;
      const segment = tx.segmentSize[i]!;
      for (let at = tx.offset[i]!; at < end; at += segment) {
        const start = Math.max(now, this.#busyUntil);
        // Drop tail.
        if (start - now > this.#queueMs) continue;
        const bytes = tx.slab.slice(at, Math.min(at + segment, end));
        this.#busyUntil = start + (bytes.length + OVERHEAD) / this.#bytesPerMs;
        this.#queue.push({ at: this.#busyUntil + this.#delay, bytes });
      }
    }
  }

  deliver(to: Endpoint, now: number): void {
    let next = 0;
    const rx = this.#rx;
    for (; next < this.#queue.length && this.#queue[next]!.at <= now; next++) {
      if (rx.push(this.#queue[next]!.bytes, this.#from)) continue;
      to.receive(rx, now, WALL);
      rx.clear();
      rx.push(this.#queue[next]!.bytes, this.#from);
    }
    if (rx.count > 0) to.receive(rx, now, WALL);
    rx.clear();
    if (next > 0) this.#queue = this.#queue.slice(next);
  }
}

export interface LinkResult {
  /** Payload bytes per second that the receiver read, after the first `warmup` ms. */
  readonly bytesPerSecond: number;
  /** Share of one core that both ends took. */
  readonly load: number;
}

/** Transfers over a link of `bitsPerSecond` for so many ms of real time. */
export async function measureLink(
  options: EndpointsOptions,
  bitsPerSecond: number,
  warmup: number,
  duration: number,
): Promise<LinkResult> {
  const start = performance.now();
  const ends = makeEndpoints(options, 0);
  const flow = new Flow(ends);
  const delay = 5;
  // Two round trips' worth of queue.
  const there = new Lane(CLIENT_ADDRESS, bitsPerSecond / 8000, delay, 4 * delay);
  const back = new Lane(SERVER_ADDRESS, Infinity, delay, 4 * delay);
  const tx = new TxBatch();
  const send = (from: Endpoint, lane: Lane, now: number): void => {
    for (let more = true; more;) {
      tx.clear();
      more = from.transmit(tx, now);
      lane.take(tx, now);
    }
  };
  let begunAt = 0;
  let begunBytes = 0;
  let begunCpu = process.cpuUsage();
  for (;;) {
    const now = performance.now() - start;
    there.deliver(ends.server, now);
    flow.read();
    back.deliver(ends.client, now);
    flow.write();
    ends.client.handleTimeout(now, WALL);
    ends.server.handleTimeout(now, WALL);
    send(ends.client, there, now);
    send(ends.server, back, now);
    if (begunAt === 0 && now >= warmup) {
      begunAt = now;
      begunBytes = flow.received;
      begunCpu = process.cpuUsage();
    }
    if (now >= warmup + duration) {
      const { user, system } = process.cpuUsage(begunCpu);
      const elapsed = now - begunAt;
      ends.connection.closeWithError(0n, "", now);
      ends.client.dispose();
      ends.server.dispose();
      return {
        bytesPerSecond: ((flow.received - begunBytes) / elapsed) * 1000,
        load: (user + system) / 1000 / elapsed,
      };
    }
    await sleep(1);
  }
}
