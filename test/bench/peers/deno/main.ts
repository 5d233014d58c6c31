// Deno's QuicEndpoint (quinn behind its runtime): `deno run --unstable-net`.

import { readFileSync } from "node:fs";
import type { Adapter, BenchStream } from "../../engine/adapter.ts";
import { main } from "../../engine/main.ts";
import { ALPN, MAX_STREAMS } from "../../engine/spec.ts";

interface QuicStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

interface QuicConn {
  createBidirectionalStream(options: { waitUntilAvailable: boolean }): Promise<QuicStream>;
  readonly incomingBidirectionalStreams: ReadableStream<QuicStream>;
  sendDatagram(bytes: Uint8Array): Promise<void>;
  readDatagram(): Promise<Uint8Array>;
  readonly protocol: string | undefined;
  close(info: { closeCode: number; reason: string }): void;
}

interface QuicEndpoint {
  readonly addr: { readonly port: number };
  listen(options: object): AsyncIterable<{ accept(): Promise<QuicConn> }>;
  close(): void;
}

// What is used of Deno's types.
declare const Deno: {
  QuicEndpoint: new (options: { hostname: string; port?: number }) => QuicEndpoint;
  connectQuic(options: object): Promise<QuicConn>;
};

function streamOf(stream: QuicStream): BenchStream {
  // BYOB readers take the caller's memory away; what the default reader gives is at least as fast.
  const reader = stream.readable.getReader();
  const writer = stream.writable.getWriter();
  return {
    write(bytes) {
      const done = writer.write(bytes);
      done.catch(() => {});
      return (writer.desiredSize ?? 0) > 0 ? undefined : done;
    },
    end: () => void writer.close().catch(() => {}),
    async read() {
      const { done, value } = await reader.read();
      return done ? null : value;
    },
  };
}

async function accept(connection: QuicConn, onStream: (stream: BenchStream, state: State) => void) {
  const state: State = { datagrams: 0 };
  void (async () => {
    for (;;) {
      await connection.readDatagram();
      state.datagrams++;
    }
  })().catch(() => {});
  const reader = connection.incomingBidirectionalStreams.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onStream(streamOf(value), state);
  }
}
type State = { datagrams: number };

const adapter: Adapter = {
  async listen(spec, { onStream }) {
    const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1" });
    const listener = endpoint.listen({
      cert: readFileSync(spec.cert, "utf8"),
      key: readFileSync(spec.key, "utf8"),
      alpnProtocols: [ALPN],
      maxConcurrentBidirectionalStreams: MAX_STREAMS,
    });
    void (async () => {
      for await (const incoming of listener) {
        void incoming
          .accept()
          .then((connection) => accept(connection, onStream))
          .catch(() => {});
      }
    })();
    return endpoint.addr.port;
  },
  async client(spec) {
    const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1" });
    const ca = readFileSync(spec.ca, "utf8");
    return {
      async connect() {
        const connection = await Deno.connectQuic({
          hostname: "127.0.0.1",
          port: spec.port,
          serverName: "localhost",
          alpnProtocols: [ALPN],
          caCerts: [ca],
          endpoint,
        });
        return {
          openStream: async () =>
            streamOf(await connection.createBidirectionalStream({ waitUntilAvailable: true })),
          info: () => ({ kind: "quinn" }),
          close: () => connection.close({ closeCode: 0, reason: "" }),
          sendDatagram: (bytes) => connection.sendDatagram(bytes),
        };
      },
      close: () => endpoint.close(),
    };
  },
};

await main(adapter);
