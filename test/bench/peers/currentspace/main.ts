// @currentspace/http3: quiche behind a native binding, by its raw QUIC API.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Duplex } from "node:stream";
import type { Adapter } from "../../engine/adapter.ts";
import { main } from "../../engine/main.ts";
import { ALPN, MAX_STREAMS, type Spec } from "../../engine/spec.ts";
import { duplexStream } from "../node-stream.ts";

interface Session {
  openStream(): Duplex;
  sendDatagram(data: Uint8Array): boolean;
  close(): Promise<void>;
  on(event: "stream", listener: (stream: Duplex) => void): void;
  on(event: "datagram", listener: () => void): void;
  on(event: "error", listener: () => void): void;
  readonly runtimeInfo?: { readonly selectedMode?: string; readonly driver?: string | null } | null;
}

interface Library {
  createQuicServer(options: object): {
    on(event: "session", listener: (session: Session) => void): void;
    listen(port: number, host: string): Promise<{ port: number }>;
  };
  connectQuicAsync(authority: string, options: object): Promise<Session>;
}

const load = (spec: Spec): Library => createRequire(import.meta.url)(spec.module) as Library;

function options({ datagram, workload }: Spec): object {
  return {
    alpn: [ALPN],
    maxUdpPayloadSize: datagram,
    initialMaxStreamsBidi: MAX_STREAMS,
    // The windows the others grow to.
    initialMaxData: 15 * 1024 * 1024,
    initialMaxStreamDataBidiLocal: 6 * 1024 * 1024,
    enableDatagrams: workload.kind === "datagrams",
    disableRetry: true,
  };
}

const adapter: Adapter = {
  async listen(spec, { onStream }) {
    const cert = readFileSync(spec.cert);
    const server = load(spec).createQuicServer({ ...options(spec), cert, key: readFileSync(spec.key) });
    server.on("session", (session) => {
      const state = { datagrams: 0 };
      session.on("error", () => {});
      session.on("datagram", () => state.datagrams++);
      session.on("stream", (stream) => onStream(duplexStream(stream), state));
    });
    return (await server.listen(0, "127.0.0.1")).port;
  },
  async client(spec) {
    const { connectQuicAsync } = load(spec);
    const settings = { ...options(spec), ca: readFileSync(spec.ca), servername: "localhost" };
    return {
      async connect() {
        const session = await connectQuicAsync(`127.0.0.1:${spec.port}`, settings);
        session.on("error", () => {});
        return {
          openStream: async () => duplexStream(session.openStream()),
          info: () => ({ ...session.runtimeInfo }),
          close: () => session.close(),
          sendDatagram: (bytes) => void session.sendDatagram(bytes),
        };
      },
      close: () => {},
    };
  },
};

await main(adapter);
