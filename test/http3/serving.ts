// A server and a client of ours over real sockets, for tests of handlers and of requests.
import { RoundTripper, type RoundTripperOptions, Server, type ServerOptions } from "../../http3/index.ts";
import { authority, leaf } from "../integration/pair.ts";

export interface Serving extends AsyncDisposable {
  readonly server: Server;
  readonly client: RoundTripper;
  /** `https://localhost:port`, the server's own. */
  readonly origin: string;
  readonly failures: unknown[];
  fetch(path: string, init?: RequestInit & { duplex?: "half" }): ReturnType<RoundTripper["roundTrip"]>;
}

export const IDENTITY = { key: leaf.key, cert: leaf.cert };
export const CLIENT: RoundTripperOptions = {
  tls: { ca: authority.cert },
  transport: { address: "127.0.0.1" },
};

export async function serving(
  options: ServerOptions,
  clientOptions: RoundTripperOptions = {},
): Promise<Serving> {
  const server = new Server({ ...IDENTITY, ...options });
  const failures: unknown[] = [];
  server.on("handlerError", (error) => failures.push(error));
  await server.listen(0, "127.0.0.1");
  const client = new RoundTripper({ ...CLIENT, ...clientOptions });
  const origin = `https://localhost:${server.address()!.port}`;
  return {
    server,
    client,
    origin,
    failures,
    fetch: (path, init) => client.roundTrip(new Request(origin + path, init)),
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
    },
  };
}
