// Protocol cost: two connections in memory, null AEAD, no sockets. CPU time of the process per packet, over both ends'
// work: what else runs on the machine does not count.

import { connectionConfig } from "../../internal/connection/config.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import { Endpoint } from "../../internal/endpoint/endpoint.ts";
import { connections } from "../../internal/endpoint/factory.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { RxBatch, TxBatch } from "../../internal/protocol/batch.ts";
import { makeCertificate } from "../../internal/tls/self-signed.ts";
import { loadIdentity } from "../../internal/tls/identity.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { seededRandom } from "./random.ts";

/** Microseconds per packet for both ends together, in the steady state of a transfer of `bytes`. */
export function measureInMemory(
  bytes: number,
  datagramSize = 1452,
): { microseconds: number; packets: number } {
  const random = seededRandom(1);
  const provider = simProvider({ nullAead: true });
  const real = nodeProvider();
  const wall = 1_700_000_000_000;
  const { cert, key } = makeCertificate({
    provider: real,
    random,
    altNames: ["localhost"],
    notBefore: wall - 1e9,
    notAfter: wall + 1e9,
  });
  const identity = loadIdentity(provider, { cert, key });
  // No pacing: the clock stands still while batches move, and what is measured is the work.
  const config = connectionConfig({ provider, random, datagramSize, pacing: false });
  const clientAddress = makeAddress("10.0.0.1", 1000);
  const serverAddress = makeAddress("10.0.0.2", 2000);
  const client = new Endpoint({ random, provider }, connections);
  const server = new Endpoint({ random, provider }, connections);
  server.listen({
    config,
    tls: () => ({ options: { alpn: ["bench"], identity, clientAuth: "none", verify: () => ({ ok: true }) } }),
  });
  let now = 1;
  const connection: Connection = client.dial(
    {
      remote: serverAddress,
      config,
      tls: { alpn: ["bench"], serverName: "localhost", verify: () => ({ ok: true }) },
    },
    now,
    wall,
  );

  const tx = new TxBatch();
  const rx = new RxBatch();
  const move = (from: Endpoint, address: Address, to: Endpoint) => {
    for (let more = true; more;) {
      tx.clear();
      more = from.transmit(tx, now);
      for (let i = 0; i < tx.count; i++) {
        const end = tx.offset[i]! + tx.length[i]!;
        const segment = tx.segmentSize[i]!;
        for (let at = tx.offset[i]!; at < end; at += segment) {
          rx.push(tx.slab.subarray(at, Math.min(at + segment, end)), address);
        }
      }
      if (rx.count > 0) to.receive(rx, now, wall);
      rx.clear();
    }
  };
  const chunk = new Uint8Array(65536);
  const target = new Uint8Array(65536);
  let got = 0;
  let warmAt = 0;
  let warmPackets = 0;
  let stream = null as ReturnType<Connection["openStream"]>;
  const warmup = bytes / 10;
  while (got < bytes) {
    now += 0.2;
    move(client, clientAddress, server);
    for (let next = server.pollEvent(); next !== null; next = server.pollEvent()) {
      if (next.type === "accepted" || next.event.type !== "stream_readable") continue;
      const recv = next.event.stream.recv!;
      for (let n = recv.readInto(target); n > 0; n = recv.readInto(target)) got += n;
    }
    move(server, serverAddress, client);
    while (client.pollEvent() !== null);
    if (stream === null) stream = connection.openStream(true);
    else while (stream.send!.capacity >= chunk.length) stream.send!.write(chunk, false);
    client.handleTimeout(now, wall);
    server.handleTimeout(now, wall);
    if (warmAt === 0 && got > warmup) {
      warmAt = cpuMicroseconds();
      warmPackets = connection.stats.packetsSent;
    }
  }
  const packets = connection.stats.packetsSent - warmPackets;
  return { microseconds: (cpuMicroseconds() - warmAt) / packets, packets };
}

function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
