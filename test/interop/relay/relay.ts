// A UDP relay between real sockets: clients talk to its port, it talks to the target from a socket of its own per client,
// and in between lies a path with delay, a narrow line, and the faults of the interop runner's scenarios.

import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { type Faults, type Fate, Link, type Line, type LinkStats, seededRandom } from "./link.ts";
import {
  HANDSHAKE,
  INITIAL,
  longPackets,
  RETRY,
  startsLong,
  VERSION_NEGOTIATION,
  ZERO_RTT,
} from "./packets.ts";

/** A host that is an IP address, and a port. */
export interface Endpoint {
  host: string;
  port: number;
}

export interface RelayOptions extends Line {
  target: Endpoint;
  /** Default: any port of the loopback address of the target's family. */
  listen?: Partial<Endpoint>;
  toServer?: Faults;
  toClient?: Faults;
  /**
   * Gives clients a new port or address towards the server, as soon as they send something (a NAT has no mapping for those who
   * are silent); what arrives for the old one is dropped from then on. `most` times at most.
   */
  rebind?: { kind: "port" | "address"; firstMs: number; everyMs?: number; most?: number };
  /** Default 1. Equal seeds and equal packets give equal faults. */
  seed?: number;
  /** Keep the first so many datagrams with long headers of each direction. */
  capture?: number;
  /** Told about every packet. */
  onPacket?: (event: PacketEvent) => void;
}

export interface PacketEvent {
  /** Milliseconds since the first packet. */
  time: number;
  toServer: boolean;
  length: number;
  fate: Fate | "stale";
  client: string;
}

export interface Captured {
  toServer: boolean;
  client: string;
  data: Uint8Array;
}

/** One client address. */
export interface FlowStats {
  client: string;
  /** Local addresses towards the server, the current one last. */
  bindings: string[];
  /** Bytes that reached the server, and bytes that came from it. */
  bytesToServer: number;
  bytesFromServer: number;
  /** The server has seen a Handshake packet or a token: rfc9000#8.1. Or a connection has moved here, and frames say it. */
  validated: boolean;
  /** What the server sent before that, and how much of its allowance of 3 that was at most (3 = all of it). */
  unvalidatedBytes: number;
  amplification: number;
}

export interface RelayStats {
  toServer: LinkStats;
  toClient: LinkStats;
  flows: FlowStats[];
  /** Connections whose server sent Handshake packets, told apart by its connection ID. */
  handshakes: number;
  retries: number;
  versionNegotiations: number;
  initialsToServer: number;
  zeroRttToServer: number;
  rebinds: number;
  /** Packets from the server to a binding that is gone. */
  stale: number;
  /** Errors of sockets, such as a refused port. */
  errors: number;
  durationMs: number;
  /** By how much packets left later than the path says, on average: what the machine adds. */
  latenessMs: number;
}

export interface Relay {
  readonly host: string;
  readonly port: number;
  stats(): RelayStats;
  captured(): readonly Captured[];
  /** The first bytes of 1-RTT packets, as many as `capture` says times ten: enough to read their headers with the keys. */
  shortHeaders(): readonly Captured[];
  /** Rebinds all clients now. */
  rebind(): Promise<void>;
  close(): Promise<void>;
}

interface Flow extends FlowStats {
  address: string;
  port: number;
  upstream: Socket;
  /** What takes its place with the client's next packet. */
  next: Socket | null;
}

/** Packets on their way; arrivals only grow, so a queue is enough. */
interface Transit {
  at: number;
  packet: Uint8Array;
  flow: Flow;
}

/** A client port that nobody used for long makes room where there are so many. */
const MAX_FLOWS = 4096;
const SOCKET_BUFFER = 4 * 1024 * 1024;

const family = (host: string): "udp4" | "udp6" => (host.includes(":") ? "udp6" : "udp4");

function open(host: string): Socket {
  const type = family(host);
  // Addresses are literal: nothing to look up, and dgram would ask for each packet.
  const lookup = (
    name: string,
    _options: unknown,
    done: (e: NodeJS.ErrnoException | null, a: string, f: number) => void,
  ) => done(null, name, type === "udp6" ? 6 : 4);
  return createSocket({ type, lookup, ipv6Only: type === "udp6" });
}

function bind(socket: Socket, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off("error", reject);
      try {
        socket.setRecvBufferSize(SOCKET_BUFFER);
        socket.setSendBufferSize(SOCKET_BUFFER);
      } catch {
        // The system's default will do.
      }
      resolve();
    });
  });
}

