// Flows over one bottleneck in the simulator, and what comes of them: goodput, delay in the queue, losses.
import type { CongestionControllerName } from "../../../internal/congestion/controllers.ts";
import { controllerFactory } from "../../../internal/congestion/controllers.ts";
import type { CongestionControllerFactory } from "../../../internal/congestion/controller.ts";
import type { Connection } from "../../../internal/connection/connection.ts";
import { INITIAL_DATAGRAM_SIZE } from "../../../internal/protocol/limits.ts";
import type { Link, LinkOptions } from "../network.ts";
import { Scenario } from "../scenario.ts";

export type Controller = CongestionControllerName | CongestionControllerFactory;

/** Bytes of UDP payload of a full datagram. */
export const DATAGRAM = INITIAL_DATAGRAM_SIZE;

export interface Bottleneck {
  /** Mbit/s */
  readonly rate: number;
  /** ms, without queueing */
  readonly rtt: number;
  /** 0 … 1, at random, in the direction of the data. */
  readonly loss: number;
  /** Datagrams. */
  readonly queue: number;
  /** Chance of a datagram to be delayed by up to half a round trip. */
  readonly reorder?: number;
}

/** Bandwidth times delay in datagrams. */
export function bdp({ rate, rtt }: { readonly rate: number; readonly rtt: number }): number {
  return (rate * 125 * rtt) / DATAGRAM;
}

export interface Flow {
  readonly controller: Controller;
  /** ms after the first flow. Default 0. */
  readonly after?: number;
}

/** Figures over a time, and over its second half. */
export interface FlowResult {
  readonly name: string;
  /** Mbit/s of new data that arrived. */
  readonly goodput: number;
  readonly steady: number;
}

export interface RunResult {
  readonly flows: readonly FlowResult[];
  /** Goodput of all flows as a part of the link's rate. */
  readonly utilization: number;
  readonly steadyUtilization: number;
  /** ms in the queue: the mean, and what 95 % of datagrams were under, in the second half. */
  readonly queueMean: number;
  readonly queue95: number;
  /** Datagrams that the queue dropped (not those lost at random), as a part of what was sent. */
  readonly dropped: number;
  readonly datagrams: number;
}

/** Delay by queueing of what passes, in buckets of 1 ms. */
class QueueMeter {
  readonly #buckets = new Float64Array(20_000);
  #count = 0;
  #sum = 0;
  enabled = false;

  add(ms: number): void {
    if (!this.enabled) return;
    this.#count++;
    this.#sum += ms;
    this.#buckets[Math.min(this.#buckets.length - 1, Math.floor(ms))]!++;
  }

  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  quantile(q: number): number {
    let seen = 0;
    for (let i = 0; i < this.#buckets.length; i++) {
      seen += this.#buckets[i]!;
      if (seen >= q * this.#count) return i + 1;
    }
    return 0;
  }
}

/** One flow while it runs. */
interface Running {
  readonly connection: Connection;
  readonly peer: Connection;
  readonly id: number;
}

/** What is sampled while flows run, for plots. */
export interface Sample {
  readonly time: number;
  readonly cwnd: number;
  readonly inFlight: number;
  readonly received: number;
  readonly queueDelay: number;
}

/** Room for everything: flow control shall not be what limits. */
const WINDOW = 2 ** 28;
const ENDLESS = 2 ** 40;

export class Bench {
  readonly scenario: Scenario;
  readonly path: Bottleneck;
  readonly link: Link;
  readonly meter = new QueueMeter();
  readonly #running: Running[] = [];

  constructor(path: Bottleneck, seed: number) {
    this.path = path;
    const bottleneck: LinkOptions = {
      delay: path.rtt / 2,
      rate: path.rate * 125,
      queue: path.queue,
      ...(path.loss > 0 ? { loss: path.loss } : {}),
      ...(path.reorder === undefined ? {} : { reorder: path.reorder, reorderDelay: path.rtt / 2 }),
    };
    const windows = {
      datagramSize: DATAGRAM,
      initialStreamWindow: WINDOW,
      maxStreamWindow: WINDOW,
      initialConnectionWindow: WINDOW,
      maxConnectionWindow: WINDOW,
    };
    this.scenario = new Scenario({
      seed,
      nullAead: true,
      up: bottleneck,
      down: { delay: path.rtt / 2 },
      client: windows,
      server: windows,
    });
    this.link = this.scenario.up;
    this.link.onQueued = (delay) => this.meter.add(delay);
  }

