// The application's objects of a core stream.

import type { Stream as CoreStream } from "../internal/stream/stream.ts";
import type { ReceiveStream } from "./receive-stream.ts";
import type { SendStream } from "./send-stream.ts";

/** @internal */
export interface Sides {
  receiving: ReceiveStream | null;
  sending: SendStream | null;
}

/** @internal What they are, null where nobody has seen the stream yet. */
export function sidesOf(stream: CoreStream): Sides | null {
  return (stream.userData as Sides | null | undefined) ?? null;
}

/** @internal Everybody who waits on one of them looks again. */
export function wakeStreams(streams: Iterable<CoreStream>): void {
  for (const stream of streams) {
    const sides = sidesOf(stream);
    sides?.receiving?.wake();
    sides?.sending?.wake();
  }
}
