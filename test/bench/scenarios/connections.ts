// Many connections: what each costs in memory while it is idle, and what a packet costs when packets come in bursts for
// one after another, at the same rate over all of them.

import { writeCertificates } from "../certificates.ts";
import { BURST, type Usage, type Workload } from "../engine/spec.ts";
import { measure, type Outcome } from "../measure.ts";
import { Ours } from "../peers/index.ts";
import { type Row, row } from "../rows.ts";
import { assertExpected, type Context, type Scenario } from "../scenario.ts";
import { NO_WORK } from "./peers.ts";

const COUNTS = [1, 10, 1000, 10_000];
const QUICK = [1, 10, 200, 1000];
const OURS_ALONE = "ours alone: the peers' programs do not have this workload";
/** Bursts per second over all connections. */
const RATE = 1000;
/** Bytes of a stream frame that fills a packet of the smallest size. */
const SIZE = 1100;

/** CPU µs of both sides for each packet of the bursts. */
function perPacket({ client, serverCpu }: Outcome): number {
  return ((client.cpu + serverCpu) / (client.operations * BURST)) * 1e6;
}

/** Bytes in use: V8's heap, and what malloc handed out (with ArrayBuffers), or ArrayBuffers where malloc does not say. */
export function inUse({ memory }: Usage): number {
  return memory!.heap + (memory!.malloc ?? memory!.external);
}

async function run(context: Context): Promise<Row[]> {
  const runs = context.runs ?? (context.quick ? 1 : 5);
  const counts = context.quick ? QUICK : COUNTS;
  const [some, many] = counts.slice(-2) as [number, number];
  const certificates = writeCertificates();
  const costs = new Map<number, number[]>(counts.map((n) => [n, []]));
  const idle: number[] = [];
  const slowest = new Map<number, number>(counts.map((n) => [n, Infinity]));
  const ours = new Ours();
  try {
    for (let i = 0; i < runs; i++) {
      const memory = new Map<number, number>();
      for (const n of counts) {
        const workload: Workload = {
          ...NO_WORK,
          kind: "connections",
          connections: n,
          rate: RATE,
          size: SIZE,
          // Ten thousand take longer until each is warm: the few get time for their code to be compiled as well.
          warmup: context.quick ? 1 : 10,
          seconds: context.seconds ?? (context.quick ? 2 : 5),
        };
        const outcome = await measure(ours, workload, { ...certificates, datagram: 1252 });
        assertExpected(outcome.client.info, context.expect);
        costs.get(n)!.push(perPacket(outcome));
        const reached = outcome.client.operations / outcome.client.seconds;
        slowest.set(n, Math.min(slowest.get(n)!, reached));
        memory.set(n, inUse(outcome.idle[0]!));
        context.log(`connections ${i + 1}/${runs}: ${n}: ${costs.get(n)!.at(-1)!.toFixed(2)} µs/packet`);
      }
      idle.push((memory.get(many)! - memory.get(some)!) / (many - some) / 1000);
      context.log(`connections ${i + 1}/${runs}: ${idle.at(-1)!.toFixed(1)} KB for each idle one`);
    }
  } finally {
    certificates.remove();
  }
  const unit = "µs CPU/packet, both sides";
  const fewer = counts.slice(0, -1).map((n) => {
    const least = Math.min(slowest.get(n)!, slowest.get(many)!);
    return row({
      scenario: "connections-cpu",
      peer: n === 1 ? "1 connection" : `${n} connections`,
      unit,
      better: "smaller",
      ours: costs.get(many)!,
      theirs: costs.get(n)!,
      notes: [
        `ours with ${many} connections; bursts of ${BURST} packets, ${RATE} bursts/s in all`,
        OURS_ALONE,
        ...(least < 0.95 * RATE
          ? [`NOT AT THE SAME RATE: down to ${least.toFixed(0)} bursts/s in one of the runs`]
          : []),
      ],
    });
  });
  return [
    ...fewer,
    row({
      scenario: "connections-memory",
      unit: "KB per idle connection",
      better: "smaller",
      ours: idle,
      notes: [
        `server side after a collection: heap, ArrayBuffers and what malloc handed out; the slope from ${some} to ${many}`,
        OURS_ALONE,
      ],
    }),
  ];
}

export const connections: Scenario = {
  name: "connections",
  also: ["connections-cpu", "connections-memory"],
  about: "1, 10, 1,000 and 10,000 connections: CPU per packet, memory of an idle one",
  run,
};
