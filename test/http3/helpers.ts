import assert from "node:assert/strict";
import {
  H3_ERROR,
  Http3ConnectionError,
  Http3StreamError,
  MalformedMessageError,
  type H3ErrorName,
  type MalformedReason,
} from "../../http3/errors.ts";

export const bytes = (hex: string) => new Uint8Array(Buffer.from(hex.replace(/\s/g, ""), "hex"));
export const hex = (taken: Uint8Array) => Buffer.from(taken).toString("hex");
export const text = (taken: Uint8Array) => Buffer.from(taken).toString("latin1");

export const concat = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** Expects a connection error with that code. */
export const connectionError = (error: H3ErrorName, run: () => unknown, message = `expected ${error}`) =>
  assert.throws(
    run,
    (thrown) => thrown instanceof Http3ConnectionError && thrown.errorCode === H3_ERROR[error],
    message,
  );

/** Expects a stream error with that code. */
export const streamError = (error: H3ErrorName, run: () => unknown) =>
  assert.throws(
    run,
    (thrown) => thrown instanceof Http3StreamError && thrown.errorCode === H3_ERROR[error],
    `expected ${error}`,
  );

/** Expects a malformed message, for that reason. rfc9114#4.1.2: a stream error of type H3_MESSAGE_ERROR. */
export const malformed = (reason: MalformedReason, run: () => unknown) => {
  let thrown: unknown = null;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  assert.ok(thrown instanceof MalformedMessageError, `expected ${reason}, got ${String(thrown)}`);
  assert.equal(thrown.reason, reason, thrown.message);
  assert.equal(thrown.errorCode, H3_ERROR.H3_MESSAGE_ERROR);
};
