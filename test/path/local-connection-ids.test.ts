import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toHex } from "../../internal/protocol/bytes.ts";
import { PACKET_ONE_RTT, PROTOCOL_VIOLATION } from "../../internal/protocol/constants.ts";
import { RETIRED_CONNECTION_ID_TIME } from "../../internal/protocol/limits.ts";
import { REC_NEW_CONNECTION_ID } from "../../internal/recovery/sent-packets.ts";
import { FrameCollector } from "../../internal/wire/frame-objects.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import { failsWith, local, writeAll } from "./cids.ts";

describe("connection IDs of ours", () => {
  test("sequence 0 routes from the start and needs no frame", () => {
    const { cids, routes } = local(1);
    assert.equal(cids.length, 8);
    assert.equal(cids.handshakeCid.length, 8);
    assert.deepEqual([...routes], [toHex(cids.handshakeCid)]);
    assert.equal(cids.hasFrames, false);
    assert.equal(cids.sequenceOf(cids.handshakeCid, 0), 0);
    assert.equal(cids.handshakeResetToken[0], cids.handshakeCid[0]);
  });

  // rfc9000#5.1.1 MUST NOT provide more connection IDs than the peer's limit
  test("issues up to the peer's limit and no more", () => {
    for (const [limit, expected] of [
      [2, 2],
      [3, 3],
      [100, 4],
    ] as const) {
      const { cids, routes } = local(limit);
      cids.setPeerLimit(limit);
      cids.issue(0);
      cids.issue(0);
      assert.equal(cids.activeCount, expected);
      assert.equal(routes.size, expected);
      const { buf, end, records } = writeAll(cids);
      assert.deepEqual(
        records,
        Array.from({ length: expected - 1 }, (_, i) => [REC_NEW_CONNECTION_ID, i + 1]),
      );
      const collector = new FrameCollector();
      parseFrames(buf, 0, end, PACKET_ONE_RTT, collector);
      assert.equal(cids.hasFrames, false);
    }
  });

  test("frames that do not fit wait, lost frames come again", () => {
    const { cids } = local(7);
    cids.setPeerLimit(4);
    cids.issue(0);
    assert.equal(writeAll(cids, 20).end, 0);
    assert.deepEqual(writeAll(cids, 40).records, [[REC_NEW_CONNECTION_ID, 1]]);
    assert.equal(writeAll(cids).records.length, 2);
    cids.onLost(2);
    cids.onLost(2);
    assert.deepEqual(writeAll(cids).records, [[REC_NEW_CONNECTION_ID, 2]]);
    cids.onRetire(2, 0, 0);
    cids.onLost(2);
    assert.deepEqual(writeAll(cids).records, [[REC_NEW_CONNECTION_ID, 4]]);
  });

  // rfc9000#5.1.1 SHOULD supply a new connection ID when the peer retires a connection ID
  test("a retired one is replaced, and routes for a while", () => {
    const { cids, routes } = local(3);
    cids.setPeerLimit(2);
    cids.issue(0);
    const first = toHex(cids.handshakeCid);
    cids.onRetire(0, 1, 1000);
    assert.equal(cids.activeCount, 2);
    assert.equal(cids.sequenceOf(cids.handshakeCid, 0), -1);
    assert.ok(routes.has(first));
    cids.onRetire(0, 1, 1001);
    assert.equal(cids.activeCount, 2);
    cids.issue(1000 + RETIRED_CONNECTION_ID_TIME);
    assert.ok(!routes.has(first));
  });

  test("a peer that retires without end keeps nothing alive", () => {
    const { cids, routes } = local(4);
    cids.setPeerLimit(4);
    cids.issue(0);
    for (let sequence = 0; sequence < 200; sequence++) {
      writeAll(cids);
      cids.onRetire(sequence, sequence + 1, 0);
    }
    assert.ok(routes.size <= 4 + 8, String(routes.size));
    cids.removeAll();
    assert.equal(routes.size, 0);
    assert.equal(cids.hasFrames, false);
  });

  test("violations in RETIRE_CONNECTION_ID", () => {
    const { cids } = local(5);
    // rfc9000#19.16 a sequence number greater than any previously sent MUST be treated as PROTOCOL_VIOLATION
    failsWith(PROTOCOL_VIOLATION, () => cids.onRetire(1, 0, 0));
    // … sent: one that waits for its frame was not.
    cids.setPeerLimit(4);
    cids.issue(0);
    failsWith(PROTOCOL_VIOLATION, () => cids.onRetire(1, 0, 0));
    writeAll(cids);
    cids.onRetire(1, 0, 0);
    // rfc9000#19.16 MUST NOT refer to the Destination Connection ID field of the packet in which it is contained
    failsWith(PROTOCOL_VIOLATION, () => cids.onRetire(0, 0, 0));
    const none = local(5, 0).cids;
    none.setPeerLimit(4);
    none.issue(0);
    assert.equal(none.activeCount, 1);
    failsWith(PROTOCOL_VIOLATION, () => none.onRetire(0, -1, 0));
  });

  test("the client's first choice routes for a while after its last use", () => {
    const original = new Uint8Array(12).fill(9);
    const { cids, routes } = local(6, 8, original);
    assert.ok(routes.has(toHex(original)));
    cids.retireOriginal(1000);
    cids.retireOriginal(1000);
    cids.issue(3999);
    assert.ok(routes.has(toHex(original)));
    cids.issue(4000);
    assert.ok(!routes.has(toHex(original)));
    cids.removeAll();
    assert.equal(routes.size, 0);
  });
});
