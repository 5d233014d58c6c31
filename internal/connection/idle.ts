// Idle timeout and keep alive: rfc9000#10.1.

import { MAX_KEEP_ALIVE } from "../protocol/limits.ts";
import type { Timers } from "./timers.ts";
import { TIMER_IDLE, TIMER_KEEP_ALIVE } from "./timers.ts";

/** When a quiet connection ends, and what keeps it from ending. */
export class IdleTimer {
  readonly #timers: Timers;
  #keepAlivePeriod: number;
  /** Effective timeout, ms; Infinity for none. */
  timeout: number;
  #elicitingSentSince = false;
  #keepAliveArmed = false;

  constructor(timers: Timers, ownTimeout: number, keepAlivePeriod: number) {
    this.#timers = timers;
    this.timeout = ownTimeout === 0 ? Infinity : ownTimeout;
    this.#keepAlivePeriod = keepAlivePeriod;
  }

  /** rfc9000#10.1 the effective value is the minimum of the two advertised; 0 or absent is no limit. */
  negotiate(peerTimeout: number): void {
    if (peerTimeout > 0) this.timeout = Math.min(this.timeout, peerTimeout);
  }

  /** rfc9000#10.1 an endpoint restarts its idle timer when a packet from its peer is received and processed. */
  onReceived(now: number, pto: number): void {
    this.#elicitingSentSince = false;
    this.#restart(now, pto);
  }

  /** rfc9000#10.1 … and when sending an ack-eliciting packet, if none was sent since the last receipt. */
  onElicitingSent(now: number, pto: number): void {
    if (this.#elicitingSentSince) return;
    this.#elicitingSentSince = true;
    this.#restart(now, pto);
  }

  #restart(now: number, pto: number): void {
    // rfc9000#10.1 endpoints MUST increase the idle timeout period to be at least three times the current PTO.
    if (this.timeout !== Infinity) this.#timers.set(TIMER_IDLE, now + Math.max(this.timeout, 3 * pto));
    if (this.#keepAliveArmed) this.armKeepAlive(now);
  }

  /** Another period from now on, 0 for none. @param armed the handshake is complete. */
  setKeepAlive(period: number, armed: boolean, now: number): void {
    this.#keepAlivePeriod = period;
    if (period === 0) {
      this.#keepAliveArmed = false;
      this.#timers.clear(TIMER_KEEP_ALIVE);
    } else if (armed) this.armKeepAlive(now);
  }

  /** From the handshake on. rfc9000#10.1.2: a PING well before the timeout, once per quiet period. */
  armKeepAlive(now: number): void {
    if (this.#keepAlivePeriod === 0) return;
    this.#keepAliveArmed = true;
    this.#timers.set(
      TIMER_KEEP_ALIVE,
      now + Math.min(this.#keepAlivePeriod, this.timeout / 2, MAX_KEEP_ALIVE),
    );
  }
}
