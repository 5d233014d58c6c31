// 0-RTT and 0.5-RTT over real sockets: what is written before the handshake is complete, and its refusal.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  type Config,
  type Connection,
  Error0RTTRejected,
  InvalidOptionError,
  memoryReplayFilter,
  memorySessionCache,
  type ReplayFilter,
  type Stream,
  type TlsOptions,
  type TraceEvent,
  Transport,
} from "../../src/index.ts";
import { bytes, clientTls, noUnhandledRejections, serverTls, text, until } from "./pair.ts";

noUnhandledRejections();

interface Seen {
  readonly connection: Connection;
  readonly stream: Stream;
  readonly completeThen: boolean;
}

/** A server that answers each request with its own words, and a client with sessions of it. */
async function server(config: Config = {}, tls: TlsOptions = {}, early = true) {
  const acceptor = new Transport({ address: "127.0.0.1" });
  const dialer = new Transport({ address: "127.0.0.1" });
  const listen = (how: Config, with_: TlsOptions = tls) =>
    early
      ? acceptor.listenEarly({ ...serverTls, ...with_ }, how)
      : acceptor.listen({ ...serverTls, ...with_ }, how);
  const seen: Seen[] = [];
  const answer = async (connection: Connection): Promise<void> => {
    for await (const stream of connection.incomingStreams()) {
      seen.push({ connection, stream, completeThen: connection.connectionState().handshakeComplete });
      const said = await text(stream);
      await stream.write(bytes(`you said ${said}`));
      stream.close();
    }
  };
  const serve = async (listener: Awaited<ReturnType<typeof listen>>): Promise<void> => {
    for await (const connection of listener) void answer(connection).catch(() => {});
  };
  let listener = await listen(config);
  void serve(listener);
  const { port } = listener.address();
  const sessionCache = memorySessionCache();
  let tickets = 0;
  const client: TlsOptions = { ...clientTls, sessionCache, onSessionTicket: () => void tickets++ };
  return {
    seen,
    acceptor,
    dialer,
    client,
    port,
    target: `127.0.0.1:${port}`,
    /** A connection that leaves sessions behind. */
    async visit(options?: Config) {
      const before = tickets;
      const conn = await dialer.dial(`127.0.0.1:${port}`, client, options);
      await until(() => tickets > before, "a ticket");
      await conn.close();
      seen.length = 0;
    },
    dialEarly: (more: TlsOptions = {}, options?: Config) =>
      dialer.dialEarly(`127.0.0.1:${port}`, { ...client, ...more }, options),
    /** The same server with another configuration. */
    async change(how: Config, with_: TlsOptions = tls) {
      await listener.close();
      listener = await listen(how, with_);
      void serve(listener);
    },
    async [Symbol.asyncDispose]() {
      await dialer.close();
      await acceptor.close();
    },
  };
}

async function ask(conn: Connection, words: string): Promise<string> {
  const stream = await conn.openStream();
  await stream.write(bytes(words));
  stream.close();
  return text(stream);
}

test("0-RTT from the second connection on", async () => {
  await using s = await server({ earlyData: true });
  const first = await s.dialEarly();
  assert.equal(first.connectionState().handshakeComplete, true, "nothing to use: as dial");
  assert.equal(first.connectionState().earlyData, "none");
  await first.close();
  await s.visit();
  for (let i = 0; i < 2; i++) {
    s.seen.length = 0;
    const conn = await s.dialEarly();
    assert.equal(conn.connectionState().handshakeComplete, false);
    assert.equal(conn.connectionState().earlyData, "offered");
    const stream = conn.tryOpenStream();
    assert.ok(stream.early);
    await stream.write(bytes("hello"));
    stream.close();
    assert.equal(await text(stream), "you said hello");
    await conn.handshakeComplete;
    const state = conn.connectionState();
    assert.deepEqual([state.used0RTT, state.earlyData, state.didResume], [true, "accepted", true]);
    assert.equal(s.seen.length, 1);
    const { connection, stream: theirs } = s.seen[0]!;
    assert.ok(theirs.early);
    assert.equal(s.seen[0]!.completeThen, false);
    await connection.handshakeComplete;
    assert.ok(connection.connectionState().used0RTT);
    assert.equal(connection.connectionState().earlyDataRefusal, null);
    assert.equal(await ask(conn, "later"), "you said later");
    assert.equal(s.seen[1]!.stream.early, false);
    assert.equal(await conn.nextConnection(), conn, "where nothing was refused nothing changes");
    await conn.close();
  }
});

