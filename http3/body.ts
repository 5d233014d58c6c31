// Content as Web streams: what comes becomes a ReadableStream, and one is sent.

import { ReadableStream } from "node:stream/web";

/** Options of {@link bodyOf}. */
export interface BodyOptions {
  /** All of it was read, trailers included. */
  onEnd?(): void;
  /** It broke off. */
  onError?(error: unknown): void;
  /** The consumer wants no more. */
  onCancel(reason: unknown): void;
}

/**
 * Content that comes, as a stream; nothing is read that is not asked for.
 *
 * @param read - the next part, null at the end
 */
export function bodyOf(
  read: () => Promise<Uint8Array | null>,
  options: BodyOptions,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let chunk: Uint8Array | null;
        try {
          chunk = await read();
        } catch (error) {
          options.onError?.(error);
          throw error;
        }
        if (chunk === null) {
          options.onEnd?.();
          controller.close();
        } else controller.enqueue(chunk);
      },
      cancel(reason) {
        options.onCancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** What can be sent as content. */
export type Content = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string>;

/** Where content goes: a request's stream, or a push. */
export interface ContentSink {
  write(bytes: Uint8Array): Promise<void>;
  /** Calls back once where the peer gives up, or the connection ends. */
  whenGone(callback: (error: unknown) => void): void;
}

/**
 * Sends all of `content`, no faster than the peer takes it. The message is not ended.
 *
 * @throws what `content` fails with; what writing fails with, and then `content` is cancelled
 */
export async function sendContent(content: Content, sink: ContentSink): Promise<void> {
  const iterator = iterate(content);
  // While the source has nothing to give, the peer may give up.
  let gone: { readonly error: unknown } | null = null;
  let stop: (reason: Error) => void = () => {};
  sink.whenGone((error) => {
    gone = { error };
    stop(error as Error);
  });
  const mustBeThere = () => {
    if (gone !== null) throw gone.error;
  };
  try {
    for (;;) {
      mustBeThere();
      const { done, value } = await new Promise<IteratorResult<unknown, unknown>>((resolve, reject) => {
        stop = reject;
        iterator.next().then(resolve, reject);
      });
      if (done === true) return;
      await sink.write(toBytes(value));
    }
  } catch (error) {
    // Not waited for: it may wait for its source.
    void Promise.resolve(iterator.return?.(error)).catch(() => {});
    throw error;
  }
}

function iterate(content: Content): AsyncIterator<unknown, unknown, unknown> {
  if (!(content instanceof ReadableStream)) return content[Symbol.asyncIterator]();
  const reader = content.getReader();
  return {
    async next() {
      const { done, value } = await reader.read();
      return { done, value };
    },
    async return(reason) {
      await reader.cancel(reason);
      return { done: true, value: undefined };
    },
  };
}

/** A part of content as bytes. @throws {TypeError} */
export function toBytes(part: unknown): Uint8Array {
  if (part instanceof Uint8Array) return part;
  if (typeof part === "string") return Buffer.from(part);
  if (part instanceof ArrayBuffer) return new Uint8Array(part);
  if (ArrayBuffer.isView(part)) return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  throw new TypeError("content has to come as Uint8Array or string");
}
