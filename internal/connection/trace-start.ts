// What a trace says of a connection at its start.

import type { Tracer } from "../protocol/tracer.ts";
import { INITIAL_RTT } from "../recovery/rtt.ts";
import type { Core } from "./core.ts";

export function traceStart(core: Core, tracer: Tracer): void {
  const time = core.now;
  const { versions, datagramSize } = core.config;
  tracer.record({ name: "connection_state_updated", time, state: "attempted" });
  tracer.record({ name: "version_information", time, ours: versions, theirs: [], chosen: null });
  tracer.record({
    name: "recovery_parameters_set",
    time,
    initialWindow: core.controller.cwnd,
    initialRtt: INITIAL_RTT,
    maxDatagramSize: datagramSize,
    controller: core.controller.name,
  });
  tracer.record({ name: "congestion_state_updated", time, state: core.controller.state });
}
