// Many connections for minutes of virtual time: two endpoints of the core, with everything that is beneath the API, over a
// lossy network. Streams of random sizes open and close, datagrams, resets, moves to other addresses, key updates, other
// connection IDs; no error, all books balance, and when all is closed the heap is what it was after the first such round.
// `npm run campaign -- soak [--short] [--seed N]`
import type { Connection } from "../../../internal/connection/connection.ts";
import type { ConnectionEvent } from "../../../internal/connection/events.ts";
import type { Path } from "../../../internal/path/path.ts";
import { markForeign } from "../../../internal/path/path.ts";
import { makeAddress, type Address } from "../../../internal/protocol/address.ts";
import { seededFloat, type Host } from "../network.ts";
import { Scenario } from "../scenario.ts";
import { heapInUse, type Heap } from "./heap.ts";
import { Pair, type Books } from "./traffic.ts";

export interface SoakOptions {
  readonly short: boolean;
  readonly seed: number | null;
}

interface Plan {
  readonly connections: number;
  /** ms of virtual time during which anything begins. */
  readonly lasts: number;
  /** ms between two doings of one connection, on average. */
  readonly every: number;
}

const FULL: Plan = { connections: 1000, lasts: 180_000, every: 6000 };
const SHORT: Plan = { connections: 100, lasts: 20_000, every: 1500 };
/** Before the first round: code is compiled, pools are filled. */
const WARM_UP: Plan = { connections: 30, lasts: 10_000, every: 500 };
const LOSS = 0.02;
/** ms in which what was begun ends. */
const PATIENCE = 120_000;
const DATAGRAM_BYTES = 200;

interface Round {
  readonly books: Books;
  readonly heap: Heap;
  readonly moves: number;
  readonly handshakes: number;
  readonly keyUpdates: number;
  readonly lostPackets: number;
  readonly datagramsLost: number;
}

class Soak {
  readonly #scenario: Scenario;
  readonly #locals: Address[] = [];
  #random: () => number = () => 0;
  #pairs: Pair[] = [];
  readonly #byConnection = new Map<Connection, Pair>();
  #books!: Books;
  #moves = 0;
  #keyUpdates = 0;
  #closing = false;

