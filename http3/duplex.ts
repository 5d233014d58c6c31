// A tunnel as a Node stream: the content of a request stream both ways. rfc9114#4.4, rfc9220

import { Duplex } from "node:stream";
import { H3_ERROR } from "./errors.ts";
import type { MessageStream } from "./message-stream.ts";

/** See {@link MessageStream.toNodeStream}. */
export function duplexOf(stream: MessageStream): Duplex {
  const { signal } = stream;
  const duplex = new Duplex({
    allowHalfOpen: true,
    read() {
      stream.read().then(
        (chunk) => this.push(chunk),
        (error: unknown) => this.destroy(error as Error),
      );
    },
    write(chunk: Uint8Array, _encoding, done) {
      stream.write(chunk).then(() => done(), done);
    },
    final(done) {
      stream.end().then(() => done(), done);
    },
    destroy(error, done) {
      signal.removeEventListener("abort", onAbort);
      // rfc9114#4.4, rfc9220#3: what is a reset of a TCP connection elsewhere is a reset of the stream. Where both sides are
      // over nothing happens.
      stream.cancel(H3_ERROR.H3_REQUEST_CANCELLED, "the tunnel was closed");
      done(error);
    },
  });
  // The peer reads no more, or the connection is over, though nothing is being written.
  const onAbort = () => duplex.destroy(signal.reason as Error);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return duplex;
}
