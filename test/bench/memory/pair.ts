// Two connections in memory, joined by nothing but loops: what their transfer costs is the protocol. The receiver reads
// the sender's slab where it lies, so that the harness copies nothing; a socket's driver moves the same batches.

import type { Endpoint } from "../../../internal/endpoint/endpoint.ts";
import type { Address } from "../../../internal/protocol/address.ts";
import { RxBatch, TxBatch } from "../../../internal/protocol/batch.ts";
import { MAX_BATCHES_PER_FLUSH } from "../../../internal/protocol/limits.ts";
import {
  CLIENT_ADDRESS,
  type Endpoints,
  type EndpointsOptions,
  Flow,
  makeEndpoints,
  SERVER_ADDRESS,
  WALL,
} from "./endpoints.ts";

/** A round trip in virtual ms: about what loopback has under load. */
const ROUND_TRIP = 0.2;

/** Entries of a batch that lie in another's slab, one per datagram. */
class Borrowed {
  readonly #rx: RxBatch;
  readonly #tx: TxBatch;

  constructor(tx: TxBatch, capacity = 512) {
    this.#tx = tx;
    this.#rx = new RxBatch(0, capacity);
    (this.#rx as { slab: Uint8Array }).slab = tx.slab;
  }

  /** Points at every datagram of the sender's batch. */
  fill(from: Address): RxBatch {
    const rx = this.#rx;
    const tx = this.#tx;
    rx.clear();
    for (let i = 0; i < tx.count; i++) {
      const end = tx.offset[i]! + tx.length[i]!;
      const segment = tx.segmentSize[i]!;
      for (let at = tx.offset[i]!; at < end; at += segment) {
        rx.offset[rx.count] = at;
        rx.length[rx.count] = Math.min(segment, end - at);
        rx.remote[rx.count] = from;
        rx.count++;
      }
    }
    return rx;
  }
}

/** A client that sends to a server as fast as the protocol can. */
export class MemoryPair {
  readonly #ends: Endpoints;
  readonly #flow: Flow;
  readonly #tx = new TxBatch();
  readonly #borrowed = new Borrowed(this.#tx);
  #now = 1;

  constructor(options: EndpointsOptions = {}) {
    // No pacing: the clock stands still while batches move, and what is measured is the work.
    this.#ends = makeEndpoints(
      {
        ...options,
        client: { pacing: false, ...options.client },
        server: { pacing: false, ...options.server },
      },
      this.#now,
    );
    this.#flow = new Flow(this.#ends);
  }

  /** Packets the client has sent so far: nearly all of them are full. */
  get packetsSent(): number {
    return this.#ends.connection.stats.packetsSent;
  }

  /** Goes on with the transfer until `bytes` more were read at the server. */
  transfer(bytes: number): void {
    const { client, server } = this.#ends;
    const target = this.#flow.received + bytes;
    while (this.#flow.received < target) {
      this.#now += ROUND_TRIP;
      this.#move(client, CLIENT_ADDRESS, server);
      this.#flow.read();
      this.#move(server, SERVER_ADDRESS, client);
      this.#flow.write();
      client.handleTimeout(this.#now, WALL);
      server.handleTimeout(this.#now, WALL);
    }
  }

  #move(from: Endpoint, address: Address, to: Endpoint): void {
    // As many batches as a driver sends before it receives again.
    for (let count = 0; count < MAX_BATCHES_PER_FLUSH; count++) {
      this.#tx.clear();
      const more = from.transmit(this.#tx, this.#now);
      const rx = this.#borrowed.fill(address);
      if (rx.count > 0) to.receive(rx, this.#now, WALL);
      if (!more) return;
    }
  }

  /** Ends both, with all they hold. */
  close(): void {
    this.#ends.connection.closeWithError(0n, "", this.#now);
    this.#move(this.#ends.client, CLIENT_ADDRESS, this.#ends.server);
    this.#ends.client.dispose();
    this.#ends.server.dispose();
  }
}

/** CPU time of this process in µs: what else runs on the machine does not count. */
export function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** CPU µs per packet, both ends together, over a transfer of `bytes` on a pair that is warm. */
export function costPerPacket(pair: MemoryPair, bytes: number): number {
  const packets = pair.packetsSent;
  const cpu = cpuMicroseconds();
  pair.transfer(bytes);
  return (cpuMicroseconds() - cpu) / (pair.packetsSent - packets);
}
