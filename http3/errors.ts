// HTTP/3's error codes and the errors that carry them.

/** Error codes of HTTP/3 and its extensions. */
export const H3_ERROR = {
  // rfc9297#5.2
  H3_DATAGRAM_ERROR: 0x33,
  // rfc9114#8.1
  H3_NO_ERROR: 0x0100,
  H3_GENERAL_PROTOCOL_ERROR: 0x0101,
  H3_INTERNAL_ERROR: 0x0102,
  H3_STREAM_CREATION_ERROR: 0x0103,
  H3_CLOSED_CRITICAL_STREAM: 0x0104,
  H3_FRAME_UNEXPECTED: 0x0105,
  H3_FRAME_ERROR: 0x0106,
  H3_EXCESSIVE_LOAD: 0x0107,
  H3_ID_ERROR: 0x0108,
  H3_SETTINGS_ERROR: 0x0109,
  H3_MISSING_SETTINGS: 0x010a,
  H3_REQUEST_REJECTED: 0x010b,
  H3_REQUEST_CANCELLED: 0x010c,
  H3_REQUEST_INCOMPLETE: 0x010d,
  H3_MESSAGE_ERROR: 0x010e,
  H3_CONNECT_ERROR: 0x010f,
  H3_VERSION_FALLBACK: 0x0110,
  // rfc9204#6
  QPACK_DECOMPRESSION_FAILED: 0x0200,
  QPACK_ENCODER_STREAM_ERROR: 0x0201,
  QPACK_DECODER_STREAM_ERROR: 0x0202,
} as const;

/** The name of one of HTTP/3's error codes, as in the RFCs. */
export type H3ErrorName = keyof typeof H3_ERROR;

const NAMES = new Map<number, H3ErrorName>(
  (Object.entries(H3_ERROR) as [H3ErrorName, number][]).map(([name, code]) => [code, name]),
);

/** Whether a frame type, stream type, setting or error code has the form 0x1f * N + 0x21. rfc9114#7.2.8 */
export function isReserved(value: number): boolean {
  return value >= 0x21 && (value - 0x21) % 0x1f === 0;
}

/**
 * The name of an HTTP/3 error code, for people.
 *
 * @param code - as in `errorCode`
 * @returns the name in the RFCs; for unknown codes the number in hexadecimal
 */
export function h3ErrorName(code: number): string {
  return NAMES.get(code) ?? (isReserved(code) ? `reserved 0x${code.toString(16)}` : `0x${code.toString(16)}`);
}

/**
 * The meaning an HTTP/3 endpoint gives to an error code it received.
 *
 * rfc9114#8 use of an error code in an unexpected context or receipt of an unknown error code MUST be treated as
 * equivalent to H3_NO_ERROR.
 */
export function meaningOf(code: number): number {
  // rfc9114#8.1 Error codes of the format 0x1f * N + 0x21 are treated as equivalent to H3_NO_ERROR.
  return NAMES.has(code) ? code : H3_ERROR.H3_NO_ERROR;
}

/** Stable strings for `error.code`. */
export type Http3ErrorCode =
  | "ERR_HTTP3_CONNECTION"
  | "ERR_HTTP3_STREAM"
  | "ERR_HTTP3_FIELD"
  | "ERR_HTTP3_STATE"
  | "ERR_HTTP3_GOING_AWAY"
  | "ERR_HTTP3_TIMEOUT";

/** Options of the errors of HTTP/3. */
export interface Http3ErrorOptions {
  readonly cause?: unknown;
  /** Whether the peer said so. Default false. */
  readonly remote?: boolean;
}

/**
 * The root of the errors of HTTP/3. `code` is stable and meant for programs, `errorCode` is what goes on the wire,
 * `message` is meant for people.
 */
export class Http3Error extends Error {
  readonly code: Http3ErrorCode;
  /** The HTTP/3 error code (rfc9114#8.1). */
  readonly errorCode: number;
  /** Waiting did not end it. */
  readonly timeout: boolean = false;
  readonly temporary: boolean = false;
  /** True when the peer said so, false when this side did. */
  readonly remote: boolean;

