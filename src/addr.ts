// The shortcuts: one call, with a transport of its own that goes when the connection or the listener does.

import type { Config } from "./config.ts";
import type { Connection } from "./connection.ts";
import type { Listener } from "./listener.ts";
import { parseTarget, type Target } from "./resolve.ts";
import type { TlsOptions } from "./tls-options.ts";
import { type DialOptions, Transport } from "./transport.ts";

/**
 * Dials from a new socket, which is closed with the connection.
 *
 * @example
 * const conn = await dialAddr("localhost:4433", { ALPNProtocols: ["echo"], ca });
 * const stream = await conn.openStream();
 *
 * @throws as Transport.dial.
 */
export async function dialAddr(
  target: Target,
  tls: TlsOptions,
  config?: Config,
  options?: DialOptions,
): Promise<Connection> {
  const transport = new Transport();
  try {
    const connection = await transport.dial(target, tls, config, options);
    void connection.closed.then(() => transport.close());
    return connection;
  } catch (error) {
    await transport.close();
    throw error;
  }
}

/**
 * Listens on a new socket, which is closed with the listener (accepted connections with it).
 * @param address `"host:port"`, or a port on all addresses.
 * @throws as Transport.listen.
 */
export async function listenAddr(
  address: string | number,
  tls: TlsOptions,
  config?: Config,
): Promise<Listener> {
  const where =
    typeof address === "number"
      ? { port: address }
      : /:0$/.test(address)
        ? { address: address.slice(0, -2).replace(/^\[|\]$/g, ""), port: 0 }
        : (({ host, port }) => ({ address: host, port }))(parseTarget(address as Target & string));
  const transport = new Transport(where);
  try {
    const listener = await transport.listen(tls, config);
    listener.onClose(() => transport.close());
    return listener;
  } catch (error) {
    await transport.close();
    throw error;
  }
}
