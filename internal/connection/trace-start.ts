// What a trace says of a connection at its start, of its controller and its paths.

import type { Path } from "../path/path.ts";
import type { Tracer } from "../protocol/tracer.ts";
import { INITIAL_RTT } from "../recovery/rtt.ts";
import type { Core } from "./core.ts";

export function traceStart(core: Core, tracer: Tracer): void {
  const time = core.now;
  const { versions } = core.config;
  tracer.record({ name: "connection_state_updated", time, state: "attempted" });
  tracer.record({ name: "version_information", time, ours: versions, theirs: [], chosen: null });
  traceFailure(core, tracer);
  traceController(core, tracer);
}

/** Why the application's controller is none any more. */
export function traceFailure(core: Core, tracer: Tracer): void {
  const { failure } = core.controller;
  if (failure === null) return;
  const { name: controller, reason } = failure;
  tracer.record({ name: "congestion_control_failed", time: core.now, controller, reason });
}

/** The controller as it begins; also where one takes another's place. */
export function traceController(core: Core, tracer: Tracer): void {
  tracer.record({
    name: "recovery_parameters_set",
    time: core.now,
    initialWindow: core.controller.cwnd,
    initialRtt: INITIAL_RTT,
    maxDatagramSize: core.config.datagramSize,
    controller: core.controller.name,
  });
  tracer.record({ name: "congestion_state_updated", time: core.now, state: core.controller.state });
}

export function tracePath(
  core: Core,
  path: Path,
  state: "validating" | "validated" | "abandoned" | "active",
): void {
  core.tracer?.record({
    name: "path_updated",
    time: core.now,
    local: path.local?.key ?? null,
    remote: path.remote.key,
    state,
  });
}
