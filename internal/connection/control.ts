// Control frames that belong to no stream: HANDSHAKE_DONE, PING, NEW_TOKEN, NEW_CONNECTION_ID, RETIRE_CONNECTION_ID.
// Path frames live with their path, stream frames with the streams.

import { FRAME_HANDSHAKE_DONE, FRAME_PING } from "../protocol/constants.ts";
import { newTokenLength, writeNewToken } from "../wire/frame-writers.ts";
import { REC_HANDSHAKE_DONE, REC_NEW_TOKEN, REC_PING } from "../recovery/sent-packets.ts";
import type { LocalCids } from "../path/local-connection-ids.ts";
import type { RemoteCids } from "../path/remote-connection-ids.ts";
import type { RecordSink } from "../stream/streams.ts";

/** What is due, as flags: a lost frame is one that is due again. */
export class ControlFrames {
  readonly #local: LocalCids;
  readonly #remote: RemoteCids;
  #handshakeDone = false;
  #ping = false;
  #newToken: Uint8Array | null = null;
  #newTokenDue = false;

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

  /** Replaces the one before it, should that still wait. */
  queueNewToken(token: Uint8Array): void {
    this.#newToken = token;
    this.#newTokenDue = true;
  }

  /** rfc9000#13.3 NEW_TOKEN frames are retransmitted if the packet containing them is lost. */
  onNewTokenLost(): void {
    this.#newTokenDue = this.#newToken !== null;
  }

  onNewTokenAcked(): void {
    if (!this.#newTokenDue) this.#newToken = null;
  }

  get hasFrames(): boolean {
    return (
      this.#handshakeDone ||
      this.#ping ||
      this.#newTokenDue ||
      this.#local.hasFrames ||
      this.#remote.hasFrames
    );
  }

  write(buf: Uint8Array, pos: number, limit: number, records: RecordSink): number {
    if (this.#handshakeDone && pos < limit) {
      buf[pos++] = FRAME_HANDSHAKE_DONE;
      records.addRecord(REC_HANDSHAKE_DONE, 0, 0, 0);
      this.#handshakeDone = false;
    }
    const token = this.#newToken;
    if (this.#newTokenDue && token !== null && pos + newTokenLength(token.length) <= limit) {
      pos = writeNewToken(buf, pos, token);
      records.addRecord(REC_NEW_TOKEN, 0, 0, 0);
      this.#newTokenDue = false;
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
