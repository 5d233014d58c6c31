// Recovery with a fake connection around it: what was sent carries one record that names its packet.
import { newRenoFactory } from "../../internal/congestion/newreno.ts";
import type { CongestionController } from "../../internal/congestion/controller.ts";
import { NOT_ECT } from "../../internal/protocol/batch.ts";
import { APPLICATION, type Role, type Space } from "../../internal/protocol/constants.ts";
import type { TraceEvent } from "../../internal/protocol/tracer.ts";
import { Recovery } from "../../internal/recovery/loss-recovery.ts";
import { RttEstimator } from "../../internal/recovery/rtt.ts";
import { REC_CRYPTO } from "../../internal/recovery/sent-packets.ts";
import { AckFrame } from "../../internal/wire/frames.ts";
import { seeded } from "../path/seeded.ts";

/** An ACK frame of numbers and [low, high] ranges, in any order of your choice but descending. */
export function ackOf(...ranges: (number | readonly [number, number])[]): AckFrame {
  const ack = new AckFrame();
  ack.ranges = new Float64Array(2 * ranges.length);
  ranges.forEach((range, i) => ack.ranges.set(typeof range === "number" ? [range, range] : range, 2 * i));
  ack.rangeCount = ranges.length;
  ack.largest = ack.ranges[1]!;
  return ack;
}

export interface SendOptions {
  bytes?: number;
  eliciting?: boolean;
  inFlight?: boolean;
  ecn?: number;
  record?: boolean;
}

export class Harness {
  readonly rtt = new RttEstimator();
  readonly controller: CongestionController = newRenoFactory({ maxDatagramSize: 1200 });
  readonly acked: string[] = [];
  readonly lost: string[] = [];
  readonly events: TraceEvent[] = [];
  readonly recovery: Recovery;

  constructor(role: Role = "client", options: { trace?: boolean; seed?: number; confirmed?: boolean } = {}) {
    this.recovery = new Recovery({
      role,
      rtt: this.rtt,
      controller: this.controller,
      random: seeded(options.seed ?? 1),
      tracer: options.trace === true ? { record: (event) => this.events.push(event) } : null,
      fate: {
        onRecordAcked: (space, _kind, pn) => this.acked.push(`${space}:${pn}`),
        onRecordLost: (space, _kind, pn) => this.lost.push(`${space}:${pn}`),
      },
    });
    this.recovery.ecn.start(0);
    if (options.confirmed !== false) this.recovery.timer.setHandshakeConfirmed(0);
  }

  send(now: number, space: Space = APPLICATION, options: SendOptions = {}): number {
    const { recovery } = this;
    const pn = recovery.peekPacketNumber(space);
    const eliciting = options.eliciting ?? true;
    recovery.sent(space).begin(pn);
    if (options.record !== false) recovery.sent(space).addRecord(REC_CRYPTO, pn, 0, 0);
    recovery.usePacketNumber(space);
    recovery.onPacketSent(
      space,
      now,
      options.bytes ?? 1200,
      eliciting,
      options.inFlight ?? eliciting,
      options.ecn ?? NOT_ECT,
    );
    return pn;
  }

  ack(now: number, ranges: Parameters<typeof ackOf>, space: Space = APPLICATION, delay = 0): void {
    this.recovery.onAck(space, ackOf(...ranges), delay, now);
  }

  /** What was reported since the last call. */
  take(): { acked: string[]; lost: string[] } {
    return { acked: this.acked.splice(0), lost: this.lost.splice(0) };
  }
}
