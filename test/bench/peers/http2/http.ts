// node:http2 over TLS 1.3 and TCP, speaking HTTP.

import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ClientHttp2Session, connect, createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { handler, type HttpConnection, httpMain } from "../../engine/http.ts";
import { MAX_STREAMS } from "../../engine/spec.ts";
import { CONNECTION_WINDOW, TLS, WINDOW } from "./settings.ts";

function connectionOf(session: ClientHttp2Session): HttpConnection {
  return {
    get: (path, fields, onData) =>
      new Promise((resolve, reject) => {
        let status = 0;
        const request = session.request({ ...fields, ":path": path });
        request.on("response", (headers) => (status = headers[":status"]!));
        request.on("data", (chunk: Uint8Array) => onData(chunk.length));
        request.on("end", () => resolve(status));
        request.on("error", reject);
        request.end();
      }),
    async post(path, bytes, chunk, onSent) {
      const request = session.request({ ":method": "POST", ":path": path });
      let answer = "";
      request.setEncoding("utf8").on("data", (text: string) => (answer += text));
      const over = new Promise((resolve, reject) => void request.on("end", resolve).on("error", reject));
      for (let left = bytes; left > 0; left -= chunk.length) {
        const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
        if (!request.write(part)) await new Promise((resolve) => void request.once("drain", resolve));
        onSent(part.length);
      }
      request.end();
      await over;
      return answer;
    },
    info() {
      const { standardName: cipher } = (session.socket as TLSSocket).getCipher();
      return { cipher, group: "X25519", kind: "tcp" };
    },
    close: () => new Promise<void>((resolve) => session.close(resolve)),
  };
}

await httpMain({
  listen(spec) {
    const server = createSecureServer(
      {
        ...TLS,
        cert: readFileSync(spec.cert),
        key: readFileSync(spec.key),
        settings: { initialWindowSize: WINDOW, maxConcurrentStreams: MAX_STREAMS },
      },
      (request, response) =>
        handler(request as unknown as IncomingMessage, response as unknown as ServerResponse),
    );
    server.on("session", (session) => {
      session.setLocalWindowSize(CONNECTION_WINDOW);
      session.on("error", () => {});
    });
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
    });
  },
  async client(spec) {
    const ca = readFileSync(spec.ca);
    return {
      connect: () =>
        new Promise((resolve, reject) => {
          const session = connect(`https://localhost:${spec.port}`, {
            ...TLS,
            ca,
            host: "127.0.0.1",
            settings: { initialWindowSize: WINDOW },
          });
          session.on("error", reject);
          session.on("connect", () => {
            session.setLocalWindowSize(CONNECTION_WINDOW);
            resolve(connectionOf(session));
          });
        }),
      close: () => {},
    };
  },
});
