// Chromium's own log of what its network did: its word on how connections began and ended.

import { readFileSync } from "node:fs";

interface NetLog {
  readonly constants: { readonly logEventTypes: Readonly<Record<string, number>> };
  readonly events: readonly { readonly type: number; readonly params?: Readonly<Record<string, unknown>> }[];
}

export interface Connections {
  /** One for each connection: NotAttempted, AttemptedAndSucceeded or AttemptedAndRejected. */
  readonly zeroRtt: readonly string[];
  /** Why connections ended, in Chromium's words; each is in the log twice. */
  readonly closed: readonly string[];
  /** Key updates it saw. */
  readonly keyUpdates: number;
}

/** The log of a browser that was closed. */
export function readNetLog(file: string): Connections {
  const { constants, events } = JSON.parse(readFileSync(file, "utf8")) as NetLog;
  const named = (name: string) => events.filter(({ type }) => type === constants.logEventTypes[name]);
  const texts = (name: string, parameter: string) =>
    named(name).map(({ params }) => String(params?.[parameter]));
  return {
    zeroRtt: texts("QUIC_SESSION_ZERO_RTT_STATE", "state"),
    closed: texts("QUIC_SESSION_CLOSED", "details"),
    keyUpdates: named("QUIC_SESSION_KEY_UPDATE").length,
  };
}
