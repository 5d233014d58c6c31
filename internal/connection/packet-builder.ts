// One packet: its header, its frames, its protection. rfc9000#12.2, rfc9000#17, rfc9001#5
//
// Every packet is written straight into the slab and sealed in place. Which packets a datagram is made of is the sender's
// affair.

import { NOT_ECT } from "../protocol/batch.ts";
import { toHex } from "../protocol/bytes.ts";
import {
  AEAD_TAG,
  APPLICATION,
  FRAME_IMMEDIATE_ACK,
  FRAME_PING,
  HANDSHAKE,
  INITIAL,
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_ONE_RTT,
  PACKET_ZERO_RTT,
  ZERO_RTT,
  type Level,
  type PacketType,
  type Space,
} from "../protocol/constants.ts";
import { MIN_DATAGRAM_SIZE, PACKETS_BEFORE_PING } from "../protocol/limits.ts";
import { NO_BYTES } from "../protocol/small-bytes.ts";
import { REC_ACK, REC_PING } from "../recovery/sent-packets.ts";
import { describeFrames } from "../wire/frame-objects.ts";
import { writeAck } from "../wire/frame-writers.ts";
import { patchLength, writeLongHeader, writeShortHeader } from "../wire/header.ts";
import { encodePacketNumberLength } from "../wire/packet-number.ts";
import type { Path } from "../path/path.ts";
import type { Core } from "./core.ts";
import type { HandshakeDriver } from "./handshake.ts";
import { QuicBit } from "./quic-bit.ts";

/** By level. */
const PACKET_TYPES: readonly PacketType[] = [
  PACKET_INITIAL,
  PACKET_HANDSHAKE,
  PACKET_ONE_RTT,
  PACKET_ZERO_RTT,
];

/** A packet whose frames are written and that is not sealed yet, so that padding may still join it. */
export class OpenPacket {
  space: Space = INITIAL;
  level: Level = INITIAL;
  start = 0;
  pnOffset = 0;
  pnLength = 0;
  number = 0;
  end = 0;
  ackEliciting = false;
}

/** Writes packets and seals them. What it holds between two calls is scratch, but for the token and what asks for ACKs. */
export class PacketBuilder {
  readonly #core: Core;
  readonly #handshake: HandshakeDriver;
  readonly #quicBit: QuicBit;
  /** The token for our Initials. */
  // rfc9000#8.1.2 This token MUST be repeated by the client in all Initial packets it sends for that connection
  // after it receives the Retry packet.
  token: Uint8Array | null = null;
  /** Set by `build`: whether what was written elicits an ACK. Whoever begins a datagram clears it. */
  ackEliciting = false;
  /** Least size of the datagram being written. */
  padTo = 0;
  /** How the datagrams that are being written will be marked. */
  ecn = NOT_ECT;
  #datagramId = 0;
  /** 1-RTT packets since the last ack-eliciting one. */
  #quiet = 0;

  constructor(core: Core, handshake: HandshakeDriver) {
    this.#core = core;
    this.#handshake = handshake;
    this.#quicBit = new QuicBit(core);
  }

  /** The header of a 1-RTT packet that is a datagram of its own; its frames begin at `end`. */
  beginOneRtt(packet: OpenPacket, buf: Uint8Array, start: number, path: Path): OpenPacket {
    const core = this.#core;
    packet.space = packet.level = APPLICATION;
    packet.start = start;
    packet.number = core.recovery.peekPacketNumber(APPLICATION);
    packet.pnLength = encodePacketNumberLength(packet.number, core.recovery.largestAcked(APPLICATION));
    packet.pnOffset = this.#shortHeader(buf, start, path, packet.pnLength, packet.number);
    packet.end = packet.pnOffset + packet.pnLength;
    packet.ackEliciting = true;
    core.recovery.sent(APPLICATION).begin(packet.number);
    return packet;
  }

