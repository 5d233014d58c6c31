// Two QUIC endpoints by hand: no sockets, no timers, no promises. One asks, the other answers, over a "network" that is
// a loop, in time that is a number. This is how to embed the protocol in a loop of your own, or to simulate it.

import { randomFillSync } from "node:crypto";
import { selfSigned } from "../../src/index.ts";
import {
  type Address,
  type Connection,
  connectionConfig,
  Endpoint,
  loadIdentity,
  loadTrustAnchors,
  makeAddress,
  nodeProvider,
  RxBatch,
  TxBatch,
  verifyChain,
} from "../../src/sansio.ts";

/** Runs it and returns what the client was answered. */
export function main(): string {
  // What the core does not take for itself comes in as parameters: randomness, primitives, and two clocks. `now` is
  // monotonic (timers), `wallNow` the calendar's (certificates). Both stand still until we move them.
  const random = (out: Uint8Array): void => void randomFillSync(out);
  const provider = nodeProvider();
  const wallNow = Date.now();
  let now = 0;

  const { cert, key } = selfSigned();
  const identity = loadIdentity(provider, { cert, key });
  const anchors = loadTrustAnchors([cert]);

  const client = { address: makeAddress("192.0.2.1", 1111), endpoint: new Endpoint({ random }) };
  const server = { address: makeAddress("192.0.2.2", 4433), endpoint: new Endpoint({ random }) };

  server.endpoint.listen({
    config: connectionConfig({ provider, random }),
    // Called for every connection that arrives.
    tls: () => ({
      options: { alpn: ["demo"], identity, clientAuth: "none", verify: () => ({ ok: true }) },
    }),
  });

  const connection = client.endpoint.dial(
    {
      remote: server.address,
      config: connectionConfig({ provider, random }),
      tls: {
        alpn: ["demo"],
        serverName: "localhost",
        verify: (chain, serverName, at) =>
          verifyChain(provider, { chain: [...chain], anchors, now: at, purpose: "server", serverName }),
      },
    },
    now,
    wallNow,
  );

  // Datagrams that are under way. Each direction takes 10 ms.
  const underWay: { at: number; bytes: Uint8Array; from: Address; to: Address }[] = [];

  /** Verb 1, transmit: the endpoint fills batches with what it wants sent now. */
  const send = (node: typeof client): void => {
    const batch = new TxBatch();
    for (let more = true; more;) {
      batch.clear();
      more = node.endpoint.transmit(batch, now);
      for (let i = 0; i < batch.count; i++) {
        // An entry is a run of datagrams of one size; only the last may be shorter.
        const end = batch.offset[i]! + batch.length[i]!;
        for (let at = batch.offset[i]!; at < end; at += batch.segmentSize[i]!) {
          const bytes = batch.slab.slice(at, Math.min(end, at + batch.segmentSize[i]!));
          underWay.push({ at: now + 10, bytes, from: node.address, to: batch.remote[i]! });
        }
      }
    }
  };

  /** Verb 2, receive: datagrams go in by batch, and are opened in place. */
  const receive = (node: typeof client): void => {
    const batch = new RxBatch();
    for (let i = 0; i < underWay.length;) {
      const { at, bytes, from, to } = underWay[i]!;
      if (at > now || to.key !== node.address.key || !batch.push(bytes, from)) i++;
      else underWay.splice(i, 1);
    }
    if (batch.count > 0) node.endpoint.receive(batch, now, wallNow + now);
  };

  /** Verb 3, pollEvent: what happened, until there is nothing more to tell. */
  const poll = (node: typeof client, on: (connection: Connection, event: string) => void): void => {
    for (let next = node.endpoint.pollEvent(); next !== null; next = node.endpoint.pollEvent()) {
      if (next.type === "accepted") continue;
      const { connection, event } = next;
      if (event.type === "stream_readable") {
        // The application reads where it is told that there is something, and writes when it likes.
        const { recv, send } = event.stream;
        for (const chunk of recv!.readChunks(65_536)) {
          const words = new TextDecoder().decode(chunk);
          if (node === server) send!.write(new TextEncoder().encode(`you said: ${words}`), false);
          else answer += words;
        }
        if (recv!.finished && node === server) send!.finish();
        if (recv!.finished && node === client) connection.closeWithError(0n, "done", now);
      }
      on(connection, event.type);
    }
  };

  let answer = "";
  let over = false;
  while (!over) {
    for (const node of [client, server]) {
      receive(node);
      poll(node, (which, event) => {
        if (node === client && event === "handshake_complete") {
          const stream = which.openStream(true)!;
          stream.send!.write(new TextEncoder().encode("hello without sockets"), false);
          stream.send!.finish();
        }
        if (which === connection && event === "closed") over = true;
      });
      send(node);
    }
    // Verb 4, handleTimeout: time passes to whatever comes first, a datagram or a deadline.
    const next = Math.min(
      ...underWay.map((one) => one.at),
      client.endpoint.nextTimeout(),
      server.endpoint.nextTimeout(),
    );
    if (next === Infinity) throw new Error("nothing will ever happen again");
    now = Math.max(now, next);
    for (const node of [client, server]) {
      if (node.endpoint.nextTimeout() <= now) node.endpoint.handleTimeout(now, wallNow + now);
    }
  }
  // Keys and buffers go now, not when the collector finds them.
  client.endpoint.dispose();
  server.endpoint.dispose();
  return answer;
}

if (process.argv[1] === import.meta.filename) console.log(main());
