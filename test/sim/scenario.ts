// A client and a server on a simulated network, with an application that sends seeded content and checks what arrives.
import assert from "node:assert/strict";
import type { ClientConnectionOptions } from "../../internal/connection/client.ts";
import { connectionConfig, type ConnectionConfig } from "../../internal/connection/config.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import type { ServerConnectionOptions } from "../../internal/connection/server.ts";
import type { GroupName } from "../../internal/crypto/provider.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import type { CipherSuite } from "../../internal/crypto/suites.ts";
import { Endpoint } from "../../internal/endpoint/endpoint.ts";
import { connections } from "../../internal/endpoint/factory.ts";
import type { EndpointEvent, EndpointOptions } from "../../internal/endpoint/types.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import type { QuicError } from "../../internal/protocol/errors.ts";
import type { TraceEvent } from "../../internal/protocol/tracer.ts";
import type { Stream } from "../../internal/stream/stream.ts";
import { loadIdentity } from "../../internal/tls/identity.ts";
import { makeCertificate } from "../../internal/tls/self-signed.ts";
import type { ClientSession } from "../../internal/tls/session.ts";
import type {
  Identity,
  TicketOptions,
  TlsClientOptions,
  TlsServerOptions,
} from "../../internal/tls/types.ts";
import { seeded } from "../path/seeded.ts";
import { Host, Network, type Link, type LinkOptions } from "./network.ts";

/** What the handshake is like. */
export type HandshakeKind = "plain" | "client auth" | "long chain" | "retry request" | "post-quantum";
export const HANDSHAKE_KINDS: readonly HandshakeKind[] = [
  "plain",
  "client auth",
  "long chain",
  "retry request",
  "post-quantum",
];

const WALL = Date.UTC(2026, 0, 1);
const DAY = 86_400_000;
const real = simProvider();
const nulled = simProvider({ nullAead: true });

const made = new Map<string, Identity>();

/** Identities are the same in every run, whatever its seed. */
function identity(kind: "server" | "client" | "long"): Identity {
  const known = made.get(kind);
  if (known !== undefined) return known;
  const dates = { notBefore: WALL - DAY, notAfter: WALL + 3650 * DAY };
  const random = seeded(kind === "server" ? 71 : kind === "client" ? 72 : 73);
  const common = { provider: real, random, ...dates };
  let result: Identity;
  if (kind !== "long") {
    result = loadIdentity(real, makeCertificate({ ...common, altNames: [`${kind}.example`] }));
  } else {
    // More than three datagrams: a leaf with many names under three authorities.
    const root = makeCertificate({ ...common, subject: "CN=Root", ca: true });
    const policy = makeCertificate({
      ...common,
      subject: `CN=Policy,O=${"o".repeat(60)}`,
      ca: true,
      issuer: root,
    });
    const issuing = makeCertificate({ ...common, subject: "CN=Issuing", ca: true, issuer: policy });
    const altNames = ["server.example"];
    for (let i = 0; i < 120; i++) altNames.push(`host-${i}.department-of-names.server.example`);
    const leaf = makeCertificate({ ...common, altNames, issuer: issuing });
    const chain = [leaf, issuing, policy].map((each) => each.cert);
    result = loadIdentity(real, { cert: chain, key: leaf.key });
  }
  made.set(kind, result);
  return result;
}

// Content: a block of random bytes that begins elsewhere at each repetition, so that misplaced data shows. It is here
// twice: what begins anywhere in it goes on.
const BLOCK = 65_521;
const blocks = new Uint8Array(2 * BLOCK);
seeded(4242)(blocks.subarray(0, BLOCK));
blocks.copyWithin(BLOCK, 0, BLOCK);

/** The bytes of stream content `key` from `offset` on. */
export function fillContent(out: Uint8Array, offset: number, key: number): void {
  for (let i = 0; i < out.length;) {
    const at = (offset + i) % BLOCK;
    const turn = (Math.floor((offset + i) / BLOCK) * 31 + key * 7) & 0xff;
    const n = Math.min(out.length - i, BLOCK - at);
    const begin = (at + turn * 251) % BLOCK;
    out.set(blocks.subarray(begin, begin + n), i);
    i += n;
  }
}

