// From datagrams to frames: rfc9000#12, rfc9001#5. A run of datagrams for one connection is processed at once: the
// header masks of its 1-RTT packets in one call, packets opened in place, frames visited without objects.

import type { Address } from "../protocol/address.ts";
import type { RxBatch } from "../protocol/batch.ts";
import {
  AEAD_TAG,
  APPLICATION,
  HANDSHAKE,
  INITIAL,
  PACKET_INITIAL,
  PACKET_ONE_RTT,
  PACKET_RETRY,
  PACKET_VERSION_NEGOTIATION,
  PACKET_ZERO_RTT,
  KEY_UPDATE_ERROR,
  PROTOCOL_VIOLATION,
  ZERO_RTT,
  type Level,
  type PacketType,
  type Space,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import {
  FORGERY_PATIENCE,
  HASTY_KEY_UPDATE_PACKETS,
  MAX_COALESCED_PACKETS,
  MAX_DOUBTFUL_INITIALS,
  MAX_HASTY_KEY_UPDATES,
  MAX_UNDECRYPTABLE_BYTES,
  MAX_UNDECRYPTABLE_PACKETS,
} from "../protocol/limits.ts";
import type { DropReason, TracedFrame } from "../protocol/tracer.ts";
import type { Path } from "../path/path.ts";
import { describeFrames } from "../wire/frame-objects.ts";
import { ACK_ELICITING, parseFrames, PROBING_ONLY } from "../wire/frames.ts";
import { FIXED_BIT, isLongHeader, LongHeader, parseLongHeader, SPIN_BIT } from "../wire/header.ts";
import type { Core } from "./core.ts";
import { CloseWatcher, type FrameHandler } from "./frames.ts";
import type { HandshakeDriver } from "./handshake.ts";
import type { SpecialPackets } from "./special-packets.ts";
import { Scrutiny } from "./scrutiny.ts";
import { TIMER_DOUBT, TIMER_KEY_DISCARD } from "./timers.ts";

/** A packet that came before its keys. */
interface Waiting {
  readonly bytes: Uint8Array;
  readonly remote: Address;
  readonly local: Address | null;
  readonly ecn: number;
}

/** An Initial that is open and waits for others. */
interface Opened {
  readonly bytes: Uint8Array;
  /** Where its frames begin. */
  readonly payload: number;
  readonly number: number;
  readonly reservedBitsSet: boolean;
  readonly wallNow: number;
  readonly size: number;
}

const SPACE_OF_TYPE: readonly (Space | -1)[] = [INITIAL, APPLICATION, HANDSHAKE, -1, -1, APPLICATION];
const LEVEL_OF_TYPE: readonly (Level | -1)[] = [INITIAL, ZERO_RTT, HANDSHAKE, -1, -1, APPLICATION];

/** Datagrams whose header masks are made in one call. */
const RUN = 64;

// Where the packets of a run are: scratch memory of all connections, used within one call.
const starts = new Int32Array(RUN);
const pnOffsets = new Int32Array(RUN);
const ends = new Int32Array(RUN);

/** The receiving side of a connection. */
export class Receiver {
  readonly #core: Core;
  readonly #handshake: HandshakeDriver;
  readonly #frames: FrameHandler;
  readonly #special: SpecialPackets;
  readonly #closeWatcher: CloseWatcher;
  readonly #header = new LongHeader();
  /** The packet in hand is a 0-RTT packet: it may be a replay. */
  early = false;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** Packets received up to the last key update, and updates that came too soon after one. */
  #keyUpdateAt = 0;
  #hastyKeyUpdates = 0;
  /** Client: until the server's answer has begun. */
  #scrutiny: Scrutiny | null;
  #doubtful: Opened[] = [];
  #early: Opened[] = [];

  // The datagram in hand.
  #path: Path;
  #ecn = 0;
  #now = 0;
  #wallNow = 0;

  constructor(core: Core, handshake: HandshakeDriver, frames: FrameHandler, special: SpecialPackets) {
    this.#core = core;
    this.#handshake = handshake;
    this.#frames = frames;
    this.#special = special;
    this.#closeWatcher = new CloseWatcher((error) => core.closedByPeer(error));
    this.#path = core.paths.active;
    this.#scrutiny = core.role === "client" ? new Scrutiny(core.config.provider) : null;
  }

  /** Processes the run [from, to) of the batch. Never throws for what a peer did: the connection fails instead. */
  receive(rx: RxBatch, from: number, to: number, now: number, wallNow: number): void {
    this.#now = now;
    this.#wallNow = wallNow;
    for (let i = from; i < to;) {
      const n = this.#unmaskRun(rx, i, to);
      for (let k = 0; k < n; k++) this.#datagram(rx, i + k, pnOffsets[k]!);
      i += n;
      if (n === 0) this.#datagram(rx, i++, 0);
    }
    if (this.#handshake.keysChanged) this.#replay();
  }

  /** After `provide`: TLS may have moved on. */
  resume(now: number, wallNow: number): void {
    this.#now = now;
    this.#wallNow = wallNow;
    this.#replay();
  }

  /**
   * Removes header protection of the 1-RTT datagrams that lead [from, to), with one call for their masks. Says how many
   * those are; their packet numbers' places stand in `pnOffsets`, −1 for packets too short.
   */
  #unmaskRun(rx: RxBatch, from: number, to: number): number {
    const { protection, localCids, close } = this.#core;
    if (!close.isOpen || !protection.canOpen(APPLICATION)) return 0;
    let n = 0;
    for (let i = from; i < to && n < RUN; i++, n++) {
      const start = rx.offset[i]!;
      if (isLongHeader(rx.slab[start]!)) break;
      starts[n] = start;
      pnOffsets[n] = start + 1 + localCids.length;
      ends[n] = start + rx.length[i]!;
    }
    if (n > 0) protection.unprotectHeaders(APPLICATION, rx.slab, starts, pnOffsets, ends, n);
    return n;
  }

  /** @param pnOffset of a 1-RTT packet that is unmasked (−1: too short for that), 0 for any other datagram. */
  #datagram(rx: RxBatch, i: number, pnOffset: number): void {
    const core = this.#core;
    const start = rx.offset[i]!;
    const length = rx.length[i]!;
    const end = start + length;
    core.stats.datagramsReceived++;
    core.stats.bytesReceived += length;
    if (core.close.state !== "open") {
      // rfc9000#10.2.1 in the closing state an endpoint answers with CONNECTION_CLOSE, at a limited rate.
      core.close.onPacketWhileClosing(core.now);
      if (core.close.state !== "closing") {
        this.drop("connection_closing", null, length);
        return;
      }
    }
    // rfc9000#8.2.1 Unlike other cases where datagrams are expanded, endpoints MUST NOT discard datagrams that appear
    // to be too small when they contain PATH_CHALLENGE or PATH_RESPONSE.
    const path = core.paths.onDatagram(rx.remote[i]!, rx.local[i] ?? null, length);
    if (path === null) {
      this.drop("unexpected_address", null, length);
      return;
    }
    this.#path = path;
    this.#ecn = rx.ecn[i]!;
    try {
      if (pnOffset === 0) this.#packets(rx.slab, start, end);
      else if (pnOffset < 0) this.drop("invalid_header", PACKET_ONE_RTT, length);
      else this.#unmasked(rx.slab, start, pnOffset, end, PACKET_ONE_RTT, null, true);
    } catch (error) {
      // Violations end the connection with their code; anything else is our defect, and the peer is told so.
      core.fail(error);
    }
  }

  /** Packets that waited are tried once their keys are there. */
  #replay(): void {
    while (this.#handshake.keysChanged && this.#core.close.isOpen) {
      this.#handshake.keysChanged = false;
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      for (const { bytes, remote, local, ecn } of waiting) {
        const path = this.#core.paths.find(remote, local);
        if (!this.#core.close.isOpen || path === null) return;
        this.#path = path;
        this.#ecn = ecn;
        try {
          this.#packets(bytes, 0, bytes.length);
        } catch (error) {
          this.#core.fail(error);
        }
      }
    }
  }

  /** rfc9000#12.2 receivers MUST be able to process coalesced packets. */
  #packets(buf: Uint8Array, start: number, end: number): void {
    // rfc9000#12.2 For example, if decryption fails (because the keys are not available or for any other reason), the
    // receiver MAY either discard or buffer the packet for later …
    // rfc9000#12.2 The receiver of coalesced QUIC packets MUST individually process each QUIC packet and separately
    // acknowledge them, as if they were received as the payload of …
    const core = this.#core;
    const header = this.#header;
    let pos = start;
    let dcidOffset = -1;
    let dcidLength = 0;
    for (let count = 0; pos < end && count < MAX_COALESCED_PACKETS; count++) {
      if (!isLongHeader(buf[pos]!)) {
        // rfc9000#12.2 a packet with a short header does not include a length, so it is the last of its datagram.
        if (dcidOffset >= 0 && !sameBytes(buf, dcidOffset, pos + 1, dcidLength)) {
          this.drop("coalesced_dcid_mismatch", PACKET_ONE_RTT, end - pos);
        } else
          this.#protected(
            buf,
            pos,
            pos + 1 + core.localCids.length,
            end,
            PACKET_ONE_RTT,
            null,
            pos === start,
          );
        return;
      }
      if (!parseLongHeader(buf, pos, end, header)) {
        this.drop("invalid_header", null, end - pos);
        return;
      }
      const { type, packetEnd } = header;
      if (type === PACKET_VERSION_NEGOTIATION) {
        this.#special.onVersionNegotiation(buf, pos, end);
        return;
      }
      // rfc9000#5.2.1 If a client receives a packet that uses a different version than it initially selected, it MUST
      // discard that packet.
      // Compatible version negotiation has another one as well for a while: rfc9369#4.1.
      if (!core.versions.accepts(type, header.version)) {
        this.drop("unexpected_version", null, end - pos);
        return;
      }
      if (type === PACKET_RETRY) {
        if (this.#special.onRetry(buf, pos, end, header)) {
          this.#scrutiny?.onRetry(core.version, this.#special.original);
        }
        return;
      }
      if (dcidOffset < 0) {
        dcidOffset = header.dcidOffset;
        dcidLength = header.dcidLength;
      }
      if (header.dcidLength !== dcidLength || !sameBytes(buf, dcidOffset, header.dcidOffset, dcidLength)) {
        // rfc9000#12.2 receivers SHOULD ignore any subsequent packets with a different Destination Connection ID than
        // the first packet in the datagram.
        this.drop("coalesced_dcid_mismatch", type, packetEnd - pos);
      } else if (type === PACKET_ZERO_RTT && core.role === "client") {
        // rfc9001#5.6 A client MUST NOT attempt to decrypt 0-RTT packets it receives and instead MUST discard them.
        this.drop("unexpected_packet", type, packetEnd - pos);
      } else if (!this.#special.accepts(header, buf)) {
        this.drop("unexpected_packet", type, packetEnd - pos);
      } else {
        this.#protected(buf, pos, header.pnOffset, packetEnd, type, header, pos === start);
        if (core.close.state === "draining" || core.close.state === "closed") return;
      }
      pos = packetEnd;
    }
  }

  /** One packet as it came: keys, header protection, then the rest. */
  #protected(
    buf: Uint8Array,
    start: number,
    pnOffset: number,
    end: number,
    type: PacketType,
    header: LongHeader | null,
    first: boolean,
  ): void {
    const { protection, received } = this.#core;
    const level = LEVEL_OF_TYPE[type]! as Level;
    if (!protection.canOpen(level)) {
      if (protection.wasDiscarded(level)) this.drop("keys_discarded", type, end - start);
      else if (level === ZERO_RTT && this.#handshake.refusesEarlyData) {
        // rfc9001#4.6.2 When rejecting 0-RTT, a server MUST NOT process any 0-RTT packets, even if it could.
        this.drop("early_data_rejected", type, end - start);
      } else this.#wait(buf, start, end, type);
      return;
    }
    if (type === PACKET_INITIAL) {
      if (this.#scrutiny !== null) this.#refuteRetry(buf, start, pnOffset, end);
      protection.readInitialsOf(header!.version);
    }
    const { largest } = received[SPACE_OF_TYPE[type]! as Space]!;
    if (!protection.unprotectHeader(level, buf, start, pnOffset, end, largest)) {
      this.drop("invalid_header", type, end - start);
      return;
    }
    this.#unmasked(buf, start, pnOffset, end, type, header, first);
  }

  /** One packet without header protection: open, frames, acknowledgement. */
  #unmasked(
    buf: Uint8Array,
    start: number,
    pnOffset: number,
    end: number,
    type: PacketType,
    header: LongHeader | null,
    first: boolean,
  ): void {
    const core = this.#core;
    const { protection } = core;
    const space = SPACE_OF_TYPE[type]! as Space;
    const level = LEVEL_OF_TYPE[type]! as Level;
    const received = core.received[space]!;
    const now = this.#now;
    const size = end - start;
    // rfc9000#17.2 packets containing a zero value for the fixed bit are not valid packets in this version and MUST be
    // discarded.
    let length = -1;
    // rfc9000#17.3.1 Packets containing a zero value for this bit are not valid packets in this version and MUST be
    // discarded.
    // rfc9287#3 An endpoint that advertises the grease_quic_bit transport parameter MUST accept packets with the QUIC Bit
    // set to a value of 0.
    const wellFormed = (buf[start]! & FIXED_BIT) !== 0 || core.config.greaseQuicBit;
    if (wellFormed) {
      protection.readPacketNumber(level, buf, start, pnOffset, received.largest);
      length = protection.open(level, buf, start, pnOffset, end);
    }
    if (length < 0) {
      // rfc9000#10.3.1 the comparison MUST be performed when the first packet in an incoming datagram cannot be decrypted.
      // The attempt left the last 16 bytes as they came.
      const isReset = first && type === PACKET_ONE_RTT && core.remoteCids.isStatelessReset(buf, start, end);
      if (isReset) core.onStatelessReset(now);
      else this.drop(wellFormed ? "decryption_failed" : "invalid_header", type, size);
      return;
    }
    const payload = pnOffset + protection.pnLength;
    if (
      type === PACKET_INITIAL &&
      this.#scrutiny !== null &&
      !this.#scrutinise(buf, start, payload, length, header!)
    )
      return;
    this.#opened(buf, start, payload, length, type, header, size);
    if (this.#early.length > 0 && this.#scrutiny === null) this.#kept(this.#early.splice(0));
  }

  /** One packet without protection, the header's fields in `protection`: its frames, and its acknowledgement. */
  #opened(
    buf: Uint8Array,
    start: number,
    payload: number,
    length: number,
    type: PacketType,
    header: LongHeader | null,
    size: number,
  ): void {
    const core = this.#core;
    const { protection } = core;
    const space = SPACE_OF_TYPE[type]! as Space;
    const received = core.received[space]!;
    const now = this.#now;
    // rfc9000#17.2 an endpoint MUST treat receipt of a packet that has a non-zero value for the reserved bits, after
    // removing both packet and header protection, as a connection error of type PROTOCOL_VIOLATION.
    // rfc9000#17.3.1 An endpoint MUST treat receipt of a packet that has a non-zero value for these bits, after
    // removing both packet and header protection, as a connection error of …
    if (protection.reservedBitsSet)
      throw new TransportError(PROTOCOL_VIOLATION, "reserved header bits are set");
    const number = protection.pn;
    // rfc9000#12.3 a receiver MUST discard a newly unprotected packet unless it is certain that it has not processed
    // another packet with the same packet number.
    // rfc9000#12.3 Duplicate suppression MUST happen after removing packet protection for the reasons described in
    // Section 9.5 of [QUIC-TLS].
    if (received.isDuplicate(number)) {
      core.stats.duplicatePackets++;
      this.drop("duplicate", type, size);
      return;
    }
    core.stats.packetsReceived++;
    if (core.tracer !== null) this.#trace(buf, payload, payload + length, type, number, size);
    if (core.close.state === "closing") {
      parseFrames(buf, payload, payload + length, type, this.#closeWatcher);
      return;
    }
    // rfc9000#5.2 An endpoint MUST generate a connection error if processing the contents of these packets prior to
    // discovering an error, or fully revert any changes made during …
    this.#special.onAuthenticated(space, header, buf);
    if (protection.peerUpdated) this.#onKeyUpdate();

    const path = this.#path;
    if (type === PACKET_ONE_RTT) {
      const sequence = core.localCids.sequenceOf(buf, start + 1);
      if (sequence >= 0) path.dcidSequence = sequence;
    }
    if (type === PACKET_ONE_RTT && number > received.largest)
      path.spin.onReceived((buf[start]! & SPIN_BIT) !== 0);
    const handler = this.#frames;
    this.early = type === PACKET_ZERO_RTT;
    handler.begin(space, path, now);
    const flags = parseFrames(buf, payload, payload + length, type, handler);
    // rfc9000#13.2.6 Packets that a client sends with 0-RTT packet protection MUST be acknowledged by the server in packets
    // protected by 1-RTT keys: their numbers are of that space.
    // rfc9000#13.1 A packet MUST NOT be acknowledged until packet protection has been successfully removed and all
    // frames contained in the packet have been processed.
    received.onReceived(number, (flags & ACK_ELICITING) !== 0, this.#ecn, now);
    core.idle.onReceived(now, core.recovery.timer.pto(APPLICATION));
    // rfc9000#9 nobody moves before the handshake is confirmed.
    if (type === PACKET_ONE_RTT)
      core.paths.onPacket(path, number === received.largest, (flags & PROBING_ONLY) !== 0, now);
    if (handler.cryptoArrived) {
      if (space === INITIAL && core.role === "client") core.versions.settle();
      this.#handshake.onCrypto(space, this.#wallNow);
    }
  }

  // A client's first Initials: scrutiny.ts.

  /** An answer to our first Initial takes back the Retry that it proves forged. */
  #refuteRetry(buf: Uint8Array, start: number, pnOffset: number, end: number): void {
    const next = this.#core.recovery.peekPacketNumber(INITIAL);
    if (!this.#scrutiny!.answersFirst(buf.slice(start, end), pnOffset - start, next)) return;
    this.#special.refuteRetry();
  }

  /** Whether an open Initial is to be processed now; where it is not, that was seen to. */
  #scrutinise(buf: Uint8Array, start: number, payload: number, length: number, header: LongHeader): boolean {
    const core = this.#core;
    const { protection } = core;
    const end = payload + length;
    const size = end + AEAD_TAG - start;
    const next = core.recovery.peekPacketNumber(INITIAL);
    const verdict = this.#scrutiny!.weigh(buf, payload, end, next, protection.reservedBitsSet);
    if (verdict === "believed") {
      this.#believe();
      return true;
    }
    if (verdict === "acknowledgement") {
      // What it acknowledges has arrived. It does not settle whom we talk to, or which packet numbers come next.
      this.#special.onAcknowledgement(header, buf);
      core.stats.packetsReceived++;
      if (core.tracer !== null) this.#trace(buf, payload, end, PACKET_INITIAL, protection.pn, size);
      this.#frames.begin(INITIAL, this.#path, this.#now);
      parseFrames(buf, payload, end, PACKET_INITIAL, this.#frames);
      return false;
    }
    const kept = verdict === "early" ? this.#early : this.#doubtful;
    if (kept.length >= MAX_DOUBTFUL_INITIALS) {
      this.drop("unexpected_packet", PACKET_INITIAL, size);
      return false;
    }
    kept.push({
      bytes: buf.slice(start, end + AEAD_TAG),
      payload: payload - start,
      number: protection.pn,
      reservedBitsSet: protection.reservedBitsSet,
      wallNow: this.#wallNow,
      size,
    });
    if (verdict === "doubtful" && kept.length === 1) {
      core.timers.set(TIMER_DOUBT, this.#now + FORGERY_PATIENCE);
    }
    return false;
  }

  /** A server's answer has begun: what was doubtful is forgotten, and nothing is from here on. */
  #believe(): void {
    for (const { size } of this.#doubtful) this.drop("unexpected_packet", PACKET_INITIAL, size);
    this.#doubtful = [];
    this.#scrutiny?.dispose();
    this.#scrutiny = null;
    this.#core.timers.clear(TIMER_DOUBT);
  }

  /** No answer refuted it in time: the first doubtful Initial says what it has to say. */
  onDoubtExpired(now: number): void {
    const [first] = this.#doubtful.splice(0, 1);
    this.#believe();
    if (first === undefined) return;
    this.#now = now;
    this.#kept([first]);
  }

  #kept(packets: readonly Opened[]): void {
    const { protection } = this.#core;
    for (const { bytes, payload, number, reservedBitsSet, wallNow, size } of packets) {
      const header = new LongHeader();
      if (!this.#core.close.isOpen || !parseLongHeader(bytes, 0, bytes.length, header)) return;
      this.#wallNow = wallNow;
      protection.pn = number;
      protection.reservedBitsSet = reservedBitsSet;
      protection.peerUpdated = false;
      try {
        this.#opened(bytes, 0, payload, bytes.length - AEAD_TAG - payload, PACKET_INITIAL, header, size);
      } catch (error) {
        this.#core.fail(error);
      }
    }
  }

  dispose(): void {
    this.#scrutiny?.dispose();
    this.#scrutiny = null;
  }

  /** rfc9001#6.5 old read keys are kept for no more than three times the PTO after a packet of the new ones came. */
  #onKeyUpdate(): void {
    const core = this.#core;
    const now = this.#now;
    const packets = core.stats.packetsReceived;
    core.stats.keyUpdates++;
    // rfc9001#6.5 Endpoints SHOULD wait three times the PTO before initiating a key update after the previous one.
    const hasty =
      core.timers.get(TIMER_KEY_DISCARD) !== Infinity &&
      packets - this.#keyUpdateAt < HASTY_KEY_UPDATE_PACKETS;
    this.#keyUpdateAt = packets;
    if (hasty && ++this.#hastyKeyUpdates > MAX_HASTY_KEY_UPDATES) {
      throw new TransportError(KEY_UPDATE_ERROR, "keys updated again and again");
    }
    core.timers.set(TIMER_KEY_DISCARD, now + 3 * core.recovery.timer.pto(APPLICATION));
    if (core.tracer === null) return;
    const phase = core.protection.keyUpdates;
    const common = {
      name: "key_updated",
      time: now,
      level: APPLICATION,
      trigger: "remote_update",
      phase,
    } as const;
    core.tracer.record({ ...common, owner: "remote" });
    // Our own keys follow where we were not ahead: that update was traced when it was made.
    if (core.protection.sealed(APPLICATION) === 0) core.tracer.record({ ...common, owner: "local" });
  }

  #wait(buf: Uint8Array, start: number, end: number, type: PacketType): void {
    const core = this.#core;
    const size = end - start;
    if (
      this.#waiting.length >= MAX_UNDECRYPTABLE_PACKETS ||
      this.#waitingBytes + size > MAX_UNDECRYPTABLE_BYTES ||
      core.handshakeConfirmed ||
      !core.close.isOpen
    ) {
      this.drop("keys_unavailable", type, size);
      return;
    }
    const { remote, local } = this.#path;
    this.#waiting.push({ bytes: buf.slice(start, end), remote, local, ecn: this.#ecn });
    this.#waitingBytes += size;
    core.stats.packetsBuffered++;
    if (core.tracer !== null) {
      core.tracer.record({ name: "packet_buffered", time: this.#now, packetType: type, size });
    }
  }

  drop(reason: DropReason, packetType: PacketType | null, size: number): void {
    const core = this.#core;
    core.stats.packetsDropped++;
    if (core.tracer !== null) {
      core.tracer.record({ name: "packet_dropped", time: this.#now, reason, packetType, size });
    }
  }

  #trace(buf: Uint8Array, start: number, end: number, type: PacketType, number: number, size: number): void {
    let frames: TracedFrame[];
    try {
      frames = describeFrames(buf, start, end, type);
    } catch {
      // The trace shows the packet even where its frames are malformed; the parser proper reports the error.
      frames = [];
    }
    this.#core.tracer!.record({
      name: "packet_received",
      time: this.#now,
      header: { type, number },
      size,
      frames,
      ecn: this.#ecn,
    });
  }
}

function sameBytes(buf: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (buf[a + i] !== buf[b + i]) return false;
  return true;
}