  #shortHeader(buf: Uint8Array, start: number, path: Path, pnLength: number, number: number): number {
    const { paths, remoteCids, protection } = this.#core;
    const dcid = path === paths.active ? remoteCids.current : this.#dcidOf(path);
    return writeShortHeader(buf, start, dcid, protection.keyPhase, path.spin.value, pnLength, number);
  }

  /**
   * rfc9000#9.5 an endpoint MUST NOT reuse a connection ID when sending from more than one local address, nor to more than one
   * destination address; but where the peer's address changed under the same connection ID, it MAY continue to use its own.
   */
  #dcidOf(path: Path): Uint8Array {
    const { paths, remoteCids } = this.#core;
    let cid = path.cidSequence < 0 ? null : remoteCids.bytesOf(path.cidSequence);
    if (cid === null && (path.held || path.dcidSequence !== paths.active.dcidSequence)) {
      path.cidSequence = remoteCids.take();
      cid = remoteCids.bytesOf(path.cidSequence);
      path.spin.reset();
    }
    return cid ?? remoteCids.current;
  }

  /**
   * Whose keys packets of `space` leave under, −1 where there are none. rfc9001#5.6 Once a client has installed 1-RTT
   * keys, it MUST NOT send any more 0-RTT packets; a server never has 0-RTT keys to write with.
   */
  levelOf(space: Space): Level | -1 {
    const { protection } = this.#core;
    if (protection.canSeal(space)) return space;
    return space === APPLICATION && protection.canSeal(ZERO_RTT) ? ZERO_RTT : -1;
  }

  /**
   * Writes header and frames of one packet for `space`. False, with nothing used up, when it has nothing to say.
   * @param any whether more than ACKs and probes may leave now.
   */
  build(
    buf: Uint8Array,
    start: number,
    limit: number,
    space: Space,
    any: boolean,
    packet: OpenPacket,
    path: Path,
    now: number,
  ): boolean {
    const core = this.#core;
    const recovery = core.recovery;
    // rfc9000#13.2.6 ACK frames MUST only be carried in a packet that has the same packet number space as the packet
    // being acknowledged; see Section 12.1.
    // rfc9000#13.2.6 For instance, packets that are protected with 1-RTT keys MUST be acknowledged in packets that
    // are also protected with 1-RTT keys.
    const received = core.received[space]!;
    const probe = recovery.probes.due(space) > 0 || this.#joinsProbe(space);
    const ackDue = received.shouldAckNow(now);
    // rfc9002#7.5 A sender MUST however count these packets as being additionally in flight, since these packets add
    // network load without establishing packet loss.
    const mayData = any || probe;
    if (!ackDue && !(mayData && (probe || this.#hasData(space, path)))) return false;

    // rfc9000#17.2.3 New packet numbers MUST be used for any new packets that are sent; as described in Section
    // 17.2.5.3, reusing packet numbers could compromise packet protection.
    // rfc9000#17.2.3 An acknowledgment for a 1-RTT packet MUST be carried in a 1-RTT packet.
    const number = recovery.peekPacketNumber(space);
    const pnLength = encodePacketNumberLength(number, recovery.largestAcked(space));
    const dcid = core.remoteCids.current;
    let pnOffset: number;
    const { level } = packet;
    if (level === APPLICATION) {
      pnOffset = this.#shortHeader(buf, start, path, pnLength, number);
    } else {
      const token = space === INITIAL ? (this.token ?? NO_BYTES) : null;
      pnOffset = writeLongHeader(
        buf,
        start,
        PACKET_TYPES[level]!,
        // rfc9369#4.1 The client MUST NOT send 0-RTT packets using the negotiated version.
        level === ZERO_RTT ? core.versions.original : core.version,
        dcid,
        core.localCids.handshakeCid,
        token,
        pnLength,
        number,
      );
    }
    if (core.config.greaseQuicBit && core.handshakeComplete) this.#quicBit.grease(buf, start);
    const payload = pnOffset + pnLength;
    const end = limit - AEAD_TAG;
    if (payload + 4 > end) return false;
    const sent = recovery.sent(space);
    sent.begin(number);
    let pos = payload;
    let elicits = false;

    // rfc9000#12.5 no ACK in 0-RTT: nothing came that one could be for. CRYPTO, HANDSHAKE_DONE, NEW_TOKEN, PATH_RESPONSE
    // and RETIRE_CONNECTION_ID, which it may not carry either, follow from what a peer sends in 1-RTT.
    if (received.hasAckToSend && (ackDue || mayData)) {
      const after = this.#writeAck(buf, pos, end, space, now);
      if (after > pos) sent.addRecord(REC_ACK, received.largest, 0, 0);
      pos = after;
    }
    if (mayData) {
      const before = pos;
      pos = this.#writeFrames(buf, pos, end, space, path, now);
      elicits = pos > before;
      if (!elicits && probe) {
        // ack-frequency#7 When sending PTO packets, one can include an IMMEDIATE_ACK frame.
        buf[pos++] = level === APPLICATION && core.ackFrequency.supported ? FRAME_IMMEDIATE_ACK : FRAME_PING;
        sent.addRecord(REC_PING, 0, 0, 0);
        elicits = true;
      }
    }
    // rfc9000#12.4 The payload of a packet that contains frames MUST contain at least one frame, and MAY contain
    // multiple frames and multiple frame types.
    if (pos === payload) {
      sent.rollback();
      return false;
    }
    // rfc9001#5.4.2 the packet must be long enough for a sample: packet number and payload make at least 4 bytes.
    while (pos - pnOffset < 4) buf[pos++] = 0;

    packet.space = space;
    packet.start = start;
    packet.pnOffset = pnOffset;
    packet.pnLength = pnLength;
    packet.number = number;
    packet.end = pos;
    packet.ackEliciting = elicits;
    if (elicits) this.ackEliciting = true;
    recovery.usePacketNumber(space);
    return true;
  }

  /**
   * Lost CRYPTO data of another handshake space leaves with a probe: rfc9002#6.2.4 the peer might only have keys for one
   * of the spaces. The window can be full of Handshake packets that no one can open before the lost Initial arrives.
   */
  #joinsProbe(space: Space): boolean {
    if (space === APPLICATION) return false;
    const { recovery, crypto } = this.#core;
    return recovery.probes.due(space === INITIAL ? HANDSHAKE : INITIAL) > 0 && crypto.hasData(space);
  }

  /** Whether any space has frames that congestion control and the pacer hold back. */
  hasAnything(): boolean {
    const { paths } = this.#core;
    for (let space: Space = INITIAL; space <= APPLICATION; space++) {
      if (this.levelOf(space as Space) >= 0 && this.#hasData(space as Space, paths.active)) return true;
    }
    return false;
  }

  #hasData(space: Space, path: Path): boolean {
    const core = this.#core;
    if (core.crypto.hasData(space)) return true;
    if (space !== APPLICATION) return false;
    const { streams } = core;
    if (streams.hasData || streams.hasControl || core.datagrams.hasFrames || core.ackFrequency.hasFrames)
      return true;
    return path.hasFrames || core.control.hasFrames;
  }

  #writeFrames(buf: Uint8Array, pos: number, end: number, space: Space, path: Path, now: number): number {
    const core = this.#core;
    const sent = core.recovery.sent(space);
    pos = core.crypto.writeFrames(space, buf, pos, end, sent);
    if (space !== APPLICATION) return pos;
    if (path.hasFrames) {
      // rfc9000#8.2.1 an endpoint MUST expand datagrams that contain a PATH_CHALLENGE frame to at least 1,200 bytes.
      pos = path.writeFrames(buf, pos, end, true, sent, now);
      this.padTo = MIN_DATAGRAM_SIZE;
    }
    if (core.control.hasFrames) pos = core.control.write(buf, pos, end, sent);
    if (core.ackFrequency.hasFrames) pos = core.ackFrequency.write(buf, pos, end, sent);
    if (core.streams.hasControl) pos = core.streams.writeControl(buf, pos, end, sent);
    // rfc9221#5.4 The sender MUST either delay sending the frame until the controller allows it or drop the frame: they
    // wait in their queue, as everything here does.
    const { datagrams } = core;
    if (datagrams.isUrgent) pos = datagrams.write(buf, pos, end, true, sent, now);
    if (core.streams.hasData) pos = core.streams.writeStreamFrames(buf, pos, end, sent);
    if (datagrams.hasFrames) pos = datagrams.write(buf, pos, end, false, sent, now);
    return pos;
  }

  #writeAck(buf: Uint8Array, pos: number, end: number, space: Space, now: number): number {
    const received = this.#core.received[space]!;
    const after = writeAck(
      buf,
      pos,
      end,
      received.ranges,
      received.rangeCount,
      received.ackDelayRaw(now),
      received.ecnCounts,
    );
    if (after > pos) {
      received.onAckSent();
      if (space === APPLICATION) this.#core.protection.onAckSent();
    }
    return after;
  }

  /** Patches the length, seals, and tells recovery. `end` is that of the payload with padding; `elsewhere`: by another path. */
  seal(buf: Uint8Array, packet: OpenPacket, end: number, now: number, elsewhere = false): void {
    const core = this.#core;
    const { space, level, start, pnOffset, pnLength, number } = packet;
    if (level !== APPLICATION) patchLength(buf, pnOffset, end + AEAD_TAG - pnOffset);
    const padded = end > packet.end;
    if (core.tracer !== null) {
      core.tracer.record({
        name: "packet_sent",
        time: now,
        header: {
          type: PACKET_TYPES[level]!,
          number,
          dcid: toHex(core.remoteCids.current),
          ...(level === APPLICATION
            ? { keyPhase: core.protection.keyPhase }
            : {
                scid: toHex(core.localCids.handshakeCid),
                version: level === ZERO_RTT ? core.versions.original : core.version,
              }),
        },
        size: end + AEAD_TAG - start,
        frames: describeFrames(buf, pnOffset + pnLength, end, PACKET_TYPES[level]!),
        ecn: this.ecn,
        datagramId: this.#datagramId,
      });
    }
    core.protection.seal(level, buf, start, pnOffset, pnLength, end, number);
    core.stats.packetsSent++;
    // rfc9002#2 packets are in flight when they are ack-eliciting or contain a PADDING frame.
    const size = end + AEAD_TAG - start;
    const inFlight = (packet.ackEliciting || padded) && !elsewhere;
    core.recovery.onPacketSent(space, now, size, packet.ackEliciting, inFlight, this.ecn);
    if (packet.ackEliciting) core.pacer.onSent(size);
    if (space === APPLICATION) this.#askForAck(packet.ackEliciting);
    // rfc9001#4.9.1 a client MUST discard Initial keys when it first sends a Handshake packet.
    if (space === HANDSHAKE && core.role === "client") this.#handshake.discard(INITIAL);
  }

  /**
   * rfc9000#13.2.4 a receiver that sends only non-ack-eliciting packets might not receive an acknowledgment for a long
   * time: a PING now and then lets it forget what it sent and which ranges it reported.
   */
  #askForAck(eliciting: boolean): void {
    if (eliciting) this.#quiet = 0;
    else if (++this.#quiet === PACKETS_BEFORE_PING) this.#core.control.queuePing();
  }
}
