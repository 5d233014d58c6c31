// Values for whoever waits for them.

/** A queue of what comes, and of calls that wait for it. */
export class Queue<T> {
  #values: T[] = [];
  #waiting: { resolve: (value: T) => void; reject: (error: unknown) => void }[] = [];
  #end: { readonly error: unknown } | null = null;

  get length(): number {
    return this.#values.length;
  }

  push(value: T): void {
    const first = this.#waiting.shift();
    if (first === undefined) this.#values.push(value);
    else first.resolve(value);
  }

  /** The next value. Rejects with the signal's reason, or with the error the queue ended with. */
  take(signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted === true) reject(signal.reason as Error);
      else if (this.#values.length > 0) resolve(this.#values.shift()!);
      else if (this.#end !== null) reject(this.#end.error as Error);
      else {
        const onAbort = () => {
          this.#waiting = this.#waiting.filter((one) => one !== entry);
          reject(signal!.reason as Error);
        };
        const settled = <V>(then: (value: V) => void) => {
          return (value: V) => {
            signal?.removeEventListener("abort", onAbort);
            then(value);
          };
        };
        const entry = { resolve: settled(resolve), reject: settled(reject as (error: unknown) => void) };
        signal?.addEventListener("abort", onAbort, { once: true });
        this.#waiting.push(entry);
      }
    });
  }

  /** Nothing comes any more; what has come is still given. */
  end(error: unknown): void {
    if (this.#end !== null) return;
    this.#end = { error };
    for (const one of this.#waiting.splice(0)) one.reject(error);
  }
}
