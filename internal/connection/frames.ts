// What each frame does: the visitor that the wire parser drives. One object per connection, no allocation per frame.

import type { Address } from "../protocol/address.ts";
import {
  APPLICATION,
  FRAME_HANDSHAKE_DONE,
  FRAME_NEW_TOKEN,
  FRAME_DATAGRAM,
  PROTOCOL_VIOLATION,
  type Space,
} from "../protocol/constants.ts";
import { ApplicationError, TransportError } from "../protocol/errors.ts";
import { fromUtf8 } from "../protocol/bytes.ts";
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

  onResetStream(id: number, errorCode: number, errorCodeBig: bigint, finalSize: number): void {
    this.#core.streams.onResetStream(id, errorCode, errorCodeBig, finalSize);
  }

  onStopSending(id: number, errorCode: number, errorCodeBig: bigint): void {
    this.#core.streams.onStopSending(id, errorCode, errorCodeBig);
  }

  onCrypto(offset: number, buf: Uint8Array, start: number, length: number): void {
    this.#core.crypto.receive(this.#space, offset, buf, start, length);
    this.cryptoArrived = true;
  }

  onNewToken(): void {
    // rfc9000#19.7 a server MUST treat receipt of a NEW_TOKEN frame as a connection error of type PROTOCOL_VIOLATION.
    if (this.#core.role === "server") {
      throw new TransportError(PROTOCOL_VIOLATION, "NEW_TOKEN from a client", { frameType: FRAME_NEW_TOKEN });
    }
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

  onStreamDataBlocked(id: number, limit: number): void {
    this.#core.streams.onStreamDataBlocked(id, limit);
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
    const text = fromUtf8(reason);
    this.#core.closedByPeer(
      application
        ? new ApplicationError(errorCodeBig, text, true)
        : new TransportError(errorCode, text, { frameType, remote: true, errorCodeBig }),
    );
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

  onDatagram(): void {
    // rfc9221#3 an endpoint that receives a DATAGRAM frame when it has not indicated support MUST terminate the
    // connection with an error of type PROTOCOL_VIOLATION.
    throw new TransportError(PROTOCOL_VIOLATION, "DATAGRAM without max_datagram_frame_size", {
      frameType: FRAME_DATAGRAM,
    });
  }
}

export type PeerAddress = Address;