/** One stream as the application sees it. */
export interface StreamState {
  readonly stream: Stream;
  readonly connection: Connection;
  sent: number;
  toSend: number;
  sending: boolean;
  received: number;
  finished: boolean;
  /** Does not read until this is false again. */
  paused: boolean;
}

/** What a connection told its application. */
export interface ConnectionState {
  readonly connection: Connection;
  complete: boolean;
  confirmed: boolean;
  error: QuicError | null;
  /** Tickets came for these. */
  readonly sessions: ClientSession[];
  /** Streams that a refusal of 0-RTT made void. */
  rejected: readonly Stream[] | null;
  readonly streams: Map<number, StreamState>;
  pathChanges: string[];
  finished: number;
}

export interface ScenarioOptions {
  readonly seed: number;
  readonly kind?: HandshakeKind;
  /** Client to server. */
  readonly up?: LinkOptions | readonly LinkOptions[];
  readonly down?: LinkOptions | readonly LinkOptions[];
  readonly client?: Partial<ConnectionConfig>;
  readonly server?: Partial<ConnectionConfig>;
  readonly clientEndpoint?: Partial<EndpointOptions>;
  readonly serverEndpoint?: Partial<EndpointOptions>;
  readonly nullAead?: boolean;
  /** Bytes the server answers with on each bidirectional stream, at once. Default: nothing but the end. */
  readonly respond?: number;
  /** The server gives and takes tickets. */
  readonly tickets?: Omit<TicketOptions, "quicVersion"> | null;
  /** … and 0-RTT. */
  readonly earlyData?: ServerConnectionOptions["earlyData"];
  /** Its connections are announced when they can be written to. */
  readonly listenEarly?: boolean;
  /** Both sides' protocols. */
  readonly alpn?: readonly string[];
  /** What the server takes; the client offers all. */
  readonly suites?: readonly CipherSuite[];
  /** Keeps trace events of both sides. */
  readonly traced?: boolean;
}

const KEYS = { client: 1, server: 2 } as const;

export class Scenario {
  options: ScenarioOptions;
  readonly net: Network;
  readonly client: Host;
  readonly server: Host;
  readonly up: Link;
  readonly down: Link;
  readonly trace = { client: [] as TraceEvent[], server: [] as TraceEvent[] };
  readonly states = new Map<Connection, ConnectionState>();
  readonly accepted: Connection[] = [];
  /** For incoming streams. */
  pauseIncoming = false;
  readonly #configs = { client: 0, server: 0 };
  readonly #scratch = new Uint8Array(16_384);
  readonly #expected = new Uint8Array(16_384);

  constructor(options: ScenarioOptions) {
    this.options = options;
    const net = (this.net = new Network(options.seed));
    this.client = net.add(this.#host("client", "192.0.2.1", 50_000));
    this.server = net.add(this.#host("server", "203.0.113.1", 4433));
    for (const each of list(options.up)) this.client.outbound.push(net.link(each));
    for (const each of list(options.down)) this.client.inbound.push(net.link(each));
    this.up = this.client.outbound[0]!;
    this.down = this.client.inbound[0]!;
    this.listen();
  }

  /** The server begins, or begins anew with other options. */
  listen(changes: Partial<ScenarioOptions> = {}): void {
    this.options = { ...this.options, ...changes };
    const { endpoint } = this.server;
    if (endpoint.isListening) endpoint.stopListening();
    const options = this.#serverTls();
    const { tickets = null, earlyData = null, listenEarly: early = false } = this.options;
    endpoint.listen(
      { config: this.#config("server"), earlyData, tls: () => ({ options, tickets }) },
      { early },
    );
  }

  #host(role: "client" | "server", ip: string, port: number): Host {
    const { seed } = this.options;
    const endpoint = new Endpoint(
      {
        provider: real,
        random: seeded(seed * 2 + (role === "client" ? 0 : 1)),
        tracer:
          this.options.traced === true ? { record: (event) => void this.trace[role].push(event) } : null,
        ...(role === "client" ? this.options.clientEndpoint : this.options.serverEndpoint),
      },
      connections,
    );
    const host = new Host(makeAddress(ip, port), endpoint);
    host.onEvent = (event) => this.#onEvent(event);
    return host;
  }

  #config(role: "client" | "server"): ConnectionConfig {
    const { seed, nullAead, traced } = this.options;
    return connectionConfig({
      provider: nullAead === true ? nulled : real,
      random: seeded(seed * 1000 + this.#configs[role]++ + (role === "client" ? 0 : 500)),
      tracer: traced === true ? { record: (event) => void this.trace[role].push(event) } : null,
      ...this.options[role],
    });
  }

  #serverTls(): Omit<TlsServerOptions, "provider" | "random" | "transportParameters" | "keyLog"> {
    const kind = this.options.kind ?? "plain";
    const groups: GroupName[] | undefined =
      kind === "retry request"
        ? ["secp256r1"]
        : kind === "post-quantum"
          ? ["X25519MLKEM768", "x25519"]
          : undefined;
    return {
      alpn: this.options.alpn ?? ["sim"],
      identity: identity(kind === "long chain" ? "long" : "server"),
      clientAuth: kind === "client auth" ? "require" : "none",
      verify: () => ({ ok: true }),
      ...(groups === undefined ? {} : { groups }),
      ...(this.options.suites === undefined ? {} : { suites: this.options.suites }),
    };
  }

  #clientTls(): Omit<TlsClientOptions, "provider" | "random" | "transportParameters" | "keyLog"> {
    const kind = this.options.kind ?? "plain";
    const groups: GroupName[] | undefined =
      kind === "retry request"
        ? ["x25519", "secp256r1"]
        : kind === "post-quantum"
          ? ["X25519MLKEM768", "x25519"]
          : undefined;
    return {
      alpn: this.options.alpn ?? ["sim"],
      serverName: "server.example",
      verify: () => ({ ok: true }),
      keyShares: 1,
      ...(groups === undefined ? {} : { groups }),
      ...(kind === "client auth" ? { identity: identity("client") } : {}),
    };
  }

