// Unidirectional streams: ours opened, the peer's read. rfc9114#6.2, rfc9204#4.2

import { randomBytes, randomInt } from "node:crypto";
import {
  type Connection,
  type ReceiveStream,
  type SendStream,
  StreamError,
  StreamLimitReachedError,
} from "../src/index.ts";
import { Http3ConnectionError } from "./errors.ts";
import { UNKNOWN_STREAM_BURST, UNKNOWN_STREAMS_PER_SECOND } from "./limits.ts";
import { H3_ERROR } from "./errors.ts";
import { encodeFrame, type Role } from "./frames.ts";
import { Outlet } from "./outlet.ts";
import { Allowance } from "./rate.ts";
import { PeerUniStreams, STREAM_TYPE, type UniStreamKind } from "./streams.ts";
import { join, NOTHING } from "./tlv.ts";
import { encodeVarint, VarintReader, varintSize } from "./varint.ts";

/** A number of the form 0x1f * N + 0x21, which means nothing. rfc9114#7.2.8 */
export const reservedNumber = (): number => 0x1f * randomInt(2 ** 24) + 0x21;

/** A frame that means nothing. rfc9114#7.2.8 */
export const reservedFrame = (): Uint8Array => encodeFrame(reservedNumber(), randomBytes(randomInt(16)));

/** Opens a stream of a type: at once where the peer allows it, as it nearly always does. */
async function open(quic: Connection, type: number): Promise<Outlet> {
  let stream: SendStream;
  try {
    stream = quic.tryOpenUniStream();
  } catch (error) {
    if (!(error instanceof StreamLimitReachedError)) throw error;
    stream = await quic.openUniStream();
  }
  // What all requests depend on goes before them. rfc9218#10
  stream.setPriority({ urgency: 0, incremental: true });
  const outlet = new Outlet(stream);
  await outlet.write(encodeVarint(type));
  return outlet;
}

/** Our control stream and those of QPACK. */
export interface OwnStreams {
  readonly control: Outlet;
  readonly encoder: Outlet;
  readonly decoder: Outlet;
}

/**
 * Opens our streams; the control stream first, with its SETTINGS.
 *
 * rfc9114#6.2.1 Each side MUST initiate a single control stream at the beginning of the connection and send its SETTINGS
 * frame as the first frame on this stream.
 * rfc9114#3.2 After the QUIC connection is established, a SETTINGS frame MUST be sent by each endpoint as the initial frame of
 * their respective HTTP control stream.
 * rfc9114#7.2.4 SETTINGS frames MUST NOT be sent on any stream other than the control stream: no other place makes one.
 * rfc9204#4.2 Each endpoint MUST initiate, at most, one encoder stream and, at most, one decoder stream.
 *
 * @param onClosed - the peer stopped reading one of them
 *
 * rfc9114#3.2 After the QUIC connection is established, a SETTINGS frame MUST be sent by each endpoint as the initial frame of
 * their respective HTTP control stream. rfc9114#7.2.4 SETTINGS frames MUST NOT be sent on any stream other than the control
 * stream. rfc9114#6.2 stream types that could modify the state or semantics of existing protocol components, including QPACK
 * or other extensions, MUST NOT be sent until the peer is known to support them: there are none among these.
 */
export async function openOwnStreams(
  quic: Connection,
  settings: Uint8Array,
  onClosed: (kind: UniStreamKind) => void,
): Promise<OwnStreams> {
  const opened = async (type: number, kind: UniStreamKind) => {
    const outlet = await open(quic, type);
    // rfc9114#6.2.1 The sender MUST NOT close the control stream, and the receiver MUST NOT request that the sender close the
    // control stream. rfc9204#4.2 The sender MUST NOT close either of these streams, and the receiver MUST NOT request that
    // the sender close either of these streams.
    outlet.stream.onStopped = (error) => {
      if (error instanceof StreamError) onClosed(kind);
    };
    return outlet;
  };
  const control = opened(STREAM_TYPE.CONTROL, "control").then(async (outlet) => {
    await outlet.write(settings);
    return outlet;
  });
  const [encoder, decoder] = [
    opened(STREAM_TYPE.QPACK_ENCODER, "qpack-encoder"),
    opened(STREAM_TYPE.QPACK_DECODER, "qpack-decoder"),
  ];
  const [first, second, third] = await Promise.all([control, encoder, decoder]);
  return { control: first, encoder: second, decoder: third };
}

