// Workloads that every peer runs too, its client against its own server, in turns with ours.

import { writeCertificates } from "../certificates.ts";
import type { Kind, Workload } from "../engine/spec.ts";
import { measure, type Outcome } from "../measure.ts";
import { Ours, peer as peerOf, PEER_NAMES } from "../peers/index.ts";
import type { Peer } from "../peers/peer.ts";
import { type CpuPerGB, type Row, row, type Rss } from "../rows.ts";
import type { Context, Scenario } from "../scenario.ts";
import { median } from "../statistics.ts";

export const DATAGRAM = 1452;

export const NO_WORK: Omit<Workload, "kind"> = {
  bytes: 0,
  concurrency: 1,
  size: 100,
  seconds: 3,
  // Until JavaScript is compiled: every peer gets the time.
  warmup: 3,
  resumed: false,
  connections: 0,
  rate: 0,
};

interface Plan {
  readonly name: string;
  readonly about: string;
  readonly unit: string;
  readonly workload: Partial<Workload> & { readonly kind: Kind };
  readonly figure: (outcome: Outcome) => number;
}

const bulk = ({ client }: Outcome): number => client.bytes / 1e6 / client.seconds;
const rate = ({ client }: Outcome): number => client.operations / client.seconds;

const PLANS: readonly Plan[] = [
  {
    name: "download",
    about: "MB/s of 1 GB over one stream, from the server",
    unit: "MB/s",
    workload: { kind: "download", bytes: 1e9 },
    figure: bulk,
  },
  {
    name: "upload",
    about: "MB/s of 1 GB over one stream, to the server",
    unit: "MB/s",
    workload: { kind: "upload", bytes: 1e9 },
    figure: bulk,
  },
  {
    name: "duplex",
    about: "MB/s of 1 GB each way at once over one stream, both ways together",
    unit: "MB/s",
    workload: { kind: "duplex", bytes: 1e9 },
    figure: bulk,
  },
  {
    name: "handshakes",
    about: "full handshakes per second, one after the other",
    unit: "handshakes/s",
    workload: { kind: "handshakes", warmup: 8 },
    figure: rate,
  },
  {
    name: "handshakes-resumed",
    about: "handshakes with a session ticket per second, one after the other",
    unit: "handshakes/s",
    workload: { kind: "handshakes", warmup: 8, resumed: true },
    figure: rate,
  },
  {
    name: "rr",
    about: "requests per second for 100 bytes, one after the other, each on a stream of its own",
    unit: "requests/s",
    workload: { kind: "requests" },
    figure: rate,
  },
  {
    name: "rr-100",
    about: "requests per second for 100 bytes, 100 in flight, each on a stream of its own",
    unit: "requests/s",
    workload: { kind: "requests", concurrency: 100 },
    figure: rate,
  },
  {
    name: "rr-stream",
    about: "requests per second for 100 bytes, one after the other on one stream",
    unit: "requests/s",
    workload: { kind: "one-stream" },
    figure: rate,
  },
  {
    name: "churn",
    about: "streams opened, ended by both sides and forgotten, per second, 16 at a time",
    unit: "streams/s",
    workload: { kind: "requests", concurrency: 16, size: 0 },
    figure: rate,
  },
  {
    name: "messages",
    about: "64-byte writes per second on one stream",
    unit: "messages/s",
    workload: { kind: "messages", size: 64 },
    figure: rate,
  },
  {
    name: "datagrams",
    about: "datagrams of 1,000 bytes that arrive, per second",
    unit: "datagrams/s",
    workload: { kind: "datagrams", size: 1000 },
    figure: rate,
  },
];

function costs(outcomes: readonly Outcome[]): CpuPerGB | null {
  const per = (cpu: (outcome: Outcome) => number): number =>
    median(outcomes.map((outcome) => cpu(outcome) / (outcome.client.bytes / 1e9)));
  if (outcomes.some(({ client }) => client.bytes < 100e6)) return null;
  return {
    client: per(({ client }) => client.cpu),
    server: per(({ serverCpu }) => serverCpu),
    both: per(({ client, serverCpu }) => client.cpu + serverCpu),
  };
}

