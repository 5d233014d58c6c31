// Spoofs: first Initials from all over 127.0.0.0/8, as many a second as it is told. One half are well made, with a
// ClientHello, and cost the server a handshake each if it lets them; the others open for nobody.
import { randomFillSync } from "node:crypto";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { connectionConfig } from "../../internal/connection/config.ts";
import { Endpoint } from "../../internal/endpoint/endpoint.ts";
import { connections } from "../../internal/endpoint/factory.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { NOT_ECT, TxBatch } from "../../internal/protocol/batch.ts";
import { PACKET_INITIAL, VERSION_1 } from "../../internal/protocol/constants.ts";
import { openSocket } from "../../internal/udp/open.ts";
import { patchLength, writeLongHeader } from "../../internal/wire/header.ts";

const [port, rate, sources] = process.argv.slice(2).map(Number) as [number, number, number];
const WELL_MADE = 2000;
const target = makeAddress("127.0.0.1", port);

/** First datagrams of clients. */
function wellMade(count: number): Uint8Array[] {
  const provider = nodeProvider();
  const random = (out: Uint8Array) => void randomFillSync(out);
  const endpoint = new Endpoint({ provider, random }, connections);
  const made: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const connection = endpoint.dial(
      {
        remote: target,
        config: connectionConfig({ provider, random }),
        tls: {
          alpn: ["flood"],
          serverName: "localhost",
          verify: () => ({ ok: true }),
          groups: ["x25519"],
        },
      },
      1000,
      Date.now(),
    );
    const tx = new TxBatch();
    endpoint.transmit(tx, 1000);
    made.push(tx.slab.slice(tx.offset[0], tx.offset[0]! + tx.segmentSize[0]!));
    void connection;
  }
  endpoint.dispose();
  return made;
}

const templates = wellMade(WELL_MADE);
const garbage = new Uint8Array(1200);
randomFillSync(garbage);
const pn = writeLongHeader(
  garbage,
  0,
  PACKET_INITIAL,
  VERSION_1,
  garbage.slice(100, 108),
  garbage.slice(108, 116),
  new Uint8Array(0),
  4,
  0,
);
patchLength(garbage, pn, garbage.length - pn);

const addresses: Address[] = Array.from({ length: sources }, (_, i) =>
  makeAddress(`127.${1 + ((i >> 16) & 127)}.${(i >> 8) & 255}.${1 + (i & 127)}`, 0),
);
// Bound to all addresses, so that each datagram says which of them it leaves from; the port is one.
const socket = await openSocket({ address: "0.0.0.0", udp: "native" });
const answered = { datagrams: 0, bytes: 0 };
socket.start({
  receive: (batch) => {
    answered.datagrams += batch.count;
    for (let i = 0; i < batch.count; i++) answered.bytes += batch.length[i]!;
  },
  drained: () => {},
  sendFailed: () => void failed++,
  failed: (error) => {
    throw error;
  },
});
let failed = 0;
let sent = 0;
let bytes = 0;
const begun = performance.now();
const cpuBefore = process.cpuUsage();
let seed = 1;

function burst(): void {
  const due = Math.min(4000, Math.floor(((performance.now() - begun) * rate) / 1000) - sent);
  for (let i = 0; i < due;) {
    const tx = socket.batch();
    if (tx === null) return;
    while (i < due && tx.hasRoom(1400)) {
      const packet = sent & 1 ? templates[(sent >> 1) % templates.length]! : garbage;
      // Another connection ID each time, from another place.
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      tx.slab.set(packet, tx.used);
      if (packet === garbage) {
        for (let k = 0; k < 4; k++) tx.slab[tx.used + 6 + k] = seed >> (8 * k);
      }
      tx.commit(packet.length, packet.length, target, addresses[(seed >>> 8) % sources]!, NOT_ECT);
      sent++;
      bytes += packet.length;
      i++;
    }
    socket.send(tx);
  }
}
setInterval(burst, 1);
process.send!({ ready: true });
process.on("message", () => {
  const { user, system } = process.cpuUsage(cpuBefore);
  const ms = performance.now() - begun;
  process.send!({ sent, bytes, answered, failed, ms, cpu: (user + system) / 1000 / ms });
});
process.on("disconnect", () => process.exit());
