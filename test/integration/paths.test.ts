// Connections over several sockets: addPath, probe, switch; the preferred address; events and figures of paths.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Address,
  makeAddress,
  MigrationError,
  type PacketConn,
  type PathEvent,
  type SocketDescription,
  Transport,
  TxBatch,
} from "../../src/index.ts";
import { bytes, collect, noUnhandledRejections, pair, pattern, serverTls, clientTls, until } from "./pair.ts";
import { plainSocket } from "./plain-socket.ts";

noUnhandledRejections();

/** An echo of `n` bytes. */
async function exchange(both: Awaited<ReturnType<typeof pair>>, n: number): Promise<void> {
  const stream = await both.client.openStream();
  const answering = both.server.acceptStream().then((each) => each.sink(each.source));
  const reading = collect(stream);
  await stream.write(pattern(n));
  stream.close();
  assert.deepEqual(await reading, pattern(n));
  await answering;
}

const confirmed = async (both: Awaited<ReturnType<typeof pair>>): Promise<void> =>
  until(
    () => both.client.connectionState().handshakeConfirmed && both.client.connectionIds().spare > 0,
    "confirmation and spare connection IDs",
  );

test("a connection moves to another socket and back, and what is sent arrives", async () => {
  await using both = await pair();
  await confirmed(both);
  const { client, server } = both;
  const events: PathEvent[] = [];
  server.onPathEvent = (event) => events.push(event);
  const other = new Transport({ address: "127.0.0.1" });
  try {
    const path = await client.addPath(other);
    assert.deepEqual([path.info().active, path.info().validated], [false, false]);
    assert.throws(() => path.switch(), MigrationError);
    await path.probe();
    assert.equal(path.info().validated, true);
    assert.equal(server.remoteAddress, `127.0.0.1:${both.dialer.address().port}`);
    path.switch();
    await exchange(both, 500_000);
    assert.equal(server.remoteAddress, `127.0.0.1:${other.address().port}`);
    assert.ok(path.info().bytesSent > 400_000 && path.info().bytesReceived > 400_000);
    assert.equal(client.paths().length, 2);
    assert.equal(client.paths().find((each) => each.active)!.local, path.info().local);
    assert.ok(
      events.some(
        (event) => event.type === "active" && event.path.remote.endsWith(`:${other.address().port}`),
      ),
    );
    // rfc9000#9.3 the server has probed the address by itself.
    await until(
      () =>
        events.some(
          ({ type, path: { remote, validated } }) =>
            type === "validated" && validated && remote.endsWith(`:${other.address().port}`),
        ),
      "the server's own validation",
    );
    assert.throws(() => path.close(), /in use/);
    // The first socket is free for others meanwhile, and so is the second.
    const second = await other.dial(`127.0.0.1:${both.listener.address().port}`, clientTls);
    const accepted = await both.listener.accept();
    const stream = await second.openUniStream();
    await stream.write(bytes("beside"));
    stream.close();
    assert.equal((await collect(await accepted.acceptUniStream())).length, 6);
    await exchange(both, 10_000);
    await second.close();
  } finally {
    await client.close();
    await other.close();
  }
});

/** A socket that is open, and takes no part in anything. */
class MuteConn implements PacketConn {
  readonly #address = makeAddress("127.0.0.1", 9);
  sent = 0;

  start(): void {}
  batch(): TxBatch {
    return new TxBatch();
  }
  send(batch: TxBatch): void {
    this.sent += batch.count;
  }
  address(): Address {
    return this.#address;
  }
  async close(): Promise<void> {}
  ref(): void {}
  unref(): void {}
  describe(): SocketDescription {
    return plainSocket("mute");
  }
}

