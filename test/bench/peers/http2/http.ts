// node:http2 over TLS 1.3 and TCP, speaking HTTP.

import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ClientHttp2Session, createSecureServer } from "node:http2";
import { handler, type HttpConnection, httpMain } from "../../engine/http.ts";
import { close, negotiated, open, serve, serverOptions } from "./sessions.ts";

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
    info: () => negotiated(session),
    close: () => close(session),
  };
}

await httpMain({
  listen: (spec) =>
    serve(
      createSecureServer(serverOptions(spec), (request, response) =>
        handler(request as unknown as IncomingMessage, response as unknown as ServerResponse),
      ),
    ),
  async client(spec) {
    const ca = readFileSync(spec.ca);
    return {
      connect: async () => connectionOf(await open(spec.port, ca)),
      close: () => {},
    };
  },
});