test("off by default on both sides", async () => {
  {
    await using s = await server();
    await s.visit();
    const conn = await s.dialEarly();
    assert.ok(conn.connectionState().handshakeComplete, "no session of such a server allows it");
    assert.equal(conn.connectionState().didResume, true);
    await conn.close();
  }
  await using s = await server({ earlyData: true });
  await s.visit();
  const conn = await s.dialer.dial(s.target, s.client);
  assert.deepEqual([conn.connectionState().didResume, conn.connectionState().earlyData], [true, "none"]);
  await conn.close();
});

test("a listener that is not early takes 0-RTT, and gives connections when they are complete", async () => {
  await using s = await server({ earlyData: true }, {}, false);
  await s.visit();
  const conn = await s.dialEarly();
  assert.equal(await ask(conn, "hello"), "you said hello");
  assert.ok(s.seen[0]!.stream.early);
  assert.equal(s.seen[0]!.completeThen, true);
  assert.ok(conn.connectionState().used0RTT);
  await conn.close();
});

test("a refusal voids streams, and nextConnection goes on", async () => {
  await using s = await server({ earlyData: true });
  await s.visit();
  await s.change({ earlyData: false }, { ticketKeys: randomBytes(32) });
  const conn = await s.dialEarly();
  const stream = await conn.openStream();
  await stream.write(bytes("hello"));
  const reading = stream.read(new Uint8Array(10));
  const accepting = conn.acceptStream();
  const iterating = conn.incomingUniStreams().next();
  const uni = await conn.openUniStream();
  uni.close();
  const refused = { code: "ERR_QUIC_0RTT_REJECTED" };
  await Promise.all([
    assert.rejects(reading, (error) => error instanceof Error0RTTRejected),
    assert.rejects(accepting, refused),
    assert.rejects(iterating, refused),
    assert.rejects(uni.drained(), refused),
  ]);
  // Until the application has taken note of it.
  await assert.rejects(conn.openStream(), refused);
  await assert.rejects(conn.acceptUniStream(), refused);
  await assert.rejects(stream.write(bytes("more")), refused);
  assert.throws(() => conn.tryOpenStream(), refused);
  const next = await conn.nextConnection();
  assert.equal(next, conn);
  assert.equal(await ask(next, "again"), "you said again");
  assert.deepEqual(
    s.seen.map(({ stream: { id, early } }) => [id, early]),
    [[0, false]],
  );
  const state = next.connectionState();
  assert.deepEqual([state.used0RTT, state.earlyData, state.didResume], [false, "rejected", false]);
  assert.equal(s.seen[0]!.connection.connectionState().earlyDataRefusal, "disabled");
  // What was void stays so.
  await assert.rejects(stream.read(new Uint8Array(10)), refused);
  await next.close();
});

test("a wait for a stream outlives the refusal only by name", async () => {
  await using s = await server({ earlyData: true, maxIncomingStreams: 1 });
  await s.visit();
  await s.change({ earlyData: false }, { ticketKeys: randomBytes(32) });
  const conn = await s.dialEarly();
  await conn.openStream();
  const second = conn.openStream();
  await assert.rejects(second, { code: "ERR_QUIC_0RTT_REJECTED" });
  await conn.nextConnection();
  const aborted = new AbortController();
  aborted.abort(new Error("enough"));
  await assert.rejects(conn.nextConnection({ signal: aborted.signal }), /enough/);
  await conn.close();
});

test("whatever waits on a stream or a connection whose 0-RTT is refused hears of it", async () => {
  const window = { initialStreamReceiveWindow: 1000, enableDatagrams: true } satisfies Config;
  await using s = await server({ earlyData: true, ...window });
  await s.visit({ enableDatagrams: true });
  await s.change({ earlyData: false, ...window }, { ticketKeys: randomBytes(32) });
  const conn = await s.dialEarly({}, { enableDatagrams: true });
  const refused = { code: "ERR_QUIC_0RTT_REJECTED" };
  const open = () => conn.openStream();
  // More than its window: it waits for credit that never comes.
  const blocked = await open();
  const iterated = await open();
  const web = (await open()).readable.getReader();
  const piped = await open();
  const sink = piped.sink(
    (async function* () {
      for (;;) yield new Uint8Array(1 << 16);
    })(),
  );
  const closing = await open();
  closing.close();
  const duplex = (await open()).toNodeStream();
  const failed = new Promise((resolve) => duplex.once("error", resolve));
  duplex.resume();
  const datagram = conn.sendDatagram(new Uint8Array(10));
  await Promise.all([
    assert.rejects(blocked.write(new Uint8Array(1 << 24)), refused, "blocked.write"),
    assert.rejects(iterated.readMany(), refused, "iterated.readMany"),
    assert.rejects(web.read(), refused, "web.read"),
    assert.rejects(sink, refused, "sink"),
    assert.rejects(closing.drained(), refused, "closing.drained"),
    failed.then((error) => assert.equal((error as { code?: string }).code, refused.code)),
    datagram,
  ]);
  const next = await conn.nextConnection();
  assert.equal(await ask(next, "again"), "you said again");
  // rfc9001#4.6.2 what was sent early never was: the first stream that the server sees is the first of the handshake's.
  assert.deepEqual(
    s.seen.map(({ stream }) => stream.id),
    [0],
  );
  await next.close();
});

