// What an HTTP/3 connection can be told.

import type { ReceiveStream, Stream } from "../src/index.ts";
import type { Http3Connection } from "./connection.ts";
import type { QpackPolicy } from "./qpack/policy.ts";

/** The ALPN protocol name of HTTP/3. rfc9114#3.1 */
export const H3_ALPN = "h3";

/** What takes a stream that an extension of HTTP/3 uses; `rest` is what was read beyond the type. */
export type ExtensionStream<S> = (stream: S, rest: Uint8Array, connection: Http3Connection) => void;

/** Options of {@link Http3Connection}; sizes in bytes, times in milliseconds. */
export interface Http3Options {
  /** Dynamic table that the peer's encoder may use. Default 4,096; 0 for none. */
  readonly qpackMaxTableCapacity?: number;
  /** Streams that may wait for the peer's encoder stream. Default 100. */
  readonly qpackBlockedStreams?: number;
  /** Dynamic table that our encoder uses where the peer allows as much. Default 16,384; 0 for none. */
  readonly qpackEncoderTableCapacity?: number;
  /** What our encoder puts into it. */
  readonly qpackPolicy?: QpackPolicy;
  /** Size of a header or trailer section that is taken: names, values, and 32 a field. Default 65,536. */
  readonly maxHeaderListSize?: number;
  /** Server: takes extended CONNECT (rfc9220). Default false. */
  readonly enableConnectProtocol?: boolean;
  /** Settings of extensions, by identifier. */
  readonly settings?: ReadonlyMap<number, number>;
  /** Sends reserved settings, frames and streams, so that peers learn to ignore them (rfc9114#7.2.8). Default true. */
  readonly grease?: boolean;
  /** Server: how long a request's header section may take. Default 60,000; 0: for ever. */
  readonly headersTimeout?: number;
  /**
   * Server: how long a request may be without progress where the handler waits for its client, to send or to take more;
   * tunnels (CONNECT) may be silent. It is cancelled after that time, or up to twice that. Default 300,000; 0: for ever.
   */
  readonly stallTimeout?: number;
  /** Unidirectional streams of an extension, by type. */
  readonly uniStreams?: ReadonlyMap<number, ExtensionStream<ReceiveStream>>;
  /** Bidirectional streams of an extension, by the type that begins them. */
  readonly bidiStreams?: ReadonlyMap<number, ExtensionStream<Stream>>;
}