  constructor(code: Http3ErrorCode, errorCode: number, message: string, options?: Http3ErrorOptions) {
    super(
      `${h3ErrorName(errorCode)}: ${message}`,
      options?.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.errorCode = errorCode;
    this.remote = options?.remote ?? false;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

const codeOf = (error: H3ErrorName | number) => (typeof error === "number" ? error : H3_ERROR[error]);

/** The connection was or has to be closed with `errorCode`: one side broke HTTP/3, or is done. rfc9114#8 */
export class Http3ConnectionError extends Http3Error {
  constructor(error: H3ErrorName | number, message: string, options?: Http3ErrorOptions) {
    super("ERR_HTTP3_CONNECTION", codeOf(error), message, options);
  }
}

/** One stream was or has to be ended with `errorCode`; the connection lives on. rfc9114#8 */
export class Http3StreamError extends Http3Error {
  constructor(error: H3ErrorName | number, message: string, options?: Http3ErrorOptions) {
    super("ERR_HTTP3_STREAM", codeOf(error), message, options);
  }

  /** Whether the server did nothing with the request: it can be sent again, whatever its method. rfc9114#4.1.1 */
  get rejected(): boolean {
    return this.remote && this.errorCode === H3_ERROR.H3_REQUEST_REJECTED;
  }
}

/** A call that cannot be made now: the caller's mistake, nothing was sent. */
export class Http3StateError extends Http3Error {
  constructor(message: string) {
    super("ERR_HTTP3_STATE", H3_ERROR.H3_INTERNAL_ERROR, message);
  }
}

/** The peer takes no more requests on this connection, or this side sends none: use another one. rfc9114#5.2 */
export class GoingAwayError extends Http3Error {
  constructor(remote: boolean) {
    const who = remote ? "the peer" : "this side";
    super(
      "ERR_HTTP3_GOING_AWAY",
      H3_ERROR.H3_REQUEST_REJECTED,
      `${who} is shutting the connection down; send the request on another one`,
      { remote },
    );
  }
}

/** Something took longer than an option allows: its name stands in `option`. */
export class Http3TimeoutError extends Http3Error {
  override readonly timeout = true;
  readonly option: "connectTimeout" | "headersTimeout" | "bodyTimeout";

  constructor(option: Http3TimeoutError["option"], message: string) {
    super("ERR_HTTP3_TIMEOUT", H3_ERROR.H3_REQUEST_CANCELLED, message);
    this.option = option;
  }
}

/** What is wrong with a message. rfc9114#4.1.2 */
export type MalformedReason =
  | "name-empty"
  | "name-uppercase"
  | "name-character"
  | "value-character"
  | "value-whitespace"
  | "connection-specific"
  | "te"
  | "pseudo-undefined"
  | "pseudo-after-field"
  | "pseudo-duplicate"
  | "pseudo-missing"
  | "pseudo-in-trailer"
  | "pseudo-not-allowed"
  | "method"
  | "scheme"
  | "authority"
  | "authority-mismatch"
  | "path"
  | "protocol"
  | "status"
  | "host-duplicate"
  | "content-length"
  | "content-length-mismatch"
  | "sequence"
  | "capsule";

/**
 * A message is malformed: its stream ends with H3_MESSAGE_ERROR, the connection lives on.
 *
 * rfc9114#4.1.2 Malformed requests or responses that are detected MUST be treated as a stream error of type
 * H3_MESSAGE_ERROR.
 */
export class MalformedMessageError extends Http3StreamError {
  readonly reason: MalformedReason;

  constructor(reason: MalformedReason, message: string) {
    super("H3_MESSAGE_ERROR", message);
    this.reason = reason;
  }
}

/** A field given to be sent that HTTP/3 cannot carry: the caller's mistake, nothing was sent. */
export class InvalidFieldError extends Http3Error {
  constructor(message: string) {
    super("ERR_HTTP3_FIELD", H3_ERROR.H3_INTERNAL_ERROR, message);
  }
}

/** Whether a connection ended because one side was done with it. */
export function isNormalEnd(error: unknown): boolean {
  return (
    error instanceof Http3ConnectionError &&
    (error.errorCode === H3_ERROR.H3_NO_ERROR || error.errorCode === 0)
  );
}