test("a server that refuses the connection refuses its 0-RTT with it, under the connection's name", async () => {
  await using s = await server({ earlyData: true });
  await s.visit();
  s.acceptor.busy = true;
  const conn = await s.dialEarly();
  const stream = await conn.openStream();
  const refused = { code: "ERR_QUIC_TRANSPORT", errorCode: 2 };
  await Promise.all([
    assert.rejects(stream.read(new Uint8Array(10)), refused),
    assert.rejects(conn.handshakeComplete, refused),
    assert.rejects(conn.nextConnection(), refused),
  ]);
  s.acceptor.busy = false;
  assert.equal(s.seen.length, 0);
});

test("limits that were lowered refuse it, higher ones do not", async () => {
  const ticketKeys = randomBytes(32);
  const replayFilter = memoryReplayFilter({ warmUp: 0 });
  await using s = await server({ earlyData: true, replayFilter, maxIncomingStreams: 10 }, { ticketKeys });
  await s.visit();
  await s.change({ earlyData: true, replayFilter, maxIncomingStreams: 11 });
  const higher = await s.dialEarly();
  assert.equal(await ask(higher, "a"), "you said a");
  assert.ok(higher.connectionState().used0RTT);
  await higher.close();
  await s.change({ earlyData: true, replayFilter, maxIncomingStreams: 9 });
  const lower = await s.dialEarly();
  await assert.rejects(ask(lower, "a"), { code: "ERR_QUIC_0RTT_REJECTED" });
  assert.equal(await ask(await lower.nextConnection(), "b"), "you said b");
  assert.equal(s.seen.at(-1)!.connection.connectionState().earlyDataRefusal, "parameters");
  assert.ok(lower.connectionState().didResume, "the session goes on all the same");
  await lower.close();
});

test("a ticket is good for 0-RTT once", async () => {
  await using s = await server({ earlyData: true });
  await s.visit();
  const sessions: Uint8Array[] = [];
  const conn = await s.dialer.dial(s.target, {
    ...s.client,
    sessionCache: null,
    onSessionTicket: (session) => void sessions.push(session),
  });
  await until(() => sessions.length > 0, "a session");
  await conn.close();
  const again = { sessionCache: null, sessionTicket: sessions[0]! };
  const first = await s.dialEarly(again);
  assert.equal(await ask(first, "once"), "you said once");
  const second = await s.dialEarly(again);
  await assert.rejects(ask(second, "twice"), { code: "ERR_QUIC_0RTT_REJECTED" });
  await second.nextConnection();
  await until(() => s.seen.length > 0, "seen");
  assert.ok(!s.seen.some(({ connection }) => connection.connectionState().earlyDataRefusal === "replay"));
  assert.equal(await ask(second, "now"), "you said now");
  assert.equal(s.seen.at(-1)!.connection.connectionState().earlyDataRefusal, "replay");
  await first.close();
  await second.close();
});

test("a filter of one's own, asynchronous; one that fails refuses", async () => {
  const asked: [number, number][] = [];
  let verdict: () => boolean | Promise<boolean> = () => true;
  const replayFilter: ReplayFilter = {
    firstUse: async (ticketId, expiry) => {
      asked.push([ticketId.length, Math.round((expiry - Date.now()) / 1000)]);
      await new Promise((resolve) => setImmediate(resolve));
      return verdict();
    },
  };
  await using s = await server({ earlyData: true, replayFilter });
  await s.visit();
  const good = await s.dialEarly();
  assert.equal(await ask(good, "a"), "you said a");
  assert.deepEqual(asked, [[32, 20]]);
  await good.close();
  for (const bad of [
    () => false,
    () => {
      throw new Error("the application's");
    },
    () => Promise.reject(new Error("the application's")),
    () => "yes" as unknown as boolean,
  ]) {
    verdict = bad;
    await s.visit();
    const conn = await s.dialEarly();
    await assert.rejects(ask(conn, "a"), { code: "ERR_QUIC_0RTT_REJECTED" });
    await (await conn.nextConnection()).close();
  }
});

test("one client's configuration decides about its 0-RTT", async () => {
  let earlyData = true;
  await using s = await server({ getConfigForClient: () => ({ earlyData }) });
  await s.visit();
  const taken = await s.dialEarly();
  assert.equal(await ask(taken, "a"), "you said a");
  assert.ok(taken.connectionState().used0RTT);
  await taken.close();
  await s.visit();
  earlyData = false;
  const refused = await s.dialEarly();
  await assert.rejects(ask(refused, "a"), { code: "ERR_QUIC_0RTT_REJECTED" });
  await refused.nextConnection();
  await refused.close();
});

