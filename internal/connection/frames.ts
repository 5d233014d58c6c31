// What each frame does: the visitor that the wire parser drives. One object per connection, no allocation per frame.

import {
  APPLICATION,
  FRAME_ACK_FREQUENCY,
  FRAME_HANDSHAKE_DONE,
  FRAME_NEW_TOKEN,
  FRAME_DATAGRAM,
  PROTOCOL_VIOLATION,
  type Space,
} from "../protocol/constants.ts";
import { ApplicationError, TransportError, withoutStack } from "../protocol/errors.ts";
import { fromUtf8 } from "../protocol/bytes.ts";
import { MAX_TOKEN_LENGTH, MAX_TOKENS_TAKEN, MIN_ACK_DELAY } from "../protocol/limits.ts";
import { FrameCollector } from "../wire/frame-objects.ts";
import type { AckFrame, FrameVisitor } from "../wire/frames.ts";
import type { Path } from "../path/path.ts";
import type { Core } from "./core.ts";
import type { HandshakeDriver } from "./handshake.ts";

/** Applies the frames of one packet. `begin` says which packet it is. */
export class FrameHandler implements FrameVisitor {
  readonly #core: Core;
  readonly #handshake: HandshakeDriver;
  #space: Space = APPLICATION;
  #path: Path | null = null;
  #now = 0;
  #tokensTaken = 0;
  /** CRYPTO data arrived in this packet: TLS runs once after all frames. */
  cryptoArrived = false;

  constructor(core: Core, handshake: HandshakeDriver) {
    this.#core = core;
    this.#handshake = handshake;
  }

  begin(space: Space, path: Path, now: number): void {
    this.#space = space;
    this.#path = path;
    this.#now = now;
    this.cryptoArrived = false;
  }

  onPadding(): void {}

  onPing(): void {}

