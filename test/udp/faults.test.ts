// Every call into the C library fails once: what follows is a fallback or a typed error, never a crash.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, type Libc } from "../../internal/ffi/libc.ts";
import type { Libuv } from "../../internal/ffi/libuv.ts";
import { MAX_RECEIVE_ERRORS } from "../../internal/protocol/limits.ts";
import { NativeConn } from "../../internal/udp/native.ts";
import { probe } from "../../internal/udp/native-probe.ts";
import { openSocket } from "../../internal/udp/open.ts";
import { NO_NATIVE, numbered, Probe, support, turns } from "./sockets.ts";

const ENOBUFS = 105;
const EPERM = 1;
const ENOMEM = 12;
const ECONNREFUSED = 111;

type Call = Exclude<keyof Libc, "koffi" | "errno">;

/** The real library, of which some calls fail as `plan` says: errno, or 0 for the real call. */
function failing(call: Call, plan: (n: number) => number): Libc & { calls: number; failed: number } {
  const real = support!.libc;
  let errno = 0;
  const out = {
    ...real,
    calls: 0,
    failed: 0,
    errno: () => errno || real.errno(),
    [call]: (...args: number[]): number => {
      errno = plan(out.calls++);
      if (errno === 0) return real[call](...args);
      out.failed++;
      return -1;
    },
  };
  return out as Libc & { calls: number; failed: number };
}

/** The real libuv, of which one function does what `replacement` says of its call number `n`. */
function libuv(
  replacement: Partial<Record<keyof Libuv["call"], (n: number, real: () => number) => number>>,
): Libuv {
  const { uv } = support!;
  const call: Record<keyof Libuv["call"], Libuv["call"]["close"]> = { ...uv.call };
  for (const [name, instead] of Object.entries(replacement)) {
    let n = 0;
    const real = uv.call[name as keyof Libuv["call"]];
    call[name as keyof Libuv["call"]] = (...args) => instead(n++, () => real(...args));
  }
  return { ...uv, call };
}

const once = (errno: number) => (n: number) => (n === 0 ? errno : 0);
const open = (libc: Libc): Probe =>
  new Probe(NativeConn.bind(libc, support!.uv, support!.can, { address: "127.0.0.1" }));

