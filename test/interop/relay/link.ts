// One direction of the path, in virtual time: what happens to each packet, and when it arrives. The scenarios are those
// of the QUIC interop runner's simulator: a point-to-point link with a drop-tail queue, and error models at its end.

/** Faults of one direction. Rates in percent, of the packets that reach the far end of the link. */
export interface Faults {
  dropRate?: number;
  /** At most so many drops in a row; 0 or nothing: no bound. */
  dropBurst?: number;
  corruptRate?: number;
  corruptBurst?: number;
  /** Packets to drop by their number in this direction, the first one is 1. */
  droplist?: readonly number[];
}

/** The line both directions have in common. */
export interface Line {
  /** One way, milliseconds. */
  delayMs?: number;
  /** Mbit/s; 0 or nothing: no bound. */
  bandwidthMbps?: number;
  /** Packets that may wait for the line; 0 or nothing: no bound. */
  queuePackets?: number;
  /** Bytes of an IP packet; larger ones are dropped. 0 or nothing: no bound. Loopback alone would carry 64 KB at a time. */
  mtu?: number;
  /** Works for `onMs`, swallows everything for `offMs`, and again, `repeat` times (default: for ever). */
  blackhole?: { onMs: number; offMs: number; repeat?: number };
}

/** What a direction has seen. */
export interface LinkStats {
  packets: number;
  bytes: number;
  delivered: number;
  deliveredBytes: number;
  /** Above the MTU. */
  tooBig: number;
  queueDropped: number;
  randomDropped: number;
  listDropped: number;
  blackholed: number;
  corrupted: number;
}

export type Fate = "delivered" | "corrupted" | "mtu" | "queue" | "random" | "droplist" | "blackhole";

/** IPv4 and UDP headers are on the line as well. */
const HEADERS = 28;
/** A corrupted byte lies within the first so many. */
const CORRUPT_WITHIN = 50;

/** Small seeded generator (mulberry32): numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Tells when blackholes are, relative to the first packet. */
export function inBlackhole(line: Line, sinceStart: number): boolean {
  const hole = line.blackhole;
  if (hole === undefined) return false;
  const round = Math.floor(sinceStart / (hole.onMs + hole.offMs));
  if (round >= (hole.repeat ?? Infinity)) return false;
  return sinceStart - round * (hole.onMs + hole.offMs) >= hole.onMs;
}

/** One direction. `offer` decides each packet's fate; nothing here waits. */
export class Link {
  readonly stats: LinkStats = {
    packets: 0,
    bytes: 0,
    delivered: 0,
    deliveredBytes: 0,
    tooBig: 0,
    queueDropped: 0,
    randomDropped: 0,
    listDropped: 0,
    blackholed: 0,
    corrupted: 0,
  };
  /** Of the packet offered last. */
  fate: Fate = "delivered";
  readonly #line: Line;
  readonly #faults: Faults;
  readonly #random: () => number;
  readonly #droplist: ReadonlySet<number>;
  /** When the line starts sending each waiting packet; those in the past have left the queue. */
  readonly #starts: number[] = [];
  #busyUntil = 0;
  #droppedInARow = 0;
  #corruptedInARow = 0;

  constructor(line: Line, faults: Faults, random: () => number) {
    this.#line = line;
    this.#faults = faults;
    this.#random = random;
    this.#droplist = new Set(faults.droplist ?? []);
  }

  /**
   * Takes a packet at `now` (ms); `sinceStart` counts from the first packet of the relay.
   * @returns when it arrives, or -1 where it does not (see `fate`). A corrupted packet is changed in place.
   */
  offer(packet: Uint8Array, now: number, sinceStart: number): number {
    const { stats } = this;
    stats.packets++;
    stats.bytes += packet.length;
    const { bandwidthMbps = 0, queuePackets = 0, delayMs = 0, mtu = 0 } = this.#line;
    if (mtu > 0 && packet.length + HEADERS > mtu) {
      stats.tooBig++;
      return this.#drop("mtu");
    }
    let arrival = now + delayMs;
    if (bandwidthMbps > 0) {
      const starts = this.#starts;
      while (starts.length > 0 && starts[0]! <= now) starts.shift();
      if (queuePackets > 0 && starts.length >= queuePackets) {
        stats.queueDropped++;
        return this.#drop("queue");
      }
      const start = Math.max(now, this.#busyUntil);
      if (start > now) starts.push(start);
      this.#busyUntil = start + ((packet.length + HEADERS) * 8) / (bandwidthMbps * 1000);
      arrival = this.#busyUntil + delayMs;
    }
    // The error models stand at the receiving end: a packet that is lost has taken its time on the line.
    if (this.#droplist.has(stats.packets)) {
      stats.listDropped++;
      return this.#drop("droplist");
    }
    if (inBlackhole(this.#line, sinceStart)) {
      stats.blackholed++;
      return this.#drop("blackhole");
    }
    const { dropRate = 0, dropBurst = 0, corruptRate = 0, corruptBurst = 0 } = this.#faults;
    if (dropRate > 0) {
      const hit = this.#random() * 100 < dropRate;
      if (hit && (dropBurst === 0 || this.#droppedInARow < dropBurst)) {
        this.#droppedInARow++;
        stats.randomDropped++;
        return this.#drop("random");
      }
      this.#droppedInARow = 0;
    }
    this.fate = "delivered";
    if (corruptRate > 0 && packet.length > 0) {
      const hit = this.#random() * 100 < corruptRate;
      if (hit && (corruptBurst === 0 || this.#corruptedInARow < corruptBurst)) {
        this.#corruptedInARow++;
        stats.corrupted++;
        this.fate = "corrupted";
        const at = Math.floor(this.#random() * Math.min(CORRUPT_WITHIN, packet.length));
        packet[at] = packet[at]! ^ (1 + Math.floor(this.#random() * 255));
      } else {
        this.#corruptedInARow = 0;
      }
    }
    stats.delivered++;
    stats.deliveredBytes += packet.length;
    return arrival;
  }

  #drop(fate: Fate): number {
    this.fate = fate;
    return -1;
  }
}
