// What happens when a timer of a connection fires.

import { HandshakeTimeoutError, IdleTimeoutError, VersionNegotiationError } from "../protocol/errors.ts";
import type { Connection } from "./connection.ts";
import {
  TIMER_CLOSE,
  TIMER_DOUBT,
  TIMER_EARLY_KEYS,
  TIMER_HANDSHAKE,
  TIMER_IDLE,
  TIMER_KEEP_ALIVE,
  TIMER_KEY_DISCARD,
  TIMER_LOSS,
  TIMER_PACING,
  TIMER_PATH,
  TIMER_VERSION,
} from "./timers.ts";
import { chooseVersion } from "./versions.ts";

/** Fires what is due. ACK and pacing need nothing but a transmit. */
export function onTimers(connection: Connection, now: number): void {
  const { timers, close, recovery } = connection;
  if (!close.isOpen) {
    if (timers.isDue(TIMER_CLOSE, now)) close.end();
    return;
  }
  if (timers.isDue(TIMER_IDLE, now)) {
    // rfc9000#10.1 the connection is silently closed and its state is discarded.
    connection.closeSilently(new IdleTimeoutError(connection.idle.timeout));
    return;
  }
  if (timers.isDue(TIMER_HANDSHAKE, now)) {
    const heard = connection.stats.packetsReceived > 0;
    connection.closeSilently(new HandshakeTimeoutError(connection.config.handshakeTimeout, heard));
    return;
  }
  if (timers.isDue(TIMER_VERSION, now)) {
    const { config, versions } = connection;
    // rfc9368#2.1 the client SHALL search for a version it supports in the list. If it doesn't find one, it SHALL abort
    // the connection attempt: this one is over in any case, and the error says what a new one would use.
    const offered = versions.offered!;
    connection.closeSilently(
      new VersionNegotiationError(config.versions, offered, chooseVersion(config.versions, offered)),
    );
    return;
  }
  if (timers.isDue(TIMER_DOUBT, now)) {
    timers.clear(TIMER_DOUBT);
    connection.onDoubtExpired();
    if (!close.isOpen) return;
  }
  if (timers.isDue(TIMER_LOSS, now)) recovery.onTimeout(now);
  if (timers.isDue(TIMER_KEY_DISCARD, now)) {
    timers.clear(TIMER_KEY_DISCARD);
    connection.protection.dropOldReadKeys();
  }
  if (timers.isDue(TIMER_EARLY_KEYS, now)) {
    timers.clear(TIMER_EARLY_KEYS);
    connection.handshake.discardEarly();
  }
  if (timers.isDue(TIMER_PATH, now)) connection.paths.onTimeout(now);
  if (timers.isDue(TIMER_KEEP_ALIVE, now)) {
    timers.clear(TIMER_KEEP_ALIVE);
    connection.ping();
  }
  timers.clear(TIMER_PACING);
  connection.wake();
}
