// What an HTTP/3 connection can be told.

import { randomInt } from "node:crypto";
import { type Config, InvalidOptionError, type ReceiveStream, type Stream } from "../src/index.ts";
import type { Http3Connection } from "./connection.ts";
import type { Role } from "./frames.ts";
import * as limits from "./limits.ts";
import type { PushHandler } from "./push-client.ts";
import type { QpackDecoderOptions } from "./qpack/decoder.ts";
import type { QpackEncoderOptions } from "./qpack/encoder.ts";
import type { QpackPolicy } from "./qpack/policy.ts";
import { encodeSettings } from "./settings.ts";

/** The ALPN protocol name of HTTP/3. rfc9114#3.1 */
export const H3_ALPN = "h3";

/** rfc9114#6.2: the control stream and those of QPACK. */
const LEAST_UNI_STREAMS = 3;

/**
 * Checks the settings of connections that will speak HTTP/3.
 *
 * @throws {InvalidOptionError}
 */
export function checkConfig(config: Config | undefined): void {
  const streams = config?.maxIncomingUniStreams;
  // rfc9114#6.2 the transport parameters sent by both clients and servers MUST allow the peer to create at least three
  // unidirectional streams.
  if (streams !== undefined && streams < LEAST_UNI_STREAMS) {
    throw new InvalidOptionError("maxIncomingUniStreams", `at least ${LEAST_UNI_STREAMS} with HTTP/3`);
  }
}

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
  /**
   * Takes and sends HTTP datagrams (rfc9297) in QUIC's, where the peer does as well and both sides' `Config` has
   * `enableDatagrams`. Default false.
   */
  readonly datagrams?: boolean;
  /**
   * Client: takes pushes (rfc9114#4.6), called for each promise while its request is being answered. Default: none, and the
   * server is told that it may not.
   */
  readonly onPush?: PushHandler;
  /** Client: pushes that may be under way at a time. Default 16. */
  readonly maxPushes?: number;
  /** Server: the origins that it wants requests for on the connection, as `https://example.com` (rfc9412). Default: unsaid. */
  readonly origins?: readonly string[];
  /** Settings of extensions, by identifier. */
  readonly settings?: ReadonlyMap<number, number>;
  /** Sends reserved settings, frames and streams, so that peers learn to ignore them (rfc9114#7.2.8). Default true. */
  readonly grease?: boolean;
  /**
   * Client: milliseconds between PINGs while a response is outstanding, so that no idle timeout ends the connection and no NAT forgets
   * it (rfc9114#5.1); otherwise it may time out. Default 10,000, or half of `config.maxIdleTimeout` where that is less; 0: none.
   */
  readonly pingInterval?: number;
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

/** Our SETTINGS frame. */
export function ownSettings(options: Http3Options, role: Role): Uint8Array {
  return encodeSettings(
    {
      qpackMaxTableCapacity: options.qpackMaxTableCapacity ?? limits.QPACK_TABLE_CAPACITY,
      qpackBlockedStreams: options.qpackBlockedStreams ?? limits.QPACK_BLOCKED_STREAMS,
      maxFieldSectionSize: options.maxHeaderListSize ?? limits.FIELD_SECTION_SIZE,
      enableConnectProtocol: role === "server" && options.enableConnectProtocol === true,
      h3Datagram: options.datagrams === true,
      ...(options.settings === undefined ? {} : { others: options.settings }),
    },
    // rfc9114#7.2.4.1 Endpoints SHOULD include at least one such setting in their SETTINGS frame.
    options.grease === false ? undefined : { n: randomInt(2 ** 24), value: randomInt(2 ** 24) },
  );
}

/** What our QPACK encoder and decoder are made with. */
export function qpackOptions(options: Http3Options): [QpackEncoderOptions, QpackDecoderOptions] {
  const { qpackEncoderTableCapacity, qpackPolicy } = options;
  return [
    {
      ...(qpackEncoderTableCapacity === undefined ? {} : { maxTableCapacity: qpackEncoderTableCapacity }),
      ...(qpackPolicy === undefined ? {} : { policy: qpackPolicy }),
    },
    {
      maxTableCapacity: options.qpackMaxTableCapacity ?? limits.QPACK_TABLE_CAPACITY,
      maxBlockedStreams: options.qpackBlockedStreams ?? limits.QPACK_BLOCKED_STREAMS,
      maxFieldSectionSize: options.maxHeaderListSize ?? limits.FIELD_SECTION_SIZE,
    },
  ];
}
