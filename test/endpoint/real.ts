// Endpoints with real connections, and a network between them that is a loop over batches: no delay, a clock that is a
// number, faults by hooks.
import type { ServerConnectionOptions } from "../../internal/connection/server.ts";
import type { ClientConnectionOptions } from "../../internal/connection/client.ts";
import { connectionConfig, type ConnectionConfig } from "../../internal/connection/config.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import { Endpoint } from "../../internal/endpoint/endpoint.ts";
import { connections } from "../../internal/endpoint/factory.ts";
import type { EndpointEvent, EndpointOptions, ListenPolicy } from "../../internal/endpoint/types.ts";
import type { Address } from "../../internal/protocol/address.ts";
import { RxBatch, TxBatch } from "../../internal/protocol/batch.ts";
import type { TraceEvent } from "../../internal/protocol/tracer.ts";
import { loadIdentity } from "../../internal/tls/identity.ts";
import { makeCertificate } from "../../internal/tls/self-signed.ts";
import { seeded } from "../path/seeded.ts";

export const WALL = Date.UTC(2026, 0, 1);
const provider = simProvider();

const certificate = makeCertificate({
  provider,
  random: seeded(77),
  altNames: ["server.example"],
  notBefore: WALL - 86_400_000,
  notAfter: WALL + 86_400_000,
});
export const identity = loadIdentity(provider, certificate);

type ServerTls = ReturnType<ServerConnectionOptions["tls"]>["options"];

/** An endpoint at an address, with everything it said. */
export class Node {
  address: Address;
  readonly endpoint: Endpoint;
  readonly events: EndpointEvent<Connection>[] = [];
  readonly trace: TraceEvent[] = [];
  readonly #seed: number;
  #configs = 0;

  constructor(address: Address, seed: number, options: Partial<EndpointOptions> = {}) {
    this.address = address;
    this.#seed = seed;
    this.endpoint = new Endpoint(
      {
        provider,
        random: seeded(seed),
        tracer: { record: (event) => void this.trace.push(event) },
        ...options,
      },
      connections,
    );
  }

  config(given: Partial<ConnectionConfig> = {}): ConnectionConfig {
    const tracer = { record: (event: TraceEvent) => void this.trace.push(event) };
    return connectionConfig({
      provider,
      random: seeded((this.#seed + 1) * 1000 + this.#configs++),
      tracer,
      ...given,
    });
  }

  listen(
    given: Partial<ConnectionConfig> = {},
    tls: Partial<ServerTls> = {},
    policy?: ListenPolicy,
  ): ServerConnectionOptions {
    const options: ServerConnectionOptions = {
      config: this.config(given),
      tls: () => ({
        options: { alpn: ["test"], identity, clientAuth: "none", verify: () => ({ ok: true }), ...tls },
      }),
    };
    this.endpoint.listen(options, policy);
    return options;
  }

  dial(to: Node, now: number, given: Partial<ConnectionConfig> = {}): Connection {
    const options: ClientConnectionOptions = {
      remote: to.address,
      config: this.config(given),
      tls: { alpn: ["test"], serverName: "server.example", verify: () => ({ ok: true }) },
    };
    return this.endpoint.dial(options, now, WALL);
  }

  poll(): void {
    for (let next = this.endpoint.pollEvent(); next !== null; next = this.endpoint.pollEvent()) {
      this.events.push(next);
    }
  }

  get accepted(): Connection[] {
    return this.events.flatMap((each) => (each.type === "accepted" ? [each.connection] : []));
  }

  eventsOf(connection: Connection): string[] {
    return this.events.flatMap((each) =>
      each.type === "connection" && each.connection === connection ? [each.event.type] : [],
    );
  }

  get drops(): string[] {
    return this.trace.flatMap((event) => (event.name === "packet_dropped" ? [event.reason] : []));
  }
}

/** Carries datagrams between nodes until all is quiet, then lets time pass. */
export class Wire {
  now = 1000;
  readonly #nodes: Node[];
  /** Sees every datagram; false loses it. */
  filter: (bytes: Uint8Array, from: Node, to: Node) => boolean = () => true;

  constructor(...nodes: Node[]) {
    this.#nodes = nodes;
  }

  /** Until nobody sends at this instant. */
  settle(): void {
    for (let round = 0; round < 1000; round++) {
      let moved = false;
      for (const node of this.#nodes) {
        node.poll();
        const tx = new TxBatch();
        node.endpoint.transmit(tx, this.now);
        const rx = new Map<Node, RxBatch>();
        for (let i = 0; i < tx.count; i++) {
          moved = true;
          const to = this.#nodes.find((each) => each.address.key === tx.remote[i]!.key);
          if (to === undefined) continue;
          const end = tx.offset[i]! + tx.length[i]!;
          for (let at = tx.offset[i]!; at < end; at += tx.segmentSize[i]!) {
            const bytes = tx.slab.slice(at, Math.min(end, at + tx.segmentSize[i]!));
            if (!this.filter(bytes, node, to)) continue;
            let batch = rx.get(to);
            if (batch === undefined) rx.set(to, (batch = new RxBatch()));
            batch.push(bytes, node.address);
          }
        }
        for (const [to, batch] of rx) to.endpoint.receive(batch, this.now, WALL);
      }
      if (!moved) return;
    }
    throw new Error("the network does not settle");
  }

  /** Lets `ms` pass, timer by timer. */
  run(ms: number): void {
    const until = this.now + ms;
    this.settle();
    for (let step = 0; step < 10_000; step++) {
      const next = Math.min(...this.#nodes.map((node) => node.endpoint.nextTimeout()));
      if (next > until) break;
      this.now = Math.max(this.now, next);
      for (const node of this.#nodes) node.endpoint.handleTimeout(this.now, WALL);
      this.settle();
    }
    this.now = until;
  }
}
