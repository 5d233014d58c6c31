// The protocol's cost in a process of its own: `cost BYTES DATAGRAM-SIZE` prints µs of CPU per packet and side.

import { costPerPacket, MemoryPair } from "./pair.ts";

const [bytes, datagramSize] = process.argv.slice(2).map(Number) as [number, number];
const pair = new MemoryPair({ datagramSize });
pair.transfer(bytes / 2);
console.log(JSON.stringify(costPerPacket(pair, bytes) / 2));