describe("injected failures", { skip: NO_NATIVE }, () => {
  test("binding: the system's error, and no descriptor is left", () => {
    for (const call of ["socket", "setsockopt", "bind", "getsockname"] as const) {
      let closed = 0;
      const libc = failing(call, once(ENOMEM));
      const counted = { ...libc, close: (fd: number) => (closed++, libc.close(fd)) };
      assert.throws(
        () => NativeConn.bind(counted, support!.uv, support!.can, { address: "127.0.0.1" }),
        { code: "ENOMEM", syscall: call },
        call,
      );
      assert.equal(closed, call === "socket" ? 0 : 1, call);
    }
  });

  test("the probe says no where any call fails", () => {
    for (const call of ["socket", "bind", "getsockname", "sendmsg", "recvmsg"] as const) {
      assert.equal(probe(failing(call, () => ENOMEM)), null, call);
    }
    // Without the offloads it is a socket still.
    const plain = probe(failing("setsockopt", () => EINVAL));
    assert.deepEqual(plain, { gso: false, gro: false });
  });

  test("libuv that refuses the descriptor: its error, and no descriptor is left", () => {
    const { libc } = support!;
    let closed = 0;
    const counted = { ...libc, close: (fd: number) => (closed++, libc.close(fd)) };
    assert.throws(
      () =>
        NativeConn.bind(counted, libuv({ pollInit: () => -ENOMEM }), support!.can, { address: "127.0.0.1" }),
      { code: "ENOMEM", errno: -ENOMEM, syscall: "uv_poll_init" },
    );
    assert.equal(closed, 1);
  });

  test("libuv that does not watch the descriptor: the socket is broken, and says so outside of every call", async () => {
    const { libc, can } = support!;
    const uv = libuv({ pollStart: () => -ENOMEM });
    const a = new Probe(NativeConn.bind(libc, uv, can, { address: "127.0.0.1" }));
    assert.deepEqual(a.failures, []);
    await turns(2);
    assert.equal(a.failures.length, 1);
    assert.equal((a.failures[0] as NodeJS.ErrnoException).code, "ENOMEM");
    assert.equal((a.failures[0] as NodeJS.ErrnoException).syscall, "uv_poll_start");
    await a.conn.close();

    // The second time is when a full buffer is to be waited for.
    const later = libuv({ pollStart: (n, real) => (n === 0 ? real() : -ENOMEM) });
    const b = new Probe(
      NativeConn.bind(
        failing("sendmsg", () => EAGAIN),
        later,
        can,
        { address: "127.0.0.1" },
      ),
    );
    await turns(2);
    b.send(b.address, numbered(10));
    assert.deepEqual(b.failures, []);
    await turns(2);
    assert.deepEqual(
      b.failures.map((error) => (error as NodeJS.ErrnoException).syscall),
      ["uv_poll_start"],
    );
    await b.conn.close();

    // Closed in the meantime: nobody is told.
    const c = new Probe(
      NativeConn.bind(libc, libuv({ pollStart: () => -ENOMEM }), can, { address: "127.0.0.1" }),
    );
    await c.conn.close();
    await turns(2);
    assert.deepEqual(c.failures, []);
  });

  test("buffer sizes that cannot be read are unknown", async () => {
    const libc = failing("getsockopt", () => EINVAL);
    const a = open(libc);
    assert.equal(libc.failed, 2);
    const { receiveBufferSize, sendBufferSize } = a.conn.describe();
    assert.deepEqual([receiveBufferSize, sendBufferSize], [0, 0]);
    a.send(a.address, numbered(10));
    await a.until(1);
    await a.conn.close();
  });

  test("a descriptor whose close fails is closed: once, and close() comes to an end", async () => {
    const { libc, uv, can } = support!;
    for (const errno of [EIO, EINTR]) {
      let closed = 0;
      // Linux has released it whatever close(2) returns.
      const close = (fd: number): number => (closed++, libc.close(fd), -1);
      const a = new Probe(
        NativeConn.bind({ ...libc, close, errno: () => errno }, uv, can, { address: "127.0.0.1" }),
      );
      await Promise.all([a.conn.close(), a.conn.close()]);
      assert.equal(closed, 1);
      assert.deepEqual(a.failures, []);
    }
  });

  test("what only the native socket asks of the system makes dgram step in, unless it was asked for", async () => {
    const { libc, uv, can } = support!;
    // Each option in turn, for both families: how many there are is seen first.
    for (const address of ["127.0.0.1", undefined]) {
      const place = address === undefined ? {} : { address };
      const counting = failing("setsockopt", () => 0);
      await (await openSocket({ ...place, udp: "native" }, () => ({ libc: counting, uv, can }))).close();
      // The last two are buffer sizes, which may be refused.
      assert.ok(counting.calls >= 2 + 2, `${counting.calls} options`);
      for (let i = 0; i < counting.calls - 2; i++) {
        const broken = () => ({ libc: failing("setsockopt", (n) => (n === i ? EPERM : 0)), uv, can });
        const conn = await openSocket({ ...place, udp: "auto" }, broken);
        assert.equal(conn.describe().kind, "dgram", `option ${i}`);
        await conn.close();
        const refused = { code: "EPERM", syscall: "setsockopt" };
        await assert.rejects(openSocket({ ...place, udp: "native" }, broken), refused);
        await assert.rejects(openSocket({ ...place, udp: "auto", reusePort: true }, broken), refused);
      }
    }
    const unpolled = () => ({ libc, uv: libuv({ pollInit: () => -EPERM }), can });
    const conn = await openSocket({ address: "127.0.0.1", udp: "auto" }, unpolled);
    assert.equal(conn.describe().kind, "dgram");
    await conn.close();
    await assert.rejects(openSocket({ address: "127.0.0.1", udp: "native" }, unpolled), {
      code: "EPERM",
      syscall: "uv_poll_init",
    });
    // Any other failure is dgram's as well: it is told, not tried again.
    await assert.rejects(
      openSocket({ address: "127.0.0.1", udp: "auto" }, () => ({
        libc: failing("bind", once(ENOMEM)),
        uv,
        can,
      })),
      { code: "ENOMEM", syscall: "bind" },
    );
  });

  test("buffer sizes that are refused are no error", async () => {
    // The last two calls ask for buffers.
    let calls = 0;
    const counting = failing("setsockopt", () => (calls++, 0));
    await open(counting).conn.close();
    const a = open(failing("setsockopt", (n) => (n >= calls - 2 ? EPERM : 0)));
    a.send(a.address, numbered(10));
    await a.until(1);
    await a.conn.close();
  });

  for (const errno of [EIO, EMSGSIZE, EINVAL]) {
    test(
      `a segmented send refused with ${errno} is sent in single datagrams, from then on, to that peer`,
      { skip: support?.can.gso === true ? false : "no segmentation offload here" },
      async () => {
        const libc = failing("sendmsg", once(errno));
        const a = open(libc);
        const [b, c] = [await Probe.open("native"), await Probe.open("native")];
        const calls = (to: Probe, datagrams: number): number => {
          const before = libc.calls;
          assert.ok(a.send(to.address, numbered(datagrams * 1200), 1200));
          return libc.calls - before;
        };
        assert.equal(calls(b, 5), 1 + 5, "the refused run, then each datagram by itself");
        assert.equal(libc.failed, 1);
        assert.equal(calls(b, 3), 3, "no second attempt there");
        assert.equal(calls(c, 5), 1, "another peer's path has refused nothing");
        assert.equal(calls(b, 2), 2);
        await Promise.all([b.until(10), c.until(5)]);
        assert.deepEqual(b.got[4]!.bytes, numbered(5 * 1200).slice(4800));
        assert.deepEqual(c.got[4]!.bytes, numbered(5 * 1200).slice(4800));
        assert.deepEqual(a.sendErrors, []);
        assert.equal(a.conn.describe().gso, true);
        await Promise.all([a, b, c].map(({ conn }) => conn.close()));
      },
    );
  }

  test("a send that fails is told and counted as gone; the next ones leave", async () => {
    for (const errno of [ENOBUFS, EPERM, ECONNREFUSED, ENOMEM]) {
      const a = open(failing("sendmsg", once(errno)));
      const b = await Probe.open("native");
      a.send(b.address, numbered(10));
      a.send(b.address, numbered(20));
      await b.until(1);
      assert.deepEqual(b.got[0]!.bytes, numbered(20));
      assert.equal(a.sendErrors.length, 1);
      await Promise.all([a, b].map(({ conn }) => conn.close()));
    }
  });

  test("an interrupted send is repeated; a full buffer is waited for, in order", async () => {
    const a = open(failing("sendmsg", (n) => (n % 2 === 0 ? EINTR : 0)));
    const b = await Probe.open("native");
    for (let i = 0; i < 5; i++) a.send(b.address, Uint8Array.of(i));
    await b.until(5);
    assert.deepEqual(
      b.got.map(({ bytes }) => bytes[0]),
      [0, 1, 2, 3, 4],
    );
    const full = open(failing("sendmsg", (n) => (n < 3 ? EAGAIN : 0)));
    for (let i = 10; i < 15; i++) full.send(b.address, Uint8Array.of(i));
    await b.until(10);
    assert.deepEqual(
      b.got.slice(5).map(({ bytes }) => bytes[0]),
      [10, 11, 12, 13, 14],
    );
    assert.ok(full.drains > 0);
    await Promise.all([a, full, b].map(({ conn }) => conn.close()));
  });

  test("closing while the kernel takes nothing comes to an end", async () => {
    const a = open(failing("sendmsg", () => EAGAIN));
    a.send(a.address, numbered(10));
    await a.conn.close();
  });

  test("receives that fail now and then are tried again", async () => {
    const a = open(failing("recvmsg", (n) => (n % 3 === 0 ? EINTR : n % 3 === 1 ? ENOMEM : 0)));
    const b = await Probe.open("native");
    for (let i = 0; i < 10; i++) b.send(a.address, Uint8Array.of(i));
    await a.until(10);
    assert.deepEqual(a.failures, []);
    await Promise.all([a, b].map(({ conn }) => conn.close()));
  });

  test("a socket whose receives always fail is broken, and says so once", async () => {
    const libc = failing("recvmsg", () => ENOMEM);
    const a = open(libc);
    const b = await Probe.open("native");
    b.send(a.address, numbered(10));
    const end = Date.now() + 3000;
    while (a.failures.length === 0 && Date.now() < end) await turns(1);
    assert.equal((a.failures[0] as NodeJS.ErrnoException).code, "ENOMEM");
    assert.equal(libc.failed, MAX_RECEIVE_ERRORS);
    await a.conn.close();
    await turns(3);
    assert.equal(a.failures.length, 1);
    await b.conn.close();
  });
});
