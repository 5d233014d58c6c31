// The request streams of a connection that are not over.

import { Http3StreamError } from "./errors.ts";
import { type MessageStream, ServerStream } from "./request-stream.ts";

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
    for (const stream of this.#streams) stream.slot = -1;
    this.#streams.length = 0;
    for (const wake of this.#idle.splice(0)) wake();
    this.stopWatching();
  }

  /** Resolves when there are none. */
  idle(): Promise<void> {
    return this.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Requests whose head has not come within `timeout` ms are rejected, from now on until there is none. */
  watchHeads(timeout: number): void {
    if (timeout === 0 || this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const now = performance.now();
      let more = false;
      for (const stream of this.all()) {
        if (!(stream instanceof ServerStream) || stream.hasRequest) continue;
        if (now - stream.openedAt < timeout) more = true;
        else stream.give(new Http3StreamError("H3_REQUEST_REJECTED", "the request's head took too long"));
      }
      if (more) this.watchHeads(timeout);
    }, timeout);
    this.#timer.unref();
  }

  stopWatching(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
