// The shortcuts: one call, with a transport of its own that goes when the connection or the listener does.

import type { Config } from "./config.ts";
import type { Connection } from "./connection.ts";
import type { Listener } from "./listener.ts";
import { parseTarget, type Target } from "./resolve.ts";
import type { TlsOptions } from "./tls-options.ts";
import { Transport } from "./transport.ts";
import type { DialOptions } from "./transport-options.ts";

/**
 * Dials from a new socket, which is closed with the connection.
 *
 * @example
 * const conn = await dialAddr("localhost:4433", { ALPNProtocols: ["echo"], ca });
 * const stream = await conn.openStream();
 *
 * @throws as Transport.dial.
 */
export function dialAddr(
  target: Target,
  tls: TlsOptions,
  config?: Config,
  options?: DialOptions,
): Promise<Connection> {
  return dialFrom((transport) => transport.dial(target, tls, config, options));
}

/**
 * As dialAddr, and with 0-RTT where a session allows it: see Transport.dialEarly.
 *
 * @example
 * const tls = { ALPNProtocols: ["echo"], ca };
 * const conn = await dialAddrEarly("localhost:4433", tls);
 * const stream = await conn.openStream(); // before the server has answered, from the second time on
 * await stream.write(new TextEncoder().encode("hello"));
 *
 * @throws as Transport.dial.
 */
export function dialAddrEarly(
  target: Target,
  tls: TlsOptions,
  config?: Config,
  options?: DialOptions,
): Promise<Connection> {
  return dialFrom((transport) => transport.dialEarly(target, tls, config, options));
}

async function dialFrom(dial: (transport: Transport) => Promise<Connection>): Promise<Connection> {
  const transport = new Transport();
  try {
    const connection = await dial(transport);
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
export function listenAddr(address: string | number, tls: TlsOptions, config?: Config): Promise<Listener> {
  return listenAt(address, (transport) => transport.listen(tls, config));
}

/**
 * As listenAddr, but gives connections before their handshake is complete: see Transport.listenEarly.
 * @param address as for listenAddr.
 * @throws as Transport.listen.
 *
 * @example
 * const tls = { ...selfSigned(), ALPNProtocols: ["echo"] };
 * const listener = await listenAddrEarly(4433, tls, { earlyData: true });
 */
export function listenAddrEarly(
  address: string | number,
  tls: TlsOptions,
  config?: Config,
): Promise<Listener> {
  return listenAt(address, (transport) => transport.listenEarly(tls, config));
}

async function listenAt(
  address: string | number,
  listen: (transport: Transport) => Promise<Listener>,
): Promise<Listener> {
  const where =
    typeof address === "number"
      ? { port: address }
      : /:0$/.test(address)
        ? { address: address.slice(0, -2).replace(/^\[|\]$/g, ""), port: 0 }
        : (({ host, port }) => ({ address: host, port }))(parseTarget(address as Target & string));
  const transport = new Transport(where);
  try {
    const listener = await listen(transport);
    listener.onClose(() => transport.close());
    return listener;
  } catch (error) {
    await transport.close();
    throw error;
  }
}
