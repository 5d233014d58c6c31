import type { RecvHalf } from "./recv.ts";
import type { SendHalf } from "./send.ts";

/** Stream IDs, rfc9000#2.1: bit 0 is the initiator, bit 1 the direction. */
export const SERVER_INITIATED = 1;
export const UNIDIRECTIONAL = 2;

/** Whether `id` is bidirectional. */
export function isBidi(id: number): boolean {
  return id % 4 < UNIDIRECTIONAL;
}

/** Whether a client opened `id`. */
export function isClientInitiated(id: number): boolean {
  return id % 2 === 0;
}

/** A stream: one or both halves. */
export class Stream {
  readonly id: number;
  readonly send: SendHalf | null;
  readonly recv: RecvHalf | null;
  /** Opened in 0-RTT: what came on it before the handshake is complete may be a replay. */
  early = false;
  /** The owner's. */
  userData: unknown = undefined;
  /** In the connection's queues of streams with events. */
  readableQueued = false;
  writableQueued = false;
  /** In the queue of streams with control frames. */
  controlQueued = false;
  /** The peer's, and the application has not taken it yet: it counts towards the peer's limit, even when it is over. */
  held = false;

  constructor(id: number, send: SendHalf | null, recv: RecvHalf | null) {
    this.id = id;
    this.send = send;
    this.recv = recv;
  }

  /** Both halves are over. */
  get isTerminal(): boolean {
    return (this.send === null || this.send.isTerminal) && (this.recv === null || this.recv.isTerminal);
  }
}
