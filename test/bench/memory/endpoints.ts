// A client's and a server's endpoint without sockets, with a certificate made from a seed.

import { connectionConfig, type ConnectionConfig } from "../../../internal/connection/config.ts";
import type { Connection } from "../../../internal/connection/connection.ts";
import { nodeProvider } from "../../../internal/crypto/node.ts";
import type { CryptoProvider } from "../../../internal/crypto/provider.ts";
import { Endpoint } from "../../../internal/endpoint/endpoint.ts";
import { connections } from "../../../internal/endpoint/factory.ts";
import { makeAddress } from "../../../internal/protocol/address.ts";
import { loadIdentity } from "../../../internal/tls/identity.ts";
import { makeCertificate } from "../../../internal/tls/self-signed.ts";
import { nullProvider } from "./null-provider.ts";
import { seededRandom } from "./random.ts";

export interface EndpointsOptions {
  /** Bytes of a datagram, default 1,452. */
  readonly datagramSize?: number;
  /** Default: no encryption. */
  readonly provider?: CryptoProvider;
  readonly client?: Partial<ConnectionConfig>;
  readonly server?: Partial<ConnectionConfig>;
}

/** Both ends, and a connection that the client has begun. */
export interface Endpoints {
  readonly client: Endpoint;
  readonly server: Endpoint;
  readonly connection: Connection;
}

export const WALL = 1_700_000_000_000;
export const CLIENT_ADDRESS = makeAddress("10.0.0.1", 1000);
export const SERVER_ADDRESS = makeAddress("10.0.0.2", 2000);
const ALPN = "bench";

export function makeEndpoints(options: EndpointsOptions, now: number): Endpoints {
  const random = seededRandom(1);
  const provider = options.provider ?? nullProvider();
  const { cert, key } = makeCertificate({
    provider: nodeProvider(),
    random,
    altNames: ["localhost"],
    notBefore: WALL - 1e9,
    notAfter: WALL + 1e9,
  });
  const identity = loadIdentity(provider, { cert, key });
  const common = { provider, random, datagramSize: options.datagramSize ?? 1452 };
  const client = new Endpoint({ random, provider }, connections);
  const server = new Endpoint({ random, provider }, connections);
  server.listen({
    config: connectionConfig({ ...common, ...options.server }),
    tls: () => ({ options: { alpn: [ALPN], identity, clientAuth: "none", verify: () => ({ ok: true }) } }),
  });
  const connection = client.dial(
    {
      remote: SERVER_ADDRESS,
      config: connectionConfig({ ...common, ...options.client }),
      tls: { alpn: [ALPN], serverName: "localhost", verify: () => ({ ok: true }) },
    },
    now,
    WALL,
  );
  return { client, server, connection };
}

const CHUNK = 65_536;

/** The application's part: the client writes on one stream without end, the server reads. */
export class Flow {
  readonly #ends: Endpoints;
  readonly #chunk = new Uint8Array(CHUNK);
  readonly #target = new Uint8Array(CHUNK);
  #stream: ReturnType<Connection["openStream"]> = null;
  /** Bytes read at the server. */
  received = 0;

  constructor(ends: Endpoints) {
    this.#ends = ends;
  }

  /** Keeps the send buffer full. */
  write(): void {
    const { client, connection } = this.#ends;
    while (client.pollEvent() !== null);
    if (this.#stream === null) this.#stream = connection.openStream(true);
    else {
      const send = this.#stream.send!;
      while (send.capacity >= CHUNK) send.write(this.#chunk, false);
    }
  }

  /** Reads all there is. */
  read(): void {
    const { server } = this.#ends;
    for (let next = server.pollEvent(); next !== null; next = server.pollEvent()) {
      if (next.type === "accepted" || next.event.type !== "stream_readable") continue;
      const recv = next.event.stream.recv!;
      for (let n = recv.readInto(this.#target); n > 0; n = recv.readInto(this.#target)) this.received += n;
    }
  }
}
