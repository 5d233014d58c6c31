import { Http3ConnectionError, MalformedMessageError } from "./errors.ts";
import type { RequestHead, ResponseHead } from "./message-head.ts";

/** What a HEADERS frame is. */
export type SectionKind = "head" | "trailers";

/**
 * The order of HEADERS and DATA frames of a message, and how much content there is. rfc9114#4.1
 *
 * For each HEADERS frame ask {@link headers} before decoding it, then tell {@link requestHead} or {@link responseHead}
 * what it said; for each part of a DATA frame {@link data}; for the stream's end {@link end}.
 */
export class MessageSequence {
  #state: "head" | "content" | "trailers" = "head";
  /** Bytes of content still to come, or null where it is not known. */
  #left: number | null = null;
  /** Whether content may come at all. */
  #contentAllowed = true;
  #tunnel = false;

  /**
   * A HEADERS frame came.
   *
   * @throws {Http3ConnectionError} H3_FRAME_UNEXPECTED
   */
  headers(): SectionKind {
    if (this.#state === "head") return "head";
    // rfc9114#4.1 Receipt of an invalid sequence of frames MUST be treated as a connection error of type
    // H3_FRAME_UNEXPECTED: a HEADERS or DATA frame after the trailing HEADERS frame.
    // rfc9114#4.1 On a given stream, receipt of multiple requests or receipt of an additional HTTP response following a
    // final HTTP response MUST be treated as malformed: a second head is read as trailers, where its pseudo-header
    // fields make it so.
    if (this.#state === "trailers") throw unexpected("HEADERS after the trailers");
    // rfc9114#4.4 Once the CONNECT method has completed, only DATA frames are permitted to be sent on the stream. Receipt of
    // any other known frame type MUST be treated as a connection error of type H3_FRAME_UNEXPECTED.
    if (this.#tunnel) throw unexpected("HEADERS in a tunnel");
    this.#state = "trailers";
    return "trailers";
  }

  /** A PUSH_PROMISE frame came, which is no part of the message but has no place in a tunnel. */
  pushPromise(): void {
    if (this.#tunnel) throw unexpected("PUSH_PROMISE in a tunnel");
  }

  /** The request's head. */
  requestHead(head: RequestHead): void {
    this.#state = "content";
    if (head.method === "CONNECT") this.#tunnel = true;
    else this.#left = head.contentLength;
  }

  /**
   * A response's head.
   *
   * @param method - of the request
   * @returns whether it is final; interim ones are followed by another head
   */
  responseHead(head: ResponseHead, method: string): boolean {
    const { status } = head;
    if (status < 200) return false;
    this.#state = "content";
    if (method === "CONNECT" && status < 300) this.#tunnel = true;
    // rfc9110#6.4.1: these have no content, whatever Content-Length says.
    else if (method === "HEAD" || status === 204 || status === 304) this.#contentAllowed = false;
    else this.#left = head.contentLength;
    return true;
  }

  /**
   * A part of a DATA frame came.
   *
   * @throws {Http3ConnectionError} H3_FRAME_UNEXPECTED
   * @throws {MalformedMessageError} where it is more than Content-Length says
   */
  data(length: number): void {
    // rfc9114#4.1 In particular, a DATA frame before any HEADERS frame, or a HEADERS or DATA frame after the trailing
    // HEADERS frame, is considered invalid.
    if (this.#state !== "content") {
      throw unexpected(this.#state === "head" ? "DATA before HEADERS" : "DATA after the trailers");
    }
    if (length === 0) return;
    if (!this.#contentAllowed) {
      throw new MalformedMessageError("content-length-mismatch", "content in a response that has none");
    }
    if (this.#left === null) return;
    this.#left -= length;
    // rfc9114#4.1.2: malformed if Content-Length does not equal the sum of the DATA frame lengths received.
    if (this.#left < 0) {
      throw new MalformedMessageError("content-length-mismatch", "more content than content-length says");
    }
  }

  /** Whether the message's head has come. */
  get begun(): boolean {
    return this.#state !== "head";
  }

  /**
   * The stream ended cleanly. Where it did so before the message's head, that is not said here: `begun` is false.
   *
   * @throws {MalformedMessageError} where content is missing
   */
  end(): void {
    if (this.#left !== null && this.#left > 0) {
      throw new MalformedMessageError(
        "content-length-mismatch",
        `${this.#left} bytes less content than content-length says`,
      );
    }
  }
}

function unexpected(message: string): Http3ConnectionError {
  return new Http3ConnectionError("H3_FRAME_UNEXPECTED", message);
}
