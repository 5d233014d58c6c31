// The fast socket, on Linux: calls into the C library and node's own event loop through koffi. A run of equal datagrams
// is one call each way (segmentation and receive offload), ECN and local addresses come and go with every datagram, and
// what arrives is read straight into the slab the core opens it in.

import { isIP } from "node:net";
import { addressOf, nativeBuffer } from "../ffi/koffi.ts";
import { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, systemError, type Libc } from "../ffi/libc.ts";
import { PollHandle, READABLE, WRITABLE, type Libuv } from "../ffi/libuv.ts";
import { makeAddress, type Address } from "../protocol/address.ts";
import { RxBatch, TxBatch } from "../protocol/batch.ts";
import {
  MAX_RECEIVE_ERRORS,
  MAX_RECEIVES_PER_WAKE,
  MAX_REMEMBERED_ADDRESSES,
  MAX_SEND_BATCHES,
  SOCKET_BUFFER,
} from "../protocol/limits.ts";
import { ControlReader, ControlWriter } from "./control-messages.ts";
import type { BindOptions, PacketConn, PacketSink, SocketDescription } from "./packet-conn.ts";
import { AddressTable, writeSockaddr } from "./sockaddr.ts";
import { NativeControls, type SocketControls } from "./socket-controls.ts";
import * as L from "./socket-layout.ts";

/** Bytes the largest receive may take: GRO hands out up to 64 KB at once. */
const RECEIVE_SIZE = 65_536;

/** What the kernel of this machine can do: see native-probe.ts. */
export interface NativeCapabilities {
  readonly gso: boolean;
  readonly gro: boolean;
}

interface Waiting {
  readonly batch: TxBatch;
  /** The entry, and how much of it has left. */
  entry: number;
  sent: number;
}

/** A PacketConn over the system's own calls. */
export class NativeConn implements PacketConn {
  readonly #libc: Libc;
  readonly #uv: Libuv;
  readonly #fd: number;
  readonly #family: 4 | 6;
  readonly #local: Address;
  /** Bound to all addresses: each datagram says which one it came to, and each answer which one it leaves from. */
  readonly #wildcard: boolean;
  #gso: boolean;
  readonly #gro: boolean;
  readonly #poll: PollHandle;
  #events = READABLE;
  readonly #receiveBufferSize: number;
  readonly #sendBufferSize: number;
  #sink: PacketSink | null = null;
  /** Receives that failed, one after the other. */
  #receiveErrors = 0;
  #closed: Promise<void> | null = null;

  // Receiving. All memory that C sees is this object's.
  readonly #rx = new RxBatch();
  readonly #rxSlab: number;
  readonly #rxName = nativeBuffer(L.SOCKADDR_IN6_SIZE);
  readonly #rxMessage: Message;
  readonly #control: ControlReader;
  readonly #addresses: AddressTable;

  // Sending.
  readonly #txMessage: Message;
  readonly #txName = nativeBuffer(L.SOCKADDR_IN6_SIZE);
  #txNameLength = 0;
  #txRemote: Address | null = null;
  readonly #txControl: ControlWriter;
  readonly #sockaddrs = new WeakMap<Address, Uint8Array>();
  readonly #free: TxBatch[] = [];
  readonly #slabs = new Map<TxBatch, number>();
  readonly #waiting: Waiting[] = [];
  /** Peers whose path does not take segmented sends. */
  readonly #unsegmented = new Set<string>();

  private constructor(libc: Libc, uv: Libuv, fd: number, family: 4 | 6, can: NativeCapabilities) {
    this.#libc = libc;
    this.#uv = uv;
    this.#fd = fd;
    this.#family = family;
    this.#gso = can.gso;
    this.#gro = can.gro;
    // The kernel doubles what it is asked for and says so; its own bookkeeping takes the other half.
    this.#receiveBufferSize = getOption(libc, fd, L.SO_RCVBUF) >> 1;
    this.#sendBufferSize = getOption(libc, fd, L.SO_SNDBUF) >> 1;
    this.#addresses = new AddressTable(this.#rxName);
    this.#local = this.#name();
    this.#wildcard = this.#local.ip === "::" || this.#local.ip === "0.0.0.0";
    this.#control = new ControlReader(libc.koffi, this.#local.port);
    this.#txControl = new ControlWriter(libc.koffi, family);
    this.#rxSlab = addressOf(libc.koffi, this.#rx.slab);
    this.#rxMessage = new Message(libc);
    this.#rxMessage.pointer(L.MSGHDR.name, addressOf(libc.koffi, this.#rxName));
    this.#rxMessage.pointer(L.MSGHDR.control, this.#control.address);
    this.#txMessage = new Message(libc);
    this.#txMessage.pointer(L.MSGHDR.name, addressOf(libc.koffi, this.#txName));
    this.#poll = new PollHandle(uv, fd, (status, events) => this.#ready(status, events));
  }

