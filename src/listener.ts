// Accepting connections.

import { InvalidOptionError, QuicError } from "../internal/protocol/errors.ts";
import type { TicketKeys } from "../internal/tls/tickets.ts";
import type { Connection } from "./connection.ts";
import type { ListenerIdentities } from "./identities.ts";
import type { SniIdentity } from "./tls-options.ts";
import { WaitQueue, type WaitOptions } from "./waiter.ts";

/** Rejects `accept` after `close`. */
export class ListenerClosedError extends QuicError {
  constructor() {
    super(
      "ERR_QUIC_LISTENER_CLOSED",
      "The listener was closed; call listen again to accept more connections.",
    );
  }
}

/** A transport listens once at a time. */
export class ListenerBusyError extends QuicError {
  constructor() {
    super(
      "ERR_QUIC_LISTENER_BUSY",
      "This transport listens already; close that listener first or use another transport.",
    );
  }
}

/** Accepts connections on a transport. Iterating ends when the listener is closed. */
export class Listener implements AsyncIterable<Connection>, AsyncDisposable {
  readonly #queue = new WaitQueue<Connection>();
  readonly #close: () => Promise<void>;
  readonly #address: () => { address: string; port: number; family: string };
  readonly #onTaken: () => void;
  readonly #ticketKeys: TicketKeys | null;
  readonly #identities: ListenerIdentities;
  #closed: Promise<void> | null = null;
  #afterClose: (() => Promise<void>) | null = null;

  /** @internal */
  constructor(
    address: () => { address: string; port: number; family: string },
    onTaken: () => void,
    close: () => Promise<void>,
    ticketKeys: TicketKeys | null,
    identities: ListenerIdentities,
  ) {
    this.#ticketKeys = ticketKeys;
    this.#identities = identities;
    this.#address = address;
    this.#onTaken = onTaken;
    this.#close = close;
  }

  /** The local address. */
  address(): { address: string; port: number; family: string } {
    return this.#address();
  }

  /**
   * The next connection whose handshake is complete (with `listenEarly`: that can be written to). One that its peer closed
   * while it waited comes in its turn as well, and its `closed` says why.
   * @throws {ListenerClosedError} after `close`.
   */
  async accept(options?: WaitOptions): Promise<Connection> {
    const connection = await this.#queue.take(options?.signal);
    this.#onTaken();
    return connection;
  }

  /** A connection that waits already, or null. */
  tryAccept(): Connection | null {
    const connection = this.#queue.tryTake() ?? null;
    if (connection !== null) this.#onTaken();
    return connection;
  }

  /** @internal Calls `changed` when `tryAccept` may give something, and at the end; gives back how to stop that. */
  watch(changed: () => void): () => void {
    return this.#queue.watch(changed);
  }

  /** @internal The error of `accept` once it gives nothing more. */
  get over(): { readonly error: unknown } | undefined {
    return this.#queue.over;
  }

  /**
   * Replaces the keys of session tickets, as the option `ticketKeys` sets them: the first seals from now on, all open.
   * To be called in turn with old and new keys by servers that share them.
   * @throws {InvalidOptionError} for keys that are none, and where `sessionTimeout: 0` has switched tickets off.
   */
  setTicketKeys(keys: Uint8Array | readonly Uint8Array[]): void {
    if (this.#ticketKeys === null)
      throw new InvalidOptionError("ticketKeys", "sessionTimeout is 0: no tickets");
    this.#ticketKeys.replace(keys instanceof Uint8Array ? [keys] : keys);
  }

  /**
   * Replaces the certificate without a restart: `key` and `cert` (or `identities`) as `listen` got them. Handshakes that
   * begin from now on have the new one; connections and handshakes that go on notice nothing.
   * @param identity one, or several of which each client gets the one that fits.
   * @throws {InvalidOptionError} where it cannot be read; then the old one stays.
   *
   * @example
   * const listener = await listenAddr(4433, { ...selfSigned(), ALPNProtocols: ["echo"] });
   * listener.setIdentity(selfSigned({ days: 90 })); // after a renewal: readFileSync("key.pem"), readFileSync("cert.pem")
   */
  setIdentity(identity: SniIdentity | readonly SniIdentity[]): void {
    this.#identities.set(identity);
  }

  /**
   * The identity for clients that ask for `hostname`, as `tls.Server.addContext`: also while the listener is in use, and
   * again for the same name to replace it.
   * @param hostname a name, or a pattern in which `*` stands for any characters of one label, as in `*.example.com`. Where
   * several fit, the one that was added last wins.
   * @param identity one, or several of which each client gets the one whose signatures it can check.
   * @throws {InvalidOptionError} for what is no host name, or an identity that cannot be read.
   *
   * @example
   * const listener = await listenAddr(4433, { ...selfSigned(), ALPNProtocols: ["echo"] });
   * listener.addContext("*.example.com", selfSigned({ altNames: ["*.example.com"] }));
   * listener.addContext("www.example.com", [
   *   selfSigned({ altNames: ["www.example.com"], keyType: "ed25519" }),
   *   selfSigned({ altNames: ["www.example.com"] }),
   * ]);
   */
  addContext(hostname: string, identity: SniIdentity | readonly SniIdentity[]): void {
    this.#identities.add(hostname, identity);
  }

  /** Takes back `addContext` for the same name or pattern. Whether there was one. */
  removeContext(hostname: string): boolean {
    return this.#identities.remove(hostname);
  }

  /** @internal */
  push(connection: Connection): void {
    this.#queue.push(connection);
  }

  /** @internal The transport failed. */
  fail(error: unknown): void {
    this.#closed ??= Promise.resolve();
    this.#queue.end(error);
  }

  /** Stops accepting. Connections that were accepted go on; those that wait in the queue are refused. */
  close(): Promise<void> {
    return (this.#closed ??= this.#shut());
  }

  async #shut(): Promise<void> {
    this.#queue.end(new ListenerClosedError());
    for (const connection of this.#queue.drain()) connection.refuse("the listener was closed");
    await this.#close();
    await this.#afterClose?.();
  }

  /** @internal A transport that was made for this listener goes with it. */
  onClose(then: () => Promise<void>): void {
    this.#afterClose = then;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Connection, void, undefined> {
    for (;;) {
      let connection: Connection;
      try {
        connection = await this.accept();
      } catch (error) {
        if (error instanceof ListenerClosedError) return;
        throw error;
      }
      yield connection;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
