import {
  AEAD_LIMIT_REACHED,
  ALERT,
  CONNECTION_REFUSED,
  CRYPTO_ERROR,
  INTERNAL_ERROR,
  INVALID_TOKEN,
  NO_ERROR,
  NO_VIABLE_PATH,
  errorCodeName,
  type AlertName,
} from "./constants.ts";

/** Stable strings for `error.code`. */
export type QuicErrorCode =
  | "ERR_QUIC_TRANSPORT"
  | "ERR_QUIC_APPLICATION"
  | "ERR_QUIC_IDLE_TIMEOUT"
  | "ERR_QUIC_HANDSHAKE_TIMEOUT"
  | "ERR_QUIC_STATELESS_RESET"
  | "ERR_QUIC_VERSION_NEGOTIATION"
  | "ERR_QUIC_STREAM_RESET"
  | "ERR_QUIC_STREAM_STOPPED"
  | "ERR_QUIC_STREAM_CLOSED"
  | "ERR_QUIC_DATAGRAM_TOO_LARGE"
  | "ERR_QUIC_MIGRATION"
  | "ERR_QUIC_CONNECTION_ID"
  | "ERR_QUIC_DATAGRAMS_UNSUPPORTED"
  | "ERR_QUIC_STREAM_LIMIT"
  | "ERR_QUIC_STREAM_LOCKED"
  | "ERR_QUIC_DEADLINE_EXCEEDED"
  | "ERR_QUIC_INVALID_OPTION"
  | "ERR_QUIC_TRANSPORT_CLOSED"
  | "ERR_QUIC_LISTENER_CLOSED"
  | "ERR_QUIC_LISTENER_BUSY"
  | "ERR_QUIC_RESOLVE"
  | "ERR_QUIC_SOCKET"
  | "ERR_QUIC_INVALID_STATE"
  | "ERR_QUIC_CERTIFICATE"
  | "ERR_QUIC_0RTT_REJECTED";

/**
 * The root of every error quic-ts throws. `code` is stable and meant for programs, `message` is meant for people and
 * says what to do about it.
 */
export class QuicError extends Error {
  readonly code: QuicErrorCode;
  /** True when waiting ended it: idle, handshake or deadline. As Go's net.Error. */
  readonly timeout: boolean = false;
  /** True when trying the same thing again may succeed. */
  readonly temporary: boolean = false;
  /** True when the peer said so, false when this side did. */
  readonly remote: boolean = false;
  /** The code on the wire, where there is one; clipped to 2^53−1. */
  readonly errorCode: number | undefined = undefined;
  /** The same, exact. */
  readonly errorCodeBig: bigint | undefined = undefined;

  constructor(code: QuicErrorCode, message: string, options?: { cause?: unknown; temporary?: boolean }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options?.temporary === true) this.temporary = true;
  }

  override get name(): string {
    return this.constructor.name;
  }
}

/**
 * Makes an error for what the peer said. Where in our code it arrived tells nobody anything, and finding out costs
 * more than the packet.
 */
