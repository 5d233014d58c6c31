// What comes for no connection, and clients until there is one: rfc9000#5.2.2. Holds who listens, 0-RTT packets that came too
// early, and the clients about which the application is asked.

import { CONNECTION_REFUSED } from "../protocol/constants.ts";
import { QuicError, TransportError } from "../protocol/errors.ts";
import type { RxBatch } from "../protocol/batch.ts";
import type { LongHeader } from "../wire/header.ts";
import type { Admission } from "./admission.ts";
import type { Drops } from "./drops.ts";
import { EarlyPackets, type KeptDatagram } from "./early-packets.ts";
import { type Parked, Parking } from "./parking.ts";
import type { ClientInitial, Listening, ListenPolicy, ServerPolicy } from "./types.ts";
import { type Datagram, Unrouted, type UnroutedOptions } from "./unrouted.ts";

export class Incoming<S> {
  readonly #admission: Admission;
  readonly #drops: Drops;
  readonly #early: EarlyPackets;
  readonly #unrouted: Unrouted;
  readonly #parking: Parking;
  #server: Listening<S> | null = null;

  constructor(options: Omit<UnroutedOptions, "early">) {
    const { admission, answers, drops } = options;
    this.#admission = admission;
    this.#drops = drops;
    this.#early = new EarlyPackets(drops);
    this.#unrouted = new Unrouted({ ...options, early: this.#early });
    this.#parking = new Parking(admission, answers, drops);
  }

  /** Who listens, null for nobody. */
  get server(): Listening<S> | null {
    return this.#server;
  }

  listen(options: S, policy: ServerPolicy, { ask = null, early = false }: ListenPolicy): void {
    if (this.#server !== null) {
      throw new QuicError(
        "ERR_QUIC_LISTENER_BUSY",
        "This transport listens already; close that listener first.",
      );
    }
    this.#server = { options, policy, ask, early };
    // What waited for another listener was that one's to end.
    this.#admission.waiting = 0;
  }

  stopListening(now: number): void {
    this.#early.expire(Infinity, now);
    this.end(new TransportError(CONNECTION_REFUSED, "the listener was closed"), now);
  }

  /** Nobody listens any more, and those who wait hear of `error`, null: of nothing. */
  end(error: QuicError | null, now: number): void {
    this.#server = null;
    this.#parking.refuseAll(error, now);
  }

  // Datagrams that belong to no connection

  /** A short header packet. */
  short(datagram: Omit<Datagram, "ecn">, now: number): void {
    this.#unrouted.short(datagram, now);
  }

  /**
   * Datagram `i`, a long header packet whose invariants are in `header`.
   * @param connections those of the endpoint.
   * @returns a client's first Initial where its connection is to begin now, else null.
   */
  long(
    rx: RxBatch,
    i: number,
    header: LongHeader,
    connections: number,
    now: number,
    wallNow: number,
  ): ClientInitial | null {
    const buf = rx.slab;
    const length = rx.length[i]!;
    if (this.#parking.size > 0) {
      const { dcidOffset, dcidLength } = header;
      const kept = this.#parking.more(buf.subarray(dcidOffset, dcidOffset + dcidLength), rx, i);
      if (kept === "full") this.#drops.add("queue_overflow", null, length, now);
      if (kept !== null) return null;
    }
    const initial = this.#unrouted.long(
      {
        buf,
        start: rx.offset[i]!,
        length,
        remote: rx.remote[i]!,
        local: rx.local[i] ?? null,
        ecn: rx.ecn[i]!,
      },
      header,
      this.#server?.policy ?? null,
      connections + this.#parking.size,
      now,
      wallNow,
    );
    if (initial === null) return null;
    const { ask } = this.#server!;
    if (ask === null) return initial;
    this.#parking.add(initial, rx, i, this.#early.take(initial.dcid), now + ask);
    return null;
  }

  /** What came for `dcid` before its Initial. */
  takeEarly(dcid: Uint8Array): readonly KeptDatagram[] {
    return this.#early.take(dcid);
  }

  // Clients that wait

  /** The next that nobody has been told of, null when there is none. */
  announce(): Parked | null {
    return this.#parking.announce();
  }

  /** Takes one out; null where it waits no longer. */
  take(id: number): Parked | null {
    return this.#parking.take(id);
  }

  /** Ends the wait of one that was taken out. */
  refuse(parked: Parked, error: TransportError, now: number): void {
    this.#parking.refuse(parked, error, now);
  }

  /** When the first of what is kept has waited long enough, absolute monotonic ms; Infinity for nothing. */
  get next(): number {
    return Math.min(this.#parking.next, this.#early.next);
  }

  /** Gives up what has waited too long by `now`. */
  expire(now: number): void {
    this.#parking.expire(now);
    this.#early.expire(now, now);
  }
}
