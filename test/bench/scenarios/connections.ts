// Many connections: what each costs in memory while it is idle, and what a packet costs when packets come in bursts for
// one after another, at the same rate over all of them.

import { writeCertificates } from "../certificates.ts";
import { BURST, type Usage, type Workload } from "../engine/spec.ts";
import { measure, type Outcome } from "../measure.ts";
import { Ours } from "../peers/index.ts";
import { type Row, row } from "../rows.ts";
import { assertExpected, type Context, type Scenario } from "../scenario.ts";
import { NO_WORK } from "./peers.ts";

const FEW = 10;
const SOME = 1000;
const MANY = 10_000;
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
  const counts = context.quick ? [FEW, 200, SOME] : [FEW, SOME, MANY];
  const [few, some, many] = counts as [number, number, number];
  const certificates = writeCertificates();
  const costs = new Map<number, number[]>(counts.map((n) => [n, []]));
  const idle: number[] = [];
  let slowest = Infinity;
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
        slowest = Math.min(slowest, reached);
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
  return [
    row({
      scenario: "connections-cpu",
      peer: `${few} connections`,
      unit,
      better: "smaller",
      ours: costs.get(many)!,
      theirs: costs.get(few)!,
      notes: [
        `ours with ${many} connections; bursts of ${BURST} packets, ${RATE} bursts/s in all`,
        ...(slowest < 0.95 * RATE
          ? [`NOT AT THE SAME RATE: down to ${slowest.toFixed(0)} bursts/s in one of the runs`]
          : []),
      ],
    }),
    row({
      scenario: "connections-cpu",
      peer: `${some} connections`,
      unit,
      better: "smaller",
      ours: costs.get(many)!,
      theirs: costs.get(some)!,
    }),
    row({
      scenario: "connections-memory",
      unit: "KB per idle connection",
      better: "smaller",
      ours: idle,
      notes: [
        `server side after a collection: heap, ArrayBuffers and what malloc handed out; the slope from ${some} to ${many}`,
      ],
    }),
  ];
}

export const connections: Scenario = {
  name: "connections",
  about: "10, 1,000 and 10,000 connections: CPU per packet, memory of an idle one",
  run,
};
