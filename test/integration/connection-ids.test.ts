// What an application does about connection IDs: its own ones, retiring, the first ones, and hearing of what is retired.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import {
  ConnectionIdError,
  InvalidOptionError,
  type RetiredConnectionId,
  Transport,
} from "../../src/index.ts";
import { clientTls, collect, noUnhandledRejections, pair, type Pair, pattern, until } from "./pair.ts";

noUnhandledRejections();

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

async function transfer(both: Pair, n = 50_000): Promise<void> {
  const stream = await both.client.openUniStream();
  await stream.write(pattern(n));
  stream.close();
  assert.equal((await collect(await both.server.acceptUniStream())).length, n);
}

const settled = (both: Pair): Promise<void> =>
  until(
    () => both.client.connectionIds().spare === 3 && both.server.connectionIds().spare === 3,
    "connection IDs on both sides",
  );

const refused = (refusal: string) => (error: unknown) =>
  error instanceof ConnectionIdError && error.refusal === refusal && error.code === "ERR_QUIC_CONNECTION_ID";

describe("connection IDs of the application's", () => {
  test("are given to a peer that takes more, and used by it", async () => {
    await using both = await pair({ clientConfig: { activeConnectionIdLimit: 8 } });
    await until(() => both.client.connectionIds().spare === 3, "the server's own");
    const { client, server } = both;
    assert.equal(server.connectionIds().sourcesLeft, 4);
    const mine = Uint8Array.from(randomBytes(8));
    assert.equal(server.issueConnectionId(mine, { resetToken: randomBytes(16) }), 4);
    assert.equal(server.connectionIds().sourcesLeft, 3);
    await until(() => client.connectionIds().spare === 4, "it at the client");
    // The client goes through what it has: the fourth time it is that one.
    for (let i = 1; i <= 4; i++) {
      client.retireConnectionId();
      assert.equal(client.connectionIds().destinationSequence, i);
    }
    assert.equal(hex(client.connectionIds().destination), hex(mine));
    await transfer(both);
    assert.equal(hex(server.connectionIds().source!), hex(mine));
  });

  test("make room for themselves where that is wished", async () => {
    await using both = await pair();
    await settled(both);
    const { client, server } = both;
    assert.throws(() => server.issueConnectionId(randomBytes(8)), refused("limit"));
    const before = client.connectionIds().destination;
    const mine = Uint8Array.from(randomBytes(8));
    const retired: RetiredConnectionId[] = [];
    server.onConnectionIdRetired = (one) => retired.push(one);
    const given: RetiredConnectionId[] = [];
    client.onConnectionIdRetired = (one) => given.push(one);
    const sequence = server.issueConnectionId(mine, { retireIfNeeded: true });
    assert.throws(
      () => server.issueConnectionId(randomBytes(8), { retireIfNeeded: true }),
      refused("retiring"),
    );
    await until(() => retired.length > 0, "the client to retire the oldest");
    // The oldest is the first, which was in use.
    assert.deepEqual(retired, [{ ours: true, connectionId: before, sequence: 0 }]);
    assert.deepEqual(given, [{ ours: false, connectionId: before, sequence: 0 }]);
    assert.notEqual(hex(client.connectionIds().destination), hex(before));
    assert.ok(server.connectionIds().sources.some((each) => hex(each) === hex(mine)));
    assert.equal(server.connectionIds().sources.length, 4);
    assert.equal(sequence, 4);
    await transfer(both);
  });

  test("are refused where they cannot be", async () => {
    await using both = await pair({ clientConfig: { activeConnectionIdLimit: 8 } });
    await until(() => both.client.connectionIds().spare === 3, "the server's own");
    const { server } = both;
    assert.throws(() => server.issueConnectionId(randomBytes(7)), refused("length"));
    assert.throws(() => server.issueConnectionId(server.connectionIds().sources[1]!), refused("in_use"));
    const short = { resetToken: new Uint8Array(15) };
    assert.throws(() => server.issueConnectionId(randomBytes(8), short), InvalidOptionError);
    // Another connection's of the same socket.
    const [, other] = await Promise.all([
      both.dialer.dial(`127.0.0.1:${both.listener.address().port}`, clientTls),
      both.listener.accept(),
    ]);
    assert.throws(() => server.issueConnectionId(other.connectionIds().sources[0]!), refused("in_use"));
  });
});

