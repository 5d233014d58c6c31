import type { Address } from "./address.ts";

/** ECN codepoints as in the two low bits of the TOS byte, rfc3168#5. */
export const NOT_ECT = 0;
export const ECT_1 = 1;
export const ECT_0 = 2;
export const ECN_CE = 3;

/**
 * Datagrams that arrived together: a reused struct of arrays over one slab.
 *
 * The core opens packets in place, so what `receive` was given is destroyed by it. It keeps no reference into the slab:
 * stream data is copied once into the stream's own blocks (which are what zero-copy reads hand out), packets that must
 * wait for keys are copied out. The socket may therefore reuse the slab as soon as `receive` returns.
 */
export class RxBatch {
  readonly slab: Uint8Array;
  readonly offset: Int32Array;
  readonly length: Int32Array;
  readonly ecn: Uint8Array;
  readonly remote: (Address | null)[];
  /** The local address the datagram came to, where the platform tells; null otherwise. */
  readonly local: (Address | null)[];
  count = 0;
  /** First free byte of the slab. */
  used = 0;

  constructor(slabBytes = 65536 * 4, capacity = 256) {
    this.slab = new Uint8Array(new ArrayBuffer(slabBytes));
    this.offset = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.ecn = new Uint8Array(capacity);
    this.remote = new Array<Address | null>(capacity).fill(null);
    this.local = new Array<Address | null>(capacity).fill(null);
  }

  /** Copies one datagram in. False, with nothing changed, when the batch is full: deliver it first. */
  push(bytes: Uint8Array, remote: Address, local: Address | null = null, ecn = NOT_ECT): boolean {
    if (this.count === this.offset.length || this.used + bytes.length > this.slab.length) return false;
    this.slab.set(bytes, this.used);
    this.offset[this.count] = this.used;
    this.length[this.count] = bytes.length;
    this.ecn[this.count] = ecn;
    this.remote[this.count] = remote;
    this.local[this.count] = local;
    this.count++;
    this.used += bytes.length;
    return true;
  }

  clear(): void {
    this.count = 0;
    this.used = 0;
  }
}

/**
 * What the core wants sent: a struct of arrays over one slab. Each entry is one send: `length` bytes at `offset` to one
 * destination, in datagrams of `segmentSize` bytes (only the last may be shorter), which a socket with segmentation
 * offload hands over in one call and any other sends one by one.
 */
export class TxBatch {
  readonly slab: Uint8Array;
  readonly offset: Int32Array;
  readonly length: Int32Array;
  readonly segmentSize: Int32Array;
  readonly ecn: Uint8Array;
  readonly remote: (Address | null)[];
  readonly local: (Address | null)[];
  /** Monotonic ms before which the entry should not leave (0: at once). */
  readonly notBefore: Float64Array;
  count = 0;
  used = 0;

  constructor(slabBytes = 65536, capacity = 64) {
    this.slab = new Uint8Array(new ArrayBuffer(slabBytes));
    this.offset = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.segmentSize = new Int32Array(capacity);
    this.ecn = new Uint8Array(capacity);
    this.remote = new Array<Address | null>(capacity).fill(null);
    this.local = new Array<Address | null>(capacity).fill(null);
    this.notBefore = new Float64Array(capacity);
  }

  /** Whether another entry of up to `bytes` fits. */
  hasRoom(bytes: number): boolean {
    return this.count < this.offset.length && this.used + bytes <= this.slab.length;
  }

  /** Adds the entry whose bytes were written at `slab[used …]`. */
  commit(
    length: number,
    segmentSize: number,
    remote: Address,
    local: Address | null,
    ecn: number,
    notBefore = 0,
  ): void {
    const at = this.count++;
    this.offset[at] = this.used;
    this.length[at] = length;
    this.segmentSize[at] = segmentSize;
    this.ecn[at] = ecn;
    this.remote[at] = remote;
    this.local[at] = local;
    this.notBefore[at] = notBefore;
    this.used += length;
  }

  clear(): void {
    this.count = 0;
    this.used = 0;
  }
}
