// One connection whose network changes under it while data without end flows: what it delivers over time, how long it
// stands still, and what must hold whatever happens.
import type { CongestionControllerName } from "../../../internal/congestion/controllers.ts";
import { controllerFactory } from "../../../internal/congestion/controllers.ts";
import type { ConnectionConfig } from "../../../internal/connection/config.ts";
import type { Connection } from "../../../internal/connection/connection.ts";
import { markForeign, type Path } from "../../../internal/path/path.ts";
import { makeAddress, type Address } from "../../../internal/protocol/address.ts";
import { INITIAL_DATAGRAM_SIZE, MAX_PATHS } from "../../../internal/protocol/limits.ts";
import { bdp } from "../congestion/path.ts";
import { seededFloat, type Link, type LinkOptions } from "../network.ts";
import { Scenario, type StreamState } from "../scenario.ts";

export type Sender = "client" | "server";
export const SENDERS: readonly Sender[] = ["server", "client"];
export const DATAGRAM = INITIAL_DATAGRAM_SIZE;

/** One way into the network. */
export interface Road {
  /** Mbit/s, both directions. */
  readonly rate: number;
  /** ms */
  readonly rtt: number;
  /** In BDPs; default 1. */
  readonly queue?: number;
}

export const HOME: Road = { rate: 10, rtt: 40 };

export interface RideOptions {
  readonly seed: number;
  readonly road?: Road;
  /** Who has the data. */
  readonly sender?: Sender;
  readonly controller?: CongestionControllerName;
  /** Further faults of the link that data takes. */
  readonly faults?: LinkOptions;
  /** Of both sides. */
  readonly config?: Partial<ConnectionConfig>;
  readonly server?: Partial<ConnectionConfig>;
}

export interface Moment {
  /** ms from when data began to flow. */
  readonly time: number;
  readonly received: number;
  readonly cwnd: number;
  /** ms of delay in the queue of the link that data takes. */
  readonly queued: number;
}

/** Room for everything: flow control shall not be what limits. */
const WINDOW = 2 ** 26;
const ENDLESS = 2 ** 40;
/** ms between two looks. */
const STEP = 10;
/** What headers leave of a link to the application. */
export const PAYLOAD = 0.972;

export function linkOptions(road: Road): LinkOptions {
  const { rate, rtt, queue = 1 } = road;
  return { delay: rtt / 2, rate: rate * 125, queue: Math.max(10, queue * bdp(road)) };
}

export class Ride {
  readonly s: Scenario;
  readonly road: Road;
  readonly client: Connection;
  readonly server: Connection;
  /** The one that sends data, and the other. */
  readonly from: Connection;
  readonly to: Connection;
  /** The link that data takes at home, and that of the acknowledgements. */
  readonly data: Link;
  readonly acks: Link;
  readonly moments: Moment[] = [];
  /** For what each seed has at another time, or another size. */
  readonly random: () => number;
  /** Times that everything over a long period was lost. */
  collapses = 0;
  readonly #begun: number;
  readonly #stream: StreamState;
  /** By address of the client: bytes from there, and to there, while it had not proved itself. */
  readonly #ledger = new Map<string, { received: number; sent: number }>();

  constructor(options: RideOptions) {
    const { seed, road = HOME, sender = "server", controller = "cubic", faults = {}, config } = options;
    this.road = road;
    this.random = seededFloat(seed * 31 + 5);
    const link = linkOptions(road);
    const common: Partial<ConnectionConfig> = {
      datagramSize: INITIAL_DATAGRAM_SIZE,
      initialStreamWindow: WINDOW,
      maxStreamWindow: WINDOW,
      initialConnectionWindow: WINDOW,
      maxConnectionWindow: WINDOW,
      ...config,
    };
    this.s = new Scenario({
      seed,
      nullAead: true,
      up: sender === "client" ? { ...link, ...faults } : { ...link },
      down: sender === "server" ? { ...link, ...faults } : { ...link },
      client: common,
      server: { ...common, ...options.server },
    });
    const { s } = this;
    [this.data, this.acks] = sender === "client" ? [s.up, s.down] : [s.down, s.up];
    const { client, server } = s.connect();
    this.client = client;
    this.server = server;
    [this.from, this.to] = sender === "client" ? [client, server] : [server, client];
    this.from.setCongestionControl(controllerFactory(controller)!, s.net.now);
    // Connection IDs for other paths come.
    s.run(10 * road.rtt);
    const inner = this.from.controller.onPersistentCongestion.bind(this.from.controller);
    this.from.controller.onPersistentCongestion = (now) => {
      this.collapses++;
      inner(now);
    };
    this.#watchAmplification();
    this.#stream = s.open(this.from, ENDLESS, false)!;
    this.#begun = s.net.now;
    this.#look();
  }

  /** ms since data began to flow. */
  get time(): number {
    return this.s.net.now - this.#begun;
  }

