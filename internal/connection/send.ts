// From "something may be sent" to sealed datagrams in the batch: rfc9000#12.2, rfc9000#13, rfc9000#14.
//
// Packets are coalesced into datagrams, and header-protected together with their batch. Datagrams of one size in a row become
// one segmented send.

import type { TxBatch } from "../protocol/batch.ts";
import { NOT_ECT } from "../protocol/batch.ts";
import { AEAD_TAG, APPLICATION, FRAME_PING, INITIAL, type Level, type Space } from "../protocol/constants.ts";
import { MAX_DATAGRAMS_PER_TRANSMIT, MIN_DATAGRAM_SIZE } from "../protocol/limits.ts";
import { NO_BYTES } from "../protocol/small-bytes.ts";
import { MTU_PROBE, REC_MTU_PROBE } from "../recovery/sent-packets.ts";
import type { Path } from "../path/path.ts";
import type { Core } from "./core.ts";
import type { HandshakeDriver } from "./handshake.ts";
import { OpenPacket, PacketBuilder } from "./packet-builder.ts";
import { transmitClose } from "./send-close.ts";
import { TIMER_PACING } from "./timers.ts";

/** Assembles datagrams. Holds nothing between two calls but scratch. */
export class Sender {
  readonly #core: Core;
  readonly #packets: PacketBuilder;
  #open = new OpenPacket();
  #spare = new OpenPacket();
  /** The window was full when the last call ended. */
  #congested = false;
  /** Room in the window that a larger MTU probe waits for. */
  #reserved = 0;

  constructor(core: Core, handshake: HandshakeDriver) {
    this.#core = core;
    this.#packets = new PacketBuilder(core, handshake);
  }

  /** What our Initials carry: from a Retry or, later, from NEW_TOKEN. rfc9000#8.1.2 */
  setToken(token: Uint8Array | null): void {
    // rfc9000#8.1.3 In comparison, a token obtained in a Retry packet MUST be used immediately during the connection
    // attempt and cannot be used in subsequent connection attempts.
    this.#packets.token = token;
  }

  get token(): Uint8Array | null {
    return this.#packets.token;
  }

  /** Fills `tx`. True when there is more to send at once. */
  transmit(tx: TxBatch, now: number): boolean {
    const core = this.#core;
    if (core.close.state !== "open") {
      return transmitClose(core, tx, this.#packets.token ?? NO_BYTES, now);
    }
    if (core.handshakeConfirmed && core.protection.updateDue) this.updateKeys(now);
    this.#packets.ecn = NOT_ECT;
    this.#transmitPathFrames(tx, now);
    const path = core.paths.active;
    this.#packets.ecn = core.recovery.ecn.mark;
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
        tx.commit(entryLength, segment, path.remote, path.local, this.#packets.ecn);
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
        tx.commit(entryLength, segment, path.remote, path.local, this.#packets.ecn);
        entryStart = tx.used;
        entryLength = 0;
        segment = 0;
      }
    }
    if (entryLength > 0) tx.commit(entryLength, segment, path.remote, path.local, this.#packets.ecn);
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
      const packet = this.#packets.beginOneRtt(this.#open, tx.slab, tx.used, path);
      const expanded = budget >= MIN_DATAGRAM_SIZE;
      const limit = packet.start + Math.min(budget, MIN_DATAGRAM_SIZE) - AEAD_TAG;
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
    const packet = this.#packets.beginOneRtt(this.#open, tx.slab, tx.used, path);
    tx.slab[packet.end++] = FRAME_PING;
    recovery.sent(APPLICATION).addRecord(REC_MTU_PROBE, size, path.id, 0);
    this.#finishOwn(tx, packet, packet.start + size - AEAD_TAG, path, now);
    // rfc9000#14.4 the loss of a probe SHOULD NOT trigger a congestion control reaction.
    recovery.sent(APPLICATION).markLast(MTU_PROBE);
    path.discovery.onProbeSent(size);
    return false;
  }

  /** Pads it to `end`, and out. */
  #finishOwn(tx: TxBatch, packet: OpenPacket, end: number, path: Path, now: number): void {
    const core = this.#core;
    core.recovery.usePacketNumber(APPLICATION);
    tx.slab.fill(0, packet.end, end);
    this.#packets.seal(tx.slab, packet, end, now, path !== core.paths.active);
    core.protection.maskPending();
    const size = end + AEAD_TAG - packet.start;
    path.onSent(size);
    core.stats.datagramsSent++;
    core.stats.bytesSent += size;
    tx.commit(size, size, path.remote, path.local, this.#packets.ecn);
  }

  /**
   * Whether anything may leave now, or ACKs alone, which are not congestion controlled: rfc9002#7, rfc9002#7.7. Sets the pacing
   * timer when only time is missing.
   */
  #mayAny(now: number, size: number): boolean {
    const core = this.#core;
    // rfc9002#7 an endpoint MUST NOT send a packet if it would cause bytes_in_flight to be larger than the window.
    if (core.recovery.bytesInFlight + size > core.controller.cwnd - this.#reserved) return false;
    if (core.recovery.sent(APPLICATION).isFull) return false;
    if (core.pacer.budget(now) < size) {
      // Windows and CRYPTO data too: with nothing in flight no ACK would wake us, and the peer may wait for them.
      if (this.#packets.hasAnything()) core.timers.set(TIMER_PACING, core.pacer.nextSendTime(now, size));
      return false;
    }
    return true;
  }

  /** Writes one datagram of at most `size` bytes at `start`. Returns its length, 0 for none. */
  #datagram(buf: Uint8Array, start: number, size: number, path: Path, now: number): number {
    const core = this.#core;
    const limit = start + size;
    const any = this.#mayAny(now, size);
    let open: OpenPacket | null = null;
    let pos = start;
    this.#packets.padTo = 0;
    this.#packets.ackEliciting = false;
    for (let space: Space = INITIAL; space <= APPLICATION; space++) {
      const level = this.#packets.levelOf(space as Space);
      if (level < 0) continue;
      const packet: OpenPacket = open === this.#open ? this.#spare : this.#open;
      packet.level = level as Level;
      if (!this.#packets.build(buf, pos, limit, space as Space, any, packet, path, now)) continue;
      if (open !== null) this.#packets.seal(buf, open, open.end, now);
      open = packet;
      pos = packet.end + AEAD_TAG;
      // rfc9000#14.1 a client MUST expand all datagrams carrying Initial packets to 1,200 bytes; a server those
      // carrying ack-eliciting Initial packets.
      // rfc9000#8.1 Clients MUST ensure that UDP datagrams containing Initial packets have UDP payloads of at least
      // 1200 bytes, adding PADDING frames as necessary.
      if (space === INITIAL && (core.role === "client" || packet.ackEliciting)) {
        // rfc9001#9.3 First, the packet containing a ClientHello MUST be padded to a minimum size.
        this.#packets.padTo = MIN_DATAGRAM_SIZE;
      }
      if (limit - pos < 64) break;
    }
    if (open === null) return 0;
    let end = open.end;
    if (end + AEAD_TAG - start < this.#packets.padTo) {
      const target = start + this.#packets.padTo - AEAD_TAG;
      buf.fill(0, end, target);
      end = target;
    }
    this.#packets.seal(buf, open, end, now);
    if (this.#packets.ackEliciting) core.idle.onElicitingSent(now, core.recovery.timer.pto(APPLICATION));
    return end + AEAD_TAG - start;
  }
}
