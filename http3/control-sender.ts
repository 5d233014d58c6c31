import type { Outlet } from "./outlet.ts";
import type { Trace } from "./trace.ts";

/** Our control stream: frames that are said before it is open wait for it. */
export class ControlSender {
  readonly #fail: (error: unknown) => void;
  readonly #trace: Trace | null;
  #outlet: Outlet | null = null;
  #pending: Uint8Array[] = [];

  /** @param fail - told where the stream, and so the connection, is over */
  constructor(fail: (error: unknown) => void, trace: Trace | null) {
    this.#fail = fail;
    this.#trace = trace;
  }

  /** The stream is open, and SETTINGS are on it. */
  open(outlet: Outlet, settings: Uint8Array): void {
    this.#outlet = outlet;
    this.#trace?.sent(outlet.stream.id, settings);
  }

  /** What waited may go. */
  flush(): void {
    for (const frame of this.#pending.splice(0)) this.say(frame);
  }

  /** Sends a frame. */
  say(frame: Uint8Array): void {
    if (this.#outlet === null) {
      this.#pending.push(frame);
      return;
    }
    this.#trace?.sent(this.#outlet.stream.id, frame);
    this.#outlet.write(frame).catch(this.#fail);
  }
}
