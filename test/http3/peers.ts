// HTTP/3 endpoints over real sockets, and peers that misbehave on the raw connection.
import assert from "node:assert/strict";
import {
  ApplicationError,
  type Connection,
  type SendStream,
  type Stream,
  StreamError,
} from "../../src/index.ts";
import { Http3Connection } from "../../http3/connection.ts";
import type { Http3Options } from "../../http3/options.ts";
import { H3_ERROR, h3ErrorName, type H3ErrorName } from "../../http3/errors.ts";
import { encodeFrame, FRAME } from "../../http3/frames.ts";
import { QpackDecoder, QpackEncoder, type Field } from "../../http3/qpack/index.ts";
import { encodeSettings, type Settings } from "../../http3/settings.ts";
import { encodeVarint } from "../../http3/varint.ts";
import { pair, type Pair } from "../integration/pair.ts";
import { concat } from "./helpers.ts";

export const field = (name: string, value: string): Field => ({ name, value });
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

export interface Http3Pair extends AsyncDisposable {
  readonly client: Http3Connection;
  readonly server: Http3Connection;
  readonly quic: Pair;
}

const ALPN = { ALPNProtocols: ["h3"] };

/** Two of ours. */
export async function http3Pair(
  options: { client?: Http3Options; server?: Http3Options; quic?: Parameters<typeof pair>[0] } = {},
): Promise<Http3Pair> {
  const quic = await pair({ ...options.quic, server: ALPN, client: ALPN });
  return {
    quic,
    client: new Http3Connection(quic.client, options.client),
    server: new Http3Connection(quic.server, options.server),
    [Symbol.asyncDispose]: () => quic[Symbol.asyncDispose](),
  };
}

/** The side that misbehaves: bytes as it likes on a raw QUIC connection. */
export class RawPeer {
  readonly quic: Connection;
  readonly encoder = new QpackEncoder({ maxTableCapacity: 0 });
  readonly decoder = new QpackDecoder({ maxTableCapacity: 0 });
  control: SendStream | null = null;

  constructor(quic: Connection) {
    this.quic = quic;
  }

  /** A unidirectional stream that begins with a type. */
  async uni(type: number, ...content: Uint8Array[]): Promise<SendStream> {
    const stream = await this.quic.openUniStream();
    await stream.write(concat(encodeVarint(type), ...content));
    return stream;
  }

  /** The control stream with SETTINGS, as a good peer opens it. */
  async settings(settings: Partial<Settings> = {}): Promise<SendStream> {
    return (this.control = await this.uni(0, encodeSettings(settings)));
  }

  headers(fields: readonly Field[]): Uint8Array {
    return encodeFrame(FRAME.HEADERS, this.encoder.encode(0, fields));
  }

  get(path = "/", ...more: Field[]): Uint8Array {
    return this.headers([
      field(":method", "GET"),
      field(":scheme", "https"),
      field(":authority", "localhost"),
      field(":path", path),
      ...more,
    ]);
  }

  /** A request stream with bytes on it. */
  async request(...content: Uint8Array[]): Promise<Stream> {
    const stream = await this.quic.openStream();
    await stream.write(concat(...content));
    return stream;
  }

  /** The connection ends with that code, by the other side. */
  async closedWith(error: H3ErrorName): Promise<void> {
    const timer = new Promise<null>((resolve) => setTimeout(resolve, 4000, null).unref());
    const info = await Promise.race([this.quic.closed, timer]);
    assert.ok(info !== null, `expected ${error}, but the connection lives`);
    assert.ok(info.error instanceof ApplicationError, String(info.error));
    assert.equal(h3ErrorName(info.error.errorCode), error, info.error.message);
    assert.ok(info.remote);
  }
}

export interface RawPair extends AsyncDisposable {
  readonly peer: RawPeer;
  readonly ours: Http3Connection;
}

/** A raw client before our server, or the other way round. */
export async function rawPair(
  role: "client" | "server",
  options: { ours?: Http3Options; quic?: Parameters<typeof pair>[0] } = {},
): Promise<RawPair> {
  const quic = await pair({ ...options.quic, server: ALPN, client: ALPN });
  const [raw, own] = role === "client" ? [quic.client, quic.server] : [quic.server, quic.client];
  return {
    peer: new RawPeer(raw),
    ours: new Http3Connection(own, options.ours),
    [Symbol.asyncDispose]: () => quic[Symbol.asyncDispose](),
  };
}

/** The peer reset a stream, or stopped reading it, with that code. */
export const streamEnded = (error: H3ErrorName, run: () => Promise<unknown>): Promise<void> =>
  assert.rejects(
    run,
    (thrown) => thrown instanceof StreamError && thrown.remote && thrown.errorCode === H3_ERROR[error],
    `expected ${error}`,
  );

/** Reads a stream of the other side's to its end. */
export async function readAll(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of stream) parts.push(chunk);
  return concat(...parts);
}
