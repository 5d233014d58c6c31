// What a transport expects of its socket, of both sockets.
import assert from "node:assert/strict";
import dgram, { type SocketOptions } from "node:dgram";
import { readdirSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { networkInterfaces } from "node:os";
import { describe, test } from "node:test";
import { ECT_0, ECT_1, NOT_ECT } from "../../internal/protocol/batch.ts";
import type { Libc } from "../../internal/ffi/libc.ts";
import { MAX_RECEIVES_PER_WAKE, MAX_SEND_BATCHES } from "../../internal/protocol/limits.ts";
import { NativeConn } from "../../internal/udp/native.ts";
import { KINDS, numbered, on, Probe, support, turns } from "./sockets.ts";

const IPV6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === "::1"),
);

for (const { kind, skip } of KINDS) {
  describe(`${kind} socket`, { skip }, () => {
    test("datagrams of every size arrive as they were sent", async () => {
      const [a, b] = [await Probe.open(kind), await Probe.open(kind)];
      const sizes = [1, 2, 20, 1199, 1200, 1252, 1452, 8900, 20_000, 65_000];
      for (const [i, size] of sizes.entries()) {
        a.send(b.address, numbered(size, i));
        await b.until(i + 1);
      }
      sizes.forEach((size, i) => {
        assert.deepEqual(b.got[i]!.bytes, numbered(size, i));
        assert.equal(b.got[i]!.remote.key, a.address.key);
      });
      await Promise.all([a.conn.close(), b.conn.close()]);
    });

    test("a run of datagrams comes apart where it was joined, the last one shorter", async () => {
      const [a, b] = [await Probe.open(kind), await Probe.open(kind)];
      let n = 0;
      for (const [segment, bytes] of [
        [1200, 10 * 1200],
        [1452, 44 * 1452],
        [1200, 5 * 1200 + 1],
        [300, 63 * 300 + 299],
        [21_000, 3 * 21_000],
        [1500, 1500],
        [9000, 1],
      ] as const) {
        const sent = numbered(bytes, n);
        a.send(b.address, sent, segment);
        const from = n;
        n += Math.ceil(bytes / segment);
        await b.until(n);
        for (let i = from, at = 0; i < n; i++, at += segment) {
          assert.deepEqual(b.got[i]!.bytes, sent.slice(at, at + segment), `${segment} of ${bytes}`);
        }
      }
      await Promise.all([a.conn.close(), b.conn.close()]);
    });

    test("entries of one batch go to whom they are for", async () => {
      const probes = await Promise.all([1, 2, 3].map(() => Probe.open(kind)));
      const a = await Probe.open(kind);
      const tx = a.conn.batch()!;
      for (let i = 0; i < 30; i++) {
        tx.slab[tx.used] = i;
        tx.commit(1 + (i % 5), 1 + (i % 5), probes[i % 3]!.address, null, NOT_ECT);
      }
      a.conn.send(tx);
      for (const [k, probe] of probes.entries()) {
        await probe.until(10);
        assert.deepEqual(
          probe.got.map(({ bytes }) => bytes[0]),
          Array.from({ length: 10 }, (_, i) => k + 3 * i),
        );
      }
      await Promise.all([a, ...probes].map(({ conn }) => conn.close()));
    });

    test("one address is one object while it is in use", async () => {
      const [a, b] = [await Probe.open(kind), await Probe.open(kind)];
      for (let i = 0; i < 5; i++) a.send(b.address, numbered(10));
      await b.until(5);
      assert.equal(new Set(b.got.map(({ remote }) => remote)).size, 1);
      await Promise.all([a.conn.close(), b.conn.close()]);
    });

    test("there is a bound to what is on its way, and an end to waiting", async () => {
      const [a, b] = [await Probe.open(kind), await Probe.open(kind)];
      const batches = [];
      for (let tx = a.conn.batch(); tx !== null; tx = a.conn.batch()) batches.push(tx);
      assert.equal(batches.length, MAX_SEND_BATCHES);
      assert.equal(a.conn.batch(), null);
      for (const tx of batches) a.conn.send(tx);
      assert.notEqual(a.conn.batch(), null, "an empty batch comes back at once");
      // More than the receiver's buffer holds: what is lost is lost, and the sender never stops.
      for (let i = 0; i < 200; i++) {
        while (!a.send(b.address, numbered(50_000), 1250)) await turns(1);
      }
      await turns(3);
      assert.equal(a.failures.length, 0);
      assert.notEqual(a.conn.batch(), null);
      await Promise.all([a.conn.close(), b.conn.close()]);
    });

    test("closing amid everything: nothing comes after, twice is once", async () => {
      const [a, b] = [await Probe.open(kind), await Probe.open(kind)];
      for (let i = 0; i < 20; i++) a.send(b.address, numbered(20_000), 1000);
      let closed: Promise<void> | null = null;
      b.onReceive = () => void (closed ??= b.conn.close());
      await b.until(1);
      const n = b.got.length;
      const closing = a.conn.close();
      assert.equal(a.conn.close(), closing);
      await Promise.all([closing, closed, b.conn.close()]);
      await turns(5);
      assert.equal(b.got.length, n);
      // A batch that comes back late is taken back, no more.
      const tx = b.conn.batch();
      if (tx !== null) b.conn.send(tx);
      b.conn.ref();
      b.conn.unref();
    });

    test("a port in use is the system's error", async () => {
      const a = await Probe.open(kind);
      await assert.rejects(Probe.open(kind, { port: a.address.port }), { code: "EADDRINUSE" });
      await assert.rejects(Probe.open(kind, { address: "192.0.2.1" }), { code: "EADDRNOTAVAIL" });
      await a.conn.close();
    });

    test("what cannot be sent is told, and the rest goes on", async () => {
      const [a, b] = [await Probe.open(kind), await Probe.open(kind)];
      a.send(on("255.255.255.255", b.address), numbered(100));
      a.send(b.address, numbered(100));
      await b.until(1);
      await turns(3);
      assert.equal(a.sendErrors.length, 1);
      assert.equal((a.sendErrors[0] as NodeJS.ErrnoException).code, "EACCES");
      await Promise.all([a.conn.close(), b.conn.close()]);
    });

    test("IPv6, and IPv4 on a socket for both", { skip: IPV6 ? false : "no IPv6 here" }, async () => {
      const [six, both, four] = [
        await Probe.open(kind, { address: "::1" }),
        await Probe.open(kind, { address: "::" }),
        await Probe.open(kind),
      ];
      six.send(on("::1", both.address), numbered(100));
      await both.until(1);
      four.send(on("127.0.0.1", both.address), numbered(100));
      await both.until(2);
      assert.equal(both.got[0]!.remote.key, six.address.key);
      assert.equal(both.got[1]!.remote.key, four.address.key, "IPv4 in IPv6 is shown as IPv4");
      both.send(both.got[0]!.remote, numbered(5), 5, NOT_ECT, both.got[0]!.local);
      both.send(both.got[1]!.remote, numbered(6), 6, NOT_ECT, both.got[1]!.local);
      await Promise.all([six.until(1), four.until(1)]);
      await Promise.all([six, both, four].map(({ conn }) => conn.close()));
    });

    test("it says what it can do", async () => {
      const a = await Probe.open(kind, { receiveBufferSize: 100_000, sendBufferSize: 100_000 });
      const about = a.conn.describe();
      assert.equal(about.kind, kind);
      assert.ok(about.receiveBufferSize >= 90_000 && about.receiveBufferSize <= 210_000);
      await a.conn.close();
      assert.equal(a.conn.describe().kind, kind);
    });

    test(
      "thousands of sockets leave nothing behind",
      { skip: process.platform === "linux" ? false : "counts files of /proc" },
      async () => {
        const files = (): number => readdirSync("/proc/self/fd").length;
        const round = async (): Promise<void> => {
          for (let i = 0; i < 100; i++) {
            const some = await Promise.all([Probe.open(kind), Probe.open(kind)]);
            some[0].send(some[1].address, numbered(30));
            await Promise.all(some.map(({ conn }) => conn.close()));
          }
        };
        await round();
        const before = files();
        for (let i = 0; i < 10; i++) await round();
        assert.ok(files() <= before + 2, `${files()} open files, ${before} before`);
      },
    );
  });
}

