// Workloads that every peer runs too, its client against its own server, in turns with ours.

import { writeCertificates } from "../certificates.ts";
import type { Kind, Workload } from "../engine/spec.ts";
import { measure, type Outcome } from "../measure.ts";
import { Ours, peer as peerOf, PEER_NAMES } from "../peers/index.ts";
import type { Peer } from "../peers/peer.ts";
import { type Better, type CpuPerGB, type Row, row, type Rss } from "../rows.ts";
import { figure } from "../report.ts";
import { assertExpected, type Context, type Scenario } from "../scenario.ts";
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
  fields: 0,
};

export interface Plan {
  readonly name: string;
  readonly also?: readonly string[];
  readonly about: string;
  readonly unit: string;
  /** Default "larger". */
  readonly better?: Better;
  readonly workload: Partial<Workload> & { readonly kind: Kind };
  readonly figure: (outcome: Outcome) => number;
}

export const bulk = ({ client }: Outcome): number => client.bytes / 1e6 / client.seconds;
export const rate = ({ client }: Outcome): number => client.operations / client.seconds;

/** Seconds. What runs once in a handshake is compiled after some ten thousand of them, which a server has behind it soon. */
const WARM_HANDSHAKES = 12;

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
    workload: { kind: "handshakes", warmup: WARM_HANDSHAKES },
    figure: rate,
  },
  {
    name: "handshakes-resumed",
    about: "handshakes with a session ticket per second, one after the other",
    unit: "handshakes/s",
    workload: { kind: "handshakes", warmup: WARM_HANDSHAKES, resumed: true },
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
    name: "rr-one-stream",
    also: ["rr-stream"],
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
    name: "messages-64",
    also: ["messages"],
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

const isRate = ({ unit }: Plan): boolean => unit.endsWith("/s") && unit !== "MB/s";

/** Per GB where bytes are what is measured. */
function costs({ unit }: Plan, outcomes: readonly Outcome[]): CpuPerGB | null {
  if (unit !== "MB/s") return null;
  const per = (cpu: (outcome: Outcome) => number): number =>
    median(outcomes.map((outcome) => cpu(outcome) / (outcome.client.bytes / 1e9)));
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
    if (peer === undefined) continue;
    const reason = await peer.prepare();
    if (reason === null) peers.push(peer);
    else context.log(`${name} is skipped: ${reason}`);
  }
  return peers;
}

/** The workload as long as the command line wants it. */
export function sizedBy({ quick, megabytes, seconds }: Context, workload: Workload): Workload {
  const part = quick ? 5 : 1;
  return {
    ...workload,
    bytes: megabytes === null ? workload.bytes / part : megabytes * 1e6,
    seconds: seconds ?? (quick ? 1 : workload.seconds),
    warmup: Math.min(workload.warmup, seconds === null ? (quick ? 2 : Infinity) : 3 * seconds),
  };
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
  const sized = sizedBy(context, workload);
  const certificates = writeCertificates();
  const setting = { ...certificates, datagram: DATAGRAM };
  const seen = new Map<Peer, (Outcome | null)[]>([ours, ...peers].map((each) => [each, []]));
  try {
    for (let i = 0; i < runs; i++) {
      for (const [each, outcomes] of seen) {
        try {
          const outcome = await measure(each, sized, setting);
          if (each === ours) assertExpected(outcome.client.info, context.expect);
          if (sized.resumed && outcome.client.info["didResume"] !== true) {
            throw new Error("the session was not resumed");
          }
          outcomes.push(outcome);
          context.log(`${plan.name} ${i + 1}/${runs}: ${each.name} ${figure(plan.figure(outcome))}`);
        } catch (error) {
          if (each === ours) throw error;
          outcomes.push(null);
          context.log(`${each.name} failed: ${(error as Error).message.slice(0, 300)}`);
        }
      }
    }
  } finally {
    certificates.remove();
  }
  const own = seen.get(ours)! as Outcome[];
  const rows = peers.flatMap((peer) => compare(plan, own, ours, peer, seen.get(peer)!) ?? []);
  return rows.length > 0 ? rows : [alone(plan, own, ours)];
}

/** What was negotiated and is in use, as far as a side tells. */
function uses(name: string, { client: { info } }: Outcome): string[] {
  const said = ["cipher", "group", "crypto", "kind"]
    .map((key) => info[key])
    .filter((value) => value !== undefined && value !== null);
  return said.length === 0 ? [] : [`${name}: ${said.join(", ")}`];
}

function alone(plan: Plan, own: readonly Outcome[], ours: Peer): Row {
  const cost = costs(plan, own);
  return row({
    scenario: plan.name,
    unit: plan.unit,
    better: plan.better ?? "larger",
    ours: own.map(plan.figure),
    cpuPerGB: { ours: cost, theirs: null },
    rss: { ours: memory(own), theirs: null },
    notes: [...uses("ours", own[0]!), ...ours.notes, ...(isRate(plan) ? [perOperation("ours", own)] : [])],
  });
}

/** Runs that failed at the peer count for neither side: the others are still pairs. */
function compare(
  plan: Plan,
  all: readonly Outcome[],
  ours: Peer,
  peer: Peer,
  outcomes: readonly (Outcome | null)[],
): Row | null {
  const theirs = outcomes.filter((outcome) => outcome !== null);
  if (theirs.length === 0) return null;
  const own = all.filter((_, i) => outcomes[i] !== null);
  const failed = outcomes.length - theirs.length;
  const cost = { ours: costs(plan, own), theirs: costs(plan, theirs) };
  return row({
    scenario: plan.name,
    peer: peer.name,
    unit: plan.unit,
    better: plan.better ?? "larger",
    ours: own.map(plan.figure),
    theirs: theirs.map(plan.figure),
    cpuPerGB: cost,
    rss: { ours: memory(own), theirs: memory(theirs) },
    notes: [
      ...uses("ours", own[0]!),
      ...ours.notes,
      peer.version(),
      ...uses(peer.name, theirs[0]!),
      ...peer.notes,
      ...(failed > 0 ? [`${peer.name} failed in ${failed} of ${outcomes.length} runs`] : []),
      ...(isRate(plan) ? [perOperation("ours", own), perOperation(peer.name, theirs)] : []),
    ],
  });
}

/** A scenario for each plan. */
export const scenariosOf = (plans: readonly Plan[]): Scenario[] =>
  plans.map((plan) => ({
    name: plan.name,
    ...(plan.also === undefined ? {} : { also: plan.also }),
    about: plan.about,
    run: (context) => run(plan, context),
  }));

export const againstPeers: readonly Scenario[] = scenariosOf(PLANS);
