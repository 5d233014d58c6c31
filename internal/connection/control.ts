// Control frames that belong to no stream: HANDSHAKE_DONE, PING, NEW_CONNECTION_ID, RETIRE_CONNECTION_ID.
// Path frames live with their path, stream frames with the streams.

import { FRAME_HANDSHAKE_DONE, FRAME_PING } from "../protocol/constants.ts";
import { REC_HANDSHAKE_DONE, REC_PING } from "../recovery/sent-packets.ts";
import type { LocalCids, RemoteCids } from "../path/connection-ids.ts";
import type { RecordSink } from "../stream/streams.ts";

/** What is due, as flags: a lost frame is one that is due again. */
export class ControlFrames {
  readonly #local: LocalCids;
  readonly #remote: RemoteCids;
  #handshakeDone = false;
  #ping = false;

  constructor(local: LocalCids, remote: RemoteCids) {
    this.#local = local;
    this.#remote = remote;
  }

  queueHandshakeDone(): void {
    this.#handshakeDone = true;
  }

  /** An ack-eliciting packet is wanted, whatever it carries. */
  queuePing(): void {
    this.#ping = true;
  }

  get hasFrames(): boolean {
    return this.#handshakeDone || this.#ping || this.#local.hasFrames || this.#remote.hasFrames;
  }

  write(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    if (this.#handshakeDone && pos < limit) {
      buf[pos++] = FRAME_HANDSHAKE_DONE;
      records.addRecord(REC_HANDSHAKE_DONE, 0, 0, 0);
      this.#handshakeDone = false;
    }
    pos = this.#remote.writeFrames(buf, pos, limit, records);
    pos = this.#local.writeFrames(buf, pos, limit, records);
    if (this.#ping && pos < limit) {
      buf[pos++] = FRAME_PING;
      records.addRecord(REC_PING, 0, 0, 0);
      this.#ping = false;
    }
    return pos;
  }
}