/** Opens a stream of a reserved type, where there is room for it, so that peers learn to ignore them. rfc9114#6.2.3 */
export function openReservedStream(quic: Connection): void {
  try {
    const stream = quic.tryOpenUniStream();
    stream.setPriority({ urgency: 7 });
    // rfc9114#6.2.3 the sender MAY terminate it cleanly, or reset it with H3_NO_ERROR or a reserved code.
    stream.tryWrite(join(encodeVarint(reservedNumber()), randomBytes(randomInt(16))));
    stream.close();
  } catch {
    // No room for it, or no connection any more.
  }
}

/** What takes the bytes of the peer's streams. */
export interface UniStreamOwner {
  readonly role: Role;
  /** What a stream is has come to be known. */
  onType(id: number, kind: UniStreamKind, type: number): void;
  /** Bytes of the peer's control stream. */
  onControl(bytes: Uint8Array): void;
  onEncoder(bytes: Uint8Array): void;
  onDecoder(bytes: Uint8Array): void;
  /** A push stream; `rest` is what was read beyond its type. */
  onPushStream(stream: ReceiveStream, rest: Uint8Array): Promise<void>;
  /** A stream of a type that is none of HTTP/3's: whether an extension takes it. */
  onOtherStream(type: number, stream: ReceiveStream, rest: Uint8Array): boolean;
}

const AT_A_TIME = { maxBytes: 16384 };

/** Reads the peer's unidirectional streams. */
export class UniStreamReader {
  readonly #owner: UniStreamOwner;
  readonly #seen: PeerUniStreams;
  readonly #unknown = new Allowance(UNKNOWN_STREAM_BURST, UNKNOWN_STREAMS_PER_SECOND);

  constructor(owner: UniStreamOwner) {
    this.#owner = owner;
    this.#seen = new PeerUniStreams(owner.role);
  }

  /**
   * Reads one stream to its end.
   *
   * @throws {Http3ConnectionError} for what the peer did; errors of QUIC where the connection ended
   */
  async read(stream: ReceiveStream): Promise<void> {
    let kind: UniStreamKind = "unknown";
    try {
      const begin = await this.#type(stream);
      if (begin === null) return;
      kind = this.#seen.opened(begin.type);
      this.#owner.onType(stream.id, kind, begin.type);
      switch (kind) {
        case "push":
          await this.#owner.onPushStream(stream, begin.rest);
          return;
        case "unknown":
          if (this.#owner.onOtherStream(begin.type, stream, begin.rest)) return;
          if (!this.#unknown.take()) throw flood("streams of unknown types");
          // rfc9114#6.2 Recipients of unknown stream types MUST either abort reading of the stream or discard incoming data
          // without further processing. If reading is aborted, the recipient SHOULD use the H3_STREAM_CREATION_ERROR error
          // code or a reserved error code.
          stream.cancelRead(H3_ERROR.H3_STREAM_CREATION_ERROR);
          return;
      }
      if (begin.rest.length > 0) this.#take(kind, begin.rest);
      // Here, and not in a function of its own: it waits as long as the connection lives.
      for (;;) {
        const chunks = await stream.readMany(AT_A_TIME);
        if (chunks.length === 0) break;
        for (const chunk of chunks) this.#take(kind, chunk);
      }
    } catch (error) {
      // rfc9114#6.2 A receiver MUST tolerate unidirectional streams being closed or reset prior to the reception of the
      // unidirectional stream header.
      if (!(error instanceof StreamError)) throw error;
    }
    PeerUniStreams.closed(kind);
    if (!this.#unknown.take()) throw flood("streams that end before their type");
  }

  /** The stream's type, and what was read beyond it; null where the stream ended before. */
  async #type(stream: ReceiveStream): Promise<{ type: number; rest: Uint8Array } | null> {
    let bytes: Uint8Array = NOTHING;
    for (;;) {
      const chunks = await stream.readMany(AT_A_TIME);
      if (chunks.length === 0) {
        if (!this.#unknown.take()) throw flood("streams that end before their type");
        return null;
      }
      for (const chunk of chunks) bytes = join(bytes, chunk);
      if (bytes.length < varintSize(bytes[0]!)) continue;
      const reader = new VarintReader(bytes);
      return { type: reader.next(), rest: reader.rest() };
    }
  }

  #take(kind: UniStreamKind, bytes: Uint8Array): void {
    if (kind === "control") this.#owner.onControl(bytes);
    else if (kind === "qpack-encoder") this.#owner.onEncoder(bytes);
    else this.#owner.onDecoder(bytes);
  }
}

function flood(what: string): Http3ConnectionError {
  return new Http3ConnectionError("H3_EXCESSIVE_LOAD", `a flood of ${what}`);
}
