// Time, timers and the socket, for an Endpoint that has none: one clock read per wake-up, one timer for all
// connections, and one flush per turn of the event loop.
//
// A turn looks like this: datagrams arrive (poll phase) and are delivered in one batch (check phase); what woke up
// because of them runs as microtasks; then every touched connection transmits once, so that acknowledgements and
// answers leave together. Where a turn takes long, messages that are whole leave before.

import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import type { ConnectionEvent } from "../internal/connection/events.ts";
import type { Endpoint } from "../internal/endpoint/endpoint.ts";
import type { ClientInitial } from "../internal/endpoint/types.ts";
import type { RxBatch } from "../internal/protocol/batch.ts";
import {
  FINAL_FLUSH_WAIT,
  LATE_TIMER,
  MAX_BATCHES_PER_FLUSH,
  MAX_FLUSH_DELAY,
  MAX_FINAL_FLUSHES,
} from "../internal/protocol/limits.ts";
import { BusyPoll } from "./busy-poll.ts";
import { ForeignSockets, SharedSocket } from "./foreign-sockets.ts";
import type { PacketConn, PacketSink } from "../internal/udp/packet-conn.ts";
import { makeSpareShare } from "./spare-shares.ts";

/** Monotonic fractional ms: the core's `now`. */
export const monotonicNow = (): number => performance.now();

/** Who gets what the endpoint says. */
export interface DriverOwner {
  onConnectionEvent(connection: CoreConnection, event: ConnectionEvent): void;
  onAccepted(connection: CoreConnection): void;
  /** A client waits for `admit`. */
  onIncoming(id: number, initial: ClientInitial): void;
  onSocketFailed(error: Error): void;
}

/** Runs an Endpoint over a PacketConn. */
export class Driver implements PacketSink {
  readonly #endpoint: Endpoint;
  readonly #socket: PacketConn;
  readonly #owner: DriverOwner;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Infinity;
  #flushScheduled = false;
  /** When what waits for the end of the turn leaves without it. */
  #flushBy = 0;
  /** The core is at work: what its tracers call must not send. */
  #inCore = false;
  #blocked = false;
  #stopped = false;
  #onDrained: (() => void) | null = null;
  readonly #busyPoll: BusyPoll;
  /** This socket, for paths of other transports' connections; and theirs, for ours. */
  readonly shared: SharedSocket;
  readonly foreign = new ForeignSockets();
  /** Datagrams the system refused to send, counted as lost. */
  sendErrors = 0;
  lastSendError: Error | null = null;

  /** @param busyPoll the longest wait for datagrams that is spent awake, ms. */
  constructor(endpoint: Endpoint, socket: PacketConn, owner: DriverOwner, busyPoll?: number) {
    this.#busyPoll = new BusyPoll(busyPoll);
    this.#endpoint = endpoint;
    this.#socket = socket;
    this.shared = new SharedSocket(socket);
    this.#owner = owner;
  }