  onAck(ack: AckFrame): void {
    const core = this.#core;
    // rfc9000#18.2 the exponent is the peer's; rfc9000#19.3 delays in Initial and Handshake packets count for nothing.
    const exponent = this.#space === APPLICATION ? (core.peerParameters?.ackDelayExponent ?? 3) : 3;
    core.recovery.onAck(this.#space, ack, (ack.delay * 2 ** exponent) / 1000, this.#now);
    if (this.#space === APPLICATION) core.protection.onAcked(ack.largest);
    core.wake();
  }

  onResetStream(id: number, _code: number, codeBig: bigint, finalSize: number, reliableSize: number): void {
    this.#core.streams.onResetStream(id, codeBig, finalSize, reliableSize);
  }

  onStopSending(id: number, _errorCode: number, errorCodeBig: bigint): void {
    this.#core.streams.onStopSending(id, errorCodeBig);
    this.#core.wake();
  }

  onCrypto(offset: number, buf: Uint8Array, start: number, length: number): void {
    if (this.#core.crypto.receive(this.#space, offset, buf, start, length))
      this.#core.recovery.probes.speedUpHandshake();
    this.cryptoArrived = true;
  }

  onNewToken(buf: Uint8Array, start: number, length: number): void {
    // rfc9000#19.7 Clients MUST NOT send NEW_TOKEN frames.
    // rfc9000#19.7 The token MUST NOT be empty.
    // rfc9000#19.7 a server MUST treat receipt of a NEW_TOKEN frame as a connection error of type PROTOCOL_VIOLATION.
    if (this.#core.role === "server") {
      throw new TransportError(PROTOCOL_VIOLATION, "NEW_TOKEN from a client", { frameType: FRAME_NEW_TOKEN });
    }
    // Those beyond the bounds are a favour not taken.
    if (length > MAX_TOKEN_LENGTH || ++this.#tokensTaken > MAX_TOKENS_TAKEN) return;
    this.#core.events.push({ type: "new_token", token: buf.slice(start, start + length) });
  }

  onStream(id: number, offset: number, fin: boolean, buf: Uint8Array, start: number, length: number): void {
    this.#core.streams.onStream(id, offset, fin, buf, start, length);
  }

  onMaxData(max: number): void {
    this.#core.streams.onMaxData(max);
    this.#core.wake();
  }

  onMaxStreamData(id: number, max: number): void {
    this.#core.streams.onMaxStreamData(id, max);
    this.#core.wake();
  }

  onMaxStreams(bidi: boolean, max: number): void {
    this.#core.streams.onMaxStreams(bidi, max);
  }

  onDataBlocked(): void {}

  onStreamDataBlocked(id: number): void {
    this.#core.streams.onStreamDataBlocked(id);
  }

  onStreamsBlocked(): void {}

  onNewConnectionId(
    sequence: number,
    retirePriorTo: number,
    buf: Uint8Array,
    cidStart: number,
    cidLength: number,
    tokenStart: number,
  ): void {
    this.#core.remoteCids.onNewConnectionId(
      sequence,
      retirePriorTo,
      buf.slice(cidStart, cidStart + cidLength),
      buf.slice(tokenStart, tokenStart + 16),
    );
    this.#core.wake();
  }

  onRetireConnectionId(sequence: number): void {
    this.#core.localCids.onRetire(sequence, this.#path!.dcidSequence, this.#now);
    this.#core.wake();
  }

  onPathChallenge(buf: Uint8Array, start: number): void {
    // rfc9000#19.17 The recipient of this frame MUST generate a PATH_RESPONSE frame (Section 19.18) containing the
    // same Data value.
    this.#path!.onChallenge(buf, start);
    this.#core.wake();
  }

  onPathResponse(buf: Uint8Array, start: number): void {
    this.#core.paths.onResponse(buf, start, this.#now);
  }

  onConnectionClose(
    errorCode: number,
    errorCodeBig: bigint,
    frameType: number,
    reason: Uint8Array,
    application: boolean,
  ): void {
    this.#core.closedByPeer(closeError(errorCode, errorCodeBig, frameType, reason, application));
  }

  onAckFrequency(sequence: number, threshold: number, maxDelay: number, reordering: number): void {
    // ack-frequency#4 values of 2^14 milliseconds or greater are invalid for max_ack_delay. A value smaller than the
    // min_ack_delay advertised by the peer is also invalid. Receipt of an invalid value MUST be treated as a connection error of
    // type PROTOCOL_VIOLATION.
    const ms = maxDelay / 1000;
    if (ms < MIN_ACK_DELAY || ms >= 2 ** 14) {
      throw new TransportError(PROTOCOL_VIOLATION, `ACK_FREQUENCY asks for a delay of ${ms} ms`, {
        frameType: FRAME_ACK_FREQUENCY,
      });
    }
    this.#core.received[APPLICATION]!.onFrequency(sequence, threshold, ms, reordering);
  }

  onImmediateAck(): void {
    this.#core.received[APPLICATION]!.ackAtOnce(this.#now);
  }

  onHandshakeDone(): void {
    // rfc9000#19.20 a server MUST treat receipt of a HANDSHAKE_DONE frame as a connection error of PROTOCOL_VIOLATION.
    if (this.#core.role === "server") {
      throw new TransportError(PROTOCOL_VIOLATION, "HANDSHAKE_DONE from a client", {
        frameType: FRAME_HANDSHAKE_DONE,
      });
    }
    this.#handshake.confirm();
  }

  onDatagram(buf: Uint8Array, start: number, length: number, frameLength: number): void {
    const most = this.#core.config.maxDatagramFrameSize;
    if (frameLength > most) {
      // rfc9221#3 An endpoint that receives a DATAGRAM frame when it has not indicated support via the transport parameter
      // MUST terminate the connection with an error of type PROTOCOL_VIOLATION.
      // rfc9221#3 Similarly, an endpoint that receives a DATAGRAM frame that is larger than the value it sent in its
      // max_datagram_frame_size transport parameter MUST terminate the connection with an error of type
      // PROTOCOL_VIOLATION.
      const what = most === 0 ? "without max_datagram_frame_size" : `of ${frameLength} bytes, over ${most}`;
      throw new TransportError(PROTOCOL_VIOLATION, `DATAGRAM ${what}`, { frameType: FRAME_DATAGRAM });
    }
    this.#core.datagrams.onDatagram(buf, start, length);
  }
}

/** In the closing state only the peer's own CONNECTION_CLOSE matters: it ends the wait for it. rfc9000#10.2.1 */
export class CloseWatcher extends FrameCollector {
  readonly #onClose: (error: ApplicationError | TransportError) => void;

  constructor(onClose: (error: ApplicationError | TransportError) => void) {
    super();
    this.#onClose = onClose;
  }

  override onConnectionClose(
    code: number,
    codeBig: bigint,
    frameType: number,
    reason: Uint8Array,
    application: boolean,
  ): void {
    this.#onClose(closeError(code, codeBig, frameType, reason, application));
  }
}

/** The typed error of a CONNECTION_CLOSE frame. */
function closeError(
  code: number,
  codeBig: bigint,
  frameType: number,
  reason: Uint8Array,
  application: boolean,
): ApplicationError | TransportError {
  const text = fromUtf8(reason);
  return withoutStack(() =>
    application
      ? new ApplicationError(codeBig, text, true)
      : new TransportError(code, text, { frameType, remote: true, errorCodeBig: codeBig }),
  );
}