describe("retiring the peer's", () => {
  test("each that is given back is replaced; the one in use by the next", async () => {
    await using both = await pair();
    await settled(both);
    const { client, server } = both;
    const retired: number[] = [];
    server.onConnectionIdRetired = ({ ours, sequence }) => void (ours && retired.push(sequence));
    client.retireConnectionId(2);
    await until(() => retired.length === 1 && client.connectionIds().spare === 3, "another for it");
    client.retireConnectionId();
    assert.equal(client.connectionIds().destinationSequence, 1);
    await until(() => retired.length === 2 && client.connectionIds().spare === 3, "another for that");
    assert.deepEqual(retired, [2, 0]);
    assert.throws(() => client.retireConnectionId(2), refused("unretirable"));
    assert.throws(() => client.retireConnectionId(99), refused("unretirable"));
    await transfer(both);
  });

  test("there is none to give back where the peer has none", async () => {
    const dialer = new Transport({ address: "127.0.0.1", connectionIdLength: 0 });
    await using both = await pair({ dialer });
    assert.throws(() => both.server.retireConnectionId(), refused("unretirable"));
    assert.throws(() => both.client.issueConnectionId(new Uint8Array(0)), ConnectionIdError);
    assert.equal(both.client.connectionIds().sourcesLeft, 0);
  });
});

describe("the first connection IDs", () => {
  test("are the client's to choose, and name the connection at both ends", async () => {
    const acceptor = new Transport({ address: "127.0.0.1" });
    const dialer = new Transport({ address: "127.0.0.1" });
    await using both = await pair({ acceptor, dialer });
    const target = `127.0.0.1:${both.listener.address().port}`;
    const dcid = Uint8Array.from(randomBytes(15));
    const scid = Uint8Array.from(randomBytes(8));
    const [client, server] = await Promise.all([
      dialer.dial(target, clientTls, {}, { dcid, scid }),
      both.listener.accept(),
    ]);
    assert.equal(client.traceId, hex(dcid));
    assert.equal(server.traceId, hex(dcid));
    assert.equal(hex(client.connectionIds().sources[0]!), hex(scid));
    assert.equal(hex(server.connectionIds().destination), hex(scid));
    await transfer({ ...both, client, server });
    assert.notEqual(both.client.traceId, client.traceId);
    // While that connection lives nobody else gets it.
    await assert.rejects(dialer.dial(target, clientTls, {}, { scid }), InvalidOptionError);
    await assert.rejects(dialer.dial(target, clientTls, {}, { scid: randomBytes(9) }), InvalidOptionError);
    for (const bad of [7, 21]) {
      await assert.rejects(
        dialer.dial(target, clientTls, {}, { dcid: randomBytes(bad) }),
        InvalidOptionError,
      );
    }
  });

  test("survive Retry", async () => {
    const acceptor = new Transport({ address: "127.0.0.1", verifySourceAddress: () => true });
    await using both = await pair({ acceptor });
    const dcid = Uint8Array.from(randomBytes(8));
    const scid = Uint8Array.from(randomBytes(8));
    const target = `127.0.0.1:${both.listener.address().port}`;
    const dialer = new Transport({ address: "127.0.0.1" });
    try {
      const [client, server] = await Promise.all([
        dialer.dial(target, clientTls, { tokenStore: null }, { dcid, scid }),
        both.listener.accept(),
      ]);
      assert.equal(server.traceId, hex(dcid));
      assert.equal(client.traceId, hex(dcid));
      assert.equal(hex(server.connectionIds().destination), hex(scid));
    } finally {
      await dialer.close();
    }
  });
});
