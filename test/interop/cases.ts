// The cases: what is fetched, over which path, and how one sees that the case took place.

import { type Apart, ecnTookPlace, type Finding } from "./apart.ts";
import type { Handshake } from "./inspect.ts";
import type { RelayOptions, RelayStats } from "./relay/relay.ts";

const KB = 1024;
const MB = 1024 * KB;

/** What a run has left behind besides the files. */
export interface Evidence {
  stats: RelayStats;
  handshake: Handshake | null;
  /** Of the second connection, in cases that have one. */
  second: Handshake | null;
  elapsedMs: number;
  /** Of all files. */
  bytes: number;
  /** Connections that were to be made. */
  connections: number;
  /** With fewer the scenario took place all the same. */
  leastConnections: number;
}

export interface Case {
  name: string;
  /** TESTCASE as the interop runner gives it to both sides. */
  testcase: string;
  /** What the server is given, where that is something else. */
  serverTestcase?: string;
  /** Sizes of the files to fetch. */
  files: (full: boolean) => number[];
  path?: Omit<RelayOptions, "target" | "seed">;
  ipv6?: boolean;
  /** A connection for each file. */
  multiconnect?: boolean;
  /** Where the peer's timing decides: fewer connections than that will do. */
  leastConnections?: number;
  /** A connection for the first file, and a second one for the others. */
  again?: boolean;
  /** The client sends the files: the server keeps them, or sends them back. */
  upload?: boolean;
  /** A case of the transport over HTTP/3, for those that know nothing else: the others have it over HTTP/0.9. */
  inPlaceOfHq?: boolean;
  /** Authorities between the root and the server's certificate. */
  authorities?: number;
  timeoutMs?: (full: boolean) => number;
  /** Measured: how much of the link what is fetched takes. Such cases run when the others are done. */
  goodput?: boolean;
  /** Between hosts of their own instead of through the relay, judged by this; `qlog` has the logs of both. */
  apart?: (apart: Apart, qlog: string) => Promise<Finding>;
  /** Why the scenario did not take place, or null. */
  check?: (evidence: Evidence) => string | null;
}

/** The interop runner's usual path: 15 ms one way, 10 Mbit/s, 25 packets, Ethernet's MTU. */
export const USUAL_PATH = { delayMs: 15, bandwidthMbps: 10, queuePackets: 25, mtu: 1500 } as const;
/** As fast as the relay. */
const FAST_PATH = { delayMs: 1, mtu: 1500 } as const;
const BURST = 3;
const CHACHA20 = 0x1303;
const INITIAL_MAX_STREAMS_BIDI = 0x08;
const VERSION_1 = 0x00000001;
const VERSION_2 = 0x6b3343cf;

const needs = (truth: boolean, otherwise: string): string | null => (truth ? null : otherwise);
const large = (full: boolean): number[] => [(full ? 100 : 20) * 1_000_000];
const connections = (full: boolean): number[] => Array<number>(full ? 50 : 10).fill(KB);

function lost({ stats }: Evidence): string | null {
  return needs(
    stats.toServer.randomDropped > 0 && stats.toClient.randomDropped > 0,
    "no packets were dropped",
  );
}
function corrupted({ stats }: Evidence): string | null {
  return needs(stats.toServer.corrupted > 0 && stats.toClient.corrupted > 0, "no packets were corrupted");
}
function resumed({ handshake, second }: Evidence): string | null {
  if (handshake === null || second === null) return "the relay did not see two ClientHellos";
  return (
    needs(!handshake.resumed, "the first connection resumed") ?? needs(second.resumed, "it did not resume")
  );
}
function earlyData(evidence: Evidence): string | null {
  return (
    resumed(evidence) ??
    needs(evidence.second!.offeredEarlyData, "the client offered no 0-RTT") ??
    needs(evidence.second!.acceptedEarlyData === true, "the server took no 0-RTT") ??
    needs(evidence.stats.zeroRttToServer > 0, "no 0-RTT packet was sent")
  );
}
function bothUpdated({ handshake }: Evidence): string | null {
  if (handshake === null) return "the relay saw no ClientHello";
  const { client, server } = handshake.keyPhases;
  return needs(
    client.includes(1) && server.includes(1),
    `key phases of the client ${client.join()}, of the server ${server.join()}`,
  );
}
function movedToVersion2({ handshake }: Evidence): string | null {
  if (handshake === null) return "the relay saw no ClientHello";
  const { originalVersion, negotiatedVersion } = handshake;
  return (
    needs(originalVersion === VERSION_1, `began with version ${originalVersion.toString(16)}`) ??
    needs(negotiatedVersion === VERSION_2, `ended with version ${negotiatedVersion?.toString(16)}`)
  );
}
const drop = (rate: number) => ({ dropRate: rate, dropBurst: BURST });
const corrupt = (rate: number) => ({ corruptRate: rate, corruptBurst: BURST });

