// One accept loop over several sockets.

import type { Connection } from "./connection.ts";
import { type Listener, ListenerClosedError } from "./listener.ts";
import type { WaitOptions } from "./waiter.ts";

/**
 * Accepts from several listeners in turn: one server on several addresses, ports or interfaces. Ends when all of them are
 * closed. A loop that is left takes nothing with it: what nobody has taken stays with its listener, and listeners stay open.
 * @param listeners of any transports; `connection.localAddress` says where a connection came in.
 * @param options.signal ends the loop with the signal's reason.
 * @throws the error of a listener whose transport failed; the others go on, and can be given to another loop.
 *
 * @example
 * const tls = { ...selfSigned(), ALPNProtocols: ["echo"] };
 * const listeners = [await listenAddr("127.0.0.1:4433", tls), await listenAddr("127.0.0.1:4434", tls)];
 * setTimeout(() => listeners.forEach((listener) => void listener.close()), 100);
 * for await (const conn of acceptFrom(listeners)) void conn.closeWithError(0, "closed for today");
 */
export async function* acceptFrom(
  listeners: Iterable<Listener>,
  options?: WaitOptions,
): AsyncGenerator<Connection, void, undefined> {
  let open = [...new Set(listeners)];
  const signal = options?.signal;
  let changed = false;
  let wake = (): void => {};
  const onChange = (): void => {
    changed = true;
    wake();
  };
  const unwatch = open.map((listener) => listener.watch(onChange));
  signal?.addEventListener("abort", onChange, { once: true });
  try {
    while (open.length > 0) {
      changed = false;
      for (const listener of open) {
        signal?.throwIfAborted();
        // One of each in turn: a busy socket must not starve the others.
        const connection = listener.tryAccept();
        if (connection === null) continue;
        changed = true;
        yield connection;
      }
      open = open.filter(({ over }) => {
        if (over !== undefined && !(over.error instanceof ListenerClosedError)) throw over.error;
        return over === undefined;
      });
      if (!changed && open.length > 0) await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    for (const stop of unwatch) stop();
    signal?.removeEventListener("abort", onChange);
  }
}
