// Two StreamMaps back to back, through the real frame writers and parser and a packet layer that loses, delays and
// reorders packets and their acknowledgements, all from one seed.
import * as c from "../../internal/protocol/constants.ts";
import type { RecordSink } from "../../internal/recovery/sent-packets.ts";
import type { Stream } from "../../internal/stream/stream.ts";
import { StreamMap, type StreamHost, type StreamLimits } from "../../internal/stream/streams.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import {
  defaultTransportParameters,
  type TransportParameters,
} from "../../internal/wire/transport-parameters.ts";
import { Recorder } from "../wire/visitors.ts";

export const PACKET = 1200;

export const LIMITS: StreamLimits = {
  initialStreamWindow: 64 * 1024,
  maxStreamWindow: 256 * 1024,
  initialConnectionWindow: 128 * 1024,
  maxConnectionWindow: 512 * 1024,
  maxIncomingStreams: 100,
  maxIncomingUniStreams: 100,
};

/** Numbers in [0, n), mulberry32. */
export function draws(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

/** Content that differs by stream, sender and offset, so that no mix-up goes unseen. */
export function contentByte(key: number, offset: number): number {
  return (Math.imul(key + 1, 0x9e3779b1) + Math.imul(offset, 0x85ebca6b) + (offset >>> 8)) >>> 24;
}

export function content(key: number, offset: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) out[i] = contentByte(key, offset + i);
  return out;
}

export interface Sent {
  readonly bytes: Uint8Array;
  readonly records: [kind: number, a: number, b: number, c: number][];
}

/** What a peer with `limits` announces. */
export function parameters(limits: StreamLimits): TransportParameters {
  return {
    ...defaultTransportParameters(),
    initialMaxData: limits.initialConnectionWindow,
    initialMaxStreamDataBidiLocal: limits.initialStreamWindow,
    initialMaxStreamDataBidiRemote: limits.initialStreamWindow,
    initialMaxStreamDataUni: limits.initialStreamWindow,
    initialMaxStreamsBidi: limits.maxIncomingStreams,
    initialMaxStreamsUni: limits.maxIncomingUniStreams,
    resetStreamAt: true,
  };
}

/** One endpoint's streams, and what they told their host. */
export class Side extends Recorder implements StreamHost {
  readonly role: c.Role;
  now = 1;
  smoothedRtt = 20;
  readonly tracer = null;
  early = false;
  readonly map: StreamMap;
  opened: Stream[] = [];
  readonly readable = new Set<Stream>();
  readonly writable = new Set<Stream>();
  credit = 0;
  blocked = 0;
  wants = 0;

  constructor(role: c.Role, limits: StreamLimits = LIMITS, peer: StreamLimits | null = limits) {
    super();
    this.role = role;
    this.map = new StreamMap(this, limits);
    if (peer !== null) this.map.setPeerParameters(parameters(peer));
  }

  onStreamOpened(stream: Stream): void {
    this.opened.push(stream);
  }
  onStreamReadable(stream: Stream): void {
    this.readable.add(stream);
  }
  onStreamWritable(stream: Stream): void {
    this.writable.add(stream);
  }
  onCredit(): void {
    this.credit++;
  }
  onBlocked(): void {
    this.blocked++;
  }
  wantSend(): void {
    this.wants++;
  }

  override onResetStream(id: number, _code: number, big: bigint, size: number, reliable: number): void {
    this.map.onResetStream(id, big, size, reliable);
  }
  override onStopSending(id: number, _code: number, big: bigint): void {
    this.map.onStopSending(id, big);
  }
  override onStream(id: number, at: number, fin: boolean, buf: Uint8Array, from: number, n: number): void {
    this.map.onStream(id, at, fin, buf, from, n);
  }
  override onMaxData(max: number): void {
    this.map.onMaxData(max);
  }
  override onMaxStreamData(id: number, max: number): void {
    this.map.onMaxStreamData(id, max);
  }
  override onMaxStreams(bidi: boolean, max: number): void {
    this.map.onMaxStreams(bidi, max);
  }
  override onStreamDataBlocked(id: number): void {
    this.map.onStreamDataBlocked(id);
  }

  /** Delivers a STREAM frame by hand. */
  stream(id: number, offset: number, data: Uint8Array, fin = false): void {
    this.map.onStream(id, offset, fin, data, 0, data.length);
  }

