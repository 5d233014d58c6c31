// The portable socket: node:dgram. One call and one callback per datagram, so the work here is to keep that cheap.

import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from "node:dgram";
import { isIP } from "node:net";
import { makeAddress, type Address } from "../protocol/address.ts";
import { RxBatch, TxBatch } from "../protocol/batch.ts";
import { MAX_REMEMBERED_ADDRESSES, MAX_SEND_BATCHES, SOCKET_BUFFER } from "../protocol/limits.ts";
import type { BindOptions, PacketConn, PacketSink, SocketDescription } from "./packet-conn.ts";
import { dgramControls, type SocketControls } from "./socket-controls.ts";

/** A PacketConn over `node:dgram`. */
export class DgramConn implements PacketConn {
  readonly #socket: Socket;
  readonly #free: TxBatch[] = [];
  #batches = 0;
  readonly #inFlight = new Map<TxBatch, number>();
  readonly #rx = new RxBatch();
  readonly #addresses = new Map<string, Address>();
  #last: Address | null = null;
  #sink: PacketSink | null = null;
  #scheduled = false;
  #closed: Promise<void> | null = null;
  #onIdle: (() => void) | null = null;
  readonly #local: Address;
  /** IPv4 peers of a dual-stack socket are written as ::ffff:a.b.c.d for the kernel. */
  readonly #mapped: boolean;

  private constructor(socket: Socket, family: 4 | 6, ipv6Only: boolean) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.#local = makeAddress(address, port);
    this.#mapped = family === 6 && !ipv6Only;
  }

  /**
   * Binds a socket.
   * @throws the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL …).
   */
  static async bind(options: BindOptions = {}): Promise<DgramConn> {
    if (options.address === undefined) {
      try {
        return await DgramConn.#bind("::", options);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        // No IPv6 on this machine: IPv4 alone.
        if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL") throw error;
        return DgramConn.#bind("0.0.0.0", options);
      }
    }
    return DgramConn.#bind(options.address, options);
  }

  static async #bind(address: string, options: BindOptions): Promise<DgramConn> {
    const family = isIP(address) === 6 ? 6 : 4;
    const ipv6Only = options.ipv6Only === true;
    const config: SocketOptions = {
      type: family === 6 ? "udp6" : "udp4",
      ipv6Only,
      ...(options.reuseAddr === true ? { reuseAddr: true } : {}),
      // Older ones ignore it.
      ...(options.reusePort === true ? { reusePort: true } : {}),
      // Destinations are always numeric here: answer at once instead of one tick later for each datagram.
      lookup: (hostname, _options, callback) => callback(null, hostname, isIP(hostname)),
    };
    const socket = createSocket(config);
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address, port: options.port ?? 0, exclusive: false }, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    growBuffers(socket, options);
    return new DgramConn(socket, family, ipv6Only);
  }

  start(sink: PacketSink): void {
    this.#sink = sink;
    this.#socket.on("message", (bytes, info) => this.#onMessage(bytes, info));
    this.#socket.on("error", (error) => sink.failed(error));
  }

  address(): Address {
    return this.#local;
  }

  batch(): TxBatch | null {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#batches === MAX_SEND_BATCHES) return null;
    this.#batches++;
    return new TxBatch();
  }

  send(batch: TxBatch): void {
    if (batch.count === 0 || this.#closed !== null) {
      this.#recycle(batch);
      return;
    }
    let pending = 0;
    const done = (error: Error | null) => {
      if (error !== null) this.#sink?.sendFailed(error);
      const left = this.#inFlight.get(batch)! - 1;
      if (left > 0) {
        this.#inFlight.set(batch, left);
        return;
      }
      this.#inFlight.delete(batch);
      this.#recycle(batch);
      if (this.#inFlight.size === 0) this.#onIdle?.();
      this.#sink?.drained();
    };
    for (let i = 0; i < batch.count; i++) {
      pending += Math.ceil(batch.length[i]! / batch.segmentSize[i]!);
    }
    this.#inFlight.set(batch, pending);
    for (let i = 0; i < batch.count; i++) {
      const remote = batch.remote[i]!;
      const ip = this.#mapped && remote.family === 4 ? `::ffff:${remote.ip}` : remote.ip;
      const end = batch.offset[i]! + batch.length[i]!;
      const segment = batch.segmentSize[i]!;
      for (let at = batch.offset[i]!; at < end; at += segment) {
        try {
          this.#socket.send(batch.slab, at, Math.min(segment, end - at), remote.port, ip, done);
        } catch (error) {
          // A destination that the socket's family cannot reach throws at once.
          done(error as Error);
        }
      }
    }
  }

  #recycle(batch: TxBatch): void {
    batch.clear();
    this.#free.push(batch);
  }

  #onMessage(bytes: Uint8Array, info: RemoteInfo): void {
    const remote = this.#intern(info);
    if (!this.#rx.push(bytes, remote)) {
      this.#deliver();
      this.#rx.push(bytes, remote);
    }
    if (!this.#scheduled) {
      // One delivery per turn of the loop: libuv reads up to 32 datagrams before the check phase.
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#deliver();
      });
    }
  }

  #deliver(): void {
    if (this.#rx.count > 0 && this.#closed === null) this.#sink!.receive(this.#rx);
    this.#rx.clear();
  }

  /** One Address object per peer, so that the core compares by identity. */
  #intern(info: RemoteInfo): Address {
    const last = this.#last;
    let ip = info.address;
    if (ip.startsWith("::ffff:") && ip.includes(".")) ip = ip.slice(7);
    if (last !== null && last.port === info.port && last.ip === ip) return last;
    const key = `${ip} ${info.port}`;
    let address = this.#addresses.get(key);
    if (address === undefined) {
      // Forgetting only costs identity, not correctness: compare falls back to the key.
      if (this.#addresses.size >= MAX_REMEMBERED_ADDRESSES) this.#addresses.clear();
      address = makeAddress(ip, info.port);
      this.#addresses.set(key, address);
    }
    this.#last = address;
    return address;
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#shut());
  }

  /** dgram drops what it has not handed to the kernel: wait for that, it ends with CONNECTION_CLOSE. */
  async #shut(): Promise<void> {
    if (this.#inFlight.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    await new Promise<void>((resolve) => {
      try {
        this.#socket.close(() => resolve());
      } catch {
        resolve();
      }
    });
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  controls(): SocketControls {
    return dgramControls(this.#socket);
  }

  describe(): SocketDescription {
    let receiveBufferSize = 0;
    let sendBufferSize = 0;
    if (this.#closed === null) {
      receiveBufferSize = this.#socket.getRecvBufferSize();
      sendBufferSize = this.#socket.getSendBufferSize();
    }
    return {
      kind: "dgram",
      gso: false,
      gro: false,
      ecn: false,
      dontFragment: false,
      receiveBufferSize,
      sendBufferSize,
    };
  }
}

/** Asks for large kernel buffers; the kernel grants what its limits allow, and refusing is not an error. */
function growBuffers(socket: Socket, options: BindOptions): void {
  for (const [set, size] of [
    [socket.setRecvBufferSize.bind(socket), options.receiveBufferSize ?? SOCKET_BUFFER],
    [socket.setSendBufferSize.bind(socket), options.sendBufferSize ?? SOCKET_BUFFER],
  ] as const) {
    for (let bytes = size; bytes >= 65536; bytes = bytes >> 1) {
      try {
        set(bytes);
        break;
      } catch {
        // ENOBUFS where the system refuses instead of clipping (macOS): ask for less.
      }
    }
  }
}
