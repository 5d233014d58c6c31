import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RemoteCids } from "../../internal/path/remote-connection-ids.ts";
import { PACKET_ONE_RTT } from "../../internal/protocol/constants.ts";
import { FrameCollector } from "../../internal/wire/frame-objects.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import { local, Records, remote, writeAll } from "./cids.ts";
import { seededInt } from "./seeded.ts";

describe("connection IDs of one side at the other", () => {
  test("random histories of a peer that follows the rules", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const int = seededInt(seed);
      const issued = local(seed);
      const { cids, tokens } = remote(4, new Uint8Array(issued.cids.handshakeCid));
      issued.cids.setPeerLimit(4);
      issued.cids.issue(0);
      for (let step = 0; step < 200; step++) {
        const now = step * 100;
        const buf = new Uint8Array(300);
        const forward = new Records();
        const end = issued.cids.writeFrames(buf, 0, 40 + int(200), forward);
        const lost = int(4) === 0;
        if (lost) for (const [, sequence] of forward.all) issued.cids.onLost(sequence);
        else {
          const deliver = new Forward(cids);
          if (end > 0) parseFrames(buf, 0, end, PACKET_ONE_RTT, deliver);
        }
        if (int(3) === 0) cids.rotate();
        const back = writeAll(cids);
        for (const [, sequence] of back.records) {
          if (int(4) === 0) cids.onLost(sequence);
          else {
            issued.cids.onRetire(sequence, issued.cids.sequenceOf(cids.current, 0), now);
            cids.onAcked(sequence);
          }
        }
        assert.ok(issued.cids.sequenceOf(cids.current, 0) >= 0, `seed ${seed} step ${step}`);
        assert.ok(tokens.length <= 1, `seed ${seed} step ${step}`);
        assert.ok(issued.routes.size <= 12, `seed ${seed} step ${step}`);
      }
    }
  });
});

/** Takes NEW_CONNECTION_ID frames to where they belong. */
class Forward extends FrameCollector {
  readonly #to: RemoteCids;
  constructor(to: RemoteCids) {
    super();
    this.#to = to;
  }
  override onNewConnectionId(
    sequence: number,
    retirePriorTo: number,
    buf: Uint8Array,
    at: number,
    length: number,
  ): void {
    // The token lies right behind the connection ID, rfc9000#19.15.
    const tokenAt = at + length;
    this.#to.onNewConnectionId(
      sequence,
      retirePriorTo,
      buf.slice(at, tokenAt),
      buf.slice(tokenAt, tokenAt + 16),
    );
  }
}