export function withoutStack<E extends Error>(make: () => E): E {
  if (Object.isFrozen(Error)) return make();
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** What to try after a transport error, as the end of a sentence's message; the code says who broke what. */
function advice(errorCode: number, remote: boolean): string {
  const says = (text: string) => `. ${text}`;
  switch (errorCode) {
    case NO_ERROR:
      return "";
    case INTERNAL_ERROR:
      return says(
        remote ? "The fault is the peer's: its log says more." : "The cause is in `cause`; please report it.",
      );
    case CONNECTION_REFUSED:
      return says(
        remote
          ? "The server takes no connection now: try again later."
          : "Accept faster, or raise the limits.",
      );
    case INVALID_TOKEN:
      return says("The address token was wrong or too old: dial again without it.");
    case NO_VIABLE_PATH:
      return says("Dial again: the network under the connection changed.");
    case AEAD_LIMIT_REACHED:
      return says("Dial again: the keys may not be used any longer.");
    case CRYPTO_ERROR + ALERT.no_application_protocol:
      return says("Both sides' ALPNProtocols need a name in common.");
    case CRYPTO_ERROR + ALERT.unrecognized_name:
      return says("The server has no certificate for that name: check servername.");
    case CRYPTO_ERROR + ALERT.certificate_required:
      return says("The server wants a client certificate: give `cert` and `key`.");
    case CRYPTO_ERROR + ALERT.handshake_failure:
      return says("The two sides share no cipher suite, group or signature scheme.");
    case CRYPTO_ERROR + ALERT.unknown_ca:
      return says(
        remote
          ? "The peer does not trust our certificate's issuer."
          : "Give the issuer's certificate in `ca`.",
      );
    case CRYPTO_ERROR + ALERT.bad_certificate:
    case CRYPTO_ERROR + ALERT.certificate_expired:
    case CRYPTO_ERROR + ALERT.certificate_unknown:
      return says(
        `${remote ? "Our" : "The peer's"} certificate was not accepted: check its dates and names.`,
      );
    default:
      if (errorCode >= CRYPTO_ERROR && errorCode < CRYPTO_ERROR + 0x100) {
        return says("The TLS handshake failed; NODE_DEBUG=quic and QLOGDIR show how far it came.");
      }
      // What is left are violations of the protocol: one of the two implementations is at fault.
      return says(
        `${remote ? "It says that this side" : "The peer"} broke the protocol; a qlog (QLOGDIR) shows the frames.`,
      );
  }
}

/** A connection that ended with a QUIC transport error (rfc9000#20.1), ours or the peer's. */
export class TransportError extends QuicError {
  override readonly remote: boolean;
  override readonly errorCode: number;
  override readonly errorCodeBig: bigint;
  /** The frame type that caused it, 0 where unknown. */
  readonly frameType: number;
  /** The reason phrase as it stands in CONNECTION_CLOSE. */
  readonly reason: string;

  constructor(
    errorCode: number,
    reason: string,
    options: { frameType?: number; remote?: boolean; cause?: unknown; errorCodeBig?: bigint } = {},
  ) {
    const remote = options.remote === true;
    super(
      "ERR_QUIC_TRANSPORT",
      `${remote ? "The peer" : "This endpoint"} closed the connection with ${errorCodeName(errorCode)}` +
        (reason === "" ? "" : `: ${reason}`) +
        advice(errorCode, remote),
      { cause: options.cause },
    );
    this.errorCode = errorCode;
    this.errorCodeBig = options.errorCodeBig ?? BigInt(errorCode);
    this.frameType = options.frameType ?? 0;
    this.reason = reason;
    this.remote = remote;
  }

  /** The TLS alert inside a CRYPTO_ERROR, or undefined. */
  get alert(): AlertName | undefined {
    const value = this.errorCode - CRYPTO_ERROR;
    return (Object.keys(ALERT) as AlertName[]).find((name) => ALERT[name] === value);
  }
}

/**
 * Thrown inside the TLS layer; the connection sends it as CRYPTO_ERROR + alert (rfc9001#4.8).
 * `certificateReason` is a stable machine-readable reason when a certificate was the cause, as `node:tls` names them
 * (`CERT_HAS_EXPIRED`, `ERR_TLS_CERT_ALTNAME_INVALID`, …).
 */
export class TlsAlertError extends TransportError {
  readonly certificateReason: string | undefined;

  constructor(
    alert: AlertName,
    reason: string,
    options: { cause?: unknown; certificateReason?: string } = {},
  ) {
    super(CRYPTO_ERROR + ALERT[alert], reason, { cause: options.cause, frameType: 0x06 });
    this.certificateReason = options.certificateReason;
  }
}

/** A connection closed by an application, ours or the peer's (CONNECTION_CLOSE of type 0x1d). */
export class ApplicationError extends QuicError {
  override readonly remote: boolean;
  override readonly errorCode: number;
  override readonly errorCodeBig: bigint;
  readonly reason: string;

  constructor(errorCodeBig: bigint, reason: string, remote: boolean) {
    super(
      "ERR_QUIC_APPLICATION",
      `${remote ? "The peer's" : "The local"} application closed the connection with code ${errorCodeBig}` +
        (reason === "" ? "" : `: ${reason}`),
    );
    this.errorCodeBig = errorCodeBig;
    this.errorCode = clipCode(errorCodeBig);
    this.reason = reason;
    this.remote = remote;
  }
}

/** Nothing arrived for the negotiated idle timeout, rfc9000#10.1. */
export class IdleTimeoutError extends QuicError {
  override readonly timeout: boolean = true;
  override readonly temporary: boolean = true;
  constructor(idleMs: number) {
    super(
      "ERR_QUIC_IDLE_TIMEOUT",
      `No packet arrived from the peer for ${Math.round(idleMs)} ms (the idle timeout). ` +
        "The peer or the network went away; set keepAlivePeriod to keep quiet connections open.",
    );
  }
}

/** The handshake did not complete in time. */
export class HandshakeTimeoutError extends QuicError {
  override readonly timeout: boolean = true;
  override readonly temporary: boolean = true;
  constructor(afterMs: number, heardFromPeer: boolean) {
    super(
      "ERR_QUIC_HANDSHAKE_TIMEOUT",
      `The handshake did not complete within ${Math.round(afterMs)} ms. ` +
        (heardFromPeer
          ? "The peer answered but did not finish; raise handshakeTimeout on slow paths."
          : "Nothing came back: check that a QUIC server listens on that UDP port and that no firewall drops UDP."),
    );
  }
}

/** The peer lost the connection's state and said so with a stateless reset, rfc9000#10.3. */
export class StatelessResetError extends QuicError {
  override readonly remote: boolean = true;
  override readonly temporary: boolean = true;
  constructor() {
    super(
      "ERR_QUIC_STATELESS_RESET",
      "The peer no longer knows this connection (stateless reset); dial again.",
    );
  }
}

/** No version in common, rfc9000#6.2. */
export class VersionNegotiationError extends QuicError {
  override readonly remote: boolean = true;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  /** What a new attempt should use, null where there is nothing in common. `dial` makes that attempt by itself. */
  readonly next: number | null;
  constructor(ours: readonly number[], theirs: readonly number[], next: number | null = null) {
    const show = (list: readonly number[]) =>
      list.map((version) => `0x${version.toString(16)}`).join(", ") || "none";
    super(
      "ERR_QUIC_VERSION_NEGOTIATION",
      next === null
        ? `No QUIC version in common: we speak ${show(ours)}, the peer speaks ${show(theirs)}.`
        : `The server speaks ${show(theirs)}: dial again with ${show([next])}.`,
    );
    this.ours = ours;
    this.theirs = theirs;
    this.next = next;
  }
}

/** A stream that ended before its data did: the sender reset it (`remote`), or this side gave it up. */
export class StreamError extends QuicError {
  override readonly remote: boolean;
  override readonly errorCode: number;
  override readonly errorCodeBig: bigint;
  readonly streamId: number;

  constructor(kind: "reset" | "stopped", streamId: number, errorCodeBig: bigint, remote: boolean) {
    super(
      kind === "reset" ? "ERR_QUIC_STREAM_RESET" : "ERR_QUIC_STREAM_STOPPED",
      kind === "reset"
        ? `Stream ${streamId} was reset by ${remote ? "the peer" : "this side"} with code ${errorCodeBig}; its data is incomplete.`
        : `${remote ? "The peer" : "This side"} stopped reading stream ${streamId} with code ${errorCodeBig}; what was written may not have been read.`,
    );
    this.streamId = streamId;
    this.errorCodeBig = errorCodeBig;
    this.errorCode = clipCode(errorCodeBig);
    this.remote = remote;
  }
}

/** Clips an application error code to what a Number holds exactly. */
export function clipCode(code: bigint): number {
  return code > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(code);
}

/** An option that cannot be used, named, with what would be accepted. */
export class InvalidOptionError extends QuicError {
  readonly option: string;
  constructor(option: string, message: string, cause?: unknown) {
    super("ERR_QUIC_INVALID_OPTION", `${option}: ${message}`, { cause });
    this.option = option;
  }
}
