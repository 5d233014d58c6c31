// Waiting, for the API above the core: what the event pump wakes, with abort signals and deadlines.

import { InvalidOptionError, QuicError } from "../internal/protocol/errors.ts";

/** Options of every call that may wait. */
export interface WaitOptions {
  /** Ends the wait: the call rejects with the signal's reason and the connection stays usable. */
  signal?: AbortSignal | undefined;
}

/** What happens at a deadline, besides that calls which wait reject. */
export interface DeadlineOptions {
  /** Give that side of the stream up with this code: `cancelWrite`, `cancelRead`. */
  reset?: number | bigint;
  /** Called, whether a call waits or not, unless the side is over by then. After the reset. */
  onExpired?: () => void;
}

/** A deadline set with `setDeadline` and its like passed. As Go's os.ErrDeadlineExceeded. */
export class DeadlineExceededError extends QuicError {
  override readonly timeout: boolean = true;
  override readonly temporary: boolean = true;
  constructor(what: string) {
    super(
      "ERR_QUIC_DEADLINE_EXCEEDED",
      `The deadline for ${what} passed. Move it with setDeadline; what was transferred so far is not lost.`,
    );
  }
}

/** A call that waits. */
interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  /** No longer looks at its signal. */
  readonly settled: (() => void) | null;
}

const NOBODY: Waiting[] = [];

/** Calls `aborted` with the reason. Gives back how to stop that. */
function onAbort(signal: AbortSignal, aborted: (reason: unknown) => void): () => void {
  const listener = (): void => aborted(signal.reason);
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** Calls that wait for one thing to change, and the deadline they share. */
export class Waiter {
  /** Nearly always none or one. */
  #waiting: Waiting[] = NOBODY;
  #deadline = Infinity;
  #timer: NodeJS.Timeout | null = null;
  #onExpired: (() => void) | null = null;
  readonly #what: string;

  constructor(what: string) {
    this.#what = what;
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Resolves at the next `wake`; rejects on abort, deadline or `fail`. */
  wait(signal?: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      if (this.#deadline <= Date.now()) {
        reject(new DeadlineExceededError(this.#what));
        return;
      }
      const settled = signal === undefined ? null : this.#watch(signal, reject);
      const one: Waiting = { resolve, reject, settled };
      this.#waiting = this.#waiting.length === 0 ? [one] : [...this.#waiting, one];
      this.#arm();
    });
  }

  /** The call that has `reject` ends with the signal. Gives back how to stop that. */
  #watch(signal: AbortSignal, reject: Waiting["reject"]): () => void {
    return onAbort(signal, (reason) => {
      const others = this.#waiting.filter((other) => other.reject !== reject);
      this.#waiting = others.length === 0 ? NOBODY : others;
      reject(reason);
    });
  }

  wake(): void {
    for (const one of this.#settle()) one.resolve();
  }

  fail(error: unknown): void {
    for (const one of this.#settle()) one.reject(error);
  }

  /** All that wait: they do no more. */
  #settle(): readonly Waiting[] {
    const waiting = this.#waiting;
    this.#waiting = NOBODY;
    for (const one of waiting) one.settled?.();
    return waiting;
  }

  /** Unix ms, null for none. */
  get deadline(): number | null {
    return this.#deadline === Infinity ? null : this.#deadline;
  }

  /** Ms until the deadline, 0 where it has passed, null for none. */
  get timeLeft(): number | null {
    return this.#deadline === Infinity ? null : Math.max(0, this.#deadline - Date.now());
  }

  /**
   * Unix ms or a Date; Infinity or null for none. Applies to a call that already waits, too.
   * @param onExpired called then, whether anybody waits or not.
   */
  setDeadline(deadline: number | Date | null, onExpired: (() => void) | null = null): void {
    const at = deadline === null ? Infinity : Number(deadline);
    if (Number.isNaN(at)) throw new InvalidOptionError("deadline", "Unix ms, a valid Date, or null for none");
    this.#deadline = at;
    this.#onExpired = onExpired;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.isWaiting || onExpired !== null) this.#arm();
  }

  /** Throws where the deadline has passed. */
  check(): void {
    if (this.#deadline !== Infinity && this.#deadline <= Date.now())
      throw new DeadlineExceededError(this.#what);
  }

  #expire(): void {
    this.fail(new DeadlineExceededError(this.#what));
    const told = this.#onExpired;
    this.#onExpired = null;
    told?.();
  }

  #arm(): void {
    if (this.#deadline === Infinity || this.#timer !== null) return;
    // Node cuts longer delays to 1 ms; a deadline further away is looked at again.
    const delay = Math.min(Math.max(0, this.#deadline - Date.now()), 2 ** 31 - 1);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#deadline <= Date.now()) this.#expire();
      else if (this.isWaiting || this.#onExpired !== null) this.#arm();
    }, delay);
    this.#timer.unref();
  }
}

/** A queue of values and of calls that wait for one: accept(). */
export class WaitQueue<T> {
  #values: T[] = [];
  #waiting: {
    readonly resolve: (value: T) => void;
    readonly reject: (error: unknown) => void;
    readonly settled: (() => void) | null;
  }[] = [];
  #watchers: Set<() => void> | null = null;
  #error: unknown = undefined;
  #ended = false;
  readonly #taken: ((value: T) => void) | null;

  /** @param taken hears of each value that somebody gets. */
  constructor(taken: ((value: T) => void) | null = null) {
    this.#taken = taken;
  }

  get length(): number {
    return this.#values.length;
  }

  push(value: T): void {
    const first = this.#waiting.shift();
    if (first === undefined) {
      this.#values.push(value);
      this.#tell();
      return;
    }
    first.settled?.();
    this.#taken?.(value);
    first.resolve(value);
  }

  #shift(): T | undefined {
    const value = this.#values.shift();
    if (value !== undefined) this.#taken?.(value);
    return value;
  }

  /** A value that is there already, or undefined. */
  tryTake(): T | undefined {
    return this.#shift();
  }

  take(signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      if (this.#values.length > 0) {
        resolve(this.#shift()!);
        return;
      }
      if (this.#ended) {
        reject(this.#error as Error);
        return;
      }
      this.#waiting.push({
        resolve,
        reject,
        settled: signal === undefined ? null : this.#until(signal, reject),
      });
    });
  }

  /** The call that has `reject` ends with the signal. Gives back how to stop that. */
  #until(signal: AbortSignal, reject: (error: unknown) => void): () => void {
    return onAbort(signal, (reason) => {
      this.#waiting = this.#waiting.filter((one) => one.reject !== reject);
      reject(reason);
    });
  }

  /** Calls `changed` whenever a value is left for whoever takes it, and at the end. Gives back how to stop that. */
  watch(changed: () => void): () => void {
    const watchers = (this.#watchers ??= new Set());
    watchers.add(changed);
    return () => void watchers.delete(changed);
  }

  #tell(): void {
    if (this.#watchers !== null) for (const changed of this.#watchers) changed();
  }

  /** Why nothing comes any more, where nothing is left either; undefined while something may. */
  get over(): { readonly error: unknown } | undefined {
    return this.#ended && this.#values.length === 0 ? { error: this.#error } : undefined;
  }

  /** Calls that wait reject with `error`; others may come. */
  fail(error: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      one.settled?.();
      one.reject(error);
    }
  }

  /** No more values come: calls that wait, and later ones once the queue is empty, reject with `error`. */
  end(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.fail(error);
    this.#tell();
  }

  /** What was not taken; the queue is empty after. */
  drain(): T[] {
    const values = this.#values;
    this.#values = [];
    return values;
  }
}
