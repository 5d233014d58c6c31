// One connection's timers: a fixed array, no objects. The endpoint keeps one heap over all connections.

export const TIMER_IDLE = 0;
export const TIMER_HANDSHAKE = 1;
export const TIMER_LOSS = 2;
export const TIMER_ACK = 3;
export const TIMER_KEEP_ALIVE = 4;
export const TIMER_PACING = 5;
/** End of closing or draining. */
export const TIMER_CLOSE = 6;
/** The previous 1-RTT read keys go. */
export const TIMER_KEY_DISCARD = 7;
export const TIMER_PATH = 8;
/** A Version Negotiation packet is believed. */
export const TIMER_VERSION = 9;
/** A server's 0-RTT keys go. */
export const TIMER_EARLY_KEYS = 10;
/** A doubtful Initial is believed. */
export const TIMER_DOUBT = 11;
const TIMER_COUNT = 12;

export const TIMER_NAMES = [
  "idle",
  "handshake",
  "loss_detection",
  "ack",
  "keep_alive",
  "pacing",
  "close",
  "key_discard",
  "path_validation",
  "version_negotiation",
  "early_keys",
  "doubt",
] as const;

/** Deadlines in monotonic ms; Infinity is "not set". */
export class Timers {
  readonly #deadlines = new Float64Array(TIMER_COUNT).fill(Infinity);

  set(timer: number, deadline: number): void {
    this.#deadlines[timer] = deadline;
  }

  clear(timer: number): void {
    this.#deadlines[timer] = Infinity;
  }

  clearAll(): void {
    this.#deadlines.fill(Infinity);
  }

  get(timer: number): number {
    return this.#deadlines[timer]!;
  }

  isDue(timer: number, now: number): boolean {
    return this.#deadlines[timer]! <= now;
  }

  /** The earliest deadline, Infinity where none is set. */
  next(): number {
    let next = Infinity;
    for (let i = 0; i < TIMER_COUNT; i++) if (this.#deadlines[i]! < next) next = this.#deadlines[i]!;
    return next;
  }
}
