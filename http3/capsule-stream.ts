// Capsules on a tunnel's stream, rfc9297#3.

import { parseItem } from "structured-headers";
import { CAPSULE, CapsuleReader, encodeCapsule } from "./capsules.ts";
import { Http3StateError, Http3StreamError, MalformedMessageError } from "./errors.ts";
import type { Field } from "./qpack/field.ts";
import type { MessageStream } from "./message-stream.ts";
import { ClientStream, ServerStream } from "./request-stream.ts";

/** Says that a stream carries capsules. rfc9297#3.4 */
export const CAPSULE_PROTOCOL: Field = Object.freeze({ name: "capsule-protocol", value: "?1" });

/**
 * Whether a message's fields say that its stream carries capsules.
 *
 * rfc9297#3.4 its value MUST be a Boolean; any other value type MUST be handled as if the field were not present.
 * Receivers MUST ignore unknown parameters.
 */
export function saysCapsules(fields: readonly Field[]): boolean {
  const lines = fields.filter(({ name }) => name === CAPSULE_PROTOCOL.name);
  if (lines.length !== 1) return false;
  try {
    return parseItem(lines[0]!.value)[0] === true;
  } catch {
    return false;
  }
}

/** A capsule that came. */
export interface Capsule {
  readonly type: number;
  readonly value: Uint8Array;
}

/** Options of {@link CapsuleStream}. */
export interface CapsuleStreamOptions {
  /** Types that `read` gives; others are dropped, and datagrams go to `stream.datagrams`. Default: none. */
  readonly types?: Iterable<number>;
  /** Bytes of a capsule's value that are taken. Default 65,536. */
  readonly maxSize?: number;
}

/**
 * The capsule protocol on a stream of extended CONNECT, and the request's datagrams whichever way they can go. What comes
 * is read by `read`: call it again and again, also where datagrams alone are wanted.
 *
 * @example
 * import { CapsuleStream } from "quic-ts/http3";
 * const echo = async (stream) => {
 *   await stream.respond(200, [{ name: "capsule-protocol", value: "?1" }]);
 *   const capsules = new CapsuleStream(stream, { types: [0x1234] });
 *   for await (const { type, value } of capsules) await capsules.write(type, value);
 *   await stream.end();
 * };
 */
export class CapsuleStream implements AsyncIterable<Capsule> {
  readonly stream: MessageStream;
  readonly #reader: CapsuleReader;
  readonly #types: ReadonlySet<number>;

  /**
   * @param stream - whose heads were exchanged
   * @throws {MalformedMessageError} where the peer's head goes against the capsule protocol; the stream is ended
   * @throws {Http3StateError} where the stream is no tunnel
   */
  constructor(stream: MessageStream, options: CapsuleStreamOptions = {}) {
    this.stream = stream;
    // rfc9297#3.2: it can only be used with the CONNECT method.
    if (!stream.isTunnel) throw new Http3StateError("capsules are for extended CONNECT");
    this.#types = new Set(options.types);
    this.#reader = new CapsuleReader(
      (type) => type === CAPSULE.DATAGRAM || this.#types.has(type),
      options.maxSize,
    );
    const { trace, id } = stream;
    if (trace !== null) this.#reader.onHeader = (type, length) => trace.capsule("parsed", id, type, length);
    try {
      checkHead(stream);
    } catch (error) {
      stream.give(error as Http3StreamError);
      throw error;
    }
  }

  /** Sends a capsule of the parts of its value. Resolves and rejects as `stream.write`. */
  write(type: number, ...value: readonly Uint8Array[]): Promise<void> {
    const length = value.reduce((sum, part) => sum + part.length, 0);
    this.stream.trace?.capsule("created", this.stream.id, type, length);
    return this.stream.write(encodeCapsule(type, ...value));
  }

  /**
   * Sends a datagram: in one of QUIC's where the two sides take those and it fits, else in a capsule, which is reliable and
   * ordered. rfc9297#2.2
   */
  async sendDatagram(payload: Uint8Array): Promise<void> {
    const { datagrams } = this.stream;
    if (datagrams.available && payload.length <= datagrams.maxSize) datagrams.send(payload);
    else await this.write(CAPSULE.DATAGRAM, payload);
  }

  /**
   * The next capsule of the types asked for; null at the end.
   *
   * @throws as `stream.read`; {MalformedMessageError} where the stream ends within a capsule
   */
  async read(): Promise<Capsule | null> {
    try {
      for (;;) {
        while (this.#reader.next()) {
          const { type, value } = this.#reader;
          if (type === CAPSULE.DATAGRAM) this.stream.datagrams.deliver(value);
          if (this.#types.has(type)) return { type, value: value.slice() };
        }
        const chunk = await this.stream.read();
        if (chunk === null) {
          this.#reader.end();
          return null;
        }
        this.#reader.push(chunk);
      }
    } catch (error) {
      // rfc9297#3.3 When a receiver encounters an error processing the Capsule Protocol, the receiver MUST treat it as if it
      // had received a malformed or incomplete HTTP message.
      if (error instanceof Http3StreamError && !error.remote) this.stream.give(error);
      throw error;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Capsule, void, undefined> {
    for (let capsule = await this.read(); capsule !== null; capsule = await this.read()) yield capsule;
  }
}

/**
 * rfc9297#3.2 The Capsule Protocol MUST NOT be used with messages that contain Content-Length, Content-Type, or
 * Transfer-Encoding header fields. Additionally, HTTP status codes 204, 205, and 206 MUST NOT be sent on responses that use
 * the Capsule Protocol. A receiver that observes a violation of these requirements MUST treat the HTTP message as malformed.
 */
function checkHead(stream: MessageStream): void {
  const head =
    stream instanceof ServerStream
      ? stream.request
      : stream instanceof ClientStream
        ? stream.responseHead
        : null;
  if (head === null) throw new Http3StateError("capsules come after the response's head: await it");
  for (const { name } of head.fields) {
    if (name === "content-length" || name === "content-type" || name === "transfer-encoding") {
      throw new MalformedMessageError("capsule", `${name} with capsules`);
    }
  }
  if ("status" in head && (head.status === 204 || head.status === 205 || head.status === 206)) {
    throw new MalformedMessageError("capsule", `a status of ${head.status} with capsules`);
  }
}
