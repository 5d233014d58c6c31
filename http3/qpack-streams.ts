// QPACK over its streams: encoder and decoder, and who waits for whom. rfc9204#4.2

import { Http3StreamError } from "./errors.ts";
import { QPACK_ENCODER_IN_FLIGHT } from "./limits.ts";
import { DONE, type Outlet } from "./outlet.ts";
import { QpackDecoder, type DecodedSection, type QpackDecoderOptions } from "./qpack/decoder.ts";
import { QpackEncoder, type QpackEncoderOptions } from "./qpack/encoder.ts";
import type { Field } from "./qpack/field.ts";
import type { Settings } from "./settings.ts";

/** A section that was decoded. */
export type Section = Exclude<DecodedSection, { kind: "blocked" }>;

interface Blocked {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The compression state of a connection. */
export class QpackStreams {
  readonly #encoder: QpackEncoder;
  readonly #decoder: QpackDecoder;
  /** What could not be written or read any more: of a critical stream, so of the connection. */
  readonly #fail: (error: unknown) => void;
  #encoderStream: Outlet | null = null;
  #decoderStream: Outlet | null = null;
  #telling = false;
  readonly #blocked = new Map<number, Blocked>();
  #over: unknown = null;

  constructor(encoder: QpackEncoderOptions, decoder: QpackDecoderOptions, fail: (error: unknown) => void) {
    this.#encoder = new QpackEncoder(encoder);
    this.#decoder = new QpackDecoder(decoder);
    this.#fail = fail;
  }

  /** Our streams are open, their types written. */
  open(encoderStream: Outlet, decoderStream: Outlet): void {
    this.#encoderStream = encoderStream;
    this.#decoderStream = decoderStream;
    this.#flushEncoder();
    this.#tell();
  }

  setPeerSettings(settings: Settings): void {
    this.#encoder.setPeerSettings({
      maxTableCapacity: settings.qpackMaxTableCapacity,
      blockedStreams: settings.qpackBlockedStreams,
    });
    this.#flushEncoder();
  }

  /** A field section for `streamId`; what it needs leaves on the encoder stream before. */
  encode(streamId: number, fields: readonly Field[]): Uint8Array {
    const outlet = this.#encoderStream;
    // rfc9204#2.1.3 To avoid these deadlocks, an encoder SHOULD NOT write an instruction unless sufficient stream and
    // connection flow-control credit is available for the entire instruction.
    this.#encoder.streamCredit =
      outlet === null || outlet.waiting
        ? 0
        : Math.min(outlet.stream.capacity, QPACK_ENCODER_IN_FLIGHT - outlet.stream.bufferedBytes);
    const section = this.#encoder.encode(streamId, fields);
    this.#flushEncoder();
    return section;
  }

  #flushEncoder(): void {
    const bytes = this.#encoderStream === null ? null : this.#encoder.takeEncoderStream();
    if (bytes !== null) this.#encoderStream!.write(bytes).catch(this.#fail);
  }

  /**
   * Decodes a section; waits where it needs entries that are still under way.
   *
   * @throws {Http3ConnectionError} QPACK_DECOMPRESSION_FAILED
   */
  async decode(streamId: number, bytes: Uint8Array): Promise<Section> {
    for (;;) {
      const section = this.decodeNow(streamId, bytes);
      if (section !== null) return section;
      await new Promise<void>((resolve, reject) => this.#blocked.set(streamId, { resolve, reject }));
    }
  }

  /** The same without waiting: null where it needs entries that are still under way. */
  decodeNow(streamId: number, bytes: Uint8Array): Section | null {
    if (this.#over !== null) throw this.#over;
    const section = this.#decoder.decode(streamId, bytes);
    if (section.kind === "blocked") return null;
    this.#tell();
    return section;
  }

  /** A stream is no longer read, or was reset, before its end. rfc9204#2.2.2.2 */
  cancel(streamId: number): void {
    if (this.#over !== null) return;
    const blocked = this.#blocked.get(streamId);
    if (blocked !== undefined) {
      this.#blocked.delete(streamId);
      blocked.reject(new Http3StreamError("H3_REQUEST_CANCELLED", "reading was given up"));
    }
    try {
      this.#decoder.cancel(streamId);
    } catch (error) {
      this.#fail(error);
    }
    this.#tell();
  }

  /** Bytes of the peer's encoder stream. @throws {Http3ConnectionError} */
  receiveEncoderStream(bytes: Uint8Array): void {
    for (const streamId of this.#decoder.receiveEncoderStream(bytes)) {
      const blocked = this.#blocked.get(streamId);
      this.#blocked.delete(streamId);
      blocked?.resolve();
    }
    this.#tell();
  }

  /** Bytes of the peer's decoder stream. @throws {Http3ConnectionError} */
  receiveDecoderStream(bytes: Uint8Array): void {
    this.#encoder.receiveDecoderStream(bytes);
  }

  /** Sends what the decoder has to say, once for all that arrived together. */
  #tell(): void {
    if (this.#telling || this.#decoderStream === null || !this.#decoder.hasToTell) return;
    this.#telling = true;
    // When all that is at work now has been read.
    process.nextTick(tell, this);
  }

  /** @internal */
  tellAll(): void {
    try {
      const bytes = this.#decoder.takeDecoderStream();
      const written = bytes === null ? DONE : this.#decoderStream!.write(bytes);
      if (written === DONE) this.#telling = false;
      // What comes up meanwhile waits in the decoder, which bounds it.
      else written.then(() => this.tellAll(), this.#fail);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The connection is over. */
  end(error: unknown): void {
    if (this.#over !== null) return;
    this.#over = error;
    for (const blocked of this.#blocked.values()) blocked.reject(error);
    this.#blocked.clear();
  }

  /** Figures, for tests and traces. */
  get state(): { readonly inserted: number; readonly received: number; readonly blocked: number } {
    return {
      inserted: this.#encoder.insertCount,
      received: this.#decoder.insertCount,
      blocked: this.#blocked.size,
    };
  }
}

const tell = (streams: QpackStreams): void => streams.tellAll();