/** Starts a relay. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { target, rebind: rebinding, onPacket } = options;
  const loopback = family(target.host) === "udp6" ? "::1" : "127.0.0.1";
  const host = options.listen?.host ?? loopback;
  const seed = options.seed ?? 1;
  const up = new Link(options, options.toServer ?? {}, seededRandom(seed * 2));
  const down = new Link(options, options.toClient ?? {}, seededRandom(seed * 2 + 1));
  const flows = new Map<string, Flow>();
  const retired: Socket[] = [];
  const captured: Captured[] = [];
  const shorts: Captured[] = [];
  let shortsLeft = 10 * (options.capture ?? 0);
  const captureLeft = { up: options.capture ?? 0, down: options.capture ?? 0 };
  const serverIds = new Set<string>();
  const counts = {
    retries: 0,
    versionNegotiations: 0,
    initialsToServer: 0,
    zeroRttToServer: 0,
    rebinds: 0,
    stale: 0,
    errors: 0,
  };
  const lateness = { packets: 0, sum: 0 };
  let started = -1;
  let last = 0;
  let closed = false;
  let rebindTimer: NodeJS.Timeout | undefined;
  const socket = open(host);
  const onError = (): void => void counts.errors++;

  function sendNow(toServer: boolean, packet: Uint8Array, flow: Flow): void {
    if (closed) return;
    if (!toServer) {
      socket.send(packet, flow.port, flow.address, (error) => error && counts.errors++);
      return;
    }
    if (flow.next !== null) {
      retired.push(flow.upstream);
      use(flow, flow.next);
      flow.next = null;
    }
    flow.bytesToServer += packet.length;
    // A client that moved here. That the server validates the path cannot be seen from outside.
    if (flow.bytesToServer === packet.length && !startsLong(packet)) flow.validated = true;
    if (!flow.validated && startsLong(packet)) {
      for (const { type, tokenLength } of longPackets(packet)) {
        if (type === HANDSHAKE || (type === INITIAL && tokenLength > 0)) flow.validated = true;
      }
    }
    flow.upstream.send(packet, target.port, target.host, (error) => error && counts.errors++);
  }

  /** One timer per direction over a queue. */
  function transit(toServer: boolean): (at: number, packet: Uint8Array, flow: Flow) => void {
    const queue: Transit[] = [];
    let head = 0;
    let timer: NodeJS.Timeout | undefined;
    const drain = (): void => {
      timer = undefined;
      // Timers count whole milliseconds: what is due within half of one goes now.
      const now = performance.now() + 0.5;
      while (head < queue.length && queue[head]!.at <= now) {
        const { at, packet, flow } = queue[head++]!;
        lateness.packets++;
        lateness.sum += Math.max(0, now - at);
        sendNow(toServer, packet, flow);
      }
      if (head > 1024 && head * 2 > queue.length) {
        queue.splice(0, head);
        head = 0;
      }
      if (head < queue.length) schedule();
    };
    const schedule = (): void => {
      timer = setTimeout(drain, Math.max(0, queue[head]!.at - performance.now()));
    };
    return (at, packet, flow) => {
      if (closed) return;
      if (head === queue.length && at <= performance.now()) {
        sendNow(toServer, packet, flow);
        return;
      }
      queue.push({ at, packet, flow });
      if (timer === undefined) schedule();
    };
  }
  const toServer = transit(true);
  const toClient = transit(false);

  function handle(up_: boolean, data: Buffer, flow: Flow): void {
    const now = performance.now();
    if (started < 0) {
      started = now;
      if (rebinding !== undefined) rebindTimer = setTimeout(onRebindTimer, rebinding.firstMs);
    }
    last = now;
    watch(up_, data, flow);
    const link = up_ ? up : down;
    const arrival = link.offer(data, now, now - started);
    onPacket?.({
      time: now - started,
      toServer: up_,
      length: data.length,
      fate: link.fate,
      client: flow.client,
    });
    if (arrival >= 0) (up_ ? toServer : toClient)(arrival, data, flow);
  }

  function watch(up_: boolean, data: Uint8Array, flow: Flow): void {
    if (!up_) {
      flow.bytesFromServer += data.length;
      if (!flow.validated) {
        flow.unvalidatedBytes = flow.bytesFromServer;
        flow.amplification = Math.max(flow.amplification, flow.bytesFromServer / flow.bytesToServer);
      }
    }
    if (!startsLong(data)) {
      if (shortsLeft-- > 0) shorts.push({ toServer: up_, client: flow.client, data: data.slice(0, 64) });
      return;
    }
    if (captureLeft[up_ ? "up" : "down"] > 0) {
      captureLeft[up_ ? "up" : "down"]--;
      captured.push({ toServer: up_, client: flow.client, data: data.slice() });
    }
    for (const { type, scid } of longPackets(data)) {
      if (up_) {
        if (type === INITIAL) counts.initialsToServer++;
        else if (type === ZERO_RTT) counts.zeroRttToServer++;
      } else if (type === HANDSHAKE) serverIds.add(Buffer.from(scid).toString("hex"));
      else if (type === RETRY) counts.retries++;
      else if (type === VERSION_NEGOTIATION) counts.versionNegotiations++;
    }
  }

  function use(flow: Flow, upstream: Socket): void {
    flow.upstream = upstream;
    const { address, port } = upstream.address();
    flow.bindings.push(`${address}:${port}`);
  }

  /** A socket towards the server. Packets may be offered to it before it is bound: dgram queues them. */
  function upstreamFor(flow: Flow, localHost: string, port: number): Promise<void> {
    const upstream = open(target.host);
    upstream.on("error", onError);
    upstream.on("message", (data) => {
      if (upstream === flow.upstream) handle(false, data, flow);
      else {
        counts.stale++;
        const time = performance.now() - started;
        onPacket?.({ time, toServer: false, length: data.length, fate: "stale", client: flow.client });
      }
    });
    return bind(upstream, localHost, port).then(
      () => {
        if (closed) upstream.close();
        else if (flow.upstream === undefined) use(flow, upstream);
        else {
          flow.next?.close();
          flow.next = upstream;
        }
      },
      (error: unknown) => {
        upstream.close();
        throw error;
      },
    );
  }

  function makeFlow(remote: RemoteInfo, key: string): { flow: Flow; ready: Promise<void> } {
    const flow = {
      client: key,
      address: remote.address,
      port: remote.port,
      bindings: [],
      bytesToServer: 0,
      bytesFromServer: 0,
      validated: false,
      unvalidatedBytes: 0,
      amplification: 0,
      next: null,
    } as unknown as Flow;
    return { flow, ready: upstreamFor(flow, loopback, 0) };
  }

  /** Packets of a client whose socket towards the server is being bound. */
  const opening = new Map<string, Buffer[]>();
  socket.on("message", (data, remote) => {
    const key = `${remote.address}:${remote.port}`;
    const flow = flows.get(key);
    if (flow !== undefined) {
      handle(true, data, flow);
      return;
    }
    const waiting = opening.get(key);
    if (waiting !== undefined) {
      waiting.push(data);
      return;
    }
    const held = [data];
    opening.set(key, held);
    const made = makeFlow(remote, key);
    made.ready.then(
      () => {
        opening.delete(key);
        if (closed) return;
        if (flows.size >= MAX_FLOWS) {
          const [oldest, old] = flows.entries().next().value!;
          flows.delete(oldest);
          old.upstream.close();
          old.next?.close();
        }
        flows.set(key, made.flow);
        for (const each of held) handle(true, each, made.flow);
      },
      () => {
        opening.delete(key);
        onError();
      },
    );
  });
  await bind(socket, host, options.listen?.port ?? 0);
  socket.on("error", onError);

  async function rebind(): Promise<void> {
    counts.rebinds++;
    for (const flow of flows.values()) {
      if (rebinding?.kind !== "address") {
        await upstreamFor(flow, loopback, 0);
        continue;
      }
      if (loopback !== "127.0.0.1")
        throw new Error("Only IPv4 has more than one loopback address to rebind to.");
      const { port } = flow.upstream.address();
      await upstreamFor(flow, `127.0.0.${1 + (counts.rebinds % 250) + 1}`, port);
    }
  }
  function onRebindTimer(): void {
    rebind().catch(onError);
    if (rebinding?.everyMs !== undefined && counts.rebinds < (rebinding.most ?? Infinity))
      rebindTimer = setTimeout(onRebindTimer, rebinding.everyMs);
  }

  return {
    host,
    port: socket.address().port,
    stats: () => ({
      toServer: { ...up.stats },
      toClient: { ...down.stats },
      flows: [...flows.values()].map((flow) => ({
        client: flow.client,
        bindings: [...flow.bindings],
        bytesToServer: flow.bytesToServer,
        bytesFromServer: flow.bytesFromServer,
        validated: flow.validated,
        unvalidatedBytes: flow.unvalidatedBytes,
        amplification: flow.amplification,
      })),
      handshakes: serverIds.size,
      ...counts,
      durationMs: started < 0 ? 0 : last - started,
      latenessMs: lateness.sum / Math.max(1, lateness.packets),
    }),
    captured: () => captured,
    shortHeaders: () => shorts,
    rebind,
    close: async () => {
      if (closed) return;
      closed = true;
      clearTimeout(rebindTimer);
      await Promise.all(
        [
          socket,
          ...retired,
          ...[...flows.values()].flatMap(({ upstream, next }) =>
            next === null ? [upstream] : [upstream, next],
          ),
        ].map((each) => new Promise<void>((resolve) => each.close(() => resolve()))),
      );
    },
  };
}
