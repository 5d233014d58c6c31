import assert from "node:assert/strict";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { after, describe, it } from "node:test";
import { longPackets } from "./packets.ts";
import { type Relay, type RelayOptions, startRelay } from "./relay.ts";

const open: { close(): unknown }[] = [];
after(() => Promise.all(open.map((each) => each.close())));

async function bound(host: string): Promise<Socket> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  open.push(socket);
  socket.bind(0, host);
  await once(socket, "listening");
  return socket;
}

async function message(socket: Socket): Promise<{ data: Buffer; from: RemoteInfo }> {
  const [data, from] = (await once(socket, "message")) as [Buffer, RemoteInfo];
  return { data, from };
}

interface Ends {
  client: Socket;
  server: Socket;
  relay: Relay;
  send(data: Buffer): Promise<{ data: Buffer; from: RemoteInfo }>;
  answer(data: Buffer, to: RemoteInfo): Promise<Buffer>;
}

async function ends(options: Omit<RelayOptions, "target"> = {}, host = "127.0.0.1"): Promise<Ends> {
  const server = await bound(host);
  const client = await bound(host);
  const relay = await startRelay({ ...options, target: { host, port: server.address().port } });
  open.push(relay);
  return {
    client,
    server,
    relay,
    send: (data) => {
      client.send(data, relay.port, relay.host);
      return message(server);
    },
    answer: async (data, to) => {
      server.send(data, to.port, to.address);
      return (await message(client)).data;
    },
  };
}

/** A long header packet of version 1: type bits, then a connection ID and rest. */
function long(type: number, size: number, token = false): Buffer {
  const buf = Buffer.alloc(size);
  const head = [0xc0 | (type << 4), 0, 0, 0, 1, 4, 1, 2, 3, 4, 4, type, 6, 7, 8];
  if (type === 0) head.push(...(token ? [2, 9, 9] : [0]));
  const length = size - head.length - 2;
  buf.set([...head, 0x40 | (length >> 8), length & 0xff]);
  return buf;
}

describe("the relay over sockets", () => {
  for (const host of ["127.0.0.1", "::1"]) {
    it(`carries datagrams both ways over ${host}`, async (t) => {
      let path: Ends;
      try {
        path = await ends({ delayMs: 5 }, host);
      } catch (error) {
        t.skip(`no ${host}: ${(error as Error).message}`);
        return;
      }
      const { data, from } = await path.send(Buffer.from("question"));
      assert.equal(data.toString(), "question");
      assert.equal((await path.answer(Buffer.from("answer"), from)).toString(), "answer");
      const stats = path.relay.stats();
      assert.equal(stats.flows.length, 1);
      assert.equal(stats.toServer.deliveredBytes, 8);
      assert.equal(stats.toClient.deliveredBytes, 6);
      assert.ok(stats.durationMs >= 4, `${stats.durationMs} ms`);
    });
  }

  it("gives each client a socket of its own", async () => {
    const path = await ends();
    const other = await bound("127.0.0.1");
    const first = await path.send(Buffer.from("a"));
    other.send("b", path.relay.port, path.relay.host);
    const second = await message(path.server);
    assert.notEqual(first.from.port, second.from.port);
    path.server.send("for b", second.from.port, second.from.address);
    assert.equal((await message(other)).data.toString(), "for b");
  });

  it("rebinds to another port, and drops what comes for the old one", async () => {
    const path = await ends();
    const { from: before } = await path.send(Buffer.from("1"));
    await path.relay.rebind();
    assert.equal(
      (await path.answer(Buffer.from("still"), before)).toString(),
      "still",
      "not before it sends",
    );
    const { from: now } = await path.send(Buffer.from("2"));
    assert.notEqual(now.port, before.port);
    path.server.send("late", before.port, before.address);
    assert.equal((await path.answer(Buffer.from("right"), now)).toString(), "right");
    const stats = path.relay.stats();
    assert.equal(stats.rebinds, 1);
    assert.equal(stats.stale, 1);
    assert.equal(stats.flows[0]!.bindings.length, 2);
  });

  it(
    "rebinds to another address",
    { skip: process.platform !== "linux" && "127.0.0.2 is Linux's" },
    async () => {
      const path = await ends({ rebind: { kind: "address", firstMs: 60_000 } });
      const { from: before } = await path.send(Buffer.from("1"));
      await path.relay.rebind();
      const { from: now } = await path.send(Buffer.from("2"));
      assert.notEqual(now.address, before.address);
    },
  );

  it("counts what a server sends to an address that is not validated", async () => {
    const path = await ends();
    const { from } = await path.send(long(0, 1200));
    await path.answer(long(2, 1200), from);
    await path.answer(long(2, 1200), from);
    let [flow] = path.relay.stats().flows;
    assert.deepEqual([flow!.amplification, flow!.unvalidatedBytes, flow!.validated], [2, 2400, false]);
    await path.send(long(2, 100));
    await path.answer(Buffer.alloc(1400), from);
    [flow] = path.relay.stats().flows;
    assert.deepEqual([flow!.amplification, flow!.unvalidatedBytes, flow!.validated], [2, 2400, true]);
    assert.equal(path.relay.stats().handshakes, 1);
  });

  it("finds coalesced long header packets", () => {
    const datagram = Buffer.concat([long(0, 300, true), long(2, 200), Buffer.alloc(50, 0x40)]);
    assert.deepEqual(
      longPackets(datagram).map(({ type, start, end, tokenLength }) => [type, start, end, tokenLength]),
      [
        [0, 0, 300, 2],
        [2, 300, 500, 0],
      ],
    );
    for (let cut = 0; cut < datagram.length; cut++) longPackets(datagram.subarray(0, cut));
  });
});
