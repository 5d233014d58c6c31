// One accept loop over several listeners.
import assert from "node:assert/strict";
import { test } from "node:test";
import { acceptFrom, type Connection, type Listener, listenAddr, Transport } from "../../src/index.ts";
import { clientTls, noUnhandledRejections, serverTls, turns, until } from "./pair.ts";

noUnhandledRejections();

async function servers(count: number) {
  const listeners: Listener[] = [];
  for (let i = 0; i < count; i++) listeners.push(await listenAddr("127.0.0.1:0", serverTls));
  const dialer = new Transport({ address: "127.0.0.1" });
  return {
    listeners,
    dial: (i: number) => dialer.dial(`127.0.0.1:${listeners[i]!.address().port}`, clientTls),
    async [Symbol.asyncDispose]() {
      await dialer.close();
      for (const listener of listeners) await listener.close();
    },
  };
}

test("connections of all listeners come, in turn; the loop ends with the last of them", async () => {
  await using s = await servers(3);
  const got: Connection[] = [];
  const loop = (async () => {
    for await (const conn of acceptFrom(s.listeners)) got.push(conn);
  })();
  for (const i of [0, 1, 2, 2, 0]) await s.dial(i);
  await until(() => got.length === 5, "all five");
  const addresses = [0, 1, 2, 2, 0].map((i) => `127.0.0.1:${s.listeners[i]!.address().port}`);
  assert.deepEqual(got.map((conn) => conn.localAddress).sort(), addresses.sort());
  await s.listeners[0]!.close();
  await s.dial(1);
  await until(() => got.length === 6, "of those that are left");
  await s.listeners[1]!.close();
  await s.listeners[2]!.close();
  await loop;
  assert.equal(new Set(got).size, 6);
});

test("a busy listener does not starve another", async () => {
  await using s = await servers(2);
  const remotes: string[] = [];
  for (let n = 0; n < 6; n++) remotes.push((await s.dial(0)).remoteAddress);
  const late = (await s.dial(1)).remoteAddress;
  await turns(20);
  const loop = acceptFrom(s.listeners);
  const first = [await loop.next(), await loop.next()].map(({ value }) => value as Connection);
  await loop.return();
  // The second is the other listener's.
  assert.notEqual(late, remotes[0]);
  assert.equal(s.listeners[1]!.tryAccept(), null, "taken");
  assert.notEqual(s.listeners[0]!.tryAccept(), null, "left where it was");
  assert.equal(first.length, 2);
});

test("a loop that is left, or aborted, takes nothing with it", async () => {
  await using s = await servers(2);
  await s.dial(0);
  await s.dial(0);
  for await (const conn of acceptFrom(s.listeners)) {
    assert.ok(conn);
    break;
  }
  const aborting = new AbortController();
  const rest = acceptFrom(s.listeners, { signal: aborting.signal });
  assert.ok((await rest.next()).value);
  const waiting = rest.next();
  await turns(3);
  aborting.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await s.dial(1);
  assert.ok(await s.listeners[1]!.accept());
  await assert.rejects(acceptFrom(s.listeners, { signal: aborting.signal }).next(), /enough/);
});

test("beside an accept of its own, none at all, and one listener given twice", async () => {
  await using s = await servers(1);
  const own = s.listeners[0]!.accept();
  const loop = acceptFrom([s.listeners[0]!, s.listeners[0]!]);
  const next = loop.next();
  await turns(2);
  await s.dial(0);
  assert.ok(await own, "who waited first");
  await s.dial(0);
  assert.ok((await next).value);
  await loop.return();
  assert.deepEqual(await acceptFrom([]).next(), { value: undefined, done: true });
  assert.equal(s.listeners[0]!.tryAccept(), null);
});

test("a transport that fails ends the loop with its error", async () => {
  const failing = new Transport({ address: "127.0.0.1" });
  const listener = await failing.listen(serverTls);
  await using s = await servers(1);
  const next = acceptFrom([...s.listeners, listener]).next();
  await turns(2);
  listener.fail(new Error("socket gone"));
  await assert.rejects(next, /socket gone/);
  await s.dial(0);
  assert.ok(await s.listeners[0]!.accept());
  await failing.close();
});
