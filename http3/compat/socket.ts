// What stands for a request's socket: enough of a TLS socket for those who ask who is there.

import { EventEmitter } from "node:events";
import type { ConnectionState } from "../../src/index.ts";
import type { Http3Connection } from "../connection.ts";

const sockets = new WeakMap<Http3Connection, Http3Socket>();

function split(address: string): { address: string; port: number; family: "IPv4" | "IPv6" } {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at).replace(/^\[|\]$/g, "");
  return { address: host, port: Number(address.slice(at + 1)), family: host.includes(":") ? "IPv6" : "IPv4" };
}

/**
 * A connection as a request's `socket`: addresses and TLS as in node:tls. It carries no bytes: requests share it.
 * `destroy` ends the connection, with all its requests.
 */
export class Http3Socket extends EventEmitter {
  readonly encrypted = true;
  readonly connection: Http3Connection;
  #destroyed = false;

  /** @internal */
  constructor(connection: Http3Connection) {
    super();
    // As many requests listen as are under way.
    this.setMaxListeners(0);
    this.connection = connection;
    void connection.closed.then(() => {
      this.#destroyed = true;
      this.emit("close", false);
    });
  }

  /** The same object for each request of a connection. @internal */
  static of(connection: Http3Connection): Http3Socket {
    let socket = sockets.get(connection);
    if (socket === undefined) sockets.set(connection, (socket = new Http3Socket(connection)));
    return socket;
  }

  get #state(): ConnectionState {
    return this.connection.quic.connectionState();
  }

  get remoteAddress(): string {
    return split(this.connection.quic.remoteAddress).address;
  }

  get remotePort(): number {
    return split(this.connection.quic.remoteAddress).port;
  }

  get remoteFamily(): string {
    return split(this.connection.quic.remoteAddress).family;
  }

  get localAddress(): string {
    return split(this.connection.quic.localAddress).address;
  }

  get localPort(): number {
    return split(this.connection.quic.localAddress).port;
  }

  get localFamily(): string {
    return split(this.connection.quic.localAddress).family;
  }

  address(): { address: string; port: number; family: string } {
    return split(this.connection.quic.localAddress);
  }

  get alpnProtocol(): string | false {
    return this.#state.alpnProtocol ?? false;
  }

  get servername(): string | false {
    return this.#state.servername ?? false;
  }

  get authorized(): boolean {
    return this.#state.authorized;
  }

  get authorizationError(): Error | null {
    return this.#state.authorizationError;
  }

  getPeerX509Certificate() {
    return this.#state.peerCertificates[0];
  }

  getPeerCertificate(): object {
    return this.#state.peerCertificates[0]?.toLegacyObject() ?? {};
  }

  getProtocol(): string {
    return "TLSv1.3";
  }

  getCipher(): { name: string; standardName: string; version: string } {
    const name = this.#state.cipher ?? "";
    return { name, standardName: name, version: "TLSv1.3" };
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  get readable(): boolean {
    return !this.#destroyed;
  }

  get writable(): boolean {
    return !this.#destroyed;
  }

  destroy(): this {
    this.connection.close();
    return this;
  }

  // A connection's timers are QUIC's.
  setTimeout(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