  /** Binds a socket. Throws the system's error, with node's `code`. */
  static bind(libc: Libc, uv: Libuv, can: NativeCapabilities, options: BindOptions = {}): NativeConn {
    if (options.address !== undefined) return NativeConn.#bind(libc, uv, can, options.address, options);
    try {
      return NativeConn.#bind(libc, uv, can, "::", options);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // No IPv6 on this machine: IPv4 alone.
      if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL") throw error;
      return NativeConn.#bind(libc, uv, can, "0.0.0.0", options);
    }
  }

  static #bind(libc: Libc, uv: Libuv, can: NativeCapabilities, ip: string, options: BindOptions): NativeConn {
    const family = isIP(ip) === 6 ? 6 : 4;
    const fd = libc.socket(
      family === 6 ? L.AF_INET6 : L.AF_INET,
      L.SOCK_DGRAM | L.SOCK_NONBLOCK | L.SOCK_CLOEXEC,
      0,
    );
    if (fd < 0) throw systemError("socket", libc.errno());
    try {
      configure(libc, fd, family, can, options);
      const name = nativeBuffer(L.SOCKADDR_IN6_SIZE);
      const length = writeSockaddr(name, makeAddress(ip, options.port ?? 0), family);
      if (libc.bind(fd, addressOf(libc.koffi, name), length) !== 0) throw systemError("bind", libc.errno());
      // The call above had the memory's address: it has to outlive it.
      if (name.length === 0) throw new Error("unreachable");
      return new NativeConn(libc, uv, fd, family, can);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  #name(): Address {
    const length = nativeBuffer(8);
    length[0] = L.SOCKADDR_IN6_SIZE;
    const { koffi } = this.#libc;
    if (
      this.#libc.getsockname(this.#fd, addressOf(koffi, this.#rxName), addressOf(koffi, length)) !== 0 ||
      length[0] === 0
    ) {
      throw systemError("getsockname", this.#libc.errno());
    }
    return this.#addresses.get();
  }

  start(sink: PacketSink): void {
    this.#sink = sink;
    this.#poke(this.#events);
  }

  address(): Address {
    return this.#local;
  }

  // Receiving

  #ready(status: number, events: number): void {
    try {
      // First, so that what the datagrams wake has run before the flush that they cause (see libuv.ts).
      setImmediate(nothing);
      if (status < 0) {
        this.#sink?.failed(systemError("poll", -status));
        return;
      }
      if ((events & WRITABLE) !== 0) this.#resume();
      if ((events & READABLE) !== 0) this.#read();
    } catch (error) {
      // An exception must not travel through C.
      setImmediate(() => {
        throw error;
      });
    }
  }

