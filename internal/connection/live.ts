// What of a connection's configuration changes while it lives.

import { APPLICATION } from "../protocol/constants.ts";
import type { ConnectionConfig } from "./config.ts";
import type { Connection } from "./connection.ts";

/** Settings that a live connection takes. */
export type LiveChanges = Partial<
  Pick<
    ConnectionConfig,
    | "keepAlivePeriod"
    | "pacing"
    | "ackFrequency"
    | "ackElicitingThreshold"
    | "spinBit"
    | "datagramSendQueue"
    | "datagramReceiveQueue"
    | "maxIncomingStreams"
    | "maxIncomingUniStreams"
    | "maxStreamWindow"
    | "maxConnectionWindow"
    | "congestionControl"
  >
>;

/** From now on `changes` hold for this connection alone. */
export function configure(connection: Connection, changes: LiveChanges, now: number): void {
  if (!connection.close.isOpen) return;
  connection.now = now;
  const config = { ...connection.config, ...changes };
  connection.config = config;
  connection.pacer.enabled = config.pacing;
  connection.received[APPLICATION]!.setThreshold(config.ackElicitingThreshold);
  connection.streams.configure(config);
  if (changes.spinBit !== undefined) connection.paths.setSpin(changes.spinBit);
  if (changes.keepAlivePeriod !== undefined) {
    connection.idle.setKeepAlive(changes.keepAlivePeriod, connection.handshakeComplete, now);
  }
  if (changes.congestionControl !== undefined)
    connection.setCongestionControl(changes.congestionControl, now);
  connection.wake();
}
