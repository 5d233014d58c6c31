// Our side of the benchmarks.

import { readFileSync } from "node:fs";
import { type Config, type Connection, type Stream, Transport } from "../../../../src/index.ts";
import type { Adapter, BenchConnection, BenchStream } from "../../engine/adapter.ts";
import { main } from "../../engine/main.ts";
import { MAX_STREAMS, type Spec } from "../../engine/spec.ts";
import { infoOf, NOTHING_KEPT, TLS, TRANSPORT } from "./settings.ts";

/** What the API gets once it has datagrams; until then the scenario is skipped. */
type Datagrams = {
  sendDatagram?: (bytes: Uint8Array) => unknown;
  receiveDatagram?: () => Promise<Uint8Array>;
};

function config({ datagram, workload }: Spec): Config {
  const many = workload.kind === "connections";
  return {
    initialPacketSize: datagram,
    maxIncomingStreams: MAX_STREAMS,
    // Thousands of connections wait for their turn.
    ...(many ? { maxIdleTimeout: 0 } : {}),
    ...(workload.kind === "datagrams" ? { enableDatagrams: true } : {}),
  };
}

function streamOf(stream: Stream): BenchStream {
  return {
    write: (bytes) => stream.write(bytes),
    end: () => stream.close(),
    read: async (buffer) => {
      const n = await stream.read(buffer);
      return n === null ? null : buffer.subarray(0, n);
    },
  };
}

function connectionOf(connection: Connection): BenchConnection {
  const { sendDatagram } = connection as Datagrams;
  return {
    openStream: async () => streamOf(await connection.openStream()),
    info: () => infoOf(connection),
    close: () => connection.closeWithError(0, ""),
    ...(sendDatagram === undefined
      ? {}
      : { sendDatagram: (bytes: Uint8Array) => void sendDatagram.call(connection, bytes) }),
  };
}

async function accept(connection: Connection, onStream: (stream: BenchStream, state: State) => void) {
  const state: State = { datagrams: 0 };
  const { receiveDatagram } = connection as Datagrams;
  if (receiveDatagram !== undefined) {
    void (async () => {
      for (;;) {
        await receiveDatagram.call(connection);
        state.datagrams++;
      }
    })().catch(() => {});
  }
  for await (const stream of connection.incomingStreams()) onStream(streamOf(stream), state);
}
type State = { datagrams: number };

const adapter: Adapter = {
  async listen(spec, { onStream }) {
    const transport = new Transport({ address: "127.0.0.1", port: 0, ...TRANSPORT });
    const tls = { ...TLS, cert: readFileSync(spec.cert), key: readFileSync(spec.key) };
    const listener = await transport.listen(tls, config(spec));
    void (async () => {
      for await (const connection of listener) void accept(connection, onStream).catch(() => {});
    })();
    return listener.address().port;
  },
  async client(spec) {
    const transport = new Transport({ address: "127.0.0.1", ...TRANSPORT });
    const tls = { ...TLS, ca: readFileSync(spec.ca, "utf8"), ...(spec.workload.resumed ? {} : NOTHING_KEPT) };
    const target = { host: "127.0.0.1", port: spec.port };
    return {
      connect: async () => connectionOf(await transport.dial(target, tls, config(spec))),
      close: () => transport.close(),
    };
  },
};

await main(adapter);