test("reusePort is handed on to node:dgram, which has it from Node 22.12 on", async (t) => {
  const create = dgram.createSocket;
  const asked: SocketOptions[] = [];
  t.mock.method(dgram, "createSocket", (options: SocketOptions) => {
    asked.push({ ...options });
    return create(options);
  });
  syncBuiltinESMExports();
  try {
    const a = await Probe.open("dgram", { reusePort: true });
    const b = await Probe.open("dgram");
    assert.deepEqual(
      asked.map((options) => "reusePort" in options && options.reusePort),
      [true, false],
    );
    const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
    if (
      process.platform === "linux" &&
      (major > 23 || (major === 23 ? minor >= 1 : major === 22 && minor >= 12))
    ) {
      const c = await Probe.open("dgram", { reusePort: true, port: a.address.port });
      await c.conn.close();
    }
    await Promise.all([a, b].map(({ conn }) => conn.close()));
  } finally {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  }
});

const [, { skip }] = KINDS;

describe("what the native socket has beyond dgram", { skip }, () => {
  test("ECN marks go and come, with every datagram its own", async () => {
    const [a, b] = [await Probe.open("native"), await Probe.open("native")];
    const marks = [NOT_ECT, ECT_0, ECT_1, 3, NOT_ECT, ECT_0];
    for (const mark of marks) a.send(b.address, numbered(40), 40, mark);
    await b.until(marks.length);
    assert.deepEqual(
      b.got.map(({ ecn }) => ecn),
      marks,
    );
    // A segmented run has one mark.
    a.send(b.address, numbered(5000), 1000, ECT_0);
    await b.until(marks.length + 5);
    assert.ok(b.got.slice(marks.length).every(({ ecn }) => ecn === ECT_0));
    await Promise.all([a.conn.close(), b.conn.close()]);
  });

  test("an answer leaves from the address that the question came to", async () => {
    const server = await Probe.open("native", { address: "0.0.0.0" });
    const client = await Probe.open("native", { address: "127.0.0.1" });
    for (const ip of ["127.0.0.1", "127.0.0.2", "127.9.8.7"]) {
      const n = client.got.length;
      client.send(on(ip, server.address), numbered(10));
      await server.until(n + 1);
      const { local, remote } = server.got[n]!;
      assert.equal(local?.ip, ip);
      server.send(remote, numbered(11), 11, NOT_ECT, local);
      await client.until(n + 1);
      assert.equal(client.got[n]!.remote.ip, ip);
    }
    await Promise.all([client.conn.close(), server.conn.close()]);
  });

  test("offload is in use where the kernel has it", async () => {
    const [a, b] = [await Probe.open("native"), await Probe.open("native")];
    const { gso, gro } = a.conn.describe();
    a.send(b.address, numbered(40 * 1200), 1200);
    await b.until(40);
    if (gso && gro) assert.equal(b.batches.length, 1, "one run is one receive");
    await Promise.all([a.conn.close(), b.conn.close()]);
  });

  test("reusePort: two sockets share a port", async () => {
    const a = await Probe.open("native", { reusePort: true });
    const b = await Probe.open("native", { reusePort: true, port: a.address.port });
    assert.equal(a.address.port, b.address.port);
    const senders = await Promise.all(Array.from({ length: 40 }, () => Probe.open("native")));
    for (const sender of senders) sender.send(a.address, numbered(10));
    const end = Date.now() + 3000;
    while (a.got.length + b.got.length < 40 && Date.now() < end) await turns(1);
    assert.ok(a.got.length > 0 && b.got.length > 0, `${a.got.length} and ${b.got.length}`);
    await Promise.all([a, b, ...senders].map(({ conn }) => conn.close()));
  });

  test("a flood of received datagrams lets others have their turn", async () => {
    const DATAGRAMS = 10 * MAX_RECEIVES_PER_WAKE;
    const { libc, uv, can } = support!;
    let calls = 0;
    const counting: Libc = { ...libc, recvmsg: (...args) => (calls++, libc.recvmsg(...args)) };
    const a = await Probe.open("native");
    const b = new Probe(NativeConn.bind(counting, uv, can, { address: "127.0.0.1" }));
    // All of them are in the kernel's buffer before the loop turns.
    for (let i = 0; i < DATAGRAMS; i++) assert.ok(a.send(b.address, numbered(20, i)));
    assert.equal(calls, 0);
    // The poll phase comes once between two immediates.
    const inTurn: number[] = [];
    const end = Date.now() + 3000;
    while (b.got.length < DATAGRAMS && Date.now() < end) {
      const before = calls;
      await turns(1);
      inTurn.push(calls - before);
    }
    assert.equal(b.got.length, DATAGRAMS);
    assert.ok(Math.max(...inTurn) <= MAX_RECEIVES_PER_WAKE, `receives in each turn: ${inTurn.join(" ")}`);
    assert.ok(b.batches.length >= 10, `${b.batches.length} deliveries`);
    await Promise.all([a.conn.close(), b.conn.close()]);
  });
});