  constructor(seed: number) {
    const link = { delay: 20, loss: LOSS };
    const config = { maxDatagramFrameSize: 65_535, maxIdleTimeout: 600_000, handshakeTimeout: 60_000 };
    const most = { maxConnections: 1e6, maxConnectionsPerHost: 1e6, maxHandshakes: 1e6, acceptQueue: 1e6 };
    this.#scenario = new Scenario({
      seed,
      nullAead: true,
      up: link,
      down: link,
      client: config,
      server: config,
      clientEndpoint: most,
      serverEndpoint: most,
    });
    const { client, server } = this.#scenario;
    for (let i = 0; i < 8; i++) {
      const local = makeAddress(`192.0.2.${100 + i}`, 40_000);
      markForeign(local, true);
      this.#locals.push(local);
      client.others.push(local);
    }
    client.onEvent = server.onEvent = ({ connection, ...rest }) => {
      if (rest.type === "accepted") this.#accepted(connection);
      else this.#onEvent(connection, rest.event);
    };
  }

  #fail(message: string): never {
    this.#scenario.fail(message);
  }

  #host(connection: Connection): Host {
    return connection.role === "client" ? this.#scenario.client : this.#scenario.server;
  }

  #accepted(server: Connection): void {
    this.#scenario.server.endpoint.onAcceptTaken();
    // Which client it is of tells the connection ID that this one chose.
    const pair = this.#pairs.find(({ client, server: known }) => known === null && sameBytes(client, server));
    if (pair === undefined) this.#fail("a connection of nobody");
    pair.server = server;
    this.#byConnection.set(server, pair);
  }

  #onEvent(connection: Connection, event: ConnectionEvent): void {
    const pair = this.#byConnection.get(connection);
    if (event.type === "closed") {
      if (!this.#closing) this.#fail(`a connection closed: ${event.error.message}`);
      return;
    }
    if (pair === undefined) return;
    if (event.type === "stream_opened") {
      const { stream } = event;
      if (stream.send !== null) pair.send(connection, stream, this.#size(stream.id + pair.index));
      pair.onReadable(connection, stream);
    } else if (event.type === "stream_readable") pair.onReadable(connection, event.stream);
    else if (event.type === "stream_writable") pair.onWritable(connection, event.stream);
    else if (event.type === "datagrams_readable") this.#readDatagrams(connection);
    else if (event.type === "path_validated") this.#switch(connection, event.path);
  }

  /** Of a stream: mostly small, some large. */
  #size(salt: number): number {
    const r = seededFloat(salt * 77 + this.#scenario.options.seed)();
    return Math.floor(r < 0.05 ? 0 : r < 0.9 ? 20 * 10 ** (2.4 * r) : 10_000 + 400_000 * (r - 0.9));
  }

  // Datagrams carry their length in every byte.

  #sendDatagrams(connection: Connection): void {
    const count = 1 + Math.floor(this.#random() * 5);
    for (let i = 0; i < count; i++) {
      const length = 1 + Math.floor(this.#random() * DATAGRAM_BYTES);
      if (connection.datagrams.send(new Uint8Array(length).fill(length), {}, this.#scenario.net.now) >= 0)
        this.#books.datagrams++;
    }
  }

  #readDatagrams(connection: Connection): void {
    for (let data = connection.datagrams.receive(); data !== null; data = connection.datagrams.receive()) {
      const { length } = data;
      if (!data.every((byte) => byte === length)) this.#fail("a datagram of other bytes");
    }
  }

  // Doings

  #open(pair: Pair, from: Connection, bidi: boolean): void {
    const stream = from.openStream(bidi);
    if (stream !== null) pair.send(from, stream, this.#size(stream.id * 3 + pair.index));
  }

  #move(pair: Pair): void {
    const { client } = pair;
    const { net } = this.#scenario;
    const local = this.#locals[Math.floor(this.#random() * this.#locals.length)]!;
    const path = client.migration.add(local);
    if (typeof path === "string") {
      // As many as there may be: one that is not in use goes.
      const idle = client.paths.all.find((each) => each.held && each !== client.paths.active);
      if (idle !== undefined) client.paths.remove(idle);
      return;
    }
    if (path !== client.paths.active) client.migration.probe(path, net.now);
    client.wake();
  }

  #switch(connection: Connection, path: Path): void {
    if (connection.migration.switchTo(path, this.#scenario.net.now) === null) this.#moves++;
  }

  #act(pair: Pair): void {
    const random = this.#random;
    const { client, server } = pair;
    if (server === null) return;
    const side = random() < 0.5 ? client : server;
    const r = random();
    if (r < 0.5) this.#open(pair, client, true);
    else if (r < 0.6) this.#open(pair, server, true);
    else if (r < 0.75) this.#open(pair, side, false);
    else if (r < 0.85) this.#sendDatagrams(side);
    else if (r < 0.95) {
      // Of something that is under way, or of what is opened for it.
      if (pair.open === 0) this.#open(pair, side, true);
      pair.reset(random(), random() < 0.5);
    } else if (r < 0.98) this.#move(pair);
    else if (r < 0.99) {
      if (side.updateKeys()) this.#keyUpdates++;
    } else side.renewConnectionIds(this.#scenario.net.now);
    this.#scenario.net.flush(this.#host(client));
    this.#scenario.net.flush(this.#host(server));
  }

  /** Begins and ends everything once. */
  round({ connections, lasts, every }: Plan): Round {
    const { net, client, server, options } = this.#scenario;
    this.#random = seededFloat(options.seed + 17);
    this.#books = { streams: 0, written: 0, delivered: 0, discarded: {}, resets: 0, datagrams: 0 };
    this.#moves = this.#keyUpdates = 0;
    this.#closing = false;
    const begun = net.now;
    const end = begun + lasts;
    const next = (pair: Pair): void => {
      const at = net.now - every * Math.log(1 - this.#random());
      if (at >= end) return;
      net.at(at, () => {
        this.#act(pair);
        next(pair);
      });
    };
    for (let i = 0; i < connections; i++) {
      net.at(begun + (i * lasts) / connections / 10, () => {
        const pair = new Pair(this.#scenario.dial(), i, this.#books, (message) => this.#fail(message));
        this.#pairs.push(pair);
        this.#byConnection.set(pair.client, pair);
        net.flush(client);
        next(pair);
      });
    }
    // A NAT that forgets: everybody who has not moved is elsewhere. rfc9000#9 not during the handshakes.
    for (let at = lasts / 10 + 5000, i = 0; at < lasts; at += 15_000, i++) {
      net.at(begun + at, () => {
        client.address = makeAddress("192.0.2.1", 50_000 + ((i + 1) % 100));
      });
    }
    for (; net.now < end; this.#settle()) net.run(Math.min(1000, end - net.now));
    const isDone = ({ open, client, server }: Pair): boolean =>
      open === 0 && [client, server!].every((each) => datagramsSettled(each) && each.streams.size === 0);
    for (const until = end + PATIENCE; net.now < until && !this.#pairs.every(isDone); this.#settle()) {
      // Nobody hears of a client that has nothing to say where its NAT has forgotten it.
      for (const pair of this.#pairs) if (!isDone(pair)) pair.client.ping();
      net.flush(client);
      net.run(1000);
    }
    const open = this.#pairs.find((pair) => !isDone(pair));
    if (open !== undefined) this.#fail(`connection ${open.index} is not done: ${open.describe()}`);
    return this.#finish(client, server);
  }

  #settle(): void {
    for (const pair of this.#pairs) pair.settle();
  }

  #finish(client: Host, server: Host): Round {
    const { net } = this.#scenario;
    let lostPackets = 0;
    let datagramsLost = 0;
    const books = this.#books;
    for (const pair of this.#pairs) {
      if (pair.server === null) this.#fail(`connection ${pair.index} was never accepted`);
      for (const [from, to] of [
        [pair.client, pair.server],
        [pair.server, pair.client],
      ] as const) {
        lostPackets += from.recovery.lostPackets;
        const { sent, acked, lost } = from.datagrams.counters;
        const { received, dropped } = to.datagrams.counters;
        datagramsLost += lost;
        const arrived = received + dropped.receive_queue_full;
        if (sent !== acked + lost || arrived < acked || arrived > sent)
          this.#fail(`datagrams: ${sent} sent, ${acked} acknowledged, ${lost} lost, ${arrived} arrived`);
      }
    }
    const discarded = Object.values(books.discarded).reduce((sum, bytes) => sum + bytes, 0);
    if (books.written !== books.delivered + discarded)
      this.#fail(`${books.written} bytes written, ${books.delivered} delivered, ${discarded} discarded`);
    this.#closing = true;
    for (const { client: each } of this.#pairs) each.closeWithError(0n, "done", net.now);
    net.flush(client);
    const left = (): number => client.endpoint.connectionCount + server.endpoint.connectionCount;
    // A CONNECTION_CLOSE that is lost leaves the other side to its idle timeout.
    this.#scenario.until("all are gone", () => left() === 0, 1_300_000);
    const handshakes = this.#pairs.length;
    this.#pairs = [];
    this.#byConnection.clear();
    this.#scenario.states.clear();
    return {
      books,
      heap: heapInUse(),
      moves: this.#moves,
      handshakes,
      keyUpdates: this.#keyUpdates,
      lostPackets,
      datagramsLost,
    };
  }
}

/** The server's connection is of the client whose source connection ID it answers. */
function sameBytes(client: Connection, server: Connection): boolean {
  return Buffer.compare(client.localCids.handshakeCid, server.remoteCids.current) === 0;
}

/** Of what it sent is known whether it arrived. */
function datagramsSettled({ datagrams }: Connection): boolean {
  const { sent, acked, lost } = datagrams.counters;
  return datagrams.sendCount === 0 && sent === acked + lost;
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);

/** Runs it, and tells whether all held. */
export function soakCampaign({ short, seed }: SoakOptions): boolean {
  const plan = short ? SHORT : FULL;
  const soak = new Soak(seed ?? 1);
  const heaps: Heap[] = [];
  console.log(
    `${plan.connections} connections, ${plan.lasts / 1000} s of virtual time, ${100 * LOSS} % lost, sans-I/O core, seed ${seed ?? 1}`,
  );
  soak.round(WARM_UP);
  for (let i = 1; i <= 2; i++) {
    const begun = performance.now();
    const round = soak.round(plan);
    const { books } = round;
    heaps.push(round.heap);
    const resets = Object.entries(books.discarded).map(([name, bytes]) => `${bytes} ${name}`);
    console.log(
      `round ${i}: ${books.streams} directions of streams, ${books.written} bytes sent = ${books.delivered} delivered + ` +
        `${resets.join(" + ")}; ${books.resets} resets, ${books.datagrams} datagrams (${round.datagramsLost} lost), ` +
        `${round.moves} moves, ${round.keyUpdates} key updates, ${round.lostPackets} packets lost; ` +
        `${megabytes(round.heap.data)} MB of data after the close, ${megabytes(round.heap.code)} MB of code; ${((performance.now() - begun) / 1000).toFixed(0)} s`,
    );
  }
  const [first, second] = [heaps[0]!, heaps[1]!];
  const growth = second.data / first.data - 1;
  const whole = (second.data + second.code) / (first.data + first.code) - 1;
  const holds = Math.abs(growth) <= 0.05;
  console.log(
    `heap after the second round: ${(100 * growth).toFixed(2)} % more data than after the first` +
      `${holds ? "" : " FAILED"}; with code ${(100 * whole).toFixed(2)} %`,
  );
  return holds;
}