  /** @param negotiated the version that a Version Negotiation packet made the client choose. */
  dial(negotiated?: number, more: Partial<ClientConnectionOptions> = {}): Connection {
    const options: ClientConnectionOptions = {
      remote: this.server.address,
      config: this.#config("client"),
      tls: this.#clientTls(),
      ...(negotiated === undefined ? {} : { negotiated }),
      ...more,
    };
    const connection = this.client.endpoint.dial(options, this.net.now, this.net.wallNow);
    this.state(connection);
    return connection;
  }

  /** Dials and completes the handshake on both sides. */
  connect(ms = 60_000): { client: Connection; server: Connection } {
    const client = this.dial();
    this.until(
      "the handshake is confirmed",
      () => this.state(client).confirmed && this.accepted.length > 0,
      ms,
    );
    return { client, server: this.accepted[this.accepted.length - 1]! };
  }

  state(connection: Connection): ConnectionState {
    let state = this.states.get(connection);
    if (state === undefined) {
      state = {
        connection,
        complete: false,
        confirmed: false,
        error: null,
        sessions: [],
        rejected: null,
        streams: new Map(),
        pathChanges: [],
        finished: 0,
      };
      this.states.set(connection, state);
    }
    return state;
  }

  #onEvent(event: EndpointEvent<Connection>): void {
    const state = this.state(event.connection);
    if (event.type === "accepted") {
      this.accepted.push(event.connection);
      const host = event.connection.role === "server" ? this.server : this.client;
      host.endpoint.onAcceptTaken();
      return;
    }
    const inner = event.event;
    if (inner.type === "handshake_complete") state.complete = true;
    else if (inner.type === "handshake_confirmed") state.confirmed = true;
    else if (inner.type === "closed") state.error = inner.error;
    else if (inner.type === "session_ticket") state.sessions.push(inner.session);
    else if (inner.type === "early_data_rejected") {
      state.rejected = inner.streams;
      state.streams.clear();
    } else if (inner.type === "path_changed") state.pathChanges.push(inner.remote);
    else if (inner.type === "stream_opened") this.#opened(state, inner.stream);
    else if (inner.type === "stream_readable") this.read(this.streamState(event.connection, inner.stream));
    else if (inner.type === "stream_writable") this.#write(this.streamState(event.connection, inner.stream));
  }

  #opened(state: ConnectionState, stream: Stream): void {
    const own = this.streamState(state.connection, stream);
    own.paused = this.pauseIncoming;
    if (stream.send !== null) this.send(own, this.options.respond ?? 0);
    this.read(own);
  }

  streamState(connection: Connection, stream: Stream): StreamState {
    const { streams } = this.state(connection);
    let state = streams.get(stream.id);
    if (state === undefined) {
      state = {
        stream,
        connection,
        sent: 0,
        toSend: 0,
        sending: false,
        received: 0,
        finished: false,
        paused: false,
      };
      streams.set(stream.id, state);
    }
    return state;
  }

  /** Opens a stream and sends `bytes` of content and the end on it; null without credit. */
  open(connection: Connection, bytes: number, bidi = true): StreamState | null {
    const stream = connection.openStream(bidi);
    if (stream === null) return null;
    const state = this.streamState(connection, stream);
    this.send(state, bytes);
    return state;
  }

  send(state: StreamState, bytes: number): void {
    state.toSend = bytes;
    state.sending = true;
    this.#write(state);
  }

  #write(state: StreamState): void {
    const half = state.stream.send;
    if (half === null || !state.sending) return;
    const key = KEYS[state.connection.role] + state.stream.id;
    while (state.sent < state.toSend) {
      const part = this.#scratch.subarray(0, Math.min(this.#scratch.length, state.toSend - state.sent));
      fillContent(part, state.sent, key);
      const n = half.write(part, false);
      state.sent += n;
      if (n < part.length) return;
    }
    state.sending = false;
    half.finish();
  }

  read(state: StreamState): void {
    const half = state.stream.recv;
    if (half === null || state.paused || state.finished) return;
    const peer = state.connection.role === "client" ? "server" : "client";
    const key = KEYS[peer] + state.stream.id;
    for (;;) {
      const n = half.readInto(this.#scratch);
      if (n === 0) break;
      const expected = this.#expected.subarray(0, n);
      fillContent(expected, state.received, key);
      if (Buffer.compare(expected, this.#scratch.subarray(0, n)) !== 0) {
        this.fail(`stream ${state.stream.id}: content differs in the ${n} bytes at ${state.received}`);
      }
      state.received += n;
    }
    half.checkEnd();
    if (half.finished && half.resetCode === null) {
      state.finished = true;
      this.state(state.connection).finished++;
    }
  }

  fail(message: string): never {
    const errors = [...this.states.values()].flatMap(({ connection, error }) =>
      error === null ? [] : [`${connection.role}: ${error.message}`],
    );
    assert.fail(`seed ${this.options.seed} at ${this.net.now} ms: ${message} [${errors.join("; ")}]`);
  }

  check(condition: boolean, message: string): void {
    if (!condition) this.fail(message);
  }

  /** Runs until `condition`, which must come within `ms`. */
  until(what: string, condition: () => boolean, ms = 60_000): void {
    if (!this.net.runUntil(condition, ms)) this.fail(`within ${ms} ms it did not come to pass that ${what}`);
  }

  run(ms: number): void {
    this.net.run(ms);
  }

  /** Sends `bytes` from one side on one stream and waits for the other to have them all, and the end. */
  transfer(from: Connection, to: Connection, bytes: number, ms = 600_000): void {
    const own = this.open(from, bytes, false);
    if (own === null) this.fail("no stream credit");
    this.until(
      `${bytes} bytes arrive`,
      () => this.state(to).streams.get(own.stream.id)?.finished === true || this.state(to).error !== null,
      ms,
    );
    const arrived = this.state(to).streams.get(own.stream.id);
    if (arrived?.received !== bytes) this.fail(`${arrived?.received ?? 0} of ${bytes} bytes arrived`);
  }

  drops(side: "client" | "server"): string[] {
    return this.trace[side].flatMap((event) => (event.name === "packet_dropped" ? [event.reason] : []));
  }
}

function list(options: LinkOptions | readonly LinkOptions[] | undefined): readonly LinkOptions[] {
  if (options === undefined) return [{ delay: 15 }];
  return Array.isArray(options) ? (options as readonly LinkOptions[]) : [options as LinkOptions];
}

/** Runs `body` twice and demands the same trace. Returns the first scenario. */
export function replayed(make: () => Scenario, body: (scenario: Scenario) => void): Scenario {
  const first = make();
  body(first);
  const second = make();
  body(second);
  assert.equal(
    second.net.traceHash,
    first.net.traceHash,
    `seed ${first.options.seed}: the replay is another trace`,
  );
  return first;
}
