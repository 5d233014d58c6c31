// HTTP/3 beside node:http2 and quic-go's http3.

import { inUse } from "./connections.ts";
import { bulk, type Plan, rate, scenariosOf } from "./peers.ts";
import type { Outcome } from "../measure.ts";

const REQUESTS = "requests/s";
const IDLE = 10_000;

/** KB for each connection beyond a tenth of them: what a process is without any does not count. */
function perConnection({ idle: [some, all], client }: Outcome): number {
  return (inUse(all!) - inUse(some!)) / (0.9 * client.operations) / 1000;
}

const PLANS: readonly Plan[] = [
  {
    name: "h3-rr",
    about: "GETs of 100 bytes per second over HTTP/3 on one connection, one after the other",
    unit: REQUESTS,
    workload: { kind: "http-requests" },
    figure: rate,
  },
  {
    name: "h3-rr-10",
    about: "the same, 10 in flight",
    unit: REQUESTS,
    workload: { kind: "http-requests", concurrency: 10 },
    figure: rate,
  },
  {
    name: "h3-rr-100",
    about: "the same, 100 in flight",
    unit: REQUESTS,
    workload: { kind: "http-requests", concurrency: 100 },
    figure: rate,
  },
  {
    name: "h3-headers",
    about: "GETs with 40 fields per second over HTTP/3, 10 in flight",
    unit: REQUESTS,
    workload: { kind: "http-requests", concurrency: 10, fields: 40 },
    figure: rate,
  },
  {
    name: "h3-download",
    about: "MB/s of a response of 1 GB over HTTP/3",
    unit: "MB/s",
    workload: { kind: "http-download", bytes: 1e9 },
    figure: bulk,
  },
  {
    name: "h3-upload",
    about: "MB/s of a request of 1 GB over HTTP/3",
    unit: "MB/s",
    workload: { kind: "http-upload", bytes: 1e9 },
    figure: bulk,
  },
  {
    name: "h3-idle",
    about: "memory of the server for each of 10,000 idle connections of HTTP/3 that have had one request",
    unit: "KB per idle connection",
    better: "smaller",
    workload: { kind: "http-idle", connections: IDLE },
    figure: perConnection,
  },
];

export const overHttp = scenariosOf(PLANS);
