// Many connections held open: first they are idle (the runner looks at the server's memory), then bursts of packets go
// to one after another at a fixed rate over all of them.

import type { BenchConnection, BenchStream } from "./adapter.ts";
import { type Host, Meter } from "./client.ts";
import { request } from "./server.ts";
import { BURST, OP_UPLOAD, type Result, type Workload } from "./spec.ts";

/**
 * Handshakes in flight while they are opened. Few, for each waits for the others' CPU, and that wait is the connection's
 * first RTT sample: with sixteen, a pacer that has seen only three bursts since still splits the one that is measured.
 */
const OPENING = 2;
const WARM_ROUNDS = 2.2;

export async function openMany(
  client: { connect(): Promise<BenchConnection> },
  workload: Workload,
  host: Host,
): Promise<Result> {
  const connections: BenchConnection[] = [];
  let begun = 0;
  const opener = async (): Promise<void> => {
    while (begun++ < workload.connections) connections.push(await client.connect());
  };
  await Promise.all(Array.from({ length: OPENING }, opener));
  host.say({ opened: true });
  await host.line();
  // The server has collected what opening left behind: a collection in the seconds that are measured would be of that.
  (globalThis as { gc?: () => void }).gc?.();

  const streams: (BenchStream | null)[] = connections.map(() => null);
  // A burst that the one before it still holds up is not sent: there is one writer to a stream.
  const writing = connections.map(() => false);
  const burst = new Uint8Array(BURST * workload.size);
  // Whole rounds are warm-up: first uses cost more, whatever their number, and a window has to grow to a burst. At the
  // measured rate, too: what comes faster than it is read overflows the socket, and its recovery would be measured.
  const round = connections.length / workload.rate;
  const meter = new Meter(host, { ...workload, warmup: Math.max(workload.warmup, WARM_ROUNDS * round) });
  const open = async (at: number): Promise<void> => {
    const stream = await connections[at]!.openStream();
    await stream.write(request(OP_UPLOAD, 0));
    await stream.write(burst);
    streams[at] = stream;
  };
  const start = performance.now();
  for (let sent = 0; !meter.over;) {
    const due = ((performance.now() - start) / 1000) * workload.rate;
    for (; sent < due; sent++) {
      const at = sent % connections.length;
      const stream = streams[at];
      if (writing[at]) continue;
      writing[at] = true;
      const done = stream === null ? open(at) : stream!.write(burst);
      if (done === undefined) writing[at] = false;
      else void done.then(() => (writing[at] = false));
      meter.operations++;
      meter.bytes += burst.length;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return meter.result(connections[0]!.info());
}
