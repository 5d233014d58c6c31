// How a connection ends: rfc9000#10.

import type { Address } from "../protocol/address.ts";
import { APPLICATION_ERROR, NO_ERROR } from "../protocol/constants.ts";
import { ApplicationError, TransportError, type QuicError } from "../protocol/errors.ts";
import { MAX_REASON_PHRASE } from "../protocol/limits.ts";
import { utf8 } from "../protocol/bytes.ts";

export type CloseState = "open" | "closing" | "draining" | "closed";

/** What a CONNECTION_CLOSE frame carries. */
export interface CloseFrame {
  readonly application: boolean;
  readonly errorCode: number | bigint;
  readonly frameType: number;
  readonly reason: Uint8Array;
}

/** What a connection leaves behind when it need not listen any more. */
export interface Farewell {
  /** Monotonic ms at which it may be forgotten. */
  readonly until: number;
  /** The datagram with its CONNECTION_CLOSE; null where the peer ended it: rfc9000#10.2.2 nothing is sent any more. */
  readonly packet: Uint8Array | null;
  /** Bytes that may still go to `remote`, Infinity where it is validated: rfc9000#8.1. */
  readonly budget: number;
  readonly remote: Address;
  readonly local: Address | null;
}

/** The state of the end. The connection's other parts ask `isOpen` before they do anything. */
export class CloseMachine {
  state: CloseState = "open";
  /** What the application is told. */
  error: QuicError | null = null;
  /** Both sides' words are kept: they may cross. */
  localError: QuicError | null = null;
  peerError: QuicError | null = null;
  /** A CONNECTION_CLOSE is due. */
  sendDue = false;
  /** Before this, ms, what comes may have been sent before the close was heard. */
  #quietUntil = 0;
  /** The last datagram with it. */
  packet: Uint8Array | null = null;
  #packetsSinceClose = 0;
  #answerAt = 1;
  #frame: CloseFrame | null = null;

  get isOpen(): boolean {
    return this.state === "open";
  }

  /** rfc9000#10.2.1 after sending CONNECTION_CLOSE an endpoint enters the closing state. */
  closeLocally(error: QuicError): void {
    // rfc9000#11.1 Errors that result in the connection being unusable, such as an obvious violation of protocol
    // semantics or corruption of state that affects an entire connection, …
    // rfc9000#10.3 An endpoint that wishes to communicate a fatal connection error MUST use a CONNECTION_CLOSE frame
    // if it is able.
    if (this.state !== "open") return;
    this.state = "closing";
    this.error = this.localError = error;
    this.sendDue = true;
    this.#frame = closeFrame(error);
  }

  /**
   * rfc9000#10.2.2 an endpoint that receives CONNECTION_CLOSE enters the draining state and sends nothing more. It MAY
   * send one CONNECTION_CLOSE before, which would let the peer forget early; but a peer in its closing state answers
   * what comes, and three datagrams for each connection that ends are not worth it.
   */
  closedByPeer(error: QuicError): void {
    this.peerError ??= error;
    if (this.state === "closed" || this.state === "draining") return;
    if (this.state === "open") this.error = error;
    this.sendDue = false;
    this.state = "draining";
  }

  /** Idle timeout and stateless reset: nothing is sent, state goes at once. rfc9000#10.1, rfc9000#10.3.1 */
  closeSilently(error: QuicError): void {
    if (this.state === "closed") return;
    this.error ??= error;
    if (error.remote) this.peerError ??= error;
    else this.localError ??= error;
    this.sendDue = false;
    this.state = "closed";
  }

  end(): void {
    this.sendDue = false;
    this.state = "closed";
  }

  /** A CONNECTION_CLOSE left. @param roundTrip ms */
  onSent(now: number, roundTrip: number): void {
    this.sendDue = false;
    this.#quietUntil = now + roundTrip;
  }

  /** Whether nothing is to be said or heard any more, but for the close to be repeated. */
  isDone(now: number): boolean {
    if (this.state === "draining") return true;
    return this.state === "closing" && !this.sendDue && this.packet !== null && now >= this.#quietUntil;
  }

  /**
   * rfc9000#10.2.1 an endpoint in the closing state SHOULD limit the rate at which it generates packets: once the close
   * could have been heard, it answers the 1st, 2nd, 4th, 8th … packet that arrives.
   */
  onPacketWhileClosing(now: number): void {
    if (this.state !== "closing" || now < this.#quietUntil) return;
    this.#packetsSinceClose++;
    if (this.#packetsSinceClose < this.#answerAt) return;
    this.#answerAt *= 2;
    this.sendDue = true;
  }

  /**
   * The frame to send. Before the handshake is done the application's words are not for everyone's eyes:
   * rfc9000#10.2.3 an endpoint MUST convert it to a CONNECTION_CLOSE of type 0x1c with APPLICATION_ERROR and SHOULD
   * clear the reason when sending it in Initial or Handshake packets.
   */
  frame(applicationLevel: boolean): CloseFrame | null {
    const frame = this.#frame;
    if (frame === null || applicationLevel || !frame.application) return frame;
    return { application: false, errorCode: APPLICATION_ERROR, frameType: 0, reason: new Uint8Array(0) };
  }
}

function closeFrame(error: QuicError): CloseFrame {
  if (error instanceof ApplicationError) {
    return { application: true, errorCode: error.errorCodeBig, frameType: 0, reason: phrase(error.reason) };
  }
  if (error instanceof TransportError) {
    return {
      application: false,
      errorCode: error.errorCode,
      frameType: error.frameType,
      reason: phrase(error.reason),
    };
  }
  return { application: false, errorCode: NO_ERROR, frameType: 0, reason: new Uint8Array(0) };
}

/** Cut at a character boundary, so that what the peer logs is still UTF-8: rfc9000#19.19 */
export function phrase(text: string): Uint8Array {
  const bytes = utf8(text);
  if (bytes.length <= MAX_REASON_PHRASE) return bytes;
  let end = MAX_REASON_PHRASE;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.slice(0, end);
}
