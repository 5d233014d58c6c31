// Datagrams that are too large for the path by now: rfc8899#4.3.

import { MIN_DATAGRAM_SIZE } from "../protocol/limits.ts";
import type { Core } from "./core.ts";

/** What is larger than every path carries may not arrive any more: then only that much is sent, and the search begins anew. */
export function checkBlackHole(core: Core): void {
  const path = core.paths.active;
  if (path.mtu <= MIN_DATAGRAM_SIZE || path.discovery.state === "off") return;
  if (!core.recovery.big.suspect(core.recovery.timer.ptoCount)) return;
  path.discovery.onBlackHole();
  core.onMtu(MIN_DATAGRAM_SIZE);
}
