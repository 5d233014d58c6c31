// A response as fetch has it.

import { bodyOf } from "../body.ts";
import { H3_ERROR, Http3StreamError, Http3TimeoutError } from "../errors.ts";
import { headersOf, pairsOf } from "../headers.ts";
import type { ClientStream } from "../request-stream.ts";
import type { Answer } from "./exchange.ts";

/** A Response, and what fetch has no place for. */
export interface Http3Response extends Response {
  /** Resolves when the body was read to its end, with the trailer fields after it; rejects where it broke off. */
  readonly trailers: Promise<Headers>;
  /** The request stream beneath. */
  readonly stream: ClientStream;
}

/** Statuses with which `Response` takes no body. */
const WITHOUT_BODY = new Set([204, 205, 304]);

/** A body that was thrown away unread would hold its stream, and the peer, for ever. */
const abandoned = new FinalizationRegistry<ClientStream>((stream) =>
  stream.cancel(H3_ERROR.H3_REQUEST_CANCELLED, "nobody reads the response"),
);

/**
 * @param url - of the request: what `response.url` says
 * @param bodyTimeout - ms between two parts of the body, 0 for ever
 * @param signal - the request's, whose reason the body fails with
 */
export function responseOf(
  { stream, head }: Answer,
  url: string,
  bodyTimeout: number,
  signal: AbortSignal | undefined,
): Http3Response {
  const { status } = head;
  if (status > 599) {
    // `Response` knows none of these; rfc9110#15: a client should treat them as 5xx.
    stream.cancel(H3_ERROR.H3_REQUEST_CANCELLED, `a status of ${status}`);
    throw new Http3StreamError("H3_MESSAGE_ERROR", `the response has the status ${status}`, { remote: true });
  }
  let resolve: (trailers: Headers) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const trailers = new Promise<Headers>((one, other) => ([resolve, reject] = [one, other]));
  // Nobody has to look at it.
  trailers.catch(() => {});
  const onEnd = () => resolve(headersOf(stream.trailers ?? []));

  let body: ReadableStream<Uint8Array> | null = null;
  if (WITHOUT_BODY.has(status) || stream.request.method === "HEAD") {
    // Its end is still to come, and trailers perhaps.
    void drain(stream).then(onEnd, reject);
  } else {
    const { read, stop } = deadline(stream, bodyTimeout, signal);
    body = bodyOf(read, {
      onEnd,
      onError: reject,
      onCancel(reason) {
        stop();
        stream.cancel(H3_ERROR.H3_REQUEST_CANCELLED, "nobody reads the response");
        reject(reason ?? new Http3StreamError("H3_REQUEST_CANCELLED", "the body was cancelled"));
      },
    }) as ReadableStream<Uint8Array>;
    // One that was read to its end has nothing left to cancel.
    abandoned.register(body, stream);
  }
  const response = new Response(body as BodyInit | null, { status, headers: pairsOf(head.fields) });
  return Object.defineProperties(response, {
    url: { value: url },
    trailers: { value: trailers },
    stream: { value: stream },
  }) as Http3Response;
}

/** A body that is none: takes the end, and whatever else there is. */
async function drain(stream: ClientStream): Promise<void> {
  while ((await stream.read()) !== null);
}

/** Reading with a limit to each wait; and with the signal's own reason where that ended it. */
export function deadline(stream: ClientStream, ms: number, signal: AbortSignal | undefined) {
  let late: Http3TimeoutError | null = null;
  let timer: NodeJS.Timeout | undefined;
  const stop = () => clearTimeout(timer);
  const read = async (): Promise<Uint8Array | null> => {
    if (ms > 0) {
      timer = setTimeout(() => {
        late = new Http3TimeoutError("bodyTimeout", `nothing of the body came for ${ms} ms`);
        stream.give(new Http3StreamError("H3_REQUEST_CANCELLED", late.message));
      }, ms);
    }
    try {
      return await stream.read();
    } catch (error) {
      throw late ?? (signal?.aborted === true ? signal.reason : error);
    } finally {
      stop();
    }
  };
  return { read, stop };
}