test("a path that does not answer, and what may not be", async () => {
  await using both = await pair();
  const { client } = both;
  const other = new Transport({ address: "127.0.0.1" });
  const socket = new MuteConn();
  const mute = new Transport({ socket });
  const events: PathEvent[] = [];
  client.onPathEvent = (event) => events.push(event);
  try {
    await confirmed(both);
    await assert.rejects(
      both.server.addPath(other),
      (error) => error instanceof MigrationError && error.refusal === "server",
    );
    const path = await client.addPath(other);
    const aborted = AbortSignal.abort(new Error("enough"));
    await assert.rejects(path.probe({ signal: aborted }), /enough/);
    await path.probe();
    assert.deepEqual(
      events.map(({ type, path: { local, validated } }) => [type, local, validated]),
      [["validated", path.info().local, true]],
    );
    const silent = await client.addPath(mute);
    await assert.rejects(
      silent.probe(),
      (error) => error instanceof MigrationError && error.refusal === "unanswered",
    );
    assert.ok(socket.sent > 0);
    assert.deepEqual(
      events.slice(1).map(({ type, path: { local, validated, active } }) => [type, local, validated, active]),
      [["failed", "127.0.0.1:9", false, false]],
    );
    assert.throws(
      () => silent.switch(),
      (error) => error instanceof MigrationError && error.refusal === "unvalidated",
    );
    silent.close();
    path.close();
    path.close();
    await assert.rejects(
      path.probe(),
      (error) => error instanceof MigrationError && error.refusal === "closed",
    );
    await exchange(both, 1000);
  } finally {
    await other.close();
    await mute.close();
  }
});

test("disableActiveMigration keeps a client where it is", async () => {
  await using both = await pair({ serverConfig: { disableActiveMigration: true } });
  await confirmed(both);
  const other = new Transport({ address: "127.0.0.1" });
  try {
    await assert.rejects(
      both.client.addPath(other),
      (error) => error instanceof MigrationError && error.refusal === "disabled",
    );
  } finally {
    await other.close();
  }
});

test("clients follow a server to its preferred address, at another socket", async () => {
  const preferred = new Transport({ address: "127.0.0.1" });
  await preferred.open();
  const acceptor = new Transport({ address: "127.0.0.1" });
  const dialer = new Transport({ address: "127.0.0.1" });
  try {
    await acceptor.attach(preferred);
    const { address, port } = preferred.address();
    const listener = await acceptor.listen(serverTls, { preferredAddress: { ipv4: { address, port } } });
    const target = `127.0.0.1:${listener.address().port}`;
    const [client, server] = await Promise.all([dialer.dial(target, clientTls), listener.accept()]);
    await until(() => client.remoteAddress === `127.0.0.1:${port}`, "the move");
    const both = { client, server, listener, dialer, acceptor } as Awaited<ReturnType<typeof pair>>;
    await exchange(both, 200_000);
    assert.equal(server.paths().find((each) => each.active)!.local, `127.0.0.1:${port}`);
    const [stays] = await Promise.all([
      dialer.dial(target, clientTls, { ignorePreferredAddress: true }),
      listener.accept(),
    ]);
    await until(() => stays.connectionState().handshakeConfirmed, "confirmation");
    assert.equal(stays.remoteAddress, target);
  } finally {
    await dialer.close();
    await acceptor.close();
    await preferred.close();
  }
});

test("what was measured on each path, and packets on a chosen one", async () => {
  await using both = await pair();
  await confirmed(both);
  const { client, server } = both;
  await exchange(both, 100_000);
  const [home] = client.paths();
  assert.ok(home!.smoothedRtt > 0 && home!.minRtt > 0 && home!.congestionWindow > 0);
  assert.equal(home!.smoothedRtt, client.stats().smoothedRtt);
  assert.equal(home!.mtu, client.mtu);
  const other = new Transport({ address: "127.0.0.1" });
  try {
    const path = await client.addPath(other);
    assert.deepEqual([path.info().smoothedRtt, path.info().congestionWindow], [0, 0]);
    path.ping();
    await until(() => path.info().smoothedRtt > 0, "the answer to a packet there");
    assert.ok(!path.info().active && !path.info().validated, "nobody moved");
    client.ping(path.info());
    const before = server.stats().packetsReceived;
    client.ping();
    client.ping(client.paths().find((each) => each.active)!);
    await until(() => server.stats().packetsReceived > before, "PINGs");
    const known = server.paths().find((each) => each.remote.endsWith(`:${other.address().port}`))!;
    server.ping(known);
    await until(() => path.info().datagramsReceived > known.datagramsSent, "the server's packet there");
    await path.probe();
    path.switch();
    await exchange(both, 100_000);
    const left = client.paths().find((each) => !each.active)!;
    assert.ok(left.smoothedRtt > 0 && left.congestionWindow > 0, "what was known of the first path");
    assert.ok(path.info().active && path.info().smoothedRtt > 0);
    assert.throws(
      () => client.ping({ ...left, remote: "192.0.2.1:1" }),
      (error) => error instanceof MigrationError && error.refusal === "unknown",
    );
  } finally {
    await client.close();
    await other.close();
  }
});
