// Sockets of one's own: datagrams in memory, sends that fail, and the key log.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Address,
  makeAddress,
  type PacketConn,
  type PacketSink,
  RxBatch,
  type SocketDescription,
  SocketError,
  Transport,
  TxBatch,
} from "../../src/index.ts";
import { bytes, clientTls, collect, noUnhandledRejections, pair, pattern, serverTls, text } from "./pair.ts";
import { plainSocket } from "./plain-socket.ts";

noUnhandledRejections();

/** A network in memory: addresses and who listens there. */
class MemoryNetwork extends Map<string, MemoryConn> {}

class MemoryConn implements PacketConn {
  readonly #network: MemoryNetwork;
  readonly #address: Address;
  readonly #rx = new RxBatch();
  /** What a real socket's handle does: it keeps the process alive. */
  readonly #alive = setInterval(() => {}, 1 << 30);
  #sink: PacketSink | null = null;
  /** Every so many-th datagram is refused by the "kernel". */
  failEvery = Infinity;
  sent = 0;
  failed = 0;

  constructor(network: MemoryNetwork, address: Address) {
    this.#network = network;
    this.#address = address;
    network.set(address.key, this);
  }
  start(sink: PacketSink): void {
    this.#sink = sink;
  }
  batch(): TxBatch {
    return new TxBatch();
  }
  send(batch: TxBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const end = batch.offset[i]! + batch.length[i]!;
      for (let at = batch.offset[i]!; at < end; at += batch.segmentSize[i]!) {
        const datagram = batch.slab.slice(at, Math.min(end, at + batch.segmentSize[i]!));
        const to = this.#network.get(batch.remote[i]!.key);
        if (++this.sent % this.failEvery === 0) {
          this.failed++;
          const code = this.failed % 2 === 0 ? "EPERM" : "ENOBUFS";
          setImmediate(() => this.#sink?.sendFailed(Object.assign(new Error(code), { code })));
        } else setImmediate(() => to?.deliver(datagram, this.#address));
      }
    }
  }
  deliver(datagram: Uint8Array, from: Address): void {
    this.#rx.clear();
    this.#rx.push(datagram, from);
    this.#sink?.receive(this.#rx);
  }
  /** The handle is gone. */
  break(error: Error): void {
    this.#sink?.failed(error);
  }
  address(): Address {
    return this.#address;
  }
  async close(): Promise<void> {
    clearInterval(this.#alive);
  }
  ref(): void {
    this.#alive.ref();
  }
  unref(): void {
    this.#alive.unref();
  }
  describe(): SocketDescription {
    return plainSocket("memory");
  }
}

test("a socket of one's own carries connections, and sends that fail lose nothing", async () => {
  const network = new MemoryNetwork();
  const here = new MemoryConn(network, makeAddress("192.0.2.1", 1));
  const there = new MemoryConn(network, makeAddress("192.0.2.2", 2));
  await using acceptor = new Transport({ socket: there });
  await using dialer = new Transport({ socket: here });
  const listener = await acceptor.listen(serverTls);
  const client = await dialer.dial("192.0.2.2:2", { ...clientTls, servername: "localhost" });
  const server = await listener.accept();
  assert.equal(client.connectionState().socket.kind, "memory");
  here.failEvery = there.failEvery = 23;
  const data = pattern(1_000_000);
  const out = await client.openUniStream();
  const writing = out.write(data).then(() => out.close());
  assert.equal(Buffer.compare(await collect(await server.acceptUniStream()), data), 0);
  await writing;
  assert.ok(here.failed > 5 && there.failed > 0, `${here.failed} and ${there.failed} sends failed`);
  // A socket that was given stays its owner's.
  await dialer.close();
  await acceptor.close();
  await Promise.all([here.close(), there.close()]);
});

test("an event loop that was blocked does not end a connection", async () => {
  await using it = await pair({
    clientConfig: { maxIdleTimeout: 1000, keepAlivePeriod: 100 },
    serverConfig: { maxIdleTimeout: 200 },
  });
  const end = performance.now() + 150;
  while (performance.now() < end);
  const out = await it.client.openUniStream();
  await out.write(bytes("awake"));
  out.close();
  assert.equal(await text(await it.server.acceptUniStream()), "awake");
});

test("key log: the option and SSLKEYLOGFILE, one warning", async () => {
  const folder = mkdtempSync(join(tmpdir(), "quic-ts-keylog-"));
  const file = join(folder, "keys");
  const warnings: string[] = [];
  const onWarning = (warning: Error) => warnings.push(warning.message);
  process.on("warning", onWarning);
  process.env["SSLKEYLOGFILE"] = file;
  try {
    const lines: string[] = [];
    await using it = await pair({ client: { keylog: (line) => void lines.push(line) } });
    await using second = await pair();
    assert.ok(it.client !== second.client);
    for (const label of ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"]) {
      assert.ok(
        lines.some((line) => new RegExp(`^${label} [0-9a-f]{64} [0-9a-f]{64,96}$`).test(line)),
        lines.join("\n"),
      );
    }
    assert.ok(existsSync(file));
    for (const line of lines) assert.ok(readFileSync(file, "utf8").includes(line));
    assert.equal(warnings.filter((one) => one.includes("SSLKEYLOGFILE")).length, 1);
  } finally {
    delete process.env["SSLKEYLOGFILE"];
    process.off("warning", onWarning);
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a socket that fails ends its connections with its error", async () => {
  const network = new MemoryNetwork();
  const here = new MemoryConn(network, makeAddress("192.0.2.1", 1));
  const there = new MemoryConn(network, makeAddress("192.0.2.2", 2));
  await using acceptor = new Transport({ socket: there });
  await using dialer = new Transport({ socket: here });
  const listener = await acceptor.listen(serverTls);
  const client = await dialer.dial("192.0.2.2:2", { ...clientTls, servername: "localhost" });
  await listener.accept();
  const accepting = client.acceptStream();
  here.break(Object.assign(new Error("EIO"), { code: "EIO" }));
  await assert.rejects(accepting, { code: "ERR_QUIC_TRANSPORT_CLOSED" });
  const { error } = await client.closed;
  assert.equal((error.cause as NodeJS.ErrnoException).code, "EIO");
  await acceptor.close();
  await Promise.all([here.close(), there.close()]);
});

test("ECN is in use where the socket can mark, off elsewhere and where it is not wanted", async () => {
  await using both = await pair();
  const stream = await both.client.openUniStream();
  await stream.write(pattern(50_000));
  stream.close();
  await collect(await both.server.acceptUniStream());
  await stream.drained();
  const { socket } = both.client.connectionState();
  assert.equal(both.client.stats().ecn, socket.ecn ? "capable" : "off");
  await using other = await pair({ clientConfig: { ecn: false } });
  assert.equal(other.client.stats().ecn, "off");
});

test("ipv6Only leaves the port to an IPv4 socket; without it one socket serves both", async (t) => {
  const six = new Transport({ address: "::", ipv6Only: true });
  try {
    await six.open();
  } catch (error) {
    assert.ok(error instanceof SocketError);
    t.skip("no IPv6 here");
    return;
  }
  const { port } = six.address();
  await using four = new Transport({ address: "0.0.0.0", port });
  await four.open();
  await using dialer = new Transport();
  const [a, b] = [await six.listen(serverTls), await four.listen(serverTls)];
  for (const [listener, target] of [
    [a, `[::1]:${port}`],
    [b, `127.0.0.1:${port}`],
  ] as const) {
    const conn = await dialer.dial(target, { ...clientTls, servername: "localhost" });
    await listener.accept();
    await conn.close();
  }
  await six.close();
  await using both = new Transport({ address: "::" });
  const listener = await both.listen(serverTls);
  for (const host of ["[::1]", "127.0.0.1"]) {
    const conn = await dialer.dial(`${host}:${both.address().port}`, {
      ...clientTls,
      servername: "localhost",
    });
    await listener.accept();
    await conn.close();
  }
});
