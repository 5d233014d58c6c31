import { Http3ConnectionError, Http3StreamError } from "./errors.ts";
import { FRAME, frameName, placement, type FrameStream, type Role } from "./frames.ts";
import { CONTROL_FRAME_SIZE, FIELD_SECTION_SIZE, IDLE_FRAMES, SETTINGS_FRAME_SIZE } from "./limits.ts";
import { Gathering, join, NOTHING, TypeLength } from "./tlv.ts";

/** Options of {@link FrameReader}. */
export interface FrameReaderOptions {
  /** The kind of stream. */
  readonly stream: FrameStream;
  /** Which side reads. */
  readonly receiver: Role;
  /** Bytes of an encoded field section that are taken. Default 65,536. */
  readonly maxFieldSection?: number;
  /**
   * Types of an extension that end the framing where they stand as a stream's first frame: what follows the type is
   * the extension's.
   */
  readonly takeover?: ReadonlySet<number>;
}

/**
 * What {@link FrameReader.next} found:
 * - `data`: a part of a DATA frame's payload is in `payload`, which may be empty
 * - `frame`: a whole frame of another type that is known here; `payload` has it all
 * - `takeover`: an extension's type; what follows is to be taken with `rest()`
 * - null: more bytes are needed
 */
export type FrameEvent = "data" | "frame" | "takeover" | null;

/**
 * Reads HTTP/3 frames from a stream that comes in pieces. DATA passes through uncopied, in the pieces it came in; other
 * frames that are known are gathered up to their limits; unknown and reserved ones are skipped without being held.
 *
 * One piece at a time: `push`, then `next` until it returns null. Between two calls of `next` the caller may stop, for
 * as long as it likes: what is unread is in the piece.
 *
 * All errors are of the connection, but for field sections that are too large, which end their stream.
 */
export class FrameReader {
  readonly #stream: FrameStream;
  readonly #receiver: Role;
  readonly #maxFieldSection: number;
  readonly #takeover: ReadonlySet<number> | null;
  #piece: Uint8Array = NOTHING;
  #at = 0;
  readonly #header = new TypeLength();
  /** A frame whose payload is not all in one piece. */
  readonly #gathering = new Gathering();
  #state: "header" | "data" | "frame" | "skip" | "takeover" = "header";
  /** Bytes of payload still to come. */
  #left = 0;
  #first = true;
  /** Frames since the last that said something. */
  #idle = 0;
  /** The type of the frame at hand. */
  type = 0;
  /** Whether `data` was the first part of its frame. */
  begins = false;
  /** Its payload, or that part of it; valid until the next call. */
  payload: Uint8Array = NOTHING;

  constructor(options: FrameReaderOptions) {
    this.#stream = options.stream;
    this.#receiver = options.receiver;
    this.#maxFieldSection = options.maxFieldSection ?? FIELD_SECTION_SIZE;
    this.#takeover = options.takeover ?? null;
  }

  /** Bytes still to come of the frame at hand. */
  get left(): number {
    return this.#state === "header" ? 0 : this.#left;
  }

  /** Gives the next piece, after `next` returned null. It must stay as it is until `next` returns null again. */
  push(piece: Uint8Array): void {
    this.#piece = this.#at === this.#piece.length ? piece : join(this.#piece.subarray(this.#at), piece);
    this.#at = 0;
  }

  /** What was pushed and not read, uncopied: it is the caller's then. */
  rest(): Uint8Array {
    const rest = this.#piece.subarray(this.#at);
    this.#piece = NOTHING;
    this.#at = 0;
    return rest;
  }