  get received(): number {
    return this.s.state(this.to).streams.get(this.#stream.stream.id)?.received ?? 0;
  }

  #look(): void {
    this.moments.push({
      time: this.time,
      received: this.received,
      cwnd: this.from.controller.cwnd,
      queued: this.data.queueDelay(this.s.net.now),
    });
    this.check(this.server.paths.all.length <= MAX_PATHS, "more paths than there may be");
    for (const each of [this.client, this.server]) {
      const { error } = this.s.state(each);
      if (error !== null) this.s.fail(`the ${each.role} closed: ${error.message}`);
    }
  }

  run(ms: number): void {
    for (const end = this.time + ms; this.time < end;) {
      this.s.run(Math.min(STEP, end - this.time));
      this.#look();
    }
  }

  check(holds: boolean, message: string): void {
    if (!holds) this.s.fail(message);
  }

  /** Runs `then` in `ms`, while the ride goes on. */
  in(ms: number, then: () => void): void {
    this.s.net.at(this.s.net.now + ms, then);
  }

  // rfc9000#8.1, rfc9000#9.3.1: no more than three times what came from an address goes there until it has proved itself.
  #watchAmplification(): void {
    const { s, server } = this;
    const page = (key: string): { received: number; sent: number } => {
      let entry = this.#ledger.get(key);
      if (entry === undefined) this.#ledger.set(key, (entry = { received: 0, sent: 0 }));
      return entry;
    };
    const host = s.server;
    // What arrives at the server, after all links.
    const arrive = host.endpoint.receive.bind(host.endpoint);
    host.endpoint.receive = (rx, now, wall) => {
      for (let i = 0; i < rx.count; i++) page(rx.remote[i]!.key).received += rx.length[i]!;
      arrive(rx, now, wall);
    };
    const send = s.net.send.bind(s.net);
    s.net.send = (datagram, from) => {
      if (from === host) {
        const entry = page(datagram.to.key);
        const path = server.paths.all.find(({ remote }) => remote.key === datagram.to.key);
        if (path !== undefined && !path.validated) {
          entry.sent += datagram.bytes.length;
          this.check(
            entry.sent <= 3 * entry.received,
            `${entry.sent} bytes to an address that sent ${entry.received}`,
          );
        }
      }
      send(datagram, from);
    };
  }

  /** The application has no more to say until `end()`. */
  pause(): { end: () => void } {
    this.#stream.sending = false;
    return {
      end: () => {
        this.s.send(this.#stream, ENDLESS);
        this.s.net.flush(this.from.role === "client" ? this.s.client : this.s.server);
      },
    };
  }

  // Movement

  /** The client's NAT gives it another address, of which it knows nothing. */
  rebind(ip: string, port: number): void {
    this.s.client.address = makeAddress(ip, port);
  }

  /** Another socket of the client's, on a network of its own. */
  interface(ip: string, road: Road): { local: Address; up: Link; down: Link } {
    const { net, client } = this.s;
    const local = makeAddress(ip, 40_000);
    markForeign(local, true);
    client.others.push(local);
    const up = net.link(linkOptions(road));
    const down = net.link(linkOptions(road));
    client.routes.set(local.key, { outbound: [up], inbound: [down] });
    return { local, up, down };
  }

  /** A path of the client's from `local`, probed. */
  probed(local: Address, ms = 2000): Path {
    const path = this.client.migration.add(local);
    if (typeof path === "string") this.s.fail(`no path: ${path}`);
    const refused = this.client.migration.probe(path, this.s.net.now);
    if (refused !== null) this.s.fail(`no probe: ${refused}`);
    this.client.wake();
    const end = this.time + ms;
    while (path.validation.state === "running" && this.time < end) this.run(STEP);
    return path;
  }

  // Figures

  #at(time: number): Moment {
    return this.moments.findLast((moment) => moment.time <= time) ?? this.moments[0]!;
  }

  /** Goodput between two times as a part of what `road` can give to an application, 0 … 1. */
  share(from: number, to: number, road: Road = this.road): number {
    const [a, b] = [this.#at(from), this.#at(to)];
    return (b.received - a.received) / (b.time - a.time) / (road.rate * 125 * PAYLOAD);
  }

  /** ms from `since` until goodput over 200 ms is 70 % of what `road` gives; Infinity if it is never. */
  recovery(since: number, road: Road = this.road): number {
    const ahead = 200;
    for (const { time } of this.moments) {
      if (time < since || time + ahead > this.time) continue;
      if (this.share(time, time + ahead, road) >= 0.7) return time - since;
    }
    return Infinity;
  }

  /** The longest time without anything new for the application, ms, between two times. */
  silence(from: number, to = this.time): number {
    let longest = 0;
    let last = from;
    let received = this.#at(from).received;
    for (const moment of this.moments) {
      if (moment.time <= from || moment.time > to) continue;
      if (moment.received > received) {
        longest = Math.max(longest, moment.time - last);
        [last, received] = [moment.time, moment.received];
      }
    }
    return Math.max(longest, Math.min(to, this.time) - last);
  }

  /** For plots: goodput over 100 ms in Mbit/s. */
  goodput(): [number, number][] {
    const points: [number, number][] = [];
    for (let time = 100; time <= this.time; time += 100) {
      const [a, b] = [this.#at(time - 100), this.#at(time)];
      points.push([time / 1000, (b.received - a.received) / 125 / Math.max(1, b.time - a.time)]);
    }
    return points;
  }
}
