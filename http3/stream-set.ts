// The request streams of a connection that are not over.

import { Http3StreamError } from "./errors.ts";
import type { MessageStream } from "./message-stream.ts";
import { ServerStream } from "./request-stream.ts";

/** Streams by slot, so that they come and go at no cost; and who waits for there to be none. */
export class StreamSet {
  readonly #streams: MessageStream[] = [];
  #idle: (() => void)[] = [];
  #timer: NodeJS.Timeout | null = null;

  get size(): number {
    return this.#streams.length;
  }

  /** A copy: what is done with them may remove them. */
  all(): MessageStream[] {
    return [...this.#streams];
  }

  find(id: number): MessageStream | undefined {
    return this.#streams.find((stream) => stream.id === id);
  }

  add(stream: MessageStream): void {
    stream.slot = this.#streams.length;
    this.#streams.push(stream);
  }

  /** Whether it was the last. */
  remove(stream: MessageStream): boolean {
    const { slot } = stream;
    if (slot < 0) return false;
    stream.slot = -1;
    const last = this.#streams.pop()!;
    if (last !== stream) {
      this.#streams[slot] = last;
      last.slot = slot;
    }
    if (this.#streams.length > 0) return false;
    for (const wake of this.#idle.splice(0)) wake();
    return true;
  }

  /** The connection is over. What came of them can still be read. */
  clear(): void {
    for (const stream of this.#streams.splice(0)) {
      stream.slot = -1;
      stream.forgotten();
    }
    for (const wake of this.#idle.splice(0)) wake();
    this.stopWatching();
  }

  /** Resolves when there are none. */
  idle(): Promise<void> {
    return this.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /**
   * From now on until there is none: requests whose head has not come within `heads` ms are rejected, and those whose
   * client has neither sent nor taken anything for `stall` ms, or up to twice that, are cancelled. 0 for no limit.
   */
  watch(heads: number, stall: number): void {
    if (this.#timer !== null || (heads === 0 && stall === 0)) return;
    const period = Math.min(heads || Infinity, stall || Infinity);
    let sinceStallCheck = 0;
    const look = () => {
      sinceStallCheck += period;
      const stallCheck = stall > 0 && sinceStallCheck >= stall;
      if (stallCheck) sinceStallCheck = 0;
      const now = performance.now();
      for (const stream of this.all()) {
        if (!(stream instanceof ServerStream)) continue;
        if (!stream.hasRequest) {
          if (heads > 0 && now - stream.openedAt >= heads) {
            stream.give(new Http3StreamError("H3_REQUEST_REJECTED", "the request's head took too long"));
          }
        } else if (stallCheck && stream.stalled()) {
          stream.give(new Http3StreamError("H3_REQUEST_CANCELLED", "the client made no progress"));
        }
      }
      if (this.size === 0) this.stopWatching();
    };
    this.#timer = setInterval(look, period);
    this.#timer.unref();
  }

  /** Client: from now on until there is none, `ping` every `interval` ms; 0 for never. */
  keepOpen(interval: number, ping: () => void): void {
    if (this.#timer !== null || interval === 0) return;
    this.#timer = setInterval(() => {
      if (this.size === 0) this.stopWatching();
      else ping();
    }, interval);
    this.#timer.unref();
  }

  stopWatching(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
