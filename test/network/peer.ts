// One end of a connection in a process of its own, so that it can stand on a host of its own. Told what to do by messages:
// each has an answer, or an error.

import {
  type Config,
  type Connection,
  type ConnectionStatistics,
  type Listener,
  Transport,
  type TransportOptions,
} from "../../src/index.ts";

const ALPN = "network";

interface Socket {
  udp?: TransportOptions["udp"];
}

/** What a peer can be told. Sizes in bytes. */
export interface Orders {
  /** Listens; every stream's bytes are counted and checked, those of bidirectional ones come back as well. */
  listen(
    order: Socket & { address: string; cert: string; key: string; config: Config },
  ): Promise<{ port: number }>;
  dial(order: Socket & { address: string; port: number; ca: string; config: Config }): Promise<void>;
  /** Sends that much one way; resolves when the server has all of it. */
  send(order: { bytes: number }): Promise<{ ms: number }>;
  /** Sends, and has sent back, until told to stop. */
  flow(order: object): Promise<void>;
  stop(order: object): Promise<{ bytes: number }>;
  /** Of the connection, and on a server of the one that came last. */
  stats(order: object): Promise<ConnectionStatistics & { dontFragment: boolean }>;
  /** Ends all that the last `listen` or `dial` has begun. */
  end(order: object): Promise<void>;
}

/** Not a divisor of any size that is in use: a byte at a wrong place is another byte. */
const PERIOD = 65_521;
const CHUNK = 256 * 1024;
const block = new Uint8Array(CHUNK + PERIOD);
for (let i = 0; i < block.length; i++) block[i] = ((i % PERIOD) * 2_654_435_761) >>> 13;

/** The bytes of every stream from `offset` on. */
const bytesAt = (offset: number, length: number): Uint8Array =>
  block.subarray(offset % PERIOD, (offset % PERIOD) + length);

function check(chunk: Uint8Array, offset: number): void {
  for (let at = 0; at < chunk.length; at += CHUNK) {
    const part = chunk.subarray(at, at + CHUNK);
    if (Buffer.compare(part, bytesAt(offset + at, part.length)) !== 0)
      throw new Error(`bytes from ${offset + at} on are not those that were sent`);
  }
}

let transport: Transport | null = null;
let connection: Connection | null = null;
/** A client is through with the handshake before its server is. */
let arrived: Promise<void> | null = null;
/** What went wrong beside an order; the next one tells. */
let failure: unknown = null;
const fail = (error: unknown): void => void (failure ??= error);

async function serve(listener: Listener, onArrival: () => void): Promise<void> {
  for await (const each of listener) {
    connection = each;
    onArrival();
    void (async () => {
      for await (const stream of each.incomingStreams()) {
        void (async () => {
          let offset = 0;
          for await (const chunk of stream) {
            check(chunk, offset);
            offset += chunk.length;
            await stream.write(chunk);
          }
          stream.close();
        })().catch(fail);
      }
    })().catch(fail);
    void (async () => {
      for (;;) {
        const stream = await each.acceptUniStream();
        let offset = 0;
        for await (const chunk of stream) {
          check(chunk, offset);
          offset += chunk.length;
        }
      }
    })().catch(() => {});
  }
}

let flowing: Promise<{ bytes: number }> | null = null;
let stopping = false;

async function flow(): Promise<{ bytes: number }> {
  const stream = await connection!.openStream();
  let sent = 0;
  let back = 0;
  const returning = (async () => {
    for await (const chunk of stream) {
      check(chunk, back);
      back += chunk.length;
    }
  })();
  while (!stopping) {
    await stream.write(bytesAt(sent, CHUNK));
    sent += CHUNK;
  }
  stream.close();
  await returning;
  if (back !== sent) throw new Error(`${back} bytes of ${sent} came back`);
  return { bytes: back };
}

const orders: Orders = {
  async listen({ address, cert, key, config, udp }) {
    transport = new Transport({ address, ...(udp && { udp }) });
    const listener = await transport.listen({ cert, key, ALPNProtocols: [ALPN] }, config);
    arrived = new Promise((resolve) => serve(listener, resolve).catch(fail));
    return { port: transport.address().port };
  },
  async dial({ address, port, ca, config, udp }) {
    transport = new Transport({ address: address.includes(":") ? "::" : "0.0.0.0", ...(udp && { udp }) });
    connection = await transport.dial({ host: address, port }, { ca, ALPNProtocols: [ALPN] }, config);
  },
  async send({ bytes }) {
    const begun = performance.now();
    const stream = await connection!.openUniStream();
    for (let sent = 0; sent < bytes; sent += CHUNK) {
      await stream.write(bytesAt(sent, Math.min(CHUNK, bytes - sent)));
    }
    stream.close();
    await stream.drained();
    return { ms: performance.now() - begun };
  },
  async flow() {
    stopping = false;
    flowing = flow();
    flowing.catch(fail);
  },
  async stop() {
    stopping = true;
    return flowing!;
  },
  async stats() {
    await arrived;
    const { dontFragment } = connection!.connectionState().socket;
    return { ...connection!.stats(), dontFragment };
  },
  async end() {
    stopping = true;
    await transport?.close();
    transport = connection = flowing = arrived = null;
    // What an end makes of streams is no failure.
    await new Promise((resolve) => setImmediate(resolve));
    failure = null;
  },
};

process.on("message", (message: { id: number; name: keyof Orders; order: never }) => {
  const carryOut = async (): Promise<unknown> => {
    if (failure !== null) throw failure;
    return orders[message.name](message.order);
  };
  carryOut().then(
    (result) => process.connected && process.send!({ id: message.id, result }),
    (error: unknown) => process.send!({ id: message.id, error: String((error as Error).stack) }),
  );
});
process.once("disconnect", () => process.exit());
