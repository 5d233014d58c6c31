// The hot path allocates little: two connections in memory, established and warm. What is left for a packet that was sent
// and received is bounded; frames alone, which leave nothing, are in test/wire/allocation.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { MemoryPair } from "../bench/memory/pair.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Few enough that the collector does not come by itself: half a megabyte of garbage. */
const BYTES = 2e6;
/** Bytes of heap for a packet, both ends together. Measured: 310 to 560. */
const MOST = 1000;

test("a packet sent and received leaves less than a kilobyte of garbage", () => {
  const pair = new MemoryPair();
  pair.transfer(40e6);
  const seen: number[] = [];
  // The compiler may still be at work during the first measurements: the least of some counts.
  for (let attempt = 0; attempt < 8; attempt++) {
    gc();
    const packets = pair.packetsSent;
    const before = process.memoryUsage().heapUsed;
    pair.transfer(BYTES);
    const grown = process.memoryUsage().heapUsed - before;
    seen.push(grown / (pair.packetsSent - packets));
  }
  pair.close();
  const least = Math.min(...seen);
  assert.ok(least > 0, "the collector came by itself: what was counted says nothing");
  assert.ok(least <= MOST, `bytes per packet: ${seen.map((bytes) => bytes.toFixed(0)).join(", ")}`);
});
