// One message as it goes out on a stream: sections, content in DATA frames, the end. rfc9114#4.1

import type { SendStream } from "../src/index.ts";
import { H3_ERROR, Http3StateError, InvalidFieldError } from "./errors.ts";
import { encodeFrame, FRAME, frameHeader } from "./frames.ts";
import { MAX_DATA_FRAME, SMALL_PAYLOAD } from "./limits.ts";
import { trailerSection } from "./message-build.ts";
import { DONE, Outlet } from "./outlet.ts";
import { fieldSize, type Field } from "./qpack/field.ts";
import type { QpackStreams } from "./qpack-streams.ts";
import type { Trace } from "./trace.ts";

const NO_FIELDS: readonly Field[] = [];

/** What a message's writer needs of its connection and stream. */
export interface WriterOwner {
  readonly qpack: QpackStreams;
  readonly trace: Trace | null;
  /** SETTINGS_MAX_FIELD_SECTION_SIZE of the peer. */
  readonly peerMaxFieldSectionSize: number;
  /** Writing failed, the peer stopped reading perhaps. Gives back what to tell the caller. */
  onWriteError(error: unknown): unknown;
  /** All was written, or writing was given up. */
  onWriteEnd(): void;
}

/** Writes one message. Calls take effect in their order, awaited or not; awaiting them is the backpressure. */
export class MessageWriter {
  readonly stream: SendStream;
  readonly #owner: WriterOwner;
  readonly #outlet: Outlet;
  #state: "head" | "content" | "ended" | "failed" = "head";
  #error: unknown = null;
  /** Bytes of content that Content-Length still promises, null where it promises nothing. */
  #left: number | null = null;
  #contentAllowed = true;

  constructor(stream: SendStream, owner: WriterOwner) {
    this.stream = stream;
    this.#owner = owner;
    this.#outlet = new Outlet(stream);
  }

  /** Whether the head of the message was sent. */
  get begun(): boolean {
    return this.#state !== "head";
  }

  /** Whether nothing more can be sent. */
  get over(): boolean {
    return this.#state === "ended" || this.#state === "failed";
  }

  /** Whether the message was sent to its end, though it may not have left yet. */
  get ended(): boolean {
    return this.#state === "ended";
  }

  /** See {@link Outlet.waitsAt}. */
  get waitsAt(): number | null {
    return this.over ? null : this.#outlet.waitsAt;
  }

  /** Why it was given up, or null. */
  get error(): unknown {
    return this.#error;
  }

