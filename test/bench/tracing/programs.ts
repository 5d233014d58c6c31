// The measuring processes of the tracing scenario.
//   hooks TREE,TREE,… BYTES SLICES     µs of CPU per packet of the same transfer over each tree: a list of slices, which
//                                      take turns, for each
//   cost LEVEL FILE BYTES              … of one transfer, with qlog of both ends at LEVEL to FILE, or "off"
//   link LEVEL FILE MS                 bytes per second over a link of 100 Mbit/s in real time

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { qlogFile, type QlogLevel } from "../../../qlog/index.ts";
import type { EndpointsOptions } from "../memory/endpoints.ts";
import { measureLink } from "../memory/link.ts";
import { costPerPacket, MemoryPair } from "../memory/pair.ts";

const LINK_RATE = 100e6;
/** Bytes until everything is compiled. */
const WARMUP = 200e6;

async function hooks(trees: readonly string[], bytes: number, slices: number): Promise<number[][]> {
  const pairs: MemoryPair[] = [];
  for (const tree of trees) {
    // Every tree has modules, and so compiled code and type feedback, of its own.
    const url = pathToFileURL(join(tree, "test", "bench", "memory", "pair.js")).href;
    const loaded = (await import(url)) as { MemoryPair: typeof MemoryPair };
    pairs.push(new loaded.MemoryPair());
  }
  for (let round = 0; round < 5; round++) for (const pair of pairs) pair.transfer(WARMUP / 5);
  const costs: number[][] = pairs.map(() => []);
  for (let slice = 0; slice < slices; slice++) {
    // Forwards and backwards in turn: none is always first.
    for (let k = 0; k < pairs.length; k++) {
      const i = slice % 2 === 0 ? k : pairs.length - 1 - k;
      costs[i]!.push(costPerPacket(pairs[i]!, bytes));
    }
  }
  return costs;
}

function traced(level: string, file: string): EndpointsOptions {
  if (level === "off") return {};
  const options = { level: level as QlogLevel };
  return {
    client: { tracer: qlogFile(`${file}.client`, options) },
    server: { tracer: qlogFile(`${file}.server`, options) },
  };
}

function cost(level: string, file: string, bytes: number): number {
  const pair = new MemoryPair(traced(level, file));
  pair.transfer(bytes / 2);
  const result = costPerPacket(pair, bytes);
  pair.close();
  return result;
}

const [program, first, second, third] = process.argv.slice(2) as [string, string, string, string];
const result =
  program === "hooks"
    ? await hooks(first.split(","), Number(second), Number(third))
    : program === "cost"
      ? cost(first, second, Number(third))
      : await measureLink(traced(first, second), LINK_RATE, 1000, Number(third));
console.log(JSON.stringify(result));
