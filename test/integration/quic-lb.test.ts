// QUIC-LB: the draft's vectors, and connections whose packets a load balancer can route.
import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { describe, test } from "node:test";
import {
  InvalidOptionError,
  QuicLbDecoder,
  QuicLbGenerator,
  Transport,
  unroutableConnectionIds,
} from "../../src/index.ts";
import { noUnhandledRejections, pair, pattern, collect, until } from "./pair.ts";

noUnhandledRejections();

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const random = (out: Uint8Array): void => void randomFillSync(out);
const key = hex("8f95f09245765f80256934e50c66207f");

/** Gives the nonce of a vector where a generator draws. */
function drawing(nonce: Uint8Array) {
  return (out: Uint8Array): void => out.set(nonce, out.length - nonce.length);
}

// draft-ietf-quic-load-balancers, appendix B
const VECTORS = [
  [0, "c4605e", "4504cc4f", "07c4605e4504cc4f", false],
  [1, "350d28b420", "3487d970b", "20a350d28b4203487d970b", false],
  [0, "ed793a", "ee080dbf", "0720b1d07b359d3c", true],
  [1, "ed793a51d49b8f5fab65", "ee080dbf48", "2fcc381bc74cb4fbad2823a3d1f8fed2", true],
  [2, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "504dd2d05a7b0de9b2b9907afb5ecf8cc3", true],
  [3, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc", true],
] as const;

describe("QUIC-LB", () => {
  for (const [configId, serverId, nonce, cid, encrypted] of VECTORS) {
    // The second vector is not whole: its nonce has an odd number of digits.
    if (nonce.length % 2 !== 0) continue;
    test(`vector ${cid}`, () => {
      const common = { nonceLength: nonce.length / 2, ...(encrypted ? { key } : {}) };
      // One of them has bits in its first byte that say another configuration than its table.
      const first = hex(cid)[0]!;
      const actual = first >> 5;
      const generator = new QuicLbGenerator({
        ...common,
        configId: actual,
        serverId: hex(serverId),
        encodeLength: true,
      });
      assert.equal(generator.length, cid.length / 2);
      assert.equal(toHex(generator.generate(drawing(hex(nonce)))).slice(2), cid.slice(2));
      const layout = { ...common, configId: actual, serverIdLength: serverId.length / 2 };
      assert.equal(toHex(new QuicLbDecoder([layout]).serverId(hex(cid))!), serverId);
      void configId;
    });
  }

  test("the worked example of four passes", () => {
    const generator = new QuicLbGenerator({
      configId: 0,
      serverId: hex("31441a"),
      nonceLength: 4,
      key: hex("fdf726a9893ec05c0632d3956680baf0"),
      encodeLength: true,
    });
    assert.equal(toHex(generator.generate(drawing(hex("9c69c275")))), "0767947d29be054a");
  });

  test("every length, in clear and encrypted, comes back; connection IDs differ", () => {
    for (let serverIdLength = 1; serverIdLength <= 15; serverIdLength++) {
      for (let nonceLength = 4; nonceLength + serverIdLength <= 19; nonceLength++) {
        for (const secret of [{}, { key }]) {
          const serverId = new Uint8Array(serverIdLength);
          random(serverId);
          const generator = new QuicLbGenerator({ configId: 5, serverId, nonceLength, ...secret });
          const decoder = new QuicLbDecoder([{ configId: 5, serverIdLength, nonceLength, ...secret }]);
          const made = generator.generate(random);
          assert.equal(made.length, generator.length);
          assert.equal(made[0]! >> 5, 5);
          assert.deepEqual(decoder.serverId(made), serverId);
          // In a short header more follows.
          assert.deepEqual(decoder.serverId(Uint8Array.of(...made, 1, 2, 3)), serverId);
          assert.equal(decoder.serverId(made.subarray(0, made.length - 1)), null);
          assert.notDeepEqual(generator.generate(random), made);
        }
      }
    }
  });

  test("what is of no configuration is unroutable", () => {
    const decoder = new QuicLbDecoder([{ configId: 1, serverIdLength: 1, nonceLength: 4 }]);
    assert.equal(decoder.serverId(new Uint8Array(0)), null);
    assert.equal(decoder.serverId(Uint8Array.of(0x40, 1, 2, 3, 4, 5)), null);
    assert.deepEqual(decoder.serverId(Uint8Array.of(0x20, 1, 2, 3, 4, 5)), Uint8Array.of(1));
    decoder.delete(1);
    assert.equal(decoder.serverId(Uint8Array.of(0x20, 1, 2, 3, 4, 5)), null);
    // quic-lb#3.2 Servers with no active configuration MUST issue connection IDs with the reserved value 0b111, and their length
    const made = unroutableConnectionIds(12).generate(random);
    assert.equal(made[0], 0xe0 | 11);
    assert.equal(decoder.serverId(made), null);
  });

  test("configurations that cannot be are refused", () => {
    const good = { configId: 0, serverId: Uint8Array.of(1), nonceLength: 6 };
    for (const bad of [
      { configId: 7 },
      { serverId: new Uint8Array(0) },
      { serverId: new Uint8Array(16) },
      { nonceLength: 3 },
      { nonceLength: 19 },
      { key: new Uint8Array(15) },
    ]) {
      assert.throws(() => new QuicLbGenerator({ ...good, ...bad }), InvalidOptionError);
    }
    const generator = new QuicLbGenerator(good);
    assert.throws(() => generator.rotate({ ...good, nonceLength: 7 }), InvalidOptionError);
  });
});

test("a server behind load balancers: every packet to it can be routed, also after a rotation", async () => {
  const old = { configId: 0, serverId: Uint8Array.of(9, 9), nonceLength: 6, key };
  const generator = new QuicLbGenerator(old);
  const acceptor = new Transport({ address: "127.0.0.1", connectionIdGenerator: generator });
  await using both = await pair({ acceptor });
  const { client, server } = both;
  const layout = { serverIdLength: 2, nonceLength: 6, key };
  const decoder = new QuicLbDecoder([{ ...layout, configId: 0 }]);
  assert.deepEqual(decoder.serverId(client.connectionIds().destination), Uint8Array.of(9, 9));
  generator.rotate({ ...old, configId: 1, serverId: Uint8Array.of(8, 8) });
  acceptor.renewConnectionIds();
  decoder.add({ ...layout, configId: 1 });
  const stream = await client.openUniStream();
  await stream.write(pattern(10_000));
  stream.close();
  await collect(await server.acceptUniStream());
  await until(
    () => decoder.serverId(client.connectionIds().destination)![0] === 8,
    "the client uses a connection ID of the new configuration",
  );
  await until(
    () => server.connectionIds().sources.every((id) => id[0]! >> 5 === 1),
    "the old ones are retired",
  );
});

test("connection IDs of every length carry connections, the client's of none at all too", async () => {
  for (const length of [0, 4, 5, 8, 13, 20]) {
    const dialer = new Transport({ address: "127.0.0.1", connectionIdLength: length });
    const acceptor = new Transport({ address: "127.0.0.1", connectionIdLength: Math.max(4, length) });
    await using both = await pair({ dialer, acceptor });
    const stream = await both.client.openUniStream();
    await stream.write(pattern(20_000));
    stream.close();
    assert.equal((await collect(await both.server.acceptUniStream())).length, 20_000);
    assert.equal(both.server.connectionIds().destination.length, length);
    assert.ok(both.client.connectionIds().sources.every((id) => id.length === length));
  }
  for (const bad of [1, 3, 21, 4.5]) {
    assert.throws(() => new Transport({ connectionIdLength: bad }), InvalidOptionError);
  }
  const generator = { length: 8, generate: () => new Uint8Array(7) };
  assert.throws(() => new Transport({ connectionIdGenerator: generator }), InvalidOptionError);
});

test("a generator that fails later costs nobody a connection", async () => {
  let calls = 0;
  const warnings: string[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning.message);
  process.on("warning", onWarning);
  const connectionIdGenerator = {
    length: 9,
    generate: (fill: (out: Uint8Array) => void) => {
      if (calls++ > 0) throw new Error("out of numbers");
      const out = new Uint8Array(9);
      fill(out);
      return out;
    },
  };
  const acceptor = new Transport({ address: "127.0.0.1", connectionIdGenerator });
  await using both = await pair({ acceptor });
  assert.equal(both.client.connectionIds().destination.length, 9);
  await until(() => warnings.length > 0, "a warning");
  process.off("warning", onWarning);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /out of numbers/);
});
