// Calls that wait until the peer lets us open another stream: rfc9000#4.6.

interface Waiting<T> {
  resolve(opened: T): void;
  reject(error: unknown): void;
}

/**
 * Who waits for streams, the first comer first. Credit for n streams ends n waits and touches no other: a thousand that
 * wait would else look a thousand times each.
 */
export class Openers<T> {
  readonly #open: (bidi: boolean) => T | null;
  readonly #bidi = new Set<Waiting<T>>();
  readonly #uni = new Set<Waiting<T>>();

  /** @param open a stream now, null without credit. */
  constructor(open: (bidi: boolean) => T | null) {
    this.#open = open;
  }

  #line(bidi: boolean): Set<Waiting<T>> {
    return bidi ? this.#bidi : this.#uni;
  }

  /** Whether somebody came before: what credit there is would be theirs. */
  waits(bidi: boolean): boolean {
    return this.#line(bidi).size > 0;
  }

  /** Resolves with a stream when its turn has come. */
  wait(bidi: boolean, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const line = this.#line(bidi);
      const onAbort = () => {
        line.delete(one);
        reject(signal!.reason as Error);
      };
      const settle = () => {
        line.delete(one);
        signal?.removeEventListener("abort", onAbort);
      };
      const one: Waiting<T> = {
        resolve: (opened) => {
          settle();
          resolve(opened);
        },
        reject: (error) => {
          settle();
          reject(error as Error);
        },
      };
      line.add(one);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** There may be credit: as many get a stream as it is for. */
  grant(bidi: boolean): void {
    for (const one of this.#line(bidi)) {
      const opened = this.#open(bidi);
      if (opened === null) return;
      one.resolve(opened);
    }
  }

  /** Nobody gets one any more. */
  fail(error: unknown): void {
    for (const line of [this.#bidi, this.#uni]) for (const one of line) one.reject(error);
  }
}
