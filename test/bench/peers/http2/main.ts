// What a Node user has today: node:http2 over TLS 1.3 and TCP. A stream is a POST whose body goes both ways.

import { readFileSync } from "node:fs";
import { type ClientHttp2Session, createSecureServer, type ServerHttp2Stream } from "node:http2";
import type { Adapter, BenchConnection } from "../../engine/adapter.ts";
import { main } from "../../engine/main.ts";
import { duplexStream } from "../node-stream.ts";
import { close, negotiated, open, serve, serverOptions } from "./sessions.ts";

function connectionOf(session: ClientHttp2Session): BenchConnection {
  return {
    openStream: async () => duplexStream(session.request({ ":method": "POST" }, { endStream: false })),
    info: () => negotiated(session),
    close: () => close(session),
  };
}

const adapter: Adapter = {
  listen(spec, { onStream }) {
    const server = createSecureServer(serverOptions(spec));
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.respond();
      onStream(duplexStream(stream), { datagrams: 0 });
    });
    return serve(server);
  },
  async client(spec) {
    const ca = readFileSync(spec.ca);
    const { resumed } = spec.workload;
    let ticket: Buffer | undefined;
    return {
      async connect() {
        const session = await open(spec.port, ca, ticket);
        if (resumed) session.socket.on("session", (bytes: Buffer) => (ticket = bytes));
        return connectionOf(session);
      },
      close: () => {},
    };
  },
};

await main(adapter);
