// What the protocol costs without sockets and without encryption: two connections in one process, CPU time per packet.
// Both ends do the same work for a packet as far as it is measurable here, so each side's cost is half.

import { join } from "node:path";
import { runOurs } from "../child.ts";
import { type Row, row } from "../rows.ts";
import type { Scenario } from "../scenario.ts";

const PROGRAM = join(import.meta.dirname, "..", "memory", "cost.ts");
const SIZES = [1452, 8900];

export const inMemory: Scenario = {
  name: "in-memory",
  also: ["memory", ...SIZES.map((size) => `in-memory-${size}`)],
  about:
    "protocol cost: CPU µs per packet and side, in memory, no encryption, datagrams of 1,452 and 8,900 bytes",
  async run(context) {
    const runs = context.runs ?? (context.quick ? 2 : 5);
    const bytes = String((context.megabytes ?? (context.quick ? 200 : 500)) * 1e6);
    const rows: Row[] = [];
    for (const size of SIZES) {
      const ours: number[] = [];
      for (let i = 0; i < runs; i++) {
        ours.push(await runOurs<number>(PROGRAM, [bytes, String(size)]));
        context.log(
          `in memory, ${size} bytes, ${i + 1}/${runs}: ${ours.at(-1)!.toFixed(2)} µs/packet and side`,
        );
      }
      const scenario = `in-memory-${size}`;
      rows.push(row({ scenario, unit: "µs CPU/packet and side", better: "smaller", ours }));
    }
    return rows;
  },
};