  /** A connection, and data without end from when it stands. */
  start(controller: Controller): void {
    const { scenario } = this;
    const accepted = scenario.accepted.length;
    const connection = scenario.dial();
    connection.setCongestionControl(controllerFactory(controller)!, scenario.net.now);
    scenario.until(
      "the connection stands",
      () => scenario.state(connection).complete && scenario.accepted.length > accepted,
    );
    const stream = scenario.open(connection, ENDLESS, false)!;
    scenario.net.flush(scenario.client);
    this.#running.push({ connection, peer: scenario.accepted[accepted]!, id: stream.stream.id });
  }

  connection(i: number): Connection {
    return this.#running[i]!.connection;
  }

  /** Bytes of flow `i` that arrived, also those behind a hole: what a loss keeps back is not less goodput. */
  received(i: number): number {
    const { peer, id } = this.#running[i]!;
    return this.scenario.state(peer).streams.get(id)?.stream.recv?.arrived ?? 0;
  }

  sample(i: number): Sample {
    const connection = this.connection(i);
    return {
      time: this.scenario.net.now - 1000,
      cwnd: connection.controller.cwnd,
      inFlight: connection.recovery.bytesInFlight,
      received: this.received(i),
      queueDelay: this.link.queueDelay(this.scenario.net.now),
    };
  }

  run(ms: number): void {
    this.scenario.run(ms);
  }
}

/** Runs flows for `ms` from the last one's start on, sampling every `every` ms where that is given. */
export function runFlows(
  path: Bottleneck,
  flows: readonly Flow[],
  ms: number,
  seed: number,
  onSample?: { readonly every: number; readonly to: (flow: number, sample: Sample) => void },
): RunResult {
  const bench = new Bench(path, seed);
  const { net } = bench.scenario;
  let started = 0;
  const advance = (until: number): void => {
    while (net.now < until) {
      bench.run(onSample === undefined ? until - net.now : Math.min(onSample.every, until - net.now));
      for (let i = 0; onSample !== undefined && i < started; i++) onSample.to(i, bench.sample(i));
    }
  };
  for (const { controller, after } of flows) {
    advance(net.now + (after ?? 0));
    bench.start(controller);
    started++;
  }
  const begun = net.now;
  const before = flows.map((_, i) => bench.received(i));
  advance(begun + ms / 2);
  const half = flows.map((_, i) => bench.received(i));
  bench.meter.enabled = true;
  const { count, overflowed } = bench.link;
  advance(begun + ms);
  const end = flows.map((_, i) => bench.received(i));
  const mbit = (bytes: number, time: number): number => bytes / 125 / time;
  const results = flows.map((flow, i): FlowResult => ({
    name: typeof flow.controller === "string" ? flow.controller : bench.connection(i).controller.name,
    goodput: mbit(end[i]! - before[i]!, ms),
    steady: mbit(end[i]! - half[i]!, ms / 2),
  }));
  const sum = (pick: (flow: FlowResult) => number): number =>
    results.reduce((total, each) => total + pick(each), 0);
  return {
    flows: results,
    utilization: sum((flow) => flow.goodput) / path.rate,
    steadyUtilization: sum((flow) => flow.steady) / path.rate,
    queueMean: bench.meter.mean,
    queue95: bench.meter.quantile(0.95),
    dropped: (bench.link.overflowed - overflowed) / Math.max(1, bench.link.count - count),
    datagrams: bench.scenario.net.datagrams,
  };
}

/** Jain's index: 1 where all have the same, 1/n where one has all. */
export function jain(rates: readonly number[]): number {
  const sum = rates.reduce((a, b) => a + b, 0);
  const squares = rates.reduce((a, b) => a + b * b, 0);
  return squares === 0 ? 1 : (sum * sum) / (rates.length * squares);
}
