// From "something may be sent" to sealed datagrams in the batch: rfc9000#12.2, rfc9000#13, rfc9000#14.
//
// Every packet is written straight into the slab, sealed in place, and header-protected together with its batch.
// Datagrams of one size in a row become one segmented send.

import type { TxBatch } from "../protocol/batch.ts";
import { NOT_ECT } from "../protocol/batch.ts";
import {
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
import { MAX_DATAGRAMS_PER_TRANSMIT, MIN_DATAGRAM_SIZE, PACKETS_BEFORE_PING } from "../protocol/limits.ts";
import { toHex } from "../protocol/bytes.ts";
import { MTU_PROBE, REC_ACK, REC_MTU_PROBE, REC_PING } from "../recovery/sent-packets.ts";
import { describeFrames } from "../wire/frame-objects.ts";
import { writeAck } from "../wire/frame-writers.ts";
import { patchLength, writeLongHeader, writeShortHeader } from "../wire/header.ts";
import { encodePacketNumberLength } from "../wire/packet-number.ts";
import type { Core } from "./core.ts";
import type { HandshakeDriver } from "./handshake.ts";
import type { Path } from "../path/path.ts";
import { QuicBit } from "./quic-bit.ts";
import { transmitClose } from "./send-close.ts";
import { TIMER_PACING } from "./timers.ts";

const TAG = 16;
/** By level. */
const PACKET_TYPES: readonly PacketType[] = [
  PACKET_INITIAL,
  PACKET_HANDSHAKE,
  PACKET_ONE_RTT,
  PACKET_ZERO_RTT,
];

/** ACKs alone: not congestion controlled, rfc9002#7. */
const KIND_ACK = 1;
/** Anything. */
const KIND_ANY = 2;

/** A packet whose frames are written and that is not sealed yet, so that padding may still join it. */
class OpenPacket {
  space: Space = INITIAL;
  level: Level = INITIAL;
  start = 0;
  pnOffset = 0;
  pnLength = 0;
  number = 0;
  end = 0;
  ackEliciting = false;
  isProbe = false;
}

/** Assembles datagrams. Holds nothing between two calls but scratch. */
export class Sender {
  readonly #core: Core;
  readonly #handshake: HandshakeDriver;
  #token: Uint8Array | null = null;
  #open = new OpenPacket();
  #spare = new OpenPacket();
  /** Set by #datagram: whether what was written may be followed by an equal one. */
  #ackEliciting = false;
  #datagramId = 0;
  /** How datagrams of this call are marked. */
  #ecn = NOT_ECT;
  /** The window was full when the last call ended. */
  #congested = false;
  /** 1-RTT packets since the last ack-eliciting one. */
  #quiet = 0;
  /** Least size of the datagram being written. */
  #padTo = 0;
  /** Room in the window that a larger MTU probe waits for. */
  #reserved = 0;
  readonly #quicBit: QuicBit;

  constructor(core: Core, handshake: HandshakeDriver) {
    this.#core = core;
    this.#handshake = handshake;
    this.#quicBit = new QuicBit(core);
  }

  /** The token for our Initials: from a Retry or, later, from NEW_TOKEN. rfc9000#8.1.2 */
  setToken(token: Uint8Array | null): void {
    // rfc9000#8.1.3 In comparison, a token obtained in a Retry packet MUST be used immediately during the connection
    // attempt and cannot be used in subsequent connection attempts.
    // rfc9000#8.1.2 This token MUST be repeated by the client in all Initial packets it sends for that connection
    // after it receives the Retry packet.
    this.#token = token;
  }

  get token(): Uint8Array | null {
    return this.#token;
  }

  /** Fills `tx`. True when there is more to send at once. */
  transmit(tx: TxBatch, now: number): boolean {
    const core = this.#core;
    if (core.close.state !== "open") {
      return transmitClose(core, tx, this.#token ?? EMPTY, now);
    }
    if (core.handshakeConfirmed && core.protection.updateDue) this.updateKeys(now);
    this.#ecn = NOT_ECT;
    this.#transmitPathFrames(tx, now);
    const path = core.paths.active;
    this.#ecn = core.recovery.ecn.mark;
    let entryStart = tx.used;
    let entryLength = 0;
    let segment = 0;
    if (core.handshakeConfirmed) core.ackFrequency.check(now);
    let more = core.handshakeConfirmed && this.#transmitMtuProbe(tx, path, now);
    entryStart = tx.used;
    for (let count = 0; ; count++) {
      const at = entryStart + entryLength;
      if (count === MAX_DATAGRAMS_PER_TRANSMIT || at + path.mtu > tx.slab.length) {
        more = true;
        break;
      }
      if (segment === 0 && tx.count === tx.offset.length) {
        more = true;
        break;
      }
      const room = path.sendBudget();
      // rfc9000#8.1 before address validation an endpoint MUST NOT send more than three times what it received.
      // Less than a full Initial would not move the handshake: wait for more.
      core.recovery.timer.setAmplificationBlocked(room < MIN_DATAGRAM_SIZE, now);
      if (room < MIN_DATAGRAM_SIZE) break;
      // rfc9000#12.2 Senders MUST NOT coalesce QUIC packets with different connection IDs into a single UDP datagram.
      const size = this.#datagram(tx.slab, at, Math.min(path.mtu, room), path, now);
      if (size === 0) break;
      path.onSent(size);
      core.stats.datagramsSent++;
      core.stats.bytesSent += size;
      if (segment !== 0 && size > segment) {
        // Longer than its predecessors: the run ends before it.
        tx.commit(entryLength, segment, path.remote, path.local, this.#ecn);
        entryStart = tx.used;
        entryLength = 0;
        segment = 0;
        if (tx.count === tx.offset.length) {
          // No entry left for it, yet its packet number is used: it counts as lost on the way.
          more = true;
          break;
        }
      }
      entryLength += size;
      if (segment === 0) segment = size;
      else if (size < segment) {
        tx.commit(entryLength, segment, path.remote, path.local, this.#ecn);
        entryStart = tx.used;
        entryLength = 0;
        segment = 0;
      }
    }
    if (entryLength > 0) tx.commit(entryLength, segment, path.remote, path.local, this.#ecn);
    core.protection.maskPending();
    // rfc9002#7.8 a sender that has nothing to send is limited by its application, not by the network.
    if (!more) this.#onAllSent(path);
    return more;
  }

  #onAllSent(path: Path): void {
    const core = this.#core;
    const waiting = core.streams.hasData || core.datagrams.hasFrames;
    core.controller.setAppLimited(!waiting);
    const full = waiting && core.recovery.bytesInFlight + path.mtu > core.controller.cwnd;
    if (full && !this.#congested) {
      core.stats.blockCount++;
      core.events.blocked("congestion", null);
    }
    this.#congested = full;
  }

  /**
   * Updates our 1-RTT keys, where rfc9001#6.1 allows it now.
   * rfc9001#6.6 Endpoints MUST initiate a key update before sending more protected packets than the confidentiality
   * limit for the selected AEAD permits.
   */
  updateKeys(now: number): boolean {
    // rfc9001#5.3 An endpoint MUST initiate a key update (Section 6) prior to exceeding any limit set for the AEAD
    // that is in use.
    const core = this.#core;
    if (!core.protection.initiateKeyUpdate()) return false;
    // What is acknowledged confirms the update; ACKs alone would not be.
    core.control.queuePing();
    if (core.tracer === null) return true;
    core.tracer.record({
      name: "key_updated",
      time: now,
      level: APPLICATION,
      owner: "local",
      phase: core.protection.keyUpdates + 1,
      trigger: "local_update",
    });
    return true;
  }

  /**
   * PATH_CHALLENGE and PATH_RESPONSE on paths other than the active one (and on that while its amplification limit
   * leaves no room for full datagrams), a datagram each. rfc9000#8.2.2 the response
   * goes where the challenge came from.
   */
  #transmitPathFrames(tx: TxBatch, now: number): void {
    // rfc9000#8.2.2 However, an endpoint MUST NOT expand the datagram containing the PATH_RESPONSE if the resulting
    // data exceeds the anti-amplification limit.
    // rfc9000#8.2.2 An endpoint MUST expand datagrams that contain a PATH_RESPONSE frame to at least the smallest
    // allowed maximum datagram size of 1200 bytes.
    // rfc9000#8.2.2 A PATH_RESPONSE frame MUST be sent on the network path where the PATH_CHALLENGE frame was
    // received.
    // rfc9000#8.2.2 An endpoint MUST NOT delay transmission of a packet containing a PATH_RESPONSE frame unless
    // constrained by congestion control.
    const core = this.#core;
    if (!core.protection.canSeal(APPLICATION) || !core.handshakeComplete) return;
    for (;;) {
      const path = core.paths.nextWithFrames();
      if (path === null || !tx.hasRoom(path.mtu)) return;
      const budget = path.sendBudget();
      const packet = this.#beginOwn(tx.slab, tx.used, path);
      const expanded = budget >= MIN_DATAGRAM_SIZE;
      const limit = packet.start + Math.min(budget, MIN_DATAGRAM_SIZE) - TAG;
      const sent = core.recovery.sent(APPLICATION);
      const end = path.writeFrames(tx.slab, packet.end, limit, expanded, sent, now);
      if (end === packet.end) {
        sent.rollback();
        return;
      }
      packet.end = end;
      this.#finishOwn(tx, packet, expanded ? limit : end, path, now);
    }
  }

  /**
   * A probe for the path's MTU, a datagram of its own. rfc9000#14.4 PING and PADDING frames can be used to generate PMTU probe
   * packets.
   */
  #transmitMtuProbe(tx: TxBatch, path: Path, now: number): boolean {
    const core = this.#core;
    const { recovery } = core;
    this.#reserved = 0;
    path.discovery.start();
    const size = path.discovery.probeDue(now);
    // Half a window for a probe is too much.
    if (size === 0 || !path.validated || size > core.controller.cwnd / 2) return false;
    if (recovery.sent(APPLICATION).isFull || core.pacer.budget(now) <= 0) return false;
    // rfc8899#3 a probe counts towards congestion control as the rest does, which makes room for it.
    if (recovery.bytesInFlight + size > core.controller.cwnd) {
      this.#reserved = size;
      return false;
    }
    if (!tx.hasRoom(size)) return tx.used > 0;
    const packet = this.#beginOwn(tx.slab, tx.used, path);
    tx.slab[packet.end++] = FRAME_PING;
    recovery.sent(APPLICATION).addRecord(REC_MTU_PROBE, size, 0, 0);
    this.#finishOwn(tx, packet, packet.start + size - TAG, path, now);
    // rfc9000#14.4 the loss of a probe SHOULD NOT trigger a congestion control reaction.
    recovery.sent(APPLICATION).markLast(MTU_PROBE);
    path.discovery.onProbeSent(size);
    return false;
  }

  /** The header of a 1-RTT packet that is a datagram of its own; its frames begin at `end`. */
  #beginOwn(buf: Uint8Array, start: number, path: Path): OpenPacket {
    const core = this.#core;
    const packet = this.#open;
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

  /** Pads it to `end`, and out. */
  #finishOwn(tx: TxBatch, packet: OpenPacket, end: number, path: Path, now: number): void {
    const core = this.#core;
    core.recovery.usePacketNumber(APPLICATION);
    tx.slab.fill(0, packet.end, end);
    this.#seal(tx.slab, packet, end, now, path !== core.paths.active);
    core.protection.maskPending();
    const size = end + TAG - packet.start;
    path.onSent(size);
    core.stats.datagramsSent++;
    core.stats.bytesSent += size;
    tx.commit(size, size, path.remote, path.local, this.#ecn);
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
    }
    return cid ?? remoteCids.current;
  }

  /** What may leave now: rfc9002#7, rfc9002#7.7. Sets the pacing timer when only time is missing. */
  #kind(now: number, size: number): number {
    const core = this.#core;
    // rfc9002#7 an endpoint MUST NOT send a packet if it would cause bytes_in_flight to be larger than the window.
    if (core.recovery.bytesInFlight + size > core.controller.cwnd - this.#reserved) return KIND_ACK;
    if (core.recovery.sent(APPLICATION).isFull) return KIND_ACK;
    if (core.pacer.budget(now) < size) {
      // Windows and CRYPTO data too: with nothing in flight no ACK would wake us, and the peer may wait for them.
      if (this.#hasAnything()) core.timers.set(TIMER_PACING, core.pacer.nextSendTime(now, size));
      return KIND_ACK;
    }
    return KIND_ANY;
  }

  /** Writes one datagram of at most `size` bytes at `start`. Returns its length, 0 for none. */
  #datagram(buf: Uint8Array, start: number, size: number, path: Path, now: number): number {
    const core = this.#core;
    const limit = start + size;
    const kind = this.#kind(now, size);
    let open: OpenPacket | null = null;
    let pos = start;
    this.#padTo = 0;
    this.#ackEliciting = false;
    for (let space: Space = INITIAL; space <= APPLICATION; space++) {
      const level = this.#level(space as Space);
      if (level < 0) continue;
      const packet: OpenPacket = open === this.#open ? this.#spare : this.#open;
      packet.level = level as Level;
      if (!this.#packet(buf, pos, limit, space as Space, kind, packet, path, now)) continue;
      if (open !== null) this.#seal(buf, open, open.end, now);
      open = packet;
      pos = packet.end + TAG;
      // rfc9000#14.1 a client MUST expand all datagrams carrying Initial packets to 1,200 bytes; a server those
      // carrying ack-eliciting Initial packets.
      // rfc9000#8.1 Clients MUST ensure that UDP datagrams containing Initial packets have UDP payloads of at least
      // 1200 bytes, adding PADDING frames as necessary.
      if (space === INITIAL && (core.role === "client" || packet.ackEliciting)) {
        // rfc9001#9.3 First, the packet containing a ClientHello MUST be padded to a minimum size.
        this.#padTo = MIN_DATAGRAM_SIZE;
      }
      if (limit - pos < 64) break;
    }
    if (open === null) return 0;
    let end = open.end;
    if (end + TAG - start < this.#padTo) {
      const target = start + this.#padTo - TAG;
      buf.fill(0, end, target);
      end = target;
    }
    this.#seal(buf, open, end, now);
    if (this.#ackEliciting) core.idle.onElicitingSent(now, core.recovery.timer.pto(APPLICATION));
    return end + TAG - start;
  }

  /**
   * Whose keys packets of `space` leave under, −1 where there are none. rfc9001#5.6 Once a client has installed 1-RTT
   * keys, it MUST NOT send any more 0-RTT packets; a server never has 0-RTT keys to write with.
   */
  #level(space: Space): Level | -1 {
    const { protection } = this.#core;
    if (protection.canSeal(space)) return space;
    return space === APPLICATION && protection.canSeal(ZERO_RTT) ? ZERO_RTT : -1;
  }

  /**
   * Writes header and frames of one packet for `space`. False, with nothing used up, when it has nothing to say.
   */
  #packet(
    buf: Uint8Array,
    start: number,
    limit: number,
    space: Space,
    kind: number,
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
    const mayData = kind === KIND_ANY || probe;
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
      const token = space === INITIAL ? (this.#token ?? EMPTY) : null;
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
    const end = limit - TAG;
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
    packet.isProbe = probe;
    if (elicits) this.#ackEliciting = true;
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
  #hasAnything(): boolean {
    const { paths } = this.#core;
    for (let space: Space = INITIAL; space <= APPLICATION; space++) {
      if (this.#level(space as Space) >= 0 && this.#hasData(space as Space, paths.active)) return true;
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
      this.#padTo = MIN_DATAGRAM_SIZE;
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
  #seal(buf: Uint8Array, packet: OpenPacket, end: number, now: number, elsewhere = false): void {
    const core = this.#core;
    const { space, level, start, pnOffset, pnLength, number } = packet;
    if (level !== APPLICATION) patchLength(buf, pnOffset, end + TAG - pnOffset);
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
        size: end + TAG - start,
        frames: describeFrames(buf, pnOffset + pnLength, end, PACKET_TYPES[level]!),
        ecn: this.#ecn,
        datagramId: this.#datagramId,
      });
    }
    core.protection.seal(level, buf, start, pnOffset, pnLength, end, number);
    core.stats.packetsSent++;
    // rfc9002#2 packets are in flight when they are ack-eliciting or contain a PADDING frame.
    const size = end + TAG - start;
    const inFlight = (packet.ackEliciting || padded) && !elsewhere;
    core.recovery.onPacketSent(space, now, size, packet.ackEliciting, inFlight, this.#ecn);
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

const EMPTY = new Uint8Array(0);
