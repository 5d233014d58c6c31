// Every packet that is dropped has a reason that is counted and traced.

import type { PacketType } from "../protocol/constants.ts";
import type { DropReason, Tracer } from "../protocol/tracer.ts";
import type { EndpointStats } from "./types.ts";

export class Drops {
  readonly #stats: EndpointStats;
  readonly #tracer: Tracer | null;

  constructor(stats: EndpointStats, tracer: Tracer | null) {
    this.#stats = stats;
    this.#tracer = tracer;
  }

  add(reason: DropReason, packetType: PacketType | null, size: number, now: number, detail?: string): void {
    const { dropped } = this.#stats;
    dropped[reason] = (dropped[reason] ?? 0) + 1;
    this.#tracer?.record({
      name: "packet_dropped",
      time: now,
      reason,
      packetType,
      size,
      ...(detail === undefined ? {} : { detail }),
    });
  }
}
