// `serve DIR`: a folder over HTTP/3; and over HTTP/0.9 for clients that ask for that.

import { readFile } from "node:fs/promises";
import { Server, serveFiles } from "../../http3/index.ts";
import { selfSigned, Transport } from "../../src/index.ts";
import { HQ_ALPN } from "../hq/client.ts";
import { serveConnection } from "../hq/server.ts";

/** Options of {@link serve}. */
export interface ServeOptions {
  port: number;
  address?: string;
  /** PEM files; a certificate for localhost is made where they are not given. */
  cert?: string;
  key?: string;
}

/** Serves until the process is told to stop; then requests under way are finished, at a second signal they are not. */
export async function serve(folder: string, options: ServeOptions): Promise<void> {
  if ((options.cert === undefined) !== (options.key === undefined)) {
    throw new Error("--cert and --key go together");
  }
  const own = options.cert === undefined ? selfSigned() : null;
  const cert = own?.cert ?? (await readFile(options.cert!));
  const key = own?.key ?? (await readFile(options.key!));
  const files = serveFiles(folder);
  const server = new Server({
    handler(request, response) {
      const { remoteAddress, remotePort } = request.socket;
      response.once("close", () => {
        const how = response.writableFinished ? String(response.statusCode) : "broke off";
        console.error(`${remoteAddress} port ${remotePort} ${request.method} ${request.url} ${how}`);
      });
      return files(request, response);
    },
  });
  const transport = new Transport({
    port: options.port,
    ...(options.address === undefined ? {} : { address: options.address }),
  });
  const listener = await transport.listen({ cert, key, ALPNProtocols: ["h3", HQ_ALPN] });
  const { address, port } = listener.address();
  console.error(`Serving ${folder} on ${address} port ${port} (HTTP/3). Ctrl-C stops.`);
  if (own !== null) {
    console.error("No --cert given: this certificate was made for localhost; pass it to clients with --ca.");
    console.error(own.cert);
  }
  let stopping: Promise<void> | null = null;
  const stop = () => {
    if (stopping === null) stopping = server.shutdown().then(() => transport.close());
    else void transport.close();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  // One listener, two protocols.
  for await (const connection of listener) {
    if (connection.connectionState().alpnProtocol === HQ_ALPN) {
      void serveConnection(connection, folder, ({ remote, path, bytes }) => {
        console.error(`${remote} HTTP/0.9 GET ${path} ${bytes === null ? "failed" : `${bytes} bytes`}`);
      });
    } else void server.serveConnection(connection);
  }
  await stopping;
}
