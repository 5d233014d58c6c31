// Options that a live connection takes.

import type { LiveChanges } from "../internal/connection/live.ts";
import type { CryptoProvider } from "../internal/crypto/provider.ts";
import { InvalidOptionError } from "../internal/protocol/errors.ts";
import { type Config, resolveConfig } from "./config.ts";

/** What of a connection's configuration can be changed while it lives: see `Config`. */
export type LiveOptions = Pick<
  Config,
  | "keepAlivePeriod"
  | "pacing"
  | "ackFrequency"
  | "ackElicitingThreshold"
  | "spinBit"
  | "datagramQueues"
  | "maxIncomingStreams"
  | "maxIncomingUniStreams"
  | "maxStreamReceiveWindow"
  | "maxConnectionReceiveWindow"
  | "congestionControl"
>;

/** Which settings of the core's follow from each. */
const SETTINGS: { readonly [option in keyof LiveOptions]-?: readonly (keyof LiveChanges)[] } = {
  keepAlivePeriod: ["keepAlivePeriod"],
  pacing: ["pacing"],
  ackFrequency: ["ackFrequency"],
  ackElicitingThreshold: ["ackElicitingThreshold"],
  spinBit: ["spinBit"],
  datagramQueues: ["datagramSendQueue", "datagramReceiveQueue"],
  maxIncomingStreams: ["maxIncomingStreams"],
  maxIncomingUniStreams: ["maxIncomingUniStreams"],
  maxStreamReceiveWindow: ["maxStreamWindow"],
  maxConnectionReceiveWindow: ["maxConnectionWindow"],
  congestionControl: ["congestionControl"],
};

/** @internal @throws {InvalidOptionError} */
export function liveChanges(options: LiveOptions, provider: CryptoProvider): LiveChanges {
  for (const option of Object.keys(options)) {
    if (option in SETTINGS) continue;
    const those = Object.keys(SETTINGS).join(", ");
    throw new InvalidOptionError(
      option,
      `left out: it is settled when a connection is made, unlike ${those}`,
    );
  }
  const resolved = resolveConfig(options, provider, false);
  const changes: Record<string, unknown> = {};
  for (const [option, settings] of Object.entries(SETTINGS)) {
    if (options[option as keyof LiveOptions] === undefined) continue;
    for (const setting of settings) changes[setting] = resolved[setting];
  }
  return changes as LiveChanges;
}
