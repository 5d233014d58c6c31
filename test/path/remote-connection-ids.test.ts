import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toHex } from "../../internal/protocol/bytes.ts";
import { CONNECTION_ID_LIMIT_ERROR, PROTOCOL_VIOLATION } from "../../internal/protocol/constants.ts";
import { MAX_PENDING_RETIREMENTS } from "../../internal/protocol/limits.ts";
import { REC_RETIRE_CONNECTION_ID } from "../../internal/recovery/sent-packets.ts";
import { cid, failsWith, remote, token, writeAll } from "./cids.ts";

describe("connection IDs of the peer's", () => {
  test("the first changes in the handshake, later ones are used when asked", () => {
    const { cids, tokens } = remote();
    cids.setInitial(cid(0));
    assert.deepEqual(cids.current, cid(0));
    cids.setInitialResetToken(token(100));
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    assert.deepEqual(cids.current, cid(0));
    assert.deepEqual(tokens, [toHex(token(100))]);
    assert.ok(cids.rotate());
    assert.deepEqual(cids.current, cid(1));
    assert.equal(cids.currentSequence, 1);
    // rfc9000#10.3.1 tokens of unused or retired connection IDs MUST NOT be checked
    assert.deepEqual(tokens, [toHex(token(1))]);
    assert.deepEqual(writeAll(cids).records, [[REC_RETIRE_CONNECTION_ID, 0]]);
    assert.equal(cids.rotate(), false);
    cids.removeAll();
    assert.deepEqual(tokens, []);
  });

  test("a frame that comes twice changes nothing, not even after its connection ID was retired", () => {
    const { cids } = remote();
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    assert.equal(cids.activeCount, 2);
    cids.onNewConnectionId(2, 0, cid(2), token(2));
    cids.rotate();
    cids.rotate();
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    assert.equal(cids.activeCount, 1);
    assert.equal(cids.currentSequence, 2);
  });

  test("contradictions are violations", () => {
    const { cids } = remote();
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    // rfc9000#19.15 the same sequence with another connection ID, token, or the same connection ID under another
    failsWith(PROTOCOL_VIOLATION, () => cids.onNewConnectionId(1, 0, cid(7), token(1)));
    failsWith(PROTOCOL_VIOLATION, () => cids.onNewConnectionId(1, 0, cid(1), token(7)));
    failsWith(PROTOCOL_VIOLATION, () => cids.onNewConnectionId(2, 0, cid(1), token(1)));
    // rfc9000#19.15 with a zero-length Destination Connection ID MUST be treated as PROTOCOL_VIOLATION
    const none = remote(4, new Uint8Array(0)).cids;
    failsWith(PROTOCOL_VIOLATION, () => none.onNewConnectionId(1, 0, cid(1), token(1)));
  });

  // rfc9000#5.1.1 MUST close the connection with an error of type CONNECTION_ID_LIMIT_ERROR
  test("more than active_connection_id_limit, counted after retiring", () => {
    const { cids } = remote(2);
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    cids.onNewConnectionId(2, 1, cid(2), token(2));
    assert.equal(cids.activeCount, 2);
    failsWith(CONNECTION_ID_LIMIT_ERROR, () => cids.onNewConnectionId(3, 1, cid(3), token(3)));
  });

  // rfc9000#5.1.2 MUST stop using the corresponding connection IDs and retire them with RETIRE_CONNECTION_ID
  test("Retire Prior To moves to the next one", () => {
    const { cids, tokens } = remote();
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    cids.onNewConnectionId(3, 3, cid(3), token(3));
    assert.deepEqual(cids.current, cid(3));
    assert.deepEqual(tokens, [toHex(token(3))]);
    assert.deepEqual(writeAll(cids).records, [
      [REC_RETIRE_CONNECTION_ID, 0],
      [REC_RETIRE_CONNECTION_ID, 1],
    ]);
    // rfc9000#19.15 a late frame with a smaller sequence number MUST be retired at once
    cids.onNewConnectionId(2, 0, cid(2), token(2));
    assert.equal(cids.activeCount, 1);
    assert.deepEqual(writeAll(cids).records, [[REC_RETIRE_CONNECTION_ID, 2]]);
    cids.onLost(0);
    cids.onLost(0);
    assert.deepEqual(writeAll(cids).records, [[REC_RETIRE_CONNECTION_ID, 0]]);
    cids.onLost(1);
    cids.onAcked(1);
    cids.onAcked(0);
    assert.equal(cids.hasFrames, false);
  });

  // rfc9000#5.1.2 SHOULD limit the number of connection IDs it has retired locally
  test("RETIRE_CONNECTION_ID stuffing ends the connection", () => {
    const { cids } = remote();
    failsWith(CONNECTION_ID_LIMIT_ERROR, () => {
      for (let n = 1; n < 10 * MAX_PENDING_RETIREMENTS; n++) {
        cids.onNewConnectionId(n, n, cid(n), token(n & 0xff));
        writeAll(cids);
      }
    });
    const acked = remote().cids;
    for (let n = 1; n < 200; n++) {
      acked.onNewConnectionId(n, n, cid(n), token(n & 0xff));
      for (const [, sequence] of writeAll(acked).records) acked.onAcked(sequence);
    }
    assert.equal(acked.currentSequence, 199);
  });

  test("a datagram that ends in a token in use is a stateless reset", () => {
    const { cids } = remote();
    cids.setInitialResetToken(token(5));
    cids.onNewConnectionId(1, 0, cid(1), token(6));
    const datagram = new Uint8Array(40).fill(0x41);
    datagram.set(token(5), 24);
    assert.ok(cids.isStatelessReset(datagram, 0, 40));
    assert.ok(!cids.isStatelessReset(datagram, 20, 40));
    assert.ok(!cids.isStatelessReset(datagram, 0, 39));
    datagram.set(token(6), 24);
    assert.ok(!cids.isStatelessReset(datagram, 0, 40));
    assert.deepEqual(cids.currentResetToken, token(5));
  });

  test("the preferred address has sequence 1", () => {
    const { cids } = remote();
    cids.onPreferredAddress(cid(1), token(1));
    cids.onNewConnectionId(2, 1, cid(2), token(2));
    assert.equal(cids.currentSequence, 1);
  });
});
