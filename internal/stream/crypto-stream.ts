// CRYPTO data of the three levels: rfc9000#7.5, rfc9000#19.6. The buffers are those of streams; there is no flow
// control, a bound instead.

import { CRYPTO_BUFFER_EXCEEDED, FRAME_CRYPTO, type Space } from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import { CRYPTO_BUFFER } from "../protocol/limits.ts";
import { REC_CRYPTO, type RecordSink } from "../recovery/sent-packets.ts";
import { cryptoHeaderLength, writeCryptoHeader } from "../wire/frame-writers.ts";
import { RangeSet } from "./range-set.ts";
import { Reassembly } from "./reassembly.ts";
import { SendBuffer } from "./send-buffer.ts";

/** TLS copies what it reads at once. */
const SCRATCH = new Uint8Array(8192);

class CryptoLevel {
  readonly out = new SendBuffer();
  readonly lost = new RangeSet();
  next = 0;
  readonly in = new Reassembly();
}

/** The handshake's byte streams, one per level. */
export class CryptoStreams {
  /** Made when something comes or goes at a level; null once it is discarded. */
  readonly #levels: (CryptoLevel | null | undefined)[] = [undefined, undefined, undefined];

  /** Queues a handshake message; the bytes are kept. */
  send(level: Space, bytes: Uint8Array): void {
    this.#of(level)?.out.append(bytes, 0, bytes.length, true);
  }

  hasData(level: Space): boolean {
    const state = this.#levels[level];
    return state ? state.next < state.out.end || !state.lost.isEmpty : false;
  }

  #of(level: Space): CryptoLevel | null {
    const known = this.#levels[level];
    return known === undefined ? (this.#levels[level] = new CryptoLevel()) : known;
  }

  /** CRYPTO frames below `limit`. */
  writeFrames(level: Space, buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    const state = this.#levels[level];
    while (state && this.hasData(level)) {
      const again = !state.lost.isEmpty;
      const offset = again ? state.lost.start(0) : state.next;
      const end = again ? state.lost.end(0) : state.out.end;
      const room = limit - pos - cryptoHeaderLength(offset, limit - pos);
      const length = Math.min(end - offset, room);
      if (length <= 0) break;
      pos = writeCryptoHeader(buf, pos, offset, length);
      state.out.copyTo(buf, pos, offset, length);
      pos += length;
      records.addRecord(REC_CRYPTO, offset, length, 0);
      if (again) state.lost.remove(offset, offset + length);
      else state.next = offset + length;
    }
    return pos;
  }

  /**
   * A CRYPTO frame. True where all of it had come before.
   * @throws {TransportError} CRYPTO_BUFFER_EXCEEDED where it is further ahead than we buffer: rfc9000#7.5.
   */
  receive(level: Space, offset: number, buf: Uint8Array, start: number, length: number): boolean {
    // rfc9000#19.6 Receipt of a frame that exceeds this limit MUST be treated as a connection error of type
    // FRAME_ENCODING_ERROR or CRYPTO_BUFFER_EXCEEDED.
    // rfc9000#7.5 If an endpoint does not expand its buffer, it MUST close the connection with a
    // CRYPTO_BUFFER_EXCEEDED error code.
    const data = this.#of(level)?.in;
    // rfc9000#7.5 Packets containing discarded CRYPTO frames MUST be acknowledged because the packet has been
    // received and processed by the transport even though the CRYPTO frame …
    if (data === undefined) return false;
    const known = length > 0 && offset + length <= data.contiguous;
    // rfc9000#7.5 Implementations MUST support buffering at least 4096 bytes of data received in out-of-order CRYPTO
    // frames.
    if (offset + length > data.read + CRYPTO_BUFFER || !data.insert(offset, buf, start, length, Infinity)) {
      throw new TransportError(CRYPTO_BUFFER_EXCEEDED, "CRYPTO data is too far ahead", {
        frameType: FRAME_CRYPTO,
      });
    }
    return known;
  }

  /** Of what is contiguous and unread, some; null where nothing is. It is good until the next call, for any connection. */
  read(level: Space): Uint8Array | null {
    const data = this.#levels[level]?.in;
    if (data === undefined || data.available === 0) return null;
    const out = SCRATCH.subarray(0, Math.min(data.available, SCRATCH.length));
    data.readInto(out);
    return out;
  }

  onAcked(level: Space, offset: number, length: number): void {
    const state = this.#levels[level];
    if (!state) return;
    state.out.acked(offset, length);
    state.lost.remove(offset, offset + length);
  }

  onLost(level: Space, offset: number, length: number): void {
    // rfc9001#4 If QUIC needs to retransmit that data, it MUST use the same keys even if TLS has already updated to
    // newer keys.
    // rfc9001#4.9 If packets from a lower encryption level contain CRYPTO frames, frames that retransmit that data
    // MUST be sent at the same encryption level.
    const state = this.#levels[level];
    if (state) state.out.addUnacked(state.lost, offset, length);
  }

  discard(level: Space): void {
    this.#levels[level] = null;
  }
}