  #read(): void {
    const rx = this.#rx;
    const { recvmsg } = this.#libc;
    const message = this.#rxMessage;
    // Bounded, so that receiving does not starve sending; the loop polls again at once.
    for (let calls = 0; calls < MAX_RECEIVES_PER_WAKE; calls++) {
      if (rx.slab.length - rx.used < RECEIVE_SIZE || rx.count + L.MAX_SEGMENTS > rx.offset.length) {
        this.#deliver();
      }
      message.iovec(this.#rxSlab + rx.used, RECEIVE_SIZE);
      message.u32(L.MSGHDR.nameLength, L.SOCKADDR_IN6_SIZE);
      message.u32(L.MSGHDR.controlLength, this.#control.size);
      const got = recvmsg(this.#fd, message.address, L.MSG_DONTWAIT);
      if (got < 0) {
        const errno = this.#libc.errno();
        if (errno === EINTR) continue;
        // What else a UDP socket reports here is about datagrams of the past; but what never ends is the socket's end,
        // or the loop would turn for it forever.
        if (errno !== EAGAIN && ++this.#receiveErrors === MAX_RECEIVE_ERRORS) {
          this.#deliver();
          this.#sink!.failed(systemError("recvmsg", errno));
          return;
        }
        break;
      }
      this.#receiveErrors = 0;
      this.#split(got);
      if (this.#closed !== null) return;
    }
    this.#deliver();
  }

  /** One receive is one datagram, or several of one peer and one size. */
  #split(bytes: number): void {
    const rx = this.#rx;
    const control = this.#control;
    control.read(this.#rxMessage.read(L.MSGHDR.controlLength));
    const segment = control.segmentSize > 0 ? control.segmentSize : bytes;
    const remote = this.#addresses.get();
    const local = this.#wildcard ? control.local : null;
    let at = rx.used;
    const end = at + bytes;
    do {
      if (rx.count === rx.offset.length) break;
      const i = rx.count++;
      rx.offset[i] = at;
      rx.length[i] = Math.min(segment, end - at);
      rx.ecn[i] = control.ecn;
      rx.remote[i] = remote;
      rx.local[i] = local;
      at += segment;
    } while (at < end);
    rx.used = end;
  }

  #deliver(): void {
    if (this.#rx.count > 0 && this.#closed === null) this.#sink!.receive(this.#rx);
    this.#rx.clear();
  }

  // Sending

  batch(): TxBatch | null {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#slabs.size === MAX_SEND_BATCHES) return null;
    const batch = new TxBatch();
    this.#slabs.set(batch, addressOf(this.#libc.koffi, batch.slab));
    return batch;
  }

  send(batch: TxBatch): void {
    if (batch.count === 0 || this.#closed !== null) {
      this.#recycle(batch);
      return;
    }
    const waiting = { batch, entry: 0, sent: 0 };
    if (this.#waiting.length === 0 && this.#sendBatch(waiting)) this.#recycle(batch);
    else {
      // The kernel's buffer is full: what is here keeps its order.
      this.#waiting.push(waiting);
      this.#watch(READABLE | WRITABLE);
    }
  }

  /** Sends until the kernel takes no more; true when all has left. */
  #sendBatch(state: Waiting): boolean {
    const { batch } = state;
    for (; state.entry < batch.count; state.entry++, state.sent = 0) {
      while (state.sent < batch.length[state.entry]!) if (!this.#sendSome(state)) return false;
    }
    return true;
  }

  /** One call. False where it has to wait. */
  #sendSome(state: Waiting): boolean {
    const { batch, entry } = state;
    const remote = batch.remote[entry]!;
    const segment = batch.segmentSize[entry]!;
    const left = batch.length[entry]! - state.sent;
    const gso = left > segment && this.#gso && !this.#unsegmented.has(remote.key);
    const most = gso ? segment * Math.min(L.MAX_SEGMENTS, Math.floor(L.MAX_UDP_PAYLOAD / segment)) : segment;
    const length = Math.min(left, most);
    if (remote !== this.#txRemote && !this.#setRemote(remote)) {
      state.sent += length;
      return true;
    }
    const message = this.#txMessage;
    const local = this.#wildcard ? batch.local[entry]! : null;
    const control = this.#txControl;
    control.prepare(length > segment ? segment : 0, batch.ecn[entry]!, remote.family, local);
    message.control(control.address, control.length);
    message.u32(L.MSGHDR.nameLength, this.#txNameLength);
    message.iovec(this.#slabs.get(batch)! + batch.offset[entry]! + state.sent, length);
    if (this.#libc.sendmsg(this.#fd, message.address, L.MSG_DONTWAIT) >= 0) {
      state.sent += length;
      return true;
    }
    const errno = this.#libc.errno();
    if (errno === EAGAIN) return false;
    if (errno === EINTR) return true;
    if (length > segment && (errno === EIO || errno === EMSGSIZE || errno === EINVAL)) {
      // EIO: the route's device has no checksum offload. EMSGSIZE and EINVAL: not at this size, there.
      if (this.#unsegmented.size >= MAX_REMEMBERED_ADDRESSES) this.#gso = false;
      else this.#unsegmented.add(remote.key);
      return true;
    }
    state.sent += length;
    this.#sink?.sendFailed(systemError("send", errno));
    return true;
  }

  #setRemote(remote: Address): boolean {
    let bytes = this.#sockaddrs.get(remote);
    if (bytes === undefined) {
      bytes = new Uint8Array(L.SOCKADDR_IN6_SIZE);
      try {
        writeSockaddr(bytes, remote, this.#family);
      } catch (error) {
        this.#sink?.sendFailed(error as Error);
        return false;
      }
      this.#sockaddrs.set(remote, bytes);
    }
    this.#txName.set(bytes);
    this.#txNameLength = this.#family === 4 ? L.SOCKADDR_IN_SIZE : L.SOCKADDR_IN6_SIZE;
    this.#txRemote = remote;
    return true;
  }

  #recycle(batch: TxBatch): void {
    batch.clear();
    this.#free.push(batch);
  }

  /** The kernel takes more. */
  #resume(): void {
    while (this.#waiting.length > 0) {
      if (!this.#sendBatch(this.#waiting[0]!)) return;
      this.#recycle(this.#waiting.shift()!.batch);
    }
    this.#watch(READABLE);
    this.#sink?.drained();
  }

  #watch(events: number): void {
    if (events === this.#events || this.#closed !== null) return;
    this.#events = events;
    this.#poke(events);
  }

  #poke(events: number): void {
    const error = this.#poll.watch(this.#uv, events);
    if (error === null) return;
    // Nothing would ever come again. Not from within `send` or `start`: see PacketSink.
    setImmediate(() => {
      if (this.#closed === null) this.#sink?.failed(error);
    });
  }

  // The end

  close(): Promise<void> {
    return (this.#closed ??= new Promise((resolve) => {
      // As much of what waits as the kernel takes: it ends with CONNECTION_CLOSE.
      while (this.#waiting.length > 0 && this.#sendBatch(this.#waiting[0]!)) this.#waiting.shift();
      this.#waiting.length = 0;
      this.#poll.close(this.#uv, () => {
        this.#libc.close(this.#fd);
        // Out of C first.
        setImmediate(resolve);
      });
    }));
  }

  ref(): void {
    if (this.#closed === null) this.#poll.ref();
  }

  unref(): void {
    if (this.#closed === null) this.#poll.unref();
  }

  controls(): SocketControls {
    return new NativeControls(this.#libc, this.#fd, this.#family, (errno) =>
      systemError("setsockopt", errno),
    );
  }

  describe(): SocketDescription {
    return {
      kind: "native",
      gso: this.#gso,
      gro: this.#gro,
      ecn: true,
      dontFragment: true,
      receiveBufferSize: this.#receiveBufferSize,
      sendBufferSize: this.#sendBufferSize,
    };
  }
}

function nothing(): void {}

/** A msghdr with its iovec, in memory of its own. */
class Message {
  readonly #bytes = nativeBuffer(L.MSGHDR.size + L.IOVEC.size);
  readonly #words = new Uint32Array(this.#bytes.buffer);
  readonly address: number;

  constructor(libc: Libc) {
    this.address = addressOf(libc.koffi, this.#bytes);
    this.pointer(L.MSGHDR.iov, this.address + L.MSGHDR.size);
    this.u32(L.MSGHDR.iovLength, 1);
  }

  /** Pointers stay below 2^53. */
  pointer(at: number, value: number): void {
    this.#words[at >> 2] = value;
    this.#words[(at >> 2) + 1] = value / 0x1_0000_0000;
  }

  u32(at: number, value: number): void {
    this.#words[at >> 2] = value;
  }

  read(at: number): number {
    return this.#words[at >> 2]!;
  }

  iovec(base: number, length: number): void {
    this.pointer(L.MSGHDR.size + L.IOVEC.base, base);
    this.u32(L.MSGHDR.size + L.IOVEC.length, length);
  }

  control(address: number, length: number): void {
    // A null pointer where there is none.
    this.pointer(L.MSGHDR.control, length === 0 ? 0 : address);
    this.u32(L.MSGHDR.controlLength, length);
  }
}

const option = nativeBuffer(8);
const optionWords = new Int32Array(option.buffer);

function setOption(libc: Libc, fd: number, level: number, name: number, value: number): boolean {
  optionWords[0] = value;
  return libc.setsockopt(fd, level, name, addressOf(libc.koffi, option), 4) === 0;
}

function getOption(libc: Libc, fd: number, name: number): number {
  optionWords[1] = 4;
  const address = addressOf(libc.koffi, option);
  return libc.getsockopt(fd, L.SOL_SOCKET, name, address, address + 4) === 0 ? optionWords[0]! : 0;
}

function configure(
  libc: Libc,
  fd: number,
  family: 4 | 6,
  can: NativeCapabilities,
  options: BindOptions,
): void {
  const must = (level: number, name: number, value: number): void => {
    if (!setOption(libc, fd, level, name, value)) throw systemError("setsockopt", libc.errno());
  };
  if (options.reuseAddr === true) must(L.SOL_SOCKET, L.SO_REUSEADDR, 1);
  if (options.reusePort === true) must(L.SOL_SOCKET, L.SO_REUSEPORT, 1);
  if (family === 6) {
    must(L.SOL_IPV6, L.IPV6_V6ONLY, options.ipv6Only === true ? 1 : 0);
    must(L.SOL_IPV6, L.IPV6_RECVPKTINFO, 1);
    must(L.SOL_IPV6, L.IPV6_RECVTCLASS, 1);
    must(L.SOL_IPV6, L.IPV6_MTU_DISCOVER, L.IP_PMTUDISC_PROBE);
  }
  // On an IPv6 socket these are about its IPv4 peers.
  if (family === 4 || options.ipv6Only !== true) {
    must(L.SOL_IP, L.IP_RECVTOS, 1);
    must(L.SOL_IP, L.IP_MTU_DISCOVER, L.IP_PMTUDISC_PROBE);
    if (family === 4) must(L.SOL_IP, L.IP_PKTINFO, 1);
  }
  if (can.gro) must(L.SOL_UDP, L.UDP_GRO, 1);
  // What the system's limits allow: less is no error.
  setOption(libc, fd, L.SOL_SOCKET, L.SO_RCVBUF, options.receiveBufferSize ?? SOCKET_BUFFER);
  setOption(libc, fd, L.SOL_SOCKET, L.SO_SNDBUF, options.sendBufferSize ?? SOCKET_BUFFER);
}