  /** Has what was queued leave at the end of this turn. */
  flushSoon(): void {
    if (!this.#flushScheduled) this.#schedule(monotonicNow());
  }

  /**
   * A message is whole: it leaves at the end of this turn, or before where that takes long. Of a hundred requests that
   * came at once the first answers travel while the last are made, and the peer works meanwhile. Parts of a message wait
   * for the end: nobody can do much with them, and full batches cost less.
   */
  flushWhole(): void {
    const now = monotonicNow();
    if (!this.#flushScheduled) this.#schedule(now);
    else if (now >= this.#flushBy && !this.#inCore && !this.#stopped) this.#sendBatch(now);
  }

  #schedule(now: number): void {
    if (this.#flushScheduled || this.#stopped) return;
    this.#flushScheduled = true;
    this.#flushBy = now + MAX_FLUSH_DELAY;
    setImmediate(this.#flush);
  }

  /** As flushSoon, but now: for closing. */
  flushNow(): void {
    if (!this.#stopped) this.#transmit();
  }

  readonly #flush = (): void => {
    this.#flushScheduled = false;
    if (!this.#stopped) this.#transmit();
  };

  #transmit(): void {
    const now = monotonicNow();
    let more = true;
    for (let count = 0; more && count < MAX_BATCHES_PER_FLUSH; count++) more = this.#sendBatch(now);
    this.pump();
    this.#arm(now);
    makeSpareShare();
    // Receiving gets its turn between two flushes.
    if (more) this.#schedule(now);
  }

  /** @returns whether there is more that can be sent now. */
  #sendBatch(now: number): boolean {
    this.#flushBy = now + MAX_FLUSH_DELAY;
    const batch = this.#socket.batch();
    if (batch === null) {
      // The kernel's queue is full: `drained` goes on.
      this.#blocked = true;
      return false;
    }
    this.#inCore = true;
    const more = this.#endpoint.transmit(batch, now);
    this.#inCore = false;
    this.foreign.distribute(batch);
    if (batch.count > 0) this.#busyPoll.sent(now, batch.used);
    this.#socket.send(batch);
    return more;
  }

  // PacketSink

  receive(batch: RxBatch): void {
    if (this.#stopped) return;
    if (this.shared.isShared) this.shared.handOver(batch);
    this.#take(batch);
  }

  /** Datagrams that came to the socket of another transport. */
  takeForeign(batch: RxBatch): void {
    if (!this.#stopped) this.#take(batch);
  }

  #take(batch: RxBatch): void {
    const now = monotonicNow();
    this.#busyPoll.arrived(now, batch.used);
    this.#inCore = true;
    this.#endpoint.receive(batch, now, Date.now());
    this.#inCore = false;
    this.pump();
    this.#schedule(now);
  }

  drained(): void {
    this.#onDrained?.();
    if (!this.#blocked) return;
    this.#blocked = false;
    this.flushSoon();
  }

  sendFailed(error: Error): void {
    this.sendErrors++;
    this.lastSendError = error;
  }

  failed(error: Error): void {
    this.#owner.onSocketFailed(error);
  }

  /** Hands out what the core has to say. */
  pump(): void {
    for (let next = this.#endpoint.pollIncoming(); next !== null; next = this.#endpoint.pollIncoming()) {
      this.#owner.onIncoming(next.id, next.initial);
    }
    for (;;) {
      const next = this.#endpoint.pollEvent();
      if (next === null) return;
      if (next.type === "accepted") this.#owner.onAccepted(next.connection);
      else this.#owner.onConnectionEvent(next.connection, next.event);
    }
  }

  #arm(now: number): void {
    const at = this.#endpoint.nextTimeout();
    if (at === this.#timerAt) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerAt = at;
    if (at === Infinity) return;
    const delay = Math.min(Math.max(0, Math.ceil(at - now)), 2 ** 31 - 1);
    this.#timer = setTimeout(this.#onTimer, delay);
    // The socket decides whether the process lives, not its timers.
    this.#timer.unref();
  }

  readonly #onTimer = (): void => {
    // After a blocked event loop datagrams wait in the kernel that say more than the clock: look at them first.
    if (monotonicNow() - this.#timerAt > LATE_TIMER) setImmediate(this.#expire);
    else this.#expire();
  };

  readonly #expire = (): void => {
    this.#timerAt = Infinity;
    this.#timer = null;
    if (this.#stopped) return;
    this.#endpoint.handleTimeout(monotonicNow(), Date.now());
    this.pump();
    this.flushSoon();
  };

  /** Sends all that waits, for the end: waits for the socket where that is full, but not forever. */
  async flushAll(): Promise<void> {
    for (let i = 0; i < MAX_FINAL_FLUSHES && !this.#stopped; i++) {
      this.#transmit();
      if (!this.#blocked && !this.#endpoint.wantsTransmit) return;
      if (!this.#blocked) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, FINAL_FLUSH_WAIT);
        this.#onDrained = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#onDrained = null;
      this.#blocked = false;
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#busyPoll.stop();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
