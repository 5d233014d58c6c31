// A server's accept queue, and what becomes of clients whose server lost its memory: over real sockets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CONNECTION_REFUSED } from "../../internal/protocol/constants.ts";
import { ACCEPT_QUEUE } from "../../internal/protocol/limits.ts";
import type { PacketConn } from "../../internal/udp/packet-conn.ts";
import { openSocket } from "../../internal/udp/open.ts";
import {
  type Connection,
  IdleTimeoutError,
  StatelessResetError,
  Transport,
  TransportError,
} from "../../src/index.ts";
import { clientTls, noUnhandledRejections, serverTls, until } from "./pair.ts";

noUnhandledRejections();

const refusal = (error: unknown) => error instanceof TransportError && error.errorCode === CONNECTION_REFUSED;

test("32 connections wait for accept(), others are refused, and one taken makes room for one", async () => {
  await using acceptor = new Transport({ address: "127.0.0.1" });
  await using dialer = new Transport({ address: "127.0.0.1" });
  const listener = await acceptor.listen(serverTls);
  const dial = () => dialer.dial(`127.0.0.1:${listener.address().port}`, clientTls);
  const waiting: Connection[] = [];
  for (let i = 0; i < ACCEPT_QUEUE; i++) waiting.push(await dial());
  await until(() => acceptor.stats().connectionsAccepted === ACCEPT_QUEUE, "all of them wait");
  // rfc9000#5.2.2 If a server refuses to accept a new connection, it SHOULD send CONNECTION_REFUSED.
  await assert.rejects(dial(), refusal);
  assert.ok(acceptor.stats().connectionsRefused >= 1);
  const first = await listener.accept();
  const another = await dial();
  await until(() => acceptor.stats().connectionsAccepted === ACCEPT_QUEUE + 1, "it waits in its place");
  await assert.rejects(dial(), refusal);
  // They come in the order in which their handshakes were completed, and all of them work.
  const accepted = [first];
  for (let i = 0; i < ACCEPT_QUEUE; i++) accepted.push(await listener.accept());
  for (const [i, client] of [...waiting, another].entries()) {
    const stream = await client.openUniStream();
    await stream.write(Uint8Array.of(i));
    stream.close();
    const arrived = await (await accepted[i]!.acceptUniStream()).read(new Uint8Array(2));
    assert.equal(arrived, 1);
  }
  await dialer.close();
  await acceptor.close();
});

test("a connection that its client closed in the queue is over when it is accepted", async () => {
  await using acceptor = new Transport({ address: "127.0.0.1" });
  await using dialer = new Transport({ address: "127.0.0.1" });
  const listener = await acceptor.listen(serverTls);
  const client = await dialer.dial(`127.0.0.1:${listener.address().port}`, clientTls);
  await until(() => acceptor.stats().connectionsAccepted === 1, "it waits");
  client.closeWithError(7, "changed my mind");
  await client.closed;
  const accepted = await listener.accept();
  const { error } = await accepted.closed;
  assert.equal((error as { errorCode?: number } | null)?.errorCode, 7);
  await assert.rejects(accepted.acceptStream(), { errorCode: 7 });
  await dialer.close();
  await acceptor.close();
});

/** A socket that falls silent when it is told to: what is sent then is lost. */
async function silenceable(): Promise<{ socket: PacketConn; silence: () => void }> {
  const inner = await openSocket({ address: "127.0.0.1" });
  let silent = false;
  const socket: PacketConn = {
    start: (sink) => inner.start(sink),
    batch: () => inner.batch(),
    send: (batch) => {
      if (silent) batch.clear();
      inner.send(batch);
    },
    address: () => inner.address(),
    close: () => inner.close(),
    ref: () => inner.ref(),
    unref: () => inner.unref(),
    describe: () => inner.describe(),
  };
  return { socket, silence: () => (silent = true) };
}

// rfc9000#10.3 a stateless reset is provided as an option of last resort for an endpoint that does not have access to the
// state of a connection
const statelessResetKey = new Uint8Array(32).fill(3);
for (const [what, key, resets] of [
  ["has its reset key", { statelessResetKey }, "heard"],
  ["draws another reset key each time", {}, "sent"],
  ["does not use its reset key", { statelessResetKey, disableStatelessReset: true }, "none"],
] as const) {
  test(`a server that lost its memory, and ${what}`, async () => {
    const { socket, silence } = await silenceable();
    const before = new Transport({ socket, ...key });
    const listener = await before.listen(serverTls);
    const { port } = listener.address();
    await using dialer = new Transport({ address: "127.0.0.1" });
    const client = await dialer.dial(`127.0.0.1:${port}`, clientTls, {
      maxIdleTimeout: resets === "heard" ? 20_000 : 1000,
    });
    // The client hears of the handshake's confirmation: what it sends from then on has short headers alone.
    const hello = await (await listener.accept()).openUniStream();
    await hello.write(Uint8Array.of(1));
    assert.equal(await (await client.acceptUniStream()).read(new Uint8Array(1)), 1);
    silence();
    await before.close();
    await socket.close();
    await using after = new Transport({ address: "127.0.0.1", port, ...key });
    await after.listen(serverTls);
    // It learns of it when it says something.
    const stream = await client.openUniStream();
    await stream.write(new Uint8Array(100));
    const { error } = await client.closed;
    assert.ok(error instanceof (resets === "heard" ? StatelessResetError : IdleTimeoutError), String(error));
    assert.equal(after.stats().statelessSent.stateless_reset > 0, resets !== "none");
    await dialer.close();
    await after.close();
  });
}
