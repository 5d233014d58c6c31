// What the acknowledgement or the loss of each kind of frame means: rfc9000#13.3.

import type { Space } from "../protocol/constants.ts";
import type { FrameFate } from "../recovery/packet-fate.ts";
import * as rec from "../recovery/sent-packets.ts";
import type { Core } from "./core.ts";

/** Sends each record to the part that wrote its frame. */
export class RecordFate implements FrameFate {
  #core: Core | null = null;

  attach(core: Core): void {
    this.#core = core;
  }

  onRecordAcked(space: Space, kind: number, a: number, b: number, c: number): void {
    const core = this.#core!;
    switch (kind) {
      case rec.REC_ACK:
        core.received[space]!.onAckOfAck(a);
        return;
      case rec.REC_CRYPTO:
        core.crypto.onAcked(space, a, b);
        return;
      case rec.REC_RETIRE_CONNECTION_ID:
        core.remoteCids.onAcked(a);
        return;
      case rec.REC_NEW_TOKEN:
        core.control.onNewTokenAcked();
        return;
      case rec.REC_DATAGRAM:
        core.datagrams.onAcked(a, c === 1);
        return;
      case rec.REC_ACK_FREQUENCY:
        core.ackFrequency.onAcked(a, b);
        return;
      case rec.REC_MTU_PROBE:
        onMtuProbeAcked(core, a, b);
        return;
      case rec.REC_PING:
      case rec.REC_PATH_CHALLENGE:
      case rec.REC_HANDSHAKE_DONE:
      case rec.REC_NEW_CONNECTION_ID:
        return;
      default:
        core.streams.onRecordAcked(kind, a, b, c);
    }
  }

  /** Frames that are not sent again hear of the real loss alone, not of probes. */
  onProbedRecordLost(_space: Space, kind: number, a: number, b: number, c: number): void {
    if (kind === rec.REC_DATAGRAM) this.#core!.datagrams.onLost(a, c === 1);
    else if (kind === rec.REC_MTU_PROBE) onMtuProbeLost(this.#core!, a, b);
  }

  onRecordLost(space: Space, kind: number, a: number, b: number, c: number): void {
    const core = this.#core!;
    switch (kind) {
      // rfc9000#13.3 ACK frames carry the most recent set; PING contains no information; PATH_CHALLENGE data is new
      // each time: none of them is repeated.
      case rec.REC_ACK:
      case rec.REC_PING:
      case rec.REC_PATH_CHALLENGE:
        return;
      case rec.REC_DATAGRAM:
        // rfc9221#5.2 DATAGRAM frames are not retransmitted upon loss detection.
        if (!core.recovery.probes.probing) core.datagrams.onLost(a, c === 1);
        return;
      case rec.REC_ACK_FREQUENCY:
        core.ackFrequency.onLost(a);
        return;
      case rec.REC_MTU_PROBE:
        if (!core.recovery.probes.probing) onMtuProbeLost(core, a, b);
        return;
      case rec.REC_CRYPTO:
        core.crypto.onLost(space, a, b);
        return;
      case rec.REC_RETIRE_CONNECTION_ID:
        core.remoteCids.onLost(a);
        return;
      case rec.REC_NEW_CONNECTION_ID:
        core.localCids.onLost(a);
        return;
      case rec.REC_NEW_TOKEN:
        core.control.onNewTokenLost();
        return;
      case rec.REC_HANDSHAKE_DONE:
        // rfc9000#13.3 the HANDSHAKE_DONE frame MUST be retransmitted until it is acknowledged.
        core.control.queueHandshakeDone();
        return;
      default:
        core.streams.onRecordLost(kind, a, b, c);
    }
  }
}

/**
 * rfc8899#4.4 a probe that arrived: datagrams may be as large on the path that it went over, and on no other: rfc9000#14.3 QUIC
 * endpoints maintain a DPLPMTUD Maximum Packet Size for each combination of local and remote IP addresses.
 */
function onMtuProbeAcked(core: Core, bytes: number, id: number): void {
  const path = core.paths.byId(id);
  if (path === null || !path.discovery.onProbeAcked(bytes, core.now)) return;
  if (path === core.paths.active) core.onMtu(path.discovery.size);
  else path.mtu = path.discovery.size;
}

/** Also of a path that was left: a search that waits for it could not go on when that is in use again. */
function onMtuProbeLost(core: Core, bytes: number, id: number): void {
  core.paths.byId(id)?.discovery.onProbeLost(bytes, core.now);
}
