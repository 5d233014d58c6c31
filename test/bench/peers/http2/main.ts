// What a Node user has today: node:http2 over TLS 1.3 and TCP. A stream is a POST whose body goes both ways.

import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect, createSecureServer, type ServerHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import type { Adapter, BenchConnection } from "../../engine/adapter.ts";
import { main } from "../../engine/main.ts";
import { MAX_STREAMS } from "../../engine/spec.ts";
import { duplexStream } from "../node-stream.ts";
import { CONNECTION_WINDOW, TLS, WINDOW } from "./settings.ts";

function connectionOf(session: ClientHttp2Session): BenchConnection {
  return {
    openStream: async () => duplexStream(session.request({ ":method": "POST" }, { endStream: false })),
    info() {
      const socket = session.socket as TLSSocket;
      const { standardName: cipher } = socket.getCipher();
      return { cipher, group: "X25519", kind: "tcp", didResume: socket.isSessionReused() };
    },
    close: () => new Promise<void>((resolve) => session.close(resolve)),
  };
}

const adapter: Adapter = {
  listen(spec, { onStream }) {
    const server = createSecureServer({
      ...TLS,
      cert: readFileSync(spec.cert),
      key: readFileSync(spec.key),
      settings: { initialWindowSize: WINDOW, maxConcurrentStreams: MAX_STREAMS },
    });
    server.on("session", (session) => {
      session.setLocalWindowSize(CONNECTION_WINDOW);
      session.on("error", () => {});
    });
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.respond();
      onStream(duplexStream(stream), { datagrams: 0 });
    });
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
    });
  },
  async client(spec) {
    const ca = readFileSync(spec.ca);
    const { resumed } = spec.workload;
    let ticket: Buffer | undefined;
    return {
      connect: () =>
        new Promise((resolve, reject) => {
          const session = connect(`https://localhost:${spec.port}`, {
            ...TLS,
            ca,
            host: "127.0.0.1",
            // Without a ticket every handshake is full.
            ...(ticket === undefined ? {} : { session: ticket }),
            settings: { initialWindowSize: WINDOW },
          });
          session.on("error", reject);
          session.on("connect", () => {
            session.setLocalWindowSize(CONNECTION_WINDOW);
            if (resumed) session.socket.on("session", (bytes: Buffer) => (ticket = bytes));
            resolve(connectionOf(session));
          });
        }),
      close: () => {},
    };
  },
};

await main(adapter);