  /** The next packet, null where there is nothing to send. */
  packet(size = PACKET): Sent | null {
    const buf = new Uint8Array(size);
    const records: Sent["records"] = [];
    const sink: RecordSink = { addRecord: (kind, a, b, d) => records.push([kind, a, b, d]) };
    let pos = 0;
    if (this.map.hasControl) pos = this.map.writeControl(buf, pos, size, sink);
    if (this.map.hasData) pos = this.map.writeStreamFrames(buf, pos, size, sink);
    return pos === 0 ? null : { bytes: buf.subarray(0, pos), records };
  }

  packets(size = PACKET, most = Infinity): Sent[] {
    const out: Sent[] = [];
    while (out.length < most) {
      const packet = this.packet(size);
      if (packet === null) break;
      out.push(packet);
    }
    return out;
  }

  receive(packet: Sent): void {
    parseFrames(packet.bytes, 0, packet.bytes.length, c.PACKET_ONE_RTT, this);
  }

  acked(packet: Sent): void {
    for (const record of packet.records) this.map.onRecordAcked(...record);
  }

  lost(packet: Sent): void {
    for (const record of packet.records) this.map.onRecordLost(...record);
  }
}

/** A client and a server with the same limits. */
export function pair(limits: StreamLimits = LIMITS): { client: Side; server: Side } {
  return { client: new Side("client", limits), server: new Side("server", limits) };
}

/** Moves packets both ways without loss until nothing is left to send. */
export function settle(a: Side, b: Side): void {
  for (let rounds = 0, moved = true; moved; rounds++) {
    if (rounds > 10_000) throw new Error("never settles");
    moved = false;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      for (const packet of from.packets()) {
        moved = true;
        to.receive(packet);
        from.acked(packet);
      }
    }
  }
}

/** The frames a side would send now, by type, as the parser sees them. */
export function frames(packets: readonly Sent[]): readonly (readonly unknown[])[] {
  const recorder = new Recorder();
  for (const { bytes } of packets) parseFrames(bytes, 0, bytes.length, c.PACKET_ONE_RTT, recorder);
  return recorder.calls;
}

/** Everything that can be read now. */
export function readAll(stream: Stream): Uint8Array {
  const out = new Uint8Array(stream.recv!.available);
  stream.recv!.readInto(out);
  return out;
}

/** A network in which time passes, for one pair. */
export class Lossy {
  readonly #draw: (n: number) => number;
  readonly #loss: number;
  #events: { at: number; act: () => void }[] = [];
  readonly #inFlight = new Map<Side, number>();
  now = 1;
  delivered = 0;

  /** @param loss per mille of packets, and of acknowledgements */
  constructor(draw: (n: number) => number, loss: number) {
    this.#draw = draw;
    this.#loss = loss;
  }

  get idle(): boolean {
    return this.#events.length === 0;
  }

  #later(delay: number, act: () => void): void {
    this.#events.push({ at: this.now + delay, act });
  }

  /** Sends what `from` has, up to a window of packets of any size. */
  transmit(from: Side, to: Side): void {
    const draw = this.#draw;
    while ((this.#inFlight.get(from) ?? 0) < 32) {
      const packet = from.packet(200 + draw(1201));
      if (packet === null) return;
      this.#inFlight.set(from, (this.#inFlight.get(from) ?? 0) + 1);
      const settled = (act: () => void) => () => {
        this.#inFlight.set(from, this.#inFlight.get(from)! - 1);
        act();
      };
      const delay = 5 + draw(20);
      if (draw(1000) < this.#loss) {
        this.#later(
          60,
          settled(() => from.lost(packet)),
        );
        continue;
      }
      this.#later(delay, () => {
        this.delivered++;
        to.receive(packet);
      });
      if (draw(50) === 0) this.#later(delay + 10 + draw(40), () => to.receive(packet));
      if (draw(1000) < this.#loss) {
        // The acknowledgement is late: loss is declared, and then turns out to be spurious.
        this.#later(
          60,
          settled(() => from.lost(packet)),
        );
        if (draw(2) === 0) this.#later(80, () => from.acked(packet));
      } else
        this.#later(
          delay + 5 + draw(20),
          settled(() => from.acked(packet)),
        );
    }
  }

  /** Time passes to the next event. */
  step(sides: readonly Side[]): void {
    let first = 0;
    for (let i = 1; i < this.#events.length; i++) {
      if (this.#events[i]!.at < this.#events[first]!.at) first = i;
    }
    const event = this.#events[first]!;
    this.#events[first] = this.#events[this.#events.length - 1]!;
    this.#events.pop();
    this.now = Math.max(this.now, event.at);
    for (const side of sides) side.now = this.now;
    event.act();
  }
}
