// `serve DIR`: a folder over HTTP/0.9 on QUIC.

import { readFile } from "node:fs/promises";
import { selfSigned, Transport, type Listener } from "../../src/index.ts";
import { HQ_ALPN } from "../hq/client.ts";
import { serveHq } from "../hq/server.ts";

/** Options of {@link serve}. */
export interface ServeOptions {
  port: number;
  address?: string;
  /** PEM files; a certificate for localhost is made where they are not given. */
  cert?: string;
  key?: string;
}

/** Serves until the process is told to stop. */
export async function serve(folder: string, options: ServeOptions): Promise<void> {
  if ((options.cert === undefined) !== (options.key === undefined)) {
    throw new Error("--cert and --key go together");
  }
  const own = options.cert === undefined ? selfSigned() : null;
  const cert = own?.cert ?? (await readFile(options.cert!));
  const key = own?.key ?? (await readFile(options.key!));
  const transport = new Transport({
    port: options.port,
    ...(options.address === undefined ? {} : { address: options.address }),
  });
  const listener: Listener = await transport.listen({ cert, key, ALPNProtocols: [HQ_ALPN] });
  const { address, port } = listener.address();
  console.error(`Serving ${folder} on ${address} port ${port} (ALPN ${HQ_ALPN}). Ctrl-C stops.`);
  if (own !== null) {
    console.error("No --cert given: this certificate was made for localhost; pass it to clients with --ca.");
    console.error(own.cert);
  }
  const stop = () => void transport.close();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  await serveHq(listener, folder, ({ remote, path, bytes }) => {
    console.error(`${remote} GET ${path} ${bytes === null ? "failed" : `${bytes} bytes`}`);
  });
}