test("0.5-RTT: a server speaks first, and its client has it with the handshake", async () => {
  const acceptor = new Transport({ address: "127.0.0.1" });
  const dialer = new Transport({ address: "127.0.0.1" });
  const listener = await acceptor.listenEarly(serverTls);
  const trace: TraceEvent[] = [];
  const served = (async () => {
    const connection = await listener.accept();
    assert.equal(connection.connectionState().handshakeComplete, false);
    const stream = await connection.openUniStream();
    await stream.write(bytes("welcome"));
    stream.close();
    await stream.drained();
    return connection;
  })();
  const client = await dialer.dial(`127.0.0.1:${listener.address().port}`, clientTls, {
    tracer: { record: (event) => void trace.push(event) },
  });
  assert.equal(await text(await client.acceptUniStream()), "welcome");
  assert.ok((await served).connectionState().handshakeComplete);
  // It may also end there.
  const closed = (async () => {
    const connection = await listener.accept();
    connection.closeWithError(42, "not today");
    await connection.closed;
  })();
  // rfc9000#10.2.3 what an application says goes out as APPLICATION_ERROR before the handshake is complete.
  const outcome = await dialer.dial(`127.0.0.1:${listener.address().port}`, clientTls).then(
    (connection) => connection.closed.then(({ error }) => error),
    (error: unknown) => error,
  );
  assert.ok(outcome instanceof Error);
  await closed;
  await dialer.close();
  await acceptor.close();
});

test("options that cannot be", async () => {
  const transport = new Transport({ address: "127.0.0.1" });
  for (const [option, config] of [
    ["earlyData", { earlyData: 1 }],
    ["replayFilter", { replayFilter: {} }],
    ["replayFilter", { earlyData: true, replayFilter: null }],
  ] as const) {
    await assert.rejects(
      transport.listenEarly(serverTls, config as unknown as Config),
      (error: InvalidOptionError) => error.option === option,
    );
  }
  assert.throws(() => memoryReplayFilter({ capacity: 0 }), InvalidOptionError);
  assert.throws(() => memoryReplayFilter({ warmUp: -1 }), InvalidOptionError);
  await transport.close();
});

test("the filter in memory: once each, bounded, forgetting in time, closed at first", (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const id = (n: number) => Uint8Array.of(n, ...new Uint8Array(31));
  const use = (filter: ReplayFilter, n: number) => filter.firstUse(id(n), Date.now() + 20_000);
  const filter = memoryReplayFilter({ capacity: 2, warmUp: 0 });
  assert.deepEqual([use(filter, 1), use(filter, 1), use(filter, 2)], [true, false, true]);
  // Full: it does not forget, which would let a copy in.
  assert.deepEqual([use(filter, 3), use(filter, 1)], [false, false]);
  t.mock.timers.tick(20_001);
  assert.deepEqual([use(filter, 3), use(filter, 1)], [true, true]);
  // rfc8446#8.2 what was used before it was made it cannot know.
  const young = memoryReplayFilter();
  assert.equal(use(young, 1), false);
  t.mock.timers.tick(19_999);
  assert.equal(use(young, 2), false);
  t.mock.timers.tick(1);
  assert.equal(use(young, 2), true);
});

test("datagrams go in 0-RTT within what the server had promised, and say that they did", async () => {
  const on: Config = { enableDatagrams: true, maxDatagramFrameSize: 500 };
  await using s = await server({ ...on, earlyData: true });
  await s.visit({ enableDatagrams: true });
  const conn = await s.dialEarly({}, { enableDatagrams: true });
  assert.equal(conn.connectionState().earlyData, "offered");
  // rfc9221#3 the max_datagram_frame_size that was remembered holds.
  assert.equal(conn.maxDatagramSize, 497);
  const outcomes: string[] = [];
  conn.sendDatagram(new Uint8Array(497).fill(1), { onSettled: (outcome) => outcomes.push(outcome) });
  assert.equal(await ask(conn, "early"), "you said early");
  await conn.handshakeComplete;
  await until(() => outcomes.length === 1, "its fate");
  assert.deepEqual(outcomes, ["acked"]);
  const { connection } = s.seen[0]!;
  const got = connection.datagramQueue.tryReceive()!;
  assert.equal(got.length, 497);
  assert.ok(connection.datagramQueue.isEarly(got));
  conn.sendDatagram("late");
  assert.ok(!connection.datagramQueue.isEarly(await connection.receiveDatagram()));
  await conn.close();
});
