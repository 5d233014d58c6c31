// CONNECTION_CLOSE on its way: rfc9000#10.2.

import { NOT_ECT, type TxBatch } from "../protocol/batch.ts";
import {
  AEAD_TAG,
  APPLICATION,
  INITIAL,
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_ONE_RTT,
  SPACES,
  type PacketType,
} from "../protocol/constants.ts";
import { toHex } from "../protocol/bytes.ts";
import { MIN_DATAGRAM_SIZE } from "../protocol/limits.ts";
import { smallCopy } from "../protocol/small-bytes.ts";
import { describeFrames } from "../wire/frame-objects.ts";
import { writeConnectionClose } from "../wire/frame-writers.ts";
import { patchLength, writeLongHeader, writeShortHeader } from "../wire/header.ts";
import { encodePacketNumberLength } from "../wire/packet-number.ts";
import type { Core } from "./core.ts";

const TYPES: readonly PacketType[] = [PACKET_INITIAL, PACKET_HANDSHAKE, PACKET_ONE_RTT];

/**
 * Writes the datagram that ends the connection, where one is due. rfc9000#10.2.3: until the handshake is confirmed the
 * peer may lack keys, so the frame goes at every level we have; the packets are coalesced. True where it has to wait
 * for the next batch.
 */
export function transmitClose(core: Core, tx: TxBatch, token: Uint8Array, now: number): boolean {
  const { close, protection } = core;
  const path = core.paths.active;
  if (!close.sendDue || close.state === "closed") return false;
  const size = Math.min(path.mtu, path.sendBudget());
  if (size < MIN_DATAGRAM_SIZE) return false;
  if (!tx.hasRoom(size)) return true;
  close.onSent(now, core.rtt.smoothed);
  const start = tx.used;
  const limit = start + size;
  // rfc9000#10.2.3 After the handshake is confirmed (see Section 4.1.2 of [QUIC-TLS]), an endpoint MUST send any
  // CONNECTION_CLOSE frames in a 1-RTT packet.
  const levels = SPACES.filter(
    (space) => protection.canSeal(space) && (space === APPLICATION || !core.handshakeConfirmed),
  );
  let pos = start;
  for (const space of levels) {
    const frame = close.frame(space === APPLICATION);
    if (frame === null) continue;
    const number = core.recovery.peekPacketNumber(space);
    const pnLength = encodePacketNumberLength(number, core.recovery.largestAcked(space));
    const { slab } = tx;
    const dcid = core.remoteCids.current;
    const scid = core.localCids.handshakeCid;
    const pnOffset =
      space === APPLICATION
        ? writeShortHeader(slab, pos, dcid, protection.keyPhase, false, pnLength, number)
        : writeLongHeader(
            slab,
            pos,
            TYPES[space]!,
            core.version,
            dcid,
            scid,
            space === INITIAL ? token : null,
            pnLength,
            number,
          );
    const payload = pnOffset + pnLength;
    if (payload + 32 + AEAD_TAG > limit) break;
    let end = writeConnectionClose(
      slab,
      payload,
      limit - AEAD_TAG,
      frame.application,
      frame.errorCode,
      frame.frameType,
      frame.reason,
    );
    // rfc9000#14.1 datagrams with Initial packets are 1,200 bytes; the padding goes into the last packet.
    if (levels[0] === INITIAL && space === levels[levels.length - 1]) {
      const target = start + MIN_DATAGRAM_SIZE - AEAD_TAG;
      if (end < target) {
        slab.fill(0, end, target);
        end = target;
      }
    }
    while (end - pnOffset < 4) slab[end++] = 0;
    if (space !== APPLICATION) patchLength(slab, pnOffset, end + AEAD_TAG - pnOffset);
    if (core.tracer !== null) {
      core.tracer.record({
        name: "packet_sent",
        time: now,
        header: { type: TYPES[space]!, number, dcid: toHex(dcid) },
        size: end + AEAD_TAG - pos,
        frames: describeFrames(slab, payload, end, TYPES[space]!),
        ecn: NOT_ECT,
        datagramId: 0,
      });
    }
    core.recovery.usePacketNumber(space);
    protection.seal(space, slab, pos, pnOffset, pnLength, end, number);
    core.stats.packetsSent++;
    pos = end + AEAD_TAG;
  }
  protection.maskPending();
  if (pos === start) return false;
  close.packet = smallCopy(tx.slab.subarray(start, pos));
  path.onSent(pos - start);
  core.stats.datagramsSent++;
  core.stats.bytesSent += pos - start;
  tx.commit(pos - start, pos - start, path.remote, path.local, NOT_ECT);
  return false;
}