  /**
   * A header section, checked by the caller. Interim ones leave the message at its beginning.
   *
   * @param contentLength - how much content it promises, or null
   * @param contentAllowed - false where it can have no content
   * @throws {InvalidFieldError} where it is larger than the peer takes
   */
  head(
    section: readonly Field[],
    final: boolean,
    contentLength: number | null = null,
    contentAllowed = true,
  ): Promise<void> {
    // rfc9114#4.1 A client MUST send only a single request on a given stream.
    if (this.#state !== "head") return this.#refuse("a message has one head");
    try {
      const bytes = this.#section(section);
      if (final) {
        this.#state = "content";
        this.#left = contentAllowed ? contentLength : null;
        this.#contentAllowed = contentAllowed;
      }
      return this.#write(bytes);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  #section(section: readonly Field[]): Uint8Array {
    let size = 0;
    for (const field of section) size += fieldSize(field);
    // rfc9114#4.2.2 An implementation that has received this parameter SHOULD NOT send an HTTP message header that exceeds
    // the indicated size.
    const max = this.#owner.peerMaxFieldSectionSize;
    if (size > max) {
      throw new InvalidFieldError(`the section has ${size} bytes, and the peer takes ${max}: send less`);
    }
    const encoded = this.#owner.qpack.encode(this.stream.id, section);
    this.#owner.trace?.headers("created", this.stream.id, section, encoded.length);
    return encodeFrame(FRAME.HEADERS, encoded);
  }

  /**
   * rfc9114#7.2.1 DATA frames MUST be associated with an HTTP request or response: they come after its head.
   *
   * A part of the content, as a DATA frame. `bytes` may be used again when the promise resolves.
   */
  data(bytes: Uint8Array): Promise<void> {
    // rfc9114#7.2.1 DATA frames MUST be associated with an HTTP request or response.
    if (this.#state !== "content") {
      return this.#refuse(this.#state === "head" ? "content comes after the head" : "the message has ended");
    }
    if (bytes.length === 0) return Promise.resolve();
    if (!this.#contentAllowed) return this.#refuse("this message can have no content");
    if (this.#left !== null) {
      if (bytes.length > this.#left) return this.#refuse("more content than content-length says");
      this.#left -= bytes.length;
    }
    if (bytes.length <= SMALL_PAYLOAD) {
      this.#owner.trace?.data("created", this.stream.id, bytes.length);
      return this.#write(encodeFrame(FRAME.DATA, bytes));
    }
    if (bytes.length > MAX_DATA_FRAME) return this.#inParts(bytes);
    this.#write(this.#dataHeader(bytes.length)).catch(() => {});
    return this.#write(bytes);
  }

  #dataHeader(length: number): Uint8Array {
    this.#owner.trace?.data("created", this.stream.id, length);
    return frameHeader(FRAME.DATA, length);
  }

  /** Frame by frame, so that a stream of others' bytes is not held up by one of ours. */
  async #inParts(bytes: Uint8Array): Promise<void> {
    let last = Promise.resolve();
    for (let at = 0; at < bytes.length; at += MAX_DATA_FRAME) {
      const part = bytes.subarray(at, at + MAX_DATA_FRAME);
      this.#write(this.#dataHeader(part.length)).catch(() => {});
      last = this.#write(part);
      last.catch(() => {});
    }
    await last;
  }

  /** Ends the message, after trailers where there are any. */
  end(trailers: readonly Field[] = NO_FIELDS): Promise<void> {
    if (this.#state === "ended") return DONE;
    if (this.#state !== "content") return this.#refuse("a message begins with its head");
    if (this.#left !== null && this.#left > 0) {
      const missing = `the message ended ${this.#left} bytes before its content-length: it was reset`;
      // rfc9114#4.1.2: it would be malformed. A reset says that it is no whole message.
      this.reset(H3_ERROR.H3_INTERNAL_ERROR, new Http3StateError(missing));
      return Promise.reject(this.#error as Error);
    }
    let written = DONE;
    try {
      if (trailers.length > 0) written = this.#write(this.#section(trailerSection(trailers)));
    } catch (error) {
      return Promise.reject(error as Error);
    }
    this.#state = "ended";
    const closing = this.#outlet.close();
    if (closing !== null || written !== DONE) return this.#ending(closing, written);
    this.#owner.onWriteEnd();
    return DONE;
  }

  async #ending(closing: Promise<void> | null, written: Promise<void>): Promise<void> {
    if (closing !== null) await closing;
    await written;
    if (!this.#isFailed()) this.#owner.onWriteEnd();
  }

  /** Bytes of an extension's own, outside any frame. */
  raw(bytes: Uint8Array): Promise<void> {
    return this.#write(bytes);
  }

  #isFailed(): boolean {
    return this.#state === "failed";
  }

  #write(bytes: Uint8Array): Promise<void> {
    const writing = this.#outlet.write(bytes);
    if (writing === DONE) return writing;
    return writing.catch((error: unknown) => {
      throw this.#failed(error);
    });
  }

  #failed(error: unknown): unknown {
    if (this.#state === "failed") return this.#error;
    this.#state = "failed";
    this.#error = this.#owner.onWriteError(error);
    this.#owner.onWriteEnd();
    return this.#error;
  }

  #refuse(message: string): Promise<never> {
    return Promise.reject(this.#state === "failed" ? (this.#error as Error) : new Http3StateError(message));
  }

  /** Gives the message up: RESET_STREAM with `code`. Later writes reject with `error`. */
  reset(code: number, error: unknown): void {
    if (this.#state === "failed") return;
    this.#state = "failed";
    this.#error = error;
    this.stream.cancelWrite(code);
    this.#owner.onWriteEnd();
  }
}
