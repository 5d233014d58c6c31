// Values for whoever waits for them.

/** A queue of what comes, and of calls that wait for it. */
export class Queue<T> {
  #values: T[] = [];
  #waiting: {
    readonly resolve: (value: T) => void;
    readonly reject: (error: unknown) => void;
    /** No longer looks at its signal. */
    readonly settled: (() => void) | null;
  }[] = [];
  #end: { readonly error: unknown } | null = null;

  get length(): number {
    return this.#values.length;
  }

  push(value: T): void {
    const first = this.#waiting.shift();
    if (first === undefined) {
      this.#values.push(value);
      return;
    }
    first.settled?.();
    first.resolve(value);
  }

  /** A value that is there already. */
  tryTake(): T | undefined {
    return this.#values.shift();
  }

  /** The next value. Rejects with the signal's reason, or with the error the queue ended with. */
  take(signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted === true) reject(signal.reason as Error);
      else if (this.#values.length > 0) resolve(this.#values.shift()!);
      else if (this.#end !== null) reject(this.#end.error as Error);
      else {
        const settled = signal === undefined ? null : this.#watch(signal, reject);
        this.#waiting.push({ resolve, reject, settled });
      }
    });
  }

  /** The call that has `reject` ends with the signal. Gives back how to stop that. */
  #watch(signal: AbortSignal, reject: (error: unknown) => void): () => void {
    const onAbort = () => {
      this.#waiting = this.#waiting.filter((one) => one.reject !== reject);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    return () => signal.removeEventListener("abort", onAbort);
  }

  /** Nothing comes any more; what has come is still given. */
  end(error: unknown): void {
    if (this.#end !== null) return;
    this.#end = { error };
    for (const one of this.#waiting.splice(0)) {
      one.settled?.();
      one.reject(error);
    }
  }
}
