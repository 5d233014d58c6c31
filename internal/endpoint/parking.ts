// Clients that wait for the application's word before anything is made for them: their first packets, as they came.

import { RxBatch } from "../protocol/batch.ts";
import { toHex } from "../protocol/bytes.ts";
import { PACKET_INITIAL } from "../protocol/constants.ts";
import { TransportError, type QuicError } from "../protocol/errors.ts";
import { MAX_PARKED_BYTES, MAX_PARKED_DATAGRAMS } from "../protocol/limits.ts";
import type { Admission, Admitted } from "./admission.ts";
import { Fifo } from "./fifo.ts";
import type { Drops } from "./drops.ts";
import type { KeptDatagram } from "./early-packets.ts";
import type { StatelessAnswers } from "./stateless.ts";
import type { ClientInitial } from "./types.ts";

/** One client that waits. It counts as a handshake in flight. */
export interface Parked extends Admitted {
  readonly id: number;
  readonly initial: ClientInitial;
  /** Monotonic ms. */
  readonly deadline: number;
  readonly datagrams: KeptDatagram[];
  bytes: number;
}

export class Parking {
  readonly #admission: Admission;
  readonly #answers: StatelessAnswers;
  readonly #drops: Drops;
  readonly #byId = new Map<number, Parked>();
  /** By the connection ID that the client sends to, hexadecimal. */
  readonly #byDcid = new Map<string, Parked>();
  readonly #unannounced = new Fifo<Parked>();
  #nextId = 1;

  constructor(admission: Admission, answers: StatelessAnswers, drops: Drops) {
    this.#admission = admission;
    this.#answers = answers;
    this.#drops = drops;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** When the first of them has waited long enough. All wait equally long, so the oldest is the first. */
  get next(): number {
    for (const { deadline } of this.#byId.values()) return deadline;
    return Infinity;
  }

  /** Keeps datagram `i`, with which `initial` came, and what had overtaken it. */
  add(
    initial: ClientInitial,
    rx: RxBatch,
    i: number,
    overtaking: readonly KeptDatagram[],
    deadline: number,
  ): void {
    const { remote, validated } = initial;
    const parked: Parked = {
      id: this.#nextId++,
      initial,
      deadline,
      datagrams: [],
      bytes: 0,
      remote,
      unvalidated: !validated,
      handshaking: false,
    };
    this.#byId.set(parked.id, parked);
    this.#byDcid.set(toHex(initial.dcid), parked);
    this.#admission.onOpened(parked);
    this.#unannounced.push(parked);
    keep(parked, rx, i);
    for (const datagram of overtaking) keepOne(parked, datagram);
  }

  /**
   * A datagram to `dcid`: more of a client that waits, or none of them.
   * @returns whether it was kept, "full" where there is no room; null where nobody waits under `dcid`.
   */
  more(dcid: Uint8Array, rx: RxBatch, i: number): "kept" | "full" | null {
    const parked = this.#byDcid.get(toHex(dcid));
    if (parked === undefined) return null;
    return keep(parked, rx, i) ? "kept" : "full";
  }

  /** The next that nobody has been told of, null when there is none. */
  announce(): Parked | null {
    for (;;) {
      const parked = this.#unannounced.shift();
      if (parked === undefined) return null;
      if (this.#byId.has(parked.id)) return parked;
    }
  }

  /** Takes one out; null where it waits no longer. */
  take(id: number): Parked | null {
    const parked = this.#byId.get(id) ?? null;
    if (parked === null) return null;
    this.#byId.delete(id);
    this.#byDcid.delete(toHex(parked.initial.dcid));
    this.#admission.onClosed(parked);
    return parked;
  }

  /** Ends the wait of one that was taken out by CONNECTION_CLOSE, or in silence by an error that says nothing to peers. */
  refuse(parked: Parked, error: QuicError | null, now: number): void {
    if (error instanceof TransportError) this.#answers.refuse(parked.initial, error, now);
    const { datagrams } = parked;
    for (const { bytes } of datagrams) {
      this.#drops.add("application_refused", PACKET_INITIAL, bytes.length, now, error?.message);
    }
  }

  refuseAll(error: QuicError | null, now: number): void {
    for (const id of [...this.#byId.keys()]) this.refuse(this.take(id)!, error, now);
  }

  /** Gives up those that have waited too long by `now`: in silence, as a connection whose handshake takes too long. */
  expire(now: number): void {
    while (this.next <= now) {
      const [id] = this.#byId.keys();
      this.refuse(this.take(id!)!, null, now);
    }
  }
}

function keep(parked: Parked, rx: RxBatch, i: number): boolean {
  const start = rx.offset[i]!;
  const bytes = rx.slab.subarray(start, start + rx.length[i]!);
  return keepOne(parked, { bytes, remote: rx.remote[i]!, local: rx.local[i] ?? null, ecn: rx.ecn[i]! });
}

function keepOne(parked: Parked, datagram: KeptDatagram): boolean {
  const { datagrams } = parked;
  const { bytes } = datagram;
  if (datagrams.length >= MAX_PARKED_DATAGRAMS || parked.bytes + bytes.length > MAX_PARKED_BYTES)
    return false;
  datagrams.push({ ...datagram, bytes: bytes.slice() });
  parked.bytes += bytes.length;
  return true;
}

const NOTHING = new RxBatch(0, 0);

/** What was kept, as it is given to a connection. */
export function batchOf(datagrams: readonly KeptDatagram[]): RxBatch {
  if (datagrams.length === 0) return NOTHING;
  let size = 0;
  for (const { bytes } of datagrams) size += bytes.length;
  const rx = new RxBatch(size, datagrams.length);
  for (const { bytes, remote, local, ecn } of datagrams) rx.push(bytes, remote, local, ecn);
  return rx;
}
