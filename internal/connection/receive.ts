// From datagrams to frames: rfc9000#12, rfc9001#5. A run of datagrams for one connection is processed at once:
// header masks of its 1-RTT packets in one call, packets opened in place, frames visited without objects.

import type { Address } from "../protocol/address.ts";
import type { RxBatch } from "../protocol/batch.ts";
import {
  APPLICATION,
  HANDSHAKE,
  INITIAL,
  PACKET_ONE_RTT,
  PACKET_RETRY,
  PACKET_VERSION_NEGOTIATION,
  PACKET_ZERO_RTT,
  PROTOCOL_VIOLATION,
  type PacketType,
  type Space,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";
import {
  MAX_COALESCED_PACKETS,
  MAX_UNDECRYPTABLE_BYTES,
  MAX_UNDECRYPTABLE_PACKETS,
} from "../protocol/limits.ts";
import type { DropReason } from "../protocol/tracer.ts";
import { describeFrames } from "../wire/frame-objects.ts";
import { ACK_ELICITING, parseFrames, PROBING_ONLY } from "../wire/frames.ts";
import { FIXED_BIT, isLongHeader, LongHeader, parseLongHeader } from "../wire/header.ts";
import type { Core } from "./core.ts";
import type { FrameHandler } from "./frames.ts";
import { CloseWatcher } from "./frames.ts";
import type { HandshakeDriver } from "./handshake.ts";
import type { SpecialPackets } from "./special-packets.ts";
import { TIMER_KEY_DISCARD } from "./timers.ts";

/** A packet that came before its keys. */
interface Waiting {
  readonly bytes: Uint8Array;
  readonly type: PacketType;
  readonly remote: Address;
  readonly local: Address | null;
  readonly ecn: number;
}

const SPACE_OF_TYPE: readonly (Space | -1)[] = [INITIAL, -1, HANDSHAKE, -1, -1, APPLICATION];

/** The receiving side of a connection. */
export class Receiver {
  readonly #core: Core;
  readonly #handshake: HandshakeDriver;
  readonly #frames: FrameHandler;
  readonly #special: SpecialPackets;
  readonly #header = new LongHeader();
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #wallNow = 0;
  readonly #closeWatcher: CloseWatcher;

  constructor(core: Core, handshake: HandshakeDriver, frames: FrameHandler, special: SpecialPackets) {
    this.#core = core;
    this.#handshake = handshake;
    this.#frames = frames;
    this.#special = special;
    this.#closeWatcher = new CloseWatcher((error) => core.closedByPeer(error));
  }

  /** Processes the run [from, to) of the batch. Never throws for what a peer did: the connection fails instead. */
  receive(rx: RxBatch, from: number, to: number, now: number, wallNow: number): void {
    this.#wallNow = wallNow;
    for (let i = from; i < to; i++) {
      const start = rx.offset[i]!;
      const length = rx.length[i]!;
      const core = this.#core;
      core.stats.datagramsReceived++;
      core.stats.bytesReceived += length;
      if (core.close.state !== "open") {
        // rfc9000#10.2.1 in the closing state only enough is kept to answer with CONNECTION_CLOSE.
        core.close.onPacketWhileClosing();
        if (core.close.state === "closing") {
          this.#guarded(rx.slab, start, start + length, rx.remote[i]!, rx.local[i] ?? null, rx.ecn[i]!, now);
        } else this.drop("connection_closing", null, length, now);
        continue;
      }
      this.#datagram(rx.slab, start, start + length, rx.remote[i]!, rx.local[i] ?? null, rx.ecn[i]!, now);
    }
    if (this.#handshake.keysChanged) this.#replay(now);
  }

  /** Packets that waited are tried once their keys are there. */
  #replay(now: number): void {
    while (this.#handshake.keysChanged && this.#core.close.isOpen) {
      this.#handshake.keysChanged = false;
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      for (const packet of waiting) {
        if (!this.#core.close.isOpen) return;
        this.#guarded(packet.bytes, 0, packet.bytes.length, packet.remote, packet.local, packet.ecn, now);
      }
    }
  }

  /** After `provide`: TLS may have moved on. */
  resume(now: number, wallNow: number): void {
    this.#wallNow = wallNow;
    this.#replay(now);
  }

  #datagram(
    buf: Uint8Array,
    start: number,
    end: number,
    remote: Address,
    local: Address | null,
    ecn: number,
    now: number,
  ): void {
    const path = this.#core.paths.onDatagram(remote, local, end - start);
    if (path === null) {
      this.drop("unexpected_address", null, end - start, now);
      return;
    }
    this.#guarded(buf, start, end, remote, local, ecn, now);
  }

  /** Violations end the connection with their code; anything else thrown here is our defect and says so to the peer. */
  #guarded(
    buf: Uint8Array,
    start: number,
    end: number,
    remote: Address,
    local: Address | null,
    ecn: number,
    now: number,
  ): void {
    try {
      this.#packets(buf, start, end, remote, local, ecn, now);
    } catch (error) {
      this.#core.fail(error);
    }
  }

  /** rfc9000#12.2 receivers MUST be able to process coalesced packets. */
  #packets(
    buf: Uint8Array,
    start: number,
    end: number,
    remote: Address,
    local: Address | null,
    ecn: number,
    now: number,
  ): void {
    const core = this.#core;
    const header = this.#header;
    let pos = start;
    let dcidOffset = -1;
    let dcidLength = 0;
    for (let count = 0; pos < end && count < MAX_COALESCED_PACKETS; count++) {
      if (!isLongHeader(buf[pos]!)) {
        // rfc9000#12.2 a packet with a short header does not include a length, so it is the last of its datagram.
        const length = core.localCids.length;
        if (dcidOffset >= 0 && !sameBytes(buf, dcidOffset, buf, pos + 1, dcidLength)) {
          this.drop("coalesced_dcid_mismatch", PACKET_ONE_RTT, end - pos, now);
          return;
        }
        this.#protected(
          buf,
          pos,
          pos + 1 + length,
          end,
          PACKET_ONE_RTT,
          null,
          pos === start,
          remote,
          local,
          ecn,
          now,
        );
        return;
      }
      if (!parseLongHeader(buf, pos, end, header)) {
        this.drop("invalid_header", null, end - pos, now);
        return;
      }
      if (header.type === PACKET_VERSION_NEGOTIATION) {
        this.#special.onVersionNegotiation(buf, pos, end);
        return;
      }
      if (header.version !== core.version) {
        this.drop("unexpected_version", null, end - pos, now);
        return;
      }
      if (header.type === PACKET_RETRY) {
        this.#special.onRetry(buf, pos, end, header);
        return;
      }
      const packetEnd = header.packetEnd;
      // rfc9000#12.2 receivers SHOULD ignore any subsequent packets with a different Destination Connection ID than
      // the first packet in the datagram.
      if (dcidOffset < 0) {
        dcidOffset = header.dcidOffset;
        dcidLength = header.dcidLength;
      } else if (
        header.dcidLength !== dcidLength ||
        !sameBytes(buf, dcidOffset, buf, header.dcidOffset, dcidLength)
      ) {
        this.drop("coalesced_dcid_mismatch", header.type, packetEnd - pos, now);
        pos = packetEnd;
        continue;
      }
      if (header.type === PACKET_ZERO_RTT) {
        // rfc9001#4.6.2 a server that rejects 0-RTT discards these packets; a client never gets them.
        this.drop(
          core.role === "server" ? "keys_unavailable" : "unexpected_packet",
          header.type,
          packetEnd - pos,
          now,
        );
      } else {
        if (!this.#special.accepts(header, buf)) {
          this.drop("unexpected_packet", header.type, packetEnd - pos, now);
        } else {
          this.#protected(
            buf,
            pos,
            header.pnOffset,
            packetEnd,
            header.type,
            header,
            pos === start,
            remote,
            local,
            ecn,
            now,
          );
        }
        if (core.close.state === "draining" || core.close.state === "closed") return;
      }
      pos = packetEnd;
    }
  }

  /** One packet with packet protection: mask, open, frames. */
  #protected(
    buf: Uint8Array,
    start: number,
    pnOffset: number,
    end: number,
    type: PacketType,
    header: LongHeader | null,
    first: boolean,
    remote: Address,
    local: Address | null,
    ecn: number,
    now: number,
  ): void {
    const core = this.#core;
    const space = SPACE_OF_TYPE[type]! as Space;
    const protection = core.protection;
    const size = end - start;
    if (!protection.canOpen(space)) {
      if (protection.wasDiscarded(space)) this.drop("keys_discarded", type, size, now);
      else this.#wait(buf, start, end, type, remote, local, ecn, now);
      return;
    }
    // rfc9000#17.2 packets containing a zero value for the fixed bit are not valid packets in this version and MUST
    // be discarded.
    if ((buf[start]! & FIXED_BIT) === 0) {
      this.drop("invalid_header", type, size, now);
      return;
    }
    const received = core.received[space]!;
    if (!protection.unprotectHeader(space, buf, start, pnOffset, end, received.largest)) {
      this.drop("invalid_header", type, size, now);
      return;
    }
    const number = protection.pn;
    const payload = pnOffset + protection.pnLength;
    const isReset = first && type === PACKET_ONE_RTT && core.remoteCids.isStatelessReset(buf, start, end);
    const length = protection.open(space, buf, start, pnOffset, end);
    if (length < 0) {
      if (isReset) {
        core.onStatelessReset(now);
        return;
      }
      this.drop("decryption_failed", type, size, now);
      return;
    }
    // rfc9000#17.2 an endpoint MUST treat receipt of a packet that has a non-zero value for the reserved bits, after
    // removing both packet and header protection, as a connection error of type PROTOCOL_VIOLATION.
    if (protection.reservedBitsSet)
      throw new TransportError(PROTOCOL_VIOLATION, "reserved header bits are set");
    // rfc9000#12.3 a receiver MUST discard a newly unprotected packet unless it is certain that it has not processed
    // another packet with the same packet number.
    if (received.isDuplicate(number)) {
      core.stats.duplicatePackets++;
      this.drop("duplicate", type, size, now);
      return;
    }
    core.stats.packetsReceived++;
    if (core.tracer !== null) this.#trace(buf, payload, payload + length, type, number, size, ecn, now);
    if (core.close.state === "closing") {
      parseFrames(buf, payload, payload + length, type, this.#closeWatcher);
      return;
    }
    this.#special.onAuthenticated(space, header, buf);
    // rfc9001#6.5 old read keys are kept for no more than three times the PTO after a packet of the new ones came.
    if (protection.peerUpdated) this.#onKeyUpdate(now);

    const path = core.paths.find(remote, local)!;
    if (space === APPLICATION) {
      const sequence = core.localCids.sequenceOf(buf, start + 1);
      if (sequence >= 0) path.dcidSequence = sequence;
    }
    const handler = this.#frames;
    handler.begin(space, path, now);
    const flags = parseFrames(buf, payload, payload + length, type, handler);
    const elicits = (flags & ACK_ELICITING) !== 0;
    received.onReceived(number, elicits, ecn, now);
    core.idle.onReceived(now, core.recovery.pto(APPLICATION));
    if (space === APPLICATION)
      core.paths.onPacket(path, number === received.largest, (flags & PROBING_ONLY) !== 0, now);
    if (handler.cryptoArrived) this.#handshake.onCrypto(space, this.#wallNow);
  }

  #onKeyUpdate(now: number): void {
    const core = this.#core;
    core.timers.set(TIMER_KEY_DISCARD, now + 3 * core.recovery.pto(APPLICATION));
    if (core.tracer !== null) {
      const common = {
        name: "key_updated",
        time: now,
        level: APPLICATION,
        trigger: "remote_update",
      } as const;
      core.tracer.record({ ...common, owner: "remote", phase: core.protection.keyUpdates });
      core.tracer.record({ ...common, owner: "local", phase: core.protection.keyUpdates });
    }
  }

  #wait(
    buf: Uint8Array,
    start: number,
    end: number,
    type: PacketType,
    remote: Address,
    local: Address | null,
    ecn: number,
    now: number,
  ): void {
    const size = end - start;
    if (
      this.#waiting.length >= MAX_UNDECRYPTABLE_PACKETS ||
      this.#waitingBytes + size > MAX_UNDECRYPTABLE_BYTES ||
      this.#core.handshakeConfirmed
    ) {
      this.drop("keys_unavailable", type, size, now);
      return;
    }
    this.#waiting.push({ bytes: buf.slice(start, end), type, remote, local, ecn });
    this.#waitingBytes += size;
    this.#core.stats.packetsBuffered++;
    if (this.#core.tracer !== null) {
      this.#core.tracer.record({ name: "packet_buffered", time: now, packetType: type, size });
    }
  }

  drop(reason: DropReason, type: PacketType | null, size: number, now: number): void {
    const core = this.#core;
    core.stats.packetsDropped++;
    if (core.tracer !== null) {
      core.tracer.record({ name: "packet_dropped", time: now, reason, packetType: type, size });
    }
  }

  #trace(
    buf: Uint8Array,
    start: number,
    end: number,
    type: PacketType,
    number: number,
    size: number,
    ecn: number,
    now: number,
  ): void {
    let frames: ReturnType<typeof describeFrames>;
    try {
      frames = describeFrames(buf, start, end, type);
    } catch {
      // The trace shows the packet even where its frames are malformed; the parser proper reports the error.
      frames = [];
    }
    this.#core.tracer!.record({
      name: "packet_received",
      time: now,
      header: { type, number },
      size,
      frames,
      ecn,
    });
  }
}

function sameBytes(a: Uint8Array, at: number, b: Uint8Array, bt: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[at + i] !== b[bt + i]) return false;
  return true;
}
