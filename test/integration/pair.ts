// What the tests over real sockets share: certificates, a pair of connections, a record of unhandled rejections.
import { randomFillSync } from "node:crypto";
import assert from "node:assert/strict";
import { after } from "node:test";
import { type Config, type Connection, type Listener, type TlsOptions, Transport } from "../../src/index.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { type CertificateOptions, makeCertificate, toPem } from "../../internal/tls/self-signed.ts";

const DAY = 86_400_000;

/** A certificate as PEM, with what the test wants different. */
export function certificate(
  options: Partial<CertificateOptions> & { issuedBy?: ReturnType<typeof certificate> } = {},
) {
  const { issuedBy, ...given } = options;
  const made = makeCertificate({
    provider: nodeProvider(),
    random: (out) => void randomFillSync(out),
    altNames: ["localhost", "127.0.0.1", "::1"],
    notBefore: Date.now() - DAY,
    notAfter: Date.now() + DAY,
    ...(issuedBy === undefined ? {} : { issuer: issuedBy.der }),
    ...given,
  });
  return { cert: toPem("CERTIFICATE", made.cert), key: toPem("PRIVATE KEY", made.key), der: made };
}

export const authority = certificate({ subject: "CN=test authority", altNames: [], ca: true });
export const leaf = certificate({ issuedBy: authority });
export const serverTls: TlsOptions = { key: leaf.key, cert: leaf.cert, ALPNProtocols: ["test"] };
export const clientTls: TlsOptions = { ca: authority.cert, ALPNProtocols: ["test"] };

/** Watches for rejections that nobody handled, from now to the end of the file. */
export function noUnhandledRejections(): void {
  const seen: unknown[] = [];
  process.on("unhandledRejection", (reason) => seen.push(reason));
  after(async () => {
    await turns(3);
    assert.deepEqual(seen, [], "unhandled rejections");
  });
}

/** Lets the event loop turn `n` times. */
export async function turns(n: number): Promise<void> {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits until `condition` holds, a turn of the loop at a time. */
export async function until(condition: () => boolean, what: string, ms = 4000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await turns(1);
  }
}

export interface Pair extends AsyncDisposable {
  readonly client: Connection;
  readonly server: Connection;
  readonly listener: Listener;
  readonly dialer: Transport;
  readonly acceptor: Transport;
}

/** Two transports on 127.0.0.1 and a connection between them. */
export async function pair(
  options: {
    server?: TlsOptions;
    client?: TlsOptions;
    serverConfig?: Config;
    clientConfig?: Config;
    acceptor?: Transport;
    dialer?: Transport;
  } = {},
): Promise<Pair> {
  const acceptor = options.acceptor ?? new Transport({ address: "127.0.0.1" });
  const dialer = options.dialer ?? new Transport({ address: "127.0.0.1" });
  const listener = await acceptor.listen({ ...serverTls, ...options.server }, options.serverConfig);
  const [client, server] = await Promise.all([
    dialer.dial(
      `127.0.0.1:${listener.address().port}`,
      { ...clientTls, ...options.client },
      options.clientConfig,
    ),
    listener.accept(),
  ]);
  return {
    client,
    server,
    listener,
    dialer,
    acceptor,
    async [Symbol.asyncDispose]() {
      await dialer.close();
      await acceptor.close();
    },
  };
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Everything up to the end of a stream, as one array. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of source) parts.push(chunk);
  return new Uint8Array(Buffer.concat(parts));
}

export async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  return new TextDecoder().decode(await collect(source));
}

/** `n` bytes in which every position can be told from its neighbours. */
export function pattern(n: number): Uint8Array {
  const out = new Uint8Array(n);
  for (let i = 0; i < n; i++) out[i] = (i * 31 + (i >> 8) * 7) & 0xff;
  return out;
}
