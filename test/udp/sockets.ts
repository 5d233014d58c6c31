// Sockets of both kinds, for tests that hold for both.
import { NativeConn } from "../../internal/udp/native.ts";
import { nativeSupport } from "../../internal/udp/native-probe.ts";
import { DgramConn } from "../../internal/udp/dgram.ts";
import { openSocket, type OpenOptions } from "../../internal/udp/open.ts";
import type { PacketConn } from "../../internal/udp/packet-conn.ts";
import { type Address, makeAddress } from "../../internal/protocol/address.ts";
import { NOT_ECT, type RxBatch } from "../../internal/protocol/batch.ts";

export const support = nativeSupport();
export const NO_NATIVE =
  support === null ? "the native socket cannot be had here (64-bit Linux and koffi)" : false;
export const KINDS = [
  { kind: "dgram", skip: false },
  { kind: "native", skip: NO_NATIVE },
] as const;

export interface Got {
  readonly bytes: Uint8Array;
  readonly remote: Address;
  readonly local: Address | null;
  readonly ecn: number;
}

/** A socket that keeps what it gets. */
export class Probe {
  readonly conn: PacketConn;
  readonly got: Got[] = [];
  readonly batches: number[] = [];
  readonly sendErrors: Error[] = [];
  readonly failures: Error[] = [];
  drains = 0;
  onReceive: (() => void) | null = null;

  constructor(conn: PacketConn) {
    this.conn = conn;
    conn.start({
      receive: (batch) => this.#take(batch),
      drained: () => void this.drains++,
      sendFailed: (error) => void this.sendErrors.push(error),
      failed: (error) => void this.failures.push(error),
    });
  }

  static async open(kind: "native" | "dgram", options: OpenOptions = {}): Promise<Probe> {
    const conn = await openSocket({ address: "127.0.0.1", udp: kind, ...options });
    if ((kind === "native") !== conn instanceof NativeConn) throw new Error(`no ${kind} socket`);
    if ((kind === "dgram") !== conn instanceof DgramConn) throw new Error(`no ${kind} socket`);
    return new Probe(conn);
  }

  get address(): Address {
    return this.conn.address();
  }

  #take(batch: RxBatch): void {
    this.batches.push(batch.count);
    for (let i = 0; i < batch.count; i++) {
      const at = batch.offset[i]!;
      this.got.push({
        bytes: batch.slab.slice(at, at + batch.length[i]!),
        remote: batch.remote[i]!,
        local: batch.local[i] ?? null,
        ecn: batch.ecn[i]!,
      });
    }
    // What is not copied is gone: nobody may rely on it.
    batch.slab.fill(0xdd);
    this.onReceive?.();
  }

  /** Sends `bytes` in datagrams of `segment`. False where the socket has no batch to give. */
  send(
    to: Address,
    bytes: Uint8Array,
    segment = bytes.length,
    ecn = NOT_ECT,
    from: Address | null = null,
  ): boolean {
    const tx = this.conn.batch();
    if (tx === null) return false;
    tx.slab.set(bytes, tx.used);
    tx.commit(bytes.length, segment, to, from, ecn);
    this.conn.send(tx);
    return true;
  }

  async until(n: number, ms = 3000): Promise<void> {
    const end = Date.now() + ms;
    while (this.got.length < n) {
      if (Date.now() > end) throw new Error(`${this.got.length} of ${n} datagrams came`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

export const on = (ip: string, { port }: Address): Address => makeAddress(ip, port);

/** Bytes that say where they are. */
export function numbered(length: number, start = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (start + i * 7 + (i >> 8)) & 0xff);
}

export const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};