const memory = (outcomes: readonly Outcome[]): Rss => ({
  client: median(outcomes.map(({ client }) => client.rss)),
  server: median(outcomes.map(({ serverRss }) => serverRss)),
});

/** CPU µs of both sides for each operation, said where bytes mean nothing. */
function perOperation(name: string, outcomes: readonly Outcome[]): string {
  const cost = (cpu: (outcome: Outcome) => number): string =>
    median(outcomes.map((outcome) => (cpu(outcome) / outcome.client.operations) * 1e6)).toFixed(1);
  return `${name}: CPU ${cost(({ client }) => client.cpu)} µs at the client + ${cost(({ serverCpu }) => serverCpu)} µs at the server each`;
}

/** Peers that are asked for and can be had, with why the others cannot. */
async function available(names: readonly string[], context: Context): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const name of names) {
    const peer = peerOf(name);
    if (peer === undefined) {
      context.log(`no peer is called ${name}; there are ${PEER_NAMES.join(", ")}, and ours:KEY=VALUE`);
      continue;
    }
    const reason = await peer.prepare();
    if (reason === null) peers.push(peer);
    else context.log(`${name} is skipped: ${reason}`);
  }
  return peers;
}

async function run(plan: Plan, context: Context): Promise<Row[]> {
  const runs = context.runs ?? (context.quick ? 1 : 5);
  const ours = new Ours();
  const workload: Workload = { ...NO_WORK, ...plan.workload };
  const peers = (await available(context.peers ?? PEER_NAMES, context)).filter((peer) => {
    const lack = peer.lacks(workload);
    if (lack !== null) context.log(`${peer.name} is skipped: ${lack}`);
    return lack === null;
  });
  const lack = ours.lacks(workload);
  if (lack !== null) {
    context.log(`skipped: ${lack}`);
    return [];
  }
  const shortened: Workload = context.quick
    ? { ...workload, bytes: workload.bytes / 5, seconds: 1, warmup: Math.min(2, workload.warmup) }
    : workload;
  const certificates = writeCertificates();
  const setting = { ...certificates, datagram: DATAGRAM };
  const seen = new Map<Peer, Outcome[]>([ours, ...peers].map((each) => [each, []]));
  try {
    for (let i = 0; i < runs; i++) {
      for (const [each, outcomes] of seen) {
        try {
          outcomes.push(await measure(each, shortened, setting));
          context.log(
            `${plan.name} ${i + 1}/${runs}: ${each.name} ${plan.figure(outcomes.at(-1)!).toFixed(0)}`,
          );
        } catch (error) {
          if (each === ours) throw error;
          context.log(`${each.name} failed: ${(error as Error).message.slice(0, 300)}`);
        }
      }
    }
  } finally {
    certificates.remove();
  }
  const own = seen.get(ours)!;
  const rows: Row[] = [];
  const against = peers.filter((peer) => seen.get(peer)!.length > 0);
  for (const peer of against.length === 0 ? [null] : against) {
    const theirs = peer === null ? [] : seen.get(peer)!;
    const cost = costs(own);
    const info = own.at(-1)!.client.info;
    rows.push(
      row({
        scenario: plan.name,
        ...(peer === null ? {} : { peer: peer.name }),
        unit: plan.unit,
        better: "larger",
        ours: own.map(plan.figure),
        theirs: theirs.map(plan.figure),
        cpuPerGB: { ours: cost, theirs: theirs.length === 0 || cost === null ? null : costs(theirs) },
        rss: { ours: memory(own), theirs: theirs.length === 0 ? null : memory(theirs) },
        notes: [
          `ours: ${String(info["cipher"])}, ${String(info["group"])}, ${String(info["crypto"])}, ${String(info["kind"])} socket`,
          ...(peer === null ? [] : [peer.version(), ...peer.notes]),
          ...(cost !== null
            ? []
            : [
                perOperation("ours", own),
                ...(peer === null || theirs.length === 0 ? [] : [perOperation(peer.name, theirs)]),
              ]),
        ],
      }),
    );
  }
  return rows;
}

export const againstPeers: readonly Scenario[] = PLANS.map((plan) => ({
  name: plan.name,
  about: plan.about,
  run: (context) => run(plan, context),
}));
