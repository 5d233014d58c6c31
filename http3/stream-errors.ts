import type { StreamError } from "../src/index.ts";
import { H3_ERROR, Http3StreamError } from "./errors.ts";

/** A stream that the peer ended early. */
export function remoteError(error: StreamError, what: "reset" | "stopped reading"): Http3StreamError {
  return new Http3StreamError(
    error.errorCode,
    what === "reset" ? "the peer reset the stream" : "the peer stopped reading the stream",
    { remote: true, cause: error },
  );
}

/** Whether a section was refused for its size. */
export function tooLarge(error: unknown): boolean {
  return error instanceof Http3StreamError && error.errorCode === H3_ERROR.H3_EXCESSIVE_LOAD;
}