  /**
   * The next frame, or the next part of a DATA frame.
   *
   * @throws {Http3ConnectionError} H3_FRAME_UNEXPECTED, H3_MISSING_SETTINGS, H3_FRAME_ERROR, H3_EXCESSIVE_LOAD
   * @throws {Http3StreamError} H3_EXCESSIVE_LOAD where a field section is too large
   */
  next(): FrameEvent {
    for (;;) {
      switch (this.#state) {
        case "header":
          if (!this.#readHeader()) return null;
          // A DATA frame is told of even where it is empty: it stands in the sequence of frames.
          if (this.type === FRAME.DATA) {
            this.begins = true;
            return this.#readData();
          }
          break;
        case "data":
          if (this.#at === this.#piece.length) return null;
          this.begins = false;
          return this.#readData();
        case "frame":
          return this.#readPayload() ? "frame" : null;
        case "skip": {
          const skipped = Math.min(this.#left, this.#piece.length - this.#at);
          this.#at += skipped;
          this.#left -= skipped;
          if (this.#left > 0) return null;
          this.#state = "header";
          break;
        }
        case "takeover":
          return "takeover";
      }
    }
  }

  /**
   * The stream ended cleanly.
   *
   * rfc9114#7.1 When a stream terminates cleanly, if the last frame on the stream was truncated, this MUST be treated as
   * a connection error of type H3_FRAME_ERROR.
   */
  end(): void {
    if (this.#state === "takeover") return;
    if (this.#state !== "header" || this.#header.begun) {
      throw new Http3ConnectionError(
        "H3_FRAME_ERROR",
        this.#state === "header"
          ? "the stream ended within the beginning of a frame"
          : `the stream ended ${this.#left} bytes before its ${frameName(this.type)} did`,
      );
    }
  }

  /** Reads type and length; false where they are not whole. */
  #readHeader(): boolean {
    const takeover = this.#first ? this.#takeover : null;
    const at = this.#header.read(this.#piece, this.#at, takeover);
    this.#at = at < 0 ? this.#piece.length : at;
    if (at < 0) return false;
    const { type, length } = this.#header;
    if (takeover !== null && takeover.has(type)) {
      this.type = type;
      this.#state = "takeover";
    } else this.#begin(type, length);
    return true;
  }

  #begin(type: number, length: number): void {
    const where = placement(type, this.#stream, this.#receiver, this.#first);
    this.#first = false;
    if (where === "H3_FRAME_UNEXPECTED" || where === "H3_MISSING_SETTINGS") {
      throw new Http3ConnectionError(where, `${frameName(type)} on a ${this.#stream} stream`);
    }
    if (length === 0 || where === "skip") {
      if (++this.#idle > IDLE_FRAMES) {
        throw new Http3ConnectionError(
          "H3_EXCESSIVE_LOAD",
          `${IDLE_FRAMES} frames in a row that say nothing`,
        );
      }
    } else this.#idle = 0;
    this.type = type;
    this.#left = length;
    if (where === "skip") this.#state = "skip";
    else if (type === FRAME.DATA) this.#state = "data";
    else {
      this.#mustBeSmall(type, length);
      this.#state = "frame";
    }
  }

  #mustBeSmall(type: number, length: number): void {
    switch (type) {
      case FRAME.HEADERS:
      case FRAME.PUSH_PROMISE:
        if (length <= this.#maxFieldSection) return;
        throw new Http3StreamError("H3_EXCESSIVE_LOAD", `a field section of ${length} bytes`);
      case FRAME.GOAWAY:
      case FRAME.MAX_PUSH_ID:
      case FRAME.CANCEL_PUSH:
        // rfc9114#7.1 redundant length encodings MUST be verified to be self-consistent: one varint and no more.
        if (length >= 1 && length <= 8) return;
        throw new Http3ConnectionError("H3_FRAME_ERROR", `${frameName(type)} of ${length} bytes`);
      default:
        if (length <= (type === FRAME.SETTINGS ? SETTINGS_FRAME_SIZE : CONTROL_FRAME_SIZE)) return;
        throw new Http3ConnectionError("H3_EXCESSIVE_LOAD", `${frameName(type)} of ${length} bytes`);
    }
  }

  #readData(): "data" {
    const end = Math.min(this.#piece.length, this.#at + this.#left);
    this.payload = this.#piece.subarray(this.#at, end);
    this.#left -= end - this.#at;
    this.#at = end;
    if (this.#left === 0) this.#state = "header";
    return "data";
  }

  /** Gathers a frame; true when it is whole. */
  #readPayload(): boolean {
    const piece = this.#piece;
    const end = Math.min(piece.length, this.#at + this.#left);
    // A Buffer: QPACK reads strings from it.
    const part = Buffer.from(piece.buffer, piece.byteOffset + this.#at, end - this.#at);
    this.#at = end;
    this.#left -= part.length;
    if (this.#left > 0) {
      this.#gathering.add(part, this.#left);
      return false;
    }
    this.payload = this.#gathering.finish(part);
    this.#state = "header";
    return true;
  }
}
