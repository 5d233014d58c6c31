// 0-RTT as the application sees it: who remembers which tickets were used for it, and what its refusal means.

import { InvalidOptionError, QuicError } from "../internal/protocol/errors.ts";
import { MAX_REPLAY_ENTRIES, TICKET_AGE_TOLERANCE } from "../internal/protocol/limits.ts";
import type { EarlyDataOptions, EarlyDataUse, EarlyDataVerdict } from "../internal/tls/types.ts";
import type { Config } from "./config.ts";
import type { SessionOptions } from "./sessions.ts";

/**
 * Remembers which tickets were used for 0-RTT, so that a copy of a client's first packets is not taken a second time
 * (rfc8446#8). Servers that share `ticketKeys` must share what it remembers, too: each of them alone would take a copy.
 *
 * @example
 * // One for several servers: Redis, say, with SET ticket 1 NX PXAT expiry.
 * const used = new Map<string, number>();
 * const replayFilter: ReplayFilter = {
 *   async firstUse(ticketId, expiry) {
 *     const key = Buffer.from(ticketId).toString("hex");
 *     if (used.has(key)) return false;
 *     used.set(key, expiry);
 *     return true;
 *   },
 * };
 * const tls = { ...selfSigned(), ALPNProtocols: ["echo"] };
 * const listener = await listenAddrEarly(4433, tls, { earlyData: true, replayFilter });
 */
export interface ReplayFilter {
  /**
   * Whether this ticket is used for the first time; from now on it is not. What throws, rejects or cannot say refuses: the
   * handshake goes on without 0-RTT. May be asynchronous: the client is acknowledged and waits meanwhile, for
   * `handshakeTimeout` at most.
   * @param ticketId names the ticket: 32 bytes.
   * @param expiry Unix ms up to which it has to be remembered; after that the copy is too old to be taken anyway.
   */
  firstUse(ticketId: Uint8Array, expiry: number): boolean | Promise<boolean>;
}

/** A copy of a first flight is refused after so long, ms, whatever is remembered: rfc8446#8.3. */
const WINDOW = 2 * TICKET_AGE_TOLERANCE;

class MemoryReplayFilter implements ReplayFilter {
  /** Expiry by ticket, in the order in which they came. */
  readonly #used = new Map<string, number>();
  readonly #capacity: number;
  /** Unix ms. */
  readonly #openFrom: number;

  constructor(capacity: number, warmUp: number) {
    this.#capacity = capacity;
    this.#openFrom = Date.now() + warmUp;
  }

  firstUse(ticketId: Uint8Array, expiry: number): boolean {
    const now = Date.now();
    const used = this.#used;
    for (const [key, until] of used) {
      if (until >= now) break;
      used.delete(key);
    }
    // rfc8446#8.2 implementations … SHOULD reject 0-RTT data while any part of the recording window overlaps the startup.
    if (now < this.#openFrom || used.size >= this.#capacity) return false;
    const key = Buffer.from(ticketId).toString("latin1");
    if (used.has(key)) return false;
    used.set(key, expiry);
    return true;
  }
}

/**
 * A replay filter in memory. Nothing is forgotten before its time: while it is full, 0-RTT is refused.
 * @param options.capacity tickets remembered at a time, default 65,536: they stay for 20 s.
 * @param options.warmUp ms after its making in which it lets nothing through, since it cannot know what was let through
 * before it was made. Default 20,000; 0 where no ticket is older than the filter, as with a listener's own `ticketKeys`.
 * @throws {InvalidOptionError} for numbers that cannot be.
 *
 * @example
 * const replayFilter = memoryReplayFilter({ capacity: 1000, warmUp: 0 });
 * const tls = { ...selfSigned(), ALPNProtocols: ["echo"] };
 * const listener = await listenAddrEarly(4433, tls, { earlyData: true, replayFilter });
 */
export function memoryReplayFilter(options: { capacity?: number; warmUp?: number } = {}): ReplayFilter {
  const { capacity = MAX_REPLAY_ENTRIES, warmUp = WINDOW } = options;
  if (!Number.isInteger(capacity) || capacity < 1) {
    throw new InvalidOptionError("capacity", "an integer of at least 1");
  }
  if (typeof warmUp !== "number" || !(warmUp >= 0 && warmUp <= 1e9)) {
    throw new InvalidOptionError("warmUp", "milliseconds, 0 or more");
  }
  return new MemoryReplayFilter(capacity, warmUp);
}

/**
 * The server took none of the client's 0-RTT (rfc9001#4.6.2): it has forgotten the session, its limits changed, it has seen
 * the ticket before, or it does not take 0-RTT at all. What was written was not processed. `nextConnection()` of the connection
 * goes on, from the beginning.
 */
export class Error0RTTRejected extends QuicError {
  override readonly temporary: boolean = true;
  override readonly remote: boolean = true;
  constructor() {
    super(
      "ERR_QUIC_0RTT_REJECTED",
      "The server refused 0-RTT: what was written early is void. Call nextConnection() and send it again.",
    );
  }
}

/** @throws {InvalidOptionError} for options that are none. */
export function checkEarlyData({ earlyData, replayFilter }: Config): void {
  if (earlyData !== undefined && typeof earlyData !== "boolean") {
    throw new InvalidOptionError("earlyData", "true or false");
  }
  if (replayFilter !== undefined && typeof replayFilter?.firstUse !== "function") {
    throw new InvalidOptionError("replayFilter", "an object with firstUse");
  }
}

/** The filter for a configuration, null where no 0-RTT is taken; those that name none share the listener's. */
export function replayFilters({ ticketKeys }: SessionOptions): (config: Config) => ReplayFilter | null {
  // Keys of the listener's own are no older than its filter.
  const own = memoryReplayFilter(ticketKeys === undefined ? { warmUp: 0 } : {});
  return ({ earlyData, replayFilter }) => (earlyData === true ? (replayFilter ?? own) : null);
}

/** As TLS takes it. What is in memory answers at once. */
export function earlyDataOf(filter: ReplayFilter | null): Pick<EarlyDataOptions, "replay"> | null {
  if (filter === null) return null;
  return filter instanceof MemoryReplayFilter
    ? { replay: ({ ticketId, expiry }) => filter.firstUse(ticketId, expiry) }
    : { replay: "pending" };
}

/** Asks the filter; its failure is a refusal. */
export async function askReplayFilter(
  filter: ReplayFilter | null,
  { ticketId, expiry }: EarlyDataUse,
): Promise<EarlyDataVerdict> {
  try {
    return { allowed: (await filter?.firstUse(ticketId, expiry)) === true };
  } catch {
    return { allowed: false };
  }
}