export const CASES: readonly Case[] = [
  { name: "handshake", testcase: "handshake", files: () => [KB] },
  { name: "transfer", testcase: "transfer", files: () => [2 * MB, 3 * MB, 5 * MB] },
  {
    name: "chacha20",
    testcase: "chacha20",
    files: () => [3 * MB],
    check: ({ handshake }) =>
      handshake === null
        ? "the relay saw no ClientHello"
        : (needs(
            handshake.offeredSuites.every((suite) => suite === CHACHA20 || (suite & 0x0f0f) === 0x0a0a),
            `the client offered other suites: ${handshake.offeredSuites.map((s) => s.toString(16)).join(" ")}`,
          ) ?? needs(handshake.suite === CHACHA20, `the server chose ${handshake.suite?.toString(16)}`)),
  },
  {
    name: "retry",
    testcase: "retry",
    files: () => [KB],
    check: ({ stats }) => needs(stats.retries > 0, "no Retry packet was sent"),
  },
  { name: "keyupdate", testcase: "keyupdate", files: () => [3 * MB], check: bothUpdated },
  { name: "v2", testcase: "v2", files: () => [KB], check: movedToVersion2 },
  {
    name: "versionnegotiation",
    testcase: "versionnegotiation",
    files: () => [KB],
    check: ({ stats, handshake }) =>
      needs(stats.versionNegotiations > 0, "no Version Negotiation packet was sent") ??
      needs(handshake?.negotiatedVersion === VERSION_1, "it did not end with version 1"),
  },
  { name: "resumption", testcase: "resumption", files: () => [KB, 5 * KB], again: true, check: resumed },
  {
    name: "zerortt",
    testcase: "zerortt",
    files: () => [KB, ...Array<number>(40).fill(32)],
    again: true,
    check: earlyData,
  },
  { name: "http3", testcase: "http3", files: () => [5 * KB, 10 * KB, 500 * KB] },
  { name: "http3many", testcase: "http3", files: () => Array<number>(1000).fill(32) },
  {
    name: "http3large",
    testcase: "http3",
    files: large,
    path: FAST_PATH,
    timeoutMs: (full) => (full ? 180_000 : 60_000),
  },
  {
    name: "http3upload",
    testcase: "http3upload",
    files: large,
    path: FAST_PATH,
    upload: true,
    timeoutMs: (full) => (full ? 180_000 : 60_000),
    // Some servers forget what they have read.
    check: ({ stats, bytes }) =>
      needs(
        stats.flows.reduce((sum, flow) => sum + flow.bytesToServer, 0) > bytes,
        "the client sent less than its files",
      ),
  },
  { name: "http3post", testcase: "http3post", files: () => [KB, 300 * KB, MB] },
  { name: "http3trailers", testcase: "http3trailers", files: () => [KB, 300 * KB, MB] },
  {
    name: "http3retry",
    testcase: "http3retry",
    files: () => [KB, 2 * KB],
    check: ({ stats }) => needs(stats.retries > 0, "no Retry packet was sent"),
  },
  { name: "http3keyupdate", testcase: "http3keyupdate", files: () => [MB, 2 * MB], check: bothUpdated },
  {
    name: "http3goaway",
    testcase: "http3goaway",
    files: () => [KB, 2 * KB, 3 * KB],
    // A connection for each: the server goes away as it answers. A client may have read the answer before the warning, which
    // came on another stream, and what it asked until then is served: rfc9114#5.2 allows time for in-flight requests.
    multiconnect: true,
    leastConnections: 2,
  },
  { name: "http3v2", testcase: "http3v2", files: () => [KB], inPlaceOfHq: true, check: movedToVersion2 },
  {
    name: "http3zerortt",
    testcase: "http3zerortt",
    files: () => [KB, ...Array<number>(40).fill(32)],
    again: true,
    inPlaceOfHq: true,
    check: earlyData,
  },
  {
    name: "http3rebind",
    testcase: "http3rebind",
    files: () => [3 * MB],
    inPlaceOfHq: true,
    path: { ...USUAL_PATH, rebind: { kind: "address", firstMs: 700, everyMs: 1000, most: 3 } }, // quirks.md, caddy
    check: ({ stats }) => needs(stats.rebinds > 0, "the client kept its address"),
  },
  {
    name: "http3migration",
    testcase: "http3migration",
    files: () => [3 * MB],
    inPlaceOfHq: true,
    check: ({ stats: { flows } }) =>
      needs(flows.length > 1, "the client did not move") ??
      needs(flows.at(-1)!.bytesFromServer > 100 * KB, "little came where it moved to"),
  },
  {
    name: "http3preferred",
    testcase: "http3preferred",
    files: () => [3 * MB],
    inPlaceOfHq: true,
    // The preferred address is the server's own, beside the relay.
    check: ({ stats, bytes }) =>
      needs(stats.flows[0]!.bytesFromServer < bytes / 2, "most of it came from the first address"),
  },
  {
    name: "multiplexing",
    testcase: "transfer",
    files: () => Array<number>(1999).fill(32),
    check: ({ handshake }) => {
      const limit = handshake?.serverParameters.get(INITIAL_MAX_STREAMS_BIDI);
      if (limit === undefined)
        return "the server's stream limit could not be read (no key log of the client)";
      return needs(limit > 0 && limit <= 1000, `the server allows ${limit} streams at once, more than 1000`);
    },
  },
  {
    name: "longrtt",
    testcase: "handshake",
    files: () => [KB],
    path: { ...USUAL_PATH, delayMs: 750 },
    check: ({ stats, elapsedMs }) =>
      needs(stats.initialsToServer >= 2, "the client sent its hello only once") ??
      needs(elapsedMs >= 3000, "too fast for this path"),
  },
  {
    name: "blackhole",
    testcase: "transfer",
    files: () => [10 * MB],
    path: { ...USUAL_PATH, blackhole: { onMs: 5000, offMs: 2000 } },
    check: ({ stats }) =>
      needs(stats.toServer.blackholed + stats.toClient.blackholed > 0, "nothing fell into the blackhole"),
  },
  {
    name: "amplificationlimit",
    testcase: "transfer",
    files: () => [5 * KB],
    path: { ...USUAL_PATH, toServer: { droplist: [2, 3, 4, 5, 6, 7] } },
    authorities: 9,
    check: ({ stats }) =>
      needs(
        stats.toServer.listDropped === 6,
        `only ${stats.toServer.listDropped} of 6 packets were dropped`,
      ) ?? needs(stats.flows[0]!.amplification > 2, "the server never came near its limit"),
  },
  {
    name: "handshakeloss",
    testcase: "multiconnect",
    files: connections,
    multiconnect: true,
    path: { ...USUAL_PATH, toServer: drop(30), toClient: drop(30) },
    timeoutMs: (full) => (full ? 300_000 : 120_000),
    check: lost,
  },
  {
    name: "handshakecorruption",
    testcase: "multiconnect",
    files: connections,
    multiconnect: true,
    path: { ...USUAL_PATH, toServer: corrupt(30), toClient: corrupt(30) },
    timeoutMs: (full) => (full ? 300_000 : 120_000),
    check: corrupted,
  },
  {
    name: "transferloss",
    testcase: "transfer",
    files: () => [2 * MB],
    path: { ...USUAL_PATH, toServer: drop(2), toClient: drop(2) },
    check: lost,
  },
  {
    name: "transfercorruption",
    testcase: "transfer",
    files: () => [2 * MB],
    path: { ...USUAL_PATH, toServer: corrupt(2), toClient: corrupt(2) },
    check: corrupted,
  },
  {
    name: "rebind-port",
    testcase: "transfer",
    files: () => [10 * MB],
    path: { ...USUAL_PATH, rebind: { kind: "port", firstMs: 1000, everyMs: 5000 } },
    check: ({ stats }) => needs(stats.rebinds > 0, "the client kept its port"),
  },
  {
    name: "rebind-addr",
    testcase: "transfer",
    files: () => [10 * MB],
    path: { ...USUAL_PATH, rebind: { kind: "address", firstMs: 1000, everyMs: 5000 } },
    check: ({ stats }) => needs(stats.rebinds > 0, "the client kept its address"),
  },
  {
    name: "connectionmigration",
    testcase: "connectionmigration",
    // What the official runner calls so on servers is their preferred address.
    serverTestcase: "transfer",
    files: () => [2 * MB],
    check: ({ stats: { flows } }) =>
      needs(flows.length === 2, `the client sent from ${flows.length} sockets`) ??
      needs(flows[1]!.bytesFromServer > MB, "most of the data did not go to the second socket"),
  },
  { name: "goodput", testcase: "transfer", files: () => [10 * MB], goodput: true },
  { name: "http3goodput", testcase: "http3", files: () => [10 * MB], inPlaceOfHq: true, goodput: true },
  { name: "ecn", testcase: "ecn", files: () => [3 * MB], apart: ecnTookPlace },
  { name: "http3ecn", testcase: "http3", files: () => [3 * MB], inPlaceOfHq: true, apart: ecnTookPlace },
  {
    name: "ipv6",
    testcase: "transfer",
    files: () => [5 * KB, 10 * KB],
    ipv6: true,
    check: ({ stats }) => needs(stats.flows[0]!.client.startsWith("::1"), "the path was not IPv6"),
  },
];

/** The most a server sent to an address before that was validated, by what it had received. */
export const worstAmplification = ({ flows }: RelayStats): number =>
  Math.max(0, ...flows.map(({ amplification }) => amplification));

/** What holds in every case. `strict`: the server is the implementation under test. */
export function checkAlways(evidence: Evidence, strict: boolean): string | null {
  const { stats, connections: expected, leastConnections: least } = evidence;
  const worst = worstAmplification(stats);
  return (
    needs(
      stats.handshakes >= least && stats.handshakes <= expected,
      `${stats.handshakes} handshakes instead of ${expected}`,
    ) ??
    // rfc9000#8.1 MUST limit the amount of data it sends to three times the amount received
    needs(!strict || worst <= 3, `the server sent ${worst.toFixed(2)} times what it had received`)
  );
}
